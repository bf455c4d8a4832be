//! Exactly once, whatever step fails: each failpoint of the engine and of the log, made to return an
//! error, panic, wait, or kill the process, under a job that must then end as an undisturbed one.
//!
//! In reading order: `world` is the job with its input and its check; `attempt` arms a point and runs
//! it; `steps` is the table of points, one test each. A binary of its own, because what is armed is
//! armed for the whole process. The seed is printed; `PELTON_SEED` sets it, `PELTON_ROUNDS` repeats
//! each test with seeds that follow. `docs/reliability.md` says what was found.

#[cfg(test)]
mod attempt;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod world;
