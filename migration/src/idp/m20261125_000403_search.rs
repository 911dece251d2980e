//! Full-text search, and search that forgives typing errors where `pg_trgm` can be had.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// `array_to_string` is only STABLE, for element types whose text depends on settings; text does not.
/// The name weighs most, then keywords and tags, then the description.
const UP: &str = r#"
CREATE FUNCTION plugin_words(text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT array_to_string($1, ' ') $$;
ALTER TABLE plugins ADD COLUMN search tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('simple', name || ' ' || display_name), 'A')
    || setweight(to_tsvector('simple', plugin_words(keywords) || ' ' || plugin_words(tags) || ' ' || category), 'B')
    || setweight(to_tsvector('simple', description), 'C')) STORED;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    ELSE
        RAISE NOTICE 'pg_trgm is not installed (package postgresql-contrib): search does not forgive typing errors';
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'pg_trgm may not be made by this role: have a superuser run CREATE EXTENSION pg_trgm';
END
$$;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(UP).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The extension stays: it is not known who else uses it.
        manager
            .get_connection()
            .execute_unprepared("ALTER TABLE plugins DROP COLUMN search; DROP FUNCTION plugin_words(text[])")
            .await?;
        Ok(())
    }
}
