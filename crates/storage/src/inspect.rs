//! What is in a segment's file, for a person: schema, rows, sizes, encodings, time, checksums. It reads one file by
//! itself and needs no engine.

use std::path::Path as FilePath;

use futures::TryStreamExt;
use model::{Signal, TenantId};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::file::metadata::ColumnChunkMetaData;
use serde::Serialize;

use crate::bounds::VERIFY_WINDOW_BYTES;
use crate::error::StorageError;
use crate::layout;
use crate::segment::blocks::Checksum;
use crate::segment::reader::Footer;
use crate::segment::schema;
use crate::segment::survey::{self, Surveyed};
use crate::signal::Table;

/// One file of a segment.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The file or object.
    pub object: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// The program that wrote it.
    pub created_by: Option<String>,
    /// The first timestamp in it; none for a file of series.
    pub start_ns: Option<i64>,
    /// The last timestamp in it.
    pub end_ns: Option<i64>,
    /// The columns, each over all row groups.
    pub columns: Vec<ColumnReport>,
    /// The row groups, in order.
    pub row_groups: Vec<RowGroupReport>,
    /// The pairs in the footer.
    pub metadata: Vec<MetadataReport>,
    /// The length of page indexes and footer.
    pub tail_bytes: u64,
    /// The checksum of that; the manifest has the one that it should be.
    pub tail_xxh3: Checksum,
    /// How many blocks of data there are.
    pub blocks: usize,
    /// Those that do not have their checksums, by number.
    pub damaged_blocks: Vec<u64>,
}

/// A column of a file.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnReport {
    /// The path of its name.
    pub name: String,
    /// The Parquet type.
    pub physical_type: String,
    /// How its pages are encoded, and compressed.
    pub encodings: String,
    /// Its bytes in the file.
    pub bytes: u64,
    /// Its bytes before compression.
    pub uncompressed_bytes: u64,
}

/// A row group of a file.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RowGroupReport {
    /// Its rows.
    pub rows: u64,
    /// Its bytes in the file.
    pub bytes: u64,
}

/// A pair in a footer.
#[derive(Clone, Debug, Serialize)]
pub struct MetadataReport {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Looks at a file on this machine.
///
/// # Errors
/// When the file cannot be read; [`StorageError::Corrupt`] for what is not a segment's file.
pub async fn inspect_file(file: &FilePath) -> Result<FileReport, StorageError> {
    let path = file.canonicalize().map_err(|error| StorageError::io("open", file, error))?;
    let path = Path::from_absolute_path(path).map_err(object_store::Error::from)?;
    let store = LocalFileSystem::new();
    let object = store.head(&path).await?;
    let mut report = inspect(&store, &object).await?;
    report.object = file.display().to_string();
    Ok(report)
}

/// Looks at all files of a segment in a store.
///
/// # Errors
/// When the store does not answer, there is no such segment, or a file of it is not a segment's.
pub async fn inspect_segment(
    store: &dyn ObjectStore,
    tenant: &TenantId,
    signal: Signal,
    id: &str,
) -> Result<Vec<FileReport>, StorageError> {
    let prefix = layout::segments(tenant, signal);
    let objects: Vec<ObjectMeta> = store.list(Some(&prefix)).try_collect().await?;
    let mut files: Vec<_> =
        objects.into_iter().filter(|object| layout::segment_id(&object.location) == Some(id)).collect();
    files.sort_by(|a, b| a.location.cmp(&b.location));
    if files.is_empty() {
        let path = prefix.join(id).to_string();
        return Err(object_store::Error::NotFound { path, source: "no segment has this id".into() }.into());
    }
    let mut reports = Vec::with_capacity(files.len());
    for object in &files {
        reports.push(inspect(store, object).await?);
    }
    Ok(reports)
}

async fn inspect(store: &dyn ObjectStore, object: &ObjectMeta) -> Result<FileReport, StorageError> {
    let path = &object.location;
    let Surveyed { footer, tail } = survey::file(store, path, object.size).await?;
    let mut damaged_blocks = Vec::new();
    let mut start = 0;
    while start < footer.blocks.data_bytes() {
        let end = footer.blocks.data_bytes().min(start + VERIFY_WINDOW_BYTES);
        let bytes = store.get_range(path, start..end).await?;
        damaged_blocks.extend(footer.blocks.damaged(start, &bytes));
        start = end;
    }
    let table =
        Signal::ALL.iter().flat_map(|signal| Table::of(*signal)).find(|table| is_of(&footer, **table));
    let range = table.and_then(|table| survey::time_range(&footer, *table));
    let file = footer.parquet().file_metadata();
    let pairs = file.key_value_metadata().into_iter().flatten();
    let pair = |key: &str, value: &Option<String>| MetadataReport {
        key: key.to_owned(),
        value: value.clone().unwrap_or_default(),
    };
    Ok(FileReport {
        object: path.to_string(),
        bytes: object.size,
        rows: footer.rows() as u64,
        created_by: file.created_by().map(str::to_owned),
        start_ns: range.map(|range| range.start_ns),
        end_ns: range.map(|range| range.end_ns),
        columns: columns(&footer),
        row_groups: row_groups(&footer),
        metadata: pairs.map(|p| pair(&p.key, &p.value)).collect(),
        tail_bytes: tail.bytes,
        tail_xxh3: tail.checksum,
        blocks: footer.blocks.count(),
        damaged_blocks,
    })
}

fn is_of(footer: &Footer, table: Table) -> bool {
    let schema = if table == Table::Samples { schema::samples() } else { table.schema() };
    let name = schema.field(table.time_column()).name();
    let columns = footer.parquet().file_metadata().schema_descr().columns();
    columns.get(table.time_column()).is_some_and(|column| column.name() == name)
}

fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

fn row_groups(footer: &Footer) -> Vec<RowGroupReport> {
    let groups = footer.parquet().row_groups().iter();
    groups
        .map(|group| RowGroupReport {
            rows: unsigned(group.num_rows()),
            bytes: unsigned(group.compressed_size()),
        })
        .collect()
}

fn columns(footer: &Footer) -> Vec<ColumnReport> {
    let schema = footer.parquet().file_metadata().schema_descr();
    let of_column = |(place, column): (usize, &parquet::schema::types::ColumnDescPtr)| {
        let chunks = || footer.parquet().row_groups().iter().filter_map(|group| group.columns().get(place));
        let sum = |of: fn(&ColumnChunkMetaData) -> i64| chunks().map(|chunk| unsigned(of(chunk))).sum();
        let mut encodings: Vec<String> = chunks()
            .flat_map(|chunk| {
                let codec = format!("{:?}", chunk.compression());
                let codec = codec.split('(').next().unwrap_or_default().to_owned();
                chunk.encodings().map(|encoding| format!("{encoding:?}")).chain([codec]).collect::<Vec<_>>()
            })
            .collect();
        encodings.sort();
        encodings.dedup();
        ColumnReport {
            name: column.path().string(),
            physical_type: format!("{:?}", column.physical_type()),
            encodings: encodings.join(" "),
            bytes: sum(ColumnChunkMetaData::compressed_size),
            uncompressed_bytes: sum(ColumnChunkMetaData::uncompressed_size),
        }
    };
    schema.columns().iter().enumerate().map(of_column).collect()
}
