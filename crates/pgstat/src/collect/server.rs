//! Version, role, limits, settings.
use super::{get, lsn};
use crate::{Cluster, PgstatError, sql};
use domain::{
    Timestamp,
    reading::{ClockSkew, ServerReading, ServerRole, Setting, SettingsReading},
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

impl Cluster {
    /// Version, role, start time, connection limits, rights. A server that was started anew, changed its role or its
    /// version since the last look is probed again.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn server(&self) -> Result<ServerReading, PgstatError> {
        const NAME: &str = "server";
        let mut probe = self.probe().await?;
        let mut asked = Asked::now();
        let row = match self.fetch_one(NAME, &sql::server(&probe)).await {
            // A right was taken, or this is another server by now: look again at what there is.
            Err(PgstatError::Query { .. } | PgstatError::NoPermission { .. }) => {
                self.forget();
                probe = self.probe().await?;
                asked = Asked::now();
                self.fetch_one(NAME, &sql::server(&probe)).await?
            }
            row => row?,
        };
        let received = asked.answered();
        let version_num = get(NAME, &row, "version_num")?;
        if probe.version_num != version_num
            || !matches!(probe.statements, domain::reading::ExtensionState::Installed { .. })
        {
            // Somebody may have created the extension or upgraded the server: cheap to look again.
            self.forget();
            probe = self.probe().await?;
        }
        let in_recovery: bool = get(NAME, &row, "in_recovery")?;
        Ok(ServerReading {
            version_num,
            version: get(NAME, &row, "version")?,
            role: if in_recovery { ServerRole::Standby } else { ServerRole::Primary },
            started_at: Timestamp(get(NAME, &row, "started_at")?),
            clock: ClockSkew::between(asked.at, Timestamp(get(NAME, &row, "clock")?), received),
            lsn: lsn(NAME, &row, "lsn")?,
            timeline: get(NAME, &row, "timeline")?,
            system_identifier: get(NAME, &row, "system_identifier")?,
            max_connections: get(NAME, &row, "max_connections")?,
            usable_connections: get(NAME, &row, "usable_connections")?,
            used_connections: get(NAME, &row, "used_connections")?,
            role_name: get(NAME, &row, "role_name")?,
            has_pg_monitor: probe.has_pg_monitor,
            statements_extension: probe.statements.clone(),
            track_io_timing: get(NAME, &row, "track_io_timing")?,
            database: probe.database.clone(),
            tls: get::<Option<bool>>(NAME, &row, "tls")?.unwrap_or(false),
            provider: probe.provider,
        })
    }

    /// All settings that the role may see.
    ///
    /// # Errors
    /// [`PgstatError`].
    pub async fn settings(&self) -> Result<SettingsReading, PgstatError> {
        const NAME: &str = "settings";
        let rows = self.fetch(NAME, sql::SETTINGS).await?;
        let setting = |row| {
            Ok(Setting {
                name: get(NAME, row, "name")?,
                setting: get::<Option<String>>(NAME, row, "setting")?.unwrap_or_default(),
                unit: get(NAME, row, "unit")?,
                boot_value: get(NAME, row, "boot_value")?,
                source: get(NAME, row, "source")?,
                pending_restart: get(NAME, row, "pending_restart")?,
            })
        };
        Ok(SettingsReading { rows: rows.iter().map(setting).collect::<Result<_, PgstatError>>()? })
    }
}

/// When a question was sent. The way to its answer is measured by a clock that nobody sets.
struct Asked {
    at: Timestamp,
    began: Instant,
}

impl Asked {
    fn now() -> Self {
        Self {
            at: Timestamp(whole_ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())),
            began: Instant::now(),
        }
    }

    fn answered(&self) -> Timestamp {
        self.at.plus_ms(whole_ms(self.began.elapsed()))
    }
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
