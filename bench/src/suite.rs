//! What is run, against whom, and in which order.
//!
//! Targets take turns within each round, so that whatever else the machine does meets them all
//! alike; rounds are summed up by their median.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    bare::Bare,
    client::Seat,
    error::{Result, Trying as _},
    floor::Writes,
    progress::Progress,
    results::{Figures, Results, Sample, Work},
    servers::{
        Target, goch,
        goch::Goch,
        host::Machine,
        peers,
        peers::{Peer, Peers},
        process::find_program,
    },
    work::{
        drive::{Pace, Stretch},
        fan_out, history, idle, storm,
    },
};

/// Files that are no sockets of the load: those of the programs themselves.
const OTHER_FILES: usize = 200;

/// Members of the one channel that many sockets read; each has several of them.
const MEMBERS_OF_ONE: usize = 100;

/// Readers of each of many channels.
const READERS_OF_MANY: usize = 3;

/// Members of each channel in a storm, and in the measurement of latencies.
const MEMBERS_OF_STORM: usize = 10;
const MEMBERS_OF_LATENCY: usize = 2;

/// How much is done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The kinds of work.
    pub works: Vec<Work>,
    /// How often each is done.
    pub rounds: u32,
    /// How long.
    pub stretch: Stretch,
    /// Readers, and messages in flight.
    pub fan_out: Vec<(usize, usize)>,
    /// Channels.
    pub many_channels: Vec<usize>,
    /// Messages in flight over all of them.
    pub many_in_flight: usize,
    /// Sockets that send, and messages that each has unacknowledged.
    pub durable: (usize, usize),
    /// Messages a second, and channels that they go to.
    pub latency: (u32, usize),
    /// Sockets that do nothing.
    pub idle: usize,
    /// Sockets that reconnect.
    pub storm: usize,
    /// Pages that are asked for.
    pub pages: usize,
}

impl Plan {
    /// What the report is made of, as far as `open_files` allow.
    #[must_use]
    pub fn full(open_files: usize) -> Self {
        let sockets = open_files.saturating_sub(OTHER_FILES).min(20_000);
        Self {
            works: Work::ALL.to_vec(),
            rounds: 3,
            stretch: Stretch {
                warm_up: Duration::from_millis(500),
                measured: Duration::from_secs(2),
            },
            fan_out: vec![(1_000, 1), (1_000, 4), (1_000, 16), (100, 4), (5_000, 4), (sockets, 4)],
            many_channels: vec![1, 100, 1_000, (sockets / READERS_OF_MANY).min(10_000)],
            many_in_flight: 64,
            durable: (64, 4),
            latency: (1_000, 100),
            idle: sockets,
            storm: 10_000.min(sockets),
            pages: 2_000,
        }
    }

    /// The same in small: whether everything works, not how fast it is.
    #[must_use]
    pub fn small() -> Self {
        Self {
            works: Work::ALL.to_vec(),
            rounds: 1,
            stretch: Stretch {
                warm_up: Duration::from_millis(50),
                measured: Duration::from_millis(300),
            },
            fan_out: vec![(20, 1), (20, 4)],
            many_channels: vec![10],
            many_in_flight: 4,
            durable: (4, 4),
            latency: (200, 5),
            idle: 50,
            storm: 50,
            pages: 20,
        }
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The folder of Goch's services.
    pub services: PathBuf,
    /// This program.
    pub load: PathBuf,
    /// The folder of Node's servers, if they are installed.
    pub node: Option<PathBuf>,
}

/// A run.
pub struct Suite<'a> {
    plan: Plan,
    goch: Goch,
    peers: Peers,
    results: Results,
    progress: &'a mut Progress,
    /// Channels made so far that nobody shares.
    channels: usize,
}

impl<'a> Suite<'a> {
    /// Starts what is measured.
    ///
    /// # Errors
    /// When something does not start.
    pub fn start(plan: Plan, programs: Programs, progress: &'a mut Progress) -> Result<Self> {
        progress.task("starting NATS, Redis and Goch's services");
        let goch = Goch::start(goch::Options { programs: programs.services, gateways: 2 })?;
        let peers = Peers::new(peers::Options { floor: programs.load, node: programs.node })?;
        let mut results = Results { setting: setting(), ..Results::default() };
        if !peers.has_node() {
            results.notes.push("ws and socket.io were left out: Node is not installed".to_owned());
        }
        Ok(Self { plan, goch, peers, results, progress, channels: 0 })
    }

