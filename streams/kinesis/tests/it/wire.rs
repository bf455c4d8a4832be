//! What a running server says to requests that boto3 never sends: without a signature or with a wrong one,
//! of keys that may not, and bodies that break the model in every way.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pelton_kinesis::auth::{Authenticator, Credentials};
use pelton_kinesis::model::{Model, validate};
use pelton_kinesis::wire::Encoding;
use pelton_kinesis::{Service, Settings, Value};

use crate::support::{Running, run_script};

/// A connection that requests are sent through one after the other.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).unwrap())
    }

    /// The status, the head and the body of the answer.
    fn send(&mut self, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let head = format!("{head}Host: x\r\nContent-Length: {}\r\n\r\n", body.len());
        // In one piece: the second of two would wait for the first to be acknowledged.
        self.0.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        let end = loop {
            if let Some(at) = answer.windows(4).position(|piece| piece == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill(&mut answer);
        };
        let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |len| len.parse().unwrap());
        while answer.len() < end + len {
            self.fill(&mut answer);
        }
        (head[9..12].parse().unwrap(), head, answer.split_off(end))
    }

    fn fill(&mut self, answer: &mut Vec<u8>) {
        let mut piece = [0; 64 << 10];
        let read = self.0.read(&mut piece).unwrap();
        assert!(read > 0, "the server hung up after {:?}", String::from_utf8_lossy(answer));
        answer.extend_from_slice(&piece[..read]);
    }

    fn call(&mut self, operation: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let head = format!(
            "POST / HTTP/1.1\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n"
        );
        let (status, _, body) = self.send(&head, body);
        (
            status,
            if body.is_empty() { serde_json::Value::Null } else { serde_json::from_slice(&body).unwrap() },
        )
    }
}

/// The generator is there in builds of tests alone: with the feature `fuzzing`.
#[cfg(feature = "fuzzing")]
#[test]
fn every_bad_body_is_answered_as_the_model_has_it() {
    use pelton_kinesis::ErrorCode;
    use pelton_kinesis::model::bad_input::cases;

    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    let mut client = Client::connect(server.address);
    for case in cases(Model::kinesis()) {
        let (status, answer) = client.call(case.operation, case.body.to_string().as_bytes());
        let place = format!("{}, {}: {answer}", case.operation, case.why);
        assert_eq!((status, answer["__type"].as_str()), (400, Some(case.code.name())), "{place}");
        if case.code == ErrorCode::Serialization {
            assert_eq!(answer["Message"], case.message, "{place}");
        } else {
            assert!(answer["message"].as_str().unwrap().contains(&case.message), "{place}");
        }
    }
}

