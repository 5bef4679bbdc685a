//! Whether an answer is what a script expects.

use model::Labels;
use query::{Point, PromAnswer, PromRequest, Value, ValueType};

use super::fixed;
use super::histogram;
use super::script::Case;
use super::series::Sample;
use super::store::Store;

/// Whether two numbers are the same but for rounding.
pub(crate) fn near(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (difference, both) = ((a - b).abs(), a.abs() + b.abs());
    // What should be nothing is nothing.
    if a == 0.0 || b == 0.0 || both < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / both.min(f64::MAX) < 1e-6
}

const MINUTE_MS: i64 = 60_000;

/// Asks and compares; else what is wrong. What is asked at one moment is asked over a range around it too, and bound
/// to that moment at others and over a range of others; there it must be the same.
pub(crate) async fn check(store: &Store, case: &Case) -> Result<(), String> {
    let request = PromRequest {
        start_ms: case.start_ms,
        end_ms: case.end_ms,
        step_ms: case.step_ms,
        timeout_ns: None,
        lookback_ms: None,
        limit: None,
        counts_samples: false,
    };
    let answer = once(store, case, &case.query, request).await?;
    if case.step_ms.is_some() {
        return Ok(());
    }
    let fixed = fixed::fixed(&case.query, case.start_ms);
    if let (Some(query), true) = (&fixed, answer.is_none() || case.ordered) {
        for at_ms in [-10 * case.start_ms.max(100), 0, case.start_ms / 5, case.start_ms, 10 * case.start_ms] {
            let request = PromRequest { start_ms: at_ms, end_ms: at_ms, ..request };
            once(store, case, query, request)
                .await
                .map_err(|why| format!("bound, at {at_ms}, {query}: {why}"))?;
        }
    }
    let Some(answer) = answer else { return Ok(()) };
    let is_comparable = matches!(answer.value.value_type(), ValueType::Vector | ValueType::Scalar);
    // What depends on the query's own range is another thing over another range.
    let of_range = ["start()", "end()", "step()", "range()"].iter().any(|call| case.query.contains(call));
    if case.ordered || of_range || !is_comparable {
        return Ok(());
    }
    let around = PromRequest {
        start_ms: case.start_ms - MINUTE_MS,
        end_ms: case.start_ms + MINUTE_MS,
        step_ms: Some(MINUTE_MS),
        ..request
    };
    let around = store.ask(&case.query, around).await.map_err(|error| format!("over a range: {error}"))?;
    let around = at_moment(case, case.start_ms, &answer, &around.value);
    compare(case, &around).map_err(|why| format!("over a range: {why}"))?;
    match fixed {
        Some(query) => bound(store, case, &query, request, &answer).await,
        None => Ok(()),
    }
}

/// Asks one time; nothing where it failed as it must.
async fn once(
    store: &Store,
    case: &Case,
    query: &str,
    request: PromRequest,
) -> Result<Option<PromAnswer>, String> {
    let answer = match (store.ask(query, request).await, &case.fails) {
        (Err(error), Some(wanted)) => {
            let error = error.to_string();
            return if wanted.fits(&error) { Ok(None) } else { Err(format!("failed with: {error}")) };
        }
        (Err(error), None) => return Err(error.to_string()),
        (Ok(answer), Some(_)) => return Err(format!("did not fail: {:?}", answer.value)),
        (Ok(answer), None) => answer,
    };
    case.warnings.check("warnings", &answer.warnings)?;
    case.infos.check("infos", &answer.infos)?;
    compare(case, &answer.value)?;
    Ok(Some(answer))
}

/// The same at any time, where all is bound to the moment that was asked for.
async fn bound(
    store: &Store,
    case: &Case,
    query: &str,
    request: PromRequest,
    instant: &PromAnswer,
) -> Result<(), String> {
    let (step_ms, most) = if case.start_ms == 0 { (1000, 1) } else { ((case.start_ms / 5).abs().max(1), 50) };
    let request =
        PromRequest { start_ms: -most * step_ms, end_ms: most * step_ms, step_ms: Some(step_ms), ..request };
    let answer = store.ask(query, request).await.map_err(|error| format!("bound, {query}: {error}"))?;
    for at_ms in (-most..=most).map(|times| times * step_ms) {
        let then = at_moment(case, at_ms, instant, &answer.value);
        compare(case, &then).map_err(|why| format!("bound, at {at_ms}, {query}: {why}"))?;
    }
    Ok(())
}

/// The points of one moment, as if they had been asked for at the case's.
fn at_moment(case: &Case, at_ms: i64, instant: &PromAnswer, range: &Value) -> Value {
    let Value::Matrix(series) = range else { return range.clone() };
    let at = |series: &query::SeriesValues| {
        series.points.iter().find(|(at, _)| *at == at_ms).map(|(_, point)| point.clone())
    };
    if instant.value.value_type() == ValueType::Scalar {
        let number = series.first().and_then(at).and_then(|point| point.float());
        return Value::Scalar(case.start_ms, number.unwrap_or(f64::NAN));
    }
    let samples = series.iter().filter_map(|one| Some((one.labels.clone(), case.start_ms, at(one)?)));
    Value::Vector(samples.collect())
}

fn compare(case: &Case, value: &Value) -> Result<(), String> {
    let fits = match value {
        Value::Scalar(_, value) => case.scalar.is_some_and(|wanted| near(*value, wanted)),
        Value::String(_, text) => case.string.as_ref() == Some(text),
        Value::Vector(samples) => {
            let fits = |wanted: &(Labels, Vec<Sample>), have: &(Labels, i64, Point)| {
                wanted.0 == have.0 && matches!(&wanted.1[..], [sample] if same(sample, &have.2))
            };
            case.scalar.is_none()
                && samples.len() == case.series.len()
                && if case.ordered {
                    case.series.iter().zip(samples).all(|(wanted, have)| fits(wanted, have))
                } else {
                    case.series.iter().all(|wanted| samples.iter().any(|have| fits(wanted, have)))
                }
        }
        Value::Matrix(series) => {
            let range = case.matrix.unwrap_or((case.start_ms, case.end_ms, case.step_ms.unwrap_or(1)));
            case.scalar.is_none()
                && !case.ordered
                && series.len() == case.series.len()
                && series.is_sorted_by(|a, b| a.labels < b.labels)
                && case.series.iter().all(|(labels, samples)| {
                    series.iter().any(|have| have.labels == *labels && points(samples, &have.points, range))
                })
        }
    };
    if fits { Ok(()) } else { Err(format!("gave {value:?}")) }
}

fn same(wanted: &Sample, have: &Point) -> bool {
    match (wanted, have) {
        (Sample::Float(a), Point::Float(b)) => near(*a, *b),
        (Sample::Histogram(a, has_hint), Point::Histogram(b)) => histogram::near(a, b, *has_hint),
        _ => false,
    }
}

fn points(wanted: &[Sample], have: &[(i64, Point)], (start_ms, end_ms, step_ms): (i64, i64, i64)) -> bool {
    let mut at = start_ms;
    let mut rest = have.iter();
    for sample in wanted {
        // More than the range has moments.
        if at > end_ms {
            return false;
        }
        if *sample != Sample::Gap {
            let fits = rest.next().is_some_and(|(have_at, point)| *have_at == at && same(sample, point));
            if !fits {
                return false;
            }
        }
        at += step_ms;
    }
    rest.next().is_none()
}
