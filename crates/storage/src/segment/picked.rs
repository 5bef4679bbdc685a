//! Series or streams that are picked from a segment's file: those that meet matchers, without the rest; and what is listed
//! of them.

use std::sync::Arc;

use model::Matcher;
use model::labels::Labels;
use model::metric::MetricType;

use super::columns::{Columns, LabelColumns};
use super::reader::SegmentFile;
use super::series::{Places, Streams};
use super::texts::{Listing, Rows, Texts, count, push_range};
use crate::error::StorageError;
use crate::head::series::Info;
use crate::read::memory::{Bounded, Held};
use crate::runtime::blocking;

/// What a picked one costs besides its labels, its places and what is known of it, about.
const PICKED_BYTES: usize = 16;

/// The part of a file's series, one in so many, from which on the labels of all are put together.
const MANY_PART: usize = 16;

/// Labels of more are put together where that keeps no task waiting.
const GATHERED_AT_ONCE: usize = 4_096;

/// Series or streams of a file, in the order of their labels.
#[derive(Debug, Default)]
pub(crate) struct Picked {
    /// Their numbers in the file.
    pub(crate) numbers: Vec<u32>,
    /// Their labels.
    pub(crate) labels: Vec<Labels>,
    /// What is known of each besides its labels; empty for streams, and where it is not told.
    pub(crate) infos: Vec<Info>,
    /// Where each one's rows are.
    pub(crate) places: Places,
}

/// What is told of those that are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Their labels.
    Labels,
    /// What is known of them besides, too.
    Infos,
}

impl Picked {
    /// Those of some streams that meet all matchers and have rows.
    pub(crate) fn of(streams: &Streams, matchers: &[Matcher]) -> Self {
        let numbers = &streams.index.select(matchers, streams.count()) - &streams.empty;
        let numbers: Vec<u32> = numbers.iter().collect();
        let labels = streams.index.labels();
        let picked = |number: &u32| *number as usize;
        Self {
            labels: numbers.iter().map(|number| labels[picked(number)].clone()).collect(),
            infos: Vec::new(),
            places: streams.places.of(&numbers.iter().map(picked)),
            numbers,
        }
    }

    /// Leaves some out, by their place in the list.
    pub(crate) fn retain(&mut self, stays: impl Fn(usize) -> bool) {
        let left: Vec<usize> = (0..self.numbers.len()).filter(|place| stays(*place)).collect();
        if left.len() < self.numbers.len() {
            self.places = self.places.of(&left.iter().copied());
            self.numbers = left.iter().map(|place| self.numbers[*place]).collect();
            self.labels = left.iter().map(|place| self.labels[*place].clone()).collect();
            self.infos = left.iter().filter_map(|place| self.infos.get(*place).cloned()).collect();
        }
    }
}

impl SegmentFile {
    /// The series of a `series` file that meet all matchers and have rows, with what holds their memory.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what does not read back, [`StorageError::Refused`] for too much.
    pub(crate) async fn pick(
        &self,
        matchers: &[Matcher],
        told: Told,
        memory: &Bounded,
    ) -> Result<(Picked, Held), StorageError> {
        Columns::open(self, memory).await?.pick(matchers, told, memory.hold()).await
    }

    /// All series of a `series` file that have rows, for somebody who puts another file in its place: nothing is kept.
    ///
    /// # Errors
    /// As [`SegmentFile::pick`].
    pub(crate) async fn pick_last(&self, memory: &Bounded) -> Result<(Picked, Held), StorageError> {
        let columns = Columns::open(self, memory).await?.keeping_nothing();
        columns.pick(&[], Told::Infos, memory.hold()).await
    }

    /// The values that a label has in the series of a `series` file that meet all matchers and have rows.
    ///
    /// # Errors
    /// As [`SegmentFile::pick`].
    pub(crate) async fn pick_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        memory: &Bounded,
    ) -> Result<Listing, StorageError> {
        let mut columns = Columns::open(self, memory).await?;
        let rows = columns.matching(matchers).await?;
        columns.values(name, &rows).await
    }

    /// The names of the labels of the series of a `series` file that meet all matchers and have rows.
    ///
    /// # Errors
    /// As [`SegmentFile::pick`].
    pub(crate) async fn pick_names(
        &self,
        matchers: &[Matcher],
        memory: &Bounded,
    ) -> Result<Listing, StorageError> {
        let mut columns = Columns::open(self, memory).await?;
        let rows = columns.matching(matchers).await?;
        columns.names(&rows).await
    }
}

