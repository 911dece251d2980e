//! Which moment a run goes to.
use crate::{catalogue::Held, work::Ended};
use backup::{Repository, restore::Target};
use domain::{Timestamp, view::RecoveryInterval};

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    /// All WAL there is.
    Latest,
    /// Any moment of which the repository says that it can be restored, each as likely as any other.
    Random,
    /// What a person chose, and how to call it.
    Chosen(Target, String),
}

/// The target, and for people.
pub(crate) async fn choose(goal: &Goal, repository: &Repository, system: u64) -> Result<(Target, String), Ended> {
    match goal {
        Goal::Latest => Ok((Target::Latest, "the end of the WAL".to_owned())),
        Goal::Chosen(target, label) => Ok((target.clone(), label.clone())),
        Goal::Random => {
            let held = Held::read(repository, system, None, None).await?;
            // No later moment has a transaction behind it at which replay could stop.
            let newest = repository.last_commit(system).await?.map(|it| it.0);
            let Some(at) = pick(&held.intervals, newest, rand::random::<f64>()) else {
                return Ok((Target::Immediate, "the end of the newest backup: nothing was written since".to_owned()));
            };
            let text = at.to_rfc3339();
            Ok((Target::time(&text)?, format!("{text}, chosen at random")))
        }
    }
}

/// A moment of the intervals up to `newest`; `share` of 0 is the first, of 1 the last.
fn pick(intervals: &[RecoveryInterval], newest: Option<Timestamp>, share: f64) -> Option<Timestamp> {
    let newest = newest?;
    let spans =
        intervals.iter().map(|it| (it.from.0, it.to.min(newest).0)).filter(|(from, to)| from < to).collect::<Vec<_>>();
    let all = spans.iter().map(|(from, to)| to - from).sum::<i64>();
    let mut left = (all as f64 * share.clamp(0.0, 1.0)).floor() as i64;
    for (from, to) in &spans {
        if left < to - from {
            return Some(Timestamp(from + left));
        }
        left -= to - from;
    }
    spans.last().map(|(_, to)| Timestamp(to - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Lsn;

    fn interval(from: i64, to: i64) -> RecoveryInterval {
        let (from, to) = (Timestamp(from), Timestamp(to));
        RecoveryInterval { from, to, from_lsn: Lsn(0), to_lsn: Lsn(1), timeline: 1 }
    }

    #[test]
    fn a_random_moment_lies_in_an_interval_and_never_behind_the_last_commit() {
        let intervals = [interval(100, 200), interval(500, 900)];
        assert_eq!(pick(&intervals, Some(Timestamp(700)), 0.0), Some(Timestamp(100)));
        // 100 and 200 long: a third of the way is the end of the first.
        assert_eq!(pick(&intervals, Some(Timestamp(700)), 0.3), Some(Timestamp(190)));
        assert_eq!(pick(&intervals, Some(Timestamp(700)), 0.5), Some(Timestamp(550)));
        assert_eq!(pick(&intervals, Some(Timestamp(700)), 1.0), Some(Timestamp(699)));
        assert_eq!(pick(&intervals, Some(Timestamp(90)), 0.5), None);
        assert_eq!(pick(&intervals, None, 0.5), None);
        assert_eq!(pick(&[], Some(Timestamp(700)), 0.5), None);
    }
}
