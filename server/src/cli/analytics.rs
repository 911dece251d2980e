//! `holdfast analytics` and `holdfast gdpr`: months into the archive and back, what is held on a person and its erasure.

use super::{Failure, print, serve};
use crate::{analytics as place, config::Config, platform, repository::RepositoryArgs};
use backup::Repository;
use clap::Subcommand;
use control::{
    Actor, Confirmation, ControlPlane,
    analytics::{ArchiveStep, RestoreOutcome},
};
use domain::{
    Timestamp, format,
    view::{ErasureReport, SubjectPlan},
};
use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

/// A command waits for its work.
const TO_THE_END: Duration = Duration::MAX;

/// Months of analytics.
#[derive(Debug, Subcommand)]
pub enum AnalyticsCommand {
    /// Export months that are past their time to the repository, read them back, and drop them.
    Archive {
        /// Only say which months that would be.
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring archived rows back, into the schema analytics_restored.
    Restore {
        /// First moment, like 2026-06-01 or 2026-06-01T12:00:00Z.
        #[arg(long, required_unless_present = "discard", value_parser = moment)]
        from: Option<Timestamp>,
        /// The moment after the last.
        #[arg(long, required_unless_present = "discard", value_parser = moment)]
        to: Option<Timestamp>,
        /// Remove everything that was brought back instead.
        #[arg(long, conflicts_with_all = ["from", "to"])]
        discard: bool,
    },
    /// List the archived months.
    List,
    /// Roll up what is not yet; 'holdfast serve' does it by itself.
    RollUp,
}

/// Persons.
#[derive(Debug, Subcommand)]
pub enum GdprCommand {
    /// Write everything that is held on a subject to the standard output, as one JSON document whose last member is "complete".
    Export {
        /// Id of the user, as in the events.
        #[arg(long)]
        subject: String,
        /// Only of this tenant, by name or id; all of them without it.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Erase a subject: shows what would go and asks for the id once more.
    Erase {
        /// Id of the user, as in the events.
        #[arg(long)]
        subject: String,
        /// Only of this tenant, by name or id; all of them without it.
        #[arg(long)]
        tenant: Option<String>,
        /// The subject's id once more, where nobody can be asked.
        #[arg(long)]
        confirm: Option<String>,
        /// Only show what would go.
        #[arg(long)]
        plan: bool,
    },
    /// List erasures with their certificates.
    List {
        /// Only of this tenant, by name or id.
        #[arg(long)]
        tenant: Option<String>,
    },
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Timestamp::parse_rfc3339(&whole)
        .ok_or_else(|| format!("'{text}' is not a moment like 2026-06-01 or 2026-06-01T12:00:00Z"))
}

async fn control(repository: &RepositoryArgs) -> Result<ControlPlane, Failure> {
    let config = Config::load()?;
    let control = serve::control(&config).await?;
    platform::connect_once(&control, config.platform.as_ref()).await;
    // What was named on the command line comes first.
    let named = repository.repo.is_some().then(|| place::archive_at(repository.clone()));
    control.analytics().configure(config.analytics_retention_days, named.or_else(|| place::archive_of(&config)));
    Ok(control)
}

async fn opened(control: &ControlPlane) -> Result<Repository, Failure> {
    control.analytics_repository().await.map_err(Failure::from)
}

/// Runs one command on months.
pub async fn analytics(command: AnalyticsCommand, repository: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    let control = control(repository).await?;
    let actor = Actor::cli();
    match command {
        AnalyticsCommand::Archive { dry_run } => {
            let repository = opened(&control).await?;
            let progress = |step: ArchiveStep| {
                if json {
                    return;
                }
                match step {
                    ArchiveStep::Month { kind, month } => eprintln!("{kind} of {month}"),
                    ArchiveStep::Exported(rows) => eprintln!("  {} rows exported", format::thousands(rows as i64)),
                    ArchiveStep::Verified => eprintln!("  read back and right"),
                    ArchiveStep::Committed => eprintln!("  archived"),
                    ArchiveStep::Dropped => eprintln!("  dropped from the live table"),
                }
            };
            let done = control.analytics_archive(&actor, &repository, dry_run, &progress).await?;
            if json {
                print(&serde_json::to_string_pretty(&done).unwrap_or_default());
            }
            if done.busy {
                return Err(Failure::failed("another process works on the archive; try again when it is done"));
            }
            if json {
                return Ok(());
            }
            if done.months.is_empty() && done.waiting.is_empty() {
                print(
                    "nothing is past its time; a month goes as a whole, when all of it is older than what is configured",
                );
            }
            for it in &done.months {
                let stored = if dry_run {
                    format!("{} live, would be archived", format::bytes(it.live_bytes as f64))
                } else {
                    format!(
                        "{} live, {} stored",
                        format::bytes(it.live_bytes as f64),
                        format::bytes(it.stored_bytes as f64)
                    )
                };
                print(&format!("{} {:<8} {:>14} rows  {stored}", it.month, it.kind, format::thousands(it.rows)));
            }
            for waiting in &done.waiting {
                print(waiting);
            }
            Ok(())
        }
        AnalyticsCommand::Restore { discard: true, .. } => {
            let rows = control.analytics_discard_restored(&actor).await?;
            print(&if json {
                serde_json::json!({ "rows": rows }).to_string()
            } else {
                format!("{rows} rows removed from analytics_restored")
            });
            Ok(())
        }
        AnalyticsCommand::Restore { from, to, .. } => {
            let repository = opened(&control).await?;
            let span = (from.unwrap_or_default(), to.unwrap_or_else(control::now));
            let told = !json && std::io::stderr().is_terminal();
            let progress = |rows: u64| {
                if told {
                    eprintln!("{} rows read", format::thousands(rows as i64));
                }
            };
            let done = control.analytics_restore(&actor, &repository, span, &progress).await?;
            print(&restored(&done, json));
            Ok(())
        }
        AnalyticsCommand::List => {
            let repository = opened(&control).await?;
            let months = control.analytics_archives(&actor, &repository).await?;
            if json {
                print(&serde_json::to_string_pretty(&months).unwrap_or_default());
                return Ok(());
            }
            if months.is_empty() {
                print("nothing is archived yet");
            }
            for it in months {
                print(&format!(
                    "{} {:<8} {:>14} rows  {:>10} in {} objects  {}{}",
                    it.month,
                    it.kind,
                    format::thousands(it.rows as i64),
                    format::bytes(it.stored_bytes as f64),
                    it.objects,
                    it.created_at.to_human(),
                    if it.dropped { "" } else { "  (the live table still has it)" }
                ));
            }
            Ok(())
        }
        AnalyticsCommand::RollUp => {
            let service = control.analytics_service()?;
            let done = service.roll_up_all().await.map_err(control::ControlError::from)?;
            if done.busy {
                return Err(Failure::failed("another process rolls up; it does the same work"));
            }
            let (days, hours) = (done.days, done.hours);
            print(&if json {
                serde_json::json!({ "days": days, "hours": hours }).to_string()
            } else {
                format!("{hours} hours of {days} days rolled up")
            });
            Ok(())
        }
    }
}

fn restored(done: &RestoreOutcome, json: bool) -> String {
    if json {
        return serde_json::to_string_pretty(done).unwrap_or_default();
    }
    let withheld = if done.withheld > 0 {
        format!("; {} rows of erased subjects were left out", format::thousands(done.withheld as i64))
    } else {
        String::new()
    };
    let elsewhere = if done.elsewhere.is_empty() {
        String::new()
    } else {
        format!("\nnot in this repository, and so not brought back: {}", done.elsewhere.join(", "))
    };
    format!(
        "{} events and {} metrics from {}{withheld}{elsewhere}\n{}",
        format::thousands(done.events as i64),
        format::thousands(done.metrics as i64),
        done.months.join(", "),
        done.remark
    )
}

/// Runs one command on persons.
pub async fn gdpr(command: GdprCommand, repository: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    let control = control(repository).await?;
    let actor = Actor::cli();
    match command {
        GdprCommand::Export { subject, tenant } => {
            let mut pieces = control.subject_export(&actor, tenant.as_deref(), &subject).await?;
            let mut out = std::io::stdout();
            let failed = |error: std::io::Error| Failure::failed(format!("the export could not be written: {error}"));
            while let Some(piece) = pieces.recv().await {
                out.write_all(piece?.as_bytes()).map_err(failed)?;
            }
            out.write_all(b"\n").and_then(|()| out.flush()).map_err(failed)
        }
        GdprCommand::Erase { subject, tenant, confirm, plan } => {
            let planned = control.subject_plan(&actor, tenant.as_deref(), &subject).await?;
            if plan {
                print(&if json { serde_json::to_string_pretty(&planned).unwrap_or_default() } else { told(&planned) });
                return Ok(());
            }
            let confirm = match confirm {
                Some(text) => text,
                None if std::io::stdin().is_terminal() => {
                    eprintln!("{}", told(&planned));
                    eprintln!("This cannot be undone. Write the subject's id once more:");
                    let mut line = String::new();
                    std::io::stdin()
                        .read_line(&mut line)
                        .map_err(|error| Failure::failed(format!("no answer: {error}")))?;
                    line.trim().to_owned()
                }
                None => {
                    return Err(Failure::usage(
                        "nothing was erased: nobody can be asked here; look with --plan and give --confirm with the subject's id",
                    ));
                }
            };
            let confirmation = Confirmation { name: confirm, ..Confirmation::default() };
            let report = control.subject_erase(&actor, tenant.as_deref(), &subject, &confirmation, TO_THE_END).await?;
            let Some(report) = report else { return Err(Failure::failed("the erasure goes on; list them later")) };
            print(&if json { serde_json::to_string_pretty(&report).unwrap_or_default() } else { certificate(&report) });
            Ok(())
        }
        GdprCommand::List { tenant } => {
            let erasures = control.erasures_list(&actor, tenant.as_deref()).await?;
            if json {
                print(&serde_json::to_string_pretty(&erasures).unwrap_or_default());
            } else if erasures.is_empty() {
                print("nobody was erased yet");
            } else {
                erasures.iter().for_each(|report| print(&certificate(report)));
            }
            Ok(())
        }
    }
}

fn told(plan: &SubjectPlan) -> String {
    let archived = match plan.archived_months {
        Some(0) => "no archived month to look through".to_owned(),
        Some(n) => format!("{n} archived months to look through"),
        None => "the archive cannot be asked; the erasure would be pending there".to_owned(),
    };
    let account = if plan.account { "\nan account of that name may sign in to Holdfast, and stays" } else { "" };
    format!(
        "deleted: {} events, {} days of use in roll-ups, {} restored events\nname removed: {} operations, {} bulk operations, {} plugins that it owns, {} rows of the platform's audit log, {} records of Holdfast itself\nname kept: {} rows of Holdfast's audit log and decisions of failovers\narchive: {archived}{account}",
        plan.events,
        plan.user_days,
        plan.restored_events,
        plan.operations,
        plan.bulk_operations,
        plan.plugins,
        plan.audit_rows,
        plan.own_records,
        plan.own_kept
    )
}

fn certificate(report: &ErasureReport) -> String {
    let live = &report.live;
    let mut text = format!(
        "erasure {} ({}), asked for by {} at {}\n  subject (SHA-256)   {}\n  deleted             {} events, {} days of use, {} restored events\n  name removed        {} operations, {} bulk operations, {} plugins that it owned, {} audit rows, {} records of Holdfast itself\n  name kept           {} records of Holdfast itself\n  archive             {} rows in {} of {} months",
        report.id,
        report.state,
        report.requested_by,
        report.requested_at.to_human(),
        report.subject_hash,
        live.events,
        live.user_days,
        live.restored_events,
        live.operations,
        live.bulk_operations,
        live.plugins,
        live.audit_rows,
        live.own_records,
        live.own_kept,
        report.archives.rows,
        report.archives.rewritten,
        report.archives.searched,
    );
    if let Some(at) = report.finished_at {
        text += &format!("\n  finished            {}", at.to_human());
    }
    if let Some(reason) = &report.pending_reason {
        text += &format!("\n  pending             {reason}");
    }
    for remark in &report.remarks {
        text += &format!("\n  note                {remark}");
    }
    text
}
