//! Tests of `indexes.rs`.
#![allow(clippy::unwrap_used)]
use super::*;

fn index(oid: u32, name: &str, key: &[i16]) -> IndexCounters {
    IndexCounters {
        database: "d".into(),
        schema: "public".into(),
        table: "t".into(),
        name: name.into(),
        oid,
        table_oid: 1,
        definition: format!("CREATE INDEX {name} ON public.t USING btree (a)"),
        method: "btree".into(),
        bytes: 1 << 20,
        key: key.to_vec(),
        key_columns: key.len() as i16,
        classes: vec![1; key.len()],
        collations: vec![0; key.len()],
        options: vec![0; key.len()],
        valid: true,
        ready: true,
        ..IndexCounters::default()
    }
}

fn look(rows: Vec<IndexCounters>, standby: Option<Vec<IndexCounters>>) -> IndexesPage {
    let reading =
        |rows| IndexReading { rows, stats_reset: vec![("d".into(), Some(Timestamp(0)))], ..IndexReading::default() };
    let (main, standby) = (reading(rows), standby.map(reading));
    let mut nodes = vec![Node { name: "main", reading: &main, started_at: Timestamp(0) }];
    nodes.extend(standby.as_ref().map(|reading| Node { name: "replica", reading, started_at: Timestamp(0) }));
    page(&nodes, None, &[], Rules::default(), Timestamp(86_400_000))
}

fn finding<'a>(page: &'a IndexesPage, name: &str) -> Option<&'a IndexFinding> {
    page.rows.iter().find(|row| row.name == name).unwrap().findings.first()
}

#[test]
fn an_index_used_on_a_standby_is_not_unused() {
    let idle = look(vec![index(10, "i", &[1])], None);
    assert!(matches!(finding(&idle, "i"), Some(IndexFinding::Unused { drop_sql, undo_sql, .. })
        if drop_sql == "DROP INDEX CONCURRENTLY public.i;" && undo_sql.starts_with("CREATE INDEX CONCURRENTLY i ON")));
    let used = look(vec![index(10, "i", &[1])], Some(vec![IndexCounters { scans: 1, ..index(10, "i", &[1]) }]));
    assert_eq!(finding(&used, "i"), None);
    assert_eq!(used.rows[0].scans, 1);
}

#[test]
fn the_last_scan_is_that_of_any_node_and_each_node_has_its_number() {
    let scanned = |scans, at| IndexCounters { scans, last_scan: Some(Timestamp(at)), ..index(10, "i", &[1]) };
    let page = look(vec![scanned(3, 1_000)], Some(vec![scanned(4, 2_000)]));
    let row = &page.rows[0];
    assert_eq!((row.key.as_str(), row.scans, row.last_scan), ("d.public.i", 7, Some(Timestamp(2_000))));
    assert_eq!(row.node_scans, [("main".to_owned(), 3), ("replica".to_owned(), 4)]);
    assert!(look(vec![scanned(3, 1_000)], None).rows[0].node_scans.is_empty(), "one node says it all");
}

#[test]
fn scans_are_recorded_as_those_of_an_hour_and_a_reset_says_nothing() {
    let page = |scans| look(vec![IndexCounters { scans, ..index(10, "i", &[1]) }], None);
    let (none, first) = scans_per_hour(&page(10), None, 300);
    assert!(none.is_empty() && first["d.public.i"] == 10);
    let (rates, second) = scans_per_hour(&page(40), Some((&first, 1_800.0)), 300);
    assert_eq!(rates, [("d.public.i".to_owned(), 60.0)]);
    assert_eq!(scans_per_hour(&page(5), Some((&second, 1_800.0)), 300).0, []);
    assert_eq!(scans_per_hour(&page(40), Some((&second, 1_800.0)), 300).0, [("d.public.i".to_owned(), 0.0)]);
}

#[test]
fn hits_are_those_since_the_last_record_and_what_was_not_touched_says_nothing() {
    let percents = |hit, read, recorded: Option<&RecordedBlocks>| {
        let rows = vec![IndexCounters { blks_hit: hit, blks_read: read, ..index(10, "i", &[1]) }];
        let reading = IndexReading { rows: rows.clone(), ..IndexReading::default() };
        hit_percents(&look(rows, None), &reading, recorded, 300)
    };
    let (none, first) = percents(100, 100, None);
    assert!(none.is_empty() && first["d.public.i"] == (100, 100));
    let (some, second) = percents(190, 110, Some(&first));
    assert_eq!(some, [("d.public.i".to_owned(), 90.0)]);
    assert_eq!(percents(190, 110, Some(&second)).0, [], "not touched");
    assert_eq!(percents(5, 5, Some(&second)).0, [], "counters began anew");
}

#[test]
fn columns_are_read_from_the_definition() {
    let of = |definition: &str| columns(definition);
    let plain = of("CREATE INDEX i ON public.t USING btree (a, b DESC) INCLUDE (c) WHERE (a > 0)");
    assert_eq!(plain, (vec!["a".to_owned(), "b DESC".to_owned()], vec!["c".to_owned()]));
    let odd = of("CREATE INDEX \"i (x)\" ON t USING btree (lower((n)::text), \"a, (b\", coalesce(x, ','::text))");
    assert_eq!(odd.0, ["lower((n)::text)", "\"a, (b\"", "coalesce(x, ','::text)"]);
    assert_eq!(of("nonsense"), (vec![], vec![]));
}

