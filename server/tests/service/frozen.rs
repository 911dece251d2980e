//! Processes that are stopped for a while: each moment of a race lasts as long as a test needs.
use crate::bench::signal;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pgphysical::replication::{ConnInfo, ReplicationConnection};
use std::time::{Duration, Instant};

/// A process that does nothing until this is dropped.
pub struct Frozen(u32);

impl Frozen {
    pub fn new(pid: u32) -> Self {
        signal(pid, Signal::SIGSTOP);
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        let _ = kill(Pid::from_raw(self.0.cast_signed()), Signal::SIGCONT);
    }
}

/// Freezes PostgreSQL's side of the next backup while that reads its files: it can be read to its end, and cannot end.
pub async fn freeze_backup(url: &str) -> Frozen {
    let asked = "SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast backup' \
                 AND backend_type = 'client backend' AND state = 'idle' AND query LIKE '%pg_tablespace_location%'";
    let info = ConnInfo::parse(url).unwrap();
    let mut watch = ReplicationConnection::connect_sql(&info, "postgres").await.unwrap();
    let mut look = async || watch.query(asked).await.unwrap().into_iter().next()?.into_iter().next()?;
    let deadline = Instant::now() + Duration::from_secs(150);
    loop {
        if let Some(pid) = look().await {
            let frozen = Frozen::new(pid.parse().unwrap());
            // What it says of itself stands still too: it was not asked to end before.
            if look().await == Some(pid) {
                return frozen;
            }
        }
        assert!(Instant::now() < deadline, "no backup was seen in its middle");
        std::thread::sleep(Duration::from_millis(5));
    }
}
