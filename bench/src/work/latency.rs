//! From when a message was due to be said until it arrived.

use hdrhistogram::Histogram;

use super::rooms::Latencies;
use crate::{
    error::{Result, Trying as _},
    results::{ACK_P50, ACK_P99, DELIVERY_P50, DELIVERY_P99, DELIVERY_P999, Figures},
};

/// A histogram of microseconds up to a minute, to three digits.
///
/// # Errors
/// Never: the bounds are sound.
pub fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000, 3).trying("making a histogram")
}

impl Latencies {
    /// Nothing yet.
    ///
    /// # Errors
    /// See [`histogram`].
    pub fn new() -> Result<Self> {
        Ok(Self { delivery: histogram()?, ack: histogram()? })
    }
}

/// Adds the percentiles to `figures`.
pub fn add(figures: &mut Figures, latencies: &Latencies) {
    let percentiles = [
        (DELIVERY_P50, &latencies.delivery, 0.5),
        (DELIVERY_P99, &latencies.delivery, 0.99),
        (DELIVERY_P999, &latencies.delivery, 0.999),
        (ACK_P50, &latencies.ack, 0.5),
        (ACK_P99, &latencies.ack, 0.99),
    ];
    for (figure, histogram, quantile) in percentiles {
        if !histogram.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "microseconds of less than a minute")]
            let milliseconds = histogram.value_at_quantile(quantile) as f64 / 1_000.0;
            figures.insert(figure.to_owned(), milliseconds);
        }
    }
}
