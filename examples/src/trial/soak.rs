//! The soak: payments are appended all the time while the job that reads them is killed, stopped and
//! started with another number of workers, at random moments, round after round. Then it is left
//! alone until it has read everything, and its outputs are held against those of a run that nothing disturbed.
//!
//! The moments are random, the verdict is not: whatever they are, it has to hold. The seed decides all that
//! a seed can decide; what the machine does in between differs from run to run.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pelton::streams::{Options, ShardLog, StreamWriter};

use super::{PAYMENTS, Trial};
use crate::payments::{Scenario, ingest};

const SHARDS: u32 = 4;
/// Workers at most.
const WORKERS: u64 = 3;
/// A round lasts so long at most, from the start of the job.
const LONGEST_ROUND_MS: u64 = 1_500;
/// The payments of a round are appended in so many pieces, with a pause between two.
const PIECES: u64 = 40;
const PAUSE: Duration = Duration::from_millis(10);

/// What to do.
#[derive(Clone, Debug)]
pub struct Soak {
    /// How often the job is disturbed.
    pub rounds: u64,
    /// Payments that are appended while a round lasts.
    pub lines_per_round: u64,
    /// Decides the payments, and what is done to the job when.
    pub seed: u64,
    /// Where everything lies. What an earlier soak has left there is deleted.
    pub directory: PathBuf,
    /// The program of the job.
    pub job: PathBuf,
}

/// What is done to the job in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    Kill,
    Stop,
    /// Killed while it stops.
    StopAndKill,
}

impl Soak {
    /// Does it, telling of each round; gives the verdict.
    ///
    /// # Errors
    /// The job fails, or its outputs are not what they should be. Everything is left as it is.
    pub fn run(&self, tell: &mut dyn Write) -> Result<String> {
        let lines = self.rounds * self.lines_per_round;
        let trial = |name: &str| {
            let (root, name) = (self.directory.clone(), name.to_owned());
            Trial { root, name, lines, flags: Vec::new() }
        };
        let (disturbed, undisturbed) = (trial("disturbed"), trial("undisturbed"));
        let log = self.prepare()?;
        let scenario = &Scenario::new(self.seed, lines);
        let appended = &AtomicU64::new(0);
        let mut counts = [0; 3];
        thread::scope(|scope| {
            let (ranges, wanted) = channel();
            let writer = log.writer(PAYMENTS)?;
            let feeder = scope.spawn(move || feed(scenario, &writer, &wanted, appended));
            let mut random = Random(self.seed);
            let disturbing = (0..self.rounds).try_for_each(|round| {
                // The feeder is gone only if it has failed, which is told below.
                let _ = ranges.send(round * self.lines_per_round..(round + 1) * self.lines_per_round);
                let done = self.round(&disturbed, &mut random, &mut counts)?;
                let read = appended.load(Ordering::Relaxed);
                let checkpoint =
                    disturbed.newest_checkpoint()?.map_or("none".to_owned(), |at| at.to_string());
                writeln!(
                    tell,
                    "round {}/{}: {done}; newest checkpoint {checkpoint}, {read} payments appended",
                    round + 1,
                    self.rounds
                )?;
                anyhow::Ok(())
            });
            drop(ranges);
            feeder.join().map_err(|_| anyhow::anyhow!("the thread that appends payments panicked"))??;
            disturbing
        })?;
        drop(log);
        writeln!(tell, "left alone until the end of its input")?;
        disturbed.finish(&self.job, 1 + self.seed % WORKERS)?;
        writeln!(tell, "and beside it a run that nothing disturbs")?;
        undisturbed.finish(&self.job, 2)?;
        let (found, expected) = (disturbed.outputs()?, undisturbed.outputs()?);
        expected.conserve(lines).context("the undisturbed run")?;
        found.conserve(lines)?;
        found.compare_all(&expected)?;
        undisturbed.agree().context("the undisturbed run")?;
        disturbed.agree()?;
        let [kills, stops, both] = counts;
        let alerts: usize = found.alerts.values().map(Vec::len).sum();
        ensure!(alerts > 0, "no alert was raised, so that nothing is shown: use more payments");
        Ok(format!(
            "all is well: {lines} payments counted once, {alerts} alerts of {} cards in order, log, sinks and checkpoint agree, after {kills} kills, {stops} stops and {both} kills while it stopped (seed {})",
            found.alerts.len(),
            self.seed
        ))
    }

