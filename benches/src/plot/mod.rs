//! `plot`: how `keyed-count` scales along each axis, as one picture and its figures.
//!
//! In reading order: [`axes`] (what is varied, and what linear cost would be), [`point`] (one run,
//! in a process of its own), [`figures`] (what the runs come to), [`svg`] (the picture).

mod axes;
mod figures;
mod point;
mod svg;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;

use self::axes::Axis;
use self::figures::{Figures, Panel, Runs};
use self::point::Point;
use crate::args::{Engine, parse_count};
use crate::report::{note, print_line};

/// Runs `keyed-count` along each axis of scale and draws what it comes to
///
/// Each run is a child process of its own and verifies its result. The figures are written beside
/// the picture, as JSON.
#[derive(ClapArgs, Debug, Clone)]
pub struct PlotArgs {
    /// The picture
    #[arg(long, value_name = "FILE.svg", default_value = "scale.svg")]
    pub out: PathBuf,
    /// Records of a run; with N operators one N-th of it
    #[arg(long, default_value = "50m", value_parser = parse_count)]
    pub events: u64,
    /// Runs of each point, in turn; drawn are the median, the least and the most
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// The axes, separated by commas [default: all]
    #[arg(long, value_name = "AXIS", value_delimiter = ',')]
    pub axis: Vec<Axis>,
    /// The engines, separated by commas; the reference has the axes `workers` and `keys` alone
    #[arg(long, value_delimiter = ',', default_value = "pelton,timely")]
    pub engine: Vec<Engine>,
}

/// Runs and draws.
pub fn run(args: &PlotArgs) -> Result<()> {
    ensure!(
        args.out.extension().is_some_and(|extension| extension == "svg"),
        "`--out` is {}: the picture is an SVG, so give a name that ends in `.svg`",
        args.out.display()
    );
    // A picture that cannot be written is found out before the runs, not after.
    std::fs::write(&args.out, "").with_context(|| format!("cannot write {}", args.out.display()))?;
    let axes = if args.axis.is_empty() { Axis::ALL.to_vec() } else { args.axis.clone() };
    let mut points: Vec<Point> = Vec::new();
    for point in axes.iter().flat_map(|axis| axis.points(args.events)) {
        if args.engine.contains(&point.engine) && !points.contains(&point) {
            points.push(point);
        }
    }
    let mut runs = Runs::default();
    // In rounds, so that what the machine does meanwhile falls on all points alike.
    for round in 1..=args.repeat {
        for (nth, point) in (1..).zip(&points) {
            let total = points.len();
            note(&format!("run {nth} of {total}, round {round} of {}: {point}", args.repeat));
            runs.add(point.clone(), point.run()?);
        }
    }
    let panels = axes.iter().map(|axis| Panel::of(*axis, args, &runs)).collect();
    let figures = Figures { events: args.events, repeat: args.repeat, panels };
    let beside = args.out.with_extension("json");
    std::fs::write(&args.out, svg::draw(&figures))
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    std::fs::write(&beside, figures.json()).with_context(|| format!("cannot write {}", beside.display()))?;
    print_line(&format!("{} and {}", args.out.display(), beside.display()));
    Ok(())
}
