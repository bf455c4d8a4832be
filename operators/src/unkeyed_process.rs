//! `process` on streams without a key: user code with a side output and errors, without state.

use std::panic::Location;
use std::sync::{Arc, OnceLock};

use pelton_dataflow::error::{OpError, OpResult, OperatorError, Place};
use pelton_dataflow::graph::{OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::operator::{Flow, Operator, OperatorContext, Outputs};
use pelton_dataflow::record::{Batch, Data, Record};
use pelton_dataflow::source::Rejected;
use pelton_dataflow::time::EventTime;

use crate::dead_letter::{OnError, dead_letter};
use crate::emit::{Emitter, Feed, flow};
use crate::process::Processed;
use crate::stream::{Add, Stream};

/// User code on a stream without keys. It holds settings, never state.
pub trait Process: Send + Sync + Sized + 'static {
    /// The records of the stream.
    type In: Data;
    /// What it emits.
    type Out: Data;
    /// What goes to the side output; [`NoSide`](crate::NoSide) if nothing does.
    type Side: Data;

    /// A record.
    ///
    /// # Errors
    /// What it returns fails the job with operator, split and position, or sends the record to
    /// the dead letters if the operator has them.
    fn on_record(&self, record: Self::In, cx: &mut ProcessContext<'_, Self>) -> OpResult;
}

/// The surroundings of a call of a [`Process`].
pub struct ProcessContext<'a, P: Process> {
    time: EventTime,
    out: &'a mut Emitter<P::Out>,
    side: &'a mut Emitter<P::Side>,
}

impl<P: Process> ProcessContext<'_, P> {
    /// The event time of the record at hand; what is emitted carries it.
    #[must_use]
    pub fn time(&self) -> EventTime {
        self.time
    }

    /// Emits to the main output.
    #[inline]
    pub fn emit(&mut self, value: P::Out) {
        self.out.push(self.time, value);
    }

    /// Emits to the side output.
    pub fn side(&mut self, value: P::Side) {
        self.side.push(self.time, value);
    }
}

struct Running<P: Process> {
    process: Arc<P>,
    on_error: Option<OnError>,
    name: String,
    feed: Feed<P::In>,
    out: Emitter<P::Out>,
    side: Emitter<P::Side>,
    failed: Emitter<Rejected>,
}

impl<P: Process> Running<P> {
    fn records(&mut self, out: &mut Outputs) -> OpResult<bool> {
        while let Some(Record { time, value }) = self.feed.next() {
            let rank = self.feed.rank();
            self.out.made_from(rank.as_ref());
            self.side.made_from(rank.as_ref());
            self.failed.made_from(rank.as_ref());
            let kept = self.on_error.map(|OnError::DeadLetter| value.clone());
            let mut cx = ProcessContext { time, out: &mut self.out, side: &mut self.side };
            if let Err(error) = self.process.on_record(value, &mut cx) {
                let Some(kept) = kept else { return Err(error) };
                let reason = format!("operator `{}`: {error}", self.name);
                self.failed.push(time, dead_letter(&self.feed.origin, reason, &kept));
            }
            let origin = &self.feed.origin;
            self.side.ship_full(origin, out);
            self.failed.ship_full(origin, out);
            if self.out.ship_full(origin, out) {
                return Ok(true);
            }
        }
        let origin = &self.feed.origin;
        self.out.ship(origin, out);
        self.side.ship(origin, out);
        self.failed.ship(origin, out);
        Ok(false)
    }
}

impl<P: Process> Operator for Running<P> {
    fn on_batch(&mut self, _port: usize, batch: Batch, out: &mut Outputs) -> Result<Flow, OperatorError> {
        self.feed = Feed::of(batch);
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outputs) -> Result<Flow, OperatorError> {
        let stopped = self.records(out).map_err(|error| OperatorError { place: Place::default(), error })?;
        Ok(flow(stopped))
    }
}

impl<T: Data> Stream<T> {
    /// Runs `process` on each record.
    ///
    /// ```
    /// use pelton_dataflow::error::OpResult;
    /// use pelton_operators::{Process, ProcessContext, testing::run_stateless};
    ///
    /// /// Whole numbers, and aside what is none.
    /// struct Parse;
    /// impl Process for Parse {
    ///     type In = String;
    ///     type Out = u64;
    ///     type Side = String;
    ///     fn on_record(&self, text: String, cx: &mut ProcessContext<'_, Self>) -> OpResult {
    ///         match text.parse() {
    ///             Ok(number) => cx.emit(number),
    ///             Err(_) => cx.side(text),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let parsed = run_stateless(["7".to_owned(), "x".to_owned()], |texts| texts.process(Parse).out);
    /// assert_eq!(parsed, [7]);
    /// ```
    #[track_caller]
    pub fn process<P: Process<In = T>>(&self, process: P) -> Processed<P::Out, P::Side> {
        let mut add = Add::stateless::<P::Out>("process", self.port, Location::caller());
        add.outputs.push(OutputPort::of::<P::Side>("side"));
        add.outputs.push(OutputPort::of::<Rejected>("rejected"));
        let policy = Arc::new(OnceLock::new());
        let on_error = policy.clone();
        let process = Arc::new(process);
        let factory = move |cx: &OperatorContext<'_>| {
            let batch_records = cx.settings.batch_records;
            Ok::<_, OpError>(Box::new(Running {
                process: process.clone(),
                on_error: on_error.get().copied(),
                name: cx.name.to_owned(),
                feed: Feed::default(),
                out: Emitter::new(0, batch_records),
                side: Emitter::new(1, batch_records),
                failed: Emitter::new(2, batch_records),
            }) as Box<dyn Operator>)
        };
        let node = self.graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        self.graph.ranks(node, Ranks::Keeps);
        Processed::new(&self.graph, PortRef { node, port: 0 }, policy)
    }
}
