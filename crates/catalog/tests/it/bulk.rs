//! Many at once: refused, repeated, cut off at every step, a hundred thousand.
use crate::{A, World, until};
use catalog::{BulkMode, BulkOperation, BulkRequest, Catalog, CatalogError};
use pool::{PoolSettings, Pools};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use test_support::{ChaosProxy, Weather};

fn request(operation: BulkOperation, mode: BulkMode, plugins: BTreeSet<i64>) -> BulkRequest {
    BulkRequest { operation, mode, plugins, add_tags: Vec::new(), remove_tags: Vec::new(), versions: BTreeMap::new() }
}

fn tag(mode: BulkMode, plugins: BTreeSet<i64>) -> BulkRequest {
    BulkRequest { add_tags: vec!["bulk".to_owned()], ..request(BulkOperation::Tag, mode, plugins) }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_checks_its_items_and_is_done_once() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let run = async |key: &str, request: &BulkRequest| catalog.bulk_run(A, key, "ada", request, &|_, _| {}).await;

    // 41's newest version needs nothing; 2 is installed already; 999 is not there.
    let install = request(BulkOperation::Install, BulkMode::Each, [2, 41, 999].into());
    let planned = catalog.bulk_plan(A, &install).await.unwrap();
    assert_eq!((planned.done, planned.unchanged, planned.refused, planned.state.as_str()), (1, 1, 1, "planned"));
    assert_eq!(world.number("SELECT count(*) FROM plugins WHERE id = 41 AND is_installed").await, 0, "only planned");
    let report = run("install", &install).await.unwrap();
    assert_eq!((report.done, report.unchanged, report.refused, report.repeated), (1, 1, 1, false));
    assert_eq!(world.number("SELECT count(*) FROM plugins WHERE id = 41 AND installed_version = '2.0.0'").await, 1);
    // The same key: nothing is done again, and the same is told.
    let again = run("install", &install).await.unwrap();
    assert_eq!((again.id, again.done, again.repeated), (report.id, 1, true));
    assert_eq!(
        world.number("SELECT count(*) FROM plugin_operations WHERE plugin_id = 41 AND started_by = 'ada'").await,
        1
    );
    assert_eq!(world.number("SELECT count(*) FROM audit_logs WHERE actor = 'ada'").await, 1);
    let other = request(BulkOperation::Install, BulkMode::Each, [43].into());
    assert!(matches!(run("install", &other).await, Err(CatalogError::Conflict(_))));

    // All or none: one is refused, so none is done.
    let enable = request(BulkOperation::Enable, BulkMode::Atomic, [2, 3].into());
    let report = run("enable", &enable).await.unwrap();
    assert_eq!((report.state.as_str(), report.done, report.refused), ("refused", 0, 1));
    assert!(report.problems[0].reason.contains("install it first"), "{report:?}");
    assert_eq!(world.number("SELECT count(*) FROM plugins WHERE id = 2 AND is_enabled").await, 0);

    // 28 is enabled and needs 14; 56 needs 28.
    world.sql("UPDATE plugins SET is_enabled = true WHERE id IN (14, 28, 56)").await;
    let report = run("d1", &request(BulkOperation::Disable, BulkMode::Each, [14].into())).await.unwrap();
    assert!(report.problems[0].reason.contains("plugin-28 needs it"), "{report:?}");
    let report = run("d2", &request(BulkOperation::Disable, BulkMode::Atomic, [14, 28, 56].into())).await.unwrap();
    assert_eq!(report.done, 3, "together they may: {report:?}");
    let report = run("u", &request(BulkOperation::Upgrade, BulkMode::Atomic, [2, 4].into())).await.unwrap();
    assert_eq!(report.done, 2, "{report:?}");
    let report = run("x", &request(BulkOperation::Delete, BulkMode::Each, [14, 60].into())).await.unwrap();
    assert_eq!((report.done, report.refused), (1, 1), "{report:?}");
    assert_eq!(world.number("SELECT count(*) FROM plugins WHERE id IN (14, 60)").await, 1);

    for wrong in [
        request(BulkOperation::Tag, BulkMode::Each, [1].into()),
        request(BulkOperation::Delete, BulkMode::Each, BTreeSet::new()),
        BulkRequest { add_tags: vec!["x".to_owned()], ..request(BulkOperation::Enable, BulkMode::Each, [1].into()) },
    ] {
        assert!(matches!(run("wrong", &wrong).await, Err(CatalogError::Invalid { .. })), "{wrong:?}");
    }
}

