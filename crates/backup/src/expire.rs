//! Expiry in two steps (docs/adr/0012-expiry-in-two-steps.md). First a backup's commit goes and a tombstone stands in its
//! place: it is no longer listed, and nothing else is touched. When the grace time is over, and nobody reads of its lineage,
//! the tombstone goes and then the objects. An interruption at any point leaves garbage and never a backup with holes.
use crate::{
    BackupError,
    format::{
        ObjectId,
        crypto::ObjectKind,
        layout::{self, WalPieceName},
        manifest::Summary,
    },
    hold::Hold,
    lease::{Lease, Reads, readers, server_now},
    maps::MapReader,
    record::Record,
    repo::{Repository, now},
    retention::{DAY_MS, Retention, Verdict},
};
use blobs::{BlobError, BlobInfo};
use domain::{Lsn, Timestamp};
use pgphysical::wal::Timeline;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What is left of an expired backup until its objects go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    id: ObjectId,
    expired_at: Timestamp,
    /// The whole commit, so that the backup can be recalled.
    summary: Summary,
    /// When it was written by the store's clock.
    #[serde(skip)]
    since: Timestamp,
}

/// An expired backup whose objects are still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The backup.
    pub id: String,
    /// When its grace time is over.
    pub until: Timestamp,
    /// Who still reads of its lineage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<String>,
}

/// What an expiry will do.
#[derive(Clone, Debug, Serialize)]
pub struct ExpirePlan {
    /// The cluster.
    pub system: u64,
    /// Each backup, oldest first.
    pub verdicts: Vec<Verdict>,
    /// Backups that are expired now: no longer listed, recallable until their grace time is over.
    pub expiring: Vec<String>,
    /// Expired backups whose objects stay for now.
    pub waiting: Vec<Waiting>,
    /// Lineages of which nothing is left: all their packs and maps go.
    pub lineages: Vec<ObjectId>,
    /// Objects that go now.
    pub objects: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// WAL before this is not needed any more, but for what makes older backups consistent.
    pub wal_before: Option<Lsn>,
    /// Of the objects those that interrupted work left over.
    pub garbage: usize,
    #[serde(skip)]
    retention: Retention,
}

/// Plans an expiry.
///
/// # Errors
/// What the store says; damage anywhere in the catalogue stops it, because nobody knows then what is needed.
pub async fn plan_expire(
    repository: &Repository,
    system: u64,
    retention: &Retention,
) -> Result<ExpirePlan, BackupError> {
    let backups = repository.backups(system).await?;
    let holds = repository.holds(system).await?;
    let verdicts = retention.decide_with(&backups, &holds, now());
    planned(repository, system, retention, backups, holds, verdicts).await
}

/// Plans to take one backup away, whatever the rules say of it; all others stay, with the WAL that the rules keep for
/// them. As with every expiry it can be recalled until its grace time is over.
///
/// # Errors
/// [`BackupError::NotFound`]; [`BackupError::Conflict`] with why it must stay: it is held, it is read at this moment, or
/// fewer backups without damage than the rules demand would be left. An incremental needs no other backup.
pub async fn plan_removal(
    repository: &Repository,
    system: u64,
    retention: &Retention,
    id: &str,
) -> Result<ExpirePlan, BackupError> {
    let backups = repository.backups(system).await?;
    let one = backups.iter().find(|one| one.id == id).ok_or_else(|| {
        BackupError::NotFound(format!("there is no backup {id}; 'holdfast backup list' shows what is there"))
    })?;
    let holds = repository.holds(system).await?;
    if let Some(hold) = holds.iter().find(|hold| hold.backup == id && hold.holds_at(now())) {
        return Err(BackupError::Conflict(format!(
            "backup {id} stays: it is {}; 'holdfast backup release {id}' takes all its holds off",
            hold.describe()
        )));
    }
    if let Some(reader) = readers(repository, system).await?.into_iter().find(|reader| reader.backup == id) {
        return Err(BackupError::Conflict(format!(
            "backup {id} stays: it is being read by a running {}; wait for its end, or stop it",
            reader.work
        )));
    }
    let minimum = retention.minimum.max(1) as usize;
    let left = backups.iter().filter(|other| other.id != id && other.damaged.is_empty()).count();
    if left < minimum && (one.damaged.is_empty() || backups.len() <= minimum) {
        return Err(BackupError::Conflict(format!(
            "backup {id} stays: without it {} without damaged pages would be left, and at least {} kept; take another backup first",
            domain::format::counted(left, "backup", "backups"),
            domain::format::counted(minimum, "is", "are")
        )));
    }
    let by_rules = retention.decide_with(&backups, &holds, now());
    let verdicts = by_rules.into_iter().map(|rule| match rule.id == id {
        true => Verdict { reasons: Vec::new(), keeps_wal: false, ..rule },
        // What the rules would let go is theirs to decide; until then it keeps all it has.
        false if rule.reasons.is_empty() => {
            Verdict { reasons: vec!["not asked for".to_owned()], keeps_wal: true, ..rule }
        }
        false => rule,
    });
    let mut verdicts = verdicts.collect::<Vec<_>>();
    // What comes after the newest that stays can only be restored from it.
    if let Some(newest) = verdicts.iter_mut().rfind(|it| !it.reasons.is_empty()) {
        newest.keeps_wal = true;
    }
    planned(repository, system, retention, backups, holds, verdicts).await
}

