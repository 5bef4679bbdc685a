//! What is said of classic histograms whose counts fell from bucket to bucket and were mended: once per metric, with the
//! bounds, the largest fall and the time of all of them, in Prometheus' words.

use std::collections::BTreeMap;

use jiff::Timestamp;
use syntax::number::format_short;

use super::classic::of_metric;
use crate::annotations::Annotations;

/// What was mended in one histogram at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mended {
    /// The bounds of the first and the last bucket whose count was raised.
    pub(super) from: f64,
    pub(super) to: f64,
    /// The most that a count was raised by.
    pub(super) most: f64,
}

impl Mended {
    /// One more bucket, whose bound is above those before it.
    pub(super) fn with(before: Option<Self>, upper: f64, by: f64) -> Self {
        let first = Self { from: upper, to: upper, most: by };
        before.map_or(first, |before| Self { to: upper, most: before.most.max(by), ..before })
    }
}

/// What was mended of a metric.
#[derive(Clone, Copy, Debug)]
struct Sum {
    mended: Mended,
    samples: usize,
    first_ms: i64,
    last_ms: i64,
}

/// What was mended, by metric.
#[derive(Debug, Default)]
pub(super) struct Falls(BTreeMap<String, Sum>);

impl Falls {
    pub(super) fn add(&mut self, name: &str, at_ms: i64, mended: Mended) {
        let Some(sum) = self.0.get_mut(name) else {
            self.0.insert(name.to_owned(), Sum { mended, samples: 1, first_ms: at_ms, last_ms: at_ms });
            return;
        };
        sum.mended.from = sum.mended.from.min(mended.from);
        sum.mended.to = sum.mended.to.max(mended.to);
        sum.mended.most = sum.mended.most.max(mended.most);
        sum.samples += 1;
        sum.first_ms = sum.first_ms.min(at_ms);
        sum.last_ms = sum.last_ms.max(at_ms);
    }

    pub(super) fn tell(self, notes: &mut Annotations) {
        for (name, Sum { mended, samples, first_ms, last_ms }) in self.0 {
            let text = of_metric(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
                &name,
            );
            let Mended { from, to, most } = mended;
            notes.info(format!(
                "{text}, from buckets {} to {}, with a max diff of {}, over {samples} samples from {} to {}",
                format_short(from),
                format_short(to),
                two_digits(most),
                moment(first_ms),
                moment(last_ms),
            ));
        }
    }
}

/// The second of a moment; nothing where it is none of the calendar.
fn moment(ms: i64) -> String {
    Timestamp::from_second(ms.div_euclid(1_000)).map_or_else(|_| String::new(), |at| at.to_string())
}

/// A number with two digits, with an exponent where it has more before the point or is very small.
fn two_digits(value: f64) -> String {
    let text = format!("{value:.1e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return format_short(value) };
    let Ok(power) = exponent.parse::<i32>() else { return format_short(value) };
    if !(-4..2).contains(&power) {
        let mantissa = mantissa.strip_suffix(".0").unwrap_or(mantissa);
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", power.abs());
    }
    let decimals = usize::try_from(1 - power).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    trimmed.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_digits() {
        let cases = [
            (10.0, "10"),
            (7.5, "7.5"),
            (1.0, "1"),
            (0.0123, "0.012"),
            (123.0, "1.2e+02"),
            (100.0, "1e+02"),
            (0.000_056, "5.6e-05"),
            (99.9, "1e+02"),
        ];
        for (value, wanted) in cases {
            assert_eq!(two_digits(value), wanted, "{value}");
        }
    }

    #[test]
    fn what_is_said_of_a_metric_is_one_sentence() {
        let mut falls = Falls::default();
        falls.add("s", 1_735_084_800_000, Mended { from: 5.0, to: 50.0, most: 5.5 });
        falls.add("s", 1_703_462_400_000, Mended { from: 10.0, to: 100.0, most: 10.0 });
        falls.add("s", 1_733_011_200_000, Mended { from: 2.5, to: 75.0, most: 7.5 });
        let mut notes = Annotations::default();
        falls.tell(&mut notes);
        let (_, infos) = notes.to_lists("");
        assert_eq!(
            infos,
            ["PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
              https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for metric name \
              \"s\", from buckets 2.5 to 100, with a max diff of 10, over 3 samples from 2023-12-25T00:00:00Z to \
              2024-12-25T00:00:00Z (1:1)"]
        );
    }
}
