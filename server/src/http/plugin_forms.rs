//! The forms of `/plugins/bulk`, which work without JavaScript. They answer with a redirect: to the operation they began or
//! cancelled, or back to the list with a sentence.

use super::{
    App,
    actor::{Asking, encode},
    forms::with,
    problem::Problem,
};
use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use control::{Actor, BulkMode, BulkOperation, BulkRequest, Confirmation, ControlError};
use domain::ErrorKind;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// All its fields; what it lacks is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fields {
    tenant: String,
    /// This and `database`: what one came from, and comes back to.
    cluster: String,
    database: String,
    operation: String,
    mode: String,
    plugins: String,
    versions: String,
    tags: String,
    key: String,
    confirm: String,
    password: String,
}

impl Fields {
    fn tenant(&self) -> Option<&str> {
        Some(self.tenant.as_str()).filter(|text| !text.is_empty())
    }

    fn page(&self, path: &str) -> String {
        let all = [("tenant", &self.tenant), ("cluster", &self.cluster), ("database", &self.database)];
        let given = all.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs = given.map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }

    fn request(&self) -> Result<BulkRequest, ControlError> {
        let operation = self.operation.parse::<BulkOperation>().map_err(ControlError::from)?;
        let mode = if self.mode == "atomic" { BulkMode::Atomic } else { BulkMode::Each };
        let changed = || ControlError::field("plugins", "the form was changed on its way; choose the plugins again");
        let ids = app::read_ids(&self.plugins).ok_or_else(changed)?;
        // One for each plugin, in the same order, or none at all.
        let versions = self.versions.split(',').map(str::trim).filter(|version| !version.is_empty());
        let versions = versions.map(str::to_owned).collect::<Vec<_>>();
        if !versions.is_empty() && versions.len() != ids.len() {
            return Err(changed());
        }
        let versions = ids.iter().copied().zip(versions).collect::<BTreeMap<_, _>>();
        let plugins = ids.into_iter().collect::<BTreeSet<_>>();
        let (add_tags, remove_tags) = app::read_tags(&self.tags);
        Ok(BulkRequest { operation, mode, plugins, add_tags, remove_tags, versions })
    }
}

async fn begin(app: &App, actor: &Actor, form: &Fields, request: BulkRequest) -> Result<(), ControlError> {
    let confirmation = Confirmation { name: form.confirm.clone(), password: form.password.clone() };
    app.control.plugin_bulk_start(actor, form.tenant(), &form.key, request, &confirmation).await.map(drop)
}

/// `POST /plugins/bulk`
pub async fn bulk(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let begun = match form.request() {
        Ok(request) => begin(&app, &actor, &form, request).await,
        // The right is asked first, also for what is refused for another reason.
        Err(error) => match app.control.platform_may_change(&actor, form.tenant(), "plugin_bulk").await {
            Ok(()) => Err(error),
            Err(refusal) => Err(refusal),
        },
    };
    match begun {
        Ok(()) => {
            let place = form.page(&format!("/plugins/bulk/{}", encode(&form.key).replace('+', "%20")));
            Ok(Redirect::to(&place).into_response())
        }
        Err(error) => match error.kind() {
            ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Forbidden | ErrorKind::Unauthenticated => {
                Err(error.into())
            }
            _ => Ok(Redirect::to(&with(&form.page("/plugins"), "error", &error.to_string())).into_response()),
        },
    }
}

/// `POST /plugins/bulk/cancel`: back to the operation, which tells what became of it. That it was over before is no error: the
/// page says how it ended.
pub async fn cancel(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    match app.control.plugin_bulk_cancel(&actor, form.tenant(), &form.key).await {
        Err(error) if error.kind() != ErrorKind::Conflict => Err(error.into()),
        _ => {
            let place = form.page(&format!("/plugins/bulk/{}", encode(&form.key).replace('+', "%20")));
            Ok(Redirect::to(&place).into_response())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_a_plan_come_with_their_versions() {
        let fields = |plugins: &str, versions: &str| Fields {
            operation: "install".to_owned(),
            mode: "atomic".to_owned(),
            plugins: plugins.to_owned(),
            versions: versions.to_owned(),
            ..Fields::default()
        };
        // In the order of the plan, which is not that of the ids.
        let request = fields("12,3", "1.0.0-rc.1,2.1.0").request().unwrap();
        assert_eq!(request.plugins, BTreeSet::from([3, 12]));
        assert_eq!(request.versions, BTreeMap::from([(3, "2.1.0".to_owned()), (12, "1.0.0-rc.1".to_owned())]));
        assert!(fields("12,3", "1.0.0").request().is_err());
        assert_eq!(fields("3.9", "").request().unwrap().plugins, BTreeSet::from([3, 12]));
    }

    #[test]
    fn the_next_page_is_of_the_same_tenant_cluster_and_database() {
        let fields = |tenant: &str, cluster: &str, database: &str| Fields {
            tenant: tenant.to_owned(),
            cluster: cluster.to_owned(),
            database: database.to_owned(),
            ..Fields::default()
        };
        assert_eq!(fields("", "", "").page("/plugins"), "/plugins");
        assert_eq!(fields("1", "", "").page("/plugins"), "/plugins?tenant=1");
        let all = fields("acme", "replica", "a&b").page("/plugins");
        assert_eq!(all, "/plugins?tenant=acme&cluster=replica&database=a%26b");
    }
}
