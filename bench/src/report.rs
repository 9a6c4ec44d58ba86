//! The page about a run: tables, goals and a chart, between a head and a tail written by hand.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    bare::Bare,
    chart,
    error::{Result, Trying as _},
    results::{
        ACKS, DELIVERY_P50, DELIVERY_P99, FRONT_AND_NATS_MICROS, FRONT_MICROS, KIB_AFTER,
        KIB_BEFORE, REDIS_COMMANDS, REQUESTS, Results, SECONDS, Work,
    },
    work::history,
};

const HEAD: &str = include_str!("../report/head.md");
const TAIL: &str = include_str!("../report/tail.md");

/// The floor's name in the tables.
const FLOOR: &str = "floor";
/// The name of the floor that writes once a frame.
const FLOOR_EACH: &str = "floor, one write a frame";
/// Goch's name in the tables.
pub const GOCH: &str = "goch";

/// A bound for Goch's figure: as a multiple of another target's, or as it stands.
struct Goal {
    work: Work,
    /// What the case's name begins with.
    case: &'static str,
    figure: &'static str,
    against: Option<&'static str>,
    bound: f64,
    at_least: bool,
    says: &'static str,
}

const fn at_most(
    work: Work,
    case: &'static str,
    figure: &'static str,
    against: Option<&'static str>,
    bound: f64,
    says: &'static str,
) -> Goal {
    Goal { work, case, figure, against, bound, at_least: false, says }
}

/// What the gateway is held to.
const GOALS: [Goal; 14] = [
    at_most(
        Work::FanOut,
        "1,000 readers, 1 in",
        FRONT_MICROS,
        Some(FLOOR_EACH),
        1.35,
        "gateway CPU a delivery",
    ),
    at_most(
        Work::FanOut,
        "1,000 readers, 4 in",
        FRONT_MICROS,
        Some(FLOOR),
        1.7,
        "gateway CPU a delivery",
    ),
    at_most(
        Work::FanOut,
        "1,000 readers, 4 in",
        FRONT_AND_NATS_MICROS,
        Some(FLOOR),
        2.2,
        "gateway and NATS CPU a delivery",
    ),
    at_most(
        Work::FanOut,
        "1,000 readers, 16 in",
        FRONT_MICROS,
        Some(FLOOR),
        1.7,
        "gateway CPU a delivery",
    ),
    at_most(
        Work::FanOut,
        "5,000 readers, 4 in",
        FRONT_MICROS,
        Some(FLOOR),
        1.9,
        "gateway CPU a delivery",
    ),
    at_most(Work::Idle, "", KIB_BEFORE, None, 14.0, "KiB a socket"),
    at_most(Work::Idle, "", KIB_AFTER, None, 14.0, "KiB a socket after traffic"),
    at_most(Work::Latency, "", DELIVERY_P50, Some(Bare::NAME), 2.0, "delivery p50"),
    at_most(Work::Latency, "", DELIVERY_P99, Some(Bare::NAME), 3.0, "delivery p99"),
    Goal {
        work: Work::DurableSend,
        case: "",
        figure: ACKS,
        against: Some(Bare::NAME),
        bound: 0.7,
        at_least: true,
        says: "acks a second",
    },
    at_most(Work::Storm, "", SECONDS, Some(FLOOR), 2.0, "seconds until all are back"),
    at_most(Work::Storm, "", REQUESTS, None, 0.0, "requests beyond authorisation"),
    at_most(Work::Storm, "", REDIS_COMMANDS, None, 0.0, "Redis commands"),
    at_most(Work::History, "", DELIVERY_P50, Some(history::BARE), 2.0, "p50 of a page"),
];

impl Goal {
    /// The figure, or its ratio to the other target's.
    fn measured(&self, results: &Results, case: &str) -> Option<f64> {
        let own = results.median(self.work, case, GOCH, self.figure)?;
        let Some(against) = self.against else { return Some(own) };
        let other =
            results.median(self.work, case, against, self.figure).filter(|other| *other > 0.0)?;
        Some(own / other)
    }

    fn is_met(&self, measured: f64) -> bool {
        if self.at_least { measured >= self.bound } else { measured <= self.bound }
    }
}

/// Everything as tables, in Markdown.
#[must_use]
pub fn tables(results: &Results) -> String {
    let mut text = String::new();
    for work in Work::ALL {
        let cases = results.cases(work);
        if cases.is_empty() {
            continue;
        }
        line(&mut text, &format!("### {}\n", work.title()));
        for case in cases {
            table(&mut text, results, work, case);
        }
    }
    text.push_str(&goals(results));
    text
}

