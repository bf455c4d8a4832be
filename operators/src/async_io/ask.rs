//! One question: its attempts, the pauses between them, and the end of patience. Runs on tokio.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::operator::Waker;
use tokio::time::{sleep, timeout};

use super::NoAnswer;
use super::backoff::Backoff;

/// An answer in the making.
pub(super) type Answering<A> = Pin<Box<dyn Future<Output = OpResult<A>> + Send>>;

/// Asks; one for each worker, with what it owns.
pub(super) type Asker<Q, A> = Arc<dyn Fn(Q) -> Answering<A> + Send + Sync>;

/// Whether an error is worth another attempt.
type IsTransient = Arc<dyn Fn(&OpError) -> bool + Send + Sync>;

/// How long and how often to try.
#[derive(Clone)]
pub(super) struct Patience {
    pub timeout: Duration,
    pub attempt: Option<Duration>,
    pub backoff: Backoff,
    /// Which errors are worth another attempt; all if there is none.
    pub if_: Option<IsTransient>,
}

/// What came of a question.
pub(super) enum Outcome<A> {
    Answer(A),
    NoAnswer(NoAnswer),
    /// User code panicked with this.
    Panic(Box<dyn Any + Send>),
}

/// Where outcomes arrive for the operator of one worker, whose stage they wake. Holds no more than the operator has
/// asked for.
pub(super) struct Desk<A> {
    arrived: Mutex<Vec<(u64, Outcome<A>)>>,
    count: AtomicUsize,
    waker: Waker,
}

impl<A> Desk<A> {
    pub fn new(waker: Waker) -> Self {
        Self { arrived: Mutex::default(), count: AtomicUsize::new(0), waker }
    }

    pub fn put(&self, question: u64, outcome: Outcome<A>) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push((question, outcome));
        self.count.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub fn take(&self) -> Vec<(u64, Outcome<A>)> {
        let arrived = std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner));
        self.count.fetch_sub(arrived.len(), Ordering::AcqRel);
        arrived
    }
}

/// What is known of a question that is being asked.
#[derive(Default)]
struct Tried {
    attempts: u32,
    error: String,
}

/// Asks until there is an answer or no patience left.
pub(super) async fn ask<Q: Clone, A>(asker: Asker<Q, A>, question: Q, patience: Patience) -> Outcome<A> {
    let tried = Mutex::new(Tried::default());
    let attempts = caught(attempt_all(&asker, question, &patience, &tried));
    let done = timeout(patience.timeout, attempts).await;
    let timed_out = done.is_err();
    match done {
        Ok(Ok(Some(answer))) => Outcome::Answer(answer),
        Ok(Err(panic)) => Outcome::Panic(panic),
        Ok(Ok(None)) | Err(_) => {
            let Tried { attempts, error } = tried.into_inner().unwrap_or_else(PoisonError::into_inner);
            Outcome::NoAnswer(NoAnswer { timed_out, attempts, error })
        }
    }
}

async fn attempt_all<Q: Clone, A>(
    asker: &Asker<Q, A>,
    question: Q,
    patience: &Patience,
    tried: &Mutex<Tried>,
) -> Option<A> {
    let note =
        |change: &dyn Fn(&mut Tried)| change(&mut tried.lock().unwrap_or_else(PoisonError::into_inner));
    for failed in 1.. {
        note(&|tried| tried.attempts += 1);
        let error = match attempt(asker(question.clone()), patience.attempt).await {
            Ok(answer) => return Some(answer),
            Err(error) => error,
        };
        note(&|tried| tried.error = error.to_string());
        let is_transient = patience.if_.as_ref().is_none_or(|if_| if_(&error));
        sleep(patience.backoff.pause(failed).filter(|_| is_transient)?).await;
    }
    None
}

async fn attempt<A>(answering: Answering<A>, limit: Option<Duration>) -> OpResult<A> {
    match limit {
        None => answering.await,
        Some(limit) => match timeout(limit, answering).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("the attempt took longer than {limit:?}").into()),
        },
    }
}

/// `future`, or what it panics with.
async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = Box::pin(future);
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
