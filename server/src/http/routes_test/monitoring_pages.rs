//! What pages of monitoring say, asked over HTTP with figures that a test put in.

use super::{ROWS, Site, address, ask, body, site, site_of};
use axum::{
    body::Body,
    http::{Request, header},
};
use control::{Actor, ClusterConfig};
use domain::Role;
use std::time::Duration;

/// A page as a viewer's token has it.
async fn page(site: &Site, token: &str, path: &str) -> String {
    let get = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = ask(site, get.body(Body::empty()).unwrap()).await;
    let bytes = axum::body::to_bytes(response.into_body(), 4 << 20).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What would be known of a cluster, changed by a test.
fn publish(site: &Site, id: &str, change: impl FnOnce(&mut control::ClusterSnapshot)) {
    let config = ClusterConfig { id: id.to_owned(), name: id.to_owned(), standby_of: None, group: None };
    let mut snapshot = monitor::first_snapshot(&config, Duration::from_secs(30));
    change(&mut snapshot);
    site.control.clusters().publish(id, snapshot, control::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_reached_is_said_on_each_of_its_pages_and_on_no_other() {
    let site = site_of(&["main", "other"]).await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    publish(&site, "main", |snapshot| {
        snapshot.dashboard.cluster.state = domain::view::ClusterState::Unreachable {
            reason: "connection refused by the test".to_owned(),
            since: domain::Timestamp(1_800_000_000_000),
        };
    });
    let pages = ROWS.iter().filter(|row| row.0 == "GET" && row.1.starts_with("/database"));
    let mut seen = 0;
    for row in pages {
        let path = address(row.0, row.1, row.2);
        let with = |cluster: &str| format!("{path}{}cluster={cluster}", if path.contains('?') { '&' } else { '?' });
        let lost = page(&site, &token, &with("main")).await;
        let banner = "main does not answer since 2027-01-15 08:00:00 UTC";
        assert!(lost.contains(banner) && lost.contains("connection refused by the test"), "{path}");
        assert!(!page(&site, &token, &with("other")).await.contains("does not answer since"), "{path} of the other");
        seen += 1;
    }
    assert!(seen >= 14, "{seen}");
    assert!(
        !page(&site, &token, "/alerts?cluster=main").await.contains("does not answer since"),
        "no page of one server"
    );
    assert!(page(&site, &token, "/database/activity?at=latest&cluster=main").await.contains("does not answer since"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_percentiles_come_from_is_said_wherever_they_are() {
    use domain::view::{Availability, LatencySource, LatencyView};
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    for (source, label, said) in [
        (LatencySource::Estimate, "estimate", "percentiles are now estimated"),
        (LatencySource::Log, "log", "percentiles are now measured"),
        (LatencySource::LogTail, "log_tail", "percentiles are now measured in the tail and estimated below it"),
    ] {
        publish(&site, "main", |snapshot| {
            snapshot.statements = Availability::Ready;
            snapshot.dashboard.latency = Some(LatencyView {
                p50_ms: 1.0,
                p95_ms: 2.0,
                p99_ms: 3.0,
                source,
                window_seconds: 300.0,
                log_from_ms: None,
            });
        });
        let line = format!("holdfast_latency_source{{cluster=\"main\",source=\"{label}\"}} 1");
        let scraped = page(&site, &token, "/metrics").await;
        assert!(scraped.lines().any(|it| it == line), "{line}: {scraped}");
        for path in ["/database", "/database/performance"] {
            assert!(page(&site, &token, path).await.contains(said), "{path}: {said}");
        }
        let tile = format!(">{}<", source.badge());
        assert!(page(&site, &token, "/database").await.contains(&tile), "{tile}");
        let dashboard = page(&site, &token, "/api/database/dashboard?cluster=main").await;
        assert!(dashboard.contains(&format!("\"source\":\"{label}\"")), "{dashboard}");
    }
}

fn index(database: &str, name: &str) -> domain::view::IndexRow {
    serde_json::from_value(serde_json::json!({
        "key": format!("{database}.public.{name}"), "database": database, "schema": "public", "table": "orders", "name": name,
        "definition": format!("CREATE INDEX {name} ON public.orders USING btree (state, placed DESC) INCLUDE (total)"),
        "method": "btree", "bytes": 8_388_608, "scans": 1_200, "node_scans": [["main", 1_000], ["other", 200]],
        "scans_per_second": 2.0, "last_scan": "2026-11-24T03:00:00Z", "bloat_estimate_bytes": 2_097_152,
        "rows_read": 1, "rows_fetched": 1, "hit_percent": 99.0, "table_writes_per_second": 5.0, "labels": [], "findings": [],
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_indexes_keeps_cluster_and_database_and_leads_to_each_index() {
    let site = site_of(&["main", "other"]).await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    publish(&site, "other", |snapshot| {
        let mut page = domain::view::IndexesPage::clone(&snapshot.indexes);
        page.rows =
            vec![index("shop", "orders_state"), index("shop", "orders_state_old"), index("books", "orders_isbn")];
        page.availability = domain::view::Availability::Ready;
        snapshot.indexes = std::sync::Arc::new(page);
    });
    let list = page(&site, &token, "/database/performance?cluster=other&database=shop&index=old").await;
    let form = list.split("<form").find(|form| form.contains("Search indexes")).unwrap();
    for kept in [r#"name="cluster" value="other""#, r#"name="database" value="shop""#] {
        assert!(form.contains(kept), "{kept}: {form}");
    }
    assert!(
        list.contains("/database/index?cluster=other&amp;database=shop&amp;name=shop.public.orders_state_old"),
        "{list}"
    );
    assert!(!list.contains("name=shop.public.orders_state\"") && !list.contains("orders_isbn"), "narrowed by both");
    // The navigation goes on with both, on pages of the platform too.
    for path in ["/database/tables", "/database/performance", "/alerts", "/backups", "/plugins", "/analytics"] {
        assert!(list.contains(&format!("href=\"{path}?cluster=other&amp;database=shop")), "{path}: {list}");
    }
    assert!(list.contains("2.0 MiB") && list.contains("by last_idx_scan of the server"), "bloat and last use: {list}");
    // Sorted by name, from A and from Z; a click on the head turns it round.
    for (order, first, turned) in
        [("name", "books.public.orders_isbn", "-name"), ("-name", "shop.public.orders_state_old", "name")]
    {
        let sorted = page(&site, &token, &format!("/database/performance?cluster=other&order={order}")).await;
        let rows = sorted.split("data-columns=\"indexes\"").nth(1).unwrap().split("<tbody>").nth(1).unwrap();
        let row = rows.split("</tr>").next().unwrap();
        assert!(row.contains(&format!("name={first}\"")), "{order}: {row}");
        assert!(sorted.contains(&format!("order={turned}#indexes")), "{order}: {sorted}");
    }

    let one = page(&site, &token, "/database/index?cluster=other&name=shop.public.orders_state").await;
    for said in ["state, placed DESC", "main 1,000, other 200", "orders_state_old", "8.0 MiB", "Bloat, estimated"] {
        assert!(one.contains(said), "{said}: {one}");
    }
    assert!(!one.contains("hydrate"), "the server alone renders it");
    let api = |path: &'static str| {
        let get = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        get.body(Body::empty()).unwrap()
    };
    let detail = body(ask(&site, api("/api/v1/clusters/other/indexes/shop.public.orders_state")).await).await;
    assert_eq!(detail["columns"], serde_json::json!(["state", "placed DESC"]), "{detail}");
    assert_eq!(
        (&detail["included"][0], &detail["table_key"]),
        (&"total".into(), &"shop.public.orders".into()),
        "{detail}"
    );
    let of = body(ask(&site, api("/api/v1/clusters/other/indexes?database=books")).await).await;
    assert_eq!(of["rows"].as_array().unwrap().len(), 1, "{of}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_table_has_its_columns_and_why_statistics_are_missing() {
    use domain::view::{Availability, ColumnsKept, TableColumn, TableRow, TablesPage};
    let site = site_of(&["main", "other"]).await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let table = |name: &str| TableRow {
        key: format!("shop.public.{name}"),
        database: "shop".to_owned(),
        schema: "public".to_owned(),
        name: name.to_owned(),
        ..TableRow::default()
    };
    let (orders, lines) = (table("orders"), table("lines"));
    publish(&site, "other", |snapshot| {
        let seen = TableColumn {
            name: "state".to_owned(),
            data_type: "character varying(12)".to_owned(),
            not_null: true,
            has_statistics: Some(true),
            statistics_target: 500,
            statistics_target_own: true,
            n_distinct: Some(-0.25),
            most_common_values: Some(37),
            most_common_fraction: Some(0.618),
            ..TableColumn::default()
        };
        let missing = Some("none yet: run ANALYZE".to_owned());
        let plain = TableColumn {
            name: "placed".to_owned(),
            has_statistics: Some(false),
            statistics_missing: missing,
            statistics_target: 100,
            ..TableColumn::default()
        };
        snapshot.columns = std::sync::Arc::new(ColumnsKept {
            collected_at: Some(control::now()),
            tables: [(orders.key.clone(), vec![seen, plain])].into(),
            ..ColumnsKept::default()
        });
        snapshot.tables = std::sync::Arc::new(TablesPage {
            availability: Availability::Ready,
            rows: vec![orders, lines],
            ..TablesPage::clone(&snapshot.tables)
        });
    });
    let one = page(&site, &token, "/database/tables?cluster=other&table=shop.public.orders").await;
    for said in [
        "Columns of public.orders",
        "character varying(12)",
        "25.0 % of rows",
        "61.8",
        "100 (default)",
        "none yet: run ANALYZE",
    ] {
        assert!(one.contains(said), "{said}: {one}");
    }
    let small = page(&site, &token, "/database/tables?cluster=other&table=shop.public.lines").await;
    assert!(small.contains("of the 200 largest tables"), "{small}");
    let get = Request::get("/api/v1/clusters/other/tables/shop.public.orders");
    let get = get.header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap();
    let detail = body(ask(&site, get).await).await;
    assert_eq!(detail["columns"][0]["most_common_values"], 37, "{detail}");
    assert_eq!(detail["columns"][0]["statistics_target_own"], true, "{detail}");
    assert!(detail["columns_at"].is_string() && detail["columns_missing"].is_null(), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_moment_shows_who_was_sampled_then_and_nobody_is_told_of_what_was_not() {
    use domain::reading::{SessionBucket, SessionKey};
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let key = |event: &str, database: &str, application: &str| SessionKey {
        wait_class: "IO".to_owned(),
        wait_event: event.to_owned(),
        query_id: 7,
        database: database.to_owned(),
        user: "ada".to_owned(),
        application: application.to_owned(),
        host: "10.0.0.7".to_owned(),
    };
    let end = control::now().plus_ms(-600_000);
    let rows = vec![(key("DataFileRead", "shop", "billing"), 90), (key("WALSync", "books", "reports"), 30)];
    let bucket = SessionBucket { samples: 60, skipped: 1, interval_ms: 60_000, rows };
    let history = store::SessionHistoryRepo(site.control.store().db());
    history.insert("main", end, &bucket, &mut std::collections::HashMap::new()).await.unwrap();

    let at = end.plus_ms(-20_000).to_rfc3339();
    let then = page(&site, &token, &format!("/database/activity?at={at}")).await;
    for said in ["IO: DataFileRead", "billing", "reports", "60 samples", "1.50", "Jump to now", "Busiest minutes"] {
        assert!(then.contains(said), "{said}: {then}");
    }
    assert!(!then.contains("hydrate"), "the server alone renders it");
    let shop = page(&site, &token, &format!("/database/activity?at={at}&database=shop")).await;
    assert!(shop.contains("billing") && !shop.contains(">reports<"), "one database");
    assert!(page(&site, &token, "/database/activity?at=latest").await.contains("billing"), "the last that was sampled");
    let hole = page(&site, &token, &format!("/database/activity?at={}", end.plus_ms(300_000).to_rfc3339())).await;
    assert!(hole.contains("Nothing was sampled at") && !hole.contains("WALSync"), "{hole}");
    assert!(page(&site, &token, "/database/activity?at=yesterday").await.contains("is not a moment"));
    assert!(page(&site, &token, "/database/activity").await.contains("/database/activity?at=latest"), "it leads there");

    let get = Request::get(format!("/api/v1/clusters/main/activity/samples?at={at}&format=csv"));
    let get = get.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let csv = ask(&site, get.body(Body::empty()).unwrap()).await;
    let csv = axum::body::to_bytes(csv.into_body(), 1 << 20).await.unwrap();
    let csv = String::from_utf8_lossy(&csv).into_owned();
    assert!(csv.lines().nth(1).unwrap().contains("IO,DataFileRead,,7,"), "{csv}");
    assert_eq!(csv.lines().count(), 3, "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_lines_stand_beside_what_is_in_use_with_a_reason() {
    use domain::view::{Availability, SettingRow, SettingsPage};
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let row = |name: &str, value: &str, unit: Option<&str>| SettingRow {
        name: name.to_owned(),
        value: value.to_owned(),
        unit: unit.map(str::to_owned),
        changed: true,
        ..SettingRow::default()
    };
    publish(&site, "main", |snapshot| {
        snapshot.settings = std::sync::Arc::new(SettingsPage {
            availability: Availability::Ready,
            rows: vec![row("shared_buffers", "12288", Some("8kB")), row("random_page_cost", "4", None)],
            ..SettingsPage::clone(&snapshot.settings)
        });
    });
    let get = Request::get("/api/v1/clusters/main/settings").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let settings = body(ask(&site, get.body(Body::empty()).unwrap()).await).await;
    let guide = settings["guide"].as_array().unwrap();
    assert_eq!(guide.len(), 16, "each line of the guide: {settings}");
    let of = |name: &str| guide.iter().find(|line| line["name"] == name).unwrap();
    assert_eq!((&of("shared_buffers")["current"], &of("shared_buffers")["verdict"]), (&"96MB".into(), &"fits".into()));
    assert_eq!(of("random_page_cost")["verdict"], "advised", "{settings}");
    assert_eq!((&of("work_mem")["current"], &of("work_mem")["verdict"]), (&serde_json::Value::Null, &"absent".into()));

    let shown = page(&site, &token, "/database/settings").await;
    for said in ["postgresql.conf", "cannot be seen from here", "see the advice", "differs, and fits", "96MB"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    // Before anything is read nothing is judged.
    publish(&site, "main", |_| {});
    assert!(!page(&site, &token, "/database/settings").await.contains("of its 0 lines"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_estate_is_had_by_the_api_and_as_csv_and_its_page_leads_there() {
    let site = site_of(&["main", "other"]).await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    publish(&site, "other", |snapshot| {
        snapshot.dashboard.cluster.state = domain::view::ClusterState::Unreachable {
            reason: "no answer, \"none\" at all".to_owned(),
            since: domain::Timestamp(1_800_000_000_000),
        };
    });
    let rows = serde_json::from_str::<serde_json::Value>(&page(&site, &token, "/api/v1/estate").await).unwrap();
    let names = rows.as_array().unwrap().iter().map(|row| row["cluster"]["id"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["other", "main"], "the worst first: {rows}");
    let csv = page(&site, &token, "/api/v1/estate?format=csv").await;
    let lines = csv.lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with("cluster,name,state,reason,role,"), "{csv}");
    assert!(lines[1].starts_with("other,other,unreachable,\"no answer, \"\"none\"\" at all\",,,"), "{csv}");
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(page(&site, &token, "/estate").await.contains("/api/v1/estate?format=csv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_replication_maintenance_and_advice_are_had_as_csv_and_the_pages_lead_there() {
    use domain::view::{Availability, DatabaseRow, DiskRow, HostPage, ReplicationPage, SlotRow, TablesPage};
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    publish(&site, "main", |snapshot| {
        let slot = SlotRow { name: "west".to_owned(), slot_type: "logical".to_owned(), ..SlotRow::default() };
        snapshot.replication = std::sync::Arc::new(ReplicationPage {
            availability: Availability::Ready,
            slots: vec![slot],
            ..ReplicationPage::clone(&snapshot.replication)
        });
        let database = DatabaseRow { name: "shop".to_owned(), backends: 3, ..DatabaseRow::default() };
        snapshot.tables = std::sync::Arc::new(TablesPage {
            availability: Availability::Ready,
            databases: vec![database],
            ..TablesPage::clone(&snapshot.tables)
        });
        let disk = DiskRow {
            place: "data".to_owned(),
            path: "/var/lib/data".to_owned(),
            total_bytes: Some(1_000),
            free_bytes: Some(250),
            used_percent: Some(75.0),
            missing: None,
            full: None,
            full_missing: None,
        };
        snapshot.host = std::sync::Arc::new(HostPage {
            availability: Availability::Ready,
            disks: vec![disk],
            ..HostPage::clone(&snapshot.host)
        });
    });
    let csv = async |path: &str| page(&site, &token, path).await.lines().map(str::to_owned).collect::<Vec<_>>();
    let slots = csv("/api/v1/clusters/main/replication?format=csv&list=slots").await;
    assert_eq!(slots[1], "west,logical,false,,,,,", "{slots:?}");
    for (path, first) in [
        ("/api/v1/clusters/main/replication?format=csv", "name,address,state"),
        ("/api/v1/clusters/main/maintenance?format=csv", "database,age"),
        ("/api/v1/clusters/main/maintenance?format=csv&list=horizon", "source,id"),
        ("/api/v1/clusters/main/maintenance?format=csv&list=io", "backend_type,object"),
        ("/api/v1/clusters/main/index-advice?format=csv", "key,kind,name"),
        ("/api/v1/clusters/main/tables?format=csv", "database,schema,table"),
    ] {
        let lines = csv(path).await;
        assert!(lines[0].starts_with(first), "{path}: {lines:?}");
    }
    let wrong = page(&site, &token, "/api/v1/clusters/main/replication?list=backends").await;
    assert!(wrong.contains("is not a list here; use standbys or slots"), "{wrong}");
    let shown = page(&site, &token, "/database/replication").await;
    assert!(shown.contains("/api/v1/clusters/main/replication?format=csv&amp;list=slots"), "{shown}");
    assert!(page(&site, &token, "/database/advice").await.contains("/index-advice?format=csv"));
    let shown = page(&site, &token, "/database/maintenance").await;
    assert!(shown.contains("/api/v1/clusters/main/maintenance?format=csv"), "{shown}");
    let databases = csv("/api/v1/clusters/main/tables?format=csv&list=databases").await;
    assert!(
        databases[0].starts_with("database,bytes,backends") && databases[1].starts_with("shop,,3,"),
        "{databases:?}"
    );
    let disks = csv("/api/v1/clusters/main/host?format=csv").await;
    assert!(disks[0].starts_with("place,path,total_bytes,free_bytes"), "{disks:?}");
    assert!(disks[1].starts_with("data,/var/lib/data,1000,250,75,"), "{disks:?}");
    let shown = page(&site, &token, "/database/tables").await;
    for href in ["/api/v1/clusters/main/tables?format=csv&amp;list=databases", "/api/v1/clusters/main/host?format=csv"]
    {
        assert!(shown.contains(href), "{href}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_load_and_own_cost_are_had_as_csv_and_the_pages_lead_there() {
    use domain::{
        Timestamp,
        reading::{CollectorKind, CollectorState, CollectorStatus},
        view::{Event, EventKind},
    };
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    publish(&site, "main", |snapshot| {
        snapshot.dashboard.collectors = vec![CollectorStatus {
            name: CollectorKind::Wal,
            state: CollectorState::Failed { reason: "slow, and refused".to_owned() },
            collected_at: Some(Timestamp(1_800_000_000_000)),
            age_seconds: Some(1.0),
            duration_ms: Some(15.0),
            interval_seconds: 30.0,
        }];
    });
    let at = control::now().plus_ms(-600_000);
    let deploy = Event::new(at, EventKind::Deploy, "shop 4.2.0, \"blue\"".to_owned());
    store::EventRepo(site.control.store().db()).insert("main", &[deploy]).await.unwrap();

    let csv = async |path: &str| page(&site, &token, path).await.lines().map(str::to_owned).collect::<Vec<_>>();
    let events = csv("/api/v1/clusters/main/events?format=csv").await;
    let told = format!("{},deploy,\"shop 4.2.0, \"\"blue\"\"\",", at.to_rfc3339());
    assert_eq!((events[0].as_str(), events[1].as_str()), ("at,kind,title,statement", told.as_str()));
    let load = csv("/api/v1/clusters/main/waits?format=csv").await;
    assert_eq!((load.len(), load[0].as_str()), (121, "time,CPU,IO,Lock,LWLock,IPC,Client,Other"));
    let cost = csv("/api/v1/clusters/main/cost?format=csv").await;
    assert!(cost[0].starts_with("collector,state,reason,"), "{cost:?}");
    assert_eq!(cost[1], "wal,failed,\"slow, and refused\",2027-01-15T08:00:00Z,15,30,0.05");
    let kept = csv("/api/v1/clusters/main/cost?format=csv&list=history").await;
    assert!(kept[0].starts_with("history,rows,oldest,"), "{kept:?}");
    let wrong = page(&site, &token, "/api/v1/clusters/main/cost?list=disks").await;
    assert!(wrong.contains("is not a list here; use collectors or history"), "{wrong}");

    // In the range of the page, taken apart as there.
    let shown = page(&site, &token, "/database?range=6h&by=user").await;
    for href in ["/main/events?range=6h&amp;format=csv", "/main/waits?range=6h&amp;by=user&amp;format=csv"] {
        assert!(shown.contains(href), "{href}: {shown}");
    }
    assert!(page(&site, &token, "/database/cost").await.contains("/api/v1/clusters/main/cost?format=csv"));
}
