//! Answers that are remembered for a while, on each worker for itself, and in no checkpoint.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// Remembers answers by their questions.
pub(super) trait Remember<Q, A> {
    /// The answer to `question`, if it is known and not too old at `now_ms`.
    fn get(&mut self, question: &Q, now_ms: i64) -> Option<A>;
    /// Notes an answer that came at `now_ms`, and gives it back.
    fn keep(&mut self, question: Q, answer: A, now_ms: i64) -> A;
}

/// A limited number of answers, each for the same time: so the oldest is the first to go for both reasons.
pub(super) struct Cache<Q, A> {
    ttl_ms: i64,
    entries: usize,
    answers: HashMap<Q, Known<A>>,
    /// Questions by the time of their answers; one that was answered anew is in it twice.
    by_age: VecDeque<(Q, u64)>,
    next: u64,
}

struct Known<A> {
    answer: A,
    at_ms: i64,
    number: u64,
}

impl<Q: Eq + Hash + Clone, A: Clone> Cache<Q, A> {
    pub fn new(ttl: Duration, entries: usize) -> Self {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        Self { ttl_ms, entries, answers: HashMap::new(), by_age: VecDeque::new(), next: 0 }
    }

    fn forget_oldest(&mut self) {
        let Some((question, number)) = self.by_age.pop_front() else { return };
        if self.answers.get(&question).is_some_and(|known| known.number == number) {
            self.answers.remove(&question);
        }
    }
}

impl<Q: Eq + Hash + Clone, A: Clone> Remember<Q, A> for Cache<Q, A> {
    fn get(&mut self, question: &Q, now_ms: i64) -> Option<A> {
        let known = self.answers.get(question)?;
        let is_fresh = now_ms.saturating_sub(known.at_ms) < self.ttl_ms;
        is_fresh.then(|| known.answer.clone())
    }

    fn keep(&mut self, question: Q, answer: A, now_ms: i64) -> A {
        let number = self.next;
        self.next += 1;
        self.answers.insert(question.clone(), Known { answer: answer.clone(), at_ms: now_ms, number });
        self.by_age.push_back((question, number));
        while self.by_age.len() > self.entries {
            self.forget_oldest();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(cache: &mut Cache<char, u32>, questions: &str, now_ms: i64) -> Vec<Option<u32>> {
        questions.chars().map(|question| cache.get(&question, now_ms)).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut cache = Cache::new(Duration::from_secs(1), 2);
        cache.keep('a', 1, 0);
        cache.keep('b', 2, 0);
        cache.keep('c', 3, 0);
        assert_eq!(known(&mut cache, "abc", 0), [None, Some(2), Some(3)]);
        // An answer that was given anew is as young as its last one.
        cache.keep('b', 20, 0);
        assert_eq!(known(&mut cache, "abc", 0), [None, Some(20), Some(3)]);
        cache.keep('d', 4, 0);
        assert_eq!(known(&mut cache, "abcd", 0), [None, Some(20), None, Some(4)]);
    }

    #[test]
    fn an_answer_is_good_for_its_time() {
        let mut cache = Cache::new(Duration::from_millis(10), 5);
        cache.keep('a', 1, 100);
        assert_eq!((cache.get(&'a', 109), cache.get(&'a', 110)), (Some(1), None));
        cache.keep('a', 2, 110);
        assert_eq!(cache.get(&'a', 119), Some(2));
    }
}
