//! What the pages show of a cluster: from the snapshot, and from the store's history. Never from the cluster.
use crate::{Actor, ControlError, ControlPlane, clusters::live_event, now};
use domain::{
    Permission, Timestamp,
    view::{
        ActivityPage, ClusterSummary, Compare, Dashboard, Event, EventKind, LiveEvent, Metric, Range, TimeSeries,
        TimeSeriesLine,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use store::{EventRepo, History, MetricRepo};
use tokio::sync::broadcast;

/// Points of a chart: more than pixels show nothing.
pub(crate) const POINTS: i64 = 120;

/// History goes back no further (ADR 26); what is older was given up.
pub(crate) const HISTORY_DAYS: i64 = 400;
/// That of statements.
pub(crate) const STATEMENT_DAYS: i64 = 90;
/// Two clocks are never quite the same, and a chart ends with the step that is under way.
const CLOCKS_MS: i64 = 300_000;

/// The distance of points over a range, and its first and last moment. What ends now is on a grid, so that a chart does
/// not crawl; two moments stay where they are.
pub(crate) fn grid(range: Range, at: Timestamp) -> (Timestamp, Timestamp, i64) {
    if let Range::Between { from, to } = range {
        let step = (to.0 - from.0 + POINTS - 1) / POINTS;
        return (from, from.plus_ms(step * POINTS), step);
    }
    let step = range.ms() / POINTS;
    let to = at.0.div_euclid(step) * step + step;
    (Timestamp(to - range.ms()), Timestamp(to), step)
}

/// Whether there can be history of a range, of what is kept for so many days.
///
/// # Errors
/// [`ControlError::Invalid`] for moments that are still to come or of which nothing is kept.
pub(crate) fn known(range: Range, at: Timestamp, days: i64) -> Result<Range, ControlError> {
    let Range::Between { from, to } = range else { return Ok(range) };
    if to > at.plus_ms(CLOCKS_MS) {
        let message = format!("'{to}' is still to come: it is {at} now, and a range ends at the latest now");
        return Err(ControlError::field("to", message));
    }
    let oldest = at.plus_ms(-days * 86_400_000);
    if from < oldest {
        let message = format!("'{from}' is before all history: it is kept for {days} days, since {oldest}");
        return Err(ControlError::field("from", message));
    }
    Ok(range)
}

impl ControlPlane {
    /// All clusters.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn clusters_list(&self, actor: &Actor) -> Result<Vec<ClusterSummary>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.inner.clusters.all().map(|(_, snapshot)| snapshot.dashboard.cluster.clone()).collect())
    }

    /// The whole picture of one cluster, or of the first.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn dashboard_get(&self, actor: &Actor, cluster: Option<&str>) -> Result<Dashboard, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (_, snapshot) = self.inner.clusters.find(cluster)?;
        let mut dashboard = snapshot.dashboard.clone();
        let at = now();
        dashboard.age_seconds = dashboard.collected_at.map(|since| at.seconds_since(since).max(0.0));
        // Not those of the snapshot: what somebody took on a moment ago shows at once.
        let id = dashboard.cluster.id.clone();
        dashboard.alerts = self.inner.alerts.has_looked(&id).then(|| self.inner.alerts.open(Some(&id), at));
        for collector in &mut dashboard.collectors {
            collector.age_seconds = collector.collected_at.map(|since| at.seconds_since(since).max(0.0));
        }
        // Fresher than the snapshot: WAL goes on between two ticks.
        dashboard.backup =
            self.inner.recovery.slot(&dashboard.cluster.id).and_then(|slot| slot.status.load().backup.clone());
        dashboard.pools = self.pools_of(&dashboard.cluster.id);
        Ok(dashboard)
    }

    /// Backends at the last look, of all databases or of one.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn activity_list(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        database: Option<&str>,
    ) -> Result<Arc<ActivityPage>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let page = self.inner.clusters.find(cluster)?.1.activity.clone();
        let Some(only) = database else { return Ok(page) };
        let mut page = ActivityPage::clone(&page);
        page.rows.retain(|row| row.database.as_deref() == Some(only));
        Ok(Arc::new(page))
    }

    /// Names of the databases that are there, those with statements, tables or indexes and those with sessions, for a
    /// filter.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn databases_list(&self, actor: &Actor, cluster: Option<&str>) -> Result<Vec<String>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let snapshot = self.inner.clusters.find(cluster)?.1;
        let names = snapshot.tables.databases.iter().map(|row| &row.name);
        let names = names.chain(snapshot.activity.rows.iter().filter_map(|row| row.database.as_ref()));
        let names = names.filter(|name| !matches!(name.as_str(), "template0" | "template1" | ""));
        Ok(names.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect())
    }

    /// A figure over time.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn history_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        metric: Metric,
        range: Range,
    ) -> Result<TimeSeries, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let id = self.inner.clusters.find(cluster)?.0.id.clone();
        let gap = self.gap_seconds(&id);
        self.series(&id, metric, range, gap).await
    }

    /// As [`Self::history_get`], with the lines of an earlier time beside it.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn history_compared(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        metric: Metric,
        range: Range,
        compare: Compare,
    ) -> Result<TimeSeries, ControlError> {
        let mut series = self.history_get(actor, cluster, metric, range).await?;
        if let Some(shift) = compare.shift_ms(range) {
            let id = self.inner.clusters.find(cluster)?.0.id.clone();
            let (from, to, step) = grid(range, now());
            let gap = self.gap_seconds(&id);
            series.earlier = self.lines(&id, metric, from.plus_ms(-shift), to.plus_ms(-shift), step, gap).await?.0;
        }
        Ok(series)
    }

    /// A figure that is kept under an id; longer than `gap` seconds without a point is a gap.
    pub(crate) async fn series(
        &self,
        id: &str,
        metric: Metric,
        range: Range,
        gap: f64,
    ) -> Result<TimeSeries, ControlError> {
        let at = now();
        let (from, to, step) = grid(known(range, at, HISTORY_DAYS)?, at);
        let (series, anew) = self.lines(id, metric, from, to, step, gap).await?;
        let events = self.events(id, from, to).await?;
        let resets = resets(anew, &events, from, step);
        Ok(TimeSeries {
            metric: metric.as_str().to_owned(),
            unit: metric.unit().to_owned(),
            from,
            to,
            step_seconds: step as f64 / 1_000.0,
            times: times(from, step),
            series,
            events,
            resets,
            earlier: Vec::new(),
        })
    }

    /// The lines of a metric from one moment to another, and the steps in which counters began anew, as roll-ups say.
    async fn lines(
        &self,
        id: &str,
        metric: Metric,
        from: Timestamp,
        to: Timestamp,
        step: i64,
        gap: f64,
    ) -> Result<(Vec<TimeSeriesLine>, BTreeSet<usize>), ControlError> {
        let mut points = MetricRepo(self.inner.store.db()).history(id, metric, from, to, step).await?;
        self.percentiles_of_distributions(id, metric, from, to, step, &mut points).await?;
        let mut lines = BTreeMap::<String, Vec<Option<f64>>>::new();
        let mut gaps = BTreeMap::<String, Vec<usize>>::new();
        let mut anew = BTreeSet::new();
        for point in points {
            let line = lines.entry(point.label.clone()).or_insert_with(|| vec![None; POINTS as usize]);
            let place = usize::try_from(point.bucket).unwrap_or(usize::MAX);
            let Some(slot) = line.get_mut(place) else { continue };
            *slot = Some(point.value);
            if point.gap {
                gaps.entry(point.label).or_default().push(place);
            }
            if point.reset {
                anew.insert(place);
            }
        }
        if metric == Metric::ConnectionsByState {
            gaps = gaps_of_all(&lines, &gaps);
            nobody(&mut lines);
        }
        let mut series = lines
            .into_iter()
            .map(|(name, values)| TimeSeriesLine {
                gaps: gaps.remove(&name).unwrap_or_default(),
                name: if name.is_empty() { metric.as_str().to_owned() } else { name },
                values: bridge(values, step, gap),
            })
            .collect::<Vec<_>>();
        if metric == Metric::ActiveSessions {
            // In the order in which they are stacked everywhere.
            let rank = |line: &TimeSeriesLine| analysis::waits::CLASSES.iter().position(|class| *class == line.name);
            series.sort_by_key(rank);
        }
        Ok((series, anew))
    }

    /// What happened over a range.
    pub(crate) async fn events(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Event>, ControlError> {
        Ok(EventRepo(self.inner.store.db()).list(cluster, from, to).await?)
    }

    /// Longer than this without a point is a gap.
    pub(crate) fn gap_seconds(&self, cluster: &str) -> f64 {
        let interval =
            self.inner.clusters.find(Some(cluster)).map_or(30.0, |(_, snapshot)| snapshot.dashboard.interval_seconds);
        2.5 * 2.0 * interval
    }

    /// New snapshots of all clusters, as they come.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn live_subscribe(&self, actor: &Actor) -> Result<broadcast::Receiver<Arc<LiveEvent>>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.inner.clusters.subscribe())
    }

    /// What the last snapshot of a cluster said, for a new listener.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn live_latest(&self, actor: &Actor, cluster: Option<&str>) -> Result<LiveEvent, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (_, snapshot) = self.inner.clusters.find(cluster)?;
        Ok(live_event(&snapshot.dashboard, snapshot.dashboard.collected_at.unwrap_or_else(now)))
    }
}

