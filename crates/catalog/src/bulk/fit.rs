//! Whether the versions go together that are there after an installation, an upgrade or before something is enabled. The
//! few pairs of plugins that matter are fetched in sets; ranges are compared here, as `solve` compares them.
//!
//! What cannot be done is taken out, and what that leaves without what it needs after it, until nothing changes: of an
//! operation item by item the rest fits.
use super::{
    BulkOperation, BulkRequest,
    stand::{Stand, stands},
    verdicts::Verdict,
};
use crate::{CatalogError, solve::requirement};
use semver::{Version, VersionReq};
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A need: `from` needs `to` at a range.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    from: i64,
    to: i64,
    range: String,
    /// Of the version that is installed and stays, as long as `from` is not changed; else of the one that comes.
    kept: bool,
}

/// Of plugins that shall be installed, upgraded or enabled; see [`super::verdicts`].
pub(super) async fn verdicts(
    connection: &mut PgConnection,
    request: &BulkRequest,
    ids: &[i64],
    all: &[i64],
) -> Result<Vec<Verdict>, CatalogError> {
    let mut known = stands(connection, request, ids).await?;
    let acting = acting(request, &known);
    let needs = needs(connection, request, &known, &acting).await?;
    let others = needs.iter().flat_map(|need| [need.from, need.to]).filter(|id| !known.contains_key(id));
    let others = others.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    let others = stands(connection, request, &others).await?;
    // Other parts of the operation were done or will be.
    let mut acts = acting;
    acts.extend(self::acting(request, &others).into_iter().filter(|id| all.binary_search(id).is_ok()));
    known.extend(others);
    let mut refused = settle(request, &known, &mut acts, ids, &needs);
    let verdict = |id: &i64| {
        let Some(stand) = known.get(id) else { return Verdict::refused(*id, "there is no such plugin") };
        match (request.alone(*id, stand), refused.remove(id)) {
            (Err(reason), _) | (Ok(true), Some(reason)) => Verdict::refused(*id, &reason),
            (Ok(false), _) => Verdict { id: *id, said: "unchanged".to_owned(), to: None, does: "" },
            (Ok(true), None) => Verdict {
                id: *id,
                said: "done".to_owned(),
                to: stand.to.as_ref().filter(|_| request.operation.moves()).map(|to| to.1.clone()),
                does: request.does(stand),
            },
        }
    };
    Ok(ids.iter().map(verdict).collect())
}

impl Verdict {
    fn refused(id: i64, reason: &str) -> Self {
        Self { id, said: format!("refused: {reason}"), to: None, does: "" }
    }
}

/// Those that would be changed, looked at each by itself.
fn acting(request: &BulkRequest, stands: &BTreeMap<i64, Stand>) -> BTreeSet<i64> {
    stands.iter().filter(|(id, stand)| request.alone(**id, stand) == Ok(true)).map(|(id, _)| *id).collect()
}

fn parsed(version: &str) -> Option<Version> {
    Version::parse(version).ok()
}

impl BulkRequest {
    /// Whether the operation changes a plugin, without a look at others; or why it must not.
    fn alone(&self, id: i64, stand: &Stand) -> Result<bool, String> {
        let (to, installed) = (stand.to.as_ref().map(|to| to.1.as_str()), stand.installed.as_deref());
        match (self.operation, self.versions.get(&id)) {
            (BulkOperation::Enable, _) if stand.is_enabled => Ok(false),
            (BulkOperation::Enable, _) if !stand.is_installed => {
                Err("it is not installed: install it first".to_owned())
            }
            (BulkOperation::Install, Some(wanted)) if to.is_none() => {
                Err(format!("it has no version {wanted}, or that was taken back"))
            }
            (BulkOperation::Install, Some(_)) => Ok(!stand.is_installed || to != installed),
            (BulkOperation::Install, None) if stand.is_installed => Ok(false),
            (BulkOperation::Install, None) if to.is_none() => Err("it has no version to install".to_owned()),
            (BulkOperation::Upgrade, _) if !stand.is_installed => Err("it is not installed".to_owned()),
            (BulkOperation::Upgrade, _) => Ok(match (to, installed) {
                (None, _) => false,
                // Never down: what is installed may have been taken back, or be a pre-release.
                (Some(to), Some(installed)) => match (parsed(to), parsed(installed)) {
                    (Some(to), Some(installed)) => to > installed,
                    _ => to != installed,
                },
                (Some(_), None) => true,
            }),
            _ => Ok(true),
        }
    }

