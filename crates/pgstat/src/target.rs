//! Which server, as which role, and how safely.
use crate::PgstatError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::{fmt, str::FromStr as _};

/// A connection URL, checked. `Debug` and `Display` never show the password.
#[derive(Clone)]
pub struct Target {
    options: PgConnectOptions,
}

impl Target {
    /// Reads `postgres://user:password@host:port/database?sslmode=…`. Off the loopback at least `sslmode=require` is
    /// asked for unless the URL says `sslmode=disable` itself; `sslrootcert=` makes it `verify-full`.
    ///
    /// # Errors
    /// [`PgstatError::Target`] says what is wrong, without showing the URL: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, PgstatError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(PgstatError::Target("a connection URL begins with postgres://".to_owned()));
        }
        let mut options = PgConnectOptions::from_str(url)
            .map_err(|error| PgstatError::Target(format!("not a connection URL: {error}")))?;
        let said = url.contains("sslmode=");
        if !said && url.contains("sslrootcert=") {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        } else if !said && !is_loopback(options.get_host()) && options.get_socket().is_none() {
            options = options.ssl_mode(PgSslMode::Require);
        }
        Ok(Self { options })
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        format!("{}:{}", self.options.get_host(), self.options.get_port())
    }

    /// The role to sign in as.
    pub fn role(&self) -> &str {
        self.options.get_username()
    }

    /// The database to sign in to; as the server does, the one named like the role when the URL names none.
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or_else(|| self.role())
    }

    /// Whether the server is reached over the loopback or a socket: its machine is most likely this one.
    pub fn is_local(&self) -> bool {
        self.options.get_socket().is_some() || is_loopback(self.options.get_host())
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.starts_with('/')
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@{}/{}", self.role(), self.host(), self.options.get_database().unwrap_or_default())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        let target = Target::parse("postgres://ada:s3cret@db.example:5433/shop").unwrap();
        assert_eq!(target.to_string(), "postgres://ada@db.example:5433/shop");
        assert!(!format!("{target:?}").contains("s3cret"));
        let error = Target::parse("mysql://ada:s3cret@db/shop").unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }

    #[test]
    fn off_the_loopback_the_connection_is_encrypted() {
        let mode = |url| Target::parse(url).unwrap().options().get_ssl_mode();
        assert!(matches!(mode("postgres://a@db.example/x"), PgSslMode::Require));
        assert!(matches!(mode("postgres://a@127.0.0.1/x"), PgSslMode::Prefer));
        assert!(matches!(mode("postgres://a@db.example/x?sslmode=disable"), PgSslMode::Disable));
    }
}
