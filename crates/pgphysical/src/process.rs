//! Running PostgreSQL's programs: as the right user, and so that none outlives us.
use crate::{ClusterError, Install, OsUser};
use std::{ffi::OsStr, path::Path, process::Stdio};
use tokio::process::{Child, Command};

/// Keeps a server only as long as the pipe on its standard input is open: when we die in whatever way, the kernel
/// closes our end, `cat` returns, and the server is told to shut down. `$1` is the directory to remove afterwards or
/// empty, the rest is the command.
const GUARDIAN: &str = r#"
remove=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -INT $server 2>/dev/null; } &
reader=$!
exec 3<&-
wait $server; code=$?
while kill -0 $server 2>/dev/null; do wait $server; code=$?; done
kill $reader 2>/dev/null
[ -n "$remove" ] && rm -rf "$remove"
exit $code
"#;

/// A command of this install, run as `user` in a directory that it can read.
pub(crate) fn command(install: &Install, user: &OsUser, program: &str, directory: &Path) -> Command {
    let mut command = Command::new(install.program(program));
    drop_root(&mut command, user, directory);
    command
}

fn drop_root(command: &mut Command, user: &OsUser, directory: &Path) {
    command.current_dir(directory).stdin(Stdio::null()).env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGPORT");
    if let Some((uid, gid)) = user.ids() {
        command.uid(uid).gid(gid).env("HOME", directory).env("USER", user.name());
    }
}

/// Runs a program to its end.
///
/// # Errors
/// [`ClusterError::Program`] with the last lines it wrote when it does not start or does not succeed.
pub(crate) async fn run(program: &'static str, mut command: Command) -> Result<(), ClusterError> {
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| ClusterError::Program { program, output: error.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    // The ends of both: pg_checksums names what is wrong on one and sums up on the other, pg_amcheck the other way round.
    let said = [output.stderr, output.stdout].map(|bytes| last_lines(&String::from_utf8_lossy(&bytes), 5));
    let said = said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
    Err(ClusterError::Program { program, output: said.join(" | ") })
}

/// Starts a server under the guardian. Its log goes to `log`; `remove` is deleted when it has ended.
pub(crate) fn spawn_server<'a>(
    install: &Install,
    user: &OsUser,
    directory: &Path,
    log: &Path,
    remove: Option<&Path>,
    arguments: impl IntoIterator<Item = &'a OsStr>,
) -> Result<Child, ClusterError> {
    let open =
        || std::fs::OpenOptions::new().create(true).append(true).open(log).map_err(ClusterError::io("open", log));
    let mut command = Command::new("/bin/sh");
    drop_root(&mut command, user, directory);
    command
        .args(["-c", GUARDIAN, "holdfast-guardian"])
        .arg(remove.map(Path::as_os_str).unwrap_or_default())
        .arg(install.program("postgres"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(open()?)
        .stderr(open()?)
        // A Ctrl-C at the terminal is ours to handle: the server must not see it before its clients are gone.
        .process_group(0);
    command.spawn().map_err(|error| ClusterError::Program { program: "postgres", output: error.to_string() })
}

/// The last `count` lines, joined by ` | `.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}
