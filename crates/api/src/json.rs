//! Writes JSON text straight into a buffer: answers have millions of samples, and a tree of them would be larger
//! than they are.

use std::fmt::Display;
use std::io::Write;

use model::Labels;

/// JSON text that grows. What it writes is valid when each opened list and object is written by one call.
#[derive(Debug, Default)]
pub(crate) struct Json {
    buffer: Vec<u8>,
}

impl Json {
    /// Takes text that is JSON already.
    pub(crate) fn raw(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// A string.
    pub(crate) fn text(&mut self, text: &str) {
        serde_json::to_writer(&mut self.buffer, text).expect("memory takes every string");
    }

    /// A number, or anything else whose text is JSON.
    pub(crate) fn plain(&mut self, value: impl Display) {
        write!(self.buffer, "{value}").expect("memory takes every number");
    }

    /// A number as a string, as protobuf's mapping writes 64-bit integers.
    pub(crate) fn quoted(&mut self, value: impl Display) {
        write!(self.buffer, "\"{value}\"").expect("memory takes every number");
    }

    /// A list with an element for each item.
    pub(crate) fn list<T>(&mut self, items: impl IntoIterator<Item = T>, each: impl FnMut(&mut Self, T)) {
        self.raw("[");
        self.items(items, each);
        self.raw("]");
    }

    /// The elements of a list that is opened and closed elsewhere.
    pub(crate) fn items<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.raw(",");
            }
            each(self, item);
        }
    }

    /// A list of strings.
    pub(crate) fn texts<T: AsRef<str>>(&mut self, items: impl IntoIterator<Item = T>) {
        self.list(items, |json, item| json.text(item.as_ref()));
    }

    /// An object whose values are strings.
    pub(crate) fn text_object<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) {
        self.raw("{");
        for (i, (name, value)) in pairs.into_iter().enumerate() {
            if i > 0 {
                self.raw(",");
            }
            self.text(name.as_ref());
            self.raw(":");
            self.text(value.as_ref());
        }
        self.raw("}");
    }

    /// A set of labels as an object.
    pub(crate) fn labels(&mut self, labels: &Labels) {
        self.text_object(labels);
    }

    /// Milliseconds as seconds, with as many decimals as there are.
    pub(crate) fn seconds(&mut self, timestamp_ms: i64) {
        if timestamp_ms < 0 {
            self.raw("-");
        }
        let ms = timestamp_ms.unsigned_abs();
        let (seconds, fraction) = (ms / 1_000, ms % 1_000);
        serde_json::to_writer(&mut self.buffer, &seconds).expect("memory takes every number");
        if fraction > 0 {
            let digit = |power: u64| b'0' + u8::try_from(fraction / power % 10).expect("one digit");
            let decimals = [b'.', digit(100), digit(10), digit(1)];
            let zeros = decimals.iter().rev().take_while(|digit| **digit == b'0').count();
            self.buffer.extend_from_slice(&decimals[..decimals.len() - zeros]);
        }
    }

    /// A float as a string without exponent; `NaN`, `+Inf` and `-Inf` as Go writes them.
    pub(crate) fn float(&mut self, value: f64) {
        let magnitude = value.abs();
        if value == 0.0 || (1e-5..1e15).contains(&magnitude) {
            // Here the JSON writer, which is several times as fast, has no exponent either.
            self.raw("\"");
            serde_json::to_writer(&mut self.buffer, &value).expect("memory takes every number");
            if self.buffer.ends_with(b".0") {
                self.buffer.truncate(self.buffer.len() - 2);
            }
            self.raw("\"");
        } else if value.is_finite() {
            self.quoted(value);
        } else if value.is_nan() {
            self.raw("\"NaN\"");
        } else {
            self.raw(if value > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" });
        }
    }

    /// A float as a string, with an exponent of at least two digits below 1e-6 and from 1e21 on: Prometheus' form.
    pub(crate) fn float_with_exponent(&mut self, value: f64) {
        let magnitude = value.abs();
        if !value.is_finite() || value == 0.0 || (1e-6..1e21).contains(&magnitude) {
            return self.float(value);
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        self.quoted(format_args!("{mantissa}e{sign}{digits:0>2}"));
    }

    /// The text so far.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }
}

/// The text that a closure writes.
pub(crate) fn written(write: impl FnOnce(&mut Json)) -> Vec<u8> {
    let mut json = Json::default();
    write(&mut json);
    json.into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Json)) -> String {
        String::from_utf8(written(write)).unwrap()
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        let cases = [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (0.1, "0.1", "0.1"),
            (-12.5, "-12.5", "-12.5"),
            (1e6, "1000000", "1000000"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1e21, "1e+21", "1000000000000000000000"),
            (1.5e300, "1.5e+300", ""),
            (1e-6, "0.000001", "0.000001"),
            (1e-7, "1e-07", "0.0000001"),
            (-2.5e-12, "-2.5e-12", "-0.0000000000025"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ];
        for (value, prometheus, loki) in cases {
            assert_eq!(text(|json| json.float_with_exponent(value)), format!("\"{prometheus}\""));
            if !loki.is_empty() {
                assert_eq!(text(|json| json.float(value)), format!("\"{loki}\""));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_float_is_the_shortest_decimal_that_reads_back(
            value in prop_oneof![
                any::<f64>(),
                -1e16..1e16,
                -1e-3..1e-3,
                any::<i32>().prop_map(f64::from),
                (any::<i64>(), 0..12).prop_map(|(digits, scale)| digits as f64 / 10_f64.powi(scale)),
            ],
        ) {
            prop_assume!(value.is_finite());
            let written = text(|json| json.float(value));
            let digits = written.trim_matches('"');
            prop_assert_eq!(digits.parse(), Ok(value));
            // Of two that are as near, either may stand.
            prop_assert_eq!(digits.len(), value.to_string().len(), "{}", digits);
        }
    }

    #[test]
    fn milliseconds_are_written_as_seconds() {
        let cases = [
            (0, "0"),
            (1, "0.001"),
            (10, "0.01"),
            (1_500, "1.5"),
            (1_700_000_000_000, "1700000000"),
            (1_700_000_000_123, "1700000000.123"),
            (-1, "-0.001"),
            (-1_500, "-1.5"),
            (i64::MIN, "-9223372036854775.808"),
        ];
        for (timestamp_ms, expected) in cases {
            assert_eq!(text(|json| json.seconds(timestamp_ms)), expected);
        }
    }

    #[test]
    fn text_is_escaped() {
        let labels = Labels::from_pairs([("b", "\"quoted\"\n"), ("a", "ü\u{1}")]);
        assert_eq!(text(|json| json.labels(&labels)), r#"{"a":"ü\u0001","b":"\"quoted\"\n"}"#);
        assert_eq!(text(|json| json.texts(["x", "y"])), r#"["x","y"]"#);
        assert_eq!(text(|json| json.texts([""; 0])), "[]");
    }
}
