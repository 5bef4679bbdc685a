//! Names and values of labels, over all sources of a snapshot: from the indexes alone, without a look at label sets. So they
//! are those of all that a segment or head with data in the range knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use model::{Labels, Matcher, TimeRange};
use roaring::RoaringBitmap;

use super::select::{picked, segment_series, series_part};
use super::snapshot::Source;
use crate::bounds::TABLE_CONCURRENCY;
use crate::error::StorageError;
use crate::head::index::LabelIndex;
use crate::manifest::SegmentMeta;
use crate::segment::picked::Told;
use crate::segment::schema::SERIES_PART;

/// Texts, sorted and once each.
pub(crate) type Texts = BTreeSet<Arc<str>>;

/// What is listed.
#[derive(Clone, Copy, Debug)]
enum Listed<'a> {
    Names,
    /// The values of the label with this name.
    Values(&'a str),
}

impl Listed<'_> {
    fn of_index(self, index: &LabelIndex, selected: &RoaringBitmap, texts: &mut Texts) {
        match self {
            Listed::Names => index.names(selected, texts),
            Listed::Values(name) => index.values(name, selected, texts),
        }
    }

    fn of_labels(self, labels: &Labels, texts: &mut Texts) {
        let mut add = |text: &str| {
            if !texts.contains(text) {
                texts.insert(text.into());
            }
        };
        match self {
            Listed::Names => labels.iter().for_each(|(name, _)| add(name)),
            Listed::Values(name) => labels.get(name).into_iter().for_each(add),
        }
    }
}

/// The names of the labels of what meets any of the sets of matchers.
///
/// # Errors
/// The store's.
pub(crate) async fn label_names(
    source: &Arc<Source>,
    range: TimeRange,
    sets: &[Vec<Matcher>],
) -> Result<Texts, StorageError> {
    gathered(source, range, sets, Listed::Names).await
}

/// The values of a label of what meets any of the sets of matchers.
///
/// # Errors
/// The store's.
pub(crate) async fn label_values(
    source: &Arc<Source>,
    range: TimeRange,
    name: &str,
    sets: &[Vec<Matcher>],
) -> Result<Texts, StorageError> {
    gathered(source, range, sets, Listed::Values(name)).await
}

/// The label sets of what meets any of the sets of matchers and may be seen.
///
/// # Errors
/// The store's.
pub(crate) async fn label_sets(
    source: &Arc<Source>,
    range: TimeRange,
    sets: &[Vec<Matcher>],
) -> Result<BTreeSet<Labels>, StorageError> {
    let mut found = BTreeSet::new();
    for meta in source.segments(range) {
        for matchers in sets {
            let picked = picked(source, meta, matchers, Told::Labels).await?;
            found.extend(picked.into_iter().flat_map(|(picked, ..)| picked.labels));
        }
    }
    for view in source.heads(range) {
        for matchers in sets {
            let mut list = view.series().select(matchers, view.series_count());
            let veil = source.head_veil(view, &list.iter().map(|(number, _)| *number).collect());
            veil.iter().for_each(|veil| list.retain(|(number, _)| !veil.gone.contains(*number)));
            found.extend(list.into_iter().map(|(_, labels)| labels));
        }
    }
    Ok(found)
}

/// What is listed of all that meets any of the sets of matchers and may be seen.
async fn gathered(
    source: &Arc<Source>,
    range: TimeRange,
    sets: &[Vec<Matcher>],
    listed: Listed<'_>,
) -> Result<Texts, StorageError> {
    let mut texts = Texts::new();
    let metas: Vec<SegmentMeta> = source.segments(range).cloned().collect();
    let listings = metas.into_iter().map(|meta| of_segment(source, meta, sets, listed));
    let mut listings = futures::stream::iter(listings).buffered(TABLE_CONCURRENCY);
    while let Some(of_segment) = listings.next().await {
        texts.append(&mut of_segment?);
    }
    drop(listings);
    for view in source.heads(range) {
        let mut of_head = RoaringBitmap::new();
        view.series().with_index(|index| of_head = selected(index, sets, view.series_count()));
        let veil = source.head_veil(view, &of_head);
        veil.iter().for_each(|veil| of_head -= &veil.gone);
        view.series().with_index(|index| listed.of_index(index, &of_head, &mut texts));
    }
    Ok(texts)
}

/// What is listed of a segment: from the index of its table where that is kept, else without making one.
async fn of_segment(
    source: &Arc<Source>,
    meta: SegmentMeta,
    sets: &[Vec<Matcher>],
    listed: Listed<'_>,
) -> Result<Texts, StorageError> {
    let mut texts = Texts::new();
    let Some(file) = source.file(&meta, series_part(source.signal)) else { return Ok(texts) };
    let count = meta.part(SERIES_PART).map_or(0, |part| usize::try_from(part.rows).unwrap_or(usize::MAX));
    if !file.keeps_table(count) {
        for matchers in sets {
            if let Listed::Values(name) = listed
                && !source.conceals(&meta)
            {
                let values = file.pick_values(name, matchers, &source.memory).await;
                let Some(values) = source.readable(&file, values)? else { return Ok(texts) };
                if let Some(mut values) = values {
                    texts.append(&mut values);
                    continue;
                }
            }
            let picked = picked(source, &meta, matchers, Told::Labels).await?;
            let labels = picked.iter().flat_map(|(picked, ..)| &picked.labels);
            labels.for_each(|labels| listed.of_labels(labels, &mut texts));
        }
        return Ok(texts);
    }
    let Some(series) = segment_series(source, &meta).await? else { return Ok(texts) };
    let mut selected = selected(&series.index, sets, series.count()) - &series.empty;
    let veil = source.segment_veil(&meta, &series.index, &selected);
    veil.iter().for_each(|veil| selected -= &veil.gone);
    listed.of_index(&series.index, &selected, &mut texts);
    Ok(texts)
}

/// What meets all matchers of any of the sets.
fn selected(index: &LabelIndex, sets: &[Vec<Matcher>], count: u32) -> RoaringBitmap {
    sets.iter().fold(RoaringBitmap::new(), |all, matchers| all | index.select(matchers, count))
}
