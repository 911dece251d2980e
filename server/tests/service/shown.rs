//! What others take from a server at work: the figures of `/metrics`, and the evidence of a drill with its hash.
use crate::bench::Bench;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Values of the samples of a metric that have these labels.
fn samples(text: &str, name: &str, labels: &[&str]) -> Vec<f64> {
    let of = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once(' '));
    let wanted = of.filter(|(set, _)| labels.iter().all(|label| set.contains(*label)));
    wanted.map(|(_, value)| value.parse().unwrap()).collect()
}

/// The only sample; `None` when there is none.
fn one(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let found = samples(text, name, labels);
    assert!(found.len() <= 1, "{name} {labels:?}: {found:?}");
    found.first().copied()
}

fn metrics(bench: &Bench) -> String {
    String::from_utf8(bench.fetch("/metrics").1).unwrap()
}

/// Each family of protection has what the drill measured, or what the repository holds; a repository that is away is seen
/// there, and no longer once it is back.
pub fn figures_are_true(bench: &Bench, report: &Value) {
    let main = ["cluster=\"main\""];
    let plan = format!("plan=\"{}\"", report["plan"]["name"].as_str().unwrap());
    let drill = ["cluster=\"main\"", plan.as_str(), "kind=\"test\""];
    let last_known = [
        "holdfast_restore_test_timestamp_seconds",
        "holdfast_restore_forecast_seconds",
        "holdfast_wal_repository_lag_seconds",
        "holdfast_repository_stored_bytes",
        "holdfast_recoverable_to_timestamp_seconds",
    ];
    let text = bench.until("the figures of the drill", |bench| {
        let text = metrics(bench);
        let is_known = last_known.iter().all(|name| one(&text, name, &main).is_some())
            && one(&text, "holdfast_drill_ok", &drill).is_some();
        is_known.then_some(text)
    });
    let of = |name: &str, labels: &[&str]| one(&text, name, labels).unwrap_or_else(|| panic!("{name}: {text}"));
    for (name, labels, value) in [
        ("holdfast_drill_ok", &drill[..], 1.0),
        ("holdfast_restore_test_ok", &main[..], 1.0),
        ("holdfast_repository_up", &main[..], 1.0),
        ("holdfast_recovery_gaps_open", &main[..], 0.0),
        // Of the file, of the kit, and of the recovery code that every repository is made with.
        ("holdfast_repository_keys", &main[..], 3.0),
    ] {
        assert_eq!(of(name, labels), value, "{name}: {text}");
    }
    // What is a figure of the drill is the same in its report, and not known there when it is not here.
    let (rto, waited) = (report["rto_seconds"].as_f64().unwrap(), report["waited_seconds"].as_f64().unwrap());
    for (name, labels, value) in [
        ("holdfast_drill_rto_seconds", &drill[..], Some(rto)),
        ("holdfast_drill_rpo_seconds", &drill[..], report["rpo_seconds"].as_f64()),
        ("holdfast_restore_test_rto_seconds", &main[..], Some(rto - waited)),
        ("holdfast_restore_test_restore_seconds", &main[..], report["restore_seconds"].as_f64()),
        ("holdfast_restore_test_recovery_seconds", &main[..], report["recovery_seconds"].as_f64()),
        ("holdfast_restore_test_check_seconds", &main[..], report["check_seconds"].as_f64()),
        ("holdfast_restore_test_rpo_seconds", &main[..], report["rpo_seconds"].as_f64()),
    ] {
        let shown = one(&text, name, labels);
        let is_same = match (shown, value) {
            (Some(shown), Some(value)) => (shown - value).abs() < 1e-6,
            (shown, value) => shown == value,
        };
        assert!(is_same, "{name}: {shown:?}, the report has {value:?}");
    }
    let ended = of("holdfast_drill_timestamp_seconds", &drill);
    assert_eq!(of("holdfast_restore_test_timestamp_seconds", &main), ended, "a drill proves a restore");
    let backup = of("holdfast_backup_last_full_timestamp_seconds", &main);
    assert!(backup > 1.7e9 && backup < ended, "the backup ended at {backup}, the drill at {ended}");
    let from = of("holdfast_recoverable_from_timestamp_seconds", &main);
    assert!(from > 1.7e9 && from <= of("holdfast_recoverable_to_timestamp_seconds", &main), "{text}");
    let forecast = of("holdfast_restore_forecast_seconds", &main);
    assert!(forecast > 0.0 && forecast < of("holdfast_objective_rto_seconds", &main), "{forecast}");
    let lag = of("holdfast_wal_repository_lag_seconds", &main);
    assert!((0.0..of("holdfast_objective_rpo_seconds", &main)).contains(&lag), "{lag}");
    for name in ["holdfast_repository_stored_bytes", "holdfast_repository_free_bytes"] {
        assert!(of(name, &main) > 1e6, "{name}: {text}");
    }
    for kind in ["kind=\"backup\"", "kind=\"drill\""] {
        assert!(of("holdfast_jobs", &[kind, "state=\"succeeded\""]) >= 1.0, "{kind}: {text}");
    }

    let rule = ["cluster=\"main\"", "rule=\"repository_unreachable\"", "severity=\"critical\""];
    let wrong = |text: &str| {
        let firing = samples(text, "holdfast_alert_firing", &rule);
        (one(text, "holdfast_repository_up", &main), samples(text, "holdfast_backup_problem", &rule), firing)
    };
    assert_eq!(wrong(&text), (Some(1.0), vec![], vec![]), "{text}");
    let (there, away) = (bench.path("repository"), bench.path("repository-away"));
    std::fs::rename(&there, &away).unwrap();
    bench.until("the figures of a repository that is away", |bench| {
        (wrong(&metrics(bench)) == (Some(0.0), vec![1.0], vec![1.0])).then_some(())
    });
    std::fs::rename(&away, &there).unwrap();
    bench.until("the figures of a repository that is back", |bench| {
        (wrong(&metrics(bench)) == (Some(1.0), vec![], vec![])).then_some(())
    });
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The JSON is byte by byte what was hashed; the hash stands in its header, beside the run, in the audit log and in the
/// document for people.
pub fn evidence_is_what_was_hashed(bench: &Bench, id: &str) {
    let run = format!("/api/v1/clusters/main/drills/{id}");
    let (head, json) = bench.fetch(&format!("{run}/evidence"));
    let hash = Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(header(&head, "content-type"), Some("application/json"), "{head}");
    assert_eq!(header(&head, "x-content-sha256"), Some(hash.as_str()), "{head}");
    let evidence = serde_json::from_slice::<Value>(&json).unwrap();
    let shown = bench.ask("GET", &run, None);
    for part in ["plan", "ok", "problems", "checks", "hashes"] {
        assert_eq!(evidence[part], shown["report"][part], "{part}");
    }
    assert_eq!(shown["run"]["evidence_sha256"], hash.as_str(), "{shown}");
    let rows = bench.ask("GET", &format!("/api/v1/audit?action=drill_finish&object=job/{id}"), None)["rows"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(rows[0]["after"]["run"]["evidence_sha256"], hash.as_str(), "{rows}");

    let (head, html) = bench.fetch(&format!("{run}/evidence?format=html"));
    assert!(header(&head, "content-type").is_some_and(|it| it.starts_with("text/html")), "{head}");
    assert_eq!(header(&head, "x-content-sha256"), Some(hash.as_str()), "the hash of the JSON: {head}");
    let html = String::from_utf8(html).unwrap();
    let named = format!("This evidence as JSON</th><td><code>{hash}</code>");
    assert!(html.contains(&named), "{html}");
    assert!(html.contains(evidence["plan"]["name"].as_str().unwrap()), "{html}");
}
