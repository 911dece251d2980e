//! The browser's half: it wakes up the pages that the server rendered. No logic lives here.
#![allow(unsafe_code)] // wasm-bindgen's expansion

/// Called by the script that leptos writes into each page.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}
