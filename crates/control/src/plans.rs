//! Plans of statements: asked for by a person or by the advisor, kept, compared. Nothing here runs a statement.
use crate::{Actor, ControlError, ControlPlane, now};
use analysis::{parse, plan, sqltext};
use domain::{
    ErrorKind, Permission, Timestamp,
    reading::StatementKey,
    view::{
        Event, EventKind, ExplainMethod, ExplainRequest, Explained, LogOfQuery, PlanSummary, PlanView, QueryPlanPage,
        SettingsPage, TablesPage, TouchedTable,
    },
};
use serde_json::json;
use store::{EventRepo, LogSampleRepo, NewPlan, Outcome, PlanRepo, SessionHistoryRepo, StatementRecord, StatementRepo};

/// How far back sessions and changes are looked for.
const SAMPLES_MS: i64 = 86_400_000;
const CHANGES_MS: i64 = 90 * 86_400_000;
/// A name in an event says which statement it is of.
const TITLE: usize = 60;

impl ControlPlane {
    /// The plan of a statement with its history; `plan` and `against` are ids of kept plans.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`].
    pub async fn query_plan_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
        plan: Option<&str>,
        against: Option<&str>,
    ) -> Result<QueryPlanPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let record = self.statement(&config.id, id).await?;
        let text = &record.text;
        let repo = PlanRepo(self.inner.store.db());
        let history = repo.list(record.id).await?;
        let chosen = plan.map(str::to_owned).or_else(|| history.first().map(|it| it.id.clone()));
        let (tables, settings) = (snapshot.tables.clone(), snapshot.settings.clone());
        let view = match chosen {
            Some(chosen) => Some(self.query_plan_view(&record, &chosen, &tables, &settings).await?),
            None => None,
        };
        let comparison = match (&view, against) {
            (Some(view), Some(against)) if against != view.summary.id => {
                let other = self.query_plan_view(&record, against, &tables, &settings).await?;
                // Always from the older to the newer, whichever was chosen first.
                let (before, after) =
                    if other.summary.first_at <= view.summary.first_at { (&other, view) } else { (view, &other) };
                Some(plan::compare(&before.root, &after.root))
            }
            _ => None,
        };
        let shape = parse::shape(&text.query);
        let at = now();
        let mut changes = EventRepo(self.inner.store.db())
            .list_of(&config.id, EventKind::PlanChange, at.plus_ms(-CHANGES_MS), at)
            .await?;
        let key = text.key.to_string();
        changes.retain(|event| event.statement.as_ref() == Some(&key));
        changes.reverse();
        let queryid = text.key.queryid.to_string();
        Ok(QueryPlanPage {
            cluster: config.id.clone(),
            id: text.key.to_string(),
            sql: sqltext::format_sql(&text.query),
            database: text.database.clone(),
            user: text.user.clone(),
            tables: touched(shape.as_ref().ok(), view.as_ref(), &text.database, &tables),
            refusal: shape.err(),
            plan: view,
            comparison,
            history,
            samples: SessionHistoryRepo(self.inner.store.db())
                .of_query(&config.id, text.key.queryid, at.plus_ms(-SAMPLES_MS), at)
                .await?,
            running: snapshot
                .activity
                .rows
                .iter()
                .filter(|row| row.query_id.as_deref() == Some(&queryid) && row.state.as_deref() == Some("active"))
                .cloned()
                .collect(),
            changes,
            log: LogOfQuery {
                availability: snapshot.log.clone(),
                samples: LogSampleRepo(self.inner.store.db()).list(record.id).await?,
                auto_explain: snapshot.auto_explain.clone(),
            },
        })
    }

    /// Has the server plan a statement, and keeps the plan. The intention is written down before, the outcome after.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::NotFound`], [`ControlError::Conflict`] when it has no plan,
    /// [`ControlError::Cluster`] with the server's reason.
    pub async fn query_explain(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
    ) -> Result<PlanView, ControlError> {
        const ACTION: &str = "query_explain";
        let known = self.inner.clusters.find(cluster).map(|(config, snapshot)| (config.id.clone(), snapshot));
        let cluster_id = known.as_ref().map_or_else(|_| cluster.unwrap_or_default().to_owned(), |(id, _)| id.clone());
        let object_id = format!("{cluster_id}/{id}");
        let object = ("query", object_id.as_str());
        self.authorize_audited(actor, Permission::QueryExplain, ACTION, object).await?;
        let (cluster_id, snapshot) = known?;
        let record = self.statement(&cluster_id, id).await?;
        let shape = match parse::shape(&record.text.query) {
            Ok(shape) => shape,
            Err(reason) => {
                self.audit_outcome(actor, ACTION, object, Outcome::Refused, Some(json!({ "reason": reason }))).await?;
                return Err(ControlError::Conflict(reason));
            }
        };
        let Some(agent) = self.inner.clusters.agent(&cluster_id) else {
            return Err(ControlError::Cluster {
                kind: ErrorKind::Unavailable,
                message: "nobody watches this cluster here: plans are made where 'holdfast serve' runs".to_owned(),
            });
        };
        self.audit_outcome(actor, "query_explain_asked", object, Outcome::Ok, None).await?;
        let request = ExplainRequest {
            database: record.text.database.clone(),
            user: record.text.user.clone(),
            sql: shape.text,
            hypothetical: Vec::new(),
        };
        let explained = match agent.explain(request).await {
            Ok(explained) => explained,
            Err(failure) => {
                let outcome = match failure.kind {
                    ErrorKind::Forbidden | ErrorKind::Conflict => Outcome::Refused,
                    _ => Outcome::Failed,
                };
                let detail = json!({ "reason": failure.message, "sqlstate": failure.sqlstate });
                self.audit_outcome(actor, ACTION, object, outcome, Some(detail)).await?;
                return Err(ControlError::Cluster { kind: failure.kind, message: failure.message });
            }
        };
        let by = actor.identity.as_ref().map_or("", |identity| identity.name.as_str());
        let (hash, changed) = self.plan_keep(&cluster_id, &record, &explained, by).await?;
        let detail =
            json!({ "plan": hash, "changed": changed, "method": explained.method.as_str(), "role": explained.role });
        self.audit_outcome(actor, ACTION, object, Outcome::Ok, Some(detail)).await?;
        let newest = PlanRepo(self.inner.store.db()).list(record.id).await?;
        let newest = newest.first().ok_or_else(|| ControlError::Conflict("the plan was removed at once".to_owned()))?;
        self.query_plan_view(&record, &newest.id, &snapshot.tables, &snapshot.settings).await
    }

    /// Keeps a plan; when the newest one before had another shape, that is an event. Answers the hash, and whether it
    /// changed. The advisor uses it too: nobody need ask for a change to be noticed. Plans that ran are made for the values
    /// of each call and come and go: of them only a shape that was never seen is a change.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] when it is no plan; [`ControlError::Store`].
    pub async fn plan_keep(
        &self,
        cluster: &str,
        record: &StatementRecord,
        explained: &Explained,
        by: &str,
    ) -> Result<(String, bool), ControlError> {
        let read = plan::read(&explained.json).map_err(ControlError::Conflict)?;
        let at = now();
        let transaction = self.inner.store.begin().await?;
        let repo = PlanRepo(&transaction);
        let ran = |method| method == ExplainMethod::AutoExplain;
        let mut earlier = repo.list(record.id).await?;
        earlier.retain(|it| ran(it.method) == ran(explained.method));
        let known = earlier.iter().any(|it| it.hash == read.hash);
        let before = earlier.into_iter().next();
        let kept = NewPlan {
            statement_id: record.id,
            hash: read.hash.clone(),
            method: explained.method,
            version_num: explained.version_num,
            role: explained.role.clone(),
            shape: plan::shape(&read.root),
            taken_by: by.to_owned(),
            total_cost: read.root.total_cost,
            json: read.json,
        };
        repo.keep(&kept, at).await?;
        let changed =
            before.as_ref().is_some_and(|before| before.hash != read.hash) && !(known && ran(explained.method));
        if let Some(before) = before.filter(|_| changed) {
            let event = change(&before, &kept, record, at);
            EventRepo(&transaction).insert(cluster, &[event]).await?;
        }
        self.inner.store.commit(transaction).await?;
        Ok((read.hash, changed))
    }

    async fn statement(&self, cluster: &str, id: &str) -> Result<StatementRecord, ControlError> {
        let key = id.parse::<StatementKey>().map_err(|message| ControlError::field("id", message))?;
        StatementRepo(self.inner.store.db())
            .find(cluster, key)
            .await?
            .ok_or_else(|| ControlError::not_found("statement", id, "take its id from the list of queries"))
    }

    async fn query_plan_view(
        &self,
        record: &StatementRecord,
        id: &str,
        tables: &TablesPage,
        settings: &SettingsPage,
    ) -> Result<PlanView, ControlError> {
        let missing = || ControlError::not_found("plan", id, "take its id from the history of the statement's plans");
        let number = id.parse().map_err(|_| missing())?;
        let kept = PlanRepo(self.inner.store.db()).get(record.id, number).await?;
        let (summary, json) = kept.ok_or_else(missing)?;
        let mut read = plan::read(&json).map_err(ControlError::Conflict)?;
        plan::judge(&mut read.root, known(&record.text.database, tables, settings, &read.settings, summary.method));
        Ok(PlanView {
            text: plan::text(&read.root),
            findings: plan::findings(&read.root),
            root: read.root,
            json: read.json,
            settings: read.settings,
            summary,
        })
    }
}

