//! Tiers of history: rolled up, emptied and read back, whatever the order in which things were written.
use domain::{
    Timestamp,
    reading::{SessionBucket, SessionKey, StatementKey, StatementText},
    view::{Event, EventKind, LoadBy, Metric},
};
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Statement};
use std::collections::{BTreeMap, HashMap};
use store::{
    EventRepo, History, MetricRepo, Sample, SessionHistoryRepo, StatementRepo, StatementSampleRow, Store, TierRepo,
    entity, prune, roll_up,
};

on_both_databases!(
    rolled_up_in_any_order_is_what_a_recount_says,
    a_range_over_all_tiers_reads_each_moment_once,
    a_point_says_what_its_roll_ups_say,
    a_series_lacks_nothing_before_it_begins,
    distributions_are_put_together_over_all_tiers,
    a_damaged_distribution_is_left_out_and_told_once,
    statements_keep_their_totals_and_their_variance,
    sessions_are_put_together_by_the_hour,
    nothing_is_removed_before_it_is_rolled_up,
);

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const GAP: i64 = 2 * MINUTE;

/// A generator of our own, so that a failure can be seen again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % u64::try_from(limit).unwrap()).unwrap()
    }
}

async fn write(store: &Store, at: i64, value: f64) {
    let transaction = store.begin().await.unwrap();
    TierRepo(&transaction).late(Timestamp(at)).await.unwrap();
    let samples = [Sample { metric: Metric::CallsPerSecond, label: String::new(), value, histogram: None }];
    MetricRepo(&transaction).insert("main", Timestamp(at), &samples, &mut HashMap::new()).await.unwrap();
    store.commit(transaction).await.unwrap();
}

async fn rolled(store: &Store, tier: i32) -> BTreeMap<i64, (i64, f64, f64, f64, f64, bool, bool)> {
    let rows = entity::metric_rollup::Entity::find().all(store.db()).await.unwrap();
    rows.into_iter()
        .filter(|row| row.tier == tier)
        .map(|row| (row.at, (row.count, row.sum, row.min, row.max, row.last, row.gap, row.reset)))
        .collect()
}

