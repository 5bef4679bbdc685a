//! `search/metric_names`, `search/label_names` and `search/label_values`: names that are like what was typed, in
//! batches of lines of JSON. Experimental, as in Prometheus: the operator enables it (`search-api`).
//!
//! Without `start` the last hour is looked at.

mod similar;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use model::TimeRange;
use model::labels::METRIC_NAME;
use model::metric::MetricType;
use query::{Labelled, MetricMetadata};

use super::Prometheus;
use super::envelope::PromError;
use super::params::{SeriesQuestion, time};
use crate::bounds::{MAX_SEARCH_BATCH, MAX_SEARCH_NAMES, MAX_SEARCH_TERMS};
use crate::error::ApiError;
use crate::json::{Json, written};
use crate::parameters::{Asked, Parameters};
use crate::reply;
use similar::{Algorithm, Search};

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson; charset=utf-8");

/// Names and lines where nothing else is asked for.
const DEFAULT_LIMIT: usize = 100;

/// How far back is looked where no start is named.
const DEFAULT_LENGTH_MS: i64 = 3_600_000;

/// How the names of parts of families end, by the types that have them.
const PARTS: [(&str, &[MetricType]); 7] = {
    use MetricType::{Counter, GaugeHistogram, Histogram, Info, Summary};
    [
        ("_total", &[Counter]),
        ("_bucket", &[Histogram, GaugeHistogram]),
        ("_sum", &[Histogram, GaugeHistogram, Summary]),
        ("_count", &[Histogram, GaugeHistogram, Summary]),
        ("_gsum", &[GaugeHistogram]),
        ("_gcount", &[GaugeHistogram]),
        ("_info", &[Info]),
    ]
};

/// `GET` and `POST /api/v1/search/metric_names`.
pub(crate) async fn metric_names(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let question = series(&door, &asked.parameters)?;
    let options = Options::read(&asked.parameters, "metric_names")?;
    let metadata = match flag(&asked.parameters, "include_metadata", false)? {
        true => door.engine.metric_metadata(&asked.context).await?,
        false => Vec::new(),
    };
    values(&door, &asked, (METRIC_NAME, question), options, metadata).await
}

/// `GET` and `POST /api/v1/search/label_values`.
pub(crate) async fn label_values(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let question = series(&door, &asked.parameters)?;
    let options = Options::read(&asked.parameters, "label_values")?;
    let label = asked.parameters.get("label").filter(|label| !label.is_empty());
    let label = label.ok_or_else(|| ApiError::Request("missing required parameter \"label\"".to_owned()))?;
    values(&door, &asked, (label, question), options, Vec::new()).await
}

/// `GET` and `POST /api/v1/search/label_names`.
pub(crate) async fn label_names(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let SeriesQuestion { sets, range, .. } = series(&door, &asked.parameters)?;
    let options = Options::read(&asked.parameters, "label_names")?;
    let names = door.engine.label_names(&asked.context, Labelled::Series, &sets, range, None).await?;
    answer(names.value, options, Vec::new()).await
}

async fn values(
    door: &Prometheus,
    asked: &Asked,
    (label, question): (&str, SeriesQuestion),
    options: Options,
    metadata: Vec<MetricMetadata>,
) -> Result<Response, PromError> {
    let SeriesQuestion { sets, range, .. } = question;
    let values =
        door.engine.label_values(&asked.context, Labelled::Series, label, &sets, range, None).await?;
    answer(values.value, options, metadata).await
}

/// Every search, where none is enabled.
pub(crate) async fn disabled() -> PromError {
    ApiError::Disabled("search API").into()
}

/// Which series the names are of.
fn series(door: &Prometheus, parameters: &Parameters) -> Result<SeriesQuestion, ApiError> {
    let now_ms = door.clock.now().to_ms().0;
    let start_ms = time(parameters, "start")?.unwrap_or(now_ms.saturating_sub(DEFAULT_LENGTH_MS));
    let end_ms = time(parameters, "end")?.unwrap_or(now_ms);
    if end_ms < start_ms {
        return Err(ApiError::Request("end timestamp must not be before start timestamp".to_owned()));
    }
    Ok(SeriesQuestion { range: TimeRange::from_ms(start_ms, end_ms), ..SeriesQuestion::read(parameters)? })
}

