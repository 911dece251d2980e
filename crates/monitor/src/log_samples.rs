//! Which statements of the log are kept, and of which known statement each is.
use analysis::{fingerprint, log::LogEntry, sqltext};
use domain::{
    reading::{LogSettings, StatementKey, StatementText},
    view::{ExplainMethod, Explained, LogSample},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Kept of one reading: the slowest of each statement, and of all.
const OF_STATEMENT: usize = 5;
const OF_READING: usize = 200;
const PLANS_OF_READING: usize = 20;
const TEXT_CHARS: usize = 1_000;
/// A plan that is longer is of no use to anybody.
const PLAN_BYTES: usize = 1 << 20;

/// Database and role of a known statement, beside its first words.
type Names = HashMap<StatementKey, (Arc<str>, String, String)>;

/// Known statements by what the log says of one.
#[derive(Debug, Default)]
pub(crate) struct LogNames {
    by_id: HashMap<i64, Vec<StatementKey>>,
    by_fingerprint: HashMap<u64, Vec<StatementKey>>,
}

impl LogNames {
    pub(crate) fn learn(&mut self, text: &StatementText) {
        for keys in [
            self.by_id.entry(text.key.queryid).or_default(),
            self.by_fingerprint.entry(fingerprint::of_known(&text.query)).or_default(),
        ] {
            if !keys.contains(&text.key) {
                keys.push(text.key);
            }
        }
    }

    /// Keeps the statements that still have a name.
    pub(crate) fn retain(&mut self, names: &Names) {
        let named = |keys: &mut Vec<StatementKey>| {
            keys.retain(|key| names.contains_key(key));
            !keys.is_empty()
        };
        self.by_id.retain(|_, keys| named(keys));
        self.by_fingerprint.retain(|_, keys| named(keys));
    }

    /// The statement of an entry; `None` when there is none, or several that cannot be told apart.
    fn find(&self, entry: &LogEntry, names: &Names) -> Option<StatementKey> {
        let by_id = entry.query_id.and_then(|id| self.by_id.get(&id));
        let by_text = || fingerprint::of_written(&entry.text).iter().find_map(|it| self.by_fingerprint.get(it));
        let candidates = by_id.or_else(by_text)?;
        let fits = |key: &&StatementKey, with_user: bool| {
            names.get(*key).is_some_and(|(_, database, user)| {
                entry.database.as_ref().is_none_or(|it| it == database)
                    && (!with_user || entry.user.as_ref().is_none_or(|it| it == user))
            })
        };
        // After SET ROLE the log has the one that signed in, pg_stat_statements the one that runs.
        let mut found = candidates.iter().filter(|key| fits(key, true)).copied().collect::<Vec<_>>();
        if found.is_empty() {
            found = candidates.iter().filter(|key| fits(key, false)).copied().collect();
        }
        let best = found.iter().copied().max_by_key(|key| key.toplevel)?;
        found.iter().all(|key| (key.dbid, key.userid) == (best.dbid, best.userid)).then_some(best)
    }
}

/// What is kept of one reading, without a literal.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Chosen {
    pub(crate) samples: Vec<(StatementKey, LogSample)>,
    pub(crate) plans: Vec<(StatementKey, Explained)>,
}

/// The slowest of each statement. Our own statements are left out, and so is what is of no known statement.
pub(crate) fn choose(
    entries: Vec<LogEntry>,
    known: &LogNames,
    names: &Names,
    version_num: i32,
    schema_of: impl Fn(&str, &str) -> Option<String>,
) -> Chosen {
    let mut by_statement = BTreeMap::<StatementKey, (Vec<LogEntry>, Vec<LogEntry>)>::new();
    for entry in entries {
        if sqltext::is_own(&entry.text) {
            continue;
        }
        let Some(key) = known.find(&entry, names) else { continue };
        let (samples, plans) = by_statement.entry(key).or_default();
        if entry.plan.is_some() { plans.push(entry) } else { samples.push(entry) }
    }
    let slowest = |entries: &mut Vec<LogEntry>, limit: usize| {
        entries.sort_by(|a, b| b.duration_ms.total_cmp(&a.duration_ms));
        entries.truncate(limit);
    };
    let mut chosen = Chosen::default();
    for (key, (mut samples, mut plans)) in by_statement {
        slowest(&mut samples, OF_STATEMENT);
        slowest(&mut plans, 1);
        // Where a plan is written its statement need not be: the call is a sample all the same.
        if samples.is_empty() {
            samples.extend(plans.first().cloned());
        }
        chosen.samples.extend(samples.into_iter().map(|entry| (key, sample(entry))));
        for entry in plans {
            let Some(plan) = entry.plan.filter(|plan| plan.len() <= PLAN_BYTES) else { continue };
            let database = names.get(&key).map_or("", |(_, database, _)| database.as_str());
            let explained = Explained {
                json: analysis::log::with_schemas(&plan, |table| schema_of(database, table)),
                method: ExplainMethod::AutoExplain,
                version_num,
                role: entry.user.unwrap_or_default(),
                hypothetical: Vec::new(),
            };
            chosen.plans.push((key, explained));
        }
    }
    chosen.samples.sort_by(|a, b| b.1.duration_ms.total_cmp(&a.1.duration_ms));
    chosen.samples.truncate(OF_READING);
    chosen.plans.truncate(PLANS_OF_READING);
    chosen
}

