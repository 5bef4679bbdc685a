//! Which attributes spans have, without reading the spans: by footers and by the dictionaries of the columns of keys. So they
//! are those of all row groups with a span in the range.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use model::TimeRange;
use model::trace::SPANS_SCHEMA;

use super::common;
use super::prune;
use super::traces::{SpanColumns, SpanSource, TracesSnapshot};
use crate::bounds::TABLE_CONCURRENCY;
use crate::error::StorageError;
use crate::manifest::SegmentMeta;
use crate::segment::absent::is_absent;
use crate::segment::reader::SegmentFile;
use crate::signal::Table;

/// What spans have: a column, and the key in it where it is one of lists of attributes.
pub type Attribute = (&'static str, Option<Box<str>>);

impl TracesSnapshot {
    /// The attributes that spans in the range have in the columns of these names, and the sources for which nothing but their
    /// spans can say it: heads, and segments with spans that may not be seen or with keys that are in no dictionary.
    ///
    /// # Errors
    /// When the store fails; a damaged segment is left out.
    pub async fn attributes(
        &self,
        range: TimeRange,
        columns: &[&'static str],
    ) -> Result<(BTreeSet<Attribute>, Vec<SpanSource>), StorageError> {
        let range = common(range, self.range());
        let mut found = BTreeSet::new();
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        let columns: Arc<[&'static str]> = columns.into();
        let loads = self.segments(range).into_iter().map(|(meta, file)| {
            let (source, columns) = (Arc::clone(self.source()), Arc::clone(&columns));
            async move {
                let known = match source.segment_span_veil(&meta) {
                    Some(_) => Ok(None),
                    None => in_segment(&file, meta.range(), range, &columns).await,
                };
                source.readable(&file, known).map(|known| (meta.id, known))
            }
        });
        let mut loaded = futures::stream::iter(loads.collect::<Vec<_>>()).buffered(TABLE_CONCURRENCY);
        while let Some(known) = loaded.next().await {
            match known? {
                (_, Some(Some(attributes))) => found.extend(attributes),
                (id, Some(None)) => {
                    unknown.insert(id);
                }
                (_, None) => {}
            }
        }
        let read = SpanColumns::glance(&columns, &[]);
        Ok((found, self.sources_of(range, &read, |meta: &SegmentMeta| unknown.contains(&meta.id))))
    }
}

/// The attributes of the row groups of a segment with a span in the range; none where they are not known.
async fn in_segment(
    file: &SegmentFile,
    of_segment: TimeRange,
    range: TimeRange,
    columns: &[&'static str],
) -> Result<Option<BTreeSet<Attribute>>, StorageError> {
    let footer = file.footer().await?;
    let is_whole = range.start_ns <= of_segment.start_ns && of_segment.end_ns <= range.end_ns;
    let in_time = match is_whole {
        true => std::iter::once(0..footer.rows()).collect(),
        false => prune::by_integer(&footer, Table::Spans.time_column(), range.start_ns, range.end_ns),
    };
    let mut found = BTreeSet::new();
    for (group, rows) in footer.row_groups().enumerate() {
        if prune::intersection(&in_time, std::slice::from_ref(&rows)).is_empty() {
            continue;
        }
        for name in columns {
            let is_list = SPANS_SCHEMA.field_with_name(name).is_ok_and(|field| field.data_type().is_nested());
            if is_list {
                let keys = file.attribute_keys(&footer, group, name).await?;
                let Some(keys) = keys.all() else { return Ok(None) };
                found.extend(keys.map(|key| (*name, Some(key.into()))));
                continue;
            }
            let leaves = footer.parquet().row_group(group).columns().iter();
            let mut leaves = leaves.filter(|leaf| leaf.column_path().parts() == [*name]);
            if leaves.any(|leaf| !is_absent(leaf)) {
                found.insert((*name, None));
            }
        }
    }
    Ok(Some(found))
}
