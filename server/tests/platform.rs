//! The platform's data through the program's own doors: `holdfast init`, `serve`, tokens of two tenants. What one tenant's
//! token asks, in whichever way, shows and changes nothing of the other's; a server killed in the midst of a bulk
//! operation leaves whole items, and the next one finishes it.
#![allow(clippy::unwrap_used, clippy::panic)]

use pgphysical::{ClusterOptions, Install, LocalCluster, replication::ConnInfo, replication::ReplicationConnection};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Sixty plugins each for two tenants, with the same names: 1-60 are tenant 1's. Number n needs n / 2.
const SEED: &str = "
    INSERT INTO tenants (slug, name) VALUES ('acme', 'Acme'), ('globex', 'Globex');
    INSERT INTO plugins (tenant_id, name, display_name, description, category, owner, environment, status, keywords, tags, health_score, is_installed, is_enabled, installed_version)
    SELECT t, 'plugin-' || n, 'Swift ' || CASE t WHEN 1 THEN 'Alpha' ELSE 'Beta' END || ' ' || n, 'of tenant ' || t, CASE t WHEN 1 THEN 'acme-kind' ELSE 'globex-kind' END,
        CASE t WHEN 1 THEN 'team@acme' ELSE 'team@globex' END, 'production', 'active', ARRAY['common', 'k' || t], ARRAY['t' || t], n, true, false, '1.0.0'
    FROM generate_series(1, 2) t, generate_series(1, 60) n ORDER BY t, n;
    INSERT INTO plugin_versions (plugin_id, version, released_at) SELECT id, v, now() - d * interval '1 day' FROM plugins, (VALUES ('1.0.0', 9), ('1.1.0', 3)) AS v (v, d);
    INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range)
    SELECT v.id, p.id - n.n + n.n / 2, '^1' FROM plugins p JOIN plugin_versions v ON v.plugin_id = p.id CROSS JOIN LATERAL (SELECT substr(p.name, 8)::int AS n) n WHERE n.n >= 20;
    INSERT INTO plugin_operations (plugin_id, environment, operation_type, status, started_by) SELECT id, environment, 'install', 'succeeded', 'seed' FROM plugins;
    ANALYZE";

