//! Live pages: the server tells the number of each new snapshot, the page asks for what it shows.

use leptos::prelude::*;

/// How the page is told of new snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Number of the newest snapshot that was told; resources depend on it.
    pub sequence: RwSignal<u64>,
    /// Grows with each change of the alerts that was told.
    pub alerts: RwSignal<u64>,
    /// The stream is open.
    pub connected: RwSignal<bool>,
    /// The reader asked for quiet.
    pub paused: RwSignal<bool>,
}

impl Live {
    /// Opens the stream for whichever cluster the page is about. Without JavaScript nothing happens, and the page
    /// stays as it was rendered.
    pub fn start(cluster: Memo<Option<String>>) -> Self {
        let live = Self {
            sequence: RwSignal::new(0),
            alerts: RwSignal::new(0),
            connected: RwSignal::new(false),
            paused: RwSignal::new(false),
        };
        #[cfg(feature = "hydrate")]
        browser::follow(live, cluster);
        #[cfg(not(feature = "hydrate"))]
        let _ = cluster;
        live
    }

    /// The one of this page.
    pub fn get() -> Self {
        use_context::<Self>().unwrap_or_else(|| Self {
            sequence: RwSignal::new(0),
            alerts: RwSignal::new(0),
            connected: RwSignal::new(false),
            paused: RwSignal::new(false),
        })
    }
}

#[cfg(feature = "hydrate")]
mod browser {
    use super::Live;
    use crate::scope::address;
    use leptos::prelude::*;
    use wasm_bindgen::{JsCast as _, closure::Closure};
    use web_sys::{EventSource, MessageEvent};

    /// Asking for a page's data more often than this shows a person nothing more.
    const AT_MOST_EVERY_MS: f64 = 2_000.0;

    pub fn follow(live: Live, cluster: Memo<Option<String>>) {
        Effect::new(move |before: Option<Option<EventSource>>| {
            if let Some(Some(source)) = before {
                source.close();
            }
            let pairs = cluster.get().map(|id| vec![("cluster", id)]).unwrap_or_default();
            let source = EventSource::new(&address("/api/database/stream", &pairs, None)).ok()?;
            let last = StoredValue::new(js_sys::Date::now());
            let first = StoredValue::new(true);
            let told = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
                live.connected.set(true);
                let now = js_sys::Date::now();
                // The first one only says what the page already shows.
                if first.get_value() {
                    first.set_value(false);
                    return;
                }
                if live.paused.get_untracked() || document().hidden() || now - last.get_value() < AT_MOST_EVERY_MS {
                    return;
                }
                if let Ok(sequence) = event.last_event_id().parse() {
                    last.set_value(now);
                    live.sequence.set(sequence);
                }
            });
            let _ = source.add_event_listener_with_callback("snapshot", told.as_ref().unchecked_ref());
            let alert = Closure::<dyn Fn()>::new(move || {
                if !live.paused.get_untracked() && !document().hidden() {
                    live.alerts.update(|changes| *changes += 1);
                }
            });
            let _ = source.add_event_listener_with_callback("alert", alert.as_ref().unchecked_ref());
            alert.forget();
            // The browser opens it again by itself; meanwhile the page says that it is not live.
            let lost = Closure::<dyn Fn()>::new(move || live.connected.set(false));
            source.set_onerror(Some(lost.as_ref().unchecked_ref()));
            told.forget();
            lost.forget();
            Some(source)
        });
    }
}
