//! What is open now, in memory: the engine works on it at each tick without waiting for the store, and pages read it.
//!
//! The store holds the same a moment later (`monitor` writes it), and is read at the start and every half minute for
//! what people and other processes changed.
use super::engine::Entry;
use analysis::alerts::{Observed, Reading, Scope, Tracked, blackout::Window};
use auth::SealingKey;
use domain::{
    Timestamp,
    alert::{RuleScope, RuleSettings},
    view::{AlertCounts, AlertLive, AlertView},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use store::{
    AckRow, AlertRepo, AlertRow, AlertRuleRepo, AlertRuleRow, BlackoutRepo, BlackoutRow, SilenceRow, Store, StoreError,
};
use tokio::sync::broadcast;

/// What alerting needs of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Alerting {
    /// Whose long statements raise nothing.
    pub scope: Scope,
    /// Where browsers reach us, without a slash at the end; it stands in messages.
    pub address: String,
    /// Seals what channels keep secret; without one no channel can be made.
    pub key: Option<SealingKey>,
}

/// Something that happened, to be told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Key of a rule of the kind notice.
    pub rule: &'static str,
    /// What makes it one and the same: a backup's label, a moment.
    pub object: String,
    /// In figures.
    pub measured: String,
    /// More of it.
    pub detail: Option<String>,
}

impl Notice {
    /// Without more.
    pub fn new(rule: &'static str, object: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { rule, object: object.into(), measured: measured.into(), detail: None }
    }

    /// With more.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// What somebody else observes of a cluster.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) observed: Vec<Observed>,
    pub(super) until: Instant,
}

/// Cluster, rule, object: what makes an alert one and the same while it is open.
pub(super) type Key = (String, String, String);

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) open: BTreeMap<Key, Entry>,
    pub(super) overrides: Vec<AlertRuleRow>,
    /// The group of each cluster that is in one.
    pub(super) groups: HashMap<String, String>,
    pub(super) blackouts: Vec<(BlackoutRow, Window)>,
    pub(super) feeds: HashMap<(String, &'static str), Feed>,
    pub(super) notices: HashMap<String, Vec<Notice>>,
    /// Clusters that the engine has looked at since the start.
    pub(super) looked: std::collections::BTreeSet<String>,
    last_id: i64,
}

impl Inner {
    /// Ids grow with time, also over a restart, and are known before anything is written.
    pub(super) fn next_id(&mut self, at: Timestamp) -> i64 {
        // Milliseconds leave 20 bits for what happens within one; a clock that went back goes on from the last.
        self.last_id = (at.0.saturating_mul(1 << 20)).max(self.last_id.saturating_add(1));
        self.last_id
    }

    /// What a rule is set to for a cluster: its own setting, else that of its group, else that for all, else as shipped (`None`).
    pub(super) fn setting(&self, cluster: &str, rule: &str) -> Option<&AlertRuleRow> {
        let group = self.groups.get(cluster);
        let holds = |row: &&AlertRuleRow| {
            row.rule == rule
                && match &row.scope {
                    RuleScope::All => true,
                    RuleScope::Group(name) => group == Some(name),
                    RuleScope::Cluster(id) => id == cluster,
                }
        };
        // The narrower scope is the greater.
        self.overrides.iter().filter(holds).max_by(|a, b| a.scope.cmp(&b.scope))
    }

    pub(super) fn settings(&self, cluster: &str, rule: &analysis::alerts::Rule) -> RuleSettings {
        self.setting(cluster, rule.key).map_or_else(|| rule.default_settings(), |row| row.settings.clone())
    }

    /// The blackout that is in force for a rule of a cluster.
    pub(super) fn blackout(&self, cluster: &str, rule: &str, at: Timestamp) -> Option<&BlackoutRow> {
        let covers = |filter: &Option<String>, value: &str| filter.as_deref().is_none_or(|filter| filter == value);
        self.blackouts
            .iter()
            .find(|(row, window)| {
                covers(&row.cluster_id, cluster) && covers(&row.rule, rule) && window.current(at).is_some()
            })
            .map(|(row, _)| row)
    }
}

