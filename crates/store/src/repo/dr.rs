//! Plans for disasters, decisions while one is carried out, and what runs showed.
use crate::{
    StoreError,
    entity::{dr_decision, dr_plan, dr_run},
};
use domain::{
    Timestamp,
    view::{DrKind, DrPlanSpec, DrReport, DrRunRow, Objectives},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, SqlErr,
    sea_query::{Expr, OnConflict},
};
use sha2::{Digest as _, Sha256};

/// A plan as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct DrPlanRow {
    /// Id.
    pub id: i64,
    /// Cluster.
    pub cluster: String,
    /// What it says.
    pub spec: DrPlanSpec,
    /// SHA-256 of that.
    pub hash: String,
    /// By whom.
    pub changed_by: String,
    /// When.
    pub changed_at: Timestamp,
}

/// A decision of a person, or the mark of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrDecisionRow {
    /// Position of the step, from 0.
    pub step: usize,
    /// `approve`, `abort`, `begun` or `done`.
    pub decision: String,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub note: String,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct DrRunRecord {
    /// In short.
    pub row: DrRunRow,
    /// The evidence, byte by byte as its hash was taken.
    pub report: Option<String>,
}

impl DrRunRecord {
    /// The evidence read back; `None` when there is none, or when a newer version wrote it.
    pub fn read_report(&self) -> Option<DrReport> {
        serde_json::from_str(self.report.as_deref()?).ok()
    }
}

/// SHA-256 in hexadecimal.
fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of what a plan says.
pub fn dr_plan_hash(spec: &DrPlanSpec) -> String {
    sha256(&serde_json::to_string(spec).unwrap_or_default())
}

