//! Plans of statements.
use crate::{StoreError, entity::query_plan};
use domain::{
    Timestamp,
    view::{ExplainMethod, PlanSummary},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, ExprTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{Expr, OnConflict},
};

/// Plans over a connection or a transaction.
#[derive(Debug)]
pub struct PlanRepo<'a, C>(pub &'a C);

/// A plan to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPlan {
    /// Our id of the statement.
    pub statement_id: i64,
    /// Hash of its shape.
    pub hash: String,
    /// How it was had.
    pub method: ExplainMethod,
    /// `server_version_num`.
    pub version_num: i32,
    /// With whose rights.
    pub role: String,
    /// In a few words.
    pub shape: String,
    /// Who asked.
    pub taken_by: String,
    /// Its cost.
    pub total_cost: f64,
    /// JSON of EXPLAIN, literals masked.
    pub json: String,
}

/// Shapes kept of one statement; the ones not seen for longest go.
const KEPT: u64 = 20;

impl<C: ConnectionTrait> PlanRepo<'_, C> {
    /// Keeps a plan; one of a shape that is known, had in the same way, replaces the earlier one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep(&self, plan: &NewPlan, at: Timestamp) -> Result<(), StoreError> {
        use query_plan::Column;
        let row = query_plan::ActiveModel {
            statement_id: Set(plan.statement_id),
            plan_hash: Set(plan.hash.clone()),
            method: Set(plan.method.as_str().to_owned()),
            version_num: Set(plan.version_num.into()),
            role_name: Set(plan.role.clone()),
            shape: Set(plan.shape.replace('\0', " ")),
            first_at: Set(at.0),
            last_at: Set(at.0),
            times: Set(1),
            taken_by: Set(plan.taken_by.clone()),
            total_cost: Set(plan.total_cost),
            // PostgreSQL cannot store the character 0 in a text.
            plan: Set(plan.json.replace("\\u0000", " ")),
            ..Default::default()
        };
        let mut conflict = OnConflict::columns([Column::StatementId, Column::PlanHash, Column::Method]);
        conflict.update_columns([
            Column::VersionNum,
            Column::RoleName,
            Column::Shape,
            Column::LastAt,
            Column::TakenBy,
            Column::TotalCost,
            Column::Plan,
        ]);
        conflict.value(Column::Times, Expr::col((query_plan::Entity, Column::Times)).add(1));
        query_plan::Entity::insert(row)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map_err(StoreError::query("keep a plan"))?;
        let surplus = query_plan::Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::StatementId.eq(plan.statement_id))
            .order_by_desc(Column::LastAt)
            .order_by_desc(Column::Id)
            .offset(KEPT)
            .limit(1_000)
            .into_tuple::<i64>()
            .all(self.0)
            .await
            .map_err(StoreError::query("count plans"))?;
        if !surplus.is_empty() {
            query_plan::Entity::delete_many()
                .filter(Column::Id.is_in(surplus))
                .exec(self.0)
                .await
                .map_err(StoreError::query("remove old plans"))?;
        }
        Ok(())
    }

    /// Those of a statement, without the plans themselves, the one seen last first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, statement_id: i64) -> Result<Vec<PlanSummary>, StoreError> {
        let rows = query_plan::Entity::find()
            .filter(query_plan::Column::StatementId.eq(statement_id))
            .order_by_desc(query_plan::Column::LastAt)
            .order_by_desc(query_plan::Column::Id)
            .all(self.0)
            .await
            .map_err(StoreError::query("list plans"))?;
        Ok(rows.into_iter().map(|row| summary(&row)).collect())
    }

    /// One of a statement, with its JSON.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, statement_id: i64, id: i64) -> Result<Option<(PlanSummary, String)>, StoreError> {
        let row = query_plan::Entity::find_by_id(id)
            .filter(query_plan::Column::StatementId.eq(statement_id))
            .one(self.0)
            .await
            .map_err(StoreError::query("read a plan"))?;
        Ok(row.map(|row| (summary(&row), row.plan)))
    }

    /// Removes those not seen since `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted =
            query_plan::Entity::delete_many().filter(query_plan::Column::LastAt.lt(before.0)).exec(self.0).await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old plans"))
    }
}

fn summary(row: &query_plan::Model) -> PlanSummary {
    let method = ExplainMethod::ALL.into_iter().find(|method| method.as_str() == row.method);
    PlanSummary {
        id: row.id.to_string(),
        hash: row.plan_hash.clone(),
        shape: row.shape.clone(),
        method: method.unwrap_or(ExplainMethod::Prepared),
        version_num: i32::try_from(row.version_num).unwrap_or(0),
        role: row.role_name.clone(),
        first_at: Timestamp(row.first_at),
        last_at: Timestamp(row.last_at),
        times: row.times,
        taken_by: row.taken_by.clone(),
        total_cost: row.total_cost,
    }
}
