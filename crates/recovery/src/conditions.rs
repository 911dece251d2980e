//! What is known of backup and recovery, told to the book of alerts.
use analysis::recovery::ProtectionInput;
use control::{Catalogue, ControlPlane, Slot, alerts::Notice};
use domain::{Timestamp, format, view::Objectives};
use std::time::Duration;

/// The judgement comes round every two seconds; who was not heard of for so long is not known.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// A backup that ended longer ago is no news, also not after a restart. Within that time the notice is still open, and
/// telling it again changes nothing.
const NEWS_SECONDS: f64 = 3_600.0;

/// Tells the engine what is so; it judges at its next tick.
pub(crate) fn tell(
    control: &ControlPlane,
    slot: &Slot,
    input: &ProtectionInput,
    objectives: Objectives,
    catalogue: &Catalogue,
    at: Timestamp,
) {
    let (book, cluster) = (control.alerts(), slot.config.cluster.as_str());
    for (rule, observed) in analysis::conditions::conditions(input, objectives) {
        book.observe(cluster, rule, observed, GOOD_FOR);
    }
    let news = catalogue.backups.iter().rev().take_while(|one| at.seconds_since(one.stopped_at) < NEWS_SECONDS);
    for one in news {
        let stats = &one.stats;
        let measured = format!(
            "{} backup of {} in {}, {} stored",
            one.kind,
            format::bytes(stats.bytes as f64),
            format::duration_s(stats.duration_ms as f64 / 1e3),
            format::bytes(stats.stored_bytes as f64)
        );
        book.notice(cluster, Notice::new("backup_finished", one.id.clone(), measured));
    }
}
