//! Series or streams that are picked from a segment's file: those that meet matchers, without the rest. What is not
//! wanted costs the decoding of the matchers' columns, and no memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray, UInt64Array};
use bytes::Bytes;
use model::Matcher;
use model::labels::Labels;
use model::metric::MetricType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection};

use super::reader::{Footer, SegmentFile};
use super::schema::{LABEL_PREFIX, OTHER_LABELS};
use super::series::{Places, SegmentSeries};
use crate::bounds::READ_BATCH_ROWS;
use crate::error::StorageError;
use crate::head::series::Info;
use crate::read::listing::Texts;
use crate::read::memory::{Bounded, Held};
use crate::runtime::blocking;
use crate::signal::metrics::COUNT_COLUMNS;

/// The columns of what is known of a series besides its labels.
const INFO_COLUMNS: [&str; 3] = ["type", "unit", "help"];

/// What a picked one costs besides the bytes of its labels, about.
const PICKED_BYTES: usize = 128;

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

/// What of the file's series is picked, besides what the matchers say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    /// Those that have no rows left.
    Rows,
    /// Nothing is left out.
    Nothing,
}

impl Picked {
    /// Those of a table that meet all matchers and have rows.
    pub(crate) fn of(series: &SegmentSeries, matchers: &[Matcher], told: Told) -> Self {
        let numbers = &series.index.select(matchers, series.count()) - &series.empty;
        let numbers: Vec<u32> = numbers.iter().collect();
        let labels = series.index.labels();
        let picked = |number: &u32| *number as usize;
        let infos = if told == Told::Infos { &*series.infos } else { &[] };
        Self {
            labels: numbers.iter().map(|number| labels[picked(number)].clone()).collect(),
            infos: numbers.iter().filter_map(|number| infos.get(picked(number)).cloned()).collect(),
            places: series.places.of(&numbers.iter().map(picked)),
            numbers,
        }
    }

    /// Their rows in the `series` file.
    fn selection(&self, footer: &Footer) -> RowSelection {
        let ranges = self.numbers.chunk_by(|a, b| a + 1 == *b).map(|stretch| {
            let start = stretch[0] as usize;
            start..start + stretch.len()
        });
        RowSelection::from_consecutive_ranges(ranges, footer.rows())
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
    /// The series of a `series` file that meet all matchers and have rows, with what holds their memory. A table that is
    /// kept answers; one that is too large to be kept is never made.
    ///
    /// # Errors
    /// The store's; [`StorageError::Corrupt`] for what does not read back, [`StorageError::Refused`] for too much.
    pub(crate) async fn pick(
        &self,
        matchers: &[Matcher],
        told: Told,
        memory: &Bounded,
    ) -> Result<(Picked, Held), StorageError> {
        let mut held = memory.hold();
        let footer = self.footer().await?;
        if self.keeps_table(footer.rows()) {
            return Ok((Picked::of(&*self.series().await?, matchers, told), held));
        }
        let data = self.series_data(&footer).await?;
        held.resize(data.len())?;
        let (file, wanted) = (self.clone(), matchers.to_vec());
        let decode = move || {
            let picked =
                file.decode(|| file.decode_picked(&footer, &data, (&wanted, told), Without::Rows, &mut held));
            picked.map(|picked| (picked, held))
        };
        let (picked, held) = blocking(&*self.runtime, decode).await??;
        match picked {
            Some(picked) => Ok((picked, held)),
            None => Ok((Picked::of(&*self.series().await?, matchers, told), held)),
        }
    }

    /// Whether the table of a `series` file with so many series is kept, or may be.
    pub(crate) fn keeps_table(&self, series: usize) -> bool {
        self.cache.keeps_series(series) || self.cache.series(&self.path).is_some()
    }

    /// The values that a label has in the series of a `series` file that meet all matchers and have rows; none where a
    /// label has no column of its own.
    ///
    /// # Errors
    /// As [`SegmentFile::pick`].
    pub(crate) async fn pick_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        memory: &Bounded,
    ) -> Result<Option<Texts>, StorageError> {
        let footer = self.footer().await?;
        let data = self.series_data(&footer).await?;
        let mut held = memory.hold();
        held.resize(data.len())?;
        let (file, wanted, name) = (self.clone(), matchers.to_vec(), name.to_owned());
        let decode = move || file.decode(|| file.decode_values(&footer, &data, &name, &wanted));
        blocking(&*self.runtime, decode).await?
    }

