//! The settings that only the configuration file has: their names, meanings and defaults, and how
//! they are written.
//!
//! Those with a flag are in `options`; the file knows them by the flag's name.

use pelton_runtime::JobSettings;
use toml::{Table, Value};

use crate::units;

/// The section of the engine's limits.
pub(crate) const ENGINE: &str = "engine";

const MIB: u64 = 1 << 20;

/// A setting of the file.
pub(crate) struct FileSetting {
    /// The section that it stands in, if it is not at the top.
    pub section: Option<&'static str>,
    /// Its name there.
    pub name: &'static str,
    meaning: &'static str,
    field: Field,
}

/// Which field of the settings it is, and in which unit.
enum Field {
    Count(fn(&mut JobSettings) -> Whole<'_>),
    Millis(fn(&mut JobSettings) -> &mut u64),
    Micros(fn(&mut JobSettings) -> &mut u64),
    Mebibytes(fn(&mut JobSettings) -> &mut usize),
}

/// A whole number of the width that its field has.
enum Whole<'a> {
    Usize(&'a mut usize),
    U32(&'a mut u32),
    U16(&'a mut u16),
}

const fn top(name: &'static str, meaning: &'static str, field: Field) -> FileSetting {
    FileSetting { section: None, name, meaning, field }
}

const fn engine(name: &'static str, meaning: &'static str, field: Field) -> FileSetting {
    FileSetting { section: Some(ENGINE), name, meaning, field }
}

/// All of them; the help lists them in this order.
pub(crate) const ALL: &[FileSetting] = &[
    top(
        "checkpoint_timeout",
        "a checkpoint that takes longer is abandoned",
        Field::Millis(|settings| &mut settings.checkpoint_timeout_ms),
    ),
    top(
        "tolerated_checkpoint_failures",
        "the job fails when more fail in a row",
        Field::Count(|settings| Whole::U32(&mut settings.tolerated_checkpoint_failures)),
    ),
    top(
        "retained_checkpoints",
        "completed ones that are kept; older ones go after the next is committed",
        Field::Count(|settings| Whole::Usize(&mut settings.retained_checkpoints)),
    ),
    top(
        "state_memory",
        "for the state of all workers together",
        Field::Mebibytes(|settings| &mut settings.state_memory_mib),
    ),
    top(
        "key_groups",
        "most workers of a keyed operator; fixed at the first run",
        Field::Count(|settings| Whole::U16(&mut settings.key_groups)),
    ),
    top(
        "discovery_interval",
        "how often sources look for new splits",
        Field::Millis(|settings| &mut settings.discovery_interval_ms),
    ),
    top(
        "stuck_after",
        "a call of user code that takes longer is told of",
        Field::Millis(|settings| &mut settings.stuck_after_ms),
    ),
    engine(
        "batch_records",
        "records in a full batch",
        Field::Count(|settings| Whole::Usize(&mut settings.engine.batch_records)),
    ),
    engine(
        "batch_linger",
        "longest that a record waits for its batch to fill",
        Field::Micros(|settings| &mut settings.engine.batch_linger_us),
    ),
    engine(
        "channel_batches",
        "batches on their way from worker to worker",
        Field::Count(|settings| Whole::Usize(&mut settings.engine.channel_batches)),
    ),
    engine(
        "watermark_interval",
        "least time between two watermarks of a source",
        Field::Millis(|settings| &mut settings.engine.watermark_interval_ms),
    ),
    engine(
        "slice",
        "how long a stage runs before others get their turn",
        Field::Micros(|settings| &mut settings.engine.slice_us),
    ),
    engine(
        "poll_interval",
        "between polls of an idle source that cannot be woken",
        Field::Micros(|settings| &mut settings.engine.poll_interval_us),
    ),
];

impl FileSetting {
    /// Its name with the section.
    pub fn full_name(&self) -> String {
        self.section.map_or_else(|| self.name.to_owned(), |section| format!("{section}.{}", self.name))
    }

    /// What `file` says of it.
    fn value_in<'a>(&self, file: &'a Table) -> Option<&'a Value> {
        match self.section {
            None => file.get(self.name),
            Some(section) => file.get(section)?.get(self.name),
        }
    }

    /// Sets it to `value`.
    fn set(&self, value: &Value, settings: &mut JobSettings) -> Result<(), String> {
        match &self.field {
            Field::Count(field) => match field(settings) {
                Whole::Usize(field) => *field = whole(value)?,
                Whole::U32(field) => *field = whole(value)?,
                Whole::U16(field) => *field = whole(value)?,
            },
            Field::Millis(field) => {
                *field(settings) = units::parse_duration_ms(text(value, "a duration such as \"10s\"")?)?;
            }
            Field::Micros(field) => {
                *field(settings) = units::parse_duration_us(text(value, "a duration such as \"1ms\"")?)?;
            }
            Field::Mebibytes(field) => {
                let size = text(value, "a size such as \"512MiB\"")?;
                let bytes = units::parse_bytes(size)?;
                if !bytes.is_multiple_of(MIB) {
                    return Err(format!("`{size}` is no whole number of MiB: write such as \"512MiB\""));
                }
                *field(settings) =
                    usize::try_from(bytes / MIB).map_err(|_| format!("`{size}` is too much"))?;
            }
        }
        Ok(())
    }

    /// Its default, as it is written in the file.
    fn default(&self) -> String {
        let mut settings = JobSettings::default();
        match &self.field {
            Field::Count(field) => match field(&mut settings) {
                Whole::Usize(field) => field.to_string(),
                Whole::U32(field) => field.to_string(),
                Whole::U16(field) => field.to_string(),
            },
            Field::Millis(field) => format!("\"{}\"", units::period(*field(&mut settings))),
            Field::Micros(field) => format!("\"{}\"", units::period_us(*field(&mut settings))),
            Field::Mebibytes(field) => format!("\"{}MiB\"", *field(&mut settings)),
        }
    }
}

/// Sets what `file` gives of them; an error names the field.
pub(crate) fn apply(file: &Table, settings: &mut JobSettings) -> Result<(), String> {
    for setting in ALL {
        if let Some(value) = setting.value_in(file) {
            setting
                .set(value, settings)
                .map_err(|problem| format!("`{}`: {problem}", setting.full_name()))?;
        }
    }
    Ok(())
}

/// All of them as a file that says what is so without it.
pub(crate) fn help() -> String {
    let mut text = String::new();
    let mut section = None;
    for setting in ALL {
        if setting.section != section {
            section = setting.section;
            text += &section.map_or_else(String::new, |section| format!("    [{section}]\n"));
        }
        let assignment = format!("{} = {}", setting.name, setting.default());
        text += &format!("    {assignment:<35} # {}\n", setting.meaning);
    }
    text
}

fn whole<T: TryFrom<i64>>(value: &Value) -> Result<T, String> {
    let Value::Integer(number) = value else {
        return Err(format!("it is {}: write a whole number", of_type(value)));
    };
    T::try_from(*number).map_err(|_| format!("{number} is out of range"))
}

fn text<'a>(value: &'a Value, wanted: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("it is {}: write {wanted}, in quotes", of_type(value)))
}

