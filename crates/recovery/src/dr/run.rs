//! The steps of a plan, done.
use super::{
    hook::{self, HookFacts},
    point::{self, Goal},
    report::Book,
    takeover::{TakenOver, foreseen, take_over},
};
use crate::{
    copy::{Address, CopyHost, CopyPlan, Started},
    loss::Witness,
    restore::{clear, remove, wait_for_predecessor},
    restore_test::prove,
    work::{Ended, Work},
};
use backup::{
    Repository,
    restore::{self, RestoreRequest, Target},
};
use control::{alerts::Notice, now, running_in};
use domain::{
    format,
    view::{DrAction, DrKind, DrPlanSpec, DrReport, DrStep, DrWaiting, Objectives},
};
use pgphysical::LocalCluster;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use store::{DrDecisionRow, DrRepo};

const LOOK: Duration = Duration::from_secs(1);
/// A server that was told to end at once takes no longer.
const SETTLED: Duration = Duration::from_secs(30);

/// What a run is made of.
#[derive(Debug)]
pub(crate) struct Run {
    pub kind: DrKind,
    pub plan_id: Option<String>,
    pub plan: DrPlanSpec,
    pub cluster: String,
    /// The repository, for people.
    pub place: String,
    pub repository: Repository,
    /// Opened by the recovery code alone.
    pub from_kit: bool,
    /// Which cluster of it; the only one when `None`.
    pub system: Option<u64>,
    pub host: CopyHost,
    /// Holds the copy.
    pub root: PathBuf,
    pub goal: Goal,
    pub objectives: Option<Objectives>,
    /// What tells how much was outstanding at the begin.
    pub witness: Witness,
    pub hooks: BTreeMap<String, String>,
    pub connect_host: String,
}

impl Run {
    fn is_drill(&self) -> bool {
        self.kind != DrKind::Execution
    }
}

/// Does it all, and tells what it showed, also when a step failed.
pub(crate) async fn run(work: &Work, of: Run) -> Result<DrReport, Ended> {
    let began_at = now();
    let mut names = of.plan.steps.iter().map(|step| step.action.label()).collect::<Vec<_>>();
    if of.is_drill() {
        names.extend(["Prove every page and index", "Throw the copy away"]);
        // It proves a restore from nothing: what a killed predecessor left is of no use.
        clear(work, &of.root).await?;
    }
    work.steps(&names);
    let mut book = Book::new(work, &of);
    let ended = steps(work, &of, &mut book).await;
    work.wait_for(None);
    if of.is_drill() {
        if let Err(error) = remove(&of.root) {
            work.log(&format!("{} was not removed whole: {error}", of.root.display())).await;
        } else if ended.is_ok() {
            work.done("").await;
        }
    }
    match ended {
        Ok(()) => {}
        Err(Ended::Cancelled) => {
            for note in book.rollback().into_iter().filter(|_| !of.is_drill()) {
                work.log(&format!("to be taken back by a person: {note}")).await;
            }
            return Err(Ended::Cancelled);
        }
        Err(Ended::Failed(reason)) => {
            work.log(&reason).await;
            book.failed(&reason);
            if !of.is_drill() {
                settle(&of.root).await;
                book.report.next = book.rollback();
                let shown = of.root.display();
                book.report.next.push(match running_in(&of.root.join("data")) {
                    Some(pid) => format!("The copy runs in {shown} (process {pid}), also without Holdfast."),
                    None => format!("The copy does not run; its directory is {shown}."),
                });
            }
        }
    }
    Ok(book.close(work, &of, began_at).await)
}

