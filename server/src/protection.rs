//! `[backup]` and `[cluster.backup]` of the configuration: which cluster is backed up, where to, when, and what is kept.

use crate::{config::ConfigError, repository::RepositoryArgs, size::size};
use backup::{retention::Retention, wal::SlotLimits};
use control::{Disaster, OpenRepository, Protected, ScheduleConfig, ScheduleKind};
use domain::view::Objectives;
use pgphysical::replication::ConnInfo;
use recovery::Schedule;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

/// Settings as written; what a cluster leaves out comes from `[backup]`, what that leaves out has a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileBackup {
    repository: Option<String>,
    key_file: Option<PathBuf>,
    url: Option<String>,
    url_file: Option<PathBuf>,
    superuser: Option<String>,
    full: Option<String>,
    incremental: Option<String>,
    verify: Option<String>,
    restore_test: Option<String>,
    expire: Option<String>,
    time_zone: Option<String>,
    jitter_seconds: Option<u64>,
    keep_full: Option<u32>,
    keep_days: Option<u32>,
    keep_daily: Option<u32>,
    keep_weekly: Option<u32>,
    keep_monthly: Option<u32>,
    minimum: Option<u32>,
    rpo_seconds: Option<f64>,
    rto_seconds: Option<f64>,
    stream: Option<bool>,
    slot: Option<String>,
    heartbeat_seconds: Option<f64>,
    drop_slot_above: Option<String>,
    drop_slot_below_free: Option<String>,
    workers: Option<usize>,
    restore_directory: Option<PathBuf>,
    restore_over: Option<Vec<PathBuf>>,
    test_directory: Option<PathBuf>,
    probes: Option<Vec<String>>,
    refresh_seconds: Option<u64>,
    grace_hours: Option<u32>,
    recovery_kit: Option<PathBuf>,
    hooks: Option<BTreeMap<String, String>>,
    dr_listen: Option<String>,
    dr_port: Option<u16>,
    dr_host: Option<String>,
}

macro_rules! first_of {
    ($one:expr, $other:expr, $($field:ident),+ $(,)?) => {
        FileBackup { $($field: $one.$field.or($other.$field)),+ }
    };
}

impl FileBackup {
    fn over(self, other: Self) -> Self {
        first_of!(
            self,
            other,
            repository,
            key_file,
            url,
            url_file,
            superuser,
            full,
            incremental,
            verify,
            restore_test,
            expire,
            time_zone,
            jitter_seconds,
            keep_full,
            keep_days,
            keep_daily,
            keep_weekly,
            keep_monthly,
            minimum,
            rpo_seconds,
            rto_seconds,
            stream,
            slot,
            heartbeat_seconds,
            drop_slot_above,
            drop_slot_below_free,
            workers,
            restore_directory,
            restore_over,
            test_directory,
            probes,
            refresh_seconds,
            grace_hours,
            recovery_kit,
            hooks,
            dr_listen,
            dr_port,
            dr_host,
        )
    }

