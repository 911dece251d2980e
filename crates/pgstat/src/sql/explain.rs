//! What a session is sent that plans a statement without running it (ADR 46), and tries an index that is not there.

/// What an explaining session wants to know of itself.
pub(crate) const EXPLAIN_FACTS: &str = "/* holdfast:explain facts */ SELECT current_setting('server_version_num')::int AS version_num, \
 current_user::text AS role_name, current_setting('search_path') AS path, \
 (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'hypopg') AS hypopg";

pub(crate) const EXPLAIN_BEGIN: &str = "BEGIN READ ONLY";

/// Settings of a role and this database that change plans, the more particular later.
pub(crate) const EXPLAIN_SETTINGS: &str = "/* holdfast:explain settings */ SELECT split_part(c, '=', 1) AS name, \
 substr(c, strpos(c, '=') + 1) AS value FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c \
 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
 AND s.setrole IN (0, coalesce((SELECT oid FROM pg_roles WHERE rolname = $1), 0)) \
 AND split_part(c, '=', 1) ~ '^(search_path|work_mem|hash_mem_multiplier|effective_cache_size|jit|(seq|random)_page_cost|cpu_\\w+_cost|enable_\\w+|geqo\\w*|(from|join)_collapse_limit|max_parallel_workers_per_gather|row_security)$' \
 ORDER BY s.setrole <> 0, s.setdatabase <> 0";

pub(crate) const EXPLAIN_SET: &str = "/* holdfast:explain set */ SELECT set_config($1, $2, true)";

/// The text stands at the end: nothing can follow it.
pub(crate) fn explain_prepare(typed: &[bool], statement: &str) -> String {
    let types = typed.iter().map(|typed| if *typed { "text" } else { "unknown" }).collect::<Vec<_>>().join(", ");
    let types = if types.is_empty() { String::new() } else { format!(" ({types})") };
    format!("PREPARE holdfast_explain{types} AS {statement}")
}

pub(crate) const EXPLAIN_PARAMETERS: &str = "/* holdfast:explain parameters */ SELECT cardinality(parameter_types) AS count \
 FROM pg_prepared_statements WHERE name = 'holdfast_explain'";

pub(crate) const EXPLAIN_GENERIC: &str =
    "/* holdfast:explain */ EXPLAIN (GENERIC_PLAN, VERBOSE, SETTINGS, FORMAT JSON) ";

pub(crate) fn explain_prepared(parameters: usize) -> String {
    let nulls = vec!["NULL"; parameters].join(", ");
    let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    format!("/* holdfast:explain */ EXPLAIN (VERBOSE, SETTINGS, FORMAT JSON) EXECUTE holdfast_explain{nulls}")
}

pub(crate) const EXPLAIN_FORGET: &str = "DEALLOCATE holdfast_explain";

/// HypoPG's indexes live in the memory of one backend.
pub(crate) fn hypopg_create(schema: &str) -> String {
    format!(
        "/* holdfast:hypothetical index */ SELECT indexname::text AS name, {schema}.hypopg_relation_size(indexrelid)::int8 AS bytes \
         FROM {schema}.hypopg_create_index($1)"
    )
}

pub(crate) fn hypopg_reset(schema: &str) -> String {
    format!("/* holdfast:hypothetical reset */ SELECT {schema}.hypopg_reset()")
}
