//! `holdfast repo`.

use super::{
    Failure,
    audited::{allowed, audited, begun},
    print,
};
use crate::{
    kit::{self, Found},
    repository::RepositoryArgs,
};
use backup::{BackupError, KeySlot, KeySource, Repository};
use clap::Subcommand;
use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// The repository of backups.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Make a repository, its key file when there is none yet, and a recovery code.
    Init {
        /// Do not encrypt: whoever reads the storage reads the data.
        #[arg(long)]
        no_encryption: bool,
    },
    /// Say what is in it.
    Info {
        /// Read every commit, manifest and piece of WAL anew from the repository alone, and make good in Holdfast's own
        /// store what it does not know: after its loss the history of backups is there again.
        #[arg(long)]
        rebuild: bool,
    },
    /// Manage its keys.
    #[command(subcommand)]
    Key(KeyCommand),
}

/// Keys of the repository.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Add a way to open it: a new key file, a new recovery code, or the passphrase in HOLDFAST_NEW_PASSPHRASE.
    Add {
        /// Write a new key file here.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["recovery", "passphrase"])]
        file: Option<PathBuf>,
        /// Print a new recovery code.
        #[arg(long, conflicts_with = "passphrase")]
        recovery: bool,
        /// Take the passphrase in HOLDFAST_NEW_PASSPHRASE.
        #[arg(long)]
        passphrase: bool,
        /// What it is for.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// List the key slots.
    List,
    /// Give new objects a new data key; old objects stay readable.
    Rotate,
    /// Remove a key slot; the last one stays.
    Remove {
        /// Its id, from 'holdfast repo key list'.
        id: String,
    },
}

/// Runs `holdfast repo …`.
pub async fn run(command: RepoCommand, repository: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    match command {
        RepoCommand::Init { no_encryption } => init(repository, no_encryption, json).await,
        RepoCommand::Info { rebuild: false } => info(repository, json).await,
        RepoCommand::Info { rebuild: true } => super::rebuild::run(repository, json).await,
        RepoCommand::Key(command) => key(command, repository, json).await,
    }
}

/// Writes a key file that nobody else may read; never over another.
fn write_key(path: &Path, text: &str) -> Result<(), Failure> {
    let written = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::failed(format!("the key file {} cannot be written: {error}", path.display())))
}

/// The key of a repository that is made: `None` when it is not encrypted. A key file that is not there yet is written.
fn init_key(args: &RepositoryArgs, no_encryption: bool) -> Result<Option<KeySource>, Failure> {
    if no_encryption {
        return Ok(None);
    }
    Ok(Some(match args.key_path() {
        Some(path) if !path.exists() => {
            let (source, text) = KeySource::new_file()?;
            write_key(&path, &text)?;
            source
        }
        None if args.passphrase_is_short() => {
            return Err(Failure::usage("HOLDFAST_REPOSITORY_PASSPHRASE is too short: whoever has the storage can try passphrases at leisure; take at least 12 bytes"));
        }
        _ => args.key()?.ok_or_else(|| {
            Failure::usage("the repository is encrypted and needs a key: give --key-file FILE (made when it is not there), or HOLDFAST_REPOSITORY_PASSPHRASE; --no-encryption does without")
        })?,
    }))
}

async fn init(args: &RepositoryArgs, no_encryption: bool, json: bool) -> Result<(), Failure> {
    const ACTION: &str = "repository_init";
    let source = allowed(args, ACTION, None, init_key(args, no_encryption)).await?;
    let encryption = if source.is_some() { "aes-256-gcm" } else { "none" };
    let what = serde_json::json!({ "do": "init", "encryption": encryption });
    begun(args, "repository_init_asked", None, None, what).await;
    let made = async {
        let repository = Repository::init(args.store(true).await?, source.as_ref()).await?;
        let opened = if source.is_some() {
            let (recovery, code) = KeySource::new_recovery()?;
            repository.add_key(&recovery, "recovery code").await?;
            let kit = recovery_kit(args, &repository, &code)?;
            Some((code, kit))
        } else {
            None
        };
        Ok::<_, Failure>((repository, opened))
    };
    let made = made.await;
    // What opens it is told before anything else is done: it is told this once.
    if let Ok((repository, opened)) = &made {
        let (place, id) = (repository.store().describe(), repository.file().id);
        let path = args.key_path();
        print(&match opened {
            None if json => serde_json::json!({"repository": place, "id": id, "encryption": encryption}).to_string(),
            None => format!("made an unencrypted repository in {place}"),
            Some((code, kit)) if json => serde_json::json!({"repository": place, "id": id, "encryption": encryption, "key_file": path, "recovery_code": code, "recovery_kit": kit}).to_string(),
            Some((_, kit)) => {
                let key = path.map_or_else(|| "the passphrase you gave".to_owned(), |path| path.display().to_string());
                format!("made an encrypted repository in {place}, opened by {key}\n\n{kit}")
            }
        });
    }
    let after = |(repository, _): &(Repository, Option<(String, String)>)| serde_json::json!({ "id": repository.file().id, "encryption": encryption });
    audited(args, ACTION, None, None, made, after).await.map(drop)
}

