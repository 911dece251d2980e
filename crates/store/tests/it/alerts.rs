//! Alerts, settings of rules, blackouts, channels and messages.
use domain::{
    Timestamp,
    alert::{ChannelKind, Level, RuleScope, RuleSettings, Severity},
};
use migration::{MigratorTrait as _, StoreMigrator};
use store::{
    AckRow, AlertEventRow, AlertFilter, AlertPhase, AlertRepo, AlertRow, AlertRuleRepo, AlertRuleRow, BlackoutRepo,
    BlackoutRow, ChannelRepo, ChannelRow, DeliveryRepo, DeliveryState, NewDelivery, RuleCounts, SilenceRow, Store,
    StoreError,
};

on_both_databases!(
    the_engine_and_people_do_not_undo_each_other,
    what_is_over_is_listed_by_pages_and_removed_with_its_story,
    an_acknowledgement_ends_at_its_time_and_a_renewed_one_stays,
    settings_of_rules_are_one_for_each_cluster_each_group_and_all,
    blackouts_come_back_as_they_were_made,
    a_channel_is_changed_whole_and_its_name_is_its_own,
    a_message_stands_once_is_taken_in_hand_and_found_again_after_a_crash,
);

pub(crate) fn alert(id: i64, cluster: &str, phase: AlertPhase) -> AlertRow {
    AlertRow {
        id,
        cluster_id: cluster.into(),
        rule: "connections_high".into(),
        object: String::new(),
        title: "Connection slots are running out".into(),
        detail: None,
        severity: Severity::Warning,
        phase,
        value: Some(82.5),
        measured: "82.5 %".into(),
        threshold: "> 80 %".into(),
        started_at: Timestamp(id),
        fired_at: Some(Timestamp(id)),
        resolved_at: (phase == AlertPhase::Resolved).then_some(Timestamp(id + 10)),
        expires_at: None,
        no_data_since: None,
        sequence: 7,
        page: "/database/activity".into(),
        machine: "{}".into(),
        notified: None,
        suppressed_by: None,
        ack: None,
        silence: None,
    }
}

fn ack(until: Option<i64>) -> AckRow {
    AckRow {
        by: "ada".into(),
        at: Timestamp(5),
        note: "mine".into(),
        until: until.map(Timestamp),
        severity: Severity::Warning,
    }
}

async fn the_engine_and_people_do_not_undo_each_other(store: Store) {
    let alerts = AlertRepo(store.db());
    let row = alert(1, "main", AlertPhase::Firing);
    alerts.put(&row).await.unwrap();
    alerts.set_ack(1, Some(&ack(None))).await.unwrap();
    let silence = SilenceRow { by: "bob".into(), note: String::new(), until: Timestamp(99) };
    alerts.set_silence(1, Some(&silence)).await.unwrap();
    // The engine writes what it knows, which is nothing of either.
    let worse = AlertRow {
        severity: Severity::Critical,
        value: Some(f64::INFINITY),
        notified: Some(Severity::Critical),
        ..row
    };
    alerts.put(&worse).await.unwrap();
    let open = alerts.open().await.unwrap();
    assert_eq!(open, [AlertRow { ack: Some(ack(None)), silence: Some(silence), value: None, ..worse }]);
    alerts.set_ack(1, None).await.unwrap();
    alerts.set_silence(1, None).await.unwrap();
    let row = alerts.get(1).await.unwrap().unwrap();
    assert_eq!((row.ack, row.silence, row.severity), (None, None, Severity::Critical));
    alerts.delete(1).await.unwrap();
    assert_eq!(alerts.get(1).await.unwrap(), None);
}

