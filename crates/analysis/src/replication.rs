//! Replication lag that does not lie.
//!
//! The newest position of the primary is kept with our own clock. A standby is behind by the time since the primary
//! first passed what the standby has replayed: right while the primary idles (everything is replayed), when the link
//! is cut (the standby is missing) and whatever the servers' clocks say.
use domain::{
    Lsn, Timestamp,
    reading::{KnownStandby, ReplicationReading, Sender},
    view::{ReplicaState, ReplicaView},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// About an hour at one position a second.
const RING: usize = 4_096;
/// A lower position so soon after a higher one is an older answer that came later, and no failover.
const OVERTAKEN_SECONDS: f64 = 10.0;

/// Positions of the primary over time, only those that differ.
#[derive(Clone, Debug, Default)]
pub struct LsnRing {
    positions: VecDeque<(Timestamp, Lsn)>,
}

impl LsnRing {
    /// Adds a position; one that did not advance adds nothing, one that stays behind (failover) clears the ring.
    pub fn push(&mut self, at: Timestamp, lsn: Lsn) {
        match self.positions.back() {
            Some((_, last)) if *last == lsn => return,
            // Samples and readings come over two connections and may overtake each other.
            Some((last_at, last)) if *last > lsn && at.seconds_since(*last_at) < OVERTAKEN_SECONDS => return,
            Some((_, last)) if *last > lsn => self.positions.clear(),
            _ => {}
        }
        self.positions.push_back((at, lsn));
        if self.positions.len() > RING {
            self.positions.pop_front();
        }
    }

    /// Newest position.
    pub fn newest(&self) -> Option<Lsn> {
        self.positions.back().map(|position| position.1)
    }

    /// Seconds that `replayed` is behind at `now`: zero when nothing newer is known.
    pub fn lag_seconds(&self, replayed: Lsn, now: Timestamp) -> f64 {
        let first_newer = self.positions.partition_point(|(_, lsn)| *lsn <= replayed);
        self.positions.get(first_newer).map_or(0.0, |(at, _)| now.seconds_since(*at).max(0.0))
    }
}

/// The standbys of one primary, those seen before included.
#[derive(Clone, Debug, Default)]
pub struct Replicas {
    ring: LsnRing,
    seen: BTreeMap<String, (Timestamp, Option<Lsn>)>,
    /// Names that standbys of several machines had at once.
    shared: BTreeSet<String>,
    now: Vec<ReplicaView>,
}

/// A standby that is gone is missed until it is back or a person says that it will not come back: one that was only
/// forgotten would end its alert, and nobody would know that the copy is not there. Of more than so many, as where each
/// start makes a new name, the one that has been gone longest is given up.
const MISSED_AT_MOST: usize = 200;
/// A lag below this is shown as streaming, above as catching up.
const CATCHING_UP_SECONDS: f64 = 5.0;

impl Replicas {
    /// Notes a position of the primary between readings, so that the ring is finer than the tick.
    pub fn position(&mut self, at: Timestamp, lsn: Lsn) {
        self.ring.push(at, lsn);
    }

    /// Standbys that share a name, as all do that were given none, are told apart by their address. A name that was seen to be
    /// shared stays so: when one of two goes, the other must not look like a third. Two senders to one address are a standby
    /// that has come back before its old connection was given up.
    pub fn tell_apart(&mut self, reading: &mut ReplicationReading) {
        let mut addresses = BTreeMap::<&str, &Option<String>>::new();
        for sender in &reading.senders {
            let first = *addresses.entry(&sender.name).or_insert(&sender.client_address);
            if *first != sender.client_address && self.shared.insert(sender.name.clone()) {
                self.seen.remove(&sender.name);
            }
        }
        for sender in reading.senders.iter_mut().filter(|sender| self.shared.contains(&sender.name)) {
            let address = sender.client_address.as_deref().unwrap_or("local");
            sender.name = format!("{} ({address})", sender.name);
        }
    }

    /// One that was there, or missed, before a restart of ours: until it is seen it is not back. What was seen of it since is
    /// not overwritten.
    pub fn know(&mut self, standby: KnownStandby) {
        // Kept by a version that took these for standbys: it would be missed for ever, its name does not come again.
        if copies_a_table(&standby.name) {
            return;
        }
        if standby.by_address
            && let Some(shared) = shared_name(&standby.name)
            && self.shared.insert(shared.to_owned())
        {
            self.seen.remove(shared);
        }
        self.seen.entry(standby.name).or_insert((standby.seen_at, standby.replayed));
    }

    /// Those that are there or missed, by name: what a restart of ours must not forget.
    pub fn known(&self) -> Vec<KnownStandby> {
        let known = self.seen.iter().map(|(name, (seen_at, replayed))| KnownStandby {
            name: name.clone(),
            seen_at: *seen_at,
            replayed: *replayed,
            by_address: shared_name(name).is_some_and(|shared| self.shared.contains(shared)),
        });
        known.collect()
    }

    /// Takes a reading of the primary.
    pub fn advance(&mut self, reading: &ReplicationReading, at: Timestamp) {
        if let Some(lsn) = reading.current_lsn {
            self.ring.push(at, lsn);
        }
        let mut views = Vec::new();
        for sender in reading.senders.iter().filter(|sender| sender.state != "backup" && sender.state != "startup") {
            // What never replayed is no standby, and is not missed when it ends. Nor is a subscriber, whose slot says that it is
            // gone, and what copies a table for one.
            let standby = sender.replay_lsn.is_some() && !sender.logical && !copies_a_table(&sender.name);
            let physical = |other: &Sender| other.name == sender.name && !other.logical;
            if sender.logical && !reading.senders.iter().any(physical) {
                // Kept by a version that took subscribers for standbys: it would be missed when it ends.
                self.seen.remove(&sender.name);
            } else if standby || self.seen.contains_key(&sender.name) {
                self.seen.insert(sender.name.clone(), (at, sender.replay_lsn));
            }
            let newest = self.ring.newest();
            let bytes = newest.zip(sender.replay_lsn).map(|(newest, replayed)| newest.bytes_since(replayed).max(0));
            let seconds = sender.replay_lsn.map(|replayed| self.ring.lag_seconds(replayed, at));
            let state = match (bytes, seconds) {
                (Some(0), _) => ReplicaState::Idle,
                (_, Some(seconds)) if seconds > CATCHING_UP_SECONDS || sender.state == "catchup" => {
                    ReplicaState::CatchingUp
                }
                (_, Some(_)) => ReplicaState::Streaming,
                (_, None) if self.seen.contains_key(&sender.name) => ReplicaState::Unknown,
                (_, None) => ReplicaState::Receiving,
            };
            views.push(ReplicaView { name: sender.name.clone(), state, lag_seconds: seconds, lag_bytes: bytes });
        }
        self.give_up_beyond(MISSED_AT_MOST, at);
        for (name, (last, replayed)) in &self.seen {
            if views.iter().any(|view| view.name == *name) {
                continue;
            }
            // At least as old as our last sight of it, or as what it had replayed by then.
            let since =
                replayed.map_or(0.0, |replayed| self.ring.lag_seconds(replayed, at)).max(at.seconds_since(*last));
            let bytes = self.ring.newest().zip(*replayed).map(|(newest, replayed)| newest.bytes_since(replayed).max(0));
            views.push(ReplicaView {
                name: name.clone(),
                state: ReplicaState::Disconnected,
                lag_seconds: Some(since),
                lag_bytes: bytes,
            });
        }
        // Of two connections of one standby the newer is the one that got further.
        let behind = |view: &ReplicaView| (view.lag_bytes.is_none(), view.lag_bytes);
        views.sort_by(|a, b| a.name.cmp(&b.name).then(behind(a).cmp(&behind(b))));
        views.dedup_by(|later, kept| later.name == kept.name);
        self.now = views;
    }

    /// Of those that are not there at `at`, keeps so many.
    fn give_up_beyond(&mut self, most: usize, at: Timestamp) {
        if self.seen.len() <= most {
            return;
        }
        let gone = self.seen.iter().filter(|(_, (last, _))| *last < at);
        let mut gone = gone.map(|(name, (last, _))| (*last, name.clone())).collect::<Vec<_>>();
        gone.sort();
        for (_, name) in gone.iter().take(gone.len().saturating_sub(most)) {
            self.seen.remove(name);
        }
    }

    /// A person says that a standby will not come back: it is missed no longer. Whether it was missed: one that streams
    /// stays.
    pub fn forget(&mut self, name: &str) -> bool {
        let missed = self.gone_since(name).is_some();
        if missed {
            self.seen.remove(name);
            self.now.retain(|view| view.name != name);
        }
        missed
    }

    /// When a standby that is gone was seen last; `None` while it is there, and for one that is not known.
    pub fn gone_since(&self, name: &str) -> Option<Timestamp> {
        let gone = self.now.iter().any(|view| view.name == name && view.state == ReplicaState::Disconnected);
        self.seen.get(name).filter(|_| gone).map(|(last, _)| *last)
    }

    /// The standbys by name.
    pub fn views(&self) -> &[ReplicaView] {
        &self.now
    }

    /// Forgets all: the server became another.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What several standbys are called of which `name` is one, as [`Replicas::tell_apart`] has it.
fn shared_name(name: &str) -> Option<&str> {
    name.rsplit_once(" (").map(|(shared, _)| shared)
}

/// Whether a sender is called as those that copy a table for a logical subscription, each under a name of its own and until
/// the table is there: `pg_16394_sync_16387_7012345678901234567`, up to PostgreSQL 13 `orders_16394_sync_16387`.
fn copies_a_table(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((of, table)) = name.rsplit_once("_sync_") else { return false };
    of.rsplit_once('_').is_some_and(|(_, subscription)| number(subscription)) && table.split('_').all(number)
}

/// What a standby that is watched itself is called on its own pages.
pub const THIS_SERVER: &str = "this server";

/// A standby's view of itself, when its primary is not asked: only states that are certain.
pub fn of_standby(reading: &ReplicationReading) -> Option<ReplicaView> {
    let standby = reading.standby.as_ref()?;
    let bytes =
        standby.receive_lsn.zip(standby.replay_lsn).map(|(received, replayed)| received.bytes_since(replayed).max(0));
    let (state, seconds) = match &standby.receiver {
        None => (ReplicaState::Disconnected, standby.last_replay_seconds),
        Some(_) if bytes == Some(0) => (ReplicaState::Idle, Some(0.0)),
        Some(_) => (ReplicaState::Streaming, standby.last_replay_seconds),
    };
    Some(ReplicaView { name: THIS_SERVER.to_owned(), state, lag_seconds: seconds, lag_bytes: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(current: u64, replay: Option<u64>) -> ReplicationReading {
        let senders = replay.map(|replay| Sender {
            name: "r1".into(),
            state: "streaming".into(),
            replay_lsn: Some(Lsn(replay)),
            ..Sender::default()
        });
        ReplicationReading {
            current_lsn: Some(Lsn(current)),
            senders: senders.into_iter().collect(),
            ..ReplicationReading::default()
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    #[test]
    fn an_idle_primary_makes_no_lag() {
        let mut replicas = Replicas::default();
        for second in 0..1_000 {
            replicas.advance(&reading(500, Some(500)), at(second));
        }
        assert_eq!(
            replicas.views(),
            [ReplicaView { name: "r1".into(), state: ReplicaState::Idle, lag_seconds: Some(0.0), lag_bytes: Some(0) }]
        );
    }

    #[test]
    fn a_paused_standby_falls_behind_by_the_true_time() {
        let mut replicas = Replicas::default();
        for second in 0..=60 {
            // The primary writes 10 bytes a second; replay stops at 100, reached in second 10.
            replicas.advance(&reading(10 * second, Some((10 * second).min(100))), at(second as i64));
        }
        let view = &replicas.views()[0];
        assert_eq!((view.state, view.lag_bytes), (ReplicaState::CatchingUp, Some(500)));
        // 110 was passed in second 11.
        assert_eq!(view.lag_seconds, Some(49.0));
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_make_a_paused_standby_look_well() {
        let mut ring = LsnRing::default();
        for second in 0..30 {
            ring.push(Timestamp(second * 1_000), Lsn(100 + second.unsigned_abs() * 10));
            // The reading's own position, from a moment before the sample.
            ring.push(Timestamp(second * 1_000 + 5), Lsn(100 + second.unsigned_abs() * 10 - 1));
        }
        assert_eq!(ring.lag_seconds(Lsn(100), Timestamp(30_000)), 29.0);
        // After a failover the lower position stays.
        ring.push(Timestamp(45_000), Lsn(50));
        assert_eq!(ring.newest(), Some(Lsn(50)));
    }

    #[test]
    fn what_takes_wal_and_replays_none_is_no_standby_and_not_missed() {
        let mut replicas = Replicas::default();
        let mut with_backup = reading(100, Some(100));
        with_backup.senders.push(Sender {
            name: "pg_receivewal".into(),
            state: "streaming".into(),
            ..Sender::default()
        });
        replicas.advance(&with_backup, at(0));
        let states = replicas.views().iter().map(|it| (it.name.as_str(), it.state)).collect::<Vec<_>>();
        assert_eq!(states, [("pg_receivewal", ReplicaState::Receiving), ("r1", ReplicaState::Idle)]);
        replicas.advance(&reading(200, Some(200)), at(60));
        assert_eq!(replicas.views().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["r1"]);
        // A standby that was known is one also while it tells nothing.
        let mut silent = reading(200, None);
        silent.senders.push(Sender { name: "r1".into(), state: "catchup".into(), ..Sender::default() });
        replicas.advance(&silent, at(61));
        assert_eq!(replicas.views()[0].state, ReplicaState::Unknown);
    }

    #[test]
    fn subscribers_and_what_copies_a_table_for_one_are_shown_and_not_missed() {
        let mut replicas = Replicas::default();
        let mut copying = reading(100, Some(100));
        let names = ["pg_16394_sync_16387_7012345678901234567", "orders_16394_sync_16387", "orders"];
        copying.senders.extend(names.map(|name| Sender {
            name: name.into(),
            state: "streaming".into(),
            replay_lsn: Some(Lsn(90)),
            logical: name == "orders",
            ..Sender::default()
        }));
        replicas.advance(&copying, at(0));
        assert_eq!(replicas.views().len(), 4, "all are shown");
        replicas.advance(&reading(200, Some(200)), at(60));
        assert_eq!(
            replicas.views().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
            ["r1"],
            "that a subscriber is gone its slot says"
        );
        // One that was taken for a standby is none as soon as it is seen to be a subscriber.
        replicas.know(KnownStandby { name: "orders".into(), seen_at: at(0), replayed: None, by_address: false });
        replicas.advance(&copying, at(70));
        assert_eq!(replicas.known().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["r1"]);
        for standby in ["db_sync_2", "sync", "pg_sync_1", "node_1_sync_west"] {
            assert!(!copies_a_table(standby), "{standby}");
        }
    }

    #[test]
    fn subscribers_that_an_older_version_took_for_standbys_are_missed_no_longer() {
        let mut replicas = Replicas::default();
        let known =
            |name: &str| KnownStandby { name: name.into(), seen_at: at(0), replayed: Some(Lsn(90)), by_address: false };
        let names = ["orders", "pg_16394_sync_16387_7012345678901234567", "r1"];
        names.into_iter().for_each(|name| replicas.know(known(name)));
        let mut subscribed = reading(100, Some(100));
        subscribed.senders.push(Sender {
            name: "orders".into(),
            state: "streaming".into(),
            replay_lsn: Some(Lsn(100)),
            logical: true,
            ..Sender::default()
        });
        replicas.advance(&subscribed, at(10));
        assert_eq!(replicas.views().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["orders", "r1"]);
        assert_eq!(replicas.known().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["r1"]);
        replicas.advance(&reading(100, Some(100)), at(20));
        assert_eq!(replicas.views().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["r1"]);
        // A standby that has the name of a subscriber is one still.
        subscribed.senders.push(Sender { logical: false, ..subscribed.senders[1].clone() });
        replicas.advance(&subscribed, at(30));
        replicas.advance(&reading(100, Some(100)), at(40));
        assert_eq!(
            (replicas.views()[0].name.as_str(), replicas.views()[0].state),
            ("orders", ReplicaState::Disconnected)
        );
    }

    #[test]
    fn standbys_that_share_a_name_are_told_apart_by_their_address() {
        use ReplicaState::{Disconnected, Idle, Streaming};
        let sender = |address: &str, replay| Sender {
            name: "walreceiver".into(),
            client_address: Some(address.into()),
            state: "streaming".into(),
            replay_lsn: Some(Lsn(replay)),
            ..Sender::default()
        };
        let mut replicas = Replicas::default();
        let mut step = |senders: Vec<Sender>, second| {
            let mut reading =
                ReplicationReading { current_lsn: Some(Lsn(500)), senders, ..ReplicationReading::default() };
            replicas.tell_apart(&mut reading);
            replicas.advance(&reading, at(second));
            replicas.views().iter().map(|view| (view.name.clone(), view.state)).collect::<Vec<_>>()
        };
        let named = |name: &str, state| (name.to_owned(), state);
        assert_eq!(step(vec![sender("10.0.0.7", 500)], 0), [named("walreceiver", Idle)]);
        // It has come back, and its old connection is not given up yet.
        let twice = vec![sender("10.0.0.7", 400), sender("10.0.0.7", 500)];
        assert_eq!(step(twice, 1), [named("walreceiver", Idle)]);
        let both = vec![sender("10.0.0.7", 500), sender("10.0.0.8", 400)];
        assert_eq!(step(both, 2), [named("walreceiver (10.0.0.7)", Idle), named("walreceiver (10.0.0.8)", Streaming)]);
        // One of two that is gone is missed, and the other is still who it was.
        assert_eq!(
            step(vec![sender("10.0.0.7", 500)], 3),
            [named("walreceiver (10.0.0.7)", Idle), named("walreceiver (10.0.0.8)", Disconnected)]
        );
    }

    #[test]
    fn what_was_there_before_a_restart_of_ours_is_missing_until_it_is_seen() {
        let mut before = Replicas::default();
        before.advance(&reading(90, Some(90)), at(0));
        let known = before.known();
        assert_eq!(known.iter().map(|it| (it.name.as_str(), it.seen_at)).collect::<Vec<_>>(), [("r1", at(0))]);
        let mut replicas = Replicas::default();
        let know = |replicas: &mut Replicas| known.iter().for_each(|standby| replicas.know(standby.clone()));
        know(&mut replicas);
        replicas.advance(&reading(100, None), at(40));
        let view = &replicas.views()[0];
        assert_eq!(
            (view.state, view.lag_seconds, view.lag_bytes),
            (ReplicaState::Disconnected, Some(40.0), Some(10)),
            "what it lacks is known as well"
        );
        assert_eq!(replicas.known(), known, "still missed, it was not seen since");
        replicas.advance(&reading(100, Some(100)), at(41));
        assert_eq!(replicas.views()[0].state, ReplicaState::Idle);
        // What was seen meanwhile counts.
        know(&mut replicas);
        replicas.advance(&reading(100, None), at(42));
        assert_eq!(replicas.views()[0].lag_seconds, Some(1.0));
        // Given up it is none that is known.
        assert!(replicas.forget("r1") && replicas.known().is_empty());
    }

    #[test]
    fn of_two_that_shared_a_name_the_one_that_is_left_after_a_restart_of_ours_is_who_it_was() {
        let sender = |address: &str| Sender {
            name: "walreceiver".into(),
            client_address: Some(address.into()),
            state: "streaming".into(),
            replay_lsn: Some(Lsn(500)),
            ..Sender::default()
        };
        let reading = |addresses: &[&str]| ReplicationReading {
            current_lsn: Some(Lsn(500)),
            senders: addresses.iter().map(|address| sender(address)).collect(),
            ..ReplicationReading::default()
        };
        let mut before = Replicas::default();
        let mut both = reading(&["10.0.0.7", "10.0.0.8"]);
        before.tell_apart(&mut both);
        before.advance(&both, at(0));
        // Read before it was known who there was.
        let mut replicas = Replicas::default();
        let mut one = reading(&["10.0.0.7"]);
        replicas.tell_apart(&mut one);
        replicas.advance(&one, at(10));
        before.known().into_iter().for_each(|standby| replicas.know(standby));
        replicas.tell_apart(&mut one);
        replicas.advance(&one, at(10));
        let states = replicas.views().iter().map(|it| (it.name.as_str(), it.state)).collect::<Vec<_>>();
        assert_eq!(
            states,
            [("walreceiver (10.0.0.7)", ReplicaState::Idle), ("walreceiver (10.0.0.8)", ReplicaState::Disconnected)]
        );
    }

    #[test]
    fn a_cut_standby_is_disconnected_and_its_lag_grows_even_when_the_primary_idles() {
        let mut replicas = Replicas::default();
        replicas.advance(&reading(100, Some(100)), at(0));
        for second in 1..=30 {
            replicas.advance(&reading(100, None), at(second));
        }
        assert_eq!(replicas.views()[0].state, ReplicaState::Disconnected);
        assert_eq!(replicas.views()[0].lag_seconds, Some(30.0));
        replicas.advance(&reading(100, Some(100)), at(31));
        assert_eq!(replicas.views()[0].state, ReplicaState::Idle);
    }

    #[test]
    fn a_standby_that_is_gone_is_missed_until_it_is_back_or_a_person_says_that_it_is_gone_for_good() {
        const DAY: i64 = 86_400;
        let mut replicas = Replicas::default();
        replicas.advance(&reading(100, Some(100)), at(0));
        assert_eq!((replicas.gone_since("r1"), replicas.forget("r1")), (None, false), "it streams");
        replicas.advance(&reading(100, None), at(30 * DAY));
        assert_eq!(replicas.views()[0].state, ReplicaState::Disconnected);
        assert_eq!(replicas.gone_since("r1"), Some(at(0)));
        replicas.advance(&reading(100, Some(100)), at(30 * DAY + 1));
        assert_eq!((replicas.views()[0].state, replicas.gone_since("r1")), (ReplicaState::Idle, None));
        replicas.advance(&reading(100, None), at(30 * DAY + 2));
        assert!(replicas.forget("r1") && replicas.views().is_empty());
        replicas.advance(&reading(100, None), at(30 * DAY + 3));
        assert!(replicas.views().is_empty(), "it comes back only when it streams again");
        replicas.advance(&reading(100, Some(100)), at(30 * DAY + 4));
        assert_eq!(replicas.views().len(), 1);
    }

    #[test]
    fn of_very_many_that_are_gone_the_last_are_missed() {
        let mut replicas = Replicas::default();
        for second in 0..300 {
            let mut one = reading(100, Some(100));
            one.senders[0].name = format!("pod-{second:03}");
            replicas.advance(&one, at(second));
        }
        replicas.advance(&reading(100, Some(100)), at(300));
        assert_eq!(replicas.views().len(), MISSED_AT_MOST + 1);
        assert_eq!(replicas.views()[0].name, "pod-100");
    }
}
