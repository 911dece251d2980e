//! Tables: shares, rates, vacuum's triggers, the estimate of bloat.
use domain::{
    Timestamp,
    reading::{BloatEstimate, SettingsReading, TableCounters, TableReading},
    view::{TableRow, TablesPage, VacuumTrigger},
};
use std::collections::HashMap;

/// Autovacuum's settings; those of a table override them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Autovacuum {
    threshold: f64,
    scale: f64,
    /// `autovacuum_vacuum_max_threshold` (18+); none without.
    max_threshold: Option<f64>,
    insert_threshold: f64,
    insert_scale: f64,
    enabled: bool,
}

impl Default for Autovacuum {
    fn default() -> Self {
        Self {
            threshold: 50.0,
            scale: 0.2,
            max_threshold: None,
            insert_threshold: 1_000.0,
            insert_scale: 0.2,
            enabled: true,
        }
    }
}

impl Autovacuum {
    /// From the server's settings; what is not there is the built-in value.
    pub fn of(settings: Option<&SettingsReading>) -> Self {
        let default = Self::default();
        let Some(settings) = settings else { return default };
        let text = |name: &str| settings.rows.iter().find(|row| row.name == name).map(|row| row.setting.as_str());
        let number = |name: &str| text(name).and_then(|text| text.parse::<f64>().ok());
        Self {
            threshold: number("autovacuum_vacuum_threshold").unwrap_or(default.threshold),
            scale: number("autovacuum_vacuum_scale_factor").unwrap_or(default.scale),
            max_threshold: number("autovacuum_vacuum_max_threshold").filter(|most| *most >= 0.0),
            insert_threshold: number("autovacuum_vacuum_insert_threshold").unwrap_or(default.insert_threshold),
            insert_scale: number("autovacuum_vacuum_insert_scale_factor").unwrap_or(default.insert_scale),
            enabled: text("autovacuum") != Some("off"),
        }
    }

    fn of_table(mut self, options: &[String]) -> Self {
        for (name, value) in options.iter().filter_map(|option| option.split_once('=')) {
            let number = value.parse::<f64>();
            match (name, number) {
                ("autovacuum_enabled", _) => self.enabled &= !matches!(value, "false" | "off" | "0" | "no"),
                ("autovacuum_vacuum_threshold", Ok(number)) => self.threshold = number,
                ("autovacuum_vacuum_scale_factor", Ok(number)) => self.scale = number,
                ("autovacuum_vacuum_max_threshold", Ok(number)) => {
                    self.max_threshold = Some(number).filter(|most| *most >= 0.0)
                }
                ("autovacuum_vacuum_insert_threshold", Ok(number)) => self.insert_threshold = number,
                ("autovacuum_vacuum_insert_scale_factor", Ok(number)) => self.insert_scale = number,
                _ => {}
            }
        }
        self
    }

    /// How near a table is to being vacuumed.
    pub fn trigger(self, table: &TableCounters) -> VacuumTrigger {
        let own = self.of_table(&table.options);
        let dead = own.threshold + own.scale * table.rows;
        let dead_threshold = own.max_threshold.map_or(dead, |most| dead.min(most));
        let inserted_threshold =
            (own.insert_threshold >= 0.0).then_some(own.insert_threshold + own.insert_scale * table.rows);
        let part = |value: i64, threshold: f64| 100.0 * value as f64 / threshold.max(1.0);
        let inserted = inserted_threshold.map_or(0.0, |threshold| part(table.inserted_since_vacuum, threshold));
        VacuumTrigger {
            dead_rows: table.dead_rows,
            dead_threshold: dead_threshold as i64,
            inserted_rows: table.inserted_since_vacuum,
            inserted_threshold: inserted_threshold.map(|threshold| threshold as i64),
            percent: part(table.dead_rows, dead_threshold).max(inserted),
            disabled: !own.enabled,
        }
    }
}

/// What is remembered of a reading for the rates of the next.
pub type Previous = HashMap<(String, u32), [i64; 4]>;

fn counters(table: &TableCounters) -> [i64; 4] {
    [table.seq_scans, table.index_scans, table.inserted + table.updated + table.deleted, table.seq_rows_read]
}

/// Sequences of databases that could not be read this time stay as they were: what is not seen is not gone, and its alert is
/// not over.
pub fn keep_unread_sequences(before: &TableReading, reading: &mut TableReading) {
    let unread = reading.skipped.iter().map(|it| &it.0).chain(&reading.sequences_unread);
    let of_unread = unread.map(|database| format!("{database}.")).collect::<Vec<_>>();
    for sequence in &before.sequences {
        let is_unread = of_unread.iter().any(|prefix| sequence.key.starts_with(prefix));
        if is_unread && !reading.sequences.iter().any(|it| it.key == sequence.key) {
            reading.sequences.push(sequence.clone());
        }
    }
}

