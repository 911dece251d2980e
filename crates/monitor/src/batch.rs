//! What is written together, and how much of our memory it takes while it waits.
use analysis::statements::StatementDelta;
use domain::{
    Timestamp,
    reading::{KnownStandby, SessionBucket, SessionKey, StatementKey, StatementText},
    view::{Event, Explained, LockNode, LockSnapshot, LogSample},
};
use std::collections::HashSet;
use store::Sample;

/// So many events outlive the batches that they came in; of more the oldest go.
const EVENTS_AT_MOST: usize = 1_000;

/// What one tick has to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) at: Timestamp,
    pub(crate) metrics: Vec<Sample>,
    pub(crate) events: Vec<Event>,
    pub(crate) texts: Vec<StatementText>,
    pub(crate) statements: Vec<StatementDelta>,
    pub(crate) interval_ms: i64,
    pub(crate) locks: Vec<LockSnapshot>,
    pub(crate) sessions: Option<SessionBucket>,
    pub(crate) log_samples: Vec<(StatementKey, LogSample)>,
    pub(crate) plans: Vec<(StatementKey, Explained)>,
    /// All that are known; `None` says nothing of them.
    pub(crate) standbys: Option<Vec<KnownStandby>>,
}

impl Batch {
    /// Rows that it becomes in the store.
    pub(crate) fn rows(&self) -> u64 {
        let sessions = self.sessions.as_ref().map_or(0, |bucket| bucket.rows.len() + 1);
        (self.metrics.len()
            + self.events.len()
            + self.texts.len()
            + self.statements.len()
            + self.locks.len()
            + self.log_samples.len()
            + self.plans.len()
            + sessions) as u64
    }

    /// The statements that its rows are of: without their texts in the store those rows cannot be kept.
    pub(crate) fn statement_keys(&self) -> impl Iterator<Item = &StatementKey> {
        let deltas = self.statements.iter().map(|row| &row.key);
        let samples = self.log_samples.iter().map(|(key, _)| key);
        deltas.chain(samples).chain(self.plans.iter().map(|(key, _)| key))
    }

    /// Takes over what is said only once from the batch before, which is given up: what happened and, where there is `room`
    /// in memory, texts, graphs and samples of the log. What is left there is of its moment or comes again.
    pub(crate) fn inherit(&mut self, before: &mut Self, room: bool) {
        put_before(&mut self.events, &mut before.events);
        let surplus = self.events.len().saturating_sub(EVENTS_AT_MOST);
        self.events.drain(..surplus);
        if self.standbys.is_none() {
            self.standbys = before.standbys.take();
        }
        if !room {
            return;
        }
        // Twice in one insert PostgreSQL refuses a row.
        let newer = self.texts.iter().map(|text| text.key).collect::<HashSet<_>>();
        before.texts.retain(|text| !newer.contains(&text.key));
        put_before(&mut self.texts, &mut before.texts);
        put_before(&mut self.locks, &mut before.locks);
        put_before(&mut self.log_samples, &mut before.log_samples);
    }

    /// About the bytes that it takes in memory: its rows and the texts in them, without what the allocator adds.
    pub(crate) fn bytes(&self) -> u64 {
        let rows = sized(&self.metrics, |it| {
            it.label.len() + it.histogram.as_ref().map_or(0, |counts| size_of_val(counts.as_slice()))
        }) + sized(&self.events, |it| it.title.len() + optional(it.statement.as_deref()))
            + sized(&self.texts, |it| it.database.len() + it.user.len() + it.query.len())
            + sized(&self.statements, |_| 0)
            + sized(&self.locks, graph)
            + self.sessions.as_ref().map_or(0, |bucket| sized(&bucket.rows, |(key, _)| session(key)))
            + sized(&self.log_samples, |(_, it)| it.application.len() + it.client.len() + it.query.len())
            + sized(&self.plans, |(_, it)| {
                it.json.len() + it.role.len() + sized(&it.hypothetical, |index| index.name.len())
            })
            + self.standbys.as_ref().map_or(0, |standbys| sized(standbys, |it| it.name.len()));
        (size_of::<Self>() + rows) as u64
    }
}

/// Moves the older rows before the others.
fn put_before<T>(rows: &mut Vec<T>, older: &mut Vec<T>) {
    older.append(rows);
    std::mem::swap(rows, older);
}

/// Bytes of rows and of what each holds elsewhere.
fn sized<T>(rows: &[T], held: impl Fn(&T) -> usize) -> usize {
    size_of_val(rows) + rows.iter().map(held).sum::<usize>()
}

