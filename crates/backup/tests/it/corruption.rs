//! Every kind of object, damaged in each of its regions, cut, and exchanged with another: it is always noticed and named, what
//! does not need it stays restorable, and the next backup works.
use crate::support::Bench;
use backup::{
    BackupError, BackupType, KeySource, Repository, SourceKind, Summary,
    format::{ObjectId, crypto::ObjectKind, object::HEADER_SIZE},
    restore::{self, RestoreRequest, Target},
    verify,
    wal::Fetched,
};
use std::path::{Path, PathBuf};

/// What a file is turned into.
type Harm = (String, Vec<u8>);

/// Flips in each region and cuts at each border; `clear` files have no regions.
fn harms(bytes: &[u8], clear: bool) -> Vec<Harm> {
    let size = bytes.len();
    let flips: Vec<(&str, usize)> = if clear {
        vec![("begin", 0), ("first third", size / 3), ("middle", size / 2), ("end", size - 2)]
    } else {
        let footer = usize::try_from(u64::from_le_bytes(bytes[size - 16..size - 8].try_into().unwrap())).unwrap();
        vec![
            ("magic", 3),
            ("version", 8),
            ("kind", 9),
            ("encryption", 10),
            ("reserved byte", 11),
            ("key id", 14),
            ("object id", 25),
            ("repository id", 40),
            ("reserved end", 60),
            ("codec", HEADER_SIZE),
            ("first frame", HEADER_SIZE + 7),
            ("last frame's tag", footer - 1),
            ("footer", footer + 2),
            ("footer's tag", size - 17),
            ("footer's offset", size - 16),
            ("footer's length", size - 8),
            ("end mark", size - 1),
        ]
    };
    let mut all = Vec::new();
    for (region, at) in flips {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x10;
        all.push((format!("a bit of its {region}"), changed));
    }
    let borders = if clear { vec![0, size / 2] } else { vec![0, 20, HEADER_SIZE, size / 2, size - 16, size - 1] };
    all.extend(borders.into_iter().map(|at| (format!("cut at {at} of {size}"), bytes[..at].to_vec())));
    if !clear {
        all.push(("longer by a byte".to_owned(), [bytes, b"x"].concat()));
    }
    all
}

struct Patient {
    bench: Bench,
    system: u64,
    /// A lineage of its own, and never touched.
    other: Summary,
    /// The ones that are damaged.
    full: Summary,
    incremental: Summary,
}

impl Patient {
    async fn new() -> Self {
        let bench = Bench::new(test_support::versions().remove(0)).await;
        // Two data keys and two slots, so that there is something to exchange.
        let (recovery, _) = KeySource::new_recovery().unwrap();
        bench.repository.add_key(&recovery, "paper").await.unwrap();
        let other = bench.backup(BackupType::Full, SourceKind::Local).await;
        bench.change(1).await;
        // Only files that rested for two seconds are taken over unread: the incremental is to need objects of the full one.
        crate::support::sql(&bench.url(), "CHECKPOINT").await;
        tokio::time::sleep(std::time::Duration::from_millis(2_200)).await;
        let full = bench.backup(BackupType::Full, SourceKind::Local).await;
        bench.change(2).await;
        crate::support::sql(&bench.url(), "SELECT pg_switch_wal()").await;
        let incremental = bench.backup(BackupType::Incremental, SourceKind::Local).await;
        assert_eq!(incremental.lineage, full.lineage);
        assert!(incremental.stats.unchanged_files > 100, "{:?}", incremental.stats);
        let system = full.cluster.system_identifier;
        let history = bench.place("00000002.history");
        std::fs::write(&history, format!("1\t{}\ta switchover\n", incremental.stop_lsn)).unwrap();
        backup::wal::push(&bench.repository, &bench.cluster.server.data_dir(), &history).await.unwrap();
        Self { bench, system, other, full, incremental }
    }

    fn root(&self) -> PathBuf {
        self.bench.place("repository")
    }

    async fn objects(&self, prefix: &str) -> Vec<PathBuf> {
        let listed = self.bench.store.list(prefix).await.unwrap();
        let paths = listed.into_iter().map(|info| self.root().join(info.key)).collect::<Vec<_>>();
        assert!(!paths.is_empty(), "{prefix}");
        paths
    }

