//! Whether the platform's schema is there at all: looked at by one connection, before any pool is opened.
use crate::tenancy::{PLATFORM_ROLE, TENANT_ROLE};
use pool::{PoolError, PoolSettings};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// What a look at the database found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It can be worked with.
    Ready {
        /// The role that the pools sign in as.
        role: String,
        /// It is a superuser or has BYPASSRLS: only the role of each transaction keeps tenants apart then.
        bypasses: bool,
        /// A migration of this version was not applied: answers are right, and may be slower.
        outdated: bool,
    },
    /// There are no tables, or older ones.
    Missing,
    /// The tables are there, and the role may not act for tenants.
    NoRights {
        /// The role that the pools would sign in as.
        role: String,
    },
}

impl Installed {
    /// Looks. `newest` is the name of the last migration that this version knows.
    ///
    /// # Errors
    /// [`PoolError::Unavailable`] when the database does not answer.
    pub async fn look(settings: &PoolSettings, newest: &str) -> Result<Self, PoolError> {
        let mut connection = settings.connect().await?;
        let found = match tokio::time::timeout(settings.probe_timeout, found(&mut connection, newest)).await {
            Ok(found) => found?,
            Err(_) => {
                return Err(PoolError::Unavailable(format!(
                    "the database does not answer within {} ms",
                    settings.probe_timeout.as_millis()
                )));
            }
        };
        // In vain only when the peer is gone, and then it is closed anyway.
        let _ = connection.close().await;
        Ok(found)
    }
}

async fn found(connection: &mut PgConnection, newest: &str) -> Result<Installed, sqlx::Error> {
    // Since PostgreSQL 16 a member may not always take a role on. Of the tables the newest is looked for too: an older schema is
    // brought to this version first. The platform's role may read the migrations that were applied since one of them.
    let row = sqlx::query(
        "SELECT current_user::text AS role, (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS bypasses,
           (to_regclass('plugins') IS NOT NULL AND to_regclass('plugin_bulks') IS NOT NULL
            AND EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'analytics_restored' AND c.relname = 'spans')) AS tables,
           (SELECT count(*) FILTER (WHERE pg_has_role(current_user, oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)) = 2 FROM pg_roles WHERE rolname IN ($1, $2)) AS member,
           coalesce((SELECT has_table_privilege(oid, to_regclass('holdfast_idp_migrations'), 'SELECT') FROM pg_roles WHERE rolname = $2), false) AS told",
    )
    .bind(TENANT_ROLE)
    .bind(PLATFORM_ROLE)
    .fetch_one(&mut *connection)
    .await?;
    let role = row.try_get::<String, _>("role")?;
    Ok(match (row.try_get::<bool, _>("tables")?, row.try_get::<bool, _>("member")?) {
        (false, _) => Installed::Missing,
        (true, false) => Installed::NoRights { role },
        (true, true) => Installed::Ready {
            role,
            bypasses: row.try_get::<Option<bool>, _>("bypasses")?.unwrap_or(false),
            outdated: !(row.try_get::<bool, _>("told")? && applied(connection, newest).await?),
        },
    })
}

/// Whether a migration was applied.
async fn applied(connection: &mut PgConnection, migration: &str) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query(AssertSqlSafe(format!("SET LOCAL ROLE {PLATFORM_ROLE}"))).execute(&mut *transaction).await?;
    let applied = sqlx::query_scalar("SELECT EXISTS (SELECT FROM holdfast_idp_migrations WHERE version = $1)")
        .bind(migration)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.rollback().await?;
    Ok(applied)
}
