//! Services that run PostgreSQL for their customers: settings are changed by their own means there, not by `ALTER SYSTEM`.
use serde::{Deserialize, Serialize};

/// Who runs a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Amazon RDS.
    Rds,
    /// Amazon Aurora.
    Aurora,
    /// Azure Database for PostgreSQL.
    Azure,
    /// Google AlloyDB.
    AlloyDb,
    /// Google Cloud SQL.
    CloudSql,
    /// Supabase.
    Supabase,
    /// Neon.
    Neon,
}

const PRELOAD: &str = "shared_preload_libraries";

impl Provider {
    /// By the roles that a service has in each of its servers; Aurora has those of RDS, and a function of its own.
    pub fn of(roles: &[String], has_aurora_version: bool) -> Option<Self> {
        [
            ("rds_superuser", if has_aurora_version { Self::Aurora } else { Self::Rds }),
            ("azure_pg_admin", Self::Azure),
            ("alloydbsuperuser", Self::AlloyDb),
            ("cloudsqlsuperuser", Self::CloudSql),
            ("supabase_admin", Self::Supabase),
            ("neon_superuser", Self::Neon),
        ]
        .into_iter()
        .find(|(role, _)| roles.iter().any(|there| there.as_str() == *role))
        .map(|(_, provider)| provider)
    }

