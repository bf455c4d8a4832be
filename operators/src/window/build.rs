//! Adding the operator to the graph that an aggregate over aligned windows takes.

use std::sync::Arc;

use pelton_dataflow::error::OpError;
use pelton_dataflow::graph::{OutputPort, PortRef, Ranks, Role};
use pelton_dataflow::key::Key;
use pelton_dataflow::operator::{Operator, OperatorContext};
use pelton_dataflow::record::Data;
use pelton_state::{StateSpec, TimeDomain};

use super::aligned::{Aligned, Apart, Layout, Overlapping};
use super::panes::{self, PANES};
use super::slices::{self, SLICES};
use super::{WindowResult, Windowed, WindowedStream};
use crate::aggregate::Aggregate;
use crate::process::store;
use crate::stream::Stream;

/// Windows that a record may be added to one by one: each is a look-up per record, and a copy of what is kept.
pub(crate) const MAX_WINDOWS: i64 = 1_024;

/// How windows are kept.
#[derive(Clone)]
enum Kept {
    /// A pane for each.
    Apart(Apart),
    /// A pane for each, though they overlap.
    Each(Overlapping),
    /// By the slices that they share.
    Shared(Overlapping),
}

impl Kept {
    fn of(layout: Layout, merges: bool) -> Result<Self, String> {
        match layout {
            Layout::Apart(apart) => Ok(Self::Apart(apart)),
            Layout::Overlapping(windows) if merges => Ok(Self::Shared(windows)),
            Layout::Overlapping(windows) if windows.windows() > MAX_WINDOWS => Err(format!(
                "its aggregate does not merge, so that each record would be added to {} windows, more than {MAX_WINDOWS}: give it a \
                 `merge`, as `Fold::new(...).merging(...)` does",
                windows.windows()
            )),
            Layout::Overlapping(windows) => Ok(Self::Each(windows)),
        }
    }

    /// For `explain`.
    fn detail(&self) -> String {
        match self {
            Self::Apart(_) => String::new(),
            Self::Each(windows) => {
                format!(", {} windows a record: the aggregate does not merge", windows.windows())
            }
            Self::Shared(windows) => format!(", shared slices, {} a window", windows.slices()),
        }
    }
}

/// Adds the operator for `aggregate` over `windows`.
pub(super) fn aligned<K: Key, T: Data, A: Aggregate<In = T>>(
    windowed: WindowedStream<K, T>,
    windows: &Aligned,
    aggregate: A,
) -> Windowed<K, A::Out, T> {
    let WindowedStream { stream, name, location, .. } = windowed;
    let graph = stream.stream.graph.clone();
    let layout = windows.layout();
    let shape = layout.as_ref().map_or_else(String::clone, Layout::to_string);
    let kept = layout.and_then(|layout| Kept::of(layout, A::MERGES));
    let kept = kept.unwrap_or_else(|problem| {
        graph.mistake(&name, problem, location);
        // It is never run.
        Kept::Apart(Apart::Regular { size: 1, period: 1, offset: 0 })
    });
    let state = if matches!(kept, Kept::Shared(_)) { SLICES } else { PANES };
    let spec = StateSpec::<A::Accumulator>::new();
    let decl = spec.pane_decl::<K>(state);
    let mut states = stream.decls_or_mistake(&name, decl.map(|decl| vec![decl]), location);
    // What is kept means something only to windows that lie where it was kept for.
    let clock = if windows.domain() == TimeDomain::Processing { " of the clock" } else { "" };
    states.iter_mut().for_each(|state| state.fingerprint += &format!(" / {shape}{clock}"));
    let mut add = stream.stateful::<WindowResult<K, A::Out>>(name, "window", states, location);
    add.outputs.push(OutputPort::of::<T>("late"));
    add.detail = format!("{windows}{}", kept.detail());
    let (aggregate, domain) = (Arc::new(aggregate), windows.domain());
    let factory = move |cx: &OperatorContext<'_>| {
        let panes = store(cx)?.panes::<K, A::Accumulator>(cx.name, state, &spec)?;
        let aggregate = aggregate.clone();
        let layout = match kept.clone() {
            Kept::Shared(windows) => {
                let running = slices::Running::new(aggregate, windows, domain, panes, cx)?;
                return Ok::<_, OpError>(Box::new(running) as Box<dyn Operator>);
            }
            Kept::Apart(apart) => Layout::Apart(apart),
            Kept::Each(windows) => Layout::Overlapping(windows),
        };
        Ok(Box::new(panes::Running::new(aggregate, layout, domain, panes, cx)?))
    };
    let node = graph.add(add.into_node(Role::Operator(Arc::new(factory))));
    if domain == TimeDomain::Processing {
        graph.ranks(node, Ranks::ByClock);
    }
    Windowed {
        out: Stream::new(graph.clone(), PortRef { node, port: 0 }),
        late: Stream::new(graph, PortRef { node, port: 1 }),
    }
}
