//! One connection to an endpoint: a call after the other over HTTP/1.1. What costs time is done once: a body's
//! hash when it is made, its signature once a second, and the answer stays in one buffer.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};
use pelton::streams::clock::{Clock, SystemClock};
use pelton_kinesis::auth::BodyHash;
use serde_json::Value;

use super::endpoint::{Endpoint, Socket};

/// What is read from the connection at one go, unless more of an answer is known to come.
const READ_BYTES: usize = 256 << 10;
/// The longest head of an answer.
const MOST_HEAD_BYTES: usize = 64 << 10;
const TARGET: &str = "Kinesis_20131202";

/// A body that can be sent again and again.
#[derive(Debug)]
pub struct Sendable {
    operation: &'static str,
    bytes: Vec<u8>,
    hash: BodyHash,
    /// The head, and the second that it is signed for.
    head: Option<(u64, String)>,
}

impl Sendable {
    pub fn new(operation: &'static str, bytes: Vec<u8>) -> Self {
        Self { operation, hash: BodyHash::of(&bytes), bytes, head: None }
    }

    /// The head, signed anew once a second: a signature's date is no finer.
    fn head(&mut self, endpoint: &Endpoint) -> Result<&str> {
        let now_ms = SystemClock.now_ms();
        let second = now_ms / 1_000;
        if self.head.as_ref().is_none_or(|(signed, _)| *signed != second) {
            self.head = Some((second, self.signed(endpoint, now_ms)?));
        }
        Ok(self.head.as_ref().map_or("", |(_, head)| head))
    }

    fn signed(&self, endpoint: &Endpoint, now_ms: u64) -> Result<String> {
        let mut headers = pelton_kinesis::auth::HeaderMap::new();
        headers.insert("host", endpoint.authority.parse()?);
        headers.insert("content-type", endpoint.encoding.content_type().parse()?);
        headers.insert("x-amz-target", format!("{TARGET}.{}", self.operation).parse()?);
        endpoint.signer.sign(&endpoint.path, &mut headers, self.hash, now_ms)?;
        let mut head = format!("POST {} HTTP/1.1\r\ncontent-length: {}\r\n", endpoint.path, self.bytes.len());
        for (name, value) in &headers {
            write!(head, "{name}: {}\r\n", value.to_str()?)?;
        }
        head.push_str("\r\n");
        Ok(head)
    }
}

/// The head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<usize>,
    is_chunked: bool,
    closes: bool,
}

/// A connection.
pub struct Client {
    endpoint: Endpoint,
    socket: Box<dyn Socket>,
    handle: TcpStream,
    /// What was read and not looked at yet is `read[at..end]`; the room behind it is kept.
    read: Vec<u8>,
    at: usize,
    end: usize,
    closes: bool,
}

impl Client {
    pub fn connect(endpoint: &Endpoint) -> Result<Self> {
        let (socket, handle) = endpoint.connect()?;
        let read = vec![0; READ_BYTES];
        Ok(Self { endpoint: endpoint.clone(), socket, handle, read, at: 0, end: 0, closes: false })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A handle by which the connection can be shut down from elsewhere.
    pub fn handle(&self) -> Result<TcpStream> {
        Ok(self.handle.try_clone()?)
    }

    /// Sends a body and waits for the answer: its status and its body.
    pub fn call(&mut self, body: &mut Sendable) -> Result<(u16, &[u8])> {
        let head = self.begin(body)?;
        let (status, range) = if head.is_chunked {
            let mut whole = Vec::new();
            while let Some((from, to)) = self.chunk()? {
                whole.extend_from_slice(&self.read[from..to]);
            }
            // It is put where answers of a known length are.
            (self.at, self.end) = (0, 0);
            self.read.resize(self.read.len().max(whole.len()), 0);
            self.read[..whole.len()].copy_from_slice(&whole);
            (head.status, 0..whole.len())
        } else {
            let length = head.length.context("the answer says nothing of its length")?;
            self.need(length)?;
            let from = self.at;
            self.at += length;
            (head.status, from..self.at)
        };
        self.closes = head.closes;
        Ok((status, &self.read[range]))
    }

    /// Sends a body whose answer has no end, and waits for its beginning.
    pub fn open(&mut self, body: &mut Sendable) -> Result<()> {
        let head = self.begin(body)?;
        if head.status == 200 && head.is_chunked {
            return Ok(());
        }
        self.need(head.length.unwrap_or(0))?;
        let text = String::from_utf8_lossy(&self.read[self.at..self.end]);
        bail!("{} was answered by {}: {text}", body.operation, head.status)
    }

    /// The next piece of an answer without a length; none at its end.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        let chunk = self.chunk()?;
        Ok(chunk.map(|(from, to)| &self.read[from..to]))
    }

