//! The order of versions: a key beside each, so that the newest is the greatest and not the one released last. A back-port
//! 1.4.9 released after 2.0.0 is older than that.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Releases come after all pre-releases, as the solver takes them: a pre-release is the newest only where nothing else is.
/// Numbers are written in equal length, so that text in the order of bytes is in the order of versions; a number in a
/// pre-release is less than a word, and of two that begin alike the shorter is less. What is no semantic version has no key.
///
/// Adding the column writes the table anew under an exclusive lock. No row is updated by a statement: row-level security
/// is forced, and an UPDATE of the owner would see none.
const UP: &str = r#"
CREATE FUNCTION plugin_version_key(version text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    parts text[] := regexp_match(version,
        '^([0-9]{1,20})\.([0-9]{1,20})\.([0-9]{1,20})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$');
    made text;
    one text;
BEGIN
    IF parts IS NULL THEN
        RETURN NULL;
    END IF;
    made := CASE WHEN parts[4] IS NULL THEN '1' ELSE '0' END
        || lpad(parts[1], 20, '0') || lpad(parts[2], 20, '0') || lpad(parts[3], 20, '0');
    IF parts[4] IS NOT NULL THEN
        FOREACH one IN ARRAY string_to_array(parts[4], '.') LOOP
            -- '!' is less than everything that a word is made of.
            made := made || CASE WHEN one ~ '^[0-9]+$' THEN '1' || lpad(length(one)::text, 6, '0') ELSE '2' END || one || '!';
        END LOOP;
    END IF;
    RETURN made;
END
$$;
ALTER TABLE plugin_versions ADD COLUMN version_key text COLLATE "C" GENERATED ALWAYS AS (plugin_version_key(version)) STORED;
"#;

const DOWN: &str = "
ALTER TABLE plugin_versions DROP COLUMN version_key;
DROP FUNCTION plugin_version_key(text)";

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
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}
