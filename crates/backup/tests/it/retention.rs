//! Retention over random chains: nothing that is needed ever goes, by rule and in the store.
use backup::{
    BackupType, KeySource, Repository, SourceKind, Summary,
    format::{
        ObjectId,
        crypto::ObjectKind,
        layout,
        manifest::{BackupStats, ClusterFacts, DamagedPage, Entry, EntryKind, MapRef},
        map::{FileMap, Piece, WINDOW_PAGES, Window},
        object::{FrameRef, HEADER_SIZE},
    },
    retention::{Retention, expire, plan_expire},
};
use blobs::{BlobStore, Bytes, DirStore};
use domain::{Lsn, Timestamp};
use proptest::prelude::*;
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

const DAY: i64 = 86_400_000;
const SYSTEM: u64 = 7_300_000_000_000_000_001;
const SEGMENT: u64 = 16 << 20;
const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// One backup of a chain: hours since the one before, whether it begins a lineage, whether it holds damaged pages.
type Step = (i64, bool, bool);

fn chain(steps: &[Step]) -> Vec<Summary> {
    let age = steps.iter().map(|(hours, ..)| hours).sum::<i64>();
    let (mut at, mut lineage) = (NOW.0 - age * 3_600_000, ObjectId::random());
    let mut all = Vec::<Summary>::new();
    for (number, (hours, full, damaged)) in steps.iter().enumerate() {
        at += hours * 3_600_000;
        let full = *full || number == 0;
        if full {
            lineage = ObjectId::random();
        }
        let start = (number as u64 + 1) * 5 * SEGMENT / 2;
        all.push(Summary {
            id: format!("{number:04}-{}", ObjectId::random()),
            kind: if full { BackupType::Full } else { BackupType::Incremental },
            lineage,
            parent: (!full).then(|| all[number - 1].id.clone()),
            cluster: ClusterFacts {
                system_identifier: SYSTEM,
                version: 150_008,
                catalog_version: 1,
                wal_segment_size: SEGMENT as u32,
                checksums: true,
            },
            source: SourceKind::Local,
            from_standby: false,
            started_at: Timestamp(at - 60_000),
            stopped_at: Timestamp(at),
            timeline: 1,
            start_lsn: Lsn(start),
            stop_lsn: Lsn(start + SEGMENT),
            tablespaces: Vec::new(),
            captured: Vec::new(),
            damaged: if *damaged {
                vec![DamagedPage { path: "base/1/1".to_owned(), page: 1, suspected: false }]
            } else {
                Vec::new()
            },
            stats: BackupStats::default(),
            job: None,
            manifest_hash: None,
        });
    }
    all
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((1_i64..60, prop::bool::weighted(0.3), prop::bool::weighted(0.1)), 1..40)
}

fn rules() -> impl Strategy<Value = Retention> {
    let some = |most: u32| prop::option::weighted(0.5, 0..most);
    (some(5), some(20), some(8), some(5), some(4), 0_u32..4).prop_map(
        |(full, days, daily, weekly, monthly, minimum)| Retention {
            keep_full: full,
            keep_days: days,
            keep_daily: daily,
            keep_weekly: weekly,
            keep_monthly: monthly,
            minimum,
            ..Retention::default()
        },
    )
}

