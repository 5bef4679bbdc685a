//! Durations of the text as milliseconds, now that the query's step and range are known.

use super::Planner;
use crate::ast::{BinaryOp, Duration, Extent};
use crate::error::EvalError;

impl Planner {
    /// A duration that may be negative: an offset.
    pub(super) fn offset_ms(&self, duration: Option<&Duration>) -> Result<i64, EvalError> {
        duration.map_or(Ok(0), |duration| to_ms(duration, self.seconds(duration)?))
    }

    /// A duration that must be positive: a range. One that is less than a millisecond is nothing.
    pub(super) fn positive_ms(&self, duration: &Duration) -> Result<i64, EvalError> {
        let seconds = self.seconds(duration)?;
        if seconds > 0.0 {
            to_ms(duration, seconds)
        } else {
            Err(refused(duration, "duration must be greater than 0"))
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "durations of the language are floats of seconds")]
    fn seconds(&self, duration: &Duration) -> Result<f64, EvalError> {
        let params = &self.params;
        Ok(match duration {
            Duration::Number(seconds) | Duration::Seconds(seconds) => *seconds,
            Duration::Paren(inner, _) => self.seconds(inner)?,
            Duration::Step(_) => params.step_ms as f64 / 1000.0,
            Duration::Range(_) => params.end_ms.saturating_sub(params.start_ms) as f64 / 1000.0,
            Duration::Negative(inner, _) => -self.seconds(inner)?,
            Duration::Min(a, b, _) => self.seconds(a)?.min(self.seconds(b)?),
            Duration::Max(a, b, _) => self.seconds(a)?.max(self.seconds(b)?),
            Duration::Binary(op, a, b, _) => {
                let (a, b) = (self.seconds(a)?, self.seconds(b)?);
                match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Div if b == 0.0 => return Err(refused(duration, "division by zero")),
                    BinaryOp::Div => a / b,
                    BinaryOp::Mod if b == 0.0 => return Err(refused(duration, "modulo by zero")),
                    BinaryOp::Mod => a % b,
                    BinaryOp::Pow => a.powf(b),
                    _ => f64::NAN,
                }
            }
        })
    }
}

/// Prometheus tells where in bytes.
fn refused(duration: &Duration, why: &str) -> EvalError {
    EvalError::Duration(match duration.extent() {
        Some(Extent { start, end }) => format!("{start}:{end}: {why}"),
        None => why.to_owned(),
    })
}

/// Beyond this no timestamp lies: some 292 thousand years.
const MAX_SECONDS: f64 = 9.2e12;

/// What is written out is rounded to nanoseconds first; of what is computed, parts of a millisecond are cut off.
fn to_ms(duration: &Duration, seconds: f64) -> Result<i64, EvalError> {
    if !seconds.is_finite() || seconds.abs() > MAX_SECONDS {
        return Err(refused(duration, "duration is out of range"));
    }
    if matches!(duration, Duration::Number(_) | Duration::Seconds(_)) {
        #[expect(clippy::cast_possible_truncation, reason = "the bounds were checked")]
        let ns = (seconds * 1e9).round() as i128;
        return Ok(i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the bounds were checked")]
    Ok((seconds * 1000.0).trunc() as i64)
}
