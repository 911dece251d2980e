//! What is read of tables and of indexes.
use super::Watch;
use crate::state::NodeIndexes;
use analysis::{columns, indexes, tables};
use control::now;
use domain::{reading::CollectorKind, view::ColumnsKept};
use pgstat::PgstatError;
use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

/// Growth is kept of the largest only.
const TABLES_RECORDED: usize = 300;
/// As many of the largest indexes, with their scans.
const INDEXES_RECORDED: usize = 300;

impl Watch {
    pub(super) async fn tables(&mut self) -> Result<(), PgstatError> {
        let Some(mut reading) =
            self.timed(CollectorKind::Tables, |cluster| async move { cluster.tables().await }).await?
        else {
            return Ok(());
        };
        if let Some(before) = &self.state.tables {
            tables::keep_unread_sequences(before, &mut reading);
        }
        let read_at = Instant::now();
        if self.state.bloat_read.is_none_or(|last| last.elapsed() >= self.cadence.bloat()) {
            // An extra: without it the tables are shown as well.
            match self.cluster.bloat().await {
                Ok(estimates) => self.state.bloat = estimates,
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, cluster = self.config.id, "bloat could not be estimated; it is tried again in some hours");
                }
            }
            self.state.bloat_read = Some(read_at);
        }
        if self.state.columns_read.is_none_or(|last| last.elapsed() >= self.cadence.columns()) {
            // An extra as well: what was read before it stays.
            match self.cluster.columns().await {
                Ok(reading) => self.state.columns = Arc::new(columns::kept(&reading, now())),
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, cluster = self.config.id, "columns of tables could not be read; it is tried again in an hour");
                    let failed = Some(error.to_string());
                    self.state.columns = Arc::new(ColumnsKept { failed, ..ColumnsKept::clone(&self.state.columns) });
                }
            }
            self.state.columns_read = Some(read_at);
        }
        let before = self.state.tables_before.as_ref().zip(self.state.tables_read);
        let before = before.map(|(before, at)| (before, read_at.duration_since(at).as_secs_f64()));
        let page = tables::page(&reading, before, self.state.settings.as_ref(), &self.state.bloat, now());
        if self.state.tables_recorded.is_none_or(|last| last.elapsed() >= self.cadence.growth()) {
            self.state.tables_recorded = Some(read_at);
            self.state.table_sizes =
                page.rows.iter().take(TABLES_RECORDED).map(|row| (row.key.clone(), row.total_bytes)).collect();
        }
        self.state.tables_before = Some(tables::remember(&reading));
        self.state.tables_read = Some(read_at);
        self.state.tables_page = Arc::new(page);
        self.state.tables = Some(reading);
        Ok(())
    }

    pub(super) async fn indexes(&mut self) -> Result<(), PgstatError> {
        let Some(reading) =
            self.timed(CollectorKind::Indexes, |cluster| async move { cluster.indexes().await }).await?
        else {
            return Ok(());
        };
        let read_at = Instant::now();
        if self.state.index_bloat_read.is_none_or(|last| last.elapsed() >= self.cadence.bloat()) {
            // An extra: without it the indexes are shown as well.
            match self.cluster.index_bloat().await {
                Ok(estimates) => self.state.index_bloat = estimates,
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, cluster = self.config.id, "bloat of indexes could not be estimated; it is tried again in some hours");
                }
            }
            self.state.index_bloat_read = Some(read_at);
        }
        let Some(server) = &self.state.server else { return Ok(()) };
        let reading = Arc::new(reading);
        let mine = NodeIndexes {
            standby_of: self.config.standby_of.clone(),
            reading: reading.clone(),
            started_at: server.started_at,
        };
        let others = {
            let mut shared = self.shared.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            shared.insert(self.config.id.clone(), mine.clone());
            let is_ours = |other: &NodeIndexes| other.standby_of.as_deref() == Some(self.config.id.as_str());
            shared
                .iter()
                .filter(|(_, other)| is_ours(other))
                .map(|(id, other)| (id.clone(), other.clone()))
                .collect::<Vec<_>>()
        };
        let mut nodes =
            vec![indexes::Node { name: &self.config.name, reading: &reading, started_at: server.started_at }];
        nodes.extend(others.iter().map(|(id, other)| indexes::Node {
            name: id,
            reading: &other.reading,
            started_at: other.started_at,
        }));
        let previous = self.state.indexes_before.as_ref().zip(self.state.indexes_read);
        let previous = previous.map(|(previous, at)| (previous, read_at.duration_since(at).as_secs_f64()));
        // Short ticks are for demonstrations and tests: there a minute of counting has to do.
        let mut rules = indexes::Rules::default();
        rules.counting_at_least_seconds =
            rules.counting_at_least_seconds.min(self.cadence.tick.as_secs_f64() * 120.0 / 10.0);
        let page = indexes::page(&nodes, previous, &self.state.index_bloat, rules, now());
        let recorded = self.state.index_scans_recorded.as_ref();
        let recorded = recorded.map(|(at, scans)| (scans, read_at.duration_since(*at).as_secs_f64()));
        if recorded.is_none_or(|(_, seconds)| seconds >= self.cadence.growth().as_secs_f64()) {
            let (rates, scans) = indexes::scans_per_hour(&page, recorded, INDEXES_RECORDED);
            self.state.index_scans = rates;
            let sizes = page.rows.iter().filter(|row| row.bytes > 0).take(INDEXES_RECORDED);
            self.state.index_sizes = sizes.map(|row| (row.key.clone(), row.bytes)).collect();
            self.state.index_scans_recorded = Some((read_at, scans));
            let blocks = self.state.index_blocks_recorded.as_ref();
            let (hits, blocks) = indexes::hit_percents(&page, &reading, blocks, INDEXES_RECORDED);
            self.state.index_hits = hits;
            self.state.index_blocks_recorded = Some(blocks);
        }
        self.state.indexes_before = Some(indexes::remember(&reading));
        self.state.indexes_read = Some(read_at);
        self.state.indexes = Arc::new(page);
        Ok(())
    }
}
