//! How many files may be open.
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Enough for ten thousands of browsers; not more, because what we start inherits it, and some programs close every file
/// that could be open.
const ENOUGH: u64 = 65_536;

/// Takes what the hard limit allows, up to [`ENOUGH`]. Every browser's event stream is an open file, and the usual soft
/// limit of 1024 is kept low only for programs that use select(2). Where it cannot be raised it stays.
pub fn raise_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let wanted = hard.min(ENOUGH);
        if soft < wanted {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_what_the_hard_one_allows() {
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, before.min(1_000), hard).unwrap();
        raise_limit();
        let (soft, same) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, same), (hard.min(ENOUGH), hard));
        // What was higher stays.
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        raise_limit();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, hard);
    }
}
