//! Tables. `plugin_metrics` and `plugin_analytics` are range-partitioned by month: retention drops a partition where a
//! DELETE would leave bloat.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
CREATE TABLE tenants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL,
    plan text NOT NULL DEFAULT 'team' CHECK (plan IN ('free', 'team', 'enterprise')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE plugins (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name text NOT NULL,
    display_name text NOT NULL,
    description text NOT NULL DEFAULT '',
    category text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'installing', 'failed', 'deprecated')),
    owner text NOT NULL,
    environment text NOT NULL DEFAULT 'production' CHECK (environment IN ('production', 'staging', 'development')),
    keywords text[] NOT NULL DEFAULT '{}',
    tags text[] NOT NULL DEFAULT '{}',
    is_installed boolean NOT NULL DEFAULT false,
    is_enabled boolean NOT NULL DEFAULT false,
    health_score smallint NOT NULL DEFAULT 100 CHECK (health_score BETWEEN 0 AND 100),
    cpu_usage real NOT NULL DEFAULT 0,
    memory_usage bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);
CREATE TABLE plugin_versions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin_id bigint NOT NULL REFERENCES plugins (id) ON DELETE CASCADE,
    version text NOT NULL,
    released_at timestamptz NOT NULL DEFAULT now(),
    yanked boolean NOT NULL DEFAULT false,
    changelog text NOT NULL DEFAULT '',
    UNIQUE (plugin_id, version)
);
CREATE TABLE plugin_dependencies (
    plugin_version_id bigint NOT NULL REFERENCES plugin_versions (id) ON DELETE CASCADE,
    depends_on_id bigint NOT NULL REFERENCES plugins (id) ON DELETE CASCADE,
    version_range text NOT NULL,
    optional boolean NOT NULL DEFAULT false,
    PRIMARY KEY (plugin_version_id, depends_on_id)
);
CREATE TABLE plugin_operations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin_id bigint NOT NULL REFERENCES plugins (id) ON DELETE CASCADE,
    environment text NOT NULL,
    operation_type text NOT NULL CHECK (operation_type IN ('install', 'enable', 'disable', 'upgrade', 'rollback', 'uninstall')),
    status text NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    started_by text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    error text
);
CREATE TABLE plugin_metrics (
    plugin_id bigint NOT NULL,
    metric_name text NOT NULL,
    value double precision NOT NULL,
    "timestamp" timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE ("timestamp");
CREATE TABLE plugin_analytics (
    plugin_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    event_type text NOT NULL,
    user_id text,
    country char(2),
    properties jsonb NOT NULL DEFAULT '{}',
    "timestamp" timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE ("timestamp");
CREATE TABLE audit_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint REFERENCES tenants (id),
    actor text NOT NULL,
    action text NOT NULL,
    object_kind text NOT NULL,
    object_id text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    "timestamp" timestamptz NOT NULL DEFAULT now()
);
"#;

/// Four months back, three ahead, and a default partition, so that no row is ever refused for its time.
const PARTITIONS: &str = r#"
DO $$
DECLARE
    parent text;
    month date;
BEGIN
    FOREACH parent IN ARRAY ARRAY['plugin_metrics', 'plugin_analytics'] LOOP
        FOR i IN -4..3 LOOP
            month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i))::date;
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || to_char(month, '"_y"YYYY"m"MM'), parent,
                month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
        END LOOP;
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_default', parent);
    END LOOP;
END
$$;
"#;

const DOWN: &str = "DROP TABLE audit_logs, plugin_analytics, plugin_metrics, plugin_operations, plugin_dependencies, plugin_versions, plugins, tenants";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(UP).await?;
        manager.get_connection().execute_unprepared(PARTITIONS).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}
