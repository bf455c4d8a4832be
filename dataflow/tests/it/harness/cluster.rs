//! Workers on threads of their own that step only when the test says so, one at a time: a test
//! decides every interleaving. `run_free` lets them go by themselves.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use pelton_dataflow::clock::{ManualClock, monotonic_ns};
use pelton_dataflow::env::{Control, Intake, WorkerEnv};
use pelton_dataflow::error::Failure;
use pelton_dataflow::graph::{Graph, NodeId, Role};
use pelton_dataflow::key::KeyGroups;
use pelton_dataflow::lower::{lower, new_worker};
use pelton_dataflow::operator::{Resources, RestoredPart};
use pelton_dataflow::settings::Settings;
use pelton_dataflow::stats::StatsRegistry;
use pelton_dataflow::stats::channels::EdgeCounts;
use pelton_dataflow::time::Epoch;
use pelton_dataflow::watermarks::WatermarkBoard;
use timely::CommunicationConfig;
use timely::communication::{Allocator, WorkerGuards, initialize_from};

use super::log::Log;
use super::script::{Script, Scripts};
use super::wiring::Wiring;

/// Rounds of steps in which nothing is seen to happen before a cluster counts as quiet: a
/// frontier's change takes a few for each hop.
const QUIET_ROUNDS: usize = 40;

/// Rounds of steps in which nothing happens after which a run that should come somewhere is stuck:
/// far more than the longest timer takes.
const STUCK_ROUNDS: usize = 20_000;

/// Rounds of steps in which something happens after which a run that should come to rest spins.
const SPIN_ROUNDS: usize = 200_000;

/// What a cluster is started with.
pub struct Setup {
    pub workers: usize,
    pub settings: Settings,
    pub restored: HashMap<String, Vec<RestoredPart>>,
    /// Everything between workers goes through bytes, as between processes.
    pub encoded: bool,
}

impl Setup {
    /// Stages that are never interrupted, watermarks published at once, batches of 4 records.
    pub fn of(workers: usize) -> Self {
        let settings = Settings {
            batch_records: 4,
            batch_linger_us: 0,
            channel_batches: 4,
            watermark_interval_ms: 0,
            slice_us: 1_000_000_000,
            poll_interval_us: 1,
        };
        Self { workers, settings, restored: HashMap::new(), encoded: false }
    }

    /// Stages that yield after each call of an operator.
    pub fn in_single_steps(mut self) -> Self {
        self.settings.slice_us = 0;
        self
    }

    pub fn batches(mut self, batch_records: usize, channel_batches: usize) -> Self {
        self.settings.batch_records = batch_records;
        self.settings.channel_batches = channel_batches;
        self
    }
}

enum Order {
    Step(usize),
    Admit(Intake),
    RunFree,
}

/// What a worker says when it has done what it was told: the failure of its building, or a panic.
type Done = Result<Option<Failure>, Box<dyn Any + Send>>;

struct Seat {
    orders: Sender<Order>,
    done: Receiver<Done>,
    control: Arc<Control>,
    /// After the last step there was something to do, at once or at a time.
    has_timers: Arc<AtomicBool>,
}

/// The worker's side of a seat.
struct Bench {
    has_timers: Arc<AtomicBool>,
    orders: Receiver<Order>,
    done: Sender<Done>,
    control: Arc<Control>,
}

/// The workers of a job.
pub struct Cluster {
    seats: Vec<Seat>,
    threads: Option<WorkerGuards<()>>,
    scripts: Vec<(String, Scripts)>,
    pub log: Arc<Log>,
    pub clock: Arc<ManualClock>,
    pub stats: Arc<StatsRegistry>,
    /// Nodes that acknowledge.
    acking: Vec<usize>,
    names: Vec<String>,
    first_epoch: u64,
}

impl Cluster {
    pub fn start(wiring: Wiring, setup: Setup) -> Self {
        let (cluster, failures) = Self::try_start(wiring, setup);
        assert!(failures.is_empty(), "{failures:?}");
        cluster
    }

