//! Statements and what they did.
use crate::{
    StoreError,
    entity::{statement_sample, statement_text},
    repo::tier::{History, TierRepo},
};
use domain::{
    Timestamp,
    reading::{StatementKey, StatementText},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, Iterable as _, QueryFilter as _,
    QuerySelect as _, Statement, Value,
    sea_query::{Expr, OnConflict},
};

use std::collections::HashMap;

/// A statement as we know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRecord {
    /// Our id.
    pub id: i64,
    /// Its key, database, role and text.
    pub text: StatementText,
    /// First seen by us.
    pub first_seen_at: Timestamp,
    /// Last seen with calls.
    pub last_seen_at: Timestamp,
}

/// What one statement did in one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementSampleRow {
    /// Our id of the statement.
    pub statement_id: i64,
    /// Calls.
    pub calls: i64,
    /// Time.
    pub total_ms: f64,
    /// Sum of squared deviations from the interval's mean, in ms².
    pub m2: f64,
    /// Longest since the entry was made.
    pub max_ms: f64,
    /// Rows.
    pub rows: i64,
    /// Blocks from the cache.
    pub shared_blks_hit: i64,
    /// Blocks read.
    pub shared_blks_read: i64,
    /// Temporary blocks written.
    pub temp_blks_written: i64,
    /// WAL.
    pub wal_bytes: i64,
}

/// What one statement did over a range. The variance of the whole follows from the parts by
/// M2 = sum(m2) + sum(total²/calls) - (sum total)²/sum calls (Chan, Golub, LeVeque 1979).
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct StatementTotal {
    /// Our id of the statement.
    pub statement_id: i64,
    /// Calls.
    pub calls: i64,
    /// Time.
    pub total_ms: f64,
    /// Sum of the parts' m2.
    pub m2: f64,
    /// Sum of total²/calls over the parts.
    pub squares: f64,
    /// Longest since the entry was made.
    pub max_ms: f64,
    /// Rows.
    pub row_count: i64,
    /// Blocks from the cache.
    pub shared_blks_hit: i64,
    /// Blocks read.
    pub shared_blks_read: i64,
    /// Temporary blocks written.
    pub temp_blks_written: i64,
    /// WAL.
    pub wal_bytes: i64,
}

/// What statements did in one bucket of time.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct StatementBucket {
    /// Our id of the statement; 0 for all together.
    pub statement_id: i64,
    /// Number of the bucket, counted from `from`.
    pub bucket: i64,
    /// Calls.
    pub calls: i64,
    /// Time.
    pub total_ms: f64,
    /// Sum of the parts' m2.
    pub m2: f64,
    /// Length of the intervals in it.
    pub interval_ms: i64,
}

/// A statement that was slow and had not been.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct NewlySlow {
    /// Our id of the statement.
    pub statement_id: i64,
    /// Its text.
    pub query: String,
    /// Calls.
    pub calls: i64,
    /// Mean over them.
    pub mean_ms: f64,
}

/// Statements over a connection or a transaction.
#[derive(Debug)]
pub struct StatementRepo<'a, C>(pub &'a C);

/// Rows of one INSERT: 13 values each, under SQLite's limit of 32,766.
const CHUNK: usize = 1_000;
/// Texts of one INSERT: each is held several times until it is written, and is up to 10,000 characters long.
const TEXTS: usize = 50;

