//! Key slots: each wraps the repository key for one key file, passphrase or recovery code.
use crate::{
    BackupError,
    format::{ObjectId, crypto::Secret, layout},
    repo::{DataKeys, Keys, Repository, RepositoryFile, now},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use blobs::{BlobStore, Bytes};
use domain::Timestamp;
use gcm::Gcm;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    path::Path,
};

/// What opens a repository.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The content of a key file.
    File(Secret),
    /// A passphrase.
    Passphrase(SecretString),
    /// A printed recovery code.
    Recovery(Secret),
}

const FILE_PREFIX: &str = "holdfast-key-1:";
const RECOVERY_PREFIX: &str = "HFR1";
/// Argon2id: 64 MiB, 3 passes, 1 lane.
const ARGON2: (u32, u32, u32) = (65_536, 3, 1);
/// Most memory that a slot's parameters may ask for, in KiB: a hostile slot must not exhaust this machine.
const ARGON2_MEMORY_LIMIT: u32 = 1 << 20;

/// `keys/<id>`: one wrapped copy of the repository key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeySlot {
    /// Its id.
    pub id: ObjectId,
    /// `file`, `passphrase` or `recovery`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is for, for people.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    salt: ObjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2: Option<(u32, u32, u32)>,
    wrapped: String,
}

impl KeySource {
    /// A new key file's content.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new_file() -> Result<(Self, String), BackupError> {
        let secret = Secret::random()?;
        let text = format!("{FILE_PREFIX}{}\n", BASE64.encode(secret.bytes()));
        Ok((Self::File(secret), text))
    }

    /// A new recovery code, in groups of eight letters for paper.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new_recovery() -> Result<(Self, String), BackupError> {
        let secret = Secret::random()?;
        let digits = secret.bytes().iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let check = recovery_check(secret.bytes());
        let groups = digits.as_bytes().chunks(8).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-");
        Ok((Self::Recovery(secret), format!("{RECOVERY_PREFIX}-{groups}-{check}")))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`BackupError::Io`] or [`BackupError::BadKey`].
    pub fn read_file(path: &Path) -> Result<Self, BackupError> {
        let text = std::fs::read_to_string(path).map_err(BackupError::io("read the key file", path))?;
        parse_key_file(&text).ok_or_else(|| {
            BackupError::BadKey(format!(
                "{} is not a key file of Holdfast (one line that begins with {FILE_PREFIX}); 'holdfast repo init' makes one",
                path.display()
            ))
        })
    }

    /// Reads a recovery code as it was printed; spaces, dashes and case do not matter.
    ///
    /// # Errors
    /// [`BackupError::BadKey`]: a mistyped code is told apart from a wrong one by its check letters.
    pub fn parse_recovery(text: &str) -> Result<Self, BackupError> {
        let bad = || {
            BackupError::BadKey(
                "that is not a recovery code: it has HFR1, eight groups of eight letters and four check letters, and one of them is mistyped"
                    .to_owned(),
            )
        };
        let plain = text
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_uppercase())
            .collect::<String>();
        let rest = plain.strip_prefix(RECOVERY_PREFIX).filter(|rest| rest.len() == 68).ok_or_else(bad)?;
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&rest[at * 2..at * 2 + 2], 16).map_err(|_| bad())?;
        }
        if recovery_check(&bytes) != rest[64..] {
            return Err(bad());
        }
        Ok(Self::Recovery(Secret::from_bytes(bytes)))
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Passphrase(_) => "passphrase",
            Self::Recovery(_) => "recovery",
        }
    }

    fn wrapping_key(&self, slot: &KeySlot) -> Result<Secret, BackupError> {
        match self {
            Self::File(secret) | Self::Recovery(secret) => Ok(secret.derive(&slot.salt.0, b"holdfast/1/slot")),
            Self::Passphrase(text) => {
                let unusable = |reason: String| BackupError::Unusable { what: format!("key slot {}", slot.id), reason };
                let parameters = check_argon2(slot)?;
                let mut out = [0; 32];
                argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters)
                    .hash_password_into(text.expose_secret().as_bytes(), &slot.salt.0, &mut out)
                    .map_err(|error| unusable(error.to_string()))?;
                Ok(Secret::from_bytes(out))
            }
        }
    }
}

pub(crate) fn parse_key_file(text: &str) -> Option<KeySource> {
    let bytes = BASE64.decode(text.trim().strip_prefix(FILE_PREFIX)?).ok()?;
    <[u8; 32]>::try_from(bytes).ok().map(|bytes| KeySource::File(Secret::from_bytes(bytes)))
}