/// Plans, decisions and runs over a connection or a transaction.
#[derive(Debug)]
pub struct DrRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> DrRepo<'_, C> {
    /// Plans of a cluster, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plans(&self, cluster: &str) -> Result<Vec<DrPlanRow>, StoreError> {
        let rows = dr_plan::Entity::find()
            .filter(dr_plan::Column::ClusterId.eq(cluster))
            .filter(dr_plan::Column::RemovedAt.is_null())
            .order_by_asc(dr_plan::Column::Name)
            .all(self.0)
            .await;
        rows.map_err(StoreError::query("list recovery plans"))?.into_iter().map(plan).collect()
    }

    /// One that is not removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan(&self, id: i64) -> Result<Option<DrPlanRow>, StoreError> {
        let row = dr_plan::Entity::find_by_id(id).filter(dr_plan::Column::RemovedAt.is_null()).one(self.0).await;
        row.map_err(StoreError::query("find a recovery plan"))?.map(plan).transpose()
    }

    /// Whether the cluster ever had one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn had_plan(&self, cluster: &str) -> Result<bool, StoreError> {
        let row = dr_plan::Entity::find().filter(dr_plan::Column::ClusterId.eq(cluster)).one(self.0).await;
        Ok(row.map_err(StoreError::query("list recovery plans"))?.is_some())
    }

    /// Adds one; `None` when the name is taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan_add(
        &self,
        cluster: &str,
        spec: &DrPlanSpec,
        by: &str,
        at: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let text = serde_json::to_string(spec).unwrap_or_default();
        let row = dr_plan::ActiveModel {
            cluster_id: Set(cluster.to_owned()),
            name: Set(spec.name.clone()),
            hash: Set(sha256(&text)),
            spec: Set(text),
            changed_by: Set(by.to_owned()),
            changed_at: Set(at.0),
            removed_at: Set(None),
            ..Default::default()
        };
        match dr_plan::Entity::insert(row).exec_with_returning(self.0).await {
            Ok(row) => Ok(Some(row.id)),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(None),
            Err(error) => Err(StoreError::query("add a recovery plan")(error)),
        }
    }

    /// Changes one; `false` when the name is taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan_set(&self, id: i64, spec: &DrPlanSpec, by: &str, at: Timestamp) -> Result<bool, StoreError> {
        let text = serde_json::to_string(spec).unwrap_or_default();
        let done = dr_plan::Entity::update_many()
            .col_expr(dr_plan::Column::Name, Expr::value(spec.name.clone()))
            .col_expr(dr_plan::Column::Hash, Expr::value(sha256(&text)))
            .col_expr(dr_plan::Column::Spec, Expr::value(text))
            .col_expr(dr_plan::Column::ChangedBy, Expr::value(by))
            .col_expr(dr_plan::Column::ChangedAt, Expr::value(at.0))
            .filter(dr_plan::Column::Id.eq(id))
            .filter(dr_plan::Column::RemovedAt.is_null())
            .exec(self.0)
            .await;
        match done {
            Ok(done) => Ok(done.rows_affected == 1),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(false),
            Err(error) => Err(StoreError::query("change a recovery plan")(error)),
        }
    }

    /// Takes one out of the offer; runs still name it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan_remove(&self, id: i64, at: Timestamp) -> Result<bool, StoreError> {
        let done = dr_plan::Entity::update_many()
            .col_expr(dr_plan::Column::RemovedAt, Expr::value(at.0))
            .filter(dr_plan::Column::Id.eq(id))
            .filter(dr_plan::Column::RemovedAt.is_null())
            .exec(self.0)
            .await
            .map_err(StoreError::query("remove a recovery plan"))?;
        Ok(done.rows_affected == 1)
    }

    /// Writes a decision down; `false` when the same stands there already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn decide(&self, job: i64, row: &DrDecisionRow) -> Result<bool, StoreError> {
        let new = dr_decision::ActiveModel {
            job_id: Set(job),
            step: Set(i64::try_from(row.step).unwrap_or(i64::MAX)),
            decision: Set(row.decision.clone()),
            actor: Set(row.actor.clone()),
            at: Set(row.at.0),
            note: Set(row.note.clone()),
            ..Default::default()
        };
        let mut conflict =
            OnConflict::columns([dr_decision::Column::JobId, dr_decision::Column::Step, dr_decision::Column::Decision]);
        conflict.do_nothing();
        let done = dr_decision::Entity::insert(new)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map_err(StoreError::query("write a decision"))?;
        Ok(done == 1)
    }

    /// Decisions of a run, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn decisions(&self, job: i64) -> Result<Vec<DrDecisionRow>, StoreError> {
        let rows = dr_decision::Entity::find()
            .filter(dr_decision::Column::JobId.eq(job))
            .order_by_asc(dr_decision::Column::Id)
            .all(self.0)
            .await
            .map_err(StoreError::query("read decisions"))?;
        let row = |row: dr_decision::Model| DrDecisionRow {
            step: usize::try_from(row.step).unwrap_or(usize::MAX),
            decision: row.decision,
            actor: row.actor,
            at: Timestamp(row.at),
            note: row.note,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Writes the end of a run; the hash of its evidence. A second time changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn run_add(&self, mut row: DrRunRow, report: Option<&DrReport>) -> Result<DrRunRow, StoreError> {
        let text = report.and_then(|report| serde_json::to_string_pretty(report).ok());
        row.evidence_sha256 = text.as_deref().map(sha256);
        let new = dr_run::ActiveModel {
            id: Set(row.id.clone()),
            plan_id: Set(row.plan_id.as_deref().and_then(|id| id.parse().ok())),
            plan_name: Set(row.plan_name.clone()),
            cluster_id: Set(row.cluster.clone()),
            kind: Set(row.kind.as_str().to_owned()),
            started_at: Set(row.started_at.0),
            finished_at: Set(row.finished_at.0),
            ok: Set(row.ok),
            rto_seconds: Set(row.rto_seconds),
            rpo_seconds: Set(row.rpo_seconds),
            rto_objective: Set(row.objectives.map(|it| it.rto_seconds)),
            rpo_objective: Set(row.objectives.map(|it| it.rpo_seconds)),
            error: Set(row.error.clone()),
            report: Set(text),
            report_sha256: Set(row.evidence_sha256.clone()),
        };
        let mut conflict = OnConflict::column(dr_run::Column::Id);
        conflict.do_nothing();
        dr_run::Entity::insert(new)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map_err(StoreError::query("write a run"))?;
        Ok(row)
    }

    /// Runs of a cluster, the newest first; behind the one that ended then, when it is given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn runs(
        &self,
        cluster: &str,
        behind: Option<(Timestamp, &str)>,
        limit: u64,
    ) -> Result<Vec<DrRunRow>, StoreError> {
        use dr_run::Column;
        let mut find = dr_run::Entity::find()
            .filter(Column::ClusterId.eq(cluster))
            .order_by_desc(Column::FinishedAt)
            .order_by_desc(Column::Id)
            .limit(limit);
        if let Some((at, id)) = behind {
            let same = Condition::all().add(Column::FinishedAt.eq(at.0)).add(Column::Id.lt(id));
            find = find.filter(Condition::any().add(Column::FinishedAt.lt(at.0)).add(same));
        }
        let rows = find.all(self.0).await.map_err(StoreError::query("list runs"))?;
        rows.into_iter().map(|row| Ok(run(row)?.row)).collect()
    }

    /// The newest run of one kind of a plan that says something of it: that went well, or, unless it must be `sound`, that
    /// left evidence of why not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_run(
        &self,
        cluster: &str,
        plan: i64,
        kind: DrKind,
        sound: bool,
    ) -> Result<Option<DrRunRow>, StoreError> {
        let mut telling = Condition::any().add(dr_run::Column::Ok.eq(true));
        if !sound {
            telling = telling.add(dr_run::Column::ReportSha256.is_not_null());
        }
        let row = dr_run::Entity::find()
            .filter(dr_run::Column::ClusterId.eq(cluster))
            .filter(dr_run::Column::PlanId.eq(plan))
            .filter(dr_run::Column::Kind.eq(kind.as_str()))
            .filter(telling)
            .order_by_desc(dr_run::Column::FinishedAt)
            .one(self.0)
            .await
            .map_err(StoreError::query("find a run"))?;
        row.map(|row| Ok(run(row)?.row)).transpose()
    }

    /// One run of a cluster with its evidence.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn run(&self, cluster: &str, id: &str) -> Result<Option<DrRunRecord>, StoreError> {
        let which = Condition::all().add(dr_run::Column::ClusterId.eq(cluster)).add(dr_run::Column::Id.eq(id));
        let row = dr_run::Entity::find().filter(which).one(self.0).await.map_err(StoreError::query("find a run"))?;
        row.map(run).transpose()
    }
}

