//! Who somebody is: passwords, throttling, the session store, API tokens, the first administrator's link.
//! What they may do is decided in `control`.

mod error;
mod identity;
mod password;
mod seal;
mod secret;
mod session_store;
mod throttle;
mod token;

pub use error::AuthError;
pub use identity::{Identity, IdentityKind, SignedIn};
pub use password::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS, Passwords, check_strength};
pub use seal::SealingKey;
pub use secret::{hash_of, new_secret};
pub use session_store::{ABSOLUTE_LIMIT, IDLE_LIMIT, SESSION_KEY, StoreSessions};
pub use throttle::Throttle;
pub use token::{TOKEN_PREFIX, is_token, new_token};
