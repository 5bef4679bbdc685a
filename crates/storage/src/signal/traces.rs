//! The file of a traces segment: a row per span with its place in the tree of its trace; the services of each row group
//! in the footer.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, FixedSizeBinaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use hashbrown::HashMap;
use model::trace::{FIRST_PROMOTED_COLUMN, PROMOTED};

use super::Table;
use super::logs::json;
use crate::bounds::{MAX_SERVICES_PER_ROW_GROUP, MAX_TRACE_BYTES, MAX_TRACE_SPANS, SPAN_ROW_GROUP_ROWS};
use crate::error::StorageError;
use crate::head::runs::batch_bytes;
use crate::segment::parquet_file::{Finished, ParquetFile};
use crate::segment::schema::{self, NESTED_COLUMNS, SERVICES_KEY};

/// The column of the service's name.
const SERVICE_COLUMN: usize = FIRST_PROMOTED_COLUMN;

/// The file of spans. It holds the last trace back until it is whole, because a span's place in the tree depends on all
/// others.
pub(crate) struct SpansFile {
    pub(crate) file: ParquetFile,
    schema: SchemaRef,
    /// The services of the row group that is not full; none when there are too many.
    open: Option<BTreeSet<String>>,
    services: Vec<Option<BTreeSet<String>>>,
    /// Spans of the last trace.
    held: Vec<RecordBatch>,
    held_rows: usize,
    held_bytes: usize,
    /// The trace that is too large to be numbered.
    unnumbered: Option<[u8; 16]>,
}

impl SpansFile {
    /// An empty file.
    ///
    /// # Errors
    /// When Parquet cannot keep the schema.
    pub(crate) fn new(is_rewritten: bool) -> Result<Self, StorageError> {
        debug_assert_eq!(PROMOTED[0].key, "service.name", "the first promoted column is the service");
        let nested = NESTED_COLUMNS.map(|name| Arc::new(Field::new(name, DataType::Int32, false)));
        let fields = Table::Spans.schema().fields().iter().cloned().chain(nested);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
        let properties = schema::table_properties(Table::Spans, is_rewritten)?;
        let file = ParquetFile::new(Arc::clone(&schema), properties, SPAN_ROW_GROUP_ROWS)?;
        Ok(Self {
            file,
            schema,
            open: Some(BTreeSet::new()),
            services: Vec::new(),
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            unnumbered: None,
        })
    }

    /// Adds spans, in the order of their table.
    ///
    /// # Errors
    /// When Arrow or Parquet refuses the rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        let start = self.write_unnumbered(batch)?;
        let batch = batch.slice(start, batch.num_rows() - start);
        let Some(last_row) = batch.num_rows().checked_sub(1) else {
            return Ok(());
        };
        let traces = ids(&batch, 0);
        let last = traces.value(last_row);
        // The traces of the rows before this one are whole.
        let cut = (0..=last_row).rev().take_while(|row| traces.value(*row) == last).last().unwrap_or(0);
        if cut > 0 || self.held.first().is_some_and(|held| ids(held, 0).value(0) != last) {
            self.hold(batch.slice(0, cut));
            let numbers = nested_sets(&self.held);
            self.write_held(&numbers)?;
        }
        self.hold(batch.slice(cut, batch.num_rows() - cut));
        if self.held_rows > MAX_TRACE_SPANS || self.held_bytes > MAX_TRACE_BYTES {
            self.unnumbered = last.try_into().ok();
            self.write_held(&zeros(self.held_rows))?;
        }
        Ok(())
    }

    /// Writes what a batch begins with of the trace that is too large to be numbered; gives the number of the rows.
    fn write_unnumbered(&mut self, batch: &RecordBatch) -> Result<usize, StorageError> {
        let Some(trace) = self.unnumbered else {
            return Ok(0);
        };
        let traces = ids(batch, 0);
        let rows = (0..traces.len()).take_while(|row| traces.value(*row) == trace).count();
        self.hold(batch.slice(0, rows));
        self.write_held(&zeros(rows))?;
        if rows < batch.num_rows() {
            self.unnumbered = None;
        }
        Ok(rows)
    }

    /// Memory that it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.file.memory_bytes() + self.held_bytes
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When Parquet cannot write the footer.
    pub(crate) fn finish(mut self) -> Result<Finished, StorageError> {
        let numbers = nested_sets(&self.held);
        self.write_held(&numbers)?;
        if self.file.end_group()? {
            self.services.push(self.open.take());
        }
        self.file.finish(vec![(SERVICES_KEY, json(&self.services)?)])
    }

    fn hold(&mut self, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            self.held_rows += rows.num_rows();
            self.held_bytes += batch_bytes(&rows);
            self.held.push(rows);
        }
    }

    /// Writes the rows that are held, with their numbers.
    fn write_held(&mut self, numbers: &[Vec<i32>; 3]) -> Result<(), StorageError> {
        let batches = std::mem::take(&mut self.held);
        (self.held_rows, self.held_bytes) = (0, 0);
        let mut at = 0;
        for batch in &batches {
            let rows = at..at + batch.num_rows();
            at = rows.end;
            let mut columns = batch.columns().to_vec();
            for of_column in numbers {
                columns.push(Arc::new(Int32Array::from(of_column[rows.clone()].to_vec())));
            }
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            // The two callbacks take turns with the services.
            let open = RefCell::new(&mut self.open);
            self.file.write(
                &batch,
                |part| {
                    enter_services(part, &mut open.borrow_mut());
                    Ok(())
                },
                |_| {
                    self.services.push(open.borrow_mut().replace(BTreeSet::new()));
                    Ok(())
                },
            )?;
        }
        Ok(())
    }
}

