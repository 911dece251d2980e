//! What the page of a moment that is over asks for. Only the server renders it, so nothing here is an address.

use crate::{
    AppError,
    server_fns::{asking, form, told},
};
use control::ControlError;
use domain::{
    Timestamp,
    view::{ActivityMoment, Range},
};
use serde::{Deserialize, Serialize};

/// A moment, with the id of the statement of each session of its graph of locks, where it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MomentData {
    pub moment: ActivityMoment,
    pub statements: Vec<Option<String>>,
}

/// Stands for the last moment that was sampled.
pub const LATEST: &str = "latest";

/// By the page's own address.
pub async fn load_moment(search: String) -> Result<MomentData, AppError> {
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let get = |name: &str| {
        let pair = pairs.iter().find(|pair| pair.0 == name);
        pair.map(|pair| pair.1.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let at = told(moment(get("at").as_deref()))?;
    let range = told(Range::read(get).map_err(|(field, message)| ControlError::field(&field, message)))?;
    let (cluster, database) = (get("cluster"), get("database"));
    let moment = control.activity_at(&actor, cluster.as_deref(), at, database.as_deref(), range).await;
    let moment = told(moment)?;
    let nodes = moment.locks.as_ref().map(|kept| kept.nodes.as_slice()).unwrap_or_default();
    let sessions = nodes.iter().map(|node| (node.query_id.as_deref(), node.database.as_deref(), node.user.as_deref()));
    let sessions = sessions.collect::<Vec<_>>();
    let statements = told(control.statements_of_sessions(&actor, cluster.as_deref(), &sessions).await)?;
    Ok(MomentData { moment, statements })
}

fn moment(text: Option<&str>) -> Result<Option<Timestamp>, ControlError> {
    match text {
        None | Some(LATEST) => Ok(None),
        Some(text) => Timestamp::parse_moment(text).map(Some).ok_or_else(|| {
            let message = format!("'{text}' is not a moment; write it as in 2026-11-24T03:00:00Z, or '{LATEST}'");
            ControlError::field("at", message)
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_rfc_3339_or_the_last_and_what_is_neither_is_refused() {
        let at = Timestamp::parse_rfc3339("2026-11-24T03:00:00Z").unwrap();
        assert_eq!(moment(Some("2026-11-24T03:00:00Z")).unwrap(), Some(at));
        assert_eq!(moment(Some("2026-11-24T04:00:00+01:00")).unwrap(), Some(at));
        assert_eq!(moment(Some("2026-11-24T03:00:00")).unwrap(), Some(at), "a form sends no offset: it is UTC");
        assert_eq!((moment(None).unwrap(), moment(Some(LATEST)).unwrap()), (None, None));
        let refused = moment(Some("yesterday")).unwrap_err().to_string();
        assert!(refused.contains("2026-11-24T03:00:00Z"), "{refused}");
    }
}
