//! How a command fails: one line that says what to do, and an exit code.

use crate::config::ConfigError;
use control::ControlError;
use domain::ErrorKind;
use std::{fmt, io::Write as _, process::ExitCode};

/// Why a command did not do its work.
#[derive(Debug)]
pub struct Failure {
    message: String,
    kind: ErrorKind,
}

impl Failure {
    /// It did not work out: exit code 1.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::of(ErrorKind::Unavailable, message)
    }

    /// There is no such thing: exit code 1.
    pub fn missing(message: impl fmt::Display) -> Self {
        Self::of(ErrorKind::NotFound, message)
    }

    /// It was asked for wrongly: exit code 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::of(ErrorKind::Invalid, message)
    }

    /// By the kind of an error: exit code 2 for wrong input, 1 for all else.
    pub fn of(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), kind }
    }

    /// Whether it was refused rather than tried in vain: what the service writes down as refused too.
    pub const fn is_refusal(&self) -> bool {
        matches!(self.kind, ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::NotFound)
    }

    /// Says why, and gives the exit code.
    pub fn report(self) -> ExitCode {
        complain(&self.message);
        ExitCode::from(if self.kind == ErrorKind::Invalid { 2 } else { 1 })
    }
}

/// One line on the standard error.
pub fn complain(message: &str) {
    let line = message.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let _ = writeln!(std::io::stderr(), "holdfast: {line}");
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error.kind() {
            ErrorKind::Invalid => Self::usage(error),
            kind => Self::of(kind, with_source(&error)),
        }
    }
}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Self {
        Self::failed(error)
    }
}

/// On the command line the person is the one who can mend the cause, so it is told.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}