impl<C: ConnectionTrait> StatementRepo<'_, C> {
    /// All statements of a cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, cluster: &str) -> Result<Vec<StatementRecord>, StoreError> {
        let rows =
            statement_text::Entity::find().filter(statement_text::Column::ClusterId.eq(cluster)).all(self.0).await;
        rows.map_err(StoreError::query("list statements"))?.into_iter().map(record).collect()
    }

    /// All statements of a cluster, of each text the first 2,000 characters: a list shows less, and texts can be long.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_short(&self, cluster: &str) -> Result<Vec<StatementRecord>, StoreError> {
        let sql = "SELECT id, cluster_id, dbid, userid, queryid, toplevel, database_name, user_name, \
                   substr(query, 1, 2000) AS query, first_seen_at, last_seen_at FROM statement_text WHERE cluster_id = $1";
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, [cluster.into()]);
        let rows = statement_text::Entity::find().from_raw_sql(statement).all(self.0).await;
        rows.map_err(StoreError::query("list statements"))?.into_iter().map(record).collect()
    }

    /// Statements of a database whose text has a word in it, in capitals or not, at most `limit` of them. The text decides
    /// nothing yet: whoever asks reads it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mentioning(
        &self,
        cluster: &str,
        database: &str,
        word: &str,
        limit: u64,
    ) -> Result<Vec<StatementRecord>, StoreError> {
        // The escape character itself, and what LIKE would take for more than a character.
        let pattern = word.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
        let sql = "SELECT * FROM statement_text WHERE cluster_id = $1 AND database_name = $2 \
                   AND lower(query) LIKE $3 ESCAPE '!' ORDER BY last_seen_at DESC, id LIMIT $4";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values: [Value; 4] = [cluster.into(), database.into(), format!("%{pattern}%").into(), limit.into()];
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, values);
        let rows = statement_text::Entity::find().from_raw_sql(statement).all(self.0).await;
        rows.map_err(StoreError::query("find statements"))?.into_iter().map(record).collect()
    }

    /// Our ids of all statements of a cluster.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ids(&self, cluster: &str) -> Result<HashMap<StatementKey, i64>, StoreError> {
        use statement_text::Column;
        let rows = statement_text::Entity::find()
            .select_only()
            .columns([Column::Id, Column::Dbid, Column::Userid, Column::Queryid, Column::Toplevel])
            .filter(Column::ClusterId.eq(cluster))
            .into_tuple::<(i64, i64, i64, i64, bool)>()
            .all(self.0)
            .await
            .map_err(StoreError::query("list statements"))?;
        let oid = |value: i64| u32::try_from(value).unwrap_or(0);
        Ok(rows
            .into_iter()
            .map(|(id, dbid, userid, queryid, toplevel)| {
                (StatementKey { dbid: oid(dbid), userid: oid(userid), queryid, toplevel }, id)
            })
            .collect())
    }

    /// Statements with one of these fingerprints; of several with the same, as of two roles, one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn by_queryid(&self, cluster: &str, ids: &[i64]) -> Result<Vec<StatementRecord>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = statement_text::Entity::find()
            .filter(statement_text::Column::ClusterId.eq(cluster))
            .filter(statement_text::Column::Queryid.is_in(ids.iter().copied()))
            .all(self.0)
            .await;
        rows.map_err(StoreError::query("find statements"))?.into_iter().map(record).collect()
    }

    /// Statements with a mean of `slow_ms` and more after `from` up to `to` and in no interval from `known_since` to
    /// `from`, the slowest first, at most a hundred.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newly_slow(
        &self,
        cluster: &str,
        known_since: Timestamp,
        from: Timestamp,
        to: Timestamp,
        slow_ms: f64,
    ) -> Result<Vec<NewlySlow>, StoreError> {
        let sql = "SELECT t.id AS statement_id, t.query AS query, CAST(SUM(s.calls) AS BIGINT) AS calls, \
                   SUM(s.total_ms) / SUM(s.calls) AS mean_ms \
                   FROM statement_sample s JOIN statement_text t ON t.id = s.statement_id \
                   WHERE t.cluster_id = $1 AND s.at > $2 AND s.at <= $3 AND s.calls > 0 AND s.total_ms >= $4 * s.calls \
                   AND NOT EXISTS (SELECT 1 FROM statement_sample o WHERE o.statement_id = s.statement_id \
                   AND o.at >= $5 AND o.at <= $2 AND o.calls > 0 AND o.total_ms >= $4 * o.calls) \
                   GROUP BY t.id, t.query ORDER BY 4 DESC LIMIT 100";
        let values = [cluster.into(), from.0.into(), to.0.into(), slow_ms.into(), known_since.0.into()];
        NewlySlow::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("find new slow statements"))
    }

    /// When the first sample that is kept of a cluster was taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn first_sample_at(&self, cluster: &str) -> Result<Option<Timestamp>, StoreError> {
        #[derive(FromQueryResult)]
        struct First {
            at: Option<i64>,
        }
        let sql = "SELECT MIN(first_seen_at) AS at FROM statement_text WHERE cluster_id = $1";
        let first = First::find_by_statement(Statement::from_sql_and_values(
            self.0.get_database_backend(),
            sql,
            [cluster.into()],
        ))
        .one(self.0)
        .await
        .map_err(StoreError::query("find the first statement"))?;
        Ok(first.and_then(|first| first.at).map(Timestamp))
    }

    /// One statement by its key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, cluster: &str, key: StatementKey) -> Result<Option<StatementRecord>, StoreError> {
        use statement_text::Column;
        let row = statement_text::Entity::find()
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::Dbid.eq(i64::from(key.dbid)))
            .filter(Column::Userid.eq(i64::from(key.userid)))
            .filter(Column::Queryid.eq(key.queryid))
            .filter(Column::Toplevel.eq(key.toplevel))
            .one(self.0)
            .await
            .map_err(StoreError::query("find a statement"))?;
        row.map(record).transpose()
    }

    /// Adds statements; one that is there already keeps its text.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_texts(&self, cluster: &str, texts: &[StatementText], at: Timestamp) -> Result<(), StoreError> {
        use statement_text::Column;
        for chunk in texts.chunks(TEXTS) {
            let rows = chunk.iter().map(|text| statement_text::ActiveModel {
                cluster_id: Set(cluster.to_owned()),
                dbid: Set(text.key.dbid.into()),
                userid: Set(text.key.userid.into()),
                queryid: Set(text.key.queryid),
                toplevel: Set(text.key.toplevel),
                database_name: Set(text.database.clone()),
                user_name: Set(text.user.clone()),
                // PostgreSQL cannot store the character 0 in a text.
                query: Set(text.query.replace('\0', " ")),
                first_seen_at: Set(at.0),
                last_seen_at: Set(at.0),
                ..Default::default()
            });
            let mut conflict = OnConflict::columns([
                Column::ClusterId,
                Column::Dbid,
                Column::Userid,
                Column::Queryid,
                Column::Toplevel,
            ]);
            conflict.update_column(Column::LastSeenAt);
            statement_text::Entity::insert_many(rows)
                .on_conflict(conflict)
                .exec_without_returning(self.0)
                .await
                .map_err(StoreError::query("add statements"))?;
        }
        Ok(())
    }

    /// Adds what statements did in the interval that ended at `at`, and notes that they were seen.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_samples(
        &self,
        at: Timestamp,
        interval_ms: i64,
        samples: &[StatementSampleRow],
    ) -> Result<(), StoreError> {
        for chunk in samples.chunks(CHUNK) {
            let rows = chunk.iter().map(|sample| statement_sample::ActiveModel {
                statement_id: Set(sample.statement_id),
                at: Set(at.0),
                interval_ms: Set(interval_ms),
                calls: Set(sample.calls),
                total_ms: Set(sample.total_ms),
                m2: Set(sample.m2),
                max_ms: Set(sample.max_ms),
                row_count: Set(sample.rows),
                shared_blks_hit: Set(sample.shared_blks_hit),
                shared_blks_read: Set(sample.shared_blks_read),
                temp_blks_written: Set(sample.temp_blks_written),
                wal_bytes: Set(sample.wal_bytes),
            });
            let mut conflict =
                OnConflict::columns([statement_sample::Column::StatementId, statement_sample::Column::At]);
            // The same moment written again, as after a lost answer: the later figures replace the earlier as a whole.
            conflict.update_columns(statement_sample::Column::iter().filter(|column| {
                !matches!(column, statement_sample::Column::StatementId | statement_sample::Column::At)
            }));
            statement_sample::Entity::insert_many(rows)
                .on_conflict(conflict)
                .exec_without_returning(self.0)
                .await
                .map_err(StoreError::query("keep statements"))?;
            statement_text::Entity::update_many()
                .col_expr(statement_text::Column::LastSeenAt, Expr::value(at.0))
                .filter(statement_text::Column::Id.is_in(chunk.iter().map(|sample| sample.statement_id)))
                .exec(self.0)
                .await
                .map_err(StoreError::query("keep statements"))?;
        }
        Ok(())
    }

    /// What each statement of a cluster did from `from` (exclusive) to `to`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn totals(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<StatementTotal>, StoreError> {
        // SUM of BIGINT is NUMERIC in PostgreSQL: cast back. In SQLite the cast changes nothing.
        let sql = format!(
            "SELECT m.statement_id AS statement_id, CAST(SUM(m.calls) AS BIGINT) AS calls, SUM(m.total_ms) AS total_ms, \
                   SUM(m.m2) AS m2, SUM(m.total_ms * m.total_ms / m.calls) AS squares, MAX(m.max_ms) AS max_ms, \
                   CAST(SUM(m.row_count) AS BIGINT) AS row_count, \
                   CAST(SUM(m.shared_blks_hit) AS BIGINT) AS shared_blks_hit, CAST(SUM(m.shared_blks_read) AS BIGINT) AS shared_blks_read, \
                   CAST(SUM(m.temp_blks_written) AS BIGINT) AS temp_blks_written, CAST(SUM(m.wal_bytes) AS BIGINT) AS wal_bytes \
                   FROM {} m JOIN statement_text s ON s.id = m.statement_id \
                   WHERE s.cluster_id = $1 AND m.at > $2 AND m.at <= $3 AND m.calls > 0 GROUP BY m.statement_id",
            self.samples(from, to).await?
        );
        let values: [Value; 3] = [cluster.into(), from.0.into(), to.0.into()];
        StatementTotal::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("read statements"))
    }

    /// What some statements did in buckets of `step_ms`, ordered by statement and bucket.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn buckets(
        &self,
        statements: &[i64],
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<StatementBucket>, StoreError> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        // Numbers of our own, so they may stand in the text; a bind for each would be another statement for each length.
        let ids = statements.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        self.bucketed("m.statement_id", &format!("m.statement_id IN ({ids})"), "", from, to, step_ms).await
    }

    /// What all statements of a cluster did together in buckets of `step_ms`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn buckets_of_all(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<StatementBucket>, StoreError> {
        let condition = "m.statement_id IN (SELECT id FROM statement_text WHERE cluster_id = $4)";
        self.bucketed("CAST(0 AS BIGINT)", condition, cluster, from, to, step_ms).await
    }

    /// The samples of a range, each moment from the finest tier that has it. Our own numbers may stand in the text.
    async fn samples(&self, from: Timestamp, to: Timestamp) -> Result<String, StoreError> {
        const COLUMNS: &str = "statement_id, at, interval_ms, calls, total_ms, m2, max_ms, row_count, shared_blks_hit, \
                               shared_blks_read, temp_blks_written, wal_bytes";
        let [raw, middle, _] = TierRepo(self.0).marks(History::Statements).await?.pruned_to;
        let (from, to) = (from.0, to.0);
        let mut arms =
            vec![format!("SELECT {COLUMNS} FROM statement_sample WHERE at > {} AND at <= {to}", from.max(raw))];
        for (tier, since, until) in [(1, middle, raw), (2, i64::MIN, middle)] {
            if from < until {
                arms.push(format!(
                    "SELECT {COLUMNS} FROM statement_rollup WHERE tier = {tier} AND at > {} AND at <= {}",
                    from.max(since),
                    to.min(until)
                ));
            }
        }
        Ok(format!("({})", arms.join(" UNION ALL ")))
    }

    async fn bucketed(
        &self,
        id: &str,
        condition: &str,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<StatementBucket>, StoreError> {
        let samples = self.samples(from, to).await?;
        let sql = format!(
            "SELECT {id} AS statement_id, (m.at - 1 - $1) / $2 AS bucket, CAST(SUM(m.calls) AS BIGINT) AS calls, \
             SUM(m.total_ms) AS total_ms, SUM(m.m2) AS m2, CAST(MAX(m.interval_ms) AS BIGINT) AS interval_ms \
             FROM {samples} m WHERE {condition} AND m.at > $1 AND m.at <= $3 AND m.calls > 0 \
             GROUP BY 1, 2 ORDER BY 1, 2"
        );
        let mut values: Vec<Value> = vec![from.0.into(), step_ms.max(1).into(), to.0.into()];
        if !cluster.is_empty() {
            values.push(cluster.into());
        }
        StatementBucket::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("read statements"))
    }

    /// When the history of a cluster begins within a range: the end of its first interval less its length.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn covered_since(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        #[derive(FromQueryResult)]
        struct First {
            at: Option<i64>,
        }
        let sql = format!(
            "SELECT MIN(m.at - m.interval_ms) AS at FROM {} m JOIN statement_text s ON s.id = m.statement_id \
             WHERE s.cluster_id = $1 AND m.at > $2 AND m.at <= $3",
            self.samples(from, to).await?
        );
        let values: [Value; 3] = [cluster.into(), from.0.into(), to.0.into()];
        let first =
            First::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
                .one(self.0)
                .await
                .map_err(StoreError::query("read statements"))?;
        Ok(first.and_then(|first| first.at).map(|at| Timestamp(at.max(from.0))))
    }

    /// Removes statements that were not seen since `before`: nothing of what they did is kept any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = statement_text::Entity::delete_many()
            .filter(statement_text::Column::LastSeenAt.lt(before.0))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old statements"))
    }

    /// Removes samples before `before`, and statements that were not seen since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let failed = || StoreError::query("remove old statements");
        let samples = statement_sample::Entity::delete_many()
            .filter(statement_sample::Column::At.lt(before.0))
            .exec(self.0)
            .await;
        let removed = samples.map_err(failed())?.rows_affected;
        statement_text::Entity::delete_many()
            .filter(statement_text::Column::LastSeenAt.lt(before.0))
            .exec(self.0)
            .await
            .map_err(failed())?;
        Ok(removed)
    }
}

fn record(row: statement_text::Model) -> Result<StatementRecord, StoreError> {
    let oid = |value: i64| {
        u32::try_from(value).map_err(|_| StoreError::Damaged { what: "statement", detail: format!("oid {value}") })
    };
    Ok(StatementRecord {
        id: row.id,
        text: StatementText {
            key: StatementKey {
                dbid: oid(row.dbid)?,
                userid: oid(row.userid)?,
                queryid: row.queryid,
                toplevel: row.toplevel,
            },
            database: row.database_name,
            user: row.user_name,
            query: row.query,
        },
        first_seen_at: Timestamp(row.first_seen_at),
        last_seen_at: Timestamp(row.last_seen_at),
    })
}