    /// A cluster, and the failures of workers that could not be built.
    pub fn try_start(wiring: Wiring, setup: Setup) -> (Self, Vec<Failure>) {
        let (log, scripts, first_epoch) = (wiring.log.clone(), wiring.scripts.clone(), wiring.first_epoch);
        let graph = Arc::new(wiring.finish());
        let acks = |role: &Role| !matches!(role, Role::Exchange(_) | Role::Union);
        let shared = Shared {
            board: Arc::new(WatermarkBoard::new(&graph, setup.workers)),
            stats: Arc::default(),
            clock: Arc::new(ManualClock::at_ms(0)),
            log: log.clone(),
            first_epoch: Epoch(first_epoch),
            graph: graph.clone(),
            setup: Arc::new(setup),
        };
        let workers = shared.setup.workers;
        let builders = if shared.setup.encoded {
            CommunicationConfig::ProcessBinary(workers)
        } else {
            CommunicationConfig::Process(workers)
        };
        let (builders, others) = builders.try_build().expect("allocators within a process");
        let (mut seats, benches): (Vec<Seat>, Vec<_>) =
            (0..shared.setup.workers).map(|_| seat(shared.first_epoch)).unzip();
        let (benches, of_workers) = (Mutex::new(benches), shared.clone());
        let work = move |allocator: Allocator| {
            let bench = benches.lock().unwrap()[allocator.index()].take().expect("one worker for each seat");
            of_workers.work(allocator, &bench);
        };
        let threads = Some(initialize_from(builders, others, work).expect("threads"));
        for (_, scripts) in &scripts {
            for (seat, script) in seats.iter().zip(scripts.iter()) {
                assert!(script.control.set(seat.control.clone()).is_ok(), "set once");
            }
        }
        let failures = seats.iter_mut().filter_map(Seat::wait).collect();
        let cluster = Self {
            seats,
            threads,
            scripts,
            log,
            clock: shared.clock,
            stats: shared.stats,
            acking: graph.nodes().iter().filter(|node| acks(&node.role)).map(|node| node.id.0).collect(),
            names: graph.nodes().iter().map(|node| node.name.clone()).collect(),
            first_epoch,
        };
        (cluster, failures)
    }

    pub fn workers(&self) -> usize {
        self.seats.len()
    }

    pub fn script(&self, source: &str, worker: usize) -> &Arc<Script> {
        let (_, scripts) =
            self.scripts.iter().find(|(name, _)| name == source).expect("a source of that name");
        &scripts[worker]
    }

    /// Adds to the script of `source` on `worker`.
    pub fn say(&self, source: &str, worker: usize, words: &str) {
        self.script(source, worker).say(words);
    }

    pub fn control(&self, worker: usize) -> &Arc<Control> {
        &self.seats[worker].control
    }

    pub fn node(&self, name: &str) -> NodeId {
        NodeId(self.names.iter().position(|known| known == name).expect("a node of that name"))
    }

    /// Has sources on all workers end the epoch before `epoch`.
    pub fn open(&self, epoch: u64) {
        for seat in &self.seats {
            seat.control.open_epoch(Epoch(epoch));
        }
    }

    /// Says that the inputs of all sources have ended.
    pub fn end_all(&self) {
        for (name, _) in &self.scripts {
            self.end(name);
        }
    }

    pub fn end(&self, source: &str) {
        let node = self.node(source);
        for seat in &self.seats {
            seat.control.end_source(node);
        }
    }

    pub fn are_scripts_read(&self) -> bool {
        self.scripts.iter().all(|(_, scripts)| scripts.iter().all(|script| script.is_done()))
    }

    /// Wakes all sources, as time would.
    pub fn nudge(&self) {
        for (_, scripts) in &self.scripts {
            scripts.iter().for_each(|script| script.wake());
        }
    }

    /// Steps one worker so many times.
    pub fn steps(&mut self, worker: usize, count: usize) {
        self.seats[worker].order(Order::Step(count));
        self.check_credits();
    }

    /// No sender has more batches in flight to a receiver than it has credits for.
    fn check_credits(&self) {
        for channel in self.stats.channels() {
            for (receiver, edge) in channel.edges().iter().enumerate() {
                let in_flight = edge.counts(0).in_flight;
                let (limit, sender) = (channel.limit, channel.sender);
                let to = &self.names[channel.to.0];
                assert!(in_flight <= limit as u64, "{in_flight} of {limit} to {to}, {sender} to {receiver}");
            }
        }
    }

