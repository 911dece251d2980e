//! What a command did to a repository stands in the audit log of Holdfast's own store, as it does when the service did it:
//! work that takes its time has a row when it begins and one when it ends, so that a command that is killed in its middle
//! was begun; so has what is done at once but cannot be undone unseen. What is refused has a row with the reason. The rows of
//! one command have one request id.
use super::{Failure, complain, health::kept_store};
use crate::{config::Config, repository::RepositoryArgs};
use domain::view::JobState;
use serde_json::{Value, json};
use std::sync::LazyLock;
use store::Outcome;

/// Of this process.
static REQUEST: LazyLock<String> = LazyLock::new(|| format!("cli-{}-{}", std::process::id(), control::now().0));

/// Tells of what is done at once, by the use case's name, and gives it back. `object` is the cluster when it is `None`;
/// `after` is what was made.
pub async fn audited<T>(
    args: &RepositoryArgs,
    action: &str,
    object: Option<(&str, &str)>,
    before: Option<Value>,
    done: Result<T, Failure>,
    after: impl FnOnce(&T) -> Value,
) -> Result<T, Failure> {
    match &done {
        Ok(made) => tell(args, action, object, Outcome::Ok, (before, Some(after(made)))).await,
        Err(failure) => refuse(args, action, object, before, failure).await,
    }
    done
}

/// What comes before work is begun: only that it is refused, or cannot be, is told. Gives it back.
pub async fn allowed<T>(
    args: &RepositoryArgs,
    action: &str,
    object: Option<(&str, &str)>,
    done: Result<T, Failure>,
) -> Result<T, Failure> {
    if let Err(failure) = &done {
        refuse(args, action, object, None, failure).await;
    }
    done
}

/// Tells that work begins which takes its time, and what exactly. What is done at once has its row under a name that ends
/// with `_asked`, and [`audited`] tells the rest.
pub async fn begun(
    args: &RepositoryArgs,
    action: &str,
    object: Option<(&str, &str)>,
    before: Option<Value>,
    what: Value,
) {
    tell(args, action, object, Outcome::Ok, (before, Some(what))).await;
}

/// Tells how that ended, as the end of a job is told, and gives it back.
pub async fn ended<T>(
    args: &RepositoryArgs,
    action: &str,
    object: Option<(&str, &str)>,
    done: Result<T, Failure>,
    result: impl FnOnce(&T) -> Value,
) -> Result<T, Failure> {
    let (outcome, after) = match &done {
        Ok(made) => (Outcome::Ok, json!({ "state": JobState::Succeeded, "result": result(made), "error": null })),
        Err(failure) => {
            (Outcome::Failed, json!({ "state": JobState::Failed, "result": null, "error": failure.to_string() }))
        }
    };
    tell(args, action, object, outcome, (Some(json!({ "state": JobState::Running })), Some(after))).await;
    done
}

async fn refuse(
    args: &RepositoryArgs,
    action: &str,
    object: Option<(&str, &str)>,
    before: Option<Value>,
    failure: &Failure,
) {
    let outcome = if failure.is_refusal() { Outcome::Refused } else { Outcome::Failed };
    let reason = failure.to_string();
    let after = json!({ "reason": reason });
    if let Err(other) = write(args, action, object, outcome, (before, Some(after))).await
        // Where it is the same that is wrong, the command says so by itself.
        && other != reason
    {
        complain(&untold(&other));
    }
}

async fn tell(
    args: &RepositoryArgs,
    action: &str,
    object: Option<(&str, &str)>,
    outcome: Outcome,
    change: (Option<Value>, Option<Value>),
) {
    if let Err(reason) = write(args, action, object, outcome, change).await {
        complain(&untold(&reason));
    }
}

fn untold(reason: &str) -> String {
    format!("the audit log was not told of it: {reason}")
}

/// A host without a store has no log; a store that is down makes nothing undone, and is complained of.
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
    let written = control::audit_command(&store, &REQUEST, action, object, outcome, change).await;
    written.map_err(|error| Failure::from(error).to_string())
}
