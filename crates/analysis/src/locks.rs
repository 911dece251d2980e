//! Who waits for whom, as trees: each root holds what the others wait for.
use crate::sqltext;
use domain::{
    Timestamp,
    reading::{ActivityReading, Backend, LockReading, LockWait},
    view::{LockNode, LockSnapshot, LockSnapshotSummary},
};
use std::collections::{BTreeMap, BTreeSet};

/// A graph of a thousand sessions is no longer read by anybody.
const NODES_AT_MOST: usize = 300;

/// Trees with the root that blocks most first; each waiter follows the one that it waits for, and stands once. Whoever
/// waits for several stands behind the first of them and names all.
pub fn forest(activity: &ActivityReading, locks: &LockReading) -> Vec<LockNode> {
    let backends = activity.rows.iter().map(|backend| (backend.pid, backend)).collect::<BTreeMap<_, _>>();
    let waits = locks.waits.iter().map(|wait| (wait.pid, wait)).collect::<BTreeMap<_, _>>();
    // The two readings are some milliseconds apart: whoever waits in either waits.
    let mut blockers = BTreeMap::<i32, Vec<i32>>::new();
    for (pid, blocked_by) in activity
        .rows
        .iter()
        .map(|row| (row.pid, &row.blocked_by))
        .chain(locks.waits.iter().map(|wait| (wait.pid, &wait.blocked_by)))
    {
        let entry = blockers.entry(pid).or_default();
        entry.extend(blocked_by.iter().copied().filter(|blocker| *blocker != pid));
        entry.sort_unstable();
        entry.dedup();
    }
    blockers.retain(|_, blocked_by| !blocked_by.is_empty());
    let mut waiters = BTreeMap::<i32, Vec<i32>>::new();
    for (pid, blocked_by) in &blockers {
        for blocker in blocked_by {
            waiters.entry(*blocker).or_default().push(*pid);
        }
    }
    let behind = |root: i32| {
        let mut found = BTreeSet::new();
        let mut next = vec![root];
        while let Some(pid) = next.pop() {
            for waiter in waiters.get(&pid).into_iter().flatten() {
                if *waiter != root && found.insert(*waiter) {
                    next.push(*waiter);
                }
            }
        }
        found
    };
    let mut roots =
        waiters.keys().filter(|pid| !blockers.contains_key(pid)).map(|pid| (*pid, false)).collect::<Vec<_>>();
    // Sessions that only wait for each other have no root: the first of each ring stands in for it.
    let mut reached = roots.iter().flat_map(|(root, _)| behind(*root)).collect::<BTreeSet<_>>();
    for pid in blockers.keys() {
        if !reached.contains(pid) {
            roots.push((*pid, true));
            reached.insert(*pid);
            reached.extend(behind(*pid));
        }
    }
    let mut sized = roots.into_iter().map(|(root, cycle)| (behind(root).len(), root, cycle)).collect::<Vec<_>>();
    sized.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut nodes = Vec::new();
    let mut placed = BTreeSet::new();
    for (_, root, cycle) in sized {
        let mut stack = vec![(root, 0)];
        while let Some((pid, depth)) = stack.pop() {
            if nodes.len() >= NODES_AT_MOST || !placed.insert(pid) {
                continue;
            }
            let mut node = node(pid, backends.get(&pid).copied(), waits.get(&pid).copied());
            node.depth = depth;
            node.blocked_by = blockers.get(&pid).cloned().unwrap_or_default();
            node.blocks = i64::try_from(behind(pid).len()).unwrap_or(i64::MAX);
            node.cycle = cycle && depth == 0;
            nodes.push(node);
            // The longest wait first; the stack turns the order round.
            let mut next = waiters.get(&pid).cloned().unwrap_or_default();
            let waited = |pid: &i32| waits.get(pid).and_then(|wait| wait.wait_seconds).unwrap_or(0.0);
            next.sort_by(|a, b| waited(a).total_cmp(&waited(b)).then(b.cmp(a)));
            stack.extend(next.into_iter().map(|pid| (pid, depth + 1)));
        }
    }
    nodes
}

