//! A small file system, to be filled.
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory, mounted as long as this is held.
#[derive(Debug)]
pub struct Room(PathBuf);

impl Room {
    /// Mounts one of `size` (`40m`) at a directory, which is made.
    ///
    /// # Errors
    /// Why it cannot: mostly that only root may.
    pub fn mount(at: &Path, size: &str) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).output();
        let done = done.map_err(|error| format!("mount: {error}"))?;
        if done.status.success() {
            Ok(Self(at.to_owned()))
        } else {
            Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
        }
    }

    /// As [`Self::mount`]; `None` where that cannot be done, and what needs it is skipped.
    ///
    /// # Panics
    /// Where every test must run (`CI` or `HOLDFAST_REQUIRE_ALL` is set): one that is skipped would count as passed.
    pub fn mount_or_skip(at: &Path, size: &str) -> Option<Self> {
        let why = match Self::mount(at, size) {
            Ok(room) => return Some(room),
            Err(why) => format!("a file system cannot be mounted here ({why}); run this test as root"),
        };
        let must = ["CI", "HOLDFAST_REQUIRE_ALL"].into_iter().find(|name| std::env::var_os(name).is_some());
        assert!(must.is_none(), "{why}: {} is set, so that no test may be skipped", must.unwrap_or_default());
        crate::skipped(&why);
        None
    }

    /// Gives it another size.
    pub fn resize(&self, size: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status();
        assert!(done.unwrap().success());
    }

    /// Fills it to the last byte with a file of this name.
    pub fn fill(&self, name: &str) {
        use std::io::{ErrorKind, Write as _};
        let mut file = std::fs::File::create(self.0.join(name)).unwrap();
        // Small pieces in the end: a whole one that does not fit would leave room.
        for piece in [1 << 20, 4_096, 1] {
            let zeros = vec![0; piece];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{name}: {error}"),
                }
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
