//! `holdfast repo info --rebuild`: what Holdfast knows of backups, from the repository alone.
//!
//! The service reads its catalogue from the repository at each start, so a lost store takes no backup with it. What the
//! store alone had is the history; of each backup it is made good here from the backup's own commit, and of what was shown
//! of it (verifications, restore tests, drills) from the records beside it.

use super::{Failure, print, serve};
use crate::{config::Config, repository::RepositoryArgs};
use control::{Actor, Rebuilt, RebuiltBackup};
use domain::format;
use recovery::Held;
use serde_json::json;
use std::io::{IsTerminal as _, Write as _};

/// Runs it.
pub async fn run(args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    let repository = args.open().await?;
    let config = Config::load()?;
    let place = args.describe()?;
    // The cluster whose backups these are, when this host's configuration says so.
    let configured = config.protected.iter().find(|one| one.place == place).map(|one| one.cluster.clone());
    let terminal = std::io::stderr().is_terminal() && !json;
    let (mut clusters, mut rebuilt, mut records, mut bad) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for system in repository.clusters().await? {
        let catalogue = repository.catalogue(system).await?;
        let held = Held::read(&repository, system, None, None).await?;
        let mut rows = Vec::new();
        let all = catalogue.backups.len();
        for (index, one) in catalogue.backups.iter().enumerate() {
            // Progress is a courtesy: a closed standard error is no failure.
            if json {
                let line = json!({"progress": "rebuild", "done": index, "total": all, "backup": one.id});
                let _ = writeln!(std::io::stderr(), "{line}");
            } else if terminal {
                let _ = write!(std::io::stderr(), "\r\x1b[Krebuild: {} of {all} backups", index + 1);
            }
            // A commit without its manifest is no backup.
            let manifest = repository.manifest(one).await;
            bad += usize::from(manifest.is_err());
            rows.push(json!({
                "id": one.id,
                "kind": one.kind,
                "started_at": one.started_at,
                "stopped_at": one.stopped_at,
                "bytes": one.stats.bytes,
                "stored_bytes": one.stats.stored_bytes,
                "lineage": one.lineage.to_string(),
                "parent": one.parent,
                "problem": manifest.err().map(|error| error.to_string()),
            }));
            rebuilt.push(RebuiltBackup {
                id: one.id.clone(),
                kind: one.kind.to_string(),
                started_at: one.started_at,
                stopped_at: one.stopped_at,
                stored_bytes: one.stats.stored_bytes,
                damaged_pages: one.damaged.len() as u64,
            });
        }
        if terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        bad += catalogue.damaged.len();
        let shown = repository.records(system).await?;
        clusters.push(json!({
            "system_identifier": system.to_string(),
            "backups": rows,
            "damaged": catalogue.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "window": held.intervals,
            "gaps": held.gaps,
            "stored_bytes": held.stored_bytes,
            "records": shown.len(),
            "last_commit": repository.last_commit(system).await?.map(|(at, _)| at),
        }));
        records.extend(shown);
    }
    let added = match &configured {
        Some(cluster) => {
            let control = serve::control(&config).await?;
            Some(control.backups_rebuild(&Actor::cli(), cluster, &rebuilt, &records).await?)
        }
        None => None,
    };
    let document = json!({
        "repository": repository.store().describe(),
        "id": repository.file().id,
        "clusters": clusters,
        "cluster": configured,
        "added_to_store": added.map(|added| added.backups),
        "records_added_to_store": added.map(|added| added.records),
    });
    print(&if json { document.to_string() } else { described(&document, configured.as_deref(), added) });
    if bad == 0 {
        Ok(())
    } else {
        Err(Failure::failed(format!(
            "{} damaged; the backups that need what is in them cannot be restored whole",
            format::counted(bad, "object is", "objects are")
        )))
    }
}

fn described(document: &serde_json::Value, configured: Option<&str>, added: Option<Rebuilt>) -> String {
    let text_of = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut text = format!("{}\n", text_of(&document["repository"]));
    if document["clusters"].as_array().is_none_or(Vec::is_empty) {
        text += "it holds no backup yet; 'holdfast backup create' takes one\n";
    }
    for cluster in document["clusters"].as_array().into_iter().flatten() {
        let backups = cluster["backups"].as_array().map_or(0, Vec::len);
        let stored = cluster["stored_bytes"].as_f64().unwrap_or(0.0);
        text += &format!(
            "cluster {}: {}, {} stored\n",
            text_of(&cluster["system_identifier"]),
            format::counted(backups, "backup", "backups"),
            format::bytes(stored)
        );
        for one in cluster["backups"].as_array().into_iter().flatten() {
            let problem = one["problem"].as_str().map_or_else(String::new, |problem| format!("  DAMAGED: {problem}"));
            text += &format!(
                "  {}  {:<12} ended {}{problem}\n",
                text_of(&one["id"]),
                text_of(&one["kind"]),
                text_of(&one["stopped_at"])
            );
        }
        for interval in cluster["window"].as_array().into_iter().flatten() {
            text += &format!("  restorable from {} to {}\n", text_of(&interval["from"]), text_of(&interval["to"]));
        }
        for gap in cluster["gaps"].as_array().into_iter().flatten() {
            text += &format!("  hole after {}: {}\n", text_of(&gap["from"]), text_of(&gap["reason"]));
        }
    }
    text += &match (configured, added) {
        (Some(cluster), Some(added)) => {
            format!(
                "{} added to the history of '{cluster}', and {}\nwhat only the store held does not come back: logs of jobs, plans and their evidence, objectives, accounts, the audit log\n",
                format::counted(
                    added.backups,
                    "backup that the store did not know was",
                    "backups that the store did not know were"
                ),
                format::counted(
                    added.records,
                    "verification, restore test or drill",
                    "verifications, restore tests and drills"
                )
            )
        }
        _ => "no configured cluster has this repository: nothing was written into a store\n".to_owned(),
    };
    text
}
