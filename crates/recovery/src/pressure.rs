//! Back-pressure: a backup waits while the monitor sees the database suffer. The judgement is pure: what was seen comes
//! in, a verdict with its reason goes out.
use control::{Actor, ControlPlane, now};
use domain::{
    Timestamp, format,
    view::{ClusterState, Dashboard, Metric, Range, ReplicaState},
};

/// A snapshot older than this, or than three ticks, says nothing of now.
const FRESH_SECONDS: f64 = 120.0;
/// Buckets of the last day with calls in them from which on their median is what is usual: 12 minutes each.
const USUAL_FROM: usize = 6;

/// Waiting begins above one figure and ends only below another, so that a backup does not stop and go with each tick.
#[derive(Clone, Copy, Debug)]
struct Limit {
    begins: f64,
    ends: f64,
}

impl Limit {
    const fn now(self, waits: bool) -> f64 {
        if waits { self.ends } else { self.begins }
    }
}

/// Percent of the connection slots that are used.
const CONNECTIONS: Limit = Limit { begins: 95.0, ends: 85.0 };
/// Seconds that a standby is behind.
const LAG: Limit = Limit { begins: 60.0, ends: 20.0 };
/// Active sessions, in shares of the connection slots.
const ACTIVE: Limit = Limit { begins: 0.5, ends: 0.35 };
/// P95 of the statements, in multiples of what is usual.
const LATENCY: Limit = Limit { begins: 3.0, ends: 2.0 };
/// Below, nobody feels it, however fast it usually is. Milliseconds.
const FELT_MS: f64 = 25.0;

/// What a backup is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Read on: the database is well, or nothing is known of it.
    GoOn,
    /// Wait, for this reason.
    Wait(String),
}

