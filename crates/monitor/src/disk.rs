//! File systems and load of the machine that a server runs on, where that is this one. What is asked of the server is only
//! where its files lie; no file of it is opened.
use domain::{
    Timestamp,
    view::{Availability, DiskRow, HostPage},
};
use nix::sys::statvfs::statvfs;
use pgstat::Place;
use std::{io::ErrorKind, path::Path};

/// PostgreSQL has no function for it, and what could be run there with a superuser's rights is not ours to run.
const ELSEWHERE: &str = "the server is on another machine: its file systems cannot be seen from here, and PostgreSQL has no function that tells \
                         how much room is left";

/// The picture of the machine; `places` is where the files lie, `None` before it was asked.
pub(crate) fn look(is_local: bool, places: Option<&Result<Vec<Place>, String>>, at: Timestamp) -> HostPage {
    let missing = |reason: String| HostPage {
        availability: Availability::Missing { reason, cure: Vec::new() },
        ..HostPage::default()
    };
    if !is_local {
        return missing(ELSEWHERE.to_owned());
    }
    let places = match places {
        None => return HostPage { availability: Availability::Collecting, ..HostPage::default() },
        Some(Err(reason)) => return missing(format!("where the files of the server lie cannot be read: {reason}")),
        Some(Ok(places)) if places.is_empty() => {
            return missing(
                "the role may not read where the files of the server lie: that needs pg_monitor".to_owned(),
            );
        }
        Some(Ok(places)) => places,
    };
    // An address of this machine may lead into a container: then the directory is not there, or it is another's.
    if let Some(data) = places.iter().find(|place| place.name == "data")
        && let Err(reason) = is_there(&data.path)
    {
        return missing(format!(
            "the server answers at an address of this machine, but {reason}: it runs in a container or behind a forwarded port"
        ));
    }
    HostPage {
        collected_at: Some(at),
        disks: places.iter().map(row).collect(),
        load: load(),
        cpus: crate::host::cpus(),
        ..HostPage::default()
    }
}

/// Whether a data directory lies at `path`. It may be closed to us, as it should be: being refused says that it is there.
fn is_there(path: &str) -> Result<(), String> {
    match std::fs::metadata(Path::new(path).join("PG_VERSION")) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(_) => Err(format!("no data directory is at {path} here")),
    }
}

fn row(place: &Place) -> DiskRow {
    let unknown = DiskRow {
        place: place.name.clone(),
        path: place.path.clone(),
        total_bytes: None,
        free_bytes: None,
        used_percent: None,
        missing: None,
        full: None,
        full_missing: None,
    };
    match statvfs(Path::new(&place.path)) {
        Ok(space) => {
            // As df counts it: what is kept back for root is neither used nor free.
            let unit = space.fragment_size();
            let (used, free) = (space.blocks().saturating_sub(space.blocks_free()), space.blocks_available());
            let all = used.saturating_add(free);
            DiskRow {
                total_bytes: Some(all * unit),
                free_bytes: Some(free * unit),
                used_percent: (all > 0).then(|| 100.0 * used as f64 / all as f64),
                ..unknown
            }
        }
        Err(nix::errno::Errno::EACCES) => {
            DiskRow { missing: Some("Holdfast may not look into the directory above it".to_owned()), ..unknown }
        }
        Err(error) => DiskRow { missing: Some(error.desc().to_owned()), ..unknown },
    }
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn place(name: &str, path: &str) -> Place {
        Place { name: name.to_owned(), path: path.to_owned() }
    }

    #[test]
    fn what_cannot_be_seen_says_why() {
        let why = |page: HostPage| match page.availability {
            Availability::Missing { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        assert!(why(look(false, None, Timestamp(1))).contains("another machine"));
        assert_eq!(look(true, None, Timestamp(1)).availability, Availability::Collecting);
        assert!(why(look(true, Some(&Ok(Vec::new())), Timestamp(1))).contains("pg_monitor"));
        let nowhere = Ok(vec![place("data", "/nowhere/at/all")]);
        assert!(why(look(true, Some(&nowhere), Timestamp(1))).contains("container"));
    }

    #[test]
    fn a_data_directory_here_is_measured() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("PG_VERSION"), "15\n").unwrap();
        let path = directory.path().to_str().unwrap();
        let places = Ok(vec![place("data", path), place("tablespace gone", "/nowhere/at/all")]);
        let page = look(true, Some(&places), Timestamp(7));
        assert_eq!((page.availability.clone(), page.collected_at), (Availability::Ready, Some(Timestamp(7))));
        let [data, gone] = page.disks.as_slice() else { panic!("{page:?}") };
        let used = data.used_percent.unwrap();
        assert!((0.0..=100.0).contains(&used) && data.free_bytes <= data.total_bytes, "{data:?}");
        assert!(gone.missing.is_some() && gone.used_percent.is_none());
        assert_eq!(page.fullest().map(|row| row.place.as_str()), Some("data"));
        assert!(page.load.is_some_and(|load| load >= 0.0) && page.cpus.is_some());
    }
}
