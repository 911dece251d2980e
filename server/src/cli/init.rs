//! `holdfast init`: brings the control store and the platform's schema to this version.

use super::{Failure, print, serve};
use crate::config::Config;
use migration::idp::IdpMigrator;
use sea_orm::{ConnectOptions, Database};
use secrecy::ExposeSecret as _;
use store::Store;

/// Migrates; asks nothing and says what it did.
pub async fn run(json: bool) -> Result<(), Failure> {
    let config = Config::load()?;
    let store = Store::connect(config.store_url.expose_secret()).await?;
    let store_applied = store.migrate().await?;
    let idp_applied = match std::env::var("DATABASE_URL").ok().filter(|url| !url.trim().is_empty()) {
        Some(url) => Some(platform(&url).await?),
        None => None,
    };
    if json {
        print(&serde_json::json!({ "store_migrations_applied": store_applied, "platform_migrations_applied": idp_applied }).to_string());
    } else {
        print(&format!("control store: {}", said(store_applied)));
        match idp_applied {
            Some(applied) => print(&format!("platform schema at DATABASE_URL: {}", said(applied))),
            None => print("platform schema: DATABASE_URL is not set, so nothing was done"),
        }
    }
    // The first administrator cannot be made by a page that nobody can open yet.
    if let Some(secret) = serve::control(&config).await?.setup_link_create().await? {
        print(&format!(
            "no administrator yet: open {}/setup?token={secret} within 24 hours, or run 'holdfast user add NAME --role admin'",
            config.address()
        ));
    }
    Ok(())
}

async fn platform(url: &str) -> Result<usize, Failure> {
    use sea_orm_migration::MigratorTrait as _;
    pgstat::Target::parse(url).map_err(|error| Failure::usage(format!("DATABASE_URL: {error}")))?;
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false).connect_timeout(std::time::Duration::from_secs(10));
    let reach = |error| Failure::failed(format!("the platform schema at DATABASE_URL was not migrated: {error}"));
    let database = Database::connect(options).await.map_err(reach)?;
    let pending = IdpMigrator::get_pending_migrations(&database).await.map_err(reach)?.len();
    IdpMigrator::up(&database, None).await.map_err(reach)?;
    Ok(pending)
}

fn said(applied: usize) -> String {
    match applied {
        0 => "up to date".to_owned(),
        1 => "1 migration applied".to_owned(),
        n => format!("{n} migrations applied"),
    }
}
