//! The command of the host that leads applications elsewhere.
use crate::work::{Ended, Work};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    task::JoinSet,
};

/// A hook that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(200);
/// What a hook left behind may hold its output open; what was said by then is enough.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Lines of what it said that are kept.
const LINES: usize = 20;
/// And bytes: the last.
const KEPT: usize = 64 << 10;

/// What it is told, by environment.
#[derive(Debug)]
pub(crate) struct HookFacts<'a> {
    pub cluster: &'a str,
    pub host: &'a str,
    pub port: u16,
    pub directory: &'a str,
    pub job: i64,
}

/// The end of what it says; what came before is let go.
#[derive(Debug, Default)]
struct Tail(Mutex<Vec<u8>>);

impl Tail {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        if kept.len() > 2 * KEPT {
            let gone = kept.len() - KEPT;
            kept.drain(..gone);
        }
    }

    fn lines(&self) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
        let last = lines[lines.len().saturating_sub(LINES)..].iter();
        last.map(|line| line.chars().take(500).collect()).collect()
    }

    async fn hear(self: Arc<Self>, mut pipe: impl AsyncRead + Unpin) {
        let mut part = [0; 4_096];
        while let Ok(count @ 1..) = pipe.read(&mut part).await {
            self.add(part.get(..count).unwrap_or_default());
        }
    }
}

/// The hook and everything that it started; ended when it is dropped before the hook's own end.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// It ended by itself: what it left running was meant to run.
    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Perhaps all of it has just ended.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs it to its end; each line that it says goes into the log.
pub(crate) async fn run(work: &Work, name: &str, command: &str, facts: &HookFacts<'_>) -> Result<String, Ended> {
    run_within(work, name, command, facts, PATIENCE).await
}