/// Written in any order, with roll-ups in between and everything written late told so: the tiers hold what a naive
/// recount of all samples says.
async fn rolled_up_in_any_order_is_what_a_recount_says(store: Store) {
    for seed in 1..=3 {
        let mut random = Random(seed);
        let start = i64::try_from(seed).unwrap() * 1_000 * HOUR;
        let mut truth = BTreeMap::new();
        for _ in 0..60 {
            let at = start + random.below(3 * HOUR / 30_000) * 30_000;
            let value = random.below(1_000) as f64;
            write(&store, at, value).await;
            truth.insert(at, value);
            if random.below(8) == 0 {
                roll_up(&store, Timestamp(start + random.below(4 * HOUR)), GAP).await.unwrap();
            }
        }
        let events = [Event::new(Timestamp(start + HOUR + 1), EventKind::StatsReset, String::new())];
        EventRepo(store.db()).insert("main", &events).await.unwrap();
        let transaction = store.begin().await.unwrap();
        TierRepo(&transaction).late(Timestamp(start)).await.unwrap();
        store.commit(transaction).await.unwrap();
        roll_up(&store, Timestamp(start + 5 * HOUR), GAP).await.unwrap();
        // Again changes nothing.
        roll_up(&store, Timestamp(start + 5 * HOUR), GAP).await.unwrap();
        for (tier, width) in [(1, 5 * MINUTE), (2, HOUR)] {
            let mut naive = BTreeMap::<i64, Vec<(i64, f64)>>::new();
            for (at, value) in &truth {
                naive.entry(at.div_euclid(width) * width).or_default().push((*at, *value));
            }
            let begins = naive.keys().next().copied();
            let held = rolled(&store, tier).await;
            let held =
                held.into_iter().filter(|(at, _)| *at >= start && *at < start + 5 * HOUR).collect::<BTreeMap<_, _>>();
            assert_eq!(held.keys().collect::<Vec<_>>(), naive.keys().collect::<Vec<_>>(), "seed {seed}, tier {tier}");
            for (at, values) in naive {
                let (count, sum, min, max, last, gap, reset) = held[&at];
                let numbers = values.iter().map(|it| it.1).collect::<Vec<_>>();
                assert_eq!(count, i64::try_from(numbers.len()).unwrap());
                assert!((sum - numbers.iter().sum::<f64>()).abs() < 1e-6);
                assert_eq!(min, numbers.iter().copied().fold(f64::INFINITY, f64::min));
                assert_eq!(max, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                assert_eq!(last, values[values.len() - 1].1, "seed {seed}, tier {tier}, at {at}");
                assert_eq!(reset, (at..at + width).contains(&(start + HOUR + 1)), "seed {seed}, tier {tier}, at {at}");
                assert!(gap || values.len() > 1 || Some(at) == begins, "one sample in five minutes is not all");
            }
        }
    }
}

async fn means(store: &Store, from: i64, to: i64, step: i64) -> Vec<(i64, f64)> {
    let points =
        MetricRepo(store.db()).history("main", Metric::CallsPerSecond, Timestamp(from), Timestamp(to), step).await;
    points.unwrap().into_iter().map(|point| (point.bucket, point.value)).collect()
}

async fn a_range_over_all_tiers_reads_each_moment_once(store: Store) {
    let start = 1_000 * HOUR;
    for i in 0..(12 * 60) {
        write(&store, start + i * MINUTE, i as f64).await;
    }
    let before = means(&store, start, start + 12 * HOUR, HOUR).await;
    roll_up(&store, Timestamp(start + 12 * HOUR), GAP).await.unwrap();
    assert_eq!(means(&store, start, start + 12 * HOUR, HOUR).await, before, "rolled up and still there");
    prune(&store, History::Metrics, 0, Timestamp(start + 8 * HOUR + 7 * MINUTE)).await.unwrap();
    prune(&store, History::Metrics, 1, Timestamp(start + 4 * HOUR + 7 * MINUTE)).await.unwrap();
    let marks = TierRepo(store.db()).marks(History::Metrics).await.unwrap();
    assert_eq!(
        marks.pruned_to,
        [start + 8 * HOUR + 5 * MINUTE, start + 4 * HOUR, 0],
        "along the stretches of the next"
    );
    let raw = TierRepo(store.db()).size(History::Metrics, 0).await.unwrap();
    assert_eq!((raw.number, raw.oldest), (235, Some(start + 8 * HOUR + 5 * MINUTE)));
    let after = means(&store, start, start + 12 * HOUR, HOUR).await;
    assert_eq!(after.len(), before.len());
    for ((bucket, mean), (other, truth)) in after.iter().zip(&before) {
        assert_eq!(bucket, other);
        assert!((mean - truth).abs() < 1e-9, "{mean} {truth}");
    }
    // What is written late into a time that is gone stays out of the way.
    write(&store, start + MINUTE, 1e9).await;
    roll_up(&store, Timestamp(start + 12 * HOUR), GAP).await.unwrap();
    assert_eq!(means(&store, start, start + 12 * HOUR, HOUR).await, after);
}

/// Missing samples and counters that began anew come along with the points of either tier that is rolled up.
async fn a_point_says_what_its_roll_ups_say(store: Store) {
    let start = 1_000 * HOUR;
    for i in (0..(3 * 60)).filter(|i| !(21..29).contains(i)) {
        write(&store, start + i * MINUTE, 1.0).await;
    }
    let events = [Event::new(Timestamp(start + 100 * MINUTE), EventKind::StatsReset, String::new())];
    EventRepo(store.db()).insert("main", &events).await.unwrap();
    roll_up(&store, Timestamp(start + 3 * HOUR), GAP).await.unwrap();
    let flags = async || {
        let (from, to) = (Timestamp(start), Timestamp(start + 3 * HOUR));
        let points = MetricRepo(store.db()).history("main", Metric::CallsPerSecond, from, to, HOUR).await.unwrap();
        points.into_iter().map(|point| (point.bucket, point.gap, point.reset)).collect::<Vec<_>>()
    };
    let silent = [(0, false, false), (1, false, false), (2, false, false)];
    assert_eq!(flags().await, silent, "raw samples say nothing, and are read while they are there");
    let told = [(0, true, false), (1, false, true), (2, false, false)];
    prune(&store, History::Metrics, 0, Timestamp(start + 3 * HOUR)).await.unwrap();
    assert_eq!(flags().await, told, "the middle tier");
    prune(&store, History::Metrics, 1, Timestamp(start + 3 * HOUR)).await.unwrap();
    assert_eq!(flags().await, told, "the coarse tier");
}

/// One that comes in the middle of a stretch and of an hour; where it was gone in between, something is missing.
async fn a_series_lacks_nothing_before_it_begins(store: Store) {
    let start = 1_000 * HOUR;
    for (label, minutes) in [("always", 0..180), ("later", 33..120), ("later", 144..180)] {
        for i in minutes {
            let label = label.to_owned();
            let samples = [Sample { metric: Metric::CallsPerSecond, label, value: 1.0, histogram: None }];
            let at = Timestamp(start + i * MINUTE);
            MetricRepo(store.db()).insert("main", at, &samples, &mut HashMap::new()).await.unwrap();
        }
    }
    // Hour by hour, as time goes by.
    for hour in 1..=3 {
        roll_up(&store, Timestamp(start + hour * HOUR), GAP).await.unwrap();
    }
    let series = entity::metric_series::Entity::find().all(store.db()).await.unwrap();
    let rows = entity::metric_rollup::Entity::find().all(store.db()).await.unwrap();
    let gaps = |label: &str, tier: i32| {
        let id = series.iter().find(|it| it.label == label).unwrap().id;
        let own = rows.iter().filter(|row| row.tier == tier && row.series_id == id && row.gap);
        own.map(|row| (row.at - start) / MINUTE).collect::<Vec<_>>()
    };
    assert_eq!((gaps("later", 1), gaps("later", 2)), (vec![140], vec![120]));
    assert_eq!((gaps("always", 1), gaps("always", 2)), (vec![], vec![]));
}

/// Counts by class are the same sums whether the samples lie there raw, rolled up, or partly both.
async fn distributions_are_put_together_over_all_tiers(store: Store) {
    let start = 1_000 * HOUR;
    let mut truth = BTreeMap::<i64, Vec<u64>>::new();
    for i in 0..(6 * 60_i64) {
        // Every second reading has one; lengths differ.
        let histogram = (i % 2 == 0).then(|| (0..=(i % 7)).map(|class| (i + class).unsigned_abs()).collect::<Vec<_>>());
        for (class, count) in histogram.iter().flatten().enumerate() {
            let sums = truth.entry(i / 60).or_insert_with(|| vec![0; 7]);
            sums[class] += count;
        }
        let samples = [Sample { metric: Metric::MeanLatencyMs, label: String::new(), value: 1.0, histogram }];
        let at = Timestamp(start + i * MINUTE);
        MetricRepo(store.db()).insert("main", at, &samples, &mut HashMap::new()).await.unwrap();
    }
    let read = async || {
        let (from, to) = (Timestamp(start), Timestamp(start + 6 * HOUR));
        MetricRepo(store.db()).histograms("main", Metric::MeanLatencyMs, from, to, HOUR).await.unwrap()
    };
    assert_eq!(read().await, truth);
    roll_up(&store, Timestamp(start + 6 * HOUR), GAP).await.unwrap();
    assert_eq!(read().await, truth, "rolled up and still there");
    prune(&store, History::Metrics, 0, Timestamp(start + 4 * HOUR)).await.unwrap();
    prune(&store, History::Metrics, 1, Timestamp(start + 2 * HOUR)).await.unwrap();
    assert_eq!(read().await, truth, "two hours in each tier");
    let other = MetricRepo(store.db());
    let none = other.histograms("other", Metric::MeanLatencyMs, Timestamp(0), Timestamp(i64::MAX), HOUR).await.unwrap();
    assert_eq!(none, BTreeMap::new());
}

/// Rows and counts by class of a stretch of a tier.
async fn held(store: &Store, tier: i32, at: i64) -> (i64, f64, Option<String>) {
    let rows = entity::metric_rollup::Entity::find().all(store.db()).await.unwrap();
    let row = rows.into_iter().find(|row| row.tier == tier && row.at == at).unwrap();
    (row.count, row.sum, row.histogram)
}

/// In either tier that is read: the figures of the row count, the others' distributions too, and everything goes on.
async fn a_damaged_distribution_is_left_out_and_told_once(store: Store) {
    let start = 1_000 * HOUR;
    for i in 0..120 {
        let histogram = Some(vec![1, 2]);
        let samples = [Sample { metric: Metric::MeanLatencyMs, label: String::new(), value: 2.0, histogram }];
        let at = Timestamp(start + i * MINUTE);
        MetricRepo(store.db()).insert("main", at, &samples, &mut HashMap::new()).await.unwrap();
    }
    let (damaged, last) = (start + 6 * MINUTE, start + 8 * MINUTE);
    let damage = format!("UPDATE metric_sample SET histogram = '[1,' WHERE at IN ({damaged}, {last})");
    assert_eq!(store.db().execute_unprepared(&damage).await.unwrap().rows_affected(), 2);
    let read = async |hour: i64| {
        let (from, to) = (Timestamp(start), Timestamp(start + 2 * HOUR));
        let found = MetricRepo(store.db()).histograms("main", Metric::MeanLatencyMs, from, to, HOUR).await.unwrap();
        found[&hour].clone()
    };
    assert_eq!(read(0).await, [58, 116], "before it is rolled up");
    let told = async || {
        let (from, to) = (Timestamp(start), Timestamp(start + 2 * HOUR));
        EventRepo(store.db()).list_of("main", EventKind::HistoryLost, from, to).await.unwrap()
    };
    assert!(told().await.is_empty());
    roll_up(&store, Timestamp(start + 90 * MINUTE), GAP).await.unwrap();
    assert_eq!(held(&store, 1, start).await, (5, 10.0, Some("[5,10]".to_owned())));
    assert_eq!(held(&store, 1, start + 5 * MINUTE).await, (5, 10.0, Some("[3,6]".to_owned())));
    assert_eq!(held(&store, 1, start + 85 * MINUTE).await, (5, 10.0, Some("[5,10]".to_owned())), "what follows");
    assert_eq!(held(&store, 2, start).await, (60, 120.0, Some("[58,116]".to_owned())));
    let events = told().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].title.starts_with("The distribution of 2 readings from "), "{events:?}");
    assert_eq!(events[0].at, Timestamp(last), "where it lies");

    let transaction = store.begin().await.unwrap();
    TierRepo(&transaction).late(Timestamp(start)).await.unwrap();
    store.commit(transaction).await.unwrap();
    roll_up(&store, Timestamp(start + 90 * MINUTE), GAP).await.unwrap();
    assert_eq!(told().await, events, "rolled up again, it is not told again");

    let damage = format!("UPDATE metric_rollup SET histogram = 'none' WHERE tier = 1 AND at = {}", start + 65 * MINUTE);
    assert_eq!(store.db().execute_unprepared(&damage).await.unwrap().rows_affected(), 1);
    roll_up(&store, Timestamp(start + 2 * HOUR), GAP).await.unwrap();
    assert_eq!(held(&store, 2, start + HOUR).await, (60, 120.0, Some("[55,110]".to_owned())));
    let titles = told().await.into_iter().map(|event| event.title).collect::<Vec<_>>();
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles[1].starts_with("The distribution of 1 reading from "), "{titles:?}");
    assert_eq!(read(1).await, [60, 120], "the readings themselves have it");
}

