//! Numbers: whole ones (`add`) and floating-point ones (`addf`).

use super::{Function, fixed, open};
use crate::template::value::{Value, truncated};

pub(super) const FUNCTIONS: &[Function] = &[
    open("add", 1, |_, a| Ok(Value::Int(a.iter().fold(0, |sum, v| sum.wrapping_add(v.int()))))),
    fixed("sub", 2, |_, a| Ok(Value::Int(a[0].int().wrapping_sub(a[1].int())))),
    open("mul", 1, |_, a| Ok(Value::Int(a.iter().fold(1, |product, v| product.wrapping_mul(v.int()))))),
    fixed("div", 2, |_, a| {
        a[0].int().checked_div(a[1].int()).map(Value::Int).ok_or_else(|| "integer divide by zero".into())
    }),
    fixed("mod", 2, |_, a| {
        a[0].int().checked_rem(a[1].int()).map(Value::Int).ok_or_else(|| "integer divide by zero".into())
    }),
    open("max", 1, |_, a| Ok(Value::Int(a.iter().map(Value::int).max().unwrap_or(0)))),
    open("min", 1, |_, a| Ok(Value::Int(a.iter().map(Value::int).min().unwrap_or(0)))),
    open("addf", 1, |_, a| Ok(Value::Float(a.iter().map(Value::float).sum()))),
    open("subf", 1, |_, a| Ok(Value::Float(a[1..].iter().fold(a[0].float(), |rest, v| rest - v.float())))),
    open("mulf", 1, |_, a| Ok(Value::Float(a.iter().map(Value::float).product()))),
    open("divf", 1, |_, a| Ok(Value::Float(a[1..].iter().fold(a[0].float(), |rest, v| rest / v.float())))),
    open("maxf", 1, |_, a| Ok(Value::Float(a.iter().map(Value::float).fold(f64::NEG_INFINITY, f64::max)))),
    open("minf", 1, |_, a| Ok(Value::Float(a.iter().map(Value::float).fold(f64::INFINITY, f64::min)))),
    fixed("ceil", 1, |_, a| Ok(Value::Float(a[0].float().ceil()))),
    fixed("floor", 1, |_, a| Ok(Value::Float(a[0].float().floor()))),
    Function { name: "round", least: 2, most: 3, call: |_, a| Ok(Value::Float(round(a))) },
    fixed("int", 1, |_, a| Ok(Value::Int(a[0].int()))),
    fixed("float64", 1, |_, a| Ok(Value::Float(a[0].float()))),
];

/// `round value places [from]`: to so many decimal places, up from a fraction of `from` on, one half by default.
fn round(arguments: &[Value]) -> f64 {
    let scale = 10_f64.powi(i32::try_from(arguments[1].int().clamp(-300, 300)).unwrap_or(0));
    let from = arguments.get(2).map_or(0.5, Value::float);
    let scaled = arguments[0].float() * scale;
    let fraction = scaled - scaled.trunc();
    let rounded = if fraction.abs() >= from { scaled.trunc() + fraction.signum() } else { scaled.trunc() };
    if truncated(scaled).unsigned_abs() > 1 << 52 { arguments[0].float() } else { rounded / scale }
}
