//! What was measured, and what becomes of several rounds of it.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    servers::usage::{FRONT, Usage},
    work::drive::Measured,
};

/// A kind of work.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// One channel with many readers.
    FanOut,
    /// Many channels with few readers each.
    ManyChannels,
    /// Messages stored and acknowledged.
    DurableSend,
    /// From saying to getting, at a fixed rate.
    Latency,
    /// Memory of sockets that do nothing.
    Idle,
    /// Everybody reconnects at once.
    Storm,
    /// A page of history.
    History,
}

impl Work {
    /// All, in the order of the report.
    pub const ALL: [Self; 7] = [
        Self::FanOut,
        Self::ManyChannels,
        Self::DurableSend,
        Self::Latency,
        Self::Idle,
        Self::Storm,
        Self::History,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Its heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::FanOut => "Fan-out: one channel, many readers",
            Self::ManyChannels => "Many channels with three readers each",
            Self::DurableSend => "Durable send: stored and acknowledged messages",
            Self::Latency => "Latency at a fixed rate",
            Self::Idle => "Memory of idle sockets",
            Self::Storm => "Storm: everybody reconnects and resumes",
            Self::History => "A page of 100 events of history",
        }
    }

    /// Its figures, each with the head of its column.
    #[must_use]
    pub const fn columns(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::FanOut | Self::ManyChannels => &[
                (FRONT_MICROS, "CPU of the server, µs a delivery"),
                (NATS_MICROS, "CPU of NATS, µs a delivery"),
                (ALL_MICROS, "CPU of everything, µs a delivery"),
                (DELIVERIES, "deliveries a second"),
                (PER_CPU_SECOND, "deliveries a CPU second"),
                (FRAMES_A_READ, "deliveries a read"),
            ],
            Self::DurableSend => &[
                (ACKS, "acks a second"),
                (FRONT_MICROS, "CPU of the gateway, µs a message"),
                (NATS_MICROS, "CPU of NATS, µs a message"),
                (ALL_MICROS, "CPU of everything, µs a message"),
            ],
            Self::Latency => &[
                (DELIVERY_P50, "delivery p50, ms"),
                (DELIVERY_P99, "p99"),
                (DELIVERY_P999, "p99.9"),
                (ACK_P50, "ack p50, ms"),
                (ACK_P99, "p99"),
            ],
            Self::Idle => &[
                (KIB_BEFORE, "KiB a socket (PSS)"),
                (KIB_AFTER, "after traffic"),
                (KIB_RSS, "after traffic (RSS)"),
            ],
            Self::Storm => &[
                (SECONDS, "seconds until all are back"),
                (FRONT_MICROS, "CPU of the server, µs a socket"),
                (AUTHORIZATIONS, "authorisations asked for"),
                (REQUESTS, "other requests to services"),
                (PERIODIC, "periodic checks meanwhile"),
                (REDIS_COMMANDS, "Redis commands but for members"),
            ],
            Self::History => &[(DELIVERY_P50, "p50, ms"), (DELIVERY_P99, "p99")],
        }
    }
}

/// Microseconds of the front processes per delivery, message or socket.
pub const FRONT_MICROS: &str = "front_cpu_us";
/// The same of NATS.
pub const NATS_MICROS: &str = "nats_cpu_us";
/// The same of the front processes and NATS together.
pub const FRONT_AND_NATS_MICROS: &str = "front_and_nats_cpu_us";
/// The same of all processes.
pub const ALL_MICROS: &str = "all_cpu_us";
/// Deliveries a second.
pub const DELIVERIES: &str = "deliveries_per_second";
/// Deliveries for each second of the front processes' time.
pub const PER_CPU_SECOND: &str = "deliveries_per_cpu_second";
/// Deliveries that the client found in one read: how much leaves the server in one write.
pub const FRAMES_A_READ: &str = "deliveries_per_read";
/// Acknowledgements a second.
pub const ACKS: &str = "acks_per_second";
/// Milliseconds from when a message was due to its delivery, or from a request to its answer.
pub const DELIVERY_P50: &str = "delivery_p50_ms";
/// See [`DELIVERY_P50`].
pub const DELIVERY_P99: &str = "delivery_p99_ms";
/// See [`DELIVERY_P50`].
pub const DELIVERY_P999: &str = "delivery_p999_ms";
/// Milliseconds from when a message was due to its acknowledgement.
pub const ACK_P50: &str = "ack_p50_ms";
/// See [`ACK_P50`].
pub const ACK_P99: &str = "ack_p99_ms";
/// KiB of proportional memory for each socket.
pub const KIB_BEFORE: &str = "kib_per_socket";
/// See [`KIB_BEFORE`].
pub const KIB_AFTER: &str = "kib_per_socket_after_traffic";
/// KiB of resident memory for each socket.
pub const KIB_RSS: &str = "rss_kib_per_socket_after_traffic";
/// Seconds that something took.
pub const SECONDS: &str = "seconds";
/// Authorisations that were asked of chat-admin.
pub const AUTHORIZATIONS: &str = "authorizations";
/// Other requests between services.
pub const REQUESTS: &str = "other_requests";
/// Requests of the periodic comparison of rooms with the log and of members with the registry, which
/// goes on whatever clients do.
pub const PERIODIC: &str = "periodic_requests";
/// Commands that Redis executed, but for those about members.
pub const REDIS_COMMANDS: &str = "redis_commands";

