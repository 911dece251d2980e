//! What a command did to a repository stands in the audit log of Holdfast's own store, as it does when the service did it.
use super::{Failure, complain, health::kept_store};
use crate::{config::Config, repository::RepositoryArgs};
use serde_json::{Value, json};
use store::Outcome;

/// Tells what came of it, by the use case's name, and gives that back. `object` is the cluster when it is `None`; `after`
/// is what was made. A host without a store has no log; a store that is down makes nothing undone, and is complained of.
pub async fn audited<T>(
    args: &RepositoryArgs,
    action: &str,
    object: Option<(&str, &str)>,
    before: Option<Value>,
    done: Result<T, Failure>,
    after: impl FnOnce(&T) -> Value,
) -> Result<T, Failure> {
    let (outcome, after) = match &done {
        Ok(made) => (Outcome::Ok, after(made)),
        Err(failure) => (Outcome::Failed, json!({ "reason": failure.to_string() })),
    };
    if let Err(reason) = write(args, action, object, outcome, (before, Some(after))).await {
        complain(&format!("the audit log was not told of it: {reason}"));
    }
    done
}

async fn write(
    args: &RepositoryArgs,
    action: &str,
    object: Option<(&str, &str)>,
    outcome: Outcome,
    change: (Option<Value>, Option<Value>),
) -> Result<(), String> {
    let config = Config::load().map_err(|error| error.to_string())?;
    let Some(store) = kept_store(&config).await? else { return Ok(()) };
    let place = args.describe().map_err(|failure| failure.to_string())?;
    // The cluster whose backups these are, when this host's configuration says so.
    let cluster = config.protected.iter().find(|one| one.place == place).map(|one| one.cluster.as_str());
    let object = object.unwrap_or_else(|| cluster.map_or(("repository", place.as_str()), |id| ("cluster", id)));
    let written = control::audit_command(&store, action, object, outcome, change).await;
    written.map_err(|error| Failure::from(error).to_string())
}
