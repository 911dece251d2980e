//! `/metrics`: the newest snapshots in the Prometheus text format.

mod analytics;
mod pools;
mod recovery;
mod slots;

use super::{App, actor::Asking, problem::Problem};
use axum::{extract::State, http::header, response::IntoResponse};
use control::ControlPlane;
use domain::{
    alert::{AlertState, Severity},
    view::{AlertCounts, ClusterState, Dashboard, RestoreTestView},
};
use std::fmt::Write as _;

/// A gauge: its name, its help, and its value in one dashboard.
type Gauge = (&'static str, &'static str, fn(&Dashboard) -> Option<f64>);

const GAUGES: [Gauge; 33] = [
    ("holdfast_up", "Whether the last tick reached the cluster.", |it| {
        Some(f64::from(u8::from(it.cluster.state == ClusterState::Up)))
    }),
    ("holdfast_snapshot_age_seconds", "Age of the figures.", |it| it.age_seconds),
    ("holdfast_health_score", "Health score, 0 to 100.", |it| Some(f64::from(it.health.score))),
    ("holdfast_health_coverage_percent", "Share of the score's rules that could be measured.", |it| {
        Some(it.health.coverage_percent)
    }),
    ("holdfast_connections_used", "Client backends.", |it| it.connections.as_ref().map(|it| it.used as f64)),
    ("holdfast_connections_usable", "Slots that ordinary roles can use.", |it| {
        it.connections.as_ref().map(|it| it.usable as f64)
    }),
    ("holdfast_transactions_per_second", "Commits and rollbacks.", |it| {
        it.throughput.as_ref().map(|it| it.transactions_per_second)
    }),
    ("holdfast_rollbacks_per_second", "Rollbacks.", |it| it.throughput.as_ref().map(|it| it.rollbacks_per_second)),
    (
        "holdfast_latency_p50_seconds",
        "Median of statement time; measured where the server logs durations, estimated otherwise.",
        |it| it.latency.as_ref().map(|it| it.p50_ms / 1e3),
    ),
    ("holdfast_latency_p95_seconds", "95th percentile of statement time, like the median.", |it| {
        it.latency.as_ref().map(|it| it.p95_ms / 1e3)
    }),
    ("holdfast_latency_p99_seconds", "99th percentile of statement time, like the median.", |it| {
        it.latency.as_ref().map(|it| it.p99_ms / 1e3)
    }),
    ("holdfast_cache_hit_ratio", "Shared-buffer hit ratio, 0 to 1.", |it| {
        it.cache.as_ref().and_then(|it| it.hit_ratio_percent).map(|it| it / 100.0)
    }),
    ("holdfast_blocked_sessions", "Sessions that wait for a lock.", |it| it.blocked_sessions.map(|it| it as f64)),
    ("holdfast_longest_query_seconds", "Age of the oldest running statement.", |it| it.longest_query_seconds),
    ("holdfast_oldest_transaction_seconds", "Age of the oldest open transaction.", |it| it.oldest_transaction_seconds),
    ("holdfast_databases_bytes", "Size of all databases.", |it| it.databases_bytes.map(|it| it as f64)),
    ("holdfast_wal_bytes_per_second", "WAL written.", |it| it.wal_bytes_per_second),
    ("holdfast_temp_bytes_per_second", "Temporary files written.", |it| it.temp_bytes_per_second),
    ("holdfast_unused_indexes", "Indexes that were never scanned.", |it| {
        it.indexes.as_ref().map(|it| it.unused as f64)
    }),
    ("holdfast_wasted_index_bytes", "Size of unused, duplicate and invalid indexes.", |it| {
        it.indexes.as_ref().map(|it| it.wasted_bytes as f64)
    }),
    ("holdfast_backup_last_full_timestamp_seconds", "End of the newest full backup.", |it| {
        it.backup.as_ref()?.last_full_at.map(seconds)
    }),
    ("holdfast_backup_last_incremental_timestamp_seconds", "End of the newest incremental backup.", |it| {
        it.backup.as_ref()?.last_incremental_at.map(seconds)
    }),
    ("holdfast_wal_repository_lag_seconds", "Age of the oldest WAL that is not in the repository.", |it| {
        it.backup.as_ref()?.wal_lag_seconds
    }),
    ("holdfast_recoverable_from_timestamp_seconds", "First moment that can be restored.", |it| {
        it.backup.as_ref()?.recoverable_from.map(seconds)
    }),
    ("holdfast_recoverable_to_timestamp_seconds", "Last moment that can be restored.", |it| {
        it.backup.as_ref()?.recoverable_to.map(seconds)
    }),
    ("holdfast_restore_test_timestamp_seconds", "End of the newest restore test.", |it| {
        Some(seconds(it.backup.as_ref()?.last_restore_test.as_ref()?.at))
    }),
    ("holdfast_restore_test_ok", "Whether the newest restore test found nothing wrong.", |it| {
        Some(f64::from(u8::from(it.backup.as_ref()?.last_restore_test.as_ref()?.ok)))
    }),
    ("holdfast_restore_test_rto_seconds", "Recovery time that the newest restore test measured.", |it| {
        Some(measured(it)?.rto_seconds)
    }),
    ("holdfast_restore_test_plan_seconds", "Of its recovery time, looking up what is restored.", |it| {
        Some(measured(it)?.plan_seconds)
    }),
    ("holdfast_restore_test_restore_seconds", "Of its recovery time, writing the files.", |it| {
        Some(measured(it)?.restore_seconds)
    }),
    ("holdfast_restore_test_recovery_seconds", "Of its recovery time, replay and promotion.", |it| {
        Some(measured(it)?.recovery_seconds)
    }),
    ("holdfast_restore_test_check_seconds", "Time of the newest restore test's checks.", |it| {
        Some(measured(it)?.check_seconds)
    }),
    ("holdfast_restore_test_rpo_seconds", "Work that would have been lost, by the newest restore test.", |it| {
        it.backup.as_ref()?.last_restore_test.as_ref()?.rpo_seconds
    }),
];

