//! Values while a query runs: how they compare, and how they calculate.

use std::borrow::Cow;
use std::cmp::Ordering;

use model::attributes::{AttributeRef, AttributeValue};

use crate::ast::{ArithmeticOp, CompareOp, KINDS, STATUSES, Static, word};

/// A value of a span. Arrays stand here as their JSON text and are compared element by element.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    String(Cow<'a, str>),
    Bool(bool),
    Status(u8),
    Kind(u8),
    Array(Cow<'a, str>),
}

/// Identifies a value in a hash table: a number per type, and the value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GroupKey {
    Number(u8, u64),
    Text(u8, String),
}

impl<'a> Value<'a> {
    pub(crate) fn of_attribute(value: AttributeRef<'a>) -> Self {
        match value {
            AttributeRef::String(v) | AttributeRef::Map(v) | AttributeRef::Bytes(v) => {
                Value::String(v.into())
            }
            AttributeRef::Bool(v) => Value::Bool(v),
            AttributeRef::Int(v) => Value::Int(v),
            AttributeRef::Double(v) => Value::Float(v),
            AttributeRef::Array(v) => Value::Array(v.into()),
        }
    }

    /// The value that is written; none for `nil`.
    pub(crate) fn of_static(value: &'a Static) -> Option<Self> {
        Some(match value {
            Static::Nil => return None,
            Static::Int(v) => Value::Int(*v),
            Static::Float(v) => Value::Float(*v),
            Static::String(v) => Value::String(v.as_str().into()),
            Static::Bool(v) => Value::Bool(*v),
            Static::Duration(v) => Value::Duration(*v),
            Static::Status(v) => Value::Status(*v),
            Static::Kind(v) => Value::Kind(*v),
        })
    }

    /// The value as an answer shows it: durations, status and kind as their words.
    pub(crate) fn to_attribute(&self) -> AttributeValue {
        match self {
            Value::Int(v) => AttributeValue::Int(*v),
            Value::Float(v) => AttributeValue::Double(*v),
            Value::Duration(v) => AttributeValue::String(syntax::duration::format_go_ns(*v)),
            Value::String(v) => AttributeValue::String(v.clone().into_owned()),
            Value::Bool(v) => AttributeValue::Bool(*v),
            Value::Status(v) => AttributeValue::String(word(&STATUSES, *v).to_owned()),
            Value::Kind(v) => AttributeValue::String(word(&KINDS, *v).to_owned()),
            Value::Array(v) => AttributeValue::Array(v.clone().into_owned()),
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(v) | Value::Duration(v) => Some(*v as f64),
            Value::Float(v) => Some(*v),
            _ => None,
        }
    }

