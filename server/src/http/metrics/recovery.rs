//! The figures of backup and recovery: what was verified, what is promised, jobs, gaps and keys.
use super::{family, seconds};
use control::{Catalogue, ControlPlane, ProtectionStatus};
use domain::view::{Dashboard, JobKind, JobState};
use std::sync::Arc;

type OfStatus = fn(&ProtectionStatus) -> Option<f64>;
type OfCatalogue = fn(&Catalogue) -> f64;

const STATUS: [(&str, &str, OfStatus); 4] = [
    ("holdfast_verification_timestamp_seconds", "End of the newest verification of a backup.", |it| {
        it.verified.map(|it| seconds(it.0))
    }),
    ("holdfast_verification_ok", "Whether the newest verification was done and found nothing wrong.", |it| {
        it.verified.map(|it| f64::from(u8::from(it.1)))
    }),
    ("holdfast_objective_rpo_seconds", "Most work that may be lost.", |it| it.objectives.map(|it| it.rpo_seconds)),
    ("holdfast_objective_rto_seconds", "Longest time that a restore may take.", |it| {
        it.objectives.map(|it| it.rto_seconds)
    }),
];

const CATALOGUE: [(&str, &str, OfCatalogue); 2] = [
    ("holdfast_recovery_gaps_open", "Gaps in the WAL after which there is no backup yet.", |it| {
        it.gaps.iter().filter(|gap| gap.to.is_none()).count() as f64
    }),
    ("holdfast_repository_keys", "Keys that open the repository.", |it| it.keys.len() as f64),
];

/// What is not known yet is left out.
pub fn write(out: &mut String, control: &ControlPlane, dashboards: &[Dashboard]) {
    let slot = |it: &Dashboard| control.recovery().slot(&it.cluster.id);
    let status = |it: &Dashboard| slot(it).map(|slot| slot.status.load_full());
    for (name, help, value) in STATUS {
        family(out, name, help, dashboards, |it| vec![(Vec::new(), status(it).and_then(|it| value(&it)))]);
    }
    let read = |it: &Dashboard| {
        slot(it).map(|slot| slot.catalogue.load_full()).filter(|it: &Arc<Catalogue>| it.read_at.is_some())
    };
    for (name, help, value) in CATALOGUE {
        family(out, name, help, dashboards, |it| vec![(Vec::new(), read(it).map(|it| value(&it)))]);
    }
    family(out, "holdfast_jobs", "Jobs that are kept, by kind and state.", dashboards, |it| {
        let Some(status) = status(it).filter(|it| it.judged_at.is_some()) else { return Vec::new() };
        let number = |kind: JobKind, state: JobState| {
            status.jobs.iter().find(|it| (it.0, it.1) == (kind, state)).map_or(0.0, |it| it.2 as f64)
        };
        let all = JobKind::ALL.into_iter().flat_map(|kind| JobState::ALL.map(|state| (kind, state)));
        all.map(|(kind, state)| {
            let labels = vec![("kind", kind.as_str().to_owned()), ("state", state.as_str().to_owned())];
            (labels, Some(number(kind, state)))
        })
        .collect()
    });
}
