//! Many writers and readers while shards are split and merged: nothing is lost, doubled, or out of order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pelton_kinesis::Settings;
use serde_json::json;

use crate::checker::{Parents, Sent, consumed, stored};
use crate::client::{Client, Record};
use crate::support::Running;

const WRITERS: usize = 64;
const READERS: usize = 64;
const CALLS: usize = 8;
const RECORDS: usize = 5;

fn write(address: SocketAddr, writer: usize) -> Vec<Sent> {
    let mut client = Client::to(address).unwrap();
    let mut sent = Vec::new();
    let key = format!("writer-{writer}");
    for call in 0..CALLS {
        let data: Vec<String> = (0..RECORDS).map(|n| format!("{writer} {}", call * RECORDS + n)).collect();
        let placed = client.put("s", &key, &data).unwrap();
        let one = |(data, told)| Sent { key: key.clone(), data, told: Some(told) };
        sent.extend(data.into_iter().zip(placed).map(one));
    }
    sent
}

/// Reads as a consumer library does: a shard once its parents are read to their ends, until it has all
/// records after `is_all` is set.
fn read(address: SocketAddr, is_all: &AtomicBool) -> (Vec<(String, Record)>, Parents) {
    let mut client = Client::to(address).unwrap();
    let roots =
        client.get("ListShards", &json!({ "StreamName": "s", "ShardFilter": { "Type": "AT_TRIM_HORIZON" } }));
    let mut open = BTreeMap::new();
    for root in roots["Shards"].as_array().unwrap() {
        let root = root["ShardId"].as_str().unwrap().to_owned();
        open.insert(root.clone(), client.oldest("s", &root));
    }
    let mut ended = BTreeSet::new();
    let (mut all, mut parents_of) = (Vec::new(), Parents::new());
    loop {
        let was_all = is_all.load(Ordering::SeqCst);
        let mut is_quiet = true;
        for (shard, iterator) in std::mem::take(&mut open) {
            let (records, answer) = client.read(&iterator);
            is_quiet &= records.is_empty() && answer["MillisBehindLatest"] == json!(0);
            all.extend(records.into_iter().map(|record| (shard.clone(), record)));
            let children = answer.get("ChildShards").and_then(|children| children.as_array());
            match answer["NextShardIterator"].as_str() {
                Some(next) => {
                    assert_eq!(children, None, "an open shard has no children: {answer}");
                    open.insert(shard, next.to_owned());
                }
                None => {
                    is_quiet = false;
                    ended.insert(shard);
                    for child in children.expect("a closed shard names its children") {
                        let parents = child["ParentShards"].as_array().unwrap().iter();
                        let parents: Vec<_> = parents.map(|it| it.as_str().unwrap().to_owned()).collect();
                        let are_over = parents.iter().all(|parent| ended.contains(parent));
                        let child = child["ShardId"].as_str().unwrap().to_owned();
                        parents_of.insert(child.clone(), parents);
                        if are_over {
                            let iterator = client.oldest("s", &child);
                            open.insert(child, iterator);
                        }
                    }
                }
            }
        }
        if was_all && is_quiet {
            return (all, parents_of);
        }
    }
}

fn reshard(address: SocketAddr, are_done: &AtomicUsize) {
    let mut client = Client::to(address).unwrap();
    let mut turn = 0;
    while are_done.load(Ordering::SeqCst) < WRITERS && turn < 40 {
        let open = client.open_shards("s").unwrap();
        let request = match turn % 3 {
            0 => {
                let (shard, first, last) = &open[turn % open.len()];
                let middle = (first + (last - first) / 2).to_string();
                (
                    "SplitShard",
                    json!({ "StreamName": "s", "ShardToSplit": shard, "NewStartingHashKey": middle }),
                )
            }
            1 if open.len() > 1 => {
                let at = turn % (open.len() - 1);
                let (one, other) = (&open[at].0, &open[at + 1].0);
                (
                    "MergeShards",
                    json!({ "StreamName": "s", "ShardToMerge": one, "AdjacentShardToMerge": other }),
                )
            }
            _ => {
                let target = if open.len() > 3 { open.len().div_ceil(2) } else { open.len() + 1 };
                (
                    "UpdateShardCount",
                    json!({ "StreamName": "s", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING" }),
                )
            }
        };
        client.get(request.0, &request.1);
        turn += 1;
    }
    assert!(turn > 2, "the writers were done before anything happened");
}

#[test]
fn writers_and_readers_go_on_across_reshards() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    let address = server.address;
    Client::to(address).unwrap().get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));
    let is_all = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let is_all = is_all.clone();
            std::thread::spawn(move || read(address, &is_all))
        })
        .collect();
    let are_done = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let are_done = are_done.clone();
            std::thread::spawn(move || {
                let sent = write(address, writer);
                are_done.fetch_add(1, Ordering::SeqCst);
                sent
            })
        })
        .collect();
    reshard(address, &are_done);
    let sent: Vec<Sent> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    is_all.store(true, Ordering::SeqCst);
    for (number, reader) in readers.into_iter().enumerate() {
        let (read, parents) = reader.join().unwrap();
        consumed(&sent, &read, &parents).unwrap_or_else(|what| panic!("reader {number}: {what}"));
    }
    assert_eq!(sent.len(), WRITERS * CALLS * RECORDS);
    let read = Client::to(address).unwrap().read_all("s").unwrap();
    stored(&sent, &read).unwrap();
}
