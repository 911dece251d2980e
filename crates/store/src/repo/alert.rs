//! Alerts and what happened to them.
//!
//! Two parties write a row: the engine its own columns, by [`AlertRepo::put`], and people theirs (acknowledged,
//! silenced). Neither touches the other's, so that neither undoes what the other did meanwhile.
use crate::{
    StoreError,
    entity::{alert, alert_event},
};
use domain::{Timestamp, alert::Severity};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _, Statement,
    sea_query::{Condition, Expr, ExprTrait as _, Func, LikeExpr, OnConflict},
};
use std::collections::HashMap;

/// Where an alert stands by its values alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertPhase {
    /// Breached, not yet for long enough.
    Pending,
    /// Raised.
    Firing,
    /// Over.
    Resolved,
}

impl AlertPhase {
    /// Name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Who has taken an alert on, and how bad it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckRow {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said.
    pub note: String,
    /// Until when; `None` is until it is over.
    pub until: Option<Timestamp>,
    /// How bad it was: a worse alert is not what they took on.
    pub severity: Severity,
}

/// Who keeps an alert quiet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRow {
    /// Who.
    pub by: String,
    /// What they said.
    pub note: String,
    /// Until when.
    pub until: Timestamp,
}

/// One alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// Id, given by the engine.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// Key of the rule.
    pub rule: String,
    /// What it is about; empty for the whole cluster.
    pub object: String,
    /// The rule's sentence.
    pub title: String,
    /// More of it.
    pub detail: Option<String>,
    /// How bad it is, or was last.
    pub severity: Severity,
    /// Where it stands.
    pub phase: AlertPhase,
    /// Last value.
    pub value: Option<f64>,
    /// The same for people.
    pub measured: String,
    /// What it is compared with.
    pub threshold: String,
    /// First breached.
    pub started_at: Timestamp,
    /// Raised.
    pub fired_at: Option<Timestamp>,
    /// Over.
    pub resolved_at: Option<Timestamp>,
    /// Notices: when it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Since when its figure is missing.
    pub no_data_since: Option<Timestamp>,
    /// Number of the snapshot that raised it.
    pub sequence: u64,
    /// Where to look.
    pub page: String,
    /// State of the machine, JSON.
    pub machine: String,
    /// The worst severity that people were told.
    pub notified: Option<Severity>,
    /// The blackout that keeps it quiet.
    pub suppressed_by: Option<String>,
    /// Who has taken it on; not written by [`AlertRepo::put`].
    pub ack: Option<AckRow>,
    /// Who keeps it quiet; not written by [`AlertRepo::put`].
    pub silence: Option<SilenceRow>,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertEventRow {
    /// Id, given by whoever tells it, so that it can be told twice and stand once.
    pub id: i64,
    /// Which alert.
    pub alert_id: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: String,
    /// Severity after it.
    pub severity: Severity,
    /// Who; `None` when it happened by itself.
    pub actor: Option<String>,
    /// The value, or what somebody said.
    pub note: String,
}

/// Which alerts of the past to list.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Only of this cluster.
    pub cluster: Option<String>,
    /// Only of this rule.
    pub rule: Option<String>,
    /// Only of this severity.
    pub severity: Option<Severity>,
    /// Only with this text in title, object, value or detail, in capitals or not.
    pub search: Option<String>,
    /// Only before this id: ids grow with time.
    pub before_id: Option<i64>,
}

#[derive(Debug, FromQueryResult)]
struct RuleCount {
    rule: String,
    number: i64,
    acknowledged: i64,
    resolved: i64,
}

/// What became of the alerts of a rule that were raised over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Raised.
    pub fired: u32,
    /// Of those, taken on by somebody.
    pub acknowledged: u32,
    /// Of those, over.
    pub resolved: u32,
}

