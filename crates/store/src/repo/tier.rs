//! Filling and emptying the tiers of history. Each step is one transaction with its mark, so that a crash in between
//! leaves the step to be done again, and doing it again changes nothing.
use crate::{
    Store, StoreError,
    entity::{metric_rollup, tier_mark},
    repo::damage::{Damaged, LeftOut, leave_out},
    rollup::{Rollup, begin, parse_histogram, roll},
};
use domain::{
    Timestamp,
    view::{EventKind, Metric},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, QueryFilter as _,
    Statement, Value, sea_query::OnConflict,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Kinds of history that are kept in tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum History {
    /// Figures: each tick, five minutes, an hour.
    Metrics,
    /// Statements: each reading, ten minutes, an hour.
    Statements,
}

impl History {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Metrics, Self::Statements];

    /// Length of a stretch of the middle and of the coarse tier.
    pub const fn width_ms(self, tier: i32) -> i64 {
        match (self, tier) {
            (Self::Metrics, 1) => 300_000,
            (Self::Statements, 1) => 600_000,
            _ => 3_600_000,
        }
    }

    fn name(self, tier: i32) -> String {
        match self {
            Self::Metrics => format!("metric/{tier}"),
            Self::Statements => format!("statement/{tier}"),
        }
    }
}

/// How far the three tiers of one kind are filled and emptied; 0 is raw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Everything before is rolled up into the tier (unused for raw).
    pub rolled_to: [i64; 3],
    /// Everything in the tier before is removed, and to be looked for in the next.
    pub pruned_to: [i64; 3],
}

/// Rows and the oldest moment of one tier.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct TierSize {
    /// Rows.
    pub number: i64,
    /// The oldest.
    pub oldest: Option<i64>,
}

/// Rolled up in one step: with long outages behind, the work is done bit by bit.
const STRETCHES: i64 = 48;
const CHUNK: usize = 1_000;

/// Tiers over a connection or a transaction.
#[derive(Debug)]
pub struct TierRepo<'a, C>(pub &'a C);

/// Recorded each hour: a stretch without a point is no gap.
const RECORDED_SELDOM: [Metric; 4] =
    [Metric::TableBytes, Metric::IndexBytes, Metric::IndexScansPerHour, Metric::IndexHitPercent];

