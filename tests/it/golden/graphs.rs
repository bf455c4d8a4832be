//! Random graphs of operators, against the same graphs played over a list.
//!
//! A stream is *ordered* while each key's items keep the order of the input; a union, a rebalance and a
//! new key end that. Behind those, only operators stand whose results do not depend on order.

use std::collections::{BTreeMap, BTreeSet};

use pelton::operators::aggregate::Count;
use pelton::prelude::*;

use super::drive::{Case, Line, Place};
use super::input::Event;
use super::random::Random;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Item {
    key: u64,
    id: u64,
    value: u64,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Map(u64),
    Filter(u64),
    Copies,
    Split(u64),
    Union,
    Rebalance,
    NewKey,
    Fold,
    Reduce,
    Aggregate,
    Settle,
    Window,
}

/// An operator, its inputs among the streams before it, and how many streams it gives.
struct Node {
    op: Op,
    inputs: Vec<usize>,
}

/// A graph: streams are numbered, the events first.
struct Plan {
    nodes: Vec<Node>,
    /// The streams that end in sinks.
    open: Vec<usize>,
    is_ordered: Vec<bool>,
}

const MOST_NODES: u64 = 9;

impl Plan {
    fn random(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut plan = Self { nodes: Vec::new(), open: vec![0], is_ordered: vec![true] };
        for _ in 0..3 + random.below(MOST_NODES - 2) {
            let at = random.below(plan.open.len() as u64) as usize;
            // Now and then a stream has two consumers.
            let from = if random.below(4) == 0 { plan.open[at] } else { plan.open.swap_remove(at) };
            let mut inputs = vec![from];
            let is_ordered = plan.is_ordered[from];
            let op = match random.below(12) {
                0 => Op::Map(random.below(100)),
                1 => Op::Filter(2 + random.below(3)),
                2 => Op::Copies,
                3 => Op::Split(2 + random.below(3)),
                4 | 5 if plan.open.len() > 1 => Op::Union,
                6 => Op::Rebalance,
                7 => Op::NewKey,
                8 if is_ordered => Op::Fold,
                9 if is_ordered => Op::Reduce,
                10 if is_ordered => Op::Aggregate,
                11 => Op::Settle,
                _ => Op::Window,
            };
            if let Op::Union = op {
                let other = plan.open.iter().position(|stream| *stream != from);
                inputs.extend(other.map(|at| plan.open.swap_remove(at)));
            }
            let keeps_order = match op {
                Op::Union | Op::Rebalance | Op::NewKey => false,
                Op::Map(_) | Op::Filter(_) | Op::Copies | Op::Split(_) => is_ordered,
                // One item a key at a time, or a running value: in order by what it is.
                Op::Fold | Op::Reduce | Op::Aggregate | Op::Settle | Op::Window => true,
            };
            for _ in 0..if let Op::Split(_) = op { 2 } else { 1 } {
                plan.open.push(plan.is_ordered.len());
                plan.is_ordered.push(keeps_order);
            }
            plan.nodes.push(Node { op, inputs });
        }
        plan.open.sort_unstable();
        plan.open.dedup();
        plan
    }
}

fn mapped(item: &Item, by: u64) -> Item {
    Item { value: item.value.wrapping_mul(31).wrapping_add(by) % 1_000_003, ..item.clone() }
}

fn copies(item: &Item) -> Vec<Item> {
    (0..item.value % 3).map(|copy| Item { value: item.value + copy, ..item.clone() }).collect()
}

fn with_new_key(item: &Item) -> Item {
    Item { key: item.value % 5, ..item.clone() }
}

fn folded(so_far: &mut u64, item: &Item) {
    *so_far = so_far.wrapping_mul(101).wrapping_add(item.value) % 1_000_003;
}

fn reduced(earlier: &Item, later: &Item) -> Item {
    Item { value: earlier.value.wrapping_mul(7).wrapping_add(later.value) % 1_000_003, ..later.clone() }
}

const SIZE_MS: i64 = 50;

/// What is made of all items of a key, in whatever order they came.
fn settled(key: u64, mut items: Vec<(u64, u64)>) -> Item {
    items.sort_unstable();
    let id = items.len() as u64;
    let value = items.into_iter().fold(0, |sum: u64, (id, value)| {
        sum.wrapping_mul(103).wrapping_add(id).wrapping_mul(107).wrapping_add(value) % 1_000_003
    });
    Item { key, id, value }
}