    /// Does everything in the plan. `keep` is given the results so far after each kind of work.
    ///
    /// # Errors
    /// At the first thing that is wrong.
    pub fn run(mut self, mut keep: impl FnMut(&Results) -> Result<()>) -> Result<Results> {
        for work in self.plan.works.clone() {
            let before = Machine::now();
            match work {
                Work::FanOut => self.fan_out()?,
                Work::ManyChannels => self.many_channels()?,
                Work::DurableSend => self.durable_send()?,
                Work::Latency => self.latency()?,
                Work::Idle => self.idle()?,
                Work::Storm => self.storm()?,
                Work::History => self.history()?,
            }
            if let Some(stolen) = Machine::now().stolen_since(&before) {
                self.results.stolen.push((work, stolen));
            }
            keep(&self.results)?;
        }
        Ok(self.results)
    }

    fn fan_out(&mut self) -> Result<()> {
        let targets = self.targets()?;
        for (readers, in_flight) in self.plan.fan_out.clone() {
            let case = format!("{} readers, {in_flight} in flight", thousands(readers));
            for round in 0..self.plan.rounds {
                for target in &targets {
                    let seats = self.make_readers(readers)?;
                    let pace = Pace::InFlight(in_flight);
                    self.drive(Work::FanOut, &case, target, &seats, pace, round)?;
                }
            }
        }
        Ok(())
    }

    fn many_channels(&mut self) -> Result<()> {
        let targets = self.targets()?;
        let most = self.plan.many_channels.iter().copied().max().unwrap_or(0);
        let seats = self.make_seats("many", most, READERS_OF_MANY)?;
        for channels in self.plan.many_channels.clone() {
            let case = format!("{} channels", thousands(channels));
            let pace = Pace::InFlight(self.plan.many_in_flight);
            let seats = &seats[..channels * READERS_OF_MANY];
            for round in 0..self.plan.rounds {
                for target in &targets {
                    self.drive(Work::ManyChannels, &case, target, seats, pace, round)?;
                }
            }
        }
        Ok(())
    }

    fn durable_send(&mut self) -> Result<()> {
        let (senders, each) = self.plan.durable;
        let seats = self.make_seats("durable", senders, 1)?;
        let case = format!("{senders} sockets, {each} unacknowledged each");
        let targets = self.gateways();
        let mut bare = Bare::start()?;
        let stretch = self.plan.stretch;
        for round in 0..self.plan.rounds {
            self.note(Work::DurableSend, &case, Bare::NAME, round);
            let figures = bare.durable(senders * each, stretch)?;
            self.add(Work::DurableSend, &case, Bare::NAME, round, figures);
            for target in &targets {
                self.drive(Work::DurableSend, &case, target, &seats, Pace::Unacked(each), round)?;
            }
        }
        Ok(())
    }

