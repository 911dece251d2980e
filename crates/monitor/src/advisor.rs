//! Advice on indexes: the statements that cost most are planned, candidate indexes are tried, and what helps is published.
//! It has one session of its own at a time, runs seldom, and makes nothing.
use crate::cadence::Cadence;
use analysis::{
    advise::{self, Candidate, Rules, Trial, Weighed},
    parse, plan, sqltext,
};
use control::{ControlPlane, now};
use domain::{
    Timestamp,
    reading::{IndexReading, ServerRole, StatementKey},
    view::{
        AdviceBasis, Availability, ClusterState, ExplainRequest, Explained, IndexAdvice, IndexSuggestion, TableRow,
    },
};
use pgstat::{Cluster, ExplainError, Explainer, PgstatError};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use store::{StatementRecord, StatementRepo};
use tokio_util::sync::CancellationToken;

/// Statements looked at: those that cost most time.
const STATEMENTS: usize = 60;
/// Plans asked for in one review; a server with many statements is not kept busy by it.
const PLANS: usize = 400;
/// Partitions on which a hypothetical index is made.
const PARTITIONS: usize = 32;
/// The whole review.
const DEADLINE: Duration = Duration::from_secs(120);
/// Of this time statements are looked at.
const WINDOW_MS: i64 = 86_400_000;

/// A statement with what it cost.
#[derive(Clone, Debug)]
pub struct WorkStatement {
    /// Which.
    pub key: StatementKey,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Whole text.
    pub text: String,
    /// Calls.
    pub calls: i64,
    /// Time.
    pub total_ms: f64,
}

/// What a review found.
#[derive(Clone, Debug)]
pub struct Review {
    /// The advice.
    pub advice: IndexAdvice,
    /// Plans as they are now, to be kept.
    pub plans: Vec<(StatementKey, Explained)>,
}

/// Reviews the indexes for these statements, of which `all_ms` is the time of all there are.
///
/// # Errors
/// [`PgstatError`] when the indexes cannot be read; a statement that cannot be planned is left out and told.
pub async fn review(
    cluster: &Cluster,
    id: &str,
    mut work: Vec<WorkStatement>,
    all_ms: f64,
    window_seconds: f64,
    tables: &[TableRow],
) -> Result<Review, PgstatError> {
    let indexes = cluster.indexes().await?;
    work.retain(|it| !sqltext::is_own(&it.text));
    work.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    work.truncate(STATEMENTS);
    let mut by_database = BTreeMap::<String, Vec<WorkStatement>>::new();
    let looked_at = work.len();
    for statement in work {
        by_database.entry(statement.database.clone()).or_default().push(statement);
    }
    let mut report = Report { plans_left: PLANS, until: Some(Instant::now() + DEADLINE), ..Report::default() };
    for (database, statements) in by_database {
        let done = of_database(cluster, &database, &statements, all_ms, &indexes, tables, &mut report).await;
        if let Err(error) = done {
            for _ in &statements {
                report.leave_out(&format!("database {database}: {}", error.message));
            }
        }
    }
    report.suggestions.sort_by(|a, b| b.benefit_percent.total_cmp(&a.benefit_percent).then_with(|| a.key.cmp(&b.key)));
    let mut left_out = report.left_out.into_iter().collect::<Vec<_>>();
    left_out.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(Review {
        advice: IndexAdvice {
            cluster: id.to_owned(),
            reviewed_at: Some(now()),
            window_seconds,
            statements: i64::try_from(looked_at).unwrap_or(i64::MAX),
            left_out,
            hypopg: report.hypopg,
            suggestions: report.suggestions,
            availability: Availability::Ready,
        },
        plans: report.plans,
    })
}

#[derive(Default)]
struct Report {
    plans_left: usize,
    until: Option<Instant>,
    left_out: BTreeMap<String, i64>,
    hypopg: Vec<String>,
    suggestions: Vec<IndexSuggestion>,
    plans: Vec<(StatementKey, Explained)>,
}

impl Report {
    fn leave_out(&mut self, reason: &str) {
        *self.left_out.entry(sqltext::one_line(reason, 240)).or_default() += 1;
    }

    /// Whether another plan may be asked for.
    fn may_plan(&mut self) -> bool {
        if self.plans_left == 0 || self.until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        self.plans_left -= 1;
        true
    }
}

