//! Progress of long runs, on the error stream.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::stopwatch::Stopwatch;

/// Short runs show nothing.
const QUIET_FOR: Duration = Duration::from_secs(3);
/// Time between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// A count of records that a thread reports about until this is dropped.
pub struct Progress {
    done: Arc<AtomicU64>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts to report about a run of `events` records.
    pub fn start(events: u64) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let (end, ended) = mpsc::channel();
        let seen = done.clone();
        let thread = std::thread::spawn(move || {
            let watch = Stopwatch::start();
            let mut before = 0;
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let now = seen.load(Ordering::Relaxed);
                if watch.elapsed() >= QUIET_FOR {
                    let share = 100.0 * now as f64 / events as f64;
                    let rate = (now - before) as f64 / EVERY.as_secs_f64() / 1e6;
                    // Whoever closed the error stream does not want to see this.
                    let _ = writeln!(
                        std::io::stderr(),
                        "{:>4} s: {now} of {events} events ({share:.0} %), {rate:.1} M/s",
                        watch.elapsed().as_secs()
                    );
                }
                before = now;
            }
        });
        Self { done, end: Some(end), thread: Some(thread) }
    }

    /// The count, for those that do the work.
    pub fn counter(&self) -> Arc<AtomicU64> {
        self.done.clone()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has shown itself, and the run's result does not depend on it.
            let _ = thread.join();
        }
    }
}
