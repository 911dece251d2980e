//! Exports that took longer than their request: kept for a moment, for whoever asked to ask again.
use crate::ControlError;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// What is held on a person does not stay in our memory for longer.
const KEPT: Duration = Duration::from_secs(600);
/// Most that are kept at once; the oldest goes first.
const MOST: usize = 8;

/// Who asked (what kind of somebody, and its id), of which tenant, hash of the subject.
pub(super) type ExportKey = (Option<(&'static str, String)>, Option<i64>, String);
/// The work on one, which goes on by itself.
pub(super) type Export = JoinHandle<Result<Value, ControlError>>;

/// Those that nobody has fetched.
#[derive(Debug, Default)]
pub(super) struct Exports(Mutex<HashMap<ExportKey, (Instant, Export)>>);

impl Exports {
    /// Hands one out, once.
    pub(super) fn take(&self, key: &ExportKey) -> Option<Export> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, one| one.0.elapsed() < KEPT);
        kept.remove(key).map(|one| one.1)
    }

    /// Keeps one; when it was begun counts anew.
    pub(super) fn keep(&self, key: ExportKey, work: Export) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, one| one.0.elapsed() < KEPT);
        if kept.len() >= MOST
            && let Some(oldest) = kept.iter().min_by_key(|one| one.1.0).map(|one| one.0.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(key, (Instant::now(), work));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_export_is_handed_out_once_and_to_who_asked() {
        let exports = Exports::default();
        let key = |who: &str| (Some(("user", who.to_owned())), Some(1), "hash".to_owned());
        exports.keep(key("1"), tokio::spawn(async { Ok(Value::Bool(true)) }));
        assert!(exports.take(&key("2")).is_none());
        let work = exports.take(&key("1")).unwrap();
        assert_eq!(work.await.unwrap().unwrap(), Value::Bool(true));
        assert!(exports.take(&key("1")).is_none());
        for n in 0..20 {
            exports.keep(key(&n.to_string()), tokio::spawn(async { Ok(Value::Null) }));
        }
        assert!(exports.take(&key("3")).is_none() && exports.take(&key("19")).is_some());
    }
}
