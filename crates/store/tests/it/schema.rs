//! Entities against tables: the same columns, and a row comes back as it went in.
use sea_orm::{
    ActiveModelTrait, ConnectionTrait as _, EntityTrait, IdenStatic as _, IntoActiveModel, Iterable as _, Statement,
};
use std::{collections::BTreeSet, fmt::Debug};
use store::{Store, entity};

on_both_databases!(entities_have_the_columns_of_their_tables, a_row_of_every_entity_comes_back_as_it_went_in);

async fn compare<E: EntityTrait>(store: &Store) {
    let table = E::default().table_name().to_owned();
    let sql = if store.is_postgres() {
        format!(
            "SELECT column_name::text AS name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}'"
        )
    } else {
        format!("SELECT name FROM pragma_table_info('{table}')")
    };
    let rows = store.db().query_all_raw(Statement::from_string(store.db().get_database_backend(), sql)).await.unwrap();
    let in_table = rows.iter().map(|row| row.try_get::<String>("", "name").unwrap()).collect::<BTreeSet<_>>();
    let in_entity = E::Column::iter().map(|column| column.as_str().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(in_table, in_entity, "{table}");
}

async fn entities_have_the_columns_of_their_tables(store: Store) {
    compare::<entity::account::Entity>(&store).await;
    compare::<entity::advice_dismissal::Entity>(&store).await;
    compare::<entity::alert::Entity>(&store).await;
    compare::<entity::alert_blackout::Entity>(&store).await;
    compare::<entity::alert_channel::Entity>(&store).await;
    compare::<entity::alert_delivery::Entity>(&store).await;
    compare::<entity::alert_event::Entity>(&store).await;
    compare::<entity::alert_rule::Entity>(&store).await;
    compare::<entity::api_token::Entity>(&store).await;
    compare::<entity::audit_log::Entity>(&store).await;
    compare::<entity::dr_decision::Entity>(&store).await;
    compare::<entity::dr_plan::Entity>(&store).await;
    compare::<entity::dr_run::Entity>(&store).await;
    compare::<entity::event::Entity>(&store).await;
    compare::<entity::lock_snapshot::Entity>(&store).await;
    compare::<entity::job::Entity>(&store).await;
    compare::<entity::job_log::Entity>(&store).await;
    compare::<entity::known_standby::Entity>(&store).await;
    compare::<entity::recovery_objective::Entity>(&store).await;
    compare::<entity::login_throttle::Entity>(&store).await;
    compare::<entity::metric_rollup::Entity>(&store).await;
    compare::<entity::metric_sample::Entity>(&store).await;
    compare::<entity::metric_series::Entity>(&store).await;
    compare::<entity::query_plan::Entity>(&store).await;
    compare::<entity::session::Entity>(&store).await;
    compare::<entity::session_bucket::Entity>(&store).await;
    compare::<entity::session_count::Entity>(&store).await;
    compare::<entity::session_name::Entity>(&store).await;
    compare::<entity::setup_link::Entity>(&store).await;
    compare::<entity::statement_rollup::Entity>(&store).await;
    compare::<entity::tier_mark::Entity>(&store).await;
    compare::<entity::statement_sample::Entity>(&store).await;
    compare::<entity::statement_text::Entity>(&store).await;
}

async fn round_trip<E>(store: &Store, model: E::Model)
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + Clone + PartialEq + Debug,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    E::insert(model.clone().into_active_model()).exec_without_returning(store.db()).await.unwrap();
    assert_eq!(E::find().all(store.db()).await.unwrap(), [model]);
}

/// The largest number of milliseconds, to see that no column is too narrow.
const BIG: i64 = i64::MAX;

