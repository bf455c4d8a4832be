//! What comes back of the calls that there are most of, gone through once and without copies.

use anyhow::{Context, Result};
use pelton_kinesis::wire::Encoding;
use pelton_kinesis::wire::scan::{self, Data, Scan};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The codes of refusals that go away by themselves.
const THROTTLES: [&str; 4] = [
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "ThrottlingException",
    "KMSThrottlingException",
];

/// Where a record is: its shard and its sequence number, as a print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub shard: u32,
    pub print: u64,
}

impl Place {
    pub fn of(shard: u32, sequence: &str) -> Self {
        Self { shard, print: xxh3_64_with_seed(sequence.as_bytes(), u64::from(shard)) }
    }
}

/// The number of a shard: its own, if it is written as Amazon does.
pub fn shard_number(id: &str) -> u32 {
    let digits = id.strip_prefix("shardId-").and_then(|digits| digits.parse().ok());
    digits.unwrap_or_else(|| xxh3_64(id.as_bytes()) as u32)
}

/// What became of a record that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Written(Place),
    /// Its shard has enough for now.
    Throttled,
    Failed(String),
}

fn scanned<'a, T>(encoding: Encoding, body: &'a [u8], look: impl Look<'a, T>) -> Result<T> {
    let found = match encoding {
        Encoding::Json => look.at(scan::json(body)),
        Encoding::Cbor => look.at(scan::cbor(body)),
    };
    found.with_context(|| format!("cannot make out the answer {:.300}", String::from_utf8_lossy(body)))
}

/// A look at a body, whatever its encoding.
trait Look<'a, T> {
    fn at(self, body: impl Scan<'a>) -> Option<T>;
}

/// What became of each record of a `PutRecords`, in order; of a `PutRecord`, of the one.
pub fn outcomes(encoding: Encoding, body: &[u8], is_single: bool, into: &mut Vec<Outcome>) -> Result<()> {
    struct Outcomes<'v>(&'v mut Vec<Outcome>, bool);
    impl<'a> Look<'a, ()> for Outcomes<'_> {
        fn at(self, mut body: impl Scan<'a>) -> Option<()> {
            if self.1 {
                self.0.push(outcome(&mut body)?);
                return Some(());
            }
            body.members(|body, name| match name {
                b"Records" => body.items(|body| {
                    self.0.push(outcome(body)?);
                    Some(())
                }),
                _ => body.skip(),
            })
        }
    }
    into.clear();
    scanned(encoding, body, Outcomes(into, is_single))
}

fn outcome<'a>(body: &mut impl Scan<'a>) -> Option<Outcome> {
    let (mut shard, mut sequence, mut code) = (None, None, None);
    body.members(|body, name| match name {
        b"ShardId" => body.text().map(|text| shard = Some(text)),
        b"SequenceNumber" => body.text().map(|text| sequence = Some(text)),
        // Where there is none, it is left out by most, and null with kinesis-mock.
        b"ErrorCode" => body.text_or_null().map(|text| code = text),
        _ => body.skip(),
    })?;
    Some(match code {
        Some(code) if THROTTLES.contains(&&*code) => Outcome::Throttled,
        Some(code) => Outcome::Failed(code),
        None => Outcome::Written(Place::of(shard_number(shard?), sequence?)),
    })
}

/// A refusal of a call as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: String,
    pub is_throttle: bool,
}

/// What a call was refused by.
pub fn refusal(encoding: Encoding, body: &[u8]) -> Refusal {
    struct Code;
    impl<'a> Look<'a, String> for Code {
        fn at(self, mut body: impl Scan<'a>) -> Option<String> {
            let mut code = None;
            body.members(|body, name| match name {
                b"__type" => body.text().map(|text| code = Some(text.to_owned())),
                _ => body.skip(),
            })?;
            code
        }
    }
    let told = scanned(encoding, body, Code).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
    let code = told.rsplit('#').next().unwrap_or(&told);
    Refusal { is_throttle: THROTTLES.contains(&code), code: code.to_owned() }
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read<'a> {
    pub sequence: &'a str,
    pub key: &'a str,
    pub data: Data<'a>,
}

/// What is told beside the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    /// Where to go on.
    pub next: Option<String>,
    pub behind_ms: u64,
}

