//! `search/metric_names`, `search/label_names` and `search/label_values`: names that are like what was typed, in
//! batches of lines of JSON. Experimental, as in Prometheus: the operator enables it (`search-api`).

mod similar;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hashbrown::HashMap;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use model::labels::METRIC_NAME;
use query::{Labelled, MetricMetadata};

use super::Prometheus;
use super::envelope::PromError;
use super::params::SeriesQuestion;
use crate::bounds::MAX_SEARCH_NAMES;
use crate::error::ApiError;
use crate::json::{Json, written};
use crate::parameters::{Asked, Parameters};
use crate::reply;
use similar::{Algorithm, Search};

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson; charset=utf-8");

/// Names and lines where nothing else is asked for.
const DEFAULT_LIMIT: usize = 100;

/// `GET` and `POST /api/v1/search/metric_names`.
pub(crate) async fn metric_names(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let options = Options::read(&asked.parameters)?;
    let metadata = match options.include_metadata {
        true => door.engine.metric_metadata(&asked.context).await?,
        false => Vec::new(),
    };
    values(&door, &asked, METRIC_NAME, options, metadata).await
}

/// `GET` and `POST /api/v1/search/label_values`.
pub(crate) async fn label_values(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let options = Options::read(&asked.parameters)?;
    let label = asked.parameters.get("label").ok_or_else(|| ApiError::parameter("label", "must be given"))?;
    values(&door, &asked, label, options, Vec::new()).await
}

/// `GET` and `POST /api/v1/search/label_names`.
pub(crate) async fn label_names(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let options = Options::read(&asked.parameters)?;
    let SeriesQuestion { sets, range, .. } = SeriesQuestion::read(&asked.parameters)?;
    let names = door.engine.label_names(&asked.context, Labelled::Series, &sets, range, None).await?;
    answer(names.value, options, Vec::new()).await
}

async fn values(
    door: &Prometheus,
    asked: &Asked,
    label: &str,
    options: Options,
    metadata: Vec<MetricMetadata>,
) -> Result<Response, PromError> {
    let SeriesQuestion { sets, range, .. } = SeriesQuestion::read(&asked.parameters)?;
    let values =
        door.engine.label_values(&asked.context, Labelled::Series, label, &sets, range, None).await?;
    answer(values.value, options, metadata).await
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
    by_score: bool,
    is_descending: bool,
    include_score: bool,
    include_metadata: bool,
    limit: usize,
    batch_size: usize,
}

impl Options {
    fn read(parameters: &Parameters) -> Result<Self, ApiError> {
        let one_of = |name: &'static str, values: [&str; 2]| match parameters.get(name) {
            None => Ok(0),
            Some(text) => values
                .iter()
                .position(|value| *value == text)
                .ok_or_else(|| ApiError::parameter(name, format!("must be {} or {}", values[0], values[1]))),
        };
        let flag = |name, default: bool| match parameters.get(name) {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(ApiError::parameter(name, "must be true or false")),
        };
        let number = |name, default: usize| match parameters.get(name).map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(number @ 1..=MAX_SEARCH_NAMES)) => Ok(number),
            Some(_) => {
                Err(ApiError::parameter(name, format!("must be a number between 1 and {MAX_SEARCH_NAMES}")))
            }
        };
        let threshold = match parameters.get("fuzz_threshold").map(str::parse::<f64>) {
            None => None,
            Some(Ok(percent)) if (0.0..=100.0).contains(&percent) => Some(percent / 100.0),
            Some(_) => return Err(ApiError::parameter("fuzz_threshold", "must be between 0 and 100")),
        };
        let algorithm = match one_of("fuzz_alg", ["subsequence", "jarowinkler"])? {
            0 => Algorithm::Subsequence,
            _ => Algorithm::JaroWinkler,
        };
        let terms = parameters.all("search[]").filter(|term| !term.is_empty()).map(str::to_owned).collect();
        let is_exact = flag("case_sensitive", true)?;
        let by_score = one_of("sort_by", ["alpha", "score"])? == 1;
        // The best first, where nothing else is asked for.
        let is_descending = match parameters.get("sort_dir") {
            None => by_score,
            Some(_) => one_of("sort_dir", ["asc", "dsc"])? == 1,
        };
        Ok(Self {
            search: Search::new(terms, algorithm, threshold, is_exact),
            by_score,
            is_descending,
            include_score: flag("include_score", false)?,
            include_metadata: flag("include_metadata", false)?,
            limit: number("limit", DEFAULT_LIMIT)?,
            batch_size: number("batch_size", DEFAULT_LIMIT)?,
        })
    }
}

/// Batches of results, then how it ended.
fn lines(names: Vec<String>, options: &Options, metadata: &[MetricMetadata]) -> Vec<u8> {
    let scored = names.into_iter().filter_map(|name| Some((options.search.score(&name)?, name)));
    let mut found: Vec<(f64, String)> = scored.collect();
    found.sort_by(|a, b| {
        let by_name = a.1.cmp(&b.1);
        let order = if options.by_score { a.0.total_cmp(&b.0) } else { by_name };
        if options.is_descending { order.reverse() } else { order }.then(by_name)
    });
    let has_more = found.len() > options.limit;
    found.truncate(options.limit);
    let mut of_metric: HashMap<&str, &MetricMetadata> = HashMap::new();
    metadata.iter().for_each(|one| _ = of_metric.entry(one.name.as_str()).or_insert(one));
    written(|json| {
        for batch in found.chunks(options.batch_size) {
            json.raw("{\"results\":");
            json.list(batch, |json, (score, name)| {
                write_one(json, name, *score, options, of_metric.get(name.as_str()).copied());
            });
            json.raw("}\n");
        }
        json.raw("{\"status\":\"success\",\"has_more\":");
        json.plain(has_more);
        json.raw("}\n");
    })
}

fn write_one(json: &mut Json, name: &str, score: f64, options: &Options, metadata: Option<&MetricMetadata>) {
    json.raw("{\"name\":");
    json.text(name);
    if options.include_score {
        json.raw(",\"score\":");
        json.plain(score);
    }
    if let Some(metadata) = metadata {
        let fields =
            [("type", metadata.metric_type.as_str()), ("help", &metadata.help), ("unit", &metadata.unit)];
        json.raw(",\"metadata\":");
        json.text_object(fields);
    }
    json.raw("}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(parameters: &str, names: &[&str]) -> String {
        let options =
            Options::read(&Parameters::parse(parameters, &[])).unwrap_or_else(|error| panic!("{error}"));
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
            found("search[]=TOTAL&case_sensitive=false&limit=1&sort_dir=dsc", &names),
            "{\"results\":[{\"name\":\"c_total\"}]}\n{\"status\":\"success\",\"has_more\":true}\n"
        );
        assert_eq!(found("search[]=none", &names), "{\"status\":\"success\",\"has_more\":false}\n");
    }

    #[test]
    fn the_nearest_comes_first_by_score() {
        let names = ["http_requests_total", "hr", "http_requests"];
        let text = found("search[]=http_requests&sort_by=score&include_score=true&fuzz_threshold=10", &names);
        assert!(text.starts_with("{\"results\":[{\"name\":\"http_requests\",\"score\":1}"), "{text}");
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for parameters in ["sort_by=size", "limit=0", "limit=x", "fuzz_threshold=101", "include_score=maybe"]
        {
            assert!(Options::read(&Parameters::parse(parameters, &[])).is_err(), "{parameters}");
        }
    }
}