    /// The order of two values of one type; numbers are one type. None where they do not compare.
    fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(a) | Value::Duration(a), Value::Int(b) | Value::Duration(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some(a.as_ref().cmp(b.as_ref())),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Status(a), Value::Status(b)) | (Value::Kind(a), Value::Kind(b)) => Some(a.cmp(b)),
            _ => self.as_f64()?.partial_cmp(&other.as_f64()?),
        }
    }

    /// Whether the comparison, which is not one with a regular expression, holds. Values that do not compare never
    /// do; an array is equal to what any of its elements is equal to.
    pub(crate) fn compare(&self, op: CompareOp, other: &Value<'_>) -> bool {
        if let Value::Array(json) = self {
            return any_or_none(json, op, |element, op| element.compare(op, other));
        }
        if let Value::Array(json) = other {
            return any_or_none(json, op.mirrored(), |element, op| element.compare(op, self));
        }
        self.order(other).is_some_and(|order| match op {
            CompareOp::Equal | CompareOp::Regex => order.is_eq(),
            CompareOp::NotEqual | CompareOp::NotRegex => order.is_ne(),
            CompareOp::Less => order.is_lt(),
            CompareOp::LessEqual => order.is_le(),
            CompareOp::Greater => order.is_gt(),
            CompareOp::GreaterEqual => order.is_ge(),
        })
    }

    /// Whether the text, or any element of an array, matches; with `negated`, whether none does. What is no text
    /// does neither.
    pub(crate) fn matches(&self, regex: &regex::Regex, negated: bool) -> bool {
        match self {
            Value::String(text) => regex.is_match(text) != negated,
            Value::Array(json) => {
                let op = if negated { CompareOp::NotRegex } else { CompareOp::Regex };
                any_or_none(json, op, |element, op| element.matches(regex, op == CompareOp::NotRegex))
            }
            _ => false,
        }
    }

    /// The result of a calculation; none where an operand is no number. Whole numbers stay whole where the result
    /// is, but for `/` and `^`; a duration with a number stays a duration.
    pub(crate) fn calculate(&self, op: ArithmeticOp, other: &Value<'_>) -> Option<Value<'static>> {
        let (a, b) = (self.as_f64()?, other.as_f64()?);
        let float = match op {
            ArithmeticOp::Add => a + b,
            ArithmeticOp::Sub => a - b,
            ArithmeticOp::Mul => a * b,
            ArithmeticOp::Div => a / b,
            ArithmeticOp::Mod => a % b,
            ArithmeticOp::Pow => a.powf(b),
        };
        let whole = match (self, other) {
            (Value::Int(a) | Value::Duration(a), Value::Int(b) | Value::Duration(b)) => match op {
                ArithmeticOp::Add => a.checked_add(*b),
                ArithmeticOp::Sub => a.checked_sub(*b),
                ArithmeticOp::Mul => a.checked_mul(*b),
                ArithmeticOp::Mod => a.checked_rem(*b),
                ArithmeticOp::Div | ArithmeticOp::Pow => None,
            },
            _ => None,
        };
        let durations = [self, other].iter().filter(|v| matches!(v, Value::Duration(_))).count();
        let is_duration = match op {
            ArithmeticOp::Add | ArithmeticOp::Sub | ArithmeticOp::Mod => durations > 0,
            ArithmeticOp::Mul => durations == 1,
            ArithmeticOp::Div => durations == 1 && matches!(self, Value::Duration(_)),
            ArithmeticOp::Pow => false,
        };
        Some(match whole {
            Some(whole) if is_duration => Value::Duration(whole),
            Some(whole) => Value::Int(whole),
            None if is_duration && float.is_finite() => Value::Duration(float as i64),
            None => Value::Float(float),
        })
    }

    /// The number with the other sign; none where it is no number.
    pub(crate) fn negate(&self) -> Option<Value<'static>> {
        match self {
            Value::Int(v) => Some(v.checked_neg().map_or(Value::Float(-(*v as f64)), Value::Int)),
            Value::Duration(v) => Some(Value::Duration(v.saturating_neg())),
            Value::Float(v) => Some(Value::Float(-v)),
            _ => None,
        }
    }

    /// What is the same for values that are grouped together, and for no others.
    pub(crate) fn group_key(&self) -> GroupKey {
        match self {
            Value::Int(v) => GroupKey::Number(0, v.cast_unsigned()),
            Value::Float(v) => GroupKey::Number(1, v.to_bits()),
            Value::Duration(v) => GroupKey::Number(2, v.cast_unsigned()),
            Value::Bool(v) => GroupKey::Number(3, u64::from(*v)),
            Value::Status(v) => GroupKey::Number(4, u64::from(*v)),
            Value::Kind(v) => GroupKey::Number(5, u64::from(*v)),
            Value::String(v) => GroupKey::Text(0, v.as_ref().to_owned()),
            Value::Array(v) => GroupKey::Text(1, v.as_ref().to_owned()),
        }
    }

    /// The same value without what it borrows.
    pub(crate) fn into_static(self) -> Value<'static> {
        match self {
            Value::Int(v) => Value::Int(v),
            Value::Float(v) => Value::Float(v),
            Value::Duration(v) => Value::Duration(v),
            Value::String(v) => Value::String(Cow::Owned(v.into_owned())),
            Value::Bool(v) => Value::Bool(v),
            Value::Status(v) => Value::Status(v),
            Value::Kind(v) => Value::Kind(v),
            Value::Array(v) => Value::Array(Cow::Owned(v.into_owned())),
        }
    }
}

impl CompareOp {
    /// The comparison with its sides exchanged.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            CompareOp::Less => CompareOp::Greater,
            CompareOp::LessEqual => CompareOp::GreaterEqual,
            CompareOp::Greater => CompareOp::Less,
            CompareOp::GreaterEqual => CompareOp::LessEqual,
            other => other,
        }
    }
}

/// Positive comparisons hold where they hold for any element, negative ones where the positive one holds for none.
fn any_or_none(json: &str, op: CompareOp, holds: impl Fn(Value<'_>, CompareOp) -> bool) -> bool {
    let (positive, negated) = match op {
        CompareOp::NotEqual => (CompareOp::Equal, true),
        CompareOp::NotRegex => (CompareOp::Regex, true),
        op => (op, false),
    };
    elements(json).any(|element| holds(element, positive)) != negated
}

/// The elements of a JSON array that are no arrays or objects themselves; what does not read is left out.
fn elements(json: &str) -> impl Iterator<Item = Value<'_>> {
    let inner = json.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
    split(inner).filter_map(|text| match text.trim() {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        text if text.starts_with('"') => unquoted(text).map(Value::String),
        text => text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float)).ok(),
    })
}

/// The runs between the commas of the outermost level.
fn split(inner: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(inner);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
        for (i, byte) in text.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                b',' if depth <= 0 => {
                    rest = Some(&text[i + 1..]);
                    return Some(&text[..i]);
                }
                _ => {}
            }
        }
        rest = None;
        Some(text)
    })
}

/// The text of a JSON string.
fn unquoted(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(inner.into());
    }
    let mut units: Vec<u16> = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = if c != '\\' {
            c
        } else {
            match chars.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).ok()?);
                    continue;
                }
                other => other,
            }
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests;