#[test]
fn both_encodings_say_the_same() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    let mut client = Client::connect(server.address);
    let model = Model::kinesis();
    let mut ask = |encoding: Encoding, name: &str, request: Value| {
        let operation = model.operation(name).unwrap();
        let mut body = Vec::new();
        encoding.write(&request, &mut body);
        let head = format!(
            "POST / HTTP/1.1\r\nContent-Type: {}\r\nX-Amz-Target: Kinesis_20131202.{name}\r\n",
            encoding.content_type()
        );
        let (status, _, body) = client.send(&head, &body);
        assert_eq!(status, 200, "{name}: {}", String::from_utf8_lossy(&body));
        let Some(output) = operation.output else { return Value::Null };
        let answer = encoding.read_as(model, output, &Bytes::from(body)).unwrap();
        // What the service asks of others it keeps itself; but the model has it that of records put, at least
        // one has failed.
        if name != "PutRecords" {
            assert_eq!(validate(model, output, &answer), Ok(()), "{name}");
        }
        answer
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let map = |members: &[(&'static str, Value)]| {
        Value::Map(members.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
    };
    let stream = ("StreamName", text("s"));
    ask(Encoding::Cbor, "CreateStream", map(&[stream.clone(), ("ShardCount", Value::Int(1))]));
    let records: Vec<Value> = ["a", "ä\"b\\\n", "😀"]
        .iter()
        .map(|key| map(&[("PartitionKey", text(key)), ("Data", Value::Blob(Bytes::from(key.repeat(9))))]))
        .collect();
    for encoding in [Encoding::Cbor, Encoding::Json] {
        let put =
            ask(encoding, "PutRecords", map(&[stream.clone(), ("Records", Value::List(records.clone()))]));
        assert_eq!(put.get("FailedRecordCount"), Some(&Value::Int(0)));
        let Some(Value::List(placed)) = put.get("Records") else { panic!("a list: {put:?}") };
        assert_eq!(placed.len(), 3);
        assert!(placed.iter().all(|place| place.get("ShardId") == Some(&text("shardId-000000000000"))));
    }
    let read = [Encoding::Cbor, Encoding::Json].map(|encoding| {
        let asked = [
            stream.clone(),
            ("ShardId", text("shardId-000000000000")),
            ("ShardIteratorType", text("TRIM_HORIZON")),
        ];
        let iterator = ask(encoding, "GetShardIterator", map(&asked)).take("ShardIterator").unwrap();
        let mut answer = ask(encoding, "GetRecords", map(&[("ShardIterator", iterator)]));
        assert!(answer.get("NextShardIterator").is_some());
        answer.take("Records").unwrap()
    });
    assert_eq!(read[0], read[1]);
    let Value::List(read) = &read[0] else { panic!("a list") };
    assert_eq!(read.len(), 6);
    for (read, put) in read.iter().zip(records.iter().chain(&records)) {
        assert_eq!((read.get("Data"), read.get("PartitionKey")), (put.get("Data"), put.get("PartitionKey")));
    }
}

/// Both ways of `PutRecords`: the short one, which is gone where SDKs go, and the one by the model.
#[test]
fn records_beyond_a_limit_are_refused_one_by_one_in_both_ways() {
    use std::collections::HashSet;

    use pelton_kinesis::wire::put_records;
    use pelton_streams::clock::ManualClock;
    use pelton_streams::storage::MemoryStorage;
    use pelton_streams::{Options, ShardLog};

    for encoding in [Encoding::Json, Encoding::Cbor] {
        for is_short in [true, false] {
            let (storage, clock) =
                (Arc::new(MemoryStorage::new()), Arc::new(ManualClock::at(1_800_000_000_000)));
            let log =
                ShardLog::open_with("/data", &Options::create(), storage.clone(), clock.clone()).unwrap();
            let settings = Settings { enforce_limits: true, ..Settings::default() };
            let server = Running::serve(Arc::new(Service::over(log, settings, storage, clock).unwrap()));
            let mut client = crate::client::Client::to(server.address).unwrap();
            client.get("CreateStream", &serde_json::json!({ "StreamName": "s", "ShardCount": 2 }));

            // Of one key ten of these in a second, of the other, whose shard is another, all that there are.
            let text = |text: &str| Value::Text(text.to_owned());
            let record = |n: usize| {
                let hash_key = if n % 4 == 3 { u128::MAX.to_string() } else { "0".to_owned() };
                let mut data = vec![b'.'; 100_000];
                data[0] = b'a' + n as u8;
                let mut members = vec![
                    ("PartitionKey".into(), text("k")),
                    ("ExplicitHashKey".into(), text(&hash_key)),
                    ("Data".into(), Value::Blob(data.into())),
                ];
                if !is_short {
                    members.push(("Unknown".into(), text("sends it the long way")));
                }
                Value::Map(members)
            };
            let records = Value::List((0..20).map(record).collect());
            let request = Value::Map(vec![("StreamName".into(), text("s")), ("Records".into(), records)]);
            let mut body = Vec::new();
            encoding.write(&request, &mut body);
            let body = Bytes::from(body);
            assert_eq!(put_records(encoding, &body).is_some(), is_short);
            let head = format!(
                "POST / HTTP/1.1\r\nContent-Type: {}\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\n",
                encoding.content_type()
            );
            let (status, _, answer) = Client::connect(server.address).send(&head, &body);
            assert_eq!(status, 200);
            let model = Model::kinesis();
            let output = model.operation("PutRecords").unwrap().output.unwrap();
            let answer = encoding.read_as(model, output, &Bytes::from(answer)).unwrap();
            // Fifteen go to the first shard, ten of which it takes.
            assert_eq!(answer.get("FailedRecordCount"), Some(&Value::Int(5)), "{encoding:?} {is_short}");
            let Some(Value::List(placed)) = answer.get("Records") else { panic!("a list: {answer:?}") };
            let told = |n: usize, name: &str| placed[n].get(name).and_then(Value::as_text);
            let refused: HashSet<usize> = (0..20).filter(|n| told(*n, "ErrorCode").is_some()).collect();
            assert_eq!(refused, HashSet::from([13, 14, 16, 17, 18]));
            for n in refused {
                assert_eq!(told(n, "ErrorCode"), Some("ProvisionedThroughputExceededException"));
                assert!(
                    told(n, "ErrorMessage")
                        .unwrap()
                        .contains("Rate exceeded for shard shardId-000000000000 in")
                );
                assert_eq!((told(n, "SequenceNumber"), told(n, "ShardId")), (None, None));
            }
            let read = client.read_all("s").unwrap();
            assert_eq!(read.len(), 15);
            for (shard, record) in read {
                let n = usize::from(record.data.as_bytes()[0] - b'a');
                let there = (Some(shard.as_str()), Some(record.sequence.as_str()));
                assert_eq!((told(n, "ShardId"), told(n, "SequenceNumber")), there, "{n}");
            }
        }
    }
}

#[test]
fn what_is_no_request_is_answered_and_the_connection_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    let mut client = Client::connect(server.address);
    let (status, head, body) = client.send("GET / HTTP/1.1\r\n", b"");
    assert_eq!(status, 403);
    assert!(head.contains("x-amzn-requestid: ") && !head.contains("content-type"), "{head}");
    assert!(body.starts_with(b"<AccessDeniedException>"));
    let (status, head, _) = client.send("OPTIONS / HTTP/1.1\r\nOrigin: http://page\r\n", b"");
    assert!(status == 200 && head.contains("access-control-allow-origin: *"), "{head}");
    assert_eq!(client.call("ListStreams", b"hello").1["__type"], "SerializationException");
    assert_eq!(client.call("Nothing", b"{}").1["__type"], "UnknownOperationException");
    let head = "POST / HTTP/1.1\r\nContent-Type: application/x-amz-cbor-1.1\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\n";
    let (status, head, body) = client.send(head, b"\xbf\xff");
    assert!(status == 200 && head.contains("content-type: application/x-amz-cbor-1.1"), "{head}");
    assert_eq!(body[0] >> 5, 5, "a map");
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0);
}

