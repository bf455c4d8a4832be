//! Going through CBOR: strings of a known length, structures and lists of either form.

use super::super::cbor::{ARRAY, BREAK, BYTES, MAP, NULL, SIMPLE, TAG, TEXT, UNSIGNED};
use super::{Data, MOST_DEPTH, Scan};

pub(super) struct Body<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Body<'a> {
    pub fn of(body: &'a [u8]) -> Self {
        Self { rest: body, depth: 0 }
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
            27 => 8,
            _ => return None,
        };
        let (argument, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        let argument = argument.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some(Some(usize::try_from(argument).ok()?))
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

impl<'a> Scan<'a> for Body<'a> {
    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string(TEXT)?).ok()
    }

    fn text_or_null(&mut self) -> Option<Option<String>> {
        if let Some(rest) = self.rest.strip_prefix(&[SIMPLE << 5 | NULL]) {
            self.rest = rest;
            return Some(None);
        }
        self.text().map(|text| Some(text.to_owned()))
    }

    fn data(&mut self) -> Option<Data<'a>> {
        self.string(BYTES).map(Data::Plain)
    }

    fn number(&mut self) -> Option<u64> {
        Some(self.head(UNSIGNED)?? as u64)
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

    fn skip(&mut self) -> Option<()> {
        let major = self.rest.first()? >> 5;
        match major {
            BYTES | TEXT => self.string(major).map(|_| ()),
            ARRAY | MAP | TAG if self.depth == MOST_DEPTH => None,
            ARRAY | MAP | TAG => {
                self.depth += 1;
                match major {
                    ARRAY => self.items(Self::skip)?,
                    MAP => self.members(|body, _| body.skip())?,
                    _ => {
                        self.head(TAG)??;
                        self.skip()?;
                    }
                }
                self.depth -= 1;
                Some(())
            }
            // A number, or a word; the end of what has no length is none.
            _ if self.rest[0] == BREAK => None,
            major => {
                debug_assert!(major == SIMPLE || major <= 1, "{major}");
                self.head(major)?.map(|_| ())
            }
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.rest.is_empty()
    }
}