/// Adds the services of the rows; none remain when there are too many.
fn enter_services(rows: &RecordBatch, open: &mut Option<BTreeSet<String>>) {
    let names: &StringArray =
        rows.column(SERVICE_COLUMN).as_any().downcast_ref().expect("the batch is of its table's schema");
    for row in 0..names.len() {
        let Some(services) = open else { return };
        // A span without a service is one of the service without a name.
        let name = if names.is_null(row) { "" } else { names.value(row) };
        if !services.contains(name) {
            services.insert(name.to_owned());
        }
        if services.len() > MAX_SERVICES_PER_ROW_GROUP {
            *open = None;
        }
    }
}

fn ids(batch: &RecordBatch, column: usize) -> &FixedSizeBinaryArray {
    batch.column(column).as_any().downcast_ref().expect("the batch is of its table's schema")
}

fn zeros(rows: usize) -> [Vec<i32>; 3] {
    [(); 3].map(|()| vec![0; rows])
}

/// The three numbers of every row, over all batches.
fn nested_sets(batches: &[RecordBatch]) -> [Vec<i32>; 3] {
    let mut numbers: [Vec<i32>; 3] = Default::default();
    let mut trace: Option<&[u8]> = None;
    let mut spans: Vec<(&[u8], Option<&[u8]>)> = Vec::new();
    for batch in batches {
        let (traces, own, parents) = (ids(batch, 0), ids(batch, 1), ids(batch, 2));
        for row in 0..batch.num_rows() {
            if trace != Some(traces.value(row)) {
                number_trace(&spans, &mut numbers);
                spans.clear();
                trace = Some(traces.value(row));
            }
            spans.push((own.value(row), parents.is_valid(row).then(|| parents.value(row))));
        }
    }
    number_trace(&spans, &mut numbers);
    numbers
}

/// Numbers the spans of one trace; those on a cycle, which no root reaches, get zeros.
fn number_trace(spans: &[(&[u8], Option<&[u8]>)], numbers: &mut [Vec<i32>; 3]) {
    let base = numbers[0].len();
    numbers.iter_mut().for_each(|column| column.resize(base + spans.len(), 0));
    let mut places: HashMap<&[u8], usize> = HashMap::with_capacity(spans.len());
    for (place, (id, _)) in spans.iter().enumerate() {
        places.entry(id).or_insert(place);
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (place, (_, parent)) in spans.iter().enumerate() {
        match parent.and_then(|id| places.get(id)) {
            Some(parent) => children[*parent].push(place),
            None => roots.push(place),
        }
    }
    let mut next = 1;
    // A span's place, its parent's number, and how many of its children are done.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for root in roots {
        enter(root, -1, base, &mut next, numbers);
        path.push((root, 0));
        while let Some((place, done)) = path.last_mut() {
            let place = *place;
            if let Some(child) = children[place].get(*done).copied() {
                *done += 1;
                let parent = numbers[0][base + place];
                enter(child, parent, base, &mut next, numbers);
                path.push((child, 0));
            } else {
                numbers[1][base + place] = next;
                next += 1;
                path.pop();
            }
        }
    }
}

fn enter(place: usize, parent: i32, base: usize, next: &mut i32, numbers: &mut [Vec<i32>; 3]) {
    numbers[0][base + place] = *next;
    numbers[2][base + place] = parent;
    *next += 1;
}
