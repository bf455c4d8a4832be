//! A sink that writes JSON lines to standard output.

use std::io::Write;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::{Guarantee, Sink, SinkWriter, WriterContext};
use pelton_dataflow::time::Epoch;

use crate::error::Error;
use crate::format::{Encode, Json};

/// Writes each value as a line of JSON. At least once: after a recovery lines come again.
///
/// Lines of a batch are written at one go, so lines of different workers do not mix.
///
/// ```
/// use pelton_connectors::Stdout;
/// let sink = Stdout::<u64>::json();
/// ```
pub struct Stdout<T> {
    output: Output,
    item: PhantomData<fn(T)>,
}

type Output = Arc<Mutex<dyn Write + Send>>;

impl<T: Data> Stdout<T> {
    /// Writes to standard output.
    #[must_use]
    pub fn json() -> Self {
        Self::to(Arc::new(Mutex::new(std::io::stdout())))
    }

    /// Writes to `output` instead, for instance standard error or a buffer.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use pelton_connectors::Stdout;
    ///
    /// let lines = Arc::new(Mutex::new(Vec::new()));
    /// let sink = Stdout::<u64>::to(lines.clone());
    /// ```
    #[must_use]
    pub fn to(output: Arc<Mutex<dyn Write + Send>>) -> Self {
        Self { output, item: PhantomData }
    }
}

impl<T: Data> Sink for Stdout<T> {
    type Item = T;

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn writer(&self, _cx: &WriterContext) -> Result<Box<dyn SinkWriter<Item = T>>, OpError> {
        Ok(Box::new(Writer { output: self.output.clone(), lines: Vec::new(), item: PhantomData }))
    }

    fn describe(&self) -> String {
        "standard output, JSON lines".to_owned()
    }
}

struct Writer<T> {
    output: Output,
    lines: Vec<u8>,
    item: PhantomData<fn(T)>,
}

impl<T: Data> SinkWriter for Writer<T> {
    type Item = T;

    fn write(&mut self, records: Vec<Record<T>>) -> Result<(), OpError> {
        self.lines.clear();
        for record in &records {
            Json.encode(&record.value, &mut self.lines)?;
            self.lines.push(b'\n');
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(&self.lines).map_err(closed)?;
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<Deferred>, OpError> {
        let output = self.output.clone();
        Ok(Some(Box::new(move || {
            output.lock().unwrap_or_else(PoisonError::into_inner).flush().map_err(closed)?;
            Ok(None)
        })))
    }
}

fn closed(source: std::io::Error) -> Error {
    Error::Output { target: "standard output", source }
}
