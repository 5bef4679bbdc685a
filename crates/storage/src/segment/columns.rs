//! The columns of a `series` file that a read looks at: each is decoded once and kept where it is small, so that a question
//! costs what its own columns cost, and what is kept of a series is some bytes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use model::{MatchOp, Matcher};

use super::decoder::Decoder;
use super::reader::{Footer, SegmentFile};
use super::schema::{LABEL_PREFIX, OTHER_LABELS};
use super::series::Places;
use super::texts::{Listing, Rows, Texts, push_range};
use crate::error::StorageError;
use crate::read::memory::{Bounded, Held};
use crate::runtime::blocking;

/// Rows whose labels are put together at a time.
const GATHERED_ROWS: u32 = 1_024;

/// What a set of labels costs besides its bytes, about.
pub(super) const LABELS_BYTES: usize = 48;

/// What is decoded as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The column of texts at this place of the schema.
    Texts(usize),
    /// The labels that have no column of their own.
    Others,
    /// Where the rows of each are.
    Places,
}

/// What was decoded.
#[derive(Clone, Debug)]
pub(super) enum Column {
    Texts(Arc<Texts>),
    /// None for a series that has no such labels.
    Others(Arc<[Option<Labels>]>),
    Places(Arc<RowPlaces>),
}

/// Where the rows of each series are.
#[derive(Debug)]
pub(super) struct RowPlaces {
    pub(super) places: Places,
    /// The series that have any.
    pub(super) present: Rows,
}

impl Column {
    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.bytes(),
            Self::Others(others) => {
                let labels = others.iter().flatten().map(|labels| labels.as_bytes().len() + LABELS_BYTES);
                labels.sum::<usize>() + size_of_val::<[Option<Labels>]>(others)
            }
            Self::Places(places) => places.places.bytes() + size_of_val::<[Range<u32>]>(&places.present),
        }
    }
}

/// The columns of one file that a read has looked at so far.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) file: SegmentFile,
    footer: Arc<Footer>,
    loaded: HashMap<Part, Column>,
    /// Whether what is decoded is kept for the next read.
    keeps: bool,
    /// Holds what is not kept anyway.
    held: Held,
}

impl Columns {
    /// None yet.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what does not read back.
    pub(super) async fn open(file: &SegmentFile, memory: &Bounded) -> Result<Self, StorageError> {
        let footer = file.footer().await?;
        Ok(Self { file: file.clone(), footer, loaded: HashMap::new(), keeps: true, held: memory.hold() })
    }

    /// The same for a read that is the file's last.
    pub(super) fn keeping_nothing(mut self) -> Self {
        self.keeps = false;
        self
    }

    /// Whether the labels of all series are kept when they are put together.
    pub(super) fn keeps_labels(&self) -> bool {
        self.keeps && self.file.cache.keeps_labels(self.rows())
    }

    /// How many series there are.
    pub(super) fn rows(&self) -> usize {
        self.footer.rows()
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.footer.metadata.schema().index_of(column).ok()
    }

    /// The column of a label; none where no series has it.
    pub(super) fn of_label(&self, name: &str) -> Option<Part> {
        let others = || self.place(OTHER_LABELS).map(|_| Part::Others);
        self.place(&format!("{LABEL_PREFIX}{name}")).map(Part::Texts).or_else(others)
    }

