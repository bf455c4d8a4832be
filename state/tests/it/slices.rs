//! Panes that are read and dropped whole, against a map: whatever lies in memory, in layers or in the backend.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pelton_dataflow::key::hash_of;
use pelton_dataflow::time::EventTime;
use pelton_state::{Backend, KeyedAck, Panes, StateSpec, StateStore};
use proptest::prelude::*;

use crate::harness::{Job, PLENTY, backends};
use crate::windows::{Acks, open, save};

#[derive(Clone, Debug)]
enum Step {
    Add(i64, u64),
    Rest(i64),
    Forget(i64),
    Settle,
    Save,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0i64..5, 0u64..200).prop_map(|(window, key)| Step::Add(window, key)),
        2 => (0i64..5).prop_map(Step::Rest),
        1 => (0i64..5).prop_map(Step::Forget),
        2 => Just(Step::Settle),
        2 => Just(Step::Save),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..150)
}

type Slices = Rc<RefCell<Panes<u64, u64>>>;

fn begin(job: &mut Job, restored: &[KeyedAck]) -> (StateStore, Acks, Slices) {
    let (store, acks) = open::<u64, u64>(job, restored);
    let sums = store.panes::<u64, u64>("sums", "panes", &StateSpec::new()).unwrap();
    (store, acks, sums)
}

fn all(slices: &Slices) -> BTreeMap<(i64, u64), u64> {
    let slices = slices.borrow();
    let mut found = BTreeMap::new();
    for window in slices.windows() {
        for unit in slices.units() {
            let see = |hash, key: &u64, sum: &u64| {
                assert_eq!(hash, hash_of(key));
                assert_eq!(found.insert((window.0, *key), *sum), None, "key {key} was shown twice");
            };
            slices.walk(window, &unit, see).unwrap();
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_walk_shows_what_was_added_and_not_forgotten(steps in steps(), memory_bytes in prop_oneof![Just(1usize << 10), Just(PLENTY)], backend in prop::sample::select(backends())) {
        let mut job = Job { memory_bytes, ..Job::new(backend) };
        let (mut store, mut acks, mut slices) = begin(&mut job, &[]);
        let mut model: BTreeMap<(i64, u64), u64> = BTreeMap::new();
        // Windows that are forgotten do not come back: what belongs to them is late.
        let mut first = 0;
        let mut saved = (None, model.clone(), first);
        for (epoch, step) in (1..).zip(steps) {
            match step {
                Step::Add(window, key) if window >= first => {
                    *slices.borrow_mut().at(EventTime(window), hash_of(&key), &key).unwrap() += 1;
                    *model.entry((window, key)).or_default() += 1;
                }
                Step::Add(..) => {}
                Step::Rest(window) => slices.borrow_mut().rest(EventTime(window)),
                Step::Forget(window) => {
                    first = first.max(window + 1);
                    (0..first).for_each(|window| slices.borrow_mut().forget(EventTime(window)));
                    model.retain(|(window, _), _| *window >= first);
                }
                Step::Settle => drop(store.slice(20).unwrap()),
                Step::Save => saved = (Some(save(&store, &slices, &acks, epoch)), model.clone(), first),
                Step::Crash => {
                    drop((store, acks, slices));
                    (store, acks, slices) = begin(&mut job, saved.0.as_slice());
                    (model, first) = (saved.1.clone(), saved.2);
                }
            }
            prop_assert_eq!(&all(&slices), &model);
        }
    }
}

/// Of what rests, only what the writer has not written yet is in memory; of what is forgotten, nothing
/// is anywhere.
#[test]
fn what_rests_leaves_memory_and_what_is_forgotten_the_backend() {
    let mut job = Job::new(Backend::Memory);
    let (store, acks, slices) = begin(&mut job, &[]);
    let add = |window: i64, key: u64| {
        *slices.borrow_mut().at(EventTime(window), hash_of(&key), &key).unwrap() += 1;
    };
    (0..100).for_each(|key| add(1, key));
    slices.borrow_mut().rest(EventTime(1));
    save(&store, &slices, &acks, 1);
    while store.maintain().unwrap() {}
    // The rows are written now, and leave with the next barrier.
    save(&store, &slices, &acks, 2);
    let reads = store.backend_reads();
    add(1, 7);
    assert_eq!(store.backend_reads(), reads + 1, "the key was in memory still");
    assert_eq!(all(&slices)[&(1, 7)], 2);
    slices.borrow_mut().forget(EventTime(1));
    let saved = save(&store, &slices, &acks, 3);
    let (_store, _acks, slices) = begin(&mut job, &[saved]);
    assert_eq!(slices.borrow().windows().count(), 0);
}
