//! Secrets that must be read again (addresses of channels, passwords of mail servers) are kept sealed: AES-256-GCM
//! under the installation's key, which lies in a file of its own, outside the control store. Whoever copies the store
//! alone can read none of them.
use crate::AuthError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use gcm::{Gcm, NONCE_SIZE, TAG_SIZE};
use rand::{TryRngCore as _, rngs::OsRng};
use sha2::{Digest as _, Sha256};
use std::{fmt, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc};

/// Tells what a text is, and which scheme sealed it.
const PREFIX: &str = "v1:";

/// The installation's key.
#[derive(Clone)]
pub struct SealingKey {
    cipher: Arc<Gcm>,
    id: String,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

impl SealingKey {
    /// From 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let digest = Sha256::digest([b"holdfast sealing key id".as_slice(), bytes].concat());
        let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self { cipher: Arc::new(Gcm::new(bytes)), id }
    }

    /// A fresh one that is kept nowhere.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn random() -> Result<Self, AuthError> {
        Ok(Self::from_bytes(&random()?))
    }

    /// The one in a file: 32 bytes in base64. When there is none it is made, readable by its owner only.
    ///
    /// # Errors
    /// [`AuthError::Seal`] says which file and what to do.
    pub fn in_file(path: &Path) -> Result<Self, AuthError> {
        let shown = path.display();
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
                bytes.map(|bytes| Self::from_bytes(&bytes)).ok_or_else(|| {
                    AuthError::Seal(format!("{shown} holds no key: it must be 32 bytes in base64; restore the file"))
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let bytes = random()?;
                let cannot = |error: std::io::Error| {
                    AuthError::Seal(format!("{shown} cannot be made: {error}; name another by HOLDFAST_KEY_PATH"))
                };
                if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    std::fs::create_dir_all(parent).map_err(cannot)?;
                }
                // Whole or not at all: half a key would lock everything away. A second process that made one in
                // between wins, and its key is read.
                let temporary = path.with_extension(format!("{}.new", std::process::id()));
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&temporary)
                    .map_err(cannot)?;
                file.write_all(STANDARD.encode(bytes).as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)?;
                let linked = std::fs::hard_link(&temporary, path);
                let _ = std::fs::remove_file(&temporary);
                match linked {
                    Ok(()) => Ok(Self::from_bytes(&bytes)),
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::in_file(path),
                    Err(error) => Err(cannot(error)),
                }
            }
            Err(error) => Err(AuthError::Seal(format!("{shown} cannot be read: {error}"))),
        }
    }

    /// Seals a text; `what` is bound to it, so that one record's secret cannot be put into another's.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn seal(&self, what: &str, secret: &str) -> Result<String, AuthError> {
        let nonce = random::<NONCE_SIZE>()?;
        let mut bytes = secret.as_bytes().to_vec();
        let tag = self
            .cipher
            .seal(nonce, what.as_bytes(), &mut bytes)
            .map_err(|gcm::Refused| AuthError::Seal("cannot seal".to_owned()))?;
        Ok(format!("{PREFIX}{}:{}", self.id, STANDARD.encode([nonce.as_slice(), &bytes, &tag].concat())))
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// [`AuthError::Seal`]: another key, or somebody changed it.
    pub fn open(&self, what: &str, sealed: &str) -> Result<String, AuthError> {
        let damaged =
            || AuthError::Seal("a sealed secret was changed or is not what it should be; enter it anew".to_owned());
        let (id, text) = sealed.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')).ok_or_else(damaged)?;
        if id != self.id {
            return Err(AuthError::Seal(format!(
                "a secret was sealed under the key {id} and ours is {}: bring the old key file back (HOLDFAST_KEY_PATH), or enter the secret anew",
                self.id
            )));
        }
        let bytes = STANDARD.decode(text).map_err(|_| damaged())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_SIZE>().ok_or_else(damaged)?;
        let (sealed, tag) = sealed.split_last_chunk::<TAG_SIZE>().ok_or_else(damaged)?;
        let mut opened = sealed.to_vec();
        self.cipher.open(*nonce, what.as_bytes(), &mut opened, *tag).map_err(|gcm::Refused| damaged())?;
        String::from_utf8(opened).map_err(|_| damaged())
    }
}

fn random<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0u8; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| AuthError::Hash(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_sealed_opens_under_the_same_key_and_name_only() {
        let key = SealingKey::random().unwrap();
        let (one, two) = (key.seal("channel 1", "s3cret").unwrap(), key.seal("channel 1", "s3cret").unwrap());
        assert!(one != two && !one.contains("s3cret"), "{one}");
        assert_eq!(key.open("channel 1", &one).unwrap(), "s3cret");
        assert!(key.open("channel 2", &one).unwrap_err().to_string().contains("changed"));
        let other = SealingKey::random().unwrap().open("channel 1", &one).unwrap_err().to_string();
        assert!(other.contains("HOLDFAST_KEY_PATH"), "{other}");
        for broken in ["", "v1:", "v1:x:y", &one[..one.len() - 4], &format!("{one}AAAA")] {
            assert!(key.open("channel 1", broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/holdfast.key");
        let sealed = SealingKey::in_file(&path).unwrap().seal("x", "s3cret").unwrap();
        assert_eq!(SealingKey::in_file(&path).unwrap().open("x", &sealed).unwrap(), "s3cret");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        std::fs::write(&path, "half a key").unwrap();
        assert!(SealingKey::in_file(&path).unwrap_err().to_string().contains("restore"));
    }
}
