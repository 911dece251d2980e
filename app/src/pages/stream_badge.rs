//! How WAL stands, beside the titles of `/backups` and `/recovery`.

use domain::{format, view::RecoveryOverview};
use leptos::prelude::*;

/// Whether WAL reaches the repository.
#[component]
pub(super) fn StreamBadge(overview: RecoveryOverview) -> impl IntoView {
    let wal = &overview.window.wal;
    let is_open = overview.window.gaps.iter().any(|gap| gap.to.is_none());
    let (class, text) = match (wal.state.as_str(), wal.lag_seconds, wal.lag_bytes) {
        ("streaming", ..) if is_open && overview.window.intervals.is_empty() => {
            ("badge critical", "no backup leads to now".to_owned())
        }
        ("streaming", ..) if is_open => ("badge critical", "a gap since the last backup".to_owned()),
        ("streaming", Some(0.0), _) => ("badge good", "continuous to now".to_owned()),
        ("streaming", Some(lag), _) => ("badge good", format!("continuous to {} ago", format::duration_s(lag))),
        ("interrupted", Some(lag), Some(bytes)) => (
            "badge critical",
            format!("WAL interrupted, {} and at least {} behind", format::duration_s(lag), format::bytes(bytes as f64)),
        ),
        // Nothing was stored yet, so that no bytes are known.
        ("interrupted", Some(lag), None) => {
            ("badge critical", format!("WAL interrupted, at least {} behind", format::duration_s(lag)))
        }
        ("elsewhere", ..) => ("badge", "WAL is streamed by another process".to_owned()),
        ("off", ..) => ("badge attention", "WAL is not streamed".to_owned()),
        (state, ..) => ("badge attention", format!("WAL {state}")),
    };
    let title = wal.error.clone();
    view! { <span class=class title=title>{text}</span> }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        Lsn, Timestamp,
        view::{RecoveryGap, RecoveryInterval, RecoveryWindow, WalStreamView},
    };

    /// The badge of a stream in a state, so many seconds behind; a gap of its WAL lasts `to` that moment, and a backup leads
    /// to the one before it.
    fn badge(state: &str, lag_seconds: Option<f64>, to: Option<Timestamp>) -> String {
        let (from, until) = (Timestamp(0), Timestamp(1_000));
        let interval = RecoveryInterval { from, to: until, from_lsn: Lsn(1), to_lsn: Lsn(16), timeline: 1 };
        badge_of(state, lag_seconds, to, vec![interval])
    }

    fn badge_of(
        state: &str,
        lag_seconds: Option<f64>,
        to: Option<Timestamp>,
        intervals: Vec<RecoveryInterval>,
    ) -> String {
        let gap = RecoveryGap {
            from: Timestamp(1_000),
            to,
            start_lsn: Lsn(16),
            end_lsn: None,
            reason: "the slot was dropped".to_owned(),
            declared: true,
        };
        let wal = WalStreamView { state: state.to_owned(), lag_seconds, ..WalStreamView::default() };
        let window = RecoveryWindow { intervals, gaps: vec![gap], wal, ..RecoveryWindow::default() };
        let overview = RecoveryOverview { window, ..RecoveryOverview::default() };
        view! { <StreamBadge overview /> }.to_html()
    }

    #[test]
    fn a_stream_behind_an_open_gap_is_not_called_continuous() {
        let ended = Some(Timestamp(2_000));
        for (lag, said) in [(0.0, "continuous to now"), (2.0, "continuous to 2.00 s ago")] {
            let html = badge("streaming", Some(lag), ended);
            assert!(html.contains("badge good") && html.contains(said), "{html}");
            let html = badge("streaming", Some(lag), None);
            assert!(html.contains("badge critical") && html.contains("a gap since the last backup"), "{html}");
            assert!(!html.contains("continuous"), "{html}");
        }
        let html = badge_of("streaming", Some(0.0), None, Vec::new());
        assert!(html.contains("badge critical") && html.contains("no backup leads to now"), "{html}");
        // What stops the stream is told first: until it goes on, no backup ends the gap.
        let html = badge("interrupted", Some(60.0), None);
        assert!(html.contains("badge critical") && html.contains("WAL interrupted, at least "), "{html}");
    }
}
