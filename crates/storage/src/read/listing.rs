//! Names and values of labels, over all sources of a snapshot: from columns and indexes alone, without a look at label sets.
//! So they are those of all that a segment or head with data in the range knows.

use std::cmp::Ordering;
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
    let mut texts = Texts::new();
    let metas: Vec<SegmentMeta> = source.segments(range).cloned().collect();
    let listings = metas.into_iter().map(|meta| of_segment(source, meta, sets, listed));
    let mut listings = futures::stream::iter(listings).buffered(TABLE_CONCURRENCY);
    while let Some(of_segment) = listings.next().await {
        texts = joined(texts, of_segment?);
    }
    drop(listings);
    for view in source.heads(range) {
        texts = joined(texts, of_head(source, view, sets, listed));
    }
    Ok(texts)
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

/// What is listed of a segment: of series from the columns that are asked for, of streams from their index.
async fn of_segment(
    source: &Arc<Source>,
    meta: SegmentMeta,
    sets: &[Vec<Matcher>],
    listed: Listed<'_>,
) -> Result<Texts, StorageError> {
    let mut texts = Texts::new();
    if source.signal != Signal::Metrics {
        let Some(streams) = segment_streams(source, &meta).await? else { return Ok(texts) };
        let mut selected = selected(&streams.index, sets, streams.count()) - &streams.empty;
        let veil = source.segment_veil(&meta, &streams.index, &selected);
        veil.iter().for_each(|veil| selected -= &veil.gone);
        return Ok(listed.of_index(&streams.index, &selected));
    }
    let Some(file) = source.file(&meta, series_part(source.signal)) else { return Ok(texts) };
    for matchers in sets {
        let of_set = if source.conceals(&meta) {
            let picked = picked(source, &meta, matchers, Told::Labels).await?;
            picked.map(|(picked, ..)| listed.of_labels(&picked.labels))
        } else {
            let of_set = match listed {
                Listed::Names => file.pick_names(matchers, &source.memory).await,
                Listed::Values(name) => file.pick_values(name, matchers, &source.memory).await,
            };
            source.readable(&file, of_set)?
        };
        let Some(of_set) = of_set else { return Ok(texts) };
        texts = joined(texts, of_set);
    }
    Ok(texts)
}

/// The texts of both.
fn joined(ours: Texts, theirs: Texts) -> Texts {
    if ours.is_empty() || ours == theirs {
        return theirs;
    }
    if theirs.is_empty() {
        return ours;
    }
    let mut all = Texts::with_capacity(ours.len().max(theirs.len()));
    let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (Some(our), Some(their)) => our.cmp(their),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return all,
        };
        if order != Ordering::Greater {
            all.extend(ours.next());
        }
        if order != Ordering::Less {
            let their = theirs.next();
            all.extend(their.filter(|_| order == Ordering::Greater));
        }
    }
}

/// What meets all matchers of any of the sets.
fn selected(index: &LabelIndex, sets: &[Vec<Matcher>], count: u32) -> RoaringBitmap {
    sets.iter().fold(RoaringBitmap::new(), |all, matchers| all | index.select(matchers, count))
}
