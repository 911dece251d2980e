//! What the pages on all clusters and on Holdfast itself are made from. The server alone renders them, so these are no
//! server functions: no address leads to them but the pages' own.

use crate::{
    AppError,
    server_fns::{asking, told},
};
use domain::view::EstateRow;

/// All clusters, the worst first.
pub async fn load_estate() -> Result<Vec<EstateRow>, AppError> {
    let (control, actor) = asking()?;
    told(control.estate_list(&actor).await)
}
