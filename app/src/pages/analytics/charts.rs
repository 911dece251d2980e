//! Pictures drawn on the server, each with its numbers as a table.

use crate::zone::minutes_in;
use analysis::svg;
use domain::{
    Timestamp, format,
    view::{AnalyticsSeries, Bucket, UsagePatterns},
};
use leptos::prelude::*;

pub const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;

/// A moment in a zone.
fn human(at: Timestamp, zone: &str) -> String {
    at.to_human_at(minutes_in(zone, at))
}

/// A moment as the axis has it.
fn label(at: Timestamp, bucket: Bucket, zone: &str) -> String {
    let text = human(at, zone);
    let (start, end) = if bucket == Bucket::Hour { (5, 16) } else { (5, 10) };
    text.get(start..end).unwrap_or_default().to_owned()
}

/// First, middle and last moment below a picture.
fn axis(moments: &[Timestamp], bucket: Bucket, zone: &str) -> impl IntoView + use<> {
    let at = |i: usize| moments.get(i).map(|it| label(*it, bucket, zone)).unwrap_or_default();
    let (middle, last) = (moments.len() / 2, moments.len().saturating_sub(1));
    view! { <div class="axis" aria-hidden="true"><span>{at(0)}</span><span>{at(middle)}</span><span>{at(last)}</span></div> }
}

/// Lines of the grid with what they stand for.
fn scale(top: f64) -> impl IntoView + use<> {
    view! { <div class="scale" aria-hidden="true"><span>{format::count(top)}</span><span>{format::count(top / 2.0)}</span><span>"0"</span></div> }
}

fn grid() -> impl IntoView + use<> {
    [0.0, 0.5, 1.0]
        .map(|share| {
            let y = format!("{:.1}", (HEIGHT - 1.0) * share + 0.5);
            view! { <line class="grid" x1="0" x2=WIDTH.to_string() y1=y.clone() y2=y></line> }
        })
        .into_iter()
        .collect_view()
}

/// Events over time as bars.
pub fn usage(series: &AnalyticsSeries) -> impl IntoView + use<> {
    let (bucket, zone) = (series.bucket, series.time_zone.as_str());
    let top = svg::nice_top(series.points.iter().map(|it| it.count).max().unwrap_or_default() as f64);
    let count = series.points.len().max(1);
    let step = WIDTH / count as f64;
    // What is still filling up is drawn lighter.
    let bars = series
        .points
        .iter()
        .enumerate()
        .map(|(i, point)| {
            let height = if top > 0.0 { (HEIGHT - 4.0) * point.count as f64 / top } else { 0.0 };
            let class = if i + 1 == count { "bar open" } else { "bar" };
            let title = format!("{}: {}", human(point.at, zone), format::counted(point.count, "event", "events"));
            view! { <rect class=class x=format!("{:.2}", i as f64 * step + step * 0.12) y=format!("{:.2}", HEIGHT - height) width=format!("{:.2}", step * 0.76) height=format!("{height:.2}")><title>{title}</title></rect> }
        })
        .collect_view();
    let rows = series
        .points
        .iter()
        .rev()
        .map(|point| view! { <tr><td class="num">{human(point.at, zone)}</td><td class="n">{format::thousands(point.count)}</td></tr> })
        .collect_view();
    let moments = series.points.iter().map(|it| it.at).collect::<Vec<_>>();
    let sum = series.points.iter().map(|it| it.count).sum::<i64>();
    view! {
        <figure class="usage-plot">
            {scale(top)}
            <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=format!("{} events in {count} buckets", format::thousands(sum))>{grid()}{bars}</svg>
            {axis(&moments, bucket, zone)}
        </figure>
        <details class="numbers"><summary>"As a table"</summary>
            <div class="scroll tall" tabindex="0" role="region" aria-label="Events over time"><table><thead><tr><th scope="col">"From"</th><th scope="col" class="n">"Events"</th></tr></thead><tbody>{rows}</tbody></table></div>
        </details>
    }
}

