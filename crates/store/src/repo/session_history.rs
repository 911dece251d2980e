//! Active sessions over time.
use crate::repo::tier::TierSize;
use crate::{
    StoreError,
    entity::{session_bucket, session_count, session_name},
};
use domain::{
    Timestamp,
    reading::{SessionBucket, SessionKey},
    view::{BusyStretch, LoadBy, QuerySample},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, QueryFilter as _,
    QueryOrder as _, Statement, Value, sea_query::OnConflict,
};
use std::collections::{BTreeSet, HashMap};

/// Counts of one line in one step of time.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct LoadPoint {
    /// Name of the line: a wait class, a role, …; a fingerprint as text.
    pub name: String,
    /// Number of the step, counted from `from`.
    pub bucket: i64,
    /// Samples in which a session of it was active, each session once.
    pub samples: i64,
}

/// How many samples were taken in one step of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct LoadSamples {
    /// Number of the step, counted from `from`.
    pub bucket: i64,
    /// Taken.
    pub samples: i64,
    /// Due and not taken.
    pub skipped: i64,
}

/// Counts of one statement by wait class.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct LoadOfQuery {
    /// Fingerprint; 0 when not known.
    pub query_id: i64,
    /// Wait class.
    pub class: String,
    /// Samples.
    pub samples: i64,
}

/// A stretch of time in which sessions were sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStretch {
    /// Its beginning, which is the end of the one before.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// Samples taken.
    pub samples: i64,
    /// Due and not taken.
    pub skipped: i64,
}

/// How often sessions of one kind were seen.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct SessionsSeen {
    /// Wait class.
    pub class: String,
    /// Wait event.
    pub event: String,
    /// Fingerprint; 0 when not known.
    pub query_id: i64,
    /// Database.
    pub database: String,
    /// Role.
    pub role: String,
    /// Application.
    pub application: String,
    /// Client.
    pub host: String,
    /// Samples.
    pub samples: i64,
}

/// Active sessions over a connection or a transaction.
#[derive(Debug)]
pub struct SessionHistoryRepo<'a, C>(pub &'a C);

const HOUR_MS: i64 = 3_600_000;
/// Rows of one INSERT: 10 values each.
const CHUNK: usize = 1_000;

