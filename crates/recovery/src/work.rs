//! A job being done: its steps, its counters, its log.
use backup::Progress;
use control::{ControlPlane, now};
use domain::view::{DrWaiting, JobKind, JobProgress, JobState, JobStep};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};
use store::{JobRepo, JobRow, StoreError};

/// How a job ends when it does not succeed.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It failed.
    Failed(String),
    /// It was stopped.
    Cancelled,
}

impl From<backup::BackupError> for Ended {
    fn from(error: backup::BackupError) -> Self {
        match error {
            backup::BackupError::Cancelled => Self::Cancelled,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<control::ControlError> for Ended {
    fn from(error: control::ControlError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<pgphysical::ClusterError> for Ended {
    fn from(error: pgphysical::ClusterError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

#[derive(Debug)]
struct State {
    steps: Vec<JobStep>,
    present: usize,
    begun: Instant,
    counters: Option<Arc<Progress>>,
    paused: Option<String>,
    waiting: Option<DrWaiting>,
    cancelled: bool,
    /// By a person, not by the end of this server.
    stopped: bool,
    /// The store has it as another server's by now.
    lost: bool,
}

impl State {
    fn begin(&mut self, step: usize) {
        (self.present, self.begun, self.counters) = (step, Instant::now(), None);
        if let Some(step) = self.steps.get_mut(step) {
            step.started_at = Some(now());
        }
    }
}

/// The job, for whoever does it and for whoever tells of it.
#[derive(Debug)]
pub(crate) struct Work {
    /// `None` for work of the command line, which needs no store.
    pub control: Option<ControlPlane>,
    pub row: JobRow,
    /// Each sign of life keeps it for so long.
    lease_ms: i64,
    /// Hears the log's lines where there is no store.
    sink: Option<fn(&str)>,
    state: Mutex<State>,
}

impl Work {
    /// `lease_ms`: each sign of life keeps it for so long.
    pub fn new(control: ControlPlane, row: JobRow, lease_ms: i64) -> Self {
        Self::with(Some(control), row, lease_ms, None)
    }

    /// Work of the command line: it is in no store, and each line is told to `sink`.
    pub fn alone(kind: JobKind, sink: fn(&str)) -> Self {
        let at = now();
        let row = JobRow {
            id: at.0,
            cluster: String::new(),
            kind,
            lane: String::new(),
            state: JobState::Running,
            title: String::new(),
            params: serde_json::Value::Null,
            schedule_key: None,
            requested_by: "command line".to_owned(),
            requested_at: at,
            started_at: Some(at),
            finished_at: None,
            attempt: 1,
            holder: None,
            cancel_requested: false,
            progress: JobProgress::default(),
            result: None,
            error: None,
        };
        Self::with(None, row, 0, Some(sink))
    }

    fn with(control: Option<ControlPlane>, row: JobRow, lease_ms: i64, sink: Option<fn(&str)>) -> Self {
        let state = State {
            steps: Vec::new(),
            present: 0,
            begun: Instant::now(),
            counters: None,
            paused: None,
            waiting: None,
            cancelled: false,
            stopped: false,
            lost: false,
        };
        Self { control, row, lease_ms, sink, state: Mutex::new(state) }
    }

    /// What a backup's commit names as its job: the same in every try. The moment stands in it because other stores, of this
    /// repository too, count their jobs from one.
    pub fn mark(&self) -> String {
        format!("{} of {}", self.row.id, self.row.requested_at.to_rfc3339())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All steps; the first begins.
    pub fn steps(&self, names: &[impl AsRef<str>]) {
        let mut state = self.state();
        state.steps = names
            .iter()
            .map(|name| JobStep {
                name: name.as_ref().to_owned(),
                started_at: None,
                seconds: None,
                detail: String::new(),
            })
            .collect();
        state.begin(0);
    }

    /// The present step begins now: what went before was waiting.
    pub fn begin(&self) {
        let mut state = self.state();
        let present = state.present;
        state.begin(present);
    }

    /// The present step had been done by a try before this one, whose server was killed later: it keeps the time it took
    /// then, when that server could still tell. The next begins. The step as it stands now.
    pub async fn done_before(&self) -> Option<JobStep> {
        const BY: &str = "done by the try before";
        let step = {
            let mut state = self.state();
            let (present, seconds) = (state.present, state.begun.elapsed().as_secs_f64());
            let step = state.steps.get_mut(present)?;
            let earlier = self.row.progress.steps.get(present);
            if let Some(earlier) = earlier.filter(|it| it.name == step.name && it.seconds.is_some()) {
                *step = earlier.clone();
            } else {
                step.seconds = Some(seconds);
            }
            if !step.detail.ends_with(BY) {
                step.detail = if step.detail.is_empty() { BY.to_owned() } else { format!("{}; {BY}", step.detail) };
            }
            let step = step.clone();
            state.begin(present + 1);
            step
        };
        self.log(&format!("{}: {}", step.name, step.detail)).await;
        Some(step)
    }

    /// Counters for the present step.
    pub fn counters(&self) -> Arc<Progress> {
        let mut state = self.state();
        let counters = Arc::new(Progress::default());
        counters.cancelled.store(state.cancelled, Ordering::Relaxed);
        state.counters = Some(counters.clone());
        counters
    }

    /// The present step is done; the next begins. How long it took.
    pub async fn done(&self, detail: impl Into<String>) -> f64 {
        let detail = detail.into();
        let (line, seconds) = {
            let mut state = self.state();
            let (present, seconds) = (state.present, state.begun.elapsed().as_secs_f64());
            let mut line = detail.clone();
            if let Some(step) = state.steps.get_mut(present) {
                line = if detail.is_empty() { step.name.clone() } else { format!("{}: {detail}", step.name) };
                step.seconds = Some(seconds);
                step.detail = detail;
            }
            state.begin(present + 1);
            (line, seconds)
        };
        self.log(&line).await;
        seconds
    }

    /// A line of the log; a store that does not answer loses it, and nothing else.
    pub async fn log(&self, line: &str) {
        tracing::info!(job = self.row.id, kind = self.row.kind.as_str(), line, "job");
        if let Some(sink) = self.sink {
            sink(line);
        }
        let Some(control) = &self.control else { return };
        if let Err(error) = JobRepo(control.store().db()).log(self.row.id, now(), line).await {
            tracing::warn!(%error, job = self.row.id, "a line of a job's log was not written");
        }
    }

    /// It waits, and for what; `None`: it goes on.
    pub fn pause(&self, reason: Option<String>) {
        let mut state = self.state();
        if let Some(counters) = &state.counters {
            counters.paused.store(reason.is_some(), Ordering::Relaxed);
        }
        state.paused = reason;
    }

    /// It waits for a person's approval; `None`: it goes on.
    pub fn wait_for(&self, what: Option<DrWaiting>) {
        self.state().waiting = what;
    }

    /// Whether it waits for a person's approval.
    pub fn is_waiting(&self) -> bool {
        self.state().waiting.is_some()
    }

    /// Stops it, as soon as it looks.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.cancelled = true;
        if let Some(counters) = &state.counters {
            counters.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// As [`Self::cancel`], because a person asked for it.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.cancel();
    }

    /// Whether a person stopped it.
    pub fn is_stopped_by_a_person(&self) -> bool {
        self.state().stopped
    }

    /// As [`Self::cancel`], because it is another server's by now: its end, and what lies under its name, are not ours.
    pub fn lose(&self) {
        self.state().lost = true;
        self.cancel();
    }

    /// Whether it is another server's by now.
    pub fn is_lost(&self) -> bool {
        self.state().lost
    }

    /// A sign of life: whether somebody asked to stop it, or `None` when it is another server's by now.
    pub async fn beat(&self) -> Result<Option<bool>, StoreError> {
        let Some(control) = &self.control else { return Ok(Some(false)) };
        let holder = self.row.holder.as_deref().unwrap_or_default();
        let repo = JobRepo(control.store().db());
        let told = repo.heartbeat(self.row.id, holder, self.row.attempt, self.lease_ms, &self.progress()).await?;
        if told.is_none() {
            self.lose();
        }
        Ok(told)
    }

    /// Whether it is this server's still: asked before what cannot be taken back, since a server that was frozen does not
    /// know how long. A store that does not answer is no reason to lose what was done: it is let go when that lasts.
    pub async fn is_ours(&self) -> bool {
        if let Err(error) = self.beat().await {
            tracing::warn!(%error, job = self.row.id, "the store was not reached to hear whose a job is");
        }
        !self.is_lost()
    }

    /// Whether it is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Ends the job when it is to stop.
    pub fn check(&self) -> Result<(), Ended> {
        if self.is_cancelled() { Err(Ended::Cancelled) } else { Ok(()) }
    }

    /// Waits a moment, unless it is to stop.
    pub async fn sleep(&self, time: Duration) -> Result<(), Ended> {
        tokio::time::sleep(time).await;
        self.check()
    }

    /// How far it is.
    pub fn progress(&self) -> JobProgress {
        let state = self.state();
        let counted = state
            .counters
            .as_ref()
            .map(|counters| (counters.done.load(Ordering::Relaxed), counters.total.load(Ordering::Relaxed)));
        let counted = counted.filter(|(_, total)| *total > 0);
        let seconds = state.begun.elapsed().as_secs_f64();
        let rate = counted.map(|(done, _)| done as f64 / seconds.max(0.001));
        JobProgress {
            steps: state.steps.clone(),
            done_bytes: counted.map(|it| it.0),
            total_bytes: counted.map(|it| it.1),
            bytes_per_second: rate,
            remaining_seconds: counted
                .zip(rate.filter(|rate| *rate > 0.0))
                .map(|((done, total), rate)| total.saturating_sub(done) as f64 / rate),
            paused: state.paused.clone(),
            waiting: state.waiting.clone(),
        }
    }
}
