//! The short way of `PutRecords` through JSON: quotes are looked for, and what is between them is taken as it
//! is.

use memchr::memchr2;

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
    scan.space();
    if scan.rest.is_empty() { out.done() } else { None }
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn space(&mut self) {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let len = self.rest.iter().take_while(|byte| is_space(byte)).count();
        self.rest = &self.rest[len..];
    }

    /// Takes `byte`, and the space before it.
    fn eat(&mut self, byte: u8) -> Option<()> {
        if self.rest.first() != Some(&byte) {
            self.space();
        }
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    /// What is between two quotes, if nothing in it is escaped.
    fn quoted(&mut self) -> Option<&'a [u8]> {
        self.eat(b'"')?;
        let end = memchr2(b'"', b'\\', self.rest)?;
        let (inner, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(b"\"")?;
        Some(inner)
    }

    fn text(&mut self) -> Option<&'a str> {
        let text = self.quoted()?;
        if text.iter().any(|byte| *byte < 0x20) {
            return None;
        }
        std::str::from_utf8(text).ok()
    }

    /// Takes a structure; `member` takes the value of each member.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        self.eat(b'{')?;
        loop {
            let name = self.quoted()?;
            self.eat(b':')?;
            member(self, name)?;
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
        }
    }

    fn records(&mut self) -> Option<Vec<PutRecord<'a>>> {
        self.eat(b'[')?;
        let mut records = Vec::new();
        loop {
            if records.len() == RULES.most_records {
                return None;
            }
            let mut entry = Entry::default();
            self.members(|scan, name| match name {
                b"Data" => once(&mut entry.data, Data::Base64(scan.quoted()?)),
                b"PartitionKey" => once(&mut entry.key, scan.text()?),
                b"ExplicitHashKey" => once(&mut entry.hash_key, scan.text()?),
                _ => None,
            })?;
            records.push(entry.done()?);
            if self.eat(b',').is_none() {
                self.eat(b']')?;
                return Some(records);
            }
        }
    }
}
