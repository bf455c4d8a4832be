//! The layout of the workspace: imports run one way, and no package or file escapes the rules.
//!
//! `ARCHITECTURE.md` says what each crate owns; this holds it to that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each package with the packages of the workspace that it may use, tests included.
///
/// `pelton-operators` and `pelton-runtime` do not see each other, `pelton-streams` stands alone (and with it its service),
/// and jobs and benchmarks use the facade as any user does; clients that measure the service have its signatures from it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("pelton-dataflow", &[]),
    ("pelton-state", &["pelton-dataflow"]),
    ("pelton-operators", &["pelton-dataflow", "pelton-state"]),
    ("pelton-runtime", &["pelton-dataflow", "pelton-state"]),
    ("pelton-streams", &[]),
    ("pelton-kinesis", &["pelton-streams"]),
    (
        "pelton-connectors",
        &["pelton-dataflow", "pelton-state", "pelton-operators", "pelton-runtime", "pelton-streams"],
    ),
    (
        "pelton-cli",
        &[
            "pelton-dataflow",
            "pelton-state",
            "pelton-operators",
            "pelton-runtime",
            "pelton-streams",
            "pelton-connectors",
            "pelton-kinesis",
        ],
    ),
    (
        "pelton",
        &[
            "pelton-dataflow",
            "pelton-state",
            "pelton-operators",
            "pelton-runtime",
            "pelton-streams",
            "pelton-kinesis",
            "pelton-connectors",
            "pelton-cli",
        ],
    ),
    ("pelton-examples", &["pelton"]),
    ("pelton-bench", &["pelton", "pelton-kinesis"]),
];

/// A file that is longer holds more than one concept.
const MOST_LINES: usize = 600;

#[test]
fn imports_run_one_way() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        MAY_USE.iter().map(|(package, uses)| (*package, uses.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for (package, uses) in packages() {
        let Some(allowed) = allowed.get(package.as_str()) else {
            wrong.push(format!("{package} is not in `MAY_USE`: say what it may use"));
            continue;
        };
        for used in uses.iter().filter(|used| !allowed.contains(used.as_str())) {
            wrong.push(format!("{package} must not use {used}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rules_themselves_have_no_cycle() {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for (package, uses) in MAY_USE {
        assert!(uses.iter().all(|used| done.contains(used)), "{package} comes before something it may use");
        done.insert(package);
    }
}

#[test]
fn every_package_is_tested_with_assertions() {
    let config = fs::read_to_string(root().join(".cargo/test.toml")).unwrap();
    for (package, _) in packages() {
        let section =
            format!("[profile.release.package.{package}]\ndebug-assertions = true\noverflow-checks = true");
        assert!(config.contains(&section), ".cargo/test.toml has no section for {package}");
    }
}

#[test]
fn failpoints_and_doors_for_fuzzing_are_for_tests_alone() {
    let mut wrong = Vec::new();
    for package in metadata()["packages"].as_array().unwrap() {
        for used in package["dependencies"].as_array().unwrap() {
            let of_tests = |feature: &Value| feature == "failpoints" || feature == "fuzzing";
            let is_armed = used["features"].as_array().unwrap().iter().any(of_tests);
            let is_always = used["name"] == "fail" && used["optional"] == false;
            if (is_armed || is_always) && used["kind"] != "dev" {
                wrong.push(format!("{} uses {} in every build", package["name"], used["name"]));
            }
        }
        let features = package["features"].as_object().unwrap();
        if features
            .iter()
            .any(|(name, turns_on)| name != "failpoints" && turns_on.to_string().contains("fail"))
        {
            wrong.push(format!("a feature of {} turns failpoints on", package["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_by_saying_what_it_owns_and_is_of_readable_length() {
    let mut wrong = Vec::new();
    for file in source_files() {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display();
        if !text.starts_with("//! ") {
            wrong.push(format!("{name} does not open with `//!`"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{name} has {lines} lines, more than {MOST_LINES}: it holds two concepts"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn root() -> &'static Path {
    Path::new(".")
}

/// Each package of the workspace with the packages of the workspace that it uses.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let uses = |package: &Value| {
        let used = package["dependencies"].as_array().unwrap().iter();
        used.filter(|used| used["path"].is_string()).map(|used| string(&used["name"])).collect()
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (string(&package["name"]), uses(package)))
        .collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs: it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// All Rust files under the folders of the workspace, those of build folders left out.
fn source_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 50, "only {} files found: is this the project's root?", files.len());
    files
}