async fn of_database(
    cluster: &Cluster,
    database: &str,
    statements: &[WorkStatement],
    all_ms: f64,
    indexes: &IndexReading,
    table_rows: &[TableRow],
    report: &mut Report,
) -> Result<(), ExplainError> {
    let mut shapes = Vec::new();
    for statement in statements {
        match parse::shape(&statement.text) {
            Ok(shape) => shapes.push((statement, shape)),
            // A command without a plan is nothing that is missing.
            Err(_)
                if sqltext::kind(&statement.text) == domain::view::QueryKind::Utility
                    || sqltext::kind(&statement.text) == domain::view::QueryKind::Ddl => {}
            Err(reason) => report.leave_out(&reason),
        }
    }
    let names = shapes.iter().flat_map(|it| &it.1.relations).map(|it| it.name.clone()).collect::<BTreeSet<_>>();
    if names.is_empty() {
        return Ok(());
    }
    let mut session = cluster.explainer(database).await?;
    let outcome = in_session(&mut session, database, &shapes, &names, all_ms, indexes, table_rows, report).await;
    session.close().await;
    outcome
}

#[expect(clippy::too_many_arguments, reason = "the parts of one review of one database")]
async fn in_session(
    session: &mut Explainer<'_>,
    database: &str,
    shapes: &[(&WorkStatement, parse::Shape)],
    names: &BTreeSet<String>,
    all_ms: f64,
    indexes: &IndexReading,
    table_rows: &[TableRow],
    report: &mut Report,
) -> Result<(), ExplainError> {
    let rules = Rules::default();
    let tables = session.tables(&names.iter().cloned().collect::<Vec<_>>()).await?;
    let own = indexes.rows.iter().filter(|it| it.database == database).cloned().collect::<Vec<_>>();
    if session.has_hypopg() {
        report.hypopg.push(database.to_owned());
    }
    let mut weighed = Vec::with_capacity(shapes.len());
    let mut trials = Vec::new();
    for (place, (statement, shape)) in shapes.iter().enumerate() {
        weighed.push(Weighed {
            id: statement.key.to_string(),
            query: sqltext::one_line(&statement.text, 200),
            calls: statement.calls,
            total_percent: if all_ms > 0.0 { 100.0 * statement.total_ms / all_ms } else { 0.0 },
        });
        let wanted = advise::candidates(shape, &tables, &own, rules);
        if !report.may_plan() {
            report.leave_out("the review was long enough: what costs less time was not looked at");
            continue;
        }
        let request = ExplainRequest {
            database: database.to_owned(),
            user: statement.user.clone(),
            sql: shape.text.clone(),
            hypothetical: Vec::new(),
        };
        let before = match session.explain(&request).await {
            Ok(explained) => match plan::read(&explained.json) {
                Ok(read) => {
                    report.plans.push((statement.key, explained));
                    Some(read.root)
                }
                Err(reason) => {
                    report.leave_out(&reason);
                    None
                }
            },
            Err(error) if error.is_connection() => return Err(error),
            Err(error) => {
                report.leave_out(&error.message);
                None
            }
        };
        for candidate in wanted {
            let Some(table) = tables.get(candidate.table) else { continue };
            let tried = match &before {
                None => {
                    let (before, after) = advise::guess(&candidate, table);
                    Some((AdviceBasis::Guess, before, after, None))
                }
                Some(root) => match try_hypothetical(session, &request, &candidate, table, report).await? {
                    Some((after, bytes)) => Some((AdviceBasis::Hypopg, root.total_cost, after, Some(bytes))),
                    None if session.has_hypopg() => None,
                    None => advise::estimate(root, &candidate, table)
                        .map(|after| (AdviceBasis::Estimate, root.total_cost, after, None)),
                },
            };
            if let Some((basis, before, after, bytes)) = tried {
                trials.push(Trial { statement: place, candidate, basis, before, after, bytes });
            }
        }
    }
    let writes = |table: &domain::reading::AdviceTable| {
        let rate = |schema: &str, name: &str| {
            let key = format!("{database}.{schema}.{name}");
            table_rows.iter().find(|row| row.key == key).and_then(|row| row.writes_per_second)
        };
        if table.partitioned {
            let rates = table.partitions.iter().filter_map(|(schema, name)| rate(schema, name)).collect::<Vec<_>>();
            (!rates.is_empty()).then(|| rates.iter().sum())
        } else {
            rate(&table.schema, &table.name)
        }
    };
    report.suggestions.extend(advise::choose(database, &trials, &weighed, &tables, writes, rules));
    Ok(())
}

