//! The watchdog: names the call of user code that does not return, for nothing else can be done
//! about it from outside. Its worker stands still, so that no checkpoint completes and no stop.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pelton_dataflow::clock::monotonic_ns;
use pelton_dataflow::stats::StatsRegistry;
use tracing::warn;

use crate::error::JobError;
use crate::status::{StuckCall, stuck_calls};

/// The longest time between two looks.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Watches the workers of one generation until it is dropped.
pub struct Watchdog {
    is_over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches the operators of `stats`; a call is stuck once it has taken `stuck_after_ms`.
    pub fn start(job: String, stats: Arc<StatsRegistry>, stuck_after_ms: u64) -> Result<Self, JobError> {
        let is_over = Arc::<(Mutex<bool>, Condvar)>::default();
        let name = "pelton-watchdog".to_owned();
        let watched = is_over.clone();
        let watch = move || {
            let pause = Duration::from_millis(stuck_after_ms.div_ceil(2)).min(LONGEST_WAIT);
            let mut told = Vec::new();
            while !waited(&watched, pause) {
                tell(&job, &stats, stuck_after_ms, &mut told);
            }
        };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(watch);
        let thread = thread.map_err(|source| JobError::Thread { name, source })?;
        Ok(Self { is_over, thread: Some(thread) })
    }
}

/// Waits for the next look; `true` if there is none.
fn waited(is_over: &(Mutex<bool>, Condvar), pause: Duration) -> bool {
    let guard = is_over.0.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = is_over.1.wait_timeout_while(guard, pause, |is_over| !*is_over);
    *waited.unwrap_or_else(PoisonError::into_inner).0
}

/// Tells of each call once: `told` are those that still last.
fn tell(job: &str, stats: &StatsRegistry, stuck_after_ms: u64, told: &mut Vec<StuckCall>) {
    let stuck = stuck_calls(stats, stuck_after_ms, monotonic_ns());
    for call in stuck.iter().filter(|call| !told.iter().any(|known| known.is_same(call))) {
        let StuckCall { operator, worker, for_ms, .. } = call;
        warn!(
            job,
            operator,
            worker,
            for_ms,
            "a call of this operator has not returned: its worker stands still until it does, and with it checkpoints and a stop"
        );
    }
    *told = stuck;
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.is_over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.is_over.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only looks; if it panicked, it has said so.
            let _ = thread.join();
        }
    }
}
