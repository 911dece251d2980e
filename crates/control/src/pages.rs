//! The further pages of a cluster: from the snapshot; growth, changes and our own cost also from the store.
use crate::{
    Actor, ControlError, ControlPlane, monitoring, now,
    table_use::{columns_of_table, indexes_of_table},
};
use domain::{
    Permission,
    view::{
        ConnectionsPage, CostPage, EventKind, HostPage, MaintenancePage, Metric, ProcessCost, Range, ReplicationPage,
        SettingsPage, TableDetail, TablesPage, TimeSeries, TimeSeriesLine,
    },
};
use std::{collections::BTreeSet, sync::Arc};
use store::{EventRepo, MetricRepo};

/// Under this id our own figures are kept.
pub const OWN_CLUSTER: &str = "_holdfast";

const DAY_MS: i64 = 86_400_000;
/// History that a forecast looks at.
const FORECAST_DAYS: i64 = 60;
/// How far ahead it looks.
const FORECAST_AHEAD_DAYS: f64 = 30.0;
/// How far back changes of settings are listed.
const CHANGES_DAYS: i64 = 90;

impl ControlPlane {
    /// Who holds the connection slots, of all databases or of one; the slots are those of the server in any case.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn connections_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        database: Option<&str>,
    ) -> Result<Arc<ConnectionsPage>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let snapshot = self.inner.clusters.find(cluster)?.1;
        let Some(only) = database else { return Ok(snapshot.connections.clone()) };
        let rows = snapshot.activity.rows.iter().filter(|row| row.database.as_deref() == Some(only));
        let groups = analysis::connections::groups(&rows.collect::<Vec<_>>());
        Ok(Arc::new(ConnectionsPage { groups, ..ConnectionsPage::clone(&snapshot.connections) }))
    }

    /// Tables of all databases or of one.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn tables_list(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        database: Option<&str>,
    ) -> Result<Arc<TablesPage>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let page = self.inner.clusters.find(cluster)?.1.tables.clone();
        let Some(only) = database else { return Ok(page) };
        let mut page = TablesPage::clone(&page);
        page.rows.retain(|row| row.database == only);
        page.databases.retain(|row| row.name == only);
        page.skipped.retain(|skipped| skipped.0 == only);
        Ok(Arc::new(page))
    }

    /// One table by `database.schema.name`, with its growth and where that leads, who uses it, its indexes and columns.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn table_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        key: &str,
        range: Range,
    ) -> Result<TableDetail, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let row = snapshot.tables.rows.iter().find(|row| row.key == key).cloned().ok_or_else(|| {
            ControlError::not_found(
                "table",
                key,
                "it may be gone, or not be read yet: the list shows all that are known",
            )
        })?;
        let at = now();
        let growth = self
            .series_of(&config.id, Metric::TableBytes, key, "Size", range, snapshot.dashboard.interval_seconds)
            .await?;
        let repo = MetricRepo(self.inner.store.db());
        let since = at.plus_ms(-FORECAST_DAYS * DAY_MS);
        let sizes = repo.history_of(&config.id, Metric::TableBytes, key, since, at, DAY_MS / 24).await?;
        let sizes = sizes.iter().map(|it| (it.bucket as f64 / 24.0, it.value)).collect::<Vec<_>>();
        let forecast = analysis::forecast::line(&sizes, FORECAST_AHEAD_DAYS);
        let (columns, columns_missing) = columns_of_table(&snapshot.columns, &row);
        Ok(TableDetail {
            columns_at: snapshot.columns.collected_at.filter(|_| !columns.is_empty()),
            columns,
            columns_missing,
            statements: self.statements_of_table(&config.id, &row, range, snapshot.dashboard.sequence).await?,
            indexes: indexes_of_table(&snapshot.indexes, &row),
            row,
            growth,
            forecast_missing: forecast.as_ref().err().cloned(),
            forecast: forecast.ok(),
        })
    }

    /// One line of a metric that is recorded each hour with the ordinary tick: the steps between are no gaps.
    pub(crate) async fn series_of(
        &self,
        cluster: &str,
        metric: Metric,
        label: &str,
        name: &str,
        range: Range,
        interval_seconds: f64,
    ) -> Result<TimeSeries, ControlError> {
        let at = now();
        let (from, to, step) = monitoring::grid(monitoring::known(range, at, monitoring::HISTORY_DAYS)?, at);
        let points = MetricRepo(self.inner.store.db()).history_of(cluster, metric, label, from, to, step).await?;
        let mut values = vec![None; monitoring::POINTS as usize];
        let (mut gaps, mut anew) = (Vec::new(), BTreeSet::new());
        for point in points {
            let place = usize::try_from(point.bucket).unwrap_or(usize::MAX);
            let Some(slot) = values.get_mut(place) else { continue };
            *slot = Some(point.value);
            gaps.extend(point.gap.then_some(place));
            anew.extend(point.reset.then_some(place));
        }
        let events = self.events(cluster, from, to).await?;
        let gap = interval_seconds * 120.0 * 2.5;
        Ok(TimeSeries {
            metric: metric.as_str().to_owned(),
            unit: metric.unit().to_owned(),
            from,
            to,
            step_seconds: step as f64 / 1_000.0,
            times: monitoring::times(from, step),
            series: vec![TimeSeriesLine { name: name.to_owned(), values: monitoring::bridge(values, step, gap), gaps }],
            resets: monitoring::resets(anew, &events, from, step),
            events,
            earlier: Vec::new(),
        })
    }

    /// The machine of a server: its file systems with the day on which each will be full, and its load.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn host_get(&self, actor: &Actor, cluster: Option<&str>) -> Result<HostPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let mut page = HostPage::clone(&snapshot.host);
        let at = now();
        let since = at.plus_ms(-FORECAST_DAYS * DAY_MS);
        let repo = MetricRepo(self.inner.store.db());
        for disk in page.disks.iter_mut().filter(|disk| disk.used_percent.is_some()) {
            let step = DAY_MS / 24;
            let used = repo.history_of(&config.id, Metric::DiskUsedPercent, &disk.place, since, at, step).await?;
            let used = used.iter().map(|it| (it.bucket as f64 / 24.0, it.value)).collect::<Vec<_>>();
            match analysis::forecast::full(&used) {
                Ok(forecast) => disk.full = Some(forecast),
                Err(reason) => disk.full_missing = Some(reason),
            }
        }
        Ok(page)
    }

    /// Standbys and slots.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn replication_get(&self, actor: &Actor, cluster: Option<&str>) -> Result<Arc<ReplicationPage>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.inner.clusters.find(cluster)?.1.replication.clone())
    }

    /// Vacuum, checkpoints, WAL, I/O.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn maintenance_get(&self, actor: &Actor, cluster: Option<&str>) -> Result<Arc<MaintenancePage>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.inner.clusters.find(cluster)?.1.maintenance.clone())
    }

    /// Settings and how they changed.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn settings_get(&self, actor: &Actor, cluster: Option<&str>) -> Result<SettingsPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let mut page = SettingsPage::clone(&snapshot.settings);
        let at = now();
        let since = at.plus_ms(-CHANGES_DAYS * DAY_MS);
        page.changes =
            EventRepo(self.inner.store.db()).list_of(&config.id, EventKind::SettingChange, since, at).await?;
        page.changes.reverse();
        (page.findings, page.guide) = self.settings_judged(&config.id, &page).await?;
        page.memory_bytes = self.inner.clusters.memory(&config.id);
        Ok(page)
    }

    /// What we cost.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn cost_get(&self, actor: &Actor, cluster: Option<&str>) -> Result<CostPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        Ok(CostPage {
            cluster: config.id.clone(),
            sequence: snapshot.dashboard.sequence,
            collected_at: snapshot.dashboard.collected_at,
            process: ProcessCost::clone(&self.inner.process_cost.load()),
            watching: snapshot.watching.clone(),
            collectors: snapshot.dashboard.collectors.clone(),
        })
    }

    /// One of our own figures over time.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn own_history_get(
        &self,
        actor: &Actor,
        metric: Metric,
        range: Range,
    ) -> Result<TimeSeries, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let seconds = self.inner.clusters.all().next().map_or(30.0, |(_, it)| it.dashboard.interval_seconds);
        self.series(OWN_CLUSTER, metric, range, 5.0 * seconds).await
    }

    /// Puts in the newest figures of this process.
    pub fn process_cost_publish(&self, cost: ProcessCost) {
        self.inner.process_cost.store(Arc::new(cost));
    }
}
