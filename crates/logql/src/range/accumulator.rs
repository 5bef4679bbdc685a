//! What one series of a range aggregation has gathered, over all windows.

use std::ops::Range;

use super::{Kernel, Windows};

/// The windows of one series.
#[derive(Clone, Debug)]
pub(crate) enum Accumulator {
    /// Whole numbers, as differences from window to window, so that a line costs the same however many windows it
    /// belongs to. One entry more than there are windows.
    Counts {
        /// Lines.
        lines: Vec<i64>,
        /// What is summed, where that is not the lines themselves.
        amounts: Option<Vec<i64>>,
    },
    /// A kernel's numbers per window, and whether the window has any sample.
    States {
        /// `width` numbers per window.
        values: Vec<f64>,
        /// A flag per window.
        present: Vec<bool>,
    },
    /// All samples.
    Samples(Vec<(i64, f64)>),
}

impl Accumulator {
    /// Counts lines, or sums whole numbers of them.
    pub(crate) fn counts(windows: usize, amounts: bool) -> Self {
        let zeros = || vec![0; windows + 1];
        Accumulator::Counts { lines: zeros(), amounts: amounts.then(zeros) }
    }

    /// Keeps what the kernel needs.
    pub(crate) fn states(kernel: Kernel, windows: usize) -> Self {
        match kernel {
            Kernel::Samples => Accumulator::Samples(Vec::new()),
            _ => Accumulator::States {
                values: vec![0.0; windows * kernel.width()],
                present: vec![false; windows],
            },
        }
    }

    /// Adds lines that all belong to these windows, and what is summed of them.
    pub(crate) fn add_lines(&mut self, of: &Range<usize>, count: i64, amount: i64) {
        if let Accumulator::Counts { lines, amounts } = self
            && !of.is_empty()
        {
            lines[of.start] += count;
            lines[of.end] -= count;
            if let Some(amounts) = amounts {
                amounts[of.start] += amount;
                amounts[of.end] -= amount;
            }
        }
    }

    /// Adds an unwrapped sample.
    pub(crate) fn add_value(&mut self, kernel: Kernel, windows: &Windows, timestamp_ns: i64, value: f64) {
        let of = windows.of(timestamp_ns);
        match self {
            Accumulator::Samples(samples) if !of.is_empty() => samples.push((timestamp_ns, value)),
            Accumulator::States { .. } => {
                for window in of {
                    #[expect(clippy::cast_precision_loss, reason = "ages within a window are below 2^53 ns")]
                    let age = windows.end_ns(window).saturating_sub(timestamp_ns) as f64;
                    self.merge_window(kernel, window, &kernel.single(value, age)[..kernel.width()]);
                }
            }
            Accumulator::Samples(_) | Accumulator::Counts { .. } => {}
        }
    }

    /// Joins another part of a window.
    pub(crate) fn merge_window(&mut self, kernel: Kernel, window: usize, state: &[f64]) {
        if let Accumulator::States { values, present } = self {
            let at = window * state.len();
            let (Some(own), Some(seen)) = (values.get_mut(at..at + state.len()), present.get_mut(window))
            else {
                return;
            };
            if *seen {
                kernel.merge(own, state);
            } else {
                own.copy_from_slice(state);
                *seen = true;
            }
        }
    }

    /// Calls for each window with a state or with none; not for [`Accumulator::Samples`].
    pub(crate) fn for_each_window(&self, width: usize, mut visit: impl FnMut(Option<&[f64]>)) {
        match self {
            Accumulator::Counts { lines, amounts } => {
                let (mut count, mut amount) = (0_i64, 0_i64);
                for window in 0..lines.len() - 1 {
                    count += lines[window];
                    amount += amounts.as_ref().map_or(lines[window], |a| a[window]);
                    #[expect(clippy::cast_precision_loss, reason = "counts and bytes are far below 2^53")]
                    let state = [amount as f64];
                    visit((count > 0).then_some(&state[..]));
                }
            }
            Accumulator::States { values, present } => {
                for (window, seen) in present.iter().enumerate() {
                    visit(seen.then(|| &values[window * width..(window + 1) * width]));
                }
            }
            Accumulator::Samples(_) => {}
        }
    }

    /// How much memory it holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Accumulator::Counts { lines, amounts } => {
                (lines.capacity() + amounts.as_ref().map_or(0, Vec::capacity)) * size_of::<i64>()
            }
            Accumulator::States { values, present } => {
                values.capacity() * size_of::<f64>() + present.capacity()
            }
            Accumulator::Samples(samples) => samples.capacity() * size_of::<(i64, f64)>(),
        }
    }
}
