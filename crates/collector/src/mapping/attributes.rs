//! OTLP values to text, JSON and the typed attributes of `model`.
//!
//! Text forms follow OpenTelemetry's "Attribute values to non-OTLP protocols": strings bare, numbers in their
//! shortest form, bytes as Base64, arrays and maps as JSON.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{AttributeRef, AttributeValue};
use wire::WireError;
use wire::otlp::ValueView;
use wire::otlp::common::AnyValue;
use wire::otlp::common::any_value::Value;

/// A value as text; nothing is the empty text.
pub(crate) fn text(value: Option<&AnyValue>) -> Cow<'_, str> {
    match value.and_then(|any| any.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => Cow::Borrowed(""),
        Some(Value::StringValue(text)) => Cow::Borrowed(text),
        Some(Value::BoolValue(value)) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Some(Value::IntValue(value)) => Cow::Owned(value.to_string()),
        Some(Value::DoubleValue(value)) => Cow::Owned(double(*value)),
        Some(Value::BytesValue(bytes)) => Cow::Owned(STANDARD.encode(bytes)),
        Some(value @ (Value::ArrayValue(_) | Value::KvlistValue(_))) => {
            let mut json = String::new();
            write_json(&mut json, Some(value));
            Cow::Owned(json)
        }
    }
}

/// A value as a typed attribute; nothing is the empty text.
pub(crate) fn typed(value: Option<&AnyValue>) -> AttributeValue {
    match value.and_then(|any| any.value.as_ref()) {
        Some(Value::BoolValue(value)) => AttributeValue::Bool(*value),
        Some(Value::IntValue(value)) => AttributeValue::Int(*value),
        Some(Value::DoubleValue(value)) => AttributeValue::Double(*value),
        Some(Value::BytesValue(_)) => AttributeValue::Bytes(text(value).into_owned()),
        Some(Value::ArrayValue(_)) => AttributeValue::Array(text(value).into_owned()),
        Some(Value::KvlistValue(_)) => AttributeValue::Map(text(value).into_owned()),
        _ => AttributeValue::String(text(value).into_owned()),
    }
}

/// Calls `give` with a value as a typed attribute; strings and numbers are not copied.
pub(crate) fn with_typed<R>(value: Option<&AnyValue>, give: impl FnOnce(AttributeRef<'_>) -> R) -> R {
    match value.and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => give(AttributeRef::String(text)),
        Some(Value::BoolValue(value)) => give(AttributeRef::Bool(*value)),
        Some(Value::IntValue(value)) => give(AttributeRef::Int(*value)),
        Some(Value::DoubleValue(value)) => give(AttributeRef::Double(*value)),
        _ => give(typed(value).as_ref()),
    }
}

/// A value of a body as a typed attribute: in the body where it stands there as the column has it, else written out.
#[derive(Debug)]
pub(crate) enum Typed<'a> {
    /// Text and numbers.
    InPlace(AttributeRef<'a>),
    /// The rest.
    Written(AttributeValue),
}

impl Typed<'_> {
    pub(crate) fn as_ref(&self) -> AttributeRef<'_> {
        match self {
            Typed::InPlace(value) => *value,
            Typed::Written(value) => value.as_ref(),
        }
    }
}

