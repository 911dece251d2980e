//! Analytics: roll-ups in three tiers, the list of hours that must be rolled up anew, partitions made ahead, the record
//! of what was archived, and the schema into which archived rows come back.
//!
//! What needs the owner of the tables (making, dropping and emptying partitions) is a function that runs with the
//! owner's rights and does that one thing; `holdfast_platform` may call it.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
-- Which hours must be rolled up anew. Rows are only ever added and removed, never merged: a row is seen by a roll-up
-- exactly when the rows that it tells of are, because both came in one transaction. Tenant NULL is all tenants.
CREATE TABLE analytics_dirty (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('events', 'metrics')),
    tenant_id bigint,
    hour timestamptz NOT NULL,
    -- Rows went: what was counted may have to go too.
    removed boolean NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX idx_analytics_dirty_hour ON analytics_dirty (kind, hour);

-- Rows before raw_from are in the archive: the tables no longer have them and take no more of them.
CREATE TABLE analytics_state (
    kind text PRIMARY KEY CHECK (kind IN ('events', 'metrics')),
    raw_from timestamptz NOT NULL DEFAULT '-infinity',
    rolled_up_at timestamptz
);
INSERT INTO analytics_state (kind) VALUES ('events'), ('metrics');
-- The name under which this database's archives stand in a repository.
CREATE TABLE analytics_home (id text PRIMARY KEY);
INSERT INTO analytics_home SELECT replace(gen_random_uuid()::text, '-', '');

-- A batch with this key was taken: sent again it is answered and not counted again.
CREATE TABLE analytics_batches (
    tenant_id bigint NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    batch_key text NOT NULL,
    request_hash text NOT NULL,
    report jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, batch_key)
);

-- Who used what on which day, in which country: exact sets, which can be united over any days, counted, intersected,
-- and from which a subject can be erased (docs/adr/0055-roll-ups-by-dirty-hours.md).
CREATE TABLE analytics_user_days (
    tenant_id bigint NOT NULL,
    day date NOT NULL,
    user_id text NOT NULL,
    plugin_id bigint NOT NULL,
    country text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, day, user_id, plugin_id, country)
);
-- A subject over all tenants, for export and erasure; when a user was first seen, for cohorts.
CREATE INDEX idx_analytics_user_days_user ON analytics_user_days (user_id, tenant_id, day);

