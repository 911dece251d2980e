//! The demo's clusters: made at the first start, taken up again at the next.

use crate::{DemoError, data, faults};
use migration::{IdpMigrator, MigratorTrait as _};
use pgphysical::{ClusterOptions, Install, LocalCluster, ShutdownMode};
use rand::distr::{Alphanumeric, SampleString as _};
use sea_orm::{ConnectOptions, Database};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::{
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

/// Where and how large.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Directory that holds everything.
    pub dir: PathBuf,
    /// 1 is 40,000 plugins and 3,000,000 metric rows.
    pub scale: f64,
}

/// Name of the platform's database, as in the guide.
const DATABASE: &str = "saas_idp";
/// The role that Holdfast watches as: `pg_monitor` to read, `pg_signal_backend` to cancel and terminate, membership in the
/// application's role to plan its statements, and the statistics of columns without their values.
const MONITOR: &str = "holdfast_monitor";
/// As the README has it: no column of a table, and nothing of a tenant's, can be read by it.
const STATISTICS: &str = "GRANT SELECT (starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct, \
    stakind1, stakind2, stakind3, stakind4, stakind5, stanumbers1, stanumbers2, stanumbers3, stanumbers4, stanumbers5) \
    ON pg_catalog.pg_statistic TO";
/// The role that backs up: it replicates, starts backups and reads configuration files; no superuser.
pub(crate) const BACKUP: &str = "holdfast_backup";
/// The role of the application.
const APPLICATION: &str = "idp_app";
/// The role of the platform's data layer: a member of the tenants' role, and nothing by itself.
const DATA_LAYER: &str = "idp_api";
/// Columns that later migrations add and fill: with them there from the start nothing has to be filled in.
const EARLY_COLUMNS: &str = "
    ALTER TABLE plugins ADD COLUMN IF NOT EXISTS installed_version text;
    ALTER TABLE plugin_versions ADD COLUMN IF NOT EXISTS tenant_id bigint;
    ALTER TABLE plugin_dependencies ADD COLUMN IF NOT EXISTS tenant_id bigint;
    ALTER TABLE plugin_operations ADD COLUMN IF NOT EXISTS tenant_id bigint;
    ALTER TABLE plugin_metrics ADD COLUMN IF NOT EXISTS tenant_id bigint";
/// Set on the database when its data is whole: a start that was cut short begins anew.
const WHOLE: &str = "holdfast demo data, scale ";

/// A running primary and replica.
#[derive(Debug)]
pub struct Estate {
    primary: LocalCluster,
    replica: LocalCluster,
    password: String,
}