/// The book.
#[derive(Debug)]
pub struct AlertBook {
    inner: Mutex<Inner>,
    alerting: OnceLock<Alerting>,
    loaded: AtomicBool,
    generation: AtomicU64,
    live: broadcast::Sender<Arc<AlertLive>>,
    /// Asks `monitor` to look for messages that are due.
    pub(crate) due: tokio::sync::Notify,
}

impl Default for AlertBook {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            alerting: OnceLock::new(),
            loaded: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            live: broadcast::Sender::new(64),
            due: tokio::sync::Notify::new(),
        }
    }
}

impl AlertBook {
    /// For clusters of which some are in groups: by the id of the cluster.
    pub(crate) fn of(groups: HashMap<String, String>) -> Self {
        let book = Self::default();
        book.lock().groups = groups;
        book
    }

    /// As if the store had been read and nothing was open.
    #[cfg(test)]
    pub(super) fn empty() -> Self {
        let book = Self::default();
        book.loaded.store(true, Ordering::Release);
        book
    }

    /// Sets what the configuration says; once, at the start. A second call changes nothing.
    pub fn configure(&self, alerting: Alerting) {
        let _ = self.alerting.set(alerting);
    }

    /// What the configuration says.
    pub fn alerting(&self) -> &Alerting {
        self.alerting.get_or_init(Alerting::default)
    }

    /// Tells what is so of a cluster by a rule that the monitor itself does not look at. See the module.
    pub fn observe(&self, cluster: &str, rule: &'static str, observed: Vec<Observed>, good_for: Duration) {
        if analysis::alerts::rule(rule).is_none() {
            tracing::error!(rule, "somebody observes for an alert rule that does not exist");
            return;
        }
        let feed = Feed { observed, until: Instant::now() + good_for };
        self.lock().feeds.insert((cluster.to_owned(), rule), feed);
    }

    /// Tells what happened to a cluster. See the module.
    pub fn notice(&self, cluster: &str, notice: Notice) {
        if analysis::alerts::rule(notice.rule).is_none() {
            tracing::error!(rule = notice.rule, "somebody gives notice by an alert rule that does not exist");
            return;
        }
        let mut inner = self.lock();
        let waiting = inner.notices.entry(cluster.to_owned()).or_default();
        // A cluster that is not configured takes none away.
        if waiting.len() < 1_000 && !waiting.contains(&notice) {
            waiting.push(notice);
        }
    }

    /// Waits until messages may be due.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// That messages may be due.
    pub fn poke(&self) {
        self.due.notify_one();
    }

    /// Changes as they come, of all clusters.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<AlertLive>> {
        self.live.subscribe()
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Tells the pages that something about a cluster's alerts changed.
    pub(super) fn changed(&self, cluster: &str, at: Timestamp) {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let open = self.counts(Some(cluster), at);
        // An error only says that nobody listens.
        let _ = self.live.send(Arc::new(AlertLive { cluster: cluster.to_owned(), generation, open }));
    }