/// What the next reading needs.
pub fn remember(reading: &TableReading) -> Previous {
    reading.rows.iter().map(|table| ((table.database.clone(), table.oid), counters(table))).collect()
}

/// `database.schema.name`.
pub fn key(table: &TableCounters) -> String {
    format!("{}.{}.{}", table.database, table.schema, table.name)
}

/// The page.
pub fn page(
    reading: &TableReading,
    before: Option<(&Previous, f64)>,
    settings: Option<&SettingsReading>,
    bloat: &[BloatEstimate],
    at: Timestamp,
) -> TablesPage {
    let autovacuum = Autovacuum::of(settings);
    let estimates = bloat.iter().map(|it| ((it.database.as_str(), it.oid), it)).collect::<HashMap<_, _>>();
    let mut rows = reading
        .rows
        .iter()
        .map(|table| {
            let rates = before.filter(|(_, seconds)| *seconds > 0.0).and_then(|(before, seconds)| {
                let then = before.get(&(table.database.clone(), table.oid))?;
                let now = counters(table);
                // A counter that fell was reset: nothing is known of this interval.
                let rate = |i: usize| (now[i] >= then[i]).then(|| (now[i] - then[i]) as f64 / seconds);
                Some([rate(0), rate(1), rate(2), rate(3)])
            });
            let rates = rates.unwrap_or_default();
            let known = live_rows(table) + table.dead_rows;
            TableRow {
                key: key(table),
                database: table.database.clone(),
                schema: table.schema.clone(),
                name: table.name.clone(),
                parent: table.parent.clone(),
                total_bytes: table.heap_bytes + table.toast_bytes + table.index_bytes,
                heap_bytes: table.heap_bytes,
                toast_bytes: table.toast_bytes,
                index_bytes: table.index_bytes,
                rows: table.rows,
                dead_rows: table.dead_rows,
                dead_percent: (known > 0).then(|| 100.0 * table.dead_rows as f64 / known as f64),
                bloat_estimate_bytes: estimates
                    .get(&(table.database.as_str(), table.oid))
                    .and_then(|estimate| bloat_bytes(estimate)),
                seq_scans: table.seq_scans,
                seq_rows_read: table.seq_rows_read,
                index_scans: table.index_scans,
                seq_scans_per_second: rates[0],
                index_scans_per_second: rates[1],
                writes_per_second: rates[2],
                seq_rows_read_per_second: rates[3],
                hot_percent: (table.updated > 0).then(|| 100.0 * table.hot_updated as f64 / table.updated as f64),
                last_vacuum: table.last_vacuum,
                last_analyze: table.last_analyze,
                changed_since_analyze: table.changed_since_analyze,
                xid_age: table.xid_age,
                vacuum: autovacuum.trigger(table),
            }
        })
        .collect::<Vec<_>>();
    rows.sort_by(|a, b| b.total_bytes.cmp(&a.total_bytes).then_with(|| a.key.cmp(&b.key)));
    let without = bloat.iter().filter(|it| it.row_bytes.is_none()).count();
    TablesPage {
        collected_at: Some(at),
        rows,
        skipped: reading.skipped.clone(),
        without_statistics: i64::try_from(without).unwrap_or(i64::MAX),
        ..TablesPage::default()
    }
}

/// Size of the heap less what its rows need: a header of 24 bytes, the data rounded up to 8, a pointer of 4, pages
/// filled as the table asks for. Alignment between columns is not known, so a few percent are no bloat.
pub fn bloat_bytes(estimate: &BloatEstimate) -> Option<i64> {
    const PAGE_HEADER: f64 = 24.0;
    const ROW_HEADER: f64 = 24.0;
    const POINTER: f64 = 4.0;
    let data = estimate.row_bytes?;
    let row = ROW_HEADER + (data / 8.0).ceil() * 8.0 + POINTER;
    let usable = (estimate.block_bytes as f64 - PAGE_HEADER) * estimate.fillfactor.clamp(10, 100) as f64 / 100.0;
    let per_page = (usable / row).floor().max(1.0);
    let needed = (estimate.rows / per_page).ceil();
    Some(((estimate.pages as f64 - needed).max(0.0) * estimate.block_bytes as f64) as i64)
}

