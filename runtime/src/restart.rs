//! Whether and when a failed job starts again: a pure count of failures, and whether it is always the
//! same one.
//!
//! The count is the user's: as many failures as the strategy allows, of whatever kind. Only a record that
//! its reader has called malformed twice ends the job before (`docs/decisions/0007`).

use pelton_dataflow::error::{Cause, Failure};

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

/// What is known of a job's failures one after the other: whether they are the same.
#[derive(Debug, Default)]
pub struct Recurrence {
    /// Operator, cause, place and words of the last one.
    last: Option<(String, Cause, String, String)>,
    /// How often it has come in a row.
    times: u32,
}

/// What to say of a failure, and whether a restart may help.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The failure's own words, and what is known of those before it.
    pub message: String,
    /// Whether a restart can only meet it again.
    pub is_hopeless: bool,
}

impl Recurrence {
    /// Notes a failure of no operator.
    pub fn other(&mut self) {
        *self = Self::default();
    }

    /// Notes the failure of an operator. Which worker it happened on and when it was read make no
    /// difference: a restart may deal the splits out otherwise.
    pub fn operator(&mut self, failure: &Failure) -> Verdict {
        let (operator, place) = (failure.operator.clone(), failure.place.to_string());
        let this = Some((operator, failure.cause, place, failure.message.clone()));
        self.times = if this == self.last { self.times + 1 } else { 1 };
        self.last = this;
        let times = self.times;
        let has_record = failure.place.origin.as_ref().is_some_and(|origin| !origin.spans.is_empty());
        let is_hopeless = failure.cause == Cause::Malformed && times > 1;
        let message = match failure.cause {
            Cause::Malformed if times > 1 => {
                format!("{failure}; it was read again, and no restart makes it another record")
            }
            Cause::Error | Cause::Panic if times > 1 && has_record => format!(
                "{failure}; the same at the same records {times} times in a row: if nothing outside of the job is the cause, they are, and `{}` has to take them, filter them out or give them to a side output",
                failure.operator
            ),
            _ => failure.to_string(),
        };
        Verdict { message, is_hopeless }
    }
}

#[cfg(test)]
mod tests {
    use pelton_dataflow::error::Place;
    use pelton_dataflow::record::{Origin, Span};

    use super::*;

    fn failure(cause: Cause, position: u64, read_at_us: i64) -> Failure {
        let span = Span { split: "in/0".into(), first: position, last: position };
        let origin = Some(Origin::of(span, read_at_us));
        Failure {
            operator: "parse".to_owned(),
            worker: read_at_us as usize,
            cause,
            place: Place { key_group: None, origin },
            message: "no number".to_owned(),
        }
    }

    #[test]
    fn a_record_that_is_malformed_twice_is_hopeless() {
        let mut seen = Recurrence::default();
        for (position, is_hopeless) in [(7, false), (8, false), (7, false), (7, true), (7, true)] {
            let verdict = seen.operator(&failure(Cause::Malformed, position, 1));
            assert_eq!(verdict.is_hopeless, is_hopeless);
            assert_eq!(verdict.message.contains("no restart makes it another"), is_hopeless);
        }
        seen.other();
        assert!(!seen.operator(&failure(Cause::Malformed, 7, 1)).is_hopeless);
    }

    #[test]
    fn what_user_code_fails_of_may_pass_and_is_only_told() {
        for cause in [Cause::Error, Cause::Panic] {
            let mut seen = Recurrence::default();
            for times in 1..=9 {
                let verdict = seen.operator(&failure(cause, 7, times));
                assert!(!verdict.is_hopeless);
                let told = format!("the same at the same records {times} times in a row");
                assert_eq!(verdict.message.contains(&told), times > 1, "{}", verdict.message);
            }
            let elsewhere = seen.operator(&failure(cause, 8, 1)).message;
            assert_eq!(elsewhere, failure(cause, 8, 1).to_string());
        }
    }

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