    fn decode_values(
        &self,
        footer: &Footer,
        data: &Bytes,
        name: &str,
        matchers: &[Matcher],
    ) -> Result<Option<Texts>, StorageError> {
        let column = format!("{LABEL_PREFIX}{name}");
        let has_column = footer.metadata.schema().index_of(&column).is_ok();
        if !has_column && footer.metadata.schema().index_of(OTHER_LABELS).is_ok() {
            return Ok(None);
        }
        let Some(picked) = self.matching(footer, data, matchers, Without::Rows)? else { return Ok(None) };
        let mut values = Texts::new();
        if picked.numbers.is_empty() || !has_column {
            return Ok(Some(values));
        }
        let selection = picked.selection(footer);
        for batch in self.series_batches(footer, data, |name| name == column, Some(selection))? {
            let batch = batch.map_err(|error| self.corrupt(error))?;
            let mut last = None;
            for text in self.texts(&batch, &column)?.iter().flatten() {
                if last.replace(text) != Some(text) && !values.contains(text) {
                    values.insert(text.into());
                }
            }
        }
        Ok(Some(values))
    }

    /// The series that meet all matchers; none where a matcher's label has no column of its own.
    pub(super) fn decode_picked(
        &self,
        footer: &Footer,
        data: &Bytes,
        (matchers, told): (&[Matcher], Told),
        without: Without,
        held: &mut Held,
    ) -> Result<Option<Picked>, StorageError> {
        let Some(mut picked) = self.matching(footer, data, matchers, without)? else { return Ok(None) };
        if picked.numbers.is_empty() {
            return Ok(Some(picked));
        }
        let (first, mut text_bytes) = (held.bytes(), 0);
        let selection = picked.selection(footer);
        let is_text = |name: &str| {
            let is_label = name.starts_with(LABEL_PREFIX) || name == OTHER_LABELS;
            is_label || told == Told::Infos && INFO_COLUMNS.contains(&name)
        };
        for batch in self.series_batches(footer, data, is_text, Some(selection))? {
            let batch = batch.map_err(|error| self.corrupt(error))?;
            text_bytes += self.take_labels(&batch, &mut picked)?;
            if told == Told::Infos {
                text_bytes += self.take_infos(&batch, &mut picked)?;
            }
            held.resize(first + text_bytes + picked.labels.len() * PICKED_BYTES + picked.places.bytes())?;
        }
        if picked.labels.len() != picked.numbers.len() {
            return Err(self.corrupt("columns of series are of different lengths"));
        }
        Ok(Some(picked))
    }