/// All that somebody needs who has the storage and a sheet of paper.
fn recovery_kit(args: &RepositoryArgs, repository: &Repository, code: &str) -> Result<String, Failure> {
    let (variables, place) = args.found_by()?;
    let found = Found { variables: &variables, place: &place, system: None };
    let steps = kit::steps(&found, code).iter().map(|line| format!("     {line}\n")).collect::<String>();
    let file = repository.file();
    Ok(format!(
        "RECOVERY KIT. Print this and keep it away from the repository: without a key and without this code nobody can read the backups.\n\
         \n  repository     {}\n  id             {}\n  format         {} (docs/repository-format.md of Holdfast)\n  recovery code  {code}\n\
         \n  {}\n  (a repository that holds several clusters asks for --cluster):\n\
         {}",
        repository.store().describe(),
        file.id,
        file.format,
        kit::WHO,
        steps.trim_end(),
    ))
}

async fn info(args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    let repository = args.open().await?;
    let mut clusters = Vec::new();
    for system in repository.clusters().await? {
        let backups = repository.backups(system).await?;
        let mut timelines = Vec::new();
        for timeline in repository.wal_timelines(system).await? {
            let pieces = repository.wal_pieces(system, timeline).await?;
            let (first, last) = (pieces.first().map(|it| it.start), pieces.iter().map(|it| it.end).max());
            timelines
                .push(serde_json::json!({"timeline": timeline, "pieces": pieces.len(), "from": first, "to": last}));
        }
        clusters.push(serde_json::json!({
            "system_identifier": system.to_string(),
            "backups": backups.len(),
            "oldest": backups.first().map(|it| it.stopped_at),
            "newest": backups.last().map(|it| it.stopped_at),
            "wal": timelines,
            "gaps": repository.gaps(system).await?,
            "backup_needed": repository.backup_needed(system).await?,
            "last_commit": repository.last_commit(system).await?.map(|(at, _)| at),
        }));
    }
    let file = repository.file();
    let document = serde_json::json!({"repository": repository.store().describe(), "id": file.id, "format": file.format, "encryption": file.encryption, "created": file.created, "clusters": clusters});
    if json {
        print(&document.to_string());
        return Ok(());
    }
    let mut text = format!(
        "{}\n  format {}, {}, made {}\n",
        repository.store().describe(),
        file.format,
        file.encryption,
        file.created.to_human()
    );
    for cluster in &clusters {
        text += &format!(
            "cluster {}\n  {}, the newest of {}\n",
            cluster["system_identifier"].as_str().unwrap_or_default(),
            domain::format::counted(cluster["backups"].as_u64().unwrap_or(0), "backup", "backups"),
            cluster["newest"].as_str().unwrap_or("never")
        );
        for timeline in cluster["wal"].as_array().into_iter().flatten() {
            text += &format!(
                "  WAL of timeline {}: {} to {}, {}\n",
                timeline["timeline"],
                timeline["from"].as_str().unwrap_or_default(),
                timeline["to"].as_str().unwrap_or_default(),
                domain::format::counted(timeline["pieces"].as_u64().unwrap_or(0), "object", "objects")
            );
        }
        for gap in cluster["gaps"].as_array().into_iter().flatten() {
            text += &format!(
                "  gap from {} to {}: {}\n",
                gap["start"].as_str().unwrap_or_default(),
                gap["end"].as_str().unwrap_or_default(),
                gap["reason"].as_str().unwrap_or_default()
            );
        }
        if let Some(at) = cluster["last_commit"].as_str() {
            text += &format!("  the last commit in the WAL is of {at}\n");
        }
        if let Some(why) = cluster["backup_needed"].as_str() {
            text += &format!("  BACKUP NEEDED: {why}\n");
        }
    }
    print(&text);
    Ok(())
}

/// A way to open it, for the audit.
fn told(slot: &KeySlot) -> serde_json::Value {
    serde_json::json!({ "id": slot.id, "kind": slot.kind, "label": slot.label })
}

/// A new way to open it.
struct NewKey {
    kind: &'static str,
    source: KeySource,
    /// What opens it then, for the person.
    said: String,
    /// Of a recovery code.
    kit: Option<String>,
}

