//! Random secrets and their hashes.
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRngCore as _, rngs::OsRng};
use sha2::{Digest as _, Sha256};

/// 256 random bits in 43 characters that need no escaping.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn new_secret() -> Result<String, crate::AuthError> {
    let mut bytes = [0u8; 32];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| crate::AuthError::Hash(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256 in hexadecimal. A secret of 256 random bits needs no slow hash.
pub fn hash_of(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
