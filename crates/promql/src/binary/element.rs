//! One operator on two values.

use model::histogram::NativeHistogram;

use crate::annotations::Annotations;
use crate::ast::BinaryOp;
use crate::histogram;
use crate::vector::GridSeries;

/// A value at a step.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Float(f64),
    Histogram(&'a NativeHistogram),
}

impl<'a> Operand<'a> {
    pub(super) fn of(series: &'a GridSeries, step: usize) -> Option<Self> {
        match series.histogram(step) {
            Some(histogram) => Some(Operand::Histogram(histogram)),
            None => series.float(step).map(Operand::Float),
        }
    }

    /// Sets the value into a step of a series.
    pub(super) fn put(self, series: &mut GridSeries, step: usize) {
        match self {
            Operand::Float(value) => series.set_float(step, value),
            Operand::Histogram(histogram) => series.set_histogram(step, histogram.clone()),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Operand::Float(_) => "float",
            Operand::Histogram(_) => "histogram",
        }
    }
}

/// What an operator gives.
pub(super) enum Outcome {
    Float(f64),
    Histogram(Box<NativeHistogram>),
    /// Whether a comparison holds.
    Compared(bool),
    /// Two histograms whose buckets cannot be joined.
    Unjoined,
    /// The two do not go together.
    Nothing,
}

pub(super) fn floats(op: BinaryOp, a: f64, b: f64) -> Outcome {
    #[expect(clippy::float_cmp, reason = "the language's `==` is exact")]
    match op {
        BinaryOp::Add => Outcome::Float(a + b),
        BinaryOp::Sub => Outcome::Float(a - b),
        BinaryOp::Mul => Outcome::Float(a * b),
        BinaryOp::Div => Outcome::Float(a / b),
        BinaryOp::Mod => Outcome::Float(a % b),
        BinaryOp::Pow => Outcome::Float(power(a, b)),
        BinaryOp::Atan2 => Outcome::Float(a.atan2(b)),
        BinaryOp::Equal => Outcome::Compared(a == b),
        BinaryOp::NotEqual => Outcome::Compared(a != b),
        BinaryOp::Less => Outcome::Compared(a < b),
        BinaryOp::LessEqual => Outcome::Compared(a <= b),
        BinaryOp::Greater => Outcome::Compared(a > b),
        BinaryOp::GreaterEqual => Outcome::Compared(a >= b),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::TrimUpper | BinaryOp::TrimLower => {
            Outcome::Nothing
        }
    }
}

/// Whole exponents by multiplication, so that the result does not hang on the platform's `pow`.
fn power(base: f64, exponent: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "small whole numbers fit")]
    if exponent.fract() == 0.0 && exponent.abs() <= 3.0 {
        base.powi(exponent as i32)
    } else {
        base.powf(exponent)
    }
}

pub(super) fn apply(op: BinaryOp, a: Operand<'_>, b: Operand<'_>, notes: &mut Annotations) -> Outcome {
    let outcome = match (a, b) {
        (Operand::Float(a), Operand::Float(b)) => floats(op, a, b),
        (Operand::Histogram(a), Operand::Histogram(b)) => histograms(op, a, b, notes),
        (Operand::Histogram(h), Operand::Float(f)) => match op {
            BinaryOp::Mul => Outcome::Histogram(Box::new(histogram::scale(h, f))),
            BinaryOp::Div => Outcome::Histogram(Box::new(histogram::divide(h, f))),
            BinaryOp::TrimUpper => Outcome::Histogram(Box::new(histogram::trim(h, f, true))),
            BinaryOp::TrimLower => Outcome::Histogram(Box::new(histogram::trim(h, f, false))),
            _ => Outcome::Nothing,
        },
        (Operand::Float(f), Operand::Histogram(h)) if op == BinaryOp::Mul => {
            Outcome::Histogram(Box::new(histogram::scale(h, f)))
        }
        (Operand::Float(_), Operand::Histogram(_)) => Outcome::Nothing,
    };
    if matches!(outcome, Outcome::Nothing) {
        notes.info(format!(
            "incompatible sample types encountered for binary operator \"{}\": {} {} {}",
            op.as_str(),
            a.kind(),
            op.as_str(),
            b.kind()
        ));
    }
    outcome
}

fn histograms(op: BinaryOp, a: &NativeHistogram, b: &NativeHistogram, notes: &mut Annotations) -> Outcome {
    let boxed = |sum: Option<NativeHistogram>, notes: &mut Annotations| match sum {
        Some(sum) => Outcome::Histogram(Box::new(histogram::compact(&sum))),
        // Nothing comes of the pair, as of a comparison that does not hold.
        None => {
            let op = op.as_str();
            notes.warn(format!("incompatible bucket layout encountered for binary operator {op}"));
            Outcome::Unjoined
        }
    };
    match op {
        BinaryOp::Add => boxed(histogram::add(a, b, notes), notes),
        BinaryOp::Sub => boxed(histogram::subtract(a, b, notes), notes),
        BinaryOp::Equal => Outcome::Compared(histogram::same(a, b)),
        BinaryOp::NotEqual => Outcome::Compared(!histogram::same(a, b)),
        _ => Outcome::Nothing,
    }
}