    fn latency(&mut self) -> Result<()> {
        let (rate, channels) = self.plan.latency;
        let seats = self.make_seats("latency", channels, MEMBERS_OF_LATENCY)?;
        let case = format!("{} messages a second", thousands(rate as usize));
        let targets = self.targets()?;
        let mut bare = Bare::start()?;
        let stretch = self.plan.stretch;
        for round in 0..self.plan.rounds {
            self.note(Work::Latency, &case, Bare::NAME, round);
            let figures = bare.latency(rate, stretch)?;
            self.add(Work::Latency, &case, Bare::NAME, round, figures);
            for target in &targets {
                self.drive(Work::Latency, &case, target, &seats, Pace::EachSecond(rate), round)?;
            }
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        let seats = self.make_readers(self.plan.idle)?;
        let case = format!("{} sockets in one channel", thousands(seats.len()));
        for peer in self.peers_used() {
            let (_process, target) = self.peers.start(peer)?;
            self.weigh(&case, &target, &seats)?;
        }
        self.weigh_gateway(&case, &seats)?;
        let channels = self.plan.idle / READERS_OF_MANY;
        let seats = self.make_seats("idle", channels, READERS_OF_MANY)?;
        let case = format!("{} sockets in channels of three", thousands(seats.len()));
        self.weigh_gateway(&case, &seats)
    }

    /// A gateway of its own, so that nothing that it did before weighs in.
    fn weigh_gateway(&mut self, case: &str, seats: &[Seat]) -> Result<()> {
        let gateway = self.goch.start_gateway()?;
        let target = self.goch.target_of("goch".to_owned(), &[&gateway]);
        self.weigh(case, &target, seats)
    }

    fn weigh(&mut self, case: &str, target: &Target, seats: &[Seat]) -> Result<()> {
        self.note(Work::Idle, case, &target.name, 0);
        let figures = idle::run(target, seats, self.plan.stretch, self.progress)?;
        self.add(Work::Idle, case, &target.name, 0, figures);
        Ok(())
    }

    fn storm(&mut self) -> Result<()> {
        let channels = (self.plan.storm / MEMBERS_OF_STORM).max(1);
        let seats = self.make_seats("storm", channels, MEMBERS_OF_STORM)?;
        let case =
            format!("{} sockets in {} channels", thousands(seats.len()), thousands(channels));
        let floor = self.peers.target(Peer::Floor(Writes::Coalesced))?;
        for round in 0..self.plan.rounds {
            self.note(Work::Storm, &case, &floor.name, round);
            let figures = storm::run(&floor, None, &seats, self.progress)?;
            self.add(Work::Storm, &case, &floor.name, round, figures);
            for target in self.gateways() {
                self.note(Work::Storm, &case, &target.name, round);
                let figures = storm::run(&target, Some(&self.goch), &seats, self.progress)?;
                self.add(Work::Storm, &case, &target.name, round, figures);
            }
        }
        Ok(())
    }

    fn history(&mut self) -> Result<()> {
        let seats = self.make_seats("history", 1, 1)?;
        let target = self.goch.target(1);
        let mut channel = history::Channel::fill(&target, &seats[0], self.progress)?;
        let case = format!("one request after the other, {} messages", history::MESSAGES);
        let pages = self.plan.pages;
        // The first request has Redis filled.
        channel.read(1)?;
        for round in 0..self.plan.rounds {
            self.note(Work::History, &case, history::BARE, round);
            let figures = channel.read_bare(&self.goch, pages)?;
            self.add(Work::History, &case, history::BARE, round, figures);
            self.note(Work::History, &case, &target.name, round);
            let figures = channel.read(pages)?;
            self.add(Work::History, &case, &target.name, round, figures);
        }
        Ok(())
    }

    fn drive(
        &mut self,
        work: Work,
        case: &str,
        target: &Target,
        seats: &[Seat],
        pace: Pace,
        round: u32,
    ) -> Result<()> {
        self.note(work, case, &target.name, round);
        let figures = fan_out::run(target, seats, pace, self.plan.stretch, self.progress)?;
        self.add(work, case, &target.name, round, figures);
        Ok(())
    }

    fn make_seats(&mut self, name: &str, channels: usize, members: usize) -> Result<Vec<Seat>> {
        self.progress.step(format!("making channels and members for {name}"));
        self.goch.make_channels(name, channels, members, self.progress)
    }

    /// Seats for many sockets in one channel that nobody has said anything in yet.
    fn make_readers(&mut self, readers: usize) -> Result<Vec<Seat>> {
        self.channels += 1;
        let name = format!("one-{}", self.channels);
        let seats = self.make_seats(&name, 1, MEMBERS_OF_ONE.min(readers))?;
        Ok(seats.into_iter().cycle().take(readers).collect())
    }

    fn peers_used(&self) -> Vec<Peer> {
        let mut peers = vec![Peer::Floor(Writes::Coalesced), Peer::Floor(Writes::Each)];
        if self.peers.has_node() {
            peers.extend([Peer::Ws, Peer::SocketIo]);
        }
        peers
    }

    fn gateways(&self) -> Vec<Target> {
        vec![self.goch.target(1), self.goch.target(2)]
    }

    fn targets(&mut self) -> Result<Vec<Target>> {
        let peers = self.peers_used().into_iter().map(|peer| self.peers.target(peer));
        let mut targets = peers.collect::<Result<Vec<_>>>()?;
        targets.extend(self.gateways());
        Ok(targets)
    }

    fn note(&mut self, work: Work, case: &str, target: &str, round: u32) {
        let rounds = self.plan.rounds;
        let title = work.title().split(':').next().unwrap_or_default();
        self.progress
            .task(format!("{title} | {case} | round {} of {rounds} | {target}", round + 1));
    }

    fn add(&mut self, work: Work, case: &str, target: &str, round: u32, figures: Figures) {
        let (case, target) = (case.to_owned(), target.to_owned());
        self.results.samples.push(Sample { work, case, target, round, figures });
    }
}

/// 1234567 as 1,234,567.
#[must_use]
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The machine and the programs.
fn setting() -> Vec<(String, String)> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let model = model.trim_start_matches([':', ' ', '\t']);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut setting = vec![
        ("Processor".to_owned(), format!("{model}, {cores} cores")),
        ("Kernel".to_owned(), format!("Linux {}", kernel.trim())),
    ];
    for (name, variable, program) in [
        ("NATS", "NATS_SERVER", "nats-server"),
        ("Redis", "REDIS_SERVER", "redis-server"),
        ("Node", "NODE", "node"),
    ] {
        if let Ok(version) = version(variable, program) {
            setting.push((name.to_owned(), version));
        }
    }
    setting
}

fn version(variable: &str, program: &str) -> Result<String> {
    let output = Command::new(find_program(variable, program)?).arg("--version").output();
    let output = output.trying("asking a program's version")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted() {
        assert_eq!(thousands(5), "5");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(123_456_789), "123,456,789");
    }

    #[test]
    fn a_full_plan_stays_within_the_open_files() {
        let plan = Plan::full(1_024);
        assert!(plan.idle < 1_024 && plan.storm < 1_024);
    }
}
