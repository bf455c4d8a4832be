//! The one place of the benchmarks that asks the machine for the time.

use std::time::{Duration, Instant};

/// Time since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures the machine's own time")]
        let now = Instant::now();
        Self(now)
    }

    /// How long ago it was started.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The longest time a worker's sink went without output, once the run has warmed up.
#[derive(Clone, Copy, Debug)]
pub struct Gaps {
    since: Stopwatch,
    last: Duration,
    longest: Duration,
}

impl Gaps {
    /// What happens before is warm-up: caches fill and tables grow once.
    pub const WARM_UP: Duration = Duration::from_secs(5);

    /// Nothing yet, in a run that `since` has been measuring.
    pub fn new(since: Stopwatch) -> Self {
        Self { since, last: Self::WARM_UP, longest: Duration::ZERO }
    }

    /// Notes output.
    #[inline]
    pub fn output(&mut self) {
        self.at(self.since.elapsed());
    }

    #[inline]
    fn at(&mut self, now: Duration) {
        if now > self.last {
            self.longest = self.longest.max(now - self.last);
            self.last = now;
        }
    }

    /// The longest gap, in milliseconds.
    pub fn longest_ms(&self) -> f64 {
        self.longest.as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_count_from_the_end_of_the_warm_up() {
        let mut gaps = Gaps::new(Stopwatch::start());
        for ms in [10, 3_000, 5_040, 5_050, 5_120, 5_121] {
            gaps.at(Duration::from_millis(ms));
        }
        assert_eq!(gaps.longest_ms(), 70.0);
    }
}
