//! tower-sessions kept in the control store. Only a hash of the session id is stored: whoever reads the store cannot
//! use what stands in it.
use crate::{SignedIn, hash_of};
use async_trait::async_trait;
use domain::Timestamp;
use std::time::Duration;
use store::{SessionRepo, SessionRow, Store};
use time::OffsetDateTime;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

/// The key of [`SignedIn`] in the session.
pub const SESSION_KEY: &str = "signed_in";
/// A session that is not used ends.
pub const IDLE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Any session ends.
pub const ABSOLUTE_LIMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// The session store.
#[derive(Clone, Debug)]
pub struct StoreSessions(pub Store);

fn row(record: &Record) -> Result<SessionRow> {
    let now = now();
    let signed_in =
        record.data.get(SESSION_KEY).and_then(|value| serde_json::from_value::<SignedIn>(value.clone()).ok());
    Ok(SessionRow {
        id_hash: hash_of(&record.id.to_string()),
        account_id: signed_in.map(|signed_in| signed_in.account_id),
        data: serde_json::to_string(&record.data).map_err(|error| Error::Encode(error.to_string()))?,
        created_at: now,
        expires_at: Timestamp(record.expiry_date.unix_timestamp() * 1_000),
        absolute_expires_at: now.plus_ms(i64::try_from(ABSOLUTE_LIMIT.as_millis()).unwrap_or(i64::MAX)),
    })
}

fn now() -> Timestamp {
    Timestamp(i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
}

fn backend(error: store::StoreError) -> Error {
    Error::Backend(error.to_string())
}

#[async_trait]
impl SessionStore for StoreSessions {
    /// The trait's own default only warns and may overwrite another's session; this makes a new id until one is free.
    async fn create(&self, record: &mut Record) -> Result<()> {
        while !SessionRepo(self.0.db()).insert(row(record)?).await.map_err(backend)? {
            record.id = Id::default();
        }
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        SessionRepo(self.0.db()).upsert(row(record)?).await.map_err(backend)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let found = SessionRepo(self.0.db()).find(&hash_of(&id.to_string()), now()).await.map_err(backend)?;
        found
            .map(|row| {
                let data = serde_json::from_str(&row.data).map_err(|error| Error::Decode(error.to_string()))?;
                let expiry_date = OffsetDateTime::from_unix_timestamp(row.expires_at.0 / 1_000)
                    .map_err(|error| Error::Decode(error.to_string()))?;
                Ok(Record { id: *id, data, expiry_date })
            })
            .transpose()
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        SessionRepo(self.0.db()).delete(&hash_of(&id.to_string())).await.map_err(backend)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use sea_orm::ConnectionTrait as _;

    fn record(minutes: i64) -> Record {
        Record {
            id: Id::default(),
            data: Default::default(),
            expiry_date: OffsetDateTime::now_utc() + time::Duration::minutes(minutes),
        }
    }

    #[tokio::test]
    async fn a_session_is_found_by_its_id_which_is_not_in_the_store() {
        let (url, _directory) = test_support::sqlite_url();
        let store = Store::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        let sessions = StoreSessions(store.clone());
        let mut one = record(10);
        one.data.insert(SESSION_KEY.into(), serde_json::json!({"account_id": 7, "epoch": 0, "at_ms": 1}));
        sessions.create(&mut one).await.unwrap();
        assert_eq!(sessions.load(&one.id).await.unwrap().unwrap().data, one.data);

        let row = SessionRepo(store.db()).find(&hash_of(&one.id.to_string()), now()).await.unwrap().unwrap();
        assert_eq!(row.account_id, Some(7));
        assert!(!format!("{row:?}").contains(&one.id.to_string()));

        // A taken id is replaced, not overwritten.
        let mut two = Record { id: one.id, ..record(10) };
        sessions.create(&mut two).await.unwrap();
        assert_ne!(two.id, one.id);
        assert_eq!(sessions.load(&one.id).await.unwrap().unwrap().data, one.data);

        sessions.delete(&one.id).await.unwrap();
        assert!(sessions.load(&one.id).await.unwrap().is_none());
        let mut old = record(-1);
        sessions.create(&mut old).await.unwrap();
        assert!(sessions.load(&old.id).await.unwrap().is_none());

        // The absolute limit ends a session that is in use.
        store.db().execute_unprepared("UPDATE session SET absolute_expires_at = 1").await.unwrap();
        sessions.save(&two).await.unwrap();
        assert!(sessions.load(&two.id).await.unwrap().is_none());
    }
}
