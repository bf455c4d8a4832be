//! What clap says of a value that it refuses, told by where the value comes from.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};

use crate::error::Error;
use crate::nearest::nearest;

/// What is wrong with the value, without the flag that it is not from.
pub(crate) fn problem_of(error: &clap::Error) -> String {
    let message = error.to_string();
    let lines: Vec<&str> = message.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let message = lines.join(" ");
    let message = message.trim_start_matches("error: ");
    match text(error, ContextKind::InvalidArg) {
        Some(flag) => message.replace(&format!(" for '{flag}'"), ""),
        None => message.to_owned(),
    }
}

/// `error`, which reading `line` as `command` gave; by the variable's name if the value that is
/// refused comes from the environment.
pub(crate) fn told(error: clap::Error, mut command: Command, line: &[OsString]) -> Error {
    let (Some(flag), Some(value)) =
        (text(&error, ContextKind::InvalidArg), text(&error, ContextKind::InvalidValue))
    else {
        return error.into();
    };
    // Else its arguments cannot be written as the error writes them.
    command.build();
    let all = std::iter::once(&command).chain(command.get_subcommands()).flat_map(Command::get_arguments);
    let variable = all
        .filter(|arg| arg.to_string() == flag && !is_typed(arg, line))
        .filter_map(Arg::get_env)
        .find(|variable| std::env::var_os(variable).is_some_and(|given| given == *value));
    match variable {
        Some(variable) => Error::configuration(format!(
            "the environment variable {} cannot be used: {}",
            variable.display(),
            problem_of(&error)
        )),
        None => error.into(),
    }
}

/// What to say of environment variables that look like settings of a job, and are none of `command`.
pub(crate) fn unknown_variables(command: &Command) -> Vec<String> {
    let all = std::iter::once(command).chain(command.get_subcommands()).flat_map(Command::get_arguments);
    let known: Vec<&str> = all.filter_map(|arg| arg.get_env()?.to_str()).collect();
    let given = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut unknown: Vec<String> =
        given.filter(|name| name.starts_with(PREFIX) && !known.contains(&name.as_str())).collect();
    unknown.sort_unstable();
    let told = unknown.iter().map(|name| {
        let meant =
            nearest(name, &known).map_or_else(String::new, |known| format!("; did you mean {known}?"));
        format!("the environment variable {name} is no setting of a job and is passed over{meant}")
    });
    told.collect()
}

/// What the names of all variables begin with.
const PREFIX: &str = "PELTON_";

/// Whether `arg` stands on the command line.
fn is_typed(arg: &Arg, line: &[OsString]) -> bool {
    let is_it = |word: &str| {
        let long = arg.get_long().and_then(|long| word.strip_prefix("--")?.strip_prefix(long));
        let short = arg
            .get_short()
            .is_some_and(|short| word.strip_prefix('-').is_some_and(|rest| rest.starts_with(short)));
        short || long.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    line.iter().filter_map(|word| word.to_str()).any(is_it)
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}
