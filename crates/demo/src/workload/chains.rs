//! What keeps a DBA awake: lock chains, transactions left open, bursts.

use super::{Job, connect, jobs, run};
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A transaction left open while the application thinks.
pub struct IdleInTransaction;

impl Job for IdleInTransaction {
    const APPLICATION: &'static str = "batch-import";

    async fn step(&mut self, connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        sqlx::query("SELECT count(*) FROM tenants").fetch_one(&mut *transaction).await?;
        tokio::time::sleep(Duration::from_secs(15)).await;
        transaction.rollback().await?;
        Ok(Duration::from_secs(40))
    }
}

/// Every now and then one session holds a row and thinks, a second waits for it and holds another, a third waits for
/// the second.
pub async fn lock_chains(url: String, stop: CancellationToken) {
    let chains = async {
        loop {
            tokio::time::sleep(Duration::from_secs(25)).await;
            if let Err(error) = chain(&url).await {
                tracing::debug!(%error, "a lock chain was broken");
            }
        }
    };
    tokio::select! {
        () = chains => {}
        () = stop.cancelled() => {}
    }
}

async fn chain(url: &str) -> Result<(), sqlx::Error> {
    const TOUCH: &str = "UPDATE tenants SET name = name WHERE id = $1";
    let mut root = connect(url, "billing-close").await?;
    let mut middle = connect(url, "billing-sync").await?;
    let mut leaf = connect(url, "portal-admin").await?;
    let mut holding = root.begin().await?;
    sqlx::query(TOUCH).bind(1_i64).execute(&mut *holding).await?;
    let thinks = async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        holding.commit().await
    };
    let waits = async {
        let mut transaction = middle.begin().await?;
        sqlx::query(TOUCH).bind(2_i64).execute(&mut *transaction).await?;
        sqlx::query(TOUCH).bind(1_i64).execute(&mut *transaction).await?;
        transaction.commit().await
    };
    let waits_too = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sqlx::query(TOUCH).bind(2_i64).execute(&mut leaf).await.map(|_| ())
    };
    let (a, b, c) = futures::future::join3(thinks, waits, waits_too).await;
    a.and(b).and(c)
}

/// A dozen clients for a few seconds.
pub async fn bursts(url: String, stop: CancellationToken) {
    let mut seed = 100;
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(50)) => {}
            () = stop.cancelled() => return,
        }
        let burst = stop.child_token();
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..12 {
            seed += 1;
            clients.spawn(run(jobs::Lookups::new(seed), url.clone(), burst.clone()));
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(4)) => {}
            () = stop.cancelled() => {}
        }
        burst.cancel();
        while clients.join_next().await.is_some() {}
    }
}
