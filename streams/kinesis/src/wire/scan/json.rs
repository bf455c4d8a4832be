//! Going through JSON: quotes are looked for, and what is between them is taken as it is.

use memchr::memchr2;

use super::{Data, MOST_DEPTH, Scan};

pub(super) struct Body<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Body<'a> {
    pub fn of(body: &'a [u8]) -> Self {
        Self { rest: body, depth: 0 }
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

    /// Passes over text, which may have escapes.
    fn skip_text(&mut self) -> Option<()> {
        self.eat(b'"')?;
        loop {
            let at = memchr2(b'"', b'\\', self.rest)?;
            let is_end = self.rest[at] == b'"';
            self.rest = self.rest.get(at + if is_end { 1 } else { 2 }..)?;
            if is_end {
                return Some(());
            }
        }
    }

    /// A number, or a word.
    fn plain(&mut self) -> Option<&'a [u8]> {
        self.space();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let len = self.rest.iter().take_while(|byte| is_plain(byte)).count();
        let (plain, rest) = self.rest.split_at(len);
        self.rest = rest;
        (len > 0).then_some(plain)
    }

    /// What stands between the brackets of a list or a structure, item by item.
    fn sequence(&mut self, ends: [u8; 2], mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(ends[0])?;
        if self.eat(ends[1]).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.eat(b',').is_none() {
                return self.eat(ends[1]);
            }
        }
    }
}

impl<'a> Scan<'a> for Body<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let text = self.quoted()?;
        if text.iter().any(|byte| *byte < 0x20) {
            return None;
        }
        std::str::from_utf8(text).ok()
    }

    fn text_or_null(&mut self) -> Option<Option<String>> {
        self.space();
        if let Some(rest) = self.rest.strip_prefix(b"null") {
            self.rest = rest;
            return Some(None);
        }
        let from = self.rest;
        self.skip_text()?;
        serde_json::from_slice(&from[..from.len() - self.rest.len()]).ok().map(Some)
    }

    fn data(&mut self) -> Option<Data<'a>> {
        self.quoted().map(Data::Base64)
    }

    fn number(&mut self) -> Option<u64> {
        std::str::from_utf8(self.plain()?).ok()?.parse().ok()
    }

    fn members(&mut self, mut member: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        self.sequence([b'{', b'}'], |body| {
            let name = body.quoted()?;
            body.eat(b':')?;
            member(body, name)
        })
    }

    fn items(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.sequence([b'[', b']'], item)
    }

    fn skip(&mut self) -> Option<()> {
        self.space();
        match self.rest.first()? {
            b'"' => self.skip_text(),
            b'{' | b'[' if self.depth == MOST_DEPTH => None,
            b'{' | b'[' => {
                self.depth += 1;
                match self.rest.first()? {
                    b'{' => self.members(|body, _| body.skip())?,
                    _ => self.items(Self::skip)?,
                }
                self.depth -= 1;
                Some(())
            }
            _ => self.plain().map(|_| ()),
        }
    }

    fn is_at_end(&mut self) -> bool {
        self.space();
        self.rest.is_empty()
    }
}
