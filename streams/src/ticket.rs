//! Tickets: the promise of a result that the writer's thread will give, to be waited on by a thread or
//! awaited by a task. Dropping a ticket does not undo what it stands for.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::{Error, Result};

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Done(Option<Result<T>>),
}

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A result that is under way; also a `Future`.
#[derive(Debug)]
pub struct Ticket<T>(Arc<Slot<T>>);

/// The writer's end of a ticket. Dropped without an answer, it tells that the writer is gone.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    slot: Arc<Slot<T>>,
    stream: Arc<str>,
}

pub(crate) fn ticket<T>(stream: Arc<str>) -> (Answer<T>, Ticket<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Waiting(None)), done: Condvar::new() });
    (Answer { slot: slot.clone(), stream }, Ticket(slot))
}

impl<T> Answer<T> {
    pub fn give(self, result: Result<T>) {
        self.finish(result);
    }

    fn finish(&self, result: Result<T>) {
        let mut state = self.slot.state();
        if let State::Waiting(waker) = &mut *state {
            let waker = waker.take();
            *state = State::Done(Some(result));
            drop(state);
            self.slot.done.notify_all();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if matches!(*self.slot.state(), State::Waiting(_)) {
            let cause = "it ended before it answered".to_owned();
            self.finish(Err(Error::WriterFailed { stream: self.stream.to_string(), cause }));
        }
    }
}

fn taken<T>() -> Result<T> {
    Err(Error::InvalidArgument("the result of this ticket was taken already".to_owned()))
}

impl<T> Ticket<T> {
    /// Blocks until the result is there.
    ///
    /// # Errors
    /// That of the operation.
    pub fn wait(self) -> Result<T> {
        let mut state = self.0.state();
        loop {
            match &mut *state {
                State::Done(result) => return result.take().unwrap_or_else(taken),
                State::Waiting(_) => state = self.0.done.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Blocks until the result is there or `timeout` has passed; tells whether it is there.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let state = self.0.state();
        let waiting = |state: &mut State<T>| matches!(state, State::Waiting(_));
        let waited = self.0.done.wait_timeout_while(state, timeout, waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Done(_))
    }

    /// Whether the result is there, without waiting.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(*self.0.state(), State::Done(_))
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut *self.0.state() {
            State::Done(result) => Poll::Ready(result.take().unwrap_or_else(taken)),
            State::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
