//! Reads one log file record by record, with bounded memory, and finds the next whole record behind a damaged stretch.

use std::io;
use std::path::Path;

use super::record::{HEADER_BYTES, Header, MAGIC, is_intact, is_intact_of_length};
use super::{FILE_HEADER_BYTES, file_header};
use crate::bounds::RESYNC_WINDOW_BYTES;
use crate::disk::{Disk, FileReader};

/// What comes next in a log file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A whole record.
    Record {
        /// Where it begins.
        offset: u64,
        /// All of its bytes.
        bytes: Vec<u8>,
    },
    /// Bytes that are no record, with a whole record behind them.
    Damaged {
        /// Where they begin.
        start: u64,
        /// Where the next record begins.
        end: u64,
    },
    /// Bytes that are no record, up to the end of the file.
    Tail {
        /// Where they begin.
        start: u64,
        /// Whether they look like a write that was cut off, rather than like bytes that changed.
        is_torn: bool,
    },
    /// The end of the file.
    End,
}

/// A log file that is being read.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: Box<dyn FileReader>,
    len: u64,
    offset: u64,
}

impl LogFile {
    /// Opens a file and looks at its header. Bytes in the header's place that are not one are part of the first
    /// damaged stretch.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, sequence: u64) -> io::Result<Self> {
        let file = disk.open(path)?;
        let len = file.len()?;
        let mut log = Self { len, offset: 0, file };
        let mut header = [0; FILE_HEADER_BYTES as usize];
        if len >= FILE_HEADER_BYTES {
            log.file.read_exact_at(0, &mut header)?;
            if header == file_header(sequence) {
                log.offset = FILE_HEADER_BYTES;
            }
        }
        Ok(log)
    }

    /// Where the next step begins.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads on.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if self.offset >= self.len {
            return Ok(Step::End);
        }
        let start = self.offset;
        if let Some(bytes) = self.record_at(start)? {
            self.offset += bytes.len() as u64;
            return Ok(Step::Record { offset: start, bytes });
        }
        match self.next_record_after(start)? {
            Some(end) => {
                self.offset = end;
                Ok(Step::Damaged { start, end })
            }
            None => {
                self.offset = self.len;
                Ok(Step::Tail { start, is_torn: self.is_torn(start)? })
            }
        }
    }

    /// Bytes of the file, for setting them aside; fewer where the file ends.
    pub(crate) fn bytes(&mut self, start: u64, end: u64, limit: usize) -> io::Result<Vec<u8>> {
        let wanted = end.min(self.len).saturating_sub(start).min(limit as u64);
        let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(limit)];
        self.file.read_exact_at(start, &mut bytes)?;
        Ok(bytes)
    }

    fn header_at(&mut self, offset: u64) -> io::Result<Option<Header>> {
        let bytes = self.bytes(offset, offset.saturating_add(HEADER_BYTES as u64), HEADER_BYTES)?;
        Ok(bytes.first_chunk::<HEADER_BYTES>().and_then(Header::parse))
    }

    fn record_at(&mut self, offset: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(header) = self.header_at(offset)? else {
            return Ok(None);
        };
        let end = offset.saturating_add(header.record_bytes() as u64);
        if end > self.len {
            return Ok(None);
        }
        let bytes = self.bytes(offset, end, header.record_bytes())?;
        Ok(is_intact(&bytes).then_some(bytes))
    }

    fn next_record_after(&mut self, start: u64) -> io::Result<Option<u64>> {
        let mut from = start + 1;
        while from < self.len {
            let window = self.bytes(from, self.len, RESYNC_WINDOW_BYTES)?;
            for found in memchr::memmem::find_iter(&window, &MAGIC) {
                let candidate = from + found as u64;
                if self.record_at(candidate)?.is_some() {
                    return Ok(Some(candidate));
                }
            }
            if from + window.len() as u64 >= self.len {
                break;
            }
            // The magic may lie across the border of two windows.
            from += (window.len() - (MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }

    /// A write that was cut off leaves less than it announced, or zeros where the disk had not yet been written. A record
    /// that is whole but for the length that it announces was not cut off.
    fn is_torn(&mut self, start: u64) -> io::Result<bool> {
        let remaining = self.len - start;
        if remaining < HEADER_BYTES as u64 {
            return Ok(true);
        }
        if let Some(header) = self.header_at(start)? {
            let is_short = header.record_bytes() as u64 > remaining;
            return Ok(is_short && !is_intact_of_length(&self.bytes(start, self.len, header.record_bytes())?));
        }
        let window = self.bytes(start, self.len, RESYNC_WINDOW_BYTES)?;
        Ok(window.iter().all(|byte| *byte == 0))
    }
}

#[cfg(test)]
mod tests;
