//! PostgreSQL refuses to run as root: whoever starts us as root gets the servers run as another user.
use crate::ClusterError;
use nix::unistd::{Gid, Uid, User, chown};
use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

/// The user that PostgreSQL's programs run as.
#[derive(Clone, Debug)]
pub struct OsUser {
    name: String,
    /// Set when we are root and have to change to it.
    change_to: Option<(Uid, Gid)>,
}

impl OsUser {
    /// Ourselves, or `HOLDFAST_PG_USER`, `postgres` or `nobody` when we are root.
    ///
    /// # Errors
    /// [`ClusterError::NoUser`] when we are root and none of them exists.
    pub fn for_postgres() -> Result<Self, ClusterError> {
        if !Uid::effective().is_root() {
            let name = User::from_uid(Uid::effective())
                .ok()
                .flatten()
                .map_or_else(|| Uid::effective().to_string(), |user| user.name);
            return Ok(Self { name, change_to: None });
        }
        let wanted = std::env::var("HOLDFAST_PG_USER").ok();
        let candidates = wanted.as_deref().map_or_else(|| vec!["postgres", "nobody"], |name| vec![name]);
        candidates
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .filter(|user| !user.uid.is_root())
            .map(|user| Self { name: user.name, change_to: Some((user.uid, user.gid)) })
            .ok_or_else(|| ClusterError::NoUser { user: wanted.unwrap_or_else(|| "postgres".to_owned()) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// User and group to change to, when we must.
    pub(crate) fn ids(&self) -> Option<(u32, u32)> {
        self.change_to.map(|(uid, gid)| (uid.as_raw(), gid.as_raw()))
    }

    /// Gives `path` to it.
    pub(crate) fn own(&self, path: &Path) -> Result<(), ClusterError> {
        match self.change_to {
            None => Ok(()),
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(|errno| ClusterError::io("give away", path)(errno.into()))
            }
        }
    }

    /// Checks that it can enter every directory down to `path`, which must exist.
    pub(crate) fn check_reach(&self, path: &Path) -> Result<(), ClusterError> {
        let Some((uid, gid)) = self.change_to else { return Ok(()) };
        for directory in path.ancestors() {
            let Ok(metadata) = directory.metadata() else { continue };
            let mode = metadata.permissions().mode();
            let enter = if metadata.uid() == uid.as_raw() {
                mode & 0o100
            } else if metadata.gid() == gid.as_raw() {
                mode & 0o010
            } else {
                mode & 0o001
            };
            if enter == 0 {
                return Err(ClusterError::NotReachable { user: self.name.clone(), directory: directory.to_owned() });
            }
        }
        Ok(())
    }
}
