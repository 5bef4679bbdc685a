//! Samples as the columns of their file, where neighbours are as close to each other as they can be.
//!
//! Times and scaled integers are kept as offsets from a base. A base is the same for all samples of a series (of a chunk
//! of its values), and is chosen so that the offsets go on from those of the series before as they go on within the
//! series: without that the step from one series to the next makes the neighbourhood of each series' first sample as
//! wide as the values themselves. Packing and unpacking only; files are the business of the writer and the reader.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int8Array, Int64Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Float64Type, Int8Type, Int64Type};
use arrow::error::ArrowError;

use super::scale::{CHUNK_VALUES, Scaled, power, unscale};
use super::schema;
use crate::signal::{Keys, Table};

/// The column of the bases of times.
pub(crate) const TIME_BASE_COLUMN: usize = 1;
/// The column of the offsets of times.
pub(crate) const TIME_OFFSET_COLUMN: usize = 2;
/// The column of the moments when counters began.
pub(crate) const START_COLUMN: usize = 3;

/// Offsets that are larger begin anew at zero, so that nobody's sum or product of them leaves 64 bits.
const LARGEST_OFFSET: i64 = 1 << 52;

/// How a chunk's integers are kept: `base + offset * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    scale: u8,
    base: i64,
    step: i64,
}

/// Packs samples in the order of their table; goes on from batch to batch of a file.
#[derive(Debug)]
pub(crate) struct Packer {
    series: Option<u32>,
    time_base: i64,
    time_offset: i64,
    /// How far the times of a series were apart.
    time_pace: i64,
    grid: Grid,
    offset: i64,
    /// How far the offsets of a chunk were apart.
    pace: i64,
    scaled: Scaled,
}

/// The columns of values while they grow.
struct Values {
    scales: Vec<i8>,
    bases: Vec<i64>,
    steps: Vec<i64>,
    offsets: Vec<i64>,
    /// Which rows have an integer; empty while all have.
    scaled: Vec<bool>,
}

impl Packer {
    /// For an empty file.
    pub(crate) fn new() -> Self {
        let grid = Grid { scale: 0, base: 0, step: 1 };
        Self {
            series: None,
            time_base: 0,
            time_offset: 0,
            time_pace: 0,
            grid,
            offset: 0,
            pace: 0,
            scaled: Scaled::default(),
        }
    }

    /// The rows as [`schema::samples`].
    ///
    /// # Errors
    /// Never; the columns are of the schema's types.
    pub(crate) fn pack(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let keys = Keys::new(Table::Samples, batch);
        let values = batch.column(3).as_primitive::<Float64Type>().values();
        let rows = keys.len();
        let (mut time_bases, mut time_offsets) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut packed = Values {
            scales: Vec::with_capacity(rows),
            bases: Vec::with_capacity(rows),
            steps: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
            scaled: Vec::new(),
        };
        let mut at = 0;
        for stretch in keys.numbers().chunk_by(|a, b| a == b) {
            let end = at + stretch.len();
            let mut goes_on = self.series == Some(stretch[0]);
            self.series = Some(stretch[0]);
            self.times(&keys.times()[at..end], goes_on, &mut time_offsets);
            time_bases.resize(end, self.time_base);
            for chunk in values[at..end].chunks(CHUNK_VALUES) {
                self.values(chunk, goes_on, &mut packed);
                goes_on = true;
            }
            at = end;
        }
        let (is_scaled, is_float) = packed.validity(rows);
        let columns: Vec<ArrayRef> = vec![
            Arc::clone(batch.column(0)),
            Arc::new(Int64Array::from(time_bases)),
            Arc::new(Int64Array::from(time_offsets)),
            Arc::clone(batch.column(2)),
            Arc::new(Int8Array::from(packed.scales)),
            Arc::new(Int64Array::from(packed.bases)),
            Arc::new(Int64Array::from(packed.steps)),
            Arc::new(Int64Array::new(packed.offsets.into(), is_scaled)),
            Arc::new(Float64Array::new(values.clone(), is_float)),
        ];
        RecordBatch::try_new(Arc::clone(schema::samples()), columns)
    }

    /// Adds the offsets of times of one series.
    fn times(&mut self, times: &[i64], goes_on: bool, offsets: &mut Vec<i64>) {
        if !goes_on {
            self.time_pace = times.get(1).map_or(self.time_pace, |second| second.wrapping_sub(times[0]));
            let first = self.time_offset.wrapping_add(self.time_pace);
            let first = if first.unsigned_abs() > LARGEST_OFFSET.unsigned_abs() { 0 } else { first };
            self.time_base = times[0].wrapping_sub(first);
        }
        offsets.extend(times.iter().map(|time| time.wrapping_sub(self.time_base)));
        self.time_offset = offsets.last().copied().unwrap_or(0);
    }

    /// Adds a chunk of values of one series.
    fn values(&mut self, values: &[f64], goes_on: bool, packed: &mut Values) {
        self.scaled.take(values);
        let scaled = std::mem::take(&mut self.scaled);
        self.place(&scaled, values.len(), goes_on, packed);
        self.scaled = scaled;
    }

