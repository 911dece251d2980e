//! Samples of statements from a server's log.
use crate::{StoreError, TierSize, entity::statement_log_sample};
use domain::{Timestamp, view::LogSample};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Statement,
};

/// Samples over a connection or a transaction.
#[derive(Debug)]
pub struct LogSampleRepo<'a, C>(pub &'a C);

/// Kept of one statement: so many of the newest, and as many of the slowest.
const KEPT: i64 = 20;

impl<C: ConnectionTrait> LogSampleRepo<'_, C> {
    /// Adds samples, each with our id of its statement; of a statement that has too many the older and quicker go.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, samples: &[(i64, LogSample)]) -> Result<(), StoreError> {
        for chunk in samples.chunks(500) {
            let rows = chunk.iter().map(|(statement_id, sample)| statement_log_sample::ActiveModel {
                statement_id: Set(*statement_id),
                at: Set(sample.at.0),
                duration_ms: Set(sample.duration_ms),
                // PostgreSQL cannot store the character 0 in a text.
                application: Set(sample.application.replace('\0', " ")),
                client: Set(sample.client.replace('\0', " ")),
                parameters: Set(sample.parameters),
                query: Set(sample.query.replace('\0', " ")),
                ..Default::default()
            });
            statement_log_sample::Entity::insert_many(rows)
                .exec_without_returning(self.0)
                .await
                .map_err(StoreError::query("keep samples of the log"))?;
        }
        let mut statements = samples.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        statements.sort_unstable();
        statements.dedup();
        for id in statements {
            let sql = format!(
                "DELETE FROM statement_log_sample WHERE statement_id = $1 \
                 AND id NOT IN (SELECT id FROM (SELECT id FROM statement_log_sample WHERE statement_id = $1 ORDER BY at DESC, id DESC LIMIT {KEPT}) AS newest) \
                 AND id NOT IN (SELECT id FROM (SELECT id FROM statement_log_sample WHERE statement_id = $1 ORDER BY duration_ms DESC, id DESC LIMIT {KEPT}) AS slowest)"
            );
            let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, [id.into()]);
            self.0.execute_raw(statement).await.map_err(StoreError::query("remove samples of the log"))?;
        }
        Ok(())
    }

    /// Those of a statement, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, statement_id: i64) -> Result<Vec<LogSample>, StoreError> {
        use statement_log_sample::Column;
        let rows = statement_log_sample::Entity::find()
            .filter(Column::StatementId.eq(statement_id))
            .order_by_desc(Column::At)
            .order_by_desc(Column::Id)
            .limit(100)
            .all(self.0)
            .await
            .map_err(StoreError::query("list samples of the log"))?;
        let sample = |row: statement_log_sample::Model| LogSample {
            at: Timestamp(row.at),
            duration_ms: row.duration_ms,
            application: row.application,
            client: row.client,
            parameters: row.parameters,
            query: row.query,
        };
        Ok(rows.into_iter().map(sample).collect())
    }

    /// How many there are, and from when the oldest is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn size(&self) -> Result<TierSize, StoreError> {
        let sql = "SELECT COUNT(*) AS number, MIN(at) AS oldest FROM statement_log_sample";
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let size = TierSize::find_by_statement(statement).one(self.0).await;
        Ok(size.map_err(StoreError::query("count history"))?.unwrap_or(TierSize { number: 0, oldest: None }))
    }

    /// Removes those before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = statement_log_sample::Entity::delete_many()
            .filter(statement_log_sample::Column::At.lt(before.0))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old samples of the log"))
    }
}