/// 5 is installed at 1.1.0 and needs nothing; 7 needs 5 at ^2, 8 (installed) at ^1.
const RANGES: &str = "
    UPDATE plugins SET is_installed = true, is_enabled = false, installed_version = '1.1.0' WHERE id IN (5, 8);
    INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range)
    SELECT v.id, 5, CASE v.plugin_id WHEN 7 THEN '^2' ELSE '^1' END FROM plugin_versions v WHERE v.plugin_id = 7 OR (v.plugin_id = 8 AND v.version = '1.1.0')";

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_do_not_go_together_are_refused_by_name() {
    let world = World::new().await;
    world.sql(RANGES).await;
    let catalog = world.catalog().await;
    let run =
        async |key: &str, request: &BulkRequest| catalog.bulk_run(A, key, "ada", request, &|_, _| {}).await.unwrap();
    let each = |operation, plugins: &[i64]| request(operation, BulkMode::Each, plugins.iter().copied().collect());

    let report = run("install", &each(BulkOperation::Install, &[7])).await;
    assert_eq!(report.problems[0].reason, "it needs plugin-5 ^2, and 1.1.0 of that is installed");
    let report = run("upgrade", &each(BulkOperation::Upgrade, &[5])).await;
    assert_eq!(report.problems[0].reason, "plugin-8 is installed and needs it at ^1, and it would be 2.0.0");
    // An installed one that is below what it needs is not enabled.
    world.sql("UPDATE plugins SET is_installed = true, installed_version = '2.0.0' WHERE id = 7").await;
    let report = run("enable", &each(BulkOperation::Enable, &[7, 8])).await;
    assert_eq!((report.done, report.refused), (1, 1), "{report:?}");
    assert_eq!(report.problems[0].reason, "it needs plugin-5 ^2, and 1.1.0 of that is installed");
    // The newest version of 8 needs nothing: together both may go.
    assert_eq!(run("both", &each(BulkOperation::Upgrade, &[5, 8])).await.done, 2);
    assert_eq!(run("now", &each(BulkOperation::Enable, &[7])).await.done, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_carried_out_with_its_own_versions() {
    let world = World::new().await;
    world.sql(RANGES).await;
    let catalog = world.catalog().await;
    // 9 needs 5 at ^1, so that 5 stays below its newest; 8 goes down.
    world.sql("INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range) SELECT id, 5, '=1.0.0' FROM plugin_versions WHERE plugin_id = 9; UPDATE plugins SET is_installed = false, installed_version = NULL WHERE id = 5").await;
    let exactly = |pairs: &[(i64, &str)]| BulkRequest {
        versions: pairs.iter().map(|(id, version)| (*id, (*version).to_owned())).collect(),
        ..request(BulkOperation::Install, BulkMode::Atomic, pairs.iter().map(|it| it.0).collect())
    };
    let run =
        async |key: &str, request: &BulkRequest| catalog.bulk_run(A, key, "ada", request, &|_, _| {}).await.unwrap();
    // By the newest versions it cannot be done.
    assert_eq!(run("newest", &request(BulkOperation::Install, BulkMode::Atomic, [5, 9].into())).await.state, "refused");
    let wanted = exactly(&[(5, "1.0.0"), (8, "1.0.0"), (9, "2.0.0")]);
    let planned = catalog.bulk_plan(A, &wanted).await.unwrap();
    assert_eq!(planned.changes.iter().map(|it| it.after.as_str()).collect::<Vec<_>>(), ["1.0.0", "1.0.0", "2.0.0"]);
    assert_eq!(run("plan", &wanted).await.done, 3);
    assert_eq!(
        world.texts("SELECT installed_version FROM plugins WHERE id IN (5, 8, 9) ORDER BY id").await,
        ["1.0.0", "1.0.0", "2.0.0"]
    );
    assert_eq!(
        world.texts("SELECT operation_type FROM plugin_operations WHERE started_by = 'ada' ORDER BY plugin_id").await,
        ["install", "rollback", "install"]
    );
    assert!(run("gone", &exactly(&[(10, "7.0.0")])).await.problems[0].reason.contains("no version 7.0.0"));
    let wrong = BulkRequest { operation: BulkOperation::Upgrade, ..wanted };
    assert!(matches!(catalog.bulk_plan(A, &wrong).await, Err(CatalogError::Invalid { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_a_third_is_refused_in_every_part() {
    // More than one transaction: the first plugin of a long chain is in another one than what its last one lacks.
    let world = World::new().await;
    world
        .sql("INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'chain-' || n, 'Chain', 'docs', 'o' FROM generate_series(1, 1200) n ORDER BY n;
            INSERT INTO plugin_versions (plugin_id, version) SELECT id, '1.0.0' FROM plugins WHERE name LIKE 'chain-%';
            INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range)
            SELECT v.id, CASE WHEN v.plugin_id % 600 = 0 THEN 3 ELSE v.plugin_id + 1 END, '^1' FROM plugin_versions v JOIN plugins p ON p.id = v.plugin_id WHERE p.name LIKE 'chain-%' AND v.plugin_id < 1320")
        .await;
    let catalog = world.catalog().await;
    let ids = world.ids("name LIKE 'chain-%'").await;
    let report = catalog
        .bulk_run(A, "chain", "ada", &request(BulkOperation::Install, BulkMode::Each, ids), &|_, _| {})
        .await
        .unwrap();
    // 121 to 1200 hang on 3, which is not installed; 1201 to 1320 on nothing.
    assert_eq!((report.done, report.refused), (120, 1_080), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_item_takes_the_others_with_it_only_when_it_shall() {
    let world = World::new().await;
    world.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 7 THEN RAISE 'seven is bad'; END IF; RETURN NEW; END $$; CREATE TRIGGER refuse BEFORE UPDATE ON plugins FOR EACH ROW EXECUTE FUNCTION refuse()").await;
    let catalog = world.catalog().await;
    let report = catalog.bulk_run(A, "e", "t", &tag(BulkMode::Each, (1..=10).collect()), &|_, _| {}).await.unwrap();
    assert_eq!((report.done, report.failed), (9, 1));
    assert_eq!((report.problems[0].id.as_str(), report.problems[0].reason.as_str()), ("7", "seven is bad"));
    assert_eq!(world.number("SELECT count(*) FROM plugins WHERE 'bulk' = ANY(tags)").await, 9);
    // What was undone by the savepoint left no trace.
    assert_eq!(world.number("SELECT count(*) FROM plugin_operations WHERE started_by = 't'").await, 9);

    let error = catalog.bulk_run(A, "a", "u", &tag(BulkMode::Atomic, (5..=20).collect()), &|_, _| {}).await;
    assert!(error.unwrap_err().to_string().contains("seven is bad"));
    assert_eq!(world.number("SELECT count(*) FROM plugins WHERE 'bulk' = ANY(tags)").await, 9);
    assert_eq!(world.number("SELECT count(*) FROM plugin_bulks WHERE idempotency_key = 'a'").await, 0);
}

/// Whole items only: a changed plugin has its operation and its audit row, once, and nothing else has.
async fn is_whole(world: &World) -> i64 {
    let tagged = world.number("SELECT count(*) FROM plugins WHERE 'bulk' = ANY(tags)").await;
    for sql in [
        "SELECT count(*) FROM plugin_operations o JOIN plugins p ON p.id = o.plugin_id WHERE o.started_by = 'k' AND 'bulk' = ANY(p.tags)",
        "SELECT count(DISTINCT plugin_id) FROM plugin_operations WHERE started_by = 'k'",
        "SELECT count(*) FROM audit_logs WHERE actor = 'k'",
        "SELECT count(*) FROM plugin_bulk_items WHERE outcome = 'done'",
    ] {
        assert_eq!(world.number(sql).await, tagged, "{sql}");
    }
    tagged
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_at_every_step_nothing_is_half_done_and_the_key_finishes_it() {
    for mode in [BulkMode::Atomic, BulkMode::Each] {
        let world = World::new().await;
        world.sql("INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'many-' || n, 'Many', 'docs', 'o' FROM generate_series(1, 2000) n; UPDATE plugins SET tags = '{}'").await;
        let port = world.url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse::<u16>().unwrap();
        let proxy = ChaosProxy::start(port).await;
        let url = world.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
        let settings = PoolSettings {
            min: 0,
            probe_interval: Duration::from_millis(100),
            acquire_timeout: Duration::from_millis(300),
            ..PoolSettings::new(url, None)
        };
        let catalog = Catalog::new(Pools::start(settings).unwrap(), world.url.clone().into());
        let ids = (1..=60).chain(121..=2_120).collect::<BTreeSet<_>>();
        let request = tag(mode, ids.clone());
        let mut cut_at = 0;
        let (mut before, mut cuts) = (0, 0);
        let report = loop {
            // The connection is lost as soon as so many steps are through: each of them once the last.
            let step = AtomicUsize::new(0);
            let progress = |_: usize, _: usize| {
                if step.fetch_add(1, Ordering::Relaxed) == cut_at {
                    proxy.set(Weather::Cut);
                }
            };
            let done = catalog.bulk_run(A, "kill", "k", &request, &progress).await;
            let cut = step.load(Ordering::Relaxed) > cut_at;
            proxy.set(Weather::Fair);
            let whole = is_whole(&world).await;
            if mode == BulkMode::Atomic && done.is_err() {
                assert!(whole == 0 || whole == ids.len() as i64, "{whole}");
            }
            assert!(whole >= before, "what is done stays done");
            before = whole;
            cuts += u32::from(cut);
            match done {
                Ok(report) if !cut || report.repeated => break report,
                Ok(_) | Err(_) => cut_at += 1,
            }
            assert!(cut_at < 40, "it never ends");
            until("the server is there again", async || {
                catalog.pools().snapshot().nodes[0].state.as_str() == "primary"
            })
            .await;
        };
        assert!(cuts >= 1, "{mode:?} was never cut off");
        assert_eq!((report.done, report.state.as_str()), (ids.len() as i64, "done"));
        assert_eq!(is_whole(&world).await, ids.len() as i64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_whole_items() {
    // The server ends our sessions in the midst of it, at moments of its own choosing, and the caller goes away too.
    let world = World::new().await;
    world.sql("INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'many-' || n, 'Many', 'docs', 'o' FROM generate_series(1, 4000) n; UPDATE plugins SET tags = '{}'").await;
    let ids = (1..=60).chain(121..=4_120).collect::<BTreeSet<_>>();
    for milliseconds in [5, 20, 50, 90, 140, 200] {
        let catalog = world.catalog().await;
        let request = tag(BulkMode::Each, ids.clone());
        let run = async { catalog.bulk_run(A, "kill", "k", &request, &|_, _| {}).await };
        let _ = tokio::time::timeout(Duration::from_millis(milliseconds), run).await;
        drop(catalog);
        world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'idp_api' AND datname = current_database()").await;
        until("they are gone", async || {
            world
                .number(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'idp_api' AND datname = current_database()",
                )
                .await
                == 0
        })
        .await;
        is_whole(&world).await;
    }
    let report = world.catalog().await.bulk_run(A, "kill", "k", &tag(BulkMode::Each, ids), &|_, _| {}).await.unwrap();
    assert_eq!((report.done, is_whole(&world).await), (4_060, 4_060));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_at_once_with_progress() {
    let world = World::new().await;
    world.sql("INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'many-' || n, 'Many', 'docs', 'o' FROM generate_series(1, 99940) n; UPDATE plugins SET tags = '{}'; ANALYZE plugins").await;
    let catalog = world.catalog().await;
    let ids = (1..=60).chain(121..=100_060).collect::<BTreeSet<_>>();
    assert_eq!(ids.len(), 100_000);
    let told = std::sync::Mutex::new(Vec::new());
    let progress = |done, total| told.lock().unwrap().push((done, total));
    let report = catalog.bulk_run(A, "big", "k", &tag(BulkMode::Atomic, ids.clone()), &progress).await.unwrap();
    assert_eq!((report.done, is_whole(&world).await), (100_000, 100_000));
    let told = told.into_inner().unwrap();
    assert!(told.len() >= 20 && told.is_sorted() && *told.last().unwrap() == (100_000, 100_000), "{told:?}");

    // As quickly where ranges are looked at: each needs the one before it.
    world.sql("INSERT INTO plugin_versions (plugin_id, version) SELECT id, '1.0.0' FROM plugins WHERE name LIKE 'many-%'; INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range) SELECT id, plugin_id - 1, '^1' FROM plugin_versions WHERE plugin_id > 121; ANALYZE plugin_versions; ANALYZE plugin_dependencies").await;
    let begun = Instant::now();
    let plan = catalog.bulk_plan(A, &request(BulkOperation::Install, BulkMode::Atomic, ids.clone())).await.unwrap();
    // Of the first sixty thirty are installed, and ten would go beyond what those need.
    assert_eq!((plan.done, plan.unchanged, plan.refused), (99_960, 30, 10));
    // Each on its own it would be many minutes.
    assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
    let one_more = ids.into_iter().chain([100_061]).collect();
    assert!(catalog.bulk_plan(A, &tag(BulkMode::Atomic, one_more)).await.is_err());
}
