//! Columns that have nothing: of an optional column that is null in every row of a row group, the footer says so, and it is
//! not read.
//!
//! Whole columns, and the columns of a list's items; what is optional deeper inside is read.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::file::metadata::ColumnChunkMetaData;

use super::reader::Footer;
use crate::error::StorageError;

/// Columns at the top level: what of them is read, and what the rows have.
pub(crate) struct Present {
    /// The leaves that are read.
    pub(crate) mask: ProjectionMask,
    /// All that was asked for, in the file's order.
    schema: SchemaRef,
    /// Whether something is left out.
    is_partial: bool,
}

/// Whether the footer says that no row has a value.
pub(crate) fn is_absent(column: &ColumnChunkMetaData) -> bool {
    let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
    nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(column.num_values()))
}

impl Present {
    /// What is there of columns in row groups.
    pub(crate) fn of(footer: &Footer, columns: impl IntoIterator<Item = usize>, groups: &[usize]) -> Self {
        let descriptor = footer.metadata.parquet_schema();
        let mut columns: Vec<usize> = columns.into_iter().collect();
        columns.sort_unstable();
        let fields = footer.metadata.schema().fields();
        let schema = Schema::new(columns.iter().filter_map(|c| fields.get(*c).cloned()).collect::<Fields>());
        let mut is_partial = false;
        let mut leaves = Vec::new();
        for leaf in 0..descriptor.num_columns() {
            let root = descriptor.get_column_root_idx(leaf);
            if columns.binary_search(&root).is_err() {
                continue;
            }
            let path = descriptor.column(leaf).path().parts().last().cloned().unwrap_or_default();
            let is_absent = |group: &usize| is_absent(footer.parquet().row_group(*group).column(leaf));
            let may_lack = fields.get(root).is_some_and(|field| is_optional(field, &path));
            if may_lack && groups.iter().all(is_absent) {
                is_partial = true;
            } else {
                leaves.push(leaf);
            }
        }
        let mask = ProjectionMask::leaves(descriptor, leaves);
        Self { mask, schema: Arc::new(schema), is_partial }
    }

    /// Rows as they were read, with nulls where nothing was.
    ///
    /// # Errors
    /// When the columns are not those that were to be read.
    pub(crate) fn whole(&self, batch: RecordBatch) -> Result<RecordBatch, StorageError> {
        if !self.is_partial {
            return Ok(batch);
        }
        let rows = batch.num_rows();
        let columns = self.schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => with_all_items(field, column),
            None => Ok(new_null_array(field.data_type(), rows)),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, StorageError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The fields of a list's items; none where it is no list of them.
fn item_fields(data_type: &DataType) -> Option<(&FieldRef, &Fields)> {
    let DataType::List(item) = data_type else { return None };
    let DataType::Struct(fields) = item.data_type() else { return None };
    Some((item, fields))
}

/// Whether the leaf of this name may be left out of a column.
fn is_optional(field: &Field, leaf: &str) -> bool {
    match item_fields(field.data_type()) {
        Some((_, fields)) => fields.find(leaf).is_some_and(|(_, field)| field.is_nullable()),
        None => field.is_nullable() && !field.data_type().is_nested(),
    }
}

/// A list with nulls in the columns of its items that were not read.
fn with_all_items(field: &Field, column: &ArrayRef) -> Result<ArrayRef, StorageError> {
    let wrong = || StorageError::Internal(format!("a column that was not asked for: name={}", field.name()));
    let (item, fields) = item_fields(field.data_type()).ok_or_else(wrong)?;
    let list = column.as_list_opt::<i32>().ok_or_else(wrong)?;
    let items = list.values().as_struct_opt().ok_or_else(wrong)?;
    let of_item = |field: &FieldRef| match items.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), items.len()),
    };
    let columns = fields.iter().map(of_item).collect();
    let items = StructArray::try_new(fields.clone(), columns, items.nulls().cloned())?;
    let list =
        ListArray::try_new(Arc::clone(item), list.offsets().clone(), Arc::new(items), list.nulls().cloned())?;
    Ok(Arc::new(list))
}