    fn does(&self, stand: &Stand) -> &'static str {
        if self.operation != BulkOperation::Install || !stand.is_installed {
            return self.operation.as_str();
        }
        let to = stand.to.as_ref().and_then(|to| parsed(&to.1));
        if to < stand.installed.as_deref().and_then(parsed) { "rollback" } else { "upgrade" }
    }
}

/// What those that act will need, and what others that are installed need of them.
async fn needs(
    connection: &mut PgConnection,
    request: &BulkRequest,
    known: &BTreeMap<i64, Stand>,
    acting: &BTreeSet<i64>,
) -> Result<Vec<Need>, CatalogError> {
    let moves = request.operation.moves();
    let version = |id: &i64| {
        let stand = known.get(id)?;
        Some((if moves { stand.to.as_ref()?.0 } else { stand.installed_id? }, *id))
    };
    let of = acting.iter().filter_map(version).collect::<HashMap<i64, i64>>();
    let versions = of.keys().copied().collect::<Vec<_>>();
    let forward = sqlx::query_as::<_, (i64, i64, String)>("SELECT plugin_version_id, depends_on_id, version_range FROM plugin_dependencies WHERE plugin_version_id = ANY($1) AND NOT optional")
        .bind(versions)
        .persistent(false)
        .fetch_all(&mut *connection)
        .await?;
    let mut needs = forward
        .into_iter()
        .filter_map(|(version, to, range)| Some(Need { from: *of.get(&version)?, to, range, kept: false }))
        .collect::<Vec<_>>();
    if moves {
        let back = sqlx::query_as::<_, (i64, i64, String)>("SELECT n.id, d.depends_on_id, d.version_range FROM plugin_dependencies d JOIN plugin_versions v ON v.id = d.plugin_version_id JOIN plugins n ON n.id = v.plugin_id WHERE d.depends_on_id = ANY($1) AND NOT d.optional AND n.is_installed AND v.version = n.installed_version")
            .bind(acting.iter().copied().collect::<Vec<_>>())
            .persistent(false)
            .fetch_all(connection)
            .await?;
        needs.extend(back.into_iter().map(|(from, to, range)| Need { from, to, range, kept: true }));
    }
    // The same reason each time, whatever order the database has them in.
    needs.sort();
    Ok(needs)
}

/// Takes out of `acts` what cannot be done, with the reason; only plugins of `ids` are judged.
fn settle(
    request: &BulkRequest,
    known: &BTreeMap<i64, Stand>,
    acts: &mut BTreeSet<i64>,
    ids: &[i64],
    needs: &[Need],
) -> BTreeMap<i64, String> {
    let moves = request.operation.moves();
    let mut touching = HashMap::<i64, Vec<usize>>::new();
    for (i, need) in needs.iter().enumerate() {
        touching.entry(need.from).or_default().push(i);
        touching.entry(need.to).or_default().push(i);
    }
    let mut refused = BTreeMap::new();
    let mut queue = (0..needs.len()).collect::<VecDeque<_>>();
    while let Some(need) = queue.pop_front().and_then(|i| needs.get(i)) {
        let (from_acts, to_moves) = (acts.contains(&need.from), moves && acts.contains(&need.to));
        if need.kept == from_acts || (need.kept && !to_moves) {
            continue;
        }
        let needed = known.get(&need.to);
        let now = needed.filter(|it| it.is_installed).map(|it| it.installed.as_deref());
        let then = if to_moves { needed.and_then(|it| it.to.as_ref()).map(|to| Some(to.1.as_str())) } else { now };
        if fits(&need.range, then) {
            continue;
        }
        let judged = |id: i64| ids.binary_search(&id).is_ok();
        // Where both change, it is the needed one that may not when it would do as it is.
        let breaks = to_moves && judged(need.to) && (!from_acts || fits(&need.range, now));
        let (id, reason) = if breaks {
            (need.to, broken(known, need, from_acts, then))
        } else if from_acts && judged(need.from) {
            (need.from, lacking(request.operation, known, need, then, to_moves))
        } else {
            continue;
        };
        acts.remove(&id);
        refused.insert(id, reason);
        queue.extend(touching.get(&id).into_iter().flatten());
    }
    refused
}