async fn run_within(
    work: &Work,
    name: &str,
    command: &str,
    facts: &HookFacts<'_>,
    patience: Duration,
) -> Result<String, Ended> {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", command])
        .env("HOLDFAST_CLUSTER", facts.cluster)
        .env("HOLDFAST_HOST", facts.host)
        .env("HOLDFAST_PORT", facts.port.to_string())
        .env("HOLDFAST_DATA_DIRECTORY", facts.directory)
        .env("HOLDFAST_JOB", facts.job.to_string())
        // What opens the repository is none of its business.
        .env_remove("HOLDFAST_RECOVERY_CODE")
        .env_remove("HOLDFAST_REPOSITORY_PASSPHRASE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own, so that what it started ends with it.
        .process_group(0)
        .kill_on_drop(true);
    let mut child =
        shell.spawn().map_err(|error| Ended::Failed(format!("hook '{name}' could not be started: {error}")))?;
    let mut group = Group::of(&child);
    let tail = Arc::new(Tail::default());
    let mut listeners = JoinSet::new();
    if let Some(pipe) = child.stdout.take() {
        listeners.spawn(tail.clone().hear(pipe));
    }
    if let Some(pipe) = child.stderr.take() {
        listeners.spawn(tail.clone().hear(pipe));
    }
    let ended = wait(work, name, &mut child, patience).await;
    match &ended {
        Ok(_) => group.ended(),
        Err(_) => drop(group),
    }
    let _ = tokio::time::timeout(LAST_WORDS, async { while listeners.join_next().await.is_some() {} }).await;
    let lines = tail.lines();
    for line in &lines {
        work.log(&format!("{name}: {line}")).await;
    }
    let status = ended?;
    if status.success() {
        return Ok(format!("hook '{name}' is done"));
    }
    let last =
        lines.last().map_or_else(String::new, |line| format!(": {}", line.chars().take(300).collect::<String>()));
    Err(Ended::Failed(format!("hook '{name}' failed ({status}){last}")))
}

/// Until it ends, a person stops the run, or it has hung. Our own end waits for it: half a switch helps nobody.
async fn wait(work: &Work, name: &str, child: &mut Child, patience: Duration) -> Result<ExitStatus, Ended> {
    let begun = Instant::now();
    loop {
        tokio::select! {
            status = child.wait() => {
                return status.map_err(|error| Ended::Failed(format!("hook '{name}' was lost: {error}")));
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        if work.is_stopped_by_a_person() {
            work.log(&format!("hook '{name}' was killed on request; whether it switched is not known: look")).await;
            return Err(Ended::Cancelled);
        }
        if begun.elapsed() > patience {
            return Err(Ended::Failed(format!(
                "hook '{name}' did not end within {} s and was killed with all that it started",
                patience.as_secs()
            )));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::view::JobKind;

    const FACTS: HookFacts<'static> =
        HookFacts { cluster: "main", host: "localhost", port: 5432, directory: "/nowhere", job: 7 };

    fn work() -> Arc<Work> {
        Arc::new(Work::alone(JobKind::Execution, |_| {}))
    }

    /// A hook whose child writes its own process id and would live for a minute.
    fn lasting(directory: &std::path::Path) -> String {
        format!("sh -c 'echo $$ > {0}/new && mv {0}/new {0}/pid && exec sleep 60'; true", directory.display())
    }

    async fn child_of(directory: &std::path::Path) -> String {
        let mut waited = 0;
        loop {
            if let Ok(pid) = std::fs::read_to_string(directory.join("pid")) {
                return pid.trim().to_owned();
            }
            assert!(waited < 1_000, "it did not start");
            waited += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn ends(pid: &str) {
        let mut waited = 0;
        // A zombie that nobody has buried yet is gone too.
        while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| !text.contains(") Z ")) {
            assert!(waited < 1_000, "process {pid} still runs");
            waited += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test]
    async fn a_hook_says_how_it_ended_and_its_last_lines_are_kept() {
        let work = work();
        let done = run(&work, "dns", "test $HOLDFAST_PORT = 5432 && echo moved", &FACTS).await;
        assert!(matches!(&done, Ok(said) if said == "hook 'dns' is done"), "{done:?}");
        let failed = run(&work, "dns", "yes noise | head -n 200000; echo no such zone >&2; exit 3", &FACTS).await;
        assert!(matches!(&failed, Err(Ended::Failed(why)) if why.contains("dns")), "{failed:?}");
        let tail = Tail::default();
        for _ in 0..100 {
            tail.add(&[b'x'; 10_000]);
        }
        tail.add(b"\nthe last\n");
        assert!(tail.0.lock().unwrap().len() <= 2 * KEPT);
        assert_eq!(tail.lines().last().map(String::as_str), Some("the last"));
    }

    #[tokio::test]
    async fn what_a_hook_started_ends_with_it_when_it_hangs_or_is_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let hung = run_within(&work(), "dns", &lasting(directory.path()), &FACTS, Duration::from_secs(3)).await;
        assert!(matches!(&hung, Err(Ended::Failed(why)) if why.contains("did not end")), "{hung:?}");
        ends(&child_of(directory.path()).await).await;

        let directory = tempfile::tempdir().unwrap();
        let (work, command) = (work(), lasting(directory.path()));
        let stopped = {
            let work = work.clone();
            tokio::spawn(async move { run(&work, "dns", &command, &FACTS).await })
        };
        let child = child_of(directory.path()).await;
        // The end of our own process does not cut it short.
        work.cancel();
        tokio::time::sleep(3 * LOOK).await;
        assert!(!stopped.is_finished());
        work.stop();
        assert!(matches!(stopped.await.unwrap(), Err(Ended::Cancelled)));
        ends(&child).await;
    }

    #[tokio::test]
    async fn what_a_hook_left_running_does_not_hold_it() {
        let begun = Instant::now();
        let done = run(&work(), "dns", "sleep 20 & exit 0", &FACTS).await;
        assert!(done.is_ok() && begun.elapsed() < Duration::from_secs(10), "{done:?}");
    }
}
