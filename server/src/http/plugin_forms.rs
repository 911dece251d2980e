//! The form of `/plugins/bulk`, which works without JavaScript. It answers with a redirect: to the operation it began, or back
//! to the list with a sentence.

use super::{
    App,
    actor::{Asking, encode},
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
    operation: String,
    mode: String,
    plugins: String,
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
        self.tenant().map_or_else(|| path.to_owned(), |tenant| format!("{path}?tenant={}", encode(tenant)))
    }

    fn request(&self) -> Result<BulkRequest, ControlError> {
        let operation = self.operation.parse::<BulkOperation>().map_err(ControlError::from)?;
        let mode = if self.mode == "atomic" { BulkMode::Atomic } else { BulkMode::Each };
        let plugins = self
            .plugins
            .split(',')
            .filter(|id| !id.trim().is_empty())
            .map(|id| id.trim().parse())
            .collect::<Result<BTreeSet<i64>, _>>()
            .map_err(|_| ControlError::field("plugins", "the form was changed on its way; choose the plugins again"))?;
        let (add_tags, remove_tags) = app::read_tags(&self.tags);
        Ok(BulkRequest { operation, mode, plugins, add_tags, remove_tags, versions: BTreeMap::new() })
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
            _ => {
                let page = form.page("/plugins");
                let separator = if page.contains('?') { '&' } else { '?' };
                Ok(Redirect::to(&format!("{page}{separator}error={}", encode(&error.to_string()))).into_response())
            }
        },
    }
}
