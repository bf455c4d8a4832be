//! The picture: a panel for each axis, both its axes logarithmic, written as SVG by hand.

use std::fmt::Write;

use super::axes::Measure;
use super::figures::{Dot, Figures, Line, Panel};
use crate::args::Engine;

const COLUMNS: usize = 3;
/// A panel with its texts, and the plot inside it, in pixels.
const PANEL: (f64, f64) = (390.0, 320.0);
const PLOT: (f64, f64) = (300.0, 190.0);
/// From the corner of a panel to that of its plot.
const INSET: (f64, f64) = (64.0, 62.0);
/// Above the first row of panels.
const HEADER: f64 = 62.0;
const LINEAR_COLOR: &str = "#c0392b";

fn color(engine: Engine) -> &'static str {
    match engine {
        Engine::Pelton => "#0b5c8a",
        Engine::Timely => "#8a8a8a",
    }
}

fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Pelton => "Pelton",
        Engine::Timely => "timely by hand, no checkpoints",
    }
}

/// The whole picture.
pub fn draw(figures: &Figures) -> String {
    let rows = figures.panels.len().div_ceil(COLUMNS);
    let columns = figures.panels.len().clamp(2, COLUMNS);
    let (width, height) = (columns as f64 * PANEL.0, HEADER + rows as f64 * PANEL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    text(&mut svg, (16.0, 24.0), "font-size=\"16\" font-weight=\"bold\"", "How keyed-count scales");
    let settings = format!(
        "Unless varied: 2 workers, 100 k keys, records of 24 bytes, RocksDB state, a checkpoint each second. \
         {} records, median of {} (bars: least to most).",
        number(figures.events as f64),
        figures.repeat
    );
    text(&mut svg, (16.0, 42.0), "", &settings);
    for (nth, panel) in figures.panels.iter().enumerate() {
        let (column, row) = (nth % COLUMNS, nth / COLUMNS);
        let (x, y) = (column as f64 * PANEL.0, HEADER + row as f64 * PANEL.1);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        draw_panel(&mut svg, panel);
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

fn draw_panel(svg: &mut String, panel: &Panel) {
    let (title, label, linear) = panel.axis.texts();
    text(svg, (16.0, 16.0), "font-size=\"13\" font-weight=\"bold\"", title);
    let unit = match panel.measure {
        Measure::EventsPerS => "M events/s",
        Measure::CpuNs => "ns of processor time per event and operator",
    };
    text(svg, (16.0, 31.0), "fill=\"#555\"", unit);
    text(svg, (16.0, 45.0), &format!("fill=\"{LINEAR_COLOR}\""), &format!("dashed: {linear}"));
    if panel.lines.len() > 1 {
        for (nth, line) in panel.lines.iter().enumerate() {
            let at = (PANEL.0 - 16.0, 16.0 + 15.0 * nth as f64);
            text(svg, at, &format!("text-anchor=\"end\" fill=\"{}\"", color(line.engine)), name(line.engine));
        }
    }
    let dots = || panel.lines.iter().flat_map(|line| &line.dots);
    let x = Scale::over(panel.axis.values().iter().map(|&value| value as f64), INSET.0, INSET.0 + PLOT.0);
    let heights = dots().flat_map(|dot| [dot.least, dot.most]).chain(panel.linear.iter().copied());
    let y = Scale::over(heights, INSET.1 + PLOT.1, INSET.1);
    frame(svg, panel, &x, &y);
    text(svg, (INSET.0 + PLOT.0 / 2.0, INSET.1 + PLOT.1 + 34.0), "text-anchor=\"middle\"", label);

    let values = panel.axis.values().iter().map(|&value| value as f64);
    let dashed = path(values.zip(&panel.linear).map(|(value, linear)| (x.at(value), y.at(*linear))));
    let _ = writeln!(
        svg,
        "<path d=\"{dashed}\" fill=\"none\" stroke=\"{LINEAR_COLOR}\" stroke-dasharray=\"5 4\"/>"
    );
    // The first line, which the panel is about, lies on top.
    for line in panel.lines.iter().rev() {
        draw_line(svg, line, &x, &y);
    }
}

/// The frame, the grid, and what its lines stand for.
fn frame(svg: &mut String, panel: &Panel, x: &Scale, y: &Scale) {
    let (left, top, right, bottom) = (INSET.0, INSET.1, INSET.0 + PLOT.0, INSET.1 + PLOT.1);
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = writeln!(svg, "<path d=\"M{left:.1} {at:.1}H{right:.1}\" stroke=\"#e4e4e4\"/>");
        text(svg, (left - 6.0, at + 4.0), "text-anchor=\"end\"", &number(tick));
    }
    for &value in panel.axis.values() {
        let at = x.at(value as f64);
        let _ = writeln!(svg, "<path d=\"M{at:.1} {top:.1}V{bottom:.1}\" stroke=\"#e4e4e4\"/>");
        text(svg, (at, bottom + 15.0), "text-anchor=\"middle\"", &number(value as f64));
    }
    let (width, height) = PLOT;
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#999\"/>"
    );
}

fn draw_line(svg: &mut String, line: &Line, x: &Scale, y: &Scale) {
    let color = color(line.engine);
    let joined = path(line.dots.iter().map(|dot| (x.at(dot.value as f64), y.at(dot.median))));
    let _ = writeln!(svg, "<path d=\"{joined}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>");
    for Dot { value, median, least, most, .. } in &line.dots {
        let (at, up) = (x.at(*value as f64), y.at(*median));
        let (low, high) = (y.at(*least), y.at(*most));
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {low:.1}V{high:.1}\" stroke=\"{color}\"/>\
             <circle cx=\"{at:.1}\" cy=\"{up:.1}\" r=\"3.5\" fill=\"{color}\"/>"
        );
        text(svg, (at, up - 8.0), &format!("text-anchor=\"middle\" fill=\"{color}\""), &number(*median));
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
    }
    path
}

/// Texts here are all this program's own: none holds a character that XML reads otherwise.
fn text(svg: &mut String, (x, y): (f64, f64), style: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>");
}

/// Three digits, and thousands and millions by their letters: `1.25`, `38.1`, `204`, `10 k`, `1 M`.
fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", digits(v / 1e6)),
        v if v >= 1e4 => format!("{} k", digits(v / 1e3)),
        v => digits(v),
    }
}

fn digits(value: f64) -> String {
    let places = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A logarithmic scale from values to pixels.
struct Scale {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Over `values` with some room on both sides, from pixel `from` to `to`.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, most) = values
            .fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| (least.min(value), most.max(value)));
        let room = (most / least).powf(0.12).max(1.25);
        Self { least: least / room, most: most * room, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        self.from + share * (self.to - self.from)
    }

    /// 1, 2 and 5 of each power of ten; the powers alone where that would be too many.
    fn ticks(&self) -> Vec<f64> {
        let powers = self.least.log10().floor() as i32..=self.most.log10().ceil() as i32;
        let wide = self.most / self.least > 500.0;
        let steps: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|tick| (self.least..=self.most).contains(tick)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.5, "0.5"),
            (24.0, "24"),
            (38.14, "38.1"),
            (204.4, "204"),
            (1_000.0, "1000"),
            (1e5, "100 k"),
            (5e7, "50 M"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_scale_is_even_in_factors_and_ticks_lie_within_it() {
        let scale = Scale::over([1.0, 100.0].into_iter(), 0.0, 100.0);
        assert!((scale.at(10.0) - 50.0).abs() < 1e-9);
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }
}
