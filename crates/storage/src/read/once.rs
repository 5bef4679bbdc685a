//! Rows that several sources have, given once, while the sources come one after the other and in any order. Which moments
//! several of them have a row at is known before; of these the rows are remembered.

use std::collections::HashSet;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_128;

use super::memory::{Bounded, Held};
use super::overlap::Moment;
use crate::error::StorageError;
use crate::signal::{Keys, Table};

/// What a moment or a row takes in a set, about.
const ENTRY_BYTES: usize = 40;

/// Remembers rows of one table whose number and time are among some.
pub(crate) struct Once {
    table: Table,
    moments: HashSet<Moment>,
    /// Hashes of the rows that were given.
    given: HashSet<u128>,
    converter: RowConverter,
    held: Held,
}

impl Once {
    /// Nothing was given yet.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn new(
        table: Table,
        moments: HashSet<Moment>,
        memory: &Bounded,
    ) -> Result<Self, StorageError> {
        let fields = table.schema().fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let mut held = memory.hold();
        held.resize(moments.len() * ENTRY_BYTES)?;
        Ok(Self { table, moments, given: HashSet::new(), converter, held })
    }

    /// The rows of a batch less those that were given before; all columns must have been read.
    ///
    /// # Errors
    /// When there is no memory for what is remembered, or Arrow cannot copy the rows.
    pub(crate) fn fresh(&mut self, batch: RecordBatch) -> Result<RecordBatch, StorageError> {
        let keys = Keys::new(self.table, &batch);
        let moments = keys.numbers().iter().zip(keys.times());
        let repeated: Vec<u32> = (0..)
            .zip(moments)
            .filter(|(_, (number, time))| self.moments.contains(&(**number, **time)))
            .map(|(row, _)| row)
            .collect();
        if repeated.is_empty() {
            return Ok(batch);
        }
        let rows = take_record_batch(&batch, &UInt32Array::from(repeated.clone()))?;
        let rows = self.converter.convert_columns(rows.columns())?;
        let mut is_fresh = vec![true; batch.num_rows()];
        for (place, row) in repeated.into_iter().zip(rows.iter()) {
            is_fresh[place as usize] = self.given.insert(xxh3_128(row.as_ref()));
        }
        self.held.resize((self.moments.len() + self.given.len()) * ENTRY_BYTES)?;
        Ok(filter_record_batch(&batch, &BooleanArray::from(is_fresh))?)
    }
}
