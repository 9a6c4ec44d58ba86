//! The chart of the report: what a delivery costs, by server and size of the work.

use std::path::Path;

use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    drawing::IntoDrawingArea as _,
    element::Rectangle,
    prelude::SVGBackend,
    style::{Color as _, RGBColor, WHITE},
};

use crate::{
    error::{Error, Result},
    results::{FRONT_MICROS, Results, Work},
};

const SIZE: (u32, u32) = (960, 420);

/// Distinct for the eye, also for one that does not see all colours (Okabe and Ito).
const COLORS: [RGBColor; 6] = [
    RGBColor(153, 153, 153),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(204, 121, 167),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
];

/// Draws the chart into a file.
///
/// # Errors
/// When it cannot be written.
pub fn write(results: &Results, path: &Path) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Error::failed("drawing the chart", error);
    let cases = results.cases(Work::FanOut);
    let mut targets = Vec::new();
    for case in &cases {
        for target in results.targets(Work::FanOut, case) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    let value = |case: &str, target: &str| {
        results.median(Work::FanOut, case, target, FRONT_MICROS).unwrap_or(0.0)
    };
    let highest = cases
        .iter()
        .flat_map(|case| targets.iter().map(|target| value(case, target)))
        .fold(1.0, f64::max);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let groups = cases.len().max(1);
    let mut chart = ChartBuilder::on(&area)
        .caption("CPU of the server, µs a delivery (lower is better)", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..position(groups), 0.0..highest * 1.1)
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .x_labels(groups * 2 + 1)
        // Labels fall on halves; the middle of each group is one.
        .x_label_formatter(&|x| label(&cases, *x))
        .y_desc("µs")
        .draw()
        .map_err(|error| failed(&error))?;

    let width = 0.8 / position(targets.len().max(1));
    for (number, target) in targets.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let bars = cases.iter().enumerate().map(|(group, case)| {
            let left = position(group) + 0.1 + width * position(number);
            Rectangle::new(
                [(left, 0.0), (left + width * 0.92, value(case, target))],
                color.filled(),
            )
        });
        chart
            .draw_series(bars)
            .map_err(|error| failed(&error))?
            .label(*target)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperMiddle)
        .label_font(("sans-serif", 13))
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(|error| failed(&error))?;
    area.present().map_err(|error| failed(&error))
}

/// A place on the axis.
#[expect(clippy::cast_precision_loss, reason = "a handful of groups")]
fn position(number: usize) -> f64 {
    number as f64
}

/// The case in the middle of whose group `x` lies.
fn label(cases: &[&str], x: f64) -> String {
    let is_middle = (x.fract() - 0.5).abs() < 0.01;
    cases
        .iter()
        .enumerate()
        .find(|(group, _)| is_middle && (position(*group) + 0.5 - x).abs() < 0.01)
        .map(|(_, case)| (*case).to_owned())
        .unwrap_or_default()
}
