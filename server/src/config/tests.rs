//! Tests of `config.rs`.
#![allow(clippy::unwrap_used)]
use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect::<std::collections::HashMap<_, _>>();
    Config::read(|name| pairs.get(name).cloned()).map_err(|error| error.to_string())
}

#[test]
fn without_any_setting_it_starts_on_the_loopback_with_sqlite() {
    let config = read(&[]).unwrap();
    assert_eq!(
        (config.listen.to_string().as_str(), config.interval.as_secs(), config.clusters.len()),
        ("127.0.0.1:3000", 30, 0)
    );
    assert!(!config.is_https());
}

#[test]
fn every_wrong_value_is_named_with_what_is_allowed() {
    for (name, value, said) in [
        ("HOLDFAST_LISTEN", "3000", "an address and a port"),
        ("HOLDFAST_STORE_URL", "mysql://x", "sqlite:// or postgres://"),
        ("DB_MONITORING_INTERVAL", "fast", "milliseconds from 1000"),
        ("DB_MONITORING_INTERVAL", "10", "milliseconds from 1000"),
        ("SLOW_QUERY_THRESHOLD", "-1", "milliseconds from 1"),
        ("HOLDFAST_JOB_LEASE_SECONDS", "0.5", "seconds from 2 to 3600"),
        ("DATABASE_URL", "localhost", "postgres://"),
        ("HOLDFAST_PUBLIC_URL", "holdfast.example", "https://"),
        ("DB_POOL_MAX", "0", "connections from 1"),
        ("DB_POOL_MIN", "60", "at most DB_POOL_MAX, which is 50"),
        ("DB_REPLICA_POOL_MAX", "2.5", "a whole number"),
        ("DB_POOL_CONCURRENCY", "-1", "10000"),
        ("DB_POOL_IDLE_TIMEOUT", "soon", "milliseconds"),
        ("HOLDFAST_PLATFORM_URL", "saas_idp", "must begin with postgres://"),
        ("HOLDFAST_CONFIG", "/nowhere/holdfast.toml", "cannot be read"),
    ] {
        let error = read(&[(name, value)]).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{name}={value}: {error}");
        assert!(error.contains(name) || name == "HOLDFAST_CONFIG", "{error}");
    }
}

#[test]
fn the_pools_have_the_guides_figures_and_a_role_of_their_own() {
    let config = read(&[
        ("DATABASE_URL", "postgres://watch:a@db/saas_idp"),
        ("READ_REPLICA_URL", "postgres://watch:a@db2:5433/saas_idp"),
    ]);
    let pools = config.unwrap().platform.unwrap().pools;
    assert_eq!((pools.min, pools.primary_max, pools.replica_max, pools.idle_timeout.as_secs()), (10, 50, 30, 30));
    assert_eq!(pools.concurrency, None, "the pools know whether the server is on this machine");
    assert_eq!(pools.replica_url.unwrap().expose_secret(), "postgres://watch:a@db2:5433/saas_idp");
    let config = read(&[
        ("DATABASE_URL", "postgres://watch:a@db/saas_idp"),
        ("READ_REPLICA_URL", "postgres://watch:a@db2:5433/saas_idp"),
        ("HOLDFAST_PLATFORM_URL", "postgres://api:b@db/saas_idp"),
        ("DB_POOL_MAX", "6"),
        ("DB_POOL_CONCURRENCY", "8"),
    ])
    .unwrap();
    let platform = config.platform.as_ref().unwrap();
    let pools = &platform.pools;
    assert_eq!((pools.min, pools.primary_max, pools.replica_max), (6, 6, 6), "no default is beyond what was asked");
    assert_eq!(pools.concurrency, Some(8));
    assert!(config.to_string().contains("short questions at most 8 at once"), "{config}");
    assert_eq!(pools.replica_url.as_ref().unwrap().expose_secret(), "postgres://api:b@db2:5433/saas_idp");
    assert_eq!(platform.cluster.as_deref(), Some("main"));
    assert!(!config.to_string().contains(":b@"), "{config}");
    assert!(read(&[]).unwrap().platform.is_none());
}

#[test]
fn no_password_is_printed() {
    let config =
        read(&[("DATABASE_URL", "postgres://ada:s3cret@db/shop"), ("HOLDFAST_STORE_URL", "postgres://h:s3cret@db/h")])
            .unwrap();
    assert!(!format!("{config} {config:?}").contains("s3cret"), "{config}");
}

