//! Standbys that a person has given up on another server of this store: they are missed here no longer either.
use crate::state::Shared;
use control::{ControlPlane, now};
use domain::Timestamp;
use store::StoreError;

/// By so much the clocks of two servers on one store may differ.
const CLOCKS_MS: i64 = 600_000;

/// What was heard of them. The audit log says it, in the transaction that forgets the standby: that its row is gone from the
/// store may have other reasons, and one that is missed must not be forgotten for those.
#[derive(Debug)]
pub(super) struct GivenUp {
    /// When the log was asked.
    asked: Timestamp,
    /// Position of the newest row that was heard.
    newest: i64,
}

impl GivenUp {
    pub(super) fn new() -> Self {
        Self { asked: now(), newest: 0 }
    }

    /// Whatever was said by now is no news: the standbys that the store knows are read after this.
    pub(super) async fn pass_over(&mut self, control: &ControlPlane) -> Result<(), StoreError> {
        self.news(control).await.map(drop)
    }

    /// Has the watches of `clusters` forget what was given up since the last look.
    pub(super) async fn tell(
        &mut self,
        control: &ControlPlane,
        shared: &Shared,
        clusters: &[String],
    ) -> Result<(), StoreError> {
        for standby in self.news(control).await? {
            for cluster in clusters {
                let name = standby.strip_prefix(cluster.as_str()).and_then(|rest| rest.strip_prefix('/'));
                if let Some(name) = name {
                    shared.forget_standby(cluster, name);
                }
            }
        }
        Ok(())
    }

    /// `cluster/name` of each, once.
    async fn news(&mut self, control: &ControlPlane) -> Result<Vec<String>, StoreError> {
        let at = now();
        let rows = control.standbys_given_up(self.asked.plus_ms(-CLOCKS_MS)).await?;
        let heard = self.newest;
        self.asked = at;
        self.newest = rows.iter().map(|(seq, _)| *seq).fold(heard, i64::max);
        Ok(rows.into_iter().filter(|(seq, _)| *seq > heard).map(|(_, standby)| standby).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use control::{ClusterConfig, Clusters};
    use std::time::Duration;
    use store::{AuditRepo, NewAudit, Outcome, Store};

    /// As the other server writes it.
    async fn said(store: &Store, standby: &str, outcome: Outcome) {
        let transaction = store.begin().await.unwrap();
        let row = NewAudit {
            at: now(),
            actor_kind: "user".to_owned(),
            actor_id: "ada".to_owned(),
            source: "page".to_owned(),
            address: None,
            action: "standby_forget".to_owned(),
            object_kind: "standby".to_owned(),
            object_id: standby.to_owned(),
            outcome,
            before: None,
            after: None,
            request_id: None,
        };
        AuditRepo(&transaction).append(row).await.unwrap();
        store.commit(transaction).await.unwrap();
    }

    #[tokio::test]
    async fn what_another_server_was_told_is_heard_once() {
        let (url, _directory) = test_support::sqlite_url();
        let store = Store::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        let config = ClusterConfig { id: "main".to_owned(), name: "main".to_owned(), standby_of: None, group: None };
        let clusters = Clusters::new(vec![config], |config| crate::first_snapshot(config, Duration::from_secs(1)));
        let control = ControlPlane::new(store, clusters, 500.0).await.unwrap();
        let other = Store::connect(&url).await.unwrap();
        let (shared, watched) = (Shared::default(), ["main".to_owned()]);
        said(&other, "main/before", Outcome::Ok).await;
        let mut given_up = GivenUp::new();
        given_up.pass_over(&control).await.unwrap();

        let all = [("main/r1", Outcome::Ok), ("main/is there", Outcome::Refused), ("main2/r2", Outcome::Ok)];
        for (standby, outcome) in all {
            said(&other, standby, outcome).await;
        }
        given_up.tell(&control, &shared, &watched).await.unwrap();
        assert_eq!(shared.take_gone_for_good("main"), ["r1"]);
        given_up.tell(&control, &shared, &watched).await.unwrap();
        assert!(shared.take_gone_for_good("main").is_empty(), "it may stream again since");
    }
}