    async fn open(&self) -> Result<Repository, BackupError> {
        let key = KeySource::read_file(&self.bench.place("key")).unwrap();
        Repository::open(self.bench.store.clone(), Some(&key)).await
    }

    /// What verifying the newest backup says, which names objects of the one before too.
    async fn findings(&self) -> Vec<String> {
        self.findings_of(&[&self.incremental]).await
    }

    async fn findings_of(&self, backups: &[&Summary]) -> Vec<String> {
        let repository = match self.open().await {
            Ok(repository) => repository,
            Err(error) => return vec![error.to_string()],
        };
        let catalogue = repository.catalogue(self.system).await.unwrap();
        let mut found = catalogue.damaged.iter().map(ToString::to_string).collect::<Vec<_>>();
        for one in backups {
            if catalogue.backups.iter().any(|listed| listed.id == one.id) {
                found.extend(verify(&repository, one, &std::sync::Arc::default()).await.unwrap().problems);
            }
        }
        found
    }

    /// The other lineage can be listed, planned and read.
    async fn the_other_is_whole(&self, what: &str) {
        let repository = self.open().await.unwrap();
        let request = RestoreRequest {
            system: None,
            backup: Some(self.other.id.clone()),
            target: Target::Immediate,
            timeline: None,
        };
        let (plan, _) = restore::plan(&repository, &request).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let verified = verify(&repository, &plan.backup, &std::sync::Arc::default()).await.unwrap();
        assert_eq!(verified.problems, Vec::<String>::new(), "{what}");
    }

    /// An incremental works, and is full where it must not build on what is damaged. It reads no page that it does not
    /// need, so damage may stay in its lineage, and then verifying names it. A full backup is whole in any case.
    async fn the_next_backup_works(&self, what: &str) {
        let repository = self.open().await.unwrap();
        let before = self.findings().await;
        for kind in [BackupType::Incremental, BackupType::Full] {
            let options = backup::CreateOptions { kind, source: Some(SourceKind::Local), ..Default::default() };
            let (source, progress) = (self.bench.source(), std::sync::Arc::default());
            let made = backup::create(&repository, &source, "postgres", &options, &progress).await;
            let made = made.unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = verify(&repository, &made, &std::sync::Arc::default()).await.unwrap().problems;
            let known = made.lineage == self.full.lineage && !before.is_empty();
            assert!(found.is_empty() || known, "{what}: {} {found:?}", made.id);
            // It goes again: the next damage is to find what was there before.
            for info in self.bench.store.list(&format!("clusters/{}/backups/{}/", self.system, made.id)).await.unwrap()
            {
                self.bench.store.delete(&info.key).await.unwrap();
            }
        }
    }

    /// Does every harm to a file, looks, and undoes it.
    async fn suffer(&self, path: &Path, clear: bool) -> usize {
        let bytes = std::fs::read(path).unwrap();
        let key = path.strip_prefix(self.root()).unwrap().display().to_string();
        // All of them at packs; of the others, which are read by the same code, every second one.
        let step = if key.contains("/packs/") { 1 } else { 2 };
        let all = harms(&bytes, clear).into_iter().step_by(step).collect::<Vec<_>>();
        let count = all.len();
        for (number, (harm, changed)) in all.into_iter().enumerate() {
            std::fs::write(path, changed).unwrap();
            let found = self.findings().await;
            let named = found.iter().any(|it| it.contains(&key));
            assert!(named, "{harm} of {key}: {found:?}");
            if number == 5 {
                self.the_other_is_whole(&format!("{harm} of {key}")).await;
                self.the_next_backup_works(&format!("{harm} of {key}")).await;
            }
        }
        std::fs::write(path, bytes).unwrap();
        assert_eq!(self.findings().await, Vec::<String>::new());
        count
    }