async fn answer(
    names: Vec<String>,
    options: Options,
    metadata: Vec<MetricMetadata>,
) -> Result<Response, PromError> {
    let lines = reply::made(names.len(), move || lines(names, &options, &metadata)).await?;
    Ok(([(CONTENT_TYPE, NDJSON)], lines).into_response())
}

/// What is searched for, and how it is answered.
struct Options {
    search: Search,
    /// What a name is called in the answer.
    called: &'static str,
    by_score: bool,
    is_descending: bool,
    include_score: bool,
    limit: usize,
    batch_size: usize,
}

impl Options {
    /// `searched` is what the route calls the names.
    fn read(parameters: &Parameters, searched: &str) -> Result<Self, ApiError> {
        let terms: Vec<String> =
            parameters.all("search[]").filter(|term| !term.is_empty()).map(str::to_owned).collect();
        if terms.len() > MAX_SEARCH_TERMS {
            let (got, most) = (terms.len(), MAX_SEARCH_TERMS);
            return Err(ApiError::Request(format!("too many search[] terms: got {got}, maximum is {most}")));
        }
        let fuzz_threshold = given(parameters, "fuzz_threshold").map_or(Ok(0_u8), |text| {
            let threshold = text.parse().ok().filter(|threshold| *threshold <= 100);
            threshold
                .ok_or_else(|| ApiError::Request(format!("invalid fuzz_threshold {text:?}: must be 0-100")))
        })?;
        let algorithm = match given(parameters, "fuzz_alg") {
            None | Some("subsequence") => Algorithm::Subsequence,
            Some("jarowinkler") => Algorithm::JaroWinkler,
            Some(other) => {
                return Err(ApiError::Request(format!(
                    "unsupported fuzz_alg {other:?}: must be one of [subsequence jarowinkler]"
                )));
            }
        };
        let is_exact = flag(parameters, "case_sensitive", true)?;
        let include_score = flag(parameters, "include_score", false)?;
        let limit = number(parameters, "limit")?;
        if limit > MAX_SEARCH_NAMES {
            return Err(ApiError::Request(format!(
                "limit {limit} exceeds the configured maximum ({MAX_SEARCH_NAMES}, see --web.search.max-limit)"
            )));
        }
        let batch_size = number(parameters, "batch_size")?.min(limit).min(MAX_SEARCH_BATCH);
        let (by_score, is_descending) = order(parameters, terms.is_empty(), searched)?;
        let threshold = f64::from(fuzz_threshold) / 100.0;
        let search = Search::new(terms, algorithm, threshold, is_exact);
        let called = if searched == "label_values" { "value" } else { "name" };
        Ok(Self { search, called, by_score, is_descending, include_score, limit, batch_size })
    }
}

/// A parameter; one without a text is none.
fn given<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.get(name).filter(|text| !text.is_empty())
}

fn flag(parameters: &Parameters, name: &str, default: bool) -> Result<bool, ApiError> {
    match given(parameters, name) {
        None => Ok(default),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(ApiError::Request(format!("invalid {name} {other:?}: must be boolean"))),
    }
}

/// A number of names; none means as many as usual.
fn number(parameters: &Parameters, name: &str) -> Result<usize, ApiError> {
    let Some(text) = given(parameters, name) else { return Ok(DEFAULT_LIMIT) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| ApiError::Request(format!("invalid {name} {text:?}: must be a positive integer")))
}

