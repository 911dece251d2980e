//! Passwords: argon2id, hashed beside the event loop and never more than two at a time.
use crate::AuthError;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Longer input is refused: hashing must not become a way to keep us busy.
pub const MAX_PASSWORD_BYTES: usize = 256;
/// Shortest password (NIST SP 800-63B asks for 8, with a second factor; we have none yet).
pub const MIN_PASSWORD_CHARS: usize = 10;

/// A hash takes 19 MiB and some 20 ms: two at a time bound both.
const AT_ONCE: usize = 2;

/// Hashing and checking; cheap to clone.
#[derive(Clone, Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// Checked when there is no such account, so that the answer takes as long as for a wrong password.
    dummy: Arc<str>,
}

/// What became of checking a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It was the right one.
    pub right: bool,
    /// It was right, and its hash has weaker parameters than we use now: store this one.
    pub rehashed: Option<String>,
}

impl Passwords {
    /// Makes the dummy hash.
    ///
    /// # Errors
    /// [`AuthError::Hash`].
    pub async fn new() -> Result<Self, AuthError> {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let dummy = tokio::task::spawn_blocking(|| hash_now("no account has this password")).await;
        let dummy = dummy.map_err(|error| AuthError::Hash(error.to_string()))??;
        Ok(Self { permits, dummy: dummy.into() })
    }

    /// Hashes a new password with the library's defaults: argon2id, 19 MiB, two passes (OWASP's baseline).
    ///
    /// # Errors
    /// [`AuthError::Weak`] or [`AuthError::Hash`].
    pub async fn hash(&self, password: &str) -> Result<String, AuthError> {
        check_strength(password)?;
        let password = password.to_owned();
        self.beside(move || hash_now(&password)).await
    }

    /// Checks a password against a stored hash, or against the dummy when there is none.
    ///
    /// # Errors
    /// [`AuthError::Hash`] when it could not be checked.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<Verdict, AuthError> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(Verdict { right: false, rehashed: None });
        }
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.dummy).to_owned();
        let password = password.to_owned();
        self.beside(move || {
            let parsed = PasswordHash::new(&stored).map_err(|error| AuthError::Hash(error.to_string()))?;
            let right = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok() && known;
            let rehashed = if right && is_weaker(&parsed) { Some(hash_now(&password)?) } else { None };
            Ok(Verdict { right, rehashed })
        })
        .await
    }

    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let _permit = self.permits.acquire().await.map_err(|error| AuthError::Hash(error.to_string()))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| AuthError::Hash(error.to_string()))?
    }
}

/// Whether a password may be chosen.
///
/// # Errors
/// [`AuthError::Weak`] with what is asked for.
pub fn check_strength(password: &str) -> Result<(), AuthError> {
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err(AuthError::Weak(format!("a password needs at least {MIN_PASSWORD_CHARS} characters")));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(AuthError::Weak(format!("a password has at most {MAX_PASSWORD_BYTES} bytes")));
    }
    Ok(())
}

fn hash_now(password: &str) -> Result<String, AuthError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| AuthError::Hash(error.to_string()))
}

fn is_weaker(stored: &PasswordHash) -> bool {
    let params = argon2::Params::default();
    let field = |name: &str| stored.params.get_decimal(name).unwrap_or(0);
    stored.algorithm.as_str() != "argon2id" || field("m") < params.m_cost() || field("t") < params.t_cost()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_account_is_right() {
        let passwords = Passwords::new().await.unwrap();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert_eq!(
            passwords.verify("correct horse", Some(&hash)).await.unwrap(),
            Verdict { right: true, rehashed: None }
        );
        assert!(!passwords.verify("wrong horse", Some(&hash)).await.unwrap().right);
        assert!(!passwords.verify("no account has this password", None).await.unwrap().right);
        assert!(!passwords.verify(&"x".repeat(257), Some(&hash)).await.unwrap().right);
    }

    #[tokio::test]
    async fn a_weaker_hash_is_replaced_when_the_password_is_right() {
        let passwords = Passwords::new().await.unwrap();
        let weak = Argon2::new(
            argon2::Algorithm::Argon2id,
            argon2::Version::V0x13,
            argon2::Params::new(1_024, 1, 1, None).unwrap(),
        );
        let hash = weak.hash_password(b"correct horse").unwrap().to_string();
        let verdict = passwords.verify("correct horse", Some(&hash)).await.unwrap();
        let stronger = verdict.rehashed.unwrap();
        assert_eq!(
            passwords.verify("correct horse", Some(&stronger)).await.unwrap(),
            Verdict { right: true, rehashed: None }
        );
        assert_eq!(passwords.verify("wrong horse", Some(&hash)).await.unwrap().rehashed, None);
    }

    #[tokio::test]
    async fn a_short_or_huge_password_cannot_be_chosen() {
        for wrong in ["", "123456789", &"x".repeat(257)] {
            assert!(matches!(check_strength(wrong), Err(AuthError::Weak(_))), "{wrong}");
        }
        assert!(check_strength("ten chars!").is_ok());
    }
}
