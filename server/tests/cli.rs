//! The program as a stranger runs it: wrong configuration, an unreachable store, a taken port. One clear line each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/monitoring.rs"]
mod monitoring;

use std::{
    io::Write as _,
    net::TcpListener,
    process::{Command, Output, Stdio},
};

fn holdfast(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let directory = tempfile::tempdir().unwrap();
    command
        .args(arguments)
        .current_dir(directory.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("RUST_BACKTRACE", "1");
    command.envs(environment.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Exit code, and the one line that complains.
fn complaint(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text.lines().filter(|line| line.starts_with("holdfast: ")).collect::<Vec<_>>();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(!text.contains("panicked") && !text.contains("stack backtrace"), "{text}");
    (output.status.code(), lines[0].to_owned())
}

#[test]
fn a_wrong_setting_is_one_line_and_exit_code_2() {
    for (name, value, said) in [
        ("HOLDFAST_LISTEN", "nowhere", "HOLDFAST_LISTEN"),
        ("DB_MONITORING_INTERVAL", "soon", "DB_MONITORING_INTERVAL"),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL"),
        ("HOLDFAST_CONFIG", "missing.toml", "missing.toml"),
    ] {
        let (code, line) = complaint(&holdfast(&["serve"], &[(name, value)], ""));
        assert!(code == Some(2) && line.contains(said), "{code:?} {line}");
    }
}

#[test]
fn an_unreachable_store_is_one_line_and_exit_code_1_without_its_password() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://holdfast:s3cret@127.0.0.1:{free}/holdfast");
    let (code, line) =
        complaint(&holdfast(&["serve"], &[("HOLDFAST_STORE_URL", &url), ("HOLDFAST_LISTEN", "127.0.0.1:0")], ""));
    assert!(code == Some(1) && line.contains("store") && !line.contains("s3cret"), "{code:?} {line}");
    let (code, line) =
        complaint(&holdfast(&["user", "list"], &[("HOLDFAST_STORE_URL", "sqlite:///proc/nothing/store.db")], ""));
    assert!(code == Some(1) && line.contains("/proc/nothing"), "{code:?} {line}");
}

#[test]
fn a_taken_port_is_one_line_that_says_how_to_choose_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let (code, line) = complaint(&holdfast(&["serve"], &[("HOLDFAST_LISTEN", &listen)], ""));
    assert!(code == Some(1) && line.contains(&listen) && line.contains("HOLDFAST_LISTEN"), "{code:?} {line}");
}

#[test]
fn a_demo_without_postgresql_says_what_to_install() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let directory = tempfile::tempdir().unwrap();
    // Nothing on the PATH, and the folders where PostgreSQL is looked for are taken away.
    command
        .args(["demo", "--port", "0"])
        .current_dir(directory.path())
        .env_clear()
        .env("HOLDFAST_PG_ONLY", directory.path());
    let (code, line) = complaint(&command.output().unwrap());
    assert!(code == Some(1) && line.contains("PostgreSQL"), "{code:?} {line}");
}

#[test]
fn accounts_and_tokens_are_made_on_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("store.db").display());
    let run = |arguments: &[&str], input: &str| holdfast(arguments, &[("HOLDFAST_STORE_URL", &url)], input);
    let (code, line) = complaint(&run(&["user", "add", "ada", "--role", "admin"], "short\n"));
    assert!(code == Some(2) && line.contains("10 characters"), "{code:?} {line}");
    assert!(run(&["user", "add", "ada", "--role", "admin"], "a long password\n").status.success());
    let (code, line) = complaint(&run(&["user", "add", "ada"], "a long password\n"));
    assert!(code == Some(1) && line.contains("ada"), "{code:?} {line}");
    let (code, _) = complaint(&run(&["user", "disable", "ada"], ""));
    assert_eq!(code, Some(1), "the last administrator stays");
    let token = run(&["--json", "token", "create", "ci"], "");
    let token: serde_json::Value = serde_json::from_slice(&token.stdout).unwrap();
    assert!(token["token"].as_str().unwrap().starts_with("hf_"));
    let verified = run(&["audit", "verify"], "");
    assert!(verified.status.success() && String::from_utf8_lossy(&verified.stdout).contains("holds"), "{verified:?}");
    let exported = run(&["audit", "export"], "");
    let actions = String::from_utf8(exported.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["action"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert!(actions.contains(&"user_add".to_owned()) && actions.contains(&"token_create".to_owned()), "{actions:?}");
}

#[test]
fn health_exits_1_for_a_server_that_does_not_answer_and_2_without_any() {
    let (code, line) = complaint(&holdfast(&["health"], &[], ""));
    assert!(code == Some(2) && line.contains("DATABASE_URL"), "{code:?} {line}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://ada:s3cret@127.0.0.1:{free}/shop");
    let output = holdfast(&["health"], &[("DATABASE_URL", &url)], "");
    let (code, line) = complaint(&output);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(code == Some(1) && line.contains("critical: main"), "{code:?} {line}");
    assert!(told.contains("main: score 0 of 100, critical") && !told.contains("s3cret"), "{told}");
    let json = holdfast(&["--json", "health"], &[("DATABASE_URL", &url)], "");
    let reports = serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap();
    assert_eq!(
        (reports[0]["dashboard"]["health"]["score"].as_u64(), reports[0]["critical"].as_bool()),
        (Some(0), Some(true))
    );
}