#[test]
fn a_file_names_clusters_and_the_environment_wins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holdfast.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:4000\"\n[[cluster]]\nid = \"shop\"\nname = \"Shop\"\nurl = \"postgres://a@db/shop\"\ngroup = \"shops\"\n[[cluster]]\nid = \"shop-2\"\nurl = \"postgres://a@db2/shop\"\nstandby_of = \"shop\"\ncpus = 16\n").unwrap();
    let path = path.to_str().unwrap();
    let config = read(&[("HOLDFAST_CONFIG", path), ("HOLDFAST_LISTEN", "127.0.0.1:5000")]).unwrap();
    assert_eq!(config.listen.port(), 5000);
    assert_eq!(config.clusters[1].watched.config.standby_of.as_deref(), Some("shop"));
    assert_eq!((config.clusters[0].cpus, config.clusters[1].cpus), (None, Some(16)));
    let groups = config.clusters.iter().map(|one| one.watched.config.group.as_deref()).collect::<Vec<_>>();
    assert_eq!(groups, [Some("shops"), None]);
    let told = config.to_string();
    assert!(told.contains("standby of shop, 16 cpus") && told.contains(", group shops\n"), "{config}");

    // What names the address in the environment cannot say the rest: that is taken from the file, also without an address there.
    std::fs::write(path, "[[cluster]]\nid = \"main\"\nname = \"Shop\"\ngroup = \"shops\"\ncpus = 4\n[[cluster]]\nid = \"replica\"\nurl = \"postgres://a@elsewhere/shop\"\nname = \"Copy\"\n").unwrap();
    let environment = [
        ("HOLDFAST_CONFIG", path),
        ("DATABASE_URL", "postgres://a@db/shop"),
        ("READ_REPLICA_URL", "postgres://a@db2/shop"),
    ];
    let config = read(&environment).unwrap();
    let (main, replica) = (&config.clusters[0], &config.clusters[1]);
    assert_eq!((main.watched.config.name.as_str(), main.cpus), ("Shop", Some(4)));
    assert_eq!(main.watched.config.group.as_deref(), Some("shops"));
    assert_eq!(replica.watched.config.name, "Copy");
    assert_eq!(replica.watched.config.standby_of.as_deref(), Some("main"));
    assert_eq!((main.source, replica.source), ("DATABASE_URL", "READ_REPLICA_URL"));
    assert_eq!(replica.url.expose_secret(), "postgres://a@db2/shop");

    for (text, said) in [
        ("lisen = 1", "lisen"),
        ("listen = \"x", "line 1"),
        ("[[cluster]]\nid = \"a\"", "url or url_file"),
        ("[[cluster]]\nid = \"A b\"\nurl = \"postgres://a@b/c\"", "lower-case"),
        ("[[cluster]]\nid = \"a\"\nurl = \"postgres://a@b/c\"\nstandby_of = \"b\"", "standby_of"),
        ("[[cluster]]\nid = \"a\"\nurl = \"postgres://a@b/c\"\ncpus = 0", "cpus is '0'"),
        ("[[cluster]]\nid = \"a\"\nurl = \"postgres://a@b/c\"\ngroup = \"The shops\"", "a group has 1 to 40"),
    ] {
        std::fs::write(path, text).unwrap();
        let error = read(&[("HOLDFAST_CONFIG", path)]).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{text}: {error}");
    }
}

/// The example with every setting switched on, and each value in turn replaced by what people and editors put there: a
/// clear line or a configuration comes out, never a panic.
#[test]
fn no_file_makes_the_program_fall_over() {
    let example = include_str!("../../../holdfast.example.toml")
        .lines()
        // Settings that are switched off begin with a name or a table; other comments are sentences.
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) =>
            {
                rest
            }
            _ => line,
        })
        .map(|line| match line.strip_prefix("url_file = ") {
            Some(_) => "url = \"postgres://holdfast_monitor@127.0.0.1/orders\"".to_owned(),
            None => line.to_owned(),
        })
        .collect::<Vec<_>>();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holdfast.toml");
    let path = path.to_str().unwrap();
    let mut refused = 0;
    for (number, line) in example.iter().enumerate() {
        let Some((name, _)) = line.split_once('=') else { continue };
        for value in [
            "",
            "nan",
            "-inf",
            "9223372036854775807",
            "-1",
            "\"\"",
            "\"\\u0000\"",
            "[]",
            "{}",
            "1979-05-27",
            "\"ß🦀\"",
            "true",
            "\"0 0 31 2 *\"",
        ] {
            let mut changed = example.clone();
            changed[number] = format!("{name}= {value}");
            std::fs::write(path, changed.join("\n")).unwrap();
            if let Err(error) = read(&[("HOLDFAST_CONFIG", path)]) {
                assert!(!error.is_empty() && !error.contains('\n'), "{name} = {value}: {error}");
                refused += 1;
            }
        }
    }
    std::fs::write(path, example.join("\n")).unwrap();
    read(&[("HOLDFAST_CONFIG", path)]).unwrap();
    assert!(refused > 100, "{refused}");
}
