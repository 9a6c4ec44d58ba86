//! How large a gateway makes itself, where it is not told: by the cores, the memory and the open files that
//! it may have.

use crate::GatewayConfig;

/// Workers where Kubernetes says how much of the processor is kept for this one: with one alone, a thread
/// that is held up holds up all sockets.
const WORKERS_MIN: usize = 2;

/// Sockets, if there is no reason for fewer.
const SOCKETS: usize = 50_000;

/// What a socket is reckoned with, in bytes: 17 KiB where rooms are as small as in support chat, and what the
/// kernel has of a connection.
const SOCKET_BYTES: u64 = 24 << 10;

/// HTTP connections that are no sockets, or not yet.
const HTTP: usize = 8_192;

/// What each of those takes, in bytes: the HTTP library's buffers and the kernel's, which a socket has not.
const HTTP_BYTES: u64 = 20 << 10;

/// Bytes that may wait for all sockets together, if nothing says how much memory there is.
const OUTBOX_TOTAL_BYTES: u64 = 256 << 20;

/// Open files kept for what serves no client directly: NATS, the health port, keys, the listener.
const FILES_KEPT: u64 = 64;

/// Open files of a worker: its runtime's own, and its connection to NATS.
const FILES_OF_WORKER: u64 = 8;

/// HTTP connections that have a place however little there is.
const HTTP_MIN: usize = 16;

/// What the process may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// Cores, or as many as the processor time of its control group makes.
    pub(crate) cores: usize,
    /// Bytes of memory, if there is a limit.
    pub(crate) memory: Option<u64>,
    pub(crate) open_files: u64,
}

/// A number, and what decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sized<T> {
    pub(crate) value: T,
    pub(crate) from: &'static str,
}

/// How large a gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) workers: Sized<usize>,
    /// Sockets; who comes when there are so many is closed with 1013.
    pub(crate) sockets: Sized<usize>,
    /// HTTP connections, those of sockets that are being opened among them.
    pub(crate) http: usize,
    /// Bytes that may wait for all sockets together; 0 for any number.
    pub(crate) outbox_total_bytes: Sized<usize>,
}

fn sized<T>(value: T, from: &'static str) -> Sized<T> {
    Sized { value, from }
}

impl Capacity {
    /// As configured, and otherwise by what there is.
    pub(crate) fn of(config: &GatewayConfig, surroundings: Surroundings) -> Self {
        let workers = workers(config, surroundings.cores);
        let wanted = match (config.connections_max, surroundings.memory) {
            (Some(configured), _) => sized(configured, "CONNECTIONS_MAX"),
            // Half of it: a quarter may wait in outboxes, and the rest is for everything else.
            (None, Some(memory)) if count(memory / 2 / SOCKET_BYTES) < SOCKETS => {
                sized(count(memory / 2 / SOCKET_BYTES), "memory limit")
            }
            (None, _) => sized(SOCKETS, "default"),
        };
        let http = surroundings.memory.map_or(HTTP, |memory| count(memory / 8 / HTTP_BYTES));
        let http = http.clamp(HTTP_MIN, HTTP);
        let (sockets, http) = within_files(surroundings.open_files, workers.value, wanted, http);
        let outbox_total_bytes = match (config.outbox_total_bytes, surroundings.memory) {
            (Some(configured), _) => sized(configured, "OUTBOX_TOTAL_BYTES"),
            (None, Some(memory)) => {
                // As the configuration asks of one that is set.
                let least = config.outbox_bytes.saturating_mul(4);
                sized(count(memory / 4).max(least), "memory limit")
            }
            (None, None) => {
                let least = config.outbox_bytes.saturating_mul(4);
                sized(count(OUTBOX_TOTAL_BYTES).max(least), "default")
            }
        };
        Self { workers, sockets, http, outbox_total_bytes }
    }
}

fn workers(config: &GatewayConfig, cores: usize) -> Sized<usize> {
    match (config.workers, config.cpu_request) {
        (Some(configured), _) => sized(configured, "WORKERS"),
        // What is not kept for this process may be there too, but not for long.
        (None, Some(request)) if request.max(WORKERS_MIN) < cores => {
            sized(request.max(WORKERS_MIN), "CPU_REQUEST")
        }
        (None, _) => sized(cores.max(1), "cores"),
    }
}

