//! The short way of `PutRecords` through CBOR: strings of a known length, structures and lists of either
//! form.

use super::super::cbor::{ARRAY, BREAK, BYTES, MAP, TEXT};
use super::{Data, Entry, PutRecord, PutRecords, RULES, once};

pub(super) fn read(body: &[u8]) -> Option<PutRecords<'_>> {
    let mut scan = Scan { rest: body };
    let mut out = PutRecords::default();
    let mut records = None;
    scan.members(|scan, name| match name {
        b"StreamName" => once(&mut out.stream_name, scan.text()?),
        b"StreamARN" => once(&mut out.stream_arn, scan.text()?),
        b"Records" => once(&mut records, scan.records()?),
        _ => None,
    })?;
    out.records = records?;
    if scan.rest.is_empty() { out.done() } else { None }
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// The argument of an item of this major type; `None` inside if it has no length.
    fn head(&mut self, major: u8) -> Option<Option<usize>> {
        let (&byte, rest) = self.rest.split_first()?;
        if byte >> 5 != major {
            return None;
        }
        let size = match byte & 31 {
            len @ 0..24 => {
                self.rest = rest;
                return Some(Some(len.into()));
            }
            31 => {
                self.rest = rest;
                return Some(None);
            }
            24 => 1,
            25 => 2,
            26 => 4,
            _ => return None,
        };
        let (argument, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        Some(Some(argument.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))))
    }

    fn string(&mut self, major: u8) -> Option<&'a [u8]> {
        let len = self.head(major)??;
        let (string, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(string)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string(TEXT)?).ok()
    }

    /// Takes a list or structure; `item` takes each item of it.
    fn items(&mut self, major: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        match self.head(major)? {
            Some(count) => (0..count).try_for_each(|_| item(self)),
            None => loop {
                if let Some(rest) = self.rest.strip_prefix(&[BREAK]) {
                    self.rest = rest;
                    return Some(());
                }
                item(self)?;
            },
        }
    }

    fn members(&mut self, mut member: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        self.items(MAP, |scan| {
            let name = scan.string(TEXT)?;
            member(scan, name)
        })
    }

    fn records(&mut self) -> Option<Vec<PutRecord<'a>>> {
        let mut records = Vec::new();
        self.items(ARRAY, |scan| {
            if records.len() == RULES.most_records {
                return None;
            }
            let mut entry = Entry::default();
            scan.members(|scan, name| match name {
                b"Data" => once(&mut entry.data, Data::Plain(scan.string(BYTES)?)),
                b"PartitionKey" => once(&mut entry.key, scan.text()?),
                b"ExplicitHashKey" => once(&mut entry.hash_key, scan.text()?),
                _ => None,
            })?;
            records.push(entry.done()?);
            Some(())
        })?;
        Some(records)
    }
}
