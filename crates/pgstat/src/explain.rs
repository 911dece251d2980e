//! Plans of statements without running them. A session of its own for the length of the act, a read-only transaction
//! that is rolled back, the server's time-outs.
//!
//! What is explained is what PostgreSQL's own parser takes as one statement that can be prepared: the text is first sent
//! as `PREPARE … AS …` by the extended protocol, which refuses more than one command, and the grammar of `PREPARE` takes
//! SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES only. EXPLAIN gets the same text after that.
use crate::{Cluster, PgstatError, collect::get, sql};
use domain::{
    ErrorKind,
    view::{ExplainMethod, ExplainRequest, Explained, HypotheticalIndex},
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, postgres::PgRow};
use std::time::Duration;
use tokio::{sync::SemaphorePermit, time::timeout};

/// One statement, with all that is asked before it.
const DEADLINE: Duration = Duration::from_secs(12);
/// Parameters whose type the server cannot tell, at most.
const TYPED: usize = 16;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExplainError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What is wrong and what to do.
    pub message: String,
    /// The server's code, when it was the server who refused.
    pub sqlstate: Option<String>,
}

impl ExplainError {
    fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), sqlstate: None }
    }

    /// Whether the session is of no more use.
    pub fn is_connection(&self) -> bool {
        self.kind == ErrorKind::Unavailable && self.sqlstate.is_none()
    }
}

impl From<PgstatError> for ExplainError {
    fn from(error: PgstatError) -> Self {
        Self::of(error.kind(), error.to_string())
    }
}

/// A session that explains; one of the connections for looks into other databases.
#[derive(Debug)]
pub struct Explainer<'a> {
    connection: PgConnection,
    _permit: SemaphorePermit<'a>,
    database: String,
    role: String,
    version_num: i32,
    path: String,
    hypopg: Option<String>,
    /// An answer did not come: the session may still be at it.
    lost: bool,
}

impl Cluster {
    /// Explains one statement over a session of its own.
    ///
    /// # Errors
    /// [`ExplainError`] in words for the person who asked.
    pub async fn explain(&self, request: &ExplainRequest) -> Result<Explained, ExplainError> {
        let mut explainer = self.explainer(&request.database).await?;
        let outcome = explainer.explain(request).await;
        explainer.close().await;
        outcome
    }

    /// A session to explain several statements of one database.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub async fn explainer(&self, database: &str) -> Result<Explainer<'_>, ExplainError> {
        let (permit, mut connection) = self.plain_connection(database).await?;
        let facts = timeout(DEADLINE, fetch(&mut connection, sql::EXPLAIN_FACTS)).await;
        let rows = match facts {
            Ok(rows) => rows.map_err(|error| {
                ExplainError::of(ErrorKind::Unavailable, format!("the server does not answer: {error}"))
            })?,
            Err(_) => return Err(ExplainError::of(ErrorKind::Unavailable, "the server does not answer in time")),
        };
        let row =
            rows.first().ok_or_else(|| ExplainError::of(ErrorKind::Internal, "the server says nothing of itself"))?;
        const NAME: &str = "explain facts";
        Ok(Explainer {
            role: get::<String>(NAME, row, "role_name")?,
            version_num: get::<i32>(NAME, row, "version_num")?,
            path: get::<String>(NAME, row, "path")?,
            hypopg: get::<Option<String>>(NAME, row, "hypopg")?,
            database: database.to_owned(),
            connection,
            _permit: permit,
            lost: false,
        })
    }
}

