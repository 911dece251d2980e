//! What the state of backup and recovery is by the rules of alerts: the same facts that make the problems of a page.
//!
//! What is not known is `None`, so that an alert that is open stays open: a repository that cannot be read neither raises
//! nor ends what is told of its content.
use crate::{alerts::Observed, recovery::ProtectionInput};
use domain::{format, view::Objectives};

/// How much later than scheduled something may be: a run takes its time, and jitter is wanted.
const PATIENCE: f64 = 1.5;
/// The same for backups, in seconds on top.
const BACKUP_PATIENCE_SECONDS: f64 = 300.0;
/// Without any backup there is no age; worse than due, and no figure that could be mistaken for one.
const NONE_AT_ALL: f64 = 2.0;

fn unknown() -> Observed {
    Observed { object: String::new(), value: None, measured: String::new(), detail: None }
}

/// A condition of the whole cluster: on with its reason, off, or not known.
fn condition(known: bool, reason: Option<&String>, measured: &str) -> Vec<Observed> {
    vec![match (reason, known) {
        (Some(reason), _) => Observed { detail: Some(reason.clone()), ..Observed::whole(1.0, measured) },
        (None, true) => Observed::whole(0.0, ""),
        (None, false) => unknown(),
    }]
}

/// An age against what its schedule promises.
fn ratio(age: Option<f64>, allowed: f64) -> Vec<Observed> {
    vec![age.filter(|_| allowed > 0.0).map_or_else(unknown, |age| aged("", age, allowed))]
}

fn aged(object: &str, age: f64, allowed: f64) -> Observed {
    let measured = format!("{} old, at most {}", format::duration_s(age), format::duration_s(allowed));
    Observed::of(object, age / allowed, measured)
}

/// Full backups, where incrementals are scheduled too: those keep the newest backup young while no full one is taken.
fn full_overdue(input: &ProtectionInput) -> Option<Observed> {
    const FULL: &str = "full backup";
    let every = input.full_every_seconds.filter(|_| input.backup_age_seconds.is_some())?;
    let none = || Observed::of(FULL, NONE_AT_ALL, "no full backup");
    let allowed = every * PATIENCE + BACKUP_PATIENCE_SECONDS;
    Some(input.full_age_seconds.map_or_else(none, |age| aged(FULL, age, allowed)))
}

