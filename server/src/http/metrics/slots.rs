//! Replication slots: what they keep, and whether that is at risk.
use super::family;
use control::ControlPlane;
use domain::view::{Dashboard, SlotRow};

type OfSlot = fn(&SlotRow) -> Option<f64>;

const FAMILIES: [(&str, &str, OfSlot); 4] = [
    ("holdfast_replication_slot_active", "Whether somebody uses the slot.", |it| Some(f64::from(u8::from(it.active)))),
    ("holdfast_replication_slot_retained_bytes", "WAL that is kept for the slot.", |it| {
        it.retained_bytes.map(|bytes| bytes as f64)
    }),
    ("holdfast_replication_slot_safe_bytes", "WAL that may still be written before the slot is lost.", |it| {
        it.safe_wal_bytes.map(|bytes| bytes as f64)
    }),
    ("holdfast_replication_slot_at_risk", "Whether WAL of the slot may go, or is gone.", |it| {
        it.wal_status.as_ref().map(|status| f64::from(u8::from(matches!(status.as_str(), "unreserved" | "lost"))))
    }),
];

pub(super) fn write(out: &mut String, control: &ControlPlane, dashboards: &[Dashboard]) {
    for (name, help, value) in FAMILIES {
        family(out, name, help, dashboards, |it| {
            let Ok((_, snapshot)) = control.clusters().find(Some(&it.cluster.id)) else { return Vec::new() };
            snapshot.replication.slots.iter().map(|slot| (vec![("slot", slot.name.clone())], value(slot))).collect()
        });
    }
}
