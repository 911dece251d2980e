//! The OpenAPI document, made from the handlers themselves, and the JSON API's routes.

use crate::{api, http::App};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast",
        description = "Keeps a PostgreSQL estate fast and recoverable. Times are RFC 3339, sizes bytes, durations carry their unit in the name; `null` is not applicable or not known. Errors are application/problem+json. Unsafe calls with a session must come from the same site; with a token they may come from anywhere.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    // Their routes are apart: no time-out ends a stream.
    paths(crate::http::events::stream, api::jobs::events),
    components(schemas(domain::view::LiveEvent, domain::view::AlertLive, domain::view::JobLive)),
    modifiers(&Security),
    security(("token" = []), ("session" = []))
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("`hf_…`, made by `holdfast token create` or POST /api/v1/tokens"))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("holdfast"))));
    }
}

/// The API's routes with their document.
pub fn api() -> (axum::Router<App>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(api::dashboard::dashboard))
        .routes(routes!(api::clusters::clusters))
        .routes(routes!(api::estate::estate))
        .routes(routes!(api::queries::queries))
        .routes(routes!(api::queries::query))
        .routes(routes!(api::queries::query_history))
        .routes(routes!(api::plans::plan))
        .routes(routes!(api::plans::explain))
        .routes(routes!(api::advice::index_advice))
        .routes(routes!(api::advice::index_review))
        .routes(routes!(api::advice::dismiss, api::advice::restore))
        .routes(routes!(api::indexes::indexes))
        .routes(routes!(api::indexes::index))
        .routes(routes!(api::activity::activity))
        .routes(routes!(api::activity::samples))
        .routes(routes!(api::backends::cancel))
        .routes(routes!(api::backends::terminate))
        .routes(routes!(api::load::waits))
        .routes(routes!(api::locks::locks))
        .routes(routes!(api::locks::snapshot))
        .routes(routes!(api::server_pages::connections))
        .routes(routes!(api::server_pages::host))
        .routes(routes!(api::server_pages::tables))
        .routes(routes!(api::server_pages::table))
        .routes(routes!(api::server_pages::replication))
        .routes(routes!(api::server_pages::standby_forget))
        .routes(routes!(api::server_pages::settings))
        .routes(routes!(api::server_pages::maintenance))
        .routes(routes!(api::server_pages::cost))
        .routes(routes!(api::history::history))
        .routes(routes!(api::events::events, api::events::event_note))
        .routes(routes!(api::alerts::alerts))
        .routes(routes!(api::alerts::alert))
        .routes(routes!(api::alerts::acknowledge, api::alerts::unacknowledge))
        .routes(routes!(api::alerts::silence))
        .routes(routes!(api::alerts::rules))
        .routes(routes!(api::alerts::rule_set, api::alerts::rule_reset))
        .routes(routes!(api::alerts::rule_preview))
        .routes(routes!(api::health::weights, api::health::weights_set, api::health::weights_reset))
        .routes(routes!(api::channels::blackouts, api::channels::blackout_create))
        .routes(routes!(api::channels::blackout_end))
        .routes(routes!(api::channels::channels, api::channels::channel_create))
        .routes(routes!(api::channels::channel_set, api::channels::channel_delete))
        .routes(routes!(api::channels::channel_test))
        .routes(routes!(api::channels::channel_retry))
        .routes(routes!(api::channels::deliveries))
        .routes(routes!(api::recovery::overview))
        .routes(routes!(api::recovery::window))
        .routes(routes!(api::recovery::backups, api::recovery::backup_start))
        .routes(routes!(api::recovery::backup, api::recovery::backup_remove))
        .routes(routes!(api::recovery::removal_plan))
        .routes(routes!(api::recovery::backup_verify))
        .routes(routes!(api::recovery::backup_test_restore))
        .routes(routes!(api::recovery::expire_plan))
        .routes(routes!(api::recovery::expire))
        .routes(routes!(api::recovery::restore_plan))
        .routes(routes!(api::recovery::restore_start))
        .routes(routes!(api::recovery::objectives))
        .routes(routes!(api::recovery::key_add))
        .routes(routes!(api::recovery::key_rotate))
        .routes(routes!(api::recovery::key_remove))
        .routes(routes!(api::dr::plans, api::dr::plan_create))
        .routes(routes!(api::dr::plan, api::dr::plan_set))
        .routes(routes!(api::dr::plan_remove))
        .routes(routes!(api::dr::dry_run))
        .routes(routes!(api::dr::drill_start))
        .routes(routes!(api::dr::execute))
        .routes(routes!(api::dr::decide))
        .routes(routes!(api::dr::drills))
        .routes(routes!(api::dr::drill))
        .routes(routes!(api::dr::evidence))
        .routes(routes!(api::jobs::jobs))
        .routes(routes!(api::jobs::job))
        .routes(routes!(api::jobs::cancel))
        .routes(routes!(api::jobs::copy_remove))
        .routes(routes!(api::plugins::plugins, api::plugins::create))
        .routes(routes!(api::plugins::facets))
        .routes(routes!(api::plugins::bulk))
        .routes(routes!(api::plugins::bulk_status))
        .routes(routes!(api::plugins::bulk_cancel))
        .routes(routes!(api::plugins::plugin, api::plugins::change, api::plugins::remove))
        .routes(routes!(api::plugins::dependencies))
        .routes(routes!(api::plugins::operations))
        .routes(routes!(api::plugins::tenants))
        .routes(routes!(api::plugins::platform))
        .routes(routes!(api::analytics::timeseries))
        .routes(routes!(api::analytics::top))
        .routes(routes!(api::analytics::geography))
        .routes(routes!(api::analytics::usage_patterns))
        .routes(routes!(api::analytics::ingest))
        .routes(routes!(api::analytics::subject))
        .routes(routes!(api::analytics::subject_export))
        .routes(routes!(api::analytics::subject_erase))
        .routes(routes!(api::analytics::erasures))
        .routes(routes!(api::accounts::me))
        .routes(routes!(api::accounts::users, api::accounts::user_add))
        .routes(routes!(api::accounts::user_change))
        .routes(routes!(api::accounts::tokens, api::accounts::token_create))
        .routes(routes!(api::accounts::token_revoke))
        .routes(routes!(api::audit::list))
        .routes(routes!(api::audit::verify))
        .routes(routes!(api::audit::export))
        .split_for_parts()
}

/// As it is committed in `openapi.json`.
pub fn document_json() -> String {
    let mut text = api().1.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn the_committed_document_is_the_one_the_handlers_make() {
        // Cargo runs tests in their package's directory; a path of the compile time may be another checkout's.
        let committed = std::fs::read_to_string("../openapi.json").unwrap();
        assert!(
            committed == super::document_json(),
            "openapi.json is not up to date: write it anew by 'holdfast openapi > openapi.json'"
        );
    }
}
