//! Lowering: from the logical graph to timely operators on one worker.
//!
//! In reading order: [`plan`] cuts the graph into stages; each stage becomes one timely operator
//! whose insides are a `tree` of operators with `queued` batches between them and whose turns are in `stage`, with a head that is
//! either `inputs` (channels) or `source_head` (splits). `parcel` and `credit` are the channels
//! between stages, `edge_check` watches them in debug builds.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::worker::Worker;

use crate::clock::timer_start;
use crate::env::WorkerEnv;
use crate::error::{Cause, Failure, OpError, Place, panic_message};
use crate::graph::{Graph, Node, NodeId, Role};
use crate::operator::{OperatorContext, RestoredPart, Waker};
use crate::source::SourceOperator;
use crate::stats::OperatorStats;
use crate::stats::channels::ChannelStats;
use crate::time::{EventTime, Moment};

mod credit;
mod edge_check;
mod inputs;
mod own_time;
pub(crate) mod parcel;
pub mod plan;
mod queued;
mod source_head;
mod stage;
mod tree;

use credit::{CreditLine, CreditReturn};
use edge_check::EdgeCheck;
use inputs::{InChannel, Inputs};
use own_time::OwnTime;
use parcel::{ByAddress, Parcel};
use plan::{Leaf, Slot, StagePlan};
use source_head::SourceHead;
use stage::{Core, OutChannel, Wires};
use tree::{LeafWork, RunningSlot, Tree, Work};

/// A timely worker for [`lower`]: with a timer, without which timely takes every delayed activation
/// for an immediate one and an idle stage spins.
#[must_use]
pub fn new_worker(allocator: Allocator) -> Worker {
    // A worker that looks again and again before it parks takes a sixth of its processor time at 50,000
    // records a second, from threads that write state. The median latency is the same without; the
    // tail could not be told apart from the noise of the machine.
    let config = WorkerConfig::default().idle_spin(Duration::ZERO);
    Worker::new(config, allocator, Some(timer_start()))
}

/// Installs `graph` on `worker` as one dataflow. The caller steps the worker until
/// `env.control` says stop, and then drops the dataflow.
///
/// # Errors
/// An operator could not be built. The worker must then be dropped, not stepped: it lacks stages
/// that the other workers have.
pub fn lower(graph: &Graph, worker: &mut Worker, env: Rc<WorkerEnv>) -> Result<(), Failure> {
    let stages = plan::plan(graph);
    worker.dataflow::<Moment, _, _>(|scope| {
        let mut lowering = Lowering { graph, env, scope, channels: HashMap::new() };
        stages.iter().try_for_each(|stage| lowering.stage(stage))
    })
}

/// The ends of channels whose receiving stage is not built yet, by receiving node and port.
type Channels<'scope> = HashMap<(NodeId, usize), (Stream<'scope, Moment, Parcel>, CreditReturn)>;

/// The slots of a stage, and the source at its root if there is one.
type Operators = (Vec<RunningSlot>, Option<Box<dyn SourceOperator>>);

struct Lowering<'a, 'scope> {
    graph: &'a Graph,
    env: Rc<WorkerEnv>,
    scope: Scope<'scope, Moment>,
    channels: Channels<'scope>,
}

