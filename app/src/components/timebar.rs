//! The time bar: what can be restored, drawn on the server, a link for each moment that can be chosen and links that zoom
//! and move. It is for the eye and the pointer; the list below says the same, and any moment can be typed.

use crate::scope::{Scope, address};
use crate::zone::Local as _;
use domain::{Timestamp, format, view::RecoveryOverview};
use leptos::prelude::*;

/// Moments that can be chosen on the bar itself; any other can be typed.
const SLOTS: i64 = 160;
/// Room at both ends, in percent, so that marks there are whole.
const EDGE: f64 = 1.0;

/// Less has no moments to choose between. Milliseconds.
const SHORTEST: i64 = 10_000;

/// A span of time on the width of the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale {
    from: i64,
    to: i64,
}

impl Scale {
    const fn length(self) -> i64 {
        self.to - self.from
    }

    fn has(self, at: Timestamp) -> bool {
        (self.from..=self.to).contains(&at.0)
    }

    /// So long around a moment, as far as there is anything.
    fn around(self, middle: i64, length: i64) -> Self {
        let length = length.clamp(SHORTEST, self.length().max(SHORTEST));
        let from = (middle - length / 2).min(self.to - length).max(self.from);
        Self { from, to: from + length }
    }

    /// What is asked for, within all there is; all of it for what makes no sense.
    fn part(self, asked: Option<(Timestamp, Timestamp)>) -> Self {
        match asked {
            Some((from, to)) if from < to && from.0 < self.to && to.0 > self.from => {
                let (from, to) = (from.0.max(self.from), to.0.min(self.to));
                self.around(from + (to - from) / 2, to - from)
            }
            _ => self,
        }
    }

