//! The tiles of the overview: what each says and where it leads. The server makes them, so that the browser has one way to
//! draw them all.
use serde::{Deserialize, Serialize};

/// A tile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TileData {
    /// Name.
    pub name: String,
    /// Where the figure comes from, in a word.
    pub badge: String,
    /// Figure.
    pub number: String,
    /// Its unit, or what it is of.
    pub unit: String,
    /// What there is to say besides.
    pub detail: String,
    /// The page on it.
    pub page: String,
    /// Its history.
    pub spark: Vec<Option<f64>>,
    /// `warning`, `critical`, or nothing.
    pub breach: String,
}

#[cfg(feature = "ssr")]
pub use build::{Histories, tiles};

#[cfg(feature = "ssr")]
mod build {
    use super::TileData;
    use domain::{
        Timestamp, format,
        view::{Compare, Dashboard, Metric, ReplicaState, TimeSeries, TimeSeriesLine},
    };
    use std::collections::HashMap;

    /// The small histories, and how their mean stands to that of the time compared with.
    pub struct Histories {
        compare: Compare,
        lines: HashMap<Metric, (Vec<Option<f64>>, String)>,
    }

    impl Histories {
        pub fn new(compare: Compare) -> Self {
            Self { compare, lines: HashMap::new() }
        }

        /// Takes the history of a figure: of the load the sum of its lines, else the first line.
        pub fn add(&mut self, metric: Metric, series: &TimeSeries) {
            let pick = |lines: &[TimeSeriesLine]| match metric {
                Metric::ActiveSessions => sum(lines),
                _ => lines.first().map(|line| line.values.clone()).unwrap_or_default(),
            };
            let values = pick(&series.series);
            let change = analysis::change::between(&values, &pick(&series.earlier));
            let label = self.compare.label();
            let change = change.map(|percent| format!("{} % on the {label}", format::signed_percent(percent)));
            self.lines.insert(metric, (values, change.unwrap_or_default()));
        }
    }

