//! Who is the primary, and which replicas may be read: decided from what was seen last, without input or output.
use crate::probe::Reading;
use std::time::Duration;

/// What stays from one decision to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// The newest timeline that was written to. A primary of an older one comes from before a failover.
    pub(crate) timeline: u32,
    /// The cluster's identity, from its first primary.
    pub(crate) system: Option<String>,
}

/// What a server is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Takes writes, and reads that no replica takes.
    Primary,
    /// Takes reads.
    Replica,
    /// Answers, and is not used.
    Left(String),
    /// Does not answer.
    Down,
}

/// The outcome, in the order of the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) uses: Vec<Use>,
    /// Two servers take writes, or one from before a failover does.
    pub(crate) split_brain: Option<String>,
}

#[cfg(test)]
impl Decision {
    pub(crate) fn primary(&self) -> Option<usize> {
        self.uses.iter().position(|it| *it == Use::Primary)
    }
}

/// One server as the decision sees it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) address: &'a str,
    pub(crate) reading: Option<&'a Reading>,
    /// Where its replay was one look earlier.
    pub(crate) before: Option<domain::Lsn>,
    /// It is read from now: it may be a little worse before it is left than when it is taken.
    pub(crate) in_use: bool,
}

pub(crate) struct Limits {
    pub(crate) lag_bytes: u64,
    pub(crate) lag: Duration,
}

pub(crate) fn decide(memory: &mut Memory, nodes: &[Candidate<'_>], limits: &Limits) -> Decision {
    let mut uses = nodes.iter().map(|_| Use::Down).collect::<Vec<_>>();
    let mut split_brain = None;
    let mut writable = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        let Some(reading) = node.reading else { continue };
        if let (Some(ours), Some(theirs)) = (&memory.system, &reading.system)
            && ours != theirs
        {
            uses[i] = Use::Left("it belongs to another cluster (its system identifier differs)".to_owned());
        } else if reading.standby {
            uses[i] = Use::Left("there is no primary to compare it with".to_owned());
        } else {
            writable.push((i, reading.timeline.unwrap_or(0)));
        }
    }
    let newest = writable.iter().map(|(_, timeline)| *timeline).max().unwrap_or(0).max(memory.timeline);
    let current = writable.iter().filter(|(_, timeline)| *timeline == newest).map(|(i, _)| *i).collect::<Vec<_>>();
    for (i, timeline) in &writable {
        if *timeline < newest {
            let said = format!(
                "{} takes writes on timeline {timeline}, but timeline {newest} has begun elsewhere: it was the primary before a failover; stop it and rebuild it as a standby (pg_rewind)",
                nodes[*i].address
            );
            uses[*i] = Use::Left(said.clone());
            split_brain = Some(said);
        }
    }
    match current.as_slice() {
        [one] => uses[*one] = Use::Primary,
        [] => {}
        several => {
            let addresses = several.iter().map(|i| nodes[*i].address).collect::<Vec<_>>().join(" and ");
            let said = format!(
                "{addresses} both take writes on timeline {newest}; nothing is written until one of them is stopped"
            );
            for i in several {
                uses[*i] = Use::Left(said.clone());
            }
            split_brain = Some(said);
        }
    }
    let primary = uses.iter().position(|it| *it == Use::Primary).and_then(|i| nodes[i].reading);
    if let Some(primary) = primary {
        memory.timeline = newest;
        if memory.system.is_none() {
            memory.system.clone_from(&primary.system);
        }
    }
    for (i, node) in nodes.iter().enumerate() {
        let Some(reading) = node.reading.filter(|it| it.standby) else { continue };
        if matches!(&uses[i], Use::Left(reason) if reason.contains("another cluster")) {
            continue;
        }
        uses[i] = match unfit(reading, node, primary, memory, limits) {
            Some(reason) => Use::Left(reason),
            None => Use::Replica,
        };
    }
    // The identity may just have become known.
    if let Some(ours) = &memory.system {
        for (i, node) in nodes.iter().enumerate() {
            if uses[i] == Use::Replica
                && node.reading.and_then(|it| it.system.as_ref()).is_some_and(|theirs| theirs != ours)
            {
                uses[i] = Use::Left("it belongs to another cluster (its system identifier differs)".to_owned());
            }
        }
    }
    Decision { uses, split_brain }
}