async fn planned(
    repository: &Repository,
    system: u64,
    retention: &Retention,
    backups: Vec<Summary>,
    holds: Vec<Hold>,
    verdicts: Vec<Verdict>,
) -> Result<ExpirePlan, BackupError> {
    let mut tombstones = repository.tombstones(system).await?;
    // A reader of the store alone may plan too.
    let store_now = server_now(repository).await.unwrap_or_else(|_| now());
    let (mut kept, mut expiring) = (Vec::new(), Vec::new());
    for (one, verdict) in backups.into_iter().zip(&verdicts) {
        if verdict.reasons.is_empty() {
            expiring.push(one.id.clone());
            tombstones.retain(|it| it.summary.id != one.id);
            tombstones.push(Tombstone { id: ObjectId::random(), expired_at: now(), summary: one, since: store_now });
        } else {
            kept.push(one);
        }
    }
    let state = State { kept, tombstones, holds, readers: readers(repository, system).await?, now: store_now };
    let sweep = sweep(repository, system, retention, &verdicts, &state).await?;
    Ok(ExpirePlan {
        system,
        verdicts,
        expiring,
        waiting: sweep.waiting,
        lineages: sweep.lineages,
        bytes: sweep.objects.values().sum(),
        garbage: sweep.garbage.len(),
        objects: sweep.tombstones.into_iter().chain(sweep.objects.into_keys()).collect(),
        wal_before: sweep.wal_before,
        retention: *retention,
    })
}

/// Does what was planned. What goes beyond the commits is found anew, so that a reader, a hold or a backup that came
/// since the plan counts.
///
/// # Errors
/// [`BackupError::Busy`] while a backup is being taken, or what the store says. Safe to repeat.
pub async fn expire(repository: &Repository, plan: &ExpirePlan) -> Result<(), BackupError> {
    let store = repository.store();
    let mut done = expire_once(repository, plan).await;
    // What frees room must not fail for want of room.
    if let Err(BackupError::Blob(BlobError::NoSpace { .. })) = &done
        && store.give_up_reserve().await?
    {
        tracing::warn!(store = store.describe(), "no space is left: the room kept back for expiry is used");
        done = expire_once(repository, plan).await;
    }
    if done.is_ok() {
        keep_reserve(repository).await;
    }
    done
}

/// Room for the next expiry; there may be too little for it now, and then it is kept by a later backup.
pub(crate) async fn keep_reserve(repository: &Repository) {
    if let Err(error) = repository.store().keep_reserve().await {
        tracing::warn!(%error, "no room could be kept back for expiry; should the store get full, make room first");
    }
}

async fn expire_once(repository: &Repository, plan: &ExpirePlan) -> Result<(), BackupError> {
    // A backup that is being taken may be comparing itself with one that would go.
    let lease = Lease::take(repository, &format!("backup-{}", plan.system)).await?;
    let done = expire_leased(repository, plan).await;
    lease.release().await;
    done
}

