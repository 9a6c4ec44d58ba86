//! What a server costs: processor time and memory of its processes, as the kernel counts them.

use std::{collections::BTreeMap, fs, time::Duration};

use crate::error::{Error, Result, Trying as _};

/// The role of the processes that hold the sockets.
pub const FRONT: &str = "front";

/// Processes by their role; several may share one.
#[derive(Debug, Clone, Default)]
pub struct Watched(Vec<(&'static str, u32)>);

/// Processor time by role.
#[derive(Debug, Clone, Default)]
pub struct Usage(BTreeMap<&'static str, Duration>);

impl Watched {
    /// Adds a process.
    #[must_use]
    pub fn with(mut self, role: &'static str, process: u32) -> Self {
        self.0.push((role, process));
        self
    }

    /// The processor time so far.
    #[must_use]
    pub fn cpu(&self) -> Usage {
        let mut usage = Usage::default();
        for (role, process) in &self.0 {
            *usage.0.entry(role).or_default() += cpu(*process);
        }
        usage
    }

    /// The memory of the processes that hold the sockets.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn front_memory(&self) -> Result<Memory> {
        let mut sum = Memory::default();
        for (_, process) in self.0.iter().filter(|(role, _)| *role == FRONT) {
            let memory = memory(*process)?;
            sum.pss += memory.pss;
            sum.rss += memory.rss;
        }
        Ok(sum)
    }
}

impl Usage {
    /// What was used after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let difference = |(role, now): (&&'static str, &Duration)| {
            (*role, now.saturating_sub(earlier.0.get(role).copied().unwrap_or_default()))
        };
        Self(self.0.iter().map(difference).collect())
    }

    /// The seconds of one role.
    #[must_use]
    pub fn of(&self, role: &str) -> Duration {
        self.0.get(role).copied().unwrap_or_default()
    }

    /// The seconds of all roles.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.0.values().sum()
    }

    /// Each role with its time.
    pub fn roles(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        self.0.iter().map(|(role, time)| (*role, *time))
    }
}

/// A process's memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Pages in memory, those shared with others in proportion.
    pub pss: u64,
    /// Pages in memory.
    pub rss: u64,
}

/// The processor time of a process. The scheduler counts it in nanoseconds, by thread; where it does
/// not tell, the process's own count in hundredths of a second must do.
fn cpu(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let of_thread = |thread: fs::DirEntry| -> Option<u64> {
        let schedule = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedule.split_whitespace().next()?.parse().ok()
    };
    let nanoseconds: u64 = threads.filter_map(of_thread).sum();
    if nanoseconds > 0 {
        return Duration::from_nanos(nanoseconds);
    }
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name stands in parentheses and may have spaces; user and system time are the 14th and 15th
    // field, the 12th and 13th after it.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok());
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks.sum::<u64>() * 1_000 / per_second)
}

fn memory(process: u32) -> Result<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))
        .trying("reading a process's memory")?;
    let kibibytes = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (Some(pss), Some(rss)) = (kibibytes("Pss:"), kibibytes("Rss:")) else {
        return Err(Error::failed("reading a process's memory", "it is not told"));
    };
    Ok(Memory { pss: pss * 1_024, rss: rss * 1_024 })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_busy_process_is_seen_to_use_time_and_memory() {
        let watched = Watched::default().with(FRONT, std::process::id());
        let before = watched.cpu();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        assert!(watched.cpu().since(&before).of(FRONT) > Duration::from_millis(1));
        assert!(watched.front_memory().unwrap().pss > 100_000);
    }
}
