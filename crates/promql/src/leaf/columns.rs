//! The columns in which values travel: a row per series or group, a list with an item per step.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanBufferBuilder, BooleanBuilder, Float64Array,
    Float64Builder, ListArray, ListBuilder, RecordBatch, StringBuilder, UInt64Builder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, UInt64Type};
use model::Labels;
use model::histogram::{HistogramsBuilder, HistogramsView, histogram_type};

use super::{Leaf, Work};
use crate::aggregate::fold::{Fold, Folds, Part};
use crate::annotations::Annotations;
use crate::error::EvalError;
use crate::vector::{GridSeries, Present};

/// The schema of leaves with a value per step; folded ones carry what joining needs.
pub(crate) fn schema(folded: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("labels", DataType::Binary, false),
        list("values", DataType::Float64),
        list("histograms", histogram_type()),
        Field::new("notes", DataType::Utf8, true),
    ];
    if folded {
        fields.push(list("counts", DataType::UInt64));
        fields.push(list("lost", DataType::Float64));
        fields.push(list("scaled", DataType::Float64));
    }
    Arc::new(Schema::new(fields))
}

/// The schema of leaves that compute quantiles: which rows are these, and which are buckets that need no joining.
pub(crate) fn quantiles_schema(folded: bool) -> SchemaRef {
    let mut fields = schema(folded).fields().to_vec();
    fields.push(Arc::new(Field::new(IS_QUANTILE, DataType::Boolean, true)));
    Arc::new(Schema::new(fields))
}

const IS_QUANTILE: &str = "is_quantile";

/// Histograms that one worker had all series of.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Their buckets, where the worker computed nothing.
    pub(super) buckets: Vec<GridSeries>,
    /// Their quantiles.
    pub(super) quantiles: Vec<GridSeries>,
}

pub(super) fn list(name: &str, item: DataType) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("item", item, true))), true)
}

pub(super) fn error(leaf: usize, what: &str) -> EvalError {
    EvalError::Batch { leaf, what: what.to_owned() }
}

/// Lists of numbers, one per row, with a number or none per step.
struct NumberLists {
    items: Vec<f64>,
    present: BooleanBufferBuilder,
    lengths: Vec<usize>,
    validity: Vec<bool>,
}

impl NumberLists {
    fn new() -> Self {
        let present = BooleanBufferBuilder::new(0);
        Self { items: Vec::new(), present, lengths: Vec::new(), validity: Vec::new() }
    }

    fn push(&mut self, values: &[f64], present: &Present) {
        self.items.extend_from_slice(values);
        for (i, word) in present.words().iter().enumerate() {
            let steps = (present.len() - i * 64).min(64);
            self.present.append_packed_range(0..steps, &word.to_le_bytes());
        }
        self.lengths.push(values.len());
        self.validity.push(true);
    }

    fn push_null(&mut self) {
        self.lengths.push(0);
        self.validity.push(false);
    }

    fn finish(mut self) -> ListArray {
        let items = Float64Array::new(self.items.into(), Some(NullBuffer::new(self.present.finish())));
        let field = Arc::new(Field::new("item", DataType::Float64, true));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        ListArray::new(field, offsets, Arc::new(items), Some(NullBuffer::from(self.validity)))
    }
}

/// Lists of histograms, one per row.
pub(super) struct HistogramLists {
    items: HistogramsBuilder,
    lengths: Vec<usize>,
    validity: Vec<bool>,
}

impl HistogramLists {
    pub(super) fn new() -> Self {
        Self { items: HistogramsBuilder::default(), lengths: Vec::new(), validity: Vec::new() }
    }

    /// A row with these items; an empty iterator that is no list makes a null row.
    pub(super) fn push<'h>(
        &mut self,
        items: impl Iterator<Item = Option<&'h model::histogram::NativeHistogram>>,
        is_list: bool,
    ) {
        let before = self.items.len();
        for item in items {
            match item {
                Some(histogram) => self.items.push(histogram),
                None => self.items.push_null(),
            }
        }
        self.lengths.push(self.items.len() - before);
        self.validity.push(is_list);
    }

    pub(super) fn finish(mut self) -> ListArray {
        let field = Arc::new(Field::new("item", histogram_type(), true));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        ListArray::new(field, offsets, Arc::new(self.items.finish()), Some(NullBuffer::from(self.validity)))
    }
}

