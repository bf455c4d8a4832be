//! The clock: the one place of the engine that asks the machine for the time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of processing time.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since the Unix epoch.
    fn now_us(&self) -> i64;

    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64 {
        self.now_us().div_euclid(1_000)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}

/// A clock that stands still until it is moved, for tests. A job that runs by it takes no checkpoints at intervals, and
/// closes no windows of processing time, unless somebody moves it.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `ms` milliseconds since the Unix epoch.
    #[must_use]
    pub fn at_ms(ms: i64) -> Self {
        Self(AtomicI64::new(ms * 1_000))
    }

    /// Moves the clock on by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Nanoseconds since some fixed moment of the process: for measuring how long things take, never
/// for deciding what they do.
#[must_use]
pub fn monotonic_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "this is the stopwatch that all others ask")]
    let now = Instant::now();
    u64::try_from(now.duration_since(*START.get_or_init(|| now)).as_nanos()).unwrap_or(u64::MAX)
}

/// The moment from which timely counts its delays.
#[must_use]
pub fn timer_start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "timely measures its delays from here")]
    Instant::now()
}
