//! What an action of a template computes with.

use std::collections::BTreeMap;
use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nil,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// Nanoseconds since the epoch.
    Time(i64),
    /// The labels of the line: what `.` is at first.
    Labels,
}

impl Value {
    /// Whether Go counts it as true: not empty, not zero.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Text(text) => !text.is_empty(),
            Value::Int(v) => *v != 0,
            Value::Float(v) => *v != 0.0,
            Value::Bool(v) => *v,
            Value::List(items) => !items.is_empty(),
            Value::Map(members) => !members.is_empty(),
            Value::Time(_) | Value::Labels => true,
        }
    }

    /// As a number, also out of a text; 0 where there is none, as Loki's functions have it.
    pub(super) fn float(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "templates compute with floating-point numbers here")]
        match self {
            Value::Int(v) => *v as f64,
            Value::Float(v) => *v,
            Value::Bool(v) => f64::from(u8::from(*v)),
            Value::Text(text) => text.trim().parse().unwrap_or(0.0),
            _ => 0.0,
        }
    }

    /// As a whole number, also out of a text; 0 where there is none.
    pub(super) fn int(&self) -> i64 {
        match self {
            Value::Int(v) => *v,
            Value::Text(text) => text.trim().parse().unwrap_or_else(|_| truncated(self.float())),
            _ => truncated(self.float()),
        }
    }

    /// A number as a text's length or position.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.int()).unwrap_or(0)
    }

    /// From JSON.
    pub(super) fn from_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(v) => Value::Bool(v),
            serde_json::Value::Number(v) => Value::Float(v.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(v) => Value::Text(v),
            serde_json::Value::Array(items) => Value::List(items.into_iter().map(Value::from_json).collect()),
            serde_json::Value::Object(members) => {
                Value::Map(members.into_iter().map(|(name, v)| (name, Value::from_json(v))).collect())
            }
        }
    }
}

/// Without the fraction; numbers beyond 64 bits end at their bounds.
pub(super) fn truncated(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
    let whole = value as i64;
    whole
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("<no value>"),
            Value::Text(text) => f.write_str(text),
            Value::Int(v) => write!(f, "{v}"),
            Value::Float(v) => f.write_str(&syntax::number::format_short(*v)),
            Value::Bool(v) => write!(f, "{v}"),
            Value::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { " " } else { "" })?;
                }
                f.write_str("]")
            }
            Value::Map(members) => {
                f.write_str("map[")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    write!(f, "{}{name}:{value}", if i > 0 { " " } else { "" })?;
                }
                f.write_str("]")
            }
            Value::Time(ns) => {
                f.write_str(&super::time::format(*ns, "2006-01-02 15:04:05.999999999 -0700 MST"))
            }
            Value::Labels => f.write_str("map[]"),
        }
    }
}
