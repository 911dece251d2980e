//! Questions that are one message each: the same answers, for nobody else, and nothing stays behind.
use crate::{Pair, put, until, until_states};
use pool::{Asker, PoolError, PoolSettings, Pools, Question, Reader, Scope, Session, Sheet, Work};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::time::{Duration, Instant};

async fn texts(pools: &Pools, scope: &Scope, session: &Session, question: &Question) -> Result<Vec<String>, PoolError> {
    pools
        .ask(scope, session, |asker: &mut Asker, _: Work<'_, '_>| {
            Box::pin(async move {
                let rows = asker.ask(question).await?;
                Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, sqlx::Error>>()?)
            })
        })
        .await
}

async fn sheet(pools: &Pools, question: &Question) -> Result<Sheet, PoolError> {
    pools
        .ask(&Scope::default(), &Session::default(), |asker: &mut Asker, _: Work<'_, '_>| {
            Box::pin(async move { Ok(asker.sheet(question).await?) })
        })
        .await
}

/// From then on whoever asks alone has the same connection each time.
async fn until_open(pools: &Pools) {
    until("a connection is open", async || pools.snapshot().nodes[1].slots.is_some_and(|slots| slots.idle == 1)).await;
}

fn said(sql: &str) -> Question {
    Question::new(sql)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_as_they_were_and_the_statement_is_prepared_once() {
    let pair = Pair::start(&[]).await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    until_open(&pools).await;
    let (nobody, session) = (Scope::default(), Session::default());
    for text in ["plain", "it's", "'); DROP TABLE t; --", "back\\slash \"quoted\" {a,b} NULL", "ä\n\t€", ""] {
        let mut question = Question::new("SELECT v::text || '|' || a[1] || '|' || array_length(a, 1) FROM (SELECT ");
        question.push_bind(text).push(" AS v, ").push_bind(vec![text.to_owned(), "NULL".to_owned()]).push(" AS a) x");
        let answer = texts(&pools, &nobody, &session, &question).await.unwrap();
        assert_eq!(answer, [format!("{text}|{text}|2")]);
    }
    let mut types = Question::new("SELECT (");
    types.push_bind(1_i64).push(" + ").push_bind(2_i32).push(" + ").push_bind(3_i16).push(" + ").push_bind(0.5_f32);
    types.push(")::text || ").push_bind(true).push("::text");
    assert_eq!(texts(&pools, &nobody, &session, &types).await.unwrap(), ["6.5true"]);
    // One at a time, so all were asked on one connection.
    let prepared = said(
        "SELECT string_agg(calls::text, ',' ORDER BY calls DESC) FROM (SELECT generic_plans + custom_plans AS calls FROM pg_prepared_statements WHERE name LIKE 'holdfast%') s",
    );
    let calls = texts(&pools, &nobody, &session, &prepared).await.unwrap();
    assert!(calls[0].starts_with("6,1"), "{calls:?}");
    let openings = said("SELECT count(*)::text FROM pg_prepared_statements WHERE name LIKE 'opening%'");
    assert_eq!(texts(&pools, &nobody, &session, &openings).await.unwrap(), ["1"], "so is what says for whom");

    // Rows as one text come back as they were, also what parts them: for that it is asked once more.
    let odd = ["it's", "", "=", "{a,\"b\"} NULL\nä€", "\u{1f}", "=\u{1f}\u{1f}"].map(str::to_owned);
    let calls = said(
        "SELECT string_agg((generic_plans + custom_plans)::text, ',') FROM pg_prepared_statements WHERE statement LIKE '%ORDI' || 'NALITY%'",
    );
    for (values, times) in [(&odd[..4], "1"), (&odd[..0], "2"), (&odd[..], "4")] {
        let question = Question::sheet(&["n", "coalesce('=' || nullif(v, ''), '')", "v"], |sql| {
            sql.push("SELECT v, n FROM unnest(").push_bind(values.to_vec());
            sql.push(") WITH ORDINALITY AS x (v, n) ORDER BY n DESC");
        });
        let sheet = sheet(&pools, &question).await.unwrap();
        assert_eq!(sheet.rows(), values.len());
        for (row, value) in values.iter().rev().enumerate() {
            let mut fields = sheet.row(row);
            assert_eq!(fields.parsed::<usize>().unwrap(), values.len() - row);
            assert_eq!(fields.optional().unwrap(), Some(value.as_str()).filter(|value| !value.is_empty()));
            assert_eq!(fields.text().unwrap(), value);
            assert!(fields.text().is_err(), "the row is over");
        }
        assert_eq!(texts(&pools, &nobody, &session, &calls).await.unwrap(), [times]);
    }
    // NULL would move the values after it: it is not taken for an answer, and costs no connection.
    let opened = pools.snapshot().nodes[1].slots.unwrap().opened;
    let missing = Question::sheet(&["a", "b"], |sql| {
        sql.push("SELECT 1 AS a, NULL AS b");
    });
    let error = sheet(&pools, &missing).await.unwrap_err();
    assert!(error.to_string().contains("one of them is NULL"), "{error}");
    assert_eq!(texts(&pools, &nobody, &session, &said("SELECT 'on'")).await.unwrap(), ["on"]);
    assert_eq!(pools.snapshot().nodes[1].slots.unwrap().opened, opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_questions_than_are_kept_are_answered_all_the_same() {
    let pair = Pair::start(&[]).await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    until_open(&pools).await;
    let (nobody, session) = (Scope::default(), Session::default());
    for round in 0..2 {
        for n in 0..100 {
            assert_eq!(
                texts(&pools, &nobody, &session, &said(&format!("SELECT '{n}'::text"))).await.unwrap(),
                [n.to_string()],
                "{round}"
            );
        }
    }
    let kept = said("SELECT count(*)::text FROM pg_prepared_statements WHERE name LIKE 'holdfast%'");
    assert_eq!(texts(&pools, &nobody, &session, &kept).await.unwrap(), ["64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_ends_with_its_message_also_after_an_error() {
    let pair = Pair::start(&[]).await;
    pair.primary.execute("postgres", "CREATE ROLE someone; GRANT someone TO app").await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    let session = Session::default();
    let someone = Scope::default().set("role", "someone").set("holdfast.tenant_id", "7");
    let another = Scope::default().set("role", "someone").set("holdfast.tenant_id", "8");
    let who = said("SELECT current_user || coalesce(nullif(current_setting('holdfast.tenant_id', true), ''), '-')");
    until("the role is on the standby", async || texts(&pools, &someone, &session, &who).await.is_ok()).await;
    for _ in 0..3 {
        assert_eq!(texts(&pools, &someone, &session, &who).await.unwrap(), ["someone7"]);
        assert_eq!(texts(&pools, &another, &session, &who).await.unwrap(), ["someone8"]);
        assert_eq!(texts(&pools, &Scope::default(), &session, &who).await.unwrap(), ["app-"]);
        let error = texts(&pools, &someone, &session, &said("SELECT (1 / (SELECT 0))::text")).await.unwrap_err();
        assert_eq!(error.code().as_deref(), Some("22012"), "{error}");
        assert_eq!(texts(&pools, &Scope::default(), &session, &who).await.unwrap(), ["app-"]);
    }
    let opened = pools.snapshot().nodes[1].slots.unwrap().opened;
    assert!(opened <= 3, "an error of a statement costs no connection: {opened} were opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_does_not_write_and_sees_what_the_session_wrote() {
    let pair = Pair::start(&[]).await;
    let pools = pair.pools();
    until_states(&pools, ["primary", "replica"]).await;
    let mut standby = PgConnection::connect(&pair.standby.url("postgres")).await.unwrap();
    standby.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    let session = Session::default();
    put(&pools, &session, 1, "new").await.unwrap();
    let value = said("SELECT v FROM t WHERE id = 1");
    let before = pools.snapshot().routing;
    assert_eq!(texts(&pools, &Scope::default(), &session, &value).await.unwrap(), ["new"]);
    let after = pools.snapshot().routing;
    assert_eq!(after.primary_reads_own_write, before.primary_reads_own_write + 1, "by way of the primary");
    assert!(texts(&pools, &Scope::default(), &Session::default(), &value).await.unwrap().is_empty());

    // On the primary, too: the session that asks has written.
    let writes = said("UPDATE t SET v = 'other' WHERE id = 1 RETURNING v");
    for session in [&session, &Session::default()] {
        let error = texts(&pools, &Scope::default(), session, &writes).await.unwrap_err();
        assert!(matches!(error, PoolError::ReadOnly(_)), "{error:?}");
    }
    standby.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    assert_eq!(texts(&pools, &Scope::default(), &session, &value).await.unwrap(), ["new"]);
    // A write after a question on the same connections of the primary.
    put(&pools, &session, 2, "later").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn short_questions_take_turns_and_other_work_does_not_wait_for_them() {
    let cluster = test_support::private_cluster(&[]).await;
    let settings = PoolSettings {
        min: 0,
        concurrency: Some(2),
        acquire_timeout: Duration::from_secs(3),
        probe_interval: Duration::from_millis(100),
        ..PoolSettings::new(cluster.server.url("postgres"), None)
    };
    assert!(matches!(
        Pools::start(PoolSettings { concurrency: Some(0), ..settings.clone() }).unwrap_err(),
        PoolError::Settings(said) if said.contains("DB_POOL_CONCURRENCY")
    ));
    // On this machine two for each processor, unless it is said otherwise.
    let default = Pools::start(PoolSettings { concurrency: None, ..settings.clone() }).unwrap();
    let pools = Pools::start(settings).unwrap();
    let slow = |seconds: f32| {
        let pools = pools.clone();
        async move {
            let mut question = Question::new("SELECT pg_sleep(");
            question.push_bind(seconds).push(")::text");
            texts(&pools, &Scope::default(), &Session::default(), &question).await
        }
    };
    slow(0.0).await.unwrap();
    let slots = || pools.snapshot().nodes[0].slots.unwrap();
    let eight = (0..8).map(|_| tokio::spawn(slow(0.5))).collect::<Vec<_>>();
    until("two are asked, and six wait", async || (slots().in_use, slots().waiting) == (2, 6)).await;
    assert_eq!((slots().concurrency, slots().max), (2, 50));
    // A transaction has a connection at once.
    let begun = Instant::now();
    pools
        .read(&Scope::default(), |reader: &mut Reader, _: Work<'_, '_>| {
            Box::pin(async move {
                sqlx::query("SELECT 1").execute(reader.connection()?).await?;
                Ok::<_, PoolError>(())
            })
        })
        .await
        .unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(1_500) && slots().waiting > 0,
        "{:?} {:?}",
        begun.elapsed(),
        slots()
    );
    for one in eight {
        one.await.unwrap().unwrap();
    }
    assert!(slots().opened <= 3, "{:?}", slots());
    // Whoever waits in vain is told what there are too few of.
    let long = [tokio::spawn(slow(6.0)), tokio::spawn(slow(6.0))];
    until("both are asked", async || slots().in_use == 2).await;
    let error = slow(0.0).await.unwrap_err();
    assert!(matches!(error, PoolError::Crowded { role: "primary", most: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("DB_POOL_CONCURRENCY"), "{error}");
    for one in long {
        one.await.unwrap().unwrap();
    }
    assert_eq!((slots().in_use, slots().waiting), (0, 0));
    let processors = std::thread::available_parallelism().unwrap().get() as u32;
    until("it is connected", async || default.snapshot().nodes[0].slots.is_some()).await;
    assert_eq!(default.snapshot().nodes[0].slots.unwrap().concurrency, 2 * processors);
}
