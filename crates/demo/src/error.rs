//! Why the demo does not start.

use domain::ErrorKind;

/// Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The clusters do not start.
    #[error(transparent)]
    Cluster(#[from] pgphysical::ClusterError),
    /// The schema was not made.
    #[error("the platform's schema was not migrated: {0}")]
    Schema(#[from] sea_orm::DbErr),
    /// A statement failed.
    #[error("the demo's data was not made: {0}")]
    Sql(#[from] sqlx::Error),
    /// A file of the demo's directory cannot be used.
    #[error("{path}: {source}; remove the demo's directory to begin anew")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl DemoError {
    /// Kind of failure.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Cluster(error) => error.kind(),
            Self::Schema(_) | Self::Sql(_) => ErrorKind::Unavailable,
            Self::File { .. } => ErrorKind::Internal,
        }
    }
}
