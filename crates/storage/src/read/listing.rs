//! Names and values of labels, over all sources of a snapshot: from the indexes alone, without a look at label sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use model::{Matcher, TimeRange};

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
    gathered(source, range, |index, count, names| {
        sets.iter().for_each(|matchers| index.names(matchers, count, names));
    })
    .await
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
    gathered(source, range, |index, count, values| {
        sets.iter().for_each(|matchers| index.values(name, matchers, count, values));
    })
    .await
}

/// What each index of the snapshot adds; only its first so many numbers are of the snapshot.
async fn gathered(
    source: &Arc<Source>,
    range: TimeRange,
    add: impl Fn(&LabelIndex, u32, &mut Texts),
) -> Result<Texts, StorageError> {
    let mut texts = Texts::new();
    let metas: Vec<SegmentMeta> = source.segments(range).cloned().collect();
    let loads = metas.into_iter().map(|meta| {
        let source = Arc::clone(source);
        async move { segment_series(&source, &meta).await }
    });
    let mut loaded = futures::stream::iter(loads).buffered(TABLE_CONCURRENCY);
    while let Some(series) = loaded.next().await {
        if let Some(series) = series? {
            add(&series.index, series.count(), &mut texts);
        }
    }
    for view in source.heads(range) {
        view.series().with_index(|index| add(index, view.series_count(), &mut texts));
    }
    Ok(texts)
}