    /// Asks for what is to go well, in JSON whatever the measured calls are in.
    pub fn ask(&mut self, operation: &'static str, request: &Value) -> Result<Value> {
        match self.try_ask(operation, request)? {
            (200, answer) => Ok(answer),
            (status, answer) => bail!("{operation} was answered by {status}: {answer}"),
        }
    }

    /// Asks for something, in JSON; gives the status too.
    pub fn try_ask(&mut self, operation: &'static str, request: &Value) -> Result<(u16, Value)> {
        let encoding = std::mem::replace(&mut self.endpoint.encoding, pelton_kinesis::wire::Encoding::Json);
        let mut body = Sendable::new(operation, request.to_string().into_bytes());
        let answered = self.call(&mut body).map(|(status, answer)| {
            let text = || Value::String(String::from_utf8_lossy(answer).into_owned());
            (status, serde_json::from_slice(answer).unwrap_or_else(|_| text()))
        });
        self.endpoint.encoding = encoding;
        answered
    }

    fn begin(&mut self, body: &mut Sendable) -> Result<Head> {
        if self.closes {
            *self = Self::connect(&self.endpoint)?;
        }
        (self.at, self.end) = (0, 0);
        // Until the answer is read to its end, the connection is good for nothing else.
        self.closes = true;
        let head = body.head(&self.endpoint)?;
        self.socket.write_all(head.as_bytes())?;
        self.socket.write_all(&body.bytes)?;
        self.socket.flush()?;
        self.head()
    }

    /// Reads on, so that more than `wanted` bytes are there.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        if self.at > 0 && self.at + wanted > self.read.len() {
            self.read.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
        }
        if self.read.len() < wanted.max(self.end - self.at + 1) {
            self.read.resize(wanted.max(self.read.len() * 2), 0);
        }
        let read = loop {
            match self.socket.read(&mut self.read[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        ensure!(read > 0, "{} has closed the connection", self.endpoint.authority);
        self.end += read;
        Ok(())
    }

    /// Reads on until so many bytes are there.
    fn need(&mut self, bytes: usize) -> Result<()> {
        while self.end - self.at < bytes {
            self.fill(bytes)?;
        }
        Ok(())
    }

    /// The line that comes next, without its end.
    fn line(&mut self) -> Result<(usize, usize)> {
        let mut looked_at = 0;
        loop {
            let unread = &self.read[self.at..self.end];
            if let Some(len) = unread[looked_at..].iter().position(|byte| *byte == b'\n') {
                let from = self.at;
                self.at += looked_at + len + 1;
                let to = self.at - 1;
                return Ok((from, if self.read[from..to].ends_with(b"\r") { to - 1 } else { to }));
            }
            looked_at = unread.len();
            ensure!(looked_at < MOST_HEAD_BYTES, "a line of the answer has no end");
            self.fill(looked_at + 1)?;
        }
    }

    fn head(&mut self) -> Result<Head> {
        loop {
            let (from, to) = self.line()?;
            let status = std::str::from_utf8(&self.read[from..to])?;
            let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
            let Some(status) = code else { bail!("`{status}` is no answer of HTTP/1.1") };
            let mut head = Head { status, length: None, is_chunked: false, closes: false };
            loop {
                let (from, to) = self.line()?;
                if from == to {
                    break;
                }
                let header = String::from_utf8_lossy(&self.read[from..to]).to_ascii_lowercase();
                let Some((name, value)) = header.split_once(':') else { bail!("`{header}` is no header") };
                match (name, value.trim()) {
                    ("content-length", length) => head.length = Some(length.parse()?),
                    ("transfer-encoding", coding) => head.is_chunked = coding == "chunked",
                    ("connection", "close") => head.closes = true,
                    _ => {}
                }
            }
            // What comes before the answer says nothing.
            if status >= 200 {
                return Ok(head);
            }
        }
    }

    fn chunk(&mut self) -> Result<Option<(usize, usize)>> {
        let (from, to) = self.line()?;
        let text = std::str::from_utf8(&self.read[from..to])?;
        let digits = text.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).with_context(|| format!("`{text}` is no length"))?;
        if length == 0 {
            while { self.line() }.is_ok_and(|(from, to)| from != to) {}
            return Ok(None);
        }
        self.need(length + 2)?;
        let from = self.at;
        self.at += length + 2;
        Ok(Some((from, from + length)))
    }
}