impl Columns {
    /// The series that meet all matchers and have rows.
    async fn pick(
        mut self,
        matchers: &[Matcher],
        told: Told,
        held: Held,
    ) -> Result<(Picked, Held), StorageError> {
        let rows = self.matching(matchers).await?;
        if rows.is_empty() {
            return Ok((Picked::default(), held));
        }
        let (labels, mut held) = self.labels_of(&rows, held).await?;
        held.resize(held.bytes() + labels.len() * (PICKED_BYTES + size_of::<Labels>()))?;
        let infos = match told {
            Told::Labels => Vec::new(),
            Told::Infos => {
                held.resize(held.bytes() + labels.len() * size_of::<Info>())?;
                self.infos_of(&rows).await?
            }
        };
        let numbers: Vec<u32> = rows.into_iter().flatten().collect();
        let places = self.places()?.places.of(&numbers.iter().map(|number| *number as usize));
        held.resize(held.bytes() + places.bytes())?;
        Ok((Picked { numbers, labels, infos, places }, held))
    }

    /// The labels of some series. Those of the whole file are kept where they are few enough, and put together at once when
    /// many of them are asked for; others are put together for the caller, who holds them.
    async fn labels_of(&mut self, rows: &Rows, held: Held) -> Result<(Vec<Labels>, Held), StorageError> {
        let (cache, path) = (Arc::clone(&self.file.cache), self.file.path.clone());
        let all = match cache.labels(&path) {
            Some(all) => all,
            None if !self.keeps_labels() || count(rows) < self.rows() / MANY_PART => {
                return gathered(self.label_columns().await?, rows.clone(), held).await;
            }
            None => {
                let mut every = Rows::new();
                push_range(&mut every, 0..u32::try_from(self.rows()).unwrap_or(u32::MAX));
                let unheld = Bounded::default().hold();
                let (all, _unheld) = gathered(self.label_columns().await?, every, unheld).await?;
                let all: Arc<[Labels]> = all.into();
                cache.put_labels(&path, &all);
                all
            }
        };
        let of_range = |range: &std::ops::Range<u32>| &all[range.start as usize..range.end as usize];
        Ok((rows.iter().flat_map(of_range).cloned().collect(), held))
    }

    /// What is known of some series besides their labels.
    async fn infos_of(&mut self, rows: &Rows) -> Result<Vec<Info>, StorageError> {
        let types = self.texts_named("type").await?;
        let units = self.texts_named("unit").await?;
        let helps = self.texts_named("help").await?;
        let by_code: Vec<u8> = types.values().iter().map(|name| metric_type(name)).collect();
        let codes = |texts: &Texts| {
            let mut codes = Vec::new();
            texts.codes(rows, &mut codes);
            codes
        };
        let empty: Arc<str> = "".into();
        let text = |texts: &Texts, code: u32| Arc::clone(texts.value(code).unwrap_or(&empty));
        let rows = codes(&types).into_iter().zip(codes(&units)).zip(codes(&helps));
        let info = |((of_type, of_unit), of_help): ((u32, u32), u32)| Info {
            metric_type: (of_type as usize).checked_sub(1).map_or(0, |place| by_code[place]),
            unit: text(&units, of_unit),
            help: text(&helps, of_help),
        };
        Ok(rows.map(info).collect())
    }
}

/// The labels of some series, held.
async fn gathered(
    columns: LabelColumns,
    rows: Rows,
    mut held: Held,
) -> Result<(Vec<Labels>, Held), StorageError> {
    if count(&rows) <= GATHERED_AT_ONCE {
        return Ok((columns.gather(&rows, &mut held)?, held));
    }
    let runtime = Arc::clone(&columns.file.runtime);
    let gather = move || {
        let labels = columns.file.decode(|| columns.gather(&rows, &mut held));
        labels.map(|labels| (labels, held))
    };
    blocking(&*runtime, gather).await?
}

fn metric_type(name: &str) -> u8 {
    (0..8).find(|number| MetricType::from_u8(*number).as_str() == name).unwrap_or(0)
}