    fn prepare(&self) -> Result<ShardLog> {
        if self.directory.exists() {
            let owned = self.directory.join("log").is_dir() || self.directory.read_dir()?.next().is_none();
            ensure!(
                owned,
                "{} is not what a soak has left; name another directory",
                self.directory.display()
            );
            std::fs::remove_dir_all(&self.directory)?;
        }
        std::fs::create_dir_all(&self.directory)?;
        let log = ShardLog::open(self.directory.join("log"), &Options::create())?;
        log.create_stream(PAYMENTS, SHARDS)?;
        Ok(log)
    }

    /// Starts the job, and disturbs it after a while; tells what was done.
    fn round(&self, trial: &Trial, random: &mut Random, counts: &mut [u64; 3]) -> Result<String> {
        let workers = 1 + random.below(WORKERS);
        let disturbance = match random.below(10) {
            0..6 => Disturbance::Kill,
            6..9 => Disturbance::Stop,
            _ => Disturbance::StopAndKill,
        };
        // Often early: a start is when most goes on.
        let longest_ms = if random.below(3) == 0 { 200 } else { LONGEST_ROUND_MS };
        let moment = Duration::from_millis(10 + random.below(longest_ms));
        let messages = self.directory.join("job.log");
        let stderr = File::options().create(true).append(true).open(&messages)?;
        let mut command = trial.command(&self.job, workers);
        let child = command
            .args(["--status", "off", "--checkpoint-interval", "50ms"])
            .stderr(Stdio::from(stderr))
            .spawn();
        let mut child = child.with_context(|| format!("cannot run {}", self.job.display()))?;
        if !lives_through(&mut child, moment)? {
            bail!("the job ended by itself with {}; it said:\n{}", child.wait()?, tail(&messages));
        }
        counts[disturbance as usize] += 1;
        let ms = moment.as_millis();
        let what = match disturbance {
            Disturbance::Kill => {
                child.kill()?;
                child.wait()?;
                "killed"
            }
            Disturbance::Stop => {
                terminate(&child)?;
                let status = child.wait()?;
                // Before it listens for the signal it is ended by it.
                ensure!(
                    status.success() || status.code().is_none(),
                    "stopped, and {status}:\n{}",
                    tail(&messages)
                );
                "stopped"
            }
            Disturbance::StopAndKill => {
                terminate(&child)?;
                lives_through(&mut child, Duration::from_millis(random.below(60)))?;
                child.kill()?;
                child.wait()?;
                "killed while it stopped"
            }
        };
        Ok(format!("{workers} worker{}, {what} after {ms} ms", if workers == 1 { "" } else { "s" }))
    }
}

/// Appends what is wanted, a piece at a time.
fn feed(
    scenario: &Scenario,
    writer: &StreamWriter,
    wanted: &Receiver<std::ops::Range<u64>>,
    appended: &AtomicU64,
) -> Result<()> {
    let (_pause, nothing) = pause();
    let mut line = Vec::new();
    for range in wanted {
        let piece = ((range.end - range.start) / PIECES).max(1);
        let mut from = range.start;
        while from < range.end {
            let until = range.end.min(from + piece);
            writer.append(ingest::fill(scenario, from..until, writer, &mut line)?)?;
            appended.store(until, Ordering::Relaxed);
            from = until;
            let _ = nothing.recv_timeout(PAUSE);
        }
    }
    Ok(())
}

/// A channel that nobody sends on: to wait on it is a pause.
fn pause() -> (Sender<()>, Receiver<()>) {
    channel()
}

/// Lets the job run for a moment; whether it still does.
fn lives_through(child: &mut Child, moment: Duration) -> Result<bool> {
    let (_pause, nothing) = pause();
    match nothing.recv_timeout(moment) {
        Err(RecvTimeoutError::Timeout) => Ok(child.try_wait()?.is_none()),
        other => bail!("a pause was cut short: {other:?}"),
    }
}

fn terminate(child: &Child) -> Result<()> {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    ensure!(sent.success(), "cannot send SIGTERM: {sent}");
    Ok(())
}

/// The last lines of a file.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

struct Random(u64);

impl Random {
    /// splitmix64 (Steele, Lea, Flood 2014).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