/// What plans are judged by: the statement's own settings before the server's.
fn known<'a>(
    database: &'a str,
    tables: &'a TablesPage,
    settings: &SettingsPage,
    own: &[(String, String)],
    method: ExplainMethod,
) -> plan::Known<'a> {
    let server = |name: &str| settings.rows.iter().find(|row| row.name == name);
    let of_plan = own.iter().find(|(name, _)| name == "work_mem").and_then(|(_, value)| bytes(value));
    let of_server = server("work_mem").and_then(|row| row.value.parse::<f64>().ok()).map(|kib| kib * 1_024.0);
    plan::Known {
        database,
        tables: &tables.rows,
        work_mem_bytes: of_plan.or(of_server),
        hash_mem_multiplier: server("hash_mem_multiplier").and_then(|row| row.value.parse().ok()),
        method,
    }
}

/// `64MB` and the like, as EXPLAIN writes settings.
fn bytes(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text.get(..digits)?.parse::<f64>().ok()?;
    let factor = match text.get(digits..)?.trim() {
        "B" => 1.0,
        "" | "kB" => 1_024.0,
        "MB" => 1_048_576.0,
        "GB" => 1_073_741_824.0,
        _ => return None,
    };
    Some(number * factor)
}

fn change(before: &PlanSummary, after: &NewPlan, record: &StatementRecord, at: Timestamp) -> Event {
    let text = sqltext::one_line(&record.text.query, TITLE);
    let title = format!(
        "plan of {text} changed: cost {} became {}, {}",
        domain::format::count(before.total_cost),
        domain::format::count(after.total_cost),
        after.shape.chars().take(80).collect::<String>(),
    );
    Event { statement: Some(record.text.key.to_string()), ..Event::new(at, EventKind::PlanChange, title) }
}

