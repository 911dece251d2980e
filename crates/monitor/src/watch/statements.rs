//! What is read of statements: their counters, their texts, and the log.
use super::Watch;
use crate::{batch::Batch, log_samples};
use analysis::{latency_classes, sqltext};
use control::now;
use domain::{
    reading::{CollectorKind, StatementKey},
    view::{Event, EventKind},
};
use pgstat::PgstatError;
use std::time::{Duration, Instant};

/// One new text has the server read its whole file of texts, which may be gigabytes: after that it is left alone for fifty
/// times as long as it took, so that this is never more than two percent of the time.
const TEXTS_REST: u32 = 50;

impl Watch {
    pub(super) async fn statements(&mut self) -> Result<(), PgstatError> {
        let Some(reading) =
            self.timed(CollectorKind::Statements, |cluster| async move { cluster.statements().await }).await?
        else {
            self.state.statement_tracker.forget();
            self.state.statements_read = None;
            return Ok(());
        };
        let read_at = Instant::now();
        self.state.forget_names(&reading.rows);
        let unknown = self.state.unknown(&reading.rows, self.recorder.lost_texts());
        let seconds = self.state.statements_read.map(|last| read_at.duration_since(last).as_secs_f64());
        self.state.statements_read = Some(read_at);
        let interval = self.state.statement_tracker.advance(reading);
        let (texts, outcome) = match self.texts(&unknown).await {
            Ok(texts) => (texts, Ok(())),
            // The next reading counts from this one: what was read is kept all the same.
            Err(error) => (Vec::new(), Err(error)),
        };
        // Also when there is no interval yet: what was logged before it is not of it.
        let logged = self.state.durations.fresh();
        let (Some(interval), Some(seconds)) = (interval, seconds) else {
            self.recorder.push(Batch { at: now(), texts, ..Batch::default() });
            return outcome;
        };
        if interval.reset {
            self.events.push(Event::new(now(), EventKind::StatsReset, "pg_stat_statements was reset".to_owned()));
        }
        if let Some(evicted) = interval.evicted {
            self.state.evictions.push_back((read_at, evicted));
            self.state.evictions.retain(|(at, _)| at.elapsed() < Duration::from_secs(3_600));
        }
        self.state.statement_window.push(seconds, interval.rows.clone());
        self.state.fresh_statements = Some((seconds, interval.rows.clone()));
        self.state.fresh_latencies = latency_classes::estimated(&interval.rows).map(|counts| match logged {
            Some((logged, floor_ms)) => latency_classes::with_log(&counts, logged, floor_ms),
            None => counts,
        });
        let interval_ms = (seconds * 1_000.0) as i64;
        self.recorder.push(Batch { at: now(), texts, statements: interval.rows, interval_ms, ..Batch::default() });
        outcome
    }

    /// Names of statements not seen before, or whose text was lost on its way to the store. A failure costs the names, not
    /// the figures.
    async fn texts(&mut self, unknown: &[StatementKey]) -> Result<Vec<domain::reading::StatementText>, PgstatError> {
        let resting = self.state.texts_rest.is_some_and(|until| Instant::now() < until);
        if unknown.is_empty() || resting {
            return Ok(Vec::new());
        }
        let began = Instant::now();
        let texts = self.cluster.statement_texts(unknown).await;
        self.state.texts_rest = Some(Instant::now() + began.elapsed() * TEXTS_REST);
        let texts = match texts {
            Ok(texts) => texts,
            Err(error) if error.is_connection() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, cluster = self.config.id, "the texts of new statements could not be read; it is tried again");
                return Ok(Vec::new());
            }
        };
        for text in &texts {
            let line = sqltext::one_line(&text.query, 400);
            self.state.log_names.learn(text);
            self.state.lost_texts.remove(&text.key);
            self.state.statement_names.insert(text.key, (line.into(), text.database.clone(), text.user.clone()));
        }
        // Evicted between the two statements: do not ask for it for ever.
        let unnamed =
            unknown.iter().filter(|key| !self.state.statement_names.contains_key(key)).copied().collect::<Vec<_>>();
        self.state.unnamed.extend(unnamed);
        Ok(texts)
    }

    pub(super) async fn log(&mut self) -> Result<(), PgstatError> {
        let from = self.state.log_read.as_ref().map(|(_, position)| position.clone());
        let Some(reading) = self.timed(CollectorKind::Log, |cluster| async move { cluster.log(from).await }).await?
        else {
            self.state.log_read = None;
            self.state.auto_explain = None;
            self.state.durations.clear();
            return Ok(());
        };
        let read_at = Instant::now();
        let seconds = self.state.log_read.as_ref().map_or(0.0, |(at, _)| read_at.duration_since(*at).as_secs_f64());
        self.state.durations.push(&reading, seconds);
        self.state.auto_explain = log_samples::hint(&reading.settings);
        let tables = self.state.tables.as_ref().map(|tables| tables.rows.as_slice()).unwrap_or_default();
        // A name that stands in several schemas says nothing.
        let schema_of = |database: &str, table: &str| {
            let mut named = tables.iter().filter(|row| row.database == database && row.name == table);
            named.next().filter(|_| named.next().is_none()).map(|row| row.schema.clone())
        };
        let version_num = self.state.server.as_ref().map_or(0, |server| server.version_num);
        let entries = analysis::log::read(&reading, now());
        let chosen =
            log_samples::choose(entries, &self.state.log_names, &self.state.statement_names, version_num, schema_of);
        if chosen != log_samples::Chosen::default() {
            let log_samples::Chosen { samples, plans } = chosen;
            self.recorder.push(Batch { at: now(), log_samples: samples, plans, ..Batch::default() });
        }
        self.state.log_read = Some((read_at, reading.position));
        Ok(())
    }
}
