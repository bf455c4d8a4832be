//! Nothing public is without a golden case: the methods of streams, of what a keyed process is lent, and
//! of sources and sinks are read from the sources of this project, and held against what the cases
//! say that they stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::CASES;
use super::drive::graph_of;

/// The types whose public functions need a case.
const TYPES: &[&str] = &[
    "Job",
    "Stream",
    "KeyedStream",
    "WindowedStream",
    "AllWindows",
    "Processed",
    "Tumbling",
    "Sliding",
    "Cumulative",
    "Session",
    "CountWindows",
    "Declare",
    "KeyedContext",
    "KeyedConnected",
    "Connected",
    "IntervalJoin",
    "Join",
    "WindowJoin",
    "TemporalJoin",
    "Deduplicate",
    "ProcessContext",
    "SourceBuilder",
    "DeadLetterSource",
    "LateAsideSource",
    "Watermarks",
    "Values",
    "Generator",
    "Files",
    "FileSource",
    "ShardLog",
    "LogSource",
    "LogSink",
    "Stdout",
    "ForEachBatch",
    "Discard",
    "Collect",
];

/// What has no case of its own, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("Stream::connect", "is `map` and `union`: its case is that of `Connected`"),
    ("KeyedStream::distinct", "is `deduplicate`, in whose case it is"),
    ("Job::new", "every case begins with it"),
    ("Job::finish", "every case ends with it"),
    ("Collect::new", "every case keeps its outputs in one"),
    ("Generator::endless", "a generator of the greatest count; a job on it has no end to compare"),
    ("Generator::clock", "moves what `rate` looks at"),
    ("Stdout::json", "`Stdout::to` with the process's own output"),
    ("Declare::version", "a change of the program, not of the run: state/tests/it/scripts.rs"),
    ("Declare::upgrade", "as above"),
    ("Watermarks::idle_after", "depends on the clock: operators/tests/it/splits.rs"),
    ("Session::by_processing_time", "depends on the clock: operators/tests/it/window_sessions.rs"),
    ("Watermarks::reject_ahead", "depends on the clock: operators/tests/it/event_times.rs"),
    ("Watermarks::clamp_ahead", "as above: operators/tests/it/watermarks.rs"),
    ("FileSource::max_row_bytes", "a limit: connectors/tests/it/files_in.rs"),
    ("LogSource::in_log", "as by its address, in a log that is open: tests/it/simulator"),
    ("LogSink::in_log", "as above"),
    ("LogSource::starting_at", "where a job without a checkpoint begins: connectors/tests/it/log_in.rs"),
];

#[test]
fn everything_public_has_a_golden_case() {
    let public = public_functions();
    assert!(public.len() > 40, "only {public:?} found: is this the project's root?");
    let covered: BTreeSet<&str> = CASES.iter().flat_map(|(_, case)| case.covers.iter().copied()).collect();
    let without: BTreeSet<&str> = WITHOUT.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = public
        .iter()
        .filter(|name| !covered.contains(name.as_str()) && !without.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "these are public and no case stands for them: {missing:?}");
    let unknown: Vec<_> = covered.union(&without).filter(|name| !public.contains(**name)).collect();
    assert!(unknown.is_empty(), "these are not public: {unknown:?}");
    assert!(covered.is_disjoint(&without), "{:?}", covered.intersection(&without));
}

/// A case that says that it stands for an operator has one of that kind in its graph.
#[test]
fn cases_have_the_operators_that_they_stand_for() {
    for (name, case) in CASES {
        let graph = graph_of(case);
        let kinds: BTreeSet<(&str, bool)> =
            graph.nodes().iter().map(|node| (node.kind, node.has_keyed_state())).collect();
        for covered in case.covers {
            let (of, operator) = covered.split_once("::").unwrap();
            let has_state = match of {
                "Stream" => false,
                "KeyedStream" if operator == "values" => false,
                "KeyedStream" => true,
                _ => continue,
            };
            assert!(kinds.contains(&(operator, has_state)), "{name} has no {covered}: {kinds:?}");
        }
    }
}

/// `Type::function` for each public function of [`TYPES`].
fn public_functions() -> BTreeSet<String> {
    let root = Path::new(".");
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = ["operators", "connectors"].map(|one| root.join(one).join("src")).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Sources and sinks for tests of single operators have the same names.
            let is_testing = path.file_stem().is_some_and(|stem| stem == "testing");
            if path.is_dir() && !is_testing {
                folders.push(path);
            } else if path.is_file() && !is_testing {
                found.extend(functions_in(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

/// Reads the blocks that begin with `impl` in the first column.
fn functions_in(text: &str) -> Vec<String> {
    let mut functions = Vec::new();
    let mut of = None;
    for line in text.lines() {
        if line.starts_with("impl") {
            of = type_of(line);
        } else if line == "}" {
            of = None;
        }
        let function = line.strip_prefix("    pub fn ").or_else(|| line.strip_prefix("    pub const fn "));
        if let (Some(of), Some(rest)) = (&of, function) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            functions.push(format!("{of}::{name}"));
        }
    }
    functions
}

/// The type of `impl<T: Data> Stream<T> {`, if it is one of [`TYPES`] and the block is no trait's.
fn type_of(line: &str) -> Option<String> {
    let mut depth = 0;
    let mut plain = String::new();
    for c in line.strip_prefix("impl")?.replace("->", "").chars() {
        depth += i32::from(c == '<') - i32::from(c == '>');
        if depth == 0 && c != '>' {
            plain.push(c);
        }
    }
    let mut words = plain.split_whitespace();
    let name = words.next()?.to_owned();
    let is_trait = words.next() == Some("for");
    (!is_trait && TYPES.contains(&name.as_str())).then_some(name)
}

#[test]
fn blocks_and_functions_are_found() {
    let text = "impl<T: Data, F: Fn(&T) -> bool> Stream<T> {\n    pub fn filter<U>(&self) {\n    }\n    fn private() {}\n}\nimpl<T> Clone for Stream<T> {\n    fn clone() {}\n}\nimpl<S> Other<S> {\n    pub fn other() {}\n}\n";
    assert_eq!(functions_in(text), ["Stream::filter"]);
    let types: BTreeMap<&str, usize> = TYPES.iter().map(|name| (*name, 1)).collect();
    assert_eq!(types.len(), TYPES.len(), "named once each");
}