impl<C: ConnectionTrait> SessionHistoryRepo<'_, C> {
    /// Keeps a bucket that ended at `at`; one of the same moment is replaced, so that a batch can be tried again.
    /// `names` caches the ids of known names between calls.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(
        &self,
        cluster: &str,
        at: Timestamp,
        bucket: &SessionBucket,
        names: &mut HashMap<String, i64>,
    ) -> Result<(), StoreError> {
        use session_bucket::Column;
        let failed = || StoreError::query("keep active sessions");
        let unknown = bucket
            .rows
            .iter()
            .flat_map(|(key, _)| {
                [&key.wait_class, &key.wait_event, &key.database, &key.user, &key.application, &key.host]
            })
            .filter(|name| !names.contains_key(*name))
            .collect::<BTreeSet<_>>();
        for name in unknown {
            let id = self.name_id(name).await?;
            names.insert(name.clone(), id);
        }
        let row = session_bucket::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            at: Set(at.0),
            interval_ms: Set(bucket.interval_ms),
            samples: Set(bucket.samples),
            skipped: Set(bucket.skipped),
            ..Default::default()
        };
        let mut conflict = OnConflict::columns([Column::ClusterId, Column::At]);
        conflict.update_columns([Column::IntervalMs, Column::Samples, Column::Skipped]);
        session_bucket::Entity::insert(row)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map_err(failed())?;
        let found = session_bucket::Entity::find()
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::At.eq(at.0))
            .one(self.0)
            .await
            .map_err(failed())?;
        let id = found
            .map(|row| row.id)
            .ok_or_else(|| StoreError::Damaged { what: "bucket of sessions", detail: cluster.to_owned() })?;
        session_count::Entity::delete_many()
            .filter(session_count::Column::BucketId.eq(id))
            .exec(self.0)
            .await
            .map_err(failed())?;
        let of = |name: &String| names.get(name).copied().unwrap_or(0);
        let rows = bucket.rows.iter().enumerate().map(|(position, (key, samples))| session_count::ActiveModel {
            bucket_id: Set(id),
            position: Set(i32::try_from(position).unwrap_or(i32::MAX)),
            wait_class_id: Set(of(&key.wait_class)),
            wait_event_id: Set(of(&key.wait_event)),
            query_id: Set(key.query_id),
            database_id: Set(of(&key.database)),
            user_id: Set(of(&key.user)),
            application_id: Set(of(&key.application)),
            host_id: Set(of(&key.host)),
            samples: Set(*samples),
        });
        let rows = rows.collect::<Vec<_>>();
        for chunk in rows.chunks(CHUNK) {
            session_count::Entity::insert_many(chunk.to_vec()).exec_without_returning(self.0).await.map_err(failed())?;
        }
        Ok(())
    }

    async fn name_id(&self, name: &str) -> Result<i64, StoreError> {
        use session_name::Column;
        let failed = || StoreError::query("keep a name");
        let row = session_name::ActiveModel { name: Set(name.to_owned()), ..Default::default() };
        let mut conflict = OnConflict::column(Column::Name);
        conflict.update_column(Column::Name);
        session_name::Entity::insert(row)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map_err(failed())?;
        let found = session_name::Entity::find().filter(Column::Name.eq(name)).one(self.0).await.map_err(failed())?;
        found.map(|row| row.id).ok_or_else(|| StoreError::Damaged { what: "name", detail: name.to_owned() })
    }

    /// Counts in steps of `step_ms` from `from` (exclusive) to `to`, by one of the ways.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(
        &self,
        cluster: &str,
        by: LoadBy,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<LoadPoint>, StoreError> {
        let column = match by {
            LoadBy::Wait => "wait_class_id",
            LoadBy::Event => "wait_event_id",
            LoadBy::Query => "query_id",
            LoadBy::User => "user_id",
            LoadBy::Database => "database_id",
            LoadBy::Application => "application_id",
            LoadBy::Host => "host_id",
        };
        let (name, join) = match by {
            LoadBy::Query => ("CAST(c.query_id AS TEXT)", String::new()),
            // Of two events with one name, as in different classes, the class tells which.
            LoadBy::Event => (
                "CASE WHEN n.name = '' THEN w.name ELSE w.name || ': ' || n.name END",
                format!("JOIN session_name n ON n.id = c.{column} JOIN session_name w ON w.id = c.wait_class_id"),
            ),
            _ => ("n.name", format!("JOIN session_name n ON n.id = c.{column}")),
        };
        let sql = format!(
            "SELECT {name} AS name, (b.at - 1 - $1) / $2 AS bucket, CAST(SUM(c.samples) AS BIGINT) AS samples \
             FROM session_bucket b JOIN session_count c ON c.bucket_id = b.id {join} \
             WHERE b.cluster_id = $3 AND b.at > $1 AND b.at <= $4 GROUP BY 1, 2 ORDER BY 2, 1"
        );
        let values: [Value; 4] = [from.0.into(), step_ms.max(1).into(), cluster.into(), to.0.into()];
        LoadPoint::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("read active sessions"))
    }

    /// Samples taken in the same steps.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn samples(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<LoadSamples>, StoreError> {
        let sql = "SELECT (b.at - 1 - $1) / $2 AS bucket, CAST(SUM(b.samples) AS BIGINT) AS samples, CAST(SUM(b.skipped) AS BIGINT) AS skipped \
                   FROM session_bucket b WHERE b.cluster_id = $3 AND b.at > $1 AND b.at <= $4 GROUP BY 1 ORDER BY 1";
        let values: [Value; 4] = [from.0.into(), step_ms.max(1).into(), cluster.into(), to.0.into()];
        LoadSamples::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("read active sessions"))
    }

    /// Counts of statements by wait class over a range.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn queries(&self, cluster: &str, from: Timestamp, to: Timestamp) -> Result<Vec<LoadOfQuery>, StoreError> {
        let sql = "SELECT c.query_id AS query_id, w.name AS class, CAST(SUM(c.samples) AS BIGINT) AS samples \
                   FROM session_bucket b JOIN session_count c ON c.bucket_id = b.id JOIN session_name w ON w.id = c.wait_class_id \
                   WHERE b.cluster_id = $1 AND b.at > $2 AND b.at <= $3 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2";
        let values: [Value; 3] = [cluster.into(), from.0.into(), to.0.into()];
        LoadOfQuery::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("read active sessions"))
    }

    /// Who ran one statement and what they waited for, the most first, at most thirty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_query(
        &self,
        cluster: &str,
        query_id: i64,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<QuerySample>, StoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            class: String,
            event: String,
            user: String,
            application: String,
            host: String,
            samples: i64,
        }
        let sql = "SELECT w.name AS class, e.name AS event, u.name AS \"user\", a.name AS application, h.name AS host, \
                   CAST(SUM(c.samples) AS BIGINT) AS samples \
                   FROM session_bucket b JOIN session_count c ON c.bucket_id = b.id \
                   JOIN session_name w ON w.id = c.wait_class_id JOIN session_name e ON e.id = c.wait_event_id \
                   JOIN session_name u ON u.id = c.user_id JOIN session_name a ON a.id = c.application_id \
                   JOIN session_name h ON h.id = c.host_id \
                   WHERE b.cluster_id = $1 AND c.query_id = $2 AND b.at > $3 AND b.at <= $4 \
                   GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC, 1, 2, 3, 4, 5 LIMIT 30";
        let values: [Value; 4] = [cluster.into(), query_id.into(), from.0.into(), to.0.into()];
        let rows = Row::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("read active sessions"))?;
        Ok(rows
            .into_iter()
            .map(|row| QuerySample {
                wait_class: row.class,
                wait_event: row.event,
                user: row.user,
                application: row.application,
                host: row.host,
                samples: row.samples,
            })
            .collect())
    }

    /// The stretch that a moment falls into; `None` where nothing was sampled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stretch(&self, cluster: &str, at: Timestamp) -> Result<Option<SessionStretch>, StoreError> {
        Ok(self.after(cluster, Timestamp(at.0 - 1)).await?.filter(|stretch| stretch.from < at))
    }

    /// The first stretch that ends after a moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn after(&self, cluster: &str, at: Timestamp) -> Result<Option<SessionStretch>, StoreError> {
        use session_bucket::Column;
        let found = session_bucket::Entity::find()
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::At.gt(at.0))
            .order_by_asc(Column::At)
            .one(self.0)
            .await;
        Ok(found.map_err(StoreError::query("read active sessions"))?.map(stretch))
    }

    /// The last stretch that ends at a moment or before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn before(&self, cluster: &str, at: Timestamp) -> Result<Option<SessionStretch>, StoreError> {
        use session_bucket::Column;
        let found = session_bucket::Entity::find()
            .filter(Column::ClusterId.eq(cluster))
            .filter(Column::At.lte(at.0))
            .order_by_desc(Column::At)
            .one(self.0)
            .await;
        Ok(found.map_err(StoreError::query("read active sessions"))?.map(stretch))
    }

    /// Who was seen in the stretches that ended after `from` and until `to`, the most samples first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn seen(&self, cluster: &str, from: Timestamp, to: Timestamp) -> Result<Vec<SessionsSeen>, StoreError> {
        let sql = "SELECT w.name AS class, e.name AS event, c.query_id AS query_id, d.name AS database, u.name AS role, \
                   a.name AS application, h.name AS host, CAST(SUM(c.samples) AS BIGINT) AS samples \
                   FROM session_bucket b JOIN session_count c ON c.bucket_id = b.id \
                   JOIN session_name w ON w.id = c.wait_class_id JOIN session_name e ON e.id = c.wait_event_id \
                   JOIN session_name d ON d.id = c.database_id JOIN session_name u ON u.id = c.user_id \
                   JOIN session_name a ON a.id = c.application_id JOIN session_name h ON h.id = c.host_id \
                   WHERE b.cluster_id = $1 AND b.at > $2 AND b.at <= $3 \
                   GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 8 DESC, 1, 2, 3, 4, 5, 6, 7";
        let values: [Value; 3] = [cluster.into(), from.0.into(), to.0.into()];
        SessionsSeen::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("read active sessions"))
    }

    /// The stretches between two moments with the most sessions on average, the busiest first, each with that average.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn busiest(
        &self,
        cluster: &str,
        from: Timestamp,
        to: Timestamp,
        limit: u64,
    ) -> Result<Vec<BusyStretch>, StoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            at: i64,
            interval_ms: i64,
            samples: i64,
            seen: i64,
        }
        let sql = "SELECT b.at AS at, b.interval_ms AS interval_ms, b.samples AS samples, CAST(SUM(c.samples) AS BIGINT) AS seen \
                   FROM session_bucket b JOIN session_count c ON c.bucket_id = b.id \
                   WHERE b.cluster_id = $1 AND b.at > $2 AND b.at <= $3 AND b.samples > 0 \
                   GROUP BY b.id, b.at, b.interval_ms, b.samples \
                   ORDER BY CAST(SUM(c.samples) AS DOUBLE PRECISION) / b.samples DESC, b.at DESC LIMIT $4";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values: [Value; 4] = [cluster.into(), from.0.into(), to.0.into(), limit.into()];
        let rows = Row::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
            .all(self.0)
            .await
            .map_err(StoreError::query("read active sessions"))?;
        let busy = |row: Row| BusyStretch {
            from: Timestamp(row.at - row.interval_ms),
            to: Timestamp(row.at),
            average_active_sessions: row.seen as f64 / row.samples.max(1) as f64,
        };
        Ok(rows.into_iter().map(busy).collect())
    }

    /// Puts the buckets of whole hours that ended before `before` together, one bucket an hour, the rarest rows added up
    /// by `thin`. At most a day of one cluster at once; false when there was nothing to do.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn roll_up(
        &self,
        before: Timestamp,
        thin: impl Fn(Vec<(SessionKey, i64)>) -> Vec<(SessionKey, i64)>,
    ) -> Result<bool, StoreError> {
        use session_bucket::Column;
        let failed = || StoreError::query("roll up active sessions");
        let end = crate::rollup::begin(before.0, HOUR_MS);
        let first = session_bucket::Entity::find()
            .filter(Column::At.lte(end))
            .filter(Column::IntervalMs.lt(HOUR_MS))
            .order_by_asc(Column::At)
            .one(self.0)
            .await
            .map_err(failed())?;
        let Some(first) = first else { return Ok(false) };
        let start = crate::rollup::begin(first.at - 1, HOUR_MS);
        let buckets = session_bucket::Entity::find()
            .filter(Column::ClusterId.eq(&first.cluster_id))
            .filter(Column::At.gt(start))
            .filter(Column::At.lte(start + HOUR_MS))
            .all(self.0)
            .await
            .map_err(failed())?;
        let ids = buckets.iter().map(|bucket| bucket.id).collect::<Vec<_>>();
        let names = session_name::Entity::find().all(self.0).await.map_err(failed())?;
        let names = names.into_iter().map(|row| (row.id, row.name)).collect::<HashMap<_, _>>();
        let counts = session_count::Entity::find()
            .filter(session_count::Column::BucketId.is_in(ids.iter().copied()))
            .all(self.0)
            .await
            .map_err(failed())?;
        let mut sums = HashMap::<SessionKey, i64>::new();
        let name = |id: i64| names.get(&id).cloned().unwrap_or_default();
        for row in counts {
            let key = SessionKey {
                wait_class: name(row.wait_class_id),
                wait_event: name(row.wait_event_id),
                query_id: row.query_id,
                database: name(row.database_id),
                user: name(row.user_id),
                application: name(row.application_id),
                host: name(row.host_id),
            };
            *sums.entry(key).or_default() += row.samples;
        }
        session_count::Entity::delete_many()
            .filter(session_count::Column::BucketId.is_in(ids.iter().copied()))
            .exec(self.0)
            .await
            .map_err(failed())?;
        session_bucket::Entity::delete_many().filter(Column::Id.is_in(ids)).exec(self.0).await.map_err(failed())?;
        let whole = SessionBucket {
            samples: buckets.iter().map(|bucket| bucket.samples).sum(),
            skipped: buckets.iter().map(|bucket| bucket.skipped).sum(),
            interval_ms: HOUR_MS,
            rows: thin(sums.into_iter().collect()),
        };
        let mut known = names.into_iter().map(|(id, name)| (name, id)).collect();
        self.insert(&first.cluster_id, Timestamp(start + HOUR_MS), &whole, &mut known).await?;
        Ok(true)
    }

    /// Buckets, and the oldest of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn size(&self) -> Result<TierSize, StoreError> {
        let sql = "SELECT COUNT(*) AS number, (SELECT MIN(at) FROM session_bucket) AS oldest FROM session_count";
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let size = TierSize::find_by_statement(statement).one(self.0).await;
        Ok(size.map_err(StoreError::query("count history"))?.unwrap_or(TierSize { number: 0, oldest: None }))
    }

    /// Removes buckets that ended before `before`, and names that nothing points to any more stay: they are few.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let failed = || StoreError::query("remove old active sessions");
        let sql = "DELETE FROM session_count WHERE bucket_id IN (SELECT id FROM session_bucket WHERE at < $1)";
        let statement = Statement::from_sql_and_values(self.0.get_database_backend(), sql, [before.0.into()]);
        self.0.execute_raw(statement).await.map_err(failed())?;
        let deleted =
            session_bucket::Entity::delete_many().filter(session_bucket::Column::At.lt(before.0)).exec(self.0).await;
        deleted.map(|result| result.rows_affected).map_err(failed())
    }
}

fn stretch(row: session_bucket::Model) -> SessionStretch {
    SessionStretch {
        from: Timestamp(row.at - row.interval_ms),
        to: Timestamp(row.at),
        samples: row.samples,
        skipped: row.skipped,
    }
}
