//! Runs a program and strikes at a chosen system call: kills it before the call is done, or has the call fail. So each
//! step of a program can be struck in turn, the same each time, and the program itself knows nothing of it.
use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Which system calls count as steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Whatever changes a directory or makes bytes durable: links, renames, removals, new directories, flushes.
    Change,
    /// Writing bytes to a file below the directory that is watched, changing its length, and flushing it.
    Write,
    /// Flushing a file below the directory that is watched.
    Flush,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// `kill -9`, before the call is done.
    Kill,
    /// This call fails.
    Fail(Errno),
    /// This call and all later ones that count fail, as on a full disk.
    FailFrom(Errno),
}

/// How it ended.
#[derive(Debug)]
pub struct Traced {
    /// Calls that counted, up to the end.
    pub steps: usize,
    /// Whether the strike was carried out.
    pub struck: bool,
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Strikes a command at its steps.
#[derive(Clone, Debug)]
pub struct Tracer {
    step: Step,
    below: PathBuf,
}

impl Tracer {
    /// Counts steps of this kind; those that name an open file only for files below a directory.
    pub fn new(step: Step, below: &Path) -> Self {
        Self { step, below: below.canonicalize().unwrap_or_else(|_| below.to_owned()) }
    }

    /// Runs to the end and counts.
    pub fn count(&self, command: &Command) -> Traced {
        self.run(command, None)
    }

    /// Runs and strikes at the step with this number, from 1 on.
    pub fn strike(&self, command: &Command, number: usize, strike: Strike) -> Traced {
        self.run(command, Some((number, strike)))
    }

    fn run(&self, command: &Command, strike: Option<(usize, Strike)>) -> Traced {
        // All requests to a traced process come from one thread, and it must wait for no other child than its own.
        std::thread::scope(|scope| scope.spawn(|| self.trace(command, strike)).join()).unwrap()
    }

    #[allow(clippy::zombie_processes)] // `follow` waits for it
    fn trace(&self, command: &Command, strike: Option<(usize, Strike)>) -> Traced {
        let (mut out, mut error) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        // Stops itself, so that nothing runs unseen before we are attached.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
        shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        let out_to = out.reopen().unwrap();
        shell.stdin(Stdio::null()).stdout(out_to).stderr(error.reopen().unwrap());
        let child = shell.spawn().unwrap();
        let main = Pid::from_raw(child.id().cast_signed());
        let stopped = waitpid(main, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(stopped, WaitStatus::Stopped(_, Signal::SIGSTOP)), "{stopped:?}");
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
            | ptrace::Options::PTRACE_O_TRACECLONE
            | ptrace::Options::PTRACE_O_TRACEEXEC
            | ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::seize(main, options).unwrap();
        kill(main, Signal::SIGCONT).unwrap();
        let (steps, struck, code) = self.follow(main, strike);
        let read = |file: &mut tempfile::NamedTempFile| {
            let mut text = String::new();
            std::io::Read::read_to_string(file, &mut text).unwrap();
            text
        };
        Traced { steps, struck, code, stdout: read(&mut out), stderr: read(&mut error) }
    }

    fn follow(&self, main: Pid, strike: Option<(usize, Strike)>) -> (usize, bool, Option<i32>) {
        let mut inside = HashSet::new();
        // Threads whose call was taken away, and what they are told instead.
        let mut failing = std::collections::HashMap::new();
        let (mut steps, mut struck, mut code, mut executed) = (0, false, None, false);
        // A thread may be gone when we come to it: it is told of by the next wait.
        let go_on = |pid: Pid, signal: Option<Signal>| {
            let _ = ptrace::syscall(pid, signal);
        };
        loop {
            let status = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return (steps, struck, code),
                other => other.unwrap(),
            };
            match status {
                WaitStatus::PtraceSyscall(pid) => {
                    if inside.remove(&pid) {
                        if let Some(errno) = failing.remove(&pid)
                            && let Ok(mut registers) = ptrace::getregs(pid)
                        {
                            registers.rax = (-i64::from(errno as i32)).cast_unsigned();
                            let _ = ptrace::setregs(pid, registers);
                        }
                        go_on(pid, None);
                        continue;
                    }
                    inside.insert(pid);
                    if let Ok(mut registers) = ptrace::getregs(pid)
                        && executed
                        && self.counts(main, registers.orig_rax.cast_signed(), registers.rdi)
                    {
                        steps += 1;
                        match strike {
                            Some((number, Strike::Kill)) if number == steps => {
                                struck = true;
                                let _ = kill(main, Signal::SIGKILL);
                            }
                            Some((number, Strike::Fail(errno))) if number == steps => {
                                (struck, registers.orig_rax) = (true, u64::MAX);
                                let _ = ptrace::setregs(pid, registers);
                                failing.insert(pid, errno);
                            }
                            Some((number, Strike::FailFrom(errno))) if number <= steps => {
                                (struck, registers.orig_rax) = (true, u64::MAX);
                                let _ = ptrace::setregs(pid, registers);
                                failing.insert(pid, errno);
                            }
                            _ => {}
                        }
                    }
                    go_on(pid, None);
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    executed |= event == libc::PTRACE_EVENT_EXEC;
                    go_on(pid, None);
                }
                WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
                WaitStatus::Exited(pid, status) if pid == main => code = Some(status),
                _ => {}
            }
        }
    }

    fn counts(&self, process: Pid, call: i64, first: u64) -> bool {
        let flush = matches!(call, libc::SYS_fsync | libc::SYS_fdatasync | libc::SYS_syncfs);
        let write = matches!(
            call,
            libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 | libc::SYS_pwritev | libc::SYS_ftruncate
        );
        let change = matches!(
            call,
            libc::SYS_link
                | libc::SYS_linkat
                | libc::SYS_rename
                | libc::SYS_renameat
                | libc::SYS_renameat2
                | libc::SYS_unlink
                | libc::SYS_unlinkat
                | libc::SYS_mkdir
                | libc::SYS_mkdirat
                | libc::SYS_rmdir
        );
        match self.step {
            Step::Change => change || (flush && self.is_below(process, first)),
            Step::Write => (write || flush) && self.is_below(process, first),
            Step::Flush => flush && self.is_below(process, first),
        }
    }

    fn is_below(&self, process: Pid, descriptor: u64) -> bool {
        std::fs::read_link(format!("/proc/{process}/fd/{descriptor}")).is_ok_and(|path| path.starts_with(&self.below))
    }
}