/// A copy that did not take over ends when nobody holds it any more: the report tells of it as it is then.
async fn settle(root: &Path) {
    let begun = Instant::now();
    while TakenOver::read(root).is_none() && running_in(&root.join("data")).is_some() && begun.elapsed() < SETTLED {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for a person where the plan says so, and before applications are led away from an original that lives.
async fn approval(work: &Work, of: &Run, book: &mut Book, index: usize, step: &DrStep) -> Result<(), Ended> {
    let Some(control) = work.control.as_ref().filter(|_| !of.is_drill()) else { return Ok(()) };
    let lives = (step.action == DrAction::Switch).then(|| control.original_lives(&of.cluster)).flatten();
    if !step.approval && lives.is_none() {
        return Ok(());
    }
    let what = lives.map_or_else(
        || format!("step {}, {}", index + 1, step.action.label().to_lowercase()),
        |reason| format!("step {}, {}: {reason}", index + 1, step.action.label().to_lowercase()),
    );
    let (begun, mut told) = (Instant::now(), false);
    loop {
        match DrRepo(control.store().db()).decisions(work.row.id).await {
            Ok(decisions) => {
                let found = decisions
                    .iter()
                    .find(|it| it.step == index && ["approve", "abort"].contains(&it.decision.as_str()));
                if let Some(decision) = found {
                    work.wait_for(None);
                    let waited = begun.elapsed().as_secs_f64();
                    book.decided(index, &decision.actor, &decision.note, waited);
                    let note = if decision.note.is_empty() { String::new() } else { format!(": {}", decision.note) };
                    if decision.decision == "abort" {
                        book.aborted(index);
                        return Err(Ended::Failed(format!("aborted by {} before {what}{note}", decision.actor)));
                    }
                    work.log(&format!("{} approved {what}{note}", decision.actor)).await;
                    return Ok(());
                }
            }
            Err(error) => tracing::warn!(%error, job = work.row.id, "decisions could not be read; it is tried again"),
        }
        if !told {
            work.log(&format!("waits for an approval of {what}")).await;
            told = true;
        }
        work.wait_for(Some(DrWaiting { step: index, action: step.action, what: what.clone() }));
        work.sleep(LOOK).await?;
    }
}

/// The copy as far as it is.
enum Stage {
    /// Replays, read-only.
    Held(Box<Started>),
    /// Takes writes, guarded by us: a drill's.
    Guarded(Box<LocalCluster>),
    /// Takes writes, and outlives us.
    Free(Box<TakenOver>),
}

impl Stage {
    fn address(&self) -> Address {
        match self {
            Self::Held(started) => Address::from(&started.server),
            Self::Guarded(server) => Address::from(server.as_ref()),
            Self::Free(taken) => taken.address(),
        }
    }
}

async fn steps(work: &Work, of: &Run, book: &mut Book) -> Result<(), Ended> {
    let began_at = book.report.started_at;
    // `check` of the plan: these three are the first.
    let [choose, write, start] = of.plan.steps.get(..3).unwrap_or_default() else {
        return Err(Ended::Failed("the plan does not begin with choose_point, restore and start".to_owned()));
    };
    approval(work, of, book, 0, choose).await?;
    book.begin(work, 0);
    let system = match of.system {
        Some(system) => system,
        None => match of.repository.clusters().await?.as_slice() {
            [one] => *one,
            [] => {
                return Err(Ended::Failed(
                    "the repository holds no backup yet: take one with 'holdfast backup create'".to_owned(),
                ));
            }
            several => {
                let all = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(Ended::Failed(format!(
                    "the repository holds several clusters ({all}): say which by --system, or --cluster with an id of holdfast.toml"
                )));
            }
        },
    };
    book.report.system_identifier = Some(system.to_string());
    let (target, label) = point::choose(&of.goal, &of.repository, system).await?;
    book.report.target = label;
    let request = RestoreRequest { system: Some(system), backup: None, target: target.clone(), timeline: None };
    let (plan, manifest) = restore::plan(&of.repository, &request).await?;
    book.report.backup = Some(plan.backup.id.clone());
    book.report.timeline = Some(plan.timeline);
    (book.report.bytes, book.report.wal_bytes) = (plan.bytes, plan.wal_bytes);
    for note in &plan.notes {
        work.log(note).await;
    }
    let detail = format!(
        "{}: {} from {}, then up to {} of WAL on timeline {}",
        book.report.target,
        format::bytes(plan.bytes as f64),
        plan.backup.id,
        format::bytes(plan.wal_bytes as f64),
        plan.timeline
    );
    book.done(work, detail).await;
    work.check()?;

    let copy = CopyPlan {
        host: of.host.clone(),
        repository: &of.repository,
        plan: &plan,
        manifest: &manifest,
        root: of.root.clone(),
        exclusive: false,
        throw_away: of.is_drill(),
        hold: true,
        lease: tokio::sync::Mutex::default(),
    };
    let there = TakenOver::read(&of.root).filter(|_| !of.is_drill());
    approval(work, of, book, 1, write).await?;
    book.begin(work, 1);
    let written = match &there {
        Some(_) => None,
        None => {
            wait_for_predecessor(work, &of.root.join("data")).await?;
            copy.restore(work).await?
        }
    };
    book.report.restore_seconds = match written {
        Some(it) => {
            let (written, read) = (format::bytes(it.written_bytes as f64), format::bytes(it.fetched_bytes as f64));
            book.done(work, format!("{written} written, {read} read")).await
        }
        None => book.done_before(work).await,
    };
    book.report.directory = (!of.is_drill()).then(|| copy.root.join("data").display().to_string());
    work.check()?;

    approval(work, of, book, 2, start).await?;
    book.begin(work, 2);
    let (mut state, detail) = match there {
        Some(taken) => (Stage::Free(Box::new(taken)), None),
        None => {
            let started = copy.start(work).await?;
            let last = copy.last_commit(&Address::from(&started.server)).await;
            let detail = format!(
                "read-only on port {}, the newest transaction {}",
                started.server.port(),
                last.map_or_else(|| "is unknown".to_owned(), |at| format!("is of {}", at.to_rfc3339()))
            );
            (Stage::Held(Box::new(started)), Some(detail))
        }
    };
    book.report.recovery_seconds = book.done_or_before(work, detail).await;

    for (index, step) in of.plan.steps.iter().enumerate().skip(3) {
        work.check()?;
        approval(work, of, book, index, step).await?;
        book.begin(work, index);
        match step.action {
            DrAction::Promote => {
                let detail;
                (state, detail) = promote(work, of, book, &copy, state).await?;
                // A try before this one may have come so far long ago.
                let took_writes_at = match &state {
                    Stage::Free(taken) => taken.at,
                    Stage::Guarded(_) | Stage::Held(_) => now(),
                };
                book.report.rto_seconds = Some(took_writes_at.seconds_since(began_at).max(0.0));
                book.report.recovery_seconds += book.done_or_before(work, detail).await;
                verdict(of, book, &target);
            }
            DrAction::Check => {
                let (checks, problems) = copy.look_inside(work, &state.address()).await?;
                let found = if problems.is_empty() { checks.join("; ") } else { problems.join("; ") };
                let failed = problems.first().cloned();
                book.report.checks.extend(checks);
                if let Some(failed) = failed.filter(|_| !of.is_drill()) {
                    // In earnest nobody is led to a copy that is not sound.
                    book.report.problems.extend(problems.into_iter().skip(1));
                    return Err(Ended::Failed(failed));
                }
                book.report.problems.extend(problems);
                book.report.check_seconds += book.done(work, found).await;
            }
            DrAction::Switch => {
                let detail = switch(work, of, book, index, step, &state.address()).await?;
                book.done(work, detail).await;
            }
            DrAction::Notify => {
                let detail = notify(work, of, book, step);
                book.done(work, detail).await;
            }
            DrAction::ChoosePoint | DrAction::Restore | DrAction::Start => {
                return Err(Ended::Failed(format!("{} stands twice in the plan", step.action.as_str())));
            }
        }
    }
    match state {
        Stage::Guarded(mut server) => {
            let begun = Instant::now();
            let (mut checks, mut problems) = (Vec::new(), Vec::new());
            let sums = plan.backup.cluster.checksums;
            prove(work, &mut server, &of.host.superuser, sums, &mut checks, &mut problems).await?;
            for problem in &problems {
                work.log(problem).await;
            }
            work.done(if problems.is_empty() { checks.join("; ") } else { problems.join("; ") }).await;
            book.report.check_seconds += begun.elapsed().as_secs_f64();
            book.report.checks.extend(checks);
            book.report.problems.extend(problems);
        }
        Stage::Free(taken) => {
            let connection = format!("host={} port={}", of.connect_host, taken.address().port);
            book.report.next = vec![format!(
                "The new primary runs in {} and goes on without Holdfast: {connection}.",
                copy.root.join("data").display()
            )];
            book.report.next.extend(taken.next);
            book.report.next.push(
                "Give Holdfast its address (DATABASE_URL or the cluster's url) and take a full backup: from here on the timeline is a new one.".to_owned(),
            );
            book.report.connection.get_or_insert(connection);
        }
        Stage::Held(_) => return Err(Ended::Failed("the plan has no step that promotes the copy".to_owned())),
    }
    Ok(())
}

/// Ends recovery, and what to tell of it; `None` when the try before did. In earnest the copy then runs without us: whoever depends on it must not depend on this process.
async fn promote(
    work: &Work,
    of: &Run,
    book: &mut Book,
    copy: &CopyPlan<'_>,
    state: Stage,
) -> Result<(Stage, Option<String>), Ended> {
    let started = match state {
        Stage::Held(started) => *started,
        Stage::Free(taken) => {
            book.report.last_commit_at = taken.last_commit_at;
            book.report.configuration.clone_from(&taken.configuration);
            return Ok((Stage::Free(taken), None));
        }
        Stage::Guarded(_) => return Ok((state, None)),
    };
    let server = copy.promote(work, started).await?;
    let last = copy.last_commit(&Address::from(&server)).await;
    book.report.last_commit_at = last;
    if of.is_drill() {
        book.report.configuration = foreseen(&copy.judge(&Address::from(&server)).await);
        return Ok((Stage::Guarded(Box::new(server)), Some("takes writes".to_owned())));
    }
    let taken = take_over(work, copy, server, last).await?;
    book.report.configuration.clone_from(&taken.configuration);
    let detail = format!(
        "takes writes on port {} with {} configuration, and goes on without Holdfast",
        taken.address().port,
        if taken.is_original { "the original's" } else { "its own" }
    );
    Ok((Stage::Free(Box::new(taken)), Some(detail)))
}

/// What was measured against its limit: a check, or what is wrong.
fn against(name: &str, measured: f64, limit: f64) -> Result<String, String> {
    let (measured_text, limit_text) = (format::lag_s(measured), format::limit_s(limit));
    if measured <= limit {
        Ok(format!("{name} {measured_text}, limit {limit_text}"))
    } else {
        Err(format!("{name} {measured_text} is over the objective of {limit_text}"))
    }
}

/// What was lost, and whether the copy is of the moment that was wanted.
fn verdict(of: &Run, book: &mut Book, target: &Target) {
    let report = &mut book.report;
    // At the command line one of the two may be set alone.
    let limit = |seconds: Option<f64>| seconds.filter(|it| *it < f64::MAX);
    let rto_limit = limit(report.objectives.map(|it| it.rto_seconds));
    let rpo_limit = limit(report.objectives.map(|it| it.rpo_seconds));
    match (target, report.last_commit_at) {
        (Target::Latest, last) => {
            let loss = of.witness.lost(report.started_at, last);
            report.rpo_seconds = loss.seconds(rpo_limit);
            report.unproved.extend(loss.unproved(rpo_limit));
            report.checks.extend(of.witness.heartbeat(last));
        }
        (Target::Time(text, at), Some(last)) if last > *at => {
            report.problems.push(format!("the copy holds a transaction of {}, later than {text}", last.to_rfc3339()));
        }
        _ => {}
    }
    for (name, measured, limit) in [("RTO", report.rto_seconds, rto_limit), ("RPO", report.rpo_seconds, rpo_limit)] {
        let Some((measured, limit)) = measured.zip(limit) else { continue };
        match against(name, measured, limit) {
            Ok(check) => report.checks.push(check),
            Err(problem) if of.is_drill() => report.problems.push(problem),
            Err(_) => {}
        }
    }
}

async fn switch(
    work: &Work,
    of: &Run,
    book: &mut Book,
    index: usize,
    step: &DrStep,
    at: &Address,
) -> Result<String, Ended> {
    if let Some(text) = step.connection.as_ref().filter(|_| step.hook.is_none()) {
        let shown = text.replace("{host}", &of.connect_host);
        if of.is_drill() {
            // The drill's own copy listens elsewhere, and is thrown away.
            return Ok(format!("would show: {}", shown.replace("{port}", "(that of the copy)")));
        }
        let shown = shown.replace("{port}", &at.port.to_string());
        work.log(&format!("applications connect to: {shown}")).await;
        book.report.connection = Some(shown.clone());
        return Ok(shown);
    }
    let name = step.hook.as_deref().unwrap_or_default();
    if of.is_drill() {
        return match of.hooks.contains_key(name) {
            true => Ok(format!("would run the host's hook '{name}'")),
            // A command line of a bare host knows no configuration.
            false if work.control.is_none() => Ok(format!("would run the hook '{name}' of the configured host")),
            false => Err(Ended::Failed(format!(
                "the host has no hook '{name}': write it in [backup.hooks] of holdfast.toml"
            ))),
        };
    }
    let command = of.hooks.get(name).ok_or_else(|| {
        Ended::Failed(format!("the host has no hook '{name}': write it in [backup.hooks] of holdfast.toml"))
    })?;
    let control =
        work.control.as_ref().ok_or_else(|| Ended::Failed("a plan is carried out by the service".to_owned()))?;
    let mark = async |what: &str| {
        let row = DrDecisionRow {
            step: index,
            decision: what.to_owned(),
            actor: "holdfast".to_owned(),
            at: now(),
            note: name.to_owned(),
        };
        let written = DrRepo(control.store().db()).decide(work.row.id, &row).await;
        written.map_err(|error| Ended::Failed(format!("hook '{name}' cannot be noted in the store: {error}")))
    };
    if !mark("begun").await? {
        let decisions = DrRepo(control.store().db()).decisions(work.row.id).await;
        let decisions = decisions.map_err(|error| Ended::Failed(error.to_string()))?;
        if decisions.iter().any(|it| it.step == index && it.decision == "done") {
            return Ok(format!("hook '{name}' was run by the try before"));
        }
        return Err(Ended::Failed(format!(
            "this server vanished while hook '{name}' ran, and whether it switched is not known: look, and run it by hand if needed; it is not run twice"
        )));
    }
    let directory = of.root.join("data").display().to_string();
    let facts = HookFacts {
        cluster: &of.cluster,
        host: &of.connect_host,
        port: at.port,
        directory: &directory,
        job: work.row.id,
    };
    let done = hook::run(work, name, command, &facts).await?;
    mark("done").await?;
    Ok(done)
}

fn notify(work: &Work, of: &Run, book: &Book, step: &DrStep) -> String {
    let Some(control) = &work.control else { return "nobody is told by the command line".to_owned() };
    let rule = if of.is_drill() { "drill_finished" } else { "plan_executed" };
    let report = &book.report;
    let rto = report
        .rto_seconds
        .map_or_else(|| "not promoted yet".to_owned(), |it| format!("RTO {}", format::duration_s(it)));
    let measured = format!("{} of plan '{}' to {}: {rto}", of.kind.label(), of.plan.name, report.target);
    let mut notice = Notice::new(rule, format!("job {}", work.row.id), measured.clone());
    let more = step.message.iter().cloned().chain(report.connection.iter().map(|it| format!("connect to: {it}")));
    let more = more.collect::<Vec<_>>().join("\n");
    if !more.is_empty() {
        notice = notice.with_detail(more);
    }
    control.alerts().notice(&of.cluster, notice);
    format!("told: {measured}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::against;

    #[test]
    fn what_is_over_its_objective_is_wrong() {
        assert_eq!(against("RPO", 3.0, 60.0).unwrap(), "RPO 3.00 s, limit 1 min");
        assert_eq!(against("RPO", 0.0, 30.0).unwrap(), "RPO 0 s, limit 30 s");
        assert!(against("RTO", 7_200.0, 60.0).unwrap_err().contains("over the objective"));
    }
}
