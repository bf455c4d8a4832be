//! From a job's function to a process: the command line that every job binary has.
//!
//! Owns which commands there are, and that nothing a user types ends in a panic. What each does is
//! in a file of its own.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Command, FromArgMatches, Subcommand};
use pelton_dataflow::graph::Graph;
use pelton_operators::Job;

use crate::checkpoints::CheckpointsCommand;
use crate::config::ConfigFile;
use crate::console;
use crate::error::{Error, Result};
use crate::explain::ExplainFlags;
use crate::options::{PlaceFlags, RunFlags, StatusFlag};
use crate::{explain, file_settings, run, usage};

const SIGNALS: &str = "\
SIGINT and SIGTERM stop the job after a last checkpoint; a second one ends it at once. It goes on \
from its newest checkpoint the next time.

Exit codes: 0 the input has ended or the job was stopped, 1 the job failed, 2 a setting or the graph is \
wrong, 3 the state does not fit the job, 4 a file is damaged, 5 another process has taken the job over.";

const SOURCES: &str = "\
Settings are taken from, the later the stronger: defaults, the file given by --config, environment \
variables, flags.";

const FILE: &str = "\
The file is TOML. Each option of every job but --config can stand in it, by its name with underscores; \
the job's own arguments in a section [args]:

    workers = 4
    checkpoint_interval = \"5s\"
    restart = \"exponential:100ms:1m\"
    [args]
    input = \"./data/payments\"

What can be set there alone, with the defaults:

";

/// Makes a process of a job: reads the command line, builds the graph, runs it.
///
/// The job's own arguments are any type that derives `clap::Args`; they stand beside those of every
/// job. One without arguments takes `&()`.
///
/// ```no_run
/// use pelton_cli::main;
/// use pelton_operators::{Job, Watermarks, testing::{Collect, Values}};
///
/// #[derive(clap::Args)]
/// struct Args {
///     /// The largest number
///     #[arg(long, default_value_t = 10)]
///     up_to: u64,
/// }
///
/// fn numbers(job: &mut Job, args: &Args) -> pelton_cli::Result {
///     let numbers = job.source("numbers", Values::of(0..=args.up_to)).watermarks(Watermarks::none());
///     numbers.map(|n| n * n).sink("squares", Collect::new().0);
///     Ok(())
/// }
///
/// # fn process() -> std::process::ExitCode {
/// main(numbers) // numbers run --up-to 100 --workers 2
/// # }
/// ```
pub fn main<A: clap::Args>(job: impl Fn(&mut Job, &A) -> Result) -> ExitCode {
    let build = |matches: &ArgMatches| {
        let args = A::from_arg_matches(matches)?;
        let mut graph = Job::new();
        job(&mut graph, &args)?;
        Ok(graph.finish()?)
    };
    console::guard(|| dispatch(&A::augment_args, &build))
}

/// Adds the job's own arguments to a command.
pub(crate) type OwnArgs<'a> = &'a dyn Fn(Command) -> Command;
/// Builds the graph from the arguments.
type Build<'a> = &'a dyn Fn(&ArgMatches) -> Result<Graph>;

fn dispatch(own_args: OwnArgs<'_>, build: Build<'_>) -> Result<ExitCode> {
    check_own_args(own_args)?;
    let line: Vec<_> = std::env::args_os().collect();
    let command = command_for(&line, own_args);
    let config = ConfigFile::of_command_line(&command, &line)?;
    let command = config.apply(command, own_args)?;
    let matches =
        command.clone().try_get_matches_from(&line).map_err(|error| usage::told(error, command, &line))?;
    let known = self::command(own_args);
    match matches.subcommand() {
        Some(("checkpoints", matches)) => {
            let place = PlaceFlags::from_arg_matches(matches)?;
            CheckpointsCommand::from_arg_matches(matches)?.execute(&place.checkpoint_dir())
        }
        Some(("explain", matches)) => {
            explain::explain(&build(matches)?, &ExplainFlags::from_arg_matches(matches)?)
        }
        Some((_, matches)) => start(matches, &config, build, &known),
        None => start(&matches, &config, build, &known),
    }
}

fn start(matches: &ArgMatches, config: &ConfigFile, build: Build<'_>, command: &Command) -> Result<ExitCode> {
    let flags = RunFlags::from_arg_matches(matches)?;
    let settings = flags.settings(config)?;
    settings.check()?;
    console::start_log(if flags.display.status == StatusFlag::Off { &[] } else { &["pelton"] });
    usage::unknown_variables(command).iter().for_each(|told| tracing::warn!("{told}"));
    run::run(build(matches)?, flags.place.job_id(), settings, &flags.display)
}

/// The command line as `line` uses it: with a command, what would be done without one takes nothing
/// from the environment.
fn command_for(line: &[OsString], own_args: OwnArgs<'_>) -> Command {
    let command = command(own_args);
    let has_command = line.get(1).is_some_and(|word| command.find_subcommand(word).is_some());
    if has_command { command.mut_args(|arg| arg.env(None::<&'static str>)) } else { command }
}

/// The command line; `run` is also what is done without a command.
pub(crate) fn command(own_args: OwnArgs<'_>) -> Command {
    let own = own_args(Command::new("own"));
    let about = own.get_about().cloned();
    let pelton = concat!("(Pelton ", env!("CARGO_PKG_VERSION"), ")");
    let version = own.get_version().map_or_else(|| pelton.to_owned(), |own| format!("{own} {pelton}"));
    let with_own = |command: Command| {
        let command = own_args(command.next_help_heading("Arguments of the job"));
        command.about(None::<&str>).long_about(None::<&str>).version(None::<&str>)
    };
    let run = |command: Command| {
        <RunFlags as clap::Args>::augment_args(with_own(command))
            .after_help(format!("{SOURCES} More of the file: --help.\n\n{SIGNALS}"))
            .after_long_help(format!("{SOURCES}\n\n{FILE}{}\n{SIGNALS}", file_settings::help()))
    };
    let explain = <ExplainFlags as clap::Args>::augment_args(with_own(Command::new("explain")));
    let checkpoints = <PlaceFlags as clap::Args>::augment_args(Command::new("checkpoints"));
    let checkpoints = checkpoints.mut_args(|arg| arg.global(true));
    run(Command::new(console::program_name()))
        .about(about.unwrap_or_else(|| "A Pelton job".into()))
        .version(version)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .subcommand(run(Command::new("run")).about("Run the job (also without a command)"))
        .subcommand(explain.about("Show the graph of the job, without running it"))
        .subcommand(
            CheckpointsCommand::augment_subcommands(checkpoints)
                .about("Look at the checkpoints of the job")
                .subcommand_required(true)
                .arg_required_else_help(true),
        )
}

/// A job's argument that is named like one of every job would hide it.
fn check_own_args(own_args: OwnArgs<'_>) -> Result {
    let ours = <RunFlags as clap::Args>::augment_args(Command::new("ours"));
    let ours = <ExplainFlags as clap::Args>::augment_args(ours);
    for arg in own_args(Command::new("own")).get_arguments() {
        let is_taken = |our: &clap::Arg| {
            our.get_id() == arg.get_id()
                || (our.get_long().is_some() && our.get_long() == arg.get_long())
                || (our.get_short().is_some() && our.get_short() == arg.get_short())
        };
        if let Some(our) = ours.get_arguments().find(|our| is_taken(our)) {
            return Err(Error::configuration(format!(
                "the job's argument `{}` is named like `{}`, which every job has: give it another name",
                arg.get_id(),
                our.get_id()
            )));
        }
    }
    Ok(())
}
