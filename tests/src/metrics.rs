//! What a service counts, as `/metrics` tells it.

use std::collections::BTreeMap;

use crate::service::Service;

/// Whole numbers by name and labels, such as `goch_requests_total{endpoint="page",outcome="ok"}`.
#[derive(Debug, Clone, Default)]
pub struct Metrics(BTreeMap<String, u64>);

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
        let number = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(number).collect())
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
        self.0.iter().filter(|(found, _)| is_wanted(found)).map(|(_, value)| value).sum()
    }

    /// What has grown since `earlier`, by how much.
    #[must_use]
    pub fn growth_since(&self, earlier: &Self) -> BTreeMap<&str, u64> {
        let grown = self.0.iter().map(|(name, value)| {
            let before = earlier.0.get(name).copied().unwrap_or_default();
            (name.as_str(), value.saturating_sub(before))
        });
        grown.filter(|(_, growth)| *growth > 0).collect()
    }
}
