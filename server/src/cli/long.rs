//! Long work at the terminal: a line of progress, Ctrl-C and SIGTERM.

use super::{Failure, interrupts::Interrupts};
use backup::Progress;
use std::{
    collections::VecDeque,
    future::Future,
    io::{IsTerminal as _, Write as _},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// The rate is that of so many seconds: what was fast at the beginning tells little of the rest.
const WINDOW: usize = 15;

/// Runs `work`, shows how far it is on the standard error (a line that is replaced, or JSON lines), and stops it on
/// Ctrl-C or SIGTERM.
pub async fn long<T>(
    what: &str,
    json: bool,
    progress: &Arc<Progress>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let terminal = std::io::stderr().is_terminal() && !json;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut pace = Pace { begun: Instant::now(), seen: VecDeque::with_capacity(WINDOW + 1) };
    tokio::pin!(work);
    let mut interrupts = Interrupts::listen();
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => pace.show(what, json, terminal, progress),
            () = interrupts.next() => progress.cancelled.store(true, Ordering::Relaxed),
        }
    };
    if json {
        // The last state too: work of less than a second has one.
        pace.show(what, json, terminal, progress);
    }
    if terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    done
}

struct Pace {
    begun: Instant,
    seen: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// Bytes a second, lately; `None` while nothing was done.
    fn rate(&mut self, done: u64) -> Option<f64> {
        let now = Instant::now();
        let (since, before) = self.seen.front().copied().unwrap_or((self.begun, 0));
        self.seen.push_back((now, done));
        if self.seen.len() > WINDOW {
            self.seen.pop_front();
        }
        let seconds = now.duration_since(since).as_secs_f64();
        (seconds > 0.0 && done > before).then(|| (done - before) as f64 / seconds)
    }

    fn show(&mut self, what: &str, json: bool, terminal: bool, progress: &Progress) {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (total, done) = (count(&progress.total), count(&progress.done));
        let rate = self.rate(done);
        // Before the files are listed nothing is known of the end.
        let left = rate.filter(|_| total > 0).map(|rate| total.saturating_sub(done) as f64 / rate);
        let mut out = std::io::stderr();
        // Progress is a courtesy: a closed standard error is no failure.
        if json {
            let line = serde_json::json!({
                "progress": what,
                "total_bytes": (total > 0).then_some(total),
                "done_bytes": done,
                "bytes_per_second": rate.map(f64::round),
                "remaining_seconds": left.map(f64::round),
                "elapsed_seconds": self.begun.elapsed().as_secs_f64().round(),
            });
            let _ = writeln!(out, "{line}");
        } else if terminal && total > 0 {
            let percent = 100.0 * done as f64 / total as f64;
            let rest = match (rate, left) {
                (Some(rate), Some(left)) => {
                    format!(", {}/s, {} left", domain::format::bytes(rate), domain::format::duration_s(left))
                }
                _ => String::new(),
            };
            let _ = write!(out, "\r\x1b[K{what}: {percent:.0} % of {}{rest}", domain::format::bytes(total as f64));
            let _ = out.flush();
        }
    }
}
