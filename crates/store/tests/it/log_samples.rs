//! Samples of statements from the log.
use domain::{Timestamp, view::LogSample};
use store::{LogSampleRepo, Store};

on_both_databases!(the_newest_and_the_slowest_are_kept, old_ones_go_and_are_counted);

fn sample(at: i64, duration_ms: f64) -> LogSample {
    LogSample {
        at: Timestamp(at),
        duration_ms,
        application: "web".to_owned(),
        client: "10.0.0.7".to_owned(),
        parameters: 1,
        query: "SELECT ?\0".to_owned(),
    }
}

async fn the_newest_and_the_slowest_are_kept(store: Store) {
    let repo = LogSampleRepo(store.db());
    // The first ten are the slowest.
    for at in 0..60 {
        let slow = if at < 10 { 1_000.0 } else { 1.0 };
        repo.insert(&[(1, sample(at, slow)), (2, sample(at, 1.0))]).await.unwrap();
    }
    let kept = repo.list(1).await.unwrap();
    assert_eq!((kept[0].at.0, kept.last().unwrap().at.0), (59, 0));
    assert_eq!(kept.iter().filter(|it| it.duration_ms > 100.0).count(), 10);
    assert!(kept.len() <= 40 && kept.len() >= 30, "{}", kept.len());
    assert_eq!((kept[0].query.as_str(), kept[0].parameters), ("SELECT ? ", 1));
    let others = repo.list(2).await.unwrap();
    assert!(others.iter().any(|it| it.at.0 == 59) && others.len() <= 40);
}

async fn old_ones_go_and_are_counted(store: Store) {
    let repo = LogSampleRepo(store.db());
    repo.insert(&[(1, sample(10, 1.0)), (1, sample(20, 1.0))]).await.unwrap();
    let size = repo.size().await.unwrap();
    assert_eq!((size.number, size.oldest), (2, Some(10)));
    assert_eq!(repo.prune(Timestamp(20)).await.unwrap(), 1);
    assert_eq!(repo.list(1).await.unwrap().len(), 1);
}
