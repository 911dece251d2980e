//! Which versions go together: pubgrub on the tenant's plugins, and its answer as a plan, or as sentences why there is
//! none.
use crate::{Catalog, CatalogError, Tenant, error::said};
use domain::view::{ChangePlan, ChangeStep};
use pool::{Reader, Work};
use pubgrub::{
    Dependencies, DependencyConstraints, DependencyProvider, DerivationTree, External, PackageResolutionStatistics,
    PubGrubError, Ranges, resolve,
};
use semver::{Version, VersionReq};
use sqlx::{PgConnection, Row as _};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
};

/// The package that stands for the wish itself.
const ROOT: i64 = 0;
/// A wish that reaches more plugins is refused: it is a mistake, or an attack.
const MOST_PLUGINS: usize = 20_000;

/// A plugin that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its id.
    pub id: i64,
    /// Which versions do, as in a dependency (`^1.2`); any when `None`.
    pub range: Option<String>,
}

/// What is known of one plugin.
#[derive(Clone, Debug, Default)]
struct Known {
    name: String,
    installed: Option<Version>,
    versions: BTreeMap<Version, Vec<Need>>,
}

#[derive(Clone, Debug)]
struct Need {
    id: i64,
    range: String,
}

impl Catalog {
    /// What to install and upgrade, and in which order, so that the wanted plugins work and those that are installed go
    /// on working. Nothing is changed.
    ///
    /// # Errors
    /// [`CatalogError`]; that there is no way is an answer, not an error.
    pub async fn plan_change(&self, tenant: Tenant, wanted: &[Wanted]) -> Result<ChangePlan, CatalogError> {
        for one in wanted {
            if let Some(range) = &one.range {
                requirement(range).map_err(|error| {
                    CatalogError::invalid("range", format!("'{range}' is not a version range like ^1.2: {error}"))
                })?;
            }
        }
        let session = self.cache.session(tenant);
        let known = self
            .pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move { load(reader.connection()?, wanted).await })
            })
            .await
            .map_err(said)?;
        for one in wanted {
            if !known.contains_key(&one.id) {
                return Err(CatalogError::NotFound(one.id.to_string()));
            }
        }
        let wanted = wanted.to_vec();
        // Solving is work for the processor; a hard case must not hold up other requests.
        tokio::task::spawn_blocking(move || plan(&known, &wanted))
            .await
            .map_err(|error| CatalogError::Conflict(format!("the solver ended early: {error}")))
    }
}

/// Everything that the wanted ones may need in any version, and the installed ones that need any of those.
async fn load(connection: &mut PgConnection, wanted: &[Wanted]) -> Result<HashMap<i64, Known>, CatalogError> {
    let ids = wanted.iter().map(|one| one.id).collect::<Vec<_>>();
    let rows = sqlx::query(
        "WITH RECURSIVE reached AS (
            SELECT unnest($1::int8[]) AS id
            UNION SELECT d.depends_on_id FROM reached r JOIN plugin_versions v ON v.plugin_id = r.id JOIN plugin_dependencies d ON d.plugin_version_id = v.id WHERE NOT d.optional
        ), involved AS (
            SELECT id FROM reached
            UNION SELECT p.id FROM reached r JOIN plugin_dependencies d ON d.depends_on_id = r.id JOIN plugin_versions v ON v.id = d.plugin_version_id JOIN plugins p ON p.id = v.plugin_id WHERE p.is_installed AND v.version = p.installed_version AND NOT d.optional
        )
        SELECT p.id, p.name, p.installed_version, v.version, v.yanked, d.depends_on_id, d.version_range
        FROM involved i JOIN plugins p ON p.id = i.id LEFT JOIN plugin_versions v ON v.plugin_id = p.id
        LEFT JOIN plugin_dependencies d ON d.plugin_version_id = v.id AND NOT d.optional",
    )
    .bind(&ids)
    .fetch_all(connection)
    .await?;
    let mut known = HashMap::<i64, Known>::new();
    for row in &rows {
        let plugin = known.entry(row.try_get("id")?).or_default();
        plugin.name = row.try_get("name")?;
        plugin.installed =
            row.try_get::<Option<String>, _>("installed_version")?.and_then(|it| Version::parse(&it).ok());
        // What is no semantic version cannot be compared, so it is never chosen.
        let version = row.try_get::<Option<String>, _>("version")?.and_then(|it| Version::parse(&it).ok());
        let Some(version) = version else { continue };
        if row.try_get::<Option<bool>, _>("yanked")?.unwrap_or(false) && plugin.installed.as_ref() != Some(&version) {
            continue;
        }
        let needs = plugin.versions.entry(version).or_default();
        if let Some(id) = row.try_get::<Option<i64>, _>("depends_on_id")? {
            needs.push(Need { id, range: row.try_get("version_range")? });
        }
    }
    if known.len() > MOST_PLUGINS {
        return Err(CatalogError::Conflict(format!(
            "this reaches {} plugins; at most {MOST_PLUGINS} can be solved together",
            known.len()
        )));
    }
    Ok(known)
}