/// Whether a version is in a range; `None` is not installed, `Some(None)` installed at nobody knows which version.
fn fits(range: &str, version: Option<Option<&str>>) -> bool {
    let (Some(version), Ok(requirement)) = (version, requirement(range)) else { return false };
    version.and_then(parsed).map_or(requirement == VersionReq::STAR, |version| requirement.matches(&version))
}

fn name(known: &BTreeMap<i64, Stand>, id: i64) -> String {
    known.get(&id).map_or_else(|| format!("plugin {id}"), |stand| stand.name.clone())
}

fn at(range: &str) -> &str {
    if range.trim().is_empty() { "*" } else { range }
}

/// Why `from` must not: it would not have what it needs.
fn lacking(
    operation: BulkOperation,
    known: &BTreeMap<i64, Stand>,
    need: &Need,
    then: Option<Option<&str>>,
    to_moves: bool,
) -> String {
    let begins = if operation == BulkOperation::Upgrade { "its newest version needs" } else { "it needs" };
    let ends = match then {
        None if operation == BulkOperation::Install => ", which is not installed: install that too".to_owned(),
        None => ", which is not installed".to_owned(),
        Some(None) => ", and it is not known which version of that is installed".to_owned(),
        Some(Some(version)) if to_moves => format!(", and that would be {version}"),
        Some(Some(version)) => format!(", and {version} of that is installed"),
    };
    format!("{begins} {} {}{ends}", name(known, need.to), at(&need.range))
}