impl Estate {
    /// Starts both, and makes what is not there yet. `say` is told each step that takes time.
    ///
    /// # Errors
    /// [`DemoError`].
    pub async fn start(options: &DemoOptions, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Self, DemoError> {
        let install = Install::best()?;
        let password = password(&options.dir.join("postgres.password"))?;
        say(&format!("PostgreSQL {} from {}", install.version, install.bin_dir.display()));
        let has_statements = install.has_extension("pg_stat_statements");
        if !has_statements {
            say(
                "pg_stat_statements is not installed (package postgresql-contrib), so the list of statements will stay empty",
            );
        }
        let begun = Instant::now();
        let primary =
            LocalCluster::start_in(&options.dir.join("primary"), settings(install, &password, has_statements)).await?;
        let mut estate_primary = PgConnection::connect(&primary.url("postgres")).await?;
        let made = whole(&mut estate_primary).await?;
        match &made {
            Some(scale) if *scale != options.scale.to_string() => {
                say(&format!("the data is there at scale {scale}; remove {} for another scale", options.dir.display()));
            }
            Some(_) => {}
            None => {
                say("making the platform's schema and its data");
                make(&primary, &mut estate_primary, options.scale, &password, has_statements).await?;
                say(&format!("data made in {:.1} s", begun.elapsed().as_secs_f64()));
            }
        }
        // In the platform's database: rights on functions are each database's own.
        let mut platform = PgConnection::connect(&primary.url(DATABASE)).await?;
        make_backup_role(&mut platform, &password).await?;
        platform.execute(AssertSqlSafe(format!("{STATISTICS} {MONITOR}"))).await?;
        platform.close().await?;
        let replica = primary.standby_in(&options.dir.join("replica"), "replica1").await?;
        say(&format!("primary on port {}, replica on port {}", primary.port(), replica.port()));
        Ok(Self { primary, replica, password })
    }

    /// The primary, as the monitoring role.
    pub fn database_url(&self) -> String {
        self.primary.url_as(MONITOR, &self.password, DATABASE)
    }

    /// The replica, as the monitoring role.
    pub fn replica_url(&self) -> String {
        self.replica.url_as(MONITOR, &self.password, DATABASE)
    }

    /// The primary, as superuser.
    pub fn superuser_url(&self) -> String {
        self.primary.url(DATABASE)
    }

    /// The primary, as the role that backs up.
    pub fn backup_url(&self) -> String {
        self.primary.url_as(BACKUP, &self.password, DATABASE)
    }

    /// The primary, as the application.
    pub fn application_url(&self) -> String {
        self.primary.url_as(APPLICATION, &self.password, DATABASE)
    }

    /// The replica, as the application.
    pub fn application_replica_url(&self) -> String {
        self.replica.url_as(APPLICATION, &self.password, DATABASE)
    }

    /// The primary, as the platform's data layer.
    pub fn data_layer_url(&self) -> String {
        self.primary.url_as(DATA_LAYER, &self.password, DATABASE)
    }

    /// The replica, as the platform's data layer.
    pub fn data_layer_replica_url(&self) -> String {
        self.replica.url_as(DATA_LAYER, &self.password, DATABASE)
    }

    /// Stops both; the data stays.
    ///
    /// # Errors
    /// [`DemoError::Cluster`].
    pub async fn stop(mut self) -> Result<(), DemoError> {
        let replica = self.replica.stop(ShutdownMode::Fast).await;
        self.primary.stop(ShutdownMode::Fast).await?;
        Ok(replica?)
    }
}

fn settings(install: Install, password: &str, has_statements: bool) -> ClusterOptions {
    let options = ClusterOptions::new(install, password)
        // The guide's, and what its pools of 50 and 30 need.
        .setting("max_connections", 200)
        // Small on purpose: some reads must miss.
        .setting("shared_buffers", "96MB")
        .setting("work_mem", "4MB")
        .setting("maintenance_work_mem", "128MB")
        .setting("max_wal_size", "2GB")
        .setting("max_slot_wal_keep_size", "2GB")
        .setting("random_page_cost", "1.1")
        .setting("track_io_timing", "on")
        .setting("compute_query_id", "on")
        // All slow ones and a twentieth of the others: percentiles are measured.
        .setting("log_min_duration_statement", 1_000)
        .setting("log_min_duration_sample", 0)
        .setting("log_statement_sample_rate", "0.05")
        .setting("logging_collector", "on")
        // A day's log of a busy demo stays small: each hour takes the place of yesterday's.
        .setting("log_filename", "hour-%H.log")
        .setting("log_truncate_on_rotation", "on")
        .setting("log_rotation_age", "1h")
        .setting("log_checkpoints", "on")
        .setting("hot_standby_feedback", "on");
    if has_statements {
        options
            .setting("shared_preload_libraries", "pg_stat_statements")
            .setting("pg_stat_statements.max", 10_000)
            .setting("pg_stat_statements.track", "all")
    } else {
        options
    }
}

/// The same at every start: it is in the cluster.
fn password(path: &Path) -> Result<String, DemoError> {
    let failed = |source| DemoError::File { path: path.display().to_string(), source };
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) | Err(_) => {
            use std::io::Write as _;
            let password = Alphanumeric.sample_string(&mut rand::rng(), 24);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .map_err(failed)?;
            file.write_all(password.as_bytes()).map_err(failed)?;
            Ok(password)
        }
    }
}