impl<C: ConnectionTrait> TierRepo<'_, C> {
    /// How far one kind of history is filled and emptied.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn marks(&self, history: History) -> Result<Marks, StoreError> {
        let names = [0, 1, 2].map(|tier| history.name(tier));
        let rows = tier_mark::Entity::find()
            .filter(tier_mark::Column::Name.is_in(names.iter().cloned()))
            .all(self.0)
            .await
            .map_err(StoreError::query("read how far history is rolled up"))?;
        let mut marks = Marks::default();
        for row in rows {
            if let Some(tier) = names.iter().position(|name| *name == row.name) {
                marks.rolled_to[tier] = row.rolled_to;
                marks.pruned_to[tier] = row.pruned_to;
            }
        }
        Ok(marks)
    }

    async fn mark(&self, history: History, tier: i32, rolled_to: i64, pruned_to: i64) -> Result<(), StoreError> {
        let row = tier_mark::ActiveModel {
            name: Set(history.name(tier)),
            rolled_to: Set(rolled_to),
            pruned_to: Set(pruned_to),
        };
        let mut conflict = OnConflict::column(tier_mark::Column::Name);
        conflict.update_columns([tier_mark::Column::RolledTo, tier_mark::Column::PrunedTo]);
        tier_mark::Entity::insert(row)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("note how far history is rolled up"))
    }

    /// Something that happened at `at` was written only now: what was rolled up since must be rolled up again. What is
    /// older than the oldest raw figures cannot be, and stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn late(&self, at: Timestamp) -> Result<(), StoreError> {
        for history in History::ALL {
            let marks = self.marks(history).await?;
            if at.0 <= marks.pruned_to[0] {
                continue;
            }
            for tier in [1_i32, 2] {
                let place = tier as usize;
                // A statement's moment is the end of its stretch.
                let back = begin(at.0 - 1, history.width_ms(tier)).max(marks.pruned_to[place - 1]);
                if back < marks.rolled_to[place] {
                    self.mark(history, tier, back, marks.pruned_to[place]).await?;
                }
            }
        }
        Ok(())
    }

    /// Rows and oldest moment of a tier.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn size(&self, history: History, tier: i32) -> Result<TierSize, StoreError> {
        let sql = match (history, tier) {
            (History::Metrics, 0) => "SELECT COUNT(*) AS number, MIN(at) AS oldest FROM metric_sample".to_owned(),
            (History::Statements, 0) => "SELECT COUNT(*) AS number, MIN(at) AS oldest FROM statement_sample".to_owned(),
            (History::Metrics, tier) => {
                format!("SELECT COUNT(*) AS number, MIN(at) AS oldest FROM metric_rollup WHERE tier = {tier}")
            }
            (History::Statements, tier) => {
                format!("SELECT COUNT(*) AS number, MIN(at) AS oldest FROM statement_rollup WHERE tier = {tier}")
            }
        };
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let size = TierSize::find_by_statement(statement).one(self.0).await;
        Ok(size.map_err(StoreError::query("count history"))?.unwrap_or(TierSize { number: 0, oldest: None }))
    }

    /// What there is of a stretch, and the distributions in it that cannot be read: their figures count without them.
    async fn metric_parts(
        &self,
        tier: i32,
        from: i64,
        to: i64,
    ) -> Result<(Vec<(i64, i64, Rollup)>, Vec<Damaged>), StoreError> {
        let failed = || StoreError::query("read metrics to roll them up");
        let rows: Vec<(i64, i64, Option<String>, Rollup)> = if tier == 0 {
            use crate::entity::metric_sample::{Column, Entity};
            let rows = Entity::find().filter(Column::At.gte(from)).filter(Column::At.lt(to)).all(self.0).await;
            let part = |row: crate::entity::metric_sample::Model| {
                (row.series_id, row.at, row.histogram, Rollup::of(row.value))
            };
            rows.map_err(failed())?.into_iter().map(part).collect()
        } else {
            use metric_rollup::Column;
            let rows = metric_rollup::Entity::find()
                .filter(Column::Tier.eq(tier))
                .filter(Column::At.gte(from))
                .filter(Column::At.lt(to))
                .all(self.0)
                .await
                .map_err(failed())?;
            let part = |row: metric_rollup::Model| {
                let part = Rollup {
                    count: row.count,
                    sum: row.sum,
                    min: row.min,
                    max: row.max,
                    last: row.last,
                    gap: row.gap,
                    reset: row.reset,
                    histogram: None,
                };
                (row.series_id, row.at, row.histogram, part)
            };
            rows.into_iter().map(part).collect()
        };
        let (mut parts, mut damaged) = (Vec::with_capacity(rows.len()), Vec::new());
        for (series, at, text, mut part) in rows {
            match text.as_deref().map(parse_histogram).transpose() {
                Ok(histogram) => part.histogram = histogram,
                Err(error) => damaged.push(Damaged { series, at, detail: error.to_string() }),
            }
            parts.push((series, at, part));
        }
        Ok((parts, damaged))
    }

    async fn keep_metrics(&self, tier: i32, rolled: BTreeMap<(i64, i64), Rollup>) -> Result<(), StoreError> {
        use metric_rollup::Column;
        let rows = rolled
            .into_iter()
            .map(|((series_id, at), it)| metric_rollup::ActiveModel {
                tier: Set(tier),
                series_id: Set(series_id),
                at: Set(at),
                count: Set(it.count),
                sum: Set(it.sum),
                min: Set(it.min),
                max: Set(it.max),
                last: Set(it.last),
                gap: Set(it.gap),
                reset: Set(it.reset),
                histogram: Set(it.histogram.as_ref().and_then(|counts| serde_json::to_string(counts).ok())),
            })
            .collect::<Vec<_>>();
        for chunk in rows.chunks(CHUNK) {
            let mut conflict = OnConflict::columns([Column::Tier, Column::SeriesId, Column::At]);
            conflict.update_columns([
                Column::Count,
                Column::Sum,
                Column::Min,
                Column::Max,
                Column::Last,
                Column::Gap,
                Column::Reset,
                Column::Histogram,
            ]);
            metric_rollup::Entity::insert_many(chunk.to_vec())
                .on_conflict(conflict)
                .exec_without_returning(self.0)
                .await
                .map_err(StoreError::query("keep rolled up metrics"))?;
        }
        Ok(())
    }

    /// Begins of stretches in which a cluster's counters began anew, and which series are whose and recorded seldom.
    async fn resets(&self, from: i64, to: i64, width: i64) -> Result<(HashSet<(i64, i64)>, HashSet<i64>), StoreError> {
        use crate::entity::{event, metric_series};
        let failed = || StoreError::query("read events");
        let kinds = EventKind::COUNTERS_BEGIN.map(EventKind::as_str);
        let events = event::Entity::find()
            .filter(event::Column::At.gte(from))
            .filter(event::Column::At.lt(to))
            .filter(event::Column::Kind.is_in(kinds))
            .all(self.0)
            .await
            .map_err(failed())?;
        let series = metric_series::Entity::find().all(self.0).await.map_err(failed())?;
        let mut by_cluster = HashMap::<&str, Vec<i64>>::new();
        let mut seldom = HashSet::new();
        for one in &series {
            by_cluster.entry(&one.cluster_id).or_default().push(one.id);
            if RECORDED_SELDOM.iter().any(|metric| one.metric == metric.as_str()) {
                seldom.insert(one.id);
            }
        }
        let mut resets = HashSet::new();
        for event in &events {
            let start = begin(event.at, width);
            resets.extend(by_cluster.get(event.cluster_id.as_str()).into_iter().flatten().map(|id| (*id, start)));
        }
        Ok((resets, seldom))
    }

    /// Which of these series a tier has from before a moment.
    async fn known_before(&self, tier: i32, series: &[i64], before: i64) -> Result<HashSet<i64>, StoreError> {
        #[derive(FromQueryResult)]
        struct Known {
            id: i64,
        }
        let mut known = HashSet::new();
        for some in series.chunks(CHUNK) {
            let ids = some.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            // One look into the index for each: a series may have a row for every five minutes of months.
            let sql = format!(
                "SELECT s.id AS id FROM metric_series s WHERE s.id IN ({ids}) AND EXISTS \
                  (SELECT 1 FROM metric_rollup m WHERE m.tier = {tier} AND m.series_id = s.id AND m.at < $1)"
            );
            let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, [before.into()]);
            let found = Known::find_by_statement(statement).all(self.0).await;
            known.extend(found.map_err(StoreError::query("read history"))?.into_iter().map(|it| it.id));
        }
        Ok(known)
    }

    async fn roll_metrics(&self, tier: i32, from: i64, to: i64, gap_ms: i64) -> Result<Vec<LeftOut>, StoreError> {
        let width = History::Metrics.width_ms(tier);
        let part = if tier == 1 { 0 } else { History::Metrics.width_ms(tier - 1) };
        let (parts, damaged) = self.metric_parts(tier - 1, from, to).await?;
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let (resets, seldom) = self.resets(from, to, width).await?;
        let gap = |series: i64| (!seldom.contains(&series)).then_some(gap_ms);
        let mut first = HashMap::<i64, i64>::new();
        for (series, at, _) in &parts {
            first.entry(*series).and_modify(|it| *it = (*it).min(*at)).or_insert(*at);
        }
        let is_late = |series: i64, at: i64| gap(series).is_some_and(|gap| at - begin(at, width) > gap);
        let late = first.into_iter().filter(|(series, at)| is_late(*series, *at)).map(|it| it.0).collect::<Vec<_>>();
        let known = self.known_before(tier, &late, from).await?;
        let begins = |series: i64| !known.contains(&series);
        let rolled = roll(parts, width, part, gap, begins, |series, start| resets.contains(&(series, start)));
        self.keep_metrics(tier, rolled).await?;
        leave_out(self.0, tier - 1, damaged).await
    }

    /// A row tells of the stretch before its moment: it belongs to the stretch that ends with or after it.
    async fn roll_statements(&self, tier: i32, from: i64, to: i64) -> Result<(), StoreError> {
        let width = History::Statements.width_ms(tier);
        let (table, only) = if tier == 1 {
            ("statement_sample", String::new())
        } else {
            ("statement_rollup", format!("AND tier = {}", tier - 1))
        };
        // M2 of the whole from its parts (Chan, Golub, LeVeque 1979); rounding must not make it negative.
        let sql = format!(
            "INSERT INTO statement_rollup (tier, statement_id, at, interval_ms, calls, total_ms, m2, max_ms, row_count, \
              shared_blks_hit, shared_blks_read, temp_blks_written, wal_bytes) \
             SELECT {tier}, g.statement_id, g.at, {width}, g.calls, g.total_ms, \
              CASE WHEN g.m2 > 0 THEN g.m2 ELSE 0 END, g.max_ms, g.row_count, g.shared_blks_hit, g.shared_blks_read, g.temp_blks_written, g.wal_bytes \
             FROM (SELECT statement_id, ((at - 1) / {width} + 1) * {width} AS at, CAST(SUM(calls) AS BIGINT) AS calls, SUM(total_ms) AS total_ms, \
              SUM(m2) + SUM(total_ms * total_ms / calls) - SUM(total_ms) * SUM(total_ms) / SUM(calls) AS m2, MAX(max_ms) AS max_ms, \
              CAST(SUM(row_count) AS BIGINT) AS row_count, CAST(SUM(shared_blks_hit) AS BIGINT) AS shared_blks_hit, \
              CAST(SUM(shared_blks_read) AS BIGINT) AS shared_blks_read, CAST(SUM(temp_blks_written) AS BIGINT) AS temp_blks_written, \
              CAST(SUM(wal_bytes) AS BIGINT) AS wal_bytes \
              FROM {table} WHERE at > $1 AND at <= $2 AND calls > 0 {only} GROUP BY 1, 2) g WHERE true \
             ON CONFLICT (tier, statement_id, at) DO UPDATE SET interval_ms = excluded.interval_ms, calls = excluded.calls, \
              total_ms = excluded.total_ms, m2 = excluded.m2, max_ms = excluded.max_ms, row_count = excluded.row_count, \
              shared_blks_hit = excluded.shared_blks_hit, shared_blks_read = excluded.shared_blks_read, \
              temp_blks_written = excluded.temp_blks_written, wal_bytes = excluded.wal_bytes"
        );
        let values: [Value; 2] = [from.into(), to.into()];
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, values);
        self.0.execute_raw(statement).await.map(drop).map_err(StoreError::query("roll up statements"))
    }

    async fn first(&self, history: History, tier: i32) -> Result<Option<i64>, StoreError> {
        // A statement's moment is the end of its stretch.
        Ok(self.oldest(history, tier).await?.map(|oldest| begin(oldest - 1, history.width_ms(tier + 1))))
    }

    async fn oldest(&self, history: History, tier: i32) -> Result<Option<i64>, StoreError> {
        #[derive(FromQueryResult)]
        struct Oldest {
            at: Option<i64>,
        }
        let sql = match (history, tier) {
            (History::Metrics, 0) => "SELECT MIN(at) AS at FROM metric_sample".to_owned(),
            (History::Statements, 0) => "SELECT MIN(at) AS at FROM statement_sample".to_owned(),
            (History::Metrics, tier) => format!("SELECT MIN(at) AS at FROM metric_rollup WHERE tier = {tier}"),
            (History::Statements, tier) => format!("SELECT MIN(at) AS at FROM statement_rollup WHERE tier = {tier}"),
        };
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let oldest = Oldest::find_by_statement(statement).one(self.0).await;
        Ok(oldest.map_err(StoreError::query("read history"))?.and_then(|oldest| oldest.at))
    }

    async fn remove(&self, history: History, tier: i32, before: i64) -> Result<u64, StoreError> {
        // Metrics are named by their begin, statements by their end.
        let sql = match (history, tier) {
            (History::Metrics, 0) => "DELETE FROM metric_sample WHERE at < $1".to_owned(),
            (History::Statements, 0) => "DELETE FROM statement_sample WHERE at <= $1".to_owned(),
            (History::Metrics, tier) => format!("DELETE FROM metric_rollup WHERE tier = {tier} AND at < $1"),
            (History::Statements, tier) => format!("DELETE FROM statement_rollup WHERE tier = {tier} AND at <= $1"),
        };
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, [before.into()]);
        let removed = self.0.execute_raw(statement).await.map_err(StoreError::query("remove old history"))?;
        Ok(removed.rows_affected())
    }
}