fn plan(row: dr_plan::Model) -> Result<DrPlanRow, StoreError> {
    let damaged = |error: serde_json::Error| StoreError::Damaged { what: "recovery plan", detail: error.to_string() };
    Ok(DrPlanRow {
        id: row.id,
        cluster: row.cluster_id,
        spec: serde_json::from_str(&row.spec).map_err(damaged)?,
        hash: row.hash,
        changed_by: row.changed_by,
        changed_at: Timestamp(row.changed_at),
    })
}

fn run(row: dr_run::Model) -> Result<DrRunRecord, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "run", detail };
    let objectives = row.rpo_objective.zip(row.rto_objective);
    Ok(DrRunRecord {
        row: DrRunRow {
            id: row.id,
            plan_id: row.plan_id.map(|id| id.to_string()),
            plan_name: row.plan_name,
            cluster: row.cluster_id,
            kind: row.kind.parse().map_err(damaged)?,
            started_at: Timestamp(row.started_at),
            finished_at: Timestamp(row.finished_at),
            ok: row.ok,
            rto_seconds: row.rto_seconds,
            rpo_seconds: row.rpo_seconds,
            objectives: objectives.map(|(rpo_seconds, rto_seconds)| Objectives { rpo_seconds, rto_seconds }),
            error: row.error,
            evidence_sha256: row.report_sha256,
        },
        report: row.report,
    })
}
