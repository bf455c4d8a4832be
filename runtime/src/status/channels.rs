//! The channels between stages as they are seen from outside: what is on its way on each edge, and
//! who waits for whom.

use pelton_dataflow::graph::Graph;
use pelton_dataflow::stats::StatsRegistry;
use serde::Serialize;

/// A channel between two stages, over all workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// The operator that sends.
    pub from: String,
    /// The label of its output.
    pub output: &'static str,
    /// The operator that receives.
    pub to: String,
    /// Which of its inputs it is.
    pub input: usize,
    /// How many batches may be in flight on each edge.
    pub limit: u64,
    /// What each worker sends to each other, by sender, then receiver.
    pub edges: Vec<EdgeStatus>,
}

/// What one worker sends to another on one channel, in this generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EdgeStatus {
    /// The worker that sends.
    pub sender: usize,
    /// The worker that receives.
    pub receiver: usize,
    /// Batches sent.
    pub batches: u64,
    /// Batches sent and not yet known to be processed.
    pub in_flight: u64,
    /// Batches that could be sent at once.
    pub credits: u64,
    /// How often a batch had to wait for credit.
    pub waits: u64,
    /// How long batches have waited for credit, in nanoseconds.
    pub waited_ns: u64,
    /// Whether one waits now.
    pub is_waiting: bool,
}

/// The channels of `graph` as `stats` counts them at `now_ns`, in the order of their receivers.
pub(super) fn channels(graph: &Graph, stats: &StatsRegistry, now_ns: u64) -> Vec<ChannelStatus> {
    let mut all = stats.channels();
    all.sort_by_key(|one| (one.to, one.input, one.sender));
    let of_one_channel = all.chunk_by(|one, next| (one.to, one.input) == (next.to, next.input));
    let status = of_one_channel.map(|senders| {
        let channel = &senders[0];
        let from = graph.node(channel.from.node);
        let edges = senders.iter().flat_map(|one| {
            one.edges().iter().enumerate().map(|(receiver, edge)| {
                let counts = edge.counts(now_ns);
                EdgeStatus {
                    sender: one.sender,
                    receiver,
                    batches: counts.batches,
                    in_flight: counts.in_flight,
                    credits: (one.limit as u64).saturating_sub(counts.in_flight),
                    waits: counts.waits,
                    waited_ns: counts.waited_ns,
                    is_waiting: counts.is_waiting,
                }
            })
        });
        ChannelStatus {
            from: from.name.clone(),
            output: from.outputs[channel.from.port].label,
            to: graph.node(channel.to).name.clone(),
            input: channel.input,
            limit: channel.limit as u64,
            edges: edges.collect(),
        }
    });
    status.collect()
}
