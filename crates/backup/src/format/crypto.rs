//! Keys and how the bytes of one object are sealed.
//!
//! The repository key is 256 random bits. Every object gets a key of its own, derived from the data key of its epoch
//! and the object's random id, so counter nonces never repeat under one key. Without encryption the same layout
//! carries a keyed BLAKE3 tag instead, under a key that everybody can compute: damage is noticed all the same.
use super::ObjectId;
use gcm::Gcm;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes that sealing adds to a frame.
pub const TAG_SIZE: usize = gcm::TAG_SIZE;

/// A 256-bit secret; wiped when dropped, never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Fresh from the operating system's generator.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn random() -> Result<Self, rand::rand_core::OsError> {
        use rand::TryRngCore as _;
        let mut bytes = Zeroizing::new([0; 32]);
        rand::rngs::OsRng.try_fill_bytes(bytes.as_mut())?;
        Ok(Self(bytes))
    }
    /// These bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// Another secret that follows from this one by HKDF-SHA256.
    pub fn derive(&self, salt: &[u8], purpose: &[u8]) -> Self {
        let mut out = Zeroizing::new([0; 32]);
        // 32 bytes are far below HKDF's limit of 255 x 32: it cannot refuse.
        let _ = Hkdf::<Sha256>::new(Some(salt), self.bytes()).expand(purpose, out.as_mut());
        Self(out)
    }
    /// Eight bytes by which a key is recognised; they tell nothing of it.
    pub fn key_id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        id.copy_from_slice(&self.derive(b"", b"holdfast key id").bytes()[..8]);
        id
    }
}

/// What an object holds; part of what is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// Pages and files.
    Pack = 1,
    /// Where the pages of each file are.
    Map = 2,
    /// The files of a backup.
    Manifest = 3,
    /// A backup exists.
    Commit = 4,
    /// Write-ahead log.
    Wal = 5,
    /// A timeline's history file.
    History = 6,
    /// A declared hole in the write-ahead log.
    Gap = 7,
    /// What is known of a cluster.
    Cluster = 8,
    /// A backup must not be expired.
    Hold = 9,
    /// A backup was expired; its objects wait for their removal.
    Tombstone = 10,
    /// Rows of an archived month, as Parquet.
    Archive = 11,
    /// Which objects are an archived month.
    ArchiveManifest = 12,
    /// What a verification or a restore test showed of a backup.
    Record = 13,
}

impl ObjectKind {
    /// From its number in an object's header.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Pack,
            2 => Self::Map,
            3 => Self::Manifest,
            4 => Self::Commit,
            5 => Self::Wal,
            6 => Self::History,
            7 => Self::Gap,
            8 => Self::Cluster,
            9 => Self::Hold,
            10 => Self::Tombstone,
            11 => Self::Archive,
            12 => Self::ArchiveManifest,
            13 => Self::Record,
            _ => return None,
        })
    }
}

/// Seals and opens the frames of one object.
#[derive(Clone)]
pub struct Sealer {
    cipher: Cipher,
    context: [u8; 35],
}

#[derive(Clone)]
enum Cipher {
    Aes(Gcm),
    Plain([u8; 32]),
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// The tag does not fit: other bytes, another place, or another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAuthentic;

/// Number of a frame that ends an object.
pub const FOOTER: u64 = u64::MAX;

impl Sealer {
    /// For one object. `key` is the data key of its epoch; `None` without encryption.
    pub fn new(key: Option<&Secret>, repository: &[u8; 16], object: ObjectId, kind: ObjectKind) -> Self {
        let mut context = [0; 35];
        context[..2].copy_from_slice(b"H1");
        context[2] = kind as u8;
        context[3..19].copy_from_slice(repository);
        context[19..].copy_from_slice(&object.0);
        let cipher = match key {
            Some(key) => {
                let key = key.derive(&object.0, &[b"holdfast/1/object/", &[kind as u8][..]].concat());
                Cipher::Aes(Gcm::new(key.bytes()))
            }
            None => Cipher::Plain(blake3::derive_key("holdfast 1 unencrypted frame", &context)),
        };
        Self { cipher, context }
    }

    fn associated(&self, frame: u64) -> [u8; 44] {
        let mut data = [0; 44];
        data[..35].copy_from_slice(&self.context);
        data[35..43].copy_from_slice(&frame.to_be_bytes());
        data[43] = u8::from(frame == FOOTER);
        data
    }

    fn nonce(frame: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(if frame == FOOTER { b"last" } else { b"data" });
        nonce[4..].copy_from_slice(&frame.to_be_bytes());
        nonce
    }

    fn plain_tag(key: &[u8; 32], associated: &[u8], bytes: &[u8]) -> [u8; TAG_SIZE] {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(associated).update(bytes);
        let mut tag = [0; TAG_SIZE];
        hasher.finalize_xof().fill(&mut tag);
        tag
    }

    /// Seals `buffer` in place and appends the tag. Each frame number may be used once.
    pub fn seal(&self, frame: u64, buffer: &mut Vec<u8>) {
        let associated = self.associated(frame);
        let tag = match &self.cipher {
            // Refused only above 64 GiB; a frame is about a mebibyte.
            Cipher::Aes(cipher) => cipher.seal(Self::nonce(frame), &associated, buffer).unwrap_or([0; TAG_SIZE]),
            Cipher::Plain(key) => Self::plain_tag(key, &associated, buffer),
        };
        buffer.extend_from_slice(&tag);
    }

    /// Opens a frame in place and takes the tag off.
    ///
    /// # Errors
    /// [`NotAuthentic`]; the buffer's content is then unspecified.
    pub fn open(&self, frame: u64, buffer: &mut Vec<u8>) -> Result<(), NotAuthentic> {
        let associated = self.associated(frame);
        let length = buffer.len().checked_sub(TAG_SIZE).ok_or(NotAuthentic)?;
        let mut tag = [0; TAG_SIZE];
        tag.copy_from_slice(&buffer[length..]);
        buffer.truncate(length);
        match &self.cipher {
            Cipher::Aes(cipher) => {
                cipher.open(Self::nonce(frame), &associated, buffer, tag).map_err(|gcm::Refused| NotAuthentic)
            }
            Cipher::Plain(key) => {
                if Self::plain_tag(key, &associated, buffer) == tag {
                    Ok(())
                } else {
                    Err(NotAuthentic)
                }
            }
        }
    }
}
