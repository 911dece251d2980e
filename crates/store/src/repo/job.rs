//! Long work: asked for, claimed by one server with a lease, over.
//!
//! All moments of leases are the store's own, so that servers whose clocks differ agree.
use crate::{
    StoreError,
    entity::{job, job_log},
};
use domain::{
    Timestamp,
    view::{JobKind, JobLive, JobLogLine, JobProgress, JobResult, JobState},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, Condition, ConnectionTrait, DbBackend, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, SqlErr,
    sea_query::{Expr, OnConflict},
};

/// A job to be done.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Cluster.
    pub cluster: String,
    /// Kind.
    pub kind: JobKind,
    /// Of the jobs of one lane one runs at a time.
    pub lane: String,
    /// For people.
    pub title: String,
    /// What exactly.
    pub params: serde_json::Value,
    /// The moment of a schedule, or what a client calls its request; only one job is ever made for it.
    pub schedule_key: Option<String>,
    /// By whom.
    pub requested_by: String,
    /// Now.
    pub at: Timestamp,
}

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRow {
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster: String,
    /// Kind.
    pub kind: JobKind,
    /// Lane.
    pub lane: String,
    /// State.
    pub state: JobState,
    /// For people.
    pub title: String,
    /// What exactly.
    pub params: serde_json::Value,
    /// The moment of a schedule.
    pub schedule_key: Option<String>,
    /// By whom.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Begun first.
    pub started_at: Option<Timestamp>,
    /// Over.
    pub finished_at: Option<Timestamp>,
    /// Tries so far.
    pub attempt: i64,
    /// Who works on it.
    pub holder: Option<String>,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// How far it is.
    pub progress: JobProgress,
    /// What came of it.
    pub result: Option<JobResult>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Which jobs.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this cluster.
    pub cluster: Option<String>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// In this state.
    pub state: Option<JobState>,
    /// Older than this one.
    pub before_id: Option<i64>,
}

/// Jobs over a connection or a transaction.
#[derive(Debug)]
pub struct JobRepo<'a, C>(pub &'a C);

/// A log longer than this tells a person nothing more.
const LOG_LIMIT: u64 = 1_000;

