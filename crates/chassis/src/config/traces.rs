//! Where traces are sent, and which of them: OpenTelemetry's standard variables.

use std::str::FromStr;

use opentelemetry_sdk::trace::Sampler;
use serde::Deserialize;

use super::{Config, Environment, Faults, Setting};

/// Where traces are sent, and which of them.
#[derive(Debug)]
pub struct TracesConfig {
    /// The collector, `http://host:port`; none sends nothing.
    pub endpoint: Option<String>,
    /// Which traces are sent.
    pub sampler: Sampler,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the fields' names are the variables'")]
struct TracesSettings {
    otel_exporter_otlp_endpoint: Setting<String>,
    otel_traces_sampler: Setting<SamplerName>,
    otel_traces_sampler_arg: Setting<String>,
}

/// A value of `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SamplerName {
    AlwaysOn,
    AlwaysOff,
    TraceIdRatio,
    ParentBasedAlwaysOn,
    ParentBasedAlwaysOff,
    ParentBasedTraceIdRatio,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "must be always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off \
     or parentbased_traceidratio"
)]
struct UnknownSampler;

impl FromStr for SamplerName {
    type Err = UnknownSampler;

    fn from_str(name: &str) -> Result<Self, UnknownSampler> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "always_on" => Self::AlwaysOn,
            "always_off" => Self::AlwaysOff,
            "traceidratio" => Self::TraceIdRatio,
            "parentbased_always_on" => Self::ParentBasedAlwaysOn,
            "parentbased_always_off" => Self::ParentBasedAlwaysOff,
            "parentbased_traceidratio" => Self::ParentBasedTraceIdRatio,
            _ => return Err(UnknownSampler),
        })
    }
}

impl Config for TracesConfig {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let settings: TracesSettings = environment.settings(faults);
        let endpoint =
            settings.otel_exporter_otlp_endpoint.optional("OTEL_EXPORTER_OTLP_ENDPOINT", faults);
        if let Some(endpoint) = &endpoint {
            faults.expect(
                endpoint.starts_with("http://"),
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "must begin with http:// (OTLP over HTTP, to a collector in the same network)",
            );
        }
        let default = SamplerName::ParentBasedAlwaysOn;
        let name = settings.otel_traces_sampler.or("OTEL_TRACES_SAMPLER", default, faults);
        // Only samplers by ratio have an argument; the standard has others ignore it.
        let argument = settings.otel_traces_sampler_arg;
        let sampler = match name {
            SamplerName::AlwaysOn => Sampler::AlwaysOn,
            SamplerName::AlwaysOff => Sampler::AlwaysOff,
            SamplerName::TraceIdRatio => Sampler::TraceIdRatioBased(ratio(argument, faults)),
            SamplerName::ParentBasedAlwaysOn => parent_based(Sampler::AlwaysOn),
            SamplerName::ParentBasedAlwaysOff => parent_based(Sampler::AlwaysOff),
            SamplerName::ParentBasedTraceIdRatio => {
                parent_based(Sampler::TraceIdRatioBased(ratio(argument, faults)))
            }
        };
        Self { endpoint, sampler }
    }
}

fn parent_based(root: Sampler) -> Sampler {
    Sampler::ParentBased(Box::new(root))
}

/// The share of traces that are sent; all if it is left out.
fn ratio(argument: Setting<String>, faults: &mut Faults) -> f64 {
    let variable = "OTEL_TRACES_SAMPLER_ARG";
    let Some(argument) = argument.optional(variable, faults) else { return 1.0 };
    let ratio = argument.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.unwrap_or_else(|| {
        faults.add(variable, "must be a number from 0 to 1");
        1.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::read;

    fn sampler(variables: &[(&str, &str)]) -> Result<String, Faults> {
        read::<TracesConfig>(variables).map(|config| format!("{:?}", config.sampler))
    }

    #[test]
    fn each_standard_sampler_is_understood() {
        let named = |name| sampler(&[("OTEL_TRACES_SAMPLER", name)]).unwrap();
        for (name, expected) in [
            ("", "ParentBased(AlwaysOn)"),
            ("always_on", "AlwaysOn"),
            ("always_off", "AlwaysOff"),
            ("parentbased_always_on", "ParentBased(AlwaysOn)"),
            ("Parentbased_Always_Off", "ParentBased(AlwaysOff)"),
            ("traceidratio", "TraceIdRatioBased(1.0)"),
        ] {
            assert_eq!(named(name), expected, "{name}");
        }
        let ratio = |name, ratio| {
            sampler(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", ratio)]).unwrap()
        };
        assert_eq!(ratio("traceidratio", "0.25"), "TraceIdRatioBased(0.25)");
        let parent_based = ratio("parentbased_traceidratio", "0");
        assert_eq!(parent_based, "ParentBased(TraceIdRatioBased(0.0))");
        // What a sampler takes no argument for is not looked at.
        assert_eq!(ratio("always_on", "0"), "AlwaysOn");
    }

    #[test]
    fn a_sampler_or_ratio_that_is_none_is_a_fault() {
        let faults = sampler(&[("OTEL_TRACES_SAMPLER", "sometimes")]).unwrap_err().to_string();
        assert!(faults.contains("OTEL_TRACES_SAMPLER: must be"), "{faults}");
        for ratio in ["half", "1.5", "-0.1", "NaN", "inf"] {
            let variables =
                [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", ratio)];
            let faults = sampler(&variables).unwrap_err().to_string();
            assert!(faults.contains("OTEL_TRACES_SAMPLER_ARG: "), "{ratio}: {faults}");
        }
    }
}
