//! How many connections a gateway takes, of each kind, with the open files that it may have.

/// Open files kept for what serves no client directly: NATS, the health port, keys, the listener.
const KEPT: u64 = 64;

/// Open files of a worker: its runtime's own, and its connection to NATS.
const OF_WORKER: u64 = 8;

/// HTTP connections that have a place however little there is.
const HTTP_MIN: usize = 16;

/// Connections of the process, both kinds beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Sockets; who comes when there are so many is closed with 1013.
    pub(crate) sockets: usize,
    /// HTTP connections, those of sockets that are being opened among them.
    pub(crate) http: usize,
}

impl Capacity {
    /// As much as is wanted, or what `open_files` allow: then an eighth is for HTTP, without which nobody
    /// could even be turned away.
    pub(crate) fn within(open_files: u64, workers: usize, wanted: Self) -> Self {
        let kept = KEPT.saturating_add(OF_WORKER.saturating_mul(workers as u64));
        let free = usize::try_from(open_files.saturating_sub(kept)).unwrap_or(usize::MAX);
        if free >= wanted.sockets.saturating_add(wanted.http) {
            return wanted;
        }
        let http = wanted.http.min((free / 8).max(HTTP_MIN));
        Self { sockets: wanted.sockets.min(free.saturating_sub(http)), http }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WANTED: Capacity = Capacity { sockets: 50_000, http: 8_192 };

    #[test]
    fn what_is_wanted_is_taken_if_there_are_files_for_it() {
        assert_eq!(Capacity::within(1 << 20, 8, WANTED), WANTED);
        assert_eq!(Capacity::within(u64::MAX, 8, WANTED), WANTED);
        let few = Capacity::within(1_024, 2, WANTED);
        assert_eq!(few, Capacity { sockets: 826, http: 118 });
    }

    proptest! {
        #[test]
        fn something_is_always_kept_for_what_serves_no_client(
            open_files in 0_u64..200_000,
            workers in 1_usize..64,
        ) {
            let Capacity { sockets, http } = Capacity::within(open_files, workers, WANTED);
            let kept = open_files.saturating_sub((sockets + http) as u64);
            let least = KEPT + OF_WORKER * workers as u64;
            prop_assert!(http >= HTTP_MIN);
            prop_assert!(kept >= least || sockets == 0);
        }
    }
}
