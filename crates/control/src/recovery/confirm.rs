//! What destroys or replaces wants the name typed and the password again.
use crate::{Actor, ControlError, ControlPlane, now};
use auth::IdentityKind;
use domain::ErrorKind;
use store::{AccountRepo, Outcome};

/// What the person typed.
#[derive(Clone, Debug, Default)]
pub struct Confirmation {
    /// The name of what it is done to.
    pub name: String,
    /// The password again; a token has none, and needs the scope `restore` instead.
    pub password: String,
}

impl ControlPlane {
    /// What was confirmed and is refused all the same leaves its row too, with the reason; what did not work as well.
    pub(crate) async fn told<T>(
        &self,
        actor: &Actor,
        action: &str,
        object: (&str, &str),
        done: Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        if let Err(error) = &done {
            let outcome = match error.kind() {
                ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::NotFound => Outcome::Refused,
                _ => Outcome::Failed,
            };
            let detail = Some(serde_json::json!({ "reason": error.to_string() }));
            self.audit_outcome(actor, action, object, outcome, detail).await?;
        }
        done
    }

    /// Lets a dangerous action through when name and password are right. A wrong password counts as a failed sign-in.
    pub(crate) async fn confirm(
        &self,
        actor: &Actor,
        action: &str,
        object: (&str, &str),
        name: &str,
        given: &Confirmation,
    ) -> Result<(), ControlError> {
        let refused = async |reason: &str, error: ControlError| {
            let detail = Some(serde_json::json!({ "reason": reason }));
            self.audit_outcome(actor, action, object, Outcome::Refused, detail).await?;
            Err(error)
        };
        if given.name.trim() != name {
            let message = format!("type '{name}' to confirm; nothing was changed");
            return refused("the typed name is another", ControlError::field("confirm", message)).await;
        }
        let Some(identity) = &actor.identity else { return Err(ControlError::Unauthenticated) };
        match identity.kind {
            IdentityKind::Cli | IdentityKind::System => Ok(()),
            IdentityKind::Token if identity.has_scope("restore") => Ok(()),
            IdentityKind::Token => {
                let error = ControlError::Forbidden {
                    permission: "scope restore",
                    role: format!("{} of this token", identity.role),
                };
                refused("the token has no scope 'restore'", error).await
            }
            IdentityKind::User => {
                let address = actor.address.as_deref();
                let throttle = &self.inner.throttle;
                let wait = throttle.retry_after(&identity.name, address, now()).await.map_err(ControlError::Auth)?;
                if let Some(retry_after_seconds) = wait {
                    return refused("throttled", ControlError::TooManyRequests { retry_after_seconds }).await;
                }
                let account = AccountRepo(self.inner.store.db()).find(&identity.name).await?;
                let hash = account.as_ref().filter(|it| !it.disabled).map(|it| it.password_hash.as_str());
                let verdict = self.inner.passwords.verify(&given.password, hash).await.map_err(ControlError::Auth)?;
                if verdict.right {
                    return Ok(());
                }
                throttle.failed(&identity.name, address, now()).await.map_err(ControlError::Auth)?;
                refused("wrong password", ControlError::field("password", "the password is wrong")).await
            }
        }
    }
}