    /// Which columns matchers look at, those first that leave the fewest; none where nothing can meet them.
    fn tests<'a>(&self, matchers: &'a [Matcher]) -> Option<Vec<(Part, &'a Matcher)>> {
        let mut tests = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match self.of_label(&matcher.name) {
                Some(part) => tests.push((part, matcher)),
                None if matcher.matches_empty() => {}
                None => return None,
            }
        }
        tests.sort_by_key(|(_, matcher)| (matcher.op != MatchOp::Equal, matcher.name != METRIC_NAME));
        Some(tests)
    }

    /// Loads what is not there yet.
    ///
    /// # Errors
    /// As [`Columns::open`]; [`StorageError::Refused`] for too much.
    pub(super) async fn load(&mut self, parts: &[Part]) -> Result<(), StorageError> {
        let mut missing = Vec::new();
        for part in parts {
            if self.loaded.contains_key(part) || missing.contains(part) {
                continue;
            }
            match self.file.cache.column(&self.file.path, *part) {
                Some(column) => {
                    self.loaded.insert(*part, column);
                }
                None => missing.push(*part),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let data = self.file.series_data(&self.footer).await?;
        let mut bytes = self.held.bytes();
        self.held.resize(bytes + data.len())?;
        let (file, footer) = (self.file.clone(), Arc::clone(&self.footer));
        let decode = move || {
            file.decode(|| {
                let decoder = Decoder::new(&file, &footer, &data)?;
                missing
                    .into_iter()
                    .map(|part| Ok((part, decoder.decode(part)?)))
                    .collect::<Result<Vec<_>, _>>()
            })
        };
        for (part, column) in blocking(&*self.file.runtime, decode).await?? {
            if !self.keeps || !self.file.cache.put_column(&self.file.path, part, &column) {
                bytes += column.bytes();
            }
            self.loaded.insert(part, column);
        }
        self.held.resize(bytes)
    }

    /// A column of texts that is loaded.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where it is not.
    fn texts(&self, part: Part) -> Result<&Arc<Texts>, StorageError> {
        match self.loaded.get(&part) {
            Some(Column::Texts(texts)) => Ok(texts),
            _ => Err(self.file.corrupt(format!("{part:?} of the series is not there"))),
        }
    }

    /// The labels without columns, of all series; none where no series has any, or they are not loaded.
    fn others(&self) -> &[Option<Labels>] {
        match self.loaded.get(&Part::Others) {
            Some(Column::Others(others)) => others,
            _ => &[],
        }
    }

    /// The places, which are loaded with the first matchers.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where they are not.
    pub(super) fn places(&self) -> Result<&RowPlaces, StorageError> {
        match self.loaded.get(&Part::Places) {
            Some(Column::Places(places)) => Ok(places),
            _ => Err(self.file.corrupt("the places of the series are not there")),
        }
    }

    /// The series that have rows and meet all matchers.
    ///
    /// # Errors
    /// As [`Columns::load`].
    pub(super) async fn matching(&mut self, matchers: &[Matcher]) -> Result<Rows, StorageError> {
        let Some(tests) = self.tests(matchers) else { return Ok(Rows::new()) };
        let mut parts: Vec<Part> = tests.iter().map(|(part, _)| *part).collect();
        parts.push(Part::Places);
        self.load(&parts).await?;
        let mut rows = self.places()?.present.clone();
        for (part, matcher) in tests {
            if rows.is_empty() {
                break;
            }
            rows = match part {
                Part::Others => narrow(self.others(), matcher, &rows),
                part => self.texts(part)?.narrow(matcher, &rows),
            };
        }
        Ok(rows)
    }

    /// The values that a label has in some series.
    ///
    /// # Errors
    /// As [`Columns::load`].
    pub(super) async fn values(&mut self, name: &str, rows: &Rows) -> Result<Listing, StorageError> {
        let Some(part) = self.of_label(name) else { return Ok(Listing::default()) };
        self.load(&[part]).await?;
        if part == Part::Others {
            let mut values: Vec<&str> =
                of(self.others(), rows).filter_map(|labels| labels.get(name)).collect();
            values.sort_unstable();
            values.dedup();
            return Ok(Listing::Some(values.into_iter().map(Arc::from).collect()));
        }
        let texts = self.texts(part)?;
        let is_all = super::texts::count(rows) == self.rows();
        Ok(if is_all { Listing::All(Arc::clone(texts)) } else { Listing::Some(texts.values_of(rows)) })
    }

    /// The names of the labels of some series.
    ///
    /// # Errors
    /// As [`Columns::load`].
    pub(super) async fn names(&mut self, rows: &Rows) -> Result<Listing, StorageError> {
        let labels = self.label_columns().await?;
        let in_columns = labels.texts.iter().filter(|(_, texts)| texts.is_in(rows)).map(|(name, _)| &**name);
        let in_others = of(&labels.others, rows).flatten().map(|(name, _)| name);
        let mut names: Vec<&str> = in_columns.chain(in_others).collect();
        names.sort_unstable();
        names.dedup();
        Ok(Listing::Some(names.into_iter().map(Arc::from).collect()))
    }

    /// The columns that labels are put together from.
    ///
    /// # Errors
    /// As [`Columns::load`].
    pub(super) async fn label_columns(&mut self) -> Result<LabelColumns, StorageError> {
        let fields = self.footer.metadata.schema().fields().iter().enumerate();
        let labels = fields.filter_map(|(place, field)| {
            field.name().strip_prefix(LABEL_PREFIX).map(|name| (name.to_owned(), Part::Texts(place)))
        });
        let mut labels: Vec<(String, Part)> = labels.collect();
        labels.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let others = self.place(OTHER_LABELS).map(|_| Part::Others);
        let parts: Vec<Part> = labels.iter().map(|(_, part)| *part).chain(others).collect();
        self.load(&parts).await?;
        let others = match self.loaded.get(&Part::Others) {
            Some(Column::Others(others)) => Arc::clone(others),
            _ => Arc::default(),
        };
        let mut texts = Vec::with_capacity(labels.len());
        for (name, part) in labels {
            texts.push((name, Arc::clone(self.texts(part)?)));
        }
        Ok(LabelColumns { file: self.file.clone(), texts, others })
    }

    /// A column of texts that every file has.
    ///
    /// # Errors
    /// As [`Columns::load`]; [`StorageError::Corrupt`] where it is not there.
    pub(super) async fn texts_named(&mut self, name: &str) -> Result<Arc<Texts>, StorageError> {
        let place = self.place(name).ok_or_else(|| self.file.corrupt(format!("column {name} is missing")))?;
        let part = Part::Texts(place);
        self.load(&[part]).await?;
        Ok(Arc::clone(self.texts(part)?))
    }
}

/// Of the labels without columns those of some series.
fn of<'a>(others: &'a [Option<Labels>], rows: &Rows) -> impl Iterator<Item = &'a Labels> {
    let others = |row: u32| others.get(row as usize).and_then(Option::as_ref);
    rows.iter().cloned().flatten().filter_map(others)
}

