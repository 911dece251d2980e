//! Which names objects may have: those that every kind of store can hold and nobody has to escape.
use crate::BlobError;

/// The first part that no name has: a directory keeps its unfinished files there.
pub(crate) const TEMPORARY: &str = "tmp";
/// The longest name in bytes; S3 ends at 1024, and the repository's prefix comes before it.
const LONGEST: usize = 800;
/// The longest part in bytes, as file systems have it.
const LONGEST_PART: usize = 255;

const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/')
}

fn fault(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("it is empty");
    }
    if key.len() > LONGEST {
        return Some("it is longer than 800 bytes");
    }
    if !key.bytes().all(is_allowed) {
        return Some("it has a character that is not allowed");
    }
    for part in key.split('/') {
        match part {
            "" => return Some("it begins or ends with / or has two in a row"),
            "." | ".." => return Some("it has a part . or .."),
            _ if part.len() > LONGEST_PART => return Some("a part is longer than 255 bytes"),
            _ => {}
        }
    }
    if key.split('/').next() == Some(TEMPORARY) {
        return Some("its first part is 'tmp'");
    }
    None
}

/// Whether a store can hold an object of that name.
pub(crate) fn is_valid(key: &str) -> bool {
    fault(key).is_none()
}

/// Checks the name of an object.
///
/// # Errors
/// [`BlobError::InvalidKey`].
pub(crate) fn check(key: &str) -> Result<(), BlobError> {
    match fault(key) {
        None => Ok(()),
        Some(reason) => Err(BlobError::InvalidKey { key: key.chars().take(120).collect(), reason }),
    }
}

/// Checks what the names in a listing begin with: nothing, whole parts, or the beginning of a part.
///
/// # Errors
/// [`BlobError::InvalidKey`].
pub(crate) fn check_prefix(prefix: &str) -> Result<(), BlobError> {
    // The end may be a / or half a part; with a letter added it must be a name.
    match fault(&format!("{prefix}x")) {
        None => Ok(()),
        Some(reason) => Err(BlobError::InvalidKey { key: prefix.chars().take(120).collect(), reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_root_or_need_escaping_are_refused() {
        for wrong in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a b",
            "ä",
            "a\\b",
            "a\0b",
            "a:b",
            "tmp",
            "tmp/a",
            &"a".repeat(256),
            &"a/".repeat(401),
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        for right in ["a", "a/b", "repo.json", "..a/b..", "wal/00000001/0000_1-2", ".hidden", "tmpfiles/a", "a/tmp"] {
            assert!(check(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn a_prefix_may_end_within_a_part() {
        for right in ["", "a", "a/", "a/b", "wal/0000", "t", "tmp", "a/.."] {
            assert!(check_prefix(right).is_ok(), "{right}");
        }
        for wrong in ["/", "a//", "../", "a/../b", "a b", "tmp/"] {
            assert!(check_prefix(wrong).is_err(), "{wrong}");
        }
    }
}
