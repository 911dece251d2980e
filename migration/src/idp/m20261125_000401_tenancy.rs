//! Every row knows its tenant, and row-level security keeps tenants apart, forced on the owner of the tables too.
//!
//! Two roles without a login and without BYPASSRLS: `holdfast_tenant` sees the tenant of the transaction
//! (`SET LOCAL holdfast.tenant_id`), and nothing when there is none; `holdfast_platform` sees all tenants, for roll-ups,
//! retention and reports. Whoever migrates is made a member of both.
use super::roles;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Roles belong to the whole cluster: another database of it may have made them, or be making them now, or an administrator made
/// them for an owner who may make none.
const ROLES: &str = r#"
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['holdfast_tenant', 'holdfast_platform'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOBYPASSRLS', role_name);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'the role % may not make roles; have a superuser run: CREATE ROLE holdfast_tenant NOLOGIN; CREATE ROLE holdfast_platform NOLOGIN; GRANT holdfast_tenant, holdfast_platform TO %',
                        current_user, quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
            END;
        END IF;
    END LOOP;
END
$$;
"#;

const UP: &str = r#"
CREATE FUNCTION current_tenant() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('holdfast.tenant_id', true), '')::bigint $$;

ALTER TABLE plugins ADD COLUMN IF NOT EXISTS installed_version text;
ALTER TABLE plugin_versions ADD COLUMN IF NOT EXISTS tenant_id bigint;
ALTER TABLE plugin_dependencies ADD COLUMN IF NOT EXISTS tenant_id bigint;
ALTER TABLE plugin_operations ADD COLUMN IF NOT EXISTS tenant_id bigint;
ALTER TABLE plugin_metrics ADD COLUMN IF NOT EXISTS tenant_id bigint;
ALTER TABLE plugin_analytics ADD COLUMN IF NOT EXISTS event_id text;
ALTER TABLE plugin_operations DROP CONSTRAINT plugin_operations_operation_type_check;
ALTER TABLE plugin_operations ADD CONSTRAINT plugin_operations_operation_type_check
    CHECK (operation_type IN ('install', 'enable', 'disable', 'upgrade', 'rollback', 'uninstall', 'tag')) NOT VALID;

-- Whoever inserts without a tenant gets the plugin's; whoever names one pays nothing.
CREATE FUNCTION tenant_of_plugin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tenant_id := (SELECT tenant_id FROM plugins WHERE id = NEW.plugin_id);
    RETURN NEW;
END $$;
CREATE FUNCTION tenant_of_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.tenant_id := (SELECT tenant_id FROM plugin_versions WHERE id = NEW.plugin_version_id);
    RETURN NEW;
END $$;
CREATE TRIGGER tenant BEFORE INSERT ON plugin_versions FOR EACH ROW WHEN (NEW.tenant_id IS NULL) EXECUTE FUNCTION tenant_of_plugin();
CREATE TRIGGER tenant BEFORE INSERT ON plugin_dependencies FOR EACH ROW WHEN (NEW.tenant_id IS NULL) EXECUTE FUNCTION tenant_of_version();
CREATE TRIGGER tenant BEFORE INSERT ON plugin_operations FOR EACH ROW WHEN (NEW.tenant_id IS NULL) EXECUTE FUNCTION tenant_of_plugin();
CREATE TRIGGER tenant BEFORE INSERT ON plugin_metrics FOR EACH ROW WHEN (NEW.tenant_id IS NULL) EXECUTE FUNCTION tenant_of_plugin();

CREATE TABLE plugin_bulks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    idempotency_key text NOT NULL,
    request_hash text NOT NULL,
    operation text NOT NULL CHECK (operation IN ('install', 'enable', 'disable', 'upgrade', 'tag', 'delete')),
    mode text NOT NULL CHECK (mode IN ('atomic', 'each')),
    state text NOT NULL CHECK (state IN ('running', 'done', 'refused')),
    total integer NOT NULL,
    started_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    UNIQUE (tenant_id, idempotency_key)
);
-- No foreign key to plugins: the outcome outlives what it was done to.
CREATE TABLE plugin_bulk_items (
    bulk_id bigint NOT NULL REFERENCES plugin_bulks (id) ON DELETE CASCADE,
    plugin_id bigint NOT NULL,
    tenant_id bigint NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('done', 'unchanged', 'refused', 'failed')),
    reason text,
    PRIMARY KEY (bulk_id, plugin_id)
);
"#;