/// Keeps the items of a key until all of a round are there: event times begin a new one after
/// [`LATER_MS`], so that what has been settled can be settled again.
struct Settle;

const ITEMS: MapTable<(i64, u64, u64), u64> = MapTable::new("items");
/// After every event.
const LATER_MS: i64 = 1_000_000;

/// The end of the round that a time is in.
fn end_of_round(at_ms: i64) -> i64 {
    (at_ms.div_euclid(LATER_MS) + 1) * LATER_MS
}

impl KeyedProcess for Settle {
    type Key = u64;
    type In = Item;
    type Out = Item;
    type Side = NoSide;
    type State = ();

    fn declare(&self, states: &mut Declare<()>) {
        states.map(ITEMS);
    }

    fn on_record(&self, item: Item, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        assert!(!cx.is_late(), "{item:?} at {} is late at {}", cx.time(), cx.watermark());
        let round = end_of_round(cx.time().0);
        cx.map(ITEMS)?.update(&(round, item.id, item.value), |count| count + 1)?;
        cx.timer_at(EventTime(round));
        Ok(())
    }

    fn on_timer(&self, at: EventTime, _: &mut StateMut<'_, ()>, cx: &mut Context<'_, Self>) -> OpResult {
        let mut items = cx.map(ITEMS)?;
        let all: Vec<_> = items.iter()?.collect::<Result<_, _>>()?;
        let mut of_round = Vec::new();
        for (item, count) in all.into_iter().filter(|((round, ..), _)| *round == at.0) {
            items.remove(&item)?;
            of_round.extend((0..count).map(|_| (item.1, item.2)));
        }
        drop(items);
        let key = *cx.key();
        cx.emit(settled(key, of_round));
        Ok(())
    }
}

fn wire(job: &mut Job, place: &Place) {
    let item = |event: Event| Item { key: event.key, id: event.id, value: event.amount };
    let mut streams: Vec<Stream<Item>> = vec![place.events(job).map(item)];
    let plan = Plan::random(place.seed);
    for (number, Node { op, inputs }) in plan.nodes.iter().enumerate() {
        let from = streams[inputs[0]].clone();
        let keyed = || from.key_by(|item| item.key);
        let name = format!("{op:?}-{number}");
        println!("{name} of {inputs:?}");
        let made = match *op {
            Op::Map(by) => from.map(move |item| mapped(&item, by)),
            Op::Filter(by) => from.filter(move |item| !item.value.is_multiple_of(by)),
            Op::Copies => from.flat_map(|item| copies(&item)),
            Op::Split(by) => {
                let parts = from.split(move |item| item.value.is_multiple_of(by));
                streams.push(parts.matching);
                parts.rest
            }
            Op::Union => from.union(inputs[1..].iter().map(|other| streams[*other].clone())),
            Op::Rebalance => from.rebalance(),
            Op::NewKey => from.map(|item| with_new_key(&item)),
            Op::Fold => {
                let fold = |(value, id): &mut (u64, u64), item: Item| {
                    folded(value, &item);
                    *id = item.id;
                };
                keyed().fold(name, fold).map(|(key, (value, id))| Item { key, id, value })
            }
            Op::Reduce => keyed().reduce(name, |earlier, later| reduced(&earlier, &later)),
            Op::Aggregate => {
                keyed().aggregate(name, Count::new()).map(|(key, value)| Item { key, id: 0, value })
            }
            Op::Settle => keyed().process(name, Settle).out,
            Op::Window => {
                let windows = Tumbling::of(Duration::from_millis(SIZE_MS.unsigned_abs()));
                let sums = keyed().window(name.clone(), windows).sum(|item| item.value);
                place.keep(&format!("{name} late"), &sums.late.map(|item| line(&item)));
                sums.out.map(|window| Item {
                    key: window.key,
                    id: window.start.0.unsigned_abs(),
                    value: window.value,
                })
            }
        };
        streams.push(made);
    }
    for open in plan.open {
        place.keep(&format!("stream {open}"), &streams[open].map(|item| line(&item)));
    }
}

fn line(item: &Item) -> Line {
    (item.key, format!("{} {}", item.id, item.value))
}

