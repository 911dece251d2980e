//! How far back, as every address with history has it.

use crate::http::problem::Problem;
use domain::view::Range;

/// From `range`, `from` and `to`.
pub fn read(range: &Option<String>, from: &Option<String>, to: &Option<String>) -> Result<Range, Problem> {
    let get = |name: &str| match name {
        "range" => range.clone(),
        "from" => from.clone(),
        _ => to.clone(),
    };
    Range::read(get).map_err(|(field, message)| Problem::field(&field, message))
}