/// A tenant sees and writes its own rows; the platform's own work sees all.
const POLICIES: &str = r#"
DO $$
DECLARE
    one text;
    tenant text;
BEGIN
    FOREACH one IN ARRAY ARRAY['tenants', 'plugins', 'plugin_versions', 'plugin_dependencies', 'plugin_operations',
        'plugin_metrics', 'plugin_analytics', 'audit_logs', 'plugin_bulks', 'plugin_bulk_items'] LOOP
        tenant := CASE one WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', one);
        EXECUTE format('CREATE POLICY tenant ON %I TO holdfast_tenant USING (%I = current_tenant()) WITH CHECK (%I = current_tenant())', one, tenant, tenant);
        EXECUTE format('CREATE POLICY platform ON %I TO holdfast_platform USING (true) WITH CHECK (true)', one);
        IF one NOT IN ('tenants', 'audit_logs') THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO holdfast_tenant', one);
        END IF;
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO holdfast_platform', one);
    END LOOP;
    GRANT SELECT ON tenants TO holdfast_tenant;
    GRANT SELECT, INSERT ON audit_logs TO holdfast_tenant;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO holdfast_tenant, holdfast_platform', current_schema());
    -- A view runs with its owner's rights, who sees all tenants, unless it is told otherwise; before PostgreSQL 15 it
    -- cannot be, so tenants do not get it there.
    IF current_setting('server_version_num')::int >= 150000 THEN
        EXECUTE 'ALTER VIEW v_active_plugins SET (security_invoker = true)';
        EXECUTE 'ALTER VIEW v_plugin_performance_summary SET (security_invoker = true)';
        GRANT SELECT ON v_active_plugins, v_plugin_performance_summary TO holdfast_tenant;
    END IF;
    GRANT SELECT ON v_active_plugins, v_plugin_performance_summary TO holdfast_platform;
END
$$;
"#;

const DOWN: &str = r#"
DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['tenants', 'plugins', 'plugin_versions', 'plugin_dependencies', 'plugin_operations',
        'plugin_metrics', 'plugin_analytics', 'audit_logs'] LOOP
        EXECUTE format('DROP POLICY tenant ON %I', one);
        EXECUTE format('DROP POLICY platform ON %I', one);
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', one);
        EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', one);
    END LOOP;
    DROP TABLE plugin_bulk_items, plugin_bulks;
    IF current_setting('server_version_num')::int >= 150000 THEN
        EXECUTE 'ALTER VIEW v_active_plugins RESET (security_invoker)';
        EXECUTE 'ALTER VIEW v_plugin_performance_summary RESET (security_invoker)';
    END IF;
    DROP TRIGGER tenant ON plugin_versions;
    DROP TRIGGER tenant ON plugin_dependencies;
    DROP TRIGGER tenant ON plugin_operations;
    DROP TRIGGER tenant ON plugin_metrics;
    DROP FUNCTION tenant_of_plugin();
    DROP FUNCTION tenant_of_version();
    DROP FUNCTION current_tenant();
    DELETE FROM plugin_operations WHERE operation_type = 'tag';
    ALTER TABLE plugin_operations DROP CONSTRAINT plugin_operations_operation_type_check;
    ALTER TABLE plugin_operations ADD CONSTRAINT plugin_operations_operation_type_check
        CHECK (operation_type IN ('install', 'enable', 'disable', 'upgrade', 'rollback', 'uninstall'));
    ALTER TABLE plugins DROP COLUMN installed_version;
    ALTER TABLE plugin_versions DROP COLUMN tenant_id;
    ALTER TABLE plugin_dependencies DROP COLUMN tenant_id;
    ALTER TABLE plugin_operations DROP COLUMN tenant_id;
    ALTER TABLE plugin_metrics DROP COLUMN tenant_id;
    ALTER TABLE plugin_analytics DROP COLUMN event_id;
    -- The roles stay while another database of the cluster uses them.
    FOREACH one IN ARRAY ARRAY['holdfast_tenant', 'holdfast_platform'] LOOP
        EXECUTE format('DROP OWNED BY %I', one);
        BEGIN
            EXECUTE format('DROP ROLE %I', one);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            NULL;
        END;
    END LOOP;
END
$$;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(ROLES).await?;
        roles::may_be_taken_on(db).await?;
        for sql in [UP, POLICIES] {
            db.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}