/// At each start, so that a demo of an older version gets it too.
async fn make_backup_role(connection: &mut PgConnection, password: &str) -> Result<(), DemoError> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(BACKUP)
        .fetch_one(&mut *connection)
        .await?;
    let verb = if exists { "ALTER" } else { "CREATE" };
    connection.execute(AssertSqlSafe(format!("{verb} ROLE {BACKUP} LOGIN REPLICATION PASSWORD '{password}'"))).await?;
    connection.execute(AssertSqlSafe(format!("GRANT pg_monitor, pg_read_server_files TO {BACKUP}"))).await?;
    // Their names and arguments differ between versions.
    let grants: Vec<String> = sqlx::query_scalar(
        "SELECT format('GRANT EXECUTE ON FUNCTION %s TO ', oid::regprocedure) FROM pg_proc WHERE proname IN \
         ('pg_backup_start', 'pg_backup_stop', 'pg_start_backup', 'pg_stop_backup', 'pg_read_file', 'pg_show_all_file_settings') \
         AND pronamespace = 'pg_catalog'::regnamespace",
    )
    .fetch_all(&mut *connection)
    .await?;
    for grant in grants {
        connection.execute(AssertSqlSafe(format!("{grant}{BACKUP}"))).await?;
    }
    connection.execute(AssertSqlSafe(format!("GRANT SELECT ON pg_file_settings TO {BACKUP}"))).await?;
    Ok(())
}

/// The scale of the data, when it is whole.
async fn whole(connection: &mut PgConnection) -> Result<Option<String>, DemoError> {
    let comment: Option<Option<String>> =
        sqlx::query_scalar("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1")
            .bind(DATABASE)
            .fetch_optional(connection)
            .await?;
    Ok(comment.flatten().and_then(|text| text.strip_prefix(WHOLE).map(str::to_owned)))
}

async fn make(
    primary: &LocalCluster,
    connection: &mut PgConnection,
    scale: f64,
    password: &str,
    has_statements: bool,
) -> Result<(), DemoError> {
    connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))).await?;
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).await?;
    for role in [MONITOR, APPLICATION, DATA_LAYER] {
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
            .bind(role)
            .fetch_one(&mut *connection)
            .await?;
        let verb = if exists { "ALTER" } else { "CREATE" };
        // The data layer has its rights only in the transactions that ask for them.
        let inherits = if role == DATA_LAYER { "NOINHERIT" } else { "INHERIT" };
        connection.execute(AssertSqlSafe(format!("{verb} ROLE {role} LOGIN {inherits} PASSWORD '{password}'"))).await?;
    }
    connection.execute(AssertSqlSafe(format!("GRANT pg_monitor, pg_signal_backend TO {MONITOR}"))).await?;

    let url = primary.url(DATABASE);
    let mut options = ConnectOptions::new(url.clone());
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await?;
    // Tables first: an index is built faster on rows that are there than kept up while they come.
    IdpMigrator::up(&database, Some(1)).await?;
    PgConnection::connect(&url).await?.execute(sqlx::raw_sql(EARLY_COLUMNS)).await?;
    data::load(&url, scale).await?;
    IdpMigrator::up(&database, None).await?;
    database.close().await?;

    let mut platform = PgConnection::connect(&url).await?;
    faults::make(&mut platform).await?;
    if has_statements {
        platform.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
    }
    platform
        .execute(AssertSqlSafe(format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APPLICATION}"
        )))
        .await?;
    // Statements are planned with the rights and row policies of the role that runs them, in a read-only session. From 16
    // on that right can be had without reading the rows otherwise; before, the page says what it would take.
    if primary.install().major >= 16 {
        platform
            .execute(AssertSqlSafe(format!("GRANT {APPLICATION} TO {MONITOR} WITH INHERIT FALSE, SET TRUE")))
            .await?;
    }
    // The application of the demo works for all tenants at once.
    platform.execute(AssertSqlSafe(format!("GRANT holdfast_platform TO {APPLICATION}"))).await?;
    // Rights on functions are a database's own: here, where the monitoring role signs in.
    platform
        .execute(AssertSqlSafe(format!(
            "GRANT EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint) TO {MONITOR}"
        )))
        .await?;
    platform.execute(AssertSqlSafe(format!("GRANT holdfast_tenant, holdfast_platform TO {DATA_LAYER}"))).await?;
    platform.execute("ANALYZE").await?;
    // What the making of the data cost is no part of the demo.
    if has_statements {
        platform.execute("SELECT pg_stat_statements_reset()").await?;
    }
    platform.execute("SELECT pg_stat_reset()").await?;
    platform.execute("CHECKPOINT").await?;
    connection.execute(AssertSqlSafe(format!("COMMENT ON DATABASE {DATABASE} IS '{WHOLE}{scale}'"))).await?;
    Ok(())
}