fn sample(entry: LogEntry) -> LogSample {
    LogSample {
        at: entry.at,
        duration_ms: entry.duration_ms,
        application: entry.application.unwrap_or_default().chars().take(64).collect(),
        client: entry.client.unwrap_or_default().chars().take(64).collect(),
        parameters: entry.parameters.into(),
        query: sqltext::one_line(&sqltext::mask_literals(&entry.text), TEXT_CHARS),
    }
}

/// Why no plans come from the log, as a hint.
pub(crate) fn hint(settings: &LogSettings) -> Option<String> {
    match (settings.auto_explain_loaded, settings.auto_explain_ms) {
        (true, Some(_)) => None,
        (true, None) => Some(
            "auto_explain is loaded and writes no plans: set auto_explain.log_min_duration, for example to 1s, to have plans of slow calls here."
                .to_owned(),
        ),
        (false, _) => Some(
            "auto_explain is not loaded. With auto_explain in session_preload_libraries and auto_explain.log_min_duration = 1s the plans of slow calls would be kept here."
                .to_owned(),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::Timestamp;

    fn key(queryid: i64, userid: u32) -> StatementKey {
        StatementKey { dbid: 5, userid, queryid, toplevel: true }
    }

    fn known(statements: &[(StatementKey, &str, &str)]) -> (LogNames, Names) {
        let (mut log, mut names) = (LogNames::default(), Names::new());
        for (key, user, query) in statements {
            let text = StatementText {
                key: *key,
                database: "shop".to_owned(),
                user: (*user).to_owned(),
                query: (*query).to_owned(),
            };
            log.learn(&text);
            log.learn(&text);
            names.insert(*key, ((*query).into(), text.database, text.user));
        }
        (log, names)
    }

    fn entry(text: &str, duration_ms: f64) -> LogEntry {
        LogEntry {
            at: Timestamp(1),
            duration_ms,
            user: None,
            database: None,
            application: None,
            client: None,
            query_id: None,
            text: text.to_owned(),
            parameters: 0,
            plan: None,
        }
    }

    #[test]
    fn a_statement_is_found_by_its_number_or_its_text_and_never_guessed() {
        let (log, names) = known(&[
            (key(1, 10), "api", "SELECT a FROM t WHERE b = $1"),
            (key(1, 11), "batch", "SELECT a FROM t WHERE b = $1"),
            (key(2, 10), "api", "UPDATE t SET a = $1"),
        ]);
        let find = |entry: LogEntry| log.find(&entry, &names);
        let read = "SELECT a FROM t WHERE b = 'secret'";
        assert_eq!(find(entry(read, 1.0)), None, "of two roles, and the log does not say which");
        assert_eq!(find(LogEntry { user: Some("batch".to_owned()), ..entry(read, 1.0) }), Some(key(1, 11)));
        assert_eq!(find(LogEntry { query_id: Some(2), ..entry("whatever", 1.0) }), Some(key(2, 10)));
        assert_eq!(
            find(LogEntry { user: Some("pooler".to_owned()), ..entry("update T set A = 5;", 1.0) }),
            Some(key(2, 10))
        );
        assert_eq!(find(LogEntry { database: Some("other".to_owned()), ..entry("UPDATE t SET a = 5", 1.0) }), None);
        assert_eq!(find(entry("SELECT 1", 1.0)), None);
    }

    #[test]
    fn a_statement_without_a_name_is_forgotten_by_number_and_by_text() {
        let (mut log, mut names) = known(&[
            (key(1, 10), "api", "SELECT a FROM t WHERE b = $1"),
            (key(1, 11), "batch", "SELECT a FROM t WHERE b = $1"),
            (key(2, 10), "api", "UPDATE t SET a = $1"),
        ]);
        names.retain(|of, _| *of == key(1, 11));
        log.retain(&names);
        assert_eq!(log.by_id, HashMap::from([(1, vec![key(1, 11)])]));
        assert_eq!(log.by_fingerprint.len(), 1);
        let read = "SELECT a FROM t WHERE b = 'secret'";
        assert_eq!(log.find(&entry(read, 1.0), &names), Some(key(1, 11)), "the only one that is left");
    }

    #[test]
    fn the_slowest_are_kept_without_their_literals() {
        let (log, names) = known(&[(key(2, 10), "api", "UPDATE t SET a = $1")]);
        let mut entries =
            (0..50).map(|i| entry(&format!("UPDATE t SET a = 'secret {i}'"), f64::from(i))).collect::<Vec<_>>();
        entries.push(entry("/* holdfast:log */ UPDATE t SET a = 5", 1_000.0));
        let plan = r#"[{"Plan":{"Node Type":"Seq Scan","Relation Name":"t"}}]"#;
        entries.push(LogEntry { plan: Some(plan.to_owned()), ..entry("UPDATE t SET a = 'secret'", 60.0) });
        let chosen = choose(entries, &log, &names, 150_018, |database, table| {
            (database == "shop" && table == "t").then(|| "public".to_owned())
        });
        let durations = chosen.samples.iter().map(|(_, sample)| sample.duration_ms).collect::<Vec<_>>();
        assert_eq!(durations, [49.0, 48.0, 47.0, 46.0, 45.0]);
        assert!(chosen.samples.iter().all(|(_, sample)| sample.query == "UPDATE t SET a = ?"), "{chosen:?}");
        let [(of, explained)] = chosen.plans.as_slice() else { unreachable!() };
        assert_eq!((*of, explained.method), (key(2, 10), ExplainMethod::AutoExplain));
        assert!(explained.json.contains("public"), "{}", explained.json);
    }
}
