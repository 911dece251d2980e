//! Sending what was written down: at least once, in order within a channel, and no channel waits for another.
//!
//! An attempt is noted before it is made. Whoever is cut off in the middle finds the message in hand at the next start
//! and sends it once more, with the same key.
use control::{ControlPlane, now};
use notify::{MessageKind, Notifier};
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};
use store::{ChannelRepo, ChannelRow, DeliveryRepo, DeliveryRow, DeliveryState, StoreError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Messages are looked for this often, and at once when there is a new one.
const EVERY: Duration = Duration::from_secs(2);
/// An attempt of ours whose task was lost is over by then.
const LEASE_MS: i64 = 60_000;
const AT_ONCE: u64 = 200;
/// Together about seven hours.
const ATTEMPTS: u32 = 12;
const BACKOFF_SECONDS: [i64; 7] = [2, 10, 60, 300, 900, 1_800, 3_600];

/// How long to wait after so many attempts; `None` when it is given up.
fn backoff_ms(attempts: u32, jitter: f64) -> Option<i64> {
    if attempts >= ATTEMPTS {
        return None;
    }
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(BACKOFF_SECONDS.len() - 1);
    // Up to a fifth more, so that many channels of one server do not come back in one moment.
    Some((BACKOFF_SECONDS[index] as f64 * 1_000.0 * (1.0 + jitter.clamp(0.0, 1.0) / 5.0)) as i64)
}

pub(super) async fn run(control: ControlPlane, stop: CancellationToken) {
    let notifier = Notifier::new();
    let mut busy = HashSet::new();
    let mut sending = JoinSet::new();
    let mut released = false;
    loop {
        if !released {
            released = DeliveryRepo(control.store().db()).release(now()).await.is_ok();
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = control.alerts().due() => {}
            () = tokio::time::sleep(EVERY) => {}
            Some(ended) = sending.join_next() => {
                if let Ok(channel) = ended {
                    busy.remove(&channel);
                } else {
                    // A task that was lost leaves its channel to the next look.
                    busy.clear();
                }
            }
        }
        let due = match DeliveryRepo(control.store().db()).due(now(), AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::debug!(%error, "messages cannot be read; it is tried again");
                continue;
            }
        };
        let mut by_channel = BTreeMap::<i64, Vec<DeliveryRow>>::new();
        for row in due {
            by_channel.entry(row.channel_id).or_default().push(row);
        }
        for (channel, rows) in by_channel {
            if busy.insert(channel) {
                let (control, notifier) = (control.clone(), notifier.clone());
                sending.spawn(async move {
                    if let Err(error) = send_all(&control, &notifier, channel, &rows).await {
                        tracing::error!(%error, channel, "how messages fared could not be noted; they are sent again");
                    }
                    channel
                });
            }
        }
    }
}

async fn send_all(
    control: &ControlPlane,
    notifier: &Notifier,
    channel: i64,
    rows: &[DeliveryRow],
) -> Result<(), StoreError> {
    for row in rows {
        // Read for each: it may have been switched off or mended meanwhile.
        let Some(channel) = ChannelRepo(control.store().db()).get(channel).await? else { return Ok(()) };
        if !send(control, notifier, &channel, row).await? {
            // The server is in trouble: the others wait for their turn rather than press on.
            return Ok(());
        }
    }
    Ok(())
}

/// Whether the channel works.
async fn send(
    control: &ControlPlane,
    notifier: &Notifier,
    channel: &ChannelRow,
    row: &DeliveryRow,
) -> Result<bool, StoreError> {
    let deliveries = DeliveryRepo(control.store().db());
    let at = now();
    if !channel.enabled {
        deliveries.end(row.id, DeliveryState::Dropped, at, at, Some("the channel is switched off")).await?;
        return Ok(true);
    }
    if row.kind == MessageKind::Resolved.as_str()
        && let Some(alert) = row.alert_id
    {
        let before = deliveries.of_alert(alert).await?;
        let before = before.iter().filter(|it| it.channel_id == row.channel_id && it.id < row.id).collect::<Vec<_>>();
        if let Some(earlier) = before.iter().find(|it| matches!(it.state.as_str(), "waiting" | "sending")) {
            let after = earlier.next_at.plus_ms(1_000);
            deliveries
                .end(row.id, DeliveryState::Waiting, at, after, Some("an earlier message is still on its way"))
                .await?;
            return Ok(true);
        }
        if !before.is_empty() && before.iter().all(|it| it.state == "dead" || it.state == "dropped") {
            deliveries.end(row.id, DeliveryState::Dropped, at, at, Some("its begin never arrived")).await?;
            return Ok(true);
        }
    }
    deliveries.take(row.id, at.plus_ms(LEASE_MS)).await?;
    let attempt = match (control.channel_destination(channel), serde_json::from_str(&row.payload)) {
        (Ok(destination), Ok(message)) => {
            notifier.send(&destination, &message, at).await.map_err(|error| (error.to_string(), error.is_permanent()))
        }
        (Err(error), _) => Err((error.to_string(), false)),
        (_, Err(error)) => Err((format!("the message cannot be read: {error}"), true)),
    };
    let attempts = row.attempts + 1;
    match attempt {
        Ok(()) => {
            deliveries.end(row.id, DeliveryState::Sent, now(), now(), None).await?;
            ChannelRepo(control.store().db()).note(channel.id, Some(now()), None).await?;
            Ok(true)
        }
        Err((reason, permanent)) => {
            let again = if permanent { None } else { backoff_ms(attempts, rand::random()) };
            match again {
                Some(wait) => {
                    tracing::warn!(
                        channel = channel.name,
                        reason,
                        attempts,
                        "a message did not arrive; it is tried again"
                    );
                    deliveries.end(row.id, DeliveryState::Waiting, at, now().plus_ms(wait), Some(&reason)).await?;
                }
                None => {
                    tracing::error!(channel = channel.name, reason, attempts, "a message is given up");
                    deliveries.end(row.id, DeliveryState::Dead, at, at, Some(&reason)).await?;
                }
            }
            ChannelRepo(control.store().db()).note(channel.id, None, Some(&reason)).await?;
            Ok(permanent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_again_ever_more_slowly_and_given_up_after_some_hours() {
        let waits = (1..ATTEMPTS).filter_map(|attempts| backoff_ms(attempts, 0.0)).collect::<Vec<_>>();
        assert!(waits.is_sorted() && waits[0] == 2_000, "{waits:?}");
        let hours = waits.iter().sum::<i64>() as f64 / 3_600_000.0;
        assert!((5.0..10.0).contains(&hours), "{hours}");
        assert_eq!(backoff_ms(ATTEMPTS, 0.0), None);
        assert_eq!(backoff_ms(1, 1.0), Some(2_400));
    }
}
