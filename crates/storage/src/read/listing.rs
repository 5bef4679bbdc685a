//! Names and values of labels, over all sources of a snapshot: from columns and indexes alone, without a look at label sets.
//! So they are those of all that a segment or head with data in the range knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use model::{Labels, Matcher, Signal, TimeRange};
use roaring::RoaringBitmap;

use super::select::{picked, segment_streams, series_part};
use super::snapshot::Source;
use crate::bounds::TABLE_CONCURRENCY;
use crate::error::StorageError;
use crate::head::HeadView;
use crate::head::index::LabelIndex;
use crate::manifest::SegmentMeta;
use crate::segment::picked::Told;
use crate::segment::texts::Listing;

/// Texts, sorted and once each.
type Texts = Vec<Arc<str>>;

/// What is listed.
#[derive(Clone, Copy, Debug)]
enum Listed<'a> {
    Names,
    /// The values of the label with this name.
    Values(&'a str),
}

impl Listed<'_> {
    fn of_index(self, index: &LabelIndex, selected: &RoaringBitmap) -> Texts {
        match self {
            Listed::Names => index.names(selected),
            Listed::Values(name) => index.values(name, selected),
        }
    }

    fn of_labels(self, all: &[Labels]) -> Texts {
        let texts: BTreeSet<&str> = match self {
            Listed::Names => all.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect(),
            Listed::Values(name) => all.iter().filter_map(|labels| labels.get(name)).collect(),
        };
        texts.into_iter().map(Arc::from).collect()
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
    let mut lists = Vec::new();
    let metas: Vec<SegmentMeta> = source.segments(range).cloned().collect();
    let listings = metas.into_iter().map(|meta| of_segment(source, meta, sets, listed));
    let mut listings = futures::stream::iter(listings).buffered(TABLE_CONCURRENCY);
    while let Some(of_segment) = listings.next().await {
        lists.extend(of_segment?);
    }
    drop(listings);
    let heads = source.heads(range).map(|view| Listing::Some(of_head(source, view, sets, listed)));
    lists.extend(heads);
    Ok(Listing::union(&lists))
}

fn of_head(source: &Source, view: &HeadView, sets: &[Vec<Matcher>], listed: Listed<'_>) -> Texts {
    let mut of_head = RoaringBitmap::new();
    view.series().with_index(|index| of_head = selected(index, sets, view.series_count()));
    let veil = source.head_veil(view, &of_head);
    veil.iter().for_each(|veil| of_head -= &veil.gone);
    let mut texts = Texts::new();
    view.series().with_index(|index| texts = listed.of_index(index, &of_head));
    texts
}

/// What is listed of a segment, in a list or more: of series from the columns that are asked for, of streams from their index.
async fn of_segment(
    source: &Arc<Source>,
    meta: SegmentMeta,
    sets: &[Vec<Matcher>],
    listed: Listed<'_>,
) -> Result<Vec<Listing>, StorageError> {
    if source.signal != Signal::Metrics {
        let Some(streams) = segment_streams(source, &meta).await? else { return Ok(Vec::new()) };
        let mut selected = selected(&streams.index, sets, streams.count()) - &streams.empty;
        let veil = source.segment_veil(&meta, &streams.index, &selected);
        veil.iter().for_each(|veil| selected -= &veil.gone);
        return Ok(vec![Listing::Some(listed.of_index(&streams.index, &selected))]);
    }
    let Some(file) = source.file(&meta, series_part(source.signal)) else { return Ok(Vec::new()) };
    let mut lists = Vec::with_capacity(sets.len());
    for matchers in sets {
        let of_set = if source.conceals(&meta) {
            let picked = picked(source, &meta, matchers, Told::Labels).await?;
            picked.map(|(picked, ..)| Listing::Some(listed.of_labels(&picked.labels)))
        } else {
            let of_set = match listed {
                Listed::Names => file.pick_names(matchers, &source.memory).await,
                Listed::Values(name) => file.pick_values(name, matchers, &source.memory).await,
            };
            source.readable(&file, of_set)?
        };
        let Some(of_set) = of_set else { break };
        lists.push(of_set);
    }
    Ok(lists)
}

/// What meets all matchers of any of the sets.
fn selected(index: &LabelIndex, sets: &[Vec<Matcher>], count: u32) -> RoaringBitmap {
    sets.iter().fold(RoaringBitmap::new(), |all, matchers| all | index.select(matchers, count))
}
