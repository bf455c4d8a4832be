//! Little-endian numbers and length-prefixed strings, and the sealed envelope that small files share:
//! magic, version, body, CRC32C. What the fields mean is left to each layout.

use std::path::Path;

use super::VERSION;
use crate::error::{Error, Result};

/// Appends fields to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Encoder(pub Vec<u8>);

impl Encoder {
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    pub fn u128(&mut self, value: u128) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    /// Length as u32, then the bytes.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(value.as_bytes());
        self
    }
}

/// Takes fields from a buffer; every read is checked.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let end = self.at.checked_add(len).ok_or("a length overflows")?;
        let taken = self.bytes.get(self.at..end).ok_or("it ends before its last field")?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| "it ends before its last field")
    }

    pub fn u32(&mut self) -> Result<u32, &'static str> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    pub fn u64(&mut self) -> Result<u64, &'static str> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    pub fn u128(&mut self) -> Result<u128, &'static str> {
        Ok(u128::from_le_bytes(self.array()?))
    }
    pub fn text(&mut self) -> Result<String, &'static str> {
        let len = self.u32()? as usize;
        String::from_utf8(self.take(len)?.to_vec()).map_err(|_| "a name is not UTF-8")
    }
    pub fn end(&self) -> Result<(), &'static str> {
        if self.at == self.bytes.len() { Ok(()) } else { Err("it has bytes after its last field") }
    }
}

/// `magic[8] | version u32 | body length u32 | body | crc32c of all before, u32`.
pub(crate) fn seal(magic: &[u8; 8], body: &[u8]) -> Vec<u8> {
    let mut sealed = Encoder::default();
    sealed.0.extend_from_slice(magic);
    sealed.u32(VERSION).u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    sealed.0.extend_from_slice(body);
    let crc = crc32c::crc32c(&sealed.0);
    sealed.u32(crc);
    sealed.0
}

/// Bytes of the envelope before the body.
pub(crate) const SEAL_HEAD: usize = 16;
/// Bytes of the envelope after the body.
pub(crate) const SEAL_TAIL: usize = 4;

/// The total length of a sealed envelope, from its first [`SEAL_HEAD`] bytes.
pub(crate) fn sealed_len(file: &Path, magic: &[u8; 8], head: &[u8]) -> Result<usize> {
    if head.len() < SEAL_HEAD || &head[..8] != magic {
        return Err(Error::corrupt(file, 0, "it does not begin with its magic bytes"));
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if word(8) != VERSION {
        return Err(Error::UnsupportedVersion { file: file.to_owned(), found: word(8), supported: VERSION });
    }
    Ok(SEAL_HEAD + word(12) as usize + SEAL_TAIL)
}

/// The body of a sealed envelope, which must be all of `bytes`.
pub(crate) fn unseal<'a>(file: &Path, magic: &[u8; 8], bytes: &'a [u8]) -> Result<&'a [u8]> {
    let sum = |bytes: &[u8]| crc32c::crc32c(bytes).to_le_bytes();
    // The sum comes before the version: a flipped bit in the version is damage, not another format.
    let whole = bytes.len() >= SEAL_HEAD + SEAL_TAIL;
    if !whole || sum(&bytes[..bytes.len() - SEAL_TAIL]) != bytes[bytes.len() - SEAL_TAIL..] {
        return Err(Error::corrupt(file, 0, "its checksum does not match"));
    }
    if sealed_len(file, magic, bytes)? != bytes.len() {
        return Err(Error::corrupt(file, 12, "its length does not match"));
    }
    Ok(&bytes[SEAL_HEAD..bytes.len() - SEAL_TAIL])
}
