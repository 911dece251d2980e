//! Weights of the health score.
use domain::{Timestamp, view::HealthWeights};
use store::{HealthWeightsRepo, HealthWeightsRow, Store};

on_both_databases!(weights_are_kept_by_cluster_and_taken_back);

async fn weights_are_kept_by_cluster_and_taken_back(store: Store) {
    let repo = HealthWeightsRepo(store.db());
    let row = |cluster: Option<&str>, locks: u8| HealthWeightsRow {
        cluster_id: cluster.map(str::to_owned),
        weights: HealthWeights { locks, cache: 17 - locks, ..HealthWeights::default() },
        updated_by: "ada".to_owned(),
        updated_at: Timestamp(7),
    };
    repo.set(&row(None, 1)).await.unwrap();
    repo.set(&row(Some("main"), 2)).await.unwrap();
    repo.set(&row(Some("main"), 3)).await.unwrap();
    let mut all = repo.list().await.unwrap();
    all.sort_by_key(|row| row.cluster_id.clone());
    assert_eq!(all, [row(None, 1), row(Some("main"), 3)]);
    assert!(repo.delete(Some("main")).await.unwrap());
    assert!(!repo.delete(Some("main")).await.unwrap());
    assert_eq!(repo.list().await.unwrap().len(), 1);
}
