//! Long work at the terminal: a line of progress, Ctrl-C.

use super::Failure;
use backup::Progress;
use std::{
    future::Future,
    io::{IsTerminal as _, Write as _},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Runs `work`, shows how far it is on the standard error (a line that is replaced, or JSON lines), and stops it on
/// Ctrl-C.
pub async fn long<T>(
    what: &str,
    json: bool,
    progress: &Arc<Progress>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let begun = Instant::now();
    let terminal = std::io::stderr().is_terminal() && !json;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => show(what, json, terminal, progress, begun),
            _ = tokio::signal::ctrl_c() => progress.cancelled.store(true, Ordering::Relaxed),
        }
    };
    if terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    done
}

fn show(what: &str, json: bool, terminal: bool, progress: &Progress, begun: Instant) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (total, done, seconds) = (count(&progress.total), count(&progress.done), begun.elapsed().as_secs_f64());
    let rate = done as f64 / seconds.max(0.001);
    let left = if rate > 0.0 { total.saturating_sub(done) as f64 / rate } else { 0.0 };
    let mut out = std::io::stderr();
    // Progress is a courtesy: a closed standard error is no failure.
    if json {
        let _ = writeln!(
            out,
            "{}",
            serde_json::json!({"progress": what, "total_bytes": total, "done_bytes": done, "bytes_per_second": rate.round(), "remaining_seconds": left.round()})
        );
    } else if terminal && total > 0 {
        let percent = 100.0 * done as f64 / total as f64;
        let _ = write!(
            out,
            "\r\x1b[K{what}: {percent:.0} % of {}, {}, {} left",
            domain::format::bytes(total as f64),
            format_args!("{}/s", domain::format::bytes(rate)),
            domain::format::duration_s(left)
        );
        let _ = out.flush();
    }
}