/// Rolls up everything that is complete at `settled`: a bit later than now, so that whoever writes is done. Where
/// samples are further apart than `gap_ms`, something is missing. A distribution that cannot be read is left out and told
/// with an event of its cluster.
///
/// # Errors
/// [`StoreError`]; what was done until then stays.
pub async fn roll_up(store: &Store, settled: Timestamp, gap_ms: i64) -> Result<(), StoreError> {
    for history in History::ALL {
        for tier in [1_i32, 2] {
            let place = tier as usize;
            let width = history.width_ms(tier);
            loop {
                let transaction = store.begin().await?;
                let repo = TierRepo(&transaction);
                let marks = repo.marks(history).await?;
                let ready = if tier == 1 { settled.0 } else { marks.rolled_to[place - 1].min(settled.0) };
                let to = begin(ready, width);
                let from = match marks.rolled_to[place] {
                    0 => repo.first(history, tier - 1).await?.unwrap_or(to),
                    from => from,
                };
                if from >= to {
                    break;
                }
                let until = to.min(from + STRETCHES * width);
                let left_out = match history {
                    History::Metrics => repo.roll_metrics(tier, from, until, gap_ms).await?,
                    History::Statements => {
                        repo.roll_statements(tier, from, until).await?;
                        Vec::new()
                    }
                };
                repo.mark(history, tier, until, marks.pruned_to[place]).await?;
                store.commit(transaction).await?;
                left_out.iter().for_each(LeftOut::log);
            }
        }
    }
    Ok(())
}

/// Removes what is older than `before` from a tier, and no more than the next one has.
///
/// # Errors
/// [`StoreError`].
pub async fn prune(store: &Store, history: History, tier: i32, before: Timestamp) -> Result<u64, StoreError> {
    let transaction = store.begin().await?;
    let repo = TierRepo(&transaction);
    let marks = repo.marks(history).await?;
    let place = tier as usize;
    let safe = if tier < 2 { marks.rolled_to[place + 1].min(before.0) } else { before.0 };
    // Along the stretches of the next tier: no moment is in both or in neither.
    let to = begin(safe, history.width_ms((tier + 1).min(2))).max(marks.pruned_to[place]);
    if to <= marks.pruned_to[place] {
        return Ok(0);
    }
    let removed = repo.remove(history, tier, to).await?;
    repo.mark(history, tier, marks.rolled_to[place], to).await?;
    store.commit(transaction).await?;
    Ok(removed)
}
