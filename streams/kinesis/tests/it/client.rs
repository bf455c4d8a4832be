//! A client without anything between test and wire: one connection, HTTP/1.1, JSON.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub sequence: String,
    pub key: String,
    pub data: String,
}

impl Client {
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request as it is; gives status, head and body of the answer.
    pub fn send(&mut self, head: &str, body: &[u8]) -> io::Result<(u16, String, Vec<u8>)> {
        let length = format!("Content-Length: {}\r\n\r\n", body.len());
        self.stream.get_mut().write_all(&[head.as_bytes(), length.as_bytes(), body].concat())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body)?;
        let status = lower.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, head, body))
    }

    /// Asks for an operation; gives status and answer, `null` if there is none.
    pub fn ask(&mut self, operation: &str, request: &Value) -> io::Result<(u16, Value)> {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: kinesis\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n"
        );
        let (status, _, body) = self.send(&head, request.to_string().as_bytes())?;
        let answer = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        Ok((status, answer))
    }

    /// Asks for what must go well.
    pub fn get(&mut self, operation: &str, request: &Value) -> Value {
        let (status, answer) = self.ask(operation, request).unwrap();
        assert_eq!(status, 200, "{operation} {request}: {answer}");
        answer
    }

    /// Asks for what is to go well; else tells what was answered.
    pub fn try_get(&mut self, operation: &str, request: &Value) -> Result<Value, String> {
        match self.ask(operation, request) {
            Ok((200, answer)) => Ok(answer),
            answer => Err(format!("{operation} {request}: {answer:?}")),
        }
    }

    /// Puts records of one partition key; gives their shards and sequence numbers, or what went wrong.
    pub fn put(&mut self, stream: &str, key: &str, data: &[String]) -> io::Result<Vec<(String, String)>> {
        let placed = self.put_some(stream, key, data)?;
        Ok(placed.into_iter().map(|place| place.expect("it is put")).collect())
    }

    /// Puts records of one partition key; gives for each its shard and sequence number, or none if it was refused.
    pub fn put_some(
        &mut self,
        stream: &str,
        key: &str,
        data: &[String],
    ) -> io::Result<Vec<Option<(String, String)>>> {
        let entry = |data: &String| json!({ "Data": STANDARD.encode(data), "PartitionKey": key });
        let records: Vec<Value> = data.iter().map(entry).collect();
        let (status, answer) =
            self.ask("PutRecords", &json!({ "StreamName": stream, "Records": records }))?;
        if status != 200 {
            assert!(status >= 500, "what is wrong is the service's fault: {status} {answer}");
            return Ok(vec![None; data.len()]);
        }
        let place = |placed: &Value| match placed.get("ErrorCode") {
            None => Some((text(&placed["ShardId"]), text(&placed["SequenceNumber"]))),
            Some(code) => {
                assert_eq!(code, "InternalFailure", "{answer}");
                None
            }
        };
        let placed: Vec<_> = answer["Records"].as_array().unwrap().iter().map(place).collect();
        let failed = placed.iter().filter(|place| place.is_none()).count();
        assert_eq!((placed.len(), &answer["FailedRecordCount"]), (data.len(), &json!(failed)), "{answer}");
        Ok(placed)
    }

    /// An iterator at the oldest record of a shard.
    pub fn oldest(&mut self, stream: &str, shard: &str) -> String {
        let request = json!({ "StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
        text(&self.get("GetShardIterator", &request)["ShardIterator"])
    }

    /// The next records; with the answer as a whole.
    pub fn read(&mut self, iterator: &str) -> (Vec<Record>, Value) {
        let answer = self.get("GetRecords", &json!({ "ShardIterator": iterator }));
        (records(&answer), answer)
    }

    /// All records of all shards that there are, with their shards.
    pub fn read_all(&mut self, stream: &str) -> Result<Vec<(String, Record)>, String> {
        let shards = self.try_get("ListShards", &json!({ "StreamName": stream }))?;
        let mut all = Vec::new();
        for shard in shards["Shards"].as_array().unwrap() {
            let shard = text(&shard["ShardId"]);
            let oldest =
                json!({ "StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
            let mut iterator = Some(text(&self.try_get("GetShardIterator", &oldest)?["ShardIterator"]));
            while let Some(at) = iterator {
                let answer = self.try_get("GetRecords", &json!({ "ShardIterator": at }))?;
                let records = records(&answer);
                let is_all = records.is_empty() && answer["MillisBehindLatest"] == json!(0);
                all.extend(records.into_iter().map(|record| (shard.clone(), record)));
                iterator = answer["NextShardIterator"].as_str().filter(|_| !is_all).map(str::to_owned);
            }
        }
        Ok(all)
    }

    /// The ids of the shards that take records, in order of their hash keys.
    pub fn open_shards(&mut self, stream: &str) -> Result<Vec<(String, u128, u128)>, String> {
        let request = json!({ "StreamName": stream, "ShardFilter": { "Type": "AT_LATEST" } });
        let answer = self.try_get("ListShards", &request)?;
        let number = |text: &Value| text.as_str().unwrap().parse().unwrap();
        let shard = |shard: &Value| {
            let range = &shard["HashKeyRange"];
            (text(&shard["ShardId"]), number(&range["StartingHashKey"]), number(&range["EndingHashKey"]))
        };
        let mut shards: Vec<_> = answer["Shards"].as_array().unwrap().iter().map(shard).collect();
        shards.sort_by_key(|(_, first, _)| *first);
        Ok(shards)
    }
}

/// The records of an answer of `GetRecords`.
fn records(answer: &Value) -> Vec<Record> {
    let record = |record: &Value| Record {
        sequence: text(&record["SequenceNumber"]),
        key: text(&record["PartitionKey"]),
        data: String::from_utf8(STANDARD.decode(text(&record["Data"])).unwrap()).unwrap(),
    };
    answer["Records"].as_array().unwrap().iter().map(record).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
