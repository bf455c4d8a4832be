//! SIGINT and SIGTERM: the first stops a job with a checkpoint, the second ends it at once.

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use crate::error::JobError;
use crate::job::Stopper;

/// From now on signals go to the job of `stopper`, on a thread that lives as long as the process:
/// they no longer end the process by themselves, also once the job is over.
///
/// # Errors
/// The system refuses the handlers or the thread.
pub fn stop_on_signals(stopper: Stopper) -> Result<(), JobError> {
    let name = "pelton-signals".to_owned();
    let failed = |source| JobError::Thread { name: name.clone(), source };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        (interrupt, signal(SignalKind::terminate()).map_err(failed)?)
    };
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
    std::thread::Builder::new().name(name.clone()).spawn(wait).map_err(failed)?;
    Ok(())
}