/// Why `to` must not: `from` would no longer have what it needs.
fn broken(known: &BTreeMap<i64, Stand>, need: &Need, from_acts: bool, then: Option<Option<&str>>) -> String {
    let stays = if from_acts { "" } else { " is installed and" };
    let version = then.flatten().unwrap_or("another version");
    format!("{}{stays} needs it at {}, and it would be {version}", name(known, need.from), at(&need.range))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::BulkMode;

    /// id, installed at, goes to
    type Line = (i64, Option<&'static str>, &'static str);

    fn said(operation: BulkOperation, lines: &[Line], needs: &[(i64, i64, &str, bool)]) -> Vec<(i64, String)> {
        let request = BulkRequest {
            operation,
            mode: BulkMode::Each,
            plugins: lines.iter().map(|line| line.0).collect(),
            add_tags: Vec::new(),
            remove_tags: Vec::new(),
            versions: BTreeMap::new(),
        };
        let known = lines
            .iter()
            .map(|(id, installed, to)| {
                let stand = Stand {
                    name: format!("p{id}"),
                    is_installed: installed.is_some(),
                    installed: installed.map(str::to_owned),
                    to: Some((*id * 10, (*to).to_owned())),
                    ..Stand::default()
                };
                (*id, stand)
            })
            .collect::<BTreeMap<_, _>>();
        // Those above 90 are not part of the operation.
        let ids = lines.iter().map(|line| line.0).filter(|id| *id < 90).collect::<Vec<_>>();
        let mut acts = acting(&request, &known);
        acts.retain(|id| *id < 90);
        let needs = needs
            .iter()
            .map(|(from, to, range, kept)| Need { from: *from, to: *to, range: (*range).to_owned(), kept: *kept })
            .collect::<Vec<_>>();
        settle(&request, &known, &mut acts, &ids, &needs).into_iter().collect()
    }

    fn one(id: i64, reason: &str) -> Vec<(i64, String)> {
        vec![(id, reason.to_owned())]
    }

    #[test]
    fn what_is_needed_must_be_in_the_range() {
        use BulkOperation::{Enable, Install, Upgrade};
        let need = [(1, 99, "^2", false)];
        assert_eq!(
            said(Install, &[(1, None, "1.0.0"), (99, Some("1.0.0"), "2.0.0")], &need),
            one(1, "it needs p99 ^2, and 1.0.0 of that is installed")
        );
        assert_eq!(
            said(Install, &[(1, None, "1.0.0"), (99, None, "2.0.0")], &need),
            one(1, "it needs p99 ^2, which is not installed: install that too")
        );
        assert_eq!(
            said(Upgrade, &[(1, Some("0.9.0"), "1.0.0"), (99, Some("3.0.0"), "3.0.0")], &need),
            one(1, "its newest version needs p99 ^2, and 3.0.0 of that is installed")
        );
        assert_eq!(
            said(Enable, &[(1, Some("1.0.0"), "1.0.0"), (99, Some("1.0.0"), "1.0.0")], &need),
            one(1, "it needs p99 ^2, and 1.0.0 of that is installed")
        );
        assert!(said(Enable, &[(1, Some("1.0.0"), "1.0.0"), (99, Some("2.1.0"), "1.0.0")], &need).is_empty());
        // Together they do.
        assert!(said(Install, &[(1, None, "1.0.0"), (2, None, "2.0.0")], &[(1, 2, "^2", false)]).is_empty());
        assert_eq!(
            said(Install, &[(1, None, "1.0.0"), (2, None, "3.0.0")], &[(1, 2, "^2", false)]),
            one(1, "it needs p2 ^2, and that would be 3.0.0")
        );
    }

    #[test]
    fn what_is_installed_goes_on_working() {
        use BulkOperation::Upgrade;
        let (core, user) = ((1, Some("1.0.0"), "2.0.0"), (99, Some("1.0.0"), "1.0.0"));
        assert_eq!(
            said(Upgrade, &[core, user], &[(99, 1, "^1", true)]),
            one(1, "p99 is installed and needs it at ^1, and it would be 2.0.0")
        );
        // Upgraded with it, the other one needs the new version.
        let user = (2, Some("1.0.0"), "2.0.0");
        assert!(said(Upgrade, &[core, user], &[(2, 1, "^1", true), (2, 1, "^2", false)]).is_empty());
        // The new version of the other one needs the old one, too: only the needed one stays.
        assert_eq!(
            said(Upgrade, &[core, user], &[(2, 1, "^1", true), (2, 1, "^1", false)]),
            one(1, "p2 needs it at ^1, and it would be 2.0.0")
        );
        // It cannot come, so it stays, and needs the old version: neither can go.
        let refused = said(Upgrade, &[core, user], &[(2, 1, "^1", true), (2, 1, "^2", false), (2, 77, "^1", false)]);
        assert_eq!(refused.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2]);
        assert!(refused[0].1.starts_with("p2 is installed and needs it at ^1") && refused[1].1.contains("plugin 77"));
    }

    #[test]
    fn a_long_chain_whose_last_cannot_be_is_taken_out_whole_and_soon() {
        let lines = (1..=50_000).map(|n| (n - 60_000, None, "1.0.0")).collect::<Vec<Line>>();
        let needs = (1..=50_000).map(|n| (n - 60_000, n - 59_999, "^1", false)).collect::<Vec<_>>();
        assert_eq!(said(BulkOperation::Install, &lines, &needs).len(), 50_000);
    }

    #[test]
    fn an_unknown_version_does_for_any_range_only() {
        assert!(fits("*", Some(None)) && fits("", Some(None)) && !fits("^1", Some(None)));
        assert!(!fits("*", None) && !fits("banana", Some(Some("1.0.0"))) && fits("^1", Some(Some("1.9.0"))));
    }
}