/// How full the directory of the repository is. Nothing is known of what is not reached.
fn room(input: &ProtectionInput) -> [(&'static str, Vec<Observed>); 2] {
    let reached = input.repository_error.is_none();
    let full = input.used_percent.filter(|_| reached).map_or_else(unknown, |used| {
        let free = input.free_bytes.map_or_else(String::new, |free| format!(", {} free", format::bytes(free as f64)));
        Observed::whole(used, format!("{} % used{free}", format::percent(used)))
    });
    let next = input.free_bytes.zip(input.next_full_bytes).filter(|_| reached);
    let next = next.map_or_else(unknown, |(free, next)| {
        let (left, wanted) = (format::bytes(free as f64), format::bytes(next as f64));
        Observed::whole(
            next as f64 / (free as f64).max(1.0),
            format!("{left} free, the newest full backup is {wanted}"),
        )
    });
    [("repository_full", vec![full]), ("repository_room", vec![next])]
}

/// All rules that this knows of, each with all of its objects.
pub fn conditions(input: &ProtectionInput, objectives: Objectives) -> Vec<(&'static str, Vec<Observed>)> {
    let reached = input.repository_error.is_none();
    let gap = if input.nothing_restorable { "no backup leads to now" } else { "a gap" };
    let mut found = vec![
        ("repository_unreachable", condition(true, input.repository_error.as_ref(), "no answer")),
        ("backup_failed", condition(input.backup_tried, input.backup_error.as_ref(), "failed")),
        ("restore_test_failed", condition(input.test_tried, input.test_problem.as_ref(), "failed")),
        ("wal_gap", condition(reached, input.open_gap.as_ref().filter(|_| reached), gap)),
    ];
    let mut overdue = match (input.backup_age_seconds, input.backup_every_seconds) {
        (None, _) if reached => vec![Observed::whole(NONE_AT_ALL, "no backup at all")],
        (age, Some(every)) => ratio(age, every * PATIENCE + BACKUP_PATIENCE_SECONDS),
        // Nothing is scheduled, so nothing is late.
        (Some(_), None) => vec![Observed::whole(0.0, "")],
        (None, None) => vec![unknown()],
    };
    overdue.extend(full_overdue(input));
    found.push(("backup_overdue", overdue));
    if input.streams {
        let lag = input.wal_lag_seconds;
        let seen = |value: fn(f64, f64) -> f64| {
            vec![lag.map_or_else(unknown, |lag| {
                let measured =
                    format!("{} behind, RPO {}", format::duration_s(lag), format::duration_s(objectives.rpo_seconds));
                Observed {
                    detail: input.wal_error.clone(),
                    ..Observed::whole(value(lag, objectives.rpo_seconds), measured)
                }
            })]
        };
        found.push(("wal_behind", seen(|lag, _| lag)));
        found.push(("rpo_exceeded", seen(|lag, rpo| lag / rpo)));
    } else if !input.wants_stream {
        // Nothing is promised any more, so that nothing is late: what is open ends.
        found.extend([("wal_behind", Vec::new()), ("rpo_exceeded", Vec::new())]);
    }
    if reached && !input.is_directory {
        // It was moved to a store that tells no room: what is open of the directory before ends.
        found.extend([("repository_full", Vec::new()), ("repository_room", Vec::new())]);
    } else {
        found.extend(room(input));
    }
    let mut verified = condition(input.verify_tried, input.verify_error.as_ref(), "could not be done");
    verified.extend(input.verdicts.iter().map(|(backup, problem)| {
        let value = f64::from(u8::from(problem.is_some()));
        Observed {
            detail: problem.clone(),
            ..Observed::of(backup, value, if problem.is_some() { "damaged" } else { "" })
        }
    }));
    // While the list of backups cannot be read, one that is missing in it is not gone.
    if reached {
        found.push(("verification_failed", verified));
    }
    found.push((
        "restore_test_overdue",
        // A new cluster owes its first proof when its first backup is as old as a test may be. Without a schedule none is
        // owed, and what is open ends.
        input.test_every_seconds.map_or_else(Vec::new, |every| {
            ratio(input.test_age_seconds.or(input.oldest_backup_age_seconds), every * PATIENCE)
        }),
    ));
    let drills = input.drills.iter().map(|(name, problem)| {
        let value = f64::from(u8::from(problem.is_some()));
        Observed { detail: problem.clone(), ..Observed::of(name, value, if problem.is_some() { "failed" } else { "" }) }
    });
    found.push(("drill_failed", drills.collect()));
    let due = input.drills_due.iter().map(|(name, age, every)| {
        let allowed = every * PATIENCE;
        let measured = format!("{} ago, at most {}", format::duration_s(*age), format::duration_s(allowed));
        Observed::of(name, age / allowed.max(1.0), measured)
    });
    found.push(("drill_overdue", due.collect()));
    found.push(("plan_waits", condition(true, input.waiting.as_ref(), "waits")));
    found.push((
        "rto_forecast",
        vec![input.forecast_seconds.map_or_else(unknown, |seconds| {
            let limit = objectives.rto_seconds;
            Observed::whole(
                seconds / limit,
                format!("restore now: {}, limit {}", format::duration_s(seconds), format::limit_s(limit)),
            )
        })],
    ));
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OBJECTIVES: Objectives = Objectives { rpo_seconds: 60.0, rto_seconds: 900.0 };

    fn sound() -> ProtectionInput {
        ProtectionInput {
            backup_age_seconds: Some(600.0),
            oldest_backup_age_seconds: Some(86_400.0),
            backup_every_seconds: Some(3_600.0),
            full_age_seconds: Some(80_000.0),
            full_every_seconds: Some(86_400.0),
            backup_tried: true,
            wants_stream: true,
            streams: true,
            wal_lag_seconds: Some(0.0),
            is_directory: true,
            free_bytes: Some(100 << 30),
            used_percent: Some(40.0),
            next_full_bytes: Some(1 << 30),
            test_tried: true,
            test_age_seconds: Some(3_600.0),
            test_every_seconds: Some(86_400.0),
            verify_tried: true,
            verdicts: vec![("a".to_owned(), None)],
            forecast_seconds: Some(580.0),
            drills: vec![("drill of plan 'standard'".to_owned(), None)],
            drills_due: vec![("drill of plan 'standard'".to_owned(), 86_400.0, 86_400.0)],
            ..ProtectionInput::default()
        }
    }

    /// Whether a rule is breached as shipped; `None`: not known.
    fn breached(input: &ProtectionInput, key: &str) -> Option<bool> {
        let found = conditions(input, OBJECTIVES);
        let seen = &found.iter().find(|(rule, _)| *rule == key)?.1;
        let level = crate::alerts::rule(key).unwrap().default_settings().levels[0];
        let known = seen.iter().filter_map(|it| it.value).collect::<Vec<_>>();
        (!known.is_empty()).then(|| known.iter().any(|value| *value > level.threshold))
    }

    #[test]
    fn a_sound_cluster_breaches_nothing_and_every_rule_is_one_that_is_shipped() {
        for (rule, _) in conditions(&sound(), OBJECTIVES) {
            assert_eq!(breached(&sound(), rule), Some(false), "{rule}");
        }
    }

    #[test]
    fn each_fault_breaches_its_rule() {
        let bad = || Some("why".to_owned());
        for (rule, input) in [
            ("repository_unreachable", ProtectionInput { repository_error: bad(), ..sound() }),
            ("backup_failed", ProtectionInput { backup_error: bad(), ..sound() }),
            ("backup_overdue", ProtectionInput { backup_age_seconds: Some(5_800.0), ..sound() }),
            ("backup_overdue", ProtectionInput { backup_age_seconds: None, ..sound() }),
            ("backup_overdue", ProtectionInput { full_age_seconds: Some(130_000.0), ..sound() }),
            ("backup_overdue", ProtectionInput { full_age_seconds: None, ..sound() }),
            ("wal_behind", ProtectionInput { wal_lag_seconds: Some(301.0), ..sound() }),
            ("rpo_exceeded", ProtectionInput { wal_lag_seconds: Some(61.0), ..sound() }),
            ("wal_gap", ProtectionInput { open_gap: bad(), ..sound() }),
            ("repository_full", ProtectionInput { used_percent: Some(91.0), ..sound() }),
            ("repository_room", ProtectionInput { free_bytes: Some(1 << 30), ..sound() }),
            ("verification_failed", ProtectionInput { verdicts: vec![("a".to_owned(), bad())], ..sound() }),
            ("verification_failed", ProtectionInput { verify_error: bad(), ..sound() }),
            ("restore_test_failed", ProtectionInput { test_problem: bad(), ..sound() }),
            ("restore_test_overdue", ProtectionInput { test_age_seconds: Some(130_000.0), ..sound() }),
            ("drill_failed", ProtectionInput { drills: vec![("x".to_owned(), bad())], ..sound() }),
            ("drill_overdue", ProtectionInput { drills_due: vec![("x".to_owned(), 151.0, 100.0)], ..sound() }),
            ("plan_waits", ProtectionInput { waiting: bad(), ..sound() }),
            ("rto_forecast", ProtectionInput { forecast_seconds: Some(901.0), ..sound() }),
        ] {
            assert_eq!(breached(&input, rule), Some(true), "{rule}");
        }
    }

    #[test]
    fn what_is_promised_no_more_ends_what_is_open_of_it() {
        let observed = |input: &ProtectionInput, key: &str| {
            conditions(input, OBJECTIVES).into_iter().find(|(rule, _)| *rule == key).map(|(_, seen)| seen)
        };
        // None of its objects, and that is known: whatever is open is over.
        let over = Some(Vec::<Observed>::new());
        let nothing = ProtectionInput {
            test_every_seconds: None,
            wants_stream: false,
            streams: false,
            is_directory: false,
            free_bytes: None,
            used_percent: None,
            ..sound()
        };
        for rule in ["restore_test_overdue", "wal_behind", "rpo_exceeded", "repository_full", "repository_room"] {
            assert_eq!(observed(&nothing, rule), over, "{rule}");
        }
        // A stream that is to be and of which another process knows, and a store that is away: nothing is known.
        let elsewhere = ProtectionInput { streams: false, ..sound() };
        assert_eq!(observed(&elsewhere, "wal_behind"), None);
        let away = ProtectionInput { repository_error: Some("gone".to_owned()), ..nothing };
        assert_eq!(breached(&away, "repository_room"), None);
        assert_ne!(observed(&away, "repository_room"), over);
    }

    #[test]
    fn what_cannot_be_read_is_not_known_and_so_ends_nothing() {
        let away = ProtectionInput { repository_error: Some("gone".to_owned()), ..sound() };
        for rule in ["wal_gap", "repository_full", "repository_room", "verification_failed"] {
            assert_eq!(breached(&away, rule), None, "{rule}");
        }
        // Its age grows all the same.
        assert_eq!(
            breached(&ProtectionInput { backup_age_seconds: Some(9_000.0), ..away }, "backup_overdue"),
            Some(true)
        );
        let new = ProtectionInput {
            backup_tried: false,
            test_tried: false,
            forecast_seconds: None,
            wal_lag_seconds: None,
            ..sound()
        };
        for rule in ["backup_failed", "restore_test_failed", "rto_forecast", "rpo_exceeded"] {
            assert_eq!(breached(&new, rule), None, "{rule}");
        }
        // The first proof is owed when the first backup is old enough.
        let first = ProtectionInput { test_age_seconds: None, oldest_backup_age_seconds: Some(600.0), ..sound() };
        assert_eq!(breached(&first, "restore_test_overdue"), Some(false));
    }
}
