//! One index in full, and when indexes were last used where no server tells.
use crate::{Actor, ControlError, ControlPlane, advice, now};
use analysis::indexes;
use domain::{
    Permission,
    view::{IndexDetail, IndexFinding, IndexRow, IndexesPage, Metric, Range, SimilarIndex},
};
use store::{DismissalRepo, MetricRepo};

impl ControlPlane {
    /// One index by `database.schema.name`, with its size and its scans over a range.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`].
    pub async fn index_get(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        key: &str,
        range: Range,
    ) -> Result<IndexDetail, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let (config, snapshot) = self.inner.clusters.find(cluster)?;
        let page = &snapshot.indexes;
        let row = page.rows.iter().find(|row| row.key == key).cloned().ok_or_else(|| {
            ControlError::not_found(
                "index",
                key,
                "it may be gone, or not be read yet: the list shows all that are known; a name is database.schema.index",
            )
        })?;
        let mut rows = [row];
        self.last_seen_rising(&config.id, &mut rows).await;
        let [row] = rows;
        let interval = snapshot.dashboard.interval_seconds;
        let dismissals = DismissalRepo(self.inner.store.db()).list(&config.id, now()).await?;
        let keys = row.findings.iter().map(|finding| indexes::finding_key(&row, finding)).collect::<Vec<_>>();
        let mut findings = advice::index_findings(page);
        findings.retain(|finding| keys.contains(&finding.key));
        for finding in &mut findings {
            finding.dismissal = dismissals.iter().find(|it| it.key == finding.key).cloned();
        }
        let mut suggestions =
            self.inner.clusters.advice(&config.id).map(|advice| advice.suggestions.clone()).unwrap_or_default();
        suggestions.retain(|it| (&it.database, &it.schema, &it.table) == (&row.database, &row.schema, &row.table));
        for suggestion in &mut suggestions {
            suggestion.dismissal = dismissals.iter().find(|it| it.key == suggestion.key).cloned();
        }
        let (columns, included) = indexes::columns(&row.definition);
        Ok(IndexDetail {
            columns,
            included,
            predicate: row.definition.split_once(" WHERE ").map(|(_, predicate)| predicate.to_owned()),
            table_key: format!("{}.{}.{}", row.database, row.schema, row.table),
            collected_at: page.collected_at,
            nodes: page.nodes.clone(),
            counting_since: page.counting_since,
            size: self.series_of(&config.id, Metric::IndexBytes, key, "Size", range, interval).await?,
            scans: self.series_of(&config.id, Metric::IndexScansPerHour, key, "Scans an hour", range, interval).await?,
            hit: self.series_of(&config.id, Metric::IndexHitPercent, key, "Cache hit", range, interval).await?,
            similar: similar(page, &row),
            findings,
            suggestions,
            cluster: config.id.clone(),
            row,
        })
    }

    /// Fills in when our own history last saw scans of those indexes of which no server says when they were scanned.
    pub(crate) async fn last_seen_rising(&self, cluster: &str, rows: &mut [IndexRow]) {
        if rows.iter().all(|row| row.last_scan.is_some() || row.bytes == 0) {
            return;
        }
        match MetricRepo(self.inner.store.db()).last_above_zero(cluster, Metric::IndexScansPerHour).await {
            Ok(seen) => {
                for row in rows.iter_mut().filter(|row| row.last_scan.is_none()) {
                    row.last_seen_rising = seen.get(&row.key).copied();
                }
            }
            // Without the store the list is shown all the same.
            Err(error) => tracing::warn!(%error, cluster, "when indexes were last used cannot be read"),
        }
    }
}

/// The other indexes of the table: first what covers this one or is covered by it.
fn similar(page: &IndexesPage, row: &IndexRow) -> Vec<SimilarIndex> {
    let covered_by = |of: &IndexRow, other: &IndexRow| {
        let name = format!("{}.{}", other.schema, other.name);
        of.findings.iter().any(|it| matches!(it, IndexFinding::Duplicate { covered_by, .. } if *covered_by == name))
    };
    let same = |other: &&IndexRow| {
        (&other.database, &other.schema, &other.table) == (&row.database, &row.schema, &row.table)
            && other.key != row.key
    };
    let one = |other: &IndexRow| SimilarIndex {
        key: other.key.clone(),
        name: other.name.clone(),
        definition: other.definition.clone(),
        bytes: other.bytes,
        scans: other.scans,
        relation: match (covered_by(row, other), covered_by(other, row)) {
            (true, _) => "covers this one",
            (false, true) => "covered by this one",
            (false, false) => "",
        }
        .to_owned(),
    };
    let mut found = page.rows.iter().filter(same).map(one).collect::<Vec<_>>();
    found.sort_by_key(|it| it.relation.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::view::DuplicateKind;

    fn row(name: &str, covered_by: Option<&str>) -> IndexRow {
        IndexRow {
            key: format!("shop.public.{name}"),
            database: "shop".into(),
            schema: "public".into(),
            table: "orders".into(),
            name: name.into(),
            definition: format!("CREATE INDEX {name} ON public.orders USING btree (a)"),
            method: "btree".into(),
            bytes: 8_192,
            scans: 1,
            node_scans: Vec::new(),
            last_scan: None,
            last_seen_rising: None,
            bloat_estimate_bytes: None,
            scans_per_second: None,
            rows_read: 0,
            rows_fetched: 0,
            hit_percent: None,
            table_writes_per_second: None,
            labels: Vec::new(),
            findings: covered_by
                .map(|other| IndexFinding::Duplicate {
                    how: DuplicateKind::Exact,
                    covered_by: format!("public.{other}"),
                    evidence: String::new(),
                    drop_sql: String::new(),
                    undo_sql: String::new(),
                })
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn what_covers_an_index_comes_first_and_other_tables_are_left_out() {
        let elsewhere = IndexRow { table: "customers".into(), ..row("elsewhere", None) };
        let rows = vec![row("plain", None), row("wide", None), row("narrow", Some("wide")), elsewhere];
        let page = IndexesPage { rows: rows.clone(), ..IndexesPage::default() };
        let found = |of: &IndexRow| similar(&page, of).into_iter().map(|it| (it.name, it.relation)).collect::<Vec<_>>();
        let pair = |name: &str, relation: &str| (name.to_owned(), relation.to_owned());
        assert_eq!(found(&rows[2]), [pair("wide", "covers this one"), pair("plain", "")]);
        assert_eq!(found(&rows[1]), [pair("narrow", "covered by this one"), pair("plain", "")]);
    }
}
