//! A copy takes over: with the original's configuration, and without us.
use crate::{
    configuration::{COPY_FILE, Judged},
    copy::{Address, CopyPlan},
    work::{Ended, Work},
};
use control::{now, running_in};
use domain::Timestamp;
use pgphysical::LocalCluster;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// In the directory of a copy that took over.
const MARK: &str = "holdfast-promoted";
/// How the guardian of a server is called: what it guards ends with us.
const GUARDIAN: &str = "holdfast-guardian";
/// Settings of which each copy has its own, also a drill's.
const OWN: [&str; 3] = ["port ", "listen_addresses ", "unix_socket_directories "];

/// A copy that took over, as it is written down in its directory: another try finds it by that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TakenOver {
    port: u16,
    socket: PathBuf,
    /// When it took writes.
    pub at: Timestamp,
    pub last_commit_at: Option<Timestamp>,
    /// It has the original's configuration.
    pub is_original: bool,
    /// What of it holds and what not.
    pub configuration: Vec<String>,
    /// What a person does about it.
    pub next: Vec<String>,
}

impl TakenOver {
    /// The copy in `root`, when it took over and runs, and nobody would end it with us.
    pub fn read(root: &Path) -> Option<Self> {
        let pid = running_in(&root.join("data"))?;
        let text = fs::read_to_string(root.join(MARK)).ok()?;
        serde_json::from_str(&text).ok().filter(|_| !is_guarded(pid))
    }

    fn write(&self, root: &Path) -> Result<(), Ended> {
        let text = serde_json::to_string(self).map_err(|error| Ended::Failed(error.to_string()))?;
        let (part, path) = (root.join(format!("{MARK}.part")), root.join(MARK));
        fs::write(&part, text)?;
        Ok(fs::rename(part, path)?)
    }

    pub fn address(&self) -> Address {
        Address { port: self.port, socket: self.socket.clone() }
    }
}

/// The parent of a guarded server is its guardian; one that was let go has none of ours.
fn is_guarded(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name in parentheses: the state, then the parent.
    let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
    let Some(parent) = parent else { return false };
    let command = fs::read(format!("/proc/{parent}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).any(|word| word == GUARDIAN.as_bytes())
}

fn told(judged: &Judged) -> Vec<String> {
    let first = format!(
        "{}: of the original's postgresql.conf and of ALTER SYSTEM",
        domain::format::counted(judged.kept, "setting holds", "settings hold")
    );
    let hba = "pg_hba.conf is the original's behind one line, 'local all all trust': the socket's directory is its owner's alone";
    std::iter::once(first).chain(judged.differences.iter().cloned()).chain([hba.to_owned()]).collect()
}

/// For a drill: what would hold in a copy that takes over on this host.
pub(super) fn foreseen(judged: &Judged) -> Vec<String> {
    told(judged).into_iter().filter(|line| !OWN.iter().any(|name| line.starts_with(name))).collect()
}

/// Gives a promoted copy the original's configuration and lets it go on without us. Where that does not start, the copy
/// goes on with its own: applications need a server more than its settings.
pub(super) async fn take_over(
    work: &Work,
    copy: &CopyPlan<'_>,
    server: LocalCluster,
    last_commit_at: Option<Timestamp>,
) -> Result<TakenOver, Ended> {
    let address = Address::from(&server);
    let judged = copy.judge(&address).await;
    let data = copy.root.join("data");
    let mut next = vec![format!(
        "It has the original's configuration. What stays different stands in {}, which is read last: correct it there, then reload or restart.",
        data.join(COPY_FILE).display()
    )];
    if judged.archives {
        next.push(
            "It archives as the original did: look in pg_stat_archiver whether that works here, or WAL fills its disk."
                .to_owned(),
        );
    }
    let mut taken = TakenOver {
        port: address.port,
        socket: address.socket,
        at: now(),
        last_commit_at,
        is_original: true,
        configuration: told(&judged),
        next,
    };
    copy.untame(&judged)?;
    // Before it is let go: should we vanish from here on, another try finds it.
    taken.write(&copy.root)?;
    let offset = copy.log_end();
    match server.release().await {
        Ok((port, socket)) => (taken.port, taken.socket) = (port, socket),
        Err(error) => {
            let said = copy.log_since(offset);
            let reason = if said.is_empty() { error.to_string() } else { said };
            work.log(&format!("the original's configuration does not start here, the copy keeps its own: {reason}"))
                .await;
            taken.is_original = false;
            taken.configuration = vec![format!("the original's configuration does not start here: {reason}")];
            taken.next = vec![
                "It has a configuration of its own: it archives nothing, preloads nothing, speaks no TLS and has little memory. Go through postgresql.conf.restored and postgresql.auto.conf.restored, take over what is needed, restart it.".to_owned(),
            ];
            let server = copy.tame_again().await?;
            taken.write(&copy.root)?;
            (taken.port, taken.socket) = server.release().await?;
        }
    }
    if taken.is_original {
        copy.untamed()?;
    }
    taken.at = now();
    taken.write(&copy.root)?;
    for line in &taken.configuration {
        work.log(&format!("configuration: {line}")).await;
    }
    Ok(taken)
}