/// The items of a stream with their event times, each key's in order if the stream is ordered.
type Played = Vec<(i64, Item)>;

fn by_key(items: &Played) -> BTreeMap<u64, Played> {
    let mut keys: BTreeMap<u64, Played> = BTreeMap::new();
    items.iter().for_each(|(at, item)| keys.entry(item.key).or_default().push((*at, item.clone())));
    keys
}

/// What each key's items become one after the other.
fn running<S: Default>(items: &Played, next: impl Fn(&mut S, &Item) -> Item) -> Played {
    let mut states: BTreeMap<u64, S> = BTreeMap::new();
    items.iter().map(|(at, item)| (*at, next(states.entry(item.key).or_default(), item))).collect()
}

/// What each key's items of one span of time become together.
fn together(
    items: &Played,
    span: impl Fn(i64) -> i64,
    make: impl Fn(u64, i64, &Played) -> (i64, Item),
) -> Played {
    let mut made = Vec::new();
    for (key, items) in by_key(items) {
        let mut spans: BTreeMap<i64, Played> = BTreeMap::new();
        items.into_iter().for_each(|item| spans.entry(span(item.0)).or_default().push(item));
        made.extend(spans.iter().map(|(span, items)| make(key, *span, items)));
    }
    made
}

fn play(op: Op, inputs: &[&Played]) -> Vec<Played> {
    let of = inputs[0];
    let each = |f: &dyn Fn(&Item) -> Item| of.iter().map(|(at, item)| (*at, f(item))).collect();
    vec![match op {
        Op::Map(by) => each(&|item| mapped(item, by)),
        Op::Filter(by) => of.iter().filter(|(_, item)| !item.value.is_multiple_of(by)).cloned().collect(),
        Op::Copies => {
            of.iter().flat_map(|(at, item)| copies(item).into_iter().map(move |copy| (*at, copy))).collect()
        }
        Op::Split(by) => {
            let (matching, rest) = of.iter().cloned().partition(|(_, item)| item.value.is_multiple_of(by));
            return vec![matching, rest];
        }
        Op::Union => inputs.iter().flat_map(|input| input.iter().cloned()).collect(),
        Op::Rebalance => of.clone(),
        Op::NewKey => each(&with_new_key),
        Op::Fold => running(of, |value: &mut u64, item| {
            folded(value, item);
            Item { value: *value, ..item.clone() }
        }),
        Op::Reduce => running(of, |so_far: &mut Option<Item>, item| {
            let next = match so_far.take() {
                Some(earlier) => reduced(&earlier, item),
                None => item.clone(),
            };
            so_far.insert(next).clone()
        }),
        Op::Aggregate => running(of, |count: &mut u64, item| {
            *count += 1;
            Item { key: item.key, id: 0, value: *count }
        }),
        Op::Settle => together(of, end_of_round, |key, round, items| {
            (round, settled(key, items.iter().map(|(_, item)| (item.id, item.value)).collect()))
        }),
        Op::Window => together(
            of,
            |at| at.div_euclid(SIZE_MS) * SIZE_MS,
            |key, start, items| {
                let value = items.iter().map(|(_, item)| item.value).sum();
                (start + SIZE_MS - 1, Item { key, id: start.unsigned_abs(), value })
            },
        ),
    }]
}

fn check(place: &Place) {
    let item = |event: Event| (event.at.0, Item { key: event.key, id: event.id, value: event.amount });
    let mut streams: Vec<Played> = vec![Event::all(place.seed).map(item).collect()];
    let plan = Plan::random(place.seed);
    for (number, Node { op, inputs }) in plan.nodes.iter().enumerate() {
        let inputs: Vec<&Played> = inputs.iter().map(|input| &streams[*input]).collect();
        streams.extend(play(*op, &inputs));
        if let Op::Window = op {
            place.in_any_order(&format!("{op:?}-{number} late"), []);
        }
    }
    let unique: BTreeSet<usize> = plan.open.iter().copied().collect();
    assert_eq!(unique.len(), plan.open.len());
    for open in plan.open {
        let expected = streams[open].iter().map(|(_, item)| line(item));
        let name = format!("stream {open}");
        if plan.is_ordered[open] {
            place.in_order(&name, expected);
        } else {
            place.in_any_order(&name, expected);
        }
    }
}

pub const RANDOM: Case = Case { covers: &[], wire, check };