    /// The links beside the bar: name and what they show. What would change nothing is left out.
    fn moves(self, shown: Self, chosen: Option<Timestamp>) -> Vec<(&'static str, Self)> {
        let middle = shown.from + shown.length() / 2;
        let looked_at = chosen.filter(|at| shown.has(*at)).map_or(middle, |at| at.0);
        let half = shown.length() / 2;
        let all = [
            ("Zoom in", self.around(looked_at, half)),
            ("Zoom out", self.around(middle, shown.length().saturating_mul(2))),
            ("Earlier", self.around(middle - half, shown.length())),
            ("Later", self.around(middle + half, shown.length())),
            ("All", self),
        ];
        all.into_iter().filter(|(_, to)| *to != shown).collect()
    }

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
    /// The part that is looked at; all there is without it.
    part: Option<(Timestamp, Timestamp)>,
) -> impl IntoView {
    let window = overview.window;
    let first = window.intervals.first().map_or(overview.now.plus_ms(-3_600_000), |it| it.from);
    // A little room before the first backup.
    let margin = (overview.now.0 - first.0).max(60_000) / 50;
    let whole = Scale { from: first.0 - margin, to: overview.now.0 };
    let scale = whole.part(part);
    let scope = Scope::get();
    // What is looked at stays while a moment is chosen, and the other way round.
    let to_part = move |shown: Scale, at: Option<Timestamp>| {
        let mut pairs = Vec::new();
        pairs.extend(at.map(|at| ("at", at.to_rfc3339())));
        if shown != whole {
            pairs.push(("since", Timestamp(shown.from).to_rfc3339()));
            pairs.push(("until", Timestamp(shown.to).to_rfc3339()));
        }
        scope.link_untracked(&address("/recovery", &pairs, None))
    };
    let meets = |from: Timestamp, to: Timestamp| from.0 <= scale.to && to.0 >= scale.from;
    let bars = window
        .intervals
        .iter()
        .filter(|it| meets(it.from, it.to))
        .map(|it| {
            let title = format!("Every moment from {} to {} can be restored", it.from.local(), it.to.local());
            view! { <rect class="solid" x=scale.x(it.from) y="36" width=scale.width(it.from, it.to) height="22" rx="3"><title>{title}</title></rect> }
        })
        .collect_view();
    let holes = window
        .gaps
        .iter()
        .filter(|gap| meets(gap.from, gap.to.unwrap_or(overview.now)))
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
        .filter(|one| scale.has(one.stopped_at))
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
        .filter(|it| scale.has(it.moment))
        .map(|it| {
            let class = if it.proof.ok { "flag" } else { "flag bad" };
            let word = if it.proof.ok { "Proved by restoring" } else { "The restore test failed" };
            let told = match it.proof.problems.first() {
                Some(problem) => problem.clone(),
                None => format!("recovery time {}", format::duration_s(it.proof.rto_seconds)),
            };
            let title = format!("{word} at {}: {told}", it.proof.at.local());
            view! { <svg class=class x=scale.x(it.moment) y="14" overflow="visible"><path d="M0 18V0h12l-3 4 3 4H2v10z"><title>{title}</title></path></svg> }
        })
        .collect_view();
    let step = (scale.length() / SLOTS).max(1);
    let slots = (0..SLOTS)
        .filter_map(|slot| {
            let at = Timestamp(scale.from + slot * step + step / 2);
            let inside = window.intervals.iter().any(|it| it.from <= at && at <= it.to);
            inside.then(|| {
                let href = to_part(scale, Some(at));
                let end = Timestamp(at.0 + step);
                view! {
                    <g><a href=href tabindex="-1"><rect class="slot" x=scale.x(Timestamp(at.0 - step / 2)) y="28" width=scale.width(at, end) height="38"><title>{at.local()}</title></rect></a></g>
                }
            })
        })
        .collect_view();
    let cursor = chosen.filter(|at| scale.has(*at)).map(|at| {
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
            view! { <li class="bad"><strong>{format!("Gap from {} to {to}: ", gap.from.local())}</strong>{format!("{} (WAL from {}{})", gap.reason, gap.start_lsn, gap.end_lsn.map_or_else(String::new, |end| format!(" to {end}")))}</li> }
        })
        .collect_view();
    let has_gaps = !window.gaps.is_empty();
    let moves = whole
        .moves(scale, chosen)
        .into_iter()
        .map(|(name, to)| view! { <a class="btn" href=to_part(to, chosen)>{name}</a> })
        .collect_view();
    let looked_at = format!("{} to {}", Timestamp(scale.from).local(), Timestamp(scale.to).local());
    view! {
        // `timebar.js` zooms to what is dragged over.
        <div class="timebar" data-from=scale.from.to_string() data-to=scale.to.to_string() data-edge=EDGE.to_string()>
            <svg width="100%" height="96" aria-hidden="true">
                {bars}{holes}{marks}{flags}{ticks}{cursor}
                <g>{slots}</g>
            </svg>
        </div>
        <nav class="zoom" aria-label="Part of the time bar">{moves}<span>{looked_at}</span></nav>
        {has_gaps.then(|| view! { <ul class="window-list">{gaps}</ul> })}
        <details class="numbers"><summary>"As a list"</summary><ul class="window-list">{list}</ul></details>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Scale = Scale { from: 0, to: 1_000_000 };

    fn part(from: i64, to: i64) -> Scale {
        WHOLE.part(Some((Timestamp(from), Timestamp(to))))
    }

    #[test]
    fn what_is_asked_for_is_shown_as_far_as_there_is_anything() {
        assert_eq!(WHOLE.part(None), WHOLE);
        assert_eq!(part(200_000, 400_000), Scale { from: 200_000, to: 400_000 });
        assert_eq!(part(-5_000, 400_000), Scale { from: 0, to: 400_000 });
        assert_eq!(part(900_000, 9_000_000), Scale { from: 900_000, to: 1_000_000 });
        // Less than can be told apart becomes so much around it, also at an end.
        assert_eq!(part(500_000, 500_002), Scale { from: 495_001, to: 505_001 });
        assert_eq!(part(999_998, 1_000_000), Scale { from: 990_000, to: 1_000_000 });
        for nonsense in [(400_000, 200_000), (5, 5), (2_000_000, 3_000_000), (-9, -3)] {
            assert_eq!(part(nonsense.0, nonsense.1), WHOLE, "{nonsense:?}");
        }
    }

    #[test]
    fn the_links_zoom_around_what_is_chosen_and_stay_within_all_there_is() {
        let names = |moves: Vec<(&'static str, Scale)>| moves.into_iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(names(WHOLE.moves(WHOLE, None)), ["Zoom in"]);
        let shown = part(400_000, 600_000);
        let moves = WHOLE.moves(shown, Some(Timestamp(420_000)));
        assert_eq!(
            moves,
            [
                ("Zoom in", Scale { from: 370_000, to: 470_000 }),
                ("Zoom out", Scale { from: 300_000, to: 700_000 }),
                ("Earlier", Scale { from: 300_000, to: 500_000 }),
                ("Later", Scale { from: 500_000, to: 700_000 }),
                ("All", WHOLE),
            ]
        );
        // Nothing is later than now, and what is chosen elsewhere is not what is looked at.
        let last = part(800_000, 1_000_000);
        assert_eq!(names(WHOLE.moves(last, None)), ["Zoom in", "Zoom out", "Earlier", "All"]);
        assert_eq!(WHOLE.moves(last, Some(Timestamp(5)))[0].1, Scale { from: 850_000, to: 950_000 });
        assert_eq!(names(WHOLE.moves(part(500_000, 510_000), None)), ["Zoom out", "Earlier", "Later", "All"]);
    }
}
