//! What a restore to the newest moment lost, and whether anything measured it.
use crate::wal;
use control::Slot;
use domain::{Timestamp, format};

/// What tells how much was outstanding when a run began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Witness {
    /// All WAL that was older than so many seconds was in the repository; `None` when no stream of ours knows.
    pub lag_seconds: Option<f64>,
    /// The source writes a heartbeat, so that no more than the age of the last transaction was lost, and not less.
    pub heartbeat: bool,
    /// The last heartbeat that our stream wrote into the source.
    pub heartbeat_at: Option<Timestamp>,
}

impl Witness {
    /// As it is now.
    pub fn of(slot: &Slot) -> Self {
        Self {
            lag_seconds: wal::lag(slot),
            heartbeat: slot.config.writes_heartbeat(),
            heartbeat_at: slot.wal.load().heartbeat_at,
        }
    }

    /// What a copy lost that holds all WAL there was, up to this transaction. On an idle server that is old without
    /// anything being lost, so that it is no more than what the stream had still to bring; but a heartbeat that the copy
    /// does not have is lost, whatever the stream believes.
    pub fn lost(self, began_at: Timestamp, last: Option<Timestamp>) -> Loss {
        let age = last.map(|last| began_at.seconds_since(last).max(0.0));
        let missing = self.heartbeat_at.zip(last).map(|(beat, last)| beat.min(began_at).seconds_since(last).max(0.0));
        let believed = age.into_iter().chain(self.lag_seconds).reduce(f64::min);
        match believed.into_iter().chain(missing).reduce(f64::max) {
            None => Loss::Unknown,
            Some(seconds) if self.heartbeat || self.lag_seconds.is_some() => Loss::Measured(seconds),
            Some(seconds) => Loss::AtMost(seconds),
        }
    }

    /// The two moments that are compared, as evidence.
    pub fn heartbeat(self, last: Option<Timestamp>) -> Option<String> {
        let (beat, last) = self.heartbeat_at.zip(last)?;
        let (beat, last) = (beat.to_rfc3339(), last.to_rfc3339());
        Some(format!("heartbeat: the source's was of {beat}, the newest transaction here is of {last}"))
    }
}

/// Seconds of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    /// No transaction with a known time, and no stream.
    Unknown,
    /// So much.
    Measured(f64),
    /// The last transaction is as old on a database at rest, and nothing was lost.
    AtMost(f64),
}

impl Loss {
    /// The figure. What is no more than a bound counts below the limit alone: above it, it would be shown as missed.
    pub fn seconds(self, limit: Option<f64>) -> Option<f64> {
        match self {
            Self::Unknown => None,
            Self::Measured(seconds) => Some(seconds),
            Self::AtMost(seconds) => Some(seconds).filter(|it| limit.is_some_and(|limit| *it <= limit)),
        }
    }

    /// Why there is no figure, when nothing measured it.
    pub fn unproved(self, limit: Option<f64>) -> Option<String> {
        let Self::AtMost(seconds) = self else { return None };
        self.seconds(limit).is_none().then(|| {
            let limit = limit.map_or_else(String::new, |limit| format!(", limit {}", format::limit_s(limit)));
            format!(
                "RPO {} at most{limit}: the source writes no heartbeat and no stream of ours tells what was outstanding",
                format::duration_s(seconds)
            )
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BEGAN: Timestamp = Timestamp(10_000_000);

    fn lost(age_seconds: Option<i64>, lag_seconds: Option<f64>, heartbeat: bool) -> Loss {
        Witness { lag_seconds, heartbeat, heartbeat_at: None }
            .lost(BEGAN, age_seconds.map(|age| Timestamp(BEGAN.0 - age * 1_000)))
    }

    #[test]
    fn an_idle_server_loses_nothing_although_its_last_transaction_is_old() {
        assert_eq!(lost(Some(7_200), Some(0.5), false), Loss::Measured(0.5));
        assert_eq!(lost(Some(3), Some(10.0), false), Loss::Measured(3.0));
        assert_eq!((lost(None, Some(0.5), false), lost(None, None, true)), (Loss::Measured(0.5), Loss::Unknown));
        // A heartbeat is a transaction: that none came is a loss.
        assert_eq!(lost(Some(7_200), None, true), Loss::Measured(7_200.0));
    }

    #[test]
    fn a_heartbeat_that_the_copy_does_not_have_is_lost_whatever_the_stream_believes() {
        let ago = |seconds: i64| Some(BEGAN.plus_ms(-1_000 * seconds));
        let lost =
            |last, heartbeat_at| Witness { lag_seconds: Some(0.0), heartbeat: true, heartbeat_at }.lost(BEGAN, last);
        assert_eq!(lost(ago(8), ago(9)), Loss::Measured(0.0));
        assert_eq!(lost(ago(60), ago(9)), Loss::Measured(51.0));
        assert_eq!(lost(None, ago(9)), Loss::Measured(0.0));
        // No more than its age at the begin.
        assert_eq!(lost(ago(1), ago(-30)), Loss::Measured(1.0));
        let beaten = Witness { heartbeat_at: Some(Timestamp(2_000)), ..Witness::default() };
        let told = beaten.heartbeat(Some(Timestamp(3_000))).unwrap();
        assert!(told.contains("1970-01-01T00:00:02Z") && told.contains("1970-01-01T00:00:03Z"), "{told}");
    }

    #[test]
    fn an_old_transaction_alone_is_no_loss() {
        let old = lost(Some(7_200), None, false);
        assert_eq!((old, old.seconds(None), old.seconds(Some(60.0))), (Loss::AtMost(7_200.0), None, None));
        assert!(old.unproved(None).unwrap().starts_with("RPO 2 h 00 min at most: "), "{:?}", old.unproved(None));
        assert!(old.unproved(Some(60.0)).unwrap().contains("limit 1 min: "));
        // A young one proves that the objective is kept.
        let young = lost(Some(3), None, false);
        assert_eq!((young.seconds(Some(60.0)), young.unproved(Some(60.0))), (Some(3.0), None));
        assert!(young.seconds(None).is_none() && young.unproved(None).is_some());
        assert_eq!((lost(Some(3), None, true).unproved(None), Loss::Unknown.unproved(None)), (None, None));
    }
}
