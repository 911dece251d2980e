//! The file system under a store of SQLite is full, and has room again.
use domain::{
    Timestamp,
    view::{Event, EventKind},
};
use std::time::Duration;
use store::{EventRepo, Store, StoreError};
use test_support::Room;

async fn write(store: &Store) -> Result<(), StoreError> {
    let transaction = store.begin().await?;
    let event = Event::new(Timestamp(1), EventKind::Deploy, "x".repeat(20_000));
    EventRepo(&transaction).insert("main", &vec![event; 20]).await?;
    store.commit(transaction).await
}

/// SQLite rolls back by itself then. Each connection that met it must be fit for a transaction again, or be replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_writes_again_once_there_is_room() {
    let outer = tempfile::tempdir().unwrap();
    let Some(room) = Room::mount_or_skip(&outer.path().join("room"), "8m") else { return };
    let file = outer.path().join("room/store.sqlite");
    let store = crate::migrated(&format!("sqlite://{}?mode=rwc", file.display())).await;
    write(&store).await.unwrap();
    room.fill("filler");
    let mut refused = 0;
    // What the file has free is used up first. Several at once, so that it is met by more than one connection.
    while refused < 12 {
        let done = tokio::join!(write(&store), write(&store), write(&store), write(&store));
        refused += [done.0, done.1, done.2, done.3].iter().filter(|it| it.is_err()).count();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_file(outer.path().join("room/filler")).unwrap();
    for _ in 0..8 {
        let done = tokio::join!(write(&store), write(&store), write(&store), write(&store));
        for done in [done.0, done.1, done.2, done.3] {
            done.unwrap();
        }
        // Each time anew: so much does not fit in eight rounds.
        let transaction = store.begin().await.unwrap();
        sea_orm::ConnectionTrait::execute_unprepared(&transaction, "DELETE FROM event").await.unwrap();
        store.commit(transaction).await.unwrap();
    }
}
