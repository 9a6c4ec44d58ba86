//! Log lines as JSON, with the trace and span that they were written in.

use std::fmt;

use opentelemetry::{Context, trace::TraceContextExt as _};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
    },
    registry::LookupSpan,
};

/// One JSON object a line. Within a span of a trace, `trace_id` and `span_id` are those that the collector has.
pub(super) struct Lines(Format<Json>);

impl Lines {
    pub(super) fn new() -> Self {
        let json = tracing_subscriber::fmt::format().json();
        Self(json.flatten_event(true).with_current_span(false).with_span_list(false))
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Not the span that `context` knows: it knows only those that the log's own filter lets through.
        let active = Context::current();
        let span = active.span();
        let span = span.span_context();
        if !span.is_valid() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let fields = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        let (trace, span) = (span.trace_id(), span.span_id());
        writeln!(writer, r#"{fields},"trace_id":"{trace}","span_id":"{span}"}}"#)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use serde_json::Value;
    use tracing_subscriber::{Layer as _, filter::LevelFilter, layer::SubscriberExt as _};

    use super::*;

    /// Where lines are written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs while traces are made.
    fn logged(sampler: Sampler, work: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let writer = written.clone();
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        let layer = tracing_subscriber::fmt::layer().json().event_format(Lines::new());
        let logs = layer.with_writer(move || writer.clone()).with_filter(LevelFilter::INFO);
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(logs).with(traces);
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_within_a_span_have_its_trace_and_others_have_none() {
        for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff] {
            let lines = logged(sampler, || {
                tracing::info!("before");
                // Less than what is logged, as ours are.
                let outer = tracing::debug_span!("outer");
                outer.in_scope(|| {
                    tracing::info!(answer = 42, "in a span");
                    tracing::debug_span!("inner").in_scope(|| tracing::info!("{{\"further in\"}}"));
                });
                tracing::info!("after");
            });
            let [before, outer, inner, after] = <[Value; 4]>::try_from(lines).unwrap();
            for line in [before, after] {
                assert_eq!(line.get("trace_id"), None, "{line}");
            }
            let trace = outer["trace_id"].as_str().unwrap();
            assert_eq!((trace.len(), outer["span_id"].as_str().unwrap().len()), (32, 16));
            assert_eq!((&outer["message"], &outer["answer"]), (&"in a span".into(), &42.into()));
            assert_eq!(inner["trace_id"], trace);
            assert_ne!(inner["span_id"], outer["span_id"]);
            assert_eq!(inner["message"], "{\"further in\"}");
        }
    }
}
