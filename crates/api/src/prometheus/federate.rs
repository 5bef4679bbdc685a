//! `/federate`: the newest samples of selected series, for a Prometheus that scrapes them: as text, or in protobuf where
//! that is asked for.
//!
//! Source: "Federation" of Prometheus 3. Native histograms have no form in text and are left out of it.

mod families;

use std::fmt::Write;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE};
use model::Matcher;
use model::labels::METRIC_NAME;
use query::{LatestSample, parse_metric_selector};
use wire::exposition::METRIC_FAMILY;

use super::Prometheus;
use crate::parameters::Asked;
use crate::plain_error::LineError;
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
    const fn of_text(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Escaping::AllowUtf8 => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            Escaping::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        })
    }

    const fn of_protobuf(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Escaping::AllowUtf8 => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                 escaping=allow-utf-8"
            }
            Escaping::Underscores => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                 escaping=underscores"
            }
        })
    }
}

/// `GET /federate`.
pub(crate) async fn federate(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, LineError> {
    let asked = Asked::read(request).await?;
    let sets: Vec<Vec<Matcher>> =
        asked.parameters.all("match[]").map(parse_metric_selector).collect::<Result<_, _>>()?;
    let accepted = asked.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let form = Form::accepted(&accepted.collect::<Vec<_>>().join(","));
    let now_ms = door.clock.now().to_ms().0;
    let samples = door.engine.latest_samples(&asked.context, sets, now_ms).await?;
    Ok(match form {
        Form { is_protobuf: true, escaping } => {
            let bytes = reply::made(samples.len(), move || families::delimited(samples, escaping)).await?;
            ([(CONTENT_TYPE, escaping.of_protobuf())], bytes).into_response()
        }
        Form { escaping, .. } => {
            let text = reply::made(samples.len(), move || exposition(samples, escaping)).await?;
            ([(CONTENT_TYPE, escaping.of_text())], text).into_response()
        }
    })
}

/// What a scraper takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    is_protobuf: bool,
    escaping: Escaping,
}

impl Form {
    /// The form that a list of media types names first, of those that there are; text where it names none.
    fn accepted(accept: &str) -> Self {
        let weight = |media: &str| {
            let q = media.split(';').find_map(|part| part.trim().strip_prefix("q="));
            q.map_or(1.0, |q| q.trim().parse::<f64>().unwrap_or(0.0))
        };
        let mut best: Option<(f64, Self)> = None;
        for media in accept.split(',') {
            let is = |part: &str| media.split(';').any(|other| other.trim().replace(' ', "") == part);
            let is_protobuf = is("application/vnd.google.protobuf")
                && is(&format!("proto={METRIC_FAMILY}"))
                && is("encoding=delimited");
            let is_text = media.trim().starts_with("text/plain");
            let escaping =
                if is("escaping=allow-utf-8") { Escaping::AllowUtf8 } else { Escaping::Underscores };
            let weight = weight(media);
            if (is_protobuf || is_text) && best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, Self { is_protobuf, escaping }));
            }
        }
        best.map_or(Self { is_protobuf: false, escaping: Escaping::Underscores }, |(_, form)| form)
    }
}

/// The samples by metric; what has no name is left out.
fn exposition(mut samples: Vec<LatestSample>, escaping: Escaping) -> String {
    samples.retain(|sample| sample.labels.metric_name().is_some() && sample.value.float().is_some());
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
        write_value(&mut text, sample.value.float().unwrap_or(f64::NAN));
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
    use query::Point;

    use super::*;

    fn sample(pairs: &[(&str, &str)], value: f64) -> LatestSample {
        let (labels, value) = (Labels::from_pairs(pairs.iter().copied()), Point::Float(value));
        LatestSample { labels, timestamp_ms: 1_500, value }
    }

    #[test]
    fn the_form_is_the_one_that_is_wanted_most() {
        let protobuf =
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        for (accept, is_protobuf, escaping) in [
            (String::new(), false, Escaping::Underscores),
            ("*/*".to_owned(), false, Escaping::Underscores),
            (protobuf.to_owned(), true, Escaping::Underscores),
            (format!("{protobuf};escaping=allow-utf-8;q=0.6,text/plain;q=0.5"), true, Escaping::AllowUtf8),
            (
                format!("text/plain;version=1.0.0;q=0.6;escaping=allow-utf-8,{protobuf};q=0.3"),
                false,
                Escaping::AllowUtf8,
            ),
            ("application/openmetrics-text;escaping=allow-utf-8".to_owned(), false, Escaping::Underscores),
        ] {
            assert_eq!(Form::accepted(&accept), Form { is_protobuf, escaping }, "{accept}");
        }
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