fn new_key(
    (file, recovery, passphrase): (Option<PathBuf>, bool, bool),
    args: &RepositoryArgs,
    repository: &Repository,
) -> Result<NewKey, Failure> {
    Ok(match (file, recovery, passphrase) {
        (Some(path), ..) => {
            let (source, text) = KeySource::new_file()?;
            write_key(&path, &text)?;
            NewKey { kind: "file", source, said: format!("key file {}", path.display()), kit: None }
        }
        (None, true, _) => {
            let (source, code) = KeySource::new_recovery()?;
            let kit = Some(recovery_kit(args, repository, &code)?);
            NewKey { kind: "recovery", source, said: format!("recovery code {code}"), kit }
        }
        (None, false, true) => {
            let text = std::env::var("HOLDFAST_NEW_PASSPHRASE").ok().filter(|text| text.len() >= 12);
            let text =
                text.ok_or_else(|| Failure::usage("set HOLDFAST_NEW_PASSPHRASE to a passphrase of at least 12 bytes"))?;
            let source = KeySource::Passphrase(text.into());
            NewKey { kind: "passphrase", source, said: "the passphrase".to_owned(), kit: None }
        }
        _ => return Err(Failure::usage("say what to add: --file FILE, --recovery or --passphrase")),
    })
}

async fn key(command: KeyCommand, args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    match command {
        KeyCommand::Add { file, recovery, passphrase, label } => {
            add_key(args, (file, recovery, passphrase), &label, json).await
        }
        KeyCommand::List => list_keys(&args.open().await?, json).await,
        KeyCommand::Rotate => rotate_key(args, json).await,
        KeyCommand::Remove { id } => remove_key(args, &id, json).await,
    }
}

async fn add_key(
    args: &RepositoryArgs,
    how: (Option<PathBuf>, bool, bool),
    label: &str,
    json: bool,
) -> Result<(), Failure> {
    const ACTION: &str = "repository_key_add";
    let asked = async {
        let repository = args.open().await?;
        let before = repository.key_slots().await?.iter().map(told).collect::<Vec<_>>();
        let new = new_key(how, args, &repository)?;
        Ok::<_, Failure>((repository, before, new))
    };
    let asked = asked.await;
    let (repository, before, new) = allowed(args, ACTION, None, asked).await?;
    // As in the service: a key that was made and stands in no log would open the repository unseen.
    let what = serde_json::json!({ "kind": new.kind, "label": label });
    begun(args, "repository_key_add_asked", None, None, what).await;
    let done = repository.add_key(&new.source, label).await.map_err(Failure::from);
    // What opens it is told before anything else is done: it is told this once.
    if let Ok(slot) = &done {
        let NewKey { said, kit, .. } = new;
        print(&if json {
            serde_json::json!({"slot": slot.id, "added": said, "recovery_kit": kit}).to_string()
        } else {
            let kit = kit.map(|kit| format!("\n\n{kit}")).unwrap_or_default();
            format!("slot {} opens with {said}{kit}", slot.id)
        });
    }
    let before = serde_json::json!({ "keys": before });
    audited(args, ACTION, None, Some(before), done, told).await.map(drop)
}

async fn rotate_key(args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    const ACTION: &str = "repository_key_rotate";
    let repository = allowed(args, ACTION, None, args.open().await).await?;
    begun(args, "repository_key_rotate_asked", None, None, serde_json::json!({ "do": "rotate" })).await;
    let done = repository.rotate_key().await.map_err(Failure::from);
    let before = done.as_ref().ok().map(|epoch| serde_json::json!({ "data_key": epoch - 1 }));
    let made = |epoch: &u32| serde_json::json!({ "data_key": epoch });
    let epoch = audited(args, ACTION, None, before, done, made).await?;
    print(&if json {
        serde_json::json!({"epoch": epoch}).to_string()
    } else {
        format!("new objects are sealed with data key {epoch}; a full backup leaves none that needs an older one")
    });
    Ok(())
}

async fn remove_key(args: &RepositoryArgs, id: &str, json: bool) -> Result<(), Failure> {
    const ACTION: &str = "repository_key_remove";
    let object = Some(("repository_key", id));
    let found = async {
        let repository = args.open().await?;
        let slots = repository.key_slots().await?;
        Ok::<_, Failure>((repository, slots))
    };
    let found = found.await;
    let (repository, slots) = allowed(args, ACTION, object, found).await?;
    let before = slots.iter().find(|slot| slot.id.to_string() == id).map(told);
    begun(args, "repository_key_remove_asked", object, before.clone(), serde_json::json!({ "remove": id })).await;
    let done = repository.remove_key(id).await.map_err(Failure::from);
    let gone = |_: &()| serde_json::json!({ "removed": id });
    audited(args, ACTION, object, before, done, gone).await?;
    print(&if json { serde_json::json!({"removed": id}).to_string() } else { format!("removed slot {id}") });
    Ok(())
}

async fn list_keys(repository: &Repository, json: bool) -> Result<(), Failure> {
    let slots = repository.key_slots().await?;
    if json {
        print(&serde_json::to_string(&slots.iter().map(|it| serde_json::json!({"id": it.id, "type": it.kind, "label": it.label, "created": it.created})).collect::<Vec<_>>()).map_err(|error| BackupError::Failed(error.to_string()))?);
    } else {
        print(
            &slots
                .iter()
                .map(|it| format!("{}  {:<10}  {}  {}", it.id, it.kind, it.created.to_human(), it.label))
                .collect::<Vec<_>>()
                .join("\n"),
        );
    }
    Ok(())
}
