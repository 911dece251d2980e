use super::*;
use domain::reading::{LogPosition, LogSettings};

const AT: Timestamp = Timestamp(1_764_430_390_000); // 2025-11-29 15:33:10 UTC

fn reading(format: LogFormat, prefix: &str, text: &str) -> LogReading {
    LogReading {
        position: LogPosition { file: "log/a".to_owned(), offset: 0 },
        format,
        text: text.to_owned(),
        skipped_bytes: 0,
        settings: LogSettings::default(),
        line_prefix: prefix.to_owned(),
        continues: true,
    }
}

#[test]
fn statements_of_the_plain_log_are_read_with_who_sent_them() {
    let text = "2025-11-29 16:33:05.250 CET [7] api@shop LOG:  duration: 12.500 ms  statement: SELECT 'a\n\tb' FROM t\n\
        2025-11-29 16:33:06.000 CET [7] api@shop LOG:  duration: 3.000 ms  execute s1/p1: SELECT a FROM t WHERE b = $1 AND c = $2\n\
        2025-11-29 16:33:06.000 CET [7] api@shop DETAIL:  parameters: $1 = 'x, $9', $2 = NULL\n\
        2025-11-29 16:33:06.000 CET [7] api@shop LOG:  duration: 0.100 ms  parse <unnamed>: SELECT 1\n\
        2025-11-29 16:33:06.000 CET [7] api@shop LOG:  duration: 4.000 ms\n\
        2025-11-29 16:33:07.000 CET [7] api@shop ERROR:  no\n\
        2025-11-29 16:33:07.000 CET [7] api@shop DETAIL:  parameters: $1 = 'z'\n";
    let found = read(&reading(LogFormat::Stderr, "%m [%p] %q%u@%d ", text), AT);
    let [simple, bound] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((simple.text.as_str(), simple.duration_ms, simple.parameters), ("SELECT 'a\nb' FROM t", 12.5, 0));
    assert_eq!((simple.user.as_deref(), simple.database.as_deref()), (Some("api"), Some("shop")));
    assert_eq!(simple.at.0, AT.0 - 4_750, "a zone that is an hour ahead");
    assert_eq!((bound.text.as_str(), bound.parameters), ("SELECT a FROM t WHERE b = $1 AND c = $2", 2));
}

#[test]
fn csv_and_json_say_the_fingerprint_too() {
    let mut fields = vec![String::new(); 26];
    for (at, value) in [
        (0, "2025-11-29 15:33:05.250 UTC"),
        (1, "api"),
        (2, "shop"),
        (4, "\"10.0.0.7:5432\""),
        (11, "LOG"),
        (13, "\"duration: 1.500 ms  statement: SELECT \"\"A\"\"\n FROM t\""),
        (22, "\"web, 2\""),
        (25, "-77"),
    ] {
        fields[at] = value.to_owned();
    }
    let found = read(&reading(LogFormat::Csv, "", &format!("{}\n", fields.join(","))), AT);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (one.text.as_str(), one.query_id, one.application.as_deref()),
        ("SELECT \"A\"\n FROM t", Some(-77), Some("web, 2"))
    );
    assert_eq!((one.client.as_deref(), one.at.0), (Some("10.0.0.7"), AT.0 - 4_750));

    let line = r#"{"timestamp":"2025-11-29 15:33:05.250 UTC","user":"api","dbname":"shop","remote_host":"10.0.0.7","error_severity":"LOG","message":"duration: 6.250 ms  execute <unnamed>: SELECT $1","detail":"Parameters: $1 = '4'","application_name":"web","query_id":9007199254740995}"#;
    let found = read(&reading(LogFormat::Json, "", &format!("{line}\n{{\"message\":\"other\"}}\nbroken\n")), AT);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.query_id, one.parameters, one.text.as_str()), (Some(9_007_199_254_740_995), 1, "SELECT $1"));
}

#[test]
fn plans_of_auto_explain_are_read_as_text_and_as_json() {
    let text = "2025 [7] LOG:  duration: 7.000 ms  plan:\n\tQuery Text: SELECT *\n\tFROM t\n\tWHERE a = 5\n\tQuery Parameters: $1 = '5'\n\tSeq Scan on t  (cost=0.00..35.50 rows=12 width=4)\n\t  Filter: (a = 5)\n";
    let found = read(&reading(LogFormat::Stderr, "%m [%p] ", text), AT);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.text.as_str(), one.duration_ms, one.at), ("SELECT *\nFROM t\nWHERE a = 5", 7.0, AT));
    let plan = crate::plan::read(one.plan.as_deref().unwrap()).unwrap();
    assert_eq!((plan.root.title.as_str(), plan.root.rows), ("Seq Scan", 12.0));
    let named = with_schemas(one.plan.as_deref().unwrap(), |name| (name == "t").then(|| "public".to_owned()));
    assert_eq!(crate::plan::read(&named).unwrap().root.relation.as_deref(), Some("public.t"));

    let json = "2025 [7] LOG:  duration: 7.000 ms  plan:\n\t{\n\t  \"Query Text\": \"SELECT 1\",\n\t  \"Query Identifier\": -5,\n\t  \"Plan\": {\n\t    \"Node Type\": \"Result\", \"Startup Cost\": 0.0, \"Total Cost\": 0.01, \"Plan Rows\": 1, \"Plan Width\": 4\n\t  }\n\t}\n";
    let found = read(&reading(LogFormat::Stderr, "%m [%p] ", json), AT);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.text.as_str(), one.query_id), ("SELECT 1", Some(-5)));
    assert_eq!(crate::plan::read(one.plan.as_deref().unwrap()).unwrap().root.title, "Result");
    // Formats that are read by nobody, and one that is cut off.
    for other in
        ["<explain>", "Query Text: \"SELECT 1\"\n\tPlan:\n\t  Node Type: Result", "{\n\t \"Query Text\": \"SELECT"]
    {
        let text = format!("2025 [7] LOG:  duration: 7.000 ms  plan:\n\t{other}\n");
        assert_eq!(read(&reading(LogFormat::Stderr, "", &text), AT), []);
    }
}

#[test]
fn a_moment_is_never_after_the_reading() {
    assert_eq!(moment("2025-11-29 15:33:20.000 UTC", AT), Some(AT));
    assert_eq!(moment("1764430385.5", AT), Some(Timestamp(1_764_430_385_500)));
    assert_eq!(moment("soon", AT), None);
}
