//! The bytes of a committable of the shard log.
//!
//! A JSON object: `v` the format version, 1; `transaction` the log's own committable, with the fields
//! `stream_id`, `stream`, `family`, `member`, `generation`, `epoch`, `transaction` and `records`.

use pelton_dataflow::sink::Committable;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    v: u32,
    transaction: pelton_streams::Committable,
}

pub(crate) fn encode(transaction: pelton_streams::Committable) -> Vec<u8> {
    serde_json::to_vec(&Envelope { v: VERSION, transaction })
        .expect("a struct of numbers and strings is JSON")
}

pub(crate) fn decode(committable: &Committable) -> Result<pelton_streams::Committable> {
    let wrong = |reason: String| Error::Committable {
        epoch: committable.epoch.0,
        worker: committable.worker,
        reason,
    };
    let envelope: Envelope =
        serde_json::from_slice(&committable.bytes).map_err(|error| wrong(error.to_string()))?;
    if envelope.v != VERSION {
        return Err(wrong(format!("it has format version {}, this version reads {VERSION}", envelope.v)));
    }
    Ok(envelope.transaction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_dataflow::time::Epoch;
    use proptest::prelude::*;

    fn committable(bytes: Vec<u8>) -> Committable {
        Committable { epoch: Epoch(9), worker: 2, bytes }
    }

    fn transaction(stream: &str, transaction: u64, stream_id: u64) -> pelton_streams::Committable {
        pelton_streams::Committable {
            stream_id,
            stream: stream.to_owned(),
            family: "fraud/alerts".to_owned(),
            member: "worker-2".to_owned(),
            generation: 3,
            epoch: 9,
            transaction,
            records: 44,
        }
    }

    proptest! {
        #[test]
        fn committables_come_back(stream in "\\PC{0,9}", id: u64, stream_id: u64) {
            let transaction = transaction(&stream, id, stream_id);
            prop_assert_eq!(decode(&committable(encode(transaction.clone()))).unwrap(), transaction);
        }
    }

    /// A committable as version 1 wrote it, which must be read for ever.
    #[test]
    fn a_committable_of_version_1_is_read() {
        let bytes = br#"{"v":1,"transaction":{"stream_id":18446744073709551615,"stream":"alerts","family":"fraud/alerts","member":"worker-2","generation":3,"epoch":9,"transaction":4294967297,"records":44}}"#;
        let read = decode(&committable(bytes.to_vec())).unwrap();
        assert_eq!(read, transaction("alerts", 4_294_967_297, u64::MAX));
    }

    #[test]
    fn wrong_bytes_are_named() {
        for (bytes, reason) in [("", "EOF"), (r#"{"v":1}"#, "missing field"), ("[]", "invalid")] {
            let message = decode(&committable(bytes.as_bytes().to_vec())).unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains("epoch 9, worker 2"), "{message}");
        }
    }
}
