//! The columns of segment files, and how Parquet keeps them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use model::labels::{Labels, METRIC_NAME};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::bounds::{MAX_LABEL_COLUMNS, PAGE_ROWS, SAMPLE_PAGE_ROWS, SPAN_ROW_GROUP_ROWS};
use crate::error::StorageError;
use crate::signal::Table;

/// The part with the series of a metrics segment.
pub(crate) const SERIES_PART: &str = "series";
/// The name of a file that is a segment's only one.
pub(crate) const ONLY_PART: &str = "";

/// What stands before a label's name in the name of its column.
pub(crate) const LABEL_PREFIX: &str = "label.";
/// The column of labels that have none of their own, as a JSON object.
pub(crate) const OTHER_LABELS: &str = "other_labels";

/// The format's number, in the footer of every file.
pub(crate) const FORMAT_KEY: &str = "stella.format";
/// The value for [`FORMAT_KEY`] that this code writes and reads.
pub(crate) const FORMAT: &str = "1";
/// The checksums of the blocks of the file's data, as JSON: `{"data_bytes": n, "xxh3": "..."}`.
pub(crate) const BLOCKS_KEY: &str = "stella.blocks";
/// The streams of a logs file in order, as JSON: labels and the number of rows of each.
pub(crate) const STREAMS_KEY: &str = "stella.streams";
/// Where the token filters of each row group of a logs file lie, one for each [`TOKEN_FILTER_ROWS`] rows, as JSON:
/// `[[[offset, length], null, ...], ...]`, null where there is none.
///
/// [`TOKEN_FILTER_ROWS`]: crate::bounds::TOKEN_FILTER_ROWS
pub(crate) const TOKEN_FILTERS_KEY: &str = "stella.token_filters";
/// The first and the last time of each row group of a samples file, as JSON: `[[first_ms, last_ms], ...]`.
pub(crate) const TIMES_KEY: &str = "stella.times";
/// The services of each row group of a traces file, as JSON: `[["a", "b"], null, ...]`, null where there are many.
pub(crate) const SERVICES_KEY: &str = "stella.services";

/// The order in which a trace's spans were numbered as a nested set: on the way down, on the way up, and the parent's
/// number on the way down (-1 for a root). 0 where the span hangs from no root.
pub(crate) const NESTED_COLUMNS: [&str; 3] = ["nested_left", "nested_right", "nested_parent"];

/// The level of zstd for what comes from a head and is rewritten soon, and for what a higher level does not make smaller:
/// packed integers, and lines, where it finds matches that cost more than the letters.
const QUICK_LEVEL: i32 = 1;
/// The level of zstd for spans and series that were rewritten.
const REWRITTEN_LEVEL: i32 = 3;

/// The name of the part that holds a table.
pub(crate) const fn part(table: Table) -> &'static str {
    match table {
        Table::Samples => "samples",
        Table::Histograms => "histograms",
        Table::Exemplars => "exemplars",
        Table::Entries | Table::Spans => ONLY_PART,
    }
}

static SAMPLES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("series", DataType::UInt32, false),
        Field::new("timestamp_base_ms", DataType::Int64, false),
        Field::new("timestamp_offset_ms", DataType::Int64, false),
        Field::new("start_ms", DataType::Int64, false),
        Field::new("scale", DataType::Int8, false),
        Field::new("scaled_base", DataType::Int64, false),
        Field::new("scaled_step", DataType::Int64, false),
        Field::new("scaled_offset", DataType::Int64, true),
        Field::new("value", DataType::Float64, true),
    ]))
});

/// The columns of samples as they are kept, see [`super::packed`]. The time is `timestamp_base_ms + timestamp_offset_ms`;
/// the value is `(scaled_base + scaled_offset * scaled_step) / 10^scale` where `scaled_offset` is not null, otherwise
/// `value`.
pub(crate) fn samples() -> &'static SchemaRef {
    &SAMPLES
}

/// The label names that get columns: `__name__` first, then the others sorted; of too many the commonest.
pub(crate) fn label_columns<'a>(sets: impl Iterator<Item = &'a Labels>) -> (Vec<String>, bool) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for labels in sets {
        for (name, _) in labels {
            *counts.entry(name).or_default() += 1;
        }
    }
    let has_others = counts.len() > MAX_LABEL_COLUMNS;
    let mut names: Vec<(&str, usize)> = counts.into_iter().collect();
    if has_others {
        names.sort_by(|a, b| (a.0 != METRIC_NAME, b.1, a.0).cmp(&(b.0 != METRIC_NAME, a.1, b.0)));
        names.truncate(MAX_LABEL_COLUMNS);
    }
    names.sort_by_key(|(name, _)| (*name != METRIC_NAME, *name));
    (names.into_iter().map(|(name, _)| name.to_owned()).collect(), has_others)
}

