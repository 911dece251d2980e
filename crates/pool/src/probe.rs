//! One look at a server: what it is, and how far it is.
use crate::{
    error::{Trouble, one_line, trouble},
    settings::{PoolSettings, Target},
};
use domain::Lsn;
use sqlx::{PgConnection, Row as _};
use tokio::time::timeout;

/// The timeline of a primary is read from the name of its WAL file: the control file knows a promotion only after the
/// next checkpoint. On a standby the details of the receiver need `pg_read_all_stats`; without it they are not known.
const SQL: &str = "SELECT pg_is_in_recovery() AS standby,
  CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver)
       ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
  (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text AS lsn,
  (CASE WHEN NOT pg_is_in_recovery() THEN NULL
        WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
        ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END)::float8 AS lag_seconds,
  (SELECT system_identifier::text FROM pg_control_system()) AS system,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int AS usable,
  all_of_us.processes, all_of_us.may_take
  FROM (SELECT count(*)::int AS processes, coalesce(sum(CASE WHEN pg_is_in_recovery() THEN m[3] ELSE m[2] END::int8), 0)::int8 AS may_take
        FROM (SELECT DISTINCT regexp_match(application_name, '^holdfast-probe ([0-9a-f-]+) ([0-9]{1,5})/([0-9]{1,5})$') AS m
              FROM pg_stat_get_activity(NULL) WHERE application_name LIKE 'holdfast-probe %') AS named WHERE m IS NOT NULL) AS all_of_us";

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) standby: bool,
    pub(crate) timeline: Option<u32>,
    /// Replayed up to here on a standby, inserted up to here on a primary.
    pub(crate) lsn: Lsn,
    /// How old the last replayed change is while there is more to replay; `None` on a primary and when not known.
    pub(crate) lag_seconds: Option<f64>,
    /// Tells one cluster and its copies from another.
    pub(crate) system: Option<String>,
    /// Connections that an ordinary role may have.
    pub(crate) usable: u32,
    /// Processes with pools on this server, this one too, and what their pools may take together: as the names of their
    /// probes' sessions say, one for each process.
    pub(crate) processes: u32,
    pub(crate) may_take: u32,
}

/// Why nothing was seen.
#[derive(Clone, Debug)]
pub(crate) struct Unseen {
    pub(crate) reason: String,
    /// The server said so, or nothing listens: no second look is needed to believe it.
    pub(crate) certain: bool,
}

/// Looks by a connection of its own, outside all limits: when every connection is in use, roles must still be known.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    connection: Option<PgConnection>,
}

impl Probe {
    pub(crate) async fn look(
        &mut self,
        settings: &PoolSettings,
        target: &Target,
        name: &str,
    ) -> Result<Reading, Unseen> {
        // Taken out: a look that is given up midway leaves no connection in an unknown state.
        let held = self.connection.take();
        let work = async {
            let mut connection = match held {
                Some(connection) => connection,
                None => pgconnect::connect(settings.options(target, true).application_name(name)).await?,
            };
            let row = sqlx::query(SQL).fetch_one(&mut connection).await?;
            let reading = Reading {
                standby: row.try_get("standby")?,
                timeline: row.try_get::<Option<i32>, _>("timeline")?.and_then(|it| u32::try_from(it).ok()),
                lsn: row.try_get::<Option<String>, _>("lsn")?.and_then(|it| it.parse().ok()).unwrap_or_default(),
                lag_seconds: row.try_get("lag_seconds")?,
                system: row.try_get("system")?,
                usable: row.try_get::<i32, _>("usable").map(|it| u32::try_from(it).unwrap_or(0))?,
                processes: row.try_get::<i32, _>("processes").map(|it| u32::try_from(it).unwrap_or(0))?,
                may_take: row.try_get::<i64, _>("may_take").map(|it| u32::try_from(it).unwrap_or(u32::MAX))?,
            };
            Ok::<_, sqlx::Error>((connection, reading))
        };
        match timeout(settings.probe_timeout, work).await {
            Ok(Ok((connection, reading))) => {
                self.connection = Some(connection);
                Ok(reading)
            }
            Ok(Err(error)) => {
                let refused =
                    matches!(&error, sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused);
                Err(Unseen {
                    reason: one_line(&error),
                    certain: refused || error.as_database_error().is_some() && trouble(&error) != Trouble::Statement,
                })
            }
            Err(_) => Err(Unseen {
                reason: format!("no answer within {} ms", settings.probe_timeout.as_millis()),
                certain: false,
            }),
        }
    }
}
