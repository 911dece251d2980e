//! The time bar: what can be restored, drawn on the server, a link for each moment that can be chosen. It is for the eye
//! and the pointer; the list below says the same, and any moment can be typed.

use crate::scope::{Scope, encode};
use crate::zone::Local as _;
use domain::{Timestamp, format, view::RecoveryOverview};
use leptos::prelude::*;

/// Moments that can be chosen on the bar itself; any other can be typed.
const SLOTS: i64 = 160;
/// Room at both ends, in percent, so that marks there are whole.
const EDGE: f64 = 1.0;

/// A span of time on the width of the bar.
#[derive(Clone, Copy, Debug)]
struct Scale {
    from: i64,
    to: i64,
}

impl Scale {
    fn percent(self, at: Timestamp) -> f64 {
        let share = (at.0 - self.from) as f64 / (self.to - self.from).max(1) as f64;
        EDGE + share.clamp(0.0, 1.0) * (100.0 - 2.0 * EDGE)
    }

    fn x(self, at: Timestamp) -> String {
        format!("{:.2}%", self.percent(at))
    }

    fn width(self, from: Timestamp, to: Timestamp) -> String {
        format!("{:.2}%", (self.percent(to) - self.percent(from)).max(0.15))
    }

    fn label(self, at: Timestamp) -> String {
        let human = at.local();
        let (start, end) = match self.to - self.from {
            ..=600_000 => (11, 19),
            600_001..=172_800_000 => (11, 16),
            _ => (5, 10),
        };
        human.get(start..end).unwrap_or_default().to_owned()
    }
}

/// Solid where each moment can be restored, holes with their reason, marks for backups, flags for proofs.
#[component]
pub fn TimeBar(
    /// What is known.
    overview: RecoveryOverview,
    /// The moment that is chosen.
    chosen: Option<Timestamp>,
) -> impl IntoView {
    let window = overview.window;
    let first = window.intervals.first().map_or(overview.now.plus_ms(-3_600_000), |it| it.from);
    // A little room before the first backup.
    let margin = (overview.now.0 - first.0).max(60_000) / 50;
    let scale = Scale { from: first.0 - margin, to: overview.now.0 };
    let bars = window
        .intervals
        .iter()
        .map(|it| {
            let title = format!("Every moment from {} to {} can be restored", it.from.local(), it.to.local());
            view! { <rect class="solid" x=scale.x(it.from) y="36" width=scale.width(it.from, it.to) height="22" rx="3"><title>{title}</title></rect> }
        })
        .collect_view();
    let holes = window
        .gaps
        .iter()
        .map(|gap| {
            let to = gap.to.unwrap_or(overview.now);
            let long = format::duration_s(to.seconds_since(gap.from));
            let middle = (scale.percent(gap.from) + scale.percent(to)) / 2.0;
            let anchor = if middle < 12.0 { "start" } else if middle > 88.0 { "end" } else { "middle" };
            view! {
                <rect class="hole" x=scale.x(gap.from) y="36" width=scale.width(gap.from, to) height="22"><title>{format!("Gap of {long}: {}", gap.reason)}</title></rect>
                <text class="bad" x=format!("{middle:.2}%") y="74" text-anchor=anchor>{format!("gap {long}")}</text>
            }
        })
        .collect_view();
    let marks = overview
        .backups
        .iter()
        .map(|one| {
            let full = one.kind == "full";
            let (y, height) = if full { ("32", "30") } else { ("39", "16") };
            let class = if full { "mark full" } else { "mark" };
            view! { <rect class=class x=scale.x(one.stopped_at) y=y width="3" height=height rx="1.5"><title>{format!("{} backup, {}", one.kind, one.stopped_at.local())}</title></rect> }
        })
        .collect_view();
    let flags = window
        .proofs
        .iter()
        .map(|it| {
            let class = if it.proof.ok { "flag" } else { "flag bad" };
            let word = if it.proof.ok { "Proved by restoring" } else { "The restore test failed" };
            let title = format!("{word} at {}: recovery time {}", it.proof.at.local(), format::duration_s(it.proof.rto_seconds));
            view! { <svg class=class x=scale.x(it.moment) y="14" overflow="visible"><path d="M0 18V0h12l-3 4 3 4H2v10z"><title>{title}</title></path></svg> }
        })
        .collect_view();
    let scope = Scope::get();
    let step = (scale.to - scale.from) / SLOTS;
    let slots = (0..SLOTS)
        .filter_map(|slot| {
            let at = Timestamp(scale.from + slot * step + step / 2);
            let inside = window.intervals.iter().any(|it| it.from <= at && at <= it.to);
            inside.then(|| {
                let path = format!("/recovery?at={}", encode(&at.to_rfc3339()));
                let end = Timestamp(at.0 + step);
                view! {
                    <g><a href=move || scope.link(&path) tabindex="-1"><rect class="slot" x=scale.x(Timestamp(at.0 - step / 2)) y="28" width=scale.width(at, end) height="38"><title>{at.local()}</title></rect></a></g>
                }
            })
        })
        .collect_view();
    let cursor = chosen.filter(|at| at.0 >= scale.from && at.0 <= scale.to).map(|at| {
        let percent = scale.percent(at);
        let (anchor, dx) = if percent > 60.0 { ("end", "-10") } else { ("start", "10") };
        let text = at.local();
        view! {
            <line class="cursor" x1=scale.x(at) x2=scale.x(at) y1="10" y2="66"></line>
            <circle class="cursor" cx=scale.x(at) cy="9" r="5.5"></circle>
            <text class="cursor" x=scale.x(at) y="13" dx=dx text-anchor=anchor>{text}</text>
        }
    });
    let ticks = (0..=4)
        .map(|tick| {
            let at = Timestamp(scale.from + (scale.to - scale.from) * tick / 4);
            let anchor = match tick {
                0 => "start",
                4 => "end",
                _ => "middle",
            };
            let class = if tick % 2 == 1 { "tick opt" } else { "tick" };
            view! { <text class=class x=scale.x(at) y="92" text-anchor=anchor>{scale.label(at)}</text> }
        })
        .collect_view();
    let list = window
        .intervals
        .iter()
        .map(|it| view! { <li>{format!("{} to {}: every moment can be restored (WAL {} to {}, timeline {})", it.from.local(), it.to.local(), it.from_lsn, it.to_lsn, it.timeline)}</li> })
        .collect_view();
    let gaps = window
        .gaps
        .iter()
        .map(|gap| {
            let to = gap.to.map_or_else(|| "now, there is no backup since".to_owned(), Timestamp::local);
            view! { <li class="bad"><strong>{format!("Gap from {} to {to}. ", gap.from.local())}</strong>{format!("{} (WAL from {}{})", gap.reason, gap.start_lsn, gap.end_lsn.map_or_else(String::new, |end| format!(" to {end}")))}</li> }
        })
        .collect_view();
    let has_gaps = !window.gaps.is_empty();
    view! {
        <div class="timebar">
            <svg width="100%" height="96" aria-hidden="true">
                {bars}{holes}{marks}{flags}{ticks}{cursor}
                <g>{slots}</g>
            </svg>
        </div>
        {has_gaps.then(|| view! { <ul class="window-list">{gaps}</ul> })}
        <details class="numbers"><summary>"As a list"</summary><ul class="window-list">{list}</ul></details>
    }
}
