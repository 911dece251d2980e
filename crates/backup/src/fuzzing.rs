//! Every parser of bytes from the repository, each under one name: for the fuzz targets in `fuzz/` and for the test that
//! mutates real samples. None may panic, and none may take more memory than its input justifies. Behind the authentication
//! tag only our own bytes come; the parsers there are asked all the same, as if the tag fitted.
use crate::{
    expire,
    format::{
        ObjectId,
        crypto::{ObjectKind, Sealer},
        layout,
        manifest::Summary,
        map::FileMap,
        object::{self, Header},
    },
    hold, keys, lease, record, repo, tar, wal,
};

/// Name and entry.
pub type Target = (&'static str, fn(&[u8]));

/// All of this crate.
pub const TARGETS: &[Target] = &[
    ("object", object),
    ("frame", frame),
    ("footer", footer),
    ("map", map),
    ("backup_manifest", backup_manifest),
    ("catalogue", catalogue),
    ("object_name", object_name),
    ("key_slot", key_slot),
    ("recovery_code", recovery_code),
    ("repository_file", repository_file),
    ("base_backup_tar", base_backup_tar),
];

fn sealer() -> Sealer {
    Sealer::new(None, &[9; 16], ObjectId([3; 16]), ObjectKind::Manifest)
}

/// A whole object.
pub fn object(bytes: &[u8]) {
    let _ = Header::decode(bytes);
    let _ = object::read_object(&sealer(), bytes, |_| Ok(()));
}

/// The content of a sealed frame.
pub fn frame(bytes: &[u8]) {
    let mut sealed = bytes.to_vec();
    sealer().seal(0, &mut sealed);
    let _ = object::open_frame(&sealer(), 0, sealed);
}

/// The content of a footer, behind frames that are all zeros.
pub fn footer(bytes: &[u8]) {
    let frames = bytes.get(..2).map_or(0, |it| usize::from(it[0]) * usize::from(it[1]));
    let mut whole = vec![0; object::HEADER_SIZE + frames];
    let mut sealed = vec![0];
    sealed.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    sealed.extend_from_slice(bytes);
    sealer().seal(crate::format::crypto::FOOTER, &mut sealed);
    let at = whole.len() as u64;
    whole.extend_from_slice(&sealed);
    whole.extend_from_slice(&at.to_le_bytes());
    whole.extend_from_slice(&u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_le_bytes());
    whole.extend_from_slice(b"HFE1");
    let _ = object::read_footer(&sealer(), &whole);
    let _ = object::read_object(&sealer(), &whole, |_| Ok(()));
}

/// The map of a file, and what is asked of it.
pub fn map(bytes: &[u8]) {
    if let Ok(mut map) = FileMap::decode(bytes) {
        for window in &map.windows {
            for page in 0..window.fingerprints.len() {
                let _ = window.place(page);
            }
        }
        map.forget_unused_packs();
        let mut again = Vec::new();
        map.encode(&mut again);
    }
}

/// The manifest of a backup.
pub fn backup_manifest(bytes: &[u8]) {
    let _ = repo::parse_manifest("manifest", bytes);
}

/// Commits, gaps, holds, tombstones, records, leases.
pub fn catalogue(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Summary>(bytes);
    let _ = serde_json::from_slice::<wal::Gap>(bytes);
    let _ = serde_json::from_slice::<hold::Hold>(bytes);
    let _ = serde_json::from_slice::<expire::Tombstone>(bytes);
    let _ = serde_json::from_slice::<record::Record>(bytes);
    let _ = serde_json::from_slice::<lease::LeaseFile>(bytes);
}

/// Names of objects, which say where WAL is.
pub fn object_name(bytes: &[u8]) {
    if let Ok(name) = std::str::from_utf8(bytes) {
        let _ = layout::parse_wal_piece(name);
        let _ = name.parse::<ObjectId>();
        let _ = repo::is_safe_path(name);
        let _ = crate::restore::Target::time(name);
    }
}

/// A key slot: hostile parameters must not cost memory.
pub fn key_slot(bytes: &[u8]) {
    keys::parse_slot(bytes);
}

/// A recovery code, a key file.
pub fn recovery_code(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = keys::KeySource::parse_recovery(text);
        let _ = keys::parse_key_file(text);
    }
}

/// `repo.json`.
pub fn repository_file(bytes: &[u8]) {
    let _ = serde_json::from_slice::<repo::RepositoryFile>(bytes);
}

/// The archives of a base backup, block by block.
pub fn base_backup_tar(bytes: &[u8]) {
    let mut blocks = bytes.as_chunks::<{ tar::BLOCK }>().0.iter();
    while let Some(block) = blocks.next() {
        let Ok(Some(header)) = tar::read_header(block) else { continue };
        let _ = repo::is_safe_path(&header.name);
        let _ = tar::write_header(&header);
        let skip = (header.size / tar::BLOCK as u64 + u64::from(tar::padding(header.size) > 0)).min(1 << 20);
        if let Some(skip) = usize::try_from(skip).ok().and_then(|skip| skip.checked_sub(1)) {
            blocks.nth(skip);
        }
    }
}
