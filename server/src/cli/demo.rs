//! `holdfast demo`: the whole product on clusters of its own.

use super::{Failure, print, serve};
use crate::{
    config::Config,
    kit::{self, Found},
    platform,
};
use backup::{KeySource, Repository};
use clap::Args;
use control::{Actor, Confirmation, ControlError, ControlPlane, RestoreTestParams};
use demo::{DemoOptions, Estate, Workload};
use domain::{
    Role,
    view::{DrKind, DrPlanSpec, JobKind, JobState},
};
use std::{
    collections::HashMap,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Where and how large.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Holds everything the demo makes; remove it to begin anew.
    #[arg(long, default_value = ".holdfast")]
    dir: PathBuf,
    /// Port of the web server on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Size of the data: 1 is 40,000 plugins and 3,000,000 metric rows.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Milliseconds between two ticks of the monitor.
    #[arg(long, default_value_t = 5_000)]
    interval: u64,
    /// Leave the databases idle.
    #[arg(long)]
    no_workload: bool,
    /// Fill pg_stat_statements with this many distinct statements, for measuring.
    #[arg(long, default_value_t = 0)]
    fill_statements: u32,
    /// Length of each of those.
    #[arg(long, default_value_t = 1_000)]
    statement_bytes: u32,
}

/// Name, role, tenant of the platform.
const USERS: [(&str, Role, Option<&str>); 4] = [
    ("viewer", Role::Viewer, None),
    ("operator", Role::Operator, None),
    ("admin", Role::Admin, None),
    ("developer", Role::Operator, Some(demo::FIRST_TENANT)),
];

/// Runs until a signal; then stops the clusters it started.
pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    serve::log("warn,sqlx=error");
    if !(0.001..=100.0).contains(&args.scale) {
        return Err(Failure::usage(format!("--scale is {}; it must be from 0.001 to 100", args.scale)));
    }
    std::fs::create_dir_all(&args.dir)
        .map_err(|error| Failure::failed(format!("{} cannot be made: {error}", args.dir.display())))?;
    let dir = args
        .dir
        .canonicalize()
        .map_err(|error| Failure::failed(format!("{} cannot be used: {error}", args.dir.display())))?;
    let taken = config(&dir, args.port, args.interval, None)?;
    let listener = serve::bind(&taken).await?;
    let port = listener.local_addr().map_or(args.port, |address| address.port());

    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let options = DemoOptions { dir: dir.clone(), scale: args.scale };
    let say = |line: &str| print(line);
    let estate = tokio::select! {
        estate = Estate::start(&options, &say) => estate.map_err(|error| Failure::failed(format!("the demo's clusters do not start: {error}")))?,
        () = stop.cancelled() => return Err(Failure::failed("interrupted while the demo was being set up; the next start begins where that ended")),
    };
    if args.fill_statements > 0 {
        say(&format!("filling pg_stat_statements with {} statements", args.fill_statements));
        demo::fill_statements(&estate.superuser_url(), args.fill_statements, args.statement_bytes)
            .await
            .map_err(Failure::failed)?;
    }
    make_repository(&dir).await?;
    let config = config(&dir, port, args.interval, Some(&estate))?;
    let control = serve::control(&config).await?;
    platform::connect_once(&control, config.platform.as_ref()).await;
    let access = access(&control).await?;
    write_access(&dir, &config, &estate, &access)?;

    let workload = (!args.no_workload).then(|| Workload::start(&estate, &stop));
    say("");
    say(&format!("  Holdfast demo    {}", config.address()));
    for (name, role, tenant, password) in &access.users {
        let tenant = tenant.map_or_else(String::new, |tenant| format!(" of the tenant {tenant}"));
        say(&format!("  sign in as       {name:<9} password {password}   ({role}{tenant})"));
    }
    say(&format!("  API token        {}", access.token));
    say(&format!("  backups go to    {}", dir.join(REPOSITORY).display()));
    say(&format!("  all of this      {}", dir.join("demo.json").display()));
    say("  Ctrl-C stops everything.");
    say("");
    tokio::spawn(tell_the_story(control.clone(), estate.superuser_url(), stop.clone()));
    let served = serve::run(config, listener, control, stop.clone()).await;
    stop.cancel();
    if let Some(workload) = workload {
        workload.join().await;
    }
    estate.stop().await.map_err(|error| Failure::failed(format!("the demo's clusters were not stopped: {error}")))?;
    served
}

const REPOSITORY: &str = "repository";
const KEY: &str = "repository.key";
const KIT: &str = "recovery-kit.txt";

