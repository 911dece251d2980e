//! Processes that are stopped, and objects that do not come: each moment of a race lasts as long as a test needs.
use crate::{
    bench::{Bench, signal},
    ending::files,
};
use nix::{
    libc::O_NONBLOCK,
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use pgphysical::replication::{ConnInfo, ReplicationConnection};
use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

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

/// A pack of the repository whose bytes do not come: whoever reads it hangs until this is dropped.
pub struct Hung {
    pack: PathBuf,
    aside: PathBuf,
}

impl Hung {
    /// The first pack that is there.
    pub fn new(bench: &Bench) -> Self {
        let all = files(&bench.path("repository"), "clusters/");
        let pack = all.into_iter().filter(|path| path.to_str().unwrap().contains("/packs/")).min().unwrap();
        let aside = bench.path("pack");
        fs::rename(&pack, &aside).unwrap();
        mkfifo(&pack, Mode::S_IRWXU).unwrap();
        Self { pack, aside }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let pipe = self.aside.with_extension("pipe");
        let _ = fs::rename(&self.pack, &pipe);
        let _ = fs::rename(&self.aside, &self.pack);
        // Whoever waits for a writer has had one, and reads nothing.
        let _ = fs::File::options().write(true).custom_flags(O_NONBLOCK).open(&pipe);
        let _ = fs::remove_file(&pipe);
    }
}

/// Freezes PostgreSQL's side of the next backup while that reads its files: it can be read to its end, and cannot end.
pub async fn freeze_backup(url: &str) -> Frozen {
    let asked = "SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast backup' \
                 AND backend_type = 'client backend' AND state = 'idle' AND query LIKE '%pg_tablespace_location%'";
    let info = ConnInfo::parse(url).unwrap();
    let mut watch = ReplicationConnection::connect_sql(&info, "postgres").await.unwrap();
    let mut look = async || watch.query(asked).await.unwrap().into_iter().next()?.into_iter().next()?;
    let deadline = Instant::now() + Duration::from_secs(300);
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
