//! Pages that are made of charts, tables and facts: laid out on the server, drawn by one renderer. Whatever a page says
//! is text by then, so that a further page costs the browser no further code.

use crate::{
    AppError,
    chart::ChartData,
    columns::Columns,
    components::{Chart, CopyButton, Dismiss, Failed, Icon, Missing, Panel, Skeleton, Told, ago, laid_out},
    live::Live,
    scope::{Scope, kept_params},
    server_fns::load_panels,
    sql::highlighted,
};
use domain::Timestamp;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_location;
use serde::{Deserialize, Serialize};

/// A page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PanelPage {
    /// After the title.
    pub subtitle: String,
    /// What must be said first: level and text.
    pub banners: Vec<(String, String)>,
    /// The panels in order.
    pub panels: Vec<PanelData>,
}

/// A panel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PanelData {
    /// Title.
    pub title: String,
    /// Columns: 4, 6, 8 or 12.
    pub columns: u8,
    /// After the title.
    pub note: String,
    /// Which view it is from.
    pub source: String,
    /// Of which moment the figures are, and how old.
    pub age: Option<(Option<Timestamp>, Option<f64>)>,
    /// Buttons above, as HTML that the server made of views of ours.
    pub chips: String,
    /// What is in it.
    pub content: Content,
}

/// What a panel holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// Nothing yet.
    #[default]
    Collecting,
    /// A chart, stacked or not.
    Chart(Box<ChartData>, bool),
    /// A table.
    Table(TableData),
    /// Names, values and explanations.
    Facts(Vec<(String, String, String)>),
    /// Why there is nothing, and the commands that mend it.
    Missing(String, Vec<String>),
    /// All is well.
    Fine(String),
    /// HTML that the server made of views of ours.
    Html(String),
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableData {
    /// The columns.
    pub head: Vec<Head>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// Where it can be had as CSV.
    pub csv: Option<String>,
    /// It can be searched: the word that is searched for.
    pub search: Option<String>,
    /// Below the table.
    pub more: String,
    /// Its columns can be chosen.
    pub columns: bool,
}

/// The head of a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Name.
    pub name: String,
    /// Explanation.
    pub hint: String,
    /// Of numbers.
    pub number: bool,
    /// Where a click leads, to sort by it.
    pub sort: Option<String>,
    /// It is sorted by: descending or not.
    pub sorted: Option<bool>,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// Text.
    Text(String),
    /// Text in the background.
    Muted(String),
    /// A number.
    Number(String),
    /// A name that leads somewhere: text, address.
    Link(String, String),
    /// A mark: level, text.
    Badge(String, String),
    /// A number with a bar of so many percent.
    Share(String, u8),
    /// A statement or value in monospace, cut to the width.
    Sql(String),
    /// A long text that wraps.
    Long(String),
    /// A finding that can be put aside, or taken back: cluster, key, address to come back to, whether it is put aside.
    Aside(String, String, String, bool),
}

