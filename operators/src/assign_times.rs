//! `assign_times`: event times and watermarks given in the middle of a graph.
//!
//! A source is the better place: it knows its splits, and each has a watermark of its own. But what a record means may be
//! known only after it was parsed, joined or split up. From here on event time is what the strategy makes of
//! the records; the watermarks of before end here, but for the end of time.
//!
//! Splits are not known any more. What has a watermark is each worker's part of the stream; downstream the least of
//! them counts, and a part that is silent is idle as a silent split is. What a checkpoint keeps is in `kept`.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::{OutputPort, PortRef, Ranks, Role, StateDecl};
use pelton_dataflow::operator::{Operator, OperatorContext, OperatorFactory};
use pelton_dataflow::record::Data;
use pelton_dataflow::source::Rejected;
use pelton_dataflow::time::EventTime;

use crate::dead_letter::OnError;
use crate::source::SourceStreams;
use crate::stream::{Add, Stream};
use crate::watermarks::{WatermarkGenerator, Watermarks};

mod kept;
mod running;

use running::Running;

/// A stream with new event times.
pub struct AssignedTimes<T> {
    /// The records, with their new event times.
    pub out: Stream<T>,
    rejected: Stream<Rejected>,
    policy: Arc<OnceLock<OnError>>,
}

impl<T: Data> AssignedTimes<T> {
    /// Sends records whose event time cannot be right to a stream of their own. Without this the first one fails
    /// the job.
    pub fn dead_letters(self) -> SourceStreams<T> {
        // A second setting of the same policy changes nothing.
        let _ = self.policy.set(OnError::DeadLetter);
        SourceStreams { out: self.out, rejected: self.rejected }
    }
}

impl<T: Data> Stream<T> {
    /// Gives records the event times that `watermarks` reads from them, and the stream the watermarks that it makes of
    /// each worker's part of it. What was known of event time before ends here, but for the end of the input.
    ///
    /// A worker whose part has no records holds the watermark back: spread the records with
    /// [`Stream::rebalance`] before, or say with [`Watermarks::idle_after`] when it no longer counts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_dataflow::time::EventTime;
    /// use pelton_operators::{Tumbling, Watermarks, testing::Harness};
    ///
    /// let mut script = Harness::new(|lines, taps| {
    ///     let orders = lines.map(|line: String| line.parse::<i64>().unwrap_or(0));
    ///     let timed = orders.assign_times("order-times", Watermarks::monotonous(|at: &i64| EventTime(*at)));
    ///     let counts = timed.out.key_by(|_| 'k').window("tens", Tumbling::of(Duration::from_millis(10))).count();
    ///     taps.tap("count", &counts.out.map(|window| window.value));
    /// });
    /// script.record(0, "3".to_owned()).record(0, "7".to_owned()).record(0, "11".to_owned());
    /// assert_eq!(script.output(), ["count@9 2"]);
    /// ```
    #[track_caller]
    pub fn assign_times<F, G>(
        &self,
        name: impl Into<String>,
        watermarks: Watermarks<F, G>,
    ) -> AssignedTimes<T>
    where
        F: Fn(&T) -> EventTime + Send + Sync + 'static,
        G: WatermarkGenerator<T>,
    {
        let (name, location) = (name.into(), Location::caller());
        if let Some(mistake) = mistake(&watermarks) {
            self.graph.mistake(&name, mistake, location);
        }
        let generator = generator_decl::<T, G>(self.graph.shape::<G::State>(&name, location));
        let mut add = Add::stateless::<T>("assign_times", self.port, location);
        add.name = Some(name);
        add.outputs.push(OutputPort::of::<Rejected>("rejected"));
        add.states = vec![generator];
        let policy = Arc::new(OnceLock::new());
        let factory =
            Factory { watermarks: Arc::new(watermarks), on_error: policy.clone(), record: PhantomData };
        let node = self.graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        let reason = "its event times are late or not by what a worker has seen so far, which differs from run to run: let the source give them";
        self.graph.ranks(node, Ranks::Without(reason));
        AssignedTimes {
            out: Stream::new(self.graph.clone(), PortRef { node, port: 0 }),
            rejected: Stream::new(self.graph.clone(), PortRef { node, port: 1 }),
            policy,
        }
    }
}

/// What only a source can do.
fn mistake<F, G>(watermarks: &Watermarks<F, G>) -> Option<&'static str> {
    if watermarks.aligned.is_some() {
        return Some(
            "only splits can be kept in step: give `.aligned(...)` to the watermarks of the source, or leave it out",
        );
    }
    let reads_times = watermarks.has_times && !watermarks.by_arrival;
    (!reads_times).then_some(
        "these watermarks read no event time from records: use `Watermarks::bounded(...)` or another that does",
    )
}

/// Declared so that a restore tells if the state of a generator would be dropped, or is of another type now.
fn generator_decl<T, G: WatermarkGenerator<T>>(fingerprint: String) -> StateDecl {
    let type_name = std::any::type_name::<G::State>().to_owned();
    StateDecl { name: "generator", kind: StateDecl::OPERATOR, type_name, fingerprint, version: 1 }
}

struct Factory<T, F, G> {
    watermarks: Arc<Watermarks<F, G>>,
    on_error: Arc<OnceLock<OnError>>,
    record: PhantomData<fn(T)>,
}

impl<T, F, G> OperatorFactory for Factory<T, F, G>
where
    T: Data,
    F: Fn(&T) -> EventTime + Send + Sync + 'static,
    G: WatermarkGenerator<T>,
{
    fn build(&self, cx: &OperatorContext<'_>) -> Result<Box<dyn Operator>, OpError> {
        let on_error = self.on_error.get().copied();
        Ok(Box::new(Running::<T, F, G>::start(self.watermarks.clone(), on_error, cx)?))
    }

    fn makes_time(&self) -> bool {
        true
    }
}
