//! Load whose history is written down: writers that put numbered records until they are told to stop, or the
//! server is gone, and splits that fall into it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use serde_json::json;

use crate::checker::Sent;
use crate::client::Client;

/// Writers at a time.
pub const WRITERS: usize = 4;

/// What is done with an answer that tells of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The writer ends: everything after it fails, too.
    Ends,
    /// The writer goes on with the next records.
    IsPassedOver,
}

/// The history of one stream, over any number of servers.
#[derive(Debug)]
pub struct Load {
    /// All that was sent.
    pub sent: Vec<Sent>,
    next: [u64; WRITERS],
    seed: u64,
}

/// Writers that are running.
pub struct Writing {
    threads: Vec<JoinHandle<(Vec<Sent>, u64)>>,
    calls: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    pub fn new(seed: u64) -> Self {
        Self { sent: Vec::new(), next: [0; WRITERS], seed }
    }

    /// A random number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % limit
    }

    /// Has the writers begin.
    pub fn begin(&self, address: SocketAddr, failed: Failed) -> Writing {
        let (calls, failures, stop) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let writer = |(writer, &next)| {
            let (calls, failures, stop) = (calls.clone(), failures.clone(), stop.clone());
            std::thread::spawn(move || write(address, writer, next, failed, (&calls, &failures), &stop))
        };
        Writing { threads: self.next.iter().enumerate().map(writer).collect(), calls, failures, stop }
    }

    /// Waits for the writers to end and takes in what they were told.
    pub fn end(&mut self, writing: Writing) {
        writing.stop.store(true, Ordering::SeqCst);
        for (writer, thread) in writing.threads.into_iter().enumerate() {
            let (sent, next) = thread.join().unwrap();
            self.sent.extend(sent);
            self.next[writer] = next;
        }
    }
}

impl Writing {
    /// Waits until so many calls more were answered well, or all writers have ended.
    pub fn wait_for(&self, calls: u64) {
        self.wait_for_more(&self.calls, calls);
    }

    /// Waits until so many calls more have failed, or all writers have ended.
    pub fn wait_for_failures(&self, calls: u64) {
        self.wait_for_more(&self.failures, calls);
    }

    fn wait_for_more(&self, counted: &AtomicU64, more: u64) {
        let enough = counted.load(Ordering::SeqCst) + more;
        while counted.load(Ordering::SeqCst) < enough && !self.threads.iter().all(JoinHandle::is_finished) {
            std::thread::yield_now();
        }
    }

    /// Waits until all writers have ended by themselves.
    pub fn wait_for_end(&self) {
        while !self.threads.iter().all(JoinHandle::is_finished) {
            std::thread::yield_now();
        }
    }
}

/// Data of a length of its own, from nothing to some frames, that are like no other's.
fn data(writer: usize, number: u64) -> String {
    let filler =
        "the quick brown fox jumps over the lazy dog; ".repeat((number % 13 * (number % 5)) as usize);
    format!("{writer} {number} {filler}.")
}

/// Writes records of numbers from `next` on.
fn write(
    address: SocketAddr,
    writer: usize,
    mut next: u64,
    failed: Failed,
    (calls, failures): (&AtomicU64, &AtomicU64),
    stop: &AtomicBool,
) -> (Vec<Sent>, u64) {
    let mut sent: Vec<Sent> = Vec::new();
    let key = format!("writer-{writer}");
    let Ok(mut client) = Client::to(address) else { return (sent, next) };
    while !stop.load(Ordering::SeqCst) {
        let numbers = next..next + 1 + next % 7;
        // A number is never used again: whether it was written is not known.
        next = numbers.end;
        let data: Vec<String> = numbers.map(|number| data(writer, number)).collect();
        let placed = client.put_some("s", &key, &data);
        let is_gone = placed.is_err();
        let placed = placed.unwrap_or_else(|_| vec![None; data.len()]);
        let has_failed = placed.iter().any(Option::is_none);
        let one = |(data, told)| Sent { key: key.clone(), data, told };
        sent.extend(data.into_iter().zip(placed).map(one));
        if is_gone || (has_failed && failed == Failed::Ends) {
            break;
        }
        if has_failed { failures } else { calls }.fetch_add(1, Ordering::SeqCst);
    }
    (sent, next)
}

/// Splits the widest shard in its middle.
pub fn split_one(client: &mut Client) -> Result<(), String> {
    let open = client.open_shards("s")?;
    let (shard, first, last) = open.iter().max_by_key(|(_, first, last)| last - first).unwrap();
    let middle = first + (last - first) / 2;
    let request =
        json!({ "StreamName": "s", "ShardToSplit": shard, "NewStartingHashKey": middle.to_string() });
    client.try_get("SplitShard", &request).map(drop)
}
