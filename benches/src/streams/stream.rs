//! The stream that is used: created if it is not there, its shards, and iterators at its end.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::answers::shard_number;
use super::args::Common;
use super::client::Client;
use crate::report::note;

/// How long a stream may take to become active, and a consumer.
const ACTIVE_TRIES: u32 = 120;
/// How long it is waited between two looks.
pub const PAUSE: Duration = Duration::from_millis(500);
/// Shards of a page of `ListShards`.
const PAGE: u32 = 1_000;

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    pub id: String,
    pub number: u32,
}

/// Waits; there is no event that would tell.
pub fn pause(time: Duration) {
    std::thread::park_timeout(time);
}

/// The stream's shards that take records; it is created if it is not there.
pub fn open_shards(client: &mut Client, common: &Common) -> Result<Vec<Shard>> {
    let name = &common.stream;
    let (status, answer) =
        client.try_ask("CreateStream", &json!({ "StreamName": name, "ShardCount": common.shards }))?;
    let code = answer["__type"].as_str().unwrap_or_default();
    match status {
        200 => {}
        400 if code.ends_with("ResourceInUseException") => {
            note(&format!("the stream {name} is there already"));
        }
        _ => bail!("CreateStream was answered by {status}: {answer}"),
    }
    wait_until_active(|| {
        let answer = client.ask("DescribeStreamSummary", &json!({ "StreamName": name }))?;
        Ok(answer["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")
    })
    .with_context(|| format!("the stream {name} does not become active"))?;
    let mut shards = Vec::new();
    let mut request = json!({ "StreamName": name, "MaxResults": PAGE });
    loop {
        let answer = client.ask("ListShards", &request)?;
        let listed = answer["Shards"].as_array().context("ListShards gives no shards")?;
        let open =
            listed.iter().filter(|shard| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null());
        shards.extend(open.filter_map(|shard| {
            let id = shard["ShardId"].as_str()?.to_owned();
            Some(Shard { number: shard_number(&id), id })
        }));
        match &answer["NextToken"] {
            Value::String(token) => request = json!({ "NextToken": token, "MaxResults": PAGE }),
            _ => return Ok(shards),
        }
    }
}

/// Looks until what is looked at is active.
pub fn wait_until_active(mut is_active: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..ACTIVE_TRIES {
        if is_active()? {
            return Ok(());
        }
        pause(PAUSE);
    }
    bail!("it was looked at {ACTIVE_TRIES} times")
}

/// An iterator of each shard at its end: what is put from now on comes after it.
pub fn iterators_at_end(client: &mut Client, stream: &str, shards: &[Shard]) -> Result<Vec<String>> {
    let at_end = |shard: &Shard| {
        let request = json!({ "StreamName": stream, "ShardId": shard.id, "ShardIteratorType": "LATEST" });
        let iterator = ask_patiently(client, "GetShardIterator", &request)?;
        let text = iterator["ShardIterator"].as_str().context("GetShardIterator gives none")?;
        Ok(text.to_owned())
    };
    shards.iter().map(at_end).collect()
}

/// Asks until it is not too often.
fn ask_patiently(client: &mut Client, operation: &'static str, request: &Value) -> Result<Value> {
    for _ in 0..ACTIVE_TRIES {
        let (status, answer) = client.try_ask(operation, request)?;
        let code = answer["__type"].as_str().unwrap_or_default();
        match status {
            200 => return Ok(answer),
            400 if code.contains("Exceeded") => pause(PAUSE / 4),
            _ => bail!("{operation} was answered by {status}: {answer}"),
        }
    }
    bail!("{operation} was refused {ACTIVE_TRIES} times for being asked too often")
}