#[test]
fn what_was_put_aside_is_counted_apart() {
    let mut page = look(vec![index(1, "i", &[1]), index(2, "j", &[2])], None);
    let (before, wasted) = (totals(&page).unused, page.wasted_bytes);
    without(&mut page, |key| key == "unused:d.public.i");
    assert_eq!((before, totals(&page).unused, page.put_aside), (2, 1, 1));
    assert!(page.wasted_bytes < wasted && page.rows.len() == 2, "the index itself stays in the list");
    without(&mut page, |key| key == "no such key");
    assert_eq!((totals(&page).unused, page.put_aside), (1, 0));
}

#[test]
fn an_index_that_is_needed_is_never_called_unused() {
    for change in [
        |i: &mut IndexCounters| i.primary = true,
        |i: &mut IndexCounters| i.unique = true,
        |i: &mut IndexCounters| i.backs_constraint = true,
        |i: &mut IndexCounters| i.replica_identity = true,
        |i: &mut IndexCounters| i.building = true,
        |i: &mut IndexCounters| i.bytes = 8_192,
        |i: &mut IndexCounters| i.parent = Some("public.p".into()),
    ] {
        let mut one = index(10, "i", &[1]);
        change(&mut one);
        assert_eq!(finding(&look(vec![one], None), "i"), None);
    }
}

#[test]
fn a_partitioned_index_is_used_when_a_partition_is() {
    let parent = IndexCounters { partitioned: true, bytes: 0, ..index(10, "p", &[1]) };
    let part = |scans| IndexCounters { parent: Some("public.p".into()), table_oid: 2, scans, ..index(11, "p1", &[1]) };
    assert!(matches!(finding(&look(vec![parent.clone(), part(0)], None), "p"), Some(IndexFinding::Unused { .. })));
    assert_eq!(finding(&look(vec![parent, part(3)], None), "p"), None);
}

#[test]
fn of_two_alike_one_is_reported_and_a_prefix_is_covered() {
    let page = look(vec![index(10, "a", &[1]), index(11, "b", &[1]), index(12, "ab", &[1, 2])], None);
    assert!(
        matches!(finding(&page, "b"), Some(IndexFinding::Duplicate { how: DuplicateKind::Exact, covered_by, .. }) if covered_by == "public.a")
    );
    assert!(
        matches!(finding(&page, "a"), Some(IndexFinding::Duplicate { how: DuplicateKind::Prefix, covered_by, .. }) if covered_by == "public.ab")
    );
    assert!(!matches!(finding(&page, "ab"), Some(IndexFinding::Duplicate { .. })));
}

#[test]
fn indexes_that_differ_in_anything_are_no_duplicates() {
    for change in [
        |i: &mut IndexCounters| i.predicate = Some("(a > 0)".into()),
        |i: &mut IndexCounters| i.classes = vec![2],
        |i: &mut IndexCounters| i.options = vec![3],
        |i: &mut IndexCounters| i.collations = vec![100],
        |i: &mut IndexCounters| i.method = "hash".into(),
        |i: &mut IndexCounters| i.expressions = Some("lower(a)".into()),
        |i: &mut IndexCounters| i.key = vec![1, 5],
        |i: &mut IndexCounters| i.table_oid = 9,
        |i: &mut IndexCounters| i.unique = true,
    ] {
        let mut other = index(11, "b", &[1]);
        change(&mut other);
        let page = look(vec![index(10, "a", &[1]), other], None);
        assert!(!matches!(finding(&page, "b"), Some(IndexFinding::Duplicate { .. })));
    }
}

#[test]
fn an_invalid_index_is_to_be_built_again_and_young_counters_say_nothing() {
    let broken = look(vec![IndexCounters { valid: false, ..index(10, "i", &[1]) }], None);
    assert!(
        matches!(finding(&broken, "i"), Some(IndexFinding::Invalid { rebuild_sql, .. }) if rebuild_sql.contains("CREATE INDEX CONCURRENTLY"))
    );
    let reading = IndexReading { rows: vec![index(10, "i", &[1])], ..IndexReading::default() };
    let young = page(
        &[Node { name: "main", reading: &reading, started_at: Timestamp(0) }],
        None,
        &[],
        Rules::default(),
        Timestamp(60_000),
    );
    assert_eq!(young.rows[0].findings, []);
}

#[test]
fn foreign_keys_get_a_script_that_can_be_copied() {
    let key = ForeignKey {
        database: "d".into(),
        schema: "public".into(),
        table: "Order".into(),
        columns: vec!["user".into(), "b".into()],
        table_rows: 5e4,
        references: "public.u".into(),
        ..ForeignKey::default()
    };
    let reading = IndexReading {
        foreign_keys: vec![
            key.clone(),
            ForeignKey { indexed: true, ..key.clone() },
            ForeignKey { table_rows: 10.0, ..key },
        ],
        ..IndexReading::default()
    };
    let page = page(
        &[Node { name: "main", reading: &reading, started_at: Timestamp(0) }],
        None,
        &[],
        Rules::default(),
        Timestamp(0),
    );
    assert_eq!(page.missing_foreign_keys.len(), 1);
    assert_eq!(
        page.missing_foreign_keys[0].create_sql,
        "CREATE INDEX CONCURRENTLY \"Order_user_b_idx\" ON public.\"Order\" (\"user\", b);"
            .replace("\"user\", b", "user, b")
    );
}