    /// What `sender` has sent to `receiver` on the channels into the node `to`, as one sum.
    pub fn edge(&self, to: &str, sender: usize, receiver: usize) -> EdgeCounts {
        let node = self.node(to);
        let channels = self.stats.channels();
        let of_edge = channels.iter().filter(|channel| channel.to == node && channel.sender == sender);
        of_edge.fold(EdgeCounts::default(), |sum, channel| {
            let counts = channel.edges()[receiver].counts(monotonic_ns());
            EdgeCounts {
                batches: sum.batches + counts.batches,
                in_flight: sum.in_flight + counts.in_flight,
                waits: sum.waits + counts.waits,
                waited_ns: sum.waited_ns + counts.waited_ns,
                is_waiting: sum.is_waiting || counts.is_waiting,
            }
        })
    }

    /// Whether a worker would park until another brings news, after the steps it has made.
    pub fn waits_for_news(&self, worker: usize) -> bool {
        !self.seats[worker].has_timers.load(Ordering::SeqCst)
    }

    /// Has only those stages of the worker take input, as when its state cannot keep up.
    pub fn admit(&mut self, worker: usize, intake: Intake) {
        self.seats[worker].order(Order::Admit(intake));
    }

    /// Steps `workers` in turn until nothing is seen to happen any more.
    pub fn settle(&mut self, workers: &[usize]) {
        let mut quiet = 0;
        for _ in 0..SPIN_ROUNDS {
            let before = self.log.activity();
            workers.iter().for_each(|&worker| self.steps(worker, 2));
            quiet = if self.log.activity() == before { quiet + 1 } else { 0 };
            if quiet == QUIET_ROUNDS {
                return;
            }
        }
        panic!("still busy after {SPIN_ROUNDS} rounds: {:?}", self.log.failures());
    }

    pub fn settle_all(&mut self) {
        let all: Vec<usize> = (0..self.workers()).collect();
        self.settle(&all);
    }

    /// Steps all workers in turn until `done`, which must come.
    pub fn until(&mut self, what: &str, done: impl FnMut(&Self) -> bool) {
        let all_in_turn = |cluster: &mut Self| (0..cluster.workers()).for_each(|w| cluster.steps(w, 2));
        self.drive(what, all_in_turn, done);
    }

    /// Repeats `round` until `done`, which must come.
    pub fn drive(
        &mut self,
        what: &str,
        mut round: impl FnMut(&mut Self),
        mut done: impl FnMut(&Self) -> bool,
    ) {
        let (mut still, mut activity) = (0, 0);
        while still < STUCK_ROUNDS {
            if done(self) {
                return;
            }
            round(self);
            let before = std::mem::replace(&mut activity, self.log.activity());
            still = if activity == before { still + 1 } else { 0 };
        }
        let acks = self.log.acks.lock().unwrap().len();
        panic!(
            "nothing has happened in {STUCK_ROUNDS} rounds, and this has not come: {what}; {} alive, {acks} acks, sunk {:?}, failures {:?}",
            self.log.live.load(Ordering::SeqCst),
            self.log.sunk.lock().unwrap().len(),
            self.log.failures()
        );
    }

    /// Whether every operator on every worker has acknowledged `epoch`.
    pub fn is_complete(&self, epoch: u64) -> bool {
        self.log.acks_of(epoch) >= self.acking.len() * self.workers()
    }

    /// Ends all inputs, then the epoch `last`, and checks that everything took part in each epoch
    /// once and has reached the end of time.
    pub fn finish(mut self, last: u64) -> Arc<Log> {
        self.until("scripts read", Self::are_scripts_read);
        self.end_all();
        self.settle_all();
        self.open(last + 1);
        self.until("the last checkpoint", |cluster| cluster.is_complete(last) || cluster.log.failed());
        assert_eq!(self.log.failures(), Vec::<String>::new());
        self.check_acks(last);
        self.log.clone()
    }

    /// Has workers that run by themselves take epochs from `from` on to the end of their inputs.
    pub fn finish_free(mut self, from: u64) -> Arc<Log> {
        let mut epoch = from;
        loop {
            if self.are_scripts_read() {
                self.end_all();
            }
            self.open(epoch + 1);
            self.log.wait("a checkpoint", |_| self.is_complete(epoch));
            if self.log.has_ended_in(epoch) {
                break;
            }
            epoch += 1;
        }
        self.stop();
        assert_eq!(self.log.failures(), Vec::<String>::new());
        self.check_acks(epoch);
        self.log.clone()
    }

