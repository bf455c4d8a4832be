//! How often a question that has failed is asked again, and after which pauses.

use std::time::Duration;

/// Pauses between attempts, each twice as long as the one before, without chance: a job's behaviour can be
/// told from its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

/// Attempts in all, unless set otherwise.
const ATTEMPTS: u32 = 3;
/// A service that is away for longer than this is looked at again every so often.
const LONGEST: Duration = Duration::from_secs(10);

impl Backoff {
    /// Waits `first` after the first attempt that fails, twice that after the second, and so on, for
    /// at most 10 seconds at a time; 3 attempts in all.
    #[must_use]
    pub fn exponential(first: Duration) -> Self {
        Self { first, longest: LONGEST, attempts: ATTEMPTS }
    }

    /// Waits `pause` after each attempt that fails; 3 attempts in all.
    #[must_use]
    pub fn fixed(pause: Duration) -> Self {
        Self { first: pause, longest: pause, attempts: ATTEMPTS }
    }

    /// Tries so often in all, the first time included.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Waits for no longer than this at a time.
    #[must_use]
    pub fn at_most(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    pub(super) fn never() -> Self {
        Self::fixed(Duration::ZERO).attempts(1)
    }

    pub(super) fn max_attempts(&self) -> u32 {
        self.attempts
    }

    /// How long to wait once `failed` attempts have failed; `None` if that was the last.
    pub(super) fn pause(&self, failed: u32) -> Option<Duration> {
        let doubled = 1u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        (failed < self.attempts).then(|| self.first.saturating_mul(doubled).min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(backoff: Backoff) -> Vec<u64> {
        let pause = |failed| backoff.pause(failed).map(|pause| pause.as_millis() as u64);
        (1..100).map_while(pause).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let ms = Duration::from_millis;
        assert_eq!(pauses(Backoff::exponential(ms(10))), [10, 20]);
        assert_eq!(pauses(Backoff::exponential(ms(10)).attempts(6).at_most(ms(50))), [10, 20, 40, 50, 50]);
        assert_eq!(pauses(Backoff::fixed(ms(7)).attempts(4)), [7, 7, 7]);
        assert_eq!(pauses(Backoff::never()), [0u64; 0]);
        assert_eq!(pauses(Backoff::exponential(Duration::MAX).attempts(50)), [10_000; 49]);
        assert_eq!(pauses(Backoff::exponential(ms(1)).attempts(90)).len(), 89, "no shift overflows");
    }
}
