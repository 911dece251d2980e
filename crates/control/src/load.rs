//! Database load over a range, from the samples of active sessions in the store.
use crate::{Actor, ControlError, ControlPlane, monitoring, now};
use domain::{
    Permission,
    reading::CollectorKind,
    view::{LoadBy, LoadPage, LoadRow, Range, TimeSeries, TimeSeriesLine},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::{SessionHistoryRepo, StatementRepo};

/// Lines of the chart; more than these cannot be told apart.
const LINES: usize = 7;
/// Statements in the list.
const TOP: usize = 15;

impl ControlPlane {
    /// Average active sessions over a range, taken apart by wait class, statement, role and so on.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn load_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        by: LoadBy,
        range: Range,
    ) -> Result<LoadPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let id = config.id.clone();
        let at = now();
        let (from, to, step) = monitoring::grid(monitoring::known(range, at, monitoring::HISTORY_DAYS)?, at);
        let repo = SessionHistoryRepo(self.inner.store.db());
        let samples = repo.samples(&id, from, to, step).await?;
        let points = repo.load(&id, by, from, to, step).await?;
        let taken = samples.iter().map(|it| it.samples).sum::<i64>();
        let per_step = samples.iter().map(|it| (it.bucket, it.samples)).collect::<HashMap<_, _>>();

        let mut sums = BTreeMap::<&str, i64>::new();
        for point in &points {
            *sums.entry(&point.name).or_default() += point.samples;
        }
        let mut names = sums.into_iter().collect::<Vec<_>>();
        if by == LoadBy::Wait {
            // In the order in which they are stacked everywhere.
            names = analysis::waits::CLASSES.iter().map(|class| (*class, 0)).collect();
        } else {
            names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            names.truncate(LINES);
        }
        let places = names.iter().enumerate().map(|(i, (name, _))| (*name, i)).collect::<HashMap<_, _>>();
        // A step with samples and without a session of a line is a zero; one without samples is a gap.
        let empty = (0..monitoring::POINTS)
            .map(|bucket| per_step.get(&bucket).filter(|samples| **samples > 0).map(|_| 0.0))
            .collect::<Vec<_>>();
        let mut lines = vec![empty; names.len() + 1];
        for point in &points {
            let Some(samples) = per_step.get(&point.bucket).filter(|samples| **samples > 0) else { continue };
            let place = places.get(point.name.as_str()).copied().unwrap_or(names.len());
            let value = usize::try_from(point.bucket).ok().and_then(|bucket| lines.get_mut(place)?.get_mut(bucket));
            if let Some(value) = value {
                *value = Some(value.unwrap_or(0.0) + point.samples as f64 / *samples as f64);
            }
        }
        let others = lines.pop().unwrap_or_default();
        let has_others = others.iter().flatten().any(|value| *value > 0.0);
        let texts = if by == LoadBy::Query {
            let ids = names.iter().filter_map(|(name, _)| name.parse().ok()).collect::<Vec<_>>();
            self.texts(&id, &ids).await?
        } else {
            HashMap::new()
        };
        let gap = self.gap_seconds(&id);
        let line = |name: String, values| TimeSeriesLine {
            name,
            values: monitoring::bridge(values, step, gap),
            gaps: Vec::new(),
        };
        let mut series = names
            .iter()
            .zip(lines)
            .map(|((name, _), values)| {
                let shown = match (by, name.parse::<i64>()) {
                    (LoadBy::Query, Ok(0)) => "(not named by the server)".to_owned(),
                    (LoadBy::Query, Ok(query_id)) => texts
                        .get(&query_id)
                        .map_or_else(|| (*name).to_owned(), |(_, text)| text.chars().take(60).collect()),
                    _ => (*name).to_owned(),
                };
                line(shown, values)
            })
            .collect::<Vec<_>>();
        if has_others && by != LoadBy::Wait {
            series.push(line("Other".to_owned(), others));
        }
        let top = self.load_by_query(&id, from, to, taken).await?;
        let events = self.events(&id, from, to).await?;
        let all = points.iter().map(|point| point.samples).sum::<i64>() as f64;
        let sampler = snapshot.dashboard.collectors.iter().find(|one| one.name == CollectorKind::Sessions).cloned();
        Ok(LoadPage {
            cpus: self.inner.clusters.cpus(&id),
            range,
            by,
            series: TimeSeries {
                metric: "active_sessions".to_owned(),
                unit: String::new(),
                from,
                to,
                step_seconds: step as f64 / 1_000.0,
                times: monitoring::times(from, step),
                series,
                resets: monitoring::resets(BTreeSet::new(), &events, from, step),
                events,
                earlier: Vec::new(),
            },
            top,
            average_active_sessions: if taken > 0 { all / taken as f64 } else { 0.0 },
            samples: taken,
            skipped: samples.iter().map(|it| it.skipped).sum(),
            sampler,
            cluster: id,
        })
    }

    async fn load_by_query(
        &self,
        cluster: &str,
        from: domain::Timestamp,
        to: domain::Timestamp,
        taken: i64,
    ) -> Result<Vec<LoadRow>, ControlError> {
        let counts = SessionHistoryRepo(self.inner.store.db()).queries(cluster, from, to).await?;
        let all = counts.iter().map(|it| it.samples).sum::<i64>();
        if all == 0 || taken == 0 {
            return Ok(Vec::new());
        }
        let mut queries = HashMap::<i64, (i64, Vec<(String, f64)>)>::new();
        for count in counts {
            let entry = queries.entry(count.query_id).or_default();
            entry.0 += count.samples;
            entry.1.push((count.class, count.samples as f64 / taken as f64));
        }
        let mut queries = queries.into_iter().collect::<Vec<_>>();
        queries.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(a.0.cmp(&b.0)));
        queries.truncate(TOP);
        let texts = self.texts(cluster, &queries.iter().map(|it| it.0).collect::<Vec<_>>()).await?;
        Ok(queries
            .into_iter()
            .map(|(query_id, (samples, waits))| {
                let known = texts.get(&query_id);
                LoadRow {
                    fingerprint: (query_id != 0).then(|| query_id.to_string()),
                    id: known.map(|(key, _)| key.clone()),
                    query: known.map_or_else(|| unnamed(query_id), |(_, text)| text.clone()),
                    stands_in: known.is_none(),
                    average_active_sessions: samples as f64 / taken as f64,
                    percent: 100.0 * samples as f64 / all as f64,
                    waits,
                }
            })
            .collect())
    }

    /// Key and text on one line of statements by their fingerprint.
    pub(crate) async fn texts(
        &self,
        cluster: &str,
        ids: &[i64],
    ) -> Result<HashMap<i64, (String, String)>, ControlError> {
        let records = StatementRepo(self.inner.store.db()).by_queryid(cluster, ids).await?;
        Ok(records
            .into_iter()
            .map(|record| {
                let line = analysis::sqltext::one_line(&record.text.query, 400);
                (record.text.key.queryid, (record.text.key.to_string(), line))
            })
            .collect())
    }
}

/// What stands in for the text of a statement that is not known.
pub(crate) fn unnamed(query_id: i64) -> String {
    if query_id == 0 {
        "sessions whose statement the server does not name".to_owned()
    } else {
        format!("statement {query_id}, not in pg_stat_statements")
    }
}
