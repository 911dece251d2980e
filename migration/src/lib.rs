//! Both schemas of Holdfast, each with its migrator: `store`, our own records on SQLite or PostgreSQL, and `idp`, the
//! platform's tables in the target PostgreSQL.
pub mod idp;
pub mod store;

pub use idp::IdpMigrator;
pub use sea_orm_migration::MigratorTrait;
pub use store::StoreMigrator;