async fn nothing_is_removed_before_it_is_rolled_up(store: Store) {
    let start = 1_000 * HOUR;
    for i in 0..60 {
        write(&store, start + i * MINUTE, 1.0).await;
    }
    assert_eq!(prune(&store, History::Metrics, 0, Timestamp(start + 9 * HOUR)).await.unwrap(), 0);
    roll_up(&store, Timestamp(start + 31 * MINUTE), GAP).await.unwrap();
    assert_eq!(prune(&store, History::Metrics, 0, Timestamp(start + 9 * HOUR)).await.unwrap(), 30);
    assert_eq!(prune(&store, History::Metrics, 1, Timestamp(start + 9 * HOUR)).await.unwrap(), 0);
}

async fn statements_keep_their_totals_and_their_variance(store: Store) {
    let repo = StatementRepo(store.db());
    let key = StatementKey { dbid: 1, userid: 2, queryid: 3, toplevel: true };
    let text = StatementText { key, database: "d".into(), user: "u".into(), query: "SELECT 1".into() };
    repo.insert_texts("main", &[text], Timestamp(1)).await.unwrap();
    let id = repo.find("main", key).await.unwrap().unwrap().id;
    let start = 1_000 * HOUR;
    let mut random = Random(7);
    for i in 1..=(6 * 60) {
        let calls = 1 + random.below(50);
        let row = StatementSampleRow {
            statement_id: id,
            calls,
            total_ms: calls as f64 * (1.0 + random.below(100) as f64),
            m2: random.below(10_000) as f64,
            max_ms: random.below(500) as f64,
            rows: calls,
            shared_blks_hit: 1,
            shared_blks_read: 2,
            temp_blks_written: 3,
            wal_bytes: 4,
        };
        repo.insert_samples(Timestamp(start + i * MINUTE), MINUTE, &[row]).await.unwrap();
    }
    let all = async || repo.totals("main", Timestamp(start), Timestamp(start + 6 * HOUR)).await.unwrap().remove(0);
    let m2 =
        |total: &store::StatementTotal| total.m2 + total.squares - total.total_ms * total.total_ms / total.calls as f64;
    let before = all().await;
    roll_up(&store, Timestamp(start + 6 * HOUR), GAP).await.unwrap();
    prune(&store, History::Statements, 0, Timestamp(start + 4 * HOUR + 15 * MINUTE)).await.unwrap();
    prune(&store, History::Statements, 1, Timestamp(start + 2 * HOUR + 15 * MINUTE)).await.unwrap();
    let marks = TierRepo(store.db()).marks(History::Statements).await.unwrap();
    assert_eq!(marks.pruned_to, [start + 4 * HOUR + 10 * MINUTE, start + 2 * HOUR, 0]);
    let after = all().await;
    assert_eq!((after.calls, after.row_count, after.wal_bytes), (before.calls, before.row_count, before.wal_bytes));
    assert_eq!(after.max_ms, before.max_ms);
    assert!((after.total_ms - before.total_ms).abs() < 1e-6);
    assert!((m2(&after) / m2(&before) - 1.0).abs() < 1e-9, "{} {}", m2(&after), m2(&before));
    assert_eq!(
        repo.covered_since("main", Timestamp(start), Timestamp(start + 6 * HOUR)).await.unwrap(),
        Some(Timestamp(start))
    );
    let buckets = repo.buckets(&[id], Timestamp(start), Timestamp(start + 6 * HOUR), HOUR).await.unwrap();
    assert_eq!(buckets.len(), 6);
    assert_eq!(buckets.iter().map(|it| it.calls).sum::<i64>(), before.calls);
}

