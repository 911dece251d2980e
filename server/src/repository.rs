//! The backup repository of this process: where it is and what opens it, from the command line and the guide's
//! environment variables.

use crate::cli::Failure;
use backup::{BackupError, KeySource, Repository};
use blobs::{BlobError, BlobStore, DirStore, S3Config, S3Store};
use clap::Args;
use std::{path::PathBuf, sync::Arc};

/// Where the repository is and what opens it.
#[derive(Clone, Debug, Default, Args)]
pub struct RepositoryArgs {
    /// The repository: a directory, or s3://BUCKET/PREFIX. Without it the environment says: BACKUP_STORAGE_PROVIDER
    /// (filesystem or s3), BACKUP_STORAGE_PATH, BACKUP_STORAGE_BUCKET, BACKUP_STORAGE_REGION, BACKUP_STORAGE_ENDPOINT.
    #[arg(long, global = true, value_name = "DIR|s3://BUCKET/PREFIX")]
    pub repo: Option<String>,
    /// The key file. Without it BACKUP_ENCRYPTION_KEY_PATH, then HOLDFAST_REPOSITORY_PASSPHRASE, then
    /// HOLDFAST_RECOVERY_CODE.
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

enum Place {
    Directory(PathBuf),
    S3(Box<S3Config>),
}

impl RepositoryArgs {
    fn place(&self) -> Result<Place, Failure> {
        let s3 = |bucket: String, prefix: String| {
            let endpoint = env("BACKUP_STORAGE_ENDPOINT");
            Place::S3(Box::new(S3Config {
                bucket,
                prefix,
                region: env("BACKUP_STORAGE_REGION")
                    .or_else(|| env("AWS_REGION"))
                    .unwrap_or_else(|| "us-east-1".to_owned()),
                path_style: endpoint.is_some(),
                endpoint,
                access_key: None,
                secret_key: None,
                session_token: None,
            }))
        };
        if let Some(text) = &self.repo {
            return Ok(match text.strip_prefix("s3://") {
                Some(rest) => {
                    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                    s3(bucket.to_owned(), prefix.to_owned())
                }
                None => Place::Directory(PathBuf::from(text)),
            });
        }
        let provider = env("BACKUP_STORAGE_PROVIDER");
        match provider.as_deref() {
            Some("s3") => match env("BACKUP_STORAGE_BUCKET") {
                Some(bucket) => Ok(s3(bucket, env("BACKUP_STORAGE_PREFIX").unwrap_or_default())),
                None => Err(Failure::usage("BACKUP_STORAGE_PROVIDER is s3; set BACKUP_STORAGE_BUCKET too")),
            },
            Some("filesystem") | None => match env("BACKUP_STORAGE_PATH") {
                Some(path) => Ok(Place::Directory(PathBuf::from(path))),
                None => Err(Failure::usage(
                    "no repository was named; give --repo DIR or --repo s3://BUCKET/PREFIX, or set BACKUP_STORAGE_PATH",
                )),
            },
            Some(other) => {
                Err(Failure::usage(format!("BACKUP_STORAGE_PROVIDER is '{other}'; it must be filesystem or s3")))
            }
        }
    }

    /// The store; a directory is made when `create` says so.
    ///
    /// # Errors
    /// Wrong settings (2) or a store that cannot be reached (1).
    pub async fn store(&self, create: bool) -> Result<Arc<dyn BlobStore>, Failure> {
        Ok(match self.place()? {
            Place::Directory(path) if create => Arc::new(DirStore::create(&path)?),
            Place::Directory(path) if !path.is_dir() => {
                return Err(BackupError::NoRepository(path.display().to_string()).into());
            }
            Place::Directory(path) => Arc::new(DirStore::open(&path)?),
            Place::S3(config) => Arc::new(S3Store::open(*config).await?),
        })
    }

    /// Where it is, for people and as a name for it.
    ///
    /// # Errors
    /// Wrong settings (2).
    pub fn describe(&self) -> Result<String, Failure> {
        Ok(match self.place()? {
            Place::Directory(path) => std::path::absolute(&path).unwrap_or(path).display().to_string(),
            Place::S3(config) => format!("s3://{}/{}", config.bucket, config.prefix),
        })
    }

    /// The directory, when it is one.
    pub fn directory(&self) -> Option<PathBuf> {
        match self.place().ok()? {
            Place::Directory(path) => Some(std::path::absolute(&path).unwrap_or(path)),
            Place::S3(_) => None,
        }
    }

    /// `restore_command`; `None` when what opens the repository must not stand in a server's configuration.
    pub fn restore_command(&self) -> Option<String> {
        let secret = env("HOLDFAST_REPOSITORY_PASSPHRASE").is_some() || env("HOLDFAST_RECOVERY_CODE").is_some();
        let has_file = self.key_path().is_some();
        if !has_file && secret {
            return None;
        }
        self.command_line(has_file).ok().map(|line| format!("{line} wal fetch %f %p"))
    }

    /// Where the key file is, if one was named.
    pub fn key_path(&self) -> Option<PathBuf> {
        self.key_file.clone().or_else(|| env("BACKUP_ENCRYPTION_KEY_PATH").map(PathBuf::from))
    }