fn kept(rules: &Retention, backups: &[Summary]) -> Vec<bool> {
    rules.decide(backups, NOW).iter().map(|verdict| !verdict.reasons.is_empty()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_a_rule_promises_stays(steps in steps(), rules in rules()) {
        let backups = chain(&steps);
        let verdicts = rules.decide(&backups, NOW);
        prop_assert_eq!(verdicts.len(), backups.len());
        let stays = kept(&rules, &backups);
        prop_assert!(stays.iter().filter(|it| **it).count() >= (rules.minimum.max(1) as usize).min(backups.len()));
        // A clean one stays, if there is any.
        let clean = (0..backups.len()).filter(|at| backups[*at].damaged.is_empty()).collect::<Vec<_>>();
        prop_assert!(clean.is_empty() || clean.iter().any(|at| stays[*at]));
        // Each moment of the window that could be restored still can be, with all WAL from there on.
        if let Some(days) = rules.keep_days {
            let since = NOW.0 - i64::from(days) * DAY;
            for moment in (0..=20).map(|n| since + (NOW.0 - since) * n / 20) {
                let reaches = |at: &usize| backups[*at].stopped_at.0 <= moment;
                let before = (0..backups.len()).rfind(reaches);
                let after = (0..backups.len()).filter(reaches).rfind(|at| stays[*at] && verdicts[*at].keeps_wal);
                prop_assert_eq!(before, after, "a moment {} hours ago", (NOW.0 - moment) / 3_600_000);
            }
        }
        if let Some(count) = rules.keep_full {
            let mut lineages = backups.iter().rev().map(|one| one.lineage).collect::<Vec<_>>();
            lineages.dedup();
            for (one, stays) in backups.iter().zip(&stays) {
                prop_assert!(*stays || !lineages.iter().take(count as usize).any(|it| *it == one.lineage));
            }
        }
        if let Some(count) = rules.keep_daily {
            let days = backups.iter().map(|one| one.stopped_at.0.div_euclid(DAY)).collect::<BTreeSet<_>>();
            for day in days.iter().rev().take(count as usize) {
                let newest = backups.iter().rposition(|one| one.stopped_at.0.div_euclid(DAY) == *day).unwrap();
                prop_assert!(stays[newest]);
            }
        }
    }

    /// One rule more keeps never less.
    #[test]
    fn rules_only_add_up(steps in steps(), rules in rules()) {
        let backups = chain(&steps);
        let all = kept(&rules, &backups);
        for one in [
            Retention { keep_full: rules.keep_full, ..Retention::default() },
            Retention { keep_days: rules.keep_days, ..Retention::default() },
            Retention { keep_daily: rules.keep_daily, ..Retention::default() },
            Retention { keep_weekly: rules.keep_weekly, ..Retention::default() },
            Retention { keep_monthly: rules.keep_monthly, ..Retention::default() },
        ] {
            // Without any rule everything stays, which is no rule.
            if [one.keep_full, one.keep_days, one.keep_daily, one.keep_weekly, one.keep_monthly].iter().all(Option::is_none) {
                continue;
            }
            let alone = kept(&Retention { minimum: rules.minimum, ..one }, &backups);
            prop_assert!(alone.iter().zip(&all).all(|(alone, all)| *all || !alone));
        }
    }
}

/// What a backup of the chain needs: its own objects, and the packs of the lineage up to it.
struct Stored {
    repository: Repository,
    store: Arc<dyn BlobStore>,
    needs: Vec<HashSet<String>>,
    _directory: tempfile::TempDir,
}

/// Writes a chain with packs, maps, manifests, commits and WAL, as backups would have left it.
async fn store_of(backups: &[Summary]) -> Stored {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(DirStore::create(&directory.path().join("repository")).unwrap());
    let (key, _) = KeySource::new_file().unwrap();
    let repository = Repository::init(store.clone(), Some(&key)).await.unwrap();
    let (mut needs, mut packs) = (Vec::new(), Vec::<ObjectId>::new());
    for one in backups {
        if one.kind == BackupType::Full {
            packs.clear();
        }
        let mut needed = HashSet::new();
        let pack = ObjectId::random();
        repository.write(&layout::pack(SYSTEM, one.lineage, pack), pack, ObjectKind::Pack, b"pages").await.unwrap();
        packs.push(pack);
        // Of the packs before, those of the last three backups are still used.
        let used = packs.iter().rev().take(3).copied().collect::<Vec<_>>();
        let frame = FrameRef { frame: 0, offset: HEADER_SIZE as u32, sealed: 26 };
        let pieces = (0..used.len()).map(|at| Piece { pack: at as u32, frame, start: 0, pages: u128::MAX }).collect();
        let window = Window { fingerprints: vec![9; WINDOW_PAGES], pieces };
        let map = FileMap { size: 1 << 20, packs: used.clone(), windows: vec![window] };
        let (id, mut plain) = (ObjectId::random(), Vec::new());
        map.encode(&mut plain);
        let key = layout::map(SYSTEM, one.lineage, id);
        let (_, size) = repository.write(&key, id, ObjectKind::Map, &plain).await.unwrap();
        let bytes = store.get(&key).await.unwrap();
        let footer = u64::from_le_bytes(bytes[bytes.len() - 16..bytes.len() - 8].try_into().unwrap());
        assert!(footer < size);
        let entry = Entry {
            path: "base/1/1".to_owned(),
            kind: EntryKind::File,
            mode: 0o600,
            size: 1 << 20,
            modified: 0,
            stamp: None,
            map: Some(MapRef {
                object: id,
                frame: FrameRef { sealed: footer as u32 - HEADER_SIZE as u32, ..frame },
                start: 0,
                length: plain.len() as u32,
            }),
        };
        let manifest = format!("{}\n{}\n", serde_json::to_string(one).unwrap(), serde_json::to_string(&entry).unwrap());
        let name = layout::manifest(SYSTEM, &one.id);
        let (hash, _) =
            repository.write(&name, ObjectId::random(), ObjectKind::Manifest, manifest.as_bytes()).await.unwrap();
        let commit = Summary { manifest_hash: Some(hash.to_hex().to_string()), ..one.clone() };
        let commit = serde_json::to_vec(&commit).unwrap();
        let commit_name = layout::commit(SYSTEM, &one.id);
        repository.write(&commit_name, ObjectId::random(), ObjectKind::Commit, &commit).await.unwrap();
        needed.extend([name, commit_name, key]);
        needed.extend(used.iter().map(|pack| layout::pack(SYSTEM, one.lineage, *pack)));
        needs.push(needed);
    }
    // WAL, a piece a segment, from before the first to behind the last.
    let end = backups.last().unwrap().stop_lsn.0 / SEGMENT + 3;
    for segment in 0..end {
        let id = ObjectId::random();
        let (start, stop) = (Lsn(segment * SEGMENT), Lsn((segment + 1) * SEGMENT));
        let name = layout::wal_piece(SYSTEM, 1, start, stop, id);
        store.put_new(&name, Bytes::from_static(b"wal")).await.unwrap();
        for (one, needed) in backups.iter().zip(&mut needs) {
            if stop > one.start_lsn && start < one.stop_lsn {
                needed.insert(name.clone());
            }
        }
    }
    Stored { repository, store, needs, _directory: directory }
}

#[test]
fn expiry_removes_nothing_that_a_kept_backup_names() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(12));
    let few = (prop::collection::vec((1_i64..60, prop::bool::weighted(0.3), Just(false)), 2..12), rules(), 0_usize..3);
    runner
        .run(&few, |(steps, rules, rounds)| {
            runtime.block_on(async {
                // The engine's clock is this machine's.
                let mut backups = chain(&steps);
                let shift = backup_now() - NOW.0;
                for one in &mut backups {
                    one.stopped_at.0 += shift;
                    one.started_at.0 += shift;
                }
                let stored = store_of(&backups).await;
                let rules = Retention { grace_hours: Some(0), ..rules };
                let mut gone = false;
                for _ in 0..=rounds {
                    let plan = plan_expire(&stored.repository, SYSTEM, &rules).await.unwrap();
                    expire(&stored.repository, &plan).await.unwrap();
                    let there = stored.store.list("clusters/").await.unwrap();
                    let there = there.into_iter().map(|info| info.key).collect::<HashSet<_>>();
                    let listed = stored.repository.backups(SYSTEM).await.unwrap();
                    let verdicts = rules.decide(&backups, Timestamp(backup_now()));
                    for ((one, needed), verdict) in backups.iter().zip(&stored.needs).zip(&verdicts) {
                        let stays = !verdict.reasons.is_empty();
                        assert_eq!(listed.iter().any(|it| it.id == one.id), stays, "{}", one.id);
                        if stays {
                            let lost = needed.difference(&there).collect::<Vec<_>>();
                            assert!(lost.is_empty(), "{} stays and lost {lost:?} ({rules:?})", one.id);
                        }
                        gone |= !stays;
                        // The moments after a backup that keeps its WAL: nothing behind it is missing.
                        if stays && verdict.keeps_wal {
                            let pieces = stored.repository.wal_pieces(SYSTEM, 1).await.unwrap();
                            let from = Lsn(one.start_lsn.0 / SEGMENT * SEGMENT);
                            let end = pieces.iter().map(|piece| piece.end).max().unwrap();
                            let at = pieces.iter().position(|piece| piece.start == from).unwrap();
                            assert_eq!(backup::wal::covered_until(&pieces[at..], from), end);
                        }
                    }
                }
                let _ = gone;
            });
            Ok(())
        })
        .unwrap();
}

fn backup_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
