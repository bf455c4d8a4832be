//! Doors for fuzzing: what reads messages of subscriptions, what clients hold and hand back, and signatures. That of
//! bodies is in [`wire::fuzzing`](crate::wire::fuzzing).

use std::path::Path;
use std::sync::LazyLock;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::auth::{Authenticator, BodyHash, Credentials, SignedRequest, Signer};
use crate::dates::Moment;
use crate::event_stream::{self, MessageType};
use crate::ops::iterators::Iterator;
use crate::ops::request::{shard_of, stream_of_arn};
use crate::sequence::{LAST_NUMBER, Sequence};
use crate::token::{KEY_BYTES, Purpose, Sealer};
use crate::wire::Encoding;

/// Bytes before the headers of a message, and behind its payload.
const PRELUDE: usize = 12;
const SUM: usize = 4;

/// Reads messages of a subscription: as they come, and with lengths and sums that are right.
///
/// # Panics
/// If what was read is not what is there, or what was written does not come back.
pub fn frames(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some((_, behind))) = event_stream::read(rest) {
        assert!(behind.len() < rest.len(), "a message has no bytes");
        rest = behind;
    }
    let mut mended = bytes.to_vec();
    mended.resize(mended.len().max(PRELUDE + SUM), 0);
    let whole = mended.len();
    mended[..4].copy_from_slice(&(whole as u32).to_be_bytes());
    let sum = crc32fast::hash(&mended[..8]);
    mended[8..PRELUDE].copy_from_slice(&sum.to_be_bytes());
    let sum = crc32fast::hash(&mended[..whole - SUM]);
    mended[whole - SUM..].copy_from_slice(&sum.to_be_bytes());
    if let Ok(Some((message, behind))) = event_stream::read(&mended) {
        assert!(behind.is_empty(), "all of it is the message");
        assert!(message.payload.len() <= whole - PRELUDE - SUM, "the payload is within it");
    }
    let name = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    let mut out = Vec::new();
    event_stream::write(&mut out, MessageType::Event(&name), Encoding::Json, |out| out.extend(bytes));
    let (message, behind) = event_stream::read(&out).expect("it was written").expect("all of it is there");
    assert_eq!((message.payload, behind), (bytes, &b""[..]));
    assert_eq!(message.headers[0], (":event-type", &*name));
}

/// Reads what a client hands back: tokens, sequence numbers, names of shards and streams, times; and what is in a
/// token, for whoever has the key.
///
/// # Panics
/// If something comes back as another.
pub fn tokens(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let sealer = Sealer::new(&[7; KEY_BYTES]);
    for purpose in [Purpose::Iterator, Purpose::Shards, Purpose::Streams, Purpose::Consumers] {
        assert_eq!(sealer.open::<serde_json::Value>(purpose, &text), None, "nobody has sealed it");
    }
    let token = sealer.seal(Purpose::Streams, &text).expect("there is randomness");
    assert_eq!(sealer.open::<String>(Purpose::Streams, &token).as_deref(), Some(&*text));
    assert_eq!(sealer.open::<String>(Purpose::Iterator, &token), None, "it is for something else");
    if let Ok(iterator) = serde_json::from_slice::<Iterator>(bytes) {
        let again = serde_json::to_vec(&iterator).expect("it can be written");
        assert_eq!(serde_json::from_slice::<Iterator>(&again).ok(), Some(iterator));
    }
    if let Some(sequence) = Sequence::parse(&text) {
        assert_eq!(Sequence::parse(&sequence.to_string()), Some(sequence));
    }
    if let Some(sequence) = any_sequence(bytes) {
        let written = sequence.to_string();
        assert_eq!((written.len(), Sequence::parse(&written)), (56, Some(sequence)), "{written}");
    }
    let _ = (shard_of(&text), stream_of_arn(&text));
    for moment in [Moment::from_basic(&text), Moment::from_extended(&text), Moment::from_http(&text)] {
        let Some(moment) = moment else { continue };
        assert_eq!(Moment::from_basic(&moment.basic()), Some(moment));
        let _ = moment.in_words();
    }
}

/// A sequence number as the service could give it out, of the first bytes.
fn any_sequence(bytes: &[u8]) -> Option<Sequence> {
    let (numbers, _) = bytes.as_chunks::<8>();
    let [created, shard, number, arrived, ..] = numbers else { return None };
    let of = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    // Seconds have 36 bits; and from 1990 on, the number has 56 digits.
    let seconds = |bytes| (of(bytes) % (1 << 35)) + (1 << 30);
    Some(Sequence {
        created_s: seconds(created),
        shard: of(shard) as u32,
        number: of(number) % (LAST_NUMBER + 1),
        arrived_s: seconds(arrived),
    })
}

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let keys = "[one]\naws_access_key_id = AKID\naws_secret_access_key = secret\n";
    Authenticator::new(Credentials::parse(Path::new("keys"), keys).expect("they are well formed"), None)
});
/// When the seeds were signed.
const SIGNED_MS: u64 = 1_440_938_160_000;

/// Judges the signature of a request: the first line is its query, further ones are headers up to an empty one, and the
/// rest is the body.
///
/// # Panics
/// If somebody is let in whose signature nobody made, or one that was made is refused.
pub fn signatures(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let query = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in lines.take(100) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim())) {
            headers.append(name, value);
        }
    }
    let body = BodyHash::of(body.as_bytes());
    let judge = |headers: &HeaderMap, query: &str| {
        let request = SignedRequest { method: "POST", path: "/", query, headers, authority: None, body };
        AUTHENTICATOR.authenticate(&request, SIGNED_MS).is_ok()
    };
    let _ = judge(&headers, query);
    // The same with a signature that is right.
    headers.remove(AUTHORIZATION);
    // The key has no session.
    headers.remove("x-amz-security-token");
    headers.insert("host", HeaderValue::from_static("kinesis"));
    let signer = Signer::new("AKID", "secret", None, "us-east-1");
    signer.sign("/", &mut headers, body, SIGNED_MS).expect("the key can stand in a header");
    assert!(judge(&headers, ""), "the signature is right: {headers:?}");
}
