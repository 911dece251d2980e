//! The pages: rendered by `app`, whole, before the first byte is sent.

use super::{App, headers::page_policy};
use app::{AssetBase, shell};
use axum::{
    Router,
    http::{HeaderValue, header},
};
use leptos::{nonce::use_nonce, prelude::*};
use leptos_axum::{LeptosRoutes as _, ResponseOptions, generate_route_list};

/// All pages, their server functions and the page for addresses that are none.
pub fn router(state: &App) -> Router<App> {
    let routes = generate_route_list(app::App);
    let context = {
        let state = state.clone();
        move || {
            provide_context(state.control.clone());
            provide_context(AssetBase(state.assets.base().to_owned()));
            // The nonce is made before this runs: the policy can only be written here.
            if let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>())
                && let Ok(value) = HeaderValue::from_str(&page_policy(&nonce))
            {
                response.insert_header(header::CONTENT_SECURITY_POLICY, value);
            }
        }
    };
    let options = state.leptos.clone();
    let fallback = {
        let options = options.clone();
        let context = context.clone();
        leptos_axum::render_app_async_with_context(context, move || shell(options.clone()))
    };
    Router::new().leptos_routes_with_context(state, routes, context, move || shell(options.clone())).fallback(
        move |request: axum::extract::Request| async move {
            let mut response = fallback(request).await;
            *response.status_mut() = axum::http::StatusCode::NOT_FOUND;
            response
        },
    )
}