/// Alerts over a connection or a transaction.
#[derive(Debug)]
pub struct AlertRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> AlertRepo<'_, C> {
    /// All that are not over, of all clusters, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(&self) -> Result<Vec<AlertRow>, StoreError> {
        let rows = alert::Entity::find()
            .filter(alert::Column::ResolvedAt.is_null())
            .order_by_asc(alert::Column::Id)
            .all(self.0)
            .await;
        rows.map_err(StoreError::query("list open alerts"))?.into_iter().map(from_row).collect()
    }

    /// Those that are over, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn past(&self, filter: &AlertFilter, limit: u64) -> Result<Vec<AlertRow>, StoreError> {
        let mut query = alert::Entity::find().filter(alert::Column::ResolvedAt.is_not_null());
        if let Some(cluster) = &filter.cluster {
            query = query.filter(alert::Column::ClusterId.eq(cluster));
        }
        if let Some(rule) = &filter.rule {
            query = query.filter(alert::Column::Rule.eq(rule));
        }
        if let Some(severity) = filter.severity {
            query = query.filter(alert::Column::Severity.eq(severity.as_str()));
        }
        if let Some(search) = &filter.search {
            // The escape character itself, and what LIKE would take for more than a character.
            let pattern = search.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
            let pattern = format!("%{pattern}%");
            use alert::Column::{Detail, Measured, Object, Title};
            let found = [Title, Object, Measured, Detail].into_iter().fold(Condition::any(), |any, column| {
                let text = Expr::expr(Func::lower(Expr::col(column)));
                any.add(text.like(LikeExpr::new(pattern.as_str()).escape('!')))
            });
            query = query.filter(found);
        }
        if let Some(before) = filter.before_id {
            query = query.filter(alert::Column::Id.lt(before));
        }
        let rows = query.order_by_desc(alert::Column::Id).limit(limit).all(self.0).await;
        rows.map_err(StoreError::query("list alerts"))?.into_iter().map(from_row).collect()
    }

    /// One by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: i64) -> Result<Option<AlertRow>, StoreError> {
        let row = alert::Entity::find_by_id(id).one(self.0).await;
        row.map_err(StoreError::query("find an alert"))?.map(from_row).transpose()
    }

    /// Writes the engine's columns of one, whether it is there or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put(&self, row: &AlertRow) -> Result<(), StoreError> {
        use alert::Column as C;
        let mut conflict = OnConflict::column(C::Id);
        conflict.update_columns([
            C::Title,
            C::Detail,
            C::Severity,
            C::Phase,
            C::Value,
            C::Measured,
            C::Threshold,
            C::FiredAt,
            C::ResolvedAt,
            C::ExpiresAt,
            C::NoDataSince,
            C::Sequence,
            C::Machine,
            C::Notified,
            C::SuppressedBy,
        ]);
        let model = alert::ActiveModel {
            id: Set(row.id),
            cluster_id: Set(row.cluster_id.clone()),
            rule: Set(row.rule.clone()),
            object: Set(row.object.clone()),
            title: Set(row.title.clone()),
            detail: Set(row.detail.clone()),
            severity: Set(row.severity.as_str().to_owned()),
            phase: Set(row.phase.as_str().to_owned()),
            value: Set(row.value.filter(|value| value.is_finite())),
            measured: Set(row.measured.clone()),
            threshold: Set(row.threshold.clone()),
            started_at: Set(row.started_at.0),
            fired_at: Set(row.fired_at.map(|at| at.0)),
            resolved_at: Set(row.resolved_at.map(|at| at.0)),
            expires_at: Set(row.expires_at.map(|at| at.0)),
            no_data_since: Set(row.no_data_since.map(|at| at.0)),
            sequence: Set(i64::try_from(row.sequence).unwrap_or(i64::MAX)),
            page: Set(row.page.clone()),
            machine: Set(row.machine.clone()),
            notified: Set(row.notified.map(|severity| severity.as_str().to_owned())),
            suppressed_by: Set(row.suppressed_by.clone()),
            ack_by: Set(None),
            ack_at: Set(None),
            ack_note: Set(None),
            ack_until: Set(None),
            ack_severity: Set(None),
            silence_by: Set(None),
            silence_note: Set(None),
            silence_until: Set(None),
        };
        alert::Entity::insert(model)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("keep an alert"))
    }

    /// Forgets one that came to nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, id: i64) -> Result<(), StoreError> {
        alert::Entity::delete_by_id(id).exec(self.0).await.map(drop).map_err(StoreError::query("forget an alert"))
    }

    /// Sets or takes back who has taken one on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_ack(&self, id: i64, ack: Option<&AckRow>) -> Result<(), StoreError> {
        use alert::Column as C;
        alert::Entity::update_many()
            .col_expr(C::AckBy, Expr::value(ack.map(|it| it.by.clone())))
            .col_expr(C::AckAt, Expr::value(ack.map(|it| it.at.0)))
            .col_expr(C::AckNote, Expr::value(ack.map(|it| it.note.clone())))
            .col_expr(C::AckUntil, Expr::value(ack.and_then(|it| it.until).map(|at| at.0)))
            .col_expr(C::AckSeverity, Expr::value(ack.map(|it| it.severity.as_str().to_owned())))
            .filter(C::Id.eq(id))
            .exec(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("acknowledge an alert"))
    }

    /// Sets or takes back who keeps one quiet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_silence(&self, id: i64, silence: Option<&SilenceRow>) -> Result<(), StoreError> {
        use alert::Column as C;
        alert::Entity::update_many()
            .col_expr(C::SilenceBy, Expr::value(silence.map(|it| it.by.clone())))
            .col_expr(C::SilenceNote, Expr::value(silence.map(|it| it.note.clone())))
            .col_expr(C::SilenceUntil, Expr::value(silence.map(|it| it.until.0)))
            .filter(C::Id.eq(id))
            .exec(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("silence an alert"))
    }

    /// Takes back what had an end by `at` and no longer counts; what somebody renewed meanwhile stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expire(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        use alert::Column as C;
        let none = || Expr::value(None::<String>);
        let failed = || StoreError::query("end an acknowledgement");
        alert::Entity::update_many()
            .col_expr(C::AckBy, none())
            .col_expr(C::AckNote, none())
            .col_expr(C::AckSeverity, none())
            .col_expr(C::AckAt, Expr::value(None::<i64>))
            .col_expr(C::AckUntil, Expr::value(None::<i64>))
            .filter(C::Id.eq(id))
            .filter(C::AckUntil.lte(at.0))
            .exec(self.0)
            .await
            .map_err(failed())?;
        alert::Entity::update_many()
            .col_expr(C::SilenceBy, none())
            .col_expr(C::SilenceNote, none())
            .col_expr(C::SilenceUntil, Expr::value(None::<i64>))
            .filter(C::Id.eq(id))
            .filter(C::SilenceUntil.lte(at.0))
            .exec(self.0)
            .await
            .map(drop)
            .map_err(failed())
    }

    /// Adds what happened; what is there already is left as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_events(&self, events: &[AlertEventRow]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let rows = events.iter().map(|it| alert_event::ActiveModel {
            id: Set(it.id),
            alert_id: Set(it.alert_id),
            at: Set(it.at.0),
            kind: Set(it.kind.clone()),
            severity: Set(it.severity.as_str().to_owned()),
            actor: Set(it.actor.clone()),
            note: Set(it.note.clone()),
        });
        let mut conflict = OnConflict::column(alert_event::Column::Id);
        // An update that changes nothing: "do nothing" reports an error when nothing was inserted.
        conflict.update_column(alert_event::Column::Kind);
        alert_event::Entity::insert_many(rows)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("keep what happened to an alert"))
    }

    /// What happened to one, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, alert_id: i64) -> Result<Vec<AlertEventRow>, StoreError> {
        let rows = alert_event::Entity::find()
            .filter(alert_event::Column::AlertId.eq(alert_id))
            .order_by_asc(alert_event::Column::Id)
            .all(self.0)
            .await
            .map_err(StoreError::query("list what happened to an alert"))?;
        rows.into_iter()
            .map(|row| {
                Ok(AlertEventRow {
                    id: row.id,
                    alert_id: row.alert_id,
                    at: Timestamp(row.at),
                    kind: row.kind,
                    severity: severity(&row.severity)?,
                    actor: row.actor,
                    note: row.note,
                })
            })
            .collect()
    }

    /// How many alerts of each rule were raised since a moment, and what became of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn fired_since(
        &self,
        cluster: Option<&str>,
        since: Timestamp,
    ) -> Result<HashMap<String, RuleCounts>, StoreError> {
        let sql = "SELECT rule AS rule, COUNT(*) AS number, COUNT(ack_at) AS acknowledged, COUNT(resolved_at) AS resolved FROM alert \
                   WHERE fired_at >= $1 AND (cluster_id = $2 OR $2 = '') GROUP BY rule";
        let values = [since.0.into(), cluster.unwrap_or_default().into()];
        let rows =
            RuleCount::find_by_statement(Statement::from_sql_and_values(self.0.get_database_backend(), sql, values))
                .all(self.0)
                .await
                .map_err(StoreError::query("count alerts"))?;
        let number = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        let counts = rows.into_iter().map(|row| {
            let counts = RuleCounts {
                fired: number(row.number),
                acknowledged: number(row.acknowledged),
                resolved: number(row.resolved),
            };
            (row.rule, counts)
        });
        Ok(counts.collect())
    }

    /// Removes what was over before `before`, with its story.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let failed = || StoreError::query("remove old alerts");
        let deleted = alert::Entity::delete_many()
            .filter(alert::Column::ResolvedAt.lt(before.0))
            .exec(self.0)
            .await
            .map_err(failed())?;
        alert_event::Entity::delete_many()
            .filter(alert_event::Column::At.lt(before.0))
            .filter(
                alert_event::Column::AlertId
                    .not_in_subquery(alert::Entity::find().select_only().column(alert::Column::Id).into_query()),
            )
            .exec(self.0)
            .await
            .map_err(failed())?;
        Ok(deleted.rows_affected)
    }
}

