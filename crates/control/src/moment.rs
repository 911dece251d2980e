//! What sessions did at a moment that is over: from the samples that were kept, never from the cluster.
use crate::{Actor, ControlError, ControlPlane, load, monitoring, now};
use domain::{
    Permission, Timestamp,
    view::{ActivityMoment, MomentRow, Range},
};
use std::collections::BTreeSet;
use store::{LockRepo, SessionHistoryRepo, SessionsSeen};

/// Kinds of sessions in the answer; beyond these a minute tells no more.
const ROWS: usize = 200;
const BUSIEST: u64 = 8;
const LOCKS: u64 = 20;
/// Where stretches are shorter than a minute, those of the minute around the moment are put together.
const HALF_MINUTE_MS: i64 = 30_000;

impl ControlPlane {
    /// The sessions that were active at a moment, in the minute that holds it; without a moment the last that was sampled.
    /// `range` is where the busiest minutes and the kept graphs of locks are looked for.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] for a moment that is still to come or before all history.
    pub async fn activity_at(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        at: Option<Timestamp>,
        database: Option<&str>,
        range: Range,
    ) -> Result<ActivityMoment, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let id = self.inner.clusters.find(cluster)?.0.id.clone();
        let present = now();
        let repo = SessionHistoryRepo(self.inner.store.db());
        let at = match at {
            Some(at) => checked(at, present)?,
            None => repo.before(&id, present).await?.map_or(present, |last| last.to),
        };
        let stretch = repo.stretch(&id, at).await?;
        let (from, to) = match stretch {
            Some(one) if one.to.0 - one.from.0 >= 2 * HALF_MINUTE_MS => (one.from, one.to),
            Some(one) => {
                (Timestamp(one.from.0.min(at.0 - HALF_MINUTE_MS)), Timestamp(one.to.0.max(at.0 + HALF_MINUTE_MS)))
            }
            None => (at, at),
        };
        let (mut samples, mut skipped, mut seen) = (0, 0, Vec::new());
        if stretch.is_some() {
            for part in repo.samples(&id, from, to, to.0 - from.0).await? {
                samples += part.samples;
                skipped += part.skipped;
            }
            seen = repo.seen(&id, from, to).await?;
        }
        let databases = seen.iter().map(|it| it.database.clone()).filter(|name| !name.is_empty());
        let databases = databases.collect::<BTreeSet<_>>().into_iter().collect();
        seen.retain(|it| database.is_none_or(|only| it.database == only));
        let all = seen.iter().map(|it| it.samples).sum::<i64>();
        let rows = self.moment_rows(&id, seen, samples, all).await?;
        let (begin, end) = monitoring::bounds(range, present)?;
        let locks = LockRepo(self.inner.store.db());
        let lock_snapshots = locks.between(&id, begin, end, LOCKS).await?;
        // A kept graph is of the worst moment of a time of waiting: it is of this minute too when the waiting was.
        let near = locks.between(&id, from.plus_ms(-3_600_000), to.plus_ms(3_600_000), LOCKS).await?;
        let lasted = |it: &&domain::view::LockSnapshotSummary| {
            let wait_ms = (it.longest_wait_seconds.unwrap_or(0.0) * 1_000.0) as i64;
            it.at.0 >= from.0 && it.at.0 - wait_ms <= to.0
        };
        let graph = near.iter().filter(lasted).min_by_key(|it| (it.at.0 - at.0).abs());
        let graph = match graph.and_then(|it| it.id.parse().ok()) {
            Some(number) => locks.get(&id, number).await?,
            None => None,
        };
        Ok(ActivityMoment {
            at,
            from,
            to,
            samples,
            skipped,
            average_active_sessions: if samples > 0 { all as f64 / samples as f64 } else { 0.0 },
            rows,
            databases,
            before: repo.before(&id, from).await?.map(|it| it.to),
            after: repo.after(&id, to).await?.map(|it| it.to),
            busiest: repo.busiest(&id, begin, end, BUSIEST).await?,
            lock_snapshots,
            locks: graph,
            cluster: id,
        })
    }

    async fn moment_rows(
        &self,
        cluster: &str,
        seen: Vec<SessionsSeen>,
        samples: i64,
        all: i64,
    ) -> Result<Vec<MomentRow>, ControlError> {
        let shown = seen.into_iter().take(ROWS).collect::<Vec<_>>();
        let ids = shown.iter().map(|it| it.query_id).filter(|id| *id != 0).collect::<BTreeSet<_>>();
        let ids = ids.into_iter().collect::<Vec<_>>();
        let texts = self.texts(cluster, &ids).await?;
        // Of statements with one text the one of the session's database and role.
        let named = shown.iter().map(|it| it.query_id.to_string()).collect::<Vec<_>>();
        let asked = shown.iter().zip(&named);
        let asked = asked.map(|(it, id)| (Some(id.as_str()), Some(it.database.as_str()), Some(it.role.as_str())));
        let keys = self.statement_keys(cluster, &asked.collect::<Vec<_>>()).await?;
        let row = |(it, id): (SessionsSeen, Option<String>)| MomentRow {
            fingerprint: (it.query_id != 0).then(|| it.query_id.to_string()),
            query: texts.get(&it.query_id).map_or_else(|| load::unnamed(it.query_id), |(_, text)| text.clone()),
            stands_in: !texts.contains_key(&it.query_id),
            id,
            average_active_sessions: it.samples as f64 / samples.max(1) as f64,
            percent: 100.0 * it.samples as f64 / all.max(1) as f64,
            samples: it.samples,
            wait_class: it.class,
            wait_event: it.event,
            database: it.database,
            user: it.role,
            application: it.application,
            host: it.host,
        };
        Ok(shown.into_iter().zip(keys).map(row).collect())
    }
}

/// Whether there can be samples of a moment.
fn checked(at: Timestamp, present: Timestamp) -> Result<Timestamp, ControlError> {
    // Two clocks are never quite the same.
    if at > present.plus_ms(60_000) {
        let message = format!("'{at}' is still to come: it is {present} now; choose a moment that is over");
        return Err(ControlError::field("at", message));
    }
    let oldest = present.plus_ms(-monitoring::HISTORY_DAYS * 86_400_000);
    if at < oldest {
        let days = monitoring::HISTORY_DAYS;
        return Err(ControlError::field(
            "at",
            format!("'{at}' is before all history: it is kept for {days} days at most"),
        ));
    }
    Ok(at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_nobody_can_know_of_is_refused_with_the_reason() {
        let present = Timestamp(1_800_000_000_000);
        let message = |ms| checked(present.plus_ms(ms), present).unwrap_err().to_string();
        assert!(message(61_000).contains("still to come"));
        assert!(message(-401 * 86_400_000).contains("400 days"));
        assert_eq!(checked(present.plus_ms(-5), present).unwrap(), present.plus_ms(-5));
    }
}
