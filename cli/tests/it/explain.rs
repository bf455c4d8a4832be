//! `explain`, and mistakes in a graph.

use crate::shell::Shell;

#[test]
fn the_graph_is_shown_without_running_it() {
    let shell = Shell::new();
    let text = shell.numbers("explain --output out --count 10");
    text.has(&["source `numbers`", "fold `count`", "state value", "sink `counts`", "<- count"]);
    let dot = shell.numbers("explain --output out --dot");
    dot.has(&["digraph job {", "->"]);
    assert!(!shell.path("out").exists() && !shell.path(".pelton").exists(), "nothing is run or made");
}

#[test]
fn all_mistakes_of_a_graph_are_told_at_once() {
    let shell = Shell::new();
    for command in ["explain", "run"] {
        shell.numbers(&format!("{command} --output out --mistakes")).fails_with(
            2,
            &[
                "error: the graph has 2 errors:",
                "two operators are named `counts`",
                "first  at cli/tests/jobs/numbers.rs:",
                "`no name` at cli/tests/jobs/numbers.rs:",
            ],
        );
    }
}

#[test]
fn an_error_of_the_job_itself_is_told() {
    let shell = Shell::new();
    shell
        .numbers("explain --output out --modulus 0")
        .fails(2, "--modulus is 0: nothing can be divided by it");
}
