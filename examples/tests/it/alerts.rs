//! What the fraud example finds is what plain loops over its input find: with rules that change in the middle, days that
//! forget, a directory that does not answer.

use std::collections::BTreeMap;
use std::path::Path;

use pelton::streams::{Options, ShardLog};
use pelton_examples::payments::{Alert, Payment, Rule, ingest};
use pelton_examples::trial::Trial;

use super::exactly_once::finish;
use super::naive::{Alerts, Expected, expected};
use super::world::{changes, directory, generate, listed, payments, trial};

/// The alerts that a trial has left, by card and rule.
pub fn alerts(trial: &Trial) -> Alerts {
    let mut alerts = Alerts::new();
    for alert in ingest::read::<Alert>(&trial.log_directory(), &trial.alerts()).unwrap() {
        alerts.entry((alert.card, alert.rule)).or_default().push(alert);
    }
    alerts
}

/// The ids of the payments that were too late for a trial, from the least.
fn late(trial: &Trial) -> Vec<u64> {
    let outputs = trial.outputs().unwrap();
    let id = |line: &String| serde_json::from_str::<Payment>(line).unwrap().id;
    let mut ids: Vec<u64> = outputs.late.iter().map(id).collect();
    ids.sort_unstable();
    ids
}

/// Holds a trial against what it was to find.
#[track_caller]
pub fn check(trial: &Trial, expected: &Expected) {
    assert_eq!(late(trial), expected.late);
    let found = alerts(trial);
    for (of, alerts) in &expected.alerts {
        assert_eq!(found.get(of), Some(alerts), "{of:?}");
    }
    let others: Vec<_> = found.keys().filter(|of| !expected.alerts.contains_key(of)).collect();
    assert!(others.is_empty(), "there should be no alerts of {others:?}");
}

/// What the trials below `root` are to find.
pub fn expected_below(root: &Path) -> Expected {
    expected(&payments(root), &changes(), listed)
}

fn counts(alerts: &Alerts) -> BTreeMap<Rule, usize> {
    let mut counts = BTreeMap::new();
    for ((_, rule), alerts) in alerts {
        *counts.entry(*rule).or_default() += alerts.len();
    }
    counts
}

#[test]
fn rules_a_pattern_a_day_and_a_directory_find_what_plain_loops_find() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    generate(root);
    let expected = expected_below(root);
    let trial = trial(root, "once", directory());
    finish(&trial, 2);
    check(&trial, &expected);

    // Everything that this is to show has happened.
    let found = counts(&expected.alerts);
    assert!(Rule::ALL.iter().all(|rule| found.get(rule).is_some_and(|count| *count > 5)), "{found:?}");
    let shards = payments(root);
    let unchanged = super::naive::expected(&shards, &[], listed);
    let differs = |rule: Rule| counts(&unchanged.alerts).get(&rule) != found.get(&rule);
    assert!(Rule::ALL.map(differs) == [false, true, true, true], "{found:?}");
    let all: Vec<&Alert> = expected.alerts.values().flatten().collect();
    let days = all.iter().filter_map(|alert| alert.day);
    assert!(days.clone().any(|day| day.payments > day.merchants), "no day has a merchant twice");
    let paid = |card| shards.iter().flatten().filter(|payment| payment.card == card).count() as u64;
    let forgets = |alert: &&&Alert| {
        let last = alert.evidence.last().unwrap();
        let before = shards.iter().flatten().filter(|p| p.card == alert.card && p.id <= *last).count() as u64;
        alert.day.unwrap().payments + 2 < before && paid(alert.card) > 4
    };
    assert!(all.iter().filter(forgets).count() > 10, "no day has forgotten anything");
    assert!(all.iter().filter(|alert| alert.listed.is_none()).count() > 10);
    assert!(all.iter().filter(|alert| alert.listed.is_some()).count() > 10);
    assert!(expected.late.len() > 10);
}

#[test]
fn a_directory_that_is_down_costs_nothing_but_what_it_would_say() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    generate(root);
    // Nobody listens where nobody may.
    let trial = trial(root, "down", "127.0.0.1:1".parse().unwrap());
    finish(&trial, 2);
    check(&trial, &expected(&payments(root), &changes(), |_| None));
}

#[test]
fn changes_from_a_stream_are_as_good_as_from_a_file() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    generate(root);
    let log = ShardLog::open(root.join("log"), &Options::default()).unwrap();
    log.create_stream("rules", 1).unwrap();
    let writer = log.writer("rules").unwrap();
    let mut batch = writer.batch();
    for change in changes() {
        batch.push(b"rules", &serde_json::to_vec(&change).unwrap()).unwrap();
        batch.push(b"rules", br#"{"from":1,"set":{"overspent":null}}"#).unwrap();
    }
    writer.append(batch).unwrap();
    let mut trial = trial(root, "followed", directory());
    trial.flags[0] = "--rules-log".to_owned();
    trial.flags[1] = root.join("log/rules").display().to_string();
    finish(&trial, 1);
    check(&trial, &expected_below(root));
    let rejected = trial.lines_of("rejected-rules").unwrap();
    assert_eq!(rejected.len(), changes().len(), "{rejected:?}");
    assert!(rejected[0].contains("unknown variant `overspent`"), "{rejected:?}");
}