/// Gives each record of an answer of `GetRecords`, or of an event of a subscription, to `each`.
pub fn records(encoding: Encoding, body: &[u8], each: impl FnMut(Read<'_>)) -> Result<Rest> {
    struct Records<F>(F);
    impl<'a, F: FnMut(Read<'_>)> Look<'a, Rest> for Records<F> {
        fn at(mut self, mut body: impl Scan<'a>) -> Option<Rest> {
            let mut rest = Rest::default();
            body.members(|body, name| match name {
                b"Records" => body.items(|body| {
                    (self.0)(record(body)?);
                    Some(())
                }),
                // A closed shard's is null with some, and left out by others.
                b"NextShardIterator" => body.text_or_null().map(|text| rest.next = text),
                b"MillisBehindLatest" => body.number().map(|ms| rest.behind_ms = ms),
                _ => body.skip(),
            })?;
            Some(rest)
        }
    }
    scanned(encoding, body, Records(each))
}

fn record<'a>(body: &mut impl Scan<'a>) -> Option<Read<'a>> {
    let (mut sequence, mut key, mut data) = (None, None, None);
    body.members(|body, name| match name {
        b"SequenceNumber" => body.text().map(|text| sequence = Some(text)),
        b"PartitionKey" => body.text().map(|text| key = Some(text)),
        b"Data" => body.data().map(|bytes| data = Some(bytes)),
        _ => body.skip(),
    })?;
    Some(Read { sequence: sequence?, key: key?, data: data? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_any_service_are_understood() {
        // As kinesalite writes it, and moto: with space, and with members in another order.
        let body = br#"{"FailedRecordCount":1,"Records":[{"SequenceNumber":"495","ShardId":"shardId-000000000003"},
            {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for \"x\"."}]}"#;
        let mut found = Vec::new();
        outcomes(Encoding::Json, body, false, &mut found).unwrap();
        assert_eq!(found, [Outcome::Written(Place::of(3, "495")), Outcome::Throttled]);
        let single =
            br#"{"ShardId": "shardId-000000000001", "SequenceNumber": "7", "EncryptionType": "KMS"}"#;
        outcomes(Encoding::Json, single, true, &mut found).unwrap();
        assert_eq!(found, [Outcome::Written(Place::of(1, "7"))]);
        // As kinesis-mock does: with nulls.
        let nulls = br#"{"Records":[{"ErrorCode":null,"ErrorMessage":null,"SequenceNumber":"7","ShardId":"shardId-000000000001"}]}"#;
        outcomes(Encoding::Json, nulls, false, &mut found).unwrap();
        assert_eq!(found, [Outcome::Written(Place::of(1, "7"))]);
        assert!(outcomes(Encoding::Json, b"<html>", false, &mut found).is_err());

        let throttle = br#"{"__type":"com.amazonaws#LimitExceededException","message":"x"}"#;
        assert!(refusal(Encoding::Json, throttle).is_throttle);
        assert_eq!(refusal(Encoding::Json, b"Bad Gateway").code, "Bad Gateway");
    }

    #[test]
    fn records_are_given_as_they_stand() {
        let body = br#"{"MillisBehindLatest":17,"NextShardIterator":"next==","Records":[{"ApproximateArrivalTimestamp":1.5E9,
            "Data":"aGVsbG8=","PartitionKey":"k","SequenceNumber":"1"}], "ChildShards": []}"#;
        let mut found = Vec::new();
        let rest = records(Encoding::Json, body, |record| {
            found.push((record.sequence.to_owned(), record.key.to_owned(), record.data.as_sent().to_vec()));
        });
        assert_eq!(rest.unwrap(), Rest { next: Some("next==".to_owned()), behind_ms: 17 });
        assert_eq!(found, [("1".to_owned(), "k".to_owned(), b"aGVsbG8=".to_vec())]);
        // moto has an end of line in its iterators.
        let moto = br#"{"NextShardIterator": "x\n", "MillisBehindLatest": 0, "Records": []}"#;
        let next = records(Encoding::Json, moto, |_| panic!("there is none")).unwrap().next;
        assert_eq!(next.as_deref(), Some("x\n"));
        let closed = br#"{"NextShardIterator": null,"MillisBehindLatest":0,"Records":[]}"#;
        assert_eq!(records(Encoding::Json, closed, |_| panic!("there is none")).unwrap(), Rest::default());
    }
}