/// The kind of `value`, as a noun.
pub(crate) fn of_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the help shows can be written into a file, and changes nothing.
    #[test]
    fn the_help_is_a_file_of_defaults() {
        let file: Table = help().parse().unwrap();
        let mut settings = JobSettings::default();
        for setting in ALL {
            assert!(setting.value_in(&file).is_some(), "{}", setting.full_name());
        }
        apply(&file, &mut settings).unwrap();
        assert_eq!(settings, JobSettings::default());
    }

    #[test]
    fn each_value_goes_into_its_field() {
        let file = "checkpoint_timeout = \"1m\"\n tolerated_checkpoint_failures = 1\n retained_checkpoints = 2\n \
             state_memory = \"2GiB\"\n key_groups = 64\n discovery_interval = \"2s\"\n stuck_after = \"3s\"\n [engine]\n batch_records = 3\n \
             batch_linger = \"20us\"\n channel_batches = 4\n watermark_interval = \"6ms\"\n slice = \"7us\"\n \
             poll_interval = \"1s\"";
        let mut settings = JobSettings::default();
        apply(&file.parse().unwrap(), &mut settings).unwrap();
        let expected = JobSettings {
            checkpoint_timeout_ms: 60_000,
            tolerated_checkpoint_failures: 1,
            retained_checkpoints: 2,
            state_memory_mib: 2048,
            key_groups: 64,
            discovery_interval_ms: 2_000,
            stuck_after_ms: 3_000,
            engine: pelton_dataflow::settings::Settings {
                batch_records: 3,
                batch_linger_us: 20,
                channel_batches: 4,
                watermark_interval_ms: 6,
                slice_us: 7,
                poll_interval_us: 1_000_000,
            },
            ..JobSettings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn values_that_cannot_be_are_told_with_their_field() {
        for (file, problem) in [
            ("checkpoint_timeout = 5", "`checkpoint_timeout`: it is a whole number: write a duration"),
            ("checkpoint_timeout = \"5\"", "`checkpoint_timeout`: `5` has no unit: write 5s or 5ms"),
            ("checkpoint_timeout = \"500us\"", "no whole number of milliseconds"),
            ("state_memory = 512", "`state_memory`: it is a whole number: write a size"),
            ("state_memory = \"512\"", "`512` is no whole number of MiB"),
            ("key_groups = 70000", "`key_groups`: 70000 is out of range"),
            ("key_groups = -1", "`key_groups`: -1 is out of range"),
            ("retained_checkpoints = \"3\"", "it is a string: write a whole number"),
            ("[engine]\nslice = \"1ns\"", "`engine.slice`: `1ns` is no whole number of microseconds"),
        ] {
            let told = apply(&file.parse().unwrap(), &mut JobSettings::default()).unwrap_err();
            assert!(told.contains(problem), "{file}: {told}");
        }
    }
}