/// First and last moment of a range.
pub(crate) fn bounds(range: Range, at: Timestamp) -> Result<(Timestamp, Timestamp), ControlError> {
    let (from, to, _) = grid(known(range, at, HISTORY_DAYS)?, at);
    Ok((from, to))
}

/// The middle of each step.
pub(crate) fn times(from: Timestamp, step: i64) -> Vec<Timestamp> {
    (0..POINTS).map(|i| from.plus_ms(i * step + step / 2)).collect()
}

/// Where points are further apart than samples, as over 15 minutes with a tick of 30 s, the steps between two samples
/// are no gaps: the last value holds, up to `gap` seconds.
pub(crate) fn bridge(mut values: Vec<Option<f64>>, step_ms: i64, gap_seconds: f64) -> Vec<Option<f64>> {
    let longest = (gap_seconds * 1_000.0 / step_ms.max(1) as f64) as usize;
    let known = values.iter().enumerate().filter_map(|(i, value)| value.map(|_| i)).collect::<Vec<_>>();
    for pair in known.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        if b - a > 1 && b - a <= longest {
            let value = values[a];
            values[a + 1..b].fill(value);
        }
    }
    values
}

/// A state that nobody was in at a reading has no point of its own: that is nobody, and no gap.
fn nobody(lines: &mut BTreeMap<String, Vec<Option<f64>>>) {
    let was_read = |i: usize| lines.values().any(|line| line.get(i).copied().flatten().is_some());
    let read = (0..POINTS as usize).map(was_read).collect::<Vec<_>>();
    for line in lines.values_mut() {
        for (value, read) in line.iter_mut().zip(&read) {
            if *read && value.is_none() {
                *value = Some(0.0);
            }
        }
    }
}

