//! What a btree index would take if it were packed: an estimate from the planner's statistics.
use domain::reading::BloatEstimate;

/// Size of the index less what its entries need: a header of 8 bytes, the key rounded up to 8, a pointer of 4, leaves
/// filled as the index asks for, and one upper page for as many leaves as fit entries. Since 13 entries with equal keys
/// share one, which is not known here: an index of few values looks smaller than this says it must be, and has none.
pub fn bytes(estimate: &BloatEstimate) -> Option<i64> {
    // Header and the space at the end of a page for its neighbours.
    const PAGE: f64 = 24.0 + 16.0;
    const ENTRY_HEADER: f64 = 8.0;
    const POINTER: f64 = 4.0;
    let key = estimate.row_bytes?;
    let entry = ENTRY_HEADER + (key / 8.0).ceil() * 8.0 + POINTER;
    let usable = (estimate.block_bytes as f64 - PAGE) * estimate.fillfactor.clamp(50, 100) as f64 / 100.0;
    let per_page = (usable / entry).floor().max(2.0);
    let leaves = (estimate.rows / per_page).ceil();
    // The first page describes the index.
    let needed = 1.0 + leaves + (leaves / per_page).ceil();
    Some(((estimate.pages as f64 - needed).max(0.0) * estimate.block_bytes as f64) as i64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packed_index_has_no_bloat_and_without_statistics_nothing_is_said() {
        // A key of 8 bytes: 20 an entry, 366 on a page that is filled to 90 %.
        let estimate = BloatEstimate {
            row_bytes: Some(8.0),
            rows: 366_000.0,
            pages: 2_000,
            block_bytes: 8_192,
            fillfactor: 90,
            ..BloatEstimate::default()
        };
        assert_eq!(bytes(&estimate), Some((2_000 - 1_004) * 8_192));
        assert_eq!(bytes(&BloatEstimate { pages: 1_004, ..estimate.clone() }), Some(0));
        // Entries with equal keys share one.
        assert_eq!(bytes(&BloatEstimate { pages: 300, ..estimate.clone() }), Some(0));
        assert_eq!(bytes(&BloatEstimate { row_bytes: None, ..estimate }), None);
    }

    proptest! {
        #[test]
        fn bloat_is_never_negative_nor_more_than_the_index(rows in 0f64..1e9, pages in 0i64..10_000_000, width in 0f64..2_700.0, fill in 0i64..200) {
            let estimate = BloatEstimate { row_bytes: Some(width), rows, pages, block_bytes: 8_192, fillfactor: fill, ..BloatEstimate::default() };
            let found = bytes(&estimate).unwrap();
            prop_assert!(found >= 0 && found <= pages * 8_192);
        }
    }
}
