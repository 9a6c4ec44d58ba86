//! How much of each channel is kept as Redis's memory fills up.
//!
//! Nothing is done until it is filled to [`SHRINKS_FROM`]. From there on a channel's window is halved with every
//! [`HALVES_EACH`] more, and is trimmed to that when the channel is next written to. From [`EVICTS_FROM`] on, the
//! channels leave that have not been written to or filled for the longest time ([`super::evict`]). So what is new
//! still fits. What is refused all the same is left out, and its channel with it ([`super::write`]).

use goch_chassis::redis::Redis;
use goch_contract::limits::PAGE_DEFAULT;

/// Windows shrink when so much of the memory is used.
const SHRINKS_FROM: f64 = 0.8;

/// They are halved with every such share.
const HALVES_EACH: f64 = 0.05;

/// Idle channels leave when so much of the memory is used.
const EVICTS_FROM: f64 = 0.9;

/// Channels are filled only below that: what is new goes first.
const FILLS_BELOW: f64 = 0.95;

/// The least that a window shrinks to: a page as it is asked for if nobody says how long.
const WINDOW_MIN: usize = PAGE_DEFAULT as usize;

/// How many events of a channel are kept where `most` are while there is room.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a window is at most 100,000, and stays positive"
)]
pub(super) fn window(most: usize, fullness: f64) -> usize {
    let halvings = ((fullness - SHRINKS_FROM) / HALVES_EACH).max(0.0);
    let shrunk = (most as f64 * (-halvings).exp2()) as usize;
    shrunk.max(WINDOW_MIN).min(most)
}

/// Whether idle channels are to leave.
pub(super) fn evicts(redis: &Redis) -> bool {
    redis.is_full() || redis.fullness() >= EVICTS_FROM
}

/// Whether there is room for a channel that is asked for.
pub(super) fn takes_fills(redis: &Redis) -> bool {
    !redis.is_full() && redis.fullness() < FILLS_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_halved_with_every_twentieth_beyond_four_fifths() {
        // A hair below, because of what a fraction is in binary.
        let expected = [
            (0.0, 1_000),
            (0.8, 1_000),
            (0.85, 500),
            (0.9, 250),
            (0.95, 125),
            (1.0, 100),
            (9.0, 100),
        ];
        for (fullness, window_expected) in expected {
            let found = window(1_000, fullness);
            assert!(found.abs_diff(window_expected) <= 1, "{fullness}: {found}");
        }
        // One that was small from the first stays as it is.
        assert_eq!(window(20, 1.0), 20);
        assert_eq!(window(20, 0.0), 20);
    }
}
