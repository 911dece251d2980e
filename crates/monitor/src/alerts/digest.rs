//! New slow statements, in one message for each quarter of an hour: one for each statement would be noise.
use control::{ControlPlane, alerts::Notice, now};
use domain::{Timestamp, format};
use std::time::Duration;
use store::{StatementRepo, StoreError};
use tokio_util::sync::CancellationToken;

/// In ticks: a quarter of an hour at the usual thirty seconds.
const TICKS: u32 = 30;
/// Slow within these days is not new.
const KNOWN_MS: i64 = 7 * 86_400_000;
/// Whoever has watched for less than this many digests knows too little to call something new.
const WARM_UP: i64 = 2;
const LISTED: usize = 10;

pub(super) async fn run(control: ControlPlane, interval: Duration, stop: CancellationToken) {
    let every = interval * TICKS;
    let mut from = now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        let to = now();
        let length = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        let clusters = control.clusters().all().map(|(config, _)| config.id.clone()).collect::<Vec<_>>();
        let mut failed = false;
        for cluster in clusters {
            if let Err(error) = digest(&control, &cluster, from, to, length).await {
                tracing::warn!(%error, cluster, "new slow statements could not be looked for; it is tried again");
                failed = true;
            }
        }
        if !failed {
            from = to;
        }
    }
}

async fn digest(
    control: &ControlPlane,
    cluster: &str,
    from: Timestamp,
    to: Timestamp,
    length: i64,
) -> Result<(), StoreError> {
    let statements = StatementRepo(control.store().db());
    let known_since = to.plus_ms(-KNOWN_MS);
    let found = statements.newly_slow(cluster, known_since, from, to, control.slow_threshold_ms()).await?;
    let watched_since = statements.first_sample_at(cluster).await?;
    if watched_since.is_none_or(|since| from.0 - since.0 < WARM_UP * length) {
        return Ok(());
    }
    let found = found.into_iter().filter(|it| !analysis::sqltext::is_own(&it.query)).collect::<Vec<_>>();
    if found.is_empty() {
        return Ok(());
    }
    let lines = found.iter().take(LISTED).map(|it| {
        let text = analysis::sqltext::one_line(&it.query, 160);
        let calls = if it.calls == 1 { "one call".to_owned() } else { format!("{} calls", it.calls) };
        format!("{} on average, {calls}: {text}", format::duration_ms(it.mean_ms))
    });
    let mut detail = lines.collect::<Vec<_>>().join("\n");
    if found.len() > LISTED {
        detail.push_str(&format!("\nand {} more", found.len() - LISTED));
    }
    let measured = match found.len() {
        1 => "1 statement".to_owned(),
        many => format!("{many} statements"),
    };
    control.alerts().notice(cluster, Notice::new("slow_statements_new", to.to_human(), measured).with_detail(detail));
    Ok(())
}
