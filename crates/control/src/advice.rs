//! Advice: what the last review of the indexes found, what is found about indexes that are there, and what people put
//! aside.
use crate::{Actor, ControlError, ControlPlane, now};
use analysis::indexes;
use domain::{
    ErrorKind, Permission, Timestamp,
    view::{
        AdviceFinding, AdvicePage, Availability, Dismissal, GuideSetting, IndexAdvice, IndexFinding, IndexesPage,
        SettingFinding, SettingsPage,
    },
};
use serde_json::json;
use store::{DismissalRepo, Outcome};

/// A reason in a sentence or two.
const REASON_AT_MOST: usize = 500;
const KEY_AT_MOST: usize = 1_000;

impl ControlPlane {
    /// Indexes of all databases or of one and what was found about them, without what somebody put aside.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn indexes_list(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        database: Option<&str>,
    ) -> Result<IndexesPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let mut page = snapshot.indexes.as_ref().clone();
        if let Some(only) = database {
            indexes::only_of(&mut page, only);
        }
        match DismissalRepo(self.inner.store.db()).list(&config.id, now()).await {
            Ok(dismissals) if dismissals.is_empty() => {}
            Ok(dismissals) => indexes::without(&mut page, |key| dismissals.iter().any(|it| it.key == key)),
            // Without the store the page shows too much rather than nothing.
            Err(error) => tracing::warn!(%error, cluster = config.id, "what was put aside cannot be read"),
        }
        self.last_seen_rising(&config.id, &mut page.rows).await;
        Ok(page)
    }

    /// All advice on the indexes of a cluster. The review is made in the background; this reads what it left.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn index_advice_get(&self, actor: &Actor, cluster: Option<&str>) -> Result<AdvicePage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let dismissals = DismissalRepo(self.inner.store.db()).list(&config.id, now()).await?;
        let put_aside = |key: &str| dismissals.iter().find(|it| it.key == key).cloned();
        let mut advice = self.inner.clusters.advice(&config.id).map_or_else(
            || IndexAdvice {
                cluster: config.id.clone(),
                availability: Availability::Collecting,
                ..IndexAdvice::default()
            },
            |advice| advice.as_ref().clone(),
        );
        for suggestion in &mut advice.suggestions {
            suggestion.dismissal = put_aside(&suggestion.key);
        }
        let mut findings = index_findings(&snapshot.indexes);
        for finding in &mut findings {
            finding.dismissal = put_aside(&finding.key);
        }
        Ok(AdvicePage { cluster: config.id.clone(), advice, findings, dismissals })
    }

    /// Has the indexes reviewed soon.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::NotFound`], [`ControlError::Cluster`] where nobody watches.
    pub async fn index_review(&self, actor: &Actor, cluster: Option<&str>) -> Result<(), ControlError> {
        const ACTION: &str = "index_review";
        let (known, id) = self.inner.clusters.named(cluster);
        let object = ("cluster", id.as_str());
        self.authorize_audited(actor, Permission::QueryExplain, ACTION, object).await?;
        known?;
        let Some(agent) = self.inner.clusters.agent(&id) else {
            return Err(ControlError::Cluster {
                kind: ErrorKind::Unavailable,
                message: "nobody watches this cluster here: reviews are made where 'holdfast serve' runs".to_owned(),
            });
        };
        self.audit_outcome(actor, ACTION, object, Outcome::Ok, None).await?;
        agent.review();
        Ok(())
    }

    /// Puts a suggestion or finding aside, with a reason, until a moment or until it is taken back.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::NotFound`], [`ControlError::Invalid`].
    pub async fn advice_dismiss(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        key: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Dismissal, ControlError> {
        const ACTION: &str = "advice_dismiss";
        let (known, id) = self.inner.clusters.named(cluster);
        let object_id = format!("{id}/{key}");
        let object = ("advice", object_id.as_str());
        self.authorize_audited(actor, Permission::AdviceDismiss, ACTION, object).await?;
        known?;
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_AT_MOST {
            return Err(ControlError::field("reason", format!("say why, in at most {REASON_AT_MOST} characters")));
        }
        let at = now();
        if until.is_some_and(|until| until <= at) {
            return Err(ControlError::field("until", "choose a moment that is still to come, or none"));
        }
        if key.len() > KEY_AT_MOST || !self.advice_keys(&id).await?.iter().any(|it| it == key) {
            return Err(ControlError::not_found("advice", key, "take its key from the advice as it is now"));
        }
        let by = actor.identity.as_ref().map_or("", |identity| identity.name.as_str()).to_owned();
        let dismissal = Dismissal { key: key.to_owned(), reason: reason.replace('\0', " "), by, at, until };
        let transaction = self.inner.store.begin().await?;
        let repo = DismissalRepo(&transaction);
        let before = repo.list(&id, at).await?.into_iter().find(|it| it.key == key);
        repo.put(&id, &dismissal).await?;
        let change = (before.map(|it| json!(it)), Some(json!(dismissal)));
        self.audit_in(&transaction, actor, ACTION, object, change).await?;
        self.inner.store.commit(transaction).await?;
        Ok(dismissal)
    }

    /// Takes a dismissal back.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::NotFound`].
    pub async fn advice_restore(&self, actor: &Actor, cluster: Option<&str>, key: &str) -> Result<(), ControlError> {
        const ACTION: &str = "advice_restore";
        let (known, id) = self.inner.clusters.named(cluster);
        let object_id = format!("{id}/{key}");
        let object = ("advice", object_id.as_str());
        self.authorize_audited(actor, Permission::AdviceDismiss, ACTION, object).await?;
        known?;
        let transaction = self.inner.store.begin().await?;
        let repo = DismissalRepo(&transaction);
        let before = repo.list(&id, now()).await?.into_iter().find(|it| it.key == key);
        let Some(before) = before else {
            return Err(ControlError::not_found("dismissal", key, "it may have ended or been taken back"));
        };
        repo.remove(&id, key).await?;
        self.audit_in(&transaction, actor, ACTION, object, (Some(json!(before)), None)).await?;
        Ok(self.inner.store.commit(transaction).await?)
    }

    /// What there is to be put aside now.
    async fn advice_keys(&self, cluster: &str) -> Result<Vec<String>, ControlError> {
        let (_, snapshot) = self.inner.clusters.find(Some(cluster))?;
        let mut keys = index_findings(&snapshot.indexes).into_iter().map(|it| it.key).collect::<Vec<_>>();
        if let Some(advice) = self.inner.clusters.advice(cluster) {
            keys.extend(advice.suggestions.iter().map(|it| it.key.clone()));
        }
        keys.extend(self.settings_judged(cluster, &snapshot.settings).await?.0.into_iter().map(|it| it.key));
        Ok(keys)
    }

    /// Settings that should be others and the guide's beside them, by what the snapshot and a day of statements tell.
    pub(crate) async fn settings_judged(
        &self,
        cluster: &str,
        page: &SettingsPage,
    ) -> Result<(Vec<SettingFinding>, Vec<GuideSetting>), ControlError> {
        let (config, snapshot) = self.inner.clusters.find(Some(cluster))?;
        let dashboard = &snapshot.dashboard;
        let (temp_bytes, window_seconds) = self.temp_of_a_day(&config.id, dashboard.sequence).await?;
        let wal = snapshot.maintenance.wal.as_ref();
        let known = |bytes: f64| (bytes > 0.0).then_some(bytes);
        let facts = analysis::configuration::Facts {
            memory_bytes: self.inner.clusters.memory(&config.id).map(|bytes| bytes as f64),
            version_num: page
                .rows
                .iter()
                .find(|row| row.name == "server_version_num")
                .and_then(|row| row.value.parse().ok()),
            databases_bytes: known(snapshot.tables.rows.iter().map(|row| row.total_bytes as f64).sum()),
            temp_bytes: Some(temp_bytes),
            window_seconds,
            requested_checkpoints_percent: snapshot
                .maintenance
                .checkpoints
                .as_ref()
                .and_then(|it| it.requested_percent),
            wal_bytes_per_second: wal.and_then(|it| it.bytes_per_second),
            wal_buffers_full_per_second: wal.and_then(|it| it.buffers_full_per_second),
            full_page_images_per_second: wal.and_then(|it| it.full_page_images_per_second),
            evictions_per_hour: snapshot.evictions_per_hour,
            largest_table_rows: snapshot.tables.rows.iter().map(|row| row.rows).max_by(f64::total_cmp),
            sessions: dashboard.connections.as_ref().map(|it| it.used as f64),
            provider: snapshot.provider,
        };
        let dismissals = DismissalRepo(self.inner.store.db()).list(&config.id, now()).await?;
        let mut findings = analysis::configuration::findings(&page.rows, facts);
        for finding in &mut findings {
            finding.dismissal = dismissals.iter().find(|it| it.key == finding.key).cloned();
        }
        // What was put aside comes last.
        findings.sort_by_key(|it| it.dismissal.is_some());
        let guide = analysis::guide::compared(&page.rows, facts, &findings);
        Ok((findings, guide))
    }
}