/// A slot's bytes, opened with a key that does not fit: what hostile ones can reach.
pub(crate) fn parse_slot(bytes: &[u8]) {
    let Ok(slot) = serde_json::from_slice::<KeySlot>(bytes) else { return };
    let file = KeySource::File(Secret::from_bytes([1; 32]));
    if let Ok(key) = file.wrapping_key(&slot) {
        let _ = unwrap(&key, &[0; 16], &slot.wrapped);
    }
    let _ = check_argon2(&slot);
    let _ = serde_json::from_slice::<EpochFile>(bytes);
}

/// The parameters of a slot's passphrase, within bounds.
fn check_argon2(slot: &KeySlot) -> Result<argon2::Params, BackupError> {
    let unusable = |reason: String| BackupError::Unusable { what: format!("key slot {}", slot.id), reason };
    let (memory, passes, lanes) = slot.argon2.unwrap_or(ARGON2);
    if memory > ARGON2_MEMORY_LIMIT || passes > 100 || lanes > 64 {
        return Err(unusable("its Argon2 parameters ask for more than 1 GiB, 100 passes or 64 lanes".to_owned()));
    }
    argon2::Params::new(memory, passes, lanes, Some(32)).map_err(|error| unusable(error.to_string()))
}

fn recovery_check(bytes: &[u8]) -> String {
    blake3::hash(bytes).as_bytes()[..2].iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Every wrapping key is used once: its salt is new. So the nonce may be constant.
const NONCE: [u8; 12] = *b"holdfast-key";

fn wrap(key: &Secret, context: &[u8], secret: &Secret) -> String {
    let mut bytes = secret.bytes().to_vec();
    let tag = Gcm::new(key.bytes()).seal(NONCE, context, &mut bytes);
    // Refused only above 64 GiB.
    bytes.extend_from_slice(&tag.unwrap_or_default());
    BASE64.encode(bytes)
}

fn unwrap(key: &Secret, context: &[u8], wrapped: &str) -> Option<Secret> {
    let bytes = BASE64.decode(wrapped).ok().filter(|bytes| bytes.len() == 48)?;
    let (mut secret, tag) = (<[u8; 32]>::try_from(&bytes[..32]).ok()?, <[u8; 16]>::try_from(&bytes[32..]).ok()?);
    Gcm::new(key.bytes()).open(NONCE, context, &mut secret, tag).ok()?;
    Some(Secret::from_bytes(secret))
}

#[derive(Serialize, Deserialize)]
struct EpochFile {
    number: u32,
    created: Timestamp,
    salt: ObjectId,
    wrapped: String,
}

async fn write_slot(
    store: &dyn BlobStore,
    file: &RepositoryFile,
    root: &Secret,
    source: &KeySource,
    label: &str,
) -> Result<KeySlot, BackupError> {
    let mut slot = KeySlot {
        id: ObjectId::random(),
        kind: source.kind().to_owned(),
        label: label.to_owned(),
        created: now(),
        salt: ObjectId::random(),
        argon2: matches!(source, KeySource::Passphrase(_)).then_some(ARGON2),
        wrapped: String::new(),
    };
    slot.wrapped = wrap(&source.wrapping_key(&slot)?, &file.id.0, root);
    put_json(store, &format!("{}{}", layout::KEYS, slot.id), &slot).await?;
    Ok(slot)
}

async fn write_epoch(
    store: &dyn BlobStore,
    file: &RepositoryFile,
    root: &Secret,
    number: u32,
) -> Result<Secret, BackupError> {
    let key = Secret::random()?;
    let salt = ObjectId::random();
    let wrapped = wrap(&root.derive(&salt.0, b"holdfast/1/epoch"), &file.id.0, &key);
    let epoch = EpochFile { number, created: now(), salt, wrapped };
    // Twice: all that is sealed under it would be lost with these few bytes.
    put_json(store, &format!("{}{number:06}", layout::EPOCHS), &epoch).await?;
    put_json(store, &format!("{}{number:06}-copy", layout::EPOCHS), &epoch).await?;
    Ok(key)
}

/// The small clear files have nothing that authenticates them: a checksum tells damage apart from a wrong key.
const CHECK: &str = "check";

fn checksum(fields: &serde_json::Map<String, serde_json::Value>) -> String {
    let mut lines =
        fields.iter().filter(|(name, _)| *name != CHECK).map(|(n, v)| format!("{n}={v}\n")).collect::<Vec<_>>();
    lines.sort();
    blake3::hash(lines.concat().as_bytes()).to_hex()[..16].to_owned()
}

/// JSON of a flat structure with its checksum.
///
/// # Errors
/// When it is none.
pub(crate) fn checked_json<T: Serialize>(key: &str, value: &T) -> Result<Bytes, BackupError> {
    let mut value = serde_json::to_value(value).map_err(|error| BackupError::malformed(key, error))?;
    if let Some(fields) = value.as_object_mut() {
        let check = checksum(fields);
        fields.insert(CHECK.to_owned(), check.into());
    }
    serde_json::to_vec_pretty(&value).map(Bytes::from).map_err(|error| BackupError::malformed(key, error))
}

/// Reads what [`checked_json`] made, and files of the time before there was a checksum.
///
/// # Errors
/// [`BackupError::Malformed`].
pub(crate) fn parse_checked<T: serde::de::DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, BackupError> {
    let mut value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| BackupError::malformed(key, error))?;
    if let Some(fields) = value.as_object_mut()
        && let Some(check) = fields.get(CHECK)
    {
        if check.as_str() != Some(checksum(fields).as_str()) {
            return Err(BackupError::malformed(key, "it was changed or damaged: its checksum does not fit"));
        }
        fields.remove(CHECK);
    }
    serde_json::from_value(value).map_err(|error| BackupError::malformed(key, error))
}