/// Of `semver`, in which a bare number is a caret range.
pub(crate) fn requirement(range: &str) -> Result<VersionReq, semver::Error> {
    VersionReq::parse(if range.trim().is_empty() { "*" } else { range })
}

struct Provider<'a> {
    known: &'a HashMap<i64, Known>,
    wanted: &'a [Wanted],
    /// What the wish may lead to, in whichever versions.
    reached: BTreeSet<i64>,
    /// Installed ones that need what may change: they stay as they are.
    bystanders: BTreeSet<i64>,
    /// Installed ones that are reached, and would lose what they need if they were left out: they stay in some version.
    staying: BTreeSet<i64>,
}

impl Provider<'_> {
    /// The known versions within a range; a range that cannot be read allows none.
    fn set(&self, id: i64, range: &str) -> Ranges<Version> {
        let Ok(requirement) = requirement(range) else { return Ranges::empty() };
        let versions = self.known.get(&id).map(|plugin| plugin.versions.keys()).into_iter().flatten();
        versions
            .filter(|version| requirement.matches(version))
            .fold(Ranges::empty(), |set, version| set.union(&Ranges::singleton(version.clone())))
    }

    /// All known versions, pre-releases too.
    fn all(&self, id: i64) -> Ranges<Version> {
        let versions = self.known.get(&id).map(|plugin| plugin.versions.keys()).into_iter().flatten();
        versions.fold(Ranges::empty(), |set, version| set.union(&Ranges::singleton(version.clone())))
    }

    /// Installed ones that the wish may lead to and that are not chosen, and one of whose needs would change to a version that does
    /// not do. A bulk operation refuses that, too.
    fn broken(&self, chosen: &BTreeMap<i64, Version>) -> Vec<i64> {
        let loses = |need: &Need| {
            let Some(then) = chosen.get(&need.id) else { return false };
            let now = self.known.get(&need.id).and_then(|plugin| plugin.installed.as_ref());
            now != Some(then) && !requirement(&need.range).is_ok_and(|range| range.matches(then))
        };
        let left_out = self.reached.iter().copied().filter(|id| !chosen.contains_key(id));
        left_out
            .filter(|id| {
                let needs = self.known.get(id).and_then(|plugin| plugin.versions.get(plugin.installed.as_ref()?));
                needs.is_some_and(|needs| needs.iter().any(loses))
            })
            .collect()
    }

    fn root(&self) -> Vec<(i64, Ranges<Version>)> {
        let range = |one: &Wanted| match &one.range {
            Some(range) => self.set(one.id, range),
            None => self.all(one.id),
        };
        let wanted = self.wanted.iter().map(|one| (one.id, range(one)));
        let stay = self
            .bystanders
            .iter()
            .filter_map(|id| Some((*id, Ranges::singleton(self.known.get(id)?.installed.clone()?))));
        let staying = self.staying.iter().map(|id| (*id, self.all(*id)));
        wanted.chain(stay).chain(staying).collect()
    }
}

