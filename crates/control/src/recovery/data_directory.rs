//! What lies in a data directory of this host.
use pgphysical::control::{ClusterState, ControlFile};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// The server that runs in a data directory.
pub fn running_in(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse::<u32>().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

/// What a restore finds where it goes, for the audit.
pub fn lies_in(data: &Path) -> Value {
    let directory = data.display().to_string();
    let control = fs::read(data.join("global/pg_control")).ok().and_then(|bytes| ControlFile::parse(&bytes).ok());
    if let Some(control) = control {
        return json!({
            "directory": directory,
            "holds": "a cluster",
            "version": fs::read_to_string(data.join("PG_VERSION")).ok().map(|text| text.trim().to_owned()),
            "system_identifier": control.system_identifier.to_string(),
            "state": state(control.state),
            "timeline": control.timeline,
            "checkpoint": control.checkpoint.to_string(),
        });
    }
    let entries = fs::read_dir(data).map_or(0, Iterator::count);
    let holds = if entries == 0 { "nothing" } else { "files of no cluster" };
    json!({ "directory": directory, "holds": holds, "entries": entries })
}

/// As `pg_controldata` says it.
const fn state(state: ClusterState) -> &'static str {
    match state {
        ClusterState::StartingUp => "starting up",
        ClusterState::ShutDown => "shut down",
        ClusterState::ShutDownInRecovery => "shut down in recovery",
        ClusterState::ShuttingDown => "shutting down",
        ClusterState::InCrashRecovery => "in crash recovery",
        ClusterState::InArchiveRecovery => "in archive recovery",
        ClusterState::InProduction => "in production",
    }
}
