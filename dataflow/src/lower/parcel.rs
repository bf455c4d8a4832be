//! Parcels: what travels on a timely channel, and the contract that delivers them.
//!
//! The sending stage has already chosen the receiving worker, so the contract only routes.

use std::io::Write;
use std::rc::Rc;

use bincode::Options;
use serde::{Deserialize, Serialize};
use timely::Accountable;
use timely::communication::{Pull, Push};
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::logging::TimelyLogger;
use timely::worker::Worker;

use crate::rank::Rank;
use crate::record::{Batch, Origin};
use crate::time::Moment;

/// A batch with its sender and receiver. Timely's containers need a default: no batch.
#[derive(Default)]
pub struct Parcel {
    /// The sending worker, to whom the credit returns.
    pub from: usize,
    /// The receiving worker.
    pub to: usize,
    /// The batch.
    pub batch: Option<Batch>,
}

impl Accountable for Parcel {
    /// A parcel counts as one, however many records it holds: progress tracking needs only to see
    /// that what was sent has arrived.
    fn record_count(&self) -> i64 {
        i64::from(self.batch.is_some())
    }
}

/// What precedes the records of a parcel between processes.
#[derive(Serialize, Deserialize)]
struct Header {
    from: usize,
    to: usize,
    len: usize,
    bytes: usize,
    origin: Origin,
    /// With the word whether a record is late, which a rank does not write down by itself.
    ranks: Option<Vec<(Rank, bool)>>,
}

impl Parcel {
    fn header(&self) -> Header {
        let batch = self.batch.as_ref().expect("timely sends no empty container");
        Header {
            from: self.from,
            to: self.to,
            len: batch.len(),
            bytes: batch.encoded_len(),
            origin: batch.origin.clone(),
            ranks: batch.ranks().map(|all| all.iter().map(|rank| (rank.clone(), rank.is_late())).collect()),
        }
    }
}

impl Parcel {
    /// The parcel in `bytes`, whose end may be padding. No length in them can ask for more than there is.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let options = bincode::DefaultOptions::new().with_fixint_encoding().allow_trailing_bytes();
        let options = options.with_limit(bytes.len() as u64);
        let header: Header = options.deserialize(bytes).map_err(|error| format!("its header: {error}"))?;
        let records = bytes.get(header_length(&header)..).and_then(|rest| rest.get(..header.bytes));
        let records = records.ok_or_else(|| {
            format!("it has {} bytes, its header speaks of {} bytes of records", bytes.len(), header.bytes)
        })?;
        let ranks = header
            .ranks
            .map(|all| all.into_iter().map(|(rank, is_late)| rank.late(is_late)).collect::<Vec<_>>());
        if ranks.as_ref().is_some_and(|ranks| ranks.len() != header.len) {
            return Err(format!("it has {} records and not as many ranks", header.len));
        }
        let batch = Batch::encoded(records.to_vec(), header.len, header.origin).ranked(ranks);
        Ok(Self { from: header.from, to: header.to, batch: Some(batch) })
    }
}

/// Timely wants lengths in whole words.
fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

fn header_length(header: &Header) -> usize {
    bincode::serialized_size(header).expect("a header has a size") as usize
}

impl ContainerBytes for Parcel {
    fn from_bytes(bytes: timely::bytes::arc::Bytes) -> Self {
        // Timely has no way to hear of an error: the panic ends the process, and with it the generation.
        Self::read(&bytes).unwrap_or_else(|problem| {
            panic!("a parcel from another process cannot be read: {problem}; do both run the same program?")
        })
    }

    fn length_in_bytes(&self) -> usize {
        let header = self.header();
        padded(header_length(&header) + header.bytes)
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let header = self.header();
        bincode::serialize_into(&mut *writer, &header).expect("timely reserved `length_in_bytes`");
        self.batch.as_ref().expect("timely sends no empty container").encode(writer);
        let length = header_length(&header) + header.bytes;
        writer.write_all(&[0; 8][..padded(length) - length]).expect("timely reserved `length_in_bytes`");
    }
}

/// Delivers each parcel to the worker it names.
pub struct ByAddress;

impl ParallelizationContract<Moment, Parcel> for ByAddress {
    type Pusher = Router;
    type Puller = Box<dyn Pull<Message<Moment, Parcel>>>;

    fn connect(
        self,
        worker: &Worker,
        identifier: usize,
        address: Rc<[usize]>,
        _logging: Option<TimelyLogger>,
    ) -> (Self::Pusher, Self::Puller) {
        let (pushers, puller) = worker.allocate::<Message<Moment, Parcel>>(identifier, address);
        (Router { pushers }, puller)
    }
}

/// The sending end: one pusher for each worker.
pub struct Router {
    pushers: Vec<Box<dyn Push<Message<Moment, Parcel>>>>,
}

impl Push<Message<Moment, Parcel>> for Router {
    fn push(&mut self, message: &mut Option<Message<Moment, Parcel>>) {
        if let Some(parcel) = message {
            let to = parcel.data.to;
            self.pushers[to].push(message);
        } else {
            for pusher in &mut self.pushers {
                pusher.push(&mut None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::time::EventTime;

    #[test]
    fn a_parcel_survives_another_process() {
        let records = vec![Record::new(EventTime(1), 7u8), Record::new(EventTime(2), 8)];
        let ranks = vec![Rank::of("in/0").then(1), Rank::of("in/1").late(true)];
        let batch = Batch::new(records.clone(), Origin::default()).ranked(Some(ranks.clone()));
        let parcel = Parcel { from: 2, to: 3, batch: Some(batch) };
        let mut bytes = Vec::new();
        parcel.into_bytes(&mut bytes);
        assert_eq!(bytes.len(), parcel.length_in_bytes());
        let received = Parcel::from_bytes(timely::bytes::arc::BytesMut::from(bytes).freeze());
        assert_eq!((received.from, received.to), (2, 3));
        let (found, _, found_ranks) = received.batch.unwrap().into_ranked::<u8>();
        assert_eq!((found, found_ranks), (records, Some(ranks)));
    }
}