/// Of some series those whose label without a column meets a matcher.
fn narrow(others: &[Option<Labels>], matcher: &Matcher, rows: &Rows) -> Rows {
    let mut met = Rows::new();
    for row in rows.iter().cloned().flatten() {
        let labels = others.get(row as usize).and_then(Option::as_ref);
        let value = labels.and_then(|labels| labels.get(&matcher.name)).unwrap_or_default();
        if matcher.matches(value) {
            push_range(&mut met, row..row + 1);
        }
    }
    met
}

/// The columns of the labels of one file.
#[derive(Debug)]
pub(super) struct LabelColumns {
    pub(super) file: SegmentFile,
    /// By name, sorted.
    texts: Vec<(String, Arc<Texts>)>,
    others: Arc<[Option<Labels>]>,
}

impl LabelColumns {
    /// The labels of some series.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where they are not in their order, [`StorageError::Refused`] for too much.
    pub(super) fn gather(&self, rows: &Rows, held: &mut Held) -> Result<Vec<Labels>, StorageError> {
        let (first, mut text_bytes) = (held.bytes(), 0);
        let mut codes: Vec<Vec<u32>> = vec![Vec::new(); self.texts.len()];
        let mut present: Vec<usize> = Vec::with_capacity(self.texts.len());
        let mut gathered: Vec<Labels> = Vec::new();
        let mut builder = LabelsBuilder::default();
        for chunk in chunks(rows) {
            present.clear();
            for (place, ((_, texts), codes)) in self.texts.iter().zip(&mut codes).enumerate() {
                if texts.codes(&chunk, codes) {
                    present.push(place);
                }
            }
            for (at, row) in chunk.iter().cloned().flatten().enumerate() {
                builder.begin();
                for place in &present {
                    let (name, texts) = &self.texts[*place];
                    if let Some(value) = texts.value(codes[*place][at]) {
                        builder.push(name.as_bytes(), value.as_bytes());
                    }
                }
                for (name, value) in self.others.get(row as usize).into_iter().flatten().flatten() {
                    builder.push(name.as_bytes(), value.as_bytes());
                }
                let labels = builder.finish().map_err(|bad| self.file.corrupt(format!("labels: {bad:?}")))?;
                let labels = Labels::from(labels);
                if gathered.last().is_some_and(|last| *last >= labels) {
                    return Err(self.file.corrupt("series are not in the order of their labels"));
                }
                text_bytes += labels.as_bytes().len() + LABELS_BYTES;
                gathered.push(labels);
            }
            held.resize(first + text_bytes)?;
        }
        Ok(gathered)
    }
}

/// Rows in pieces of at most [`GATHERED_ROWS`].
fn chunks(rows: &Rows) -> Vec<Rows> {
    let mut chunks = Vec::new();
    let (mut chunk, mut room) = (Rows::new(), GATHERED_ROWS);
    for range in rows {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start.saturating_add(room));
            chunk.push(start..end);
            room -= end - start;
            start = end;
            if room == 0 {
                chunks.push(std::mem::take(&mut chunk));
                room = GATHERED_ROWS;
            }
        }
    }
    chunks.push(chunk);
    chunks
}
