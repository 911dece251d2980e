//! Where the bucket is and who we are there.
use crate::{BlobError, key};
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, time::Duration};

/// To open a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// For the first byte of an answer.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// For one try.
const TRY: Duration = Duration::from_secs(60);
/// Without a byte moved a transfer is given up.
const STALLED: Duration = Duration::from_secs(20);
/// Tries of one request.
pub(super) const TRIES: u32 = 4;
/// The first pause between tries is up to so long, each next one up to twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where a bucket is and how to get in.
#[derive(Clone, Default)]
pub struct S3Config {
    /// Name of the bucket; it must exist.
    pub bucket: String,
    /// What all names begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Region, such as `eu-central-1`. Stores of one's own have one too (MinIO: `us-east-1`, garage: `garage`).
    pub region: String,
    /// URL of a store other than AWS, such as `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// The bucket goes into the path and not into the host name; most stores other than AWS want that.
    pub path_style: bool,
    /// Without it, the environment's `AWS_ACCESS_KEY_ID`.
    pub access_key: Option<String>,
    /// Without it, the environment's `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: Option<SecretString>,
    /// With temporary keys only.
    pub session_token: Option<SecretString>,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |secret: &Option<SecretString>| secret.as_ref().map(|_| "…");
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint.as_deref().map(without_user))
            .field("path_style", &self.path_style)
            .field("access_key", &self.access_key)
            .field("secret_key", &said(&self.secret_key))
            .field("session_token", &said(&self.session_token))
            .finish()
    }
}

/// A URL without `user:password@`.
fn without_user(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => url.to_owned(),
    }
}

fn wrong(message: impl Into<String>) -> BlobError {
    BlobError::InvalidConfig { message: message.into() }
}

impl S3Config {
    /// The prefix as it stands before every name: empty or with a slash at its end.
    pub(super) fn base(&self) -> Result<String, BlobError> {
        let prefix = self.prefix.trim_matches('/');
        if prefix.is_empty() {
            return Ok(String::new());
        }
        key::check(prefix).map_err(|error| wrong(format!("the prefix in the bucket is wrong: {error}")))?;
        // A name has 800 bytes at most and S3 takes 1024.
        if prefix.len() > 200 {
            return Err(wrong("the prefix in the bucket is longer than 200 bytes; choose a shorter one"));
        }
        Ok(format!("{prefix}/"))
    }

    /// `s3://bucket/prefix at https://…`
    pub(super) fn describe(&self) -> String {
        let at = match &self.endpoint {
            Some(endpoint) => without_user(endpoint),
            None => format!("AWS {}", self.region),
        };
        let prefix = self.prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("s3://{}{slash}{prefix} at {at}", self.bucket)
    }

    /// A client with these settings.
    pub(super) fn client(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Client, BlobError> {
        self.check()?;
        let mut builder = Builder::new()
            // Named, so that a new version of the library does not behave in another way.
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials(environment)?)
            .force_path_style(self.path_style)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(TRIES)
                    .with_initial_backoff(PAUSE)
                    .with_max_backoff(LONGEST_PAUSE),
            )
            .timeout_config(timeouts(ANSWER, TRY))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALLED).build());
        if let Some(endpoint) = &self.endpoint {
            builder = builder
                .endpoint_url(endpoint)
                // Many other stores do not understand the checksums that AWS wants by default.
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        Ok(Client::from_conf(builder.build()))
    }

    fn check(&self) -> Result<(), BlobError> {
        let letters = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if !(3..=63).contains(&self.bucket.len()) || !letters(&self.bucket) {
            return Err(wrong("the bucket's name must have 3 to 63 of a-z 0-9 . - and nothing else; set bucket"));
        }
        if self.region.is_empty() || !letters(&self.region) {
            return Err(wrong(
                "the region of the S3 store is missing or wrong; set region (MinIO: us-east-1, garage: garage)",
            ));
        }
        if let Some(endpoint) = &self.endpoint {
            let url = url::Url::parse(endpoint).map_err(|error| {
                wrong(format!(
                    "the endpoint {} is not a URL ({error}); write it as https://host:port",
                    without_user(endpoint)
                ))
            })?;
            if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
                return Err(wrong("the endpoint of the S3 store must begin with http:// or https:// and have a host"));
            }
            if !url.username().is_empty()
                || url.password().is_some()
                || url.query().is_some()
                || url.fragment().is_some()
            {
                return Err(wrong(
                    "the endpoint of the S3 store must have no user, password, ? or #; set access_key and secret_key instead",
                ));
            }
        }
        Ok(())
    }

    fn credentials(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Credentials, BlobError> {
        let of = |name: &str| environment(name).filter(|value| !value.is_empty());
        let (access, secret, token) = match (&self.access_key, &self.secret_key) {
            (Some(access), Some(secret)) => (
                access.clone(),
                secret.expose_secret().to_owned(),
                self.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
            ),
            (None, None) => match (of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY")) {
                (Some(access), Some(secret)) => (access, secret, of("AWS_SESSION_TOKEN")),
                _ => {
                    return Err(wrong(
                        "there are no keys for the S3 store; set access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
                    ));
                }
            },
            _ => return Err(wrong("of access_key and secret_key only one is set; set both or neither")),
        };
        if access.trim().is_empty() || secret.trim().is_empty() {
            return Err(wrong("access_key or secret_key is empty; set both or leave out both"));
        }
        Ok(Credentials::new(access, secret, token, None, "holdfast"))
    }
}

