//! What of a window is written: nothing, the changed pages, or all of it.
use crate::format::map::{PIECES_LIMIT, Window, ZERO_PAGE};

/// More than this share of a window's pages changed: it is written whole, so that a restore reads few pieces.
const WHOLE_ABOVE_PERCENT: usize = 30;

/// Decided for one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowPlan {
    /// Pages to write now; none when nothing changed.
    pub write: u128,
    /// Whether the parent's pieces stay in use.
    pub keep: bool,
}

/// Compares a window's fingerprints with the parent's window.
pub fn plan_window(old: Option<&Window>, fingerprints: &[u64]) -> WindowPlan {
    let pages = |wanted: &dyn Fn(usize, u64) -> bool| {
        fingerprints
            .iter()
            .enumerate()
            .filter(|(page, fingerprint)| **fingerprint != ZERO_PAGE && wanted(*page, **fingerprint))
            .fold(0_u128, |all, (page, _)| all | 1 << page)
    };
    let Some(old) = old else { return WindowPlan { write: pages(&|_, _| true), keep: false } };
    let changed = pages(&|page, fingerprint| old.fingerprints.get(page) != Some(&fingerprint));
    if changed == 0 {
        return WindowPlan { write: 0, keep: true };
    }
    let many = changed.count_ones() as usize * 100 > fingerprints.len() * WHOLE_ABOVE_PERCENT;
    if many || old.pieces.len() >= PIECES_LIMIT {
        WindowPlan { write: pages(&|_, _| true), keep: false }
    } else {
        WindowPlan { write: changed, keep: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{map::Piece, object::FrameRef};
    use proptest::prelude::*;

    proptest! {
        /// A file changed at random over many backups, cut and grown, against what a naive copy holds. Zero is a page of zeros.
        #[test]
        fn folding_never_loses_a_page(steps in prop::collection::vec((prop::collection::vec((0_usize..128, 0_u64..4), 0..60), 1_usize..=128), 1..15), mut pages in 1_usize..=128) {
            let mut content = vec![1_u64; pages];
            let mut window: Option<Window> = None;
            // What each written frame holds: page and its content.
            let mut frames: Vec<Vec<u64>> = Vec::new();
            for (step, length) in steps {
                // Of three backups two find the length that was.
                if step.len() % 3 == 0 { pages = length; content.resize(pages, ZERO_PAGE); }
                for (page, value) in step {
                    if page < pages { content[page] = value; }
                }
                let plan = plan_window(window.as_ref(), &content);
                let mut next = Window { fingerprints: content.clone(), pieces: if plan.keep { window.take().map(|it| it.pieces).unwrap_or_default() } else { Vec::new() } };
                if plan.write != 0 {
                    let held = (0..pages).filter(|page| plan.write & (1 << page) != 0).map(|page| content[page]).collect();
                    next.pieces.push(Piece { pack: 0, frame: FrameRef { frame: frames.len() as u32, offset: 0, sealed: 0 }, start: 0, pages: plan.write });
                    frames.push(held);
                }
                next.prune();
                prop_assert!(next.pieces.len() <= PIECES_LIMIT);
                for (page, expected) in content.iter().enumerate() {
                    match next.place(page) {
                        None => prop_assert_eq!(*expected, ZERO_PAGE),
                        Some((piece, start)) => prop_assert_eq!(frames[piece.frame.frame as usize][start / 8_192], *expected),
                    }
                }
                window = Some(next);
            }
        }
    }
}
