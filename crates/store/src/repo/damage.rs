//! Rows of history that cannot be read. One of them must not stop what is made of all the others: it is left out, once,
//! and said where the lines have it.
use crate::{
    StoreError,
    entity::{metric_rollup, metric_sample, metric_series},
    repo::event::EventRepo,
};
use domain::{
    Timestamp,
    format::counted,
    view::{Event, EventKind},
};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, sea_query::Expr};
use std::collections::{BTreeMap, HashMap};

/// A distribution that cannot be read.
#[derive(Debug)]
pub(crate) struct Damaged {
    pub(crate) series: i64,
    pub(crate) at: i64,
    /// What is wrong with it.
    pub(crate) detail: String,
}

/// What one step left out of the history of one cluster.
#[derive(Debug)]
pub(crate) struct LeftOut {
    cluster: String,
    rows: u64,
    from: Timestamp,
    to: Timestamp,
    detail: String,
}

impl LeftOut {
    /// To be called when it is committed, so that it is said once.
    pub(crate) fn log(&self) {
        tracing::warn!(
            cluster = self.cluster,
            rows = self.rows,
            from = %self.from.to_human(),
            to = %self.to.to_human(),
            detail = self.detail,
            "distributions in our own store cannot be read and were left out of the history; their figures stay"
        );
    }

    fn event(&self) -> Event {
        let title = format!(
            "The distribution of {} from {} to {} was damaged in our own store and is left out",
            counted(self.rows, "reading", "readings"),
            self.from.to_human(),
            self.to.to_human()
        );
        Event::new(self.to, EventKind::HistoryLost, title)
    }
}

/// Takes the damaged distributions of a tier away, the figures beside them stay, and tells of each cluster's with an event.
/// A second attempt finds them gone and tells nothing.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn leave_out<C: ConnectionTrait>(
    db: &C,
    tier: i32,
    damaged: Vec<Damaged>,
) -> Result<Vec<LeftOut>, StoreError> {
    if damaged.is_empty() {
        return Ok(Vec::new());
    }
    let series = metric_series::Entity::find().all(db).await.map_err(StoreError::query("read metrics"))?;
    let clusters = series.into_iter().map(|row| (row.id, row.cluster_id)).collect::<HashMap<_, _>>();
    let mut left_out = BTreeMap::<String, LeftOut>::new();
    for row in damaged {
        if !take_away(db, tier, row.series, row.at).await? {
            continue;
        }
        let Some(cluster) = clusters.get(&row.series) else { continue };
        let at = Timestamp(row.at);
        let one = left_out.entry(cluster.clone()).or_insert_with(|| LeftOut {
            cluster: cluster.clone(),
            rows: 0,
            from: at,
            to: at,
            detail: row.detail,
        });
        one.rows += 1;
        one.from = one.from.min(at);
        one.to = one.to.max(at);
    }
    for one in left_out.values() {
        EventRepo(db).insert(&one.cluster, &[one.event()]).await?;
    }
    Ok(left_out.into_values().collect())
}

/// False when somebody else did.
async fn take_away<C: ConnectionTrait>(db: &C, tier: i32, series: i64, at: i64) -> Result<bool, StoreError> {
    let none = Expr::value(Option::<String>::None);
    let done = if tier == 0 {
        use metric_sample::{Column, Entity};
        Entity::update_many()
            .col_expr(Column::Histogram, none)
            .filter(Column::SeriesId.eq(series))
            .filter(Column::At.eq(at))
            .filter(Column::Histogram.is_not_null())
            .exec(db)
            .await
    } else {
        use metric_rollup::{Column, Entity};
        Entity::update_many()
            .col_expr(Column::Histogram, none)
            .filter(Column::Tier.eq(tier))
            .filter(Column::SeriesId.eq(series))
            .filter(Column::At.eq(at))
            .filter(Column::Histogram.is_not_null())
            .exec(db)
            .await
    };
    done.map(|done| done.rows_affected > 0).map_err(StoreError::query("leave damaged history out"))
}
