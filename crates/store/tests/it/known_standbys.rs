//! Standbys that primaries have had.
use crate::alerts::alert;
use domain::{Lsn, Timestamp, reading::KnownStandby};
use migration::{MigratorTrait as _, StoreMigrator};
use store::{AlertPhase, AlertRepo, AlertRow, KnownStandbyRepo, Store};

on_both_databases!(known_standbys_are_kept_by_primary_and_forgotten, those_that_an_open_alert_misses_are_taken_over);

fn standby(name: &str, seen_at: i64) -> KnownStandby {
    KnownStandby {
        name: name.into(),
        seen_at: Timestamp(seen_at),
        replayed: Some(Lsn(u64::MAX - 1)),
        by_address: name.contains('('),
    }
}

async fn of(store: &Store, cluster: &str) -> Vec<KnownStandby> {
    let mut found = KnownStandbyRepo(store.db()).all().await.unwrap().remove(cluster).unwrap_or_default();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

async fn known_standbys_are_kept_by_primary_and_forgotten(store: Store) {
    let repo = KnownStandbyRepo(store.db());
    let first = [standby("r1", 1), standby("r2", 1), KnownStandby { replayed: None, ..standby("w (10.0.0.7)", 1) }];
    repo.change("main", None, &first).await.unwrap();
    repo.change("other", None, &first[..1]).await.unwrap();
    assert_eq!(of(&store, "main").await, first);
    // One is seen again, one is new, one is gone for good, and one is as it was.
    let second = [first[0].clone(), standby("r2", 2), standby("r3", 2)];
    repo.change("main", Some(&first), &second).await.unwrap();
    assert_eq!(of(&store, "main").await, second);
    repo.change("main", Some(&second), &second).await.unwrap();
    assert_eq!(of(&store, "main").await, second);
    // In the order of their names, whether they go or come.
    let mixed = [standby("r0", 3), standby("r2", 3), standby("r4", 3)];
    repo.change("main", Some(&second), &mixed).await.unwrap();
    assert_eq!(of(&store, "main").await, mixed);
    repo.change("main", Some(&mixed), &second).await.unwrap();
    assert_eq!(of(&store, "main").await, second);
    // Whatever is there gives way to what is known by whoever does not know what is there.
    repo.change("main", None, &second[1..]).await.unwrap();
    assert_eq!(of(&store, "main").await, second[1..]);
    repo.forget("main", "r2").await.unwrap();
    repo.forget("main", "r2").await.unwrap();
    assert_eq!(of(&store, "main").await, second[2..]);
    repo.change("main", None, &[]).await.unwrap();
    assert_eq!(of(&store, "main").await, []);
    assert_eq!(of(&store, "other").await, first[..1]);
    // Those of a cluster that is configured no longer go with it.
    repo.change("main", None, &first).await.unwrap();
    assert_eq!(repo.remove_unknown(&["main".to_owned(), "new".to_owned()]).await.unwrap(), 1);
    assert_eq!((of(&store, "main").await.len(), of(&store, "other").await), (first.len(), Vec::new()));
    assert_eq!(repo.remove_unknown(&[]).await.unwrap(), 3);
}

async fn those_that_an_open_alert_misses_are_taken_over(store: Store) {
    // As a version before them left it.
    StoreMigrator::down(store.db(), Some(2)).await.unwrap();
    let alerts = AlertRepo(store.db());
    let of_standby = |id: i64, rule: &str, object: &str, phase| AlertRow {
        rule: rule.into(),
        object: object.into(),
        ..alert(id, "main", phase)
    };
    for row in [
        of_standby(5, "replica_disconnected", "r1", AlertPhase::Firing),
        of_standby(4, "replication_lag", "r1", AlertPhase::Firing),
        of_standby(3, "replica_disconnected", "r2", AlertPhase::Resolved),
        of_standby(2, "replica_disconnected", "this server", AlertPhase::Firing),
        of_standby(1, "connections_high", "", AlertPhase::Firing),
    ] {
        alerts.put(&row).await.unwrap();
    }
    assert_eq!(store.migrate().await.unwrap(), 2);
    assert_eq!(of(&store, "main").await, [KnownStandby { replayed: None, ..standby("r1", 4) }]);
}