/// Rows that are not dead. Counters that were reset (a crash does it, and so does a restore) know only what came since; then what
/// the last vacuum or analyze counted tells of the rest, dead ones taken off. After a mass delete both say the same.
pub fn live_rows(table: &TableCounters) -> i64 {
    table.live_rows.max(table.rows as i64 - table.dead_rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(rows: f64, dead: i64, options: &[&str]) -> TableCounters {
        TableCounters {
            database: "shop".into(),
            schema: "public".into(),
            name: "t".into(),
            oid: 1,
            rows,
            live_rows: rows as i64,
            dead_rows: dead,
            options: options.iter().map(|it| (*it).to_owned()).collect(),
            ..TableCounters::default()
        }
    }

    #[test]
    fn counters_that_were_reset_do_not_make_all_rows_dead() {
        let live = |rows, live, dead| live_rows(&TableCounters { live_rows: live, ..table(rows, dead, &[]) });
        assert_eq!(live(40_000.0, 0, 6_600), 33_400, "counted since the reset alone");
        assert_eq!(live(1_000_000.0, 100_000, 900_000), 100_000, "a mass delete before any vacuum");
        assert_eq!(live(0.0, 500, 3), 500, "never analyzed");
        let reading = TableReading {
            rows: vec![TableCounters { live_rows: 0, ..table(40_000.0, 10_000, &[]) }],
            ..TableReading::default()
        };
        let page = page(&reading, None, None, &[], Timestamp(0));
        assert_eq!(page.rows[0].dead_percent, Some(25.0));
    }

    #[test]
    fn a_sequence_that_could_not_be_read_is_not_gone() {
        use domain::reading::SequenceUse;
        let sequence =
            |key: &str, used_percent| SequenceUse { key: key.into(), used_percent, ..SequenceUse::default() };
        let before = TableReading {
            sequences: ["shop.public.a", "stock.public.b", "gone.public.c", "read.public.d", "read.public.e"]
                .map(|key| sequence(key, 90.0))
                .to_vec(),
            ..TableReading::default()
        };
        let mut reading = TableReading {
            sequences: vec![sequence("read.public.d", 95.0)],
            sequences_unread: vec!["shop".into()],
            skipped: vec![("stock".into(), "too many connections".into())],
            ..TableReading::default()
        };
        keep_unread_sequences(&before, &mut reading);
        let kept = reading.sequences.iter().map(|it| (it.key.as_str(), it.used_percent)).collect::<Vec<_>>();
        // A database that is dropped is in neither list, and in one that was read it is known what is gone.
        assert_eq!(kept, [("read.public.d", 95.0), ("shop.public.a", 90.0), ("stock.public.b", 90.0)]);
    }

    #[test]
    fn the_trigger_follows_the_settings_and_the_tables_own() {
        let default = Autovacuum::default();
        let trigger = default.trigger(&table(1_000.0, 125, &[]));
        assert_eq!((trigger.dead_threshold, trigger.percent, trigger.disabled), (250, 50.0, false));
        let own = default.trigger(&table(
            1_000.0,
            125,
            &["autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=100"],
        ));
        assert_eq!((own.dead_threshold, own.percent), (100, 125.0));
        assert!(default.trigger(&table(1.0, 0, &["autovacuum_enabled=false"])).disabled);
        let capped = Autovacuum { max_threshold: Some(200.0), ..default };
        assert_eq!(capped.trigger(&table(1e9, 0, &[])).dead_threshold, 200);
        let off = default.trigger(&table(1_000.0, 0, &["autovacuum_vacuum_insert_threshold=-1"]));
        assert_eq!(off.inserted_threshold, None);
    }

    #[test]
    fn rates_are_of_the_interval_and_a_reset_makes_none() {
        let reading = |scans: i64| TableReading {
            rows: vec![TableCounters { seq_scans: scans, seq_rows_read: 500 * scans, ..table(1.0, 0, &[]) }],
            ..TableReading::default()
        };
        let before = remember(&reading(10));
        let rates = |scans| {
            let page = page(&reading(scans), Some((&before, 10.0)), None, &[], Timestamp(0));
            (page.rows[0].seq_scans_per_second, page.rows[0].seq_rows_read_per_second)
        };
        assert_eq!((rates(30), rates(5)), ((Some(2.0), Some(1_000.0)), (None, None)));
    }

    #[test]
    fn a_packed_table_has_no_bloat_and_without_statistics_nothing_is_said() {
        let estimate = BloatEstimate {
            row_bytes: Some(100.0),
            rows: 60_000.0,
            pages: 1_000,
            block_bytes: 8_192,
            fillfactor: 100,
            ..BloatEstimate::default()
        };
        // 132 bytes a row: 61 of them on a page.
        assert_eq!(bloat_bytes(&estimate), Some((1_000 - 984) * 8_192));
        assert_eq!(bloat_bytes(&BloatEstimate { pages: 984, ..estimate.clone() }), Some(0));
        assert_eq!(bloat_bytes(&BloatEstimate { row_bytes: None, ..estimate }), None);
    }

    proptest! {
        #[test]
        fn bloat_is_never_negative_nor_more_than_the_table(rows in 0f64..1e9, pages in 0i64..10_000_000, width in 0f64..8_000.0, fill in 0i64..200) {
            let estimate = BloatEstimate { row_bytes: Some(width), rows, pages, block_bytes: 8_192, fillfactor: fill, ..BloatEstimate::default() };
            let bytes = bloat_bytes(&estimate).unwrap();
            prop_assert!(bytes >= 0 && bytes <= pages * 8_192);
        }
    }
}
