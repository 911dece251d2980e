//! How far back, as every address with history has it.

use crate::http::problem::Problem;
use domain::view::{Compare, Range};

/// From `range`, `from` and `to`.
pub fn read(range: &Option<String>, from: &Option<String>, to: &Option<String>) -> Result<Range, Problem> {
    let get = |name: &str| match name {
        "range" => range.clone(),
        "from" => from.clone(),
        _ => to.clone(),
    };
    Range::read(get).map_err(|(field, message)| Problem::field(&field, message))
}

/// The earlier time beside it, from `compare`; none without it.
pub fn compare(text: &Option<String>) -> Result<Compare, Problem> {
    text.as_deref().map_or(Ok(Compare::default()), |text| {
        text.parse().map_err(|message: String| Problem::field("compare", message))
    })
}
