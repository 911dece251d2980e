//! Whoever migrates may act as the platform's two roles: rows are seen and changed as one of them, row-level security being forced
//! on the owner too.
use sea_orm_migration::prelude::*;

/// To be a member is not enough since PostgreSQL 16: who makes a role is a member with the right to grant it and nothing more, and
/// `SET ROLE` is refused. A grant of one's own adds that right.
const MEMBER: &str = r#"
DO $$
DECLARE
    role_name text;
    needed text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['holdfast_tenant', 'holdfast_platform'] LOOP
        IF NOT pg_has_role(current_user, role_name, needed) THEN
            BEGIN
                EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role % of this cluster was made by somebody else; have a superuser run: GRANT holdfast_tenant, holdfast_platform TO %',
                    role_name, quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
            END;
        END IF;
    END LOOP;
END
$$;
"#;

/// Sees to it that this connection may take the roles on.
///
/// # Errors
/// `DbErr`: they belong to somebody else; the message says what a superuser has to run.
pub async fn may_be_taken_on(db: &SchemaManagerConnection<'_>) -> Result<(), DbErr> {
    db.execute_unprepared(MEMBER).await.map(|_| ())
}
