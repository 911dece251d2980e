//! Plans beside trying everything: of any small catalogue whose installed plugins work, a plan leaves all of them working, and where
//! there is none, no choice of versions would.
use super::{Known, Need, Wanted, plan, requirement};
use proptest::prelude::*;
use semver::Version;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const VERSIONS: usize = 3;
const RANGES: [&str; 4] = ["^1", "^2", "*", "=1.0.0"];
const PLUGINS: i64 = 5;

type State = BTreeMap<i64, Version>;

/// A plugin: which versions there are, which is installed, what each needs.
type Drawn = (u8, usize, Vec<Vec<(i64, usize)>>);

fn versions() -> [Version; VERSIONS] {
    [Version::new(1, 0, 0), Version::new(1, 1, 0), Version::new(2, 0, 0)]
}

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let needs = prop::collection::vec((1..=PLUGINS, 0..RANGES.len()), 0..3);
    let plugin = (0..8_u8, 0..VERSIONS + 1, prop::collection::vec(needs, VERSIONS));
    prop::collection::vec(plugin, PLUGINS as usize)
}

fn works(known: &HashMap<i64, Known>, state: &State, id: i64) -> bool {
    let Some(version) = state.get(&id) else { return true };
    let Some(needs) = known.get(&id).and_then(|plugin| plugin.versions.get(version)) else { return false };
    needs.iter().all(|need| {
        let there = state.get(&need.id);
        requirement(&need.range).is_ok_and(|range| there.is_some_and(|version| range.matches(version)))
    })
}

/// As drawn; what would not work is not installed.
fn catalogue(drawn: &[Drawn]) -> (HashMap<i64, Known>, State) {
    let all = versions();
    let mut known = HashMap::new();
    let mut state = State::new();
    for (id, (there, installed, needs)) in (1..).zip(drawn) {
        let versions = all.iter().zip(needs).enumerate().filter(|(i, _)| *there & (1_u8 << *i) != 0);
        let versions = versions.map(|(_, (version, needs))| {
            let others = needs.iter().filter(|(to, _)| *to != id);
            (version.clone(), others.map(|(to, range)| Need { id: *to, range: RANGES[*range].to_owned() }).collect())
        });
        let versions = versions.collect::<BTreeMap<Version, Vec<Need>>>();
        if let Some(version) = all.get(*installed).filter(|version| versions.contains_key(*version)) {
            state.insert(id, version.clone());
        }
        known.insert(id, Known { name: format!("p{id}"), installed: None, versions });
    }
    while let Some(id) = (1..=PLUGINS).find(|id| !works(&known, &state, *id)) {
        state.remove(&id);
    }
    for (id, version) in &state {
        if let Some(plugin) = known.get_mut(id) {
            plugin.installed = Some(version.clone());
        }
    }
    (known, state)
}

/// What a wish for the first may lead to.
fn reached(known: &HashMap<i64, Known>) -> BTreeSet<i64> {
    let (mut reached, mut todo) = (BTreeSet::new(), vec![1]);
    while let Some(id) = todo.pop() {
        if reached.insert(id) {
            let versions = known.get(&id).map(|plugin| plugin.versions.values()).into_iter().flatten();
            todo.extend(versions.flatten().map(|need| need.id));
        }
    }
    reached
}

/// Whether any choice does: the first at a version of the range, nothing removed, what is not reached as it is, and all working.
fn exists(known: &HashMap<i64, Known>, before: &State, range: &str) -> bool {
    let Ok(range) = requirement(range) else { return false };
    let mut states = vec![State::new()];
    let reached = reached(known);
    for (id, plugin) in known {
        let stays = before.get(id);
        let choices = if reached.contains(id) {
            let absent = stays.is_none().then_some(None);
            absent.into_iter().chain(plugin.versions.keys().map(Some)).collect::<Vec<_>>()
        } else {
            vec![stays]
        };
        let with = |state: &State, choice: Option<&Version>| {
            let mut state = state.clone();
            state.extend(choice.map(|version| (*id, version.clone())));
            state
        };
        states = states.iter().flat_map(|state| choices.iter().map(move |choice| with(state, *choice))).collect();
    }
    states.iter().any(|state| {
        state.get(&1).is_some_and(|version| range.matches(version)) && (1..=PLUGINS).all(|id| works(known, state, id))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_plan_leaves_all_working_and_none_is_missed(plugins in drawn(), range in 0..RANGES.len()) {
        let (known, before) = catalogue(&plugins);
        let range = RANGES[range];
        let made = plan(&known, &[Wanted { id: 1, range: Some(range.to_owned()) }]);
        prop_assert_eq!(made.possible, exists(&known, &before, range), "{:?}", made);
        if made.possible {
            let mut after = before;
            for step in &made.steps {
                let (id, to) = (step.id.parse::<i64>(), Version::parse(&step.to));
                prop_assert!(id.is_ok() && to.is_ok(), "{:?}", step);
                after.extend(id.ok().zip(to.ok()));
            }
            prop_assert!(after.get(&1).is_some_and(|version| requirement(range).is_ok_and(|range| range.matches(version))), "{:?}", made);
            for id in 1..=PLUGINS {
                prop_assert!(works(&known, &after, id), "{} is broken by {:?}", id, made);
            }
        } else {
            prop_assert!(!made.explanation.is_empty());
        }
    }
}
