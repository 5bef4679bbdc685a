//! How much functions make of what they are given, and the ledger of what they have made and is still held.

use std::sync::{Arc, Weak};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use parking_lot::Mutex;

use crate::error::QueryError;

/// What one call may make at most: a few thousand rows of it are one batch.
pub(crate) const MAX_CALL_BYTES: usize = 64 << 20;

/// What a call may make at most where it makes one value for all rows: each row of a batch may get a copy.
pub(crate) const MAX_CONSTANT_BYTES: usize = 16 << 10;

/// What a value takes besides its text.
const VALUE_BYTES: usize = 16;

/// How what a function makes grows with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// No more than all arguments together.
    Sum,
    /// Twice the arguments: hexadecimal text.
    Encoded,
    /// The first argument, so many times as the second says.
    Repeated,
    /// Filled up to as many characters as the second argument says.
    Padded,
    /// The first argument, the third in the place of each character of it at worst, and once more for each place
    /// where the third names a part of what was found.
    Replaced,
    /// All arguments, and the first once more between each two.
    Separated,
    /// The values of a list, and the second argument between each two.
    Joined,
    /// A value for each character.
    Cut,
    /// As many times the first as the expression has groups.
    Matched,
    /// The second argument is a pattern; each character of it may become a long word.
    Formatted,
}

impl Growth {
    /// An upper bound of what a call makes, in bytes.
    pub(crate) fn bytes(self, args: &ScalarFunctionArgs) -> usize {
        let has_rows = args.args.iter().any(|arg| matches!(arg, ColumnarValue::Array(_)));
        let rows = if has_rows { args.number_rows } else { 1 };
        let given: Vec<usize> = args.args.iter().map(|arg| given_bytes(arg, rows)).collect();
        let at = |place: usize| given.get(place).copied().unwrap_or(0);
        let longest = |place: usize| args.args.get(place).map_or(0, longest_bytes);
        let sum = given.iter().fold(0_usize, |sum, bytes| sum.saturating_add(*bytes));
        let made = match self {
            Growth::Sum => sum,
            Growth::Encoded => sum.saturating_mul(2),
            Growth::Repeated => at(0).saturating_mul(largest(args.args.get(1))),
            // A character has four bytes at most.
            Growth::Padded => rows.saturating_mul(largest(args.args.get(1))).saturating_mul(4),
            Growth::Replaced => {
                let named = args.args.get(2).map_or(0, most_references);
                let put = at(0).saturating_add(rows).saturating_mul(longest(2));
                at(0).saturating_mul(1 + named).saturating_add(put)
            }
            Growth::Separated => sum.saturating_add(at(0).saturating_mul(given.len())),
            Growth::Joined => {
                let values = args.args.first().map_or(0, list_values);
                sum.saturating_add(values.saturating_mul(longest(1).saturating_add(32)))
            }
            Growth::Cut => sum.saturating_mul(1 + VALUE_BYTES / 2),
            Growth::Matched => at(0).saturating_mul(1 + longest(1)),
            Growth::Formatted => rows.saturating_mul(longest(1)).saturating_mul(32),
        };
        made.saturating_add(rows.saturating_mul(VALUE_BYTES))
    }
}

/// What an argument takes when it is spread over all rows.
fn given_bytes(arg: &ColumnarValue, rows: usize) -> usize {
    match arg {
        ColumnarValue::Array(array) => data_bytes(array),
        ColumnarValue::Scalar(value) => scalar_bytes(value).saturating_mul(rows),
    }
}

/// What the rows of an array take, without what it may have been cut from.
fn data_bytes(array: &ArrayRef) -> usize {
    let text = |offsets: &[i32]| offsets.last().zip(offsets.first()).map_or(0, |(last, first)| last - first);
    match array.data_type() {
        DataType::Utf8 => usize::try_from(text(array.as_string::<i32>().value_offsets())).unwrap_or(0),
        _ => array.to_data().get_slice_memory_size().unwrap_or(usize::MAX),
    }
}

/// What a constant takes.
pub(crate) fn scalar_bytes(value: &ScalarValue) -> usize {
    match value.try_as_str() {
        Some(text) => text.map_or(0, str::len),
        None => value.size(),
    }
}

fn longest_bytes(arg: &ColumnarValue) -> usize {
    match arg {
        ColumnarValue::Scalar(value) => scalar_bytes(value),
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => {
                let offsets = array.as_string::<i32>().value_offsets();
                let lengths = offsets.windows(2).map(|pair| pair[1] - pair[0]);
                usize::try_from(lengths.max().unwrap_or(0)).unwrap_or(0)
            }
            _ => data_bytes(array),
        },
    }
}

