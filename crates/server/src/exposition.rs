//! The server's metrics: the registry that every room fills, and its text on `/metrics`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use security::gateway::Sight;
use security::token::Tenants;

/// The finished registry; cheap to clone.
#[derive(Clone)]
pub(crate) struct Exposition {
    registry: Arc<Registry>,
}

impl Exposition {
    /// Takes a registry in which everything is registered.
    #[must_use]
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry: Arc::new(registry) }
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("text is written to memory");
        text
    }

    /// The reply of `/metrics`: OpenMetrics for those who accept it, Prometheus' text format for others. Figures of a
    /// tenant are for callers that may act for it.
    #[must_use]
    pub(crate) fn response(&self, headers: &HeaderMap, sight: Option<&Sight>) -> Response {
        let text = self.text();
        let text = match sight {
            Some(Sight { tenants: Tenants::Any, .. }) => text,
            sight => seen(&text, |tenant| sight.is_some_and(|sight| sight.tenants.allow(tenant))),
        };
        let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        if accepts.into_iter().any(|value| value.contains("application/openmetrics-text")) {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            return ([(CONTENT_TYPE, content_type)], text).into_response();
        }
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        ([(CONTENT_TYPE, content_type)], prometheus_text(&text)).into_response()
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
}
