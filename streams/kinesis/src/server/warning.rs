//! Warnings of what can happen many times a second: one at once, then one every few seconds with how often it was.

use tokio::time::{Duration, Instant};

/// How long one such warning stands for all that follow.
const EVERY: Duration = Duration::from_secs(5);

/// A warning that is given now and then.
#[derive(Debug, Default)]
pub(super) struct Warning {
    told: Option<Instant>,
    /// How often there was reason for it since it was given.
    times: u64,
}

impl Warning {
    /// There is reason for it; gives how often there was since it was last given, if it is to be given now.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        if self.told.is_some_and(|told| now < told + EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_at_once_and_then_every_few_seconds_with_a_count() {
        let (mut warning, start) = (Warning::default(), Instant::now());
        let due = [0, 1, 4_999, 5_000, 5_001, 60_000, 60_000]
            .map(|ms| warning.due(start + Duration::from_millis(ms)));
        assert_eq!(due, [Some(1), None, None, Some(3), None, Some(2), None]);
    }
}