async fn expire_leased(repository: &Repository, plan: &ExpirePlan) -> Result<(), BackupError> {
    let (system, store) = (plan.system, repository.store());
    let held = |holds: &[Hold], id: &str| holds.iter().any(|hold| hold.backup == id && hold.holds_at(now()));
    let holds = repository.holds(system).await?;
    for one in repository.backups(system).await? {
        if !plan.expiring.contains(&one.id) || held(&holds, &one.id) {
            continue;
        }
        repository.bury(&one).await?;
        // A hold that was set in between counts.
        if held(&repository.holds(system).await?, &one.id) {
            repository.unbury(system, &one.id).await?;
        }
    }
    let kept = repository.backups(system).await?;
    // Of the plan: what came since stays, with all its WAL.
    let verdict = |one: &Summary| {
        let known = plan.verdicts.iter().find(|it| it.id == one.id);
        Verdict { id: one.id.clone(), reasons: Vec::new(), keeps_wal: known.is_none_or(|it| it.keeps_wal) }
    };
    let verdicts = kept.iter().map(verdict).collect::<Vec<_>>();
    let state = State {
        tombstones: repository.tombstones(system).await?,
        holds: repository.holds(system).await?,
        // After the commits went: a reader that is not seen here misses its commit and gives up.
        readers: readers(repository, system).await?,
        now: server_now(repository).await?,
        kept,
    };
    let sweep = sweep(repository, system, &plan.retention, &verdicts, &state).await?;
    // From here on nothing can be recalled; what an interruption leaves is garbage.
    for key in sweep.tombstones.iter().chain(sweep.objects.keys()) {
        store.delete(key).await?;
    }
    Ok(())
}

struct State {
    kept: Vec<Summary>,
    tombstones: Vec<Tombstone>,
    holds: Vec<Hold>,
    readers: Vec<Reads>,
    /// By the store's clock.
    now: Timestamp,
}

#[derive(Debug, Default)]
struct Sweep {
    tombstones: Vec<String>,
    /// With their bytes.
    objects: BTreeMap<String, u64>,
    lineages: Vec<ObjectId>,
    waiting: Vec<Waiting>,
    wal_before: Option<Lsn>,
    garbage: BTreeSet<String>,
}

async fn sweep(
    repository: &Repository,
    system: u64,
    retention: &Retention,
    verdicts: &[Verdict],
    state: &State,
) -> Result<Sweep, BackupError> {
    let store = repository.store();
    let mut out = Sweep::default();
    let grace = i64::from(retention.grace_hours.unwrap_or(24)).saturating_mul(3_600_000);
    let (mut over, mut waiting) = (Vec::new(), Vec::new());
    for tombstone in &state.tombstones {
        // Left by an expiry that was interrupted before the commit went, or of a backup that was recalled.
        if state.kept.iter().any(|one| one.id == tombstone.summary.id) {
            out.tombstones.push(tombstone.key(system));
            continue;
        }
        let until = tombstone.since.plus_ms(grace);
        let reads = state.readers.iter().filter(|it| it.lineage == tombstone.summary.lineage);
        let readers = reads.map(|it| format!("{} of {}", it.work, it.backup)).collect::<Vec<_>>();
        if until <= state.now && readers.is_empty() {
            over.push(tombstone);
        } else {
            out.waiting.push(Waiting { id: tombstone.summary.id.clone(), until, readers });
            waiting.push(tombstone);
        }
    }
    let used = state.kept.iter().chain(waiting.iter().map(|it| &it.summary)).map(|one| one.lineage);
    let used = used.collect::<HashSet<_>>();
    for tombstone in &over {
        let one = &tombstone.summary;
        out.tombstones.push(tombstone.key(system));
        out.objects.insert(layout::manifest(system, &one.id), 0);
        if !used.contains(&one.lineage) && !out.lineages.contains(&one.lineage) {
            out.lineages.push(one.lineage);
        }
    }
    for lineage in &out.lineages {
        for info in store.list(&layout::lineage(system, *lineage)).await? {
            out.objects.insert(info.key, info.size);
        }
    }
    // Of lineages that live on, what only the expired had.
    let thinned = over.iter().map(|it| it.summary.lineage).filter(|it| used.contains(it)).collect::<HashSet<_>>();
    for lineage in thinned {
        let members = state.kept.iter().chain(waiting.iter().map(|it| &it.summary)).filter(|it| it.lineage == lineage);
        let unnamed = unreferenced(repository, system, lineage, &members.collect::<Vec<_>>()).await?;
        // Fresh ones may be of a backup that is being written, should its lease have been taken for dead.
        let old = unnamed.into_iter().filter(|info| info.modified.plus_ms(grace) <= state.now);
        out.objects.extend(old.map(|info| (info.key, info.size)));
    }
    for (key, size) in garbage_of(repository, system, &state.kept, &state.tombstones, state.now).await? {
        out.garbage.insert(key.clone());
        out.objects.insert(key, size);
    }
    for hold in &state.holds {
        let there =
            state.kept.iter().any(|one| one.id == hold.backup) || waiting.iter().any(|it| it.summary.id == hold.backup);
        if !there || !hold.holds_at(state.now) {
            out.objects.insert(layout::hold(system, &hold.backup, hold.id), 0);
        }
    }
    // What was shown of a backup goes with it.
    for info in store.list(&layout::records(system)).await? {
        let of = Record::backup_of(&info.key);
        let there =
            state.kept.iter().chain(waiting.iter().map(|it| &it.summary)).any(|one| of == Some(one.id.as_str()));
        if !there {
            out.objects.insert(info.key, info.size);
        }
    }
    if retention.is_set() {
        let keeps_wal = |one: &&Summary| verdicts.iter().any(|it| it.id == one.id && it.keeps_wal);
        let starts = state.kept.iter().filter(keeps_wal).map(segment_start);
        let starts = starts.chain(waiting.iter().map(|it| segment_start(&it.summary)));
        let readers = state.readers.iter().map(|it| it.wal_from);
        out.wal_before = starts.chain(readers).min();
        let ranges = state.kept.iter().map(|one| (one.timeline, segment_start(one), one.stop_lsn)).collect::<Vec<_>>();
        if let Some(before) = out.wal_before {
            for info in store.list(&layout::wal(system)).await? {
                if layout::parse_wal_piece(&info.key).is_some_and(|piece| is_past(&piece, before, &ranges)) {
                    out.objects.insert(info.key, info.size);
                }
            }
            for info in store.list(&format!("{}gaps/", layout::cluster(system))).await? {
                let gap = repository.gap(&info.key).await?;
                if gap.end <= before {
                    out.objects.insert(info.key, info.size);
                }
            }
        }
    }
    Ok(out)
}