async fn a_row_of_every_entity_comes_back_as_it_went_in(store: Store) {
    use entity::*;
    let text = || "grün \u{1F418} 'quoted'".to_owned();
    let long = || "x".repeat(100_000);
    round_trip::<account::Entity>(
        &store,
        account::Model {
            tenant_id: Some(3),
            id: 7,
            name: text(),
            role: "admin".into(),
            password_hash: "p".repeat(255),
            disabled_at: Some(BIG),
            created_at: 1,
            password_changed_at: 2,
            last_login_at: None,
            session_epoch: BIG,
        },
    )
    .await;
    round_trip::<alert::Entity>(
        &store,
        alert::Model {
            id: BIG,
            cluster_id: text(),
            rule: text(),
            object: long(),
            title: long(),
            detail: Some(long()),
            severity: text(),
            phase: text(),
            value: Some(0.1 + 0.2),
            measured: long(),
            threshold: long(),
            started_at: BIG,
            fired_at: Some(BIG),
            resolved_at: Some(BIG),
            expires_at: Some(BIG),
            no_data_since: Some(BIG),
            sequence: 7,
            page: text(),
            machine: long(),
            notified: None,
            suppressed_by: Some(long()),
            ack_by: None,
            ack_at: Some(BIG),
            ack_note: Some(long()),
            ack_until: Some(BIG),
            ack_severity: None,
            silence_by: None,
            silence_note: Some(long()),
            silence_until: Some(BIG),
        },
    )
    .await;
    round_trip::<alert_event::Entity>(
        &store,
        alert_event::Model { id: BIG, alert_id: 7, at: 7, kind: text(), severity: text(), actor: None, note: long() },
    )
    .await;
    round_trip::<alert_rule::Entity>(
        &store,
        alert_rule::Model {
            id: 7,
            cluster_id: text(),
            group_name: text(),
            rule: text(),
            settings: long(),
            updated_by: text(),
            updated_at: BIG,
        },
    )
    .await;
    round_trip::<alert_blackout::Entity>(
        &store,
        alert_blackout::Model {
            id: 7,
            reason: long(),
            cluster_id: None,
            rule: None,
            starts_at: BIG,
            ends_at: BIG,
            cron: None,
            duration_seconds: Some(BIG),
            created_by: text(),
            created_at: BIG,
        },
    )
    .await;
    round_trip::<alert_channel::Entity>(
        &store,
        alert_channel::Model {
            id: 7,
            name: text(),
            kind: text(),
            target: long(),
            min_severity: text(),
            clusters: long(),
            enabled: true,
            sealed: long(),
            created_by: text(),
            created_at: BIG,
            last_sent_at: Some(BIG),
            last_error: Some(long()),
        },
    )
    .await;
    round_trip::<alert_delivery::Entity>(
        &store,
        alert_delivery::Model {
            id: 7,
            key: text(),
            channel_id: 7,
            alert_id: Some(BIG),
            kind: text(),
            subject: long(),
            payload: long(),
            state: text(),
            attempts: 7,
            created_at: BIG,
            next_at: BIG,
            sent_at: Some(BIG),
            last_error: Some(long()),
        },
    )
    .await;
    round_trip::<api_token::Entity>(
        &store,
        api_token::Model {
            tenant_id: Some(3),
            id: 7,
            name: text(),
            token_hash: "h".repeat(64),
            prefix: "hf_abc".into(),
            role: "viewer".into(),
            created_by: text(),
            created_at: 1,
            expires_at: Some(BIG),
            last_used_at: Some(0),
            last_used_address: Some("::1".into()),
            revoked_at: None,
            scopes: "restore".into(),
        },
    )
    .await;
    round_trip::<audit_log::Entity>(
        &store,
        audit_log::Model {
            seq: BIG,
            at: -1,
            actor_kind: "user".into(),
            actor_id: text(),
            source: "page".into(),
            address: None,
            action: "session.sign_in".into(),
            object_kind: "session".into(),
            object_id: String::new(),
            outcome: "ok".into(),
            before: None,
            after: Some(long()),
            request_id: Some(text()),
            prev_hash: "0".repeat(64),
            hash: "f".repeat(64),
        },
    )
    .await;
    round_trip::<event::Entity>(
        &store,
        event::Model { id: 7, cluster_id: "main".into(), at: BIG, kind: "down".into(), title: text() },
    )
    .await;
    round_trip::<lock_snapshot::Entity>(
        &store,
        lock_snapshot::Model {
            id: 7,
            cluster_id: "main".into(),
            at: BIG,
            duration_ms: BIG,
            waiters: BIG,
            roots: 1,
            longest_wait_ms: None,
            root: text(),
            graph: long(),
        },
    )
    .await;
    round_trip::<job::Entity>(
        &store,
        job::Model {
            id: 7,
            cluster_id: "main".into(),
            kind: "backup".into(),
            lane: text(),
            state: "running".into(),
            title: long(),
            params: long(),
            schedule_key: None,
            requested_by: text(),
            requested_at: BIG,
            started_at: Some(BIG),
            finished_at: None,
            attempt: BIG,
            holder: Some(text()),
            lease_until: Some(BIG),
            cancel_requested: true,
            progress: Some(long()),
            result: None,
            error: Some(long()),
        },
    )
    .await;
    round_trip::<job_log::Entity>(&store, job_log::Model { id: 7, job_id: BIG, at: BIG, line: long() }).await;
    round_trip::<recovery_objective::Entity>(
        &store,
        recovery_objective::Model {
            cluster_id: "main".into(),
            rpo_seconds: 0.1 + 0.2,
            rto_seconds: 1e300,
            changed_by: text(),
            changed_at: BIG,
        },
    )
    .await;
    round_trip::<dr_plan::Entity>(
        &store,
        dr_plan::Model {
            id: 7,
            cluster_id: "main".into(),
            name: text(),
            spec: long(),
            hash: "h".repeat(64),
            changed_by: text(),
            changed_at: BIG,
            removed_at: Some(BIG),
        },
    )
    .await;
    round_trip::<dr_decision::Entity>(
        &store,
        dr_decision::Model {
            id: 7,
            job_id: BIG,
            step: 3,
            decision: "approve".into(),
            actor: text(),
            at: BIG,
            note: long(),
        },
    )
    .await;
    round_trip::<dr_run::Entity>(
        &store,
        dr_run::Model {
            id: text(),
            plan_id: Some(BIG),
            plan_name: text(),
            cluster_id: "main".into(),
            kind: "full_test".into(),
            started_at: 1,
            finished_at: BIG,
            ok: true,
            rto_seconds: Some(0.1 + 0.2),
            rpo_seconds: None,
            rto_objective: Some(1e300),
            rpo_objective: None,
            error: Some(long()),
            report: Some(long()),
            report_sha256: Some("h".repeat(64)),
        },
    )
    .await;
    round_trip::<login_throttle::Entity>(
        &store,
        login_throttle::Model { subject: text(), failures: BIG, last_failure_at: 1, blocked_until: BIG },
    )
    .await;
    round_trip::<metric_series::Entity>(
        &store,
        metric_series::Model { id: BIG, cluster_id: "main".into(), metric: "health_score".into(), label: text() },
    )
    .await;
    round_trip::<metric_sample::Entity>(
        &store,
        metric_sample::Model { series_id: BIG, at: BIG, value: 0.1 + 0.2, histogram: Some(long()) },
    )
    .await;
    round_trip::<known_standby::Entity>(
        &store,
        known_standby::Model {
            id: BIG,
            cluster_id: text(),
            name: text(),
            seen_at: BIG,
            replayed_lsn: Some(i64::MIN),
            by_address: true,
        },
    )
    .await;
    round_trip::<advice_dismissal::Entity>(
        &store,
        advice_dismissal::Model {
            id: BIG,
            cluster_id: text(),
            advice_key: text(),
            reason: long(),
            actor: text(),
            at: BIG,
            until: Some(BIG),
        },
    )
    .await;
    round_trip::<query_plan::Entity>(
        &store,
        query_plan::Model {
            id: BIG,
            statement_id: 7,
            plan_hash: text(),
            method: text(),
            version_num: 150_018,
            role_name: text(),
            shape: long(),
            first_at: BIG,
            last_at: BIG,
            times: BIG,
            taken_by: text(),
            total_cost: 0.1 + 0.2,
            plan: long(),
        },
    )
    .await;
    round_trip::<session::Entity>(
        &store,
        session::Model {
            id_hash: "a".repeat(64),
            account_id: Some(BIG),
            data: long(),
            created_at: 1,
            expires_at: 2,
            absolute_expires_at: BIG,
        },
    )
    .await;
    round_trip::<metric_rollup::Entity>(
        &store,
        metric_rollup::Model {
            tier: 2,
            series_id: BIG,
            at: BIG,
            count: BIG,
            sum: 1e300,
            min: f64::MIN_POSITIVE,
            max: 0.1 + 0.2,
            last: -1.5,
            gap: true,
            reset: false,
            histogram: Some(long()),
        },
    )
    .await;
    round_trip::<statement_rollup::Entity>(
        &store,
        statement_rollup::Model {
            tier: 1,
            statement_id: BIG,
            at: BIG,
            interval_ms: 600_000,
            calls: BIG,
            total_ms: 1e300,
            m2: f64::MIN_POSITIVE,
            max_ms: 1.5,
            row_count: BIG,
            shared_blks_hit: BIG,
            shared_blks_read: BIG,
            temp_blks_written: BIG,
            wal_bytes: BIG,
        },
    )
    .await;
    round_trip::<tier_mark::Entity>(
        &store,
        tier_mark::Model { name: "metric/1".into(), rolled_to: BIG, pruned_to: BIG },
    )
    .await;
    round_trip::<session_name::Entity>(&store, session_name::Model { id: BIG, name: text() }).await;
    round_trip::<session_bucket::Entity>(
        &store,
        session_bucket::Model {
            id: BIG,
            cluster_id: "main".into(),
            at: BIG,
            interval_ms: 60_000,
            samples: BIG,
            skipped: BIG,
        },
    )
    .await;
    round_trip::<session_count::Entity>(
        &store,
        session_count::Model {
            bucket_id: BIG,
            position: i32::MAX,
            wait_class_id: BIG,
            wait_event_id: 1,
            query_id: i64::MIN,
            database_id: 2,
            user_id: 3,
            application_id: 4,
            host_id: 5,
            samples: BIG,
        },
    )
    .await;
    round_trip::<setup_link::Entity>(
        &store,
        setup_link::Model { token_hash: "b".repeat(64), created_at: 1, expires_at: BIG, used_at: Some(2) },
    )
    .await;
    round_trip::<statement_text::Entity>(
        &store,
        statement_text::Model {
            id: 7,
            cluster_id: "main".into(),
            dbid: u32::MAX.into(),
            userid: u32::MAX.into(),
            queryid: i64::MIN,
            toplevel: false,
            database_name: text(),
            user_name: text(),
            query: long(),
            first_seen_at: 1,
            last_seen_at: BIG,
        },
    )
    .await;
    round_trip::<statement_sample::Entity>(
        &store,
        statement_sample::Model {
            statement_id: BIG,
            at: BIG,
            interval_ms: 60_000,
            calls: BIG,
            total_ms: 1e300,
            m2: f64::MIN_POSITIVE,
            max_ms: 1.5,
            row_count: BIG,
            shared_blks_hit: BIG,
            shared_blks_read: BIG,
            temp_blks_written: BIG,
            wal_bytes: BIG,
        },
    )
    .await;
}