/// Figures by name.
pub type Figures = BTreeMap<String, f64>;

/// One round of one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// The kind of work.
    pub work: Work,
    /// Its size.
    pub case: String,
    /// Who did it.
    pub target: String,
    /// Which round.
    pub round: u32,
    /// What was measured.
    pub figures: Figures,
}

/// A whole run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The machine and the programs, a name and a description each.
    pub setting: Vec<(String, String)>,
    /// Every round.
    pub samples: Vec<Sample>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// The part of the processor time that the host took from a virtual machine during each kind of
    /// work, of 1.
    #[serde(default)]
    pub stolen: Vec<(Work, f64)>,
}

impl Results {
    /// The cases of a kind of work, in the order in which they were run.
    #[must_use]
    pub fn cases(&self, work: Work) -> Vec<&str> {
        distinct(self.of(work).map(|sample| sample.case.as_str()))
    }

    /// The targets of a case, in the order in which they were run.
    #[must_use]
    pub fn targets(&self, work: Work, case: &str) -> Vec<&str> {
        let samples = self.of(work).filter(|sample| sample.case == case);
        distinct(samples.map(|sample| sample.target.as_str()))
    }

    /// The median over all rounds.
    #[must_use]
    pub fn median(&self, work: Work, case: &str, target: &str, figure: &str) -> Option<f64> {
        let mut values: Vec<f64> = self
            .of(work)
            .filter(|sample| sample.case == case && sample.target == target)
            .filter_map(|sample| sample.figures.get(figure).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            length if length % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    }

    fn of(&self, work: Work) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.work == work)
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// The figures of driven work, per delivery or, where `per_ack`, per acknowledged message.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn figures(measured: &Measured, per_ack: bool) -> Figures {
    let Measured { seconds, tally, reads, usage } = measured;
    let count = if per_ack { tally.acks } else { tally.deliveries } as f64;
    let mut figures = cpu_figures(usage, count);
    figures.insert(DELIVERIES.to_owned(), tally.deliveries as f64 / seconds);
    figures.insert(ACKS.to_owned(), tally.acks as f64 / seconds);
    figures.insert(FRAMES_A_READ.to_owned(), tally.deliveries as f64 / (*reads).max(1) as f64);
    figures.insert(
        PER_CPU_SECOND.to_owned(),
        tally.deliveries as f64 / usage.of(FRONT).as_secs_f64().max(1e-9),
    );
    figures
}

/// Processor time, divided by `count`.
#[must_use]
pub fn cpu_figures(usage: &Usage, count: f64) -> Figures {
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6 / count.max(1.0);
    let mut figures: Figures =
        usage.roles().map(|(role, time)| (format!("{role}_cpu_us"), micros(time))).collect();
    figures.insert(ALL_MICROS.to_owned(), micros(usage.sum()));
    figures.insert(FRONT_AND_NATS_MICROS.to_owned(), micros(usage.of(FRONT) + usage.of("nats")));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: u32, value: f64) -> Sample {
        let figures = Figures::from([(SECONDS.to_owned(), value)]);
        Sample { work: Work::Storm, case: "c".into(), target: "t".into(), round, figures }
    }

    #[test]
    fn the_median_is_of_all_rounds() {
        let mut results = Results {
            samples: vec![sample(0, 9.0), sample(1, 1.0), sample(2, 2.0)],
            ..Results::default()
        };
        assert_eq!(results.median(Work::Storm, "c", "t", SECONDS), Some(2.0));
        results.samples.push(sample(3, 4.0));
        assert_eq!(results.median(Work::Storm, "c", "t", SECONDS), Some(3.0));
        assert_eq!(results.median(Work::Storm, "c", "t", ACKS), None);
    }
}