async fn sessions_are_put_together_by_the_hour(store: Store) {
    let repo = SessionHistoryRepo(store.db());
    let key = |user: &str| SessionKey { wait_class: "CPU".into(), user: user.into(), ..SessionKey::default() };
    for i in 1..=120 {
        let bucket = SessionBucket {
            samples: 60,
            skipped: 1,
            interval_ms: MINUTE,
            rows: vec![(key("ada"), 30), (key("bob"), i % 2)],
        };
        repo.insert("main", Timestamp(i * MINUTE), &bucket, &mut HashMap::new()).await.unwrap();
    }
    let load = async || {
        let points = repo.load("main", LoadBy::User, Timestamp(0), Timestamp(2 * HOUR), HOUR).await.unwrap();
        points.into_iter().map(|point| (point.name, point.bucket, point.samples)).collect::<Vec<_>>()
    };
    let before = load().await;
    let roll = async || {
        let transaction = store.begin().await.unwrap();
        let more = SessionHistoryRepo(&transaction).roll_up(Timestamp(HOUR + 30 * MINUTE), |rows| rows).await.unwrap();
        store.commit(transaction).await.unwrap();
        more
    };
    assert!(roll().await, "an hour is whole");
    assert!(!roll().await, "the next is not");
    assert_eq!(load().await, before);
    let samples = repo.samples("main", Timestamp(0), Timestamp(2 * HOUR), HOUR).await.unwrap();
    assert_eq!(samples.iter().map(|it| (it.samples, it.skipped)).collect::<Vec<_>>(), [(3_600, 60), (3_600, 60)]);
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM session_bucket";
    let row = store.db().query_one_raw(Statement::from_string(store.db().get_database_backend(), sql)).await.unwrap();
    assert_eq!(row.unwrap().try_get::<i64>("", "n").unwrap(), 61);
    assert!(store.bytes().await.unwrap() > 0);
}