/// An encrypted repository with its key and its recovery code, unless it is there.
async fn make_repository(dir: &Path) -> Result<(), Failure> {
    let (root, key) = (dir.join(REPOSITORY), dir.join(KEY));
    if root.join("repo.json").exists() {
        return Ok(());
    }
    // A start that was cut short left a key for nothing.
    for rest in [&key, &dir.join(KIT)] {
        let _ = std::fs::remove_file(rest);
    }
    let write = |path: &Path, text: &str| {
        use std::io::Write as _;
        let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))
    };
    let (source, text) = KeySource::new_file()?;
    write(&key, &text)?;
    let repository = Repository::init(Arc::new(blobs::DirStore::create(&root)?), Some(&source)).await?;
    let (recovery, code) = KeySource::new_recovery()?;
    repository.add_key(&recovery, "recovery code of the demo").await?;
    let place = root.display().to_string();
    let found = Found { variables: &[], place: &place, system: None };
    let kit = format!(
        "Recovery kit of the Holdfast demo\n\nrepository     {place}\nid             {}\nformat         1 (docs/repository-format.md)\nrecovery code  {code}\n\n{}:\n{}\n",
        repository.file().id,
        kit::WHO,
        kit::steps(&found, &code).join("\n"),
    );
    write(&dir.join(KIT), &kit)
}

/// What a person would write: schedules closer together than in life, so that something is seen.
fn write_settings(dir: &Path) -> Result<PathBuf, Failure> {
    let path = dir.join("holdfast.toml");
    let quoted = |name: &str| toml::Value::String(dir.join(name).display().to_string()).to_string();
    let text = format!(
        "# written by 'holdfast demo' at each start\n[backup]\nrepository = {}\nkey_file = {}\nrestore_directory = {}\nrestore_over = [{}, {}]\nfull = \"0 2 * * *\"\nincremental = \"*/10 * * * *\"\nverify = \"5 * * * *\"\nrestore_test = \"35 * * * *\"\nexpire = \"30 3 * * *\"\njitter_seconds = 0\nkeep_days = 7\nkeep_weekly = 4\nrpo_seconds = 30\nrto_seconds = 900\nheartbeat_seconds = 10\nrefresh_seconds = 3\nprobes = [\"saas_idp: SELECT count(*) FROM plugins\"]\nrecovery_kit = {}\n[backup.hooks]\ndns = \"echo would lead \\\"$HOLDFAST_CLUSTER\\\" to $HOLDFAST_HOST:$HOLDFAST_PORT\"\n",
        quoted(REPOSITORY),
        quoted(KEY),
        quoted("restores"),
        // It runs as long as we do, and so is refused; a copy that was restored to 'stopped' is not.
        quoted("primary/data"),
        quoted("restores/stopped/data"),
        quoted(KIT),
    );
    std::fs::write(&path, text)
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))?;
    Ok(path)
}

/// What a visitor should find after a few minutes: a backup, a restore that proved it, and a gap that a backup ended.
/// The first page waits for none of it. What a start that was cut short had told is not told again.
async fn tell_the_story(control: ControlPlane, superuser_url: String, stop: CancellationToken) {
    let done = async {
        over(&control, JobKind::Backup).await?;
        let window = control.recovery_window(&Actor::system(), None).await?;
        if !window.proofs.iter().any(|it| it.proof.ok) {
            let test = RestoreTestParams { backup: None, latest: true };
            control.backup_test_restore(&Actor::system(), None, test).await?;
            over(&control, JobKind::RestoreTest).await?;
        }
        if control.dr_overview(&Actor::system(), None).await?.runs.is_empty() {
            rehearse(&control).await?;
        }
        if !window.gaps.is_empty() {
            return Ok(());
        }
        demo::lose_wal(&superuser_url, "holdfast").await.map_err(|error| ControlError::Conflict(error.to_string()))
    };
    tokio::select! {
        done = done => if let Err(error) = done {
            tracing::warn!(%error, "the demo's story of backup and restore ended early");
        },
        () = stop.cancelled() => {}
    }
}

/// The standard plan gets a calendar, and is rehearsed both ways.
async fn rehearse(control: &ControlPlane) -> Result<(), ControlError> {
    let actor = Actor::cli();
    let overview = control.dr_overview(&actor, None).await?;
    let Some(standard) = overview.plans.first() else { return Ok(()) };
    let (id, cluster) = (standard.id.clone(), Some(overview.cluster.as_str()));
    let calendar = DrPlanSpec {
        test: Some("20 * * * *".to_owned()),
        full_test: Some("50 */6 * * *".to_owned()),
        ..standard.plan.clone()
    };
    let confirmation = Confirmation { name: overview.cluster.clone(), password: String::new() };
    control.dr_plan_set(&actor, cluster, &id, calendar, &confirmation).await?;
    for kind in [DrKind::Test, DrKind::FullTest] {
        control.dr_drill_start(&Actor::system(), cluster, &id, kind).await?;
        over(control, JobKind::Drill).await?;
    }
    Ok(())
}