/// A server that knows the key of the scripts, and one that may only write to `clicks`.
pub fn guarded(data: &Path) -> Running {
    let keys = "[operator]\naws_access_key_id = AKIDEXAMPLE\n\
                aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n\
                [producer]\naws_access_key_id = AKIDPRODUCER\naws_secret_access_key = producer\nwrite = clicks\n";
    let keys = Credentials::parse(Path::new("keys"), keys).unwrap();
    let service = Service::open(data, Settings::default()).unwrap();
    Running::serve(Arc::new(service.with_authenticator(Authenticator::new(keys, None))))
}

#[test]
fn requests_without_a_signature_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = guarded(data.path());
    let mut client = Client::connect(server.address);
    for operation in Model::kinesis().operations() {
        let (status, answer) = client.call(operation.name, b"{}");
        let told = (status, answer["__type"].as_str(), answer["message"].as_str());
        let missing = "MissingAuthenticationTokenException";
        assert_eq!(told, (400, Some(missing), Some("Missing Authentication Token")), "{}", operation.name);
    }
}

/// As kinesalite has recorded it of AWS.
#[test]
fn a_body_that_is_none_is_told_of_before_a_signature_that_is_missing() {
    let data = tempfile::tempdir().unwrap();
    let server = guarded(data.path());
    let mut client = Client::connect(server.address);
    for (body, code) in [
        (&b"{"[..], "SerializationException"),
        (b"17", "SerializationException"),
        (b"null", "SerializationException"),
        (b"\xff", "SerializationException"),
        (b" {\"StreamName\": 17}", "MissingAuthenticationTokenException"),
        (b"[]", "MissingAuthenticationTokenException"),
    ] {
        let (status, answer) = client.call("ListShards", body);
        assert_eq!((status, answer["__type"].as_str()), (400, Some(code)), "{}", body.escape_ascii());
    }
}

#[test]
fn boto3_signs_and_is_told_what_it_may() {
    let data = tempfile::tempdir().unwrap();
    run_script(&["auth.py"], &guarded(data.path()).endpoint());
}
