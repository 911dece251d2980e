//! Keywords and tags are lists of words: none of them NULL, and one dimension (the columns are NOT NULL since the first migration). The application never
//! wrote others, an import or a DBA's UPDATE may have, and one such row made every page that it was on fail.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// As the platform's role: row-level security is forced, and an UPDATE of the owner would see no row. `unnest` takes lists of
/// any dimensions apart. The constraints are checked while others write: the lock that NOT VALID takes is short.
const UP: &str = "
SET LOCAL ROLE holdfast_platform;
UPDATE plugins SET keywords = ARRAY(SELECT w FROM unnest(keywords) AS w WHERE w IS NOT NULL)
    WHERE array_ndims(keywords) > 1 OR EXISTS (SELECT FROM unnest(keywords) AS w WHERE w IS NULL);
UPDATE plugins SET tags = ARRAY(SELECT w FROM unnest(tags) AS w WHERE w IS NOT NULL)
    WHERE array_ndims(tags) > 1 OR EXISTS (SELECT FROM unnest(tags) AS w WHERE w IS NULL);
RESET ROLE;
-- array_position does not take a list of lists.
ALTER TABLE plugins
    ADD CONSTRAINT plugins_keywords_are_words CHECK (CASE WHEN array_ndims(keywords) > 1 THEN false ELSE array_position(keywords, NULL) IS NULL END) NOT VALID,
    ADD CONSTRAINT plugins_tags_are_words CHECK (CASE WHEN array_ndims(tags) > 1 THEN false ELSE array_position(tags, NULL) IS NULL END) NOT VALID;
";
const VALIDATE: &str =
    "ALTER TABLE plugins VALIDATE CONSTRAINT plugins_keywords_are_words, VALIDATE CONSTRAINT plugins_tags_are_words";
const DOWN: &str = "ALTER TABLE plugins DROP CONSTRAINT IF EXISTS plugins_keywords_are_words, DROP CONSTRAINT IF EXISTS plugins_tags_are_words";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// The two steps are transactions of their own: the scan of the second must not hold the lock of the first.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        // One message is one transaction. Repeatable: whoever is cut off after it begins anew.
        db.execute_unprepared(&format!("{DOWN}; {UP}")).await?;
        db.execute_unprepared(VALIDATE).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        Ok(())
    }
}
