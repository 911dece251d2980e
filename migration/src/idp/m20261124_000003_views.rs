//! The guide's views, its names written as PostgreSQL's are.
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
CREATE VIEW v_active_plugins AS
SELECT id, name, display_name, category, tenant_id, health_score, cpu_usage, memory_usage
FROM plugins WHERE is_installed AND is_enabled;
CREATE VIEW v_plugin_performance_summary AS
SELECT m.plugin_id, p.name AS plugin_name,
       avg(m.value) FILTER (WHERE m.metric_name = 'cpu_usage') AS avg_cpu,
       avg(m.value) FILTER (WHERE m.metric_name = 'memory_usage') AS avg_memory
FROM plugin_metrics m JOIN plugins p ON p.id = m.plugin_id
GROUP BY m.plugin_id, p.name;
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
        manager.get_connection().execute_unprepared("DROP VIEW v_plugin_performance_summary, v_active_plugins").await?;
        Ok(())
    }
}
