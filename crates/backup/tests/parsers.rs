//! Every parser of bytes from outside, fed with damaged copies of real samples: no panic, and no memory that the input does not
//! justify. The fuzz targets in `fuzz/` drive the same entries without bound. A program of its own: it measures its own memory,
//! and no other test may run beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[allow(dead_code, unreachable_pub)]
#[path = "it/support.rs"]
mod support;
use crate::support::{Bench, sql};
use backup::{
    BackupType, ExportOptions, KeySource, Record, SourceKind, export,
    format::{
        ObjectId,
        crypto::{ObjectKind, Sealer},
        object::{Compressor, FrameRef, Header, encode_object, seal_frame},
    },
};
use std::{collections::HashMap, fs, sync::Arc};
use test_support::{mutate, peak_memory};

const SAMPLE_LIMIT: usize = 24 << 10;
const MUTATIONS: usize = 1_500;

type Samples = HashMap<&'static str, Vec<Vec<u8>>>;

fn add(samples: &mut Samples, target: &'static str, mut bytes: Vec<u8>) {
    bytes.truncate(SAMPLE_LIMIT);
    samples.entry(target).or_default().push(bytes);
}

/// What a real repository, a real cluster and a real server's messages look like.
async fn samples() -> Samples {
    let mut all = Samples::new();
    let bench = Bench::new(test_support::versions().remove(0)).await;
    sql(&bench.url(), "SELECT pg_create_restore_point('here')").await;
    bench.backup(BackupType::Full, SourceKind::Local).await;
    bench.change(1).await;
    let one = bench.backup(BackupType::Incremental, SourceKind::Local).await;
    let system = one.cluster.system_identifier;
    let record = Record {
        id: ObjectId::random(),
        backup: one.id.clone(),
        kind: "verify".to_owned(),
        asked_by: "schedule".to_owned(),
        started_at: one.started_at,
        ended_at: one.stopped_at,
        asked: r#"{"do":"verify","backup":null}"#.to_owned(),
        result: r#"{"of":"verify","id":"x","checked_bytes":1,"pages":1,"problems":[]}"#.to_owned(),
        error: Some("one page is damaged".to_owned()),
    };
    bench.repository.record(system, &record).await.unwrap();
    bench.repository.hold(&one, "audit", Some(domain::Timestamp(i64::MAX / 2))).await.unwrap();

    for info in bench.store.list("").await.unwrap() {
        let bytes = bench.store.get(&info.key).await.unwrap().to_vec();
        add(&mut all, "object_name", info.key.clone().into_bytes());
        match info.key.split('/').next().unwrap() {
            "repo.json" => add(&mut all, "repository_file", bytes),
            "keys" | "epochs" => add(&mut all, "key_slot", bytes),
            "clusters" => {
                for (part, kind) in
                    [("/commit", ObjectKind::Commit), ("/holds/", ObjectKind::Hold), ("/records/", ObjectKind::Record)]
                {
                    if info.key.contains(part) {
                        add(&mut all, "catalogue", bench.repository.decode(&info.key, kind, &bytes).unwrap());
                    }
                }
                if !info.key.contains("/packs/") {
                    add(&mut all, "object", bytes);
                }
            }
            _ => {}
        }
    }
    let passphrase = KeySource::Passphrase("correct horse battery".to_owned().into());
    let slot = bench.repository.add_key(&passphrase, "head").await.unwrap();
    add(&mut all, "key_slot", bench.store.get(&format!("keys/{}", slot.id)).await.unwrap().to_vec());
    let key = format!("clusters/{system}/backups/{}/manifest", one.id);
    let manifest = bench.repository.read(&key, ObjectKind::Manifest).await.unwrap();
    add(&mut all, "backup_manifest", manifest);
    let manifest = bench.repository.manifest(&one).await.unwrap();
    for place in manifest.entries.iter().filter_map(|entry| entry.map).filter(|it| it.frame.frame == 0).take(40) {
        let key = format!("clusters/{system}/lineages/{}/maps/{}", one.lineage, place.object);
        let content = bench.repository.read(&key, ObjectKind::Map).await.unwrap();
        let start = place.start as usize;
        add(&mut all, "map", content[start..start + place.length as usize].to_vec());
    }
    let (_, code) = KeySource::new_recovery().unwrap();
    let (_, file) = KeySource::new_file().unwrap();
    add(&mut all, "recovery_code", code.into_bytes());
    add(&mut all, "recovery_code", file.into_bytes());
    let to = bench.place("export");
    export(&bench.repository, &one, &ExportOptions { to: to.clone(), ..ExportOptions::default() }, &Arc::default())
        .await
        .unwrap();
    add(&mut all, "base_backup_tar", fs::read(to.join("base.tar")).unwrap());

    // As the fuzz entries seal them.
    let sealer = Sealer::new(None, &[9; 16], ObjectId([3; 16]), ObjectKind::Manifest);
    let header = Header {
        kind: ObjectKind::Manifest,
        encrypted: false,
        key_id: [0; 8],
        object: ObjectId([3; 16]),
        repository: [9; 16],
    };
    let text = b"the same words again and again ".repeat(200);
    add(&mut all, "object", encode_object(&header, sealer.clone(), 3, &text));
    for plain in [&text[..], b"short", &[]] {
        let mut sealed = seal_frame(&sealer, 0, plain, &mut Compressor::new(3));
        sealed.truncate(sealed.len() - 16);
        add(&mut all, "frame", sealed);
    }
    let place = FrameRef { frame: 0, offset: 64, sealed: 4 };
    let entries = [place.offset, place.sealed, 9].map(u32::to_le_bytes).concat();
    add(&mut all, "footer", [&1_u32.to_le_bytes()[..], &entries].concat());

    let data = bench.cluster.server.data_dir();
    add(&mut all, "control_file", fs::read(data.join("global/pg_control")).unwrap());
    let mut segments = fs::read_dir(data.join("pg_wal")).unwrap().map(|it| it.unwrap().path()).collect::<Vec<_>>();
    segments.retain(|path| path.is_file());
    segments.sort();
    for path in segments.iter().take(2) {
        let name = path.file_name().unwrap().to_str().unwrap();
        add(&mut all, "wal_name", name.as_bytes().to_vec());
        let bytes = fs::read(path).unwrap();
        add(&mut all, "wal_header", bytes[..64.min(bytes.len())].to_vec());
        add(&mut all, "wal_records", bytes);
    }
    for name in ["0000000B.history", "000000010000000000000002.00000028.backup", "0/16B3748"] {
        add(&mut all, "wal_name", name.as_bytes().to_vec());
    }
    add(&mut all, "history", b"1\t0/5000000\tno recovery target specified\n\n2\t0/7000100\tbefore\n".to_vec());
    let table = crate::support::value(&bench.url(), "pg_relation_filepath('accounts')").await;
    add(&mut all, "page", fs::read(data.join(table)).unwrap());
    for message in [
        &b"w\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\x01some WAL"[..],
        b"k\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        b"nbase.tar\0/somewhere\0",
        b"p\0\0\0\0\0\0\x10\0",
        b"\0\x02\0\0\0\x04text\xFF\xFF\xFF\xFF",
        b"SERROR\0C42710\0Mreplication slot exists\0Ddetail\0\0",
    ] {
        add(&mut all, "replication_message", message.to_vec());
    }
    add(
        &mut all,
        "conninfo",
        b"postgres://me:s%40fe@[::1]:6000/app?sslmode=verify-full&sslrootcert=/r&port=1".to_vec(),
    );
    add(&mut all, "conninfo", b"host:5432:*:user:pass\\:word\n# comment\n".to_vec());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_damaged_sample_makes_a_parser_fall_over_or_take_much_memory() {
    a_claimed_size_costs_nothing();
    let samples = samples().await;
    let before = peak_memory();
    let targets = backup::fuzzing::TARGETS.iter().chain(pgphysical::fuzzing::TARGETS);
    let mut asked = 0;
    for (name, entry) in targets {
        let real = samples.get(name).unwrap_or_else(|| panic!("the target '{name}' has no sample"));
        let mut inputs = 0;
        mutate(real, MUTATIONS, |bytes| {
            inputs += 1;
            entry(bytes);
        });
        assert!(inputs >= MUTATIONS, "{name}");
        asked += 1;
    }
    assert_eq!(asked, backup::fuzzing::TARGETS.len() + pgphysical::fuzzing::TARGETS.len());
    let grown = peak_memory() - before;
    assert!(grown < 256 << 20, "the parsers took {} MiB", grown >> 20);
    // Each of them has a fuzz target.
    // Cargo runs tests in their package's directory; a path of the compile time may be another checkout's.
    let folder = std::path::Path::new("../../fuzz");
    let list = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in backup::fuzzing::TARGETS.iter().chain(pgphysical::fuzzing::TARGETS) {
        assert!(
            folder.join(format!("fuzz_targets/{name}.rs")).is_file() && list.contains(&format!("\"{name}\"")),
            "{name}"
        );
    }
}

/// Sizes that are only claimed.
fn a_claimed_size_costs_nothing() {
    use backup::format::map::FileMap;
    let before = peak_memory();
    // A map of a petabyte in twelve bytes; one with four milliard packs.
    assert!(FileMap::decode(&[&(1_u64 << 50).to_le_bytes()[..], &0_u32.to_le_bytes()].concat()).is_err());
    assert!(FileMap::decode(&[&8_192_u64.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat()).is_err());
    // A key slot that asks for a terabyte.
    backup::fuzzing::key_slot(br#"{"id":"00000000000000000000000000000000","type":"passphrase","label":"","created":"2026-01-01T00:00:00Z","salt":"00000000000000000000000000000000","argon2":[1073741824,4294967295,16777215],"wrapped":""}"#);
    // A frame of a gigabyte.
    backup::fuzzing::frame(&[&[1_u8][..], &(1_u32 << 30).to_le_bytes(), b"x"].concat());
    assert!(peak_memory() - before < 64 << 20);
}