/// The first byte of WAL that a restore of the backup asks for.
fn segment_start(one: &Summary) -> Lsn {
    let size = u64::from(one.cluster.wal_segment_size.max(1));
    Lsn(one.start_lsn.0 / size * size)
}

/// Whether a piece is before all that is replayed, and makes no backup consistent either.
fn is_past(piece: &WalPieceName, before: Lsn, ranges: &[(Timeline, Lsn, Lsn)]) -> bool {
    let needed = |(timeline, start, stop): &(Timeline, Lsn, Lsn)| {
        *timeline == piece.timeline && piece.end > *start && piece.start < *stop
    };
    piece.end <= before && !ranges.iter().any(needed)
}

/// Packs and maps of a lineage that none of its remaining backups names.
async fn unreferenced(
    repository: &Repository,
    system: u64,
    lineage: ObjectId,
    members: &[&Summary],
) -> Result<Vec<BlobInfo>, BackupError> {
    let mut places = HashSet::new();
    for one in members {
        places.extend(repository.manifest(one).await?.entries.into_iter().filter_map(|entry| entry.map));
    }
    let mut places = places.into_iter().collect::<Vec<_>>();
    // Neighbours stand in one frame.
    places.sort_by_key(|it| (it.object, it.frame, it.start));
    let mut named = HashSet::new();
    let mut maps = MapReader::new(repository, system, lineage);
    for place in places {
        named.insert(layout::map(system, lineage, place.object));
        let map = maps.read(place).await?;
        named.extend(map.packs.iter().map(|pack| layout::pack(system, lineage, *pack)));
    }
    let listed = repository.store().list(&layout::lineage(system, lineage)).await?;
    Ok(listed.into_iter().filter(|info| !named.contains(&info.key)).collect())
}

impl Tombstone {
    fn key(&self, system: u64) -> String {
        layout::tombstone(system, &self.summary.id, self.id)
    }
}

impl Repository {
    pub(crate) async fn tombstones(&self, system: u64) -> Result<Vec<Tombstone>, BackupError> {
        let mut all = Vec::new();
        for BlobInfo { key, modified, .. } in self.store().list(&layout::tombstones(system)).await? {
            let content = self.read(&key, ObjectKind::Tombstone).await?;
            let mut one: Tombstone =
                serde_json::from_slice(&content).map_err(|error| BackupError::malformed(&key, error))?;
            if one.key(system) != key {
                return Err(BackupError::malformed(&key, "it is the tombstone of another backup"));
            }
            one.since = modified;
            all.push(one);
        }
        Ok(all)
    }

