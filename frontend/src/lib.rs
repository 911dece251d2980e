//! The browser's half: it wakes up the pages that the server rendered. No logic lives here.
#![allow(unsafe_code)] // wasm-bindgen's expansion

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// Of `choices.js`: from now on links are the browser's own again, and the reader is told.
    #[wasm_bindgen(js_namespace = window, js_name = holdfastStopped)]
    fn stopped();
}

/// Called by the script that leptos writes into each page.
#[wasm_bindgen]
pub fn hydrate() {
    // After a panic nothing here goes on, but the listeners stay: each click would be taken and lost.
    std::panic::set_hook(Box::new(|panic| {
        console_error_panic_hook::hook(panic);
        stopped();
    }));
    leptos::mount::hydrate_body(app::App);
}