impl Lowering<'_, '_> {
    fn stage(&mut self, plan: &StagePlan) -> Result<(), Failure> {
        let root = self.graph.node(plan.root());
        let mut builder = OperatorBuilder::new(root.name.clone(), self.scope);
        let address = builder.operator_info().address;
        let mut incoming = Vec::new();
        for port in 0..plan.inputs {
            let (stream, credits) =
                self.channels.remove(&(root.id, port)).expect("stages are built after those that feed them");
            let handle = builder.new_input(stream, ByAddress);
            incoming.push(InChannel { handle, credits, check: EdgeCheck::new(&root.name, self.env.workers) });
        }
        let own_time = OwnTime::of(root);
        let mut outgoing = Vec::new();
        for leaf in plan.leaves() {
            let (output, stream) = match own_time {
                None => builder.new_output::<Parcel>(),
                // Its capabilities alone tell what may come out.
                Some(_) => builder.new_output_connection::<Parcel, _>([]),
            };
            let stats = self.channel_stats(leaf);
            let (line, back) = credit::allocate(self.scope.worker(), address.clone(), stats);
            self.channels.insert((leaf.to, leaf.port), (stream, back));
            outgoing.push((output, line));
        }
        let waker = self.waker(&address);
        self.env.control.on_change(waker.clone());
        let (slots, source) = match self.operators(plan, &waker) {
            Ok(operators) => operators,
            Err(failure) => {
                // Timely insists on an operator at each address that it has given out.
                builder.build(|_| |_: &[MutableAntichain<Moment>]| ());
                return Err(failure);
            }
        };
        let floor = plan.slots.iter().map(|slot| self.floor(slot)).max().unwrap_or(EventTime::MIN);
        let activator = self.scope.worker().activator_for(address);
        let env = self.env.clone();
        let name = root.name.clone();
        let id = root.id;
        builder.build_reschedule(move |capabilities| {
            let wires = wires(outgoing, capabilities, &env);
            let tree = Tree::new(slots, env.worker, env.clock.clone());
            let mut core = Core::new(tree, wires, floor, env, activator.clone());
            activator.activate();
            let mut head = match source {
                Some(source) => Head::Source(SourceHead::new(id, name, source, core.epoch)),
                None => Head::Inputs(Inputs::new(incoming, own_time)),
            };
            move |frontiers| {
                core.turn(|core, deadline_ns| match &mut head {
                    Head::Source(source) => source.turn(core, deadline_ns),
                    Head::Inputs(inputs) => inputs.turn(core, frontiers, deadline_ns),
                });
                // Never complete by itself: a stage that ends in sinks holds no capability, and
                // timely would take it for done. It ends when its dataflow is dropped.
                true
            }
        });
        Ok(())
    }

    fn channel_stats(&self, leaf: &Leaf) -> Arc<ChannelStats> {
        let WorkerEnv { worker, workers, settings, .. } = &*self.env;
        let Leaf { from, to, port } = *leaf;
        let stats = Arc::new(ChannelStats::new(from, to, port, *worker, *workers, settings.channel_batches));
        self.env.stats.register_channel(stats.clone());
        stats
    }

    fn operators(&self, plan: &StagePlan, waker: &Waker) -> Result<Operators, Failure> {
        let root = self.graph.node(plan.root());
        let slots = self.slots(plan, waker)?;
        let source = match &root.role {
            Role::Source(source) => Some(self.build(root, waker, |cx| source.operator(cx))?),
            _ => None,
        };
        Ok((slots, source))
    }

    fn slots(&self, plan: &StagePlan, waker: &Waker) -> Result<Vec<RunningSlot>, Failure> {
        let mut leaves = 0;
        let mut slots = Vec::new();
        for (slot, routes) in plan.slots.iter().zip(&plan.routes) {
            slots.push(match slot {
                Slot::Entry(id) => RunningSlot::new(
                    None,
                    self.graph.node(*id).name.clone(),
                    Work::Head,
                    routes.clone(),
                    None,
                ),
                Slot::Node(id) => self.node(self.graph.node(*id), routes.clone(), waker)?,
                Slot::Leaf(leaf) => {
                    leaves += 1;
                    self.leaf(leaf, leaves - 1, waker)?
                }
            });
        }
        Ok(slots)
    }

