//! The short way of `PutRecords` through CBOR: strings of a known length, structures and lists of either
//! form.

use super::super::cbor::{ARRAY, BREAK, BYTES, MAP, TEXT};
use super::Data;

pub(super) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub fn of(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

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

    /// Takes a list or structure; `item` takes each item of it.
    fn sequence(&mut self, major: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
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
}

impl<'a> super::Scan<'a> for Scan<'a> {
    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string(TEXT)?).ok()
    }

    fn data(&mut self) -> Option<Data<'a>> {
        self.string(BYTES).map(Data::Plain)
    }

    fn members(&mut self, mut member: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        self.sequence(MAP, |scan| {
            let name = scan.string(TEXT)?;
            member(scan, name)
        })
    }

    fn items(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.sequence(ARRAY, item)
    }

    fn is_at_end(&mut self) -> bool {
        self.rest.is_empty()
    }
}
