//! Conditions and access: `and or not eq ne lt le gt ge contains hasPrefix hasSuffix default len index slice`.

use std::cmp::Ordering;

use super::{Function, fixed, open};
use crate::template::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    open("and", 1, |_, a| Ok(a.iter().find(|v| !v.is_true()).or(a.last()).cloned().unwrap_or(Value::Nil))),
    open("or", 1, |_, a| Ok(a.iter().find(|v| v.is_true()).or(a.last()).cloned().unwrap_or(Value::Nil))),
    fixed("not", 1, |_, a| Ok(Value::Bool(!a[0].is_true()))),
    open("eq", 2, |_, a| Ok(Value::Bool(a[1..].iter().any(|v| compare(&a[0], v) == Some(Ordering::Equal))))),
    fixed("ne", 2, |_, a| Ok(Value::Bool(compare(&a[0], &a[1]) != Some(Ordering::Equal)))),
    fixed("lt", 2, |_, a| Ok(Value::Bool(compare(&a[0], &a[1]).is_some_and(Ordering::is_lt)))),
    fixed("le", 2, |_, a| Ok(Value::Bool(compare(&a[0], &a[1]).is_some_and(Ordering::is_le)))),
    fixed("gt", 2, |_, a| Ok(Value::Bool(compare(&a[0], &a[1]).is_some_and(Ordering::is_gt)))),
    fixed("ge", 2, |_, a| Ok(Value::Bool(compare(&a[0], &a[1]).is_some_and(Ordering::is_ge)))),
    fixed("contains", 2, |_, a| Ok(Value::Bool(a[1].to_string().contains(&a[0].to_string())))),
    fixed("hasPrefix", 2, |_, a| Ok(Value::Bool(a[1].to_string().starts_with(&a[0].to_string())))),
    fixed("hasSuffix", 2, |_, a| Ok(Value::Bool(a[1].to_string().ends_with(&a[0].to_string())))),
    Function {
        name: "default",
        least: 1,
        most: 2,
        call: |_, a| Ok(a.iter().rev().find(|v| v.is_true()).unwrap_or(&a[0]).clone()),
    },
    fixed("len", 1, |_, a| length(&a[0])),
    open("index", 1, |_, a| a[1..].iter().try_fold(a[0].clone(), index)),
    fixed("__line__", 0, |context, _| Ok(Value::Text(context.line.to_owned()))),
    fixed("__timestamp__", 0, |context, _| Ok(Value::Time(context.timestamp_ns))),
];

/// Numbers by size, texts by bytes; other pairs are not comparable.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
        (Value::Nil, Value::Nil) => Some(Ordering::Equal),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            a.float().partial_cmp(&b.float())
        }
        _ => None,
    }
}

fn length(value: &Value) -> Result<Value, String> {
    let count = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(members) => members.len(),
        _ => return Err("the value has no length".into()),
    };
    Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn index(value: Value, key: &Value) -> Result<Value, String> {
    match value {
        Value::List(items) => {
            let found = usize::try_from(key.int()).ok().and_then(|i| items.get(i).cloned());
            found.ok_or_else(|| format!("index out of range: {key}"))
        }
        Value::Map(mut members) => Ok(members.remove(&key.to_string()).unwrap_or(Value::Nil)),
        Value::Nil => Ok(Value::Nil),
        _ => Err("can't index a value that is no list and no map".into()),
    }
}
