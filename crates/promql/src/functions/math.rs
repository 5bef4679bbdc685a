//! Functions from a number to a number: rounding, logarithms, angles.

/// The function of that name, where it is one of these.
pub(crate) fn lookup(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sqrt" => f64::sqrt,
        "sgn" => sgn,
        "deg" => f64::to_degrees,
        "rad" => f64::to_radians,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        _ => return None,
    })
}

fn sgn(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

/// To the nearest multiple; halves go up.
pub(crate) fn round(value: f64, nearest: f64) -> f64 {
    // The inverse keeps decimal multiples such as 0.1 exact where dividing by them would not.
    let inverse = 1.0 / nearest;
    (value * inverse + 0.5).floor() / inverse
}

/// Into the bounds, as [`min`] and [`max`] tell.
pub(crate) fn clamp(value: f64, low: f64, high: f64) -> f64 {
    max(low, min(high, value))
}

/// The lesser; NaN where one is and the other is not below all numbers.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    let is_least = a == f64::NEG_INFINITY || b == f64::NEG_INFINITY;
    if (a.is_nan() || b.is_nan()) && !is_least { f64::NAN } else { a.min(b) }
}

/// The greater; NaN where one is and the other is not above all numbers.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    let is_greatest = a == f64::INFINITY || b == f64::INFINITY;
    if (a.is_nan() || b.is_nan()) && !is_greatest { f64::NAN } else { a.max(b) }
}
