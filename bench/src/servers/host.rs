//! What the host of a virtual machine takes from it: time in which the machine was ready to run, and
//! something else ran.

use std::fs;

/// Processor time of the whole machine so far, in ticks of the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine {
    all: u64,
    stolen: u64,
}

impl Machine {
    /// What the kernel has counted until now; nothing where it does not tell.
    #[must_use]
    pub fn now() -> Self {
        fs::read_to_string("/proc/stat").ok().and_then(|stat| read(&stat)).unwrap_or_default()
    }

    /// The part of the processor time since `earlier` that the host took, of 1.
    #[must_use]
    pub fn stolen_since(&self, earlier: &Self) -> Option<f64> {
        let all = u32::try_from(self.all.checked_sub(earlier.all)?).ok().filter(|all| *all > 0)?;
        let stolen = u32::try_from(self.stolen.checked_sub(earlier.stolen)?).ok()?;
        Some(f64::from(stolen) / f64::from(all))
    }
}

/// The first line of proc(5)'s `stat`: user, nice, system, idle, iowait, irq, softirq, steal; what
/// follows is counted in these.
fn read(stat: &str) -> Option<Machine> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks = fields.map(|field| field.parse().ok()).collect::<Option<Vec<u64>>>()?;
    Some(Machine { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_is_a_part_of_all_time() {
        let earlier = read("cpu  10 0 10 70 0 0 0 10 9 9\ncpu0 1 1\n").unwrap();
        let now = read("cpu  40 0 20 110 0 0 0 30 9 9\n").unwrap();
        assert_eq!(now.stolen_since(&earlier), Some(0.2));
        assert_eq!(earlier.stolen_since(&now), None);
        assert_eq!(now.stolen_since(&now), None);
        assert!(read("intr 1").is_none() && read("cpu  1 2 3").is_none());
    }

    #[test]
    fn this_machine_tells() {
        assert!(Machine::now().all > 0);
    }
}