    /// Exchanges two files.
    async fn exchange(&self, one: &Path, other: &Path) {
        let (a, b) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
        std::fs::write(one, &b).unwrap();
        std::fs::write(other, &a).unwrap();
        let found = self.findings_of(&[&self.full, &self.incremental]).await;
        assert!(!found.is_empty(), "{} in the place of {} is not noticed", one.display(), other.display());
        std::fs::write(one, a).unwrap();
        std::fs::write(other, b).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_object_is_damaged_in_every_region() {
    let patient = Patient::new().await;
    assert_eq!(patient.findings().await, Vec::<String>::new());
    let (system, full, incremental) = (patient.system, &patient.full, &patient.incremental);
    let lineage = format!("clusters/{system}/lineages/{}/", full.lineage);
    let packs = patient.objects(&format!("{lineage}packs/")).await;
    let maps = patient.objects(&format!("{lineage}maps/")).await;
    let backups = format!("clusters/{system}/backups/");
    let (manifest, commit) =
        (format!("{backups}{}/manifest", incremental.id), format!("{backups}{}/commit", incremental.id));
    let wal = patient.objects(&format!("clusters/{system}/wal/")).await;
    let needed = wal.iter().filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let lsn = |at: usize| u64::from_str_radix(&name[at..at + 16], 16).unwrap();
        lsn(0) < incremental.stop_lsn.0 && lsn(17) > incremental.start_lsn.0
    });
    let needed = needed.cloned().collect::<Vec<_>>();
    let mut harmed = 0;
    for path in [&packs[0], &maps[0], &patient.root().join(&manifest), &patient.root().join(&commit), &needed[0]] {
        harmed += patient.suffer(path, false).await;
    }
    println!("{harmed} kinds of damage were noticed");

