//! Rates of WAL, checkpoints and I/O, ages of transaction ids.
use crate::delta;
use domain::{
    reading::{CheckpointCounters, DatabaseReading, IoReading, WalReading},
    view::{CheckpointsView, IoRow, WalView, XidRow},
};

/// Where the server stops to protect itself: two to the 31st, less the three million it keeps for repair.
const WRAPAROUND: f64 = 2_144_483_648.0;
/// A share of fewer checkpoints says nothing (Dasha's rule).
const CHECKPOINTS_AT_LEAST: i64 = 10;

/// Databases by the age of their oldest transaction id.
pub fn ages(reading: &DatabaseReading, freeze_max_age: Option<i64>) -> Vec<XidRow> {
    let mut rows = reading
        .rows
        .iter()
        .filter_map(|row| {
            let age = row.xid_age?;
            Some(XidRow {
                database: row.name.clone(),
                age,
                wraparound_percent: 100.0 * age as f64 / WRAPAROUND,
                freeze_percent: freeze_max_age.filter(|most| *most > 0).map(|most| 100.0 * age as f64 / most as f64),
            })
        })
        .collect::<Vec<_>>();
    rows.sort_by(|a, b| b.age.cmp(&a.age).then_with(|| a.database.cmp(&b.database)));
    rows
}

/// Checkpoints since the counters began.
pub fn checkpoints(counters: &CheckpointCounters) -> CheckpointsView {
    let all = counters.timed + counters.requested;
    let each = |ms: f64| (all > 0).then(|| ms / all as f64);
    CheckpointsView {
        timed: counters.timed,
        requested: counters.requested,
        requested_percent: (all >= CHECKPOINTS_AT_LEAST).then(|| 100.0 * counters.requested as f64 / all as f64),
        write_ms_each: each(counters.write_ms),
        sync_ms_each: each(counters.sync_ms),
        since: counters.stats_reset,
    }
}

/// Checkpoints between two readings: by the clock, and asked for.
pub fn checkpoints_between(before: &CheckpointCounters, after: &CheckpointCounters) -> (i64, i64) {
    let reset = before.stats_reset != after.stats_reset;
    (delta::of(before.timed, after.timed, reset).value, delta::of(before.requested, after.requested, reset).value)
}

/// WAL between two readings.
pub fn wal(before: Option<(&WalReading, f64)>, after: &WalReading, bytes_per_second: Option<f64>) -> WalView {
    let rates = before.filter(|(_, seconds)| *seconds > 0.0).and_then(|(before, seconds)| {
        let (then, now) = (before.wal.as_ref()?, after.wal.as_ref()?);
        let reset = then.stats_reset != now.stats_reset;
        let rate = |then, now| delta::of(then, now, reset).value as f64 / seconds;
        Some([
            rate(then.records, now.records),
            rate(then.full_page_images, now.full_page_images),
            rate(then.buffers_full, now.buffers_full),
        ])
    });
    let archiver = after.archiver.as_ref();
    WalView {
        bytes_per_second,
        records_per_second: rates.map(|it| it[0]),
        full_page_images_per_second: rates.map(|it| it[1]),
        buffers_full_per_second: rates.map(|it| it[2]),
        archived: archiver.map(|it| it.archived),
        archive_failures: archiver.map(|it| it.failed),
        last_archived_at: archiver.and_then(|it| it.last_archived_at),
        archiving: archiver.map(|it| it.enabled),
    }
}

/// I/O between two readings, the busiest kind first. A row that is new is as old as its counters.
pub fn io(before: &IoReading, after: &IoReading, seconds: f64, timed: bool) -> Vec<IoRow> {
    if seconds <= 0.0 {
        return Vec::new();
    }
    let mut rows = after
        .rows
        .iter()
        .map(|now| {
            let then = before.rows.iter().find(|row| {
                row.backend_type == now.backend_type && row.object == now.object && row.context == now.context
            });
            let reset = then.is_some_and(|then| then.stats_reset != now.stats_reset);
            let rate = |then: Option<i64>, now: Option<i64>| {
                now.map(|now| delta::of(then.unwrap_or(0), now, reset).value as f64 / seconds)
            };
            let time = |then: Option<f64>, now: Option<f64>| {
                now.filter(|_| timed).map(|now| delta::of_float(then.unwrap_or(0.0), now, reset).value / seconds)
            };
            IoRow {
                backend_type: now.backend_type.clone(),
                object: now.object.clone(),
                context: now.context.clone(),
                read_bytes_per_second: rate(then.and_then(|it| it.read_bytes), now.read_bytes),
                write_bytes_per_second: rate(then.and_then(|it| it.write_bytes), now.write_bytes),
                extend_bytes_per_second: rate(then.and_then(|it| it.extend_bytes), now.extend_bytes),
                hits_per_second: rate(then.and_then(|it| it.hits), now.hits),
                evictions_per_second: rate(then.and_then(|it| it.evictions), now.evictions),
                fsyncs_per_second: rate(then.and_then(|it| it.fsyncs), now.fsyncs),
                read_ms_per_second: time(then.and_then(|it| it.read_ms), now.read_ms),
                write_ms_per_second: time(then.and_then(|it| it.write_ms), now.write_ms),
            }
        })
        .collect::<Vec<_>>();
    let bytes = |row: &IoRow| {
        row.read_bytes_per_second.unwrap_or(0.0)
            + row.write_bytes_per_second.unwrap_or(0.0)
            + row.extend_bytes_per_second.unwrap_or(0.0)
    };
    let hits = |row: &IoRow| row.hits_per_second.unwrap_or(0.0);
    rows.sort_by(|a, b| bytes(b).total_cmp(&bytes(a)).then(hits(b).total_cmp(&hits(a))));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Timestamp, reading::IoCounters};

    #[test]
    fn the_share_of_a_few_checkpoints_is_not_told() {
        let of =
            |timed, requested| checkpoints(&CheckpointCounters { timed, requested, ..CheckpointCounters::default() });
        assert_eq!(of(5, 4).requested_percent, None);
        assert_eq!(of(5, 5).requested_percent, Some(50.0));
        assert_eq!(of(0, 0).write_ms_each, None);
    }

    #[test]
    fn io_is_of_the_interval_and_a_reset_makes_nothing_negative() {
        let reading = |bytes, reset| IoReading {
            rows: vec![IoCounters {
                backend_type: "client backend".into(),
                read_bytes: Some(bytes),
                stats_reset: Some(Timestamp(reset)),
                ..IoCounters::default()
            }],
        };
        let rate = |rows: Vec<IoRow>| rows[0].read_bytes_per_second;
        assert_eq!(rate(io(&reading(100, 0), &reading(400, 0), 10.0, false)), Some(30.0));
        assert_eq!(rate(io(&reading(100, 0), &reading(50, 1), 10.0, false)), Some(5.0));
        let rows = io(&reading(100, 0), &reading(400, 0), 10.0, false);
        assert_eq!((rows[0].write_bytes_per_second, rows[0].read_ms_per_second), (None, None));
    }
}
