//! `--tablespace OID=DIR`, of a restore and of an export.
use super::Failure;
use std::path::PathBuf;

/// Which tablespace, by its oid or its old place, goes where.
///
/// # Errors
/// Names the one that is no such pair.
pub fn moved(given: &[String]) -> Result<Vec<(String, PathBuf)>, Failure> {
    let one = |text: &String| {
        let pair = text.split_once('=').filter(|(from, to)| !from.is_empty() && !to.is_empty());
        let pair = pair.map(|(from, to)| (from.to_owned(), PathBuf::from(to)));
        pair.ok_or_else(|| Failure::usage(format!("--tablespace '{text}' is not OID=DIR or OLD=DIR")))
    };
    given.iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_pair_and_what_is_none_is_named() {
        let given = |text: &str| moved(&[text.to_owned()]);
        assert_eq!(given("16385=/mnt/fast").unwrap(), [("16385".to_owned(), PathBuf::from("/mnt/fast"))]);
        assert_eq!(given("/old=/new=x").unwrap(), [("/old".to_owned(), PathBuf::from("/new=x"))]);
        for wrong in ["16385", "=/mnt/fast", "16385="] {
            let error = given(wrong).unwrap_err();
            assert!(format!("{error:?}").contains(wrong), "{error:?}");
        }
    }
}
