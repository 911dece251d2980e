//! Work of several steps at the terminal: its log, how far the present step is, Ctrl-C and SIGTERM.

use super::{Failure, interrupts::Interrupts};
use domain::{format, view::JobKind};
use recovery::Alone;
use std::{
    future::Future,
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

/// Work whose log goes to the standard error, unless that gets JSON lines.
pub fn alone(kind: JobKind, json: bool) -> Alone {
    // Progress is a courtesy: a closed standard error is no failure.
    let sink: fn(&str) = if json { |_| {} } else { |line| _ = writeln!(std::io::stderr(), "{line}") };
    Alone::new(kind, sink)
}

/// Does it; tells how far it is on the standard error, as a line that is replaced or as JSON lines.
pub async fn watched<T>(
    what: &str,
    json: bool,
    alone: &Alone,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, Failure> {
    let terminal = std::io::stderr().is_terminal();
    tokio::pin!(work);
    let mut interrupts = Interrupts::listen();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut last = String::new();
    loop {
        tokio::select! {
            done = &mut work => return done.map_err(Failure::failed),
            _ = tick.tick() => {
                let progress = alone.progress();
                let present = progress.steps.iter().position(|step| step.seconds.is_none());
                let name = present.and_then(|at| progress.steps.get(at)).map_or("", |step| step.name.as_str());
                if json {
                    let line = serde_json::json!({
                        "progress": what,
                        "step": present.map(|at| at + 1),
                        "of": progress.steps.len(),
                        "name": name,
                        "done_bytes": progress.done_bytes,
                        "total_bytes": progress.total_bytes,
                        "bytes_per_second": progress.bytes_per_second.map(f64::round),
                        "remaining_seconds": progress.remaining_seconds.map(f64::round),
                    })
                    .to_string();
                    if line != last {
                        let _ = writeln!(std::io::stderr(), "{line}");
                        last = line;
                    }
                } else if terminal && let (Some(done), Some(total)) = (progress.done_bytes, progress.total_bytes) {
                    let rate = progress.bytes_per_second.map_or_else(String::new, |it| format!(", {}/s", format::bytes(it)));
                    let _ = write!(std::io::stderr(), "\r\x1b[K{name}: {} of {}{rate}\r", format::bytes(done as f64), format::bytes(total as f64));
                }
            }
            () = interrupts.next() => alone.cancel(),
        }
    }
}