impl DependencyProvider for Provider<'_> {
    type P = i64;
    type V = Version;
    type VS = Ranges<Version>;
    type Priority = (u32, bool, Reverse<usize>);
    type M = String;
    type Err = Infallible;

    fn prioritize(
        &self,
        package: &i64,
        range: &Ranges<Version>,
        conflicts: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let fitting = self
            .known
            .get(package)
            .map_or(0, |plugin| plugin.versions.keys().filter(|version| range.contains(version)).count());
        // Of what was in no conflict yet the wanted ones are chosen first: they are wanted new, the others go along.
        (conflicts.conflict_count(), self.wanted.iter().any(|one| one.id == *package), Reverse(fitting))
    }

    fn choose_version(&self, package: &i64, range: &Ranges<Version>) -> Result<Option<Version>, Infallible> {
        if *package == ROOT {
            return Ok(Some(Version::new(0, 0, 0)));
        }
        let Some(plugin) = self.known.get(package) else { return Ok(None) };
        // What is wanted is wanted new; everything else changes as little as it can.
        let wanted = self.wanted.iter().any(|one| one.id == *package);
        if !wanted && let Some(installed) = plugin.installed.as_ref().filter(|it| range.contains(it)) {
            return Ok(Some(installed.clone()));
        }
        let fitting = || plugin.versions.keys().rev().filter(|version| range.contains(version));
        Ok(fitting().find(|version| version.pre.is_empty()).or_else(|| fitting().next()).cloned())
    }

    fn get_dependencies(
        &self,
        package: &i64,
        version: &Version,
    ) -> Result<Dependencies<i64, Ranges<Version>, String>, Infallible> {
        let mut constraints = HashMap::<i64, Ranges<Version>>::new();
        let mut need = |id: i64, set: Ranges<Version>| {
            let both = constraints.get(&id).map_or_else(|| set.clone(), |before| before.intersection(&set));
            constraints.insert(id, both);
        };
        if *package == ROOT {
            for (id, set) in self.root() {
                need(id, set);
            }
        } else if let Some(needs) = self.known.get(package).and_then(|plugin| plugin.versions.get(version)) {
            // Of a bystander only what may change is looked at; the rest of its needs was not even read.
            let stays = self.bystanders.contains(package);
            for one in needs.iter().filter(|need| !stays || self.reached.contains(&need.id)) {
                need(one.id, self.set(one.id, &one.range));
            }
        }
        Ok(Dependencies::Available(constraints.into_iter().collect::<DependencyConstraints<_, _>>()))
    }
}

fn plan(known: &HashMap<i64, Known>, wanted: &[Wanted]) -> ChangePlan {
    let mut reached = BTreeSet::new();
    let mut todo = wanted.iter().map(|one| one.id).collect::<Vec<_>>();
    while let Some(id) = todo.pop() {
        if reached.insert(id)
            && let Some(plugin) = known.get(&id)
        {
            todo.extend(plugin.versions.values().flatten().map(|need| need.id));
        }
    }
    let bystanders = known.keys().filter(|id| !reached.contains(id)).copied().collect();
    let mut provider = Provider { known, wanted, reached, bystanders, staying: BTreeSet::new() };
    loop {
        let solution = match resolve(&provider, ROOT, Version::new(0, 0, 0)) {
            Ok(solution) => solution,
            Err(PubGrubError::NoSolution(tree)) => {
                let mut sentences = Vec::new();
                explain(&provider, &tree, &mut sentences);
                return ChangePlan { possible: false, steps: Vec::new(), explanation: sentences };
            }
            // The provider's own errors cannot happen: its error type has no value.
            Err(error) => {
                return ChangePlan { possible: false, steps: Vec::new(), explanation: vec![error.to_string()] };
            }
        };
        let chosen = solution
            .into_iter()
            .filter(|(id, _)| *id != ROOT && !provider.bystanders.contains(id))
            .collect::<BTreeMap<_, _>>();
        // Each round one more at least is chosen, so it ends.
        let broken = provider.broken(&chosen);
        if broken.is_empty() {
            return ChangePlan { possible: true, steps: steps(known, &chosen), explanation: Vec::new() };
        }
        provider.staying.extend(broken);
    }
}

/// What is needed first; circles are broken where they were entered.
fn steps(known: &HashMap<i64, Known>, chosen: &BTreeMap<i64, Version>) -> Vec<ChangeStep> {
    let needs = |id: i64| {
        let version = chosen.get(&id);
        known.get(&id).zip(version).and_then(|(plugin, version)| plugin.versions.get(version)).into_iter().flatten()
    };
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    for root in chosen.keys() {
        let mut work = vec![(*root, false)];
        while let Some((id, ready)) = work.pop() {
            if ready {
                order.push(id);
            } else if seen.insert(id) {
                work.push((id, true));
                work.extend(needs(id).filter(|need| chosen.contains_key(&need.id)).map(|need| (need.id, false)));
            }
        }
    }
    let step = |id: i64| {
        let (plugin, version) = (known.get(&id)?, chosen.get(&id)?);
        let action = match &plugin.installed {
            None => "install",
            Some(installed) if installed == version => "keep",
            Some(installed) if installed > version => "downgrade",
            Some(_) => "upgrade",
        };
        Some(ChangeStep {
            id: id.to_string(),
            name: plugin.name.clone(),
            action: action.to_owned(),
            from: plugin.installed.as_ref().map(ToString::to_string),
            to: version.to_string(),
        })
    };
    order.into_iter().filter_map(step).collect()
}

