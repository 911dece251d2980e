//! Months that are past their time in the live tables: exported to the backup repository, read back, dropped; brought
//! back on demand. See docs/adr/0057-archive-in-the-repository.md.
mod export;
mod restore;
mod set;
mod table;

pub use export::{ArchiveOutcome, ArchiveStep, Archived};
pub use restore::RestoreOutcome;

pub(crate) use export::{due, exclusive, give_back};
pub(crate) use set::{DataObject, Set, Sets, commit, listed, read as read_object, write as write_object};

use crate::{Analytics, AnalyticsError};
use sqlx::{Executor as _, PgConnection};

impl Analytics {
    /// A connection for work that takes longer than the pools allow, as the platform.
    pub(crate) async fn long_connection(&self) -> Result<PgConnection, AnalyticsError> {
        let mut connection = self.pools.long_connection().await?;
        connection
            .execute("SET ROLE holdfast_platform; SET \"TimeZone\" = 'UTC'")
            .await
            .map_err(|error| AnalyticsError::from(pool::PoolError::Sql(error)))?;
        Ok(connection)
    }
}
