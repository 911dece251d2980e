//! `holdfast audit`.

use super::{AuditCommand, Failure, print, serve};
use crate::config::Config;
use control::Actor;

/// Checks or exports the audit log.
pub async fn run(command: AuditCommand, json: bool) -> Result<(), Failure> {
    let control = serve::control(&Config::load()?).await?;
    let actor = Actor::cli();
    match command {
        AuditCommand::Verify => {
            let verdict = control.audit_verify(&actor).await?;
            if json {
                print(&serde_json::to_string(&verdict).unwrap_or_default());
            } else if verdict.broken.is_none() {
                print(&format!(
                    "the chain of {} holds; head {}",
                    domain::format::counted(verdict.rows, "row", "rows"),
                    verdict.head.as_deref().unwrap_or("none")
                ));
            }
            match verdict.broken {
                Some(broken) => Err(Failure::failed(format!("the audit log was changed: {broken}"))),
                None => Ok(()),
            }
        }
        AuditCommand::Export => {
            let mut after = 0;
            loop {
                let (lines, last) = control.audit_export(&actor, after).await?;
                if lines.is_empty() {
                    return Ok(());
                }
                print(&lines.join("\n"));
                after = last;
            }
        }
    }
}
