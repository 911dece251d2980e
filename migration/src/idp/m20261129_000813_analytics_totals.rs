//! What a question over many days reads: events counted by one dimension, metrics over all plugins, and who used what as
//! one set of numbers a day (docs/adr/0060-totals-and-sets-of-users.md).
//!
//! All of it follows from roll-ups that are there: it is filled from them, so that it also holds what is archived.
use super::roles;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
-- Events of a tenant by hour.
CREATE TABLE analytics_events_hour_total (
    tenant_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (tenant_id, bucket)
);
-- Events of a tenant by day and one dimension: all (the key is empty), plugin, event_type, country.
CREATE TABLE analytics_events_day_total (
    tenant_id bigint NOT NULL,
    dimension text NOT NULL CHECK (dimension IN ('all', 'plugin', 'event_type', 'country')),
    bucket timestamptz NOT NULL,
    key text NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (tenant_id, dimension, bucket, key)
);
-- A metric of a tenant by day, over all plugins.
CREATE TABLE analytics_metrics_day_total (
    tenant_id bigint NOT NULL,
    metric_name text NOT NULL,
    bucket timestamptz NOT NULL,
    samples bigint NOT NULL,
    value_sum double precision NOT NULL,
    value_min double precision NOT NULL,
    value_max double precision NOT NULL,
    bins smallint[] NOT NULL,
    bin_samples bigint[] NOT NULL,
    PRIMARY KEY (tenant_id, metric_name, bucket)
);
-- Users that analytics_user_days knows, each with a number and the first of its days. The first day changes while an
-- old heap is rolled up, the newest first: room on the page keeps that off the index.
CREATE TABLE analytics_users (
    tenant_id bigint NOT NULL,
    user_id text NOT NULL,
    number integer NOT NULL GENERATED ALWAYS AS IDENTITY,
    first_day date NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITH (fillfactor = 75);
-- The users of a day by one dimension: all (the key is empty), plugin, country. Their numbers, ascending, of four bytes
-- each, the highest first; an exact set, and it follows from analytics_user_days.
CREATE TABLE analytics_user_sets (
    tenant_id bigint NOT NULL,
    dimension text NOT NULL CHECK (dimension IN ('all', 'plugin', 'country')),
    day date NOT NULL,
    key text NOT NULL,
    users bytea NOT NULL,
    PRIMARY KEY (tenant_id, dimension, day, key)
);
-- Numbers do not compress so well that it is worth the time.
ALTER TABLE analytics_user_sets ALTER COLUMN users SET STORAGE EXTERNAL;
CREATE INDEX idx_analytics_user_sets_day ON analytics_user_sets (day);
"#;

/// Cheaper than `date_trunc`, which looks the zone up for each row.
const MARK: &str = r#"
CREATE OR REPLACE FUNCTION analytics_mark() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = SCHEMA, pg_temp AS $$
DECLARE
    archived timestamptz;
BEGIN
    INSERT INTO analytics_dirty (kind, tenant_id, hour, removed)
    SELECT DISTINCT TG_ARGV[0], tenant_id, HOUR, TG_ARGV[1] = 'removed'
    FROM changed WHERE tenant_id IS NOT NULL;
    -- After the rows are in: whoever waited for a partition that was dropped meanwhile sees it here.
    SELECT raw_from INTO archived FROM analytics_state WHERE kind = TG_ARGV[0];
    IF archived > '-infinity' AND EXISTS (SELECT FROM changed WHERE "timestamp" < archived) THEN
        RAISE EXCEPTION 'rows from before % were archived; nothing can be added there any more', archived
            USING ERRCODE = 'HF001';
    END IF;
    RETURN NULL;
END $$;
"#;

const POLICIES: &str = r#"
DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['analytics_events_hour_total', 'analytics_events_day_total', 'analytics_metrics_day_total',
        'analytics_users', 'analytics_user_sets'] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', one);
        EXECUTE format('CREATE POLICY tenant ON %s TO holdfast_tenant USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', one);
        EXECUTE format('CREATE POLICY platform ON %s TO holdfast_platform USING (true) WITH CHECK (true)', one);
        EXECUTE format('GRANT SELECT ON %s TO holdfast_tenant', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO holdfast_platform', one);
    END LOOP;
END
$$;
"#;

/// No roll-up runs meanwhile. What is marked at this moment is made anew, totals included, by the next roll-up.
const BACKFILL: &str = r#"
SELECT pg_advisory_xact_lock(hashtextextended('holdfast analytics roll-up', 0));
SET LOCAL ROLE holdfast_platform;
INSERT INTO analytics_events_hour_total (tenant_id, bucket, events)
SELECT tenant_id, bucket, sum(events)::int8 FROM analytics_events_hour GROUP BY 1, 2;
INSERT INTO analytics_events_day_total (tenant_id, dimension, bucket, key, events)
SELECT d.tenant_id, x.dimension, d.bucket, x.key, sum(d.events)::int8
FROM analytics_events_day d
CROSS JOIN LATERAL (VALUES ('all', ''), ('plugin', d.plugin_id::text), ('event_type', d.event_type), ('country', d.country)) AS x (dimension, key)
GROUP BY 1, 2, 3, 4;
INSERT INTO analytics_metrics_day_total (tenant_id, metric_name, bucket, samples, value_sum, value_min, value_max, bins, bin_samples)
SELECT tenant_id, metric_name, bucket, sum(n)::int8, sum(value_sum), min(value_min), max(value_max), array_agg(bin ORDER BY bin), array_agg(n ORDER BY bin)
FROM (SELECT d.tenant_id, d.metric_name, d.bucket, u.bin, sum(u.n)::int8 AS n, sum(d.value_sum) FILTER (WHERE u.i = 1) AS value_sum, min(d.value_min) AS value_min, max(d.value_max) AS value_max
    FROM analytics_metrics_day d CROSS JOIN LATERAL unnest(d.bins, d.bin_samples) WITH ORDINALITY AS u (bin, n, i) GROUP BY 1, 2, 3, 4) AS by_bin
GROUP BY 1, 2, 3;
INSERT INTO analytics_users (tenant_id, user_id, first_day)
SELECT tenant_id, user_id, min(day) FROM analytics_user_days GROUP BY 1, 2;
INSERT INTO analytics_user_sets (tenant_id, dimension, day, key, users)
SELECT tenant_id, dimension, day, key, string_agg(int4send(number), '' ORDER BY number)
FROM (SELECT DISTINCT d.tenant_id, x.dimension, d.day, x.key, u.number
    FROM analytics_user_days d JOIN analytics_users u ON u.tenant_id = d.tenant_id AND u.user_id = d.user_id
    CROSS JOIN LATERAL (VALUES ('all', ''), ('plugin', d.plugin_id::text), ('country', d.country)) AS x (dimension, key)) AS one
GROUP BY 1, 2, 3, 4;
RESET ROLE;
"#;

const DOWN: &str = "DROP TABLE analytics_events_hour_total, analytics_events_day_total, analytics_metrics_day_total, analytics_users, analytics_user_sets";

/// The hour of a moment, as before and as from now on.
const HOURS: [&str; 2] =
    ["date_trunc('hour', \"timestamp\", 'UTC')", "date_bin('1 hour', \"timestamp\", timestamptz 'epoch')"];

#[derive(sea_orm::FromQueryResult)]
struct Schema {
    name: String,
}

async fn mark(db: &SchemaManagerConnection<'_>, hour: &str) -> Result<(), DbErr> {
    use sea_orm::FromQueryResult as _;
    let asked = sea_orm::Statement::from_string(
        sea_orm::ConnectionTrait::get_database_backend(db),
        "SELECT quote_ident(current_schema()) AS name",
    );
    let schema = Schema::find_by_statement(asked).one(db).await?.map_or_else(|| "public".to_owned(), |it| it.name);
    db.execute_unprepared(&MARK.replace("SCHEMA,", &format!("{schema},")).replace("HOUR", hour)).await?;
    Ok(())
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        // Whoever migrated with an older version, on PostgreSQL 16 and later, was stopped here.
        roles::may_be_taken_on(db).await?;
        for sql in [TABLES, POLICIES, BACKFILL] {
            db.execute_unprepared(sql).await?;
        }
        mark(db, HOURS[1]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(DOWN).await?;
        mark(db, HOURS[0]).await
    }
}