DO $$
DECLARE
    tier text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['minute', 'hour', 'day'] LOOP
        -- The key's order is that of the questions: one tenant, a span of time, then perhaps a plugin.
        EXECUTE format('CREATE TABLE analytics_events_%s (
            tenant_id bigint NOT NULL,
            bucket timestamptz NOT NULL,
            plugin_id bigint NOT NULL,
            event_type text NOT NULL,
            country text NOT NULL DEFAULT '''',
            events bigint NOT NULL,
            PRIMARY KEY (tenant_id, bucket, plugin_id, event_type, country))', tier);
        -- One metric at a time is asked for.
        EXECUTE format('CREATE TABLE analytics_metrics_%s (
            tenant_id bigint NOT NULL,
            metric_name text NOT NULL,
            bucket timestamptz NOT NULL,
            plugin_id bigint NOT NULL,
            samples bigint NOT NULL,
            value_sum double precision NOT NULL,
            value_min double precision NOT NULL,
            value_max double precision NOT NULL,
            bins smallint[] NOT NULL,
            bin_samples bigint[] NOT NULL,
            PRIMARY KEY (tenant_id, metric_name, bucket, plugin_id))', tier);
        -- Clearing out and rolling up anew go by time over all tenants.
        EXECUTE format('CREATE INDEX idx_analytics_events_%s_time ON analytics_events_%s USING brin (bucket)', tier, tier);
        EXECUTE format('CREATE INDEX idx_analytics_metrics_%s_time ON analytics_metrics_%s USING brin (bucket)', tier, tier);
    END LOOP;
END
$$;

CREATE TABLE analytics_archives (
    id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('events', 'metrics')),
    month date NOT NULL,
    row_count bigint NOT NULL,
    stored_bytes bigint NOT NULL,
    repository text NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, month)
);

-- Erasures of subjects. The subject's name stays only for as long as something is to be done; its hash stays, so that
-- the certificate can be told to be somebody's.
CREATE TABLE analytics_erasures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint,
    subject text,
    subject_hash text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'done')),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    live jsonb NOT NULL DEFAULT '{}',
    archives jsonb NOT NULL DEFAULT '{}',
    error text
);

-- Archived rows that were brought back. Apart from the live tables: they are not rolled up again, and no retention
-- takes them for fresh.
CREATE SCHEMA IF NOT EXISTS analytics_restored;
CREATE TABLE analytics_restored.plugin_analytics (LIKE plugin_analytics INCLUDING DEFAULTS);
CREATE TABLE analytics_restored.plugin_metrics (LIKE plugin_metrics INCLUDING DEFAULTS);
CREATE INDEX ON analytics_restored.plugin_analytics (tenant_id, "timestamp");
CREATE INDEX ON analytics_restored.plugin_metrics (tenant_id, "timestamp");

-- A value's bin of a histogram whose bins are 5 % wide: any quantile read from it is within 2.5 %. Zero is bin 0,
-- negative values have negative bins. Bins add up, so histograms merge.
CREATE FUNCTION analytics_bin(value double precision) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN abs(value) < 1e-9 THEN 0
        ELSE sign(value) * least(ceil(ln(abs(value)) / ln(1.05::double precision)) + 430, 16000) END::smallint
$$;
"#;

/// `SCHEMA` stands for the schema that is migrated: a function with its owner's rights names what it looks into.
const FUNCTIONS: &str = r#"
CREATE FUNCTION analytics_mark() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = SCHEMA, pg_temp AS $$
DECLARE
    archived timestamptz;
BEGIN
    INSERT INTO analytics_dirty (kind, tenant_id, hour, removed)
    SELECT DISTINCT TG_ARGV[0], tenant_id, date_trunc('hour', "timestamp", 'UTC'), TG_ARGV[1] = 'removed'
    FROM changed WHERE tenant_id IS NOT NULL;
    -- After the rows are in: whoever waited for a partition that was dropped meanwhile sees it here.
    SELECT raw_from INTO archived FROM analytics_state WHERE kind = TG_ARGV[0];
    IF archived > '-infinity' AND EXISTS (SELECT FROM changed WHERE "timestamp" < archived) THEN
        RAISE EXCEPTION 'rows from before % were archived; nothing can be added there any more', archived
            USING ERRCODE = 'HF001';
    END IF;
    RETURN NULL;
END $$;

-- Makes the partition of a month. What of it lies in the default partition goes into it.
CREATE FUNCTION analytics_ensure_partition(parent text, month date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = SCHEMA, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    name text := parent || to_char(month, '"_y"YYYY"m"MM');
    lo timestamptz := month::timestamp AT TIME ZONE 'UTC';
    hi timestamptz := (month + interval '1 month')::timestamp AT TIME ZONE 'UTC';
    late boolean;
BEGIN
    IF parent NOT IN ('plugin_metrics', 'plugin_analytics') OR month <> date_trunc('month', month)::date THEN
        RAISE EXCEPTION 'not a table of analytics, or not the first of a month: % %', parent, month;
    END IF;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('holdfast analytics partitions', 0));
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Made beside and then attached: readers and writers of the other partitions are not held up.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE "timestamp" >= $1 AND "timestamp" < $2)', parent || '_default')
        INTO late USING lo, hi;
    IF late THEN
        EXECUTE format('WITH moved AS (DELETE FROM %I WHERE "timestamp" >= $1 AND "timestamp" < $2 RETURNING *) INSERT INTO %I SELECT * FROM moved', parent || '_default', name)
            USING lo, hi;
    END IF;
    IF parent = 'plugin_analytics' THEN
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (tenant_id, event_id) WHERE event_id IS NOT NULL', name || '_event_id', name);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, lo, hi);
    RETURN true;
END $$;

-- Months of rows that lie in the default partition, for want of one of their own.
CREATE FUNCTION analytics_strays(parent text) RETURNS SETOF date
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = SCHEMA, pg_temp AS $$
BEGIN
    IF parent NOT IN ('plugin_metrics', 'plugin_analytics') THEN
        RAISE EXCEPTION 'not a table of analytics: %', parent;
    END IF;
    RETURN QUERY EXECUTE format('SELECT DISTINCT date_trunc(''month'', "timestamp" AT TIME ZONE ''UTC'')::date FROM %I LIMIT 100', parent || '_default');
END $$;

-- Whether two looks at a month saw the same rows: their number, and a sum over them that knows no order.
CREATE FUNCTION analytics_fingerprint(parent text, month date) RETURNS TABLE (row_count bigint, checksum text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = SCHEMA, pg_temp
    -- A row's text must not depend on who asks.
    SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO' SET extra_float_digits = 1 AS $$
BEGIN
    IF parent NOT IN ('plugin_metrics', 'plugin_analytics') THEN
        RAISE EXCEPTION 'not a table of analytics: %', parent;
    END IF;
    RETURN QUERY EXECUTE format('SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM %I t',
        parent || to_char(month, '"_y"YYYY"m"MM'));
END $$;

-- Drops a month that is in the archive, and records that in the same transaction. Refuses when the rows are not those
-- that were exported, or when some are not rolled up yet.
CREATE FUNCTION analytics_drop_archived(the_kind text, the_month date, archive_id text, wanted_rows bigint, wanted_checksum text,
    bytes bigint, the_repository text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = SCHEMA, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    parent text := CASE the_kind WHEN 'events' THEN 'plugin_analytics' WHEN 'metrics' THEN 'plugin_metrics' END;
    name text := parent || to_char(the_month, '"_y"YYYY"m"MM');
    hi timestamptz := (the_month + interval '1 month')::timestamp AT TIME ZONE 'UTC';
    found record;
BEGIN
    IF parent IS NULL OR hi > now() - interval '1 day' THEN
        RAISE EXCEPTION 'only a month that is over can be archived: % %', the_kind, the_month;
    END IF;
    -- No roll-up runs meanwhile, and no writer.
    PERFORM pg_advisory_xact_lock(hashtextextended('holdfast analytics roll-up', 0));
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
    SELECT * INTO found FROM analytics_fingerprint(parent, the_month);
    IF found.row_count <> wanted_rows OR found.checksum <> wanted_checksum THEN
        RAISE EXCEPTION '% changed since it was exported', name USING ERRCODE = 'HF002';
    END IF;
    IF EXISTS (SELECT FROM analytics_dirty WHERE kind = the_kind AND hour < hi) THEN
        RAISE EXCEPTION '% is not rolled up yet', name USING ERRCODE = 'HF003';
    END IF;
    INSERT INTO analytics_archives (id, kind, month, row_count, stored_bytes, repository)
    VALUES (archive_id, the_kind, the_month, wanted_rows, bytes, the_repository)
    ON CONFLICT (kind, month) DO UPDATE SET id = EXCLUDED.id, row_count = EXCLUDED.row_count,
        stored_bytes = EXCLUDED.stored_bytes, repository = EXCLUDED.repository, archived_at = now();
    UPDATE analytics_state SET raw_from = greatest(raw_from, hi) WHERE kind = the_kind;
    EXECUTE format('DROP TABLE %I', name);
END $$;

REVOKE EXECUTE ON FUNCTION analytics_ensure_partition(text, date), analytics_strays(text), analytics_fingerprint(text, date),
    analytics_drop_archived(text, date, text, bigint, text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics_ensure_partition(text, date), analytics_strays(text), analytics_fingerprint(text, date),
    analytics_drop_archived(text, date, text, bigint, text, bigint, text) TO holdfast_platform;
"#;

const TRIGGERS: &str = r#"
CREATE TRIGGER analytics_added AFTER INSERT ON plugin_analytics REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_mark('events', 'added');
CREATE TRIGGER analytics_changed AFTER UPDATE ON plugin_analytics REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_mark('events', 'removed');
CREATE TRIGGER analytics_was AFTER UPDATE ON plugin_analytics REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_mark('events', 'removed');
CREATE TRIGGER analytics_removed AFTER DELETE ON plugin_analytics REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_mark('events', 'removed');
CREATE TRIGGER analytics_added AFTER INSERT ON plugin_metrics REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_mark('metrics', 'added');
CREATE TRIGGER analytics_changed AFTER UPDATE ON plugin_metrics REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_mark('metrics', 'removed');
CREATE TRIGGER analytics_was AFTER UPDATE ON plugin_metrics REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_mark('metrics', 'removed');
CREATE TRIGGER analytics_removed AFTER DELETE ON plugin_metrics REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_mark('metrics', 'removed');

-- What is there already is rolled up once, hour by hour, by whoever rolls up first. The hours come from the partitions'
-- bounds: no row is read for it. Hours without rows cost nothing.
DO $$
DECLARE
    parent text;
    one record;
BEGIN
    FOREACH parent IN ARRAY ARRAY['plugin_metrics', 'plugin_analytics'] LOOP
        FOR one IN
            SELECT c.relname AS name, to_date(substring(c.relname FROM 'y\d{4}m\d{2}$'), '"y"YYYY"m"MM') AS month
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = parent::regclass
        LOOP
            IF one.month IS NULL THEN
                EXECUTE format('INSERT INTO analytics_dirty (kind, hour) SELECT DISTINCT %L, date_trunc(''hour'', "timestamp", ''UTC'') FROM %I',
                    CASE parent WHEN 'plugin_metrics' THEN 'metrics' ELSE 'events' END, one.name);
            ELSE
                INSERT INTO analytics_dirty (kind, hour)
                SELECT CASE parent WHEN 'plugin_metrics' THEN 'metrics' ELSE 'events' END, hour
                FROM generate_series(one.month::timestamp AT TIME ZONE 'UTC',
                    least((one.month + interval '1 month')::timestamp AT TIME ZONE 'UTC' - interval '1 hour', date_trunc('hour', now())), interval '1 hour') AS hour;
            END IF;
        END LOOP;
    END LOOP;
END
$$;
"#;

const POLICIES: &str = r#"
DO $$
DECLARE
    one text;
    schema_name text := current_schema();
BEGIN
    FOREACH one IN ARRAY ARRAY['analytics_batches', 'analytics_user_days', 'analytics_events_minute', 'analytics_events_hour',
        'analytics_events_day', 'analytics_metrics_minute', 'analytics_metrics_hour', 'analytics_metrics_day',
        'analytics_restored.plugin_analytics', 'analytics_restored.plugin_metrics'] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', one);
        EXECUTE format('CREATE POLICY tenant ON %s TO holdfast_tenant USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', one);
        EXECUTE format('CREATE POLICY platform ON %s TO holdfast_platform USING (true) WITH CHECK (true)', one);
        EXECUTE format('GRANT SELECT ON %s TO holdfast_tenant', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO holdfast_platform', one);
    END LOOP;
    GRANT INSERT, UPDATE ON analytics_batches TO holdfast_tenant;
    GRANT USAGE ON SCHEMA analytics_restored TO holdfast_tenant, holdfast_platform;
    -- Not forced: the trigger writes it as the owner, whoever the writer is.
    ALTER TABLE analytics_dirty ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON analytics_dirty TO holdfast_tenant USING (tenant_id = current_tenant() OR tenant_id IS NULL);
    CREATE POLICY platform ON analytics_dirty TO holdfast_platform USING (true) WITH CHECK (true);
    GRANT SELECT ON analytics_dirty, analytics_state TO holdfast_tenant;
    GRANT SELECT, INSERT, UPDATE, DELETE ON analytics_dirty, analytics_state, analytics_archives, analytics_erasures TO holdfast_platform;
    GRANT SELECT ON analytics_home TO holdfast_platform;
END
$$;
"#;

const DOWN: &str = r#"
DROP SCHEMA analytics_restored CASCADE;
DROP TRIGGER analytics_added ON plugin_analytics;
DROP TRIGGER analytics_changed ON plugin_analytics;
DROP TRIGGER analytics_was ON plugin_analytics;
DROP TRIGGER analytics_removed ON plugin_analytics;
DROP TRIGGER analytics_added ON plugin_metrics;
DROP TRIGGER analytics_changed ON plugin_metrics;
DROP TRIGGER analytics_was ON plugin_metrics;
DROP TRIGGER analytics_removed ON plugin_metrics;
DROP FUNCTION analytics_drop_archived(text, date, text, bigint, text, bigint, text);
DROP FUNCTION analytics_fingerprint(text, date);
DROP FUNCTION analytics_strays(text);
DROP FUNCTION analytics_ensure_partition(text, date);
DROP FUNCTION analytics_mark();
DROP FUNCTION analytics_bin(double precision);
DROP TABLE analytics_erasures, analytics_archives, analytics_metrics_minute, analytics_metrics_hour, analytics_metrics_day,
    analytics_events_minute, analytics_events_hour, analytics_events_day, analytics_user_days, analytics_batches,
    analytics_home, analytics_state, analytics_dirty;
"#;

#[derive(sea_orm::FromQueryResult)]
struct Schema {
    name: String,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use sea_orm::FromQueryResult as _;
        let db = manager.get_connection();
        let asked = sea_orm::Statement::from_string(
            sea_orm::ConnectionTrait::get_database_backend(db),
            "SELECT quote_ident(current_schema()) AS name",
        );
        let schema = Schema::find_by_statement(asked).one(db).await?.map_or_else(|| "public".to_owned(), |it| it.name);
        for sql in [TABLES, &FUNCTIONS.replace("SCHEMA,", &format!("{schema},")), TRIGGERS, POLICIES] {
            db.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}
