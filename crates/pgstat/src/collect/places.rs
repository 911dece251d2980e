//! Where the files of a server lie.
use super::get;
use crate::{Cluster, PgstatError, sql};

/// A directory of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `data`, `wal`, `tablespace NAME`.
    pub name: String,
    /// Its path there.
    pub path: String,
}

impl Cluster {
    /// The data directory, that of WAL, and those of tablespaces; none when the role may not know.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn places(&self) -> Result<Vec<Place>, PgstatError> {
        const NAME: &str = "places";
        let mut places = Vec::new();
        for row in self.fetch(NAME, sql::PLACES).await? {
            if let Some(path) = get::<Option<String>>(NAME, &row, "path")? {
                places.push(Place { name: get(NAME, &row, "name")?, path });
            }
        }
        Ok(places)
    }
}
