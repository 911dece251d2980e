//! Figures over time.
use crate::{
    StoreError,
    entity::{metric_sample, metric_series},
    repo::tier::{History, TierRepo},
    rollup::{merge_histograms, parse_histogram},
};
use domain::{Timestamp, view::Metric};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, QueryFilter as _,
    Statement, sea_query::OnConflict,
};
use std::collections::{BTreeMap, HashMap};

/// A figure to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of what.
    pub metric: Metric,
    /// Wait class, standby; empty for the only line.
    pub label: String,
    /// How much; not finite is left out.
    pub value: f64,
    /// Counts by class, where the figure has a distribution.
    pub histogram: Option<Vec<u64>>,
}

/// The mean of one bucket of one line.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPoint {
    /// Which line.
    pub label: String,
    /// Number of the bucket, counted from `from`.
    pub bucket: i64,
    /// Mean of its samples.
    pub value: f64,
    /// Samples are missing in it, as its roll-ups say; raw samples say nothing of that.
    pub gap: bool,
    /// Counters began anew in it, as its roll-ups say.
    pub reset: bool,
}

/// A point as both databases have it: a condition is a number in the one and none in the other.
#[derive(FromQueryResult)]
struct PointRow {
    label: String,
    bucket: i64,
    value: f64,
    missing: i64,
    anew: i64,
}

