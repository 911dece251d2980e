//! A panel: title, unit or note, age, content.

use leptos::prelude::*;

/// One panel on the 12-column grid.
#[component]
pub fn Panel(
    /// Title.
    #[prop(into)]
    title: String,
    /// Columns it spans: `c3` to `c12`.
    #[prop(default = "c12")]
    span: &'static str,
    /// Unit or explanation after the title.
    #[prop(optional, into)]
    note: String,
    /// Where its figures come from, shown on hover.
    #[prop(optional, into)]
    source: String,
    /// What stands at the right of the title.
    #[prop(optional, into)]
    aside: Option<AnyView>,
    /// Without padding, for tables.
    #[prop(optional)]
    flush: bool,
    children: Children,
) -> impl IntoView {
    let id = format!("panel-{}", title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    let labelled = id.clone();
    let source = (!source.is_empty()).then_some(source);
    view! {
        <section class=format!("panel {span}") aria-labelledby=labelled>
            <header>
                <h2 id=id title=source>{title}</h2>
                <span class="note">{note}</span>
                <div class="aside">{aside}</div>
            </header>
            <div class=if flush { "flush" } else { "body" }>{children()}</div>
        </section>
    }
}

/// HTML that the server made of views of ours, in the place of its parent's content.
pub fn laid_out(html: String) -> AnyView {
    view! { <div class="laid-out" inner_html=html></div> }.into_any()
}