    /// Numbers and places of the series that meet all matchers.
    fn matching(
        &self,
        footer: &Footer,
        data: &Bytes,
        matchers: &[Matcher],
        without: Without,
    ) -> Result<Option<Picked>, StorageError> {
        let schema = footer.metadata.schema();
        let column = |matcher: &Matcher| format!("{LABEL_PREFIX}{}", matcher.name);
        let mut tests: Vec<(String, &Matcher)> = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match schema.index_of(&column(matcher)) {
                Ok(_) => tests.push((column(matcher), matcher)),
                Err(_) if schema.index_of(OTHER_LABELS).is_ok() => return Ok(None),
                Err(_) if matcher.matches_empty() => {}
                Err(_) => return Ok(Some(Picked::default())),
            }
        }
        let is_wanted = |name: &str| {
            COUNT_COLUMNS.iter().any(|(_, of)| *of == name) || tests.iter().any(|(of, _)| of == name)
        };
        let mut picked = Picked::default();
        let mut ends = [0_usize; COUNT_COLUMNS.len()];
        let mut places: [Vec<Range<usize>>; COUNT_COLUMNS.len()] = Default::default();
        let mut first = 0;
        for batch in self.series_batches(footer, data, is_wanted, None)? {
            let batch = batch.map_err(|error| self.corrupt(error))?;
            let mut keep = vec![true; batch.num_rows()];
            for (name, matcher) in &tests {
                narrow(&mut keep, self.texts(&batch, name)?, matcher);
            }
            let mut counts = Vec::with_capacity(COUNT_COLUMNS.len());
            for (_, name) in COUNT_COLUMNS {
                counts.push(self.counts(&batch, name)?);
            }
            for (row, keep) in keep.into_iter().enumerate() {
                let has_rows = counts.iter().any(|counts| counts.value(row) > 0);
                let is_picked = keep && (has_rows || without == Without::Nothing);
                if is_picked {
                    let number = u32::try_from(first + row);
                    picked.numbers.push(number.map_err(|_| self.corrupt("too many series"))?);
                }
                for ((counts, end), places) in counts.iter().zip(&mut ends).zip(&mut places) {
                    let count = usize::try_from(counts.value(row)).ok();
                    let next = count.and_then(|count| end.checked_add(count));
                    let start = std::mem::replace(end, next.ok_or_else(|| self.corrupt("too many rows"))?);
                    if is_picked {
                        places.push(start..*end);
                    }
                }
            }
            first += batch.num_rows();
        }
        picked.places = Places::new(COUNT_COLUMNS.map(|(table, _)| table).into_iter().zip(places));
        Ok(Some(picked))
    }

    /// Takes up the labels of the rows of a batch; says how many bytes these are.
    fn take_labels(&self, batch: &RecordBatch, picked: &mut Picked) -> Result<usize, StorageError> {
        let schema = batch.schema();
        let mut columns: Vec<(&str, &StringArray)> = Vec::new();
        for field in schema.fields() {
            if let Some(name) = field.name().strip_prefix(LABEL_PREFIX) {
                columns.push((name, self.texts(batch, field.name())?));
            }
        }
        columns.sort_unstable_by_key(|(name, _)| *name);
        let others =
            batch.column_by_name(OTHER_LABELS).map(|_| self.texts(batch, OTHER_LABELS)).transpose()?;
        let mut bytes = 0;
        for row in 0..batch.num_rows() {
            let present = columns.iter().filter(|(_, c)| c.is_valid(row)).map(|(n, c)| (*n, c.value(row)));
            let labels = match others.filter(|column| column.is_valid(row)) {
                None => Labels::from_pairs(present),
                Some(column) => {
                    let rest: BTreeMap<String, String> =
                        serde_json::from_str(column.value(row)).map_err(|error| self.corrupt(error))?;
                    let rest = rest.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                    Labels::from_pairs(present.chain(rest))
                }
            };
            if picked.labels.last().is_some_and(|last| *last >= labels) {
                return Err(self.corrupt("series are not in the order of their labels"));
            }
            bytes += labels.as_bytes().len();
            picked.labels.push(labels);
        }
        Ok(bytes)
    }

    /// Takes up what else is known of the rows of a batch; says how many bytes this is.
    fn take_infos(&self, batch: &RecordBatch, picked: &mut Picked) -> Result<usize, StorageError> {
        let [types, units, helps] = INFO_COLUMNS.map(|name| self.texts(batch, name));
        let (types, units, helps) = (types?, units?, helps?);
        // Neighbours mostly share their texts.
        let (mut unit, mut help): (Arc<str>, Arc<str>) = ("".into(), "".into());
        let mut bytes = 0;
        for row in 0..batch.num_rows() {
            bytes += share(&mut unit, units.value(row)) + share(&mut help, helps.value(row));
            let metric_type = metric_type(types.value(row));
            picked.infos.push(Info { metric_type, unit: Arc::clone(&unit), help: Arc::clone(&help) });
        }
        Ok(bytes)
    }

    /// The wanted columns at the top level of a `series` file, of the rows that are selected.
    fn series_batches(
        &self,
        footer: &Footer,
        data: &Bytes,
        is_wanted: impl Fn(&str) -> bool,
        selection: Option<RowSelection>,
    ) -> Result<ParquetRecordBatchReader, StorageError> {
        let fields = footer.metadata.schema().fields().iter().enumerate();
        let columns = fields.filter(|(_, field)| is_wanted(field.name())).map(|(column, _)| column);
        let mask = ProjectionMask::roots(footer.metadata.parquet_schema(), columns);
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(data.clone(), footer.metadata.clone())
                .with_projection(mask)
                .with_batch_size(READ_BATCH_ROWS);
        let builder = match selection {
            Some(selection) => builder.with_row_selection(selection),
            None => builder,
        };
        builder.build().map_err(|error| self.corrupt(error))
    }

    fn texts<'a>(&self, batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, StorageError> {
        let column = batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref());
        column.ok_or_else(|| self.missing(name))
    }

    fn counts<'a>(&self, batch: &'a RecordBatch, name: &str) -> Result<&'a UInt64Array, StorageError> {
        let column = batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref());
        column.ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> StorageError {
        self.corrupt(format!("column {name} is not there or of another type"))
    }
}

/// Leaves the rows whose text meets the matcher; a row without one has the empty text.
fn narrow(keep: &mut [bool], texts: &StringArray, matcher: &Matcher) {
    // Rows lie in the order of their labels, so that neighbours mostly share their texts.
    let mut last: Option<(&str, bool)> = None;
    for (row, keep) in keep.iter_mut().enumerate().filter(|(_, keep)| **keep) {
        let text = if texts.is_valid(row) { texts.value(row) } else { "" };
        *keep = match last {
            Some((of, is_met)) if of == text => is_met,
            _ => matcher.matches(text),
        };
        last = Some((text, *keep));
    }
}

/// Makes the text the last one; says how many bytes are new.
fn share(last: &mut Arc<str>, text: &str) -> usize {
    if &**last == text {
        return 0;
    }
    *last = text.into();
    text.len()
}

fn metric_type(name: &str) -> u8 {
    (0..8).find(|number| MetricType::from_u8(*number).as_str() == name).unwrap_or(0)
}
