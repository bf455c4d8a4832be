//! Values and generators: their splits, their rate, and going on where they were.

use std::sync::Arc;
use std::time::Duration;

use pelton_connectors::{Generator, Values};
use pelton_dataflow::clock::ManualClock;
use pelton_dataflow::source::{Fetched, Polled, Source, SplitInfo, SplitState, SplitStatus};
use proptest::prelude::*;

use crate::support::{Reading, check_resume, drain, messages, open, read_all, splits};

#[test]
fn values_come_in_order_and_resume_anywhere() {
    let words = Values::new("a b c d e f g".split(' ').map(str::to_owned));
    assert_eq!(splits(&words), ["0-of-1"]);
    assert_eq!(read_all(&words, "0-of-1").values.concat(), "abcdefg");
    check_resume(&words);
    check_resume(&words.splits(3));
    check_resume(&Values::<u8>::new([]));
}

#[test]
fn values_bring_their_times() {
    let timed = Values::timed([(10, 'a'), (20, 'b'), (15, 'c')]).splits(2);
    let expected = Reading { values: vec!['a', 'c'], times: vec![10, 15], rejected: vec![] };
    assert_eq!(read_all(&timed, "0-of-2"), expected);
    check_resume(&timed);
}

#[test]
fn generated_indexes_are_each_in_one_split() {
    let source = Generator::new(100, |index| index).splits(7);
    let mut all: Vec<u64> =
        splits(&source).iter().flat_map(|split| read_all(&source, split).values).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100));
    check_resume(&source);
    check_resume(&Generator::new(0, |index| index));
}

#[test]
fn the_span_names_the_indexes() {
    let source = Generator::new(100, |index| index).splits(4);
    let mut fetched = Fetched::default();
    open(&source, "3-of-4", None).unwrap().poll(5, &mut fetched).unwrap();
    assert_eq!((fetched.values, fetched.span), (vec![3, 7, 11, 15, 19], Some((3, 19))));
}

#[test]
fn a_rate_holds_back_what_is_not_due() {
    let clock = Arc::new(ManualClock::at_ms(1_000));
    let source = Generator::new(40, |index| index).splits(2).rate(10).clock(clock.clone());
    let mut reader = open(&source, "0-of-2", None).unwrap();
    let mut poll = |expected: &[u64]| {
        let (reading, polled) = drain(&mut *reader, 1_024);
        assert_eq!(reading.values, expected);
        polled
    };
    // Index i is due 100 ms x i after the start; this split has the even ones.
    assert_eq!(poll(&[0]), Polled::PendingUnannounced);
    clock.advance(Duration::from_millis(199));
    assert_eq!(poll(&[]), Polled::PendingUnannounced);
    clock.advance(Duration::from_millis(1));
    assert_eq!(poll(&[2]), Polled::PendingUnannounced);
    clock.advance(Duration::from_secs(1));
    assert_eq!(poll(&[4, 6, 8, 10, 12]), Polled::PendingUnannounced);
    clock.advance(Duration::from_secs(100));
    let rest: Vec<u64> = (14..40).step_by(2).collect();
    assert_eq!(poll(&rest), Polled::Finished);
}

#[test]
fn a_resumed_rate_starts_with_the_next_index() {
    let clock = Arc::new(ManualClock::at_ms(0));
    let source = Generator::endless(|index| index).splits(1).rate(10).clock(clock.clone());
    let mut first = open(&source, "0-of-1", None).unwrap();
    clock.advance(Duration::from_millis(250));
    assert_eq!(drain(&mut *first, 10).0.values, [0, 1, 2]);
    clock.advance(Duration::from_secs(3_600));
    let mut second = open(&source, "0-of-1", Some(&first.position())).unwrap();
    assert_eq!(drain(&mut *second, 10).0.values, [3]);
    clock.advance(Duration::from_millis(100));
    assert_eq!(drain(&mut *second, 10).0.values, [4]);
}

#[test]
fn scheduled_records_know_when_they_were_due() {
    let clock = Arc::new(ManualClock::at_ms(5));
    let source =
        Generator::scheduled(6, 1_000, |index, due_us| (index, due_us)).splits(2).clock(clock.clone());
    let mut reader = open(&source, "1-of-2", None).unwrap();
    // Seen only long after, they were due all the same.
    clock.advance(Duration::from_secs(9));
    let mut fetched = Fetched::default();
    reader.poll(2, &mut fetched).unwrap();
    assert_eq!((fetched.values, fetched.created_us), (vec![(1, 6_000), (3, 8_000)], Some(6_000)));
    assert_eq!(drain(&mut *reader, 2).0.values, [(5, 10_000)]);
}

#[test]
fn other_splits_and_positions_are_refused() {
    let source = Generator::new(10, |index| index).splits(4);
    for (split, position, expected) in [
        ("1-of-2", None, "it was one of 2 splits, and there are 4 now; set the number back to 2"),
        ("4-of-4", None, "belongs to another source"),
        ("nonsense", None, "split `nonsense` of the checkpoint is none of generator of 10"),
        ("1-of-4", Some(&b"\x01\x01\x02\0\0\0\0\0\0\0"[..]), "index 2 is in another split"),
        ("1-of-4", Some(b"xyz"), "no position of a counted split: it is of kind 120"),
        ("1-of-4", Some(b""), "it has 0 bytes"),
    ] {
        let message = messages(open(&source, split, position));
        assert!(message.contains(expected), "{message}");
        // Read to its end or not: of another number of splits its indexes would come again.
        for status in [SplitStatus::Active, SplitStatus::Finished] {
            let position = position.map(<[u8]>::to_vec);
            let split = SplitState { position, status, ..SplitState::fresh(SplitInfo::root(split)) };
            assert_eq!(messages(source.enumerator().unwrap().check(&[split])), message);
        }
    }
    let begun = SplitState::fresh(SplitInfo::root("1-of-4"));
    source.enumerator().unwrap().check(&[begun]).unwrap();
    let none = Generator::new(10, |index| index).splits(0);
    assert_eq!(messages(none.enumerator()), "number of splits: 0 splits; choose from 1 to 10000");
    let still = Generator::new(10, |index| index).rate(0);
    assert!(messages(still.enumerator()).contains("0 events per second, at which none ever comes"));
}

proptest! {
    #[test]
    fn any_generator_resumes_anywhere(count in 0u64..60, splits in 1u32..9) {
        check_resume(&Generator::new(count, |index| index * 3).splits(splits));
    }
}
