//! The metrics of one process, in one registry that is passed along, never global; and gauges that are left out
//! once their source has not been heard for some time.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, text::encode},
    metrics::MetricType,
    registry::Registry,
};

/// The registry behind `/metrics`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("goch"))))
    }
}

impl Metrics {
    /// Registers metrics; at start, not while serving.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All metrics in the `OpenMetrics` text format.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

/// What gauges are read from: another process, which may be away. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    heard: Arc<Mutex<Option<Instant>>>,
    holds_for: Duration,
}

impl Source {
    /// One that has not been heard. What it says holds for so long: a few times as long as it is asked at.
    #[must_use]
    pub fn new(holds_for: Duration) -> Self {
        Self { heard: Arc::default(), holds_for }
    }

    /// Notes that its gauges are right at this moment.
    pub fn note_heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// A gauge, or a family of them, to be registered: left out of `/metrics` while the source is not heard. One
    /// that stayed would look like good news for as long as nobody can say.
    pub fn bind<M>(&self, metric: M) -> Perishable<M> {
        Perishable { metric, source: self.clone() }
    }

    fn holds(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|heard| heard.elapsed() <= self.holds_for)
    }
}

/// A metric that is left out while its source is not heard: see [`Source::bind`].
#[derive(Debug, Clone)]
pub struct Perishable<M> {
    metric: M,
    source: Source,
}

impl<M: EncodeMetric> EncodeMetric for Perishable<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.metric.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.metric.metric_type()
    }

    fn is_empty(&self) -> bool {
        !self.source.holds() || self.metric.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::{family::Family, gauge::Gauge};

    use super::*;

    #[test]
    fn a_gauge_is_left_out_until_its_source_is_heard_and_once_it_is_no_more() {
        let (metrics, gauge) = (Metrics::default(), Gauge::<i64>::default());
        let source = Source::new(Duration::from_mins(1));
        let family = Family::<Vec<(String, String)>, Gauge>::default();
        metrics.register(|registry| {
            registry.register("depth", "How deep", source.bind(gauge.clone()));
            registry.register("width", "How wide", source.bind(family.clone()));
            registry.register("own", "Our own", Gauge::<i64>::default());
        });
        gauge.set(7);
        let text = || metrics.encode().unwrap();
        assert!(!text().contains("depth") && text().contains("goch_own 0"), "{}", text());
        source.note_heard();
        assert!(text().contains("# TYPE goch_depth gauge\ngoch_depth 7"), "{}", text());
        // A family without members is left out as ever.
        assert!(!text().contains("width"), "{}", text());
        family.get_or_create(&vec![("side".to_owned(), "left".to_owned())]).set(3);
        assert!(text().contains("goch_width{side=\"left\"} 3"), "{}", text());
        *source.heard.lock().unwrap() = Instant::now().checked_sub(Duration::from_mins(2));
        assert!(!text().contains("depth") && !text().contains("width"), "{}", text());
    }
}
