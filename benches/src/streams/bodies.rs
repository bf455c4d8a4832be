//! The records that a connection puts, and bodies of them: made once and sent again and again.

use pelton_kinesis::wire::{Encoding, Writer};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::client::Sendable;
use crate::generator::splitmix64;

/// Records that are put by one call.
#[derive(Debug)]
pub struct Records {
    stream: String,
    encoding: Encoding,
    records: Vec<(String, Vec<u8>)>,
    /// What each is known by when it is read again.
    pub prints: Vec<u64>,
}

/// What a record of this key and data is known by; the data is as the body has it.
pub fn print(key: &[u8], data: &[u8]) -> u64 {
    xxh3_64_with_seed(data, xxh3_64(key))
}

impl Records {
    /// `count` records of `bytes` bytes each, no two of them alike, whoever `of` puts them.
    pub fn new(stream: &str, encoding: Encoding, of: usize, count: usize, bytes: usize) -> Self {
        let record = |number: usize| {
            let seed = splitmix64((of * 1_000_000 + number) as u64);
            let words = (0..bytes.div_ceil(8) as u64).flat_map(|word| splitmix64(seed ^ word).to_le_bytes());
            (format!("key-{of}-{number}"), words.take(bytes).collect())
        };
        let records = (0..count).map(record).collect();
        let mut made = Self { stream: stream.to_owned(), encoding, records, prints: Vec::new() };
        made.take_prints();
        made
    }

    fn take_prints(&mut self) {
        let mut sent = Vec::new();
        let records = self.records.iter().map(|(key, data)| {
            sent.clear();
            Writer::new(self.encoding, &mut sent).blob(data);
            let quotes = usize::from(self.encoding == Encoding::Json);
            // A string of CBOR has its length before it.
            let from = if quotes > 0 { 1 } else { sent.len() - data.len() };
            print(key.as_bytes(), &sent[from..sent.len() - quotes])
        });
        self.prints = records.collect();
    }

    /// Writes `stamp` over the first eight bytes of each record's data.
    pub fn stamp(&mut self, stamp: u64) {
        for (_, data) in &mut self.records {
            data[..8].copy_from_slice(&stamp.to_le_bytes());
        }
        self.take_prints();
    }

    /// The call that puts those of these numbers.
    pub fn call(&self, numbers: &[usize]) -> Sendable {
        let mut body = Vec::new();
        let mut writer = Writer::new(self.encoding, &mut body);
        let (_, data) = &self.records[0];
        writer.reserve(data.len() * numbers.len(), 128 * numbers.len() + 1_024);
        if let ([only], true) = (numbers, self.is_single()) {
            writer.begin_structure(3);
            writer.member("StreamName").text(&self.stream);
            self.members(*only, &mut writer);
            writer.end_structure();
            return Sendable::new("PutRecord", body);
        }
        writer.begin_structure(2);
        writer.member("StreamName").text(&self.stream);
        writer.member("Records").begin_list(numbers.len());
        for number in numbers {
            writer.item();
            writer.begin_structure(2);
            self.members(*number, &mut writer);
            writer.end_structure();
        }
        writer.end_list();
        writer.end_structure();
        Sendable::new("PutRecords", body)
    }

    /// Whether they are put by `PutRecord`.
    pub fn is_single(&self) -> bool {
        self.records.len() == 1
    }

    fn members(&self, number: usize, writer: &mut Writer<'_>) {
        let (key, data) = &self.records[number];
        writer.member("Data").blob(data);
        writer.member("PartitionKey").plain(key.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_are_those_of_the_data_as_it_is_read_again() {
        for bytes in [8, 23, 24, 255, 256, 70_000] {
            let json = Records::new("s", Encoding::Json, 1, 3, bytes);
            let cbor = Records::new("s", Encoding::Cbor, 1, 3, bytes);
            let (key, data) = &json.records[2];
            assert_eq!(data.len(), bytes);
            assert_eq!(cbor.prints[2], print(key.as_bytes(), data));
            let mut text = Vec::new();
            Writer::new(Encoding::Json, &mut text).blob(data);
            assert_eq!(json.prints[2], print(key.as_bytes(), &text[1..text.len() - 1]));
            assert_ne!(json.prints[1], json.prints[2]);
        }
    }
}
