//! What goes on by itself: roll-ups, partitions ahead, clearing out, the archive, erasures that wait for it.
use crate::{Analytics, AnalyticsError};
use backup::Repository;
use futures::future::BoxFuture;
use std::{fmt, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Opens the repository that archives go to.
#[derive(Clone)]
pub struct OpenArchive(pub Arc<dyn Fn() -> BoxFuture<'static, Result<Repository, String>> + Send + Sync>);

impl fmt::Debug for OpenArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenArchive")
    }
}

/// How quick it is; tests make it quicker.
#[derive(Clone, Copy, Debug)]
pub struct ServicePace {
    /// Between two roll-ups.
    pub roll_up: Duration,
    /// Between two looks at partitions, retention and erasures.
    pub upkeep: Duration,
}

impl Default for ServicePace {
    fn default() -> Self {
        Self { roll_up: Duration::from_secs(10), upkeep: Duration::from_secs(3_600) }
    }
}

/// The running tasks. Several servers may run them on one database: each piece of work is one's at a time.
#[derive(Debug)]
pub struct Service {
    tasks: JoinSet<()>,
}

impl Service {
    /// Starts them. Nothing need be reachable yet.
    pub fn start(
        analytics: &Analytics,
        archive: Option<OpenArchive>,
        pace: ServicePace,
        stop: &CancellationToken,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let (rolling, stopped) = (analytics.clone(), stop.clone());
        tasks.spawn(async move {
            let mut told = Told::default();
            loop {
                let rolled = tokio::select! {
                    rolled = rolling.roll_up() => rolled,
                    () = stopped.cancelled() => return,
                };
                // Days are left: go on at once, so that an old heap is worked off.
                let more = rolled.as_ref().is_ok_and(|it| it.days >= 32);
                told.tell("roll-ups", rolled.err());
                let rest = if more { Duration::from_millis(200) } else { pace.roll_up };
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    () = stopped.cancelled() => return,
                }
            }
        });
        let (keeping, stopped) = (analytics.clone(), stop.clone());
        tasks.spawn(async move {
            let mut told = Told::default();
            loop {
                let done = tokio::select! {
                    done = upkeep(&keeping, archive.as_ref()) => done,
                    () = stopped.cancelled() => return,
                };
                // A month that waits for its roll-up need not wait for an hour.
                let rest = if matches!(done, Ok(true)) { pace.upkeep / 60 } else { pace.upkeep };
                told.tell("partitions, retention and archive", done.err());
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    () = stopped.cancelled() => return,
                }
            }
        });
        Self { tasks }
    }

    /// Waits until all have ended; the caller has cancelled the token.
    pub async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Whether something waits for what will be done soon.
async fn upkeep(analytics: &Analytics, archive: Option<&OpenArchive>) -> Result<bool, AnalyticsError> {
    analytics.partitions_ahead().await?;
    analytics.clear_out().await?;
    let Some(OpenArchive(open)) = archive else { return Ok(false) };
    let repository = open().await.map_err(AnalyticsError::Conflict)?;
    let archived = analytics.archive(&repository, false, &|_| {}).await;
    // Also while a month cannot be archived: an erasure waits for no retention.
    let finished = analytics.erasures_finish(&repository).await;
    let outcome = archived?;
    for month in &outcome.months {
        tracing::info!(kind = month.kind, month = month.month, rows = month.rows, "a month of analytics was archived");
    }
    finished?;
    Ok(outcome.busy || !outcome.waiting.is_empty())
}

/// Tells a trouble once, not each round.
#[derive(Default)]
struct Told(Option<String>);

impl Told {
    fn tell(&mut self, what: &str, error: Option<AnalyticsError>) {
        let text = error.map(|error| error.to_string());
        if text != self.0 {
            match &text {
                Some(error) => tracing::warn!(error, "{what} of analytics do not work; they are tried again"),
                None => tracing::info!("{what} of analytics work again"),
            }
            self.0 = text;
        }
    }
}
