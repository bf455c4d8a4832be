//! SIGINT and SIGTERM: the first stops a job with a checkpoint, the second ends it at once.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use crate::error::JobError;
use crate::job::Stopper;

const THREAD: &str = "pelton-signals";

/// The handlers of both signals, set. They stay so as long as the process lives: signals no longer
/// end it by themselves, also once the job is over.
pub struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Sets the handlers. Before a job is started, so that no signal ends the process in between.
    ///
    /// # Errors
    /// The system refuses them.
    pub fn listen() -> Result<Self, JobError> {
        let failed = |source| JobError::Thread { name: THREAD.to_owned(), source };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (interrupt, terminate) = {
            let _inside = runtime.enter();
            let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
            (interrupt, signal(SignalKind::terminate()).map_err(failed)?)
        };
        Ok(Self { runtime, interrupt, terminate })
    }

    /// Sends signals, those since `listen` included, to the job of `stopper`, on a thread that lives
    /// as long as the process.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn stop(self, stopper: Stopper) -> Result<(), JobError> {
        let Self { runtime, mut interrupt, mut terminate } = self;
        let wait = move || {
            runtime.block_on(async move {
                let mut signals = 0;
                loop {
                    tokio::select! {
                        Some(()) = interrupt.recv() => {}
                        Some(()) = terminate.recv() => {}
                        else => return,
                    }
                    signals += 1;
                    if signals == 1 {
                        warn!("stopping after a last checkpoint; signal again to end at once");
                        stopper.stop();
                    } else {
                        warn!("ending at once: the job goes on from its last checkpoint the next time");
                        stopper.abort();
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name(THREAD.to_owned()).spawn(wait);
        thread.map(drop).map_err(|source| JobError::Thread { name: THREAD.to_owned(), source })
    }
}