pub(super) fn write(
    leaf: &Leaf,
    folds: &[(Labels, Fold)],
    series: &[GridSeries],
    whole: &Whole,
    notes: &Annotations,
) -> Result<RecordBatch, EvalError> {
    let folded = matches!(leaf.work, Work::Kernel { reduce: Some(_), .. });
    let mut labels = BinaryBuilder::new();
    let mut values = NumberLists::new();
    let mut histograms = HistogramLists::new();
    let mut counts = ListBuilder::new(UInt64Builder::new());
    let mut lost = ListBuilder::new(Float64Builder::new());
    let mut scaled = ListBuilder::new(Float64Builder::new());
    for (key, fold) in folds {
        labels.append_value(key.as_bytes());
        // The counts say at which steps there is something; where values say nothing there is no list of them.
        values.push(&fold.values, &Present::all(fold.values.len()));
        histograms.push(std::iter::empty(), false);
        counts.append_value(fold.counts.iter().map(|count| Some(*count)));
        lost.append_value(fold.lost.iter().map(|value| Some(*value)));
        scaled.append_value(fold.scaled.iter().map(|value| Some(*value)));
    }
    for series in series.iter().chain(&whole.buckets).chain(&whole.quantiles) {
        labels.append_value(series.labels.as_bytes());
        values.push(&series.values, &series.present);
        histograms.push(series.histograms.iter().map(Option::as_deref), !series.histograms.is_empty());
    }
    let parts = folds.len() + series.len();
    let rows = parts + whole.buckets.len() + whole.quantiles.len();
    let text: Vec<String> = notes.lines().collect();
    if !text.is_empty() {
        labels.append_value([]);
        values.push_null();
        histograms.push(std::iter::empty(), false);
    }
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(labels.finish()),
        Arc::new(values.finish()),
        Arc::new(histograms.finish()),
        Arc::new(notes_column(rows, &text)),
    ];
    if folded {
        for _ in folds.len()..columns[0].len() {
            counts.append_null();
            lost.append_null();
            scaled.append_null();
        }
        columns.push(Arc::new(counts.finish()));
        columns.push(Arc::new(lost.finish()));
        columns.push(Arc::new(scaled.finish()));
    }
    if leaf.quantiles.is_some() {
        let mut marks = BooleanBuilder::new();
        marks.append_nulls(parts);
        marks.append_n(whole.buckets.len(), false);
        marks.append_n(whole.quantiles.len(), true);
        marks.append_nulls(columns[0].len() - rows);
        columns.push(Arc::new(marks.finish()));
    }
    RecordBatch::try_new(leaf.schema(), columns).map_err(|e| error(leaf.number, &e.to_string()))
}

/// Nothing for so many rows, then, if there are any, the annotations in a row of their own.
pub(super) fn notes_column(rows: usize, text: &[String]) -> arrow::array::StringArray {
    let mut notes = StringBuilder::new();
    notes.append_nulls(rows);
    if !text.is_empty() {
        notes.append_value(text.join("\n"));
    }
    notes.finish()
}

/// The rows' labels and, read off at once, the annotations; rows of annotations alone are left out.
pub(super) fn rows(
    leaf: &Leaf,
    batch: &RecordBatch,
    notes: &mut Annotations,
) -> Result<Vec<(usize, Labels)>, EvalError> {
    if batch.schema_ref().fields().len() != leaf.schema.fields().len() {
        return Err(error(leaf.number, "it has other columns"));
    }
    let labels = batch.column(0).as_any().downcast_ref::<BinaryArray>();
    let labels = labels.ok_or_else(|| error(leaf.number, "labels are not bytes"))?;
    let texts = batch.column_by_name("notes").and_then(|column| column.as_string_opt::<i32>());
    let texts = texts.ok_or_else(|| error(leaf.number, "notes are not texts"))?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        if texts.is_valid(row) {
            texts.value(row).lines().for_each(|line| notes.push_line(line));
            continue;
        }
        let labels = Labels::from_bytes(labels.value(row)).map_err(|e| error(leaf.number, &e.to_string()))?;
        rows.push((row, labels));
    }
    Ok(rows)
}