    /// Reads everything from the store: at the start, before the first tick.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(&self, store: &Store) -> Result<(), StoreError> {
        let rows = AlertRepo(store.db()).open().await?;
        {
            let mut inner = self.lock();
            inner.open.clear();
            for row in rows {
                inner.last_id = inner.last_id.max(row.id);
                let tracked = serde_json::from_str::<Tracked>(&row.machine).unwrap_or_else(|error| {
                    tracing::error!(%error, alert = row.id, "the state of an alert cannot be read; it goes on as raised");
                    Tracked::firing(row.severity)
                });
                // The time that we were away proves nothing.
                let tracked = tracked.resumed();
                let key = (row.cluster_id.clone(), row.rule.clone(), row.object.clone());
                inner.open.insert(key, Entry::new(row, tracked));
            }
        }
        self.refresh(store).await?;
        self.loaded.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the store was read since the start; until then nothing is judged.
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Reads what people set, here or by another process: settings, blackouts, who took what on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let overrides = AlertRuleRepo(store.db()).list().await?;
        let blackouts = BlackoutRepo(store.db()).list().await?;
        let rows = AlertRepo(store.db()).open().await?;
        let windows = blackouts.into_iter().filter_map(|row| match window(&row) {
            Ok(window) => Some((row, window)),
            Err((_, reason)) => {
                tracing::error!(blackout = row.id, reason, "a blackout cannot be read and is ignored");
                None
            }
        });
        let mut inner = self.lock();
        inner.overrides = overrides;
        inner.blackouts = windows.collect();
        let by_id = rows.into_iter().map(|row| (row.id, row)).collect::<HashMap<_, _>>();
        for entry in inner.open.values_mut() {
            if let Some(row) = by_id.get(&entry.row.id) {
                entry.row.ack = row.ack.clone();
                entry.row.silence = row.silence.clone();
            }
        }
        Ok(())
    }

    /// Open alerts of a cluster, or of all, the worst and then the oldest first.
    pub fn open(&self, cluster: Option<&str>, at: Timestamp) -> Vec<AlertView> {
        let inner = self.lock();
        let mut views = inner
            .open
            .values()
            .filter(|entry| cluster.is_none_or(|id| id == entry.row.cluster_id))
            .map(|entry| super::list::view(&entry.row, at))
            .collect::<Vec<_>>();
        drop(inner);
        let pending = |view: &AlertView| view.state == domain::alert::AlertState::Pending;
        views.sort_by(|a, b| {
            pending(a)
                .cmp(&pending(b))
                .then(b.severity.cmp(&a.severity))
                .then(a.since.cmp(&b.since))
                .then(a.id.cmp(&b.id))
        });
        views
    }

    /// How many are open.
    pub fn counts(&self, cluster: Option<&str>, at: Timestamp) -> AlertCounts {
        AlertCounts::of(&self.open(cluster, at))
    }

    /// Whether the engine has looked at a cluster: before that nothing is known.
    pub fn has_looked(&self, cluster: &str) -> bool {
        self.lock().looked.contains(cluster)
    }

    /// An open one by id.
    pub(super) fn find(&self, id: i64) -> Option<AlertRow> {
        self.lock().open.values().find(|entry| entry.row.id == id).map(|entry| entry.row.clone())
    }

    pub(super) fn set_ack(&self, id: i64, ack: Option<AckRow>) {
        if let Some(entry) = self.lock().open.values_mut().find(|entry| entry.row.id == id) {
            entry.row.ack = ack;
        }
    }

    pub(super) fn set_silence(&self, id: i64, silence: Option<SilenceRow>) {
        if let Some(entry) = self.lock().open.values_mut().find(|entry| entry.row.id == id) {
            entry.row.silence = silence;
        }
    }

    pub(super) fn next_id(&self, at: Timestamp) -> i64 {
        self.lock().next_id(at)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What somebody else observed of a cluster by a rule; what is too old is not known.
    pub(super) fn fed(inner: &Inner, cluster: &str, rule: &'static str) -> Option<Reading> {
        let feed = inner.feeds.get(&(cluster.to_owned(), rule))?;
        Some(if feed.until > Instant::now() { Reading::Known(feed.observed.clone()) } else { Reading::Unknown })
    }
}

/// When a blackout is in force.
pub(super) fn window(row: &BlackoutRow) -> Result<Window, (&'static str, String)> {
    match (&row.cron, row.duration_seconds) {
        (Some(cron), duration) => Window::recurring(row.starts_at, row.ends_at, cron, duration.unwrap_or(0)),
        (None, _) => Window::once(row.starts_at, row.ends_at),
    }
}