async fn get_checked<T: serde::de::DeserializeOwned>(store: &dyn BlobStore, key: &str) -> Result<T, BackupError> {
    parse_checked(key, &store.get(key).await?)
}

async fn put_json<T: Serialize>(store: &dyn BlobStore, key: &str, value: &T) -> Result<(), BackupError> {
    Ok(store.put_new(key, checked_json(key, value)?).await?)
}

pub(crate) async fn create(
    store: &dyn BlobStore,
    file: &RepositoryFile,
    source: &KeySource,
) -> Result<Keys, BackupError> {
    let root = Secret::random()?;
    write_slot(store, file, &root, source, "first").await?;
    let current = write_epoch(store, file, &root, 1).await?;
    let listed = list_epochs(store).await?;
    Ok(Keys::new(root, DataKeys { epochs: HashMap::from([(current.key_id(), current.clone())]), current, listed }))
}

/// The slots that can be read, and what is wrong with the others: a damaged one must not lock out who has another key.
async fn read_slots(store: &dyn BlobStore) -> Result<(Vec<KeySlot>, Vec<BackupError>), BackupError> {
    let (mut slots, mut damaged) = (Vec::new(), Vec::new());
    for info in store.list(layout::KEYS).await? {
        match get_checked::<KeySlot>(store, &info.key).await {
            Ok(slot) if info.key.ends_with(&slot.id.to_string()) => slots.push(slot),
            Ok(_) => damaged.push(BackupError::malformed(&info.key, "it is another slot than its name says")),
            Err(error) if error.is_damage() => damaged.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((slots, damaged))
}

pub(crate) async fn open(
    store: &dyn BlobStore,
    file: &RepositoryFile,
    source: &KeySource,
) -> Result<Keys, BackupError> {
    let (slots, damaged) = read_slots(store).await?;
    for error in &damaged {
        tracing::error!(%error, "a key slot cannot be used; add it anew with 'holdfast repo key add'");
    }
    let mut root = None;
    for slot in slots.into_iter().filter(|slot| slot.kind == source.kind()) {
        let (source, context) = (source.clone(), file.id.0);
        // Argon2 takes tenths of a second and 64 MiB: not on a thread of the runtime.
        let opened = tokio::task::spawn_blocking(move || {
            source.wrapping_key(&slot).map(|key| unwrap(&key, &context, &slot.wrapped))
        });
        root = opened.await.map_err(|error| BackupError::Failed(error.to_string()))??;
        if root.is_some() {
            break;
        }
    }
    let root = match (root, damaged.into_iter().next()) {
        (Some(root), _) => root,
        // It may have been the one of this key.
        (None, Some(error)) => return Err(error),
        (None, None) => return Err(BackupError::WrongKey(store.describe())),
    };
    let listed = list_epochs(store).await?;
    let data = read_epochs(store, file, &root, listed).await?;
    Ok(Keys::new(root, data))
}

/// The objects of the data keys.
async fn list_epochs(store: &dyn BlobStore) -> Result<Vec<String>, BackupError> {
    let mut keys = store.list(layout::EPOCHS).await?.into_iter().map(|info| info.key).collect::<Vec<_>>();
    keys.sort();
    Ok(keys)
}

/// The data keys and the newest of them. Each is there twice; one that cannot be read from either is an error only for
/// the objects sealed under it, unless it is the newest: nothing new is sealed under a key that was replaced.
async fn read_epochs(
    store: &dyn BlobStore,
    file: &RepositoryFile,
    root: &Secret,
    listed: Vec<String>,
) -> Result<DataKeys, BackupError> {
    let mut by_number = BTreeMap::new();
    for key in &listed {
        let name = key.trim_start_matches(layout::EPOCHS);
        let read = match get_checked::<EpochFile>(store, key).await {
            Ok(epoch) => unwrap(&root.derive(&epoch.salt.0, b"holdfast/1/epoch"), &file.id.0, &epoch.wrapped)
                .ok_or_else(|| BackupError::malformed(key, "its wrapped key was changed or damaged")),
            Err(error) if error.is_damage() => Err(error),
            Err(error) => return Err(error),
        };
        if let Err(error) = &read {
            tracing::error!(%error, "one copy of a data key cannot be used");
        }
        let number = name.get(..6).and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0);
        match by_number.entry(number) {
            Entry::Vacant(place) => drop(place.insert(read)),
            Entry::Occupied(mut place) => {
                if place.get().is_err() {
                    let _ = place.insert(read);
                }
            }
        }
    }
    let (_, newest) = by_number.last_key_value().ok_or_else(|| BackupError::Unusable {
        what: layout::EPOCHS.to_owned(),
        reason: "no data key is there".to_owned(),
    })?;
    let current = newest.as_ref().ok().cloned();
    let (good, bad): (Vec<_>, Vec<_>) = by_number.into_values().partition(Result::is_ok);
    match (current, bad.into_iter().find_map(Result::err)) {
        (Some(current), _) => {
            let epochs = good.into_iter().flatten().map(|key| (key.key_id(), key)).collect();
            Ok(DataKeys { epochs, current, listed })
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(BackupError::WrongKey(store.describe())),
    }
}

impl Repository {
    /// All key slots.
    ///
    /// # Errors
    /// What the store says.
    pub async fn key_slots(&self) -> Result<Vec<KeySlot>, BackupError> {
        let (slots, damaged) = read_slots(self.store().as_ref()).await?;
        for error in damaged {
            tracing::error!(%error, "a key slot cannot be used; add it anew with 'holdfast repo key add'");
        }
        Ok(slots)
    }

    /// Adds a slot.
    ///
    /// # Errors
    /// [`BackupError::Invalid`] for a repository without encryption.
    pub async fn add_key(&self, source: &KeySource, label: &str) -> Result<KeySlot, BackupError> {
        let keys = self.keys().ok_or_else(not_encrypted)?;
        write_slot(self.store().as_ref(), self.file(), &keys.root, source, label).await
    }

    /// Removes a slot; never the last.
    ///
    /// # Errors
    /// [`BackupError::NotFound`], [`BackupError::Conflict`] for the last one.
    pub async fn remove_key(&self, id: &str) -> Result<(), BackupError> {
        let slots = self.key_slots().await?;
        if !slots.iter().any(|slot| slot.id.to_string() == id) {
            return Err(BackupError::NotFound(format!(
                "there is no key slot {id}; 'holdfast repo key list' shows them"
            )));
        }
        if slots.len() < 2 {
            return Err(BackupError::Conflict(
                "that is the last key slot: without it nobody could restore; add another first".to_owned(),
            ));
        }
        Ok(self.store().delete(&format!("{}{id}", layout::KEYS)).await?)
    }

    /// Reads the data keys again when others are there than were read: another process may have made a new one. From
    /// then on all clones of this handle seal with the newest. Whether there was another; one listing when there is none.
    ///
    /// # Errors
    /// What the store says, or damage of the newest key.
    pub async fn reread_keys(&self) -> Result<bool, BackupError> {
        let Some(keys) = self.keys() else { return Ok(false) };
        let listed = list_epochs(self.store().as_ref()).await?;
        if keys.is_of(&listed) {
            return Ok(false);
        }
        keys.replace(read_epochs(self.store().as_ref(), self.file(), &keys.root, listed).await?);
        tracing::info!(repository = self.store().describe(), "the data keys were read anew");
        Ok(true)
    }

    /// Gives new objects a new data key, this handle's and its clones' from now on, other processes' as soon as they
    /// look ([`Self::reread_keys`]); what is there stays readable.
    ///
    /// # Errors
    /// [`BackupError::Invalid`] for a repository without encryption.
    pub async fn rotate_key(&self) -> Result<u32, BackupError> {
        let keys = self.keys().ok_or_else(not_encrypted)?;
        let listed = self.store().list(layout::EPOCHS).await?;
        let number = |key: &str| key.get(layout::EPOCHS.len()..)?.get(..6)?.parse::<u32>().ok();
        let number = listed.iter().filter_map(|info| number(&info.key)).max().unwrap_or(0).saturating_add(1);
        write_epoch(self.store().as_ref(), self.file(), &keys.root, number).await?;
        self.reread_keys().await?;
        Ok(number)
    }
}

fn not_encrypted() -> BackupError {
    BackupError::Invalid(
        "this repository was made with --no-encryption; make a new one to have its backups encrypted".to_owned(),
    )
}
