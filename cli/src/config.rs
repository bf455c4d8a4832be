//! The configuration file: settings of the job by name, and the job's own arguments under `[args]`.
//!
//! Owns reading it and saying what is wrong in it, with file and field. What a flag takes stands in
//! the file by the flag's name and is given to clap as the flag's default: it is read as if it had
//! been typed, and environment and flags are stronger. The others are in `file_settings`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};
use pelton_runtime::JobSettings;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::file_settings::{self, ENGINE, of_type};
use crate::nearest::nearest;
use crate::usage;

/// The section of the job's own arguments.
const ARGS: &str = "args";

/// The flag that names the file, which the file cannot.
const CONFIG: &str = "config";

/// The commands that build the job, besides the one without a name.
const WITH_OWN_ARGS: [&str; 2] = ["run", "explain"];

/// What the configuration file says; nothing, if there is none.
#[derive(Debug, Default)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    settings: Table,
    args: Table,
}

impl ConfigFile {
    /// The file that `--config` in `line`, or the environment, names.
    pub fn of_command_line(command: &Command, line: &[OsString]) -> Result<Self> {
        // What the job requires may be in the file, so that nothing is required to find it.
        let lenient = |command: Command| command.mut_args(|arg| arg.required(false));
        let mut command = lenient(command.clone());
        for name in WITH_OWN_ARGS {
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
        Self::parse(path, &text)
    }

    /// The file `path`, which holds `text`.
    pub fn parse(path: PathBuf, text: &str) -> Result<Self> {
        let mut settings: Table = text.parse().map_err(|error: toml::de::Error| wrong(&path, &error))?;
        let mut section = |name: &str| match settings.remove(name) {
            None => Ok(Table::new()),
            Some(Value::Table(section)) => Ok(section),
            Some(other) => {
                Err(wrong(&path, format!("`{name}` is {}, not a section [{name}]", of_type(&other))))
            }
        };
        let (args, engine) = (section(ARGS)?, section(ENGINE)?);
        settings.insert(ENGINE.to_owned(), Value::Table(engine));
        let file = Self { path, settings, args };
        file.set_file_settings(&mut JobSettings::default())?;
        Ok(file)
    }

    /// Sets what has no flag.
    pub fn set_file_settings(&self, settings: &mut JobSettings) -> Result {
        file_settings::apply(&self.settings, settings).map_err(|problem| wrong(&self.path, problem))
    }

    /// Makes what the file gives the defaults of the flags and of the job's own arguments.
    pub fn apply(&self, mut command: Command, own_args: &dyn Fn(Command) -> Command) -> Result<Command> {
        let own = own_args(Command::new("own"));
        let ours = command.clone();
        self.check_names(&ours, &own)?;
        for (name, value) in &self.settings {
            let Some(arg) = flag(&ours, &own, name) else { continue };
            if matches!(value, Value::Array(_)) {
                return Err(wrong(&self.path, format!("`{name}` is a list: give one value")));
            }
            command = self.with_default(command, arg, name, value)?;
        }
        for (name, value) in &self.args {
            let arg = self.own_arg(&own, name)?;
            command = self.with_default(command, arg, &format!("{ARGS}.{name}"), value)?;
        }
        Ok(command)
    }

    /// Refuses settings that are not known, with the name that was meant.
    fn check_names(&self, ours: &Command, own: &Command) -> Result {
        let of_section = |section: Option<&'static str>| {
            file_settings::ALL
                .iter()
                .filter(move |setting| setting.section == section)
                .map(|setting| setting.name)
        };
        let flags = ours.get_arguments().map(|arg| arg.get_id().as_str());
        let flags = flags.filter(|name| flag(ours, own, name).is_some());
        let top: Vec<&str> = flags.chain(of_section(None)).chain([ENGINE, ARGS]).collect();
        let engine: Vec<&str> = of_section(Some(ENGINE)).collect();
        let in_engine = self.settings.get(ENGINE).and_then(Value::as_table);
        for (section, known, table) in [("", &top, Some(&self.settings)), ("engine.", &engine, in_engine)] {
            let mut names = table.into_iter().flat_map(Table::keys);
            let Some(name) = names.find(|name| !known.contains(&name.as_str())) else { continue };
            let is_own = |arg: &Arg| *arg.get_id() == name.replace('-', "_");
            let hint = if section.is_empty() && own.get_arguments().any(is_own) {
                format!("it is an argument of the job, which stands in the section [{ARGS}]")
            } else if let Some(near) = nearest(name, known) {
                format!("do you mean `{section}{near}`?")
            } else {
                format!("there are: `{section}{}`", known.join(&format!("`, `{section}")))
            };
            return Err(wrong(&self.path, format!("`{section}{name}` is no setting; {hint}")));
        }
        Ok(())
    }

