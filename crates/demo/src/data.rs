//! Data that looks real: seeded, so that two demos of one scale are alike, and written by COPY.

use crate::{DemoError, usage};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::fmt::Write as _;

const SEED: u64 = 20_261_124;
/// Text is sent in pieces of about this size.
const PIECE_BYTES: usize = 1 << 18;

/// What a plugin is, what kind that is of, and what it does.
const NOUNS: [(&str, &str, &str); 24] = [
    ("pipeline", "ci-cd", "Builds, tests and releases a service from its repository"),
    ("tracer", "observability", "Follows requests through services and shows where time goes"),
    ("vault", "security", "Keeps secrets, rotates them and says who read them"),
    ("replicator", "database", "Copies tables to where they are read"),
    ("broker", "messaging", "Carries events between services, in order"),
    ("directory", "identity", "Knows people, teams and what they may do"),
    ("meter", "cost", "Counts what each team uses and what it costs"),
    ("catalog", "docs", "Lists services with their owners and interfaces"),
    ("runner", "testing", "Runs test suites on machines of their own"),
    ("mesh", "networking", "Connects services with encryption and retries"),
    ("gateway", "networking", "Takes requests from outside and limits them"),
    ("scanner", "security", "Looks for known holes in images and libraries"),
    ("ledger", "cost", "Books budgets and forecasts against real use"),
    ("scheduler", "ci-cd", "Starts jobs at their times and again when they fail"),
    ("router", "messaging", "Sends messages to who asked for them"),
    ("sentinel", "observability", "Watches objectives and calls who is on duty"),
    ("collector", "observability", "Gathers logs and metrics and drops what nobody reads"),
    ("archiver", "database", "Moves old rows to cheap storage and finds them again"),
    ("notifier", "messaging", "Tells teams what changed, where they want to hear it"),
    ("profiler", "testing", "Finds what is slow before it is released"),
    ("planner", "docs", "Turns decisions into documents with owners and dates"),
    ("registry", "ci-cd", "Stores images and packages with their signatures"),
    ("proxy", "identity", "Signs people in to what cannot do so itself"),
    ("inspector", "database", "Reviews migrations before they lock a table"),
];
/// A tenant's name: companies of every trade.
const COMPANIES: [&str; 20] = [
    "Acme",
    "Northwind",
    "Globex",
    "Initech",
    "Umbra",
    "Soylent",
    "Hooli",
    "Stark",
    "Wayne",
    "Tyrell",
    "Cyberdyne",
    "Wonka",
    "Aperture",
    "Vandelay",
    "Oscorp",
    "Contoso",
    "Fabrikam",
    "Tailspin",
    "Litware",
    "Adatum",
];
const TRADES: [&str; 10] =
    ["", "Energy", "Retail", "Health", "Logistics", "Bank", "Media", "Mobility", "Foods", "Insurance"];
const TEAMS: [&str; 9] =
    ["platform", "payments", "data", "identity", "mobile", "checkout", "search", "reliability", "growth"];
const ADJECTIVES: [&str; 20] = [
    "swift", "quiet", "solid", "clear", "amber", "global", "local", "prime", "lean", "deep", "bright", "steady",
    "open", "exact", "north", "blue", "rapid", "safe", "smart", "native",
];
const KEYWORDS: [&str; 20] = [
    "kubernetes",
    "terraform",
    "postgres",
    "kafka",
    "grpc",
    "oauth",
    "metrics",
    "logs",
    "traces",
    "backup",
    "secrets",
    "policy",
    "billing",
    "markdown",
    "fuzzing",
    "dns",
    "cache",
    "queue",
    "graphql",
    "webhook",
];
const EVENTS: [&str; 5] = ["view", "install", "configure", "invoke", "uninstall"];

/// The slug of the first tenant.
pub const FIRST_TENANT: &str = "acme";

/// How much of each.
struct Sizes {
    tenants: u32,
    plugins: u32,
    operations: u32,
    metrics: u32,
    analytics: u32,
    audit: u32,
}

impl Sizes {
    fn of(scale: f64) -> Self {
        let times = |n: f64| ((n * scale) as u32).max(10);
        Self {
            tenants: times(200.0).min(2_000),
            plugins: times(40_000.0),
            operations: times(120_000.0),
            metrics: times(3_000_000.0),
            analytics: times(300_000.0),
            audit: times(60_000.0),
        }
    }
}

