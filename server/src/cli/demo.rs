//! `holdfast demo`: the whole product on clusters of its own.

use super::{Failure, print, serve};
use crate::config::Config;
use clap::Args;
use control::{Actor, ControlError, ControlPlane};
use demo::{DemoOptions, Estate, Workload};
use domain::Role;
use std::{collections::HashMap, os::unix::fs::PermissionsExt as _, path::PathBuf};
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

const USERS: [(&str, Role); 3] = [("viewer", Role::Viewer), ("operator", Role::Operator), ("admin", Role::Admin)];

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
    let config = config(&dir, port, args.interval, Some(&estate))?;
    let control = serve::control(&config).await?;
    let access = access(&control).await?;
    write_access(&dir, &config, &estate, &access)?;

    let workload = (!args.no_workload).then(|| Workload::start(&estate, &stop));
    say("");
    say(&format!("  Holdfast demo    {}", config.address()));
    for (name, role, password) in &access.users {
        say(&format!("  sign in as       {name:<9} password {password}   ({role})"));
    }
    say(&format!("  API token        {}", access.token));
    say(&format!("  all of this      {}", dir.join("demo.json").display()));
    say("  Ctrl-C stops everything.");
    say("");
    let served = serve::run(config, listener, control, stop.clone()).await;
    stop.cancel();
    if let Some(workload) = workload {
        workload.join().await;
    }
    estate.stop().await.map_err(|error| Failure::failed(format!("the demo's clusters were not stopped: {error}")))?;
    served
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
    }
    Ok(Config::read(|name| settings.get(name).cloned())?)
}

struct Access {
    users: Vec<(&'static str, Role, String)>,
    token: String,
}

/// New passwords and a new token at every start: those of the last are over.
async fn access(control: &ControlPlane) -> Result<Access, Failure> {
    let actor = Actor::cli();
    let mut users = Vec::new();
    for (name, role) in USERS {
        let password = format!(
            "{name}-{}",
            auth::new_secret()
                .map_err(Failure::failed)?
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(12)
                .collect::<String>()
        );
        match control.user_add(&actor, name, role, &password).await {
            Ok(_) => {}
            Err(ControlError::Conflict(_)) => control.user_password_set(&actor, name, &password).await?,
            Err(error) => return Err(error.into()),
        }
        users.push((name, role, password));
    }
    for old in control
        .tokens_list(&actor)
        .await?
        .into_iter()
        .filter(|token| token.name == "demo" && token.revoked_at.is_none())
    {
        control.token_revoke(&actor, &old.id).await?;
    }
    let (_, token) = control.token_create(&actor, "demo", Role::Admin, None).await?;
    Ok(Access { users, token })
}

fn write_access(dir: &std::path::Path, config: &Config, estate: &Estate, access: &Access) -> Result<(), Failure> {
    let users = access
        .users
        .iter()
        .map(|(name, role, password)| serde_json::json!({ "name": name, "role": role, "password": password }))
        .collect::<Vec<_>>();
    let document = serde_json::json!({
        "url": config.address(),
        "users": users,
        "token": access.token,
        "database_url": estate.database_url(),
        "replica_url": estate.replica_url(),
        "superuser_url": estate.superuser_url(),
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
