//! Runs tasks on a few threads, those of one key one after the other and in order: the prepares
//! of sinks, by writer.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::JobError;

/// What is run.
type Task = Box<dyn FnOnce() + Send>;

/// Threads for the tasks. Its drop waits for those that run, and forgets those that wait.
pub struct InOrder<K> {
    shared: Arc<Shared<K>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<K> {
    queues: Mutex<Queues<K>>,
    changed: Condvar,
}

struct Queues<K> {
    /// The tasks of each key; a key is here while it has any or one of it runs.
    waiting: HashMap<K, VecDeque<Task>>,
    /// Keys with tasks, none of which runs.
    ready: VecDeque<K>,
    is_closed: bool,
}

impl<K: Eq + Hash + Clone + Send + 'static> InOrder<K> {
    /// Starts `threads` threads called `name`.
    pub fn start(name: &str, threads: usize) -> Result<Self, JobError> {
        let queues = Mutex::new(Queues { waiting: HashMap::new(), ready: VecDeque::new(), is_closed: false });
        let shared = Arc::new(Shared { queues, changed: Condvar::new() });
        let mut pool = Self { shared, threads: Vec::new() };
        for number in 0..threads {
            let shared = pool.shared.clone();
            let name = format!("{name}-{number}");
            let thread = std::thread::Builder::new().name(name.clone()).spawn(move || shared.run());
            pool.threads.push(thread.map_err(|source| JobError::Thread { name, source })?);
        }
        Ok(pool)
    }

    /// Runs `task` after all others of `key`.
    pub fn submit(&self, key: K, task: impl FnOnce() + Send + 'static) {
        let mut queues = self.shared.lock();
        if let Some(waiting) = queues.waiting.get_mut(&key) {
            waiting.push_back(Box::new(task));
        } else {
            queues.waiting.insert(key.clone(), VecDeque::from([Box::new(task) as Task]));
            queues.ready.push_back(key);
            self.shared.changed.notify_one();
        }
    }
}

impl<K: Eq + Hash + Clone> Shared<K> {
    fn lock(&self) -> MutexGuard<'_, Queues<K>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut queues = self.lock();
        while !queues.is_closed {
            let Some(key) = queues.ready.pop_front() else {
                queues = self.changed.wait(queues).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let task = queues.waiting.get_mut(&key).and_then(VecDeque::pop_front);
            drop(queues);
            if let Some(task) = task {
                task();
            }
            queues = self.lock();
            if queues.waiting.get(&key).is_some_and(|waiting| !waiting.is_empty()) {
                queues.ready.push_back(key);
                self.changed.notify_one();
            } else {
                queues.waiting.remove(&key);
            }
        }
    }
}

impl<K> Drop for InOrder<K> {
    fn drop(&mut self) {
        let mut queues = self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.is_closed = true;
        let forgotten = std::mem::take(&mut queues.waiting);
        drop(queues);
        drop(forgotten);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A task catches its own panics; one that does not has already told of it.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn tasks_of_one_key_run_in_order_and_others_beside_them() {
        let pool = InOrder::start("test", 3).unwrap();
        let (done, results) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let first = done.clone();
        pool.submit("slow", move || {
            gate.recv().unwrap();
            first.send(("slow", 0)).unwrap();
        });
        for number in 1..100 {
            let done = done.clone();
            pool.submit("slow", move || done.send(("slow", number)).unwrap());
        }
        pool.submit("fast", move || done.send(("fast", 0)).unwrap());
        assert_eq!(results.recv().unwrap(), ("fast", 0), "the slow one does not hold it up");
        open.send(()).unwrap();
        let slow: Vec<_> = results.iter().take(100).map(|(_, number)| number).collect();
        assert!(slow.iter().copied().eq(0..100), "{slow:?}");
    }

    #[test]
    fn a_drop_waits_for_what_runs_and_forgets_what_waits() {
        let pool = InOrder::start("test", 1).unwrap();
        let (done, results) = mpsc::channel();
        let (started, has_started) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let first = done.clone();
        pool.submit(0, move || {
            started.send(()).unwrap();
            gate.recv().unwrap();
            first.send("first").unwrap();
        });
        pool.submit(0, move || done.send("second").unwrap());
        has_started.recv().unwrap();
        let dropping = std::thread::spawn(move || drop(pool));
        // The drop has closed the pool once nothing waits any more: the second sender is gone.
        open.send(()).unwrap();
        dropping.join().unwrap();
        let results: Vec<_> = results.iter().collect();
        assert_eq!(results[0], "first");
        assert!(results.len() <= 2);
    }
}
