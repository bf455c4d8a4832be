//! Bodies gone through once, from their beginning, without a value of each piece: what is wanted is taken as it
//! stands in the body. For the few bodies that there are most of, and for clients that measure. What is read this
//! way has known members and text that needs no unescaping; all else is for [`Encoding::read`](super::Encoding::read).

mod cbor;
mod json;

/// How deep what is passed over may be nested.
const MOST_DEPTH: usize = 16;

/// Data as the body has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data<'a> {
    /// Base64 that was not looked at yet.
    Base64(&'a [u8]),
    /// Bytes.
    Plain(&'a [u8]),
}

impl<'a> Data<'a> {
    /// The bytes, in `scratch` if they have to be decoded; none if they are no base64.
    pub fn bytes<'b>(self, scratch: &'b mut Vec<u8>) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        match self {
            Self::Plain(bytes) => Some(bytes),
            Self::Base64(text) => {
                scratch.clear();
                base64_simd::STANDARD.decode_append(text, scratch).ok()?;
                Some(scratch)
            }
        }
    }

    /// Whether it is base64, if that is what it has to be.
    #[must_use]
    pub fn is_valid(self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Base64(text) => base64_simd::STANDARD.check(text).is_ok(),
        }
    }

    /// The bytes of the body, whatever they stand for.
    #[must_use]
    pub fn as_sent(self) -> &'a [u8] {
        match self {
            Self::Base64(bytes) | Self::Plain(bytes) => bytes,
        }
    }
}

/// A body that is being gone through. Whatever it does not take is `None`; after that, where it stands is not told.
pub trait Scan<'a>: Sized {
    /// Takes text.
    fn text(&mut self) -> Option<&'a str>;

    /// Takes text, whose escapes are read, or a null. Amazon writes neither where it matters, others do.
    fn text_or_null(&mut self) -> Option<Option<String>>;

    /// Takes bytes.
    fn data(&mut self) -> Option<Data<'a>>;

    /// Takes a whole number that is not negative.
    fn number(&mut self) -> Option<u64>;

    /// Takes a structure; `member` takes the value of each member.
    fn members(&mut self, member: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()>;

    /// Takes a list; `item` takes each item of it.
    fn items(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()>;

    /// Passes over whatever stands there.
    fn skip(&mut self) -> Option<()>;

    /// Whether nothing follows.
    fn is_at_end(&mut self) -> bool;
}

/// The beginning of a body in JSON.
#[must_use]
pub fn json(body: &[u8]) -> impl Scan<'_> {
    json::Body::of(body)
}

/// The beginning of a body in CBOR.
#[must_use]
pub fn cbor(body: &[u8]) -> impl Scan<'_> {
    cbor::Body::of(body)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Value;
    use crate::wire::Encoding;

    fn members<'a>(mut body: impl Scan<'a>) -> Option<(u64, String, Vec<u8>)> {
        let (mut number, mut text, mut bytes, mut scratch) = (0, String::new(), Vec::new(), Vec::new());
        body.members(|body, name| {
            match name {
                b"Number" => number = body.number()?,
                b"Text" => text = body.text()?.to_owned(),
                b"Items" => body.items(|body| {
                    bytes.extend_from_slice(body.data()?.bytes(&mut scratch)?);
                    Some(())
                })?,
                _ => body.skip()?,
            }
            Some(())
        })?;
        body.is_at_end().then_some((number, text, bytes))
    }

    fn in_both(value: &Value) -> [Option<(u64, String, Vec<u8>)>; 2] {
        let [mut json_body, mut cbor_body] = [Vec::new(), Vec::new()];
        Encoding::Json.write(value, &mut json_body);
        Encoding::Cbor.write(value, &mut cbor_body);
        [members(json(&json_body)), members(cbor(&cbor_body))]
    }

    #[test]
    fn what_is_wanted_is_taken_and_the_rest_is_passed_over() {
        let blob = |bytes: &'static [u8]| Value::Blob(Bytes::from_static(bytes));
        let odd = vec![
            Value::Bool(true),
            Value::Int(-300),
            Value::Time(1_700_000_000_123),
            Value::Text("a \"quoted\" \\ text".to_owned()),
            Value::Map(vec![("Inner".into(), Value::List(vec![Value::Map(vec![])]))]),
            blob(b"\xff\x00"),
        ];
        let value = Value::Map(vec![
            ("Odd".into(), Value::List(odd)),
            ("Number".into(), Value::Int(70_000)),
            ("Items".into(), Value::List(vec![blob(b"one"), blob(b""), blob(b"two")])),
            ("Empty".into(), Value::List(vec![])),
            ("Text".into(), Value::Text("plain".to_owned())),
        ]);
        let expected = Some((70_000, "plain".to_owned(), b"onetwo".to_vec()));
        assert_eq!(in_both(&value), [expected.clone(), expected]);
    }

    #[test]
    fn a_null_is_no_text() {
        fn texts<'a>(mut body: impl Scan<'a>) -> Option<Vec<Option<String>>> {
            let mut texts = Vec::new();
            body.items(|body| body.text_or_null().map(|text| texts.push(text)))?;
            body.is_at_end().then_some(texts)
        }
        let expected = Some(vec![None, Some("null".to_owned()), None]);
        assert_eq!(texts(json(br#"[null , "null", null]"#)), expected);
        assert_eq!(texts(cbor(b"\x83\xf6\x64null\xf6")), expected);
        assert_eq!(texts(json(br#"["a\n\u00e4"]"#)), Some(vec![Some("a\nä".to_owned())]));
        assert_eq!(texts(json(b"[nothing]")), None);
        assert_eq!(texts(cbor(b"\x81\xf5")), None);
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth| (0..depth).fold(Value::List(vec![]), |inner, _| Value::List(vec![inner]));
        let around = |inner| Value::Map(vec![("Odd".into(), inner)]);
        assert!(in_both(&around(nested(MOST_DEPTH - 1))).iter().all(Option::is_some));
        assert!(in_both(&around(nested(MOST_DEPTH))).iter().all(Option::is_none));
    }
}