    /// The passphrase for a new repository would not hold.
    pub fn passphrase_is_short(&self) -> bool {
        env("HOLDFAST_REPOSITORY_PASSPHRASE").is_some_and(|text| text.len() < 12)
    }

    /// What opens the repository.
    ///
    /// # Errors
    /// A key file that cannot be read (2).
    pub fn key(&self) -> Result<Option<KeySource>, Failure> {
        if let Some(path) = self.key_path() {
            return Ok(Some(KeySource::read_file(&path)?));
        }
        if let Some(text) = env("HOLDFAST_REPOSITORY_PASSPHRASE") {
            return Ok(Some(KeySource::Passphrase(text.into())));
        }
        env("HOLDFAST_RECOVERY_CODE").map(|text| KeySource::parse_recovery(&text).map_err(Failure::from)).transpose()
    }

    /// The opened repository.
    ///
    /// # Errors
    /// As [`Self::store`] and [`Self::key`], or what [`Repository::open`] says.
    pub async fn open(&self) -> Result<Repository, Failure> {
        Ok(Repository::open(self.store(false).await?, self.key()?.as_ref()).await?)
    }

    /// The repository, opened by a recovery code and nothing else.
    ///
    /// # Errors
    /// As [`Self::store`], a mistyped code (2), or what [`Repository::open`] says.
    pub async fn open_by_code(&self, code: &str) -> Result<Repository, Failure> {
        let key = KeySource::parse_recovery(code)?;
        Ok(Repository::open(self.store(false).await?, Some(&key)).await?)
    }

    /// Whether the recovery code in the environment opens it, and no key file or passphrase.
    pub fn is_by_recovery_code(&self) -> bool {
        self.key_path().is_none()
            && env("HOLDFAST_REPOSITORY_PASSPHRASE").is_none()
            && env("HOLDFAST_RECOVERY_CODE").is_some()
    }

    /// What finds the same repository on another machine: variables to set, and the value of `--repo`.
    ///
    /// # Errors
    /// Wrong settings (2).
    pub fn found_by(&self) -> Result<(Vec<String>, String), Failure> {
        Ok(match self.place()? {
            Place::Directory(path) => (Vec::new(), std::path::absolute(&path).unwrap_or(path).display().to_string()),
            Place::S3(config) => {
                let mut variables = vec![format!("BACKUP_STORAGE_REGION={}", config.region)];
                variables.extend(config.endpoint.map(|endpoint| format!("BACKUP_STORAGE_ENDPOINT={endpoint}")));
                variables.extend(["AWS_ACCESS_KEY_ID=…".to_owned(), "AWS_SECRET_ACCESS_KEY=…".to_owned()]);
                (variables, format!("s3://{}/{}", config.bucket, config.prefix))
            }
        })
    }

    /// The command line that opens the same repository from elsewhere: for `restore_command`.
    ///
    /// # Errors
    /// When a passphrase or a recovery code opens it: neither may stand in a server's configuration.
    pub fn command_line(&self, encrypted: bool) -> Result<String, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("our own program is not found: {error}")))?;
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let mut words = Vec::new();
        match self.place()? {
            Place::Directory(path) => words.extend(["--repo".to_owned(), absolute(path).display().to_string()]),
            Place::S3(config) => {
                let mut variables = vec![format!("BACKUP_STORAGE_REGION={}", config.region)];
                variables.extend(config.endpoint.map(|endpoint| format!("BACKUP_STORAGE_ENDPOINT={endpoint}")));
                variables.reverse();
                words.extend(["--repo".to_owned(), format!("s3://{}/{}", config.bucket, config.prefix)]);
                words.insert(0, program.display().to_string());
                variables.into_iter().for_each(|variable| words.insert(0, variable));
            }
        }
        if !words.iter().any(|word| *word == program.display().to_string()) {
            words.insert(0, program.display().to_string());
        }
        if encrypted {
            let path = self.key_path().ok_or_else(|| {
                Failure::usage("the restored server fetches WAL by itself and needs a key file for it; give --key-file (a passphrase or recovery code must not stand in its configuration), or --no-restore-command")
            })?;
            words.extend(["--key-file".to_owned(), absolute(path).display().to_string()]);
        }
        Ok(words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" "))
    }
}

/// The recovery code in the text of a kit.
pub fn recovery_code(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_whitespace() || c == '\'' || c == '"').find(|word| word.starts_with("HFR1-"))
}

/// One word for `sh`.
pub fn sh_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@+,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// One word for `sh`, and for PostgreSQL, where `%` is special.
fn shell_word(word: &str) -> String {
    sh_word(word).replace('%', "%%")
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::of(error.kind(), error)
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        BackupError::from(error).into()
    }
}

impl From<pgphysical::replication::ReplicationError> for Failure {
    fn from(error: pgphysical::replication::ReplicationError) -> Self {
        BackupError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell_and_postgresql() {
        assert_eq!(shell_word("/var/lib/repo"), "/var/lib/repo");
        assert_eq!(shell_word("/my repo/it's 100%"), r"'/my repo/it'\''s 100%%'");
    }
}
