//! Runs a transactional sink through scripts of writes, checkpoints and crashes.

use pelton_dataflow::error::OpError;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::record::Record;
use pelton_dataflow::sink::{Committable, Committer, Sink, SinkContext, SinkWriter, WriterContext};
use pelton_dataflow::time::{Epoch, EventTime};

/// A job with one sink, as far as the sink can tell.
pub struct Run<'a> {
    sink: &'a dyn Sink<Item = String>,
    pub generation: u64,
    epoch: Epoch,
    writers: Vec<Box<dyn SinkWriter<Item = String>>>,
    committer: Option<Box<dyn Committer>>,
    /// Prepares that have not run.
    frozen: Vec<(Epoch, usize, Deferred)>,
    /// Prepared since the last manifest.
    prepared: Vec<Committable>,
    /// What the newest manifest lists. It survives crashes.
    pub listed: Vec<Committable>,
}

impl<'a> Run<'a> {
    /// Generation 1 of a job on `workers` workers.
    pub fn start(sink: &'a dyn Sink<Item = String>, workers: usize) -> Self {
        let mut run = Self {
            sink,
            generation: 0,
            epoch: Epoch(0),
            writers: vec![],
            committer: None,
            frozen: vec![],
            prepared: vec![],
            listed: vec![],
        };
        run.restart(workers).unwrap();
        run
    }

    pub fn context(&self) -> SinkContext {
        SinkContext { job: "job".to_owned(), operator: "out".to_owned() }
    }

    /// Forgets all but the manifest and takes over in the next generation.
    pub fn restart(&mut self, workers: usize) -> Result<(), OpError> {
        self.frozen.clear();
        self.prepared.clear();
        self.writers.clear();
        self.committer = None;
        self.generation += 1;
        let cx = self.context();
        let mut committer = self.sink.committer(&cx)?.expect("the sink is transactional");
        committer.check(self.generation, &self.listed)?;
        committer.recover(self.generation, &self.listed)?;
        self.committer = Some(committer);
        for worker in 0..workers {
            let (sink, generation) = (cx.clone(), self.generation);
            let cx = WriterContext { sink, generation, worker, workers };
            self.writers.push(self.sink.writer(&cx)?);
        }
        Ok(())
    }

    pub fn write(&mut self, worker: usize, value: &str) -> Result<(), OpError> {
        self.writers[worker].write(vec![Record::new(EventTime(7), value.to_owned())])
    }

    /// Ends the epoch; the tasks wait.
    pub fn freeze(&mut self) -> Result<(), OpError> {
        for (worker, writer) in self.writers.iter_mut().enumerate() {
            self.frozen.extend(writer.prepare(self.epoch)?.map(|task| (self.epoch, worker, task)));
        }
        self.epoch = self.epoch.next();
        Ok(())
    }

    /// Runs the tasks.
    pub fn run_tasks(&mut self) -> Result<(), OpError> {
        for (epoch, worker, task) in self.frozen.drain(..) {
            self.prepared.extend(task()?.map(|bytes| Committable { epoch, worker, bytes }));
        }
        Ok(())
    }

    pub fn commit(&mut self, count: usize) -> Result<(), OpError> {
        let count = count.min(self.listed.len());
        self.committer.as_mut().expect("started").commit(&self.listed[..count])
    }

    /// One step of a script; see [`check_script`].
    pub fn step(&mut self, step: &str) -> Result<(), OpError> {
        match step.split_once(':').unwrap_or((step, "")) {
            ("freeze", _) => self.freeze(),
            ("run", _) => self.run_tasks(),
            ("prepare", _) => self.freeze().and_then(|()| self.run_tasks()),
            ("manifest", _) => {
                self.listed.append(&mut self.prepared);
                Ok(())
            }
            ("forget", _) => {
                self.listed.clear();
                Ok(())
            }
            ("commit", count) => self.commit(count.parse().unwrap_or(usize::MAX)),
            ("crash", workers) => self.restart(workers.parse().unwrap_or(2)),
            (worker, value) => {
                let worker = worker.strip_prefix('w').and_then(|worker| worker.parse().ok());
                self.write(worker.unwrap_or_else(|| panic!("no step: {step}")), value)
            }
        }
    }
}

/// Runs `script` and checks what is visible at its end, in any order. Steps:
///
/// * `w1:x`: worker 1 writes x;
/// * `freeze`, `run`: the epoch ends; the tasks that it left run. `prepare` is both;
/// * `manifest`: what is prepared is listed;
/// * `commit`, `commit:1`: what is listed, or the first of it, is committed;
/// * `forget`: a later manifest knows that it is;
/// * `crash`, `crash:3`: the next generation takes over, on 2 workers or on 3.
pub fn check_script(
    sink: &dyn Sink<Item = String>,
    visible: &dyn Fn() -> Vec<String>,
    script: &str,
    expected: &str,
) {
    let mut run = Run::start(sink, 2);
    for (number, step) in script.split_whitespace().enumerate() {
        run.step(step).unwrap_or_else(|error| panic!("step {number} of `{script}`, `{step}`: {error}"));
    }
    let mut seen = visible();
    seen.sort();
    assert_eq!(seen.join(" "), expected, "in {} after `{script}`", sink.describe());
}