/// Fills the tables. Metrics and the rest are written by two connections at once.
pub async fn load(url: &str, scale: f64) -> Result<(), DemoError> {
    let sizes = Sizes::of(scale);
    let mut connection = PgConnection::connect(url).await?;
    // A crash while loading costs nothing: the whole is made anew.
    connection.execute("SET synchronous_commit = off").await?;
    let tenants = sizes.tenants;
    copy(&mut connection, "COPY tenants (slug, name, plan) FROM STDIN", tenants, |i, _, row| {
        let plan = ["free", "team", "team", "enterprise"][i as usize % 4];
        let _ = writeln!(row, "{}\t{}\t{plan}", slug(i), company(i));
    })
    .await?;
    copy(&mut connection, "COPY plugins (tenant_id, name, display_name, description, category, status, owner, environment, keywords, tags, is_installed, is_enabled, installed_version, health_score, cpu_usage, memory_usage, created_at, updated_at) FROM STDIN", sizes.plugins, move |i, rng, row| plugin(i, tenants, rng, row)).await?;
    let plugins = sizes.plugins;
    copy(
        &mut connection,
        "COPY plugin_versions (tenant_id, plugin_id, version, released_at, changelog) FROM STDIN",
        plugins * 3,
        move |i, rng, row| {
            let (plugin, minor) = (i / 3 + 1, i % 3);
            let _ = writeln!(
                row,
                "{}\t{plugin}\t{}\t{}\tFixes and improvements, part {}",
                tenant_of(plugin, tenants),
                version(plugin, minor),
                days_ago(400 - minor * 120 + plugin % 90),
                rng.random_range(1..2_000)
            );
        },
    )
    .await?;
    // Each needs some older ones of its own tenant, in its newest and its middle version: a graph of many levels.
    copy(
        &mut connection,
        "COPY plugin_dependencies (tenant_id, plugin_version_id, depends_on_id, version_range, optional) FROM STDIN",
        plugins,
        move |i, rng, row| {
            let plugin = i + 1;
            let mut on = plugin;
            for _ in 0..rng.random_range(0..3) {
                let back = tenants * rng.random_range(1..9);
                if on <= back {
                    break;
                }
                on -= back;
                // A few ask for what there will never be, so that a plan has something to explain.
                let major = if plugin.is_multiple_of(97) { 9 } else { 1 + on % 4 };
                let optional = if rng.random_bool(0.1) { 't' } else { 'f' };
                for minor in 1..3 {
                    let _ = writeln!(
                        row,
                        "{}\t{}\t{on}\t^{major}.{}\t{optional}",
                        tenant_of(plugin, tenants),
                        i * 3 + 1 + minor,
                        minor - 1
                    );
                }
            }
        },
    )
    .await?;
    let rest = async {
        let mut connection = PgConnection::connect(url).await?;
        connection.execute("SET synchronous_commit = off").await?;
        copy(&mut connection, "COPY plugin_operations (tenant_id, plugin_id, environment, operation_type, status, started_by, started_at, finished_at, error) FROM STDIN", sizes.operations, move |i, rng, row| operation(i, plugins, tenants, rng, row)).await?;
        copy(&mut connection, "COPY plugin_analytics (plugin_id, tenant_id, event_type, user_id, country, properties, \"timestamp\") FROM STDIN", sizes.analytics, move |i, rng, row| {
            usage::event(rng, i, (plugins, tenants), seconds_now(), seconds_ago, row);
        })
        .await?;
        copy(
            &mut connection,
            "COPY audit_logs (tenant_id, actor, action, object_kind, object_id, \"timestamp\") FROM STDIN",
            sizes.audit,
            move |i, rng, row| {
                let _ = writeln!(
                    row,
                    "{}\tuser-{}\tplugin.{}\tplugin\t{}\t{}",
                    i % tenants + 1,
                    rng.random_range(0..5_000),
                    EVENTS[rng.random_range(0..EVENTS.len())],
                    rng.random_range(1..=plugins),
                    seconds_ago(rng.random_range(0..90 * 86_400))
                );
            },
        )
        .await?;
        Ok::<_, DemoError>(())
    };
    // Thirty days of some plugins, and the last of all: what collectors that run round robin leave.
    let total = sizes.metrics;
    let metrics = copy(
        &mut connection,
        "COPY plugin_metrics (tenant_id, plugin_id, metric_name, value, \"timestamp\") FROM STDIN",
        total,
        move |i, rng, row| usage::metric(rng, (i, total), (plugins, tenants), seconds_now(), seconds_ago, row),
    );
    let (metrics, rest) = futures::future::join(metrics, rest).await;
    metrics?;
    rest
}

/// COPYs `rows` rows; `write` appends one line.
async fn copy(
    connection: &mut PgConnection,
    statement: &'static str,
    rows: u32,
    write: impl Fn(u32, &mut StdRng, &mut String) + Send,
) -> Result<(), DemoError> {
    let mut rng = StdRng::seed_from_u64(SEED ^ statement.len() as u64);
    let mut sink = connection.copy_in_raw(statement).await?;
    let mut piece = String::with_capacity(PIECE_BYTES + 1_024);
    for i in 0..rows {
        write(i, &mut rng, &mut piece);
        if piece.len() >= PIECE_BYTES {
            sink.send(piece.as_bytes()).await?;
            piece.clear();
        }
    }
    sink.send(piece.as_bytes()).await?;
    sink.finish().await?;
    Ok(())
}