async fn what_is_over_is_listed_by_pages_and_removed_with_its_story(store: Store) {
    let alerts = AlertRepo(store.db());
    for id in 1..=5 {
        alerts.put(&alert(id, if id == 3 { "other" } else { "main" }, AlertPhase::Resolved)).await.unwrap();
        let event = AlertEventRow {
            id: id * 100,
            alert_id: id,
            at: Timestamp(id),
            kind: "fired".into(),
            severity: Severity::Warning,
            actor: None,
            note: "82.5 %".into(),
        };
        // Told twice, it stands once.
        alerts.insert_events(std::slice::from_ref(&event)).await.unwrap();
        alerts.insert_events(&[event]).await.unwrap();
    }
    alerts.put(&alert(6, "main", AlertPhase::Firing)).await.unwrap();
    let ids = async |filter: AlertFilter, limit| {
        alerts.past(&filter, limit).await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let main = AlertFilter { cluster: Some("main".into()), ..AlertFilter::default() };
    assert_eq!(ids(AlertFilter::default(), 9).await, [5, 4, 3, 2, 1]);
    assert_eq!(ids(main.clone(), 2).await, [5, 4]);
    assert_eq!(ids(AlertFilter { before_id: Some(4), ..main.clone() }, 9).await, [2, 1]);
    let searched = |text: &str| AlertFilter { search: Some(text.to_owned()), ..AlertFilter::default() };
    let worst = alert(5, "main", AlertPhase::Resolved);
    let words = worst.title.to_uppercase();
    assert_eq!(ids(searched(&words), 9).await, [5, 4, 3, 2, 1], "in capitals or not");
    for nothing in ["%", "_", "!", "no such text"] {
        assert_eq!(
            ids(searched(nothing), 9).await.len(),
            usize::from(worst.measured.contains(nothing)) * 5,
            "{nothing}"
        );
    }
    let severe = |severity| AlertFilter { severity: Some(severity), ..main.clone() };
    let all = [domain::alert::Severity::Info, domain::alert::Severity::Warning, domain::alert::Severity::Critical];
    let found = [ids(severe(all[0]), 9).await, ids(severe(all[1]), 9).await, ids(severe(all[2]), 9).await].concat();
    assert_eq!(found.len(), ids(main, 9).await.len(), "each is of one severity");
    assert_eq!(alerts.events(2).await.unwrap().len(), 1);
    alerts.set_ack(6, Some(&ack(None))).await.unwrap();
    let counts = alerts.fired_since(Some("main"), Timestamp(2)).await.unwrap()["connections_high"];
    assert_eq!(counts, RuleCounts { fired: 4, acknowledged: 1, resolved: 3 });
    assert_eq!(alerts.fired_since(None, Timestamp(0)).await.unwrap()["connections_high"].fired, 6);
    assert_eq!(alerts.prune(Timestamp(13)).await.unwrap(), 2);
    assert_eq!((alerts.events(2).await.unwrap().len(), alerts.events(3).await.unwrap().len()), (0, 1));
    assert_eq!(alerts.open().await.unwrap().len(), 1, "what is open is never removed");
}

async fn an_acknowledgement_ends_at_its_time_and_a_renewed_one_stays(store: Store) {
    let alerts = AlertRepo(store.db());
    alerts.put(&alert(1, "main", AlertPhase::Firing)).await.unwrap();
    alerts.set_ack(1, Some(&ack(Some(50)))).await.unwrap();
    alerts.expire(1, Timestamp(49)).await.unwrap();
    assert!(alerts.get(1).await.unwrap().unwrap().ack.is_some());
    alerts.expire(1, Timestamp(50)).await.unwrap();
    assert_eq!(alerts.get(1).await.unwrap().unwrap().ack, None);
    for renewed in [ack(Some(99)), ack(None)] {
        alerts.set_ack(1, Some(&renewed)).await.unwrap();
        alerts.expire(1, Timestamp(50)).await.unwrap();
        assert_eq!(alerts.get(1).await.unwrap().unwrap().ack, Some(renewed));
    }
}

async fn settings_of_rules_are_one_for_each_cluster_each_group_and_all(store: Store) {
    use RuleScope::{All, Cluster, Group};
    let rules = AlertRuleRepo(store.db());
    let row = |scope: RuleScope, threshold| AlertRuleRow {
        scope,
        rule: "connections_high".into(),
        settings: RuleSettings {
            enabled: true,
            levels: vec![Level { severity: Severity::Warning, threshold, clear: 0.1 + 0.2 }],
            for_seconds: 30,
            clear_for_seconds: 60,
        },
        updated_by: "ada".into(),
        updated_at: Timestamp(1),
    };
    let (one, group) = (|| Cluster("main".into()), || Group("main".into()));
    for (scope, threshold) in [(All, 80.0), (one(), 70.0), (group(), 60.0), (All, 85.0), (group(), 65.0)] {
        rules.set(&row(scope, threshold)).await.unwrap();
    }
    let mut all = rules.list().await.unwrap();
    all.sort_by_key(|row| row.scope.clone());
    assert_eq!(all, [row(All, 85.0), row(group(), 65.0), row(one(), 70.0)]);
    assert!(rules.delete(&one(), "connections_high").await.unwrap());
    assert!(!rules.delete(&one(), "connections_high").await.unwrap());
    assert_eq!(rules.list().await.unwrap().len(), 2);
    // An older version knows no groups: their settings go, and are not taken for those of all.
    StoreMigrator::down(store.db(), Some(1)).await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), 1);
    assert_eq!(rules.list().await.unwrap(), [row(All, 85.0)]);
}