struct Bench {
    directory: tempfile::TempDir,
    cluster: LocalCluster,
    port: u16,
    served: Option<Child>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Bench {
    async fn new() -> Self {
        let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let options = ClusterOptions { ephemeral: true, ..ClusterOptions::new(install, "secret") };
        let root = directory.path().join("source");
        let cluster = LocalCluster::start_in(&root, options.setting("fsync", "off")).await.unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        Self { directory, cluster, port, served: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn platform_url(&self) -> String {
        self.cluster.url_as("holdfast_api", "another-secret", "postgres")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOLDFAST_CONFIG", "/dev/null")
            .env("HOLDFAST_STORE_URL", format!("sqlite://{}", self.path("store.db").display()))
            .env("HOLDFAST_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("HOLDFAST_LOG", "warn")
            .env("DB_POOL_MAX", "12")
            .env("DB_POOL_MIN", "2")
            .env("DATABASE_URL", self.cluster.url("postgres"))
            .env("HOLDFAST_PLATFORM_URL", self.platform_url());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn sql(&self, text: &str) -> Option<String> {
        let info = ConnInfo::parse(&self.cluster.url("postgres")).unwrap();
        let mut sql = ReplicationConnection::connect_sql(&info, "postgres").await.unwrap();
        // These connections look nothing up in schemas that a person may have filled.
        sql.query("SET search_path = public").await.unwrap();
        sql.query(text).await.unwrap().into_iter().next()?.into_iter().next()?
    }

    async fn number(&self, text: &str) -> i64 {
        self.sql(text).await.unwrap().parse().unwrap()
    }

    fn serve(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.path("serve.log")).unwrap();
        let served = self.command(&["serve"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.served = Some(served.unwrap());
        self.until("the server", |bench| bench.try_ask("", "GET", "/readyz", &[], None).map(drop));
    }

    /// SIGKILL: nothing of it is asked to end.
    fn kill(&mut self) {
        if let Some(mut served) = self.served.take() {
            let _ = served.kill();
            let _ = served.wait();
        }
    }

    fn try_ask(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        let more = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Some((answer.split_whitespace().nth(1)?.parse().ok()?, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Status, the document, and the whole text, for what must not be in it.
    fn ask(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value, String) {
        self.ask_with(token, method, path, &[], body)
    }

    fn ask_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, Value, String) {
        let (status, text) = self.try_ask(token, method, path, headers, body.as_ref()).unwrap();
        // Whole or in chunks, the document is from the first brace to the last.
        let json = text.find(['{', '[']).and_then(|from| text.get(from..=text.rfind(['}', ']'])?));
        let json = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Value::Null);
        (status, json, text)
    }

    fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(300);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let log = || std::fs::read_to_string(self.path("serve.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{what} did not come about: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_ready(&self, token: &str) {
        self.until("the platform", |bench| {
            (bench.ask(token, "GET", "/api/v1/platform", None).1["platform"]["state"] == "ready").then_some(())
        });
    }
}

/// What nobody of tenant 1 may ever read.
fn is_clean(what: &str, text: &str) {
    for word in ["Beta", "globex", "tenant 2", "\"t2\"", "\"k2\""] {
        assert!(!text.contains(word), "{what} shows '{word}': {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outstanding_migration_is_told_until_it_is_applied() {
    let mut bench = Bench::new().await;
    let admin = bench.run(&["token", "create", "admin", "--role", "admin"]).trim().to_owned();
    bench.run(&["init"]);
    // As after an upgrade. The newest is one that may be applied twice.
    let newest = "DELETE FROM holdfast_idp_migrations WHERE version = (SELECT max(version) FROM holdfast_idp_migrations) RETURNING version";
    assert!(bench.sql(newest).await.unwrap().ends_with("_analytics_plugin_indexes"));
    bench.serve();
    bench.until_ready(&admin);
    let platform = |bench: &Bench| bench.ask(&admin, "GET", "/api/v1/platform", None).1;
    let told = platform(&bench);
    assert_eq!(told["platform"]["outdated"], true, "{told}");
    assert!(told["warnings"].to_string().contains("older version"), "{told}");
    assert!(bench.run(&["init"]).contains("1 migration applied"));
    // Without a restart.
    bench.until("it is seen", |bench| (platform(bench)["platform"]["outdated"] == false).then_some(()));
    assert!(!platform(&bench)["warnings"].to_string().contains("older version"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_token_sees_and_changes_its_own_rows_only() {
    let mut bench = Bench::new().await;
    let admin = bench.run(&["token", "create", "admin", "--role", "admin"]).trim().to_owned();
    // The server starts without a platform and says what to do.
    bench.serve();
    let message = bench.until("it has looked", |bench| {
        let state = bench.ask(&admin, "GET", "/api/v1/platform", None).1;
        (state["platform"]["state"] != "connecting").then(|| state["message"].as_str().unwrap().to_owned())
    });
    // The role of the pools is not there before init either.
    assert!(message.contains("holdfast init") || message.contains("holdfast_api"), "{message}");
    let (status, problem, _) = bench.ask(&admin, "GET", "/api/v1/plugins?tenant=acme", None);
    assert_eq!((status, problem["type"].as_str()), (503, Some("unavailable")), "{problem}");

    let told = bench.run(&["init"]);
    assert!(told.contains("holdfast_api: made"), "{told}");
    assert!(bench.run(&["init"]).contains("holdfast_api: up to date"));
    assert_eq!(
        bench.sql("SELECT rolsuper OR rolbypassrls OR rolinherit FROM pg_roles WHERE rolname = 'holdfast_api'").await,
        Some("f".to_owned())
    );
    bench.sql(SEED).await;
    // Without a restart: it is looked for.
    bench.until_ready(&admin);
    let create = |name: &str, role: &str, tenant: &str| {
        bench.run(&["token", "create", name, "--role", role, "--tenant", tenant]).trim().to_owned()
    };
    // A token has no password: what removes wants a scope of it.
    let scoped = ["token", "create", "remover", "--role", "operator", "--tenant", "acme", "--scope", "restore"];
    let remover = bench.run(&scoped).trim().to_owned();
    let (a, b) = (create("a", "operator", "acme"), create("b", "operator", "2"));
    let reader = create("reader", "viewer", "acme");
    let no_tenant = bench.run(&["token", "create", "viewer", "--role", "viewer"]).trim().to_owned();

    // Everything that reads, as tenant 1: its own, and no word of the other's. Twice: the second time from memory.
    for _ in 0..2 {
        for path in [
            "/api/v1/plugins?limit=200",
            "/api/v1/plugins?q=beta",
            "/api/v1/plugins?category=globex-kind",
            "/api/v1/plugins?owner=team@globex",
            "/api/v1/plugins?tag=t2",
            "/api/v1/plugins?keyword=common&limit=200",
            "/api/v1/plugins/facets",
            "/api/v1/plugins/facets?q=plugin",
            "/api/v1/plugins/60",
            "/api/v1/plugins/60/dependencies",
            "/api/v1/plugins/60/operations",
            "/api/v1/tenants",
            "/api/v1/me",
            "/plugins",
            "/plugins?view=cards",
            "/plugins/60",
            "/plugins/bulk?operation=enable&all=on",
        ] {
            let (status, _, text) = bench.ask(&a, "GET", path, None);
            assert_eq!(status, 200, "{path}: {text}");
            is_clean(path, &text);
        }
    }
    let (_, page, _) = bench.ask(&a, "GET", "/api/v1/plugins?limit=200", None);
    let ids = page["plugins"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().parse().unwrap());
    assert_eq!(ids.collect::<BTreeSet<i64>>(), (1..=60).collect());
    assert_eq!(bench.ask(&b, "GET", "/api/v1/plugins/facets", None).1["categories"][0]["value"], "globex-kind");

    // Another's plugin is not there, by whichever way it is asked for.
    for (method, path, body) in [
        ("GET", "/api/v1/plugins/61", None),
        ("GET", "/api/v1/plugins/61/dependencies", None),
        ("GET", "/api/v1/plugins/61/operations", None),
        ("PATCH", "/api/v1/plugins/61", Some(json!({ "owner": "thief" }))),
        ("DELETE", "/api/v1/plugins/61", None),
        ("GET", "/plugins/61", None),
    ] {
        let (status, _, text) = bench.ask(&a, method, path, body);
        assert_eq!(status, 404, "{method} {path}: {text}");
        is_clean(path, &text);
    }
    // Nor does a made-up cursor lead there, nor a dependency on it.
    let (status, _, text) = bench.ask(&a, "GET", "/api/v1/plugins?cursor=w.61.90&limit=200", None);
    assert_eq!(status, 200);
    is_clean("cursor", &text);
    let body = json!({ "name": "mine", "category": "x", "owner": "me", "version": { "version": "1.0.0", "dependencies": [{ "plugin": "61", "range": "^1" }] } });
    let (status, problem, _) = bench.ask(&a, "POST", "/api/v1/plugins", Some(body));
    assert_eq!((status, problem["errors"][0]["field"].as_str()), (400, Some("dependencies")), "{problem}");

    // Naming the other tenant is refused, whether it exists or not, with one sentence; one's own is no secret.
    let refusals = ["globex", "2", "nobody", "999"].map(|tenant| {
        let (status, problem, _) = bench.ask(&a, "GET", &format!("/api/v1/plugins?tenant={tenant}"), None);
        assert_eq!(status, 403, "{tenant}");
        problem["detail"].as_str().unwrap().to_owned()
    });
    assert!(refusals.iter().all(|text| *text == refusals[0]), "{refusals:?}");
    for own in ["acme", "1"] {
        assert_eq!(bench.ask(&a, "GET", &format!("/api/v1/plugins?tenant={own}"), None).0, 200);
    }
    for path in ["/api/v1/plugins/61?tenant=globex", "/api/v1/plugins/bulk/k?tenant=globex", "/plugins?tenant=globex"] {
        assert_eq!(bench.ask(&a, "GET", path, None).0, 403, "{path}");
    }
    // Who belongs to none: an operator chooses, a viewer may not, and without a choice nothing is shown.
    assert_eq!(bench.ask(&no_tenant, "GET", "/api/v1/plugins?tenant=acme", None).0, 403);
    assert_eq!(bench.ask(&admin, "GET", "/api/v1/plugins", None).0, 400);
    assert_eq!(bench.ask(&admin, "GET", "/api/v1/plugins?tenant=globex", None).0, 200);
    assert_eq!(bench.ask(&admin, "GET", "/api/v1/plugins?tenant=nobody", None).0, 404);
    // Whoever belongs to a tenant sees nothing of the estate, and a viewer changes nothing.
    for path in ["/api/database/dashboard", "/api/v1/clusters", "/api/v1/users", "/api/v1/platform", "/metrics"] {
        assert_eq!(bench.ask(&a, "GET", path, None).0, 403, "{path}");
    }
    let (status, ..) = bench.ask(&reader, "PATCH", "/api/v1/plugins/1", Some(json!({ "owner": "x" })));
    assert_eq!(status, 403);

    // Bulk: ids of the other tenant are as those of nobody, in the plan and in the doing; nothing of theirs changes.
    let everything = (1..=120).map(|id| id.to_string()).collect::<Vec<_>>();
    let before = bench.sql("SELECT md5(string_agg(p::text, '' ORDER BY id)) FROM plugins p WHERE tenant_id = 2").await;
    let body = json!({ "operation": "tag", "plugins": everything, "add_tags": ["seen"], "plan": true });
    let (status, plan, text) = bench.ask(&a, "POST", "/api/v1/plugins/bulk", Some(body));
    assert_eq!((status, plan["done"].as_i64(), plan["refused"].as_i64()), (200, Some(60), Some(60)), "{plan}");
    is_clean("plan", &text);
    let body = json!({ "operation": "tag", "plugins": everything, "add_tags": ["seen"] });
    let key = [("Idempotency-Key", "one key")];
    let (status, begun, _) = bench.ask_with(&a, "POST", "/api/v1/plugins/bulk", &key, Some(body.clone()));
    assert_eq!(status, 202, "{begun}");
    let done = bench.until("the operation", |bench| {
        let status = bench.ask(&a, "GET", "/api/v1/plugins/bulk/one%20key", None).1;
        (status["state"] != "running").then_some(status)
    });
    assert_eq!((done["state"].as_str(), done["report"]["done"].as_i64()), (Some("done"), Some(60)), "{done}");
    is_clean("report", &done.to_string());
    let after = bench.sql("SELECT md5(string_agg(p::text, '' ORDER BY id)) FROM plugins p WHERE tenant_id = 2").await;
    assert_eq!(before, after);
    // The key is the tenant's: another tenant does not see it, and may use the same for something else.
    assert_eq!(bench.ask(&b, "GET", "/api/v1/plugins/bulk/one%20key", None).0, 404);
    let other = json!({ "operation": "disable", "plugins": everything });
    assert_eq!(bench.ask_with(&b, "POST", "/api/v1/plugins/bulk", &key, Some(other.clone())).0, 202);
    assert_eq!(bench.ask_with(&a, "POST", "/api/v1/plugins/bulk", &key, Some(other)).0, 409, "one key, one request");
    assert_eq!(bench.ask_with(&a, "POST", "/api/v1/plugins/bulk", &key, Some(body)).0, 202, "the same again");
    assert_eq!(bench.number("SELECT count(*) FROM audit_logs WHERE actor = 'a' AND action = 'plugin.tag'").await, 60);

    // What was changed is seen at once, also from memory; and not by a stale If-Match.
    let (_, first, _) = bench.ask(&a, "GET", "/api/v1/plugins/7", None);
    assert_eq!(bench.ask(&a, "PATCH", "/api/v1/plugins/7", Some(json!({ "owner": "new@acme" }))).0, 200);
    assert_eq!(bench.ask(&a, "GET", "/api/v1/plugins/7", None).1["plugin"]["owner"], "new@acme");
    assert_eq!(first["plugin"]["owner"], "team@acme");
    let stale = [("If-Match", "\"1\"")];
    let (status, ..) = bench.ask_with(&a, "PATCH", "/api/v1/plugins/7", &stale, Some(json!({ "owner": "x" })));
    assert_eq!(status, 409);
    let new = json!({ "name": "fresh", "category": "x", "owner": "me", "version": { "version": "1.0.0", "dependencies": [{ "plugin": "7", "range": "^1" }] } });
    let (status, made, _) = bench.ask(&a, "POST", "/api/v1/plugins", Some(new.clone()));
    assert_eq!((status, made["dependencies"][0]["name"].as_str()), (201, Some("plugin-7")), "{made}");
    assert_eq!(bench.ask(&a, "POST", "/api/v1/plugins", Some(new)).0, 409);
    let named = |name: &str| Some(json!({ "confirm": name }));
    let (status, problem, _) = bench.ask(&remover, "DELETE", "/api/v1/plugins/7", named("plugin-7"));
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("needs it"), "{problem}");
    let path = format!("/api/v1/plugins/{}", made["plugin"]["id"].as_str().unwrap());
    // Without the name nobody may, without the scope no token; many at once neither.
    for (token, body, refused) in [(&remover, None, 400), (&remover, named("plugin-7"), 400), (&a, named("fresh"), 403)]
    {
        assert_eq!(bench.ask(token, "DELETE", &path, body).0, refused);
    }
    let many = |confirm: &str| Some(json!({ "operation": "delete", "plugins": ["1", "2"], "confirm": confirm }));
    assert_eq!(bench.ask(&remover, "POST", "/api/v1/plugins/bulk", many("1")).0, 400);
    assert_eq!(bench.ask(&a, "POST", "/api/v1/plugins/bulk", many("2")).0, 403);
    assert_eq!(bench.ask(&remover, "DELETE", &path, named("fresh")).0, 200);

    // An erasure wants the subject's id typed, and of a token the scope.
    let eraser = ["token", "create", "eraser", "--role", "admin", "--scope", "restore"];
    let eraser = bench.run(&eraser).trim().to_owned();
    for (token, confirm, status) in [(&admin, "nobody-1", 403), (&eraser, "nobody-2", 400), (&eraser, "nobody-1", 200)]
    {
        let body = Some(json!({ "confirm": confirm }));
        assert_eq!(bench.ask(token, "POST", "/api/v1/subjects/nobody-1/erase", body).0, status, "{confirm}");
    }

    // Each change and each refusal is in the log, whose chain holds.
    let (_, audit, _) = bench.ask(&admin, "GET", "/api/v1/audit?limit=500", None);
    let rows = audit["rows"].as_array().unwrap();
    let has = |action: &str, outcome: &str| rows.iter().any(|it| it["action"] == action && it["outcome"] == outcome);
    for (action, outcome) in [
        ("plugin_bulk_asked", "ok"),
        ("plugin_bulk", "ok"),
        ("plugin_change", "ok"),
        ("plugin_change", "refused"),
        ("plugin_create", "ok"),
        ("plugin_delete", "refused"),
        ("plugin_delete", "ok"),
        ("plugin_bulk", "refused"),
        ("subject_erase", "refused"),
        ("subject_erase", "ok"),
        ("token_create", "ok"),
    ] {
        assert!(has(action, outcome), "{action} {outcome}");
    }
    assert!(bench.run(&["audit", "verify"]).len() > 1);

    // Every figure of the pools, and the limits as configured.
    let (_, _, metrics) = bench.ask(&admin, "GET", "/metrics", None);
    for line in [
        "holdfast_platform_ready 1",
        "holdfast_bulks_failed_total 0",
        "holdfast_pool_connections_max{pool=\"primary\"",
        "holdfast_pool_acquire_seconds_bucket{pool=\"primary\"",
        "holdfast_pool_routed_total{to=\"primary\",why=\"write\"}",
        "holdfast_catalog_cache_hits_total",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let (_, dashboard, _) = bench.ask(&admin, "GET", "/api/database/dashboard", None);
    assert_eq!(dashboard["pools"]["primary"]["max"], 12, "{}", dashboard["pools"]);
    assert!(dashboard["pools"]["primary"]["idle"].as_i64().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_operation_is_cancelled() {
    let mut bench = Bench::new().await;
    bench.run(&["init"]);
    bench.sql("INSERT INTO tenants (slug, name) VALUES ('acme', 'Acme'); INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'many-' || n, 'Many', 'docs', 'o' FROM generate_series(1, 6000) n").await;
    bench.sql("CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id % 100 = 0 THEN PERFORM pg_sleep(0.1); END IF; RETURN NEW; END $$; CREATE TRIGGER slowly BEFORE UPDATE ON plugins FOR EACH ROW EXECUTE FUNCTION slowly()").await;
    let admin = bench.run(&["token", "create", "admin", "--role", "admin"]).trim().to_owned();
    let token = bench.run(&["token", "create", "k", "--role", "operator", "--tenant", "acme"]).trim().to_owned();
    let reader = bench.run(&["token", "create", "r", "--role", "viewer", "--tenant", "acme"]).trim().to_owned();
    let ids = (1..=6_000).map(|id| id.to_string()).collect::<Vec<_>>();
    bench.serve();
    bench.until_ready(&admin);
    for mode in ["each", "atomic"] {
        let body = json!({ "operation": "tag", "mode": mode, "plugins": ids, "add_tags": [mode] });
        let key = [("Idempotency-Key", mode)];
        assert_eq!(bench.ask_with(&token, "POST", "/api/v1/plugins/bulk", &key, Some(body)).0, 202);
        let path = format!("/api/v1/plugins/bulk/{mode}/cancel");
        bench.until("it has begun", |bench| {
            let (_, status, _) = bench.ask(&token, "GET", &format!("/api/v1/plugins/bulk/{mode}"), None);
            (mode == "atomic" || status["processed"].as_i64() > Some(0)).then_some(())
        });
        assert_eq!(bench.ask(&reader, "POST", &path, None).0, 403);
        let (status, told, text) = bench.ask(&token, "POST", &path, None);
        assert_eq!(status, 202, "{text}");
        assert!(told["state"] == "running" || told["state"] == "cancelled", "{told}");
        let end = bench.until("its end", |bench| {
            let (_, status, _) = bench.ask(&token, "GET", &format!("/api/v1/plugins/bulk/{mode}"), None);
            (status["state"] != "running").then_some(status)
        });
        assert_eq!(end["state"], "cancelled", "{end}");
        let tagged = bench.number(&format!("SELECT count(*) FROM plugins WHERE '{mode}' = ANY(tags)")).await;
        if mode == "atomic" {
            assert_eq!(tagged, 0, "{end}");
        } else {
            assert!(tagged > 0 && tagged < 6_000, "{tagged}");
        }
        assert_eq!(bench.ask(&token, "POST", &path, None).0, 409, "it is over");
        let page = bench.ask(&token, "GET", &format!("/plugins/bulk/{mode}"), None).2;
        assert!(page.contains("data-bulk-state=\"cancelled\"") && page.contains("was cancelled"), "{page}");
    }
    assert_eq!(bench.ask(&token, "POST", "/api/v1/plugins/bulk/nothing/cancel", None).0, 404);
    let (_, audit, _) = bench.ask(&admin, "GET", "/api/v1/audit?limit=100", None);
    let rows = audit["rows"].as_array().unwrap();
    for outcome in ["ok", "refused"] {
        assert!(rows.iter().any(|it| it["action"] == "plugin_bulk_cancel" && it["outcome"] == outcome), "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_of_a_bulk_leaves_whole_items_and_the_next_one_finishes() {
    let mut bench = Bench::new().await;
    bench.run(&["init"]);
    bench.sql("INSERT INTO tenants (slug, name) VALUES ('acme', 'Acme'); INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'many-' || n, 'Many', 'docs', 'o' FROM generate_series(1, 6000) n").await;
    // Slow enough for a kill to meet it in the midst.
    bench.sql("CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id % 100 = 0 THEN PERFORM pg_sleep(0.01); END IF; RETURN NEW; END $$; CREATE TRIGGER slowly BEFORE UPDATE ON plugins FOR EACH ROW EXECUTE FUNCTION slowly()").await;
    let admin = bench.run(&["token", "create", "admin", "--role", "admin"]).trim().to_owned();
    let token = bench.run(&["token", "create", "k", "--role", "operator", "--tenant", "acme"]).trim().to_owned();
    let ids = (1..=6_000).map(|id| id.to_string()).collect::<Vec<_>>();
    let whole = async |bench: &Bench| {
        let tagged = bench.number("SELECT count(*) FROM plugins WHERE 'bulk' = ANY(tags)").await;
        for sql in [
            "SELECT count(*) FROM plugin_operations WHERE operation_type = 'tag'",
            "SELECT count(DISTINCT plugin_id) FROM plugin_operations WHERE operation_type = 'tag'",
            "SELECT count(*) FROM audit_logs WHERE actor = 'k'",
            "SELECT count(*) FROM plugin_bulk_items WHERE outcome = 'done'",
        ] {
            assert_eq!(bench.number(sql).await, tagged, "{sql}");
        }
        tagged
    };
    for mode in ["atomic", "each"] {
        bench.sql("UPDATE plugins SET tags = '{}'; DELETE FROM plugin_operations; DELETE FROM audit_logs; DELETE FROM plugin_bulks").await;
        let key = format!("kill-{mode}");
        let body = json!({ "operation": "tag", "mode": mode, "plugins": ids, "add_tags": ["bulk"] });
        let mut between = 0;
        for delay in [0_u64, 30, 80, 150, 250, 400] {
            bench.serve();
            bench.until_ready(&admin);
            let headers = [("Idempotency-Key", key.as_str())];
            let (status, begun, _) =
                bench.ask_with(&token, "POST", "/api/v1/plugins/bulk", &headers, Some(body.clone()));
            assert_eq!(status, 202, "{begun}");
            std::thread::sleep(Duration::from_millis(delay));
            if mode == "each" && delay == 400 && between == 0 {
                // A machine that was too slow for all of these delays is met in the midst all the same.
                let begun = Instant::now();
                while bench.number("SELECT count(*) FROM plugins WHERE 'bulk' = ANY(tags)").await == 0 {
                    assert!(begun.elapsed() < Duration::from_secs(100), "nothing is tagged");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            bench.kill();
            // The server's sessions end a moment after their client; a commit may be under way.
            let begun = Instant::now();
            while bench.number("SELECT count(*) FROM pg_stat_activity WHERE usename = 'holdfast_api'").await > 0 {
                assert!(begun.elapsed() < Duration::from_secs(100));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let tagged = whole(&bench).await;
            assert!(mode == "each" || tagged == 0 || tagged == 6_000, "atomic left {tagged}");
            between += u32::from(tagged > 0 && tagged < 6_000);
        }
        assert!(mode == "atomic" || between > 0, "no kill met it in the midst");
        // The next server takes it up by itself; of all or none it may have been over.
        bench.serve();
        bench.until_ready(&admin);
        if mode == "atomic" {
            let headers = [("Idempotency-Key", key.as_str())];
            assert_eq!(bench.ask_with(&token, "POST", "/api/v1/plugins/bulk", &headers, Some(body)).0, 202);
        }
        let done = bench.until("the end", |bench| {
            let (_, status, _) = bench.ask(&token, "GET", &format!("/api/v1/plugins/bulk/{key}"), None);
            (status["state"] == "done").then_some(status)
        });
        assert_eq!(done["report"]["done"], 6_000, "{done}");
        assert_eq!(whole(&bench).await, 6_000);
        bench.kill();
    }
}
