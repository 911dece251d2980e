//! A runtime whose workers have no time.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How long each task computes before it lets the others have their turn.
const TURN: Duration = Duration::from_micros(200);

/// Tasks that compute for ever and count their turns; they end when it is dropped.
#[derive(Debug)]
pub struct Busy {
    turns: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Busy {
    /// How many tasks there are.
    pub const TASKS: u64 = 64;
    /// How many turns they have while sqlx works out one password on a worker: it steps back 819 times, and each time all
    /// of them come first.
    pub const TURNS_OF_SCRAM: u64 = 819 * Self::TASKS;

    /// Begins, and returns when they are at work.
    pub async fn start() -> Self {
        let turns = Arc::<AtomicU64>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..Self::TASKS {
            tasks.spawn(compute(Arc::clone(&turns)));
        }
        while turns.load(Ordering::Relaxed) < Self::TASKS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { turns, _tasks: tasks }
    }

    /// Runs `work` as one more task of the workers; its result, and how many turns the others had meanwhile.
    pub async fn turns_during<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> (T, u64) {
        let turns = Arc::clone(&self.turns);
        let working = tokio::spawn(async move {
            let before = turns.load(Ordering::Relaxed);
            let done = work.await;
            (done, turns.load(Ordering::Relaxed) - before)
        });
        working.await.unwrap()
    }
}

async fn compute(turns: Arc<AtomicU64>) {
    loop {
        let began = Instant::now();
        while began.elapsed() < TURN {
            std::hint::spin_loop();
        }
        turns.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}