async fn blackouts_come_back_as_they_were_made(store: Store) {
    let blackouts = BlackoutRepo(store.db());
    let new = BlackoutRow {
        id: 0,
        reason: "disks".into(),
        cluster_id: Some("main".into()),
        rule: None,
        starts_at: Timestamp(1),
        ends_at: Timestamp(100),
        cron: Some("0 2 * * 0".into()),
        duration_seconds: Some(5_400),
        created_by: "ada".into(),
        created_at: Timestamp(1),
    };
    let made = blackouts.insert(&new).await.unwrap();
    assert_eq!(blackouts.list().await.unwrap(), [BlackoutRow { id: made.id, ..new }]);
    assert_eq!(blackouts.get(made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(blackouts.prune(Timestamp(100)).await.unwrap(), 0);
    blackouts.delete(made.id).await.unwrap();
    assert_eq!(blackouts.get(made.id).await.unwrap(), None);
}

fn channel(name: &str) -> ChannelRow {
    ChannelRow {
        id: 0,
        name: name.into(),
        kind: ChannelKind::Webhook,
        target: "hooks.example".into(),
        min_severity: Severity::Warning,
        clusters: vec!["main".into()],
        enabled: true,
        sealed: "v1:…".into(),
        created_by: "ada".into(),
        created_at: Timestamp(1),
        last_sent_at: None,
        last_error: None,
    }
}

async fn a_channel_is_changed_whole_and_its_name_is_its_own(store: Store) {
    let channels = ChannelRepo(store.db());
    let made = channels.insert(&channel("night")).await.unwrap();
    let other = channels.insert(&channel("day")).await.unwrap();
    assert!(matches!(channels.insert(&channel("night")).await, Err(StoreError::Exists { .. })));
    let renamed = ChannelRow { name: "night".into(), ..other.clone() };
    assert!(matches!(channels.update(&renamed).await, Err(StoreError::Exists { .. })));
    let changed = ChannelRow { enabled: false, clusters: vec![], min_severity: Severity::Critical, ..made.clone() };
    channels.update(&changed).await.unwrap();
    channels.note(made.id, Some(Timestamp(9)), None).await.unwrap();
    channels.note(made.id, None, Some("no answer")).await.unwrap();
    let now = channels.get(made.id).await.unwrap().unwrap();
    assert_eq!(now, ChannelRow { last_sent_at: Some(Timestamp(9)), last_error: Some("no answer".into()), ..changed });
    assert!(!now.wants("main", Severity::Critical) && other.wants("main", Severity::Warning));
    assert!(!other.wants("main", Severity::Info) && !other.wants("elsewhere", Severity::Critical));
}

async fn a_message_stands_once_is_taken_in_hand_and_found_again_after_a_crash(store: Store) {
    let (channels, deliveries) = (ChannelRepo(store.db()), DeliveryRepo(store.db()));
    let channel = channels.insert(&channel("night")).await.unwrap();
    let new = |key: &str, at| NewDelivery {
        key: key.into(),
        channel_id: channel.id,
        alert_id: Some(1),
        kind: "firing".into(),
        subject: "CRITICAL".into(),
        payload: "{}".into(),
        at: Timestamp(at),
    };
    deliveries.insert(&[new("a", 1), new("b", 2)]).await.unwrap();
    deliveries.insert(&[new("a", 3)]).await.unwrap();
    let due = deliveries.due(Timestamp(9), 10).await.unwrap();
    assert_eq!(due.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    deliveries.take(due[0].id, Timestamp(60)).await.unwrap();
    assert_eq!(deliveries.due(Timestamp(9), 10).await.unwrap().len(), 1, "it is in hand");
    // We ended in the middle and are back.
    assert_eq!(deliveries.release(Timestamp(10)).await.unwrap(), 1);
    let due = deliveries.due(Timestamp(10), 10).await.unwrap();
    assert_eq!((due.len(), due[0].attempts, due[0].state.as_str()), (2, 1, "waiting"));
    deliveries.end(due[0].id, DeliveryState::Waiting, Timestamp(10), Timestamp(20), Some("no answer")).await.unwrap();
    deliveries.end(due[1].id, DeliveryState::Dead, Timestamp(10), Timestamp(10), Some("gone")).await.unwrap();
    let mut counts = deliveries.counts().await.unwrap();
    counts.sort_by(|a, b| a.state.cmp(&b.state));
    assert_eq!(
        counts.iter().map(|it| (it.state.as_str(), it.number)).collect::<Vec<_>>(),
        [("dead", 1), ("waiting", 1)]
    );
    assert_eq!(deliveries.revive(channel.id, Timestamp(11)).await.unwrap(), 1);
    assert_eq!(deliveries.due(Timestamp(11), 10).await.unwrap()[0].key, "b");
    deliveries.end(due[1].id, DeliveryState::Sent, Timestamp(12), Timestamp(12), None).await.unwrap();
    let newest = deliveries.newest(Some(channel.id), 10).await.unwrap();
    assert_eq!((newest[0].sent_at, newest[0].last_error.as_deref()), (Some(Timestamp(12)), None));
    assert_eq!(deliveries.of_alert(1).await.unwrap().len(), 2);
    assert_eq!(deliveries.prune(Timestamp(9)).await.unwrap(), 1, "what is still on its way stays");
    channels.delete(channel.id).await.unwrap();
    assert_eq!(deliveries.newest(None, 10).await.unwrap(), []);
}