/// The largest number of a column of counts; more than is possible where it is not of 64-bit integers.
fn largest(arg: Option<&ColumnarValue>) -> usize {
    let largest = match arg {
        Some(ColumnarValue::Scalar(ScalarValue::Int64(value))) => value.unwrap_or(0),
        Some(ColumnarValue::Array(array)) => match array.as_primitive_opt::<Int64Type>() {
            Some(values) => arrow::compute::max(values).unwrap_or(0),
            None => i64::MAX,
        },
        Some(ColumnarValue::Scalar(value)) if !value.is_null() => i64::MAX,
        _ => 0,
    };
    usize::try_from(largest.max(0)).unwrap_or(usize::MAX)
}

/// How often a replacement names a part of what was found, at most.
fn most_references(arg: &ColumnarValue) -> usize {
    let of = |text: &str| text.bytes().filter(|byte| matches!(byte, b'\\' | b'$')).count();
    match arg {
        ColumnarValue::Scalar(value) => value.try_as_str().flatten().map_or(0, of),
        ColumnarValue::Array(array) => match array.as_string_opt::<i32>() {
            Some(texts) => texts.iter().flatten().map(of).max().unwrap_or(0),
            None => longest_bytes(arg),
        },
    }
}

fn list_values(arg: &ColumnarValue) -> usize {
    match arg {
        ColumnarValue::Array(array) => match array.as_list_opt::<i32>() {
            Some(list) => list.values().len(),
            None => data_bytes(array),
        },
        ColumnarValue::Scalar(value) => scalar_bytes(value),
    }
}

/// What the functions of one query have made and is still held.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    reservation: MemoryReservation,
    made: Vec<(Weak<dyn Array>, usize)>,
    /// What calls that are running may make.
    asked: usize,
}

/// Room for what one call makes.
pub(crate) struct Room<'l> {
    ledger: &'l Ledger,
    function: &'l str,
    bytes: usize,
}

impl Ledger {
    pub(crate) fn new(reservation: MemoryReservation) -> Self {
        Self { state: Mutex::new(State { reservation, made: Vec::new(), asked: 0 }) }
    }

    /// Room for a call that makes so many bytes at most.
    ///
    /// # Errors
    /// When one call must not make so much, or the query's memory is not enough.
    pub(crate) fn room<'l>(&'l self, function: &'l str, bytes: usize) -> Result<Room<'l>> {
        if bytes > MAX_CALL_BYTES {
            return Err(too_much(function, bytes, MAX_CALL_BYTES));
        }
        let mut state = self.state.lock();
        state.asked += bytes;
        let room = Room { ledger: self, function, bytes };
        let reserved = state.settle();
        drop(state);
        reserved.map(|()| room)
    }
}

impl State {
    /// Makes the reservation as large as what is held.
    fn settle(&mut self) -> Result<()> {
        self.made.retain(|(array, _)| array.strong_count() > 0);
        let held: usize = self.made.iter().map(|(_, bytes)| bytes).sum();
        self.reservation.try_resize(held + self.asked)
    }
}

impl Room<'_> {
    /// Counts what was made for as long as it is held.
    ///
    /// # Errors
    /// When it is one value for all rows and too large for that.
    pub(crate) fn keep(self, made: &ColumnarValue) -> Result<()> {
        match made {
            ColumnarValue::Array(array) => {
                let bytes = array.get_array_memory_size().min(self.bytes.max(VALUE_BYTES));
                let mut state = self.ledger.state.lock();
                state.made.push((Arc::downgrade(array), bytes));
                Ok(())
            }
            ColumnarValue::Scalar(value) if scalar_bytes(value) > MAX_CONSTANT_BYTES => {
                Err(too_much(self.function, scalar_bytes(value), MAX_CONSTANT_BYTES))
            }
            ColumnarValue::Scalar(_) => Ok(()),
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.ledger.state.lock().asked -= self.bytes;
    }
}

fn too_much(function: &str, bytes: usize, max_bytes: usize) -> DataFusionError {
    let message = format!(
        "function would make too much at once: function={function} bytes={bytes} max_bytes={max_bytes}; \
         make shorter text or lists"
    );
    DataFusionError::External(Box::new(QueryError::Execution(message)))
}
