//! The server's metrics: the registry that every room fills, and its text on `/metrics`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use model::Clock;
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use security::gateway::Sight;
use security::token::Tenants;

/// A text that took longer to write than this is given out again for some time.
const QUICK_NS: u64 = 10_000_000;
/// For how many times as long as it took: so that who asks all the time has this part of a core at most.
const REST: u64 = 4;

/// The finished registry; cheap to clone.
#[derive(Clone)]
pub(crate) struct Exposition {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    /// The last text that took long. One is written at a time.
    last: Arc<Mutex<Option<Written>>>,
}

/// A text that took long to write, and until when it is given out.
struct Written {
    text: Arc<str>,
    until_ns: u64,
}

impl Exposition {
    /// Takes a registry in which everything is registered.
    #[must_use]
    pub(crate) fn new(registry: Registry, clock: Arc<dyn Clock>) -> Self {
        Self { registry: Arc::new(registry), clock, last: Arc::default() }
    }

    /// All metrics as OpenMetrics text, as they are at this moment, or were a moment ago where there are very many: the more
    /// tenants, the longer it takes to write.
    #[must_use]
    pub(crate) fn text(&self) -> Arc<str> {
        let mut last = self.last.lock();
        let began_ns = self.clock.monotonic_ns();
        if let Some(Written { text, .. }) = last.as_ref().filter(|last| began_ns < last.until_ns) {
            return Arc::clone(text);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("text is written to memory");
        let text: Arc<str> = text.into();
        let ended_ns = self.clock.monotonic_ns();
        let took_ns = ended_ns.saturating_sub(began_ns);
        let until_ns = ended_ns.saturating_add(took_ns.saturating_mul(REST));
        *last = (took_ns > QUICK_NS).then(|| Written { text: Arc::clone(&text), until_ns });
        text
    }

    /// The reply of `/metrics`: OpenMetrics for those who accept it, Prometheus' text format for others. Figures of a
    /// tenant are for callers that may act for it.
    pub(crate) async fn response(&self, headers: &HeaderMap, sight: Option<Sight>) -> Response {
        let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let is_open = accepts.into_iter().any(|value| value.contains("application/openmetrics-text"));
        let exposition = self.clone();
        let written = tokio::task::spawn_blocking(move || exposition.written(is_open, sight.as_ref()));
        match written.await {
            Ok((content_type, text)) => ([(CONTENT_TYPE, content_type)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    fn written(&self, is_open: bool, sight: Option<&Sight>) -> (&'static str, String) {
        let text = self.text();
        let text = match sight {
            Some(Sight { tenants: Tenants::Any, .. }) => text.to_string(),
            sight => seen(&text, |tenant| sight.is_some_and(|sight| sight.tenants.allow(tenant))),
        };
        if is_open {
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
        } else {
            ("text/plain; version=0.0.4; charset=utf-8", prometheus_text(&text))
        }
    }
}

/// The text without the samples of tenants that are not to be seen.
fn seen(text: &str, sees: impl Fn(&str) -> bool) -> String {
    let tenant = |line: &str| -> Option<String> {
        let (_, rest) = line.split_once("{tenant=\"").or_else(|| line.split_once(",tenant=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let is_seen = |line: &&str| line.starts_with('#') || tenant(line).is_none_or(|tenant| sees(&tenant));
    text.lines().filter(is_seen).flat_map(|line| [line, "\n"]).collect()
}

/// OpenMetrics text as Prometheus' text format: there a counter's family has the name of its series, with `_total`, and
/// neither units nor an end are told.
fn prometheus_text(text: &str) -> String {
    let counters: HashSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(keyword), Some(name), Some(rest)) if counters.contains(name) => {
                out.extend(["# ", keyword, " ", name, "_total ", rest]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_the_name_of_their_series_in_prometheus_text() {
        let text = "# HELP a What it is.\n# TYPE a counter\n# UNIT a s\na_total{x=\"y\"} 1\n# HELP b Other.\n# TYPE b gauge\n\
                    b 2\n# EOF\n";
        let expected = "# HELP a_total What it is.\n# TYPE a_total counter\na_total{x=\"y\"} 1\n# HELP b Other.\n\
                        # TYPE b gauge\nb 2\n";
        assert_eq!(prometheus_text(text), expected);
    }

    #[test]
    fn a_text_that_takes_long_is_given_out_again_for_a_while() {
        use std::fmt;
        use std::sync::atomic::{AtomicU64, Ordering};

        use model::time::{ManualClock, TimestampNs};
        use prometheus_client::collector::Collector;
        use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
        use prometheus_client::metrics::MetricType;
        use prometheus_client::metrics::gauge::ConstGauge;

        /// Counts how often it is written, and takes its time.
        #[derive(Debug)]
        struct Slow(Arc<ManualClock>, Arc<AtomicU64>, i64);

        impl Collector for Slow {
            fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
                self.0.advance_ns(self.2);
                let gauge = encoder.encode_descriptor("writes", "Writes", None, MetricType::Gauge)?;
                ConstGauge::new(self.1.fetch_add(1, Ordering::Relaxed)).encode(gauge)
            }
        }

        for (took_ns, rest_ns) in [(1_000_000, 0), (200_000_000, 800_000_000)] {
            let (clock, writes) = (Arc::new(ManualClock::new(TimestampNs(0))), Arc::new(AtomicU64::new(0)));
            let mut registry = Registry::default();
            let slow = Slow(Arc::clone(&clock), Arc::clone(&writes), took_ns);
            registry.register_collector(Box::new(slow));
            let exposition = Exposition::new(registry, Arc::clone(&clock) as Arc<dyn Clock>);
            assert!(exposition.text().contains("writes 0"));
            clock.advance_ns((rest_ns - 1).max(0));
            let again = exposition.text();
            assert_eq!(again.contains("writes 0"), rest_ns > 0, "{again}");
            clock.advance_ns(1);
            assert!(!exposition.text().contains("writes 0"));
        }
    }
}