fn severity(text: &str) -> Result<Severity, StoreError> {
    text.parse().map_err(|detail| StoreError::Damaged { what: "alert", detail })
}

fn from_row(row: alert::Model) -> Result<AlertRow, StoreError> {
    let phase = match row.phase.as_str() {
        "pending" => AlertPhase::Pending,
        "firing" => AlertPhase::Firing,
        "resolved" => AlertPhase::Resolved,
        other => return Err(StoreError::Damaged { what: "alert", detail: format!("the phase '{other}'") }),
    };
    let ack = match (row.ack_by, row.ack_at) {
        (Some(by), Some(at)) => Some(AckRow {
            by,
            at: Timestamp(at),
            note: row.ack_note.unwrap_or_default(),
            until: row.ack_until.map(Timestamp),
            severity: row.ack_severity.as_deref().map_or(Ok(Severity::Critical), severity)?,
        }),
        _ => None,
    };
    let silence = match (row.silence_by, row.silence_until) {
        (Some(by), Some(until)) => {
            Some(SilenceRow { by, note: row.silence_note.unwrap_or_default(), until: Timestamp(until) })
        }
        _ => None,
    };
    Ok(AlertRow {
        id: row.id,
        cluster_id: row.cluster_id,
        rule: row.rule,
        object: row.object,
        title: row.title,
        detail: row.detail,
        severity: severity(&row.severity)?,
        phase,
        value: row.value,
        measured: row.measured,
        threshold: row.threshold,
        started_at: Timestamp(row.started_at),
        fired_at: row.fired_at.map(Timestamp),
        resolved_at: row.resolved_at.map(Timestamp),
        expires_at: row.expires_at.map(Timestamp),
        no_data_since: row.no_data_since.map(Timestamp),
        sequence: u64::try_from(row.sequence).unwrap_or(0),
        page: row.page,
        machine: row.machine,
        notified: row.notified.as_deref().map(severity).transpose()?,
        suppressed_by: row.suppressed_by,
        ack,
        silence,
    })
}