fn node(pid: i32, backend: Option<&Backend>, wait: Option<&LockWait>) -> LockNode {
    let waits = wait.is_some() || backend.is_some_and(|it| !it.blocked_by.is_empty());
    let mut node = LockNode {
        pid,
        lock_type: wait.map(|wait| wait.lock_type.clone()),
        mode: wait.map(|wait| wait.mode.clone()),
        relation: wait.and_then(|wait| wait.relation.clone()),
        // Before 14 the server does not say since when; the age of the statement is the most it can be.
        wait_seconds: wait
            .and_then(|wait| wait.wait_seconds)
            .or_else(|| backend.filter(|_| waits).and_then(|it| it.query_seconds))
            .map(|seconds| seconds.max(0.0)),
        ..LockNode::default()
    };
    match backend {
        Some(backend) => {
            node.started_at = backend.started_at;
            node.backend_type = backend.backend_type.clone();
            node.database = backend.database.clone();
            node.user = backend.user.clone();
            node.application = backend.application.clone();
            node.state = backend.state.clone();
            node.transaction_seconds = backend.transaction_seconds;
            node.query_id = backend.query_id.clone();
            node.query = backend
                .query
                .as_deref()
                .map(|query| sqltext::one_line(&sqltext::mask_literals(query), 500))
                .filter(|query| !query.is_empty());
        }
        None if pid == 0 => node.backend_type = "prepared transaction".to_owned(),
        None => node.backend_type = "ended meanwhile".to_owned(),
    }
    node
}