/// Whether the most like come first, and whether the order of names is turned round.
fn order(parameters: &Parameters, is_for_all: bool, searched: &str) -> Result<(bool, bool), ApiError> {
    let refuse = |reason: String| Err(ApiError::Request(reason));
    let (by, direction) = (given(parameters, "sort_by"), given(parameters, "sort_dir"));
    match (by, direction) {
        (_, Some(other)) if !["asc", "dsc"].contains(&other) => {
            refuse(format!("invalid sort_dir {other:?}: must be \"asc\" or \"dsc\""))
        }
        (None, Some(_)) => refuse("sort_dir is only valid when sort_by is set".to_owned()),
        (Some("score"), Some(_)) => refuse("sort_dir is not supported for sort_by=score".to_owned()),
        (Some("score"), None) if is_for_all => refuse("sort_by=score requires search[] to be set".to_owned()),
        (Some("score"), None) => Ok((true, false)),
        (None | Some("alpha"), None | Some("asc")) => Ok((false, false)),
        (Some("alpha"), Some(_)) => Ok((false, true)),
        (Some(other), _) => {
            refuse(format!("invalid sort_by {other:?} for {searched}: must be \"alpha\" or \"score\""))
        }
    }
}

/// Batches of results, then how it ended.
fn lines(names: Vec<String>, options: &Options, metadata: &[MetricMetadata]) -> Vec<u8> {
    let scored = names.into_iter().filter_map(|name| Some((options.search.score(&name)?, name)));
    let mut found: Vec<(f64, String)> = scored.collect();
    found.sort_by(|a, b| {
        let by_name = a.1.cmp(&b.1);
        match (options.by_score, options.is_descending) {
            (true, _) => b.0.total_cmp(&a.0).then(by_name),
            (false, true) => by_name.reverse(),
            (false, false) => by_name,
        }
    });
    let has_more = found.len() > options.limit;
    found.truncate(options.limit);
    written(|json| {
        // Where nothing was found, one batch says so.
        let nothing = found.is_empty().then_some(&found[..]);
        for batch in nothing.into_iter().chain(found.chunks(options.batch_size)) {
            json.raw("{\"results\":");
            json.list(batch, |json, (score, name)| {
                write_one(json, name, *score, options, known(name, metadata));
            });
            json.raw("}\n");
        }
        json.raw("{\"status\":\"success\",\"has_more\":");
        json.plain(has_more);
        json.raw("}\n");
    })
}

/// What is known of a metric: by its own name, or as a part of a family whose type has such parts. The families are in
/// the order of their names.
fn known<'a>(name: &str, families: &'a [MetricMetadata]) -> Option<&'a MetricMetadata> {
    let of = |name: &str, is_wanted: &dyn Fn(MetricType) -> bool| {
        let first = families.partition_point(|family| family.name.as_str() < name);
        let same = families[first..].iter().take_while(|family| family.name == name);
        same.into_iter().find(|family| is_wanted(family.metric_type))
    };
    let part = |(suffix, kinds): &(&str, &[MetricType])| {
        name.strip_suffix(suffix).and_then(|family| of(family, &|kind| kinds.contains(&kind)))
    };
    of(name, &|_| true).or_else(|| PARTS.iter().find_map(part))
}