    /// As its owner calls it.
    pub const fn to_human(self) -> &'static str {
        match self {
            Self::Rds => "Amazon RDS",
            Self::Aurora => "Amazon Aurora",
            Self::Azure => "Azure Database for PostgreSQL",
            Self::AlloyDb => "AlloyDB",
            Self::CloudSql => "Cloud SQL",
            Self::Supabase => "Supabase",
            Self::Neon => "Neon",
        }
    }

    /// How a setting is changed there: what to do as comments, and the command where there is one. `at_start`: it takes effect
    /// at a restart only. The service's own names of things are in capitals.
    pub fn set(self, name: &str, value: &str, at_start: bool) -> String {
        let title = self.to_human();
        if name == PRELOAD && matches!(self, Self::AlloyDb | Self::CloudSql | Self::Neon) {
            return format!("-- {title} sets {PRELOAD} itself: its support is asked for what is missing there.");
        }
        let in_shell = format!("-- {title} takes no ALTER SYSTEM. In a shell");
        let method = if at_start { "pending-reboot" } else { "immediate" };
        let parameter = format!("--parameters \"ParameterName={name},ParameterValue='{value}',ApplyMethod={method}\"");
        let reboot = if at_start { "\n-- then reboot the instance" } else { "" };
        match self {
            Self::Rds => format!(
                "{in_shell}, with its parameter group, not the default one (sizes in the unit that is shown there):\n\
                 aws rds modify-db-parameter-group --db-parameter-group-name GROUP {parameter}{reboot}"
            ),
            Self::Aurora => format!(
                "{in_shell}, with its cluster's parameter group, not the default one (sizes in the unit that is shown there):\n\
                 aws rds modify-db-cluster-parameter-group --db-cluster-parameter-group-name GROUP {parameter}{reboot}"
            ),
            Self::Azure => {
                let restart = if at_start {
                    "\naz postgres flexible-server restart --resource-group GROUP --name SERVER"
                } else {
                    ""
                };
                format!(
                    "{in_shell} (sizes in the unit that the portal shows):\n\
                     az postgres flexible-server parameter set --resource-group GROUP --server-name SERVER --name {name} --value '{value}'{restart}"
                )
            }
            Self::AlloyDb => format!(
                "{in_shell}, with all flags that are set already: one that is left out is reset, and the instance may restart:\n\
                 gcloud alloydb instances update INSTANCE --cluster=CLUSTER --region=REGION --database-flags={name}={value}"
            ),
            Self::CloudSql => format!(
                "{in_shell}, with all flags that are set already: one that is left out is reset, and the instance may restart:\n\
                 gcloud sql instances patch INSTANCE --database-flags={name}={value}"
            ),
            Self::Supabase => format!(
                "{in_shell}; the database restarts:\n\
                 supabase --experimental --project-ref PROJECT postgres-config update --config {name}='{value}'"
            ),
            Self::Neon if at_start => format!("-- {title} sets {name} itself, by the size of the compute."),
            Self::Neon => format!(
                "-- {title} takes no ALTER SYSTEM. As the owner of the database, for what a session may set itself:\n\
                 ALTER DATABASE DATABASE_NAME SET {name} = '{value}';"
            ),
        }
    }

    /// How `pg_stat_statements` is got there; `preloaded` where the server has loaded it.
    pub fn statements(self, preloaded: bool) -> String {
        let mut lines = Vec::new();
        if self == Self::Azure {
            lines.push(
                "-- with PG_STAT_STATEMENTS among what azure.extensions allows already\n\
                 az postgres flexible-server parameter set --resource-group GROUP --server-name SERVER --name azure.extensions --value PG_STAT_STATEMENTS"
                    .to_owned(),
            );
            lines.push(self.set("pg_stat_statements.track", "top", false));
        }
        if !preloaded {
            lines.push(self.set(PRELOAD, "pg_stat_statements", true));
            if !matches!(self, Self::AlloyDb | Self::CloudSql | Self::Neon) {
                lines.push(format!("-- {PRELOAD} with what is there already"));
            }
        }
        let create = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
        lines.push(match self {
            Self::Rds | Self::Aurora => format!("{create};  -- as a member of rds_superuser"),
            Self::Azure => format!("{create};  -- as a member of azure_pg_admin"),
            Self::AlloyDb => format!("{create};  -- as a member of alloydbsuperuser"),
            Self::CloudSql => format!("{create};  -- as a member of cloudsqlsuperuser"),
            Self::Supabase => format!("{create} WITH SCHEMA extensions;"),
            Self::Neon => format!("{create};"),
        });
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Provider; 7] = [
        Provider::Rds,
        Provider::Aurora,
        Provider::Azure,
        Provider::AlloyDb,
        Provider::CloudSql,
        Provider::Supabase,
        Provider::Neon,
    ];

    #[test]
    fn a_service_is_known_by_its_roles() {
        let of = |roles: &[&str], aurora| {
            Provider::of(&roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>(), aurora)
        };
        assert_eq!(of(&["postgres", "pg_monitor"], false), None);
        assert_eq!(of(&["rds_superuser"], false), Some(Provider::Rds));
        assert_eq!(of(&["rds_superuser"], true), Some(Provider::Aurora));
        assert_eq!(of(&["alloydbsuperuser", "cloudsqlsuperuser"], false), Some(Provider::AlloyDb));
        assert_eq!(of(&["cloudsqlsuperuser"], false), Some(Provider::CloudSql));
        assert_eq!(of(&["azure_pg_admin"], false), Some(Provider::Azure));
        assert_eq!(of(&["supabase_admin"], false), Some(Provider::Supabase));
        assert_eq!(of(&["neon_superuser"], false), Some(Provider::Neon));
    }

    #[test]
    fn none_is_told_to_alter_the_system() {
        for provider in ALL {
            for cure in [
                provider.statements(true),
                provider.statements(false),
                provider.set("track_io_timing", "on", false),
                provider.set("shared_buffers", "4GB", true),
            ] {
                assert!(!cure.contains("ALTER SYSTEM SET") && !cure.contains("pg_reload_conf"), "{cure}");
                assert!(cure.lines().all(|line| !line.trim().is_empty()), "{cure}");
            }
            assert!(provider.statements(true).contains("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"));
        }
        assert!(Provider::Rds.set("work_mem", "16384", false).contains("ParameterValue='16384',ApplyMethod=immediate"));
        let preload = Provider::Aurora.statements(false);
        assert!(
            preload.contains("modify-db-cluster-parameter-group") && preload.contains("pending-reboot"),
            "{preload}"
        );
        assert!(!Provider::CloudSql.statements(false).contains("gcloud"), "no flag of it: it is loaded there");
        assert!(Provider::Supabase.statements(true).ends_with("WITH SCHEMA extensions;"));
    }
}
