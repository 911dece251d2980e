//! `/database/score`: what the health score is made of, and how much each part of it counts.

use crate::{
    components::{Chart, Failed, FormOutcome, Panel, Skeleton},
    estate_fns::{ScoreData, load_score},
    scope::Scope,
    zone::Local as _,
};
use domain::view::{HealthLine, HealthWeights, HealthWeightsView, RuleSource};
use leptos::prelude::*;
use leptos_meta::Title;

/// Lines of the score, and the form of its weights.
#[component]
pub fn Score() -> impl IntoView {
    let scope = Scope::get();
    let data = Resource::new(move || scope.cluster.get(), load_score);
    view! {
        <Title text="Health score" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(data) => view! { <Loaded data /> }.into_any(),
                    Err(error) => view! { <div class="title"><h1>"Health score"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

const fn source(source: RuleSource) -> &'static str {
    match source {
        RuleSource::Default => "default",
        RuleSource::AllClusters => "set for all clusters",
        RuleSource::Group => "set for its group",
        RuleSource::Cluster => "set for this cluster",
    }
}

#[component]
fn Loaded(data: ScoreData) -> impl IntoView {
    let scope = Scope::get();
    let ScoreData { view: page, history, may_change } = data;
    let back = scope.link_untracked("/database");
    let band = page.health.band.as_str();
    let set = page.updated_at.zip(page.updated_by.clone()).map(|(at, by)| format!("{}, by {by}", at.local()));
    let weights = page.weights;
    let lines = page.health.lines.iter().cloned().map(|it| line(it, weights, scope)).collect_view();
    let fine = page.health.lines.is_empty();
    let form = view! { <Weights page=page.clone() may_change /> };
    view! {
        <div class="title">
            <a class="back" href=back rel="external">"Overview"</a>
            <h1>"Health score"</h1>
            <span class=format!("badge {band}")>{page.health.score}</span>
            <span class="badge">{source(page.source)}</span>
            <span class="muted">{set}</span>
        </div>
        <FormOutcome />
        <Panel title="What it is made of" note=format!("100 less the points of these lines; {:.0} % of what can be judged was judged; rules version {}", page.health.coverage_percent, page.health.version) flush=true>
            {fine.then(|| view! { <p class="fine muted">"Nothing costs points."</p> })}
            <div class="scroll" tabindex="0" role="region" aria-label="Lines of the score">
                <table>
                    <thead><tr><th scope="col">"What"</th><th scope="col">"Part"</th><th scope="col" class="n">"Points"</th><th scope="col" class="n" title="Most that all lines of its part cost together">"Of at most"</th><th scope="col">"Measured"</th><th scope="col">"Threshold"</th><th scope="col">"Since"</th></tr></thead>
                    <tbody>{lines}</tbody>
                </table>
            </div>
        </Panel>
        <Panel title="Over time" note="last 7 days; lowest is worst, and no line is no reading" source="as it was judged then, with the weights of then"><Chart data=history label="Health score" /></Panel>
        {form}
    }
}

fn line(line: HealthLine, weights: HealthWeights, scope: Scope) -> impl IntoView {
    let href = scope.link_untracked(&line.page);
    view! {
        <tr>
            <td><a class="link" href=href rel="external">{line.title}</a></td>
            <td>{line.component.label()}</td>
            <td class="n">{line.points}</td>
            <td class="n">{weights.of(line.component)}</td>
            <td class="reason">{line.measured}</td>
            <td>{line.threshold}</td>
            <td>{line.since.local()}</td>
        </tr>
    }
}

#[component]
fn Weights(page: HealthWeightsView, may_change: bool) -> impl IntoView {
    let (weights, shipped) = (page.weights, page.shipped);
    let rows = HealthWeights::COMPONENTS.map(|component| {
        let (name, label) = (component.as_str(), component.label());
        let lost = page.health.lines.iter().filter(|line| line.component == component).map(|line| line.points).sum::<u8>();
        let (set, default) = (weights.of(component), shipped.of(component));
        let field = if may_change {
            view! { <input type="number" name=name min="0" max=HealthWeights::MOST.to_string() step="1" required=true value=set.to_string() aria-label=format!("Points of {label}") /> }.into_any()
        } else {
            set.into_any()
        };
        view! { <tr><th scope="row">{label}</th><td class="n">{field}</td><td class="n">{default}{(set != default).then_some(" (changed)")}</td><td class="n">{lost}</td></tr> }
    });
    let table = view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Weights table">
            <table>
                <thead><tr><th scope="col">"Part"</th><th scope="col" class="n">"Most points"</th><th scope="col" class="n">"Default"</th><th scope="col" class="n">"Costs now"</th></tr></thead>
                <tbody>{rows.into_iter().collect_view()}</tbody>
            </table>
        </div>
    };
    let body = if may_change {
        let reset = (page.source != RuleSource::Default).then(|| {
            let all = if page.source == RuleSource::AllClusters { "all" } else { "cluster" };
            view! {
                <form class="more" method="post" action="/database/score/reset">
                    <input type="hidden" name="cluster" value=page.cluster.clone() />
                    <input type="hidden" name="scope" value=all />
                    <button class="btn">"Take back"</button>
                </form>
            }
        });
        view! {
            <form method="post" action="/database/score">
                <input type="hidden" name="cluster" value=page.cluster.clone() />
                {table}
                <div class="more fields">
                    <label>"For"<select name="scope"><option value="cluster">"this cluster"</option><option value="all">"all clusters without weights of their own"</option></select></label>
                    <button class="btn primary">"Set"</button>
                </div>
            </form>
            {reset}
        }
        .into_any()
    } else {
        table.into_any()
    };
    view! {
        <Panel title="Weights" note="together 100, none above 40; a part without points does not count" flush=true>
            {body}
            <p class="more muted">"An open critical alert caps the score at 40, or at 30 where data is at stake, whatever the weights."</p>
        </Panel>
    }
}
