//! `/backups`, `/backups/{id}` and `/backups/retention`: what is there, what is planned, keys.

use super::{
    job::{Proof, class},
    named::with_moments,
    removal::Removal,
    stream_badge::StreamBadge,
};
use crate::{
    components::{Confirm, Failed, FormOutcome, Icon, Missing, Panel, Skeleton, ago},
    recovery_fns::{BackupData, ExpireData, RecoveryData, load_backup, load_expire_plan, load_recovery},
    scope::{Scope, address},
    zone::Local as _,
};
use domain::{
    format,
    view::{Availability, BackupRow, JobView, RecoveryOverview, RecoveryProblem, RepositoryView, ScheduleView},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

/// Tiles, list, schedules, retention, keys.
#[component]
pub fn Backups() -> impl IntoView {
    let scope = Scope::get();
    let query = use_query_map();
    let cursor = Memo::new(move |_| query.with(|query| query.get("cursor")).filter(|text| !text.is_empty()));
    let data = Resource::new(
        move || (scope.cluster.get(), cursor.get()),
        |(cluster, cursor)| load_recovery(cluster, None, None, cursor),
    );
    view! {
        <Title text="Backups" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <Loaded data /> }.into_any(),
                    Err(error) => view! { <div class="title"><h1>"Backups"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

/// What is wrong, in a banner each.
#[component]
pub(super) fn Problems(problems: Vec<RecoveryProblem>) -> impl IntoView {
    problems
        .into_iter()
        .map(|problem| {
            let class = if problem.severity == "critical" { "banner critical c12" } else { "banner attention c12" };
            // That something is there at all needs no limit.
            let beside = if problem.threshold == "none" {
                String::new()
            } else {
                format!(" ({}, limit {})", problem.measured, problem.threshold)
            };
            view! { <p class=class><Icon name="warn" /><span><strong>{problem.message}</strong>{beside}</span></p> }
        })
        .collect_view()
}

/// Whether backups are set up; the cure when they are not.
pub(super) fn unavailable(overview: &RecoveryOverview) -> Option<AnyView> {
    match &overview.availability {
        Availability::Ready => None,
        Availability::Collecting => {
            Some(view! { <p class="banner c12">"The repository is being read for the first time."</p> }.into_any())
        }
        Availability::Missing { reason, cure } => {
            let (reason, cure) = (reason.clone(), cure.clone());
            Some(view! { <Panel title="Not set up"><Missing reason cure /></Panel> }.into_any())
        }
    }
}

/// Buttons that start work.
#[component]
pub(super) fn StartButtons(cluster: String) -> impl IntoView {
    let (full, test) = (cluster.clone(), cluster.clone());
    view! {
        <form method="post" action="/backups/test"><input type="hidden" name="cluster" value=test /><button class="btn">"Restore test"</button></form>
        <form method="post" action="/backups/start"><input type="hidden" name="cluster" value=full /><input type="hidden" name="kind" value="full" /><button class="btn">"Full backup"</button></form>
        <form method="post" action="/backups/start"><input type="hidden" name="cluster" value=cluster /><input type="hidden" name="kind" value="incremental" /><button class="btn primary">"Back up now"</button></form>
    }
}

#[component]
fn Loaded(data: RecoveryData) -> impl IntoView {
    let RecoveryData { overview, backups, is_later, may, .. } = data;
    if let Some(missing) = unavailable(&overview) {
        return view! { <div class="title"><h1>"Backups"</h1></div>{missing} }.into_any();
    }
    let cluster = overview.cluster.clone();
    let all = &overview.backups;
    let page = backups.unwrap_or_default();
    let fulls = all.iter().filter(|row| row.kind == "full").count();
    let stored = overview
        .repository
        .stored_bytes
        .map_or_else(String::new, |it| format!("; {} in the repository with their WAL", format::bytes(it as f64)));
    let note = format!("{fulls} full, {} incremental{stored}", all.len() - fulls);
    let scope = Scope::get();
    let first = is_later.then(|| scope.link_untracked("/backups"));
    let next = page.next_cursor.map(|cursor| scope.link_untracked(&address("/backups", &[("cursor", cursor)], None)));
    let pager = (first.is_some() || next.is_some()).then(|| {
        view! {
            <p class="pager">
                {first.map(|href| view! { <a class="btn" href=href>"Newest"</a> })}
                <span class="grow"></span>
                {next.map(|href| view! { <a class="btn" href=href rel="next">"Older"</a> })}
            </p>
        }
    });
    view! {
        <div class="title">
            <h1>"Backups"</h1>
            <StreamBadge overview=overview.clone() />
            <span class="muted">{overview.cluster_name.clone()}</span>
            <span class="grow"></span>
            {may.operate.then(|| view! { <StartButtons cluster=cluster.clone() /> })}
        </div>
        <FormOutcome />
        <Problems problems=overview.problems.clone() />
        <Tiles overview=overview.clone() />
        <Panel title="Backups taken" note=note flush=true><BackupTable rows=page.rows />{pager}</Panel>
        <Panel title="Jobs" span="c7" flush=true aside=all_jobs()><Jobs jobs=overview.jobs.clone() /></Panel>
        <Panel title="Schedules" span="c5" flush=true><Schedules schedules=overview.schedules.clone() now=overview.now /></Panel>
        <Retention rules=overview.retention.clone() />
        <Keys repository=overview.repository.clone() cluster may_manage=may.manage />
    }
    .into_any()
}

#[component]
fn Tiles(overview: RecoveryOverview) -> impl IntoView {
    let now = overview.now;
    let age = |row: Option<&BackupRow>| {
        row.map_or_else(
            || "—".to_owned(),
            |row| format!("{} ago", format::age_s(now.seconds_since(row.stopped_at).max(0.0))),
        )
    };
    let newest = |kind: &str| overview.backups.iter().find(|row| row.kind == kind).cloned();
    let (full, incremental) = (newest("full"), newest("incremental"));
    let wal = &overview.window.wal;
    let from = overview.window.intervals.first().map(|it| it.from);
    let proofs = overview.window.proofs.iter().map(|it| &it.proof);
    let tested = proofs.clone().max_by_key(|it| it.at);
    let failed = tested.is_some_and(|it| !it.ok);
    // One that failed proves nothing, however young it is.
    let sound = proofs.filter(|it| it.ok).max_by_key(|it| it.at);
    let proved = sound
        .map_or_else(|| "never".to_owned(), |it| format!("{} ago", format::age_s(now.seconds_since(it.at).max(0.0))));
    let proved_by = match sound {
        _ if failed => "the last test failed".to_owned(),
        Some(it) => format!("RTO {}", format::duration_s(it.rto_seconds)),
        None => String::new(),
    };
    let took = |row: &Option<BackupRow>| {
        row.as_ref().map_or_else(
            || "none yet".to_owned(),
            |row| {
                format!("{}, took {}", format::bytes(row.stored_bytes as f64), format::duration_s(row.duration_seconds))
            },
        )
    };
    let forecast = overview.forecast.clone();
    let rto = overview.objectives.map(|it| it.rto_seconds);
    let repository = overview.repository.clone();
    let tile = |name: &'static str, value: String, detail: String, bad: bool, title: String| {
        let class = if bad { "panel tile c2 critical" } else { "panel tile c2" };
        view! { <section class=class aria-label=name title=title><span class="k">{name}</span><span class="v">{value}</span><span class="d"><span>{detail}</span></span></section> }
    };
    view! {
        {tile("Last full", age(full.as_ref()), took(&full), full.is_none(), full.as_ref().map_or_else(String::new, |it| it.stopped_at.local()))}
        {tile("Last incremental", age(incremental.as_ref()), took(&incremental), false, incremental.as_ref().map_or_else(String::new, |it| it.stopped_at.local()))}
        {tile("WAL behind", wal.lag_seconds.map_or_else(|| "—".to_owned(), format::lag_s), wal.lag_bytes.map_or_else(|| wal.state.clone(), |it| format!("{}, {}", format::bytes(it as f64), wal.state)), wal.state == "interrupted", String::new())}
        {tile("Window", from.map_or_else(|| "—".to_owned(), |from| format::duration_s(now.seconds_since(from).max(0.0).round())), match overview.window.gaps.len() { 0 => "without a gap".to_owned(), 1 => "one gap".to_owned(), n => format!("{n} gaps") }, false, from.map_or_else(String::new, |it| format!("from {}", it.local())))}
        {tile("Restore now", forecast.as_ref().map_or_else(|| "—".to_owned(), |it| format::duration_s(it.seconds)), forecast.as_ref().map_or_else(|| "no restore test yet".to_owned(), |_| rto.map_or_else(String::new, |rto| format!("limit {}", format::limit_s(rto)))), forecast.as_ref().zip(rto).is_some_and(|(it, rto)| it.seconds > rto), forecast.as_ref().map_or_else(String::new, |it| it.basis.clone()))}
        {tile("Proved", proved, proved_by, failed, repository.place)}
    }
}

/// One line a backup.
#[component]
pub(super) fn BackupTable(rows: Vec<BackupRow>) -> impl IntoView {
    if rows.is_empty() {
        return view! { <p class="fine muted">"No backup yet. The first is taken by itself as soon as cluster and repository are reached."</p> }.into_any();
    }
    let scope = Scope::get();
    let lines = rows.into_iter().map(|row| {
        let path = format!("/backups/{}", row.id);
        let rate = if row.duration_seconds > 0.0 { format!("{}/s", format::bytes(row.bytes as f64 / row.duration_seconds)) } else { "—".to_owned() };
        let verified = match &row.verified {
            Some(it) if it.problems.is_empty() => view! { <span class="badge good" title=it.at.local()>"every byte"</span> }.into_any(),
            Some(it) => view! { <span class="badge critical" title=it.at.local()>"damaged"</span> }.into_any(),
            None => view! { <span class="badge">"on write"</span> }.into_any(),
        };
        let proved = row.proof.as_ref().map(|it| {
            if it.ok { view! { <span class="badge good" title=it.at.local()>{format!("RTO {}", format::duration_s(it.rto_seconds))}</span> }.into_any() } else { view! { <span class="badge critical" title=it.at.local()>"failed"</span> }.into_any() }
        });
        let damaged = (row.damaged_pages > 0).then(|| view! { <span class="badge critical">{format::counted(row.damaged_pages, "damaged page", "damaged pages")}</span> });
        view! {
            <tr>
                <td><a class="link num" data-row href=move || scope.link(&path) title=row.id.clone()>{row.stopped_at.local()}</a></td>
                <td>{row.kind.clone()}{damaged}</td>
                <td class="lineage"><code title=row.lineage.clone()>{row.lineage.chars().take(8).collect::<String>()}</code></td>
                <td class="n">{format::bytes(row.bytes as f64)}</td>
                <td class="n">{format::bytes(row.changed_bytes as f64)}</td>
                <td class="n">{format::bytes(row.stored_bytes as f64)}</td>
                <td class="n">{format::duration_s(row.duration_seconds)}</td>
                <td class="n">{rate}</td>
                <td>{verified}</td>
                <td>{proved.unwrap_or_else(|| "—".into_any())}</td>
            </tr>
        }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Backups table">
            <table class="backups">
                <thead><tr>
                    <th scope="col" aria-sort="descending">"Ended ↓"</th><th scope="col">"Kind"</th><th scope="col" class="lineage" title="Incrementals refer only to their own lineage: damage in one cannot reach another">"Lineage"</th><th scope="col" class="n" title="Of the whole cluster as it would be restored">"Size"</th><th scope="col" class="n" title="Bytes of new and changed pages">"Changed"</th>
                    <th scope="col" class="n">"Stored"</th><th scope="col" class="n">"Duration"</th><th scope="col" class="n">"Rate"</th><th scope="col">"Verified"</th><th scope="col">"Restored"</th>
                </tr></thead>
                <tbody>{lines.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// To the page of all jobs.
pub(super) fn all_jobs() -> AnyView {
    let scope = Scope::get();
    view! { <a class="link" href=move || scope.link("/jobs")>"all jobs"</a> }.into_any()
}

/// `11-30 03:00`: the newest jobs may be of other days.
fn day_and_clock(at: domain::Timestamp) -> String {
    at.local().get(5..16).unwrap_or_default().to_owned()
}

/// The newest jobs, or a page of them.
#[component]
pub(super) fn Jobs(
    jobs: Vec<JobView>,
    /// Of all clusters and days: with both.
    #[prop(optional)]
    whole: bool,
) -> impl IntoView {
    if jobs.is_empty() {
        return view! { <p class="fine muted">"No job yet."</p> }.into_any();
    }
    let scope = Scope::get();
    let lines = jobs.into_iter().map(|job| {
        let path = format!("/jobs/{}", job.id);
        let seconds = job.started_at.zip(job.finished_at).map(|(from, to)| to.seconds_since(from).max(0.0));
        view! {
            <tr>
                <td><a class="link" data-row href=move || scope.link(&path) title=job.title.clone()>{with_moments(&job.title)}</a></td>
                {whole.then(|| view! { <td>{job.cluster.clone()}</td> })}
                <td><span class=class(job.state)>{job.state.as_str()}</span></td>
                <td title=job.requested_at.local()>{if whole { job.requested_at.local() } else { day_and_clock(job.requested_at) }}</td>
                <td>{job.requested_by.clone()}</td>
                <td class="n">{seconds.map_or_else(|| "—".to_owned(), format::duration_s)}</td>
            </tr>
        }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Jobs table">
            <table class="jobs"><thead><tr><th scope="col">"Job"</th>{whole.then(|| view! { <th scope="col">"Cluster"</th> })}<th scope="col">"State"</th><th scope="col">"Asked"</th><th scope="col">"By"</th><th scope="col" class="n">"Took"</th></tr></thead><tbody>{lines.collect_view()}</tbody></table>
        </div>
    }
    .into_any()
}

#[component]
fn Schedules(schedules: Vec<ScheduleView>, now: domain::Timestamp) -> impl IntoView {
    if schedules.is_empty() {
        return view! { <p class="fine muted">"Nothing is scheduled."</p> }.into_any();
    }
    let lines = schedules.into_iter().map(|it| {
        let next = it.next.first().copied();
        let later = it.next.iter().map(|at| at.local()).collect::<Vec<_>>().join("\n");
        view! {
            <tr>
                <th scope="row">{it.name.clone()}</th>
                <td><code>{it.cron.clone()}</code>" "<span class="muted">{it.time_zone.clone()}</span></td>
                <td class="n" title=later>{next.map_or_else(|| "never".to_owned(), |at| format!("in {}", format::age_s(at.seconds_since(now).max(0.0))))}</td>
            </tr>
        }
    });
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Schedules table">
            <table><thead><tr><th scope="col">"What"</th><th scope="col">"When"</th><th scope="col" class="n">"Next"</th></tr></thead><tbody>{lines.collect_view()}</tbody></table>
        </div>
    }
    .into_any()
}

#[component]
fn Retention(rules: Vec<String>) -> impl IntoView {
    let scope = Scope::get();
    view! {
        <Panel title="Retention" span="c5">
            <p class="muted">"Kept is the union of:"</p>
            <ul class="plain-list">{rules.into_iter().map(|rule| view! { <li>{rule}</li> }).collect_view()}</ul>
            <p><a class="btn" href=move || scope.link("/backups/retention")>"What would go now"</a></p>
        </Panel>
    }
}

#[component]
fn Keys(repository: RepositoryView, cluster: String, may_manage: bool) -> impl IntoView {
    let place = repository.place.clone();
    let encryption = repository.encryption.clone().unwrap_or_else(|| "—".to_owned());
    let free = repository.free_bytes.map_or_else(|| "—".to_owned(), |it| format::bytes(it as f64));
    let keys = repository.keys.iter().map(|key| {
        let (id, named) = (key.id.clone(), cluster.clone());
        let remove = may_manage.then(|| view! {
            <details class="danger"><summary class="btn">"Remove"</summary>
                <form class="stack" method="post" action="/backups/keys/remove">
                    <input type="hidden" name="cluster" value=named.clone() /><input type="hidden" name="id" value=id.clone() />
                    <p class="muted">"What is sealed stays; whoever has this key alone can read nothing of it any more."</p>
                    <Confirm name=named.clone() /><button class="btn danger">"Remove this key"</button>
                </form>
            </details>
        });
        view! { <tr><td>{key.label.clone()}</td><td>{key.kind.clone()}</td><td title=key.created_at.local()>{key.created_at.local().get(..10).unwrap_or_default().to_owned()}</td><td class="flags">{remove}</td></tr> }
    }).collect_view();
    let (kit, rotate) = (cluster.clone(), cluster);
    view! {
        <Panel title="Repository and keys" span="c7">
            <dl class="facts">
                <dt>"Place"</dt><dd><code>{place}</code></dd>
                <dt>"Id"</dt><dd><code>{repository.id.clone().unwrap_or_else(|| "—".to_owned())}</code></dd>
                <dt>"Encryption"</dt><dd>{encryption}</dd>
                <dt>"Room left"</dt><dd>{free}</dd>
            </dl>
            <div class="scroll" tabindex="0" role="region" aria-label="Keys table">
                <table class="keys"><thead><tr><th scope="col">"Key"</th><th scope="col">"Kind"</th><th scope="col">"Made"</th><th scope="col"><span class="sr">"Actions"</span></th></tr></thead><tbody>{keys}</tbody></table>
            </div>
            {may_manage.then(|| view! {
                <div class="forms">
                    <details><summary class="btn">"Recovery kit"</summary>
                        <form class="stack" method="post" action="/backups/kit">
                            <p class="muted">"Makes a new recovery code and shows a page to print: with it and the repository alone everything can be restored. The code is shown once."</p>
                            <input type="hidden" name="cluster" value=kit.clone() />
                            <label>"What for"<input name="label" maxlength="80" placeholder="safe, second floor" /></label>
                            <Confirm name=kit.clone() /><button class="btn primary">"Make the kit"</button>
                        </form>
                    </details>
                    <details><summary class="btn">"New data key"</summary>
                        <form class="stack" method="post" action="/backups/keys/rotate">
                            <p class="muted">"What is written from now on is sealed with a new data key; what is there stays readable."</p>
                            <input type="hidden" name="cluster" value=rotate.clone() />
                            <Confirm name=rotate.clone() /><button class="btn primary">"Rotate"</button>
                        </form>
                    </details>
                </div>
            })}
        </Panel>
    }
}

/// One backup.
#[component]
pub fn BackupPage() -> impl IntoView {
    let scope = Scope::get();
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")).unwrap_or_default());
    let data = Resource::new(move || (scope.cluster.get(), id.get()), |(cluster, id)| load_backup(cluster, id));
    view! {
        <Title text="Backup" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <OneBackup data /> }.into_any(),
                    Err(error) => view! {
                        <div class="title"><a class="back" href=move || scope.link("/backups")>"Backups"</a><h1>"Backup"</h1></div>
                        <Failed error />
                    }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn OneBackup(data: BackupData) -> impl IntoView {
    let BackupData { cluster, backup: row, tested_by, removal, may } = data;
    let scope = Scope::get();
    let restore = format!("/recovery/restore?kind=immediate&backup={}", row.id);
    let button = |action: &'static str, label: &'static str| {
        let (cluster, id) = (cluster.clone(), row.id.clone());
        view! { <form method="post" action=action><input type="hidden" name="cluster" value=cluster /><input type="hidden" name="id" value=id /><button class="btn">{label}</button></form> }
    };
    let source = format!(
        "{} of a {}",
        if row.source == "local" { "data directory" } else { "replication connection" },
        if row.from_standby { "standby" } else { "primary" }
    );
    let tested = ago(row.proof.as_ref().map(|it| it.at), None).into_any();
    let parent = row.parent.clone().map(|parent| {
        let path = format!("/backups/{parent}");
        view! { <dt>"Compared with"</dt><dd><a class="link" href=move || scope.link(&path)>{parent}</a></dd> }
    });
    let test = tested_by.map(|job| {
        let path = format!("/jobs/{job}");
        view! { <p class="actions"><a class="link" href=move || scope.link(&path)>"Its job, with steps and log"</a></p> }
    });
    view! {
        <div class="title">
            <a class="back" href=move || scope.link("/backups")>"Backups"</a>
            <h1>{row.stopped_at.local()}</h1>
            <span class="badge">{row.kind.clone()}</span>
            <span class="grow"></span>
            {may.operate.then(|| view! { {button("/backups/verify", "Verify every byte")}{button("/backups/test", "Restore test")} })}
            <a class="btn primary" href=move || scope.link(&restore)>"Plan a restore"</a>
        </div>
        <FormOutcome />
        <Panel title="What it is" span="c6">
            <dl class="facts">
                <dt>"Id"</dt><dd><code>{row.id.clone()}</code></dd>
                <dt>"Began"</dt><dd>{row.started_at.local()}</dd>
                <dt>"Ended"</dt><dd>{row.stopped_at.local()}</dd>
                <dt>"Took"</dt><dd>{format::duration_s(row.duration_seconds)}</dd>
                <dt>"PostgreSQL"</dt><dd>{row.server_version.clone()}</dd>
                <dt>"Read from"</dt><dd>{source}</dd>
                <dt title="Incrementals refer only to their own lineage: damage in one cannot reach another">"Lineage"</dt><dd><code>{row.lineage.clone()}</code></dd>
                {parent}
                <dt>"WAL"</dt><dd>{format!("{} to {}, timeline {}", row.start_lsn, row.stop_lsn, row.timeline)}</dd>
            </dl>
        </Panel>
        <Panel title="Figures" span="c6">
            <dl class="facts">
                <dt>"Cluster"</dt><dd>{format!("{} in {}", format::bytes(row.bytes as f64), format::counted(row.files, "file", "files"))}</dd>
                <dt>"Read"</dt><dd>{format::bytes(row.read_bytes as f64)}</dd>
                <dt>"Changed"</dt><dd>{format::bytes(row.changed_bytes as f64)}</dd>
                <dt>"Stored"</dt><dd>{format::bytes(row.stored_bytes as f64)}</dd>
                <dt>"Pages with checksum judged"</dt><dd>{format::thousands(row.checked_pages.cast_signed())}</dd>
                <dt>"Damaged in the source"</dt><dd>{row.damaged_pages.to_string()}</dd>
            </dl>
        </Panel>
        <Panel title="Verified" span="c6">
            {match row.verified.clone() {
                None => view! { <p class="muted">"Checked while it was written; not read back since."</p> }.into_any(),
                Some(it) => view! {
                    <p>{format!("{} read, decrypted and compared at {}.", format::bytes(it.checked_bytes as f64), it.at.local())}</p>
                    <ul class="checks">{it.problems.into_iter().map(|problem| view! { <li class="bad"><Icon name="warn" />{problem}</li> }).collect_view()}</ul>
                }.into_any(),
            }}
        </Panel>
        <Panel title="Restored" span="c6" aside=tested>
            {match row.proof.clone() {
                None => view! { <p class="muted">"No restore test of this backup yet."</p> }.into_any(),
                Some(proof) => view! { <Proof proof />{test} }.into_any(),
            }}
        </Panel>
        {removal.map(|plan| view! { <Removal plan cluster=cluster.clone() /> })}
    }
}

/// What retention would remove, and doing it.
#[component]
pub fn RetentionPage() -> impl IntoView {
    let scope = Scope::get();
    let data = Resource::new(move || scope.cluster.get(), load_expire_plan);
    view! {
        <Title text="Retention" />
        <div class="title"><a class="back" href=move || scope.link("/backups")>"Backups"</a><h1>"Retention, a dry run"</h1></div>
        <FormOutcome />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <ExpirePlan data /> }.into_any(),
                    Err(error) => view! { <Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn ExpirePlan(data: ExpireData) -> impl IntoView {
    let ExpireData { cluster, plan, may } = data;
    let scope = Scope::get();
    let shown = plan.verdicts.iter().filter(|it| it.reasons.is_empty()).map(|it| it.id.clone()).collect::<Vec<_>>();
    let (going, shown) = (shown.len(), shown.join(","));
    let lines = plan.verdicts.into_iter().rev().map(|it| {
        let goes = it.reasons.is_empty();
        let path = format!("/backups/{}", it.id);
        view! { <tr><td><a class="link num" data-row href=move || scope.link(&path)>{it.id}</a></td><td>{if goes { view! { <span class="badge critical">"goes"</span> } } else { view! { <span class="badge good">"stays"</span> } }}</td><td class="reason">{it.reasons.join(", ")}</td></tr> }
    }).collect_view();
    let named = cluster.clone();
    view! {
        <Panel title="Each backup" span="c8" note=plan.rules.join("; ") flush=true>
            <div class="scroll" tabindex="0" role="region" aria-label="Retention table">
                <table><thead><tr><th scope="col">"Backup"</th><th scope="col">"Verdict"</th><th scope="col">"Why"</th></tr></thead><tbody>{lines}</tbody></table>
            </div>
        </Panel>
        <Panel title="What would go" span="c4">
            <dl class="facts">
                <dt>"Backups"</dt><dd>{going.to_string()}</dd>
                <dt>"Objects"</dt><dd>{plan.objects.to_string()}</dd>
                <dt>"Bytes"</dt><dd>{format::bytes(plan.bytes as f64)}</dd>
                <dt>"WAL before"</dt><dd>{plan.wal_before.map_or_else(|| "—".to_owned(), |it| it.to_string())}</dd>
            </dl>
            {(may.expire && going > 0).then(|| view! {
                <form class="stack spaced" method="post" action="/backups/expire">
                    <input type="hidden" name="cluster" value=named.clone() />
                    <input type="hidden" name="backups" value=shown />
                    <Confirm name=named.clone() /><button class="btn danger">{format!("Remove {}", format::counted(going, "backup", "backups"))}</button>
                </form>
            })}
            {(going == 0).then(|| view! { <p class="fine"><Icon name="check" />"Nothing would go."</p> })}
        </Panel>
    }
}
