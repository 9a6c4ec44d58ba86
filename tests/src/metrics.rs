//! What a service counts, as `/metrics` tells it.

use std::collections::{BTreeMap, BTreeSet};

use crate::service::Service;

/// Whole numbers by name and labels, such as `goch_requests_total{endpoint="page",outcome="ok"}`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    numbers: BTreeMap<String, u64>,
    /// Of all there are, also of those that are no whole numbers.
    names: BTreeSet<String>,
}

impl Metrics {
    /// What `service` has counted so far.
    pub async fn of(service: &Service) -> Self {
        Self::read(&service.health().get("/metrics").await.expect(200).text)
    }

    /// The same of a service that may not be there.
    pub async fn try_of(service: &Service) -> Option<Self> {
        let answer = service.health().try_get("/metrics").await?;
        (answer.status == 200).then(|| Self::read(&answer.text))
    }

    fn read(text: &str) -> Self {
        let mut metrics = Self::default();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        for (sample, value) in samples.filter_map(|line| line.rsplit_once(' ')) {
            metrics.names.extend(sample.split('{').next().map(str::to_owned));
            if let Ok(number) = value.parse() {
                metrics.numbers.insert(sample.to_owned(), number);
            }
        }
        metrics
    }

    /// The sum of a metric over all its labels, or over those that begin with `labels`, such as
    /// `endpoint="page"`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &str) -> u64 {
        let is_wanted = |found: &str| match found.strip_prefix(name) {
            Some("") => labels.is_empty(),
            Some(rest) => rest.strip_prefix('{').is_some_and(|rest| rest.starts_with(labels)),
            None => false,
        };
        self.numbers.iter().filter(|(found, _)| is_wanted(found)).map(|(_, value)| value).sum()
    }

    /// Whether a metric is told, with whatever labels.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// What has grown since `earlier`, by how much.
    #[must_use]
    pub fn growth_since(&self, earlier: &Self) -> BTreeMap<&str, u64> {
        let grown = self.numbers.iter().map(|(name, value)| {
            let before = earlier.numbers.get(name).copied().unwrap_or_default();
            (name.as_str(), value.saturating_sub(before))
        });
        grown.filter(|(_, growth)| *growth > 0).collect()
    }
}
