//! How windows with settings are written, and how they get into the graph.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::graph::{OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::key::Key;
use pelton_dataflow::operator::{Operator, OperatorContext};
use pelton_dataflow::record::{Data, Record};
use pelton_state::{State, StateSpec, TableValue, TimeDomain};

use super::contents::{Aggregated, Contents, Kept, KeptAggregate};
use super::evictor::Evictor;
use super::firing::{FiredWindow, WindowUpdate};
use super::hand::{Give, Plan, WindowOut};
use super::kind::Kind;
use super::open::KeyWindows;
use super::running::Running;
use super::trigger::{AtEnd, Trigger};
use super::{CountWindows, GlobalWindow, Session, WindowAssigner};
use crate::aggregate::{Addend, Aggregate, Count, Fold, Reduce, Sum};
use crate::keyed_stream::KeyedStream;
use crate::process::store;
use crate::stream::Stream;
use crate::window::windows::{Cut, Windows};
use crate::window::{WindowResult, Windowed, WindowedStream};

impl<T: 'static> From<Session<T>> for Windows<T> {
    fn from(windows: Session<T>) -> Self {
        Self::assigned_by(Arc::new(windows))
    }
}

impl<T> From<CountWindows> for Windows<T> {
    fn from(windows: CountWindows) -> Self {
        Self { cut: Cut::General(Kind::Count(windows)) }
    }
}

impl<T> From<GlobalWindow> for Windows<T> {
    fn from(GlobalWindow: GlobalWindow) -> Self {
        Self { cut: Cut::General(Kind::Global) }
    }
}

impl<T: 'static> From<Arc<dyn WindowAssigner<T>>> for Windows<T> {
    fn from(assigner: Arc<dyn WindowAssigner<T>>) -> Self {
        Self::assigned_by(assigner)
    }
}

impl<T: 'static> Windows<T> {
    /// Windows of your own making.
    #[must_use]
    pub fn assigned_by(assigner: Arc<dyn WindowAssigner<T>>) -> Self {
        Self { cut: Cut::General(Kind::assigned(assigner)) }
    }
}

/// What windows give of which each may fire more than once, or as its function says.
pub struct WindowOutputs<U, T> {
    /// The results.
    pub out: Stream<U>,
    /// Records that no open window has taken: all of theirs had closed, or there is none for them.
    pub late: Stream<T>,
}

/// Windows that may fire more than once, waiting for what to make of them: made by
/// [`WindowedStream::allowed_lateness`], [`WindowedStream::trigger`] and [`WindowedStream::evictor`], in any order.
#[must_use = "a window needs an aggregate or a function: `.sum(...)`, `.count()`, `.process(...)`"]
pub struct FiringWindows<K: Key, T: Data, R = AtEnd, P = Incremental> {
    target: Target<K, T>,
    kind: Kind<T>,
    lateness: Duration,
    trigger: R,
    keeping: P,
    /// Somebody has said when they fire.
    is_timed: bool,
}

/// Where the operator goes.
struct Target<K: Key, T: Data> {
    stream: KeyedStream<K, T>,
    name: String,
    location: &'static Location<'static>,
}

/// Windows without an evictor hold an aggregate, not records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incremental;

/// Windows with an evictor hold their records.
pub struct Evicting<T>(Arc<dyn Evictor<T>>);

/// How windows hold what is aggregated. Its name is not public: it is there for the two of this file.
pub trait Keeping<T: Data>: Sized {
    /// Adds windows to the graph whose records are aggregated.
    fn add<K: Key, R: Trigger<T>, A: Aggregate<In = T>, U: Data>(
        windows: FiringWindows<K, T, R, Self>,
        aggregate: A,
        give: Give<K, A::Out, U>,
    ) -> WindowOutputs<U, T>;

    /// The evictor, if there is one.
    fn evictor(&self) -> Option<Arc<dyn Evictor<T>>>;
}

impl<T: Data> Keeping<T> for Incremental {
    fn add<K: Key, R: Trigger<T>, A: Aggregate<In = T>, U: Data>(
        windows: FiringWindows<K, T, R, Self>,
        aggregate: A,
        give: Give<K, A::Out, U>,
    ) -> WindowOutputs<U, T> {
        windows.add(Aggregated(aggregate), give)
    }

    fn evictor(&self) -> Option<Arc<dyn Evictor<T>>> {
        None
    }
}

