//! Whether and when a failed job starts again: a pure count of failures.

use crate::settings::RestartStrategy;

/// The failures of a job since its last completed checkpoint.
#[derive(Clone, Debug)]
pub struct RestartPolicy {
    strategy: RestartStrategy,
    failures: u32,
}

impl RestartPolicy {
    /// No failure yet.
    #[must_use]
    pub fn new(strategy: RestartStrategy) -> Self {
        Self { strategy, failures: 0 }
    }

    /// A checkpoint has completed: what failed before has been got over.
    pub fn checkpoint_completed(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure; answers with the milliseconds until the next start, or `None` if there is
    /// none.
    pub fn failed(&mut self) -> Option<u64> {
        let before = self.failures;
        self.failures = self.failures.saturating_add(1);
        match self.strategy {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay_ms } => (before < attempts).then_some(delay_ms),
            RestartStrategy::Exponential { initial_ms, max_ms } => {
                let doubled = initial_ms.saturating_mul(1_u64.checked_shl(before).unwrap_or(u64::MAX));
                Some(doubled.min(max_ms))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_delay_gives_up_after_its_attempts() {
        let mut policy = RestartPolicy::new(RestartStrategy::FixedDelay { attempts: 2, delay_ms: 7 });
        assert_eq!([policy.failed(), policy.failed(), policy.failed()], [Some(7), Some(7), None]);
        policy.checkpoint_completed();
        assert_eq!(policy.failed(), Some(7));
    }

    #[test]
    fn an_exponential_delay_doubles_up_to_its_limit() {
        let mut policy = RestartPolicy::new(RestartStrategy::Exponential { initial_ms: 100, max_ms: 350 });
        assert_eq!([policy.failed(), policy.failed(), policy.failed()], [Some(100), Some(200), Some(350)]);
        for _ in 0..100 {
            assert_eq!(policy.failed(), Some(350));
        }
        policy.checkpoint_completed();
        assert_eq!(policy.failed(), Some(100));
    }

    #[test]
    fn none_never_restarts() {
        assert_eq!(RestartPolicy::new(RestartStrategy::None).failed(), None);
    }
}
