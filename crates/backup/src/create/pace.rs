//! The processor budget of a backup: the process as a whole, uploads and all, takes no more than so many cores.
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Longest pause at once, so that a cancelled backup ends soon and a busy process never starves one.
const LONGEST: Duration = Duration::from_secs(1);
/// So much may be used before its time: a pause for each millisecond would cost more than it saves.
const SLACK: Duration = Duration::from_millis(20);

/// Processor time of this process so far.
pub(crate) fn process_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Keeps workers within a budget.
#[derive(Debug)]
pub(super) struct Pacer {
    cores: f64,
    begun: Instant,
    before: Duration,
}

impl Pacer {
    /// `cores` may be a fraction.
    pub fn new(cores: f64) -> Self {
        Self { cores: cores.max(0.01), begun: Instant::now(), before: process_time() }
    }

    /// How long to pause so that what was used is within the budget again.
    fn pause(&self, used: Duration, elapsed: Duration) -> Duration {
        let due = Duration::from_secs_f64(used.saturating_sub(SLACK).as_secs_f64() / self.cores);
        due.saturating_sub(elapsed).min(LONGEST)
    }

    /// Called by each worker before its next piece of work.
    pub fn wait(&self) {
        let pause = self.pause(process_time().saturating_sub(self.before), self.begun.elapsed());
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_too_early_is_waited_for() {
        let pacer = Pacer::new(0.5);
        let ms = Duration::from_millis;
        assert_eq!(pacer.pause(ms(100), ms(1_000)), Duration::ZERO);
        assert_eq!(pacer.pause(ms(620), ms(1_000)), ms(200));
        assert_eq!(pacer.pause(ms(60_000), ms(1_000)), LONGEST);
        assert_eq!(Pacer::new(2.0).pause(ms(2_020), ms(1_000)), Duration::ZERO);
    }

    /// Threads that would take all they get.
    #[test]
    fn busy_workers_stay_within_half_a_core() {
        let (begun, before) = (Instant::now(), process_time());
        let pacer = Pacer::new(0.5);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let page = vec![7; 1 << 20];
                    while begun.elapsed() < Duration::from_secs(2) {
                        pacer.wait();
                        std::hint::black_box(blake3::hash(&page));
                    }
                });
            }
        });
        let share = (process_time() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
        // Other tests run in this process: what they take counts too, so it only may be less than the workers want.
        assert!(share < 1.5, "{share}");
    }
}
