//! The server is killed under load, again and again: what it has acknowledged is there, where it said, once,
//! and in order. This test binary starts itself as the server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pelton_kinesis::server::Server;
use pelton_kinesis::{Service, Settings};
use serde_json::json;

use crate::client::Client;
use crate::support::seed;

const DIR: &str = "PELTON_TEST_DATA";
const WRITERS: u64 = 4;

/// The other process.
#[test]
fn child() {
    let Some(data) = std::env::var_os(DIR) else { return };
    let service = Arc::new(Service::open(data, Settings::default()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::bind(service, "127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        println!("\nserving {}", server.address().unwrap());
        server.run(std::future::pending()).await;
    });
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--nocapture"])
            .env(DIR, data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("serving ")?.parse().ok());
        Self { child, address: address.expect("the server says where it is") }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What one writer was told: for each of its records that was acknowledged its place, by its number.
type Acknowledged = BTreeMap<u64, (String, String)>;

/// Writes numbers from `next` on until the server is gone.
fn write(address: SocketAddr, writer: u64, mut next: u64, count: &AtomicU64) -> (Acknowledged, u64) {
    let mut acknowledged = Acknowledged::new();
    let Ok(mut client) = Client::to(address) else { return (acknowledged, next) };
    loop {
        let numbers: Vec<u64> = (next..next + 1 + next % 7).collect();
        // A number is never used again: whether it was written is not known.
        next = numbers[numbers.len() - 1] + 1;
        let data: Vec<String> = numbers.iter().map(|number| format!("{writer} {number}")).collect();
        let Ok(placed) = client.put("s", &format!("writer-{writer}"), &data) else {
            return (acknowledged, next);
        };
        acknowledged.extend(numbers.into_iter().zip(placed));
        count.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let rounds = std::env::var("PELTON_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    let mut seed = seed();
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::start(data.path());
    Client::to(process.address).unwrap().get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));
    let mut next = [0; WRITERS as usize];
    let mut acknowledged: Vec<Acknowledged> = vec![Acknowledged::new(); WRITERS as usize];
    for round in 0..rounds {
        let address = process.address;
        let count = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (count, next) = (count.clone(), next[writer as usize]);
                std::thread::spawn(move || write(address, writer, next, &count))
            })
            .collect();
        // A split falls into the load, and the kill some time after.
        split_one(address);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let enough = 20 + (seed >> 33) % 60;
        while count.load(Ordering::SeqCst) < enough {
            std::thread::yield_now();
        }
        process.kill();
        for (writer, thread) in writers.into_iter().enumerate() {
            let (told, after) = thread.join().unwrap();
            acknowledged[writer].extend(told);
            next[writer] = after;
        }
        process = Process::start(data.path());
        judge(&mut Client::to(process.address).unwrap(), &acknowledged, round);
    }
    process.kill();
}

fn split_one(address: SocketAddr) {
    let mut client = Client::to(address).unwrap();
    let open = client.open_shards("s");
    let (shard, first, last) = open.iter().max_by_key(|(_, first, last)| last - first).unwrap();
    let middle = first + (last - first) / 2;
    let request =
        json!({ "StreamName": "s", "ShardToSplit": shard, "NewStartingHashKey": middle.to_string() });
    client.get("SplitShard", &request);
}

fn judge(client: &mut Client, acknowledged: &[Acknowledged], round: u64) {
    let all = client.read_all("s");
    let mut by_data: HashMap<&str, (&str, &str)> = HashMap::new();
    let mut sequences = HashSet::new();
    for (shard, record) in &all {
        assert!(sequences.insert(&record.sequence), "round {round}: {record:?} has a number twice");
        let before = by_data.insert(&record.data, (shard, &record.sequence));
        assert_eq!(before, None, "round {round}: {record:?} is there twice");
    }
    for (writer, told) in acknowledged.iter().enumerate() {
        for (number, (shard, sequence)) in told {
            let place = by_data.get(format!("{writer} {number}").as_str());
            assert_eq!(place, Some(&(shard.as_str(), sequence.as_str())), "round {round}: {writer} {number}");
        }
        // In order of their sequence numbers, which grow from a shard to its children, too.
        let mut mine: Vec<_> =
            all.iter().filter(|(_, record)| record.key == format!("writer-{writer}")).collect();
        mine.sort_by_key(|(_, record)| (record.sequence.len(), record.sequence.clone()));
        let numbers: Vec<u64> =
            mine.iter().map(|(_, record)| record.data.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "round {round}: {writer} has {numbers:?}");
    }
}