impl<T: Data + TableValue> Keeping<T> for Evicting<T> {
    fn add<K: Key, R: Trigger<T>, A: Aggregate<In = T>, U: Data>(
        windows: FiringWindows<K, T, R, Self>,
        aggregate: A,
        give: Give<K, A::Out, U>,
    ) -> WindowOutputs<U, T> {
        let kept = Kept::by(windows.keeping.evictor());
        windows.add(KeptAggregate { kept, aggregate }, give)
    }

    fn evictor(&self) -> Option<Arc<dyn Evictor<T>>> {
        Some(self.0.clone())
    }
}

impl<K: Key, T: Data> WindowedStream<K, T> {
    fn firing(self) -> FiringWindows<K, T> {
        let Self { stream, name, windows, location } = self;
        FiringWindows {
            target: Target { stream, name, location },
            kind: windows.cut.into_kind(),
            lateness: Duration::ZERO,
            trigger: AtEnd,
            keeping: Incremental,
            is_timed: false,
        }
    }
}

/// What windows have if they are given no settings: one result at the end.
pub(crate) fn plain<K: Key, T: Data, A: Aggregate<In = T>>(
    windows: WindowedStream<K, T>,
    aggregate: A,
) -> Windowed<K, A::Out, T> {
    let give: Give<K, A::Out, WindowResult<K, A::Out>> = Box::new(|fired, value, out| {
        let FiredWindow { key, window, .. } = *fired;
        out.emit(WindowResult { key: key.clone(), start: window.start, end: window.end, value });
        Ok(())
    });
    let WindowOutputs { out, late } = windows.firing().add(Aggregated(aggregate), give);
    Windowed { out, late }
}

impl<K: Key, T: Data> WindowedStream<K, T> {
    /// Keeps windows of event time for `lateness` after their end, in whole milliseconds: each record that is late by
    /// less gives an updated result, unless a trigger says otherwise. Only what is later still goes to the late
    /// output.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|clicks, taps| {
    ///     let tens = clicks.key_by(|page: &char| *page).window("tens", Tumbling::of(Duration::from_millis(10)));
    ///     let counts = tens.allowed_lateness(Duration::from_millis(5)).count();
    ///     taps.tap("count", &counts.out.map(|count| (count.value, count.firing.to_string())));
    ///     taps.tap("late", &counts.late);
    /// });
    /// script.record(3, 'a').watermark(10).record(4, 'a').watermark(15).record(5, 'a');
    /// assert_eq!(script.output(), [r#"count@9 (1, "on time #0")"#, r#"count@9 (2, "late #1")"#, "late@5 'a'"]);
    /// ```
    pub fn allowed_lateness(self, lateness: Duration) -> FiringWindows<K, T> {
        self.firing().allowed_lateness(lateness)
    }

    /// Lets `trigger` say when windows fire, in place of [`AtEnd`]: see [`trigger`](super::trigger).
    pub fn trigger<R: Trigger<T>>(self, trigger: R) -> FiringWindows<K, T, R> {
        self.firing().trigger(trigger)
    }

    /// Leaves records out as windows fire: see [`Evictor`]. Windows then keep their records.
    pub fn evictor(self, evictor: impl Evictor<T>) -> FiringWindows<K, T, AtEnd, Evicting<T>>
    where
        T: TableValue,
    {
        self.firing().evictor(evictor)
    }

    /// An aggregate of each window, handed to a function together with the window's key and bounds: nothing but the
    /// aggregate is kept.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::aggregate::Sum;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let tens = sales.key_by(|_: &u64| 'k').window("tens", Tumbling::of(Duration::from_millis(10)));
    ///     let rate = tens.aggregate_then(Sum::new(|price| *price), |fired, sum, out| {
    ///         out.emit(sum * 1_000 / fired.window.end.since(fired.window.start).as_millis() as u64);
    ///         Ok(())
    ///     });
    ///     taps.tap("a-second", &rate.out);
    /// });
    /// script.record(1, 5).record(2, 7).end();
    /// assert_eq!(script.output(), ["a-second@9 1200"]);
    /// ```
    pub fn aggregate_then<A: Aggregate<In = T>, U: Data>(
        self,
        aggregate: A,
        then: impl Fn(&FiredWindow<'_, K>, A::Out, &mut WindowOut<'_, U>) -> OpResult + Send + Sync + 'static,
    ) -> WindowOutputs<U, T> {
        self.firing().aggregate_then(aggregate, then)
    }