    /// The cluster's protection; `None` when nothing names a repository. `named` is how the configuration calls the
    /// cluster, `url` where it is watched.
    ///
    /// # Errors
    /// One line that names the setting.
    pub fn protect(
        own: Option<Self>,
        general: &Self,
        cluster: &str,
        url: &str,
        in_environment: bool,
    ) -> Result<Option<Protected>, ConfigError> {
        let all = own.unwrap_or_default().over(general.clone());
        if all.repository.is_none() && !in_environment {
            return Ok(None);
        }
        let wrong =
            |what: &str, reason: String| ConfigError::new(format!("backup of cluster '{cluster}': {what}: {reason}"));
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let url = match (&all.url, &all.url_file) {
            (Some(url), None) => url.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| wrong("url_file", format!("{} cannot be read: {error}", path.display())))?
                .trim()
                .to_owned(),
            (None, None) => url.to_owned(),
            (Some(_), Some(_)) => return Err(wrong("url", "give either url or url_file".to_owned())),
        };
        let source = ConnInfo::parse(&url).map_err(|error| wrong("url", error.to_string()))?;
        let repository = RepositoryArgs { repo: all.repository.clone(), key_file: all.key_file.clone() };
        let place = repository.describe().map_err(|error| wrong("repository", error.to_string()))?;
        let (found_by, _) = repository.found_by().map_err(|error| wrong("repository", error.to_string()))?;
        let retention = Retention {
            keep_full: all.keep_full,
            keep_days: all.keep_days,
            keep_daily: all.keep_daily,
            keep_weekly: all.keep_weekly,
            keep_monthly: all.keep_monthly,
            minimum: all.minimum.unwrap_or(1),
            grace_hours: all.grace_hours,
        };
        let keeps_all = retention
            == Retention { minimum: retention.minimum, grace_hours: retention.grace_hours, ..Retention::default() };
        let time_zone = all.time_zone.unwrap_or_else(|| "UTC".to_owned());
        let mut schedules = Vec::new();
        for (kind, written, default) in [
            (ScheduleKind::Full, all.full, "0 2 * * *"),
            (ScheduleKind::Incremental, all.incremental, "0 * * * *"),
            (ScheduleKind::Verify, all.verify, "0 4 * * *"),
            (ScheduleKind::RestoreTest, all.restore_test, "0 5 * * 0"),
            (ScheduleKind::Expire, all.expire, if keeps_all { "off" } else { "30 3 * * *" }),
        ] {
            let cron = written.unwrap_or_else(|| default.to_owned());
            if cron.trim() == "off" {
                continue;
            }
            Schedule::parse(&cron, &time_zone).map_err(|error| wrong(kind.as_str(), error))?;
            schedules.push(ScheduleConfig { kind, cron });
        }
        let objectives =
            Objectives { rpo_seconds: all.rpo_seconds.unwrap_or(60.0), rto_seconds: all.rto_seconds.unwrap_or(900.0) };
        for (name, value) in [("rpo_seconds", objectives.rpo_seconds), ("rto_seconds", objectives.rto_seconds)] {
            if !(1.0..=31_536_000.0).contains(&value) {
                return Err(wrong(name, "it must be a number of seconds from 1 to 31536000".to_owned()));
            }
        }
        let probes = all.probes.unwrap_or_default();
        if let Some(probe) = probes.iter().find(|probe| !probe.contains(':')) {
            return Err(wrong("probes", format!("'{probe}' is not DATABASE: SELECT …")));
        }
        let workers = all.workers.unwrap_or(2);
        if !(1..=256).contains(&workers) {
            return Err(wrong("workers", "it must be a number from 1 to 256".to_owned()));
        }
        if all.heartbeat_seconds.is_some_and(|it| !(0.5..=3_600.0).contains(&it)) {
            return Err(wrong("heartbeat_seconds", "it must be a number of seconds from 0.5 to 3600".to_owned()));
        }
        let bytes = |name: &str, text: Option<String>| {
            text.map(|text| size(&text)).transpose().map_err(|reason| wrong(name, reason))
        };
        let slot_limits = SlotLimits {
            most_kept: bytes("drop_slot_above", all.drop_slot_above)?,
            least_free: bytes("drop_slot_below_free", all.drop_slot_below_free)?,
        };
        let refresh = all.refresh_seconds.unwrap_or(30);
        if !(1..=3_600).contains(&refresh) {
            return Err(wrong("refresh_seconds", "it must be a number of seconds from 1 to 3600".to_owned()));
        }
        let restore_directory = absolute(all.restore_directory.unwrap_or_else(|| PathBuf::from("restores")));
        let test_directory = all.test_directory.map_or_else(|| restore_directory.join("tests"), absolute);
        let open = {
            let repository = repository.clone();
            OpenRepository(Arc::new(move || {
                let repository = repository.clone();
                Box::pin(async move { repository.open().await.map_err(|failure| failure.to_string()) })
            }))
        };
        let hooks = all.hooks.unwrap_or_default();
        if let Some((name, _)) =
            hooks.iter().find(|(name, command)| name.trim().is_empty() || command.trim().is_empty())
        {
            return Err(wrong("hooks", format!("hook '{name}' needs a name and a command")));
        }
        let listen = all.dr_listen.unwrap_or_else(|| "127.0.0.1".to_owned());
        let host = match all.dr_host {
            Some(host) => host,
            None if listen == "127.0.0.1" => listen.clone(),
            None => nix::unistd::gethostname()
                .ok()
                .and_then(|name| name.into_string().ok())
                .unwrap_or_else(|| listen.clone()),
        };
        let kit = recovery_kit(&repository, all.recovery_kit.map(absolute));
        let disaster = Disaster { hooks, kit, listen, port: all.dr_port, host, found_by };
        Ok(Some(Protected {
            cluster: cluster.to_owned(),
            source,
            restore_command: repository.restore_command(),
            repository_directory: repository.directory(),
            place,
            open,
            superuser: all.superuser.unwrap_or_else(|| "postgres".to_owned()),
            schedules,
            time_zone,
            jitter: Duration::from_secs(all.jitter_seconds.unwrap_or(60)),
            retention,
            objectives,
            stream: all.stream.unwrap_or(true),
            slot: all.slot.unwrap_or_else(|| "holdfast".to_owned()),
            heartbeat: all.heartbeat_seconds.map(Duration::from_secs_f64),
            slot_limits,
            workers,
            restore_directory,
            restore_over: all.restore_over.unwrap_or_default().into_iter().map(absolute).collect(),
            test_directory,
            probes,
            refresh: Duration::from_secs(refresh),
            disaster,
        }))
    }
}