/// Findings about indexes that are there, each with a stable name.
pub(crate) fn index_findings(page: &IndexesPage) -> Vec<AdviceFinding> {
    let mut findings = Vec::new();
    for row in &page.rows {
        for finding in &row.findings {
            let (kind, evidence, sql, undo_sql) = match finding {
                IndexFinding::Unused { evidence, drop_sql, undo_sql } => ("unused", evidence, drop_sql, Some(undo_sql)),
                IndexFinding::Duplicate { evidence, drop_sql, undo_sql, .. } => {
                    ("duplicate", evidence, drop_sql, Some(undo_sql))
                }
                IndexFinding::Invalid { evidence, rebuild_sql } => ("invalid", evidence, rebuild_sql, None),
            };
            findings.push(AdviceFinding {
                key: indexes::finding_key(row, finding),
                kind: kind.to_owned(),
                name: row.name.clone(),
                place: format!("{}.{}.{}", row.database, row.schema, row.table),
                bytes: row.bytes,
                evidence: evidence.clone(),
                sql: sql.clone(),
                undo_sql: undo_sql.cloned(),
                dismissal: None,
            });
        }
    }
    findings.extend(page.missing_foreign_keys.iter().map(|key| AdviceFinding {
        key: indexes::foreign_key_key(key),
        kind: "missing_foreign_key".to_owned(),
        name: key.constraint.clone(),
        place: format!("{}.{}.{}", key.database, key.schema, key.table),
        bytes: key.table_bytes,
        evidence: key.evidence.clone(),
        sql: key.create_sql.clone(),
        undo_sql: Some(key.undo_sql.clone()),
        dismissal: None,
    }));
    findings
}
