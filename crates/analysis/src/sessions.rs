//! Samples of active sessions, added up until a bucket is full.
use crate::waits;
use domain::reading::{Backend, SessionBucket, SessionKey};
use std::collections::HashMap;

/// Rows of one bucket; what is rarer is put together by wait class.
const ROWS_AT_MOST: usize = 200;
/// A name of a role or application is at most 63 bytes; more than this is somebody's experiment.
const NAME_CHARS: usize = 100;

/// The bucket that is being filled.
#[derive(Clone, Debug, Default)]
pub struct SessionHistory {
    samples: i64,
    skipped: i64,
    counts: HashMap<SessionKey, i64>,
}

impl SessionHistory {
    /// Adds one look.
    pub fn add<'a>(&mut self, backends: impl IntoIterator<Item = &'a Backend>) {
        self.samples += 1;
        for key in backends.into_iter().filter_map(key) {
            *self.counts.entry(key).or_default() += 1;
        }
    }

    /// Looks that were due and not taken.
    pub const fn skip(&mut self, number: i64) {
        self.skipped += number;
    }

    /// Ends the bucket; `None` when nothing was looked at.
    pub fn take(&mut self, interval_ms: i64) -> Option<SessionBucket> {
        let Self { samples, skipped, counts } = std::mem::take(self);
        (samples > 0 || skipped > 0).then(|| SessionBucket {
            samples,
            skipped,
            interval_ms,
            rows: thin(counts.into_iter().collect()),
        })
    }
}

/// Keeps the most frequent rows and adds up the others by wait class, so that the sum stays.
pub fn thin(mut rows: Vec<(SessionKey, i64)>) -> Vec<(SessionKey, i64)> {
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    if rows.len() <= ROWS_AT_MOST {
        return rows;
    }
    let rest = rows.split_off(ROWS_AT_MOST);
    let mut others = HashMap::<String, i64>::new();
    for (key, count) in rest {
        *others.entry(key.wait_class).or_default() += count;
    }
    let other = |wait_class: String| SessionKey {
        wait_class,
        wait_event: "(other)".to_owned(),
        query_id: 0,
        database: "(other)".to_owned(),
        user: "(other)".to_owned(),
        application: "(other)".to_owned(),
        host: "(other)".to_owned(),
    };
    rows.extend(others.into_iter().map(|(class, count)| (other(class), count)));
    rows
}

fn key(backend: &Backend) -> Option<SessionKey> {
    let class = waits::class(backend)?;
    let short = |text: &str| text.chars().take(NAME_CHARS).collect::<String>().replace('\0', " ");
    let application = if backend.backend_type == "client backend" && !backend.application.is_empty() {
        short(&backend.application)
    } else if backend.backend_type == "client backend" {
        "(no name)".to_owned()
    } else {
        backend.backend_type.clone()
    };
    Some(SessionKey {
        wait_class: class.to_owned(),
        wait_event: backend.wait_event.as_deref().map(short).unwrap_or_default(),
        query_id: backend.query_id.as_deref().and_then(|id| id.parse().ok()).unwrap_or(0),
        database: backend.database.as_deref().map_or_else(|| "(none)".to_owned(), short),
        user: backend.user.as_deref().map_or_else(|| "(none)".to_owned(), short),
        application,
        host: backend.client_address.as_deref().map_or_else(|| "local".to_owned(), short),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backend(wait: Option<&str>, application: &str) -> Backend {
        Backend {
            backend_type: "client backend".into(),
            state: Some("active".into()),
            wait_event_type: wait.map(Into::into),
            application: application.into(),
            ..Backend::default()
        }
    }

    #[test]
    fn the_same_session_twice_counts_twice_and_idle_ones_do_not() {
        let mut history = SessionHistory::default();
        assert!(history.take(60_000).is_none());
        let idle = Backend { state: Some("idle".into()), ..backend(None, "a") };
        history.add([&backend(None, "a"), &backend(Some("IO"), "a"), &idle]);
        history.add([&backend(None, "a")]);
        history.skip(3);
        let bucket = history.take(60_000).unwrap();
        assert_eq!((bucket.samples, bucket.skipped), (2, 3));
        let counts = bucket.rows.iter().map(|(key, count)| (key.wait_class.as_str(), *count)).collect::<Vec<_>>();
        assert_eq!(counts, [("CPU", 2), ("IO", 1)]);
        assert!(history.take(60_000).is_none());
    }

    proptest! {
        #[test]
        fn thinning_keeps_the_sum_of_every_wait_class(counts in proptest::collection::vec((0usize..7, 1i64..50), 0..600)) {
            let rows = counts.iter().enumerate().map(|(i, (class, count))| {
                (SessionKey { wait_class: crate::waits::CLASSES[*class].into(), application: i.to_string(), ..SessionKey::default() }, *count)
            }).collect::<Vec<_>>();
            let thinned = thin(rows.clone());
            prop_assert!(thinned.len() <= ROWS_AT_MOST + 7);
            for class in crate::waits::CLASSES {
                let sum = |rows: &[(SessionKey, i64)]| rows.iter().filter(|row| row.0.wait_class == class).map(|row| row.1).sum::<i64>();
                prop_assert_eq!(sum(&rows), sum(&thinned));
            }
        }
    }
}
