//! Names and values of labels, over all sources of a snapshot: from the indexes alone, without a look at label sets. So they
//! are those of all that a segment or head with data in the range knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use model::{Matcher, TimeRange};
use roaring::RoaringBitmap;

use super::select::segment_series;
use super::snapshot::Source;
use crate::bounds::TABLE_CONCURRENCY;
use crate::error::StorageError;
use crate::head::index::LabelIndex;
use crate::manifest::SegmentMeta;

/// Texts, sorted and once each.
pub(crate) type Texts = BTreeSet<Arc<str>>;

/// The names of the labels of what meets any of the sets of matchers.
///
/// # Errors
/// The store's.
pub(crate) async fn label_names(
    source: &Arc<Source>,
    range: TimeRange,
    sets: &[Vec<Matcher>],
) -> Result<Texts, StorageError> {
    gathered(source, range, sets, |index, selected, names| index.names(selected, names)).await
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
    gathered(source, range, sets, |index, selected, values| index.values(name, selected, values)).await
}

/// What each index of the snapshot adds for what meets any of the sets of matchers and may be seen.
async fn gathered(
    source: &Arc<Source>,
    range: TimeRange,
    sets: &[Vec<Matcher>],
    add: impl Fn(&LabelIndex, &RoaringBitmap, &mut Texts),
) -> Result<Texts, StorageError> {
    let mut texts = Texts::new();
    let metas: Vec<SegmentMeta> = source.segments(range).cloned().collect();
    let loads = metas.into_iter().map(|meta| {
        let source = Arc::clone(source);
        async move {
            let series = segment_series(&source, &meta).await;
            series.map(|series| series.map(|series| (meta, series)))
        }
    });
    let mut loaded = futures::stream::iter(loads).buffered(TABLE_CONCURRENCY);
    while let Some(series) = loaded.next().await {
        if let Some((meta, series)) = series? {
            let mut selected = selected(&series.index, sets, series.count()) - &series.empty;
            let veil = source.segment_veil(&meta, &series.index, &selected);
            veil.iter().for_each(|veil| selected -= &veil.gone);
            add(&series.index, &selected, &mut texts);
        }
    }
    for view in source.heads(range) {
        let mut of_head = RoaringBitmap::new();
        view.series().with_index(|index| of_head = selected(index, sets, view.series_count()));
        let veil = source.head_veil(view, &of_head);
        veil.iter().for_each(|veil| of_head -= &veil.gone);
        view.series().with_index(|index| add(index, &of_head, &mut texts));
    }
    Ok(texts)
}

/// What meets all matchers of any of the sets.
fn selected(index: &LabelIndex, sets: &[Vec<Matcher>], count: u32) -> RoaringBitmap {
    sets.iter().fold(RoaringBitmap::new(), |all, matchers| all | index.select(matchers, count))
}
