//! The control store on both databases it supports: every test of a repository runs on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Runs each named test of the enclosing module, an `async fn(store::Store)`, on a fresh migrated store of each kind.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let (url, _directory) = test_support::sqlite_url();
                super::$name(crate::migrated(&url).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let database = test_support::database().await;
                super::$name(crate::migrated(&database.url).await).await;
            })+
        }
    };
}

mod alerts;
mod audit;
mod connect;
mod dr;
mod full_disk;
mod health_weights;
mod history;
mod identity;
mod jobs;
mod known_standbys;
mod log_samples;
mod migrations;
mod plans;
mod schema;
mod statements;
mod tiers;

async fn migrated(url: &str) -> store::Store {
    let store = store::Store::connect(url).await.unwrap();
    store.migrate().await.unwrap();
    store
}
