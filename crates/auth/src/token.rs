//! API tokens: `hf_` and a secret.
use crate::{AuthError, new_secret};

/// Tells a token of ours in a log or a repository.
pub const TOKEN_PREFIX: &str = "hf_";

/// A new token.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn new_token() -> Result<String, AuthError> {
    Ok(format!("{TOKEN_PREFIX}{}", new_secret()?))
}

/// Whether a text has the form of a token; anything else need not be looked up.
pub fn is_token(text: &str) -> bool {
    text.strip_prefix(TOKEN_PREFIX).is_some_and(|rest| {
        rest.len() == 43 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_known_by_their_form() {
        let (a, b) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(a, b);
        assert!(is_token(&a) && is_token(&b));
        for wrong in ["", "hf_", "hf_short", "xx_0123456789012345678901234567890123456789012", &format!("{a} ")] {
            assert!(!is_token(wrong), "{wrong}");
        }
    }
}
