//! What a soak run comes to.

use std::fmt;

use super::{
    churn::Counts,
    samples::{SERVERS, Sample},
};

const MIB: u64 = 1024 * 1024;

/// By how much a service's memory may grow after the warm-up, in bytes: allocators keep some pages
/// more or less. And by which part of what it was.
const MARGIN: u64 = 8 * MIB;
const MARGIN_DIVISOR: u64 = 10;

/// Lines of the table.
const ROWS: usize = 20;

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// What clients have done.
    pub counts: Counts,
    /// Every sample, in order.
    pub samples: Vec<Sample>,
    /// The last one, after everybody had gone.
    pub left: Sample,
}

/// One program's medians.
struct Growth {
    program: &'static str,
    /// Of the second quarter.
    warm: u64,
    /// Of the last quarter.
    end: u64,
}

impl Growth {
    fn allowed(&self) -> u64 {
        MARGIN + self.warm / MARGIN_DIVISOR
    }

    fn is_judged(&self) -> bool {
        !SERVERS.contains(&self.program)
    }

    fn is_too_much(&self) -> bool {
        self.is_judged() && self.end > self.warm + self.allowed()
    }
}

impl Report {
    /// Whether memory stayed flat and nothing was left open.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_empty() && !self.growth().iter().any(Growth::is_too_much)
    }

    fn is_empty(&self) -> bool {
        (self.left.sockets, self.left.rooms) == (0, 0)
    }

    fn growth(&self) -> Vec<Growth> {
        let quarter = self.samples.len() / 4;
        let programs = self.left.memory.iter().map(|(program, _)| *program);
        let growth = programs.enumerate().map(|(index, program)| {
            let of = |samples: &[Sample]| median(samples.iter().map(|it| it.memory[index].1));
            let warm = of(&self.samples[quarter..2 * quarter]);
            let end = of(&self.samples[self.samples.len() - quarter..]);
            Growth { program, warm, end }
        });
        growth.collect()
    }
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>6}{:>9}{:>7}", "s", "sockets", "rooms")?;
        for (program, _) in &self.left.memory {
            write!(formatter, "{program:>16}")?;
        }
        writeln!(formatter, "   (MiB)")?;
        let step = self.samples.len().div_ceil(ROWS).max(1);
        for sample in self.samples.iter().step_by(step).chain([&self.left]) {
            let Sample { at, sockets, rooms, memory } = sample;
            write!(formatter, "{:>6}{sockets:>9}{rooms:>7}", at.as_secs())?;
            for (_, bytes) in memory {
                write!(formatter, "{:>16}", mebibytes(*bytes))?;
            }
            writeln!(formatter)?;
        }
        let Counts { channels, deleted, sockets, acked, frames } = self.counts;
        writeln!(
            formatter,
            "\n{sockets} sockets, {channels} channels, of these {deleted} deleted, {acked} messages \
             acked, {frames} frames read\n"
        )?;
        writeln!(formatter, "median memory in MiB, second and last quarter, growth, allowed")?;
        for growth in self.growth() {
            let Growth { program, warm, end } = growth;
            let more = end.saturating_sub(warm);
            write!(formatter, "{program:<16}{:>9}{:>9}", mebibytes(warm), mebibytes(end))?;
            write!(formatter, "{:>9}", mebibytes(more))?;
            match (growth.is_judged(), growth.is_too_much()) {
                (true, false) => writeln!(formatter, "{:>9}", mebibytes(growth.allowed()))?,
                (true, true) => {
                    writeln!(formatter, "{:>9}  BROKEN: it grows", mebibytes(growth.allowed()))?;
                }
                (false, _) => writeln!(formatter, "        -")?,
            }
        }
        if !self.is_empty() {
            let Sample { sockets, rooms, .. } = self.left;
            writeln!(formatter, "BROKEN: {sockets} sockets and {rooms} rooms stay open")?;
        }
        Ok(())
    }
}

/// Mebibytes with one decimal.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes * 10 / MIB;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(second: u64, program: &'static str, memory: u64) -> Sample {
        let at = Duration::from_secs(second);
        Sample { at, sockets: 0, rooms: 0, memory: vec![(program, memory)] }
    }

    fn report(program: &'static str, memory: impl Fn(u64) -> u64) -> Report {
        let samples = (0..100).map(|second| sample(second, program, memory(second))).collect();
        Report { counts: Counts::default(), samples, left: sample(100, program, 0) }
    }

    #[test]
    fn memory_that_grows_in_the_beginning_only_is_flat() {
        let report = report("gateway", |second| (second.min(25) + 10) * MIB);
        assert!(report.is_clean(), "{report}");
        assert!(!report.to_string().contains("BROKEN"));
    }

    #[test]
    fn memory_that_goes_on_growing_is_not_flat() {
        let report = report("gateway", |second| 20 * MIB + second * MIB / 4);
        assert!(!report.is_clean(), "{report}");
        assert!(report.to_string().contains("BROKEN: it grows"), "{report}");
    }

    #[test]
    fn a_short_peak_is_no_growth() {
        assert!(report("gateway", |second| if second == 90 { 900 } else { 20 } * MIB).is_clean());
    }

    #[test]
    fn servers_that_store_what_they_are_given_may_grow() {
        assert!(report("nats-server", |second| second * MIB).is_clean());
    }

    #[test]
    fn a_room_that_stays_open_is_a_defect() {
        let mut report = report("gateway", |_| MIB);
        report.left.rooms = 1;
        assert!(!report.is_clean());
        assert!(report.to_string().contains("1 rooms stay open"), "{report}");
    }
}
