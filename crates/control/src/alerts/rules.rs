//! Rules: what they are set to, changing that, and what they would have done.
use crate::{Actor, ClusterConfig, ControlError, ControlPlane, now};
use analysis::alerts::{RULES, Rule, preview, rule};
use domain::{
    Permission, Timestamp,
    alert::{AlertState, RuleKind, RuleScope, RuleSettings},
    view::{AlertView, Metric, RulePreview, RuleSource, RuleView},
};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use store::{AlertRepo, AlertRuleRepo, AlertRuleRow, MetricRepo, RuleCounts};

const DAY_MS: i64 = 86_400_000;
const PREVIEW_DAYS: u32 = 7;
/// A preview is made of means of a minute: an excursion that is shorter does not show in it.
const PREVIEW_STEP_MS: i64 = 60_000;
const PREVIEW_TIMES: usize = 20;

impl ControlPlane {
    /// All rules as they are in force for a cluster (the first without one).
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn alert_rules_list(&self, actor: &Actor, cluster: Option<&str>) -> Result<Vec<RuleView>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let config = self.clusters().find(cluster)?.0;
        let id = config.id.clone();
        let fired = AlertRepo(self.store().db()).fired_since(Some(&id), now().plus_ms(-7 * DAY_MS)).await?;
        let open = self.alerts().open(Some(&id), now());
        Ok(RULES.iter().map(|rule| self.rule_view(rule, config, &open, &fired)).collect())
    }

    fn rule_view(
        &self,
        rule: &Rule,
        config: &ClusterConfig,
        open: &[AlertView],
        fired: &HashMap<String, RuleCounts>,
    ) -> RuleView {
        let inner = self.alerts().lock();
        let row = inner.setting(&config.id, rule.key);
        let source = match row.map(|row| &row.scope) {
            None => RuleSource::Default,
            Some(RuleScope::All) => RuleSource::AllClusters,
            Some(RuleScope::Group(_)) => RuleSource::Group,
            Some(RuleScope::Cluster(_)) => RuleSource::Cluster,
        };
        let lately = fired.get(rule.key).copied().unwrap_or_default();
        let is_open = |alert: &&AlertView| alert.rule == rule.key && alert.state != AlertState::Pending;
        RuleView {
            key: rule.key.to_owned(),
            title: rule.title.to_owned(),
            about: rule.about.to_owned(),
            kind: rule.kind,
            comparison: rule.comparison,
            unit: rule.unit.to_owned(),
            object: rule.object.map(str::to_owned),
            metric: rule.metric,
            settings: row.map_or_else(|| rule.default_settings(), |row| row.settings.clone()),
            default: rule.default_settings(),
            source,
            group: config.group.clone(),
            open: u32::try_from(open.iter().filter(is_open).count()).unwrap_or(u32::MAX),
            fired: lately.fired,
            acknowledged: lately.acknowledged,
            resolved: lately.resolved,
        }
    }

    /// Sets a rule for a cluster, for those of a group, or for all; the narrowest setting of a cluster holds.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] by field.
    pub async fn alert_rule_set(
        &self,
        actor: &Actor,
        scope: &RuleScope,
        key: &str,
        settings: RuleSettings,
    ) -> Result<(), ControlError> {
        const ACTION: &str = "alert_rule_set";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("alert_rule", key)).await?;
        let rule = known(key)?;
        match scope {
            RuleScope::All => {}
            RuleScope::Group(group) => self.clusters().check_group(group)?,
            RuleScope::Cluster(id) => {
                self.clusters().find(Some(id))?;
            }
        }
        rule.check(&settings).map_err(|(field, message)| ControlError::field(field, message))?;
        let before = {
            let inner = self.alerts().lock();
            inner.overrides.iter().find(|row| row.rule == key && row.scope == *scope).cloned()
        };
        let row = AlertRuleRow {
            scope: scope.clone(),
            rule: key.to_owned(),
            settings,
            updated_by: super::list::who(actor),
            updated_at: now(),
        };
        let before = before.map_or_else(|| rule.default_settings(), |row| row.settings);
        let change = (Some(told(scope, Some(&before))), Some(told(scope, Some(&row.settings))));
        let transaction = self.store().begin().await?;
        AlertRuleRepo(&transaction).set(&row).await?;
        self.audit_in(&transaction, actor, ACTION, ("alert_rule", key), change).await?;
        self.store().commit(transaction).await?;
        self.refresh_alerts().await
    }

    /// Takes a setting back: a wider one is in force again, or the rule as shipped.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn alert_rule_reset(&self, actor: &Actor, scope: &RuleScope, key: &str) -> Result<(), ControlError> {
        const ACTION: &str = "alert_rule_reset";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("alert_rule", key)).await?;
        known(key)?;
        // The store has an empty name where none is meant: it would take the setting of all back.
        if scope.cluster().or(scope.group()) == Some("") {
            return Err(ControlError::not_found("setting of the rule", key, "its cluster or group has a name"));
        }
        let transaction = self.store().begin().await?;
        if !AlertRuleRepo(&transaction).delete(scope, key).await? {
            return Err(ControlError::not_found("setting of the rule", key, "it is as shipped already"));
        }
        self.audit_in(&transaction, actor, ACTION, ("alert_rule", key), (Some(told(scope, None)), None)).await?;
        self.store().commit(transaction).await?;
        self.refresh_alerts().await
    }

    /// What a rule would have done in the last seven days with these settings, from recorded figures.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] by field.
    pub async fn alert_rule_preview(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        key: &str,
        settings: &RuleSettings,
    ) -> Result<RulePreview, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let rule = known(key)?;
        rule.check(settings).map_err(|(field, message)| ControlError::field(field, message))?;
        let (config, snapshot) = self.clusters().find(cluster)?;
        let empty = RulePreview {
            rule: key.to_owned(),
            days: PREVIEW_DAYS,
            covered_days: 0.0,
            fired: 0,
            longest_seconds: 0.0,
            open_now: false,
            times: Vec::new(),
            unavailable: None,
        };
        // What a rule without a figure of its own saw is recorded under its key.
        let lines = match (rule.kind, rule.metric) {
            (RuleKind::Notice, _) => BTreeMap::new(),
            (_, Some(metric)) => self.minutes(&config.id, metric, None).await?,
            (_, None) => self.minutes(&config.id, Metric::RuleValue, Some(key)).await?,
        };
        if lines.is_empty() {
            let fired = AlertRepo(self.store().db()).fired_since(Some(&config.id), now().plus_ms(-7 * DAY_MS)).await?;
            let fired = fired.get(key).map_or(0, |counts| counts.fired);
            let why = if rule.kind == RuleKind::Notice {
                "No history of this kind is kept: a notice tells of something that happened, and has no figure to try other settings on."
            } else {
                "No history of this kind is kept yet: it is recorded while something looks at this rule for the cluster."
            };
            return Ok(RulePreview {
                fired,
                unavailable: Some(format!("{why} As it is set it was raised {fired} times in these days.")),
                ..empty
            });
        }
        let interval_ms = (snapshot.dashboard.interval_seconds * 1_000.0) as u64;
        let mut alerts = Vec::new();
        let mut covered = 0_usize;
        let step = PREVIEW_STEP_MS.max(i64::try_from(interval_ms).unwrap_or(PREVIEW_STEP_MS));
        for (label, values) in &lines {
            covered = covered.max(values.len());
            // Of objects without a figure of their own the worst is recorded, whichever it was.
            let object = if rule.object.is_some() && rule.metric.is_some() { label.as_str() } else { "" };
            let max_gap_ms = u64::try_from(step).unwrap_or(60_000).saturating_mul(5) / 2;
            alerts.extend(preview::run(settings, rule.comparison, object, with_gaps(values, step), max_gap_ms));
        }
        let at = now();
        let length = |alert: &domain::view::PreviewAlert| alert.to.unwrap_or(at).seconds_since(alert.from);
        alerts.sort_by_key(|alert| std::cmp::Reverse(alert.from));
        Ok(RulePreview {
            covered_days: covered as f64 * step as f64 / DAY_MS as f64,
            fired: u32::try_from(alerts.len()).unwrap_or(u32::MAX),
            longest_seconds: alerts.iter().map(length).fold(0.0, f64::max),
            open_now: alerts.iter().any(|alert| alert.to.is_none()),
            times: alerts.into_iter().take(PREVIEW_TIMES).collect(),
            ..empty
        })
    }

    /// Means of a minute by line, as far back as a preview looks; of one line where it is named.
    async fn minutes(
        &self,
        cluster: &str,
        metric: Metric,
        line: Option<&str>,
    ) -> Result<BTreeMap<String, Vec<(Timestamp, f64)>>, ControlError> {
        let to = now();
        let from = to.plus_ms(-i64::from(PREVIEW_DAYS) * DAY_MS);
        let repo = MetricRepo(self.store().db());
        let points = match line {
            Some(line) => repo.history_of(cluster, metric, line, from, to, PREVIEW_STEP_MS).await?,
            None => repo.history(cluster, metric, from, to, PREVIEW_STEP_MS).await?,
        };
        let mut lines = BTreeMap::<String, Vec<(Timestamp, f64)>>::new();
        for point in points {
            let at = from.plus_ms(point.bucket * PREVIEW_STEP_MS);
            lines.entry(point.label).or_default().push((at, point.value));
        }
        Ok(lines)
    }

    pub(super) async fn refresh_alerts(&self) -> Result<(), ControlError> {
        Ok(self.alerts().refresh(self.store()).await?)
    }
}

/// For the audit log: for which clusters, and what.
fn told(scope: &RuleScope, settings: Option<&RuleSettings>) -> serde_json::Value {
    let mut told = json!({ "cluster": scope.cluster() });
    if let Some(group) = scope.group() {
        told["group"] = json!(group);
    }
    if let Some(settings) = settings {
        told["settings"] = json!(settings);
    }
    told
}

/// Where a figure is missing for longer than usual the machine is told so.
fn with_gaps(values: &[(Timestamp, f64)], step_ms: i64) -> Vec<(Timestamp, Option<f64>)> {
    let mut all = Vec::with_capacity(values.len());
    for (i, (at, value)) in values.iter().enumerate() {
        if let Some((before, _)) = i.checked_sub(1).and_then(|i| values.get(i))
            && at.0 - before.0 > step_ms * 5 / 2
        {
            all.push((before.plus_ms(step_ms), None));
        }
        all.push((*at, Some(*value)));
    }
    all
}

pub(super) fn known(key: &str) -> Result<&'static Rule, ControlError> {
    rule(key).ok_or_else(|| ControlError::not_found("alert rule", key, "GET /api/v1/alert-rules lists all"))
}
