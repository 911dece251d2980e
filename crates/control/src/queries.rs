//! Statements over a range, from the store's history.
use crate::{Actor, ControlError, ControlPlane, error::page_limit, monitoring, now};
use analysis::{latency, queries as rules, queries::StatementSum, sqltext};
use domain::{
    Permission, Timestamp,
    reading::{StatementKey, StatementText},
    view::{Compare, EventKind, QueriesPage, QueriesParams, QueryDetail, QueryFlag, Range, TimeSeries, TimeSeriesLine},
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};
use store::{EventRepo, StatementBucket, StatementRepo};
use tokio::sync::OnceCell;

/// Points of a sparkline.
const SPARK_POINTS: i64 = 24;

/// Ranges of two moments whose sums are remembered at a time.
const CUSTOM: usize = 16;

type Slot = Arc<OnceCell<Arc<Loaded>>>;
/// Cluster, range, and which earlier time.
type SlotKey = (String, Range, Compare);

/// The sums of each (cluster, range, how much earlier) for one snapshot: many readers, one query of the store.
#[derive(Debug, Default)]
pub struct StatementCache {
    slots: Mutex<HashMap<SlotKey, (u64, Slot)>>,
}

#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) sums: Vec<StatementSum>,
    from: Timestamp,
    to: Timestamp,
    window_seconds: f64,
}

/// A line of a chart: its name, and its value in a bucket.
type NamedValue<'a> = (&'a str, &'a dyn Fn(&Buckets, &StatementBucket) -> f64);

/// What tells which statement a session runs: `query_id`, database, role.
pub type SessionStatement<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// One statement in steps of time, and the time that all took in each.
struct Buckets {
    own: Vec<StatementBucket>,
    all: HashMap<i64, f64>,
}