/// A value of a body as a typed attribute; nothing is the empty text.
///
/// # Errors
/// When a list or map is malformed.
pub(crate) fn typed_view(value: ValueView<'_>) -> Result<Typed<'_>, WireError> {
    Ok(match value {
        ValueView::Nothing => Typed::InPlace(AttributeRef::String("")),
        ValueView::Text(text) => Typed::InPlace(AttributeRef::String(text)),
        ValueView::Bool(value) => Typed::InPlace(AttributeRef::Bool(value)),
        ValueView::Int(value) => Typed::InPlace(AttributeRef::Int(value)),
        ValueView::Double(value) => Typed::InPlace(AttributeRef::Double(value)),
        ValueView::Bytes(bytes) => Typed::Written(AttributeValue::Bytes(STANDARD.encode(bytes))),
        ValueView::Nested(nested) => Typed::Written(typed(Some(&nested.read()?))),
    })
}

/// The bytes of text that a value takes in a column.
pub(crate) const fn text_len(value: AttributeRef<'_>) -> usize {
    match value {
        AttributeRef::String(text)
        | AttributeRef::Bytes(text)
        | AttributeRef::Array(text)
        | AttributeRef::Map(text) => text.len(),
        AttributeRef::Bool(_) | AttributeRef::Int(_) | AttributeRef::Double(_) => 0,
    }
}

/// A value of a body as text; nothing is the empty text.
///
/// # Errors
/// When a list or map is malformed.
pub(crate) fn text_view(value: ValueView<'_>) -> Result<Cow<'_, str>, WireError> {
    Ok(match value {
        ValueView::Nothing => Cow::Borrowed(""),
        ValueView::Text(text) => Cow::Borrowed(text),
        ValueView::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        ValueView::Int(value) => Cow::Owned(value.to_string()),
        ValueView::Double(value) => Cow::Owned(double(value)),
        ValueView::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
        ValueView::Nested(nested) => Cow::Owned(text(Some(&nested.read()?)).into_owned()),
    })
}

/// Calls `give` for an attribute, and for every leaf below it where it is a map: names are joined with `_`.
///
/// The depth is that of the decoded message, which the decoder bounds.
pub(crate) fn flatten<'a>(
    name: &str,
    value: Option<&'a AnyValue>,
    give: &mut impl FnMut(&str, Option<&'a AnyValue>),
) {
    match value.and_then(|any| any.value.as_ref()) {
        Some(Value::KvlistValue(map)) => {
            for pair in &map.values {
                flatten(&format!("{name}_{}", pair.key), pair.value.as_ref(), give);
            }
        }
        _ => give(name, value),
    }
}

/// A number in its shortest form; infinities and NaN as Prometheus writes them.
pub(crate) fn double(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        let size = value.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) { format!("{value:e}") } else { value.to_string() }
    }
}

fn write_json(out: &mut String, value: Option<&Value>) {
    match value {
        None | Some(Value::StringValueStrindex(_)) => out.push_str("null"),
        Some(Value::StringValue(text)) => write_json_text(out, text),
        Some(Value::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Value::IntValue(value)) => write!(out, "{value}").expect("a string takes all text"),
        Some(Value::DoubleValue(value)) if value.is_finite() => out.push_str(&double(*value)),
        Some(Value::DoubleValue(value)) => write_json_text(out, &double(*value)),
        Some(Value::BytesValue(bytes)) => write_json_text(out, &STANDARD.encode(bytes)),
        Some(Value::ArrayValue(array)) => {
            out.push('[');
            for (i, item) in array.values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(out, item.value.as_ref());
            }
            out.push(']');
        }
        Some(Value::KvlistValue(map)) => {
            out.push('{');
            for (i, pair) in map.values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_text(out, &pair.key);
                out.push(':');
                write_json(out, pair.value.as_ref().and_then(|any| any.value.as_ref()));
            }
            out.push('}');
        }
    }
}

fn write_json_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("text is always JSON"));
}

#[cfg(test)]
mod tests {
    use wire::otlp::common::{ArrayValue, KeyValue, KeyValueList};

    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.into(), value: Some(any(value)), ..KeyValue::default() }
    }

    fn nested() -> AnyValue {
        let list = ArrayValue { values: vec![any(Value::IntValue(1)), AnyValue::default()] };
        let values = vec![
            pair("a\"", Value::ArrayValue(list)),
            pair("b", Value::DoubleValue(f64::NAN)),
            pair("c", Value::KvlistValue(KeyValueList { values: vec![pair("d", Value::BoolValue(true))] })),
        ];
        any(Value::KvlistValue(KeyValueList { values }))
    }

    #[test]
    fn values_have_one_text_each() {
        let table = [
            (any(Value::StringValue("x".into())), "x"),
            (any(Value::BoolValue(false)), "false"),
            (any(Value::IntValue(-3)), "-3"),
            (any(Value::DoubleValue(0.5)), "0.5"),
            (any(Value::DoubleValue(2.0)), "2"),
            (any(Value::DoubleValue(1e21)), "1e21"),
            (any(Value::DoubleValue(f64::INFINITY)), "+Inf"),
            (any(Value::BytesValue(vec![0, 1])), "AAE="),
            (AnyValue::default(), ""),
            (nested(), r#"{"a\"":[1,null],"b":"NaN","c":{"d":true}}"#),
        ];
        for (value, want) in table {
            assert_eq!(text(Some(&value)), want);
            with_typed(Some(&value), |v| assert_eq!(v, typed(Some(&value)).as_ref()));
        }
    }

    #[test]
    fn maps_flatten_to_their_leaves() {
        let value = nested();
        let mut leaves = Vec::new();
        flatten("m", Some(&value), &mut |name, leaf| leaves.push((name.to_owned(), text(leaf).into_owned())));
        let want = [("m_a\"", "[1,null]"), ("m_b", "NaN"), ("m_c_d", "true")];
        assert_eq!(leaves, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
