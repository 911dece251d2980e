//! Headers of tar members (ustar), as PostgreSQL writes and reads them.
use crate::BackupError;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberKind {
    File,
    Directory,
    Link,
}

/// The header of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TarHeader {
    pub name: String,
    pub kind: MemberKind,
    /// Of files; zero else.
    pub size: u64,
    pub mode: u32,
    pub modified: i64,
    pub user: u32,
    pub group: u32,
    /// Where a link leads.
    pub target: String,
}

/// Bytes of zeros that follow `size` bytes.
pub(crate) fn padding(size: u64) -> usize {
    usize::try_from((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64).unwrap_or(0)
}

/// Reads a header block; `None` for the zeros at an archive's end.
///
/// # Errors
/// [`BackupError::Failed`] says what is wrong with it.
pub(crate) fn read_header(block: &[u8; BLOCK]) -> Result<Option<TarHeader>, BackupError> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let bad = |what: &str| BackupError::Failed(format!("the server sent a tar header with {what}"));
    let number = |from: usize, to: usize| -> Option<u64> {
        let field = &block[from..to];
        // Large values are binary, with the highest bit of the first byte set.
        if field[0] & 0x80 != 0 {
            return field
                .iter()
                .skip(1)
                .try_fold(0_u64, |all, byte| all.checked_mul(256)?.checked_add(u64::from(*byte)));
        }
        let text = field.iter().take_while(|byte| **byte != 0).map(|byte| *byte as char).collect::<String>();
        let text = text.trim();
        if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
    };
    if number(148, 156) != Some(u64::from(checksum(block))) {
        return Err(bad("a wrong checksum"));
    }
    let text = |from: usize, to: usize| {
        let field = block[from..to].split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8(field.to_vec()).map_err(|_| bad("a name that is not UTF-8"))
    };
    let small = |from: usize, to: usize, what: &str| {
        number(from, to).and_then(|value| u32::try_from(value).ok()).ok_or_else(|| bad(what))
    };
    let (name, prefix) = (text(0, 100)?, text(345, 500)?);
    let kind = match block[156] {
        b'0' | 0 => MemberKind::File,
        b'5' => MemberKind::Directory,
        b'2' => MemberKind::Link,
        other => return Err(bad(&format!("'{name}' as a member of type {other}, which is not known"))),
    };
    Ok(Some(TarHeader {
        name: if prefix.is_empty() { name } else { format!("{prefix}/{name}") },
        kind,
        mode: small(100, 108, "a mode that is no number")?,
        user: small(108, 116, "an owner that is no number")?,
        group: small(116, 124, "a group that is no number")?,
        size: number(124, 136).ok_or_else(|| bad("a size that is no number"))?,
        modified: number(136, 148)
            .and_then(|at| i64::try_from(at).ok())
            .ok_or_else(|| bad("a time that is no number"))?,
        target: text(157, 257)?,
    }))
}

/// Writes a header block.
///
/// # Errors
/// [`BackupError::Invalid`] for a name or link that is longer than the format holds.
pub(crate) fn write_header(header: &TarHeader) -> Result<[u8; BLOCK], BackupError> {
    let mut block = [0; BLOCK];
    let too_long = || BackupError::Invalid(format!("'{}' is too long a name for a tar archive", header.name));
    let name = if header.kind == MemberKind::Directory { format!("{}/", header.name) } else { header.name.clone() };
    // A long name is split at a slash: the first part goes to the prefix.
    let (prefix, rest) = if name.len() <= 100 {
        ("", name.as_str())
    } else {
        let split = |(at, _): (usize, &str)| (at <= 155 && name.len() - at - 1 <= 100).then_some(at);
        // Not at the slash that ends a directory's name.
        let at = name.trim_end_matches('/').match_indices('/').find_map(split).ok_or_else(too_long)?;
        (&name[..at], &name[at + 1..])
    };
    if header.target.len() > 100 {
        return Err(too_long());
    }
    block[..rest.len()].copy_from_slice(rest.as_bytes());
    block[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
    block[157..157 + header.target.len()].copy_from_slice(header.target.as_bytes());
    let mut number = |from: usize, to: usize, value: u64| {
        let digits = to - from - 1;
        if digits * 3 >= 64 || value >> (digits * 3) == 0 {
            block[from..to - 1].copy_from_slice(format!("{value:0digits$o}").as_bytes());
        } else {
            block[to - 8..to].copy_from_slice(&value.to_be_bytes());
            block[from] |= 0x80;
        }
    };
    number(100, 108, u64::from(header.mode));
    // Seven digits hold two million; larger ids of users are binary, which an eight-byte field just holds.
    number(108, 116, u64::from(header.user) & 0x7FFF_FFFF);
    number(116, 124, u64::from(header.group) & 0x7FFF_FFFF);
    number(124, 136, header.size);
    number(136, 148, u64::try_from(header.modified).unwrap_or(0));
    block[156] = match header.kind {
        MemberKind::File => b'0',
        MemberKind::Directory => b'5',
        MemberKind::Link => b'2',
    };
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// The sum of all bytes, with spaces where the checksum stands.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    block.iter().enumerate().map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_comes_back(parts in prop::collection::vec("[a-zA-Z0-9._]{1,60}", 1..4), size in 0_u64..1 << 50, mode in 0_u32..0o7777, modified in 0_i64..1 << 40, user in 0_u32..1 << 31, kind in 0..3) {
            let kind = [MemberKind::File, MemberKind::Directory, MemberKind::Link][kind as usize];
            let header = TarHeader { name: parts.join("/"), kind, size, mode, modified, user, group: user, target: "/somewhere".to_owned() };
            let mut read = read_header(&write_header(&header).unwrap()).unwrap().unwrap();
            read.name = read.name.trim_end_matches('/').to_owned();
            prop_assert_eq!(read, header);
        }
        #[test]
        fn no_block_makes_the_reader_fall_over(bytes in prop::array::uniform32(any::<u8>()), fix: bool) {
            let mut block = [0; BLOCK];
            for (at, byte) in block.iter_mut().enumerate() { *byte = bytes[at % 32].wrapping_mul(at as u8 | 1); }
            if fix {
                let sum = checksum(&block);
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            let _ = read_header(&block);
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let header = TarHeader {
            name: "x".repeat(101),
            kind: MemberKind::File,
            size: 0,
            mode: 0o600,
            modified: 0,
            user: 0,
            group: 0,
            target: String::new(),
        };
        assert!(write_header(&header).unwrap_err().to_string().contains("too long"));
    }
}
