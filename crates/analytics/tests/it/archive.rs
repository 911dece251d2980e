use crate::{
    rollups::{DIFFERENCES, SETS_DIFFER},
    world::{A, DAY, World, at, now, roll_up},
};
use analytics::{Analytics, AnalyticsError, ArchiveStep};
use backup::{KeySource, Repository};
use blobs::{BlobStore, Bytes, DirStore};
use domain::view::{ErasureReport, SubjectPlan};
use migration::{IdpMigrator, MigratorTrait as _};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

struct Archive {
    repository: Repository,
    store: Arc<dyn BlobStore>,
    _directory: tempfile::TempDir,
}

async fn repository() -> Archive {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(DirStore::create(directory.path()).unwrap());
    let (key, _) = KeySource::new_file().unwrap();
    let repository = Repository::init(store.clone(), Some(&key)).await.unwrap();
    Archive { repository, store, _directory: directory }
}

/// Partitions back to seven months ago, and rows in them: 2,000 events of 50 users and 2,000 metrics, for two tenants.
async fn filled() -> (World, Analytics) {
    let world = World::new().await;
    let analytics = world.analytics();
    world.sql("SELECT analytics_ensure_partition(p, (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => n))::date) FROM unnest(ARRAY['plugin_analytics', 'plugin_metrics']) p, generate_series(5, 7) n;
        INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, country, properties, event_id, \"timestamp\")
        SELECT n % 6 + 1, n % 6 / 3 + 1, 'view', CASE WHEN n % 11 > 0 THEN 'user-' || n % 50 END, CASE WHEN n % 7 > 0 THEN 'DE' END, jsonb_build_object('a', E'tab\\t\\\\ ü ' || n), 'e' || n, now() - n * interval '150 minutes' FROM generate_series(0, 1999) n;
        INSERT INTO plugin_metrics (plugin_id, metric_name, value, \"timestamp\") SELECT n % 6 + 1, 'cpu', CASE n WHEN 5 THEN 'NaN'::float8 ELSE n / 7.0 END, now() - n * interval '150 minutes' FROM generate_series(0, 1999) n;
        INSERT INTO plugin_operations (plugin_id, environment, operation_type, status, started_by) VALUES (1, 'production', 'install', 'succeeded', 'user-7');
        INSERT INTO audit_logs (tenant_id, actor, action, object_kind, object_id, detail) VALUES (1, 'user-7', 'x', 'plugin', '1', '{\"who\": \"user-7\"}')").await;
    roll_up(&analytics).await;
    (world, analytics)
}

const BOTH: &str = "SELECT (SELECT count(*) FROM plugin_analytics) + (SELECT count(*) FROM plugin_metrics)";
const ARCHIVED: &str = "SELECT coalesce(sum(row_count), 0)::int8 FROM analytics_archives";
const COUNTED: &str = "SELECT (SELECT sum(events) FROM analytics_events_day)::int8 + (SELECT sum(samples) FROM analytics_metrics_day)::int8";

#[tokio::test(flavor = "multi_thread")]
async fn months_are_archived_and_come_back_as_they_were() {
    let (world, analytics) = filled().await;
    let archive = repository().await;
    let counted = world.number(COUNTED).await;
    let plan = analytics.archive(&archive.repository, true, &|_| {}).await.unwrap();
    assert!(plan.months.len() >= 6 && plan.months.iter().all(|it| it.stored_bytes == 0), "{plan:?}");
    assert_eq!(world.number(BOTH).await, 4_000, "a dry run changes nothing");

    let before = world.number("SELECT count(*) FROM plugin_analytics WHERE \"timestamp\" < date_trunc('month', now() - interval '4 months')").await;
    let hash = "SELECT coalesce(sum(hashtextextended(concat_ws('|', plugin_id, tenant_id, event_type, user_id, country, properties, \"timestamp\", event_id), 0)::numeric) % 1000000007, 0)::int8 FROM";
    let sum = world.number(&format!("{hash} plugin_analytics WHERE \"timestamp\" < now() - interval '130 days'")).await;
    let metrics = "SELECT coalesce(sum(hashtextextended(concat_ws('|', plugin_id, tenant_id, metric_name, value, \"timestamp\"), 0)::numeric) % 1000000007, 0)::int8 FROM";
    let metric_sum =
        world.number(&format!("{metrics} plugin_metrics WHERE \"timestamp\" < now() - interval '130 days'")).await;
    let done = analytics.archive(&archive.repository, false, &|_| {}).await.unwrap();
    assert_eq!(done.months.len(), plan.months.len());
    assert!(done.waiting.is_empty() && !done.busy, "{done:?}");
    assert_eq!(done.months.iter().map(|it| it.rows).sum::<i64>(), plan.months.iter().map(|it| it.rows).sum::<i64>());
    assert!(before > 0 && world.number(ARCHIVED).await >= before);
    assert_eq!(world.number(BOTH).await + world.number(ARCHIVED).await, 4_000);
    // The roll-ups stand, and answer for what is gone.
    assert_eq!(world.number(COUNTED).await, counted);
    roll_up(&analytics).await;
    assert_eq!(world.number(COUNTED).await, counted);
    // Again there is nothing to do.
    assert!(analytics.archive(&archive.repository, false, &|_| {}).await.unwrap().months.is_empty());
    let listed = analytics.archives(&archive.repository).await.unwrap();
    assert_eq!(listed.len(), done.months.len());
    assert!(listed.iter().all(|it| it.dropped));
    // Nothing of it can be read without the key.
    for info in archive.store.list("archives/").await.unwrap() {
        let bytes = archive.store.get(&info.key).await.unwrap();
        assert!(!bytes.windows(5).any(|it| it == b"user-" || it == b"PAR1\0"), "{}", info.key);
    }

    // What is older is refused, by us and by the database.
    let refused =
        world.number("SELECT count(*) FROM analytics_state WHERE raw_from > now() - interval '90 days'").await;
    assert_eq!(refused, 0);
    let mut late = sqlx::postgres::PgListener::connect(&world.superuser_url).await.unwrap();
    let error = sqlx::query("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, \"timestamp\") VALUES (1, 1, 'view', now() - interval '200 days')").execute(&mut late).await.unwrap_err();
    assert!(error.to_string().contains("archived"), "{error}");

    let from = now() - 220 * DAY;
    let back = analytics.restore_archived(&archive.repository, at(from), at(now() - 130 * DAY), &|_| {}).await.unwrap();
    assert!(back.events > 300 && back.metrics > 300, "{back:?}");
    assert_eq!(
        world
            .number(&format!(
                "{hash} analytics_restored.plugin_analytics WHERE \"timestamp\" < now() - interval '130 days'"
            ))
            .await,
        sum
    );
    assert_eq!(
        world
            .number(&format!(
                "{metrics} analytics_restored.plugin_metrics WHERE \"timestamp\" < now() - interval '130 days'"
            ))
            .await,
        metric_sum
    );
    // Twice is once.
    let again =
        analytics.restore_archived(&archive.repository, at(from), at(now() - 130 * DAY), &|_| {}).await.unwrap();
    assert_eq!(again, back);
    assert_eq!(world.number("SELECT count(*) FROM analytics_restored.plugin_analytics").await as u64, back.events);
    assert_eq!(analytics.discard_restored().await.unwrap(), back.events + back.metrics);
    let nothing = analytics.restore_archived(&archive.repository, at(now() - 10 * DAY), at(now()), &|_| {}).await;
    assert!(matches!(nothing, Err(AnalyticsError::NotFound(_))), "{nothing:?}");
}

/// Sessions of ours in this database that are in the midst of something.
const AT_WORK: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'idp_api' AND datname = current_database() AND state <> 'idle'";

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_nothing_is_lost_and_nothing_doubled() {
    let (world, analytics) = filled().await;
    let archive = repository().await;
    let steps = Arc::new(Mutex::new(Vec::new()));
    // Killed at the n-th step of a run, the next step of the next run, and so on.
    for n in 0..40 {
        let (dead, ended) = tokio::sync::oneshot::channel::<()>();
        let dead = Mutex::new(Some(dead));
        let count = std::sync::atomic::AtomicUsize::new(0);
        let told = steps.clone();
        let last = n % 5;
        let step = move |step: ArchiveStep| {
            told.lock().unwrap().push(step);
            if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == last {
                drop(dead.lock().unwrap().take());
                // The task ends at its next await: as a process does that is killed here.
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        };
        let (running, repository) = (analytics.clone(), archive.repository.clone());
        let task = tokio::spawn(async move { running.archive(&repository, false, &step).await });
        let abort = task.abort_handle();
        let killer = tokio::spawn(async move {
            let _ = ended.await;
            abort.abort();
        });
        let ended = task.await;
        killer.abort();
        // What its connection was doing ends with it, a commit perhaps, and so does its claim.
        let begun = std::time::Instant::now();
        while world.number(AT_WORK).await > 0 {
            assert!(begun.elapsed() < Duration::from_secs(100), "a session of run {n} goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.number(BOTH).await + world.number(ARCHIVED).await, 4_000, "after run {n}");
        if let Ok(done) = ended {
            let done = done.unwrap();
            if !done.busy && done.months.is_empty() {
                break;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let rest = analytics.archive(&archive.repository, false, &|_| {}).await.unwrap();
    assert!(rest.months.is_empty() && !rest.busy, "{rest:?}");
    let steps = steps.lock().unwrap().clone();
    for step in [ArchiveStep::Verified, ArchiveStep::Committed, ArchiveStep::Dropped] {
        assert!(steps.contains(&step), "{step:?} was never reached");
    }
    // What stands in the repository is what was dropped, once.
    let listed = analytics.archives(&archive.repository).await.unwrap();
    assert_eq!(listed.iter().map(|it| it.rows as i64).sum::<i64>(), world.number(ARCHIVED).await);
    let back =
        analytics.restore_archived(&archive.repository, at(now() - 260 * DAY), at(now()), &|_| {}).await.unwrap();
    assert_eq!((back.events + back.metrics) as i64, world.number(ARCHIVED).await);
    let objects = archive.store.list("archives/").await.unwrap();
    let named = listed.iter().map(|it| it.objects as usize + 1).sum::<usize>();
    assert_eq!(objects.len(), named, "nothing is left over: {objects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_changes_while_it_is_exported_is_not_dropped() {
    let (world, analytics) = filled().await;
    let archive = repository().await;
    let url = world.superuser_url.clone();
    // A row comes between export and drop.
    let step = move |step: ArchiveStep| {
        if step == ArchiveStep::Committed {
            let url = url.clone();
            std::thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                    let mut connection = sqlx::postgres::PgListener::connect(&url).await.unwrap();
                    // Only while the month still takes rows.
                    let _ = sqlx::query("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, \"timestamp\") SELECT 1, 1, 'late', date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '6 months' + interval '3 days'").execute(&mut connection).await;
                });
            })
            .join()
            .unwrap();
        }
    };
    let done = analytics.archive(&archive.repository, false, &step).await.unwrap();
    assert!(done.waiting.iter().any(|it| it.contains("changed while it was exported")), "{done:?}");
    let total = world.number(BOTH).await + world.number(ARCHIVED).await;
    assert!(total > 4_000);
    // The next run takes it with what came.
    let done = analytics.archive(&archive.repository, false, &|_| {}).await.unwrap();
    assert!(done.waiting.is_empty() && !done.months.is_empty(), "{done:?}");
    assert_eq!(world.number(BOTH).await + world.number(ARCHIVED).await, total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_refused_and_named() {
    let (world, analytics) = filled().await;
    let archive = repository().await;
    analytics.archive(&archive.repository, false, &|_| {}).await.unwrap();
    let objects = archive.store.list("archives/").await.unwrap();
    let victim = objects.iter().find(|it| it.key.contains("/events/") && it.key.contains("/data-")).unwrap();
    let whole = archive.store.get(&victim.key).await.unwrap();
    let other = objects.iter().find(|it| it.key.contains("/data-") && it.key != victim.key).unwrap();
    let flipped = {
        let mut bytes = whole.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    for bytes in [flipped, whole[..whole.len() - 9].to_vec(), archive.store.get(&other.key).await.unwrap().to_vec()] {
        archive.store.put(&victim.key, Bytes::from(bytes)).await.unwrap();
        let error = analytics
            .restore_archived(&archive.repository, at(now() - 260 * DAY), at(now()), &|_| {})
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&victim.key), "{error}");
        assert_eq!(world.number("SELECT count(*) FROM analytics_restored.plugin_analytics").await, 0, "all or nothing");
    }
    archive.store.delete(&victim.key).await.unwrap();
    let error =
        analytics.restore_archived(&archive.repository, at(now() - 260 * DAY), at(now()), &|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");
    archive.store.put(&victim.key, whole).await.unwrap();
    assert!(
        analytics
            .restore_archived(&archive.repository, at(now() - 260 * DAY), at(now()), &|_| {})
            .await
            .unwrap()
            .events
            > 0
    );
}

/// The document, put together from its pieces.
async fn exported(analytics: &Analytics, subject: &str, repository: &Repository) -> serde_json::Value {
    let (to, mut pieces) = tokio::sync::mpsc::channel::<String>(2);
    let gather = async {
        let mut text = String::new();
        while let Some(piece) = pieces.recv().await {
            assert!(piece.len() < 1 << 20, "a piece of {} bytes", piece.len());
            text.push_str(&piece);
        }
        text
    };
    let write = async {
        analytics.subject_export(None, subject, Some(repository), &to).await.unwrap();
        drop(to);
    };
    let ((), text) = tokio::join!(write, gather);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["complete"], true);
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn erasure_reaches_rows_roll_ups_and_archive_or_waits_for_it() {
    let (world, analytics) = filled().await;
    let archive = repository().await;
    let everywhere = "SELECT count(*) FROM plugin_analytics WHERE user_id = 'user-7'";
    let all = world.number(everywhere).await;
    analytics.archive(&archive.repository, false, &|_| {}).await.unwrap();
    world.sql("UPDATE plugins SET owner = 'user-7' WHERE id = 2").await;
    let mut changes = sqlx::postgres::PgListener::connect(&world.superuser_url).await.unwrap();
    changes.listen(catalog::CHANNEL).await.unwrap();
    let live = world.number(everywhere).await;
    assert!(live > 0 && all > live);
    let plan = analytics.subject_plan(None, "user-7", Some(&archive.repository)).await.unwrap();
    assert_eq!((plan.events, plan.operations, plan.plugins, plan.audit_rows), (live, 1, 1, 1));
    assert!(plan.user_days > 0 && plan.archived_months.unwrap() >= 3, "{plan:?}");
    let export = exported(&analytics, "user-7", &archive.repository).await;
    assert_eq!(export["events"].as_array().unwrap().len() as i64, live);
    assert_eq!(export["archived_events"].as_array().unwrap().len() as i64, all - live);
    assert_eq!(export["operations"].as_array().unwrap().len(), 1);
    let owned = export["plugins"].as_array().unwrap();
    assert_eq!(owned.iter().map(|it| it["id"].as_i64()).collect::<Vec<_>>(), [Some(2)]);
    assert!(!export.to_string().contains("user-8"));

    assert_eq!(export["users"].as_array().unwrap().len(), 2, "known to both tenants");
    // In sets of days whose rows are archived, too.
    let numbers = "SELECT count(*) FROM analytics_user_sets s, analytics_users u, LATERAL generate_series(1, octet_length(s.users), 4) AS i WHERE u.user_id = 'user-7' AND s.tenant_id = u.tenant_id AND substring(s.users FROM i FOR 4) = int4send(u.number) AND s.day < (SELECT raw_from FROM analytics_state WHERE kind = 'events')";
    assert!(world.number(numbers).await > 0);
    let users = world.number("SELECT sum(octet_length(users)) FROM analytics_user_sets WHERE dimension = 'all'").await;

    // Without a repository the archive waits, and gives nothing of it back meanwhile.
    let report = analytics.subject_erase(None, "user-7", "ada", None, &SubjectPlan::default()).await.unwrap();
    assert_eq!((report.state.as_str(), report.live.events, report.live.plugins), ("pending", live, 1));
    assert_eq!(world.number("SELECT count(*) FROM plugins WHERE owner = 'erased' AND id = 2").await, 1);
    let told = tokio::time::timeout(Duration::from_secs(60), changes.recv()).await.unwrap().unwrap();
    assert_eq!(told.payload(), "1", "answers about the plugin are remembered no longer");
    assert_eq!(world.number("SELECT (SELECT count(*) FROM plugin_analytics WHERE user_id = 'user-7') + (SELECT count(*) FROM analytics_user_days WHERE user_id = 'user-7') + (SELECT count(*) FROM analytics_users WHERE user_id = 'user-7') + (SELECT count(*) FROM plugin_operations WHERE started_by = 'user-7') + (SELECT count(*) FROM audit_logs WHERE actor = 'user-7' OR detail::text LIKE '%user-7%')").await, 0);
    assert_eq!(world.number(SETS_DIFFER).await, 0, "no set has a number that is nobody's");
    assert!(
        world.number("SELECT sum(octet_length(users)) FROM analytics_user_sets WHERE dimension = 'all'").await < users
    );
    let back =
        analytics.restore_archived(&archive.repository, at(now() - 260 * DAY), at(now()), &|_| {}).await.unwrap();
    assert_eq!(back.withheld as i64, all - live);
    assert_eq!(
        world.number("SELECT count(*) FROM analytics_restored.plugin_analytics WHERE user_id = 'user-7'").await,
        0
    );

    assert_eq!(analytics.erasures_finish(&archive.repository).await.unwrap(), 1);
    let done: ErasureReport = analytics.erasures(None).await.unwrap().remove(0);
    assert_eq!((done.state.as_str(), done.archives.rows as i64), ("done", all - live));
    assert!(done.archives.rewritten > 0 && done.finished_at.is_some(), "{done:?}");
    assert_eq!(
        world.number("SELECT count(*) FROM analytics_erasures WHERE subject IS NOT NULL").await,
        0,
        "its name goes with the work"
    );
    let export = exported(&analytics, "user-7", &archive.repository).await;
    assert!(
        export["archived_events"].as_array().unwrap().is_empty() && export["events"].as_array().unwrap().is_empty()
    );
    // The others are all there, and the month that was written anew can be brought back.
    let others = exported(&analytics, "user-8", &archive.repository).await;
    assert!(!others["archived_events"].as_array().unwrap().is_empty());
    let back =
        analytics.restore_archived(&archive.repository, at(now() - 260 * DAY), at(now()), &|_| {}).await.unwrap();
    assert_eq!(back.withheld, 0);
    assert_eq!(world.number(ARCHIVED).await as u64, back.events + back.metrics);
    // One tenant's erasure leaves the same name at another.
    let theirs = "SELECT count(*) FROM plugin_analytics WHERE user_id = 'user-8' AND tenant_id = 2";
    let before = world.number(theirs).await;
    let report = analytics
        .subject_erase(Some(A), "user-8", "ada", Some(&archive.repository), &SubjectPlan::default())
        .await
        .unwrap();
    assert_eq!(report.state, "done", "{report:?}");
    assert_eq!(world.number(theirs).await, before);
    assert_eq!(
        world.number("SELECT count(*) FROM plugin_analytics WHERE user_id = 'user-8' AND tenant_id = 1").await,
        0
    );
    // Of the months that are live the roll-ups equal their rows.
    assert_eq!(world.number(DIFFERENCES).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn months_in_another_repository_are_named_and_an_erasure_waits_for_them() {
    let (world, analytics) = filled().await;
    let (before, after) = (repository().await, repository().await);
    analytics.archive(&before.repository, false, &|_| {}).await.unwrap();
    let place = before.store.describe();
    // Backups go to another place from now on.
    let report =
        analytics.subject_erase(None, "user-7", "ada", Some(&after.repository), &SubjectPlan::default()).await.unwrap();
    let why = report.pending_reason.clone().unwrap_or_default();
    assert!(report.state == "pending" && report.live.events > 0 && why.contains(&place), "{report:?}");
    let span = (at(now() - 260 * DAY), at(now() - 130 * DAY));
    let error = analytics.restore_archived(&after.repository, span.0, span.1, &|_| {}).await.unwrap_err();
    assert!(matches!(&error, AnalyticsError::NotFound(why) if why.contains(&place)), "{error}");
    assert_eq!(analytics.erasures_finish(&after.repository).await.unwrap(), 0, "it goes on waiting");

    assert_eq!(analytics.erasures_finish(&before.repository).await.unwrap(), 1);
    let done: ErasureReport = analytics.erasures(None).await.unwrap().remove(0);
    assert_eq!((done.state.as_str(), done.pending_reason.as_deref()), ("done", None));
    assert!(done.archives.rows > 0 && done.archives.rewritten > 0, "{done:?}");
    let export = exported(&analytics, "user-7", &before.repository).await;
    assert!(export["archived_events"].as_array().unwrap().is_empty());
    // A month that is nowhere any more is given up by whoever says so.
    let report =
        analytics.subject_erase(None, "user-8", "ada", Some(&after.repository), &SubjectPlan::default()).await.unwrap();
    assert_eq!(report.state, "pending");
    world.sql("DELETE FROM analytics_archives").await;
    assert_eq!(analytics.erasures_finish(&after.repository).await.unwrap(), 1);
}

/// What it brings back was read before the erasure was known.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_in_the_middle_of_a_restore_waits_for_it_and_takes_what_it_brought_back() {
    let (world, analytics) = filled().await;
    let archive = repository().await;
    analytics.archive(&archive.repository, false, &|_| {}).await.unwrap();
    let (own, report) = (SubjectPlan::default(), Mutex::new(None));
    let erase = |_: u64| {
        let mut report = report.lock().unwrap();
        if report.is_none() {
            let erasing = analytics.subject_erase(None, "user-7", "ada", Some(&archive.repository), &own);
            let erased = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(erasing));
            *report = Some(erased.unwrap());
        }
    };
    let back = analytics.restore_archived(&archive.repository, at(now() - 260 * DAY), at(now()), &erase).await.unwrap();
    let report = report.into_inner().unwrap().unwrap();
    let why = report.pending_reason.clone().unwrap_or_default();
    assert!(report.state == "pending" && why.contains("another process works on the archive"), "{report:?}");
    assert_eq!(back.withheld, 0, "it knew of no erasure");
    let of_subject = "SELECT count(*) FROM analytics_restored.plugin_analytics WHERE user_id = 'user-7'";
    assert!(world.number(of_subject).await > 0);

    assert_eq!(analytics.erasures_finish(&archive.repository).await.unwrap(), 1);
    assert_eq!(world.number(of_subject).await, 0);
    let others = "SELECT count(*) FROM analytics_restored.plugin_analytics";
    assert!(world.number(others).await > 0, "only the subject's rows went");
    assert_eq!(analytics.erasures(None).await.unwrap().remove(0).state, "done");
}

/// On a database that is written to, something is always marked to be rolled up.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_and_a_roll_up_of_everything_end_while_events_go_on_coming() {
    let (world, analytics) = filled().await;
    let archive = repository().await;
    analytics.archive(&archive.repository, false, &|_| {}).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (url, stop) = (world.superuser_url.clone(), stop.clone());
        async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                connection.execute("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id) VALUES (1, 1, 'view', 'user-8')").await.unwrap();
                written += 1;
            }
            written
        }
    });
    // It would go on for ever; the limit is not how long it takes.
    let limit = Duration::from_secs(300);
    let own = SubjectPlan::default();
    let erasing = analytics.subject_erase(None, "user-7", "ada", Some(&archive.repository), &own);
    let report = tokio::time::timeout(limit, erasing).await.unwrap().unwrap();
    assert!(report.state == "done" && report.live.events > 0 && report.archives.rows > 0, "{report:?}");
    assert_eq!(world.number("SELECT (SELECT count(*) FROM plugin_analytics WHERE user_id = 'user-7') + (SELECT count(*) FROM analytics_user_days WHERE user_id = 'user-7')").await, 0);
    tokio::time::timeout(limit, analytics.roll_up_all()).await.unwrap().unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
    roll_up(&analytics).await;
    assert_eq!(world.number(DIFFERENCES).await, 0);
}

/// The live rows are gone with the first commit; what fails after it must not say that nothing was changed.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_whose_roll_up_fails_is_told_as_done() {
    let (world, analytics) = filled().await;
    world.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no roll-up'; END $$; CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON analytics_events_hour FOR EACH STATEMENT EXECUTE FUNCTION refuse()").await;
    let report = analytics.subject_erase(None, "user-7", "ada", None, &SubjectPlan::default()).await.unwrap();
    assert!(report.live.events > 0 && report.state == "pending", "{report:?}");
    assert_eq!(world.number("SELECT count(*) FROM plugin_analytics WHERE user_id = 'user-7'").await, 0);
    world.sql("DROP TRIGGER refuse ON analytics_events_hour").await;
    roll_up(&analytics).await;
    assert_eq!(world.number(DIFFERENCES).await, 0);
}

/// What an existing database has: roll-ups, of some months nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn totals_and_sets_are_filled_from_the_roll_ups_that_are_there() {
    let (world, analytics) = filled().await;
    let archive = repository().await;
    analytics.archive(&archive.repository, false, &|_| {}).await.unwrap();
    let sums = "SELECT ((SELECT sum(events) FROM analytics_events_hour_total) + (SELECT sum(events * length(dimension || key)) FROM analytics_events_day_total) + (SELECT sum(samples) FROM analytics_metrics_day_total) + (SELECT sum(octet_length(users) * length(dimension || key)) FROM analytics_user_sets))::int8";
    let before = world.number(sums).await;
    assert!(before > 0 && world.number("SELECT count(*) FROM analytics_archives").await > 0);
    let names = IdpMigrator::migrations().iter().map(|it| it.name().to_owned()).collect::<Vec<_>>();
    let place = names.iter().position(|it| it.contains("analytics_totals")).unwrap();
    let mut options = sea_orm::ConnectOptions::new(world.superuser_url.clone());
    options.max_connections(1).sqlx_logging(false);
    let migrating = sea_orm::Database::connect(options).await.unwrap();
    IdpMigrator::down(&migrating, Some(u32::try_from(names.len() - place).unwrap())).await.unwrap();
    assert_eq!(world.number("SELECT count(to_regclass('analytics_user_sets'))").await, 0);
    // Marks of the trigger as it was before stand there when the migration comes.
    world.sql("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, country) VALUES (1, 1, 'view', 'between', 'DE')").await;
    IdpMigrator::up(&migrating, None).await.unwrap();
    migrating.close().await.unwrap();
    assert_eq!(world.number(sums).await, before);
    let wide = "SELECT count(*) FROM pg_index WHERE indrelid IN ('analytics_events_hour_total'::regclass, 'analytics_events_day_total'::regclass) AND indnatts = indnkeyatts + 1 AND indisprimary AND indisvalid";
    assert_eq!(world.number(wide).await, 2, "the primary keys carry the events");
    assert_eq!(world.number(SETS_DIFFER).await, 0);
    roll_up(&analytics).await;
    assert_eq!(world.number(DIFFERENCES).await, 0);
    assert_eq!(world.number("SELECT count(*) FROM analytics_users WHERE user_id = 'between'").await, 1);
}