pub(super) fn list_column<'a>(
    leaf: &Leaf,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a ListArray, EvalError> {
    let column = batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>());
    column.ok_or_else(|| error(leaf.number, &format!("{name} is not a list")))
}

pub(super) fn read(
    leaf: &Leaf,
    batch: &RecordBatch,
    mut folds: Option<&mut Folds>,
    series: &mut Vec<GridSeries>,
    whole: &mut Whole,
    notes: &mut Annotations,
) -> Result<(), EvalError> {
    let steps = leaf.windows.steps.count;
    let drops_name = leaf.delayed_names && matches!(leaf.work, Work::Kernel { keep_name: false, .. });
    let rows = rows(leaf, batch, notes)?;
    let values = list_column(leaf, batch, "values")?;
    let histograms = list_column(leaf, batch, "histograms")?;
    let marks = batch.column_by_name(IS_QUANTILE).and_then(|column| column.as_boolean_opt());
    for (row, labels) in rows {
        if let Some(folds) = folds.as_mut() {
            let counts = list_column(leaf, batch, "counts")?;
            if counts.is_valid(row) {
                join(leaf, batch, row, &labels, folds)?;
                continue;
            }
        }
        let list = values.value(row);
        let list = list.as_primitive_opt::<Float64Type>().filter(|list| list.len() == steps);
        let list = list.ok_or_else(|| error(leaf.number, "values are not one number per step"))?;
        let present = match list.nulls() {
            Some(nulls) => Present::from_words(nulls.inner().bit_chunks().iter_padded(), steps),
            None => Present::all(steps),
        };
        let mut one = GridSeries::full(labels, list.values().to_vec());
        one.present = present;
        one.name_dropped = drops_name;
        if histograms.is_valid(row) {
            let list = histograms.value(row);
            let view = HistogramsView::new(list.as_ref()).filter(|_| list.len() == steps);
            let view = view.ok_or_else(|| error(leaf.number, "histograms are not one per step"))?;
            for step in 0..steps {
                if let Some(histogram) = view.get(step) {
                    one.set_histogram(step, histogram);
                }
            }
        }
        match marks.filter(|marks| marks.is_valid(row)).map(|marks| marks.value(row)) {
            Some(true) => whole.quantiles.push(GridSeries { name_dropped: true, ..one }),
            Some(false) => whole.buckets.push(one),
            None => series.push(one),
        }
    }
    Ok(())
}

fn join(
    leaf: &Leaf,
    batch: &RecordBatch,
    row: usize,
    labels: &Labels,
    folds: &mut Folds,
) -> Result<(), EvalError> {
    let floats = |name: &str| -> Result<Vec<f64>, EvalError> {
        let list = list_column(leaf, batch, name)?.value(row);
        let list = list.as_primitive_opt::<Float64Type>();
        Ok(list.ok_or_else(|| error(leaf.number, &format!("{name} are not numbers")))?.values().to_vec())
    };
    let counts = list_column(leaf, batch, "counts")?.value(row);
    let counts = counts.as_primitive_opt::<UInt64Type>();
    let counts = counts.ok_or_else(|| error(leaf.number, "counts are not numbers"))?.values().to_vec();
    let (values, lost, scaled) = (floats("values")?, floats("lost")?, floats("scaled")?);
    let part = Part { counts: &counts, values: &values, lost: &lost, scaled: &scaled };
    if folds.join(labels, &part) { Ok(()) } else { Err(error(leaf.number, "a group has other steps")) }
}