    fn node(&self, node: &Node, routes: Vec<Vec<usize>>, waker: &Waker) -> Result<RunningSlot, Failure> {
        let is_sink = matches!(node.role, Role::Sink(_));
        let stats = Arc::new(OperatorStats::new(
            node.id,
            node.name.clone(),
            self.env.worker,
            node.outputs.len(),
            is_sink,
        ));
        self.env.stats.register(stats.clone());
        let work = match &node.role {
            Role::Source(_) => Work::Head,
            Role::Operator(factory) => Work::Operator(self.build(node, waker, |cx| factory.build(cx))?),
            Role::Sink(sink) => Work::Operator(self.build(node, waker, |cx| sink.build(cx))?),
            Role::Exchange(_) | Role::Union => unreachable!("planned as the entry of a stage"),
        };
        let slot = RunningSlot::new(Some(node.id), node.name.clone(), work, routes, Some(stats));
        Ok(slot.in_event_order(self.graph.is_in_event_order(node.id)))
    }

    fn leaf(&self, leaf: &Leaf, index: usize, waker: &Waker) -> Result<RunningSlot, Failure> {
        let to = self.graph.node(leaf.to);
        let partitioner = match &to.role {
            Role::Exchange(factory) => Some(self.build(to, waker, |cx| Ok(factory.build(cx)))?),
            _ => None,
        };
        let work = Work::Leaf(LeafWork { leaf: index, partitioner, ready: Vec::new() });
        Ok(RunningSlot::new(None, to.name.clone(), work, Vec::new(), None))
    }

    fn build<R>(
        &self,
        node: &Node,
        waker: &Waker,
        build: impl FnOnce(&OperatorContext<'_>) -> Result<R, OpError>,
    ) -> Result<R, Failure> {
        let env = &self.env;
        let cx = OperatorContext {
            name: &node.name,
            worker: env.worker,
            workers: env.workers,
            groups: env.groups,
            generation: env.generation,
            job: &env.job,
            clock: env.clock.clone(),
            settings: &env.settings,
            resources: &env.resources,
            restored: self.restored(node),
            waker: waker.clone(),
            board: &env.board,
            is_ranked: self.graph.is_ranked(node.id),
            in_event_order: self.graph.is_in_event_order(node.id),
        };
        let (cause, message) = match catch_unwind(AssertUnwindSafe(|| build(&cx))) {
            Ok(Ok(built)) => return Ok(built),
            Ok(Err(error)) => (Cause::Error, error.to_string()),
            Err(payload) => (Cause::Panic, panic_message(payload.as_ref())),
        };
        let place = Place::default();
        Err(Failure { operator: node.name.clone(), worker: env.worker, cause, place, message })
    }

    fn restored(&self, node: &Node) -> &[RestoredPart] {
        self.env.restored.get(&node.name).map_or(&[], Vec::as_slice)
    }

    /// The watermark that a slot had before a restart: the greatest over its old instances, so
    /// that a window which any of them has fired does not fire again.
    fn floor(&self, slot: &Slot) -> EventTime {
        match slot {
            Slot::Node(id) => {
                let parts = self.restored(self.graph.node(*id));
                parts.iter().map(|part| part.watermark).max().unwrap_or(EventTime::MIN)
            }
            Slot::Entry(_) | Slot::Leaf(_) => EventTime::MIN,
        }
    }

    fn waker(&self, address: &[usize]) -> Waker {
        let activator = self.scope.worker().sync_activator_for(address.to_vec());
        // A worker that has left has nothing to be woken for.
        Waker::new(move || {
            let _ = activator.activate();
        })
    }
}

enum Head {
    Source(SourceHead),
    Inputs(Inputs),
}

type Outgoing = Vec<(timely::dataflow::channels::pushers::Output<Moment, Parcel>, CreditLine)>;

fn wires(
    outgoing: Outgoing,
    capabilities: Vec<timely::dataflow::operators::Capability<Moment>>,
    env: &WorkerEnv,
) -> Wires {
    let first = Moment::new(env.first_epoch, EventTime::MIN);
    let channels = outgoing.into_iter().zip(capabilities).map(|((output, credits), mut capability)| {
        capability.downgrade(&first);
        OutChannel { output, capability, credits }
    });
    Wires::new(channels.collect(), env.worker)
}
