//! Ctrl-C and SIGTERM, heard also while nobody waits for them.
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Made once, before the loop that asks it: a listener that is made anew in each turn misses what comes between two turns.
#[derive(Debug)]
pub(super) struct Interrupts([Option<Signal>; 2]);

impl Interrupts {
    /// From here on neither ends the process by itself.
    pub(super) fn listen() -> Self {
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()))
    }

    /// Until the next one, or one that came since the last.
    pub(super) async fn next(&mut self) {
        async fn of(signal: &mut Option<Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        let Self([interrupt, terminate]) = self;
        tokio::select! {
            () = of(interrupt) => {}
            () = of(terminate) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn what_came_while_nobody_waited_is_heard() {
        let mut interrupts = Interrupts::listen();
        for kind in [nix::sys::signal::Signal::SIGINT, nix::sys::signal::Signal::SIGTERM] {
            // A turn of a loop that did something else.
            assert!(tokio::time::timeout(Duration::from_millis(10), interrupts.next()).await.is_err());
            nix::sys::signal::raise(kind).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            tokio::time::timeout(Duration::from_secs(20), interrupts.next()).await.unwrap();
        }
    }
}
