//! The command line. Exit codes: 0 all is well, 1 it failed, 2 wrong use or configuration.

mod accounts;
mod analytics;
mod audit;
mod audited;
mod backup;
mod demo;
mod dr;
mod failure;
mod health;
mod indexes;
mod init;
mod interrupts;
mod long;
mod queries;
mod rebuild;
mod repo;
mod restore;
mod role;
mod serve;
mod stats;
mod steps;
mod tablespaces;
mod wal;
mod work;

pub use failure::{Failure, complain};

use crate::{config::Config, repository::RepositoryArgs};
use clap::{Parser, Subcommand};
use domain::Role;
use std::process::ExitCode;

/// Keeps a PostgreSQL estate fast and recoverable.
///
/// Settings come from the environment (DATABASE_URL, READ_REPLICA_URL, HOLDFAST_LISTEN, HOLDFAST_STORE_URL, …) and
/// from holdfast.toml; 'holdfast config' shows what is in force.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, propagate_version = true)]
pub struct Cli {
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the web server, the API and the monitoring loop.
    Serve,
    /// Run all of it on a throw-away primary and replica with data and a workload.
    Demo(demo::DemoArgs),
    /// Migrate the control store and the platform's schema; safe to repeat.
    Init,
    /// Look at each cluster now: score, components, open alerts; exits 1 when something is critical.
    Health(health::HealthArgs),
    /// List and review the statements that cost most.
    #[command(subcommand)]
    Queries(queries::QueriesCommand),
    /// Review the indexes.
    #[command(subcommand)]
    Indexes(indexes::IndexesCommand),
    /// Renew the planner's statistics.
    #[command(subcommand)]
    Stats(stats::StatsCommand),
    /// Show the settings in force, secrets left out.
    Config,
    /// Manage accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Manage API tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Check and export the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make and look after the repository of backups.
    #[command(subcommand)]
    Repo(repo::RepoCommand),
    /// Take, list, verify and expire backups.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Restore a backup and replay WAL up to a moment.
    Restore(restore::RestoreArgs),
    /// Show plans for disasters and rehearse them.
    #[command(subcommand)]
    Dr(dr::DrCommand),
    /// Bring write-ahead log into the repository and out of it.
    #[command(subcommand)]
    Wal(wal::WalCommand),
    /// Archive months of analytics, bring them back, list them.
    #[command(subcommand)]
    Analytics(analytics::AnalyticsCommand),
    /// Export or erase what is held on a person.
    #[command(subcommand)]
    Gdpr(analytics::GdprCommand),
    /// Print the OpenAPI document of the JSON API.
    Openapi,
}

/// Passwords are read from the standard input, or from HOLDFAST_PASSWORD: an argument would show in the process list.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add an account.
    Add {
        /// Name to sign in with.
        name: String,
        /// viewer, operator or admin.
        #[arg(long, default_value = "viewer")]
        role: Role,
        /// Name or id of the platform's tenant that they belong to: they see its rows and nothing else.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// List all accounts.
    List,
    /// Change a role; the account's sessions end.
    Role {
        /// Whose.
        name: String,
        /// viewer, operator or admin.
        role: Role,
    },
    /// Put an account into a tenant of the platform; its sessions end.
    Tenant {
        /// Whose.
        name: String,
        /// Name or id of the tenant; without it the account belongs to none.
        tenant: Option<String>,
    },
    /// Set a password; the account's sessions end.
    Password {
        /// Whose.
        name: String,
    },
    /// Forbid signing in; the account's sessions end.
    Disable {
        /// Whose.
        name: String,
    },
    /// Allow signing in again.
    Enable {
        /// Whose.
        name: String,
    },
}

/// API tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; its secret is printed this once.
    Create {
        /// What it is for.
        name: String,
        /// viewer, operator or admin.
        #[arg(long, default_value = "viewer")]
        role: Role,
        /// Days until it ends; without it, it does not.
        #[arg(long)]
        expires_in_days: Option<u32>,
        /// What it may beyond its role: restore.
        #[arg(long = "scope")]
        scopes: Vec<String>,
        /// Name or id of the platform's tenant that it belongs to: it sees its rows and nothing else.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// List all tokens.
    List,
    /// Revoke a token.
    Revoke {
        /// Its id, from 'holdfast token list'.
        id: String,
    },
}

/// The audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Walk the chain of hashes; exits 1 when it is broken.
    Verify,
    /// Write all rows as JSON lines.
    Export,
}

/// Runs one command.
pub async fn run(cli: Cli) -> ExitCode {
    let (json, repository) = (cli.json, cli.repository);
    let done = match cli.command {
        Command::Repo(command) => repo::run(command, &repository, json).await,
        Command::Backup(command) => backup::run(command, &repository, json).await,
        Command::Restore(args) => restore::run(args, &repository, json).await,
        Command::Dr(command) => dr::run(command, &repository, json).await,
        // Its exit codes are PostgreSQL's: see there.
        Command::Wal(command) => return wal::run(command, &repository, json).await,
        Command::Serve => serve::serve(None).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Init => init::run(json).await,
        Command::Health(args) => health::run(args, json).await,
        Command::Queries(command) => queries::run(command, json).await,
        Command::Indexes(command) => indexes::run(command, json).await,
        Command::Stats(command) => stats::run(command, json).await,
        Command::Config => Config::load().map_err(Failure::from).map(|config| print(&config.to_string())),
        Command::User(command) => accounts::user(command, json).await,
        Command::Token(command) => accounts::token(command, json).await,
        Command::Audit(command) => audit::run(command, json).await,
        Command::Analytics(command) => analytics::analytics(command, &repository, json).await,
        Command::Gdpr(command) => analytics::gdpr(command, &repository, json).await,
        Command::Openapi => {
            print(&crate::openapi::document_json());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Results go to the standard output; logs and complaints go to the standard error.
pub fn print(text: &str) {
    use std::io::Write as _;
    // A closed pipe (`| head`) is no failure of ours.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}
