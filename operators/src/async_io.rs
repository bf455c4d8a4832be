//! `async_io`: each record is sent to a service outside, and comes back with its answer.
//!
//! Up to `capacity` questions of a worker are on their way at a time, so that the job is not as slow as the
//! service. What waits for its answer
//!
//! * **holds the watermark**: a record that was on time when it was taken is on time when its answer comes,
//!   and the end of the input waits for all answers. Records that were late hold nothing but the end;
//! * **is part of each checkpoint** and does not hold it up: after a restart it is asked again, on whichever
//!   worker it falls to. So a service may be asked twice, and each record has one result all the same;
//! * **stops the intake** once `capacity` is reached: those that send wait, and nothing piles up.
//!
//! A question that is not answered in time ([`Async::timeout`], 30 seconds unless set otherwise) or fails as
//! often as it may be tried ([`Async::retry`]) fails the job, or becomes another result
//! ([`Async::fallback`]), or goes to the side output ([`Async::failures_aside`]).
//!
//! *What is deterministic:* which records come out, once each, and with [`Async::ordered`] in which order on
//! each worker. *What is not:* what a service answers, whether it answers in time, what the cache
//! still knows, and the order of [`Async::unordered`]. An answer that has been given on is not asked for again,
//! so state that is built on it stays as it is.
//!
//! Questions run on tokio: on the runtime whose `tokio::runtime::Handle` is among the worker's
//! [`Resources`](pelton_dataflow::operator::Resources), or else on one of two threads that all jobs of the process share and the
//! first operator that needs it starts.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::{OutputPort, PortRef, Role, StateDecl};
use pelton_dataflow::operator::{Operator, OperatorContext, OperatorFactory};
use pelton_dataflow::record::Data;
use serde::{Deserialize, Serialize};

use crate::stream::{Add, Stream};

mod ask;
mod backoff;
mod cache;
mod in_flight;
mod running;
mod runtime;
mod settings;

pub use backoff::Backoff;
pub use settings::{Async, AsyncClient};

use running::Running;

/// The streams of an `async_io`.
pub struct Answered<T, U> {
    /// The answers, each at the event time of its record.
    pub out: Stream<U>,
    /// Records without an answer; empty unless the operator sends them aside
    /// ([`Async::failures_aside`]).
    pub failed: Stream<Unanswered<T>>,
}

/// A record that has got no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered<T> {
    /// The record.
    pub record: T,
    /// Why.
    pub reason: NoAnswer,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoAnswer {
    /// Whether time was up; if not, the last attempt that was allowed has failed.
    pub timed_out: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt that failed has said; empty if none has.
    pub error: String,
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { timed_out, attempts, error } = self;
        let tried = if *attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
        let when = if *timed_out { "in time, " } else { "" };
        let why = if error.is_empty() { String::new() } else { format!(": {error}") };
        write!(f, "no answer {when}after {tried}{why}")
    }
}

impl<T: Data> Stream<T> {
    /// Asks a service about each record, as `asking` says.
    ///
    /// ```
    /// use pelton_operators::{Async, testing::run_stateless};
    ///
    /// async fn country_of(address: u32) -> Result<String, std::io::Error> {
    ///     Ok(if address < 100 { "PT".to_owned() } else { "NO".to_owned() })
    /// }
    /// let countries = run_stateless([7u32, 250], |addresses| {
    ///     let lookup = Async::ordered(async |address| Ok(country_of(address).await?)).capacity(50);
    ///     addresses.async_io("countries", lookup).out
    /// });
    /// assert_eq!(countries, ["PT", "NO"]);
    /// ```
    #[track_caller]
    pub fn async_io<Q, A, U>(&self, name: impl Into<String>, asking: Async<T, Q, A, U>) -> Answered<T, U>
    where
        Q: Clone + Send + 'static,
        A: Send + 'static,
        U: Data,
    {
        let (name, location) = (name.into(), Location::caller());
        for problem in asking.problems() {
            self.graph.mistake(&name, problem, location);
        }
        let in_flight = in_flight_decl::<T>(self.graph.shape::<T>(&name, location));
        let mut add = Add::stateless::<U>("async_io", self.port, location);
        add.detail = asking.to_string();
        add.name = Some(name);
        add.outputs.push(OutputPort::of::<Unanswered<T>>("failed"));
        add.states = vec![in_flight];
        let role = Role::Operator(Arc::new(Factory { asking: Arc::new(asking), types: PhantomData }));
        let node = self.graph.add(add.into_node(role));
        Answered {
            out: Stream::new(self.graph.clone(), PortRef { node, port: 0 }),
            failed: Stream::new(self.graph.clone(), PortRef { node, port: 1 }),
        }
    }
}

/// Declared so that a restore tells if records in flight would be dropped, or are of another type now.
fn in_flight_decl<T: Data>(fingerprint: String) -> StateDecl {
    let type_name = std::any::type_name::<T>().to_owned();
    StateDecl { name: "in-flight", kind: StateDecl::OPERATOR, type_name, fingerprint, version: 1 }
}

struct Factory<T, Q, A, U> {
    asking: Arc<Async<T, Q, A, U>>,
    types: PhantomData<fn(T) -> U>,
}

impl<T, Q, A, U> OperatorFactory for Factory<T, Q, A, U>
where
    T: Data,
    Q: Clone + Send + 'static,
    A: Send + 'static,
    U: Data,
{
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        Ok(Box::new(Running::start(self.asking.clone(), cx)?))
    }

    fn begins_stage(&self) -> bool {
        true
    }
}