/// A state that somebody is in now and then lacks samples without a gap: some are missing where each state lacks some.
fn gaps_of_all(
    lines: &BTreeMap<String, Vec<Option<f64>>>,
    gaps: &BTreeMap<String, Vec<usize>>,
) -> BTreeMap<String, Vec<usize>> {
    let lacks = |label: &str, place: usize| gaps.get(label).is_some_and(|own| own.contains(&place));
    let of_all = |place: &usize| {
        let mut read = lines.iter().filter(|line| line.1.get(*place).copied().flatten().is_some()).peekable();
        read.peek().is_some() && read.all(|line| lacks(line.0, *place))
    };
    let places = (0..POINTS as usize).filter(of_all).collect::<Vec<_>>();
    lines.keys().map(|label| (label.clone(), places.clone())).collect()
}

/// Steps in which counters began anew: those of events, and those of roll-ups that no event explains. A roll-up tells it with
/// the begin of its stretch: the event is up to a stretch later, and the same would be told twice.
pub(crate) fn resets(mut anew: BTreeSet<usize>, events: &[Event], from: Timestamp, step_ms: i64) -> Vec<usize> {
    let step = step_ms.max(1);
    let told = events.iter().filter(|event| EventKind::COUNTERS_BEGIN.contains(&event.kind));
    let told = told.map(|event| event.at.0 - from.0).collect::<Vec<_>>();
    let longest = History::Metrics.width_ms(2);
    anew.retain(|place| {
        let begin = i64::try_from(*place).unwrap_or(i64::MAX).saturating_mul(step);
        let end = begin.saturating_add(step).saturating_add(longest);
        !told.iter().any(|at| (begin..end).contains(at))
    });
    let places = told.iter().filter_map(|at| usize::try_from(at.div_euclid(step)).ok());
    anew.extend(places.filter(|place| *place < POINTS as usize));
    anew.into_iter().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_sessions_are_missing_where_each_state_lacks_some() {
        let lines = BTreeMap::from([
            ("active".to_owned(), vec![Some(2.0), Some(1.0), Some(1.0), None]),
            ("idle".to_owned(), vec![Some(9.0), Some(8.0), None, None]),
        ]);
        let gaps = BTreeMap::from([("active".to_owned(), vec![1, 2]), ("idle".to_owned(), vec![0, 1])]);
        let both = gaps_of_all(&lines, &gaps);
        assert_eq!((&both["active"], &both["idle"]), (&vec![1, 2], &vec![1, 2]), "nobody was idle in the third step");
    }

    #[test]
    fn counters_begin_anew_where_an_event_says_so_and_where_a_roll_up_does_that_no_event_explains() {
        const MINUTE: i64 = 60_000;
        let begin = 1_000 * 60 * MINUTE;
        let event = |minute, kind| Event::new(Timestamp(begin + minute * MINUTE), kind, String::new());
        let events = [
            event(-1, EventKind::StatsReset),
            event(43, EventKind::StatsReset),
            event(44, EventKind::SettingChange),
            event(100, EventKind::Restart),
        ];
        let told = |anew: &[usize], events: &[Event]| {
            resets(anew.iter().copied().collect(), events, Timestamp(begin), 5 * MINUTE)
        };
        // The hour began with the first step, and the hour of the restart with the thirteenth.
        assert_eq!(told(&[0, 12], &events), [8, 20], "each is told once");
        assert_eq!(told(&[0, 12, 24], &events[2..3]), [0, 12, 24], "of those the roll-ups alone know");
        assert_eq!(told(&[], &[event(5 * POINTS, EventKind::Restart)]), [0_usize; 0], "it is behind the last step");
    }

    #[test]
    fn a_state_that_nobody_is_in_is_zero_where_others_were_read_and_a_gap_where_nothing_was() {
        let mut lines = BTreeMap::from([
            ("active".to_owned(), vec![Some(2.0), None, None]),
            ("idle".to_owned(), vec![Some(9.0), Some(8.0), None]),
        ]);
        nobody(&mut lines);
        assert_eq!(lines["active"], [Some(2.0), Some(0.0), None]);
        assert_eq!(lines["idle"], [Some(9.0), Some(8.0), None]);
    }

    #[test]
    fn steps_between_samples_are_bridged_and_gaps_are_kept() {
        let values = vec![None, Some(1.0), None, Some(2.0), None, None, None, Some(3.0), None];
        assert_eq!(
            bridge(values, 10_000, 25.0),
            [None, Some(1.0), Some(1.0), Some(2.0), None, None, None, Some(3.0), None]
        );
    }

    #[test]
    fn a_range_of_two_moments_is_drawn_from_the_one_to_the_other() {
        let at = Timestamp(1_800_000_000_000);
        let between = |from, to| Range::Between { from: at.plus_ms(from), to: at.plus_ms(to) };
        let (from, to, step) = grid(between(-3_600_000, -1_800_000), at);
        assert_eq!((from, to, step), (at.plus_ms(-3_600_000), at.plus_ms(-1_800_000), 15_000));
        // The last step ends no earlier than what was asked for.
        let (from, to, step) = grid(between(-100_001, -7), at);
        assert_eq!((to.0 - from.0, step), (834 * POINTS, 834));
        assert!(to >= at.plus_ms(-7));
    }

    #[test]
    fn moments_without_history_are_refused_with_what_is_kept() {
        let at = Timestamp(1_800_000_000_000);
        let between = |from, to| Range::Between { from: at.plus_ms(from), to: at.plus_ms(to) };
        let message = |range| known(range, at, HISTORY_DAYS).unwrap_err().to_string();
        assert!(message(between(-1_000, 600_000)).contains("still to come"));
        assert!(message(between(-401 * 86_400_000, 0)).contains("400 days"));
        assert!(
            known(between(-60_000, 60_000), at, HISTORY_DAYS).is_ok(),
            "the clock of a browser may be ahead by a minute"
        );
        assert!(known(Range::Days30, at, STATEMENT_DAYS).is_ok());
    }

    #[test]
    fn the_grid_does_not_move_within_a_step() {
        let (from, to, step) = grid(Range::Hour1, Timestamp(1_000_000_000_000));
        assert_eq!((to.0 - from.0, step), (3_600_000, 30_000));
        assert_eq!(grid(Range::Hour1, Timestamp(1_000_000_000_000 / 30_000 * 30_000 + 29_999)).0, from);
    }
}
