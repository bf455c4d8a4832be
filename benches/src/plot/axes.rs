//! What is varied, and what each figure is held against.

use clap::ValueEnum;
use serde::Serialize;

use super::point::Point;
use crate::args::Engine;

/// One setting of `keyed-count` that is varied while the others stay as in [`Point::base`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Worker threads
    Workers,
    /// Distinct keys
    Keys,
    /// Bytes of a record
    RecordBytes,
    /// Maps in a row before the count
    Maps,
    /// Splits of the source
    Splits,
    /// Counts in a row, each a keyed operator behind an exchange
    Operators,
}

/// What is drawn upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Millions of records a second.
    EventsPerS,
    /// Processor time of all threads, in nanoseconds per record and operator.
    CpuNs,
}

/// What linear cost would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Linear {
    /// As at the first point.
    Constant,
    /// In proportion to the axis, from the first point on.
    Proportional,
    /// Each step costs what the first one adds to a run without any.
    AsTheFirst,
}

impl Axis {
    /// In the order in which they are drawn.
    pub const ALL: [Self; 6] =
        [Self::Workers, Self::Keys, Self::RecordBytes, Self::Maps, Self::Splits, Self::Operators];

    /// Where it is measured.
    pub fn values(self) -> &'static [u64] {
        match self {
            Self::Workers => &[1, 2],
            Self::Keys => &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
            Self::RecordBytes => &[24, 100, 250, 1_000],
            Self::Maps => &[1, 2, 4, 8],
            Self::Splits => &[1, 10, 100, 1_000],
            Self::Operators => &[1, 10, 50, 200],
        }
    }

    /// What the panel says at its top, what its axis is labelled with, and what its dashed line is.
    pub fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Workers => ("Workers", "worker threads", "in proportion to the workers"),
            Self::Keys => ("Keys", "distinct keys", "the same for any number of keys"),
            Self::RecordBytes => ("Size of records", "bytes", "in proportion to the bytes"),
            Self::Maps => ("Chained maps", "maps before the count", "each map costs what the first one does"),
            Self::Splits => ("Splits of the source", "splits", "the same for any number of splits"),
            Self::Operators => (
                "Keyed operators in a chain",
                "operators, 100 k structs over all",
                "each costs what one alone does",
            ),
        }
    }

    /// What is drawn upwards.
    pub fn measure(self) -> Measure {
        match self {
            Self::Workers | Self::Keys => Measure::EventsPerS,
            _ => Measure::CpuNs,
        }
    }

    /// What its figures are held against.
    pub fn linear(self) -> Linear {
        match self {
            Self::Workers | Self::RecordBytes => Linear::Proportional,
            Self::Maps => Linear::AsTheFirst,
            // The figure is per operator already.
            Self::Keys | Self::Splits | Self::Operators => Linear::Constant,
        }
    }

    /// Who has it: the reference has no shape but its keys and workers.
    pub fn engines(self) -> &'static [Engine] {
        match self {
            Self::Workers | Self::Keys => &[Engine::Pelton, Engine::Timely],
            _ => &[Engine::Pelton],
        }
    }

    /// All runs that its panel needs.
    pub fn points(self, events: u64) -> Vec<Point> {
        let mut points = Vec::new();
        for &engine in self.engines() {
            points.extend(self.values().iter().map(|&value| self.point(engine, value, events)));
        }
        if self.linear() == Linear::AsTheFirst {
            points.push(Point::base(Engine::Pelton, events));
        }
        points
    }

    /// The run at `value` of this axis.
    pub fn point(self, engine: Engine, value: u64, events: u64) -> Point {
        let mut point = Point::base(engine, events);
        match self {
            Self::Workers => (point.workers, point.splits) = (value, value),
            Self::Keys => point.keys = value,
            Self::RecordBytes => point.record_bytes = value,
            Self::Maps => point.maps = value,
            Self::Splits => point.splits = value,
            Self::Operators => {
                point.operators = value;
                point.events = (events / value).max(1);
                // The same amount of state over all, so that this axis is about operators and not memory.
                point.keys = (point.keys / value).max(1);
            }
        }
        point
    }
}
