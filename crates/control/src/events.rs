//! What happened to a cluster: seen by us, or told by those who change it.
use crate::{Actor, ControlError, ControlPlane, monitoring, now};
use domain::{
    Permission, Timestamp,
    view::{Event, EventKind, Range},
};
use serde_json::json;
use store::EventRepo;

/// A title stands on a chart and in a list of one line each.
const LONGEST_TITLE: usize = 200;
/// Whoever tells late tells of what charts still show.
const OLDEST_MS: i64 = 30 * 86_400_000;
/// Clocks differ.
const AHEAD_MS: i64 = 60_000;

impl ControlPlane {
    /// Events of a range, the oldest first; the newest 200 when there are more.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Invalid`] for a range that is not kept.
    pub async fn events_list(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        range: Range,
    ) -> Result<Vec<Event>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let id = self.clusters().find(cluster)?.0.id.clone();
        let (from, to) = monitoring::bounds(range, now())?;
        self.events(&id, from, to).await
    }

    /// Notes a release or another change made elsewhere: a marker on every chart of the cluster. `at` is now unless said.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Forbidden`], [`ControlError::Invalid`] by field.
    pub async fn event_note(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        title: &str,
        at: Option<Timestamp>,
    ) -> Result<Event, ControlError> {
        const ACTION: &str = "event_note";
        let id = self.clusters().find(cluster)?.0.id.clone();
        self.authorize_audited(actor, Permission::EventNote, ACTION, ("cluster", &id)).await?;
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        if title.is_empty() || title.chars().count() > LONGEST_TITLE {
            return Err(ControlError::field("title", format!("say what changed, in 1 to {LONGEST_TITLE} characters")));
        }
        let now = now();
        let at = at.unwrap_or(now);
        if at > now.plus_ms(AHEAD_MS) || at < now.plus_ms(-OLDEST_MS) {
            return Err(ControlError::field("at", "an event is of the last 30 days, and not of the future"));
        }
        let event = Event::new(at, EventKind::Deploy, title);
        let transaction = self.store().begin().await?;
        EventRepo(&transaction).insert(&id, std::slice::from_ref(&event)).await?;
        let after = json!({ "at": event.at, "title": event.title });
        self.audit_in(&transaction, actor, ACTION, ("cluster", &id), (None, Some(after))).await?;
        self.store().commit(transaction).await?;
        Ok(event)
    }
}