/// The graph in a line.
pub fn summary(nodes: &[LockNode], at: Timestamp, duration_seconds: f64) -> LockSnapshotSummary {
    let root = nodes.first().map_or_else(String::new, |root| {
        let who = [root.application.as_str(), root.user.as_deref().unwrap_or_default()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
        let who = if who.is_empty() { root.backend_type.clone() } else { who };
        match &root.query {
            Some(query) => format!("{who}: {}", query.chars().take(120).collect::<String>()),
            None => who,
        }
    });
    LockSnapshotSummary {
        id: "0".to_owned(),
        at,
        duration_seconds,
        waiters: waiters(nodes),
        roots: count(nodes.iter().filter(|node| node.depth == 0)),
        longest_wait_seconds: longest(nodes),
        root,
    }
}

/// Sessions that wait.
pub fn waiters(nodes: &[LockNode]) -> i64 {
    count(nodes.iter().filter(|node| !node.blocked_by.is_empty()))
}

/// The longest wait.
pub fn longest(nodes: &[LockNode]) -> Option<f64> {
    nodes.iter().filter(|node| !node.blocked_by.is_empty()).filter_map(|node| node.wait_seconds).reduce(f64::max)
}

fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

/// Follows a time of waiting from its begin to its end and keeps its worst moment.
#[derive(Clone, Debug, Default)]
pub struct Episode {
    began: Option<Timestamp>,
    worst: Option<(Timestamp, Vec<LockNode>)>,
}

/// A time of waiting that does not end is kept in parts of this length, so that it is seen while it lasts and a crash
/// of ours loses little.
const PART_SECONDS: f64 = 600.0;
/// Waits that are over at the next look are everyday.
const SHORTEST_SECONDS: f64 = 2.0;

impl Episode {
    /// Takes the graph of a look; gives the worst one when the waiting is over.
    pub fn advance(&mut self, nodes: &[LockNode], at: Timestamp) -> Option<LockSnapshot> {
        if nodes.is_empty() {
            return self.end(at);
        }
        let began = *self.began.get_or_insert(at);
        let rank = |nodes: &[LockNode]| (waiters(nodes), longest(nodes).unwrap_or(0.0));
        let worse = self.worst.as_ref().is_none_or(|(_, worst)| {
            let ((a, b), (c, d)) = (rank(nodes), rank(worst));
            a > c || (a == c && b >= d)
        });
        if worse {
            self.worst = Some((at, nodes.to_vec()));
        }
        (at.seconds_since(began) >= PART_SECONDS).then(|| self.end(at)).flatten()
    }

    fn end(&mut self, at: Timestamp) -> Option<LockSnapshot> {
        let Self { began, worst } = std::mem::take(self);
        let duration = at.seconds_since(began?);
        let (worst_at, nodes) = worst?;
        let long = duration >= SHORTEST_SECONDS || longest(&nodes).is_some_and(|seconds| seconds >= SHORTEST_SECONDS);
        long.then(|| LockSnapshot { summary: summary(&nodes, worst_at, duration), nodes })
    }

    /// The worst so far, while somebody waits.
    pub fn now(&self, at: Timestamp) -> Option<LockSnapshot> {
        let (worst_at, nodes) = self.worst.as_ref()?;
        let duration = at.seconds_since(self.began?);
        Some(LockSnapshot { summary: summary(nodes, *worst_at, duration), nodes: nodes.clone() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backend(pid: i32, blocked_by: &[i32]) -> Backend {
        Backend {
            pid,
            backend_type: "client backend".into(),
            blocked_by: blocked_by.to_vec(),
            query: Some("SELECT 'x'".into()),
            ..Backend::default()
        }
    }

    fn of(edges: &[(i32, &[i32])]) -> Vec<LockNode> {
        let rows = edges.iter().map(|(pid, blocked_by)| backend(*pid, blocked_by)).collect();
        forest(&ActivityReading { rows, hidden: 0 }, &LockReading::default())
    }

    fn shape(nodes: &[LockNode]) -> Vec<(i32, u32, i64)> {
        nodes.iter().map(|node| (node.pid, node.depth, node.blocks)).collect()
    }

    #[test]
    fn the_root_that_blocks_most_comes_first_and_waiters_stand_behind_theirs() {
        let nodes = of(&[(1, &[]), (2, &[1]), (3, &[2]), (9, &[]), (4, &[9]), (5, &[9]), (6, &[5]), (7, &[])]);
        assert_eq!(shape(&nodes), [(9, 0, 3), (4, 1, 0), (5, 1, 1), (6, 2, 0), (1, 0, 2), (2, 1, 1), (3, 2, 0)]);
        assert_eq!(nodes[0].query.as_deref(), Some("SELECT ?"));
        assert_eq!((waiters(&nodes), summary(&nodes, Timestamp(0), 0.0).roots), (5, 2));
    }

    #[test]
    fn a_ring_and_a_prepared_transaction_have_roots_too() {
        let nodes = of(&[(1, &[2]), (2, &[1]), (3, &[2])]);
        assert_eq!(shape(&nodes), [(1, 0, 2), (2, 1, 2), (3, 2, 0)]);
        assert!(nodes[0].cycle && !nodes[1].cycle);
        let nodes = of(&[(5, &[0])]);
        assert_eq!(shape(&nodes), [(0, 0, 1), (5, 1, 0)]);
        assert_eq!(nodes[0].backend_type, "prepared transaction");
    }

    #[test]
    fn whoever_waits_for_two_stands_once_and_names_both() {
        let nodes = of(&[(1, &[]), (2, &[]), (3, &[1, 2])]);
        assert_eq!(shape(&nodes), [(1, 0, 1), (3, 1, 0), (2, 0, 1)]);
        assert_eq!(nodes[1].blocked_by, [1, 2]);
    }

    #[test]
    fn an_episode_keeps_its_worst_moment() {
        let mut episode = Episode::default();
        let at = |seconds: i64| Timestamp(seconds * 1_000);
        assert!(episode.advance(&[], at(0)).is_none());
        assert!(episode.advance(&of(&[(1, &[]), (2, &[1])]), at(1)).is_none());
        assert!(episode.advance(&of(&[(1, &[]), (2, &[1]), (3, &[1])]), at(2)).is_none());
        assert!(episode.advance(&of(&[(1, &[]), (2, &[1])]), at(9)).is_none());
        assert_eq!(episode.now(at(9)).unwrap().summary.waiters, 2);
        let kept = episode.advance(&[], at(10)).unwrap();
        assert_eq!((kept.summary.at, kept.summary.duration_seconds, kept.summary.waiters), (at(2), 9.0, 2));
        assert!(episode.now(at(11)).is_none() && episode.advance(&[], at(11)).is_none());
        // One that is over at the next look is not kept.
        episode.advance(&of(&[(1, &[]), (2, &[1])]), at(20));
        assert!(episode.advance(&[], at(21)).is_none());
        // One that lasts is kept in parts.
        let nodes = of(&[(1, &[]), (2, &[1])]);
        episode.advance(&nodes, at(100));
        assert!(episode.advance(&nodes, at(701)).is_some());
    }

    proptest! {
        #[test]
        fn everybody_who_waits_or_blocks_stands_exactly_once(edges in proptest::collection::vec((0i32..12, proptest::collection::vec(0i32..12, 0..3)), 0..14)) {
            let rows = edges.iter().map(|(pid, blocked_by)| backend(*pid, blocked_by)).collect::<Vec<_>>();
            let nodes = forest(&ActivityReading { rows, hidden: 0 }, &LockReading::default());
            let mut truth = BTreeSet::new();
            for (pid, blocked_by) in &edges {
                for blocker in blocked_by.iter().filter(|blocker| *blocker != pid) {
                    truth.insert(*pid);
                    truth.insert(*blocker);
                }
            }
            let shown = nodes.iter().map(|node| node.pid).collect::<Vec<_>>();
            prop_assert_eq!(shown.iter().copied().collect::<BTreeSet<_>>(), truth);
            prop_assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len());
            prop_assert!(nodes.first().is_none_or(|first| first.depth == 0));
            for pair in nodes.windows(2) {
                prop_assert!(pair[1].depth <= pair[0].depth + 1);
            }
        }
    }
}