/// Why a standby is not read from.
fn unfit(
    reading: &Reading,
    node: &Candidate<'_>,
    primary: Option<&Reading>,
    memory: &Memory,
    limits: &Limits,
) -> Option<String> {
    if let Some(timeline) = reading.timeline.filter(|timeline| *timeline < memory.timeline) {
        return Some(format!(
            "it follows timeline {timeline}, and the primary is on {}: rebuild it from the new primary",
            memory.timeline
        ));
    }
    // Whoever was taken at half the limit is kept up to the whole: it does not come and go at the edge.
    let part = if node.in_use { 1.0 } else { 0.5 };
    if let Some(primary) = primary {
        if node.before.is_some_and(|before| before > primary.lsn) {
            return Some("it has replayed what the primary never wrote: rebuild it from the primary".to_owned());
        }
        let behind = primary.lsn.0.saturating_sub(reading.lsn.0);
        if behind as f64 > limits.lag_bytes as f64 * part {
            return Some(format!("it is {behind} bytes behind the primary"));
        }
        // Old changes alone say nothing on a quiet primary: some must be missing.
        if behind > 0
            && let Some(lag) = reading.lag_seconds.filter(|lag| *lag > limits.lag.as_secs_f64() * part)
        {
            return Some(format!("it is {lag:.1} s behind the primary"));
        }
    } else if let Some(lag) = reading.lag_seconds.filter(|lag| *lag > limits.lag.as_secs_f64() * part) {
        return Some(format!("the last change it replayed is {lag:.1} s old, and there is no primary to compare with"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Lsn;

    const LIMITS: Limits = Limits { lag_bytes: 1_000, lag: Duration::from_secs(5) };

    fn primary(timeline: u32, lsn: u64) -> Reading {
        Reading {
            standby: false,
            timeline: Some(timeline),
            lsn: Lsn(lsn),
            lag_seconds: None,
            system: Some("7".to_owned()),
            usable: 97,
            processes: 1,
            may_take: 50,
        }
    }

    fn standby(timeline: u32, lsn: u64, lag: f64) -> Reading {
        Reading { standby: true, lag_seconds: Some(lag), ..primary(timeline, lsn) }
    }

    fn uses(memory: &mut Memory, a: Option<&Reading>, b: Option<&Reading>, in_use: bool) -> Decision {
        let node = |address, reading| Candidate { address, reading, before: None, in_use };
        decide(memory, &[node("a", a), node("b", b)], &LIMITS)
    }

    #[test]
    fn roles_follow_a_promotion_and_back() {
        let mut memory = Memory::default();
        let a = primary(1, 5_000);
        let decision = uses(&mut memory, Some(&a), Some(&standby(1, 5_000, 0.0)), false);
        assert_eq!(decision.uses, [Use::Primary, Use::Replica]);
        // The primary dies: the replica is still read, nothing is written.
        let decision = uses(&mut memory, None, Some(&standby(1, 5_000, 0.0)), true);
        assert_eq!((decision.primary(), &decision.uses[1]), (None, &Use::Replica));
        // It is promoted.
        assert_eq!(uses(&mut memory, None, Some(&primary(2, 6_000)), true).primary(), Some(1));
        // The old one comes back and still takes writes: it is never used, however alone it is.
        let decision = uses(&mut memory, Some(&a), Some(&primary(2, 6_000)), true);
        assert_eq!(decision.primary(), Some(1));
        assert!(decision.split_brain.is_some_and(|said| said.contains("pg_rewind")));
        let decision = uses(&mut memory, Some(&a), None, true);
        assert_eq!(decision.primary(), None);
        assert!(decision.split_brain.is_some());
        // It is rebuilt as a standby, and later promoted in its turn.
        let decision = uses(&mut memory, Some(&standby(2, 6_000, 0.0)), Some(&primary(2, 6_000)), true);
        assert_eq!(decision.uses, [Use::Replica, Use::Primary]);
        let decision = uses(&mut memory, Some(&primary(3, 7_000)), Some(&standby(3, 7_000, 0.0)), true);
        assert_eq!((decision.uses, decision.split_brain), (vec![Use::Primary, Use::Replica], None));
    }

    #[test]
    fn two_primaries_of_one_timeline_stop_all_writes() {
        let decision = uses(&mut Memory::default(), Some(&primary(1, 1)), Some(&primary(1, 1)), false);
        assert_eq!(decision.primary(), None);
        assert!(decision.split_brain.is_some_and(|said| said.contains("a and b")));
    }

    #[test]
    fn a_lagging_replica_is_left_late_and_taken_back_early() {
        let mut memory = Memory::default();
        let a = primary(1, 10_000);
        let left =
            |memory: &mut Memory, b: Reading, in_use| uses(memory, Some(&a), Some(&b), in_use).uses[1] != Use::Replica;
        assert!(!left(&mut memory, standby(1, 9_100, 0.0), true));
        assert!(left(&mut memory, standby(1, 8_900, 0.0), true));
        assert!(left(&mut memory, standby(1, 9_100, 0.0), false), "half the limit before it is taken back");
        assert!(!left(&mut memory, standby(1, 9_600, 0.0), false));
        assert!(left(&mut memory, standby(1, 9_999, 6.0), true));
        assert!(!left(&mut memory, standby(1, 10_000, 600.0), true), "nothing is missing on a quiet primary");
    }

    #[test]
    fn strangers_and_diverged_standbys_are_not_read() {
        let a = primary(2, 10_000);
        let stranger = Reading { system: Some("8".to_owned()), ..standby(2, 10_000, 0.0) };
        let mut memory = Memory::default();
        assert!(
            matches!(&uses(&mut memory, Some(&a), Some(&stranger), false).uses[1], Use::Left(why) if why.contains("another cluster"))
        );
        assert!(
            matches!(&uses(&mut memory, Some(&a), Some(&stranger), false).uses[1], Use::Left(why) if why.contains("another cluster"))
        );
        assert!(
            matches!(&uses(&mut memory, Some(&a), Some(&standby(1, 9_999, 0.0)), false).uses[1], Use::Left(why) if why.contains("timeline 1"))
        );
        let b = standby(2, 10_500, 0.0);
        let nodes = [
            Candidate { address: "a", reading: Some(&a), before: None, in_use: true },
            Candidate { address: "b", reading: Some(&b), before: Some(Lsn(10_400)), in_use: true },
        ];
        assert!(matches!(&decide(&mut memory, &nodes, &LIMITS).uses[1], Use::Left(why) if why.contains("never wrote")));
    }
}
