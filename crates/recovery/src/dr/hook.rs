//! The command of the host that leads applications elsewhere.
use crate::work::{Ended, Work};
use std::{process::Stdio, time::Duration};
use tokio::process::Command;

/// A hook that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(300);
/// Lines of what it said that are kept.
const LINES: usize = 20;

/// What it is told, by environment.
#[derive(Debug)]
pub(crate) struct HookFacts<'a> {
    pub cluster: &'a str,
    pub host: &'a str,
    pub port: u16,
    pub directory: &'a str,
    pub job: i64,
}

/// Runs it to its end; each line that it says goes into the log.
pub(crate) async fn run(work: &Work, name: &str, command: &str, facts: &HookFacts<'_>) -> Result<String, Ended> {
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
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, shell.output())
        .await
        .map_err(|_| {
            Ended::Failed(format!("hook '{name}' did not end within {} s and was killed", PATIENCE.as_secs()))
        })?
        .map_err(|error| Ended::Failed(format!("hook '{name}' could not be started: {error}")))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        work.log(&format!("{name}: {}", line.chars().take(500).collect::<String>())).await;
    }
    if output.status.success() {
        return Ok(format!("hook '{name}' is done"));
    }
    let last =
        lines.last().map_or_else(String::new, |line| format!(": {}", line.chars().take(300).collect::<String>()));
    Err(Ended::Failed(format!("hook '{name}' failed ({}){last}", output.status)))
}