    fn sum(lines: &[TimeSeriesLine]) -> Vec<Option<f64>> {
        let points = lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
        let at = |i: usize| {
            let values = lines.iter().filter_map(|line| line.values.get(i).copied().flatten());
            values.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or(0.0) + value))
        };
        (0..points).map(at).collect()
    }

    /// A tile without history: `value` is a figure with its unit, `None` when it is not known.
    fn tile(name: &str, page: &str, value: Option<String>, detail: String) -> TileData {
        let value = value.unwrap_or_else(|| "—".to_owned());
        let (number, unit) = value.split_once(' ').unwrap_or((value.as_str(), ""));
        TileData {
            name: name.to_owned(),
            number: number.to_owned(),
            unit: unit.to_owned(),
            detail,
            page: page.to_owned(),
            ..TileData::default()
        }
    }

    impl TileData {
        /// With its history; where times are compared the change says more than the detail.
        fn over(mut self, histories: &Histories, metric: Metric) -> Self {
            if let Some((values, change)) = histories.lines.get(&metric) {
                self.spark.clone_from(values);
                if !change.is_empty() {
                    self.detail.clone_from(change);
                }
            }
            self
        }

        fn breach(mut self, level: &str, is_breach: bool) -> Self {
            if is_breach {
                level.clone_into(&mut self.breach);
            }
            self
        }

        fn badge(mut self, badge: &str) -> Self {
            badge.clone_into(&mut self.badge);
            self
        }
    }

    /// All tiles: two rows of six where there is room.
    pub fn tiles(
        dashboard: &Dashboard,
        cpus: Option<u32>,
        histories: &Histories,
        sizes: &TimeSeries,
        disk: Option<(f64, String)>,
        at: Timestamp,
    ) -> Vec<TileData> {
        vec![
            connections(dashboard).over(histories, Metric::ConnectionsUsed),
            active(dashboard, cpus).over(histories, Metric::ActiveSessions),
            transactions(dashboard).over(histories, Metric::TransactionsPerSecond),
            latency(dashboard).over(histories, Metric::LatencyP95Ms),
            longest(dashboard).over(histories, Metric::LongestQuerySeconds),
            oldest(dashboard),
            waiting(dashboard).over(histories, Metric::BlockedSessions),
            cache(dashboard).over(histories, Metric::CacheHitPercent),
            lag(dashboard).over(histories, Metric::ReplicationLagSeconds),
            wal(dashboard).over(histories, Metric::WalBytesPerSecond),
            size(dashboard, sizes, disk),
            backup(dashboard, at),
        ]
    }

    fn connections(dashboard: &Dashboard) -> TileData {
        let connections = dashboard.connections.as_ref();
        let idle = connections.map_or(0, |it| {
            it.by_state.iter().filter(|state| state.0.starts_with("idle in transaction")).map(|state| state.1).sum()
        });
        let detail =
            connections.map(|it| format!("{} %, {idle} idle in transaction", format::percent(it.utilization_percent)));
        let value = connections.map(|it| format!("{} /{}", it.used, it.usable));
        tile("Connections", "/database/connections", value, detail.unwrap_or_default())
            .breach("critical", connections.is_some_and(|it| it.utilization_percent > 90.0))
    }

    /// Sessions that run or wait, against what can run at once.
    fn active(dashboard: &Dashboard, cpus: Option<u32>) -> TileData {
        let waits = &dashboard.waits;
        let sum = waits.iter().map(|wait| wait.average_active_sessions).sum::<f64>();
        let value = (!waits.is_empty()).then(|| match cpus {
            Some(cpus) => format!("{sum:.1} /{cpus}"),
            None => format!("{sum:.1}"),
        });
        let most = waits.iter().max_by(|a, b| a.average_active_sessions.total_cmp(&b.average_active_sessions));
        let most = most.filter(|wait| wait.average_active_sessions > 0.0).map(|wait| format!("mostly {}", wait.class));
        let of = cpus.map(|cpus| format::counted(cpus, "processor", "processors"));
        let detail = [most, of].into_iter().flatten().collect::<Vec<_>>().join(", ");
        tile("Active sessions", "/database/activity", value, detail)
            .breach("warning", cpus.is_some_and(|cpus| sum > f64::from(cpus)))
    }

    fn transactions(dashboard: &Dashboard) -> TileData {
        let throughput = dashboard.throughput.as_ref();
        let value = throughput.map(|it| format!("{} /s", format::count(it.transactions_per_second)));
        let detail = throughput.map(|it| format!("{} rolled back", format::rate(it.rollbacks_per_second)));
        tile("Transactions", "/database/performance#queries", value, detail.unwrap_or_default())
    }

    fn latency(dashboard: &Dashboard) -> TileData {
        let latency = dashboard.latency.as_ref();
        let value = latency.map(|it| format::duration_ms(it.p95_ms));
        let detail =
            latency.map(|it| format!("P50 {}, P99 {}", format::duration_ms(it.p50_ms), format::duration_ms(it.p99_ms)));
        tile("Latency P95", "/database/performance#queries", value, detail.unwrap_or_default())
            .badge(latency.map_or("", |it| it.source.badge()))
    }

    fn longest(dashboard: &Dashboard) -> TileData {
        let seconds = dashboard.longest_query_seconds;
        let detail = if seconds.is_some() { "running now" } else { "none runs" };
        tile("Longest query", "/database/activity", seconds.map(format::duration_s), detail.to_owned())
            .breach("warning", seconds.is_some_and(|seconds| seconds > 30.0))
    }

    fn oldest(dashboard: &Dashboard) -> TileData {
        let seconds = dashboard.oldest_transaction_seconds;
        let detail = if seconds.is_some() { "open now; it holds back vacuum" } else { "none is open" };
        tile("Oldest transaction", "/database/activity", seconds.map(format::duration_s), detail.to_owned())
            .breach("warning", seconds.is_some_and(|seconds| seconds > 900.0))
    }

    fn waiting(dashboard: &Dashboard) -> TileData {
        let waiting = dashboard.blocked_sessions;
        tile(
            "Waiting for locks",
            "/database/locks",
            waiting.map(|it| format::counted(it, "session", "sessions")),
            String::new(),
        )
        .breach("warning", waiting.is_some_and(|waiting| waiting > 0))
    }

    fn cache(dashboard: &Dashboard) -> TileData {
        let cache = dashboard.cache.as_ref();
        let hit = cache.and_then(|cache| cache.hit_ratio_percent);
        let detail = cache.map(|cache| format!("over {}", format::duration_s(cache.window_seconds.round())));
        tile(
            "Cache hit",
            "/database/performance#queries",
            hit.map(|it| format!("{it:.1} %")),
            detail.unwrap_or_default(),
        )
        .breach("warning", hit.is_some_and(|hit| hit < 90.0))
    }

    fn lag(dashboard: &Dashboard) -> TileData {
        let all = dashboard.replication.iter().filter(|it| it.state != ReplicaState::Receiving).collect::<Vec<_>>();
        let standbys = match all.as_slice() {
            [] => "no standby".to_owned(),
            [one] => format!("{} {}", one.name, one.state.as_str()),
            many => format!("{} standbys", many.len()),
        };
        let bytes = all.first().and_then(|one| one.lag_bytes);
        let detail = bytes.map_or(standbys.clone(), |bytes| format!("{standbys}, {}", format::bytes(bytes as f64)));
        let worst = all.iter().filter_map(|one| one.lag_seconds).reduce(f64::max);
        tile("Replication lag", "/database/replication", worst.map(format::duration_s), detail)
            .breach("warning", worst.is_some_and(|lag| lag > 5.0))
    }

    fn wal(dashboard: &Dashboard) -> TileData {
        let value = dashboard.wal_bytes_per_second.map(|it| format!("{}/s", format::bytes(it)));
        let detail = dashboard.temp_bytes_per_second.map(|it| format!("temp {}/s", format::bytes(it)));
        tile("WAL", "/database/maintenance", value, detail.unwrap_or_default())
    }

    /// The size of all databases, and by how much it grew in a day of the last seven.
    /// With how full the fullest file system is, and when it will be full.
    fn size(dashboard: &Dashboard, sizes: &TimeSeries, disk: Option<(f64, String)>) -> TileData {
        let line = sizes.series.first().map(|line| line.values.clone()).unwrap_or_default();
        let known =
            sizes.times.iter().zip(&line).filter_map(|(at, value)| Some((at.0 as f64 / 86_400_000.0, (*value)?)));
        let growth = analysis::change::per_day(&known.collect::<Vec<_>>());
        let detail =
            growth.map(|bytes| format!("{}{} a day", if bytes < 0.0 { "−" } else { "+" }, format::bytes(bytes.abs())));
        let used = disk.as_ref().map(|(percent, _)| *percent);
        let detail = [detail, disk.map(|(percent, full)| format!("disk {} % full{full}", format::percent(percent)))];
        let detail = detail.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let value = dashboard.databases_bytes.map(|bytes| format::bytes(bytes as f64));
        TileData { spark: line, ..tile("Database size", "/database/tables", value, detail) }
            .breach("warning", used.is_some_and(|percent| percent > 85.0))
            .breach("critical", used.is_some_and(|percent| percent > 95.0))
    }

    fn backup(dashboard: &Dashboard, at: Timestamp) -> TileData {
        let Some(backup) = &dashboard.backup else {
            return tile("Last backup", "/backups", None, "not backed up by Holdfast".to_owned());
        };
        let last = backup.last_full_at.max(backup.last_incremental_at);
        let age = last.map(|last| at.seconds_since(last).max(0.0));
        let detail = match (last, backup.wal_lag_seconds) {
            (None, _) => "there is none yet".to_owned(),
            (_, Some(lag)) => format!("WAL {} behind", format::age_s(lag)),
            (_, None) => "no WAL is streamed".to_owned(),
        };
        tile("Last backup", "/backups", age.map(|age| format!("{} ago", format::age_s(age))), detail)
            .breach("warning", last.is_none())
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    mod tests {
        use super::*;

        fn line(values: &[Option<f64>]) -> TimeSeriesLine {
            TimeSeriesLine { name: "a".to_owned(), values: values.to_vec(), ..TimeSeriesLine::default() }
        }

        #[test]
        fn a_figure_is_set_apart_from_its_unit_and_one_that_is_not_known_is_a_dash() {
            let known = tile("Latency", "/", Some("4 min 05 s".to_owned()), String::new());
            assert_eq!((known.number.as_str(), known.unit.as_str()), ("4", "min 05 s"));
            assert_eq!(tile("Latency", "/", None, String::new()).number, "—");
        }

        #[test]
        fn lines_are_added_up_and_a_step_without_any_value_stays_a_gap() {
            let lines = [line(&[Some(1.0), None, None]), line(&[Some(2.0), Some(3.0), None])];
            assert_eq!(sum(&lines), [Some(3.0), Some(3.0), None]);
        }

        #[test]
        fn a_change_takes_the_place_of_the_detail() {
            let mut histories = Histories::new(Compare::Previous);
            let series = TimeSeries {
                series: vec![line(&[Some(3.0)])],
                earlier: vec![line(&[Some(2.0)])],
                ..TimeSeries::default()
            };
            histories.add(Metric::WalBytesPerSecond, &series);
            let made = tile("WAL", "/", None, "temp".to_owned()).over(&histories, Metric::WalBytesPerSecond);
            assert!(made.detail.starts_with("+50.0 % on the "), "{}", made.detail);
            let other = tile("WAL", "/", None, "temp".to_owned()).over(&histories, Metric::CacheHitPercent);
            assert_eq!((other.detail.as_str(), other.spark.len()), ("temp", 0));
        }
    }
}
