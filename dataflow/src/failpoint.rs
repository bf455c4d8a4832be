//! Failpoints: named steps at which a test has the engine fail, panic or wait, to see what it recovers to.
//!
//! A point stands before a call that can fail, or after one whose answer can be lost, and its error
//! takes the way of that call's error. Without the feature `failpoints`, which only tests turn on,
//! a point is `Ok(())` and leaves nothing in the program. `docs/reliability.md` lists the points
//! and what is tried at each.

/// The step `name`, as `area::step`: goes on, or does what a test has armed it with.
///
/// # Errors
/// A test asks for one.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn at(_name: &str) -> std::io::Result<()> {
    Ok(())
}

/// The step `name`, as `area::step`: goes on, or does what a test has armed it with.
///
/// # Errors
/// A test asks for one.
#[cfg(feature = "failpoints")]
pub fn at(name: &str) -> std::io::Result<()> {
    *passes().entry(name.to_owned()).or_default() += 1;
    fail::eval(name, |_| std::io::Error::other(format!("failpoint {name}"))).map_or(Ok(()), Err)
}

/// How often this process has come by the step `name`: a test that armed it knows so that it was
/// reached.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn passed(name: &str) -> u64 {
    passes().get(name).copied().unwrap_or(0)
}

#[cfg(feature = "failpoints")]
fn passes() -> std::sync::MutexGuard<'static, std::collections::HashMap<String, u64>> {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};
    static PASSES: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);
    PASSES.lock().unwrap_or_else(PoisonError::into_inner)
}
