//! What a server offers: its version, the columns of its views, the extension, our rights.
use crate::{PgstatError, collect::get, link::Link, sql};
use domain::reading::{ExtensionState, Provider};
use std::collections::HashSet;

/// The result of one look.
#[derive(Clone, Debug)]
pub struct Probe {
    /// `server_version_num`.
    pub version_num: i32,
    /// `view.column` of the statistics views.
    columns: HashSet<String>,
    /// `pg_stat_statements` in the connected database.
    pub statements: ExtensionState,
    /// The schema it was created in, quoted.
    pub statements_schema: String,
    /// Member of `pg_monitor`, or superuser.
    pub has_pg_monitor: bool,
    /// May ask for the control file.
    pub may_read_control: bool,
    /// The service that runs it.
    pub provider: Option<Provider>,
    /// The database of the URL.
    pub database: String,
}

impl Probe {
    pub(crate) async fn read(link: &Link) -> Result<Self, PgstatError> {
        const NAME: &str = "probe";
        let rows = link.fetch(NAME, sql::PROBE).await?;
        let row = rows.first().ok_or(PgstatError::Query { name: NAME, source: sqlx::Error::RowNotFound })?;
        let version: Option<String> = get(NAME, row, "statements_version")?;
        let preloaded: Option<bool> = get(NAME, row, "preloaded")?;
        let available: bool = get(NAME, row, "available")?;
        let statements = match version {
            // Created but not preloaded: every query of it would fail.
            Some(_) if preloaded == Some(false) => ExtensionState::NotPreloaded,
            Some(version) => ExtensionState::Installed { version },
            None if !available => ExtensionState::NotAvailable,
            None if preloaded == Some(false) => ExtensionState::NotPreloaded,
            None => ExtensionState::NotCreated,
        };
        let provider_roles: Vec<String> = get(NAME, row, "provider_roles")?;
        let mut columns = HashSet::new();
        for row in link.fetch("probe columns", sql::PROBE_COLUMNS).await? {
            columns.insert(get::<String>("probe columns", &row, "name")?);
        }
        Ok(Self {
            version_num: get(NAME, row, "version_num")?,
            columns,
            statements,
            statements_schema: get::<Option<String>>(NAME, row, "statements_schema")?
                .unwrap_or_else(|| "public".to_owned()),
            has_pg_monitor: get(NAME, row, "has_pg_monitor")?,
            may_read_control: get::<Option<bool>>(NAME, row, "may_read_control")?.unwrap_or(false),
            provider: Provider::of(&provider_roles, get(NAME, row, "has_aurora_version")?),
            database: get(NAME, row, "database")?,
        })
    }

    /// Of a server that is not there.
    #[cfg(test)]
    pub(crate) fn made(
        version_num: i32,
        columns: HashSet<String>,
        statements: ExtensionState,
        statements_schema: String,
    ) -> Self {
        Self {
            version_num,
            columns,
            statements,
            statements_schema,
            has_pg_monitor: true,
            may_read_control: true,
            provider: None,
            database: "postgres".to_owned(),
        }
    }

    /// Whether a statistics view has a column.
    pub fn has(&self, view: &str, column: &str) -> bool {
        self.columns.contains(&format!("{view}.{column}"))
    }

    /// The expression if the view has the column, `NULL` with a type otherwise.
    pub(crate) fn column(&self, view: &str, column: &str, expression: &str, null: &str) -> String {
        if self.has(view, column) { expression.to_owned() } else { format!("NULL::{null}") }
    }
}