/// Metrics over a connection or a transaction.
#[derive(Debug)]
pub struct MetricRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> MetricRepo<'_, C> {
    /// Keeps the figures of one moment. `series` caches the ids of known lines between calls. A second sample of
    /// the same line and moment replaces the first, so that a batch can be tried again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(
        &self,
        cluster: &str,
        at: Timestamp,
        samples: &[Sample],
        series: &mut HashMap<(Metric, String), i64>,
    ) -> Result<(), StoreError> {
        let failed = || StoreError::query("keep metrics");
        let mut rows = Vec::with_capacity(samples.len());
        for sample in samples.iter().filter(|sample| sample.value.is_finite()) {
            let key = (sample.metric, sample.label.clone());
            let id = match series.get(&key) {
                Some(id) => *id,
                None => {
                    let id = self.series_id(cluster, sample.metric, &sample.label).await?;
                    series.insert(key, id);
                    id
                }
            };
            let histogram = sample.histogram.as_ref().and_then(|counts| serde_json::to_string(counts).ok());
            rows.push(metric_sample::ActiveModel {
                series_id: Set(id),
                at: Set(at.0),
                value: Set(sample.value),
                histogram: Set(histogram),
            });
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut conflict = OnConflict::columns([metric_sample::Column::SeriesId, metric_sample::Column::At]);
        conflict.update_columns([metric_sample::Column::Value, metric_sample::Column::Histogram]);
        metric_sample::Entity::insert_many(rows)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(failed())
    }

    async fn series_id(&self, cluster: &str, metric: Metric, label: &str) -> Result<i64, StoreError> {
        use metric_series::Column;
        let failed = || StoreError::query("keep metrics");
        let row = metric_series::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            metric: Set(metric.as_str().to_owned()),
            label: Set(label.to_owned()),
            ..Default::default()
        };
        let mut conflict = OnConflict::columns([Column::ClusterId, Column::Metric, Column::Label]);
        // An update that changes nothing, so that the statement is the same whether the line was there or not.
        conflict.update_column(Column::Label);
        metric_series::Entity::insert(row)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map_err(failed())?;
        let found = metric_series::Entity::find()
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::Metric.eq(metric.as_str()))
            .filter(Column::Label.eq(label))
            .one(self.0)
            .await
            .map_err(failed())?;
        found
            .map(|row| row.id)
            .ok_or_else(|| StoreError::Damaged { what: "metric series", detail: format!("{cluster} {metric:?}") })
    }

    /// Means of all lines of a metric in buckets of `step_ms` from `from` up to `to`, ordered by bucket.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(
        &self,
        cluster: &str,
        metric: Metric,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<MetricPoint>, StoreError> {
        self.history_where(cluster, metric, None, from, to, step_ms).await
    }

    async fn history_where(
        &self,
        cluster: &str,
        metric: Metric,
        label: Option<&str>,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<MetricPoint>, StoreError> {
        let only = if label.is_some() { "AND s.label = $6" } else { "" };
        // What is old is looked for in the next coarser tier: each moment is in exactly one.
        let [raw, middle, _] = TierRepo(self.0).marks(History::Metrics).await?.pruned_to;
        let series = format!("s.cluster_id = $3 AND s.metric = $4 {only}");
        let mut arms = vec![format!(
            "SELECT s.label AS label, m.at AS at, m.value AS total, m.value AS top, 1 AS n, 0 AS missing, 0 AS anew FROM metric_sample m JOIN metric_series s ON s.id = m.series_id \
             WHERE {series} AND m.at >= $1 AND m.at <= $5 AND m.at >= {raw}"
        )];
        for (tier, since, until) in [(1, middle, raw), (2, 0, middle)] {
            if from.0 < until {
                arms.push(format!(
                    "SELECT s.label AS label, m.at AS at, m.sum AS total, m.max AS top, m.count AS n, \
                      CASE WHEN m.gap THEN 1 ELSE 0 END AS missing, CASE WHEN m.reset THEN 1 ELSE 0 END AS anew \
                     FROM metric_rollup m JOIN metric_series s ON s.id = m.series_id \
                     WHERE {series} AND m.tier = {tier} AND m.at >= $1 AND m.at <= $5 AND m.at >= {since} AND m.at < {until}"
                ));
            }
        }
        // Of waiting sessions the most at once counts: a short spike must not drown in its surroundings.
        let value = if metric == Metric::BlockedSessions { "MAX(u.top)" } else { "SUM(u.total) / SUM(u.n)" };
        let sql = format!(
            "SELECT u.label AS label, (u.at - $1) / $2 AS bucket, {value} AS value, \
              CAST(MAX(u.missing) AS BIGINT) AS missing, CAST(MAX(u.anew) AS BIGINT) AS anew FROM ({}) u \
             GROUP BY u.label, (u.at - $1) / $2 ORDER BY 2, 1",
            arms.join(" UNION ALL ")
        );
        let mut values: Vec<sea_orm::Value> =
            vec![from.0.into(), step_ms.max(1).into(), cluster.into(), metric.as_str().into(), to.0.into()];
        values.extend(label.map(sea_orm::Value::from));
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, values);
        let rows =
            PointRow::find_by_statement(statement).all(self.0).await.map_err(StoreError::query("read metrics"))?;
        let point = |row: PointRow| MetricPoint {
            label: row.label,
            bucket: row.bucket,
            value: row.value,
            gap: row.missing > 0,
            reset: row.anew > 0,
        };
        Ok(rows.into_iter().map(point).collect())
    }

    /// Counts by class of a metric that has a distribution, put together for each bucket, as [`Self::history`] has them.
    /// Those that cannot be read are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn histograms(
        &self,
        cluster: &str,
        metric: Metric,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<BTreeMap<i64, Vec<u64>>, StoreError> {
        #[derive(FromQueryResult)]
        struct Part {
            bucket: i64,
            histogram: String,
        }
        let [raw, middle, _] = TierRepo(self.0).marks(History::Metrics).await?.pruned_to;
        let series = "s.cluster_id = $3 AND s.metric = $4 AND m.histogram IS NOT NULL";
        let mut arms = vec![format!(
            "SELECT (m.at - $1) / $2 AS bucket, m.histogram AS histogram FROM metric_sample m JOIN metric_series s ON s.id = m.series_id \
             WHERE {series} AND m.at >= $1 AND m.at <= $5 AND m.at >= {raw}"
        )];
        for (tier, since, until) in [(1, middle, raw), (2, 0, middle)] {
            if from.0 < until {
                arms.push(format!(
                    "SELECT (m.at - $1) / $2 AS bucket, m.histogram AS histogram FROM metric_rollup m JOIN metric_series s ON s.id = m.series_id \
                     WHERE {series} AND m.tier = {tier} AND m.at >= $1 AND m.at <= $5 AND m.at >= {since} AND m.at < {until}"
                ));
            }
        }
        let values: [sea_orm::Value; 5] =
            [from.0.into(), step_ms.max(1).into(), cluster.into(), metric.as_str().into(), to.0.into()];
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), arms.join(" UNION ALL "), values);
        let parts = Part::find_by_statement(statement).all(self.0).await.map_err(StoreError::query("read metrics"))?;
        let mut buckets = BTreeMap::<i64, Vec<u64>>::new();
        for part in parts {
            // The roll-up tells of it; until then it must not take the others' figures away.
            let Ok(counts) = parse_histogram(&part.histogram) else { continue };
            merge_histograms(buckets.entry(part.bucket).or_default(), &counts);
        }
        Ok(buckets)
    }

    /// Means of one line of a metric, as [`Self::history`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history_of(
        &self,
        cluster: &str,
        metric: Metric,
        label: &str,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<MetricPoint>, StoreError> {
        self.history_where(cluster, metric, Some(label), from, to, step_ms).await
    }

    /// The last moment at which each line of a metric was above zero, by its label, in whichever tier it is. A stretch that
    /// was rolled up counts with its beginning: it was not before that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_above_zero(
        &self,
        cluster: &str,
        metric: Metric,
    ) -> Result<HashMap<String, Timestamp>, StoreError> {
        #[derive(FromQueryResult)]
        struct Last {
            label: String,
            at: i64,
        }
        let sql = "SELECT u.label AS label, MAX(u.at) AS at FROM ( \
                   SELECT s.label AS label, m.at AS at FROM metric_series s JOIN metric_sample m ON m.series_id = s.id \
                    WHERE s.cluster_id = $1 AND s.metric = $2 AND m.value > 0 \
                   UNION ALL SELECT s.label, m.at FROM metric_series s JOIN metric_rollup m ON m.series_id = s.id \
                    WHERE s.cluster_id = $1 AND s.metric = $2 AND m.max > 0) u GROUP BY u.label";
        let values: [sea_orm::Value; 2] = [cluster.into(), metric.as_str().into()];
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, values);
        let rows = Last::find_by_statement(statement).all(self.0).await.map_err(StoreError::query("read metrics"))?;
        Ok(rows.into_iter().map(|row| (row.label, Timestamp(row.at))).collect())
    }

    /// Removes samples before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted =
            metric_sample::Entity::delete_many().filter(metric_sample::Column::At.lt(before.0)).exec(self.0).await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old metrics"))
    }
}