fn write_one(json: &mut Json, name: &str, score: f64, options: &Options, metadata: Option<&MetricMetadata>) {
    json.raw("{");
    json.text(options.called);
    json.raw(":");
    json.text(name);
    if options.include_score {
        json.raw(",\"score\":");
        json.plain(score);
    }
    if let Some(metadata) = metadata {
        let kind = metadata.metric_type.as_str();
        for (name, text) in [("type", kind), ("help", &metadata.help), ("unit", &metadata.unit)] {
            if !text.is_empty() {
                json.raw(",");
                json.text(name);
                json.raw(":");
                json.text(text);
            }
        }
    }
    json.raw("}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(parameters: &str, names: &[&str]) -> String {
        let options = Options::read(&Parameters::parse(parameters, &[]), "names")
            .unwrap_or_else(|error| panic!("{error}"));
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        String::from_utf8(lines(names, &options, &[])).unwrap()
    }

    #[test]
    fn batches_end_with_a_line_that_says_whether_there_is_more() {
        let names = ["a_total", "b_total", "c_total", "other"];
        assert_eq!(
            found("search[]=total&limit=3&batch_size=2", &names),
            concat!(
                "{\"results\":[{\"name\":\"a_total\"},{\"name\":\"b_total\"}]}\n",
                "{\"results\":[{\"name\":\"c_total\"}]}\n",
                "{\"status\":\"success\",\"has_more\":false}\n",
            )
        );
        assert_eq!(
            found("search[]=TOTAL&case_sensitive=false&limit=1&sort_by=alpha&sort_dir=dsc", &names),
            "{\"results\":[{\"name\":\"c_total\"}]}\n{\"status\":\"success\",\"has_more\":true}\n"
        );
        let many: Vec<String> = (0..1_500).map(|index| format!("m{index}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(found("limit=2000&batch_size=1500", &many).lines().count(), 3, "two batches");
        let nothing = "{\"results\":[]}\n{\"status\":\"success\",\"has_more\":false}\n";
        assert_eq!(found("search[]=none", &names), nothing);
    }

    #[test]
    fn what_is_known_of_a_metric_stands_beside_its_name() {
        let families: Vec<MetricMetadata> = [
            ("build", MetricType::Info),
            ("hits", MetricType::Counter),
            ("hits", MetricType::Gauge),
            ("took_seconds", MetricType::Histogram),
            ("took_seconds_count", MetricType::Gauge),
            ("waits", MetricType::GaugeHistogram),
        ]
        .into_iter()
        .map(|(name, metric_type)| {
            let (name, unit) = (name.to_owned(), String::new());
            MetricMetadata { name, metric_type, unit, help: "Whether.".to_owned() }
        })
        .collect();
        let options = Options::read(&Parameters::parse("", &[]), "metric_names").unwrap();
        for (name, kind) in [
            ("hits", Some("counter")),
            ("hits_total", Some("counter")),
            ("hits_count", None),
            ("took_seconds", Some("histogram")),
            ("took_seconds_bucket", Some("histogram")),
            ("took_seconds_count", Some("gauge")),
            ("took_seconds_gsum", None),
            ("waits_gsum", Some("gaugehistogram")),
            ("build_info", Some("info")),
            ("build_total", None),
            ("up", None),
        ] {
            let text = String::from_utf8(lines(vec![name.to_owned()], &options, &families)).unwrap();
            let known = kind.map(|kind| format!(",\"type\":\"{kind}\",\"help\":\"Whether.\""));
            let wanted = format!("{{\"results\":[{{\"name\":\"{name}\"{}}}]}}\n", known.unwrap_or_default());
            assert!(text.starts_with(&wanted), "{text} {wanted}");
        }
    }

    #[test]
    fn the_nearest_comes_first_by_score() {
        let names = ["http_requests", "hr", "http_requests_total", "http_requestz"];
        let text = found("search[]=http_requests&sort_by=score&include_score=1&fuzz_threshold=10", &names);
        let first = "{\"results\":[{\"name\":\"http_requests\",\"score\":1},{\"name\":\"http_requests_total\",\"score\":1}]}";
        assert!(text.starts_with(first), "{text}");
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for (parameters, reason) in [
            ("sort_by=size", "invalid sort_by \"size\" for names: must be \"alpha\" or \"score\""),
            ("sort_dir=asc", "sort_dir is only valid when sort_by is set"),
            ("sort_by=alpha&sort_dir=up", "invalid sort_dir \"up\": must be \"asc\" or \"dsc\""),
            ("sort_by=score&search[]=a&sort_dir=asc", "sort_dir is not supported for sort_by=score"),
            ("sort_by=score", "sort_by=score requires search[] to be set"),
            ("limit=-1", "invalid limit \"-1\": must be a positive integer"),
            ("limit=0", "invalid limit \"0\": must be a positive integer"),
            ("limit=20000", "limit 20000 exceeds the configured maximum (10000, see --web.search.max-limit)"),
            ("batch_size=x", "invalid batch_size \"x\": must be a positive integer"),
            ("fuzz_threshold=101", "invalid fuzz_threshold \"101\": must be 0-100"),
            ("fuzz_alg=best", "unsupported fuzz_alg \"best\": must be one of [subsequence jarowinkler]"),
            ("include_score=maybe", "invalid include_score \"maybe\": must be boolean"),
        ] {
            let error = Options::read(&Parameters::parse(parameters, &[]), "names")
                .err()
                .map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(reason), "{parameters}");
        }
    }
}
