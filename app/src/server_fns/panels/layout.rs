//! What all pages of panels share: the question, cells, heads, charts.
use crate::{
    chart::{ChartData, build},
    panels::{Cell, Content, Head, PanelData, TableData},
    scope::address,
    server_fns::form,
};
use control::{Actor, ControlError, ControlPlane};
use domain::{
    Timestamp, format,
    view::{Availability, Compare, Metric, Range, TimeSeries},
};

/// Who asks, about which cluster and range, with which other parameters.
pub struct Ask {
    pub control: ControlPlane,
    pub actor: Actor,
    pub cluster: Option<String>,
    pub range: Range,
    pub compare: Compare,
    path: String,
    pairs: Vec<(String, String)>,
}

impl Ask {
    pub fn read(control: ControlPlane, actor: Actor, page: &str, search: &str) -> Result<Self, ControlError> {
        let pairs = form(search);
        let get = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone());
        let range = Range::read(get).map_err(|(field, message)| ControlError::field(&field, message))?;
        let compare = get("compare").filter(|text| !text.is_empty()).map_or(Ok(Compare::default()), |text| {
            text.parse().map_err(|message: String| ControlError::field("compare", message))
        })?;
        let cluster = get("cluster").filter(|id| !id.is_empty());
        Ok(Self { control, actor, cluster, range, compare, path: format!("/database/{page}"), pairs })
    }

    /// The range in a sentence.
    pub fn phrase(&self) -> String {
        match self.range {
            Range::Between { from, to } => crate::zone::between(from, to),
            range => range.phrase().to_owned(),
        }
    }

    pub fn id(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// A parameter of the address; an empty one is an absent one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.trim()).filter(|text| !text.is_empty())
    }

    /// This page's address with one parameter changed.
    pub fn with(&self, name: &str, value: Option<&str>) -> String {
        let mut pairs = self
            .pairs
            .iter()
            .filter(|(key, value)| key != name && !value.is_empty())
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect::<Vec<_>>();
        pairs.extend(value.map(|value| (name, value.to_owned())));
        address(&self.path, &pairs, None)
    }

    /// Another page's address in the same cluster, range and database.
    pub fn to(&self, path: &str, own: &[(&str, &str)]) -> String {
        let kept = |name: &str| matches!(name, "cluster" | "database" | "range" | "from" | "to" | "compare");
        let pairs = self.pairs.iter().filter(|(name, value)| kept(name) && !value.is_empty());
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.clone()));
        let own = own.iter().map(|(name, value)| (*name, (*value).to_owned()));
        address(path, &pairs.chain(own).collect::<Vec<_>>(), None)
    }

    /// Another page's address of another cluster, in the same range.
    pub fn to_cluster(&self, path: &str, cluster: &str) -> String {
        let kept = |name: &str| matches!(name, "range" | "from" | "to" | "compare");
        let pairs = self.pairs.iter().filter(|(name, value)| kept(name) && !value.is_empty());
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.clone()));
        address(path, &std::iter::once(("cluster", cluster.to_owned())).chain(pairs).collect::<Vec<_>>(), None)
    }

    /// This page's address, without what a form was told.
    pub fn here(&self) -> String {
        let told = |name: &str| matches!(name, "done" | "error");
        let kept = self.pairs.iter().filter(|(name, value)| !told(name) && !value.is_empty());
        let kept = kept.map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>();
        address(&self.path, &kept, None)
    }

    /// Where the API has the same as CSV.
    pub fn csv(&self, cluster: &str, what: &str) -> String {
        format!("/api/v1/clusters/{cluster}/{what}?format=csv")
    }

    /// As [`Self::csv`], of the database that the page shows.
    pub fn csv_of_database(&self, cluster: &str, what: &str) -> String {
        let mut pairs = vec![("format", "csv".to_owned())];
        pairs.extend(self.get("database").map(|database| ("database", database.to_owned())));
        address(&format!("/api/v1/clusters/{cluster}/{what}"), &pairs, None)
    }

    /// Buttons for one database or all of them; none where there is but one.
    pub fn databases(&self) -> Result<Vec<(String, String, bool)>, ControlError> {
        let names = self.control.databases_list(&self.actor, self.id())?;
        let chosen = self.get("database");
        if names.len() < 2 && chosen.is_none() {
            return Ok(Vec::new());
        }
        let all = ("all databases".to_owned(), self.with("database", None), chosen.is_none());
        let one = |name: &String| (name.clone(), self.with("database", Some(name)), chosen == Some(name.as_str()));
        Ok(std::iter::once(all).chain(names.iter().map(one)).collect())
    }

    pub async fn history(&self, metric: Metric) -> Result<TimeSeries, ControlError> {
        self.control.history_compared(&self.actor, self.id(), metric, self.range, self.compare).await
    }

    /// A panel with a metric over the range.
    pub async fn chart(
        &self,
        metric: Metric,
        title: &str,
        note: &str,
        source: &str,
        columns: u8,
    ) -> Result<PanelData, ControlError> {
        let mut series = self.history(metric).await?;
        for line in series.series.iter_mut().chain(&mut series.earlier) {
            if line.name == metric.as_str() {
                line.name = title.to_owned();
            }
        }
        Ok(chart(title, note, source, columns, build::lines(&series), false))
    }
}

