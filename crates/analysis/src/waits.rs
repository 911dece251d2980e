//! Database load: average active sessions by what they wait for.
use domain::{reading::Backend, view::WaitLoad};
use std::collections::BTreeMap;

/// The classes in the order in which they are stacked, with fixed colours across the product.
pub const CLASSES: [&str; 7] = ["CPU", "IO", "Lock", "LWLock", "IPC", "Client", "Other"];

/// What an active session waits for; `None` when it is not active. Without a wait event it runs (or waits for a
/// processor, which PostgreSQL cannot see).
pub fn class(backend: &Backend) -> Option<&'static str> {
    let counts = matches!(backend.backend_type.as_str(), "client backend" | "parallel worker" | "autovacuum worker");
    // Workers have no state of their own; a vacuum is active as long as it is there.
    let active = match backend.state.as_deref() {
        Some(state) => state == "active" || state == "fastpath function call",
        None => backend.backend_type == "autovacuum worker",
    };
    (counts && active).then_some(match backend.wait_event_type.as_deref() {
        None => "CPU",
        Some("IO") => "IO",
        Some("Lock") => "Lock",
        Some("LWLock") => "LWLock",
        Some("IPC") => "IPC",
        Some("Client") => "Client",
        Some(_) => "Other",
    })
}

/// Samples of sessions, added up until somebody takes the average.
#[derive(Clone, Debug, Default)]
pub struct WaitSampler {
    samples: u32,
    sessions: BTreeMap<&'static str, u32>,
}

impl WaitSampler {
    /// Adds one look at all sessions.
    pub fn add<'a>(&mut self, backends: impl IntoIterator<Item = &'a Backend>) {
        self.samples += 1;
        for class in backends.into_iter().filter_map(class) {
            *self.sessions.entry(class).or_default() += 1;
        }
    }

    /// The average over the samples since the last call, every class named; empty without samples.
    pub fn take(&mut self) -> Vec<WaitLoad> {
        let Self { samples, sessions } = std::mem::take(self);
        if samples == 0 {
            return Vec::new();
        }
        CLASSES
            .map(|class| WaitLoad {
                class: class.to_owned(),
                average_active_sessions: f64::from(sessions.get(class).copied().unwrap_or(0)) / f64::from(samples),
            })
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(kind: &str, state: Option<&str>, wait: Option<&str>) -> Backend {
        Backend {
            backend_type: kind.into(),
            state: state.map(Into::into),
            wait_event_type: wait.map(Into::into),
            ..Backend::default()
        }
    }

    #[test]
    fn only_active_sessions_are_load() {
        assert_eq!(class(&backend("client backend", Some("active"), None)), Some("CPU"));
        assert_eq!(class(&backend("client backend", Some("active"), Some("Lock"))), Some("Lock"));
        assert_eq!(class(&backend("client backend", Some("idle"), Some("Client"))), None);
        assert_eq!(class(&backend("client backend", Some("idle in transaction"), Some("Client"))), None);
        assert_eq!(class(&backend("walsender", Some("active"), Some("Activity"))), None);
        assert_eq!(class(&backend("autovacuum worker", None, Some("Timeout"))), Some("Other"));
    }

    #[test]
    fn the_load_is_the_average_over_the_samples() {
        let mut sampler = WaitSampler::default();
        assert!(sampler.take().is_empty());
        let (busy, io) =
            (backend("client backend", Some("active"), None), backend("client backend", Some("active"), Some("IO")));
        sampler.add([&busy, &io]);
        sampler.add([&busy]);
        let load = sampler.take().into_iter().map(|load| load.average_active_sessions).collect::<Vec<_>>();
        assert_eq!(load, [1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(sampler.take().is_empty());
    }
}