impl<C: ConnectionTrait> JobRepo<'_, C> {
    fn now_sql(&self) -> &'static str {
        match self.0.get_database_backend() {
            DbBackend::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            _ => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
        }
    }

    /// Adds one; `None` when the moment of its schedule has a job already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, new: NewJob) -> Result<Option<i64>, StoreError> {
        let row = job::ActiveModel {
            cluster_id: Set(new.cluster),
            kind: Set(new.kind.as_str().to_owned()),
            lane: Set(new.lane),
            state: Set(JobState::Queued.as_str().to_owned()),
            title: Set(new.title),
            params: Set(new.params.to_string()),
            schedule_key: Set(new.schedule_key.clone()),
            requested_by: Set(new.requested_by),
            requested_at: Set(new.at.0),
            started_at: Set(None),
            finished_at: Set(None),
            attempt: Set(0),
            holder: Set(None),
            lease_until: Set(None),
            cancel_requested: Set(false),
            progress: Set(None),
            result: Set(None),
            error: Set(None),
            ..Default::default()
        };
        if new.schedule_key.is_none() {
            let row = job::Entity::insert(row).exec_with_returning(self.0).await;
            return Ok(Some(row.map_err(StoreError::query("add a job"))?.id));
        }
        let mut conflict = OnConflict::column(job::Column::ScheduleKey);
        conflict.do_nothing();
        let done = job::Entity::insert(row)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map_err(StoreError::query("add a job"))?;
        if done == 0 {
            return Ok(None);
        }
        let row = job::Entity::find().filter(job::Column::ScheduleKey.eq(new.schedule_key)).one(self.0).await;
        Ok(row.map_err(StoreError::query("add a job"))?.map(|row| row.id))
    }

    /// Adds one that was done long ago, by whatever did it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_past(
        &self,
        cluster: &str,
        kind: JobKind,
        title: &str,
        by: &str,
        (begun, ended): (Timestamp, Timestamp),
        (params, result, error): (&serde_json::Value, &JobResult, Option<&str>),
    ) -> Result<(), StoreError> {
        let row = job::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            kind: Set(kind.as_str().to_owned()),
            lane: Set(String::new()),
            state: Set(if error.is_some() { JobState::Failed } else { JobState::Succeeded }.as_str().to_owned()),
            title: Set(title.to_owned()),
            params: Set(params.to_string()),
            schedule_key: Set(None),
            requested_by: Set(by.to_owned()),
            requested_at: Set(begun.0),
            started_at: Set(Some(begun.0)),
            finished_at: Set(Some(ended.0)),
            attempt: Set(1),
            holder: Set(None),
            lease_until: Set(None),
            cancel_requested: Set(false),
            progress: Set(None),
            result: Set(serde_json::to_string(result).ok()),
            error: Set(error.map(str::to_owned)),
            ..Default::default()
        };
        job::Entity::insert(row)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("add a past job"))
    }

    /// By id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: i64) -> Result<Option<JobRow>, StoreError> {
        let row = job::Entity::find_by_id(id).one(self.0).await.map_err(StoreError::query("find a job"))?;
        row.map(from_row).transpose()
    }

    /// The one job of a key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn by_schedule_key(&self, key: &str) -> Result<Option<JobRow>, StoreError> {
        let row = job::Entity::find().filter(job::Column::ScheduleKey.eq(key)).one(self.0).await;
        row.map_err(StoreError::query("find a job"))?.map(from_row).transpose()
    }

    /// The newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, filter: &JobFilter, limit: u64) -> Result<Vec<JobRow>, StoreError> {
        let mut which = Condition::all();
        if let Some(cluster) = &filter.cluster {
            which = which.add(job::Column::ClusterId.eq(cluster));
        }
        if let Some(kind) = filter.kind {
            which = which.add(job::Column::Kind.eq(kind.as_str()));
        }
        if let Some(state) = filter.state {
            which = which.add(job::Column::State.eq(state.as_str()));
        }
        if let Some(before) = filter.before_id {
            which = which.add(job::Column::Id.lt(before));
        }
        let rows = job::Entity::find().filter(which).order_by_desc(job::Column::Id).limit(limit).all(self.0).await;
        rows.map_err(StoreError::query("list jobs"))?.into_iter().map(from_row).collect()
    }

    /// What may have changed since somebody looked: jobs that are not over, those newer than `after`, and those of `known`.
    /// The oldest first, each with its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live(&self, after: i64, known: &[i64]) -> Result<Vec<(i64, JobLive)>, StoreError> {
        let open = JobState::ALL.into_iter().filter(|state| !state.is_over()).map(|state| state.as_str());
        let which = Condition::any()
            .add(job::Column::State.is_in(open))
            .add(job::Column::Id.gt(after))
            .add(job::Column::Id.is_in(known.iter().copied()));
        let rows = job::Entity::find()
            .select_only()
            .column(job::Column::Id)
            .column(job::Column::ClusterId)
            .column(job::Column::Kind)
            .column(job::Column::State)
            .column(job::Column::Title)
            .filter(which)
            .order_by_asc(job::Column::Id)
            .into_tuple::<(i64, String, String, String, String)>()
            .all(self.0)
            .await
            .map_err(StoreError::query("look at jobs"))?;
        // What a newer version wrote is left out.
        let row = |(id, cluster, kind, state, title): (i64, String, String, String, String)| {
            let (kind, state) = (kind.parse::<JobKind>().ok()?, state.parse::<JobState>().ok()?);
            Some((id, JobLive { id: id.to_string(), cluster, kind, state, title }))
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }

    /// How many jobs of each kind and state a cluster has; what it has none of is left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn counts(&self, cluster: &str) -> Result<Vec<(JobKind, JobState, u64)>, StoreError> {
        let rows = job::Entity::find()
            .select_only()
            .column(job::Column::Kind)
            .column(job::Column::State)
            .column_as(job::Column::Id.count(), "number")
            .filter(job::Column::ClusterId.eq(cluster))
            .group_by(job::Column::Kind)
            .group_by(job::Column::State)
            .into_tuple::<(String, String, i64)>()
            .all(self.0)
            .await
            .map_err(StoreError::query("count jobs"))?;
        // What a newer version wrote is left out.
        let row = |(kind, state, number): (String, String, i64)| {
            Some((kind.parse::<JobKind>().ok()?, state.parse::<JobState>().ok()?, number.cast_unsigned()))
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }

    /// Takes a waiting job whose lane is free: the urgent kinds first, then the oldest. Not inside a transaction: a lane
    /// that another server takes in the same moment is an error of the database, which only means "not this one".
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim(&self, holder: &str, lease_ms: i64) -> Result<Option<JobRow>, StoreError> {
        self.claim_of(&JobKind::ALL, holder, lease_ms).await
    }

    /// As [`Self::claim`], of the urgent kinds alone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_urgent(&self, holder: &str, lease_ms: i64) -> Result<Option<JobRow>, StoreError> {
        let urgent = JobKind::ALL.into_iter().filter(|kind| kind.is_urgent()).collect::<Vec<_>>();
        self.claim_of(&urgent, holder, lease_ms).await
    }

    async fn claim_of(&self, kinds: &[JobKind], holder: &str, lease_ms: i64) -> Result<Option<JobRow>, StoreError> {
        let free_lane = format!(
            "NOT EXISTS (SELECT 1 FROM job other WHERE other.lane = job.lane AND other.state = '{}')",
            JobState::Running.as_str()
        );
        let urgent = JobKind::ALL.iter().filter(|kind| kind.is_urgent()).map(|kind| format!("'{}'", kind.as_str()));
        let urgency = format!("CASE WHEN kind IN ({}) THEN 0 ELSE 1 END", urgent.collect::<Vec<_>>().join(", "));
        let waiting = job::Entity::find()
            .filter(job::Column::State.eq(JobState::Queued.as_str()))
            .filter(job::Column::Kind.is_in(kinds.iter().map(|kind| kind.as_str())))
            .filter(Expr::cust(free_lane.clone()))
            .order_by_asc(Expr::cust(urgency))
            .order_by_asc(job::Column::Id)
            .limit(20)
            .all(self.0)
            .await
            .map_err(StoreError::query("list waiting jobs"))?;
        for one in waiting {
            let now = self.now_sql();
            let done = job::Entity::update_many()
                .col_expr(job::Column::State, Expr::value(JobState::Running.as_str()))
                .col_expr(job::Column::Holder, Expr::value(holder))
                .col_expr(job::Column::Attempt, Expr::col(job::Column::Attempt).add(1))
                .col_expr(job::Column::LeaseUntil, Expr::cust(format!("{now} + {lease_ms}")))
                .col_expr(job::Column::StartedAt, Expr::cust(format!("coalesce(started_at, {now})")))
                .filter(job::Column::Id.eq(one.id))
                .filter(job::Column::State.eq(JobState::Queued.as_str()))
                .filter(Expr::cust(free_lane.clone()))
                .exec(self.0)
                .await;
            match done {
                Ok(done) if done.rows_affected == 1 => return self.get(one.id).await,
                Ok(_) => {}
                Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {}
                Err(error) => return Err(StoreError::query("claim a job")(error)),
            }
        }
        Ok(None)
    }

    /// A sign of life with what is done so far; whether somebody asked to stop it. `None`: it is no longer ours.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heartbeat(
        &self,
        id: i64,
        holder: &str,
        attempt: i64,
        lease_ms: i64,
        progress: &JobProgress,
    ) -> Result<Option<bool>, StoreError> {
        let text = serde_json::to_string(progress).unwrap_or_default();
        let done = job::Entity::update_many()
            .col_expr(job::Column::LeaseUntil, Expr::cust(format!("{} + {lease_ms}", self.now_sql())))
            .col_expr(job::Column::Progress, Expr::value(text))
            .filter(ours(id, holder, attempt))
            .exec(self.0)
            .await
            .map_err(StoreError::query("keep a job"))?;
        if done.rows_affected == 0 {
            return Ok(None);
        }
        Ok(self.get(id).await?.map(|row| row.cancel_requested))
    }

    /// Ends a job that is ours; `false` when it is no longer.
    ///
    /// # Errors
    /// [`StoreError`].
    #[expect(clippy::too_many_arguments, reason = "the columns of an end")]
    pub async fn finish(
        &self,
        id: i64,
        holder: &str,
        attempt: i64,
        state: JobState,
        progress: &JobProgress,
        result: Option<&JobResult>,
        error: Option<&str>,
    ) -> Result<bool, StoreError> {
        let text = |value: Option<String>| Expr::value(value);
        let done = job::Entity::update_many()
            .col_expr(job::Column::State, Expr::value(state.as_str()))
            .col_expr(job::Column::Holder, Expr::value(Option::<String>::None))
            .col_expr(job::Column::LeaseUntil, Expr::value(Option::<i64>::None))
            .col_expr(job::Column::FinishedAt, Expr::cust(self.now_sql()))
            .col_expr(job::Column::Progress, Expr::value(serde_json::to_string(progress).unwrap_or_default()))
            .col_expr(job::Column::Result, text(result.and_then(|result| serde_json::to_string(result).ok())))
            .col_expr(job::Column::Error, text(error.map(str::to_owned)))
            .filter(ours(id, holder, attempt))
            .exec(self.0)
            .await
            .map_err(StoreError::query("end a job"))?;
        Ok(done.rows_affected == 1)
    }

    /// Running jobs whose holder gave no sign of life in time, or is one of `gone`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orphans(&self, is_gone: impl Fn(&str) -> bool) -> Result<Vec<JobRow>, StoreError> {
        let running = job::Entity::find()
            .filter(job::Column::State.eq(JobState::Running.as_str()))
            .all(self.0)
            .await
            .map_err(StoreError::query("list running jobs"))?;
        let over = job::Entity::find()
            .filter(job::Column::State.eq(JobState::Running.as_str()))
            .filter(Expr::cust(format!("lease_until < {}", self.now_sql())))
            .all(self.0)
            .await
            .map_err(StoreError::query("list running jobs"))?;
        running
            .into_iter()
            .filter(|row| over.iter().any(|other| other.id == row.id) || row.holder.as_deref().is_some_and(&is_gone))
            .map(from_row)
            .collect()
    }

    /// Puts an orphan back into the queue, or ends it with a reason. `false`: somebody else did, or its holder lives.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_back(&self, row: &JobRow, again: bool, reason: &str) -> Result<bool, StoreError> {
        let state = if again { JobState::Queued } else { JobState::Failed };
        let mut update = job::Entity::update_many()
            .col_expr(job::Column::State, Expr::value(state.as_str()))
            .col_expr(job::Column::Holder, Expr::value(Option::<String>::None))
            .col_expr(job::Column::LeaseUntil, Expr::value(Option::<i64>::None));
        if !again {
            update = update
                .col_expr(job::Column::FinishedAt, Expr::cust(self.now_sql()))
                .col_expr(job::Column::Error, Expr::value(reason));
        }
        let done = update
            .filter(ours(row.id, row.holder.as_deref().unwrap_or_default(), row.attempt))
            .exec(self.0)
            .await
            .map_err(StoreError::query("take back a job"))?;
        Ok(done.rows_affected == 1)
    }

    /// Asks to stop: a waiting job is over at once, a running one when its holder hears of it. Whether it was not over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn request_cancel(&self, id: i64) -> Result<bool, StoreError> {
        let waiting = job::Entity::update_many()
            .col_expr(job::Column::State, Expr::value(JobState::Cancelled.as_str()))
            .col_expr(job::Column::CancelRequested, Expr::value(true))
            .col_expr(job::Column::FinishedAt, Expr::cust(self.now_sql()))
            .filter(job::Column::Id.eq(id))
            .filter(job::Column::State.eq(JobState::Queued.as_str()))
            .exec(self.0)
            .await
            .map_err(StoreError::query("stop a job"))?;
        let running = job::Entity::update_many()
            .col_expr(job::Column::CancelRequested, Expr::value(true))
            .filter(job::Column::Id.eq(id))
            .filter(job::Column::State.eq(JobState::Running.as_str()))
            .exec(self.0)
            .await
            .map_err(StoreError::query("stop a job"))?;
        Ok(waiting.rows_affected + running.rows_affected > 0)
    }

    /// Adds a line to a job's log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn log(&self, id: i64, at: Timestamp, line: &str) -> Result<(), StoreError> {
        let row =
            job_log::ActiveModel { job_id: Set(id), at: Set(at.0), line: Set(line.to_owned()), ..Default::default() };
        job_log::Entity::insert(row)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("write a job's log"))
    }

    /// A job's log, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn log_of(&self, id: i64) -> Result<Vec<JobLogLine>, StoreError> {
        let rows = job_log::Entity::find()
            .filter(job_log::Column::JobId.eq(id))
            .order_by_asc(job_log::Column::Id)
            .limit(LOG_LIMIT)
            .all(self.0)
            .await
            .map_err(StoreError::query("read a job's log"))?;
        Ok(rows.into_iter().map(|row| JobLogLine { at: Timestamp(row.at), line: row.line }).collect())
    }

    /// Removes jobs that were over before `before`, and their logs. The newest of each kind and cluster are kept by
    /// their age alone: what they proved is shown with its date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = job::Entity::delete_many()
            .filter(job::Column::FinishedAt.lt(before.0))
            .exec(self.0)
            .await
            .map_err(StoreError::query("remove old jobs"))?;
        job_log::Entity::delete_many()
            .filter(Expr::cust("job_id NOT IN (SELECT id FROM job)"))
            .exec(self.0)
            .await
            .map_err(StoreError::query("remove old jobs"))?;
        Ok(deleted.rows_affected)
    }
}

fn ours(id: i64, holder: &str, attempt: i64) -> Condition {
    Condition::all()
        .add(job::Column::Id.eq(id))
        .add(job::Column::State.eq(JobState::Running.as_str()))
        .add(job::Column::Holder.eq(holder))
        .add(job::Column::Attempt.eq(attempt))
}

fn from_row(row: job::Model) -> Result<JobRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "job", detail };
    Ok(JobRow {
        id: row.id,
        cluster: row.cluster_id,
        kind: row.kind.parse().map_err(damaged)?,
        lane: row.lane,
        state: row.state.parse().map_err(damaged)?,
        title: row.title,
        params: serde_json::from_str(&row.params).map_err(|error| damaged(error.to_string()))?,
        schedule_key: row.schedule_key,
        requested_by: row.requested_by,
        requested_at: Timestamp(row.requested_at),
        started_at: row.started_at.map(Timestamp),
        finished_at: row.finished_at.map(Timestamp),
        attempt: row.attempt,
        holder: row.holder,
        cancel_requested: row.cancel_requested,
        // What a newer version wrote is left out rather than failing the page.
        progress: row.progress.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        result: row.result.and_then(|text| serde_json::from_str(&text).ok()),
        error: row.error,
    })
}
