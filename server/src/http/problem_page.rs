//! A problem as a page: what a browser shows where it asked for a page, or sent a form, and there is none to show.

use super::{
    problem::Problem,
    recovery_forms::{escape, sentence},
};

/// Its one style sheet is its own and inline; nothing else may load or run.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto 2rem;padding:0 1rem}\
h1{font-size:1.3rem;margin:0 0 .5rem}p{overflow-wrap:anywhere}nav{display:flex;gap:1.2rem;margin-top:1.5rem}\
small,code{font-size:13px;opacity:.75}";

/// What is wrong, what to do next, and the request's id. `again` is the address to try once more, where that can help.
pub(super) fn html(problem: &Problem, again: Option<&str>) -> String {
    let again = again
        .filter(|_| problem.status >= 500 || problem.status == 429)
        .map_or_else(String::new, |address| format!("<a href=\"{}\">Try again</a>", escape(address)));
    format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style>\
         <main><h1>{title}</h1><p>{detail}.</p><p><small>Request <code>{id}</code>: the log and the audit log have it under this id.</small></p>\
         <nav>{again}<a href=\"/\">To the first page</a></nav></main></html>",
        title = escape(problem.title),
        detail = escape(&sentence(problem.detail.trim_end_matches('.'))),
        id = escape(&problem.instance),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ErrorKind;

    #[test]
    fn it_says_what_is_wrong_and_offers_to_try_again_what_may_work_then() {
        let away = Problem::of(ErrorKind::Unavailable, "the store <b> does not answer");
        let page = html(&away, Some("/backups?a=1&b=\"2\""));
        assert!(page.contains("The store &lt;b&gt; does not answer."), "{page}");
        assert!(page.contains("href=\"/backups?a=1&amp;b=&quot;2&quot;\""), "{page}");
        // What may not be done may not be done the next time either.
        let refused = html(&Problem::of(ErrorKind::Forbidden, "not you"), Some("/backups"));
        assert!(!refused.contains("Try again") && refused.contains("href=\"/\""), "{refused}");
    }
}
