//! Native histograms as scripts write them: `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`.

use std::collections::{BTreeMap, BTreeSet};

use model::histogram::{NativeHistogram, ResetHint, Span};

/// Reads what stands between the double braces; also whether it says something of resets.
pub(crate) fn parse(text: &str) -> Result<(NativeHistogram, bool), String> {
    let mut h = NativeHistogram::default();
    let mut keys = BTreeSet::new();
    let (mut offset, mut negative_offset) = (0_i32, 0_i32);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once(':').ok_or_else(|| format!("no key in {rest}"))?;
        let end = if behind.starts_with('[') { behind.find(']').map(|i| i + 1) } else { behind.find(' ') };
        let (value, behind) = behind.split_at(end.unwrap_or(behind.len()));
        rest = behind.trim_start();
        let number = || syntax::number::parse(value).map_err(|e| e.to_string());
        let list = || -> Result<Vec<f64>, String> {
            let inner = value.trim_matches(['[', ']']);
            inner
                .split_whitespace()
                .map(|item| syntax::number::parse(item).map_err(|e| e.to_string()))
                .collect()
        };
        if !keys.insert(key) {
            return Err(format!("twice: {key}"));
        }
        match key {
            "schema" => h.schema = value.parse().map_err(|_| format!("schema {value}"))?,
            "sum" => h.sum = number()?,
            "count" => h.count = number()?,
            "z_bucket" => h.zero_count = number()?,
            "z_bucket_w" => h.zero_threshold = number()?,
            "custom_values" => h.custom_bounds = list()?,
            "offset" => offset = value.parse().map_err(|_| format!("offset {value}"))?,
            "n_offset" => negative_offset = value.parse().map_err(|_| format!("offset {value}"))?,
            "buckets" => h.positive_counts = list()?,
            "n_buckets" => h.negative_counts = list()?,
            "counter_reset_hint" => {
                h.reset_hint = match value {
                    "gauge" => ResetHint::Gauge,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NoReset,
                    "unknown" => ResetHint::Unknown,
                    other => return Err(format!("unknown hint {other}")),
                }
            }
            other => return Err(format!("unknown key {other}")),
        }
    }
    let spans = |counts: &[f64], offset: i32| {
        let length = u32::try_from(counts.len()).expect("scripts have small histograms");
        if length == 0 { Vec::new() } else { vec![Span { offset, length }] }
    };
    h.positive_spans = spans(&h.positive_counts, offset);
    h.negative_spans = spans(&h.negative_counts, negative_offset);
    Ok((h, keys.contains("counter_reset_hint")))
}

/// The buckets that are not empty, by index.
fn buckets(spans: &[Span], counts: &[f64]) -> Vec<(i32, f64)> {
    let (mut index, mut counts, mut out) = (0, counts.iter(), Vec::new());
    for span in spans {
        index += span.offset;
        for _ in 0..span.length {
            out.extend(counts.next().filter(|count| **count != 0.0).map(|count| (index, *count)));
            index += 1;
        }
    }
    out
}

/// Whether two are the same but for rounding, and in what they say of resets where that is wanted.
pub(crate) fn near(a: &NativeHistogram, b: &NativeHistogram, has_hint: bool) -> bool {
    let all = |h: &NativeHistogram| {
        let mut all = buckets(&h.positive_spans, &h.positive_counts);
        all.extend(buckets(&h.negative_spans, &h.negative_counts).into_iter().map(|(i, c)| (i - 100_000, c)));
        all
    };
    let (left, right) = (all(a), all(b));
    a.schema == b.schema
        && (!has_hint || a.reset_hint == b.reset_hint)
        && [
            (a.count, b.count),
            (a.sum, b.sum),
            (a.zero_count, b.zero_count),
            (a.zero_threshold, b.zero_threshold),
        ]
        .into_iter()
        .all(|(a, b)| super::result::near(a, b))
        && a.custom_bounds == b.custom_bounds
        && left.len() == right.len()
        && left.iter().zip(&right).all(|(a, b)| a.0 == b.0 && super::result::near(a.1, b.1))
}

/// One added to another a number of times; the other may have the higher resolution.
pub(crate) fn plus(base: &NativeHistogram, step: &NativeHistogram, times: f64) -> NativeHistogram {
    let finer = u32::try_from(step.schema - base.schema).unwrap_or(0);
    let shift = if times == 0.0 { 0 } else { finer };
    let add = |(spans, counts): (&[Span], &[f64]), (more_spans, more): (&[Span], &[f64])| {
        let mut all: BTreeMap<i32, f64> = buckets(spans, counts).into_iter().collect();
        for (index, count) in buckets(more_spans, more) {
            *all.entry(((index - 1) >> shift) + 1).or_insert(0.0) += times * count;
        }
        let mut next = 0;
        let mut spans = Vec::new();
        for index in all.keys() {
            spans.push(Span { offset: index - next, length: 1 });
            next = index + 1;
        }
        (spans, all.into_values().collect())
    };
    let positive = (base.positive_spans.as_slice(), base.positive_counts.as_slice());
    let negative = (base.negative_spans.as_slice(), base.negative_counts.as_slice());
    let (positive_spans, positive_counts) = add(positive, (&step.positive_spans, &step.positive_counts));
    let (negative_spans, negative_counts) = add(negative, (&step.negative_spans, &step.negative_counts));
    NativeHistogram {
        zero_count: base.zero_count + times * step.zero_count,
        count: base.count + times * step.count,
        sum: base.sum + times * step.sum,
        positive_spans,
        positive_counts,
        negative_spans,
        negative_counts,
        ..base.clone()
    }
}
