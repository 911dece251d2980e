//! Locks and active sessions on a real cluster: shown, kept, cancelled with their trace in the audit log.
use super::{PATIENCE, Watching, is_up, with_statements};
use control::{Actor, ControlError};
use domain::{
    ErrorKind,
    view::{LoadBy, Metric, Range, SignalAction, SignalRequest},
};
use sqlx::{Connection as _, Executor as _};
use std::time::{Duration, Instant};
use store::AuditFilter;

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_waiters_is_shown_cancelled_kept_and_audited() {
    let cluster = with_statements(&[]).await;
    // In another database than the one we are connected to: names come from the tables that were read there.
    cluster.execute("postgres", "CREATE DATABASE shop").await;
    let url = cluster.server.url("shop");
    cluster.execute("shop", "CREATE TABLE held (a int PRIMARY KEY); INSERT INTO held VALUES (1)").await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("up", is_up).await;
    let actor = Actor::system();

    let mut holder = sqlx::PgConnection::connect(&url).await.unwrap();
    let mut holding = holder.begin().await.unwrap();
    holding.execute("UPDATE held SET a = a /* 'secret' */").await.unwrap();
    let mut waiters = Vec::new();
    for _ in 0..2 {
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        waiters.push(tokio::spawn(async move { connection.execute("UPDATE held SET a = 7").await }));
    }
    let begun = Instant::now();
    let page = loop {
        let page = watching.control.locks_get(&actor, None).await.unwrap();
        // Longer than what is everyday, so that it is kept.
        let long = page.longest_wait_seconds.is_some_and(|seconds| seconds > 2.5);
        if long && page.waiters == 2 && page.snapshots.first().is_some_and(|one| one.id == "0") {
            break page;
        }
        assert!(begun.elapsed() < PATIENCE, "{page:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let root = &page.nodes[0];
    assert_eq!((root.depth, root.blocks, root.state.as_deref()), (0, 2, Some("idle in transaction")), "{root:?}");
    assert!(page.nodes[1..].iter().all(|node| node.query.as_deref() == Some("UPDATE held SET a = ?")), "{page:?}");
    // One of the two waits for the transaction's end, the other for the row behind it.
    assert!(page.nodes[1..].iter().any(|node| node.relation.as_deref() == Some("public.held")), "{page:?}");
    assert!(page.age_seconds.is_some());

    // Nobody, a viewer's mistake and a wrong confirmation change nothing.
    let request =
        |action| SignalRequest { action, pid: root.pid, started_at: root.started_at.unwrap(), autovacuum: false };
    let nobody = Actor::anonymous(control::Source::Page, None, None);
    let terminate = request(SignalAction::Terminate);
    let refused = watching.control.backend_signal(&nobody, None, &terminate, Some(&root.pid.to_string())).await;
    assert!(matches!(refused, Err(ControlError::Unauthenticated)), "{refused:?}");
    let wrong = watching.control.backend_signal(&actor, None, &terminate, Some("1")).await;
    assert!(matches!(wrong, Err(ControlError::Invalid { .. })), "{wrong:?}");
    // The root only thinks: there is nothing to cancel.
    let cancel = watching.control.backend_signal(&actor, None, &request(SignalAction::Cancel), None).await;
    assert_eq!(cancel.unwrap_err().kind(), ErrorKind::Conflict);
    let done = watching.control.backend_signal(&actor, None, &terminate, Some(&root.pid.to_string())).await.unwrap();
    assert!(done.ended, "{done:?}");
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }

    // The waiting is over: its worst moment is kept, with the chart's line.
    let begun = Instant::now();
    let kept = loop {
        let page = watching.control.locks_get(&actor, None).await.unwrap();
        if let Some(one) = page.snapshots.iter().find(|one| one.id != "0") {
            break one.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{page:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(kept.waiters, 2);
    let graph = watching.control.lock_snapshot_get(&actor, None, &kept.id).await.unwrap();
    assert_eq!(graph.nodes[0].pid, root.pid);
    let begun = Instant::now();
    loop {
        let found =
            watching.control.history_get(&actor, None, Metric::BlockedSessions, Range::Minutes15).await.unwrap();
        if found.series.iter().any(|line| line.values.iter().flatten().any(|value| *value >= 1.0)) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let rows = watching.control.audit_list(&Actor::cli(), AuditFilter::default(), None, 100).await.unwrap().rows;
    let trace = rows
        .iter()
        .rev()
        .filter(|row| row.object_id == format!("main/{}", root.pid))
        .map(|row| format!("{} {}", row.action, row.outcome))
        .collect::<Vec<_>>();
    assert_eq!(
        trace,
        [
            "backend_terminate refused",
            "backend_cancel_asked ok",
            "backend_cancel refused",
            "backend_terminate_asked ok",
            "backend_terminate ok"
        ]
    );
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn active_sessions_are_sampled_each_second_and_can_be_taken_apart() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE ROLE app LOGIN PASSWORD 'a'; GRANT pg_read_all_stats TO app").await;
    let url = format!("{}?application_name=reports", cluster.server.url_as("app", "a", "postgres"));
    let mut busy = sqlx::PgConnection::connect(&url).await.unwrap();
    // Again and again: pg_stat_statements knows a statement once it has ended.
    let sleeper = tokio::spawn(async move { while busy.execute("SELECT pg_sleep(20)").await.is_ok() {} });
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("up", is_up).await;
    let actor = Actor::system();
    let begun = Instant::now();
    loop {
        let page = watching.control.load_get(&actor, None, LoadBy::Application, Range::Minutes15).await.unwrap();
        let line = page.series.series.iter().find(|line| line.name == "reports");
        let full = line.is_some_and(|line| line.values.iter().flatten().any(|value| (*value - 1.0).abs() < 1e-9));
        // A sample each second, not one a tick; the statement is known by its text.
        if full
            && page.samples >= 4
            && page.top.iter().any(|row| row.query.contains("pg_sleep") && row.id.is_some() && !row.stands_in)
        {
            assert_eq!(page.sampler.map(|sampler| sampler.interval_seconds), Some(1.0));
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{page:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let waits = watching.control.load_get(&actor, None, LoadBy::Event, Range::Minutes15).await.unwrap();
    assert!(waits.series.series.iter().any(|line| line.name == "Other: PgSleep"), "{:?}", waits.series.series);
    sleeper.abort();
    watching.end().await;
}