    /// A function of all records of each window, in the order in which they arrived. They are kept until the window
    /// goes, one row each.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pelton_operators::{Tumbling, testing::Harness};
    ///
    /// let mut script = Harness::new(|sales, taps| {
    ///     let tens = sales.key_by(|_: &u64| 'k').window("tens", Tumbling::of(Duration::from_millis(10)));
    ///     let median = tens.process(|_fired, mut sales, out| {
    ///         sales.sort_by_key(|sale| sale.value);
    ///         out.emit(sales[sales.len() / 2].value);
    ///         Ok(())
    ///     });
    ///     taps.tap("median", &median.out);
    /// });
    /// script.record(1, 5).record(2, 70).record(3, 6).end();
    /// assert_eq!(script.output(), ["median@9 6"]);
    /// ```
    pub fn process<U: Data>(
        self,
        function: impl Fn(&FiredWindow<'_, K>, Vec<Record<T>>, &mut WindowOut<'_, U>) -> OpResult
        + Send
        + Sync
        + 'static,
    ) -> WindowOutputs<U, T>
    where
        T: TableValue,
    {
        self.firing().process(function)
    }
}

impl<K: Key, T: Data, R, P> FiringWindows<K, T, R, P> {
    /// As [`WindowedStream::allowed_lateness`].
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self { lateness, ..self }
    }

    /// As [`WindowedStream::trigger`].
    pub fn trigger<R2: Trigger<T>>(self, trigger: R2) -> FiringWindows<K, T, R2, P> {
        let Self { target, kind, lateness, keeping, .. } = self;
        FiringWindows { target, kind, lateness, trigger, keeping, is_timed: true }
    }

    /// As [`WindowedStream::evictor`].
    pub fn evictor(self, evictor: impl Evictor<T>) -> FiringWindows<K, T, R, Evicting<T>>
    where
        T: TableValue,
    {
        let Self { target, kind, lateness, trigger, is_timed, .. } = self;
        FiringWindows { target, kind, lateness, trigger, keeping: Evicting(Arc::new(evictor)), is_timed }
    }
}

impl<K: Key, T: Data, R: Trigger<T>, P: Keeping<T>> FiringWindows<K, T, R, P> {
    /// The number of records.
    pub fn count(self) -> WindowOutputs<WindowUpdate<K, u64>, T> {
        self.aggregate(Count::new())
    }

    /// The sum of `of` over the records; of integers it stays at the bound of their type if it is beyond.
    pub fn sum<V: Addend>(
        self,
        of: impl Fn(&T) -> V + Send + Sync + 'static,
    ) -> WindowOutputs<WindowUpdate<K, V>, T> {
        self.aggregate(Sum::new(of))
    }

    /// The records folded into an `A` that begins as its default.
    pub fn fold<A: State>(
        self,
        fold: impl Fn(&mut A, T) + Send + Sync + 'static,
    ) -> WindowOutputs<WindowUpdate<K, A>, T> {
        self.aggregate(Fold::new(fold))
    }

    /// The records combined into one by `combine(so far, next)`.
    pub fn reduce(
        self,
        combine: impl Fn(T, T) -> T + Send + Sync + 'static,
    ) -> WindowOutputs<WindowUpdate<K, T>, T>
    where
        T: PartialEq + Sync,
    {
        self.aggregate(Reduce::new(combine))
    }

    /// Any aggregate.
    pub fn aggregate<A: Aggregate<In = T>>(self, aggregate: A) -> WindowOutputs<WindowUpdate<K, A::Out>, T> {
        self.aggregate_then(aggregate, |fired, value, out| {
            let FiredWindow { key, window, firing } = *fired;
            out.emit(WindowUpdate { key: key.clone(), start: window.start, end: window.end, value, firing });
            Ok(())
        })
    }

    /// As [`WindowedStream::aggregate_then`].
    pub fn aggregate_then<A: Aggregate<In = T>, U: Data>(
        self,
        aggregate: A,
        then: impl Fn(&FiredWindow<'_, K>, A::Out, &mut WindowOut<'_, U>) -> OpResult + Send + Sync + 'static,
    ) -> WindowOutputs<U, T> {
        P::add(self, aggregate, Box::new(then))
    }