/// Tables by the plan, which sees through views; before there is one, by the parser.
fn touched(
    shape: Option<&parse::Shape>,
    view: Option<&PlanView>,
    database: &str,
    page: &TablesPage,
) -> Vec<TouchedTable> {
    let names = match view {
        Some(view) => plan::relations(&view.root),
        None => {
            let written = shape.map(|shape| shape.relations.as_slice()).unwrap_or_default();
            let name = |it: &parse::Relation| match &it.schema {
                Some(schema) => format!("{schema}.{}", it.name),
                None => it.name.clone(),
            };
            written.iter().map(|it| (name(it), Vec::new())).collect()
        }
    };
    let changes = shape.and_then(|shape| shape.changes.as_ref());
    names
        .into_iter()
        .map(|(name, indexes)| {
            let row = page.rows.iter().find(|row| {
                row.database == database && (format!("{}.{}", row.schema, row.name) == name || row.name == name)
            });
            let bare = name.rsplit('.').next().unwrap_or(&name);
            let how = if changes.is_some_and(|it| it.name == bare) { "changes" } else { "reads" };
            TouchedTable {
                key: row.map(|row| row.key.clone()),
                how: how.to_owned(),
                rows: row.map(|row| row.rows),
                total_bytes: row.map(|row| row.total_bytes),
                seq_scans_per_second: row.and_then(|row| row.seq_scans_per_second),
                last_analyze: row.and_then(|row| row.last_analyze),
                indexes,
                name,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_of_settings_are_read() {
        assert_eq!(super::bytes("64MB"), Some(67_108_864.0));
        assert_eq!(super::bytes("4096kB"), Some(4_194_304.0));
        assert_eq!(super::bytes("x"), None);
    }
}
