//! A person's name in our own records: taken out where a record can do without it, counted where it must stay.
use crate::{
    StoreError,
    entity::{
        advice_dismissal, alert_blackout, alert_event, alert_rule, api_token, audit_log, dr_decision, dr_plan, job,
        login_throttle, query_plan,
    },
};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    sea_query::Expr,
};

/// What stands where a name stood.
const ERASED: &str = "erased";

/// What was done with a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamesErased {
    /// Records that lost it.
    pub erased: u64,
    /// Records that keep it: the audit log, whose rows are chained, and decisions of a failover, which are evidence.
    pub kept: u64,
}

/// Names over a connection or a transaction.
#[derive(Debug)]
pub struct PersonRepo<'a, C>(pub &'a C);

/// Takes the name out of one column.
macro_rules! take_out {
    ($repo:expr, $name:expr, $erased:expr, $($table:ident.$column:ident),+ $(,)?) => {$(
        $erased += $table::Entity::update_many()
            .col_expr($table::Column::$column, Expr::value(ERASED))
            .filter($table::Column::$column.eq($name))
            .exec($repo)
            .await
            .map_err(StoreError::query("erase a name"))?
            .rows_affected;
    )+};
}

impl<C: ConnectionTrait> PersonRepo<'_, C> {
    /// Records that would keep the name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept(&self, name: &str) -> Result<u64, StoreError> {
        use audit_log::Column;
        // An object that is a person is named by kind; what was asked about a subject has its hash only.
        let told = Condition::any()
            .add(Column::ActorId.eq(name))
            .add(Condition::all().add(Column::ObjectKind.eq("account")).add(Column::ObjectId.eq(name)));
        let audit =
            audit_log::Entity::find().filter(told).count(self.0).await.map_err(StoreError::query("count a name"))?;
        let decisions = dr_decision::Entity::find()
            .filter(dr_decision::Column::Actor.eq(name))
            .count(self.0)
            .await
            .map_err(StoreError::query("count a name"))?;
        Ok(audit + decisions)
    }

    /// Takes the name out of everything that need not keep it: who put advice aside, acknowledged an alert, made a rule, a
    /// blackout, a token, a plan, asked for a job, and how often its sign-in failed. The account itself stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn erase(&self, name: &str) -> Result<NamesErased, StoreError> {
        let mut erased = 0;
        take_out!(
            self.0,
            name,
            erased,
            advice_dismissal.Actor,
            alert_event.Actor,
            alert_blackout.CreatedBy,
            alert_rule.UpdatedBy,
            api_token.CreatedBy,
            dr_plan.ChangedBy,
            job.RequestedBy,
            query_plan.TakenBy,
        );
        // The key of a job that was asked for twice names who asked; it is needed no more when the job is over.
        erased += job::Entity::update_many()
            .col_expr(job::Column::ScheduleKey, Expr::value(Option::<String>::None))
            .filter(job::Column::ScheduleKey.starts_with(format!("asked {name} ")))
            .filter(job::Column::FinishedAt.is_not_null())
            .exec(self.0)
            .await
            .map_err(StoreError::query("erase a name"))?
            .rows_affected;
        erased += login_throttle::Entity::delete_many()
            .filter(login_throttle::Column::Subject.eq(format!("account:{name}")))
            .exec(self.0)
            .await
            .map_err(StoreError::query("erase a name"))?
            .rows_affected;
        Ok(NamesErased { erased, kept: self.kept(name).await? })
    }
}