/// As many sockets and HTTP connections as are wanted, or as there are files for: then an eighth is for HTTP,
/// without which nobody could even be turned away.
fn within_files(
    open_files: u64,
    workers: usize,
    wanted: Sized<usize>,
    http: usize,
) -> (Sized<usize>, usize) {
    let kept = FILES_KEPT.saturating_add(FILES_OF_WORKER.saturating_mul(workers as u64));
    let free = count(open_files.saturating_sub(kept));
    if free >= wanted.value.saturating_add(http) {
        return (wanted, http);
    }
    let http = http.min((free / 8).max(HTTP_MIN));
    let left = free.saturating_sub(http);
    let sockets = if left < wanted.value { sized(left, "open files") } else { wanted };
    (sockets, http)
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use goch_chassis::config::{Config as _, Environment, Faults};
    use proptest::prelude::*;

    use super::*;

    const AMPLE: Surroundings = Surroundings { cores: 64, memory: None, open_files: 1 << 20 };

    fn capacity(variables: &[(&str, &str)], surroundings: Surroundings) -> Capacity {
        let mut faults = Faults::default();
        let config = GatewayConfig::read(&Environment::of(variables), &mut faults);
        Capacity::of(&faults.or_value(config).unwrap(), surroundings)
    }

    #[test]
    fn a_gateway_that_is_told_nothing_takes_all_cores_of_its_host() {
        let capacity = capacity(&[], AMPLE);
        assert_eq!(capacity.workers, sized(64, "cores"));
        assert_eq!((capacity.sockets, capacity.http), (sized(50_000, "default"), 8_192));
        assert_eq!(capacity.outbox_total_bytes, sized(256 << 20, "default"));
    }

    #[test]
    fn workers_follow_what_kubernetes_keeps_for_the_pod_and_the_quota() {
        let workers = |variables: &[(&str, &str)], cores| {
            capacity(variables, Surroundings { cores, ..AMPLE }).workers
        };
        let request = |cores: &'static str| [("CPU_REQUEST", cores)];
        // A quarter of a core, which Kubernetes rounds up, on a node with 64.
        assert_eq!(workers(&request("1"), 64), sized(2, "CPU_REQUEST"));
        assert_eq!(workers(&request("4"), 64), sized(4, "CPU_REQUEST"));
        assert_eq!(workers(&request("4"), 3), sized(3, "cores"));
        assert_eq!(workers(&request("1"), 1), sized(1, "cores"));
        let both = [("CPU_REQUEST", "1"), ("WORKERS", "7")];
        assert_eq!(workers(&both, 2), sized(7, "WORKERS"));
    }

    #[test]
    fn sockets_and_outboxes_follow_the_memory_limit() {
        let within = |variables: &[(&str, &str)], memory| {
            capacity(variables, Surroundings { memory: Some(memory), ..AMPLE })
        };
        let of_base = within(&[], 1 << 30);
        assert_eq!(of_base.sockets, sized(21_845, "memory limit"));
        assert_eq!(of_base.outbox_total_bytes, sized(256 << 20, "memory limit"));
        assert_eq!(of_base.http, 6_553);
        let large = within(&[], 8 << 30);
        assert_eq!((large.sockets, large.http), (sized(50_000, "default"), 8_192));
        assert_eq!(large.outbox_total_bytes, sized(2 << 30, "memory limit"));
        let told = [("CONNECTIONS_MAX", "90000"), ("OUTBOX_TOTAL_BYTES", "0")];
        let told = within(&told, 1 << 30);
        assert_eq!(told.sockets, sized(90_000, "CONNECTIONS_MAX"));
        assert_eq!(told.outbox_total_bytes, sized(0, "OUTBOX_TOTAL_BYTES"));
        // One outbox must have room in all of them.
        let tiny = within(&[], 8 << 20);
        assert_eq!(tiny.outbox_total_bytes.value, 4 << 20);
    }

    #[test]
    fn what_is_wanted_is_taken_if_there_are_files_for_it() {
        let wanted = sized(50_000, "default");
        assert_eq!(within_files(1 << 20, 8, wanted, HTTP), (wanted, HTTP));
        assert_eq!(within_files(u64::MAX, 8, wanted, HTTP), (wanted, HTTP));
        assert_eq!(within_files(1_024, 2, wanted, HTTP), (sized(826, "open files"), 118));
    }

    proptest! {
        #[test]
        fn something_is_always_kept_for_what_serves_no_client(
            open_files in 0_u64..200_000,
            workers in 1_usize..64,
        ) {
            let wanted = sized(50_000, "default");
            let (sockets, http) = within_files(open_files, workers, wanted, HTTP);
            let kept = open_files.saturating_sub((sockets.value + http) as u64);
            let least = FILES_KEPT + FILES_OF_WORKER * workers as u64;
            prop_assert!(http >= HTTP_MIN);
            prop_assert!(kept >= least || sockets.value == 0);
        }

        #[test]
        fn all_together_fits_into_the_memory(memory in (64_u64 << 20)..(64 << 30)) {
            let capacity = capacity(&[], Surroundings { memory: Some(memory), ..AMPLE });
            let sockets = capacity.sockets.value as u64 * SOCKET_BYTES;
            let http = capacity.http as u64 * HTTP_BYTES;
            let waiting = capacity.outbox_total_bytes.value as u64;
            prop_assert!(sockets + http + waiting <= memory / 8 * 7 + 8);
        }
    }
}
