//! Why the catalogue did not answer.
use domain::ErrorKind;
use pool::{PoolError, WorkError};

/// `Display` is a sentence for people that says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The input is wrong.
    #[error("{message}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// There is no such plugin, or it is another tenant's: that is not told apart.
    #[error("there is no plugin '{0}'")]
    NotFound(String),
    /// There is no such tenant.
    #[error("there is no tenant '{0}'; name one by its slug or its id")]
    NoTenant(String),
    /// The tenant has not used that key.
    #[error("no bulk operation has the key '{0}'")]
    NoBulk(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The database.
    #[error("{0}")]
    Pool(PoolError),
}

impl CatalogError {
    /// A wrong field.
    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::NotFound(_) | Self::NoTenant(_) | Self::NoBulk(_) => ErrorKind::NotFound,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Pool(error) => error.kind(),
        }
    }
}

/// What an error of the database says of the platform's schema and rights, in words; `None` for any other.
pub fn explained(error: &PoolError) -> Option<String> {
    match error.code().as_deref() {
        // undefined_table, undefined_column, undefined_object (the role), undefined_function, no such role to set.
        Some("42P01" | "42703" | "42704" | "42883" | "22023") => {
            tracing::debug!(%error, "the platform's schema is missing or old");
            Some(
                "the platform's schema at DATABASE_URL is missing or older than this version; run holdfast init"
                    .to_owned(),
            )
        }
        Some("42501") => Some(format!(
            "{error}; have the owner of the platform's database run: GRANT holdfast_tenant, holdfast_platform TO the role of DATABASE_URL"
        )),
        _ => None,
    }
}

impl From<PoolError> for CatalogError {
    fn from(error: PoolError) -> Self {
        explained(&error).map_or(Self::Pool(error), Self::Conflict)
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        // Kept as it is: the pools must see what kind it is before it is put into words.
        Self::Pool(PoolError::Sql(error))
    }
}

impl WorkError for CatalogError {
    fn sql(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Pool(PoolError::Sql(error)) => Some(error),
            _ => None,
        }
    }
}

/// Puts an error that came out of a piece of work into words.
pub(crate) fn said(error: CatalogError) -> CatalogError {
    match error {
        CatalogError::Pool(error) => error.into(),
        error => error,
    }
}