    /// Tombstone first, then the commit goes.
    async fn bury(&self, one: &Summary) -> Result<(), BackupError> {
        let system = one.cluster.system_identifier;
        // The grace time begins now, not when an interrupted expiry tried it before.
        for info in self.store().list(&format!("{}{}-", layout::tombstones(system), one.id)).await? {
            self.store().delete(&info.key).await?;
        }
        let id = ObjectId::random();
        let tombstone = Tombstone { id, expired_at: now(), summary: one.clone(), since: Timestamp(0) };
        let text = serde_json::to_vec(&tombstone).map_err(|error| BackupError::Failed(error.to_string()))?;
        self.write(&tombstone.key(system), id, ObjectKind::Tombstone, &text).await?;
        Ok(self.store().delete(&layout::commit(system, &one.id)).await?)
    }

    async fn unbury(&self, system: u64, id: &str) -> Result<Summary, BackupError> {
        let tombstone = self.tombstones(system).await?.into_iter().find(|it| it.summary.id == id).ok_or_else(|| {
            BackupError::NotFound(format!(
                "there is no expired backup {id} that could be recalled; 'holdfast backup list --expired' shows them"
            ))
        })?;
        let mut text =
            serde_json::to_vec(&tombstone.summary).map_err(|error| BackupError::Failed(error.to_string()))?;
        text.push(b'\n');
        let key = layout::commit(system, id);
        match self.write(&key, ObjectId::random(), ObjectKind::Commit, &text).await {
            Err(BackupError::Blob(blobs::BlobError::Exists { .. })) => {}
            other => _ = other?,
        }
        self.store().delete(&tombstone.key(system)).await?;
        Ok(tombstone.summary)
    }

    /// Backups that were expired and whose objects are still there, oldest first.
    ///
    /// # Errors
    /// What the store says, or damage.
    pub async fn expired(&self, system: u64) -> Result<Vec<Summary>, BackupError> {
        let living = self.backups(system).await?;
        let mut all = self.tombstones(system).await?.into_iter().map(|it| it.summary).collect::<Vec<_>>();
        all.retain(|one| !living.iter().any(|it| it.id == one.id));
        all.sort_by(|a, b| (a.stopped_at, &a.id).cmp(&(b.stopped_at, &b.id)));
        Ok(all)
    }

    /// Takes an expiry back: the backup is listed again.
    ///
    /// # Errors
    /// [`BackupError::NotFound`] when its grace time is over; [`BackupError::Busy`] while an expiry runs.
    pub async fn recall(&self, system: u64, id: &str) -> Result<Summary, BackupError> {
        let lease = Lease::take(self, &format!("backup-{system}")).await?;
        let done = self.unbury(system, id).await;
        lease.release().await;
        done
    }
}

/// Objects that no backup names: of interrupted backups and expiries. Only those older than a day, which no running
/// backup can have written.
///
/// # Errors
/// As [`plan_expire`].
pub async fn garbage(repository: &Repository, system: u64) -> Result<Vec<(String, u64)>, BackupError> {
    let backups = repository.backups(system).await?;
    let tombstones = repository.tombstones(system).await?;
    let now = server_now(repository).await.unwrap_or_else(|_| now());
    garbage_of(repository, system, &backups, &tombstones, now).await
}

async fn garbage_of(
    repository: &Repository,
    system: u64,
    backups: &[Summary],
    tombstones: &[Tombstone],
    now: Timestamp,
) -> Result<Vec<(String, u64)>, BackupError> {
    let all = || backups.iter().chain(tombstones.iter().map(|it| &it.summary));
    let lineages = all().map(|one| layout::lineage(system, one.lineage)).collect::<Vec<_>>();
    let ids = all().map(|one| format!("{}{}/", layout::backups(system), one.id)).collect::<Vec<_>>();
    let old = now.plus_ms(-DAY_MS);
    let mut listed = repository.store().list(&format!("{}lineages/", layout::cluster(system))).await?;
    listed.extend(repository.store().list(&layout::backups(system)).await?);
    let unnamed = listed
        .into_iter()
        .filter(|info| info.modified < old && !lineages.iter().chain(&ids).any(|prefix| info.key.starts_with(prefix)));
    Ok(unnamed.map(|info| (info.key, info.size)).collect())
}
