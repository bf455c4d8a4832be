//! What a user says of an `async_io`: whom to ask and what, how patiently, and what if there is no answer.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::record::Data;

use super::NoAnswer;
use super::ask::{Answering, Asker, Patience};
use super::backoff::Backoff;
use super::cache::{Cache, Remember};

/// Questions of a worker that are on their way at a time, unless set otherwise.
const CAPACITY: usize = 100;
/// A question without an answer for so long has none, unless set otherwise: there is no operator without a
/// limit, because the watermark waits for all answers.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Whom to ask, and how: the argument of [`Stream::async_io`](crate::Stream::async_io).
///
/// `T` are the records, `Q` the questions, `A` the answers and `U` what comes out.
///
/// ```
/// use std::time::Duration;
/// use pelton_operators::{Async, Backoff, testing::run_stateless};
///
/// // (card, merchant) becomes (card, country of the merchant); each merchant is asked about once an hour.
/// let lookup = Async::lookup(
///     |payment: &(u32, char)| payment.1,
///     async |merchant: char| Ok(if merchant == 'a' { "PT" } else { "NO" }),
///     |payment, country| (payment.0, country.to_owned()),
/// );
/// let patient = lookup
///     .keep_order()
///     .cache(Duration::from_hours(1), 10_000)
///     .timeout(Duration::from_secs(5))
///     .retry(Backoff::exponential(Duration::from_millis(50)).attempts(4))
///     .fallback(|payment, _why| (payment.0, "??".to_owned()));
/// let found = run_stateless([(1, 'a'), (2, 'b'), (3, 'a')], |payments| payments.async_io("country", patient).out);
/// assert_eq!(found, [(1, "PT".to_owned()), (2, "NO".to_owned()), (3, "PT".to_owned())]);
/// ```
#[must_use = "it is the argument of `stream.async_io(name, ...)`"]
pub struct Async<T, Q, A, U> {
    pub(super) open: Arc<dyn Fn() -> OpResult<Asker<Q, A>> + Send + Sync>,
    pub(super) question: Arc<dyn Fn(&T) -> Q + Send + Sync>,
    pub(super) join: Arc<dyn Fn(T, A) -> U + Send + Sync>,
    pub(super) keeps_order: bool,
    pub(super) capacity: usize,
    pub(super) patience: Patience,
    pub(super) memory: Option<MakeMemory<Q, A>>,
    pub(super) unanswered: Without<T, U>,
    cache: Option<(Duration, usize)>,
}

/// Makes the cache of a worker.
type MakeMemory<Q, A> = Arc<dyn Fn() -> Box<dyn Remember<Q, A>> + Send + Sync>;

type Fallback<T, U> = Arc<dyn Fn(T, &NoAnswer) -> U + Send + Sync>;

/// What becomes of a record without an answer.
pub(super) enum Without<T, U> {
    FailJob,
    Aside,
    Fallback(Fallback<T, U>),
}

impl<T: Data, U: Data> Async<T, T, U, U> {
    /// Asks `ask` about each record; answers come out as they come in. `ask` may be an `async` closure.
    pub fn unordered<F>(ask: impl Fn(T) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = OpResult<U>> + Send + 'static,
    {
        Self::new(always(ask), T::clone, |_, answer| answer)
    }

    /// Asks `ask` about each record; answers come out in the order of the records, so that a slow one holds up
    /// those behind it.
    pub fn ordered<F>(ask: impl Fn(T) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = OpResult<U>> + Send + 'static,
    {
        Self::unordered(ask).keep_order()
    }
}

impl<T: Data, Q: Clone + Send + 'static, A: Send + 'static, U: Data> Async<T, Q, A, U> {
    /// Asks `ask` about what `question` reads from each record, and has `join` put record and answer together:
    /// a join with a table that others keep.
    pub fn lookup<F>(
        question: impl Fn(&T) -> Q + Send + Sync + 'static,
        ask: impl Fn(Q) -> F + Send + Sync + 'static,
        join: impl Fn(T, A) -> U + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = OpResult<A>> + Send + 'static,
    {
        Self::new(always(ask), question, join)
    }

    fn new(
        open: impl Fn() -> OpResult<Asker<Q, A>> + Send + Sync + 'static,
        question: impl Fn(&T) -> Q + Send + Sync + 'static,
        join: impl Fn(T, A) -> U + Send + Sync + 'static,
    ) -> Self {
        Self {
            open: Arc::new(open),
            question: Arc::new(question),
            join: Arc::new(join),
            keeps_order: false,
            capacity: CAPACITY,
            patience: Patience { timeout: TIMEOUT, attempt: None, backoff: Backoff::never(), if_: None },
            memory: None,
            unanswered: Without::FailJob,
            cache: None,
        }
    }

    /// Gives answers out in the order of the records.
    pub fn keep_order(mut self) -> Self {
        self.keeps_order = true;
        self
    }

    /// Questions of one worker that are on their way at a time, or answered and waiting for their turn: 100
    /// unless set otherwise.
    pub fn capacity(mut self, questions: usize) -> Self {
        self.capacity = questions;
        self
    }

    /// How long a record waits for its answer at most, all attempts and pauses together: 30 seconds
    /// unless set otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.timeout = timeout;
        self
    }

    /// How long one attempt may take, before it counts as failed; without this, as long as there is time.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.patience.attempt = Some(timeout);
        self
    }

    /// Asks again if an attempt fails. Without this the first one decides.
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.patience.backoff = backoff;
        self
    }

    /// Asks again only after errors for which `is_transient` holds.
    pub fn retry_if(mut self, is_transient: impl Fn(&OpError) -> bool + Send + Sync + 'static) -> Self {
        self.patience.if_ = Some(Arc::new(is_transient));
        self
    }