    fn place(&mut self, scaled: &Scaled, values: usize, goes_on: bool, packed: &mut Values) {
        let Scaled { scale, integers, exact } = scaled;
        let rows = packed.offsets.len() + values;
        let Some(first) = (0..values).find(|row| exact.get(*row) != Some(&false)) else {
            packed.scaled.resize(packed.offsets.len(), true);
            packed.scaled.resize(rows, false);
            packed.offsets.resize(rows, self.offset);
            packed.fill(self.grid, rows);
            return;
        };
        let last = integers.iter().zip(exact).rposition(|(_, exact)| *exact).unwrap_or(values - 1);
        let between = &integers[first..=last];
        let grid = self.grid(between, *scale, goes_on);
        if !exact.is_empty() || !packed.scaled.is_empty() {
            packed.scaled.resize(packed.offsets.len(), true);
            packed.scaled.extend_from_slice(exact);
            packed.scaled.resize(rows, true);
        }
        let offset = |integer: &i64| integer.wrapping_sub(grid.base).wrapping_div(grid.step);
        packed.offsets.extend(integers.iter().map(|integer| match grid.step {
            1 => integer.wrapping_sub(grid.base),
            _ => offset(integer),
        }));
        packed.fill(grid, rows);
        self.offset = offset(&integers[last]);
        self.grid = grid;
    }

    /// Where the offsets of a chunk begin and how wide their unit is.
    fn grid(&mut self, integers: &[i64], scale: u8, goes_on: bool) -> Grid {
        let mut step = 0;
        for pair in integers.windows(2) {
            if step == 1 {
                break;
            }
            step = greatest_common_divisor(step, pair[1].abs_diff(pair[0]));
        }
        let step = i64::try_from(step).unwrap_or(1).max(1);
        let from_base = integers[0].wrapping_sub(self.grid.base);
        if goes_on && scale == self.grid.scale && step == self.grid.step && from_base % step == 0 {
            return self.grid;
        }
        self.pace = integers.get(1).map_or(self.pace, |second| second.wrapping_sub(integers[0]) / step);
        let first = self.offset.wrapping_add(self.pace);
        let reach =
            first.checked_mul(step).filter(|reach| reach.unsigned_abs() <= LARGEST_OFFSET.unsigned_abs());
        Grid { scale, base: integers[0].wrapping_sub(reach.unwrap_or(0)), step }
    }
}

impl Values {
    fn fill(&mut self, grid: Grid, rows: usize) {
        self.scales.resize(rows, i8::try_from(grid.scale).expect("there are ten scales"));
        self.bases.resize(rows, grid.base);
        self.steps.resize(rows, grid.step);
    }

    /// Which rows have an integer, and which a float.
    fn validity(&mut self, rows: usize) -> (Option<NullBuffer>, Option<NullBuffer>) {
        if self.scaled.is_empty() {
            return (None, Some(NullBuffer::new_null(rows)));
        }
        self.scaled.resize(rows, true);
        let is_float = self.scaled.iter().map(|is_scaled| !is_scaled).collect();
        (Some(NullBuffer::from(std::mem::take(&mut self.scaled))), Some(NullBuffer::new(is_float)))
    }
}

/// Of zero and a number it is the number.
const fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The times and the values of rows of a file; none where the columns or a scale are not those of [`schema::samples`].
pub(crate) fn unpack(batch: &RecordBatch) -> Option<(Int64Array, Float64Array)> {
    if batch.schema_ref().fields() != schema::samples().fields() {
        return None;
    }
    let integers = |column: usize| batch.column(column).as_primitive::<Int64Type>();
    let (time_bases, time_offsets) = (integers(TIME_BASE_COLUMN), integers(TIME_OFFSET_COLUMN));
    let times: Vec<i64> = summed(time_bases, time_offsets).collect();
    let scales = batch.column(4).as_primitive::<Int8Type>().values();
    let (bases, steps, offsets) = (integers(5).values(), integers(6).values(), integers(7));
    let floats = batch.column(8).as_primitive::<Float64Type>();
    if offsets.null_count() == offsets.len() {
        return Some((times.into(), Float64Array::new(floats.values().clone(), None)));
    }
    let mut values = Vec::with_capacity(batch.num_rows());
    for stretch in scales.chunk_by(|a, b| a == b) {
        let power = power(stretch[0])?;
        let rows = values.len()..values.len() + stretch.len();
        let grids = bases[rows.clone()].iter().zip(&steps[rows.clone()]);
        let scaled = offsets.values()[rows].iter().zip(grids);
        let scaled = scaled.map(|(offset, (base, step))| base.wrapping_add(offset.wrapping_mul(*step)));
        values.extend(scaled.map(|scaled| unscale(scaled, power)));
    }
    if offsets.null_count() > 0 {
        for (row, value) in values.iter_mut().enumerate() {
            if offsets.is_null(row) {
                *value = floats.value(row);
            }
        }
    }
    Some((times.into(), values.into()))
}

/// The times, of the columns of their bases and offsets alone; nothing where the columns are others.
pub(crate) fn times(columns: &[ArrayRef]) -> Option<impl Iterator<Item = i64>> {
    let [bases, offsets] = columns else { return None };
    Some(summed(bases.as_primitive_opt()?, offsets.as_primitive_opt()?))
}

fn summed(bases: &Int64Array, offsets: &Int64Array) -> impl Iterator<Item = i64> {
    bases.values().iter().zip(offsets.values()).map(|(base, offset)| base.wrapping_add(*offset))
}

#[cfg(test)]
mod tests;