fn table(text: &mut String, results: &Results, work: Work, case: &str) {
    let targets = results.targets(work, case);
    let columns: Vec<_> = work
        .columns()
        .iter()
        .filter(|(figure, _)| {
            targets.iter().any(|target| results.median(work, case, target, figure).is_some())
        })
        .collect();
    let Some((first, _)) = columns.first() else { return };
    let base = targets.first().and_then(|target| results.median(work, case, target, first));
    line(text, &format!("**{case}**\n"));
    let heads: Vec<&str> = columns.iter().map(|(_, head)| *head).collect();
    line(text, &format!("| | {} | ratio |", heads.join(" | ")));
    line(text, &format!("| --- |{}", " ---: |".repeat(columns.len() + 1)));
    for target in &targets {
        let median = |figure: &str| results.median(work, case, target, figure);
        let mut cells = Vec::with_capacity(columns.len());
        for (figure, _) in &columns {
            cells.push(median(figure).map(number).unwrap_or_default());
        }
        let ratio = median(first).zip(base.filter(|base| *base > 0.0));
        let ratio = ratio.map_or_else(String::new, |(own, base)| format!("{:.2}", own / base));
        line(text, &format!("| {target} | {} | {ratio} |", cells.join(" | ")));
    }
    text.push('\n');
}

/// What Goch is held to, and what came out.
fn goals(results: &Results) -> String {
    let mut text = String::new();
    for goal in &GOALS {
        let cases = results.cases(goal.work);
        let Some(case) = cases.into_iter().find(|case| case.starts_with(goal.case)) else {
            continue;
        };
        let Some(measured) = goal.measured(results, case) else { continue };
        let bound = format!(
            "{} {}{}",
            if goal.at_least { "at least" } else { "at most" },
            number(goal.bound),
            goal.against.map_or_else(String::new, |against| format!(" × {against}")),
        );
        let verdict = if goal.is_met(measured) { "yes" } else { "no" };
        let measured = number(measured);
        line(&mut text, &format!("| {case}: {} | {bound} | {measured} | {verdict} |", goal.says));
    }
    if text.is_empty() {
        return text;
    }
    format!("### Goals\n\n| work | goal | measured | met |\n| --- | --- | ---: | --- |\n{text}")
}

fn line(text: &mut String, line: &str) {
    // Writing to a string has no way to fail.
    let _ = writeln!(text, "{line}");
}

/// A number with three digits that matter.
fn number(number: f64) -> String {
    match number.abs() {
        size if size >= 1_000.0 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded and checked"
            )]
            let whole = number.round() as usize;
            crate::suite::thousands(whole)
        }
        size if size >= 100.0 || size == 0.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// Writes the page, and its chart beside it.
///
/// # Errors
/// When they cannot be written.
pub fn write(results: &Results, page: &Path) -> Result<()> {
    let chart = page.with_extension("svg");
    chart::write(results, &chart)?;
    let name = chart.file_name().unwrap_or_default().to_string_lossy();
    let mut text = HEAD.to_owned();
    line(&mut text, &format!("\n![Processor time of the server for each delivery]({name})\n"));
    line(&mut text, "## Where this was measured\n");
    for (what, description) in &results.setting {
        line(&mut text, &format!("- {what}: {description}"));
    }
    for note in &results.notes {
        line(&mut text, &format!("- {note}"));
    }
    if !results.stolen.is_empty() {
        let part = |(work, part): &(Work, f64)| format!("{} {:.0}%", work.name(), part * 100.0);
        let parts: Vec<_> = results.stolen.iter().map(part).collect();
        line(&mut text, &format!("- Processor time that the host took: {}", parts.join(", ")));
    }
    line(&mut text, "\n## Results\n");
    text.push_str(&tables(results));
    text.push('\n');
    text.push_str(TAIL);
    fs::write(page, text).trying("writing the page")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Figures, Sample};

    fn results() -> Results {
        let sample = |target: &str, micros: f64| Sample {
            work: Work::FanOut,
            case: "1,000 readers, 4 in flight".to_owned(),
            target: target.to_owned(),
            round: 0,
            figures: Figures::from([(FRONT_MICROS.to_owned(), micros)]),
        };
        Results { samples: vec![sample(FLOOR, 2.0), sample(GOCH, 3.0)], ..Results::default() }
    }

    #[test]
    fn a_table_has_a_row_for_each_target_with_its_ratio() {
        let tables = tables(&results());
        assert!(tables.contains("| floor | 2.00 | 1.00 |"), "{tables}");
        assert!(tables.contains("| goch | 3.00 | 1.50 |"), "{tables}");
    }

    #[test]
    fn a_goal_that_is_met_is_told_from_one_that_is_not() {
        let mut results = results();
        assert!(goals(&results).contains("at most 1.70 × floor | 1.50 | yes |"));
        results.samples[1].figures.insert(FRONT_MICROS.to_owned(), 3.5);
        assert!(goals(&results).contains("| 1.75 | no |"));
    }

    #[test]
    fn numbers_have_three_digits_that_matter() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(
            (number(123.4), number(12.34), number(0.0)),
            ("123".into(), "12.3".into(), "0".into())
        );
        assert_eq!(number(0.012_34), "0.012");
    }
}