/// Opens the repository by the code of the printed kit alone: what a drill from the kit must be able to do, and nothing
/// else of this host's configuration.
fn recovery_kit(repository: &RepositoryArgs, path: Option<PathBuf>) -> Result<OpenRepository, String> {
    let Some(path) = path else { return Disaster::default().kit };
    let repository = RepositoryArgs { key_file: None, ..repository.clone() };
    Ok(OpenRepository(Arc::new(move || {
        let (repository, path) = (repository.clone(), path.clone());
        Box::pin(async move {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("the recovery kit {} cannot be read: {error}", path.display()))?;
            let code = crate::repository::recovery_code(&text)
                .ok_or_else(|| format!("{} holds no recovery code: it begins with HFR1-", path.display()))?;
            repository.open_by_code(code).await.map_err(|failure| failure.to_string())
        })
    })))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn protect(own: &str, general: &str) -> Result<Option<Protected>, String> {
        let read = |text: &str| toml::from_str::<FileBackup>(text).unwrap();
        let own = (!own.is_empty()).then(|| read(own));
        FileBackup::protect(own, &read(general), "shop", "postgres://watch@db/shop", false)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_cluster_is_protected_once_a_repository_is_named_and_its_own_settings_win() {
        assert!(protect("", "").unwrap().is_none());
        let one = protect("", "repository = \"/backups\"").unwrap().unwrap();
        assert_eq!((one.place.as_str(), one.slot.as_str(), one.stream), ("/backups", "holdfast", true));
        let kinds = one.schedules.iter().map(|it| (it.kind.as_str(), it.cron.as_str())).collect::<Vec<_>>();
        // Without a rule nothing is ever removed, so nothing is scheduled to.
        assert_eq!(
            kinds,
            [
                ("full", "0 2 * * *"),
                ("incremental", "0 * * * *"),
                ("verify", "0 4 * * *"),
                ("restore_test", "0 5 * * 0")
            ]
        );
        let two = protect(
            "full = \"off\"\nincremental = \"*/15 * * * *\"\nurl = \"postgres://backup:s3cret@db/shop\"",
            "repository = \"s3://bucket/prefix\"\nfull = \"0 1 * * *\"\nkeep_days = 14\ntime_zone = \"Europe/Berlin\"",
        )
        .unwrap()
        .unwrap();
        let kinds = two.schedules.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>();
        assert_eq!(kinds, ["incremental", "verify", "restore_test", "expire"]);
        assert_eq!((two.place.as_str(), two.repository_directory), ("s3://bucket/prefix", None));
        assert!(!format!("{:?}", two.source).contains("s3cret"));
    }

    #[test]
    fn the_stream_has_a_heartbeat_and_limits_when_somebody_set_them() {
        let bare = protect("", "repository = \"/backups\"").unwrap().unwrap();
        assert_eq!((bare.heartbeat, bare.slot_limits), (None, SlotLimits::default()));
        let settings = "heartbeat_seconds = 2.5\ndrop_slot_above = \"20GB\"\ndrop_slot_below_free = \"512MB\"";
        let set = protect(settings, "repository = \"/backups\"").unwrap().unwrap();
        assert_eq!(set.heartbeat, Some(Duration::from_millis(2_500)));
        assert_eq!(set.slot_limits, SlotLimits { most_kept: Some(20 << 30), least_free: Some(512 << 20) });
    }

    #[test]
    fn what_the_host_does_for_disaster_recovery_is_its_configuration_alone() {
        let bare = protect("", "repository = \"/backups\"").unwrap().unwrap();
        assert_eq!((bare.disaster.listen.as_str(), bare.disaster.host.as_str()), ("127.0.0.1", "127.0.0.1"));
        assert!(
            bare.disaster.kit.as_ref().is_err_and(|reason| reason.contains("recovery_kit")),
            "a full drill says what it lacks"
        );
        let settings = "repository = \"/backups\"\nkeep_days = 7\ngrace_hours = 48\nrecovery_kit = \"/etc/kit\"\ndr_listen = \"*\"\ndr_port = 5433\ndr_host = \"db2\"\n[hooks]\ndns = \"/usr/local/bin/switch\"";
        let full = protect("", settings).unwrap().unwrap();
        assert_eq!(full.retention.grace_hours, Some(48));
        assert_eq!((full.disaster.host.as_str(), full.disaster.port), ("db2", Some(5433)));
        assert!(full.disaster.kit.is_ok() && full.disaster.hooks["dns"] == "/usr/local/bin/switch");
        // A time of grace alone is no rule by which anything would go.
        let kinds = |one: &Protected| one.schedules.iter().any(|it| it.kind == ScheduleKind::Expire);
        assert!(!kinds(&protect("", "repository = \"/backups\"\ngrace_hours = 48").unwrap().unwrap()) && kinds(&full));
        assert_eq!(crate::repository::recovery_code("recovery code  HFR1-AAAA-BBBB\n"), Some("HFR1-AAAA-BBBB"));
        assert_eq!(crate::repository::recovery_code("export HOLDFAST_RECOVERY_CODE='HFR1-AAAA'"), Some("HFR1-AAAA"));
        assert_eq!(crate::repository::recovery_code("nothing"), None);
    }

    #[test]
    fn every_wrong_setting_is_named() {
        for (text, said) in [
            ("full = \"daily at two\"", "full"),
            ("time_zone = \"Mars\"", "IANA"),
            ("rto_seconds = 0", "rto_seconds"),
            ("probes = [\"SELECT 1\"]", "probes"),
            ("workers = 0", "workers"),
            ("heartbeat_seconds = 0", "heartbeat_seconds"),
            ("drop_slot_above = \"much\"", "drop_slot_above"),
            ("url = \"mysql://x\"", "url"),
            ("hooks = { dns = \"\" }", "hooks"),
        ] {
            let error = protect(text, "repository = \"/backups\"").unwrap_err();
            assert!(error.contains(said) && error.contains("'shop'") && !error.contains('\n'), "{text}: {error}");
        }
    }
}