/// Plugins are dealt out to the tenants in turn.
const fn tenant_of(plugin: u32, tenants: u32) -> u32 {
    (plugin - 1) % tenants + 1
}

/// A plugin's versions share their major number.
fn version(plugin: u32, minor: u32) -> String {
    format!("{}.{minor}.{}", 1 + plugin % 4, (plugin * 7 + minor * 3) % 9)
}

/// A moment relative to now, in a form that COPY reads.
fn seconds_ago(seconds: u32) -> String {
    let now = i64::try_from(seconds_now()).unwrap_or(0) * 1_000;
    domain::Timestamp(now - i64::from(seconds) * 1_000).to_rfc3339()
}

/// Since 1970.
pub fn seconds_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn days_ago(days: u32) -> String {
    seconds_ago(days * 86_400)
}

/// The tenant number `i`, from 0; its slug is unique.
fn company(i: u32) -> String {
    let (company, trade) =
        (COMPANIES[i as usize % COMPANIES.len()], TRADES[i as usize / COMPANIES.len() % TRADES.len()]);
    let round = i as usize / (COMPANIES.len() * TRADES.len());
    let name = format!("{company} {trade}");
    let name = name.trim_end();
    if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) }
}

fn slug(i: u32) -> String {
    company(i).to_lowercase().replace(' ', "-")
}

fn plugin(i: u32, tenants: u32, rng: &mut StdRng, row: &mut String) {
    // Each tenant goes through all kinds, and begins elsewhere.
    let (tenant, k) = ((i % tenants) as usize, (i / tenants) as usize);
    let (noun, category, does) = NOUNS[(k + tenant * 5) % NOUNS.len()];
    let adjective = ADJECTIVES[(k / NOUNS.len() + tenant * 3) % ADJECTIVES.len()];
    let round = k / (NOUNS.len() * ADJECTIVES.len());
    let number = if round == 0 { String::new() } else { format!("-{}", round + 1) };
    let status = ["active", "active", "active", "active", "active", "inactive", "installing", "failed", "deprecated"]
        [rng.random_range(0..9)];
    let keywords = KEYWORDS.choose_multiple(rng, 3).copied().collect::<Vec<_>>().join(",");
    let health = 100 - (rng.random::<f64>().powi(3) * 100.0) as u32;
    let environment = ["production", "production", "staging", "development"][rng.random_range(0..4)];
    let installed = rng.random_bool(0.7);
    let enabled = installed && rng.random_bool(0.85);
    let flag = |on: bool| if on { 't' } else { 'f' };
    // A third of them has an update to take.
    let at = if installed { version(i + 1, if i.is_multiple_of(3) { 1 } else { 2 }) } else { "\\N".to_owned() };
    let team = TEAMS[rng.random_range(0..TEAMS.len())];
    let tier = rng.random_range(1..4);
    let cpu = rng.random_range(0.0..60.0);
    let memory = rng.random_range(8..900) * 1_048_576_u64;
    let days = rng.random_range(1..700);
    // Some time since it came; the workload changes some of them as it runs.
    let changed = seconds_ago(usage::mixed(i, 11) % (days * 86_400));
    let _ = writeln!(
        row,
        "{}\t{adjective}-{noun}{number}\t{} {}{}\t{does}.\t{category}\t{status}\t{team}@{}\t{environment}\t{{{keywords}}}\t{{{category},tier-{tier}}}\t{}\t{}\t{at}\t{health}\t{cpu:.1}\t{memory}\t{}\t{changed}",
        tenant + 1,
        capital(adjective),
        capital(noun),
        number.replace('-', " "),
        slug(tenant as u32),
        flag(installed),
        flag(enabled),
        days_ago(days),
    );
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn operation(i: u32, plugins: u32, tenants: u32, rng: &mut StdRng, row: &mut String) {
    let kind = ["install", "enable", "disable", "upgrade", "rollback", "uninstall"][rng.random_range(0..6)];
    let failed = rng.random_bool(0.06);
    let environment = ["production", "staging", "development"][i as usize % 3];
    let started = rng.random_range(60..90 * 86_400);
    let took = rng.random_range(1..50);
    // One of each, so that none is without; the others as it comes.
    let plugin = if i < plugins { i + 1 } else { rng.random_range(1..=plugins) };
    let _ = writeln!(
        row,
        "{}\t{plugin}\t{environment}\t{kind}\t{}\tuser-{}\t{}\t{}\t{}",
        tenant_of(plugin, tenants),
        if failed { "failed" } else { "succeeded" },
        rng.random_range(0..5_000),
        seconds_ago(started),
        seconds_ago(started - took),
        if failed { "time-out waiting for the health check" } else { "\\N" },
    );
}
