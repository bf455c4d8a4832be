//! The short way of `PutRecords` through JSON: quotes are looked for, and what is between them is taken as it
//! is.

use memchr::memchr2;

use super::Data;

pub(super) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub fn of(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

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
}

impl<'a> super::Scan<'a> for Scan<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let text = self.quoted()?;
        if text.iter().any(|byte| *byte < 0x20) {
            return None;
        }
        std::str::from_utf8(text).ok()
    }

    fn data(&mut self) -> Option<Data<'a>> {
        self.quoted().map(Data::Base64)
    }

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

    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(b'[')?;
        loop {
            item(self)?;
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.space();
        self.rest.is_empty()
    }
}
