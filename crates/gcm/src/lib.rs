//! AES-256-GCM over bytes in place, with the tag beside them.
//!
//! A room of its own, because the cipher's code is generic: it is compiled where it is used, with the optimisation of
//! that crate. Here `Cargo.toml` optimises it in development as well (ADR 75); within `backup` each mebibyte took half
//! a second there, most of it in loops that are otherwise folded away.
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};

/// Bytes of a key.
pub const KEY_SIZE: usize = 32;
/// Bytes of a nonce. One must never be used twice under one key.
pub const NONCE_SIZE: usize = 12;
/// Bytes of a tag.
pub const TAG_SIZE: usize = 16;

/// A key, expanded; wiped when dropped, never shown.
#[derive(Clone)]
pub struct Gcm(Box<aes_gcm::Aes256Gcm>);

/// Bytes that are not what was sealed: changed, another nonce, other associated data, or another key. When sealing: more
/// than the 64 GiB that one nonce may seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl std::fmt::Debug for Gcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gcm(…)")
    }
}

impl Gcm {
    /// From the bytes of a key.
    pub fn new(key: &[u8; KEY_SIZE]) -> Self {
        Self(Box::new(aes_gcm::Aes256Gcm::new(key.into())))
    }

    /// Encrypts `bytes` in place; the tag says that they and `associated` are unchanged.
    ///
    /// # Errors
    /// [`Refused`] above 64 GiB.
    #[inline(never)]
    pub fn seal(
        &self,
        nonce: [u8; NONCE_SIZE],
        associated: &[u8],
        bytes: &mut [u8],
    ) -> Result<[u8; TAG_SIZE], Refused> {
        self.0.encrypt_inout_detached(&nonce.into(), associated, bytes.into()).map(Into::into).map_err(|_| Refused)
    }

    /// Decrypts `bytes` in place.
    ///
    /// # Errors
    /// [`Refused`] when they are not what was sealed; their content is then unspecified.
    #[inline(never)]
    pub fn open(
        &self,
        nonce: [u8; NONCE_SIZE],
        associated: &[u8],
        bytes: &mut [u8],
        tag: [u8; TAG_SIZE],
    ) -> Result<(), Refused> {
        self.0.decrypt_inout_detached(&nonce.into(), associated, bytes.into(), &tag.into()).map_err(|_| Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_unchanged_and_only_so() {
        let key = Gcm::new(&[7; KEY_SIZE]);
        let mut bytes = b"sixteen bytes and some".to_vec();
        let tag = key.seal([1; NONCE_SIZE], b"place", &mut bytes);
        let Ok(tag) = tag else { panic!("sealing was refused") };
        assert_ne!(bytes, b"sixteen bytes and some");
        let open = |key: &Gcm, nonce, associated: &[u8], mut bytes: Vec<u8>, tag| {
            key.open(nonce, associated, &mut bytes, tag).map(|()| bytes)
        };
        assert_eq!(open(&key, [1; NONCE_SIZE], b"place", bytes.clone(), tag), Ok(b"sixteen bytes and some".to_vec()));
        let mut changed = bytes.clone();
        changed[3] ^= 1;
        assert_eq!(open(&key, [1; NONCE_SIZE], b"place", changed, tag), Err(Refused));
        assert_eq!(open(&key, [2; NONCE_SIZE], b"place", bytes.clone(), tag), Err(Refused));
        assert_eq!(open(&key, [1; NONCE_SIZE], b"elsewhere", bytes.clone(), tag), Err(Refused));
        assert_eq!(open(&Gcm::new(&[8; KEY_SIZE]), [1; NONCE_SIZE], b"place", bytes, tag), Err(Refused));
    }

    /// The second test case of the GCM specification for 256-bit keys (McGrew and Viega, case 14).
    #[test]
    fn it_is_the_gcm_of_the_specification() {
        let mut bytes = [0; 16];
        let tag = Gcm::new(&[0; KEY_SIZE]).seal([0; NONCE_SIZE], b"", &mut bytes);
        assert_eq!(bytes, *b"\xce\xa7\x40\x3d\x4d\x60\x6b\x6e\x07\x4e\xc5\xd3\xba\xf3\x9d\x18");
        assert_eq!(tag, Ok(*b"\xd0\xd1\xc8\xa7\x99\x99\x6b\xf0\x26\x5b\x98\xb5\xd4\x8a\xb9\x19"));
    }
}
