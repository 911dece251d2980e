//! The user interface, for both halves.
use leptos::prelude::*;
/// The application.
#[component]
pub fn App() -> impl IntoView { view! { <p>"Holdfast"</p> } }