/// The fields of label columns, and of the column for other labels where it is needed.
pub(crate) fn label_fields(names: &[String], has_others: bool, data_type: &DataType) -> Vec<FieldRef> {
    let mut fields: Vec<FieldRef> = names
        .iter()
        .map(|name| Arc::new(Field::new(format!("{LABEL_PREFIX}{name}"), data_type.clone(), true)))
        .collect();
    if has_others {
        fields.push(Arc::new(Field::new(OTHER_LABELS, data_type.clone(), true)));
    }
    fields
}

fn column(name: &str) -> ColumnPath {
    ColumnPath::new(vec![name.to_owned()])
}

/// A sorting column; nulls first.
const fn ascending(column_idx: i32) -> SortingColumn {
    SortingColumn { column_idx, descending: false, nulls_first: true }
}

/// What all files have in common.
fn properties(sorted_by: &[i32], zstd_level: i32) -> Result<WriterPropertiesBuilder, StorageError> {
    Ok(WriterProperties::builder()
        .set_created_by(concat!("stella ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level)?))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS / 4)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Row groups are closed by the writer, which adds filters between them.
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(sorted_by.iter().copied().map(ascending).collect())))
}

/// A column of integers whose neighbours are close to each other.
fn delta(builder: WriterPropertiesBuilder, name: &str) -> WriterPropertiesBuilder {
    builder
        .set_column_dictionary_enabled(column(name), false)
        .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED)
}

/// A column of few values, which runs and dictionaries make as small as it can be: to decompress it would cost more than
/// to read it.
fn plain(builder: WriterPropertiesBuilder, name: &str) -> WriterPropertiesBuilder {
    builder.set_column_compression(column(name), Compression::UNCOMPRESSED)
}

/// A column whose values hardly repeat: a dictionary would be as long as they are, and be read for each of them.
fn direct(builder: WriterPropertiesBuilder, name: &str) -> WriterPropertiesBuilder {
    builder.set_column_dictionary_enabled(column(name), false)
}

/// A column that reads are pruned by, page by page.
fn paged(builder: WriterPropertiesBuilder, name: &str) -> WriterPropertiesBuilder {
    builder.set_column_statistics_enabled(column(name), EnabledStatistics::Page)
}

const fn level(is_rewritten: bool) -> i32 {
    if is_rewritten { REWRITTEN_LEVEL } else { QUICK_LEVEL }
}

/// How the series of a metrics segment are kept; `sorted_by` are the numbers of the label columns.
pub(crate) fn series_properties(
    sorted_by: &[i32],
    is_rewritten: bool,
) -> Result<WriterProperties, StorageError> {
    let builder = delta(properties(sorted_by, level(is_rewritten))?, "number");
    Ok(paged(builder, &format!("{LABEL_PREFIX}{METRIC_NAME}")).build())
}

/// How a table is kept; what is rewritten stays for long and is packed tighter.
pub(crate) fn table_properties(table: Table, is_rewritten: bool) -> Result<WriterProperties, StorageError> {
    Ok(match table {
        Table::Samples => {
            let builder = paged(properties(&[0, 2], QUICK_LEVEL)?, "timestamp_base_ms");
            let builder = paged(delta(builder, "timestamp_offset_ms"), "timestamp_offset_ms");
            let builder = delta(paged(delta(builder, "series"), "series"), "scaled_offset");
            let runs = ["timestamp_base_ms", "start_ms", "scale", "scaled_base", "scaled_step"];
            runs.into_iter()
                .fold(builder, plain)
                .set_data_page_row_count_limit(SAMPLE_PAGE_ROWS)
                .set_column_dictionary_enabled(column("value"), false)
                .set_column_encoding(column("value"), Encoding::BYTE_STREAM_SPLIT)
                .build()
        }
        Table::Histograms | Table::Exemplars => {
            let builder = paged(delta(properties(&[0, 1], QUICK_LEVEL)?, "timestamp_ms"), "timestamp_ms");
            delta(paged(builder, "series"), "series").build()
        }
        Table::Entries => {
            let builder = paged(delta(properties(&[0, 1], QUICK_LEVEL)?, "timestamp_ns"), "timestamp_ns");
            let builder = plain(delta(paged(builder, "stream"), "stream"), "stream");
            let builder = ["trace_id", "span_id", "line"].into_iter().fold(builder, direct);
            plain(builder, "span_id")
                // Neighbours begin alike: what they share costs no match.
                .set_column_encoding(column("line"), Encoding::DELTA_BYTE_ARRAY)
                .set_column_statistics_enabled(column("line"), EnabledStatistics::None)
                .build()
        }
        Table::Spans => {
            let builder = paged(properties(&[0, 7, 1], level(is_rewritten))?, "trace_id");
            let builder = paged(paged(builder, "start_ns"), "duration_ns");
            let builder = ["span_id", "start_ns", "duration_ns"].into_iter().fold(builder, direct);
            plain(builder, "span_id")
                .set_column_bloom_filter_enabled(column("trace_id"), true)
                .set_column_bloom_filter_fpp(column("trace_id"), 0.01)
                .set_column_bloom_filter_max_ndv(column("trace_id"), SPAN_ROW_GROUP_ROWS as u64)
                .build()
        }
    })
}
