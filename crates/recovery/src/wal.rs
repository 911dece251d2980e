//! WAL streaming of one cluster, started again whenever it ends, and how far behind it is.
use backup::wal::{StreamOptions, StreamStatus, stream};
use control::{ControlPlane, Protected, Slot};
use domain::{Lsn, view::WalStreamView};
use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How late WAL is: when the server wrote what is not in the repository yet.
#[derive(Debug)]
struct Lag {
    /// The server had written up to here at that moment; only what is not durable.
    seen: VecDeque<(Instant, u64)>,
    /// Everything that was known of was in the repository.
    complete: Instant,
}

impl Lag {
    fn new(at: Instant) -> Self {
        Self { seen: VecDeque::new(), complete: at }
    }

    /// Seconds; while nothing comes from the server, the time since all was durable: at most so much is missing.
    fn seconds(&mut self, at: Instant, server: u64, durable: u64, connected: bool) -> f64 {
        if self.seen.back().is_none_or(|last| last.1 < server) && server > durable {
            self.seen.push_back((at, server));
        }
        while self.seen.front().is_some_and(|first| first.1 <= durable) {
            self.seen.pop_front();
        }
        match self.seen.front() {
            Some(first) => at.duration_since(first.0).as_secs_f64(),
            None if connected => {
                self.complete = at;
                0.0
            }
            None => at.duration_since(self.complete).as_secs_f64(),
        }
    }
}

/// How late WAL is in the repository, when the stream knows.
pub(crate) fn lag(slot: &Slot) -> Option<f64> {
    let wal = slot.wal.load();
    wal.lag_seconds.filter(|_| wal.state == "streaming")
}

pub(crate) async fn supervise(control: ControlPlane, index: usize, stop: CancellationToken) {
    let Some(slot) = control.recovery().slots().get(index) else { return };
    let status = Arc::new(StreamStatus::default());
    let watch = watch(slot, &status, &stop);
    let work = keep(slot, &status, &stop);
    tokio::join!(watch, work);
}

async fn keep(slot: &Slot, status: &Arc<StreamStatus>, stop: &CancellationToken) {
    let mut wait = FIRST_WAIT;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let ended = match slot.repository().await {
            Ok(repository) => {
                let source = slot.config.source.clone().with_application_name("holdfast wal stream");
                stream(&repository, &source, &options(&slot.config), status, stop)
                    .await
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let Err(error) = ended else { continue };
        tracing::warn!(error, cluster = slot.config.cluster, "WAL streaming ended; it is started again");
        *status.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        if begun.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn options(config: &Protected) -> StreamOptions {
    StreamOptions {
        slot: config.slot.clone(),
        every: EVERY,
        give_up_after: None,
        heartbeat: config.heartbeat,
        limits: config.slot_limits,
    }
}

async fn watch(slot: &Slot, status: &StreamStatus, stop: &CancellationToken) {
    let mut lag = Lag::new(Instant::now());
    loop {
        let error = status.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let at = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Acquire);
        // What is durable first: the other way round, what comes between would look as if the server had nothing more.
        let durable = at(&status.durable);
        let server = at(&status.server).max(at(&status.received));
        // The lease of the stream is another process's: that one knows how far it is.
        let elsewhere = error.as_deref().is_some_and(|error| error.contains("is being done already"));
        let known = durable > 0 && !elsewhere;
        let seconds = lag.seconds(Instant::now(), server, durable, error.is_none());
        let view = WalStreamView {
            state: match (&error, elsewhere, known) {
                (_, true, _) => "elsewhere",
                (None, _, true) => "streaming",
                (None, _, false) => "starting",
                _ => "interrupted",
            }
            .to_owned(),
            server_lsn: (server > 0).then_some(Lsn(server)),
            durable_lsn: known.then_some(Lsn(durable)),
            lag_bytes: known.then(|| Lsn(server).bytes_since(Lsn(durable)).max(0)),
            // A stream that fails from the start on has stored nothing that could tell: at least this much is missing.
            lag_seconds: (known || (error.is_some() && !elsewhere)).then_some(seconds),
            heartbeat_at: status.heartbeat_at(),
            error: error.filter(|_| !elsewhere),
        };
        slot.wal.store(Arc::new(view));
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use backup::{retention::Retention, wal::SlotLimits};
    use control::{Disaster, OpenRepository};
    use domain::view::Objectives;
    use pgphysical::replication::ConnInfo;

    fn protected() -> Protected {
        Protected {
            cluster: "main".to_owned(),
            source: ConnInfo::parse("postgres://watch@localhost/x").unwrap(),
            place: "/nowhere".to_owned(),
            open: OpenRepository(Arc::new(|| Box::pin(async { Err("away".to_owned()) }))),
            restore_command: None,
            superuser: "postgres".to_owned(),
            schedules: Vec::new(),
            time_zone: "UTC".to_owned(),
            jitter: Duration::ZERO,
            retention: Retention::default(),
            objectives: Objectives { rpo_seconds: 60.0, rto_seconds: 900.0 },
            stream: true,
            slot: "mine".to_owned(),
            heartbeat: Some(Duration::from_secs(10)),
            slot_limits: SlotLimits { most_kept: Some(7), least_free: None },
            workers: 2,
            restore_directory: "/nowhere".into(),
            restore_over: Vec::new(),
            repository_directory: None,
            test_directory: "/nowhere".into(),
            probes: Vec::new(),
            refresh: Duration::from_secs(30),
            disaster: Disaster::default(),
        }
    }

    #[test]
    fn the_stream_beats_and_gives_up_as_configured() {
        let config = protected();
        let options = options(&config);
        assert_eq!((options.slot.as_str(), options.give_up_after), ("mine", None));
        assert_eq!((options.heartbeat, options.limits), (config.heartbeat, config.slot_limits));
    }

    #[test]
    fn lag_is_the_age_of_the_oldest_byte_that_is_not_durable() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut lag = Lag::new(start);
        assert_eq!(lag.seconds(after(1), 100, 100, true), 0.0);
        assert_eq!(lag.seconds(after(2), 200, 100, true), 0.0);
        assert_eq!(lag.seconds(after(5), 300, 100, true), 3.0);
        assert_eq!(lag.seconds(after(6), 300, 200, true), 1.0);
        assert_eq!(lag.seconds(after(7), 300, 300, true), 0.0);
        // Cut off with nothing outstanding: what the server writes meanwhile is not seen, and may be lost.
        assert_eq!(lag.seconds(after(17), 300, 300, false), 10.0);
        assert_eq!(lag.seconds(after(18), 300, 300, true), 0.0);
    }
}
