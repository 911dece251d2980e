//! A chart: ECharts where JavaScript runs, an SVG of the same until then, a table of the numbers always.

use crate::chart::{ChartData, HEIGHT, WIDTH};
use leptos::prelude::*;

/// One chart. `charts.js` finds it by `data-chart`, draws into the empty element and hides the picture.
#[component]
pub fn Chart(data: ChartData, #[prop(into)] label: String, #[prop(optional)] stacked: bool) -> impl IntoView {
    let caption = label.clone();
    let legend =
        data.paths.iter().map(|path| view! { <li><i class=format!("slot-{}", path.slot)></i>{path.name.clone()}</li> });
    let legend = legend.collect_view();
    view! {
        <figure class="chart" role="group" aria-label=label>
            <div class="plot">
                <div class="canvas" data-chart=data.option.clone() data-unit=data.unit.clone() aria-hidden="true"></div>
                {picture(&data)}
            </div>
            <ul class="legend">{legend}</ul>
            <details class="numbers" class:stacked=stacked>
                <summary>"Numbers"</summary>
                <div class="scroll" tabindex="0" role="region" aria-label=format!("{caption}: numbers")>{table(&data)}</div>
            </details>
        </figure>
    }
}

fn picture(data: &ChartData) -> AnyView {
    const LEFT: f64 = 56.0;
    const TOP: f64 = 10.0;
    if data.empty {
        return view! { <p class="chart-empty">"No figures in this range yet."</p> }.into_any();
    }
    let grid = data.grid.iter().map(|(y, text)| {
        view! {
            <line x1=LEFT y1=TOP + y x2=LEFT + WIDTH y2=TOP + y />
            <text x=LEFT - 8.0 y=TOP + y + 3.5 text-anchor="end">{text.clone()}</text>
        }
    });
    let ticks = data
        .ticks
        .iter()
        .map(|(x, text)| view! { <text x=LEFT + x y=TOP + HEIGHT + 16.0 text-anchor="middle">{text.clone()}</text> });
    let paths = data.paths.iter().map(|path| {
        let class = format!("{} slot-{}", if path.area { "area" } else { "line" }, path.slot);
        view! { <path class=class d=path.path.clone() transform=format!("translate({LEFT} {TOP})")><title>{path.name.clone()}</title></path> }
    });
    let marks = data.marks.iter().map(|(x, title)| view! { <line class="mark" x1=LEFT + x y1=TOP x2=LEFT + x y2=TOP + HEIGHT><title>{title.clone()}</title></line> });
    view! {
        <svg class="picture" viewBox=format!("0 0 {} {}", LEFT + WIDTH + 8.0, TOP + HEIGHT + 24.0) aria-hidden="true">
            <g class="grid">{grid.collect_view()}</g>
            {paths.collect_view()}
            {marks.collect_view()}
            <g>{ticks.collect_view()}</g>
        </svg>
    }
    .into_any()
}

fn table(data: &ChartData) -> impl IntoView + use<> {
    let (head, rows) = data.table.clone();
    view! {
        <table>
            <thead><tr>{head.into_iter().enumerate().map(|(i, name)| view! { <th scope="col" class:n=i.gt(&0)>{name}</th> }).collect_view()}</tr></thead>
            <tbody>
                {rows.into_iter().map(|row| view! {
                    <tr>{row.into_iter().enumerate().map(|(i, cell)| view! { <td class:n=i.gt(&0)>{cell}</td> }).collect_view()}</tr>
                }).collect_view()}
            </tbody>
        </table>
    }
}

/// A line without axes, as high as text. Gaps stay gaps.
#[component]
pub fn Spark(
    values: Vec<Option<f64>>,
    #[prop(default = 72.0)] width: f64,
    #[prop(default = 20.0)] height: f64,
) -> impl IntoView {
    let top = values.iter().flatten().copied().fold(0.0, f64::max);
    let low = values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    // From just below the lowest value: a line that is flat at its top says nothing.
    let floor = if low.is_finite() && top > 0.0 { (low - (top - low) * 0.25).max(0.0) } else { 0.0 };
    let span = (top - floor).max(f64::MIN_POSITIVE);
    let step = width / (values.len().max(2) - 1) as f64;
    let mut path = String::new();
    let mut pen_up = true;
    for (i, value) in values.iter().enumerate() {
        match value {
            Some(value) => {
                let y = 1.5 + (height - 3.0) * (1.0 - (value - floor) / span);
                path.push_str(&format!("{}{:.1} {:.1}", if pen_up { "M" } else { "L" }, i as f64 * step, y));
                pen_up = false;
            }
            None => pen_up = true,
        }
    }
    (!path.is_empty()).then(|| view! { <svg class="spark" viewBox=format!("0 0 {width} {height}") width=width height=height aria-hidden="true"><path d=path /></svg> })
}
