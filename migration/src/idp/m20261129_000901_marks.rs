//! Marks: 256 bits a plugin. Each beginning of its words (two and four letters) sets one, each keyword and each tag sets two,
//! so that the index of the next migration leaves out what cannot match without reading the row (docs/adr/0059-marks.md).
//!
//! `catalog::marks` computes the same bits for a question; its test compares the two. They are the first bytes of a
//! SHA-256, which no version of PostgreSQL changes, unlike its own hash functions.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The column is computed from the same words as `search`, which it may not refer to: that one is generated too.
///
/// Adding it writes the whole table and its indexes anew under an exclusive lock: 45 s for a million plugins on two cores.
/// A row costs 0.03 ms more whenever it is written.
///
/// An answer from the index alone needs pages that VACUUM has seen since they were changed: it comes after every fiftieth
/// row, not after every fifth.
const UP: &str = r#"
CREATE FUNCTION plugin_marks(words tsvector, keywords text[], tags text[]) RETURNS bit(256) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    marks bit(256) := 0::bit(256);
    one text;
    hash bytea;
BEGIN
    -- Beginnings are cut by letters, and a question's bytes are UTF-8: elsewhere the marks leave nothing out.
    IF getdatabaseencoding() <> 'UTF8' THEN
        RETURN ~marks;
    END IF;
    FOREACH one IN ARRAY tsvector_to_array(words) LOOP
        IF length(one) >= 2 THEN
            marks := set_bit(marks, get_byte(sha256(convert_to('w' || left(one, 2), 'UTF8')), 0), 1);
        END IF;
        IF length(one) >= 4 THEN
            marks := set_bit(marks, get_byte(sha256(convert_to('w' || left(one, 4), 'UTF8')), 0), 1);
        END IF;
    END LOOP;
    FOREACH one IN ARRAY keywords LOOP
        CONTINUE WHEN one IS NULL;
        hash := sha256(convert_to('k' || one, 'UTF8'));
        marks := set_bit(set_bit(marks, get_byte(hash, 0), 1), get_byte(hash, 1), 1);
    END LOOP;
    FOREACH one IN ARRAY tags LOOP
        CONTINUE WHEN one IS NULL;
        hash := sha256(convert_to('t' || one, 'UTF8'));
        marks := set_bit(set_bit(marks, get_byte(hash, 0), 1), get_byte(hash, 1), 1);
    END LOOP;
    RETURN marks;
END
$$;
ALTER TABLE plugins ADD COLUMN marks bit(256) GENERATED ALWAYS AS (plugin_marks(
    to_tsvector('simple', name || ' ' || display_name)
    || to_tsvector('simple', plugin_words(keywords) || ' ' || plugin_words(tags) || ' ' || category)
    || to_tsvector('simple', description), keywords, tags)) STORED;
ALTER TABLE plugins SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);
"#;

const DOWN: &str = "
ALTER TABLE plugins RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor);
ALTER TABLE plugins DROP COLUMN marks;
DROP FUNCTION plugin_marks(tsvector, text[], text[])";

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