/// A button that leads to a list as CSV, as HTML.
pub fn csv_button(path: &str, pairs: &[(&str, String)], file: &'static str) -> String {
    use crate::components::Icon;
    use leptos::prelude::*;
    let pairs = pairs.iter().cloned().chain([("format", "csv".to_owned())]).collect::<Vec<_>>();
    let href = address(path, &pairs, None);
    view! { <a class="btn small" href=href rel="external" download=file><Icon name="download" />"CSV"</a> }.to_html()
}

/// Text, address, whether it is the chosen one.
type Chip = (String, String, bool);

/// Buttons as HTML.
pub fn chips(label: &str, chips: Vec<Chip>) -> String {
    row_of_chips(label, chips, false)
}

/// With `said` what they choose stands in front of them; a screen reader is told in any case.
fn row_of_chips(label: &str, chips: Vec<Chip>, said: bool) -> String {
    use leptos::prelude::*;
    if chips.is_empty() {
        return String::new();
    }
    let links = chips.into_iter().map(|(text, href, on)| {
        view! { <a class="chip" class:on=on aria-current=on.then_some("true") href=href>{text}</a> }
    });
    let links = links.collect_view();
    let label = label.to_owned();
    if said {
        let shown = label.clone();
        view! { <nav class="chips" aria-label=label><span class="chips-label" aria-hidden="true">{shown}</span>{links}</nav> }
            .to_html()
    } else {
        view! { <nav class="chips" aria-label=label>{links}</nav> }.to_html()
    }
}

pub fn chart(title: &str, note: &str, source: &str, columns: u8, data: ChartData, stacked: bool) -> PanelData {
    PanelData {
        title: title.to_owned(),
        note: note.to_owned(),
        source: source.to_owned(),
        columns,
        content: Content::Chart(Box::new(data), stacked),
        ..PanelData::default()
    }
}

pub fn panel(title: &str, source: &str, columns: u8, content: Content) -> PanelData {
    PanelData { title: title.to_owned(), source: source.to_owned(), columns, content, ..PanelData::default() }
}

impl PanelData {
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Of which moment its figures are.
    pub fn at(mut self, at: Option<Timestamp>) -> Self {
        self.age = Some((at, at.map(|at| control::now().seconds_since(at).max(0.0))));
        self
    }

    pub fn chips(mut self, links: Vec<Chip>) -> Self {
        self.chips = chips(&self.title, links);
        self
    }

    /// Several choices, each in a row of its own with its name in front.
    pub fn rows_of_chips(mut self, rows: Vec<(&str, Vec<Chip>)>) -> Self {
        self.chips = rows.into_iter().map(|(label, links)| row_of_chips(label, links, true)).collect();
        self
    }
}

/// The content, unless it cannot be read.
pub fn available(availability: &Availability, content: Content) -> Content {
    match availability {
        Availability::Ready => content,
        Availability::Collecting => Content::Collecting,
        Availability::Missing { reason, cure } => Content::Missing(reason.clone(), cure.clone()),
    }
}

pub fn head(name: &str, number: bool) -> Head {
    Head { name: name.to_owned(), number, ..Head::default() }
}

pub fn heads(names: &[(&str, bool)]) -> Vec<Head> {
    names.iter().map(|(name, number)| head(name, *number)).collect()
}

pub fn table(head: Vec<Head>, rows: Vec<Vec<Cell>>) -> Content {
    Content::Table(TableData { head, rows, ..TableData::default() })
}

/// A table that can be had as CSV.
pub fn table_with_csv(head: Vec<Head>, rows: Vec<Vec<Cell>>, csv: String) -> Content {
    Content::Table(TableData { head, rows, csv: Some(csv), ..TableData::default() })
}

pub fn text(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

pub fn number(value: impl Into<String>) -> Cell {
    Cell::Number(value.into())
}

/// A dash is "not applicable or not known", never zero.
pub fn some<T>(value: Option<T>, show: impl Fn(T) -> String) -> Cell {
    Cell::Number(value.map_or_else(dash, show))
}

pub fn dash() -> String {
    "—".to_owned()
}

pub fn size(value: Option<i64>) -> Cell {
    some(value, |bytes| format::bytes(bytes as f64))
}

/// How long ago, in words.
pub fn since(at: Option<Timestamp>) -> Cell {
    some(at, |at| format::age_s(control::now().seconds_since(at).max(0.0)))
}

pub fn fact(name: &str, value: impl Into<String>, hint: &str) -> (String, String, String) {
    (name.to_owned(), value.into(), hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_buttons_says_what_it_chooses() {
        let chip = |name: &str, on| (name.to_owned(), format!("/database/connections?by={name}"), on);
        let rows = vec![("Group by", vec![chip("user", true), chip("state", false)]), ("Database", Vec::new())];
        let made = panel("Sessions", "", 12, Content::Collecting).rows_of_chips(rows).chips;
        assert_eq!(made.matches("<nav").count(), 1, "there is but one database: {made}");
        assert!(made.contains("aria-label=\"Group by\"") && made.contains(">Group by<"), "{made}");
        assert_eq!(made.matches("aria-current").count(), 1, "{made}");
        let made = panel("Sessions", "", 12, Content::Collecting).chips(vec![chip("user", true)]).chips;
        assert!(made.contains("aria-label=\"Sessions\"") && !made.contains("chips-label"), "{made}");
    }
}
