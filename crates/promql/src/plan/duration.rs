//! Durations of the text as milliseconds, now that the query's step and range are known.

use super::Planner;
use crate::ast::{BinaryOp, Duration};
use crate::error::EvalError;

impl Planner {
    /// A duration that may be negative: an offset.
    pub(super) fn offset_ms(&self, duration: Option<&Duration>) -> Result<i64, EvalError> {
        duration.map_or(Ok(0), |duration| to_ms(self.seconds(duration)))
    }

    /// A duration that must be positive: a range or a step.
    pub(super) fn positive_ms(&self, duration: &Duration) -> Result<i64, EvalError> {
        let ms = to_ms(self.seconds(duration))?;
        if ms > 0 { Ok(ms) } else { Err(EvalError::Duration("duration must be greater than 0".to_owned())) }
    }

    #[expect(clippy::cast_precision_loss, reason = "durations of the language are floats of seconds")]
    fn seconds(&self, duration: &Duration) -> f64 {
        let params = &self.params;
        match duration {
            Duration::Seconds(seconds) => *seconds,
            Duration::Step => params.step_ms as f64 / 1000.0,
            Duration::Range => params.end_ms.saturating_sub(params.start_ms) as f64 / 1000.0,
            Duration::Negative(inner) => -self.seconds(inner),
            Duration::Min(a, b) => self.seconds(a).min(self.seconds(b)),
            Duration::Max(a, b) => self.seconds(a).max(self.seconds(b)),
            Duration::Binary(op, a, b) => {
                let (a, b) = (self.seconds(a), self.seconds(b));
                match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Div => a / b,
                    BinaryOp::Mod => a % b,
                    BinaryOp::Pow => a.powf(b),
                    _ => f64::NAN,
                }
            }
        }
    }
}

/// Beyond this no timestamp lies: some 292 thousand years.
const MAX_SECONDS: f64 = 9.2e12;

fn to_ms(seconds: f64) -> Result<i64, EvalError> {
    if !seconds.is_finite() {
        let message = "duration is not a number: it divides by zero or is beyond all bounds";
        return Err(EvalError::Duration(message.to_owned()));
    }
    if seconds.abs() > MAX_SECONDS {
        return Err(EvalError::Duration("duration out of range".to_owned()));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the bounds were checked")]
    Ok((seconds * 1000.0).round() as i64)
}