/// Distinct users as three lines.
pub fn active_users(patterns: &UsagePatterns) -> impl IntoView + use<> {
    let days = &patterns.active_users;
    let top = svg::nice_top(days.iter().map(|it| it.monthly).max().unwrap_or_default() as f64);
    let lines = [
        ("monthly", days.iter().map(|it| it.monthly).collect::<Vec<_>>()),
        ("weekly", days.iter().map(|it| it.weekly).collect()),
        ("daily", days.iter().map(|it| it.daily).collect()),
    ]
    .map(|(name, values)| {
        let values = values.into_iter().map(|it| Some(it as f64)).collect::<Vec<_>>();
        view! { <path class=format!("line {name}") d=svg::line(&values, &[], top, WIDTH, HEIGHT)></path> }
    })
    .into_iter()
    .collect_view();
    let rows = days
        .iter()
        .rev()
        .map(|it| view! { <tr><td class="num">{label(it.day, Bucket::Day, "UTC")}</td><td class="n">{format::thousands(it.daily)}</td><td class="n">{format::thousands(it.weekly)}</td><td class="n">{format::thousands(it.monthly)}</td></tr> })
        .collect_view();
    let moments = days.iter().map(|it| it.day).collect::<Vec<_>>();
    view! {
        <figure class="usage-plot">
            {scale(top)}
            <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label="Distinct users a day, in 7 days and in 30 days">{grid()}{lines}</svg>
            {axis(&moments, Bucket::Day, "UTC")}
            <figcaption class="legend-row"><span class="key daily">"a day"</span><span class="key weekly">"7 days"</span><span class="key monthly">"30 days"</span></figcaption>
        </figure>
        <details class="numbers"><summary>"As a table"</summary>
            <div class="scroll tall" tabindex="0" role="region" aria-label="Active users"><table><thead><tr><th scope="col">"Day"</th><th scope="col" class="n">"A day"</th><th scope="col" class="n">"7 days"</th><th scope="col" class="n">"30 days"</th></tr></thead><tbody>{rows}</tbody></table></div>
        </details>
    }
}

/// In which of eight steps a value is; 0 is nothing. By class: the content security policy allows no inline style.
pub fn level(value: f64, top: f64) -> u32 {
    if value <= 0.0 || top <= 0.0 { 0 } else { ((value / top * 8.0).ceil() as u32).clamp(1, 8) }
}

/// Hours of the week, the darker the more.
pub fn heatmap(patterns: &UsagePatterns) -> impl IntoView + use<> {
    let (top, zone) =
        (patterns.hours.iter().map(|it| it.events).max().unwrap_or_default(), patterns.time_zone.as_str());
    let rows = WEEKDAYS
        .iter()
        .zip(patterns.hours.chunks(24))
        .map(|(name, hours)| {
            let cells = hours
                .iter()
                .map(|it| {
                    let title = format!("{name} {:02}:00 to {:02}:00 {zone}: {}", it.hour, (it.hour + 1) % 24, format::counted(it.events, "event", "events"));
                    view! { <td class=format!("cell h{}", level(it.events as f64, top as f64)) title=title><span class="sr">{it.events}</span></td> }
                })
                .collect_view();
            view! { <tr><th scope="row">{*name}</th>{cells}</tr> }
        })
        .collect_view();
    let hours = (0..24).map(|hour| view! { <th scope="col"><span class=if hour % 3 == 0 { "" } else { "sr" }>{format!("{hour:02}")}</span></th> }).collect_view();
    let steps = (0..=8).map(|step| view! { <i class=format!("cell h{step}")></i> }).collect_view();
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Events by hour and weekday">
            <table class="heat"><thead><tr><th><span class="sr">"Weekday"</span></th>{hours}</tr></thead><tbody>{rows}</tbody></table>
        </div>
        <p class="heat-key" aria-hidden="true"><span>"none"</span>{steps}<span>{format!("{} events", format::count(top as f64))}</span></p>
    }
}
