//! `holdfast init`: brings the control store and the platform's schema to this version.

use super::{Failure, print, role, serve};
use crate::{config::Config, platform::PlatformConfig};
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
        Some(url) => Some(platform(&url, config.platform.as_ref()).await?),
        None => None,
    };
    if json {
        let (applied, role) =
            idp_applied.as_ref().map_or((None, None), |(applied, role)| (Some(applied), role.as_ref()));
        print(&serde_json::json!({ "store_migrations_applied": store_applied, "platform_migrations_applied": applied, "platform_role": role }).to_string());
    } else {
        print(&format!("control store: {}", said(store_applied)));
        match idp_applied {
            Some((applied, role)) => {
                print(&format!("platform schema at DATABASE_URL: {}", said(applied)));
                match role {
                    Some(role) => print(&format!("role of the pools: {role}")),
                    None => print(
                        "role of the pools: that of DATABASE_URL; for one that sees nothing by itself set HOLDFAST_PLATFORM_URL with a user and a password of its own, and run holdfast init again: it makes the role",
                    ),
                }
            }
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

/// How many migrations were applied, and what became of the role of the pools.
async fn platform(url: &str, config: Option<&PlatformConfig>) -> Result<(usize, Option<String>), Failure> {
    use sea_orm_migration::MigratorTrait as _;
    pgstat::Target::parse(url).map_err(|error| Failure::usage(format!("DATABASE_URL: {error}")))?;
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false).connect_timeout(std::time::Duration::from_secs(10));
    let reach = |error| Failure::failed(format!("the platform schema at DATABASE_URL was not migrated: {error}"));
    let database = Database::connect(options).await.map_err(reach)?;
    let pending = IdpMigrator::get_pending_migrations(&database).await.map_err(reach)?.len();
    IdpMigrator::up(&database, None).await.map_err(reach)?;
    let role = role::make(&database, url, config.map(|it| &it.pools.primary_url)).await?;
    Ok((pending, role))
}

fn said(applied: usize) -> String {
    match applied {
        0 => "up to date".to_owned(),
        1 => "1 migration applied".to_owned(),
        n => format!("{n} migrations applied"),
    }
}