/// The facts at the leaves of the proof, each as one sentence, in the words of the catalogue: the ranges as people wrote
/// them, and only the versions that are there.
fn explain(provider: &Provider<'_>, tree: &DerivationTree<i64, Ranges<Version>, String>, sentences: &mut Vec<String>) {
    let external = match tree {
        DerivationTree::Derived(derived) => {
            explain(provider, &derived.cause1, sentences);
            explain(provider, &derived.cause2, sentences);
            return;
        }
        DerivationTree::External(external) => external,
    };
    let name = |id: &i64| provider.known.get(id).map_or_else(|| format!("plugin {id}"), |plugin| plugin.name.clone());
    let listed = |id: &i64, set: &Ranges<Version>| {
        let versions = provider.known.get(id).map(|plugin| plugin.versions.keys()).into_iter().flatten();
        versions.filter(|version| set.contains(version)).map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let lacking = |id: &i64, set: &Ranges<Version>| match provider.known.get(id) {
        None => ", which is not there".to_owned(),
        Some(_) if *set != Ranges::empty() => String::new(),
        Some(plugin) if plugin.versions.is_empty() => ", and it has no version that can be installed".to_owned(),
        Some(_) => format!(", and there are only the versions {}", listed(id, &Ranges::full())),
    };
    let sentence = match external {
        External::FromDependencyOf(ROOT, _, id, set) => match provider.wanted.iter().find(|one| one.id == *id) {
            Some(Wanted { range: Some(range), .. }) => format!("{} {range} is wanted{}", name(id), lacking(id, set)),
            Some(_) => format!("{} is wanted{}", name(id), lacking(id, set)),
            None => {
                let installed = provider.known.get(id).and_then(|plugin| plugin.installed.as_ref());
                let installed = installed.map_or_else(String::new, |version| format!(" {version}"));
                format!("{}{installed} is installed and must go on working", name(id))
            }
        },
        External::FromDependencyOf(id, set, other, wanted) => {
            let known = provider.known.get(id);
            let ranges = known
                .into_iter()
                .flat_map(|plugin| &plugin.versions)
                .filter(|(version, _)| set.contains(version))
                .flat_map(|(_, needs)| needs)
                .filter(|need| need.id == *other)
                .map(|need| need.range.clone())
                .collect::<BTreeSet<_>>();
            let all = known.is_some_and(|plugin| plugin.versions.keys().all(|version| set.contains(version)));
            let versions = if all { "every version of it there is".to_owned() } else { listed(id, set) };
            let range = ranges.into_iter().collect::<Vec<_>>().join(" or ");
            format!("{} ({versions}) needs {} {range}{}", name(id), name(other), lacking(other, wanted))
        }
        External::NoVersions(id, _) => match provider.known.get(id) {
            None => format!("{} is not there", name(id)),
            Some(plugin) if plugin.versions.is_empty() => format!("{} has no version that can be installed", name(id)),
            Some(_) => format!("{} has only the versions {}", name(id), listed(id, &Ranges::full())),
        },
        External::Custom(_, _, reason) => reason.clone(),
        External::NotRoot(..) => return,
    };
    if !sentences.contains(&sentence) {
        sentences.push(sentence);
    }
}

#[cfg(test)]
mod any;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// name, installed, versions with what they need.
    type Line = (i64, &'static str, Option<&'static str>, &'static [(&'static str, &'static [(i64, &'static str)])]);

    fn known(lines: &[Line]) -> HashMap<i64, Known> {
        lines
            .iter()
            .map(|(id, name, installed, versions)| {
                let versions = versions
                    .iter()
                    .map(|(version, needs)| {
                        let needs = needs.iter().map(|(id, range)| Need { id: *id, range: (*range).to_owned() });
                        (Version::parse(version).unwrap(), needs.collect())
                    })
                    .collect();
                let installed = installed.map(|it| Version::parse(it).unwrap());
                (*id, Known { name: (*name).to_owned(), installed, versions })
            })
            .collect()
    }

    fn said(plan: &ChangePlan) -> Vec<String> {
        plan.steps.iter().map(|step| format!("{} {} {}", step.action, step.name, step.to)).collect()
    }

    fn want(id: i64) -> Vec<Wanted> {
        vec![Wanted { id, range: None }]
    }

    #[test]
    fn what_is_needed_comes_first_and_what_fits_is_kept() {
        let known = known(&[
            (1, "shop", None, &[("1.0.0", &[(2, "^1"), (3, "^2")]), ("0.9.0", &[])]),
            (2, "cart", Some("1.1.0"), &[("1.1.0", &[(3, ">=1")]), ("1.5.0", &[(3, ">=1")]), ("2.0.0", &[])]),
            (3, "mail", Some("1.0.0"), &[("1.0.0", &[]), ("2.3.0", &[]), ("3.0.0", &[])]),
        ]);
        let plan = plan(&known, &want(1));
        assert!(plan.possible);
        assert_eq!(said(&plan), ["upgrade mail 2.3.0", "keep cart 1.1.0", "install shop 1.0.0"]);
    }

    #[test]
    fn an_older_version_is_taken_when_the_newest_cannot_be() {
        let known = known(&[
            (1, "shop", None, &[("2.0.0", &[(2, "^9")]), ("1.0.0", &[(2, "^1")])]),
            (2, "cart", None, &[("1.0.0", &[])]),
        ]);
        assert_eq!(said(&plan(&known, &want(1))), ["install cart 1.0.0", "install shop 1.0.0"]);
    }

    #[test]
    fn what_only_an_older_version_needed_goes_on_working_too() {
        // The newest shop needs no cart; cart is installed, and needs the mail that the shop wants newer.
        let cart: &[(&str, &[(i64, &str)])] = &[("1.0.0", &[(3, "^1")]), ("2.0.0", &[(3, "^2")])];
        let of = |cart: &'static [(&'static str, &'static [(i64, &'static str)])]| {
            known(&[
                (1, "shop", None, &[("1.0.0", &[(2, "*")]), ("2.0.0", &[(3, "^2")])]),
                (2, "cart", Some("1.0.0"), cart),
                (3, "mail", Some("1.0.0"), &[("1.0.0", &[]), ("2.0.0", &[])]),
            ])
        };
        assert_eq!(
            said(&plan(&of(cart), &want(1))),
            ["upgrade mail 2.0.0", "install shop 2.0.0", "upgrade cart 2.0.0"]
        );
        // Where it cannot go along, an older shop does.
        assert_eq!(
            said(&plan(&of(&cart[..1]), &want(1))),
            ["keep mail 1.0.0", "keep cart 1.0.0", "install shop 1.0.0"]
        );
        let newest = [Wanted { id: 1, range: Some("^2".to_owned()) }];
        let text = plan(&of(&cart[..1]), &newest).explanation.join("; ");
        assert!(text.contains("cart 1.0.0 is installed and must go on working"), "{text}");
    }

    #[test]
    fn what_has_pre_releases_only_can_be_wanted() {
        let known = known(&[(1, "shop", None, &[("1.0.0-beta.1", &[]), ("1.0.0-beta.2", &[])])]);
        assert_eq!(said(&plan(&known, &want(1))), ["install shop 1.0.0-beta.2"]);
    }

    #[test]
    fn a_circle_has_a_plan_too() {
        let known = known(&[(1, "a", None, &[("1.0.0", &[(2, "1")])]), (2, "b", None, &[("1.0.0", &[(1, "1")])])]);
        let plan = plan(&known, &want(1));
        assert!(plan.possible && plan.steps.len() == 2);
    }

    #[test]
    fn why_there_is_no_way_is_told_in_sentences() {
        let conflict = known(&[
            (1, "shop", None, &[("1.0.0", &[(2, "^1"), (3, "^1")])]),
            (2, "cart", None, &[("1.0.0", &[(4, "^2")])]),
            (3, "mail", None, &[("1.0.0", &[(4, "^1")])]),
            (4, "core", None, &[("1.4.0", &[]), ("2.0.0", &[])]),
        ]);
        let plan_made = plan(&conflict, &want(1));
        assert!(!plan_made.possible);
        let text = plan_made.explanation.join("; ");
        for part in ["needs core ^2", "needs core ^1", "needs cart ^1", "shop is wanted"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        // What is installed and needs the old version stands in the way.
        let installed = known(&[
            (1, "core", Some("1.4.0"), &[("1.4.0", &[]), ("2.0.0", &[])]),
            // What it needs besides is none of the plan's business, and was not read.
            (2, "cart", Some("1.0.0"), &[("1.0.0", &[(1, "^1"), (77, "^3")])]),
        ]);
        assert!(plan(&installed, &[Wanted { id: 1, range: Some("^1".to_owned()) }]).possible);
        let wanted = [Wanted { id: 1, range: Some("^2".to_owned()) }];
        let text = plan(&installed, &wanted).explanation.join("; ");
        assert!(text.contains("cart 1.0.0 is installed") && text.contains("needs core ^1"), "{text}");
        let wanted = [Wanted { id: 1, range: Some("^9".to_owned()) }];
        let text = plan(&installed, &wanted).explanation.join("; ");
        assert!(text.contains("core ^9 is wanted, and there are only the versions 1.4.0, 2.0.0"), "{text}");
        // Something that is not there at all.
        let text = plan(&known(&[(1, "shop", None, &[("1.0.0", &[(9, "^1")])])]), &want(1)).explanation.join("; ");
        assert!(text.contains("needs plugin 9 ^1, which is not there"), "{text}");
    }
}