    /// Remembers up to `entries` answers on each worker for `ttl` of processing time, and does not ask about what is
    /// known. Which questions are saved depends on the moment, so the service should give the same
    /// answer to the same question for as long.
    pub fn cache(mut self, ttl: Duration, entries: usize) -> Self
    where
        Q: Eq + Hash,
        A: Clone,
    {
        self.memory = Some(Arc::new(move || Box::new(Cache::new(ttl, entries))));
        self.cache = Some((ttl, entries));
        self
    }

    /// What comes out for a record without an answer. Without this, it fails the job.
    pub fn fallback(mut self, fallback: impl Fn(T, &NoAnswer) -> U + Send + Sync + 'static) -> Self {
        self.unanswered = Without::Fallback(Arc::new(fallback));
        self
    }

    /// Sends records without an answer to [`Answered::failed`](super::Answered::failed).
    pub fn failures_aside(mut self) -> Self {
        self.unanswered = Without::Aside;
        self
    }

    /// Settings that cannot work, each with what to do.
    pub(super) fn problems(&self) -> Vec<String> {
        let no = |wrong: bool, problem: &str| wrong.then(|| problem.to_owned());
        let Patience { timeout, attempt, backoff, .. } = &self.patience;
        let cache = self.cache.is_some_and(|(ttl, entries)| ttl < Duration::from_millis(1) || entries == 0);
        [
            no(self.capacity == 0, "no question may be on its way: give `.capacity(...)` at least 1"),
            no(timeout.is_zero(), "no answer can come in no time: give `.timeout(...)` more"),
            no(
                attempt.is_some_and(|attempt| attempt.is_zero()),
                "no attempt can succeed in no time: give `.attempt_timeout(...)` more",
            ),
            no(backoff.max_attempts() == 0, "nothing is ever asked: give `.attempts(...)` at least 1"),
            no(
                cache,
                "its cache keeps nothing: give `.cache(...)` at least 1 ms and 1 entry, or leave it out",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl<T, Q, A, U> fmt::Display for Async<T, Q, A, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.keeps_order { "ordered" } else { "unordered" };
        write!(f, "{order}, {} at a time, {:?}", self.capacity, self.patience.timeout)
    }
}

fn always<Q, A, F>(ask: impl Fn(Q) -> F + Send + Sync + 'static) -> impl Fn() -> OpResult<Asker<Q, A>>
where
    F: Future<Output = OpResult<A>> + Send + 'static,
{
    let asker: Asker<Q, A> = Arc::new(move |question| Box::pin(ask(question)) as Answering<A>);
    move || Ok(asker.clone())
}

/// What each worker opens for itself before it asks: a connection pool, an HTTP client.
///
/// ```
/// use std::sync::Arc;
/// use pelton_operators::{AsyncClient, testing::run_stateless};
///
/// struct Client { country: &'static str }
///
/// let client = AsyncClient::open(|| Ok(Client { country: "PT" }));
/// let lookup = client.ordered(async |client: Arc<Client>, address: u32| Ok(format!("{}-{address}", client.country)));
/// let found = run_stateless([7u32], |addresses| addresses.async_io("country", lookup).out);
/// assert_eq!(found, ["PT-7"]);
/// ```
pub struct AsyncClient<C>(Arc<dyn Fn() -> OpResult<C> + Send + Sync>);

impl<C: Send + Sync + 'static> AsyncClient<C> {
    /// A client that each worker opens by `open`, within tokio's runtime, when the job starts; an error fails the start.
    pub fn open(open: impl Fn() -> OpResult<C> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    /// As [`Async::unordered`], with the worker's client.
    pub fn unordered<T: Data, U: Data, F>(
        self,
        ask: impl Fn(Arc<C>, T) -> F + Send + Sync + 'static,
    ) -> Async<T, T, U, U>
    where
        F: Future<Output = OpResult<U>> + Send + 'static,
    {
        Async::new(self.with(ask), T::clone, |_, answer| answer)
    }

    /// As [`Async::ordered`], with the worker's client.
    pub fn ordered<T: Data, U: Data, F>(
        self,
        ask: impl Fn(Arc<C>, T) -> F + Send + Sync + 'static,
    ) -> Async<T, T, U, U>
    where
        F: Future<Output = OpResult<U>> + Send + 'static,
    {
        self.unordered(ask).keep_order()
    }

    /// As [`Async::lookup`], with the worker's client.
    pub fn lookup<T: Data, Q: Clone + Send + 'static, A: Send + 'static, U: Data, F>(
        self,
        question: impl Fn(&T) -> Q + Send + Sync + 'static,
        ask: impl Fn(Arc<C>, Q) -> F + Send + Sync + 'static,
        join: impl Fn(T, A) -> U + Send + Sync + 'static,
    ) -> Async<T, Q, A, U>
    where
        F: Future<Output = OpResult<A>> + Send + 'static,
    {
        Async::new(self.with(ask), question, join)
    }

    fn with<Q: 'static, A: 'static, F>(
        self,
        ask: impl Fn(Arc<C>, Q) -> F + Send + Sync + 'static,
    ) -> impl Fn() -> OpResult<Asker<Q, A>>
    where
        F: Future<Output = OpResult<A>> + Send + 'static,
    {
        let ask = Arc::new(ask);
        move || {
            let (client, ask) = (Arc::new((self.0)()?), ask.clone());
            Ok(Arc::new(move |question| Box::pin(ask(client.clone(), question)) as Answering<A>)
                as Asker<Q, A>)
        }
    }
}
