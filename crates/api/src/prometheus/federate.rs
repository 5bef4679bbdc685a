//! `/federate`: the newest samples of selected series in the text format, for a Prometheus that scrapes them.
//!
//! Source: "Federation" of Prometheus 3. Native histograms have no form in this format and are left out.

use std::fmt::Write;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE};
use model::Matcher;
use model::labels::METRIC_NAME;
use query::{LatestSample, parse_metric_selector};

use super::Prometheus;
use crate::parameters::Asked;
use crate::plain_error::PlainError;
use crate::reply;

/// The label whose absence the scraper must not fill in.
const INSTANCE: &str = "instance";

/// How names are written that the text format has no form for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escaping {
    /// As they are, in quotes.
    AllowUtf8,
    /// With an underscore for each character that is not allowed.
    Underscores,
}

impl Escaping {
    const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Escaping::AllowUtf8 => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            Escaping::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        })
    }
}

/// `GET /federate`.
pub(crate) async fn federate(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let sets: Vec<Vec<Matcher>> =
        asked.parameters.all("match[]").map(parse_metric_selector).collect::<Result<_, _>>()?;
    let accepted = asked.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let escaping = match accepted.into_iter().any(|value| value.contains("escaping=allow-utf-8")) {
        true => Escaping::AllowUtf8,
        false => Escaping::Underscores,
    };
    let now_ms = door.clock.now().to_ms().0;
    let samples = door.engine.latest_samples(&asked.context, sets, now_ms).await?;
    let text = reply::made(samples.len(), move || exposition(samples, escaping)).await?;
    Ok(([(CONTENT_TYPE, escaping.content_type())], text).into_response())
}

/// The samples by metric; what has no name is left out.
fn exposition(mut samples: Vec<LatestSample>, escaping: Escaping) -> String {
    samples.retain(|sample| sample.labels.metric_name().is_some());
    samples.sort_by(|a, b| a.labels.metric_name().cmp(&b.labels.metric_name()));
    let mut text = String::new();
    let mut family = None;
    for sample in &samples {
        let name = sample.labels.metric_name().unwrap_or_default();
        if family != Some(name) {
            text.push_str("# TYPE ");
            write_name(&mut text, name, escaping);
            text.push_str(" untyped\n");
            family = Some(name);
        }
        write_series(&mut text, sample, name, escaping);
        write_value(&mut text, sample.value);
        writeln!(text, " {}", sample.timestamp_ms).expect("a string takes all");
    }
    text
}

fn write_series(text: &mut String, sample: &LatestSample, name: &str, escaping: Escaping) {
    let is_quoted = escaping == Escaping::AllowUtf8 && !is_plain(name, true);
    if !is_quoted {
        write_name(text, name, escaping);
    }
    text.push('{');
    if is_quoted {
        write_name(text, name, escaping);
        text.push(',');
    }
    let has_instance = sample.labels.get(INSTANCE).is_some();
    let pairs = sample.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    for (i, (name, value)) in pairs.chain((!has_instance).then_some((INSTANCE, ""))).enumerate() {
        if i > 0 {
            text.push(',');
        }
        write_label(text, name, escaping);
        text.push_str("=\"");
        escape(text, value);
        text.push('"');
    }
    text.push_str("} ");
}

/// Whether a name can stand without quotes; colons are for metrics.
fn is_plain(name: &str, is_metric: bool) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (is_metric && b == b':');
    name.bytes().next().is_some_and(|b| !b.is_ascii_digit()) && name.bytes().all(is_allowed)
}

fn write_name(text: &mut String, name: &str, escaping: Escaping) {
    write_any(text, name, true, escaping);
}

fn write_label(text: &mut String, name: &str, escaping: Escaping) {
    write_any(text, name, false, escaping);
}

fn write_any(text: &mut String, name: &str, is_metric: bool, escaping: Escaping) {
    if is_plain(name, is_metric) {
        text.push_str(name);
    } else if escaping == Escaping::AllowUtf8 {
        text.push('"');
        escape(text, name);
        text.push('"');
    } else {
        for (i, c) in name.chars().enumerate() {
            let is_allowed = c == '_'
                || (is_metric && c == ':')
                || c.is_ascii_alphabetic()
                || (i > 0 && c.is_ascii_digit());
            text.push(if is_allowed { c } else { '_' });
        }
    }
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn write_value(text: &mut String, value: f64) {
    let written = if value.is_nan() {
        write!(text, "NaN")
    } else if value.is_infinite() {
        write!(text, "{}Inf", if value > 0.0 { '+' } else { '-' })
    } else if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
        write!(text, "{value}")
    } else {
        write!(text, "{value:e}")
    };
    written.expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    fn sample(pairs: &[(&str, &str)], value: f64) -> LatestSample {
        LatestSample { labels: Labels::from_pairs(pairs.iter().copied()), timestamp_ms: 1_500, value }
    }

    #[test]
    fn series_are_grouped_by_name_and_have_an_instance() {
        let samples = vec![
            sample(&[("__name__", "up"), ("instance", "a:1"), ("job", "a\"b\\c\nd")], 1.0),
            sample(&[("__name__", "load:rate")], 1.5e-9),
            sample(&[("job", "nameless")], 1.0),
            sample(&[("__name__", "up")], f64::NEG_INFINITY),
        ];
        assert_eq!(
            exposition(samples, Escaping::Underscores),
            concat!(
                "# TYPE load:rate untyped\nload:rate{instance=\"\"} 1.5e-9 1500\n",
                "# TYPE up untyped\nup{instance=\"a:1\",job=\"a\\\"b\\\\c\\nd\"} 1 1500\n",
                "up{instance=\"\"} -Inf 1500\n",
            )
        );
    }

    #[test]
    fn names_of_other_characters_are_quoted_or_replaced() {
        let samples = || vec![sample(&[("__name__", "http.größe"), ("1.a", "x"), ("instance", "i")], 2.0)];
        assert_eq!(
            exposition(samples(), Escaping::Underscores),
            "# TYPE http_gr__e untyped\nhttp_gr__e{__a=\"x\",instance=\"i\"} 2 1500\n"
        );
        assert_eq!(
            exposition(samples(), Escaping::AllowUtf8),
            "# TYPE \"http.größe\" untyped\n{\"http.größe\",\"1.a\"=\"x\",instance=\"i\"} 2 1500\n"
        );
    }
}