fn optional(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

fn session(key: &SessionKey) -> usize {
    let SessionKey { wait_class, wait_event, query_id: _, database, user, application, host } = key;
    [wait_class, wait_event, database, user, application, host].into_iter().map(String::len).sum()
}

fn graph(snapshot: &LockSnapshot) -> usize {
    snapshot.summary.id.len() + snapshot.summary.root.len() + sized(&snapshot.nodes, node)
}

fn node(node: &LockNode) -> usize {
    let texts = [&node.database, &node.user, &node.state, &node.lock_type, &node.mode, &node.relation, &node.query];
    node.backend_type.len()
        + node.application.len()
        + texts.into_iter().map(|text| optional(text.as_deref())).sum::<usize>()
        + optional(node.query_id.as_deref())
        + size_of_val(node.blocked_by.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::view::{EventKind, ExplainMethod, Metric};

    fn standby(name: &str) -> KnownStandby {
        KnownStandby { name: name.to_owned(), seen_at: Timestamp(1), replayed: None, by_address: false }
    }

    #[test]
    fn which_standbys_are_known_is_what_was_said_last() {
        let known = |names: &[&str]| Batch {
            standbys: Some(names.iter().map(|name| standby(name)).collect()),
            ..Batch::default()
        };
        let mut silent = Batch::default();
        silent.inherit(&mut known(&["r1"]), false);
        assert_eq!(silent.standbys, known(&["r1"]).standbys);
        let mut none_left = known(&[]);
        none_left.inherit(&mut silent, false);
        assert_eq!(none_left.standbys, Some(Vec::new()));
    }

    #[test]
    fn what_is_said_once_is_taken_over_and_figures_are_not() {
        let key = |queryid| StatementKey { dbid: 1, userid: 2, queryid, toplevel: true };
        let text = |queryid, query: &str| StatementText {
            key: key(queryid),
            database: String::new(),
            user: String::new(),
            query: query.to_owned(),
        };
        let event = |at: i64| Event::new(Timestamp(at), EventKind::SettingChange, at.to_string());
        let older = || Batch {
            at: Timestamp(1),
            metrics: vec![Sample { metric: Metric::HealthScore, label: String::new(), value: 1.0, histogram: None }],
            events: vec![event(1)],
            texts: vec![text(1, "older"), text(2, "only here")],
            locks: vec![LockSnapshot::default()],
            ..Batch::default()
        };
        let newer =
            || Batch { at: Timestamp(2), events: vec![event(2)], texts: vec![text(1, "newer")], ..Batch::default() };
        let (mut given_up, mut heir) = (older(), newer());
        heir.inherit(&mut given_up, true);
        let queries = |batch: &Batch| batch.texts.iter().map(|text| text.query.clone()).collect::<Vec<_>>();
        assert_eq!(queries(&heir), ["only here", "newer"], "each statement once");
        assert_eq!(heir.events, [event(1), event(2)]);
        assert_eq!((heir.at, heir.metrics.len(), heir.locks.len()), (Timestamp(2), 0, 1));
        assert_eq!((given_up.rows(), given_up.metrics.len()), (1, 1), "its figures go with it");

        let (mut given_up, mut heir) = (older(), newer());
        heir.inherit(&mut given_up, false);
        assert_eq!((heir.events.len(), queries(&heir)), (2, vec!["newer".to_owned()]));
        assert_eq!(queries(&given_up), ["older", "only here"]);

        let mut many = Batch { events: (0..2_000).map(event).collect(), ..Batch::default() };
        let mut heir = newer();
        heir.inherit(&mut many, true);
        assert_eq!((heir.events.len(), heir.events.last()), (EVENTS_AT_MOST, Some(&event(2))), "the newest");
    }

    /// Whatever it stands in, a long text weighs as much as it is long.
    #[test]
    fn every_text_counts() {
        let long = || "x".repeat(1_000);
        let key = StatementKey { dbid: 1, userid: 2, queryid: 3, toplevel: true };
        let sample = Sample { metric: Metric::HealthScore, label: long(), value: 1.0, histogram: None };
        let counted = Sample { label: String::new(), histogram: Some(vec![1; 125]), ..sample.clone() };
        let text = StatementText { key, database: String::new(), user: String::new(), query: long() };
        let waiting = LockNode { query: Some(long()), ..LockNode::default() };
        let graph = LockSnapshot { nodes: vec![waiting], ..LockSnapshot::default() };
        let session = SessionKey { application: long(), ..SessionKey::default() };
        let logged = LogSample {
            at: Timestamp(1),
            duration_ms: 1.0,
            application: String::new(),
            client: String::new(),
            parameters: 0,
            query: long(),
        };
        let plan = Explained {
            json: long(),
            method: ExplainMethod::AutoExplain,
            version_num: 150_000,
            role: String::new(),
            hypothetical: Vec::new(),
        };
        let batches = [
            Batch { metrics: vec![sample], ..Batch::default() },
            Batch { metrics: vec![counted], ..Batch::default() },
            Batch { events: vec![Event::new(Timestamp(1), EventKind::Deploy, long())], ..Batch::default() },
            Batch { texts: vec![text], ..Batch::default() },
            Batch { locks: vec![graph], ..Batch::default() },
            Batch {
                sessions: Some(SessionBucket { rows: vec![(session, 1)], ..SessionBucket::default() }),
                ..Batch::default()
            },
            Batch { log_samples: vec![(key, logged)], ..Batch::default() },
            Batch { plans: vec![(key, plan)], ..Batch::default() },
            Batch { standbys: Some(vec![standby(&long())]), ..Batch::default() },
        ];
        let empty = Batch::default().bytes();
        for batch in batches {
            let bytes = batch.bytes() - empty;
            assert!((1_000..2_000).contains(&bytes), "{bytes}: {batch:?}");
        }
    }
}