impl Explainer<'_> {
    /// Whether hypothetical indexes can be tried here.
    pub const fn has_hypopg(&self) -> bool {
        self.hypopg.is_some()
    }

    /// One statement of this session's database.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub async fn explain(&mut self, request: &ExplainRequest) -> Result<Explained, ExplainError> {
        if self.lost {
            return Err(ExplainError::of(ErrorKind::Unavailable, "the session was lost; ask again"));
        }
        if request.database != self.database {
            return Err(ExplainError::of(ErrorKind::Internal, "this session is in another database"));
        }
        self.lost = true;
        let Ok(outcome) = timeout(DEADLINE, self.in_transaction(request)).await else {
            return Err(ExplainError::of(
                ErrorKind::Unavailable,
                format!(
                    "no plan came within {} s: the statement is too large to plan, or its tables are locked",
                    DEADLINE.as_secs()
                ),
            ));
        };
        self.lost = outcome.as_ref().is_err_and(ExplainError::is_connection);
        outcome
    }

    /// The connection, for what else is read beside plans.
    pub(crate) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Says goodbye.
    pub async fn close(self) {
        if !self.lost {
            let _ = timeout(Duration::from_secs(1), self.connection.close()).await;
        }
    }

    async fn in_transaction(&mut self, request: &ExplainRequest) -> Result<Explained, ExplainError> {
        self.run(sql::EXPLAIN_BEGIN).await?;
        let outcome = self.explain_now(request).await;
        // Neither of them belongs to the transaction.
        self.run("ROLLBACK").await?;
        let _ = self.run(sql::EXPLAIN_FORGET).await;
        if let Some(schema) = self.hypopg.clone().filter(|_| !request.hypothetical.is_empty()) {
            let _ = self.run(&crate::link::tagged(&sql::hypopg_reset(&schema))).await;
        }
        outcome
    }

    async fn explain_now(&mut self, request: &ExplainRequest) -> Result<Explained, ExplainError> {
        let hypothetical = self.make_hypothetical(&request.hypothetical).await?;
        let role = self.become_role(request).await?;
        let (parameters, typed) = self.prepare(request).await?;
        let generic = self.version_num >= 160_000 && !typed;
        let (method, statement) = if generic {
            (ExplainMethod::GenericPlan, format!("{}{}", sql::EXPLAIN_GENERIC, request.sql))
        } else {
            (ExplainMethod::Prepared, sql::explain_prepared(parameters))
        };
        let rows = sqlx::raw_sql(AssertSqlSafe(crate::link::tagged(&statement))).fetch_all(&mut self.connection).await;
        let rows = rows.map_err(|error| self.explained(error, request))?;
        let json = rows
            .first()
            .ok_or_else(|| ExplainError::of(ErrorKind::Internal, "the server gave no plan"))?
            .try_get_unchecked::<String, _>(0)
            .map_err(|error| ExplainError::of(ErrorKind::Internal, format!("the plan cannot be read: {error}")))?;
        Ok(Explained { json, method, version_num: self.version_num, role, hypothetical })
    }

    async fn make_hypothetical(&mut self, wanted: &[String]) -> Result<Vec<HypotheticalIndex>, ExplainError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let schema = self.hypopg.clone().ok_or_else(|| {
            ExplainError::of(ErrorKind::Unavailable, "HypoPG is not created in this database: CREATE EXTENSION hypopg;")
        })?;
        let mut made = Vec::with_capacity(wanted.len());
        for definition in wanted {
            let row = sqlx::query(AssertSqlSafe(crate::link::tagged(&sql::hypopg_create(&schema))))
                .bind(definition)
                .persistent(false)
                .fetch_one(&mut self.connection)
                .await
                .map_err(|error| server_error(ErrorKind::Conflict, "the index cannot be tried", &error))?;
            const NAME: &str = "hypothetical index";
            made.push(HypotheticalIndex { name: get(NAME, &row, "name")?, bytes: get(NAME, &row, "bytes")? });
        }
        Ok(made)
    }

    /// Plans as the statement's own role where we may: with its rights, its policies of rows and its settings. Otherwise as
    /// ourselves, with its search path.
    async fn become_role(&mut self, request: &ExplainRequest) -> Result<String, ExplainError> {
        let rows = sqlx::query(AssertSqlSafe(crate::link::tagged(sql::EXPLAIN_SETTINGS)))
            .bind(&request.user)
            .persistent(false)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| server_error(ErrorKind::Unavailable, "the role's settings cannot be read", &error))?;
        let mut path = self.path.clone();
        for row in &rows {
            const NAME: &str = "explain settings";
            let (name, value) = (get::<String>(NAME, row, "name")?, get::<String>(NAME, row, "value")?);
            if name == "search_path" {
                path = value;
            } else {
                // One that may not be set here leaves the server's.
                let _ = self.guarded(sql::EXPLAIN_SET, &[&name, &value]).await?;
            }
        }
        let became = self.guarded(sql::EXPLAIN_SET, &["role", &request.user]).await?;
        if !became {
            path = path.replace("\"$user\"", &quote(&request.user));
        }
        let _ = self.guarded(sql::EXPLAIN_SET, &["search_path", &path]).await?;
        let _ = self.guarded(sql::EXPLAIN_SET, &["plan_cache_mode", "force_generic_plan"]).await?;
        Ok(if became { request.user.clone() } else { self.role.clone() })
    }

    /// Prepares; tells the number of parameters, and whether some had to be given a type by us.
    async fn prepare(&mut self, request: &ExplainRequest) -> Result<(usize, bool), ExplainError> {
        let mut types = Vec::<Option<()>>::new();
        for _ in 0..=TYPED {
            self.run("SAVEPOINT holdfast").await?;
            let text = sql::explain_prepare(&types.iter().map(Option::is_some).collect::<Vec<_>>(), &request.sql);
            // By the extended protocol: a text of several commands is refused as a whole.
            let outcome = sqlx::query(AssertSqlSafe(text)).persistent(false).execute(&mut self.connection).await;
            let error = match outcome {
                Ok(_) => {
                    let rows = fetch(&mut self.connection, sql::EXPLAIN_PARAMETERS).await;
                    let rows = rows.map_err(|error| {
                        server_error(ErrorKind::Internal, "the parameters cannot be counted", &error)
                    })?;
                    let count = rows.first().map_or(Ok(0), |row| get::<i32>("explain parameters", row, "count"))?;
                    return Ok((usize::try_from(count).unwrap_or(0), types.iter().any(Option::is_some)));
                }
                Err(error) => error,
            };
            // could not determine data type of parameter $n
            let number = (code_of(&error).as_deref() == Some("42P18")).then(|| parameter_of(&error)).flatten();
            let Some(number) = number.filter(|number| types.get(number - 1).is_none_or(Option::is_none)) else {
                return Err(self.explained(error, request));
            };
            self.run("ROLLBACK TO SAVEPOINT holdfast").await?;
            types.resize(types.len().max(number), None);
            types[number - 1] = Some(());
        }
        Err(ExplainError::of(ErrorKind::Conflict, "the types of the statement's parameters cannot be told"))
    }

    /// Runs one that may fail; false when it did.
    async fn guarded(&mut self, statement: &str, values: &[&str]) -> Result<bool, ExplainError> {
        self.run("SAVEPOINT holdfast").await?;
        let mut query = sqlx::query(AssertSqlSafe(crate::link::tagged(statement))).persistent(false);
        for value in values {
            query = query.bind((*value).to_owned());
        }
        match query.execute(&mut self.connection).await {
            Ok(_) => Ok(true),
            Err(error) if code_of(&error).is_some() => {
                self.run("ROLLBACK TO SAVEPOINT holdfast").await?;
                Ok(false)
            }
            Err(error) => Err(server_error(ErrorKind::Unavailable, "the connection was lost", &error)),
        }
    }

    async fn run(&mut self, statement: &str) -> Result<(), ExplainError> {
        self.connection
            .execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())))
            .await
            .map(drop)
            .map_err(|error| server_error(ErrorKind::Unavailable, "the server does not take the work", &error))
    }

    /// The server's refusal in words, by its SQLSTATE.
    fn explained(&self, error: sqlx::Error, request: &ExplainRequest) -> ExplainError {
        let said = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
        let code = code_of(&error);
        let (role, database) = (&self.role, &self.database);
        // From 16 on it need not read the rows because of that.
        let without = if self.version_num >= 160_000 { " WITH INHERIT FALSE" } else { "" };
        let owner = if request.user.is_empty() { "the statement's role".to_owned() } else { quote(&request.user) };
        let cure = format!(
            "GRANT {owner} TO \"{role}\"{without}; lets it plan as that role does, GRANT pg_read_all_data TO \"{role}\"; is enough for a SELECT"
        );
        let (kind, message) = match code.as_deref() {
            Some("42501") => {
                (ErrorKind::Forbidden, format!("the role \"{role}\" may not plan this statement: {said}. {cure}"))
            }
            // A schema that a role may not look into is passed over in its search path.
            Some("42P01" | "3F000") if *role != request.user && !request.user.is_empty() => (
                ErrorKind::Conflict,
                format!(
                    "{said} in the database {database} by the search path of {owner}, or the role \"{role}\" may not look into its schema: {cure}. It may also be gone, or be a temporary table"
                ),
            ),
            Some("42P01" | "3F000") => (
                ErrorKind::Conflict,
                format!(
                    "{said} in the database {database} by the search path of {owner}: it may be gone, or be a temporary table"
                ),
            ),
            Some("42601") => (
                ErrorKind::Conflict,
                format!("PostgreSQL does not take the text as one statement that has a plan: {said}"),
            ),
            Some("57014" | "55P03") => (ErrorKind::Unavailable, format!("the server took too long: {said}; try again")),
            Some("57P01" | "57P02" | "57P03") => {
                (ErrorKind::Unavailable, format!("the server is going down or starting: {said}"))
            }
            Some(code) => (ErrorKind::Conflict, format!("the server refused with {code}: {said}")),
            None => (ErrorKind::Unavailable, format!("the connection was lost: {error}")),
        };
        ExplainError { kind, message, sqlstate: code }
    }
}

async fn fetch(connection: &mut PgConnection, statement: &str) -> Result<Vec<PgRow>, sqlx::Error> {
    sqlx::query(AssertSqlSafe(crate::link::tagged(statement))).persistent(false).fetch_all(connection).await
}

fn code_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned)
}

fn server_error(kind: ErrorKind, what: &str, error: &sqlx::Error) -> ExplainError {
    let code = code_of(error);
    let said = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    ExplainError { kind, message: format!("{what}: {said}"), sqlstate: code }
}

/// The number in "could not determine data type of parameter $2".
fn parameter_of(error: &sqlx::Error) -> Option<usize> {
    let message = error.as_database_error()?.message();
    let digits = message.rsplit('$').next()?.chars().take_while(char::is_ascii_digit).collect::<String>();
    digits.parse().ok().filter(|number| (1..=1_000).contains(number))
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