/// Judges one snapshot. `usual_p95_ms` is what statements usually take; `waits` says that the backup waits already.
pub(crate) fn judge(seen: &Dashboard, at: Timestamp, usual_p95_ms: Option<f64>, waits: bool) -> Verdict {
    let fresh_for = FRESH_SECONDS.max(3.0 * seen.interval_seconds);
    let fresh = seen.collected_at.is_some_and(|read| at.seconds_since(read) < fresh_for);
    // Of a database that is down or unseen nobody knows whether it suffers; a backup is no worse then.
    if !fresh || seen.cluster.state != ClusterState::Up {
        return Verdict::GoOn;
    }
    if let Some(connections) = &seen.connections
        && connections.utilization_percent > CONNECTIONS.now(waits)
    {
        return Verdict::Wait(format!("{:.0} % of the connection slots are used", connections.utilization_percent));
    }
    // Of one that is gone the lag grows for ever, whatever we do; a walsender that replays nothing (a backup, a stream of
    // WAL) is no standby.
    let standbys = seen
        .replication
        .iter()
        .filter(|it| matches!(it.state, ReplicaState::Streaming | ReplicaState::Idle | ReplicaState::CatchingUp));
    let lagging = standbys
        .filter_map(|it| Some((it, it.lag_seconds.filter(|lag| *lag > LAG.now(waits))?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((standby, lag)) = lagging {
        return Verdict::Wait(format!("standby '{}' is {lag:.0} s behind", standby.name));
    }
    // Of all else that the score counts only load is made worse by a backup.
    let active = seen.waits.iter().map(|wait| wait.average_active_sessions).sum::<f64>();
    let usable = seen.connections.as_ref().map_or(100.0, |it| it.usable as f64);
    if active > usable * ACTIVE.now(waits) {
        return Verdict::Wait(format!("{active:.0} sessions are active on average"));
    }
    if let Some((latency, usual)) = seen.latency.as_ref().zip(usual_p95_ms)
        && latency.p95_ms > (usual * LATENCY.now(waits)).max(FELT_MS)
    {
        return Verdict::Wait(format!(
            "the slowest twentieth of the statements takes {} or more, usual is {}",
            format::duration_s(latency.p95_ms / 1e3),
            format::duration_s(usual / 1e3)
        ));
    }
    Verdict::GoOn
}

/// What is usual: the median of what was recorded; `None` while that is too little to say.
fn usual(recorded: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values = recorded.into_iter().filter(|value| value.is_finite()).collect::<Vec<_>>();
    if values.len() < USUAL_FROM {
        return None;
    }
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// What the P95 of the statements of a cluster was over the last day, in milliseconds; `None` while nobody can say.
pub(crate) async fn usual_p95_ms(control: &ControlPlane, cluster: &str) -> Option<f64> {
    let history = control.history_get(&Actor::system(), Some(cluster), Metric::LatencyP95Ms, Range::Hours24).await;
    match history {
        Ok(history) => usual(history.series.into_iter().flat_map(|line| line.values).flatten()),
        Err(error) => {
            tracing::warn!(%error, cluster, "what latency is usual is not known; it holds no backup up");
            None
        }
    }
}

/// The verdict on what the monitor saw last.
pub(crate) fn look(control: &ControlPlane, cluster: &str, usual_p95_ms: Option<f64>, waits: bool) -> Verdict {
    match control.clusters().find(Some(cluster)) {
        Ok((_, snapshot)) => judge(&snapshot.dashboard, now(), usual_p95_ms, waits),
        Err(_) => Verdict::GoOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::ClusterConfig;
    use domain::view::{ConnectionsView, LatencySource, LatencyView, ReplicaView, WaitLoad};
    use std::time::Duration;

    const AT: Timestamp = Timestamp(1_800_000_000_000);

    /// A database that is well, as it was seen ten seconds ago.
    fn well() -> Dashboard {
        let config = ClusterConfig { id: "main".to_owned(), name: "main".to_owned(), standby_of: None, group: None };
        let mut seen = monitor::first_snapshot(&config, Duration::from_secs(30)).dashboard;
        seen.cluster.state = ClusterState::Up;
        seen.collected_at = Some(AT.plus_ms(-10_000));
        seen.connections = Some(connections(41.0));
        seen.latency = Some(latency(12.0));
        seen.replication = vec![standby(ReplicaState::Streaming, Some(0.2))];
        seen
    }

    fn connections(utilization_percent: f64) -> ConnectionsView {
        ConnectionsView { used: 40, usable: 100, utilization_percent, by_state: Vec::new() }
    }

    fn latency(p95_ms: f64) -> LatencyView {
        LatencyView {
            p50_ms: 1.0,
            p95_ms,
            p99_ms: p95_ms * 2.0,
            source: LatencySource::Estimate,
            window_seconds: 300.0,
            log_from_ms: None,
        }
    }

    fn standby(state: ReplicaState, lag_seconds: Option<f64>) -> ReplicaView {
        ReplicaView { name: "replica1".to_owned(), state, lag_seconds, lag_bytes: None }
    }

    fn reason(verdict: Verdict) -> String {
        match verdict {
            Verdict::Wait(reason) => reason,
            Verdict::GoOn => String::new(),
        }
    }

    /// Waits, and says why with this word; or goes on for an empty one.
    fn assert_reason(seen: &Dashboard, word: &str) {
        let reason = reason(judge(seen, AT, Some(10.0), false));
        assert!(reason.contains(word) && reason.is_empty() == word.is_empty(), "'{word}' in '{reason}'");
    }

    #[test]
    fn a_database_that_is_well_holds_no_backup_up() {
        assert_eq!(judge(&well(), AT, Some(10.0), false), Verdict::GoOn);
        assert_eq!(judge(&well(), AT, None, true), Verdict::GoOn);
    }

    #[test]
    fn each_kind_of_suffering_has_its_reason() {
        let full = Dashboard { connections: Some(connections(97.0)), ..well() };
        assert_reason(&full, "97 % of the connection slots");
        let behind = Dashboard { replication: vec![standby(ReplicaState::CatchingUp, Some(75.0))], ..well() };
        assert_reason(&behind, "standby 'replica1' is 75 s behind");
        let load = WaitLoad { average_active_sessions: 30.0, ..load() };
        assert_reason(&Dashboard { waits: vec![load.clone(), load], ..well() }, "60 sessions are active");
        assert_reason(&Dashboard { latency: Some(latency(31.0)), ..well() }, "31 ms or more, usual is 10 ms");
    }

    fn load() -> WaitLoad {
        WaitLoad { class: "IO".to_owned(), average_active_sessions: 0.0 }
    }

    #[test]
    fn who_is_gone_or_replays_nothing_is_no_standby_that_suffers() {
        for (state, lag) in [
            (ReplicaState::Disconnected, Some(86_000.0)),
            // Walsenders of a backup and of a stream of WAL: nothing is replayed there.
            (ReplicaState::Unknown, None),
            (ReplicaState::Unknown, Some(900.0)),
            (ReplicaState::Streaming, None),
        ] {
            assert_reason(&Dashboard { replication: vec![standby(state, lag)], ..well() }, "");
        }
        // One that is there and behind is found beside them, the worst first.
        let several = vec![
            standby(ReplicaState::Disconnected, Some(86_000.0)),
            standby(ReplicaState::CatchingUp, Some(61.0)),
            standby(ReplicaState::CatchingUp, Some(300.0)),
        ];
        assert_reason(&Dashboard { replication: several, ..well() }, "300 s behind");
    }

    #[test]
    fn latency_is_compared_with_what_is_usual_and_must_be_felt() {
        let slow = |p95_ms| Dashboard { latency: Some(latency(p95_ms)), ..well() };
        assert_eq!(judge(&slow(5_000.0), AT, None, false), Verdict::GoOn, "nobody knows what is usual");
        assert_eq!(judge(&slow(24.0), AT, Some(0.5), false), Verdict::GoOn, "48 times as slow, and nobody feels it");
        assert_eq!(judge(&slow(900.0), AT, Some(400.0), false), Verdict::GoOn, "it is always slow");
        assert!(matches!(judge(&slow(1_201.0), AT, Some(400.0), false), Verdict::Wait(_)));
    }

    #[test]
    fn waiting_ends_later_than_it_begins() {
        let cases = [
            Dashboard { connections: Some(connections(90.0)), ..well() },
            Dashboard { replication: vec![standby(ReplicaState::CatchingUp, Some(40.0))], ..well() },
            Dashboard { waits: vec![WaitLoad { average_active_sessions: 45.0, ..load() }], ..well() },
            Dashboard { latency: Some(latency(26.0)), ..well() },
        ];
        for seen in &cases {
            assert_eq!(judge(seen, AT, Some(10.0), false), Verdict::GoOn, "not yet");
            assert!(matches!(judge(seen, AT, Some(10.0), true), Verdict::Wait(_)), "not any more so soon");
        }
        assert_eq!(judge(&well(), AT, Some(10.0), true), Verdict::GoOn);
    }

    #[test]
    fn what_is_not_known_holds_nothing_up() {
        let ill = Dashboard { connections: Some(connections(100.0)), ..well() };
        let old = Dashboard { collected_at: Some(AT.plus_ms(-121_000)), ..ill.clone() };
        assert_eq!(judge(&old, AT, None, true), Verdict::GoOn, "it was seen too long ago");
        // A tick each five minutes is fresh for longer.
        assert!(matches!(judge(&Dashboard { interval_seconds: 300.0, ..old }, AT, None, true), Verdict::Wait(_)));
        assert_eq!(judge(&Dashboard { collected_at: None, ..ill.clone() }, AT, None, true), Verdict::GoOn);
        let mut down = ill;
        down.cluster.state = ClusterState::Unreachable { reason: "connection refused".to_owned(), since: AT };
        assert_eq!(judge(&down, AT, None, true), Verdict::GoOn);
    }

    #[test]
    fn what_is_usual_needs_an_hour_and_is_no_outlier() {
        assert_eq!(usual([1.0; 5]), None);
        assert_eq!(usual([3.0, 900.0, 2.0, 4.0, f64::NAN, 1.0, 5.0]), Some(4.0));
    }
}
