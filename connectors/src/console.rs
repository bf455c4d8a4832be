//! A sink that writes JSON lines to standard output.

use std::io::Write;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use pelton_dataflow::error::OpResult;
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::sink::DirectSink;

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

impl<T> Clone for Stdout<T> {
    fn clone(&self) -> Self {
        Self { output: self.output.clone(), item: PhantomData }
    }
}

impl<T: Data> DirectSink for Stdout<T> {
    type Item = T;

    fn write(&self, records: Vec<Record<T>>) -> OpResult {
        let mut lines = Vec::new();
        for record in &records {
            Json.encode(&record.value, &mut lines)?;
            lines.push(b'\n');
        }
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(&lines).map_err(closed)?;
        Ok(())
    }

    fn flush(&self) -> OpResult {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).flush().map_err(closed)?;
        Ok(())
    }

    fn describe(&self) -> String {
        "standard output, JSON lines".to_owned()
    }
}

fn closed(source: std::io::Error) -> Error {
    Error::Output { target: "standard output", source }
}
