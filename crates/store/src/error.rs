//! What can go wrong with the control store.
use domain::ErrorKind;
use sea_orm::DbErr;

/// An operation on the control store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened.
    #[error("cannot open the control store {url}: {reason}; check HOLDFAST_STORE_URL")]
    Connect {
        /// Without password.
        url: String,
        /// In one line.
        reason: String,
    },
    /// The URL is of no known kind.
    #[error("HOLDFAST_STORE_URL is '{url}', which is neither sqlite:PATH nor postgres://…")]
    Url {
        /// Without password.
        url: String,
    },
    /// The schema could not be brought up to date.
    #[error("cannot migrate the control store: {source}")]
    Migrate {
        /// Why.
        #[source]
        source: DbErr,
    },
    /// The schema was made by a newer Holdfast.
    #[error(
        "the control store was made by a newer Holdfast (it has the migration '{migration}'); start that version or another store"
    )]
    Newer {
        /// The migration we do not know.
        migration: String,
    },
    /// Something with this name is there already.
    #[error("{what} '{name}' exists already")]
    Exists {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A query failed.
    #[error("the control store could not {operation}: {source}")]
    Query {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: DbErr,
    },
    /// A row holds what this version cannot read.
    #[error("the control store holds a damaged {what}: {detail}")]
    Damaged {
        /// What.
        what: &'static str,
        /// How.
        detail: String,
    },
}

impl StoreError {
    pub(crate) fn query(operation: &'static str) -> impl FnOnce(DbErr) -> Self {
        move |source| Self::Query { operation, source }
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. } => ErrorKind::Invalid,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::Damaged { .. } => ErrorKind::Internal,
            Self::Connect { .. } | Self::Migrate { .. } | Self::Newer { .. } | Self::Query { .. } => {
                ErrorKind::Unavailable
            }
        }
    }
}