/// Waits until the newest job of a kind is over and its outcome is in the catalogue.
async fn over(control: &ControlPlane, kind: JobKind) -> Result<(), ControlError> {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let jobs = control.jobs_list(&Actor::system(), None, Some(kind), None, None, 1).await?;
        let Some(job) = jobs.rows.first().filter(|job| job.state.is_over()) else { continue };
        if job.state != JobState::Succeeded {
            return Err(ControlError::Conflict(job.error.clone().unwrap_or_default()));
        }
        if kind != JobKind::Backup || !control.backups_list(&Actor::system(), None, None, 1).await?.rows.is_empty() {
            return Ok(());
        }
    }
}

/// The demo's own configuration: nothing of the caller's environment may lead it to another database.
fn config(dir: &std::path::Path, port: u16, interval: u64, estate: Option<&Estate>) -> Result<Config, Failure> {
    let mut settings = HashMap::from([
        ("HOLDFAST_LISTEN", format!("127.0.0.1:{port}")),
        ("HOLDFAST_STORE_URL", format!("sqlite://{}", dir.join("holdfast.db").display())),
        ("DB_MONITORING_INTERVAL", interval.to_string()),
        ("SLOW_QUERY_THRESHOLD", "500".to_owned()),
        // An empty file: the one in the working directory is not ours.
        ("HOLDFAST_CONFIG", "/dev/null".to_owned()),
    ]);
    if let Some(estate) = estate {
        settings.insert("DATABASE_URL", estate.database_url());
        settings.insert("READ_REPLICA_URL", estate.replica_url());
        settings.insert("HOLDFAST_BACKUP_URL", estate.backup_url());
        settings.insert("HOLDFAST_PLATFORM_URL", estate.data_layer_url());
        settings.insert("HOLDFAST_PLATFORM_REPLICA_URL", estate.data_layer_replica_url());
        let path = write_settings(dir)?;
        settings.insert("HOLDFAST_CONFIG", path.display().to_string());
    }
    Ok(Config::read(|name| settings.get(name).cloned())?)
}

struct Access {
    users: Vec<(&'static str, Role, Option<&'static str>, String)>,
    token: String,
}

/// New passwords and a new token at every start: those of the last are over.
async fn access(control: &ControlPlane) -> Result<Access, Failure> {
    let actor = Actor::cli();
    let mut users = Vec::new();
    for (name, role, tenant) in USERS {
        let password = format!(
            "{name}-{}",
            auth::new_secret()
                .map_err(Failure::failed)?
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(12)
                .collect::<String>()
        );
        match control.user_add_in(&actor, name, role, &password, tenant).await {
            Ok(_) => {}
            Err(ControlError::Conflict(_)) => control.user_password_set(&actor, name, &password).await?,
            // Data of an older demo, without that tenant: it goes on without its developer.
            Err(error) if tenant.is_some() => {
                tracing::warn!(%error, name, "an account of the demo was not made");
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        users.push((name, role, tenant, password));
    }
    for old in control
        .tokens_list(&actor)
        .await?
        .into_iter()
        .filter(|token| token.name == "demo" && token.revoked_at.is_none())
    {
        control.token_revoke(&actor, &old.id).await?;
    }
    let (_, token) =
        control.token_create_scoped(&actor, "demo", Role::Admin, None, vec!["restore".to_owned()], None).await?;
    Ok(Access { users, token })
}

fn write_access(dir: &std::path::Path, config: &Config, estate: &Estate, access: &Access) -> Result<(), Failure> {
    let users = access
        .users
        .iter()
        .map(|(name, role, tenant, password)| {
            serde_json::json!({ "name": name, "role": role, "tenant": tenant, "password": password })
        })
        .collect::<Vec<_>>();
    let document = serde_json::json!({
        "url": config.address(),
        "users": users,
        "token": access.token,
        "database_url": estate.database_url(),
        "replica_url": estate.replica_url(),
        "superuser_url": estate.superuser_url(),
        "repository": dir.join(REPOSITORY),
        "key": dir.join(KEY),
    });
    let path = dir.join("demo.json");
    let temporary = dir.join("demo.json.new");
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    // Written whole or not at all, and readable by nobody else: it holds passwords.
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600)))
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))
}
