//! What commands did, in the audit log of the store of their host.
use super::Bench;
use serde_json::Value;

/// What was done and what was not, in this order, each with what was there before.
pub(super) fn holds_all_of_it(bench: &Bench, backup: &str, key: &str) {
    let log = String::from_utf8(bench.run(&["audit", "export"]).stdout).unwrap();
    let rows = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let of = |action: &str| rows.iter().filter(|row| row["action"] == action).collect::<Vec<_>>();
    for (action, outcomes) in [
        ("backup_start", &["ok", "ok"][..]),
        ("backup_finish", &["ok", "ok"][..]),
        // Until a moment that has passed; of no backup, which was begun with nothing.
        ("backup_hold_asked", &["ok", "ok"][..]),
        ("backup_hold", &["ok", "refused", "refused"][..]),
        ("backup_release_asked", &["ok", "ok"][..]),
        ("backup_release", &["ok", "refused"][..]),
        // What was only shown is none.
        ("expire", &["ok", "ok"][..]),
        ("expire_finish", &["ok", "ok"][..]),
        ("backup_recall_asked", &["ok"][..]),
        ("backup_recall", &["ok", "refused"][..]),
        ("repository_key_add_asked", &["ok"][..]),
        ("repository_key_add", &["ok"][..]),
        ("repository_key_rotate_asked", &["ok"][..]),
        ("repository_key_rotate", &["ok"][..]),
        ("repository_key_remove_asked", &["ok"][..]),
        ("repository_key_remove", &["ok"][..]),
        ("backup_verify", &["ok"][..]),
        ("verify_finish", &["ok"][..]),
    ] {
        let told = of(action);
        assert!(told.iter().map(|row| row["outcome"].as_str().unwrap()).eq(outcomes.iter().copied()), "{told:#?}");
        assert!(told.iter().all(|row| row["source"] == "cli" && row["after"].is_object()), "{told:#?}");
    }
    let (started, finished) = (of("backup_start"), of("backup_finish"));
    assert_eq!(started[0]["after"]["what"]["kind"], "full", "{started:#?}");
    for (begun, ended) in started.iter().zip(&finished) {
        assert_eq!((&begun["object_kind"], &begun["object_id"]), (&ended["object_kind"], &ended["object_id"]));
        assert!(begun["request_id"].is_string() && begun["request_id"] == ended["request_id"], "{begun} {ended}");
    }
    assert_ne!(started[0]["request_id"], started[1]["request_id"], "two commands");
    let made = (finished[0]["object_kind"].as_str(), finished[0]["after"]["result"]["backup"].as_str());
    assert_eq!(made, (Some("cluster"), Some(backup)), "{finished:#?}");
    let verified = (of("backup_verify")[0], of("verify_finish")[0]);
    assert_eq!(verified.0["object_id"], backup, "{verified:#?}");
    assert_eq!(verified.0["after"]["what"]["backups"][0], backup, "{verified:#?}");
    assert!(verified.1["after"]["result"]["checked_bytes"].as_u64().is_some_and(|it| it > 0), "{verified:#?}");
    assert_eq!(verified.0["request_id"], verified.1["request_id"]);
    let held = of("backup_hold")[0];
    assert_eq!(held["object_id"], backup, "{held}");
    assert!(held["before"]["holds"].as_array().unwrap().is_empty(), "{held}");
    assert_eq!(of("backup_release")[0]["before"]["holds"][0]["reason"], "audit");
    assert_eq!(of("expire")[1]["before"]["expiring"][0], backup);
    assert_eq!(of("repository_key_remove")[0]["before"]["label"], "safe");
    assert_eq!(of("repository_key_remove")[0]["after"]["removed"], key);
    assert!(!log.contains("HFR1-"), "no code stands in it");
    // A store that is down makes nothing undone.
    std::fs::write(bench.path("broken"), "this is no store ".repeat(100)).unwrap();
    let store = format!("sqlite://{}", bench.path("broken").display());
    let held = bench.command(&["backup", "hold", backup]).env("HOLDFAST_STORE_URL", store).output().unwrap();
    let said = String::from_utf8_lossy(&held.stderr);
    assert!(held.status.success() && said.contains("the audit log was not told of it"), "{said}");
    assert_eq!(bench.json(&["backup", "release", backup])["holds"], 1);
    // Another repository is made.
    let other = bench.path("other-repository");
    let made = bench.command(&["repo", "init", "--no-encryption"]).env("BACKUP_STORAGE_PATH", &other).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let log = String::from_utf8(bench.run(&["audit", "export"]).stdout).unwrap();
    let rows = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let made = rows.filter(|row| row["after"]["encryption"] == "none").collect::<Vec<_>>();
    let actions = made.iter().map(|row| row["action"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(actions, ["repository_init_asked", "repository_init"], "{made:#?}");
    assert_eq!(bench.json(&["audit", "verify"])["broken"], Value::Null);
}