/// Limits of one try; all tries together may take four times that and the pauses.
pub(super) fn timeouts(answer: Duration, one_try: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(answer)
        .operation_attempt_timeout(one_try)
        .operation_timeout(one_try * TRIES + LONGEST_PAUSE * (TRIES - 1))
        .build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config() -> S3Config {
        S3Config { bucket: "backups".into(), region: "eu-central-1".into(), ..S3Config::default() }
    }

    #[test]
    fn keys_come_from_the_configuration_or_whole_from_the_environment() {
        let environment = |name: &str| Some(format!("env {name}"));
        let own = S3Config { access_key: Some("own".into()), secret_key: Some("s3cret".into()), ..config() };
        assert_eq!(own.credentials(environment).unwrap().access_key_id(), "own");
        assert_eq!(own.credentials(environment).unwrap().session_token(), None);
        assert_eq!(config().credentials(environment).unwrap().session_token(), Some("env AWS_SESSION_TOKEN"));
        let none = config().credentials(|_| None).unwrap_err().to_string();
        assert!(none.contains("access_key") && none.contains("AWS_ACCESS_KEY_ID"), "{none}");
        let half = S3Config { access_key: Some("own".into()), ..config() };
        assert!(half.credentials(environment).unwrap_err().to_string().contains("only one"));
    }

    #[test]
    fn no_secret_is_shown() {
        let own = S3Config {
            access_key: Some("own".into()),
            secret_key: Some("s3cret".into()),
            session_token: Some("t0ken".into()),
            endpoint: Some("https://me:passw0rd@minio.example".into()),
            ..config()
        };
        for shown in [format!("{own:?}"), own.describe(), own.client(|_| None).unwrap_err().to_string()] {
            assert!(!["s3cret", "t0ken", "passw0rd"].iter().any(|secret| shown.contains(secret)), "{shown}");
        }
    }

    #[test]
    fn a_wrong_configuration_is_told_before_anything_is_sent() {
        for (wrong, word) in [
            (S3Config { bucket: String::new(), ..config() }, "bucket"),
            (S3Config { bucket: "a/b".into(), ..config() }, "bucket"),
            (S3Config { region: String::new(), ..config() }, "region"),
            (S3Config { endpoint: Some("minio:9000".into()), ..config() }, "http"),
            (S3Config { endpoint: Some("//x".into()), ..config() }, "URL"),
        ] {
            let text = wrong.client(|_| Some("key".into())).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
        assert!(S3Config { prefix: "../x".into(), ..config() }.base().is_err());
        assert_eq!(S3Config { prefix: "/a/b/".into(), ..config() }.base().unwrap(), "a/b/");
        assert_eq!(S3Config { prefix: "/a/".into(), ..config() }.describe(), "s3://backups/a at AWS eu-central-1");
    }
}