    /// As [`WindowedStream::process`].
    pub fn process<U: Data>(
        self,
        function: impl Fn(&FiredWindow<'_, K>, Vec<Record<T>>, &mut WindowOut<'_, U>) -> OpResult
        + Send
        + Sync
        + 'static,
    ) -> WindowOutputs<U, T>
    where
        T: TableValue,
    {
        let kept = Kept::by(self.keeping.evictor());
        self.add(kept, Box::new(function))
    }
}

impl<K: Key, T: Data, R: Trigger<T>, P: Keeping<T>> FiringWindows<K, T, R, P> {
    /// Adds the operator to the graph.
    fn add<C: Contents<K, T>, U: Data>(self, contents: C, give: Give<K, C::Fired, U>) -> WindowOutputs<U, T> {
        let Target { stream, name, location } = &self.target;
        let graph = stream.stream.graph.clone();
        for problem in self.problems(C::MERGES) {
            graph.mistake(name, problem, location);
        }
        let spec = C::declare(StateSpec::<KeyWindows<C::Held, R::State>>::new().timers());
        let mut states = stream.decls_or_mistake(name, spec.decls::<K>(), location);
        if let Kind::Count(windows) = &self.kind {
            // How many records a window lacks is known by how many it is of.
            let values = states.iter_mut().filter(|state| state.kind == "value");
            values.for_each(|state| state.fingerprint += &format!(" / {windows}"));
        }
        let mut add = stream.stateful::<U>(name.clone(), "window", states, location);
        add.outputs.push(OutputPort::of::<T>("late"));
        add.detail = self.detail();
        let Self { kind, lateness, trigger, .. } = self;
        let goes_by_clock = kind.domain() == TimeDomain::Processing || trigger.goes_by_clock();
        let lateness_ms = i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX);
        let plan = Arc::new(Plan { kind, lateness_ms, trigger, contents, give });
        let factory = move |cx: &OperatorContext<'_>| {
            let state = store(cx)?.keyed(cx.name, spec.clone())?;
            let running = Running::new(plan.clone(), state, cx)?;
            Ok::<_, OpError>(Box::new(running) as Box<dyn Operator>)
        };
        let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
        if goes_by_clock {
            graph.ranks(node, Ranks::ByClock);
        }
        WindowOutputs {
            out: Stream::new(graph.clone(), PortRef { node, port: 0 }),
            late: Stream::new(graph, PortRef { node, port: 1 }),
        }
    }

    /// What is wrong with the settings.
    fn problems(&self, contents_merge: bool) -> Vec<String> {
        let Self { kind, lateness, trigger, keeping, is_timed, .. } = self;
        let mut problems = Vec::new();
        problems.extend(kind.check().err());
        problems.extend(trigger.check().err());
        problems.extend(keeping.evictor().and_then(|evictor| evictor.check().err()));
        let named = kind.describe();
        if kind.merges() && !contents_merge {
            problems.push(format!(
                "{named} become one when they touch, and the aggregate does not merge: use one that does, such as \
                 `Fold::new(..).merging(..)`"
            ));
        }
        if kind.merges() && !R::MERGES {
            problems.push(format!(
                "{named} become one when they touch, and the trigger `{}` does not merge: give it `on_merge` and `MERGES`",
                trigger.describe()
            ));
        }
        if !trigger.fires() {
            problems.push(format!("the trigger `{}` has no window fire", trigger.describe()));
        }
        if matches!(kind, Kind::Global) && !is_timed {
            problems.push(
                "a global window ends with the input, and on an endless one it never fires: say when it shall, as by \
                 `.trigger(OnCount::of(..))`, or `.trigger(AtEnd)` if the input ends"
                    .to_owned(),
            );
        }
        if !lateness.is_zero() && !kind.knows_late() {
            problems.push(format!("{named} know no late records, so there is no lateness to allow"));
        }
        if !lateness.subsec_nanos().is_multiple_of(1_000_000) {
            problems.push(format!("an allowed lateness of {lateness:?} is no whole number of milliseconds"));
        }
        if i64::try_from(lateness.as_millis()).is_err() {
            problems.push(format!("an allowed lateness of {lateness:?} is longer than event time reaches"));
        }
        problems
    }

    fn detail(&self) -> String {
        let mut detail = format!("{}, firing {}", self.kind.describe(), self.trigger.describe());
        if !self.lateness.is_zero() {
            detail += &format!(", lateness {:?}", self.lateness);
        }
        if self.keeping.evictor().is_some() {
            detail += ", with an evictor";
        }
        detail
    }
}
