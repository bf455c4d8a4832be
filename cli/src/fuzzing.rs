//! Doors for fuzzing: what reads the words that a user types or writes into a file.

use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches};

use crate::app::command;
use crate::config::ConfigFile;
use crate::error::Result;
use crate::log::key_field::FieldPath;
use crate::log::position::PositionFlags;
use crate::options::RunFlags;
use crate::units;

/// A job's own arguments, of several kinds.
#[derive(Args)]
struct Own {
    #[arg(long, default_value_t = 10)]
    up_to: u64,
    #[arg(long)]
    input: Option<PathBuf>,
    #[arg(long)]
    quick: bool,
    #[arg(long, num_args = 0..)]
    names: Vec<String>,
}

/// Reads `text` as the configuration file of a job, up to the settings that it would run with.
pub fn config(text: &str) {
    let _ = settings_of(text);
}

fn settings_of(text: &str) -> Result<()> {
    let own_args = <Own as Args>::augment_args;
    let config = ConfigFile::parse("pelton.toml".into(), text)?;
    let command = config.apply(command(&own_args), &own_args)?;
    let matches = command.try_get_matches_from(["job"])?;
    let own = Own::from_arg_matches(&matches)?;
    let _ = (own.up_to, own.input, own.quick, own.names);
    Ok(RunFlags::from_arg_matches(&matches)?.settings(&config)?.check()?)
}

/// Reads `text` as each kind of word that a flag takes.
///
/// # Panics
/// If a duration that was read is not read again as it is written.
pub fn words(text: &str) {
    if let Ok(ms) = units::parse_duration_ms(text) {
        assert_eq!(units::parse_duration_ms(&units::period(ms)), Ok(ms));
    }
    if let Ok(us) = units::parse_duration_us(text) {
        assert_eq!(units::parse_duration_us(&units::period_us(us)), Ok(us));
    }
    let _ = units::parse_period_ms(text);
    if let Ok(bytes) = units::parse_bytes(text) {
        assert!(!units::bytes(bytes).is_empty() && !units::count(bytes).is_empty());
    }
    if let Ok(ms) = units::parse_time_ms(text, 1_700_000_000_000) {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        assert!(!units::time(ms).is_empty() && !units::second(ms).is_empty());
        assert!(!units::millis(ms.unsigned_abs()).is_empty());
    }
    position(text);
    field(text);
}

fn position(text: &str) {
    for flag in ["--shard", "--from", "--since"] {
        let line = ["get", flag, text];
        let Ok(matches) = PositionFlags::augment_args(Command::new("get")).try_get_matches_from(line) else {
            continue;
        };
        if let Ok(flags) = PositionFlags::from_arg_matches(&matches) {
            let all = (0..3).map(pelton_streams::ShardId).collect();
            let _ = flags.shards(all, pelton_streams::StartPosition::Oldest);
        }
    }
}

/// The first line is the path of a field, the rest what it is looked for in.
fn field(text: &str) {
    let (path, line) = text.split_once('\n').unwrap_or((text, "{}"));
    if let Ok(path) = path.parse::<FieldPath>() {
        let _ = path.text_in(line.as_bytes());
        let _ = path.time_ms_in(line.as_bytes());
    }
}
