//! The layout of rows: keys, values, and a buffer that sorts them before they are written.
//!
//! This is the one home of these bytes.
//!
//! A row's key, all numbers big endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 2 | key group |
//! | 2 | operator, its number in the manifest's name table |
//! | 2 | state, its number within the operator |
//! | 8 | timers: the time; panes: the end of the window; both in ms, sign bit flipped; else absent |
//! | n | key, by [`crate::ordered`] |
//! | n | map: the entry's key, by [`crate::ordered`]; list: the index as `u64`; else absent |
//!
//! A row's value is the schema version it was written with (2 bytes, little endian) and the value
//! by [`crate::codec`]; a timer's is empty.

use pelton_dataflow::key::KeyGroup;

/// Bytes before the key: group, operator, state.
pub(crate) const HEAD: usize = 6;

/// Numbers of an operator and one of its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateId {
    pub(crate) operator: u16,
    pub(crate) state: u16,
}

/// What all rows of one state in one key group begin with.
pub(crate) fn head(group: KeyGroup, id: StateId) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..2].copy_from_slice(&group.0.to_be_bytes());
    head[2..4].copy_from_slice(&id.operator.to_be_bytes());
    head[4..].copy_from_slice(&id.state.to_be_bytes());
    head
}

/// What all rows of one key group begin with.
pub(crate) fn group_head(group: u16) -> [u8; 2] {
    group.to_be_bytes()
}

/// A time within a row's key, ordered as the times are.
pub(crate) fn time_bytes(ms: i64) -> [u8; 8] {
    (ms ^ i64::MIN).to_be_bytes()
}

/// The time that a row has behind its head, and what follows it.
pub(crate) fn split_time(row: &[u8]) -> Option<(i64, &[u8])> {
    let (time, rest) = row.get(HEAD..)?.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*time) ^ i64::MIN, rest))
}

/// What a row does to what lies below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Deletes from its key up to the key in its value all that is older than its own layer.
    Clear = 0,
    /// Deletes one row.
    Delete = 1,
    /// Sets one row.
    Put = 2,
}

impl Kind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Clear, Self::Delete, Self::Put].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A row as it is handed to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// Rows of one stretch of key groups, to be sorted. Reused from stretch to stretch.
#[derive(Default)]
pub(crate) struct RowBuffer {
    bytes: Vec<u8>,
    rows: Vec<RowAt>,
}

/// Where a row lies, with the first 16 bytes of its key to sort by.
struct RowAt {
    prefix: (u64, u64),
    at: usize,
    key_len: u32,
    value_len: u32,
}

impl RowBuffer {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of keys and values.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a row whose key and value the closures append. If a key comes twice, the later row
    /// counts.
    #[inline]
    pub(crate) fn add<E>(
        &mut self,
        kind: Kind,
        key: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
        value: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let at = self.bytes.len();
        self.bytes.push(kind as u8);
        key(&mut self.bytes)?;
        let value_at = self.bytes.len();
        value(&mut self.bytes)?;
        let key = &self.bytes[at + 1..value_at];
        self.rows.push(RowAt {
            prefix: prefix_of(key),
            at,
            key_len: length(key.len()),
            value_len: length(self.bytes.len() - value_at),
        });
        Ok(())
    }

    /// Sorts by key; a range marker stands before the rows that begin with its key.
    pub(crate) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.rows.sort_unstable_by(|a, b| {
            a.prefix
                .cmp(&b.prefix)
                .then_with(|| row_at(bytes, a).key.cmp(row_at(bytes, b).key))
                .then_with(|| (bytes[a.at] != Kind::Clear as u8).cmp(&(bytes[b.at] != Kind::Clear as u8)))
                .then_with(|| b.at.cmp(&a.at))
        });
    }

    /// The rows in the order that `sort` gave them, of equal keys the last added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let mut before: Option<(&RowAt, bool)> = None;
        self.rows.iter().filter_map(move |at| {
            let row = row_at(&self.bytes, at);
            let clears = row.kind == Kind::Clear;
            let again = before.is_some_and(|(known, known_clears)| {
                known.prefix == at.prefix
                    && known_clears == clears
                    && row_at(&self.bytes, known).key == row.key
            });
            before = Some((at, clears));
            (!again).then_some(row)
        })
    }
}

fn row_at<'a>(bytes: &'a [u8], at: &RowAt) -> Row<'a> {
    let kind = Kind::from_byte(bytes[at.at]).expect("`add` wrote the byte of a kind");
    let (key, rest) = bytes[at.at + 1..].split_at(at.key_len as usize);
    Row { kind, key, value: &rest[..at.value_len as usize] }
}

#[inline]
fn prefix_of(key: &[u8]) -> (u64, u64) {
    if let Some(chunk) = key.first_chunk::<16>() {
        let prefix = u128::from_be_bytes(*chunk);
        return ((prefix >> 64) as u64, prefix as u64);
    }
    let mut chunk = [0; 16];
    chunk[..key.len()].copy_from_slice(key);
    let prefix = u128::from_be_bytes(chunk);
    ((prefix >> 64) as u64, prefix as u64)
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a row's key and value are below 4 GiB: they were built in memory")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::ordered;

    const ID: StateId = StateId { operator: 3, state: 0x0102 };

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_layout_is_fixed() {
        let mut row = head(KeyGroup(0x0a0b), ID).to_vec();
        row.extend(time_bytes(5));
        ordered::encode_into("card", &mut row).unwrap();
        assert_eq!(row, include_bytes!("../fixtures/row-key-v1.bin"));
        assert!(row.starts_with(&group_head(0x0a0b)));
        let (time, key) = split_time(&row).unwrap();
        assert_eq!((time, ordered::decode::<String>(key).unwrap()), (5, "card".to_owned()));
    }

    fn add(buffer: &mut RowBuffer, kind: Kind, key: &[u8], value: &[u8]) {
        let append = |bytes: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(bytes);
            Ok::<_, Infallible>(())
        };
        buffer.add(kind, |out| append(key, out), |out| append(value, out)).unwrap();
    }

    proptest! {
        #[test]
        fn times_keep_their_order(a: i64, b: i64) {
            prop_assert_eq!(time_bytes(a).cmp(&time_bytes(b)), a.cmp(&b));
            let row = [[0; HEAD].as_slice(), &time_bytes(a)].concat();
            prop_assert_eq!(split_time(&row), Some((a, [].as_slice())));
        }

        #[test]
        fn rows_come_out_sorted_and_the_last_of_a_key_counts(
            keys in prop::collection::vec(prop::collection::vec(0u8..3, 0..20), 0..40)
        ) {
            let mut buffer = RowBuffer::default();
            let mut expected = std::collections::BTreeMap::new();
            for (i, key) in keys.iter().enumerate() {
                add(&mut buffer, Kind::Put, key, &i.to_le_bytes());
                expected.insert(key.clone(), i.to_le_bytes().to_vec());
            }
            buffer.sort();
            let found: Vec<_> = buffer.iter().map(|row| (row.key.to_vec(), row.value.to_vec())).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_range_marker_stands_before_the_row_with_its_key() {
        let mut buffer = RowBuffer::default();
        add(&mut buffer, Kind::Put, b"k", b"new");
        add(&mut buffer, Kind::Clear, b"k", b"l");
        add(&mut buffer, Kind::Delete, b"j", b"");
        buffer.sort();
        let found: Vec<_> = buffer.iter().map(|row| (row.kind, row.key)).collect();
        assert_eq!(found, [(Kind::Delete, b"j".as_slice()), (Kind::Clear, b"k"), (Kind::Put, b"k")]);
    }
}
