//! Where the server is and as whom: the parts of a `postgres://` URL that libpq knows.
use super::ReplicationError;
use std::{fmt, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

/// How much TLS is asked for (`sslmode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// None.
    Disable,
    /// When the server has it, with any certificate.
    #[default]
    Prefer,
    /// Always, with any certificate.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for this host.
    VerifyFull,
}

/// Longest silence of a server while something is waited for, unless something else is asked for.
pub(super) const DEFAULT_SILENCE: Duration = Duration::from_secs(60);

/// Where and as whom.
#[derive(Clone)]
pub struct ConnInfo {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<String>,
    /// Database of the URL; replication connections need none.
    pub database: String,
    pub(super) tls: TlsMode,
    pub(super) root_certificate: Option<PathBuf>,
    pub(super) application_name: String,
    pub(super) connect_timeout: Duration,
    pub(super) silence_limit: Duration,
}

impl fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnInfo({})", self.describe())
    }
}

impl ConnInfo {
    /// Reads a URL. Without a password in it, `PGPASSWORD` and then `~/.pgpass` are asked.
    ///
    /// # Errors
    /// [`ReplicationError::Url`] says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, ReplicationError> {
        let bad = |what: String| ReplicationError::Url(what);
        let url = url::Url::parse(text)
            .map_err(|error| bad(format!("{error}; write postgres://user:password@host:5432/database")))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(bad(format!("it begins with '{}', not with postgres://", url.scheme())));
        }
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(|it| it.into_owned());
        let utf8 = |_| ReplicationError::Url("a part of it is not UTF-8".to_owned());
        let user = decode(url.username()).map_err(utf8)?;
        let mut info = Self {
            host: decode(url.host_str().unwrap_or("localhost").trim_matches(|c| c == '[' || c == ']')).map_err(utf8)?,
            port: url.port().unwrap_or(5_432),
            user: if user.is_empty() { "postgres".to_owned() } else { user },
            password: url.password().map(decode).transpose().map_err(utf8)?,
            database: decode(url.path().trim_start_matches('/')).map_err(utf8)?,
            tls: TlsMode::default(),
            root_certificate: None,
            application_name: "holdfast".to_owned(),
            connect_timeout: Duration::from_secs(10),
            silence_limit: DEFAULT_SILENCE,
        };
        let mut tls = None;
        for (name, value) in url.query_pairs() {
            match &*name {
                "host" => info.host = value.into_owned(),
                "port" => info.port = value.parse().map_err(|_| bad(format!("port '{value}' is no number")))?,
                "user" => info.user = value.into_owned(),
                "password" => info.password = Some(value.into_owned()),
                "sslmode" | "ssl-mode" => {
                    tls = Some(match &*value {
                        "disable" => TlsMode::Disable,
                        "allow" | "prefer" => TlsMode::Prefer,
                        "require" => TlsMode::Require,
                        "verify-ca" => TlsMode::VerifyCa,
                        "verify-full" => TlsMode::VerifyFull,
                        other => {
                            return Err(bad(format!(
                                "sslmode '{other}' is none of disable, prefer, require, verify-ca, verify-full"
                            )));
                        }
                    });
                }
                "sslrootcert" | "ssl-root-cert" => info.root_certificate = Some(PathBuf::from(value.into_owned())),
                "application_name" => info.application_name = value.into_owned(),
                "connect_timeout" => {
                    let seconds =
                        value.parse().map_err(|_| bad(format!("connect_timeout '{value}' is no number of seconds")))?;
                    info.connect_timeout = Duration::from_secs(seconds);
                }
                // Others are for other clients.
                _ => {}
            }
        }
        // As for monitoring: nothing goes in the clear beyond this machine unless the URL says so.
        info.tls = tls.unwrap_or(if info.is_here() { TlsMode::Prefer } else { TlsMode::Require });
        if info.database.is_empty() {
            info.database = info.user.clone();
        }
        if info.password.is_none() {
            info.password = std::env::var("PGPASSWORD").ok().or_else(|| info.password_from_file());
        }
        Ok(info)
    }

    fn password_from_file(&self) -> Option<String> {
        let path = match std::env::var_os("PGPASSFILE") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(std::env::var_os("HOME")?).join(".pgpass"),
        };
        // libpq ignores a file that others can read; so do we.
        if std::fs::metadata(&path).ok()?.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "the password file is ignored: others may read it; chmod 0600");
            return None;
        }
        password_line(&std::fs::read_to_string(path).ok()?, &self.host, self.port, &self.database, &self.user)
    }

    /// With another name in `pg_stat_activity`.
    #[must_use]
    pub fn with_application_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.application_name);
        self
    }

    /// With another limit for the time that the server may be silent while something is waited for; a minute without it.
    #[must_use]
    pub const fn with_silence_limit(mut self, limit: Duration) -> Self {
        self.silence_limit = limit;
        self
    }

    /// On this machine.
    pub(super) fn is_here(&self) -> bool {
        self.host.starts_with('/') || matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]")
    }

    /// `user@host:port`, for people.
    pub fn describe(&self) -> String {
        format!("{}@{}:{}", self.user, self.host, self.port)
    }
}

/// A line `host:port:database:user:password`, `*` for anything, `\` before `:` and `\`.
pub(super) fn password_line(text: &str, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
    let host = if host.starts_with('/') { "localhost" } else { host };
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (mut fields, mut field, mut escaped) = (Vec::new(), String::new(), false);
        for letter in line.chars() {
            match letter {
                '\\' if !escaped => escaped = true,
                ':' if !escaped && fields.len() < 4 => fields.push(std::mem::take(&mut field)),
                _ => {
                    field.push(letter);
                    escaped = false;
                }
            }
        }
        let port = port.to_string();
        let wanted = [host, port.as_str(), database, user];
        (fields.len() == 4 && fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted))
            .then_some(field)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_password_never_shown() {
        let info =
            ConnInfo::parse("postgres://me:s%40fe@db.example:6000/app?sslmode=require&application_name=x").unwrap();
        assert_eq!((info.host.as_str(), info.port, info.user.as_str()), ("db.example", 6_000, "me"));
        assert_eq!(
            (info.password.as_deref(), info.database.as_str(), info.tls),
            (Some("s@fe"), "app", TlsMode::Require)
        );
        assert!(!format!("{info:?}").contains("s@fe"));
        assert_eq!(ConnInfo::parse("postgres:///app?host=/run/postgresql").unwrap().host, "/run/postgresql");
        assert!(ConnInfo::parse("mysql://x").is_err());
        assert!(ConnInfo::parse("postgres://x/?sslmode=maybe").unwrap_err().to_string().contains("verify-full"));
    }

    #[test]
    fn the_first_fitting_line_of_a_password_file_counts() {
        let text = "# c\nother:*:*:*:no\n*:5432:app:me:p\\:1\n*:*:*:*:last";
        assert_eq!(password_line(text, "h", 5_432, "app", "me").unwrap(), "p:1");
        assert_eq!(password_line(text, "h", 1, "app", "me").unwrap(), "last");
    }
}
