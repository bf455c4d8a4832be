//! The configuration file: settings of the job by name, and the job's own arguments under `[args]`.
//!
//! Owns reading it and saying what is wrong in it, with file and field. That environment and flags
//! are stronger is for `options`; for the job's own arguments it follows from giving them to clap
//! as defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};
use pelton_runtime::JobSettings;
use serde::Deserialize;
use toml::{Table, Value};

use crate::error::{Error, Result};

/// What the configuration file says; nothing, if there is none.
#[derive(Debug, Default)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    /// The job's id.
    pub job_id: Option<String>,
    settings: Table,
    args: Table,
}

impl ConfigFile {
    /// The file that `--config` in `line`, or the environment, names.
    pub fn of_command_line(command: &Command, line: &[OsString]) -> Result<Self> {
        // What the job requires may be in the file, so that nothing is required to find it.
        let lenient = |command: Command| command.mut_args(|arg| arg.required(false));
        let mut command = lenient(command.clone());
        for name in ["run", "explain"] {
            command = command.mut_subcommand(name, lenient);
        }
        // What is wrong with the line, and help, is told when it is read in earnest.
        let Ok(matches) = command.try_get_matches_from(line) else { return Ok(Self::default()) };
        file_named_in(&matches).map_or_else(|| Ok(Self::default()), Self::read)
    }

    fn read(path: PathBuf) -> Result<Self> {
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::configuration(format!("cannot read the configuration file {}: {error}", path.display()))
        })?;
        let mut settings: Table = text.parse().map_err(|error: toml::de::Error| wrong(&path, &error))?;
        let job_id = match settings.remove("job_id") {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(other) => {
                return Err(wrong(&path, format!("`job_id` is {}, not a string", other.type_str())));
            }
        };
        let args = match settings.remove("args") {
            None => Table::new(),
            Some(Value::Table(args)) => args,
            Some(other) => {
                return Err(wrong(&path, format!("`args` is {}, not a section [args]", other.type_str())));
            }
        };
        let file = Self { path, job_id, settings, args };
        file.settings("check")?;
        Ok(file)
    }

    /// The settings of the job `job_id`: the defaults, and what the file says.
    pub fn settings(&self, job_id: &str) -> Result<JobSettings> {
        let mut settings = JobSettings::deserialize(self.settings.clone())
            .map_err(|error: toml::de::Error| wrong(&self.path, &error))?;
        // Two jobs that are started in one directory keep apart by default.
        if !self.settings.contains_key("state_dir") {
            settings.state_dir = Path::new(".pelton").join(job_id).join("state");
        }
        if !self.settings.contains_key("checkpoint_dir") {
            settings.checkpoint_dir = format!(".pelton/{job_id}/checkpoints");
        }
        Ok(settings)
    }

    /// Makes the job's own arguments that the file gives the defaults of `command`.
    pub fn apply_args(&self, mut command: Command, own_args: &dyn Fn(Command) -> Command) -> Result<Command> {
        let own = own_args(Command::new("own"));
        for (name, value) in &self.args {
            let arg = self.own_arg(&own, name)?;
            let values = self.values_of(name, value)?;
            self.check_values(arg, name, &values)?;
            let with_default = |command: Command| {
                let values = values.clone();
                command.mut_arg(arg.get_id(), move |arg| arg.default_values(values).required(false))
            };
            let run_and_explain = ["run", "explain"].into_iter();
            command =
                run_and_explain.fold(command, |command, name| command.mut_subcommand(name, with_default));
            command = with_default(command);
        }
        Ok(command)
    }

    fn own_arg<'a>(&self, own: &'a Command, name: &str) -> Result<&'a Arg> {
        let is_named = |arg: &&Arg| {
            let long = arg.get_long().unwrap_or(arg.get_id().as_str());
            long.replace('-', "_") == name.replace('-', "_")
        };
        own.get_arguments().find(is_named).ok_or_else(|| {
            let known: Vec<String> = own.get_arguments().map(|arg| format!("`{}`", arg.get_id())).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            wrong(&self.path, format!("`args.{name}` is no argument of the job; it takes: {known}"))
        })
    }

    fn values_of(&self, name: &str, value: &Value) -> Result<Vec<String>> {
        match value {
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Integer(number) => Ok(vec![number.to_string()]),
            Value::Float(number) => Ok(vec![number.to_string()]),
            Value::Boolean(flag) => Ok(vec![flag.to_string()]),
            Value::Datetime(time) => Ok(vec![time.to_string()]),
            Value::Array(values) => {
                let values = values.iter().map(|value| self.values_of(name, value));
                Ok(values.collect::<Result<Vec<_>>>()?.concat())
            }
            Value::Table(_) => Err(wrong(
                &self.path,
                format!("`args.{name}` is a section: give a value, or a list of values"),
            )),
        }
    }

    /// A value that the argument refuses is told with the file's name, not as if it had been typed.
    fn check_values(&self, arg: &Arg, name: &str, values: &[String]) -> Result {
        let arg = arg.clone().default_values(values.to_vec()).required(false);
        let alone = Command::new("args").no_binary_name(true).disable_help_flag(true).arg(arg);
        match alone.try_get_matches_from([""; 0]) {
            Ok(_) => Ok(()),
            Err(error) => {
                let message = error.to_string();
                let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
                Err(wrong(&self.path, format!("`args.{name}`: {message}")))
            }
        }
    }
}

fn file_named_in(matches: &ArgMatches) -> Option<PathBuf> {
    let deepest = matches.subcommand().map_or(matches, |(_, matches)| matches);
    deepest.try_get_one::<PathBuf>("config").ok().flatten().cloned()
}

fn wrong(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::configuration(format!("the configuration file {} cannot be used: {problem}", path.display()))
}
