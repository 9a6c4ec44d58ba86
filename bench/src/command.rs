//! The command line: run, report, and the floor.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};

use crate::{
    client::raise_open_files,
    error::{Result, Trying as _},
    floor::{self, Writes},
    progress::Progress,
    report,
    results::{Results, Work},
    suite::{Plan, Programs, Suite},
};

/// Measures Goch beside a floor and its peers, with the same client and the same work.
#[derive(Parser)]
#[command(name = "goch-load")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything, measure, print the tables and keep the figures
    Run(Run),
    /// Write the page about the figures of a run
    Report {
        /// The figures
        #[arg(long, default_value = "target/bench/results.json")]
        results: PathBuf,
        /// The page; its chart is laid beside it
        #[arg(long, default_value = "docs/performance.md")]
        page: PathBuf,
    },
    /// Be the floor: write frames to sockets and nothing else
    Floor {
        /// How frames are written
        #[arg(long, value_enum, default_value = "coalesced")]
        writes: Writes,
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Only these kinds of work
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Work>,
    /// How often each is done
    #[arg(long)]
    rounds: Option<u32>,
    /// Seconds that each measurement takes
    #[arg(long)]
    seconds: Option<f64>,
    /// In small: whether everything works, not how fast it is
    #[arg(long)]
    small: bool,
    /// The folder of the services' programs; this program's own if left out
    #[arg(long)]
    programs: Option<PathBuf>,
    /// The folder of Node's servers with their packages; they are skipped if left out
    #[arg(long)]
    node: Option<PathBuf>,
    /// Where the figures go
    #[arg(long, default_value = "target/bench/results.json")]
    output: PathBuf,
}

/// Runs what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(run) => run.run(),
        Command::Report { results, page } => {
            read(&results).and_then(|results| report::write(&results, &page))
        }
        Command::Floor { writes, listen } => {
            let _ = raise_open_files();
            floor::serve(listen, writes)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "\ngoch-load: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Run {
    fn run(self) -> Result<()> {
        let open_files = raise_open_files();
        let mut plan = if self.small { Plan::small() } else { Plan::full(open_files) };
        if !self.only.is_empty() {
            plan.works = self.only;
        }
        plan.rounds = self.rounds.unwrap_or(plan.rounds);
        if let Some(seconds) = self.seconds {
            plan.stretch.measured =
                Duration::try_from_secs_f64(seconds).trying("reading --seconds")?;
        }
        let load = std::env::current_exe().trying("finding this program")?;
        let services = self
            .programs
            .unwrap_or_else(|| load.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf));
        let programs = Programs { services, load, node: self.node };
        let mut progress = Progress::new();
        let suite = Suite::start(plan, programs, &mut progress)?;
        let results = suite.run(|results| keep(results, &self.output))?;
        let tables = report::tables(&results);
        progress.say("");
        writeln!(std::io::stdout(), "{tables}").trying("printing")
    }
}

fn keep(results: &Results, output: &Path) -> Result<()> {
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).trying("making a folder for the figures")?;
    }
    let json = serde_json::to_vec_pretty(results).trying("writing the figures")?;
    fs::write(output, json).trying("writing the figures")
}

fn read(results: &Path) -> Result<Results> {
    let json = fs::read(results).trying("reading the figures")?;
    serde_json::from_slice(&json).trying("reading the figures")
}
