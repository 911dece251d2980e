//! Opening the store, migrating it, transactions.
use crate::StoreError;
use migration::{MigratorTrait as _, StoreMigrator};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use std::{path::Path, time::Duration};

/// A transaction on the store; dropped without commit it rolls back.
pub type Transaction = DatabaseTransaction;

/// An open control store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    db: DatabaseConnection,
}

/// How long a writer of SQLite waits for another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// At most, of one process. Writers of SQLite wait for each other, each with a connection in its hand: readers, who need not
/// wait, must find one all the same, or a slow disk for a moment signs everybody out.
const CONNECTIONS: u32 = 10;

impl Store {
    /// Opens `sqlite:PATH`, `sqlite://PATH?mode=rwc` or `postgres://…`. Missing directories of a SQLite file are made.
    ///
    /// # Errors
    /// [`StoreError::Url`] and [`StoreError::Connect`], each in one line and without the password.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let shown = without_password(url);
        let is_sqlite = url.starts_with("sqlite:");
        if !is_sqlite && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(StoreError::Url { url: shown });
        }
        let mut target = url.to_owned();
        if is_sqlite && !url.contains(":memory:") {
            let path = url.trim_start_matches("sqlite:").trim_start_matches("//").split('?').next().unwrap_or_default();
            if let Some(parent) = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent).map_err(|error| StoreError::Connect {
                    url: shown.clone(),
                    reason: format!("{}: {error}", parent.display()),
                })?;
            }
            target = format!("sqlite://{path}?mode=rwc");
        }
        let mut options = ConnectOptions::new(target);
        options
            .max_connections(CONNECTIONS)
            .min_connections(0)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(|options| {
                use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
                // WAL: readers do not wait for the writer. NORMAL: a power cut may lose the last commits and breaks nothing.
                options
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(BUSY_TIMEOUT)
                    .foreign_keys(true)
            })
            // A full disk makes SQLite roll back by itself. The client's own ROLLBACK is refused then, and it takes the connection
            // for one within a transaction for ever: no other begins on it. Such a one is not handed out.
            .map_sqlx_sqlite_pool_opts(|options| {
                use sea_orm::sqlx::Connection as _;
                // Not twice: each question to the connection is a way to its thread and back.
                options.test_before_acquire(false).before_acquire(|connection, _| {
                    Box::pin(async move {
                        // Behind a rollback that is still to be done.
                        connection.ping().await?;
                        Ok(!connection.is_in_transaction())
                    })
                })
            })
            .map_sqlx_postgres_opts(|options| options.application_name("holdfast store"));
        let connected = tokio_timeout(Database::connect(options)).await;
        match connected {
            Some(Ok(db)) => Ok(Self { db }),
            Some(Err(error)) => Err(StoreError::Connect { url: shown, reason: one_line(&error.to_string()) }),
            None => Err(StoreError::Connect { url: shown, reason: "no answer within 10 s".to_owned() }),
        }
    }

    /// The connection, for reading repositories.
    pub const fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.db.get_database_backend() == DbBackend::Postgres
    }

    /// Brings the schema up to date; does nothing when it is.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer Holdfast made it, [`StoreError::Migrate`] otherwise.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        let pending = self.pending_migrations().await?;
        StoreMigrator::up(&self.db, None).await.map_err(|source| StoreError::Migrate { source })?;
        if pending > 0 && !self.is_postgres() {
            self.forget_old_schema().await;
        }
        Ok(pending)
    }

    /// Closes the idle connections of SQLite. One that read the schema before another one migrated it judges what it
    /// prepares by the old one: a unique index that came with the migration is not there for its `ON CONFLICT`.
    async fn forget_old_schema(&self) {
        let pool = self.db.get_sqlite_connection_pool();
        let idle = std::iter::from_fn(|| pool.try_acquire()).collect::<Vec<_>>();
        for connection in idle {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a connection to the store was not closed in order");
            }
        }
    }

    /// How many migrations are still to be applied.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when the schema has one that we do not know.
    pub async fn pending_migrations(&self) -> Result<usize, StoreError> {
        match StoreMigrator::get_pending_migrations(&self.db).await {
            Ok(pending) => Ok(pending.len()),
            // sea-orm-migration tells of an applied migration without a file by this text only.
            Err(sea_orm::DbErr::Custom(text)) if text.contains("missing") => {
                Err(StoreError::Newer { migration: text.split('\'').nth(1).unwrap_or("unknown").to_owned() })
            }
            Err(source) => Err(StoreError::Migrate { source }),
        }
    }

    /// One trivial query.
    ///
    /// # Errors
    /// [`StoreError::Query`] when it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.execute_unprepared("SELECT 1").await.map(drop).map_err(StoreError::query("answer"))
    }

    /// What it takes. Of SQLite the pages in use: free ones are used again before the file grows. Of PostgreSQL our
    /// tables in the schema we are in: the database may hold others'.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn bytes(&self) -> Result<i64, StoreError> {
        let sql = if self.is_postgres() {
            "SELECT CAST(coalesce(sum(pg_total_relation_size(c.oid)), 0) AS BIGINT) AS bytes FROM pg_class c \
             WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace"
        } else {
            "SELECT (p.page_count - f.freelist_count) * s.page_size AS bytes \
             FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s"
        };
        let failed = || StoreError::query("tell its size");
        let statement = sea_orm::Statement::from_string(self.db.get_database_backend(), sql);
        let row = self.db.query_one_raw(statement).await.map_err(failed())?;
        row.map_or(Ok(0), |row| row.try_get::<i64>("", "bytes")).map_err(failed())
    }

    /// Begins a transaction that may write. On SQLite it takes the write lock at once: a reader that becomes a writer
    /// half-way would fail with "database is locked" instead of waiting.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let mode = (!self.is_postgres()).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..TransactionOptions::default() };
        self.db.begin_with_options(options).await.map_err(StoreError::query("begin a transaction"))
    }

    /// Commits a transaction.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn commit(&self, transaction: Transaction) -> Result<(), StoreError> {
        transaction.commit().await.map_err(StoreError::query("commit"))
    }
}

/// A black hole must not hang the start: the pool's own time-out does not bound the TCP handshake.
async fn tokio_timeout<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(10), future).await.ok()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `postgres://user:***@host/db`.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}
