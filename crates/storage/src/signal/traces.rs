//! The file of a traces segment: a row per span with its place in the tree of its trace; the services of each row group
//! in the footer.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, FixedSizeBinaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use hashbrown::HashMap;
use model::trace::{FIRST_PROMOTED_COLUMN, PROMOTED};

use super::Table;
use super::logs::json;
use crate::bounds::{MAX_SERVICES_PER_ROW_GROUP, SPAN_ROW_GROUP_ROWS};
use crate::error::StorageError;
use crate::segment::parquet_file::ParquetFile;
use crate::segment::schema::{self, NESTED_COLUMNS, ONLY_PART, SERVICES_KEY};
use crate::segment::writer::{NewPart, Rows};

/// The column of the service's name.
const SERVICE_COLUMN: usize = FIRST_PROMOTED_COLUMN;

/// The file of a segment of the rows.
///
/// # Errors
/// When Arrow or Parquet refuses the rows.
pub(crate) fn parts(rows: &Rows) -> Result<Vec<NewPart>, StorageError> {
    debug_assert_eq!(PROMOTED[0].key, "service.name", "the first promoted column is the service");
    let batches = rows.of(Table::Spans);
    let nested = NESTED_COLUMNS.map(|name| Arc::new(Field::new(name, DataType::Int32, false)));
    let fields = Table::Spans.schema().fields().iter().cloned().chain(nested);
    let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
    let numbers = nested_sets(batches);
    let mut file =
        ParquetFile::new(Arc::clone(&schema), schema::table_properties(Table::Spans)?, SPAN_ROW_GROUP_ROWS)?;
    let mut at = 0;
    let open: std::cell::RefCell<Option<BTreeSet<String>>> = std::cell::RefCell::new(Some(BTreeSet::new()));
    let mut services: Vec<Option<BTreeSet<String>>> = Vec::new();
    for batch in batches {
        let rows = at..at + batch.num_rows();
        at = rows.end;
        let mut columns = batch.columns().to_vec();
        for of_column in &numbers {
            columns.push(Arc::new(Int32Array::from(of_column[rows.clone()].to_vec())));
        }
        file.write(
            &RecordBatch::try_new(Arc::clone(&schema), columns)?,
            |part| {
                enter_services(part, &mut open.borrow_mut());
                Ok(())
            },
            |_| {
                services.push(open.replace(Some(BTreeSet::new())));
                Ok(())
            },
        )?;
    }
    if file.end_group()? {
        services.push(open.take());
    }
    let file = file.finish(vec![(SERVICES_KEY, json(&services)?)])?;
    Ok(vec![NewPart::new(ONLY_PART, file)])
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