    /// Makes `value` the default of `arg`, wherever `command` has it.
    fn with_default(&self, mut command: Command, arg: &Arg, name: &str, value: &Value) -> Result<Command> {
        if !arg.get_action().takes_values() && !value.is_bool() {
            return Err(wrong(&self.path, format!("`{name}` is {}: write true or false", of_type(value))));
        }
        let values = self.values_of(name, value)?;
        self.check_values(arg, name, &values)?;
        let with_default = |command: Command| {
            if !command.get_arguments().any(|other| other.get_id() == arg.get_id()) {
                return command;
            }
            let values = values.clone();
            command.mut_arg(arg.get_id(), move |arg| arg.default_values(values).required(false))
        };
        for subcommand in WITH_OWN_ARGS.into_iter().chain(["checkpoints"]) {
            command = command.mut_subcommand(subcommand, with_default);
        }
        Ok(with_default(command))
    }

    fn own_arg<'a>(&self, own: &'a Command, name: &str) -> Result<&'a Arg> {
        let is_named = |arg: &&Arg| {
            let long = arg.get_long().unwrap_or(arg.get_id().as_str());
            long.replace('-', "_") == name.replace('-', "_")
        };
        own.get_arguments().find(is_named).ok_or_else(|| {
            let known: Vec<String> = own.get_arguments().map(|arg| format!("`{}`", arg.get_id())).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            wrong(&self.path, format!("`{ARGS}.{name}` is no argument of the job; it takes: {known}"))
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
            Value::Table(_) => {
                Err(wrong(&self.path, format!("`{name}` is a section: give a value, or a list of values")))
            }
        }
    }

    /// A value that the argument refuses is told with the file's name, not as if it had been typed.
    fn check_values(&self, arg: &Arg, name: &str, values: &[String]) -> Result {
        let arg = arg.clone().default_values(values.to_vec()).required(false).env(None::<&'static str>);
        let alone = Command::new("args").no_binary_name(true).disable_help_flag(true).arg(arg);
        match alone.try_get_matches_from([""; 0]) {
            Ok(_) => Ok(()),
            Err(error) => Err(wrong(&self.path, format!("`{name}`: {}", usage::problem_of(&error)))),
        }
    }
}

/// The flag of every job that `name` is a setting of.
fn flag<'a>(ours: &'a Command, own: &Command, name: &str) -> Option<&'a Arg> {
    let is_own = own.get_arguments().any(|arg| *arg.get_id() == *name);
    let mut flags = ours.get_arguments().filter(|arg| arg.get_long().is_some() && *arg.get_id() != CONFIG);
    flags.find(|arg| !is_own && *arg.get_id() == *name)
}

fn file_named_in(matches: &ArgMatches) -> Option<PathBuf> {
    let deepest = matches.subcommand().map_or(matches, |(_, matches)| matches);
    deepest.try_get_one::<PathBuf>(CONFIG).ok().flatten().cloned()
}

fn wrong(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::configuration(format!("the configuration file {} cannot be used: {problem}", path.display()))
}