/// A page by its name.
#[component]
pub fn PanelsPage(
    /// Name that the server knows it by.
    name: &'static str,
    /// Title.
    title: &'static str,
) -> impl IntoView {
    let scope = Scope::get();
    let live = Live::get();
    let location = use_location();
    let data = Resource::new(
        move || (location.search.get(), scope.asked.get(), live.sequence.get()),
        move |(search, _, _)| load_panels(name.to_owned(), search),
    );
    view! {
        <Title text=title />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                let outcome: Result<PanelPage, AppError> = data.await;
                match outcome {
                    Ok(page) => view! { <Loaded page title /> }.into_any(),
                    Err(error) => view! { <div class="title"><h1>{title}</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn Loaded(page: PanelPage, title: &'static str) -> impl IntoView {
    let banners = page.banners.into_iter().map(|(level, text)| {
        view! { <p class=format!("banner {level} c12")><Icon name="warn" />{text}</p> }
    });
    view! {
        <div class="title"><h1>{title}</h1><span class="muted">{page.subtitle}</span></div>
        <Told />
        {banners.collect_view()}
        {page.panels.into_iter().map(panel).collect_view()}
    }
}

/// One panel.
pub fn panel(panel: PanelData) -> impl IntoView {
    let span = match panel.columns {
        4 => "c4",
        6 => "c6",
        8 => "c8",
        _ => "c12",
    };
    let aside = panel.age.map(|(at, age)| ago(at, age).into_any());
    let chips = (!panel.chips.is_empty()).then(|| laid_out(panel.chips));
    let flush = matches!(panel.content, Content::Table(_) | Content::Missing(..) | Content::Fine(_));
    let label = panel.title.clone();
    let content = match panel.content {
        Content::Collecting => {
            view! { <p class="fine muted">"Collecting: the first reading is under way."</p> }.into_any()
        }
        Content::Chart(data, stacked) => view! { <Chart data=*data label stacked /> }.into_any(),
        Content::Table(data) => view! { <Table data label /> }.into_any(),
        Content::Facts(facts) => {
            let facts = facts.into_iter().map(|(name, value, hint)| {
                let hint = (!hint.is_empty()).then_some(hint);
                view! { <dt title=hint>{name}</dt><dd>{value}</dd> }
            });
            view! { <dl class="facts">{facts.collect_view()}</dl> }.into_any()
        }
        Content::Missing(reason, cure) => view! { <Missing reason cure /> }.into_any(),
        Content::Html(html) => laid_out(html),
        Content::Fine(text) => view! { <p class="fine"><Icon name="check" />{text}</p> }.into_any(),
    };
    view! {
        <Panel title=panel.title span note=panel.note source=panel.source aside=aside.into_any() flush=flush>
            {chips}
            {content}
        </Panel>
    }
}

#[component]
fn Table(data: TableData, label: String) -> impl IntoView {
    let TableData { head, rows, csv, search, more, columns } = data;
    let names = columns.then(|| head.iter().skip(1).map(|head| head.name.clone()).collect::<Vec<_>>());
    let file = format!("{}.csv", label.to_lowercase().replace(' ', "-"));
    let tools = (csv.is_some() || search.is_some()).then(|| {
        let search = search.map(|word| view! { <Search word label=label.clone() /> });
        let csv = csv.map(
            |href| view! { <a class="btn" href=href rel="external" download=file><Icon name="download" />"CSV"</a> },
        );
        let names = names.map(|names| view! { <Columns table="tables" names /> });
        view! { <div class="toolbar">{search}<span class="grow"></span>{names}{csv}</div> }
    });
    let empty = rows.is_empty();
    let heads = head.into_iter().map(|head| {
        let hint = (!head.hint.is_empty()).then_some(head.hint);
        let sort = head.sorted.map(|descending| if descending { "descending" } else { "ascending" });
        let arrow = head.sorted.map(|descending| if descending { " ↓" } else { " ↑" });
        let name = match head.sort {
            Some(href) => view! { <a href=href>{head.name}{arrow}</a> }.into_any(),
            None => head.name.into_any(),
        };
        view! { <th scope="col" class:n=head.number title=hint aria-sort=sort>{name}</th> }
    });
    view! {
        {tools}
        <div class="scroll" tabindex="0" role="region" aria-label=format!("{label} table")>
            <table data-columns=columns.then_some("tables")>
                <thead><tr>{heads.collect_view()}</tr></thead>
                <tbody>{rows.into_iter().map(|row| view! { <tr>{row.into_iter().map(cell).collect_view()}</tr> }).collect_view()}</tbody>
            </table>
        </div>
        {empty.then(|| view! { <p class="fine muted">"Nothing matches."</p> })}
        {(!more.is_empty()).then(|| view! { <p class="more muted">{more}</p> })}
    }
}

/// A form that works without JavaScript: the other parameters of the address come along.
#[component]
fn Search(word: String, label: String) -> impl IntoView {
    view! {
        <form class="search" role="search" method="get">
            <Icon name="search" />
            <input type="search" name="q" value=word placeholder="Search" aria-label=format!("Search {}", label.to_lowercase()) />
            {kept_params("q")}
        </form>
    }
}

fn cell(cell: Cell) -> AnyView {
    match cell {
        Cell::Text(text) => view! { <td>{text}</td> }.into_any(),
        Cell::Muted(text) => view! { <td class="muted">{text}</td> }.into_any(),
        Cell::Number(text) => view! { <td class="n">{text}</td> }.into_any(),
        Cell::Link(text, href) => view! { <td><a class="name" data-row href=href>{text}</a></td> }.into_any(),
        Cell::Badge(level, text) => {
            view! { <td>{(!text.is_empty()).then(|| view! { <span class=format!("badge {level}")>{text}</span> })}</td> }.into_any()
        }
        Cell::Share(text, percent) => {
            // In steps of five, by class: the content security policy allows no inline style.
            let class = format!("share w{}", (u32::from(percent.min(100)) + 2) / 5 * 5);
            view! { <td class="n"><span class=class><b>{text}</b></span></td> }.into_any()
        }
        Cell::Sql(text) => view! { <td class="statement"><span class="sql" title=text.clone()>{highlighted(&text.chars().take(160).collect::<String>())}</span><CopyButton text=text /></td> }.into_any(),
        Cell::Aside(cluster, key, next, aside) => view! { <td><Dismiss cluster key next aside /></td> }.into_any(),
        Cell::Long(text) => view! { <td class="reason">{text}</td> }.into_any(),
    }
}