impl ControlPlane {
    /// The statements that cost most, or by another order.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`].
    pub async fn queries_top(&self, actor: &Actor, params: &QueriesParams) -> Result<QueriesPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        page_limit(u64::from(params.limit), QueriesParams::MOST_ROWS)?;
        if params.cursor.as_deref().is_some_and(|cursor| cursor.parse::<StatementKey>().is_err()) {
            return Err(ControlError::field("cursor", "take the cursor from 'next_cursor' of the page before"));
        }
        let (config, snapshot) = self.inner.clusters.find(params.cluster.as_deref())?;
        let sequence = snapshot.dashboard.sequence;
        let loaded = self.load(&config.id, params.range, Compare::Off, sequence).await?;
        let earlier = match params.compare {
            Compare::Off => None,
            compare => Some(self.load(&config.id, params.range, compare, sequence).await?),
        };
        // Everything is new in the first minutes of a history; say so only of what came later.
        let new_since =
            loaded.from.max(Timestamp(loaded.to.0 - (loaded.window_seconds * 1_000.0) as i64)).plus_ms(120_000);
        let list = rules::list(&loaded.sums, params, loaded.window_seconds, self.inner.slow_threshold_ms, new_since);
        let means = earlier.iter().flat_map(|earlier| &earlier.sums).filter(|sum| sum.calls > 0);
        let means = means.map(|sum| (sum.statement_id, sum.total_ms / sum.calls as f64)).collect::<HashMap<_, _>>();
        let sparks = self.sparks(&list.rows.iter().map(|row| row.0).collect::<Vec<_>>(), &loaded).await?;
        let changed = self.changed_plans(&config.id, loaded.from, params.range.end(now())).await?;
        let distinct = |pick: fn(&StatementSum) -> &String| {
            let mut names =
                loaded.sums.iter().map(pick).collect::<HashSet<_>>().into_iter().cloned().collect::<Vec<_>>();
            names.sort();
            names
        };
        Ok(QueriesPage {
            cluster: config.id.clone(),
            sequence: snapshot.dashboard.sequence,
            range: params.range,
            window_seconds: loaded.window_seconds,
            collected_at: snapshot.dashboard.collected_at,
            rows: list
                .rows
                .into_iter()
                .map(|(id, mut row)| {
                    row.spark = sparks.get(&id).cloned().unwrap_or_default();
                    if let Some(mean) = means.get(&id) {
                        rules::compare(&mut row, *mean);
                    }
                    if changed.contains(&row.id) {
                        row.flags.push(QueryFlag::PlanChanged);
                    }
                    row
                })
                .collect(),
            other: list.other,
            matching: list.matching,
            statements: i64::try_from(loaded.sums.len()).unwrap_or(i64::MAX),
            slow: list.slow,
            slow_threshold_ms: self.inner.slow_threshold_ms,
            total_ms: list.total_ms,
            databases: distinct(|sum| &sum.database),
            users: distinct(|sum| &sum.user),
            next_cursor: list.next_cursor,
            availability: snapshot.statements.clone(),
            evictions_per_hour: snapshot.evictions_per_hour,
        })
    }

    /// One statement in full.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when it was not seen in the range.
    pub async fn query_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
        range: Range,
        compare: Compare,
    ) -> Result<QueryDetail, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let key = id.parse::<StatementKey>().map_err(|message| ControlError::field("id", message))?;
        let missing =
            || ControlError::not_found("statement", id, "it may not have run in this range: choose a longer one");
        let record = StatementRepo(self.inner.store.db()).find(&config.id, key).await?.ok_or_else(missing)?;
        let loaded = self.load(&config.id, range, Compare::Off, snapshot.dashboard.sequence).await?;
        let sum = loaded.sums.iter().find(|sum| sum.key == key).ok_or_else(missing)?;
        let total_ms = loaded.sums.iter().map(|sum| sum.total_ms).sum::<f64>();
        let mut row = rules::row(sum, total_ms, loaded.window_seconds, self.inner.slow_threshold_ms, loaded.to);
        if self.changed_plans(&config.id, loaded.from, range.end(now())).await?.contains(&row.id) {
            row.flags.push(QueryFlag::PlanChanged);
        }
        row.spark = self.sparks(&[sum.statement_id], &loaded).await?.remove(&sum.statement_id).unwrap_or_default();
        let (from, to, step) = monitoring::grid(range, now());
        let here = self.buckets(&config.id, record.id, from, to, step).await?;
        let earlier = match compare.shift_ms(range) {
            Some(shift) => {
                let (from, to) = (from.plus_ms(-shift), to.plus_ms(-shift));
                Some(self.buckets(&config.id, record.id, from, to, step).await?)
            }
            None => None,
        };
        let events = self.events(&config.id, from, to).await?;
        let resets = monitoring::resets(BTreeSet::new(), &events, from, step);
        let gap = self.gap_seconds(&config.id) * 2.0;
        let drawn = |buckets: &Buckets, lines: &[NamedValue<'_>]| {
            let line = |(name, value): &NamedValue<'_>| TimeSeriesLine {
                name: (*name).to_owned(),
                values: monitoring::bridge(
                    spread(&buckets.own, monitoring::POINTS, &|it| value(buckets, it)),
                    step,
                    gap,
                ),
                gaps: Vec::new(),
            };
            lines.iter().map(line).collect::<Vec<_>>()
        };
        let series = |metric: &str, unit: &str, lines: &[NamedValue<'_>]| TimeSeries {
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            from,
            to,
            step_seconds: step as f64 / 1_000.0,
            times: monitoring::times(from, step),
            series: drawn(&here, lines),
            events: events.clone(),
            resets: resets.clone(),
            earlier: earlier.as_ref().map(|earlier| drawn(earlier, lines)).unwrap_or_default(),
        };
        let at_most = |quantile: f64| {
            row.stddev_ms.map(|deviation| latency::at_most(row.mean_ms, deviation, row.max_ms, quantile))
        };
        let (p95_at_most_ms, p99_at_most_ms) = (at_most(0.95), at_most(0.99));
        Ok(QueryDetail {
            sql: sqltext::format_sql(&record.text.query),
            first_seen_at: record.first_seen_at,
            last_seen_at: record.last_seen_at,
            range,
            window_seconds: loaded.window_seconds,
            p95_at_most_ms,
            p99_at_most_ms,
            calls: series(
                "calls_per_second",
                "/s",
                &[("calls", &|_, it| it.calls as f64 / (it.interval_ms.max(step) as f64 / 1_000.0))],
            ),
            mean: series(
                "mean_latency_ms",
                "ms",
                &[
                    ("mean", &|_, it| it.total_ms / it.calls.max(1) as f64),
                    ("mean + deviation", &|_, it| {
                        it.total_ms / it.calls.max(1) as f64 + (it.m2.max(0.0) / it.calls.max(1) as f64).sqrt()
                    }),
                ],
            ),
            share: series(
                "total_percent",
                "%",
                &[("share", &|buckets, it| {
                    100.0 * it.total_ms / buckets.all.get(&it.bucket).copied().unwrap_or(it.total_ms).max(1e-9)
                })],
            ),
            row,
        })
    }

    /// The ids of the statements that sessions run, in their order: each session by its `query_id`, database and role. `None`
    /// for a statement that has not ended once since we watch.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn statements_of_sessions(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        sessions: &[SessionStatement<'_>],
    ) -> Result<Vec<Option<String>>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let config = self.inner.clusters.find(cluster)?.0;
        self.statement_keys(&config.id, sessions).await
    }

    /// As [`Self::statements_of_sessions`], of a cluster that is known.
    pub(crate) async fn statement_keys(
        &self,
        cluster: &str,
        sessions: &[SessionStatement<'_>],
    ) -> Result<Vec<Option<String>>, ControlError> {
        let ids = sessions.iter().filter_map(|session| session.0?.parse().ok()).collect::<HashSet<i64>>();
        let ids = ids.into_iter().collect::<Vec<_>>();
        let records = StatementRepo(self.inner.store.db()).by_queryid(cluster, &ids).await?;
        let texts = records.into_iter().map(|record| record.text).collect::<Vec<_>>();
        Ok(sessions.iter().map(|session| statement_of(&texts, *session)).collect())
    }

    /// Temporary files that statements wrote in a day, in bytes, and how much of the day is known, in seconds.
    pub(crate) async fn temp_of_a_day(&self, cluster: &str, sequence: u64) -> Result<(f64, f64), ControlError> {
        let loaded = self.load(cluster, Range::Hours24, Compare::Off, sequence).await?;
        let blocks = loaded.sums.iter().map(|sum| sum.temp_blks_written).sum::<i64>();
        Ok((blocks as f64 * 8_192.0, loaded.window_seconds))
    }

    /// Statements that got another plan between two moments, as far as plans are kept.
    async fn changed_plans(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<HashSet<String>, ControlError> {
        let changes = EventRepo(self.inner.store.db()).list_of(cluster, EventKind::PlanChange, from, to).await?;
        Ok(changes.into_iter().filter_map(|event| event.statement).collect())
    }

    pub(crate) async fn load(
        &self,
        cluster: &str,
        range: Range,
        compare: Compare,
        sequence: u64,
    ) -> Result<Arc<Loaded>, ControlError> {
        let range = monitoring::known(range, now(), monitoring::STATEMENT_DAYS)?;
        let slot = {
            let mut slots = self.inner.statements.slots.lock().unwrap_or_else(PoisonError::into_inner);
            make_room(&mut slots);
            let entry =
                slots.entry((cluster.to_owned(), range, compare)).or_insert_with(|| (sequence, Slot::default()));
            if entry.0 != sequence {
                *entry = (sequence, Slot::default());
            }
            entry.1.clone()
        };
        let loaded =
            slot.get_or_try_init(|| async { self.load_now(cluster, range, compare).await.map(Arc::new) }).await?;
        Ok(loaded.clone())
    }

    async fn load_now(&self, cluster: &str, range: Range, compare: Compare) -> Result<Loaded, ControlError> {
        let to = range.end(now()).plus_ms(-compare.shift_ms(range).unwrap_or(0));
        let from = to.plus_ms(-range.ms());
        let repo = StatementRepo(self.inner.store.db());
        let texts =
            repo.list_short(cluster).await?.into_iter().map(|record| (record.id, record)).collect::<HashMap<_, _>>();
        let sums = repo.totals(cluster, from, to).await?;
        let sums = sums.into_iter().filter_map(|total| {
            let record = texts.get(&total.statement_id)?;
            let mean_part = total.total_ms * total.total_ms / total.calls.max(1) as f64;
            Some(StatementSum {
                key: record.text.key,
                statement_id: total.statement_id,
                text: record.text.query.as_str().into(),
                database: record.text.database.clone(),
                user: record.text.user.clone(),
                first_seen_at: record.first_seen_at,
                calls: total.calls,
                total_ms: total.total_ms,
                m2: (total.m2 + total.squares - mean_part).max(0.0),
                max_ms: total.max_ms,
                rows: total.row_count,
                shared_blks_hit: total.shared_blks_hit,
                shared_blks_read: total.shared_blks_read,
                temp_blks_written: total.temp_blks_written,
                wal_bytes: total.wal_bytes,
            })
        });
        let covered = repo.covered_since(cluster, from, to).await?;
        Ok(Loaded {
            sums: sums.collect(),
            from,
            to,
            window_seconds: covered.map_or(0.0, |since| to.seconds_since(since)),
        })
    }

    async fn buckets(
        &self,
        cluster: &str,
        statement: i64,
        from: Timestamp,
        to: Timestamp,
        step: i64,
    ) -> Result<Buckets, ControlError> {
        let repo = StatementRepo(self.inner.store.db());
        let own = repo.buckets(&[statement], from, to, step).await?;
        let all = repo.buckets_of_all(cluster, from, to, step).await?;
        Ok(Buckets { own, all: all.into_iter().map(|it| (it.bucket, it.total_ms)).collect() })
    }

    async fn sparks(
        &self,
        statements: &[i64],
        loaded: &Loaded,
    ) -> Result<HashMap<i64, Vec<Option<f64>>>, ControlError> {
        let window = ((loaded.window_seconds * 1_000.0) as i64).max(SPARK_POINTS);
        // Statements are read every second tick: shorter steps would be empty every other time.
        let interval =
            self.inner.clusters.all().next().map_or(30.0, |(_, snapshot)| snapshot.dashboard.interval_seconds);
        let points = (window / ((interval * 3_000.0) as i64).max(1)).clamp(2, SPARK_POINTS);
        let from = Timestamp(loaded.to.0 - window);
        let step = (window / points).max(1);
        let buckets = StatementRepo(self.inner.store.db()).buckets(statements, from, loaded.to, step).await?;
        let mut sparks = HashMap::<i64, Vec<StatementBucket>>::new();
        for bucket in buckets {
            sparks.entry(bucket.statement_id).or_default().push(bucket);
        }
        // A statement without calls took no time: zero, not a gap.
        Ok(sparks
            .into_iter()
            .map(|(id, own)| {
                (id, spread(&own, points, &|it| it.total_ms).into_iter().map(|it| it.or(Some(0.0))).collect())
            })
            .collect())
    }
}

/// The statement of a session; that of another role or database with the same text is better than none.
fn statement_of(texts: &[StatementText], (id, database, user): SessionStatement<'_>) -> Option<String> {
    let id = id?.parse::<i64>().ok()?;
    let near = |text: &&StatementText| {
        (Some(text.database.as_str()) == database, Some(text.user.as_str()) == user, text.key.toplevel)
    };
    let same = texts.iter().filter(|text| text.key.queryid == id);
    same.max_by_key(near).map(|text| text.key.to_string())
}

/// Ranges that end now are few; of two moments each is another, and they would fill the memory one by one.
fn make_room(slots: &mut HashMap<SlotKey, (u64, Slot)>) {
    let custom = |key: &SlotKey| matches!(key.1, Range::Between { .. });
    if slots.keys().filter(|key| custom(key)).count() >= CUSTOM {
        slots.retain(|key, _| !custom(key));
    }
}

fn spread(buckets: &[StatementBucket], count: i64, value: &dyn Fn(&StatementBucket) -> f64) -> Vec<Option<f64>> {
    let mut values = vec![None; usize::try_from(count).unwrap_or(0)];
    for bucket in buckets {
        // The last moment of the range falls just behind the last bucket.
        let place = usize::try_from(bucket.bucket.min(count - 1)).unwrap_or(0);
        if let Some(slot) = values.get_mut(place) {
            *slot = Some(value(bucket));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_runs_the_statement_of_its_database_and_role() {
        let text = |dbid, userid, queryid, database: &str, user: &str| StatementText {
            key: StatementKey { dbid, userid, queryid, toplevel: true },
            database: database.to_owned(),
            user: user.to_owned(),
            query: "SELECT $1".to_owned(),
        };
        let texts = [text(1, 1, -7, "shop", "api"), text(1, 2, -7, "shop", "batch"), text(2, 1, 8, "other", "api")];
        let of = |id, database, user| statement_of(&texts, (id, database, user));
        assert_eq!(of(Some("-7"), Some("shop"), Some("batch")), Some(texts[1].key.to_string()));
        assert_eq!(of(Some("8"), Some("shop"), Some("api")), Some(texts[2].key.to_string()));
        assert_eq!(of(Some("9"), Some("shop"), Some("api")), None);
        assert_eq!(of(None, Some("shop"), Some("api")), None);
    }

    #[test]
    fn remembered_ranges_of_two_moments_are_bounded() {
        let mut slots = HashMap::new();
        slots.insert(("a".to_owned(), Range::Hour1, Compare::Off), (1, Slot::default()));
        for i in 0..100 {
            make_room(&mut slots);
            let range = Range::Between { from: Timestamp(i), to: Timestamp(i + 60_000) };
            slots.insert(("a".to_owned(), range, Compare::Off), (1, Slot::default()));
            assert!(slots.len() <= CUSTOM + 1);
        }
        assert!(slots.contains_key(&("a".to_owned(), Range::Hour1, Compare::Off)), "those that end now are kept");
    }
}
