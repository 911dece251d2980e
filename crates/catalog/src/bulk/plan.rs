//! What an operation would do, told without doing it.
use super::{
    BulkOperation, BulkRequest,
    report::MOST_PROBLEMS,
    stand::{Stand, stands},
    verdicts::{Verdict, verdicts},
};
use crate::{Catalog, CatalogError, Tenant, error::said};
use domain::view::{BulkReport, PlannedChange, RefusedItem};
use pool::{Reader, Work};
use std::collections::BTreeSet;

/// Plugins whose change a plan shows.
const MOST_CHANGES: usize = 200;

impl Catalog {
    /// What the operation would do. Nothing is changed.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn bulk_plan(&self, tenant: Tenant, request: &BulkRequest) -> Result<BulkReport, CatalogError> {
        request.check()?;
        let session = self.cache.session(tenant);
        let ids = &request.plugins.iter().copied().collect::<Vec<_>>();
        let (verdicts, stands) = self
            .pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = reader.connection()?;
                    let verdicts = verdicts(connection, request, ids, ids).await?;
                    let first = ids.iter().copied().take(MOST_CHANGES).collect::<Vec<_>>();
                    Ok::<_, CatalogError>((verdicts, stands(connection, request, &first).await?))
                })
            })
            .await
            .map_err(said)?;
        let changes = verdicts
            .iter()
            .take(MOST_CHANGES)
            .filter_map(|verdict| Some(request.change_of(stands.get(&verdict.id)?, verdict)))
            .collect();
        Ok(BulkReport { changes, ..tally(request, &verdicts) })
    }
}

impl BulkRequest {
    /// In words: what it is and what it would be.
    fn change_of(&self, stand: &Stand, verdict: &Verdict) -> PlannedChange {
        let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "no version".to_owned());
        let installed = if stand.is_installed { version(&stand.installed) } else { "not installed".to_owned() };
        let enabled = |is: bool| if is { "enabled" } else { "disabled" }.to_owned();
        let (before, after) = match self.operation {
            BulkOperation::Install | BulkOperation::Upgrade => (installed, version(&verdict.to)),
            BulkOperation::Enable => (enabled(stand.is_enabled), enabled(true)),
            BulkOperation::Disable => (enabled(stand.is_enabled), enabled(false)),
            BulkOperation::Tag => {
                let mut tags = stand.tags.iter().chain(&self.add_tags).cloned().collect::<BTreeSet<_>>();
                tags.retain(|tag| !self.remove_tags.contains(tag));
                (stand.tags.join(", "), tags.into_iter().collect::<Vec<_>>().join(", "))
            }
            BulkOperation::Delete => (installed, "removed".to_owned()),
        };
        let (outcome, reason) = verdict.parts();
        let after = if verdict.is_done() { after } else { before.clone() };
        PlannedChange {
            id: verdict.id.to_string(),
            name: stand.name.clone(),
            outcome: outcome.to_owned(),
            reason: reason.map(str::to_owned),
            before,
            after,
        }
    }
}

fn tally(request: &BulkRequest, verdicts: &[Verdict]) -> BulkReport {
    let count = |what: &str| verdicts.iter().filter(|verdict| verdict.parts().0 == what).count() as i64;
    let problems = verdicts.iter().filter_map(|verdict| {
        let (outcome, reason) = verdict.parts();
        Some(RefusedItem { id: verdict.id.to_string(), outcome: outcome.to_owned(), reason: reason?.to_owned() })
    });
    BulkReport {
        id: None,
        operation: request.operation.as_str().to_owned(),
        mode: request.mode.as_str().to_owned(),
        state: "planned".to_owned(),
        total: verdicts.len() as i64,
        done: count("done"),
        unchanged: count("unchanged"),
        refused: count("refused"),
        failed: 0,
        problems: problems.take(MOST_PROBLEMS as usize).collect(),
        repeated: false,
        changes: Vec::new(),
    }
}
