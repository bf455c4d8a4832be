//! The framing of subscriptions: AWS's event stream (`vnd.amazon.eventstream`). A message is
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the whole message |
//! | 4 | length of the headers |
//! | 4 | CRC-32 of the eight bytes before |
//! | .. | headers: length of the name (1), name, type (1; 7 is text), length of the value (2), value |
//! | .. | payload |
//! | 4 | CRC-32 of all before |
//!
//! with numbers in big-endian order. The payload is written straight into the message: lengths and sums are
//! filled in behind it. What a payload says is for the operation.

use crate::wire::Encoding;

const PRELUDE: usize = 12;
const SUM: usize = 4;
/// The type of a header whose value is text; no other is written.
const TEXT: u8 = 7;

/// What AWS's SDKs read at most.
const MOST_BYTES: usize = 16 << 20;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType<'a> {
    /// An event of this name: `initial-response`, `SubscribeToShardEvent`.
    Event(&'a str),
    /// The end of the stream by an error of this code.
    Exception(&'a str),
}

/// Writes a message behind what is in `out`; `payload` writes its payload there.
pub fn write(
    out: &mut Vec<u8>,
    message: MessageType<'_>,
    encoding: Encoding,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE]);
    let (kind, kind_header, name) = match message {
        MessageType::Event(name) => ("event", ":event-type", name),
        MessageType::Exception(code) => ("exception", ":exception-type", code),
    };
    header(out, kind_header, name);
    header(out, ":content-type", encoding.content_type());
    header(out, ":message-type", kind);
    let headers = out.len() - start - PRELUDE;
    payload(out);
    let whole = out.len() - start + SUM;
    let message = &mut out[start..];
    message[..4].copy_from_slice(&length(whole));
    message[4..8].copy_from_slice(&length(headers));
    let sum = crc32fast::hash(&message[..8]);
    message[8..PRELUDE].copy_from_slice(&sum.to_be_bytes());
    let sum = crc32fast::hash(message);
    out.extend_from_slice(&sum.to_be_bytes());
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("a message is at most some records of a response").to_be_bytes()
}

fn header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(u8::try_from(name.len()).expect("names are of this file"));
    out.extend_from_slice(name.as_bytes());
    out.push(TEXT);
    out.extend_from_slice(&u16::try_from(value.len()).expect("values are names").to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

/// A message that was read, as clients do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The headers, in order.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The payload.
    pub payload: &'a [u8],
}

/// Reads the message that `bytes` begin with, and what comes behind it; none if it is not all there.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Option<(Message<'_>, &[u8])>, &'static str> {
    fn number(bytes: &[u8]) -> u32 {
        bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }
    let Some(prelude) = bytes.get(..PRELUDE) else { return Ok(None) };
    let (whole, headers) = (number(&prelude[..4]) as usize, number(&prelude[4..8]) as usize);
    if number(&prelude[8..]) != crc32fast::hash(&prelude[..8]) {
        return Err("the prelude's sum is another");
    }
    if whole > MOST_BYTES || headers > whole || whole - headers < PRELUDE + SUM {
        return Err("the lengths cannot be");
    }
    let Some(message) = bytes.get(..whole) else { return Ok(None) };
    let (summed, sum) = message.split_at(whole - SUM);
    if number(sum) != crc32fast::hash(summed) {
        return Err("the message's sum is another");
    }
    let (mut rest, payload) = summed[PRELUDE..].split_at(headers);
    let mut headers = Vec::new();
    while let Some((&len, tail)) = rest.split_first() {
        let (name, tail) = tail.split_at_checked(len.into()).ok_or("a header's name ends early")?;
        let Some((&[TEXT, high, low], tail)) = tail.split_first_chunk() else { return Err("no text") };
        let len = u16::from_be_bytes([high, low]);
        let (value, tail) = tail.split_at_checked(len.into()).ok_or("a header's value ends early")?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "a header is not text");
        headers.push((text(name)?, text(value)?));
        rest = tail;
    }
    Ok(Some((Message { headers, payload }, &bytes[whole..])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three messages that botocore has read: made by
    /// `fixtures/event_stream.py`.
    const READ_BY_BOTOCORE: &[u8] = include_bytes!("../fixtures/event_stream.bin");

    fn three() -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, MessageType::Event("initial-response"), Encoding::Json, |out| out.extend(b"{}"));
        write(&mut out, MessageType::Event("SubscribeToShardEvent"), Encoding::Json, |out| {
            out.extend(br#"{"Records":[],"ContinuationSequenceNumber":"17","MillisBehindLatest":0}"#);
        });
        write(&mut out, MessageType::Exception("ResourceInUseException"), Encoding::Cbor, |out| {
            out.extend(b"\xa1gmessagefin use");
        });
        out
    }

    #[test]
    fn botocore_reads_what_is_written() {
        assert_eq!(three(), READ_BY_BOTOCORE);
    }

    #[test]
    fn messages_come_back() {
        let bytes = three();
        let (first, rest) = read(&bytes).unwrap().unwrap();
        assert_eq!(
            first.headers,
            [
                (":event-type", "initial-response"),
                (":content-type", "application/x-amz-json-1.1"),
                (":message-type", "event"),
            ]
        );
        assert_eq!(first.payload, b"{}");
        let (_, rest) = read(rest).unwrap().unwrap();
        let (last, rest) = read(rest).unwrap().unwrap();
        assert_eq!(last.headers[0], (":exception-type", "ResourceInUseException"));
        assert_eq!(last.headers[2], (":message-type", "exception"));
        assert_eq!(rest, b"");
        for len in 0..READ_BY_BOTOCORE.len() / 4 {
            assert_eq!(read(&bytes[..len]), Ok(None), "{len}");
        }
    }

    proptest! {
        #[test]
        fn a_bit_that_is_another_is_seen(at in 0_usize..400, bit in 0..8) {
            let mut bytes = three();
            let at = at % bytes.len();
            bytes[at] ^= 1_u8 << bit;
            let mut rest = bytes.as_slice();
            let refused = loop {
                match read(rest) {
                    Ok(Some((_, behind))) => rest = behind,
                    Ok(None) => break rest.is_empty(),
                    Err(_) => break true,
                }
            };
            prop_assert!(refused && !rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in any::<Vec<u8>>()) {
            let _ = read(&bytes);
            if bytes.len() >= PRELUDE {
                let sum = crc32fast::hash(&bytes[..8]);
                bytes[8..PRELUDE].copy_from_slice(&sum.to_be_bytes());
                let _ = read(&bytes);
            }
        }
    }
}