/// The newest restore test, when it came to a copy that could be used: otherwise it has no times to tell.
fn measured(it: &Dashboard) -> Option<&RestoreTestView> {
    it.backup.as_ref()?.last_restore_test.as_ref().filter(|test| test.rto_seconds > 0.0)
}

/// Open on the loopback, with a token or session elsewhere.
pub async fn metrics(State(app): State<App>, Asking(actor): Asking) -> Result<impl IntoResponse, Problem> {
    // On the loopback the scraper needs no identity; it then sees what a viewer sees.
    let actor = if actor.is_anonymous() && app.loopback { control::Actor::system() } else { actor };
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text(&app.control, &actor)?))
}

fn text(control: &ControlPlane, actor: &control::Actor) -> Result<String, Problem> {
    let mut dashboards = Vec::new();
    for cluster in control.clusters_list(actor)? {
        dashboards.push(control.dashboard_get(actor, Some(&cluster.id))?);
    }
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "# HELP holdfast_build_info Version of Holdfast.\n# TYPE holdfast_build_info gauge\nholdfast_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    for (name, help, value) in GAUGES {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for dashboard in &dashboards {
            if let Some(value) = value(dashboard) {
                let _ = writeln!(out, "{name}{{cluster=\"{}\"}} {value}", escape(&dashboard.cluster.id));
            }
        }
    }
    family(
        &mut out,
        "holdfast_latency_source",
        "1 for where the percentiles of statement time come from: estimate, log, log_tail or exact.",
        &dashboards,
        |it| {
            let source = it.latency.iter().map(|latency| latency.source.as_str().to_owned());
            source.map(|source| (vec![("source", source)], Some(1.0))).collect()
        },
    );
    family(&mut out, "holdfast_sessions", "Client backends by state.", &dashboards, |it| {
        it.connections
            .iter()
            .flat_map(|it| &it.by_state)
            .map(|(state, n)| (vec![("state", state.clone())], Some(*n as f64)))
            .collect()
    });
    family(&mut out, "holdfast_average_active_sessions", "Load by wait class.", &dashboards, |it| {
        it.waits.iter().map(|wait| (vec![("class", wait.class.clone())], Some(wait.average_active_sessions))).collect()
    });
    family(&mut out, "holdfast_replication_lag_seconds", "Time a standby is behind.", &dashboards, |it| {
        it.replication.iter().map(|standby| (vec![("standby", standby.name.clone())], standby.lag_seconds)).collect()
    });
    family(&mut out, "holdfast_replication_lag_bytes", "WAL a standby has not replayed.", &dashboards, |it| {
        it.replication
            .iter()
            .map(|standby| (vec![("standby", standby.name.clone())], standby.lag_bytes.map(|it| it as f64)))
            .collect()
    });
    slots::write(&mut out, control, &dashboards);
    family(&mut out, "holdfast_alerts", "Open alerts by severity, pending ones left out.", &dashboards, |it| {
        let Some(alerts) = &it.alerts else { return Vec::new() };
        let open = AlertCounts::of(alerts);
        [("critical", open.critical), ("warning", open.warning), ("info", open.info)]
            .map(|(severity, number)| (vec![("severity", severity.to_owned())], Some(f64::from(number))))
            .into()
    });
    family(
        &mut out,
        "holdfast_alert_firing",
        "One for each open alert that is critical or a warning.",
        &dashboards,
        |it| {
            let open = it.alerts.iter().flatten().filter(|alert| {
                alert.severity >= Severity::Warning
                    && !matches!(alert.state, AlertState::Pending | AlertState::Resolved)
            });
            open.map(|alert| {
                let labels = vec![
                    ("rule", alert.rule.clone()),
                    ("object", alert.object.clone()),
                    ("severity", alert.severity.to_string()),
                    ("state", alert.state.as_str().to_owned()),
                ];
                (labels, Some(1.0))
            })
            .collect()
        },
    );
    family(&mut out, "holdfast_collector_fresh", "Whether a collector's figures are recent.", &dashboards, |it| {
        it.collectors
            .iter()
            .map(|one| {
                (
                    vec![("collector", one.name.as_str().to_owned())],
                    Some(f64::from(u8::from(one.state.as_str() == "fresh"))),
                )
            })
            .collect()
    });
    family(&mut out, "holdfast_collector_duration_seconds", "Time of a collector's last run.", &dashboards, |it| {
        it.collectors
            .iter()
            .map(|one| (vec![("collector", one.name.as_str().to_owned())], one.duration_ms.map(|ms| ms / 1e3)))
            .collect()
    });
    let status = |it: &Dashboard| control.recovery().slot(&it.cluster.id).map(|slot| slot.status.load_full());
    family(&mut out, "holdfast_backup_problem", "What is wrong with backups and restore tests.", &dashboards, |it| {
        status(it)
            .iter()
            .flat_map(|it| it.problems.clone())
            .map(|it| (vec![("rule", it.rule), ("severity", it.severity)], Some(1.0)))
            .collect()
    });
    family(
        &mut out,
        "holdfast_restore_forecast_seconds",
        "How long a restore to now would take, by measured rates.",
        &dashboards,
        |it| vec![(Vec::new(), status(it).and_then(|it| it.forecast.as_ref().map(|it| it.seconds)))],
    );
    pools::write(&mut out, control, actor)?;
    analytics::write(&mut out, control, actor)?;
    let catalogue = |it: &Dashboard| control.recovery().slot(&it.cluster.id).map(|slot| slot.catalogue.load_full());
    family(
        &mut out,
        "holdfast_repository_up",
        "Whether the repository of backups was read last time.",
        &dashboards,
        |it| {
            let up = catalogue(it).filter(|it| it.read_at.is_some() || it.error.is_some());
            vec![(Vec::new(), up.map(|it| f64::from(u8::from(it.error.is_none()))))]
        },
    );
    family(
        &mut out,
        "holdfast_repository_stored_bytes",
        "Bytes of the cluster in the repository.",
        &dashboards,
        |it| vec![(Vec::new(), catalogue(it).and_then(|it| it.stored_bytes).map(|it| it as f64))],
    );
    family(
        &mut out,
        "holdfast_repository_free_bytes",
        "Room left where the repository is a directory.",
        &dashboards,
        |it| {
            vec![(
                Vec::new(),
                catalogue(it).filter(|it| it.error.is_none()).and_then(|it| it.free_bytes).map(|it| it as f64),
            )]
        },
    );
    type OfDrill = fn(&domain::view::DrRunRow) -> Option<f64>;
    let drills: [(&str, &str, OfDrill); 4] = [
        ("holdfast_drill_timestamp_seconds", "End of the newest drill of a plan.", |run| {
            Some(seconds(run.finished_at))
        }),
        ("holdfast_drill_ok", "Whether the newest drill of a plan went well.", |run| Some(f64::from(u8::from(run.ok)))),
        ("holdfast_drill_rto_seconds", "Recovery time that the newest drill of a plan measured.", |run| {
            run.rto_seconds
        }),
        ("holdfast_drill_rpo_seconds", "Lost work that the newest drill of a plan measured.", |run| run.rpo_seconds),
    ];
    for (name, help, value) in drills {
        family(&mut out, name, help, &dashboards, |it| {
            let label = |run: &domain::view::DrRunRow| {
                vec![("plan", run.plan_name.clone()), ("kind", run.kind.as_str().to_owned())]
            };
            status(it).iter().flat_map(|it| &it.drills).map(|run| (label(run), value(run))).collect()
        });
    }
    recovery::write(&mut out, control, &dashboards);
    Ok(out)
}

fn seconds(at: domain::Timestamp) -> f64 {
    at.0 as f64 / 1e3
}

type Sample = (Vec<(&'static str, String)>, Option<f64>);

fn family(
    out: &mut String,
    name: &str,
    help: &str,
    dashboards: &[Dashboard],
    samples: impl Fn(&Dashboard) -> Vec<Sample>,
) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    for dashboard in dashboards {
        for (labels, value) in samples(dashboard) {
            let Some(value) = value else { continue };
            let _ = write!(out, "{name}{{cluster=\"{}\"", escape(&dashboard.cluster.id));
            for (label, text) in labels {
                let _ = write!(out, ",{label}=\"{}\"", escape(&text));
            }
            let _ = writeln!(out, "}} {value}");
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
