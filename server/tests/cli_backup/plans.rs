//! Plans and drills at the command line.
use super::Bench;
use pgphysical::Install;
use std::process::Stdio;

/// With a recovery code and no key file.
fn with(code: &str) -> [(&'static str, Option<&str>); 2] {
    [("BACKUP_ENCRYPTION_KEY_PATH", None), ("HOLDFAST_RECOVERY_CODE", Some(code))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_and_drills_at_the_command_line_say_what_to_do() {
    let install = Install::discover().into_iter().find(Install::is_complete).unwrap();
    let bench = Bench::new(install).await;
    let store = format!("sqlite://{}", bench.path("store.db").display());
    // A store that is not there yet, and the arguments.
    let said = |code: i32, environment: &[(&str, Option<&str>)], arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command.env("HOLDFAST_STORE_URL", &store);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    };
    let expect = |code, environment: &[(&str, Option<&str>)], arguments: &[&str], words: &[&str]| {
        let said = said(code, environment, arguments);
        for word in words {
            assert!(said.contains(word), "{arguments:?} does not say '{word}': {said}");
        }
    };
    expect(1, &[], &["dr", "plan"], &["repo init"]);
    expect(1, &[], &["dr", "test"], &["repo init"]);
    expect(2, &[("BACKUP_STORAGE_PATH", None)], &["dr", "test"], &["--repo DIR", "BACKUP_STORAGE_PATH"]);
    expect(2, &[("BACKUP_STORAGE_PATH", None)], &["dr", "plan"], &["BACKUP_STORAGE_PATH", "holdfast.toml"]);
    let code = bench.json(&["repo", "init"])["recovery_code"].as_str().unwrap().to_owned();

    // A repository without a backup.
    expect(1, &[], &["dr", "plan"], &["backup create"]);
    expect(1, &[], &["dr", "test"], &["backup create"]);
    expect(1, &[], &["backup", "verify", "--daily"], &["nothing to verify", "backup create"]);
    expect(0, &[], &["repo", "info", "--rebuild"], &["no backup yet", "backup create"]);
    expect(1, &with(&code), &["dr", "full-test"], &["backup create"]);

    // What is not there, and what opens nothing.
    expect(2, &[], &["dr", "plan", "nonsense"], &["no plan 'nonsense'", "standard"]);
    expect(2, &[], &["dr", "plan", "--cluster", "nobody"], &["nobody", "holdfast config"]);
    expect(2, &[], &["dr", "test", "--cluster", "nobody"], &["nobody", "holdfast config"]);
    expect(2, &[], &["dr", "full-test"], &["HOLDFAST_RECOVERY_CODE", "recovery kit"]);
    let mistyped = format!("{}{}", &code[..code.len() - 1], if code.ends_with('0') { '1' } else { '0' });
    expect(2, &with(&mistyped), &["dr", "full-test"], &["mistyped"]);
    let other =
        bench.json(&["repo", "init", "--repo", bench.path("other").to_str().unwrap(), "--key-file", "other-key"]);
    let foreign = other["recovery_code"].as_str().unwrap();
    expect(2, &with(foreign), &["dr", "full-test"], &["does not open this repository", "HOLDFAST_RECOVERY_CODE"]);
    let other_key = bench.path("other-key").display().to_string();
    expect(2, &[], &["dr", "test", "--key-file", &other_key], &["does not open this repository"]);
    expect(1, &[("BACKUP_ENCRYPTION_KEY_PATH", Some(&other_key))], &["dr", "plan"], &["does not open this repository"]);
    expect(1, &[], &["dr", "test", "--repo", "/nowhere"], &["--repo"]);
    expect(2, &[], &["dr", "test", "--evidence", "/nowhere/drill.html"], &["/nowhere/drill.html", "another file"]);
    expect(2, &[], &["dr", "test", "--probe", "SELECT 1"], &["DATABASE: SELECT"]);
    expect(2, &[], &["dr", "test", "--rto-seconds", "soon"], &["seconds above 0"]);

    bench.json(&["backup", "create", "--type", "full"]);
    expect(1, &[], &["dr", "test", "--system", "1"], &["no backup of cluster 1", "repo info"]);
    let full = bench.path("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine"), "").unwrap();
    expect(1, &[], &["dr", "test", "--directory", full.to_str().unwrap()], &["not empty"]);
    for what in [["dr", "test"], ["backup", "test-restore"]] {
        let nowhere = [&what[..], &["--directory", "/proc/here"]].concat();
        expect(1, &[], &nowhere, &["/proc/here", "choose a directory"]);
    }
    expect(1, &[], &["dr", "test", "--superuser", "nobody_here"], &["nobody_here", "--superuser"]);
    expect(0, &[], &["dr", "plan"], &["plan 'standard'", "with the original's configuration", "waits for an approval"]);
    let evidence = bench.path("drill.html").display().to_string();
    // What is promised for the cluster is 15 minutes; what is said here counts.
    let drill = ["dr", "test", "--cluster", "main", "--rto-seconds", "600", "--evidence", &evidence];
    expect(0, &[], &drill, &["sound", "RTO", "(limit 10 min", "settings hold"]);
    let html = std::fs::read_to_string(&evidence).unwrap();
    assert!(
        html.contains("The original&#39;s configuration") || html.contains("The original's configuration"),
        "{html}"
    );
    expect(0, &[], &["backup", "verify", "--daily"], &["newest", "restorable from"]);
    expect(0, &[], &["repo", "info", "--rebuild"], &["1 backup that the store did not know was added", "'main'"]);
    // With the server gone too, by the code alone; only the RTO is limited.
    let limited = ["dr", "full-test", "--rto-seconds", "600"];
    let gone =
        [("DATABASE_URL", None), ("BACKUP_ENCRYPTION_KEY_PATH", None), ("HOLDFAST_RECOVERY_CODE", Some(code.as_str()))];
    expect(0, &gone, &limited, &["sound", "RTO", "(limit 10 min"]);
}
