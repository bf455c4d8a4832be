//! What the service does by itself, on a clock that the test sets.

use std::sync::Arc;

use pelton_kinesis::{Service, Settings};
use pelton_streams::clock::ManualClock;
use pelton_streams::storage::{MemoryStorage, Storage};
use pelton_streams::{Options, ShardLog};
use serde_json::json;

use crate::client::Client;
use crate::support::Running;

const HOUR_MS: u64 = 3_600_000;

struct Bench {
    disk: MemoryStorage,
    clock: Arc<ManualClock>,
}

/// A service that is served.
struct Served {
    service: Arc<Service>,
    client: Client,
    _server: Running,
}

impl Bench {
    fn new() -> Self {
        Self { disk: MemoryStorage::new(), clock: Arc::new(ManualClock::at(1_800_000_000_000)) }
    }

    fn serve(&self) -> Served {
        let storage: Arc<dyn Storage> = Arc::new(self.disk.clone());
        let log =
            ShardLog::open_with("/data", &Options::create(), storage.clone(), self.clock.clone()).unwrap();
        let service = Service::over(log, Settings::default(), storage, self.clock.clone()).unwrap();
        let service = Arc::new(service);
        let server = Running::serve(service.clone());
        Served { client: Client::to(server.address).unwrap(), service, _server: server }
    }

    fn segments(&self) -> usize {
        let is_segment = |file: &&std::path::PathBuf| file.extension().is_some_and(|end| end == "segment");
        self.disk.files().iter().filter(is_segment).count()
    }
}

impl Served {
    fn upkeep(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.service.upkeep());
    }
}

#[test]
fn records_of_streams_that_nobody_writes_to_since_the_start_go_when_their_time_is_over() {
    let bench = Bench::new();
    let mut served = bench.serve();
    served.client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));
    served.client.put("s", "k", &["a".to_owned(), "b".to_owned()]).unwrap();
    bench.clock.advance(2 * HOUR_MS);
    served.client.put("s", "k", &["c".to_owned()]).unwrap();
    assert_eq!(bench.segments(), 2);
    drop(served);

    let mut served = bench.serve();
    // Each segment when the last record in it is a day old.
    for (hours, left) in [(21, 2), (2, 1), (1, 1), (2, 1)] {
        bench.clock.advance(hours * HOUR_MS + 1);
        served.upkeep();
        assert_eq!(bench.segments(), left, "{hours} hours later");
    }
    let log = &served.service.log;
    let held: u64 = log.describe_stream("s").unwrap().shards.iter().map(|shard| shard.records).sum();
    assert_eq!(held, 0, "the last segment is a new one");
    // It can be written, read and deleted as any other.
    served.client.put("s", "k", &["d".to_owned()]).unwrap();
    assert_eq!(served.client.read_all("s").unwrap().len(), 1);
    served.client.get("DeleteStream", &json!({ "StreamName": "s" }));
}

#[test]
fn an_on_demand_stream_follows_its_load() {
    let bench = Bench::new();
    let mut served = bench.serve();
    let mode = json!({ "StreamMode": "ON_DEMAND" });
    served.client.get("CreateStream", &json!({ "StreamName": "s", "StreamModeDetails": mode }));
    served.client.get("CreateStream", &json!({ "StreamName": "other", "ShardCount": 1 }));
    let minute = |served: &mut Served, of: &str| {
        bench.clock.advance(60_000);
        served.upkeep();
        served.client.open_shards(of).unwrap().len()
    };
    assert_eq!(minute(&mut served, "s"), 4);
    // Into one shard somewhat more than 500 records a second.
    let records: Vec<String> = (0..500).map(|n: u32| n.to_string()).collect();
    for _ in 0..61 {
        served.client.put("s", "k", &records).unwrap();
        served.client.put("other", "k", &records).unwrap();
    }
    assert_eq!(minute(&mut served, "s"), 5);
    assert_eq!(minute(&mut served, "other"), 1, "a provisioned stream is its owner's matter");
    let written = served.client.read_all("s").unwrap();
    assert_eq!(written.len(), 61 * 500);
    served.client.put("s", "k", &records).unwrap();

    // A day without load; and what was written is there.
    bench.clock.advance(23 * HOUR_MS);
    assert_eq!(minute(&mut served, "s"), 5);
    bench.clock.advance(HOUR_MS);
    assert_eq!(minute(&mut served, "s"), 4);
    served.client.put("s", "k", &records).unwrap();
    assert_eq!(minute(&mut served, "s"), 4);

    // What it is to be kept ready for is there soon.
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let warm = served
        .client
        .get("UpdateStreamWarmThroughput", &json!({ "StreamARN": arn, "WarmThroughputMiBps": 12 }));
    assert_eq!(warm["WarmThroughput"], json!({ "TargetMiBps": 12, "CurrentMiBps": 4 }));
    assert_eq!(minute(&mut served, "s"), 8);
    assert_eq!(minute(&mut served, "s"), 12);
    let summary = served.client.get("DescribeStreamSummary", &json!({ "StreamName": "s" }));
    let summary = &summary["StreamDescriptionSummary"];
    assert_eq!(summary["WarmThroughput"], json!({ "TargetMiBps": 12, "CurrentMiBps": 12 }));
    assert_eq!(summary["StreamStatus"], "ACTIVE");
}
