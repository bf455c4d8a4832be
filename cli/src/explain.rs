//! `explain`: the graph of a job, as text or for Graphviz.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use pelton_dataflow::graph::Graph;

use crate::error::Result;
use crate::options::PlaceFlags;

#[derive(Args, Debug)]
pub(crate) struct ExplainFlags {
    #[command(flatten)]
    place: PlaceFlags,
    /// Write the graph for Graphviz: `... explain --dot | dot -Tsvg > job.svg`
    #[arg(long)]
    dot: bool,
}

/// Writes `graph` to standard output.
pub(crate) fn explain(graph: &Graph, flags: &ExplainFlags) -> Result<ExitCode> {
    let text = if flags.dot { graph.to_dot() } else { graph.explain() };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