    // Exchanged with another of its kind, and with one of another kind.
    let theirs = |name: &str| patient.root().join(format!("{backups}{}/{name}", full.id));
    patient.exchange(&packs[0], &packs[packs.len() - 1]).await;
    patient.exchange(&maps[0], &maps[maps.len() - 1]).await;
    patient.exchange(&patient.root().join(&manifest), &theirs("manifest")).await;
    patient.exchange(&patient.root().join(&commit), &theirs("commit")).await;
    patient.exchange(&needed[0], wal.iter().find(|path| **path != needed[0]).unwrap()).await;
    patient.exchange(&packs[0], &maps[0]).await;
    patient.exchange(&patient.root().join(&commit), &patient.root().join(&manifest)).await;
    // Gone altogether.
    for path in [&packs[0], &maps[0], &patient.root().join(&manifest), &needed[0]] {
        let bytes = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(!patient.findings().await.is_empty(), "{} is gone and that is not noticed", path.display());
        patient.the_other_is_whole("gone").await;
        patient.the_next_backup_works("gone").await;
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(patient.findings().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_small_clear_files_are_told_apart_from_a_wrong_key() {
    let patient = Patient::new().await;
    let slots = patient.objects("keys/").await;
    let ours = {
        let text = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
        slots.iter().find(|path| text(path).contains("\"file\"")).unwrap().clone()
    };
    let paper = slots.iter().find(|path| **path != ours).unwrap().clone();
    let bytes = std::fs::read(&ours).unwrap();
    for (harm, changed) in harms(&bytes, true) {
        std::fs::write(&ours, changed).unwrap();
        let error = patient.open().await.unwrap_err();
        assert!(error.is_damage() && error.to_string().contains("keys/"), "{harm}: {error}");
    }
    std::fs::write(&ours, &bytes).unwrap();
    // Somebody else's slot is no obstacle.
    let other = std::fs::read(&paper).unwrap();
    for (_, changed) in harms(&other, true) {
        std::fs::write(&paper, changed).unwrap();
        patient.open().await.unwrap();
    }
    std::fs::write(&paper, &other).unwrap();
    patient.exchange(&ours, &paper).await;

    // Of the repository's file and the data keys one copy is enough, and two bad ones are told.
    for (first, copy) in [("repo.json", "repo-copy.json"), ("epochs/000001", "epochs/000001-copy")] {
        let (first, copy) = (patient.root().join(first), patient.root().join(copy));
        let bytes = std::fs::read(&first).unwrap();
        assert_eq!(bytes.is_empty(), std::fs::read(&copy).unwrap().is_empty());
        let second = std::fs::read(&copy).unwrap();
        for (harm, changed) in harms(&bytes, true) {
            std::fs::write(&first, &changed).unwrap();
            let repository = patient.open().await.unwrap_or_else(|error| panic!("{harm}: {error}"));
            assert_eq!(repository.catalogue(patient.system).await.unwrap().backups.len(), 3);
            std::fs::write(&copy, &changed[..changed.len() / 2]).unwrap();
            let error = patient.open().await.unwrap_err();
            assert!(!matches!(error, BackupError::WrongKey(_)), "{harm}: {error}");
            std::fs::write(&copy, &second).unwrap();
        }
        std::fs::remove_file(&first).unwrap();
        patient.open().await.unwrap();
        std::fs::write(&first, bytes).unwrap();
    }
    patient.the_next_backup_works("all is well again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_wal_stops_recovery_and_damaged_history_is_mended() {
    let patient = Patient::new().await;
    let (bench, system) = (&patient.bench, patient.system);
    let data = bench.cluster.server.data_dir();
    let size = patient.full.cluster.wal_segment_size;
    let name = pgphysical::wal::WalSegment::containing(1, patient.incremental.start_lsn, size).file_name(size);
    let to = bench.place("fetched");
    assert_eq!(backup::wal::fetch(&bench.repository, &data, &name, &to).await.unwrap(), Fetched::Delivered);
    let start = pgphysical::wal::WalSegment::containing(1, patient.incremental.start_lsn, size).start(size);
    let pieces = patient.objects(&format!("clusters/{system}/wal/00000001/{:016X}", start.0)).await;
    let path = &pieces[0];
    let bytes = std::fs::read(path).unwrap();
    for (harm, changed) in harms(&bytes, false) {
        std::fs::write(path, changed).unwrap();
        let error = backup::wal::fetch(&bench.repository, &data, &name, &to).await.unwrap_err();
        assert!(error.is_damage(), "{harm}: {error}");
    }
    std::fs::write(path, &bytes).unwrap();
    // Authentic, and under the name of another place.
    let id = path.file_name().unwrap().to_str().unwrap().rsplit('-').next().unwrap().to_owned();
    let length = bench.repository.wal_pieces(system, 1).await.unwrap();
    let length = length.iter().find(|piece| piece.id.to_string() == id).map(|it| it.end.0 - it.start.0).unwrap();
    let elsewhere = start.0 + 90 * u64::from(size);
    let moved = path.with_file_name(format!("{elsewhere:016X}-{:016X}-{id}", elsewhere + length));
    std::fs::rename(path, &moved).unwrap();
    let wanted = pgphysical::wal::WalSegment { timeline: 1, number: elsewhere / u64::from(size) }.file_name(size);
    let error = backup::wal::fetch(&bench.repository, &data, &wanted, &to).await.unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("not of the place"), "{error}");
    std::fs::rename(&moved, path).unwrap();

    let history = patient.objects(&format!("clusters/{system}/history/")).await.remove(0);
    let whole = bench.repository.history_file(system, 2).await.unwrap().unwrap();
    let bytes = std::fs::read(&history).unwrap();
    for (harm, changed) in harms(&bytes, false) {
        std::fs::write(&history, changed).unwrap();
        let error = backup::wal::fetch(&bench.repository, &data, "00000002.history", &to).await.unwrap_err();
        assert!(error.is_damage(), "{harm}: {error}");
    }
    // The server still has it, and archives it once more.
    backup::wal::push(&bench.repository, &data, &bench.place("00000002.history")).await.unwrap();
    assert_eq!(bench.repository.history_file(system, 2).await.unwrap().unwrap(), whole);

    // A gap whose record is damaged does not stand in the way.
    let id = ObjectId::random();
    let key = format!("clusters/{system}/gaps/00000001-0000000000000000-{id}");
    bench.repository.write(&key, id, ObjectKind::Gap, b"{}").await.unwrap();
    assert!(bench.repository.gaps(system).await.unwrap().is_empty());
    let path = patient.root().join(&key);
    for (_, changed) in harms(&std::fs::read(&path).unwrap(), false) {
        std::fs::write(&path, changed).unwrap();
        assert!(bench.repository.gaps(system).await.unwrap().is_empty());
    }
    patient.the_other_is_whole("a damaged gap").await;
}
