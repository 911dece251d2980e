//! Every kind of store against one suite, and each with its own troubles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod directory;
mod faulty;
mod s3;
mod s3_troubles;
mod server;

use blobs::{BlobStore, Bytes};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Bytes that are not the same anywhere.
fn bytes(length: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ length as u64;
    let mut data = Vec::with_capacity(length + 8);
    while data.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(length);
    data.into()
}

/// What a store keeps besides objects: files in the making, open uploads.
type Leftovers = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

async fn eventually_empty(leftovers: &Leftovers) {
    let end = Instant::now() + Duration::from_secs(100);
    loop {
        let left = leftovers();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "left behind: {left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn keys(store: &dyn BlobStore, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|it| it.key).collect()
}