/// Cost with the index and its size; `None` without HypoPG, when the planner leaves it aside, or when it cannot be tried.
async fn try_hypothetical(
    session: &mut Explainer<'_>,
    request: &ExplainRequest,
    candidate: &Candidate,
    table: &domain::reading::AdviceTable,
    report: &mut Report,
) -> Result<Option<(f64, i64)>, ExplainError> {
    let wanted = advise::hypothetical(candidate, table);
    if !session.has_hypopg() || wanted.is_empty() || wanted.len() > PARTITIONS || !report.may_plan() {
        return Ok(None);
    }
    let request = ExplainRequest { hypothetical: wanted, ..request.clone() };
    match session.explain(&request).await {
        Ok(explained) => {
            let used = explained.hypothetical.iter().any(|index| explained.json.contains(&index.name));
            let bytes = explained.hypothetical.iter().map(|index| index.bytes).sum();
            Ok(plan::read(&explained.json).ok().filter(|_| used).map(|read| (read.root.total_cost, bytes)))
        }
        Err(error) if error.is_connection() => Err(error),
        Err(error) => {
            report.leave_out(&error.message);
            Ok(None)
        }
    }
}

/// Reviews one cluster now and then, and when somebody asks.
pub(crate) async fn run(
    control: ControlPlane,
    cluster: Arc<Cluster>,
    id: String,
    cadence: Cadence,
    wanted: Arc<tokio::sync::Notify>,
    stop: CancellationToken,
) {
    // Rates of writes and some statements should be known.
    let mut wait = cadence.tick * 6;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = wanted.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        wait = cadence.advice();
        let began = Instant::now();
        let advice = tokio::select! {
            () = stop.cancelled() => return,
            advice = of_cluster(&control, &cluster, &id) => advice,
        };
        match advice {
            Ok(advice) => {
                tracing::debug!(
                    cluster = id,
                    suggestions = advice.suggestions.len(),
                    seconds = began.elapsed().as_secs_f64(),
                    "indexes were reviewed"
                );
                control.clusters().advice_publish(&id, advice);
            }
            Err(reason) => {
                tracing::info!(cluster = id, reason, "indexes could not be reviewed");
                wait = cadence.tick * 10;
                let missing = Availability::Missing { reason, cure: Vec::new() };
                control.clusters().advice_publish(
                    &id,
                    IndexAdvice { cluster: id.clone(), availability: missing, ..IndexAdvice::default() },
                );
            }
        }
    }
}

async fn of_cluster(control: &ControlPlane, cluster: &Cluster, id: &str) -> Result<IndexAdvice, String> {
    let snapshot = control.clusters().find(Some(id)).map(|found| found.1).map_err(|error| error.to_string())?;
    if snapshot.dashboard.cluster.state != ClusterState::Up {
        return Err("the cluster is not reached at present".to_owned());
    }
    if let Availability::Missing { reason, .. } = &snapshot.statements {
        return Err(format!("statements cannot be read: {reason}"));
    }
    if snapshot.dashboard.cluster.role == Some(ServerRole::Standby) {
        return Err(
            "this is a standby: indexes are made on its primary, whose advice counts its own statements".to_owned()
        );
    }
    let to = now();
    let (work, all_ms, window) =
        workload(control, id, to.plus_ms(-WINDOW_MS), to).await.map_err(|error| error.to_string())?;
    let review =
        review(cluster, id, work.iter().map(|it| it.0.clone()).collect(), all_ms, window, &snapshot.tables.rows)
            .await
            .map_err(|error| error.to_string())?;
    for (key, explained) in &review.plans {
        let Some((_, record)) = work.iter().find(|it| it.0.key == *key) else { continue };
        if let Err(error) = control.plan_keep(id, record, explained, "advisor").await {
            tracing::warn!(%error, cluster = id, "a plan could not be kept");
        }
    }
    Ok(review.advice)
}

/// The statements of a stretch of time that cost most, from the store.
async fn workload(
    control: &ControlPlane,
    id: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<(Vec<(WorkStatement, StatementRecord)>, f64, f64), store::StoreError> {
    let repo = StatementRepo(control.store().db());
    let mut totals = repo.totals(id, from, to).await?;
    let all_ms = totals.iter().map(|it| it.total_ms).sum::<f64>();
    totals.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    // Some are ours, or have no plan.
    totals.truncate(3 * STATEMENTS);
    let keys = repo.ids(id).await?.into_iter().map(|(key, id)| (id, key)).collect::<BTreeMap<_, _>>();
    let queryids = totals.iter().filter_map(|it| keys.get(&it.statement_id)).map(|key| key.queryid).collect::<Vec<_>>();
    let records = repo.by_queryid(id, &queryids).await?;
    let work = totals.iter().filter_map(|total| {
        let record = records.iter().find(|record| record.id == total.statement_id)?;
        let statement = WorkStatement {
            key: record.text.key,
            database: record.text.database.clone(),
            user: record.text.user.clone(),
            text: record.text.query.clone(),
            calls: total.calls,
            total_ms: total.total_ms,
        };
        Some((statement, record.clone()))
    });
    let work = work.collect();
    let covered = repo.covered_since(id, from, to).await?;
    Ok((work, all_ms, covered.map_or(0.0, |since| to.seconds_since(since))))
}