    fn check_acks(&self, last: u64) {
        let acks = self.log.acks.lock().unwrap();
        for epoch in self.first_epoch..=last {
            for &node in &self.acking {
                for worker in 0..self.workers() {
                    let of =
                        |ack: &&super::log::Ack| (ack.epoch, ack.node, ack.worker) == (epoch, node, worker);
                    let found: Vec<_> = acks.iter().filter(of).collect();
                    let name = &self.names[node];
                    assert_eq!(found.len(), 1, "acks of {name}/{worker} for epoch {epoch}");
                    if epoch == last {
                        assert_eq!(found[0].watermark.0, i64::MAX, "{name}/{worker} at its end");
                    }
                }
            }
        }
        let due = self.acking.len() * self.workers() * (last + 1 - self.first_epoch) as usize;
        assert_eq!(acks.len(), due, "acks of epochs {} to {last}", self.first_epoch);
    }

    /// Lets all workers run by themselves until they are told to stop.
    pub fn run_free(&mut self) {
        for seat in &self.seats {
            seat.orders.send(Order::RunFree).expect("the worker listens");
        }
    }

    /// Stops all workers and waits for their threads.
    pub fn stop(&mut self) {
        for seat in &mut self.seats {
            seat.control.stop();
            drop(std::mem::replace(&mut seat.orders, channel().0));
        }
        if let Some(threads) = self.threads.take() {
            let left = threads.join();
            assert!(std::thread::panicking() || left.iter().all(Result::is_ok), "{left:?}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Seat {
    fn order(&mut self, order: Order) {
        self.orders.send(order).expect("the worker listens until it is stopped");
        self.wait();
    }

    fn wait(&mut self) -> Option<Failure> {
        match self.done.recv().expect("the worker answers") {
            Ok(failure) => failure,
            Err(panic) => resume_unwind(panic),
        }
    }
}

fn seat(first_epoch: Epoch) -> (Seat, Option<Bench>) {
    let control = Arc::new(Control::starting_at(first_epoch));
    let (orders, inbox) = channel();
    let (outbox, done) = channel();
    let has_timers = Arc::new(AtomicBool::new(false));
    let bench =
        Bench { orders: inbox, done: outbox, control: control.clone(), has_timers: has_timers.clone() };
    (Seat { orders, done, control, has_timers }, Some(bench))
}

#[derive(Clone)]
struct Shared {
    graph: Arc<Graph>,
    setup: Arc<Setup>,
    board: Arc<WatermarkBoard>,
    stats: Arc<StatsRegistry>,
    clock: Arc<ManualClock>,
    log: Arc<Log>,
    first_epoch: Epoch,
}

impl Shared {
    fn work(&self, allocator: Allocator, bench: &Bench) {
        let env = Rc::new(self.env(allocator.index(), bench.control.clone()));
        let mut worker = new_worker(allocator);
        let answer = |work: &mut dyn FnMut() -> Option<Failure>| {
            // Nobody listens any more when the test is over.
            let _ = bench.done.send(catch_unwind(AssertUnwindSafe(work)));
        };
        answer(&mut || lower(&self.graph, &mut worker, env.clone()).err());
        while let Ok(order) = bench.orders.recv() {
            answer(&mut || {
                match order {
                    Order::Step(count) => (0..count).for_each(|_| {
                        worker.step();
                        let next = worker.activations().borrow().empty_for();
                        bench.has_timers.store(next.is_some(), Ordering::SeqCst);
                    }),
                    Order::Admit(intake) => env.intake.set(intake),
                    Order::RunFree => {
                        while !bench.control.is_stopped() {
                            // Without a limit: a wake-up that is lost hangs the test.
                            worker.step_or_park(None);
                        }
                    }
                }
                None
            });
        }
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    }

    fn env(&self, worker: usize, control: Arc<Control>) -> WorkerEnv {
        WorkerEnv {
            worker,
            workers: self.setup.workers,
            job: "test".to_owned(),
            generation: 1,
            first_epoch: self.first_epoch,
            groups: KeyGroups::default(),
            clock: self.clock.clone(),
            settings: self.setup.settings.clone(),
            resources: Resources::default(),
            restored: self.setup.restored.clone(),
            control,
            reporter: self.log.clone(),
            board: self.board.clone(),
            stats: self.stats.clone(),
            intake: Cell::new(Intake::Open),
        }
    }
}
