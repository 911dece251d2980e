//! Jobs as they change, for whoever listens: one look at the store in a while for all listeners together, whichever
//! server works on the job, and none while nobody listens.
use crate::{Actor, ControlError, ControlPlane};
use domain::{
    Permission,
    view::{JobLive, JobState},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use store::{JobFilter, JobRepo, Store, StoreError};
use tokio::sync::{Mutex, broadcast};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(700);
/// A store that hangs must not hold back who wants to hear of other things too.
const FIRST_LOOK_AT_MOST: Duration = Duration::from_secs(2);
/// Changes kept for a slow listener.
const BACKLOG: usize = 64;

/// Who listens, and whether somebody looks for them.
#[derive(Debug)]
pub(super) struct JobWatch {
    live: broadcast::Sender<Arc<JobLive>>,
    looking: Mutex<bool>,
}

impl Default for JobWatch {
    fn default() -> Self {
        Self { live: broadcast::Sender::new(BACKLOG), looking: Mutex::new(false) }
    }
}

/// What was there at the last look.
#[derive(Debug, Default)]
struct Seen {
    /// The newest job; `None` before the first look.
    newest: Option<i64>,
    /// States of those that are not over.
    open: BTreeMap<i64, JobState>,
}

impl Seen {
    /// Jobs whose state is another than at the last look; none at the first.
    async fn changes(&mut self, store: &Store) -> Result<Vec<JobLive>, StoreError> {
        let repo = JobRepo(store.db());
        let is_first = self.newest.is_none();
        let mut newest = match self.newest {
            Some(newest) => newest,
            None => repo.list(&JobFilter::default(), 1).await?.first().map_or(0, |row| row.id),
        };
        let known = self.open.keys().copied().collect::<Vec<_>>();
        let rows = repo.live(newest, &known).await?;
        let before = std::mem::take(&mut self.open);
        let mut changes = Vec::new();
        for (id, job) in rows {
            newest = newest.max(id);
            if !job.state.is_over() {
                self.open.insert(id, job.state);
            }
            if !is_first && before.get(&id) != Some(&job.state) {
                changes.push(job);
            }
        }
        self.newest = Some(newest);
        Ok(changes)
    }
}

impl ControlPlane {
    /// Changes of the states of jobs from now on, of all clusters. What changed twice between two looks is told once, as
    /// it is then.
    ///
    /// # Errors
    /// [`ControlError::Unauthenticated`], [`ControlError::Forbidden`].
    pub async fn jobs_subscribe(&self, actor: &Actor) -> Result<broadcast::Receiver<Arc<JobLive>>, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let watch = &self.recovery().watch;
        let mut looking = watch.looking.lock().await;
        let receiver = watch.live.subscribe();
        if !*looking {
            let mut seen = Seen::default();
            // Without it the next look is the first.
            match tokio::time::timeout(FIRST_LOOK_AT_MOST, seen.changes(self.store())).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "jobs could not be looked at; it is tried again"),
                Err(_) => tracing::debug!("the store takes its time over the jobs; it is tried again"),
            }
            *looking = true;
            tokio::spawn(look(self.clone(), seen));
        }
        Ok(receiver)
    }
}

/// Looks until nobody listens.
async fn look(control: ControlPlane, mut seen: Seen) {
    let watch = &control.recovery().watch;
    loop {
        tokio::time::sleep(LOOK).await;
        {
            // Nobody begins to listen meanwhile.
            let mut looking = watch.looking.lock().await;
            if watch.live.receiver_count() == 0 {
                *looking = false;
                return;
            }
        }
        match seen.changes(control.store()).await {
            Ok(changes) => {
                for job in changes {
                    // An error only says that nobody listens.
                    let _ = watch.live.send(Arc::new(job));
                }
            }
            Err(error) => tracing::debug!(%error, "jobs could not be looked at; it is tried again"),
        }
    }
}
