//! A copy that takes over has the original's configuration, and where that does not start here it serves all the same.
use crate::{
    drills::{end, ready, report},
    support::{Bench, confirmed, sql, succeeded},
};
use control::{Actor, BackupWanted, TargetAsk};
use domain::view::{DrKind, DrPlanSpec};
use std::path::Path;

const SETTINGS: &str = "SELECT string_agg(current_setting(name), ' ' ORDER BY n) FROM unnest(ARRAY['max_connections', \
     'maintenance_work_mem', 'archive_mode', 'shared_preload_libraries', 'cluster_name', 'synchronous_standby_names']) \
     WITH ORDINALITY AS s(name, n)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_takes_over_has_the_originals_configuration_or_serves_with_its_own() {
    let bench =
        Bench::made(&[("archive_mode", "on"), ("archive_command", "/bin/true"), ("cluster_name", "shop")], |_| None)
            .await;
    // In force at the next start of whoever has these files; the original would wait for its standby then.
    sql(&bench.url(), "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    sql(&bench.url(), "ALTER SYSTEM SET maintenance_work_mem = '77MB'").await;
    let (control, mut running) = bench.served().await;
    let actor = Actor::cli();
    ready(&bench, &control).await;
    let mut spec = DrPlanSpec { name: "at once".to_owned(), ..DrPlanSpec::standard() };
    spec.steps.iter_mut().for_each(|step| step.approval = false);
    let plan = control.dr_plan_create(&actor, None, spec, &confirmed()).await.unwrap().id;

    // A drill says beforehand what would be different, and archives nothing.
    let job = control.dr_drill_start(&actor, None, &plan, DrKind::Test).await.unwrap();
    let foreseen = succeeded(&control, &job).await;
    let told = report(&foreseen).configuration.join("\n");
    assert!(told.contains("synchronous_standby_names is empty instead of nobody"), "{told}");
    assert!(told.contains("settings hold") && !told.contains("port is"), "{told}");

    let job = control.dr_execute(&actor, None, &plan, &TargetAsk::default(), &confirmed()).await.unwrap();
    let done = succeeded(&control, &job).await;
    let shown = report(&done);
    let data = shown.directory.clone().unwrap();
    let beside = |connection: &str| {
        let port = connection.rsplit('=').next().unwrap();
        format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", bench.cluster.server.password())
    };
    let at = beside(shown.connection.as_ref().unwrap());
    let settings = sql(&at, SETTINGS).await;
    sql(&at, "INSERT INTO orders VALUES (8888, 'nobody is waited for')").await;
    // What a person changes later wins.
    sql(&at, "ALTER SYSTEM SET work_mem = '5MB'").await;
    end(Path::new(&data));
    assert_eq!(settings.as_deref(), Some("60 77MB on pg_stat_statements shop "));
    assert!(shown.steps[3].detail.contains("with the original's configuration"), "{shown:#?}");
    let told = shown.configuration.join("\n");
    for word in ["synchronous_standby_names is empty instead of nobody", "port is", "local all all trust"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(shown.next.iter().any(|it| it.contains("holdfast-copy.conf")), "{shown:#?}");
    assert!(shown.next.iter().any(|it| it.contains("pg_stat_archiver")), "{shown:#?}");

    // A configuration that does not start at all: the copy serves, and the report says why it is not the original's.
    sql(&bench.url(), "ALTER SYSTEM SET wal_level = 'minimal'").await;
    succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Incremental).await.unwrap()).await;
    let job = control.dr_execute(&actor, None, &plan, &TargetAsk::default(), &confirmed()).await.unwrap();
    let done = succeeded(&control, &job).await;
    let shown = report(&done);
    let data = shown.directory.clone().unwrap();
    let at = beside(shown.connection.as_ref().unwrap());
    let mode = sql(&at, "SELECT current_setting('archive_mode')").await;
    let wrote = sql(&at, "INSERT INTO orders VALUES (9999, 'all the same') RETURNING id::text").await;
    end(Path::new(&data));
    assert_eq!((mode.as_deref(), wrote.as_deref()), (Some("off"), Some("9999")));
    assert!(shown.steps[3].detail.contains("with its own configuration"), "{shown:#?}");
    let told = &shown.configuration;
    assert!(told[0].contains("does not start here") && told[0].contains("minimal"), "{told:#?}");
    assert!(shown.next.iter().any(|it| it.contains("postgresql.conf.restored")), "{shown:#?}");
    running.end().await;
}
