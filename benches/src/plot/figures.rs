//! What the runs come to: a panel for each axis, with the median and range of each point.

use serde::Serialize;

use super::PlotArgs;
use super::axes::{Axis, Linear, Measure};
use super::point::{Point, Ran};
use crate::args::Engine;

/// All runs of each point.
#[derive(Debug, Default)]
pub struct Runs(Vec<(Point, Vec<Ran>)>);

impl Runs {
    /// Adds one.
    pub fn add(&mut self, point: Point, ran: Ran) {
        match self.0.iter_mut().find(|(known, _)| *known == point) {
            Some((_, runs)) => runs.push(ran),
            None => self.0.push((point, vec![ran])),
        }
    }

    fn of(&self, point: &Point) -> &[Ran] {
        self.0.iter().find(|(known, _)| known == point).map_or(&[], |(_, runs)| runs)
    }
}

/// Everything that is drawn.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Records of a run.
    pub events: u64,
    /// Runs of each point.
    pub repeat: u32,
    pub panels: Vec<Panel>,
}

/// One axis.
#[derive(Debug, Serialize)]
pub struct Panel {
    pub axis: Axis,
    pub measure: Measure,
    pub lines: Vec<Line>,
    /// What linear cost would be, at each value; empty if the engine it is taken from was not run.
    pub linear: Vec<f64>,
}

/// One engine along an axis.
#[derive(Debug, Serialize)]
pub struct Line {
    pub engine: Engine,
    pub dots: Vec<Dot>,
}

/// The runs at one value.
#[derive(Debug, Serialize)]
pub struct Dot {
    pub value: u64,
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub runs: Vec<Ran>,
}

impl Figures {
    /// As JSON, for people and tools.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures have only strings as keys") + "\n"
    }
}

impl Panel {
    /// The panel of `axis`, from what was run.
    pub fn of(axis: Axis, args: &PlotArgs, runs: &Runs) -> Self {
        let mut lines = Vec::new();
        for &engine in axis.engines() {
            let dots: Vec<Dot> = axis
                .values()
                .iter()
                .filter_map(|&value| dot(axis, value, runs.of(&axis.point(engine, value, args.events))))
                .collect();
            if !dots.is_empty() {
                lines.push(Line { engine, dots });
            }
        }
        let base = dot(axis, 0, runs.of(&Point::base(Engine::Pelton, args.events)));
        let linear = linear(axis, lines.first().map_or(&[], |line| &line.dots), base.map(|dot| dot.median));
        Self { axis, measure: axis.measure(), lines, linear }
    }
}

fn dot(axis: Axis, value: u64, runs: &[Ran]) -> Option<Dot> {
    let operators = if axis == Axis::Operators { value } else { 1 };
    let measured = |ran: &Ran| match axis.measure() {
        Measure::EventsPerS => ran.events_per_s / 1e6,
        Measure::CpuNs => ran.cpu_s * 1e9 / (ran.events * operators) as f64,
    };
    let mut all: Vec<f64> = runs.iter().map(measured).collect();
    all.sort_by(f64::total_cmp);
    let (least, most) = (*all.first()?, *all.last()?);
    let median = (all[(all.len() - 1) / 2] + all[all.len() / 2]) / 2.0;
    Some(Dot { value, median, least, most, runs: runs.to_vec() })
}

/// What linear cost would be at each value of `axis`; `base` is a run with none of what it counts.
fn linear(axis: Axis, dots: &[Dot], base: Option<f64>) -> Vec<f64> {
    let Some(first) = dots.first() else { return Vec::new() };
    let steps = |value: u64| value as f64 / first.value as f64;
    let at = |value: u64| match axis.linear() {
        Linear::Constant => first.median,
        Linear::Proportional => first.median * steps(value),
        Linear::AsTheFirst => {
            let base = base.unwrap_or(first.median);
            base + steps(value) * (first.median - base).max(0.0)
        }
    };
    axis.values().iter().map(|&value| at(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(events_per_s: f64, cpu_s: f64) -> Ran {
        Ran {
            events: 1_000,
            seconds: 1.0,
            events_per_s,
            cpu_s,
            peak_rss_bytes: 0,
            checkpoints_completed: 1,
            files_per_epoch: None,
        }
    }

    #[test]
    fn a_dot_is_the_median_between_the_least_and_the_most() {
        let dot = dot(Axis::Keys, 1_000, &[ran(3e6, 1.0), ran(1e6, 1.0), ran(2e6, 1.0)]).unwrap();
        assert_eq!((dot.least, dot.median, dot.most), (1.0, 2.0, 3.0));
        let of_two = super::dot(Axis::Keys, 1_000, &[ran(1e6, 1.0), ran(2e6, 1.0)]).unwrap();
        assert_eq!(of_two.median, 1.5);
    }

    #[test]
    fn operators_are_measured_per_event_and_operator() {
        let dot = dot(Axis::Operators, 10, &[ran(1.0, 1e-3)]).unwrap();
        assert_eq!(dot.median, 100.0);
    }

    #[test]
    fn linear_cost_of_maps_is_what_the_first_one_adds() {
        let dots = [dot(Axis::Maps, 1, &[ran(1.0, 30e-6)]).unwrap()];
        let line = linear(Axis::Maps, &dots, Some(20.0));
        assert!(
            line.iter().zip([30.0, 40.0, 60.0, 100.0]).all(|(got, expected)| (got - expected).abs() < 1e-9)
        );
        assert_eq!(
            linear(Axis::RecordBytes, &[dot(Axis::RecordBytes, 24, &[ran(1.0, 24e-6)]).unwrap()], None).len(),
            4
        );
    }
}
