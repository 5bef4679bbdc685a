//! The log's writing end: one task on a thread of its own that drains a bounded queue, writes what waits with one call and one sync, and
//! tells those who wait. Records arrive encoded; what they mean is not known here.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::Clock;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{FILE_HEADER_BYTES, file_header};
use crate::bounds::{MAX_GROUP_BYTES, MAX_QUEUED_RECORDS};
use crate::disk::{Disk, FileWriter, Lock};
use crate::error::StorageError;
use crate::layout;
use crate::manifest::WalPosition;
use crate::metrics::Metrics;
use crate::partition::PartitionId;
use crate::room::{Held, Room};
use crate::runtime::Runtime;
use crate::settings::{Fsync, WalSettings};
use crate::volumes::{Volumes, is_full};

/// Where the last record of each tenant's signal begins in one log file.
pub(crate) type LastOffsets = HashMap<PartitionId, u64>;

/// The log files that are complete and wait for their records to be flushed.
#[derive(Debug, Default)]
pub(crate) struct ClosedFiles(Mutex<BTreeMap<u64, LastOffsets>>);

impl ClosedFiles {
    /// Takes a file over; `last` must name every tenant's signal whose records are not in segments.
    pub(crate) fn add(&self, sequence: u64, last: LastOffsets) {
        self.0.lock().insert(sequence, last);
    }

    /// The files of which every record begins before what `flushed` says of its tenant's signal.
    pub(crate) fn flushed(&self, flushed: impl Fn(&PartitionId) -> WalPosition) -> Vec<u64> {
        let is_flushed = |sequence: u64, last: &LastOffsets| {
            last.iter().all(|(id, offset)| WalPosition { sequence, offset: *offset } < flushed(id))
        };
        self.0
            .lock()
            .iter()
            .filter(|(sequence, last)| is_flushed(**sequence, last))
            .map(|(s, _)| *s)
            .collect()
    }

    /// Forgets a file that was deleted.
    pub(crate) fn remove(&self, sequence: u64) {
        self.0.lock().remove(&sequence);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

struct Waiting {
    id: PartitionId,
    bytes: Vec<u8>,
    reply: oneshot::Sender<Result<WalPosition, StorageError>>,
    room: Held,
}

enum Command {
    Append(Waiting),
    Sync,
    Renew { begun_by_ns: u64, reply: oneshot::Sender<()> },
    Close(oneshot::Sender<Result<(), String>>),
}

/// The asking end; cheap to share.
#[derive(Debug)]
pub(crate) struct Wal {
    commands: mpsc::Sender<Command>,
    room: Room,
    tail: Arc<ArcSwap<WalPosition>>,
    closed: Arc<ClosedFiles>,
    fsync: Fsync,
}

/// What the log is made of.
pub(crate) struct WalParts {
    /// The data folder; its `wal` folder exists.
    pub(crate) data_dir: PathBuf,
    /// The operator's decisions.
    pub(crate) settings: WalSettings,
    /// Bytes of records that may wait; what is over it is refused. The largest record fits.
    pub(crate) queue_bytes: usize,
    /// The sequence of the first file to be written; greater than any that was ever written.
    pub(crate) first_sequence: u64,
    /// Where the files are.
    pub(crate) disk: Arc<dyn Disk>,
    /// How full it is.
    pub(crate) volumes: Arc<Volumes>,
    /// The time, for the metrics.
    pub(crate) clock: Arc<dyn Clock>,
    /// The engine's metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// The lock on the data folder, which must outlive the thread.
    pub(crate) _lock: Arc<Lock>,
}

impl Wal {
    /// Begins a new file and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be made, but for a full disk.
    pub(crate) fn open(parts: WalParts, runtime: &dyn Runtime) -> Result<Self, StorageError> {
        let (commands, queue) = mpsc::channel(MAX_QUEUED_RECORDS);
        let closed = Arc::new(ClosedFiles::default());
        let start = WalPosition { sequence: parts.first_sequence, offset: FILE_HEADER_BYTES };
        let tail = Arc::new(ArcSwap::from_pointee(start));
        let fsync = parts.settings.fsync;
        let room = Room::new(parts.queue_bytes);
        let mut writer = Writer {
            next_sequence: parts.first_sequence,
            parts,
            file: None,
            tail: Arc::clone(&tail),
            closed: Arc::clone(&closed),
            buffer: Vec::new(),
            is_failing: false,
        };
        let path = layout::wal_file(&writer.parts.data_dir, writer.next_sequence);
        match writer.begin_file() {
            // Reads and retention can begin, and the first write that finds room begins a file.
            Err(error) if is_full(&error) => {
                tracing::error!(%error, "the log cannot be begun: writes are refused until there is room on the disk");
            }
            begun => begun.map_err(|e| StorageError::io("create log file", path, e))?,
        }
        runtime
            .spawn_thread("wal", Box::pin(writer.run(queue)))
            .map_err(|e| StorageError::Internal(format!("cannot start the log's thread: {e}")))?;
        Ok(Self { commands, room, tail, closed, fsync })
    }

    /// Waits for room in the queue for a record of so many bytes.
    ///
    /// # Errors
    /// [`StorageError::Closed`] when there will be none.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Held, StorageError> {
        self.room.take(bytes).await
    }

    /// What the records that wait take, in bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.room.used_bytes()
    }

    /// Writes a record, for which there is room, and waits until it is as durable as the settings say.
    ///
    /// # Errors
    /// [`StorageError::Full`] when the disk has no room, [`StorageError::Wal`] when it could not be written otherwise;
    /// [`StorageError::Closed`] after [`Wal::close`].
    pub(crate) async fn append(
        &self,
        id: PartitionId,
        bytes: Vec<u8>,
        room: Held,
    ) -> Result<WalPosition, StorageError> {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { id, bytes, reply, room };
        self.commands.send(Command::Append(waiting)).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// Where the next record will begin or later: what begins before this position was written and acknowledged.
    pub(crate) fn tail(&self) -> WalPosition {
        **self.tail.load()
    }

    /// The files that wait for flushes.
    pub(crate) fn closed_files(&self) -> &ClosedFiles {
        &self.closed
    }

    /// The time between two syncs where the settings ask for one.
    pub(crate) const fn sync_interval_ms(&self) -> Option<u64> {
        match self.fsync {
            Fsync::Always => None,
            Fsync::IntervalMs(interval_ms) => Some(interval_ms),
        }
    }

    /// Forces what was written to the disk, some time soon.
    pub(crate) async fn request_sync(&self) {
        // A closed log has synced already.
        let _closed = self.commands.send(Command::Sync).await;
    }

    /// Begins a new file where the first record of the current one was written by a monotonic moment, and waits for that.
    ///
    /// # Errors
    /// [`StorageError::Closed`] after [`Wal::close`].
    pub(crate) async fn renew(&self, begun_by_ns: u64) -> Result<(), StorageError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Renew { begun_by_ns, reply }).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)
    }

    /// Writes what still waits, syncs, and ends the thread. Later calls find it closed.
    ///
    /// # Errors
    /// When the last sync fails.
    pub(crate) async fn close(&self) -> Result<(), StorageError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.map_err(|_| StorageError::Closed)?.map_err(StorageError::Wal)
    }
}

struct OpenFile {
    file: Box<dyn FileWriter>,
    sequence: u64,
    offset: u64,
    last: LastOffsets,
    is_dirty: bool,
    /// The monotonic time of its first record.
    first_ns: Option<u64>,
}

struct Writer {
    parts: WalParts,
    /// None after a failure, until the next file could be begun.
    file: Option<OpenFile>,
    next_sequence: u64,
    tail: Arc<ArcSwap<WalPosition>>,
    closed: Arc<ClosedFiles>,
    buffer: Vec<u8>,
    /// Whether the last group failed, so that a long failure is reported once.
    is_failing: bool,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(first) = queue.recv().await {
            let mut group = Vec::new();
            let mut group_bytes = 0;
            let mut next = Some(first);
            let mut after = None;
            while let Some(command) = next {
                match command {
                    Command::Append(waiting) => {
                        group_bytes += waiting.bytes.len();
                        group.push(waiting);
                    }
                    other => after = Some(other),
                }
                let is_full = after.is_some() || group_bytes >= MAX_GROUP_BYTES;
                next = if is_full { None } else { queue.try_recv().ok() };
            }
            self.commit(group, group_bytes);
            match after {
                Some(Command::Sync) => self.sync_soon(),
                Some(Command::Renew { begun_by_ns, reply }) => {
                    let first_ns = self.file.as_ref().and_then(|open| open.first_ns);
                    if first_ns.is_some_and(|first_ns| first_ns <= begun_by_ns) {
                        self.begin_next_file();
                    }
                    // Whoever asked may be gone; the file is a new one all the same.
                    let _gone = reply.send(());
                }
                Some(Command::Close(reply)) => {
                    // Whoever asked may be gone; the log is closed all the same.
                    let _gone = reply.send(self.close());
                    return;
                }
                Some(Command::Append(_)) | None => {}
            }
        }
        if let Err(error) = self.close() {
            tracing::error!(error, "the log could not be synced when it was closed");
        }
    }

    fn commit(&mut self, group: Vec<Waiting>, group_bytes: usize) {
        if group.is_empty() {
            return;
        }
        if !self.parts.volumes.takes(group_bytes as u64) {
            group.into_iter().for_each(|waiting| refuse(waiting, self.parts.volumes.full()));
            return;
        }
        match self.write_group(&group) {
            Ok(first) => {
                let (sequence, mut offset) = (first.sequence, first.offset);
                self.parts.metrics.wal_records.inc_by(group.len() as u64);
                self.parts.metrics.wal_bytes.inc_by(group_bytes as u64);
                self.parts.metrics.wal_groups.inc();
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the log can be written again");
                }
                for waiting in group {
                    let position = WalPosition { sequence, offset };
                    offset += waiting.bytes.len() as u64;
                    drop((waiting.bytes, waiting.room));
                    // A writer that has gone away gets no answer; its record is kept.
                    let _gone = waiting.reply.send(Ok(position));
                }
                self.rotate_when_full();
            }
            Err(error) => {
                self.parts.metrics.wal_errors.inc();
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "the log cannot be written: writes are refused until it can");
                }
                self.abandon_file();
                let is_full = is_full(&error);
                for waiting in group {
                    let text = error.to_string();
                    refuse(waiting, if is_full { StorageError::Full(text) } else { StorageError::Wal(text) });
                }
            }
        }
    }

    /// Writes and syncs; gives the position of the first record.
    fn write_group(&mut self, group: &[Waiting]) -> io::Result<WalPosition> {
        if self.file.is_none() {
            self.begin_file()?;
        }
        let Some(open) = self.file.as_mut() else {
            return Err(io::Error::other("no log file is open"));
        };
        match group {
            [one] => open.file.append(&one.bytes)?,
            many => {
                self.buffer.clear();
                many.iter().for_each(|waiting| self.buffer.extend_from_slice(&waiting.bytes));
                open.file.append(&self.buffer)?;
                // One large group must not hold its memory for ever.
                self.buffer.shrink_to(1 << 20);
            }
        }
        if self.parts.settings.fsync == Fsync::Always {
            let start_ns = self.parts.clock.monotonic_ns();
            open.file.sync()?;
            observe(&self.parts, start_ns);
        } else {
            open.is_dirty = true;
        }
        open.first_ns.get_or_insert_with(|| self.parts.clock.monotonic_ns());
        let first = WalPosition { sequence: open.sequence, offset: open.offset };
        for waiting in group {
            open.last.insert(waiting.id.clone(), open.offset);
            open.offset += waiting.bytes.len() as u64;
        }
        self.tail.store(Arc::new(WalPosition { sequence: open.sequence, offset: open.offset }));
        Ok(first)
    }

    fn rotate_when_full(&mut self) {
        if self.file.as_ref().is_none_or(|open| open.offset < self.parts.settings.segment_bytes) {
            return;
        }
        self.begin_next_file();
    }

    /// Goes on with the next file.
    fn begin_next_file(&mut self) {
        self.sync_soon();
        let Some(full) = self.file.take() else {
            return;
        };
        self.closed.add(full.sequence, full.last);
        if let Err(error) = self.begin_file() {
            self.parts.metrics.wal_errors.inc();
            tracing::error!(%error, "the next log file cannot be begun: the next write tries again");
        }
    }

    fn begin_file(&mut self) -> io::Result<()> {
        let sequence = self.next_sequence;
        let path = layout::wal_file(&self.parts.data_dir, sequence);
        // A number is used once, also when its file could not be made whole.
        self.next_sequence += 1;
        let file = new_file(&*self.parts.disk, &path, sequence).inspect_err(|_| {
            // A file without a whole header holds no record: on a full disk they would only pile up.
            let _left = self.parts.disk.remove(&path);
        })?;
        self.file = Some(OpenFile {
            file,
            sequence,
            offset: FILE_HEADER_BYTES,
            last: LastOffsets::new(),
            is_dirty: false,
            first_ns: None,
        });
        self.tail.store(Arc::new(WalPosition { sequence, offset: FILE_HEADER_BYTES }));
        self.parts.metrics.wal_files.set(i64::try_from(self.closed.len() + 1).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Leaves a file that failed: what was acknowledged stays in it, what was not is cut off where that works.
    fn abandon_file(&mut self) {
        let Some(mut open) = self.file.take() else {
            return;
        };
        if let Err(error) = open.file.truncate(open.offset) {
            tracing::warn!(%error, sequence = open.sequence, "the unacknowledged end of a log file stays");
        }
        self.closed.add(open.sequence, open.last);
    }

    fn sync_soon(&mut self) {
        if let Err(error) = self.sync_dirty() {
            self.parts.metrics.wal_errors.inc();
            tracing::error!(
                error,
                "the log cannot be synced: the last interval may not survive a loss of power"
            );
            self.abandon_file();
        }
    }

    fn sync_dirty(&mut self) -> Result<(), String> {
        let Some(open) = self.file.as_mut().filter(|open| open.is_dirty) else {
            return Ok(());
        };
        let start_ns = self.parts.clock.monotonic_ns();
        open.file.sync().map_err(|e| e.to_string())?;
        open.is_dirty = false;
        observe(&self.parts, start_ns);
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let result = self.sync_dirty();
        if let Some(open) = self.file.take() {
            self.closed.add(open.sequence, open.last);
        }
        result
    }
}

fn refuse(waiting: Waiting, error: StorageError) {
    drop((waiting.bytes, waiting.room));
    // A writer that has gone away learns nothing, and nothing of it is kept.
    let _gone = waiting.reply.send(Err(error));
}

/// Makes a log file with its header, and makes both durable.
fn new_file(disk: &dyn Disk, path: &Path, sequence: u64) -> io::Result<Box<dyn FileWriter>> {
    let mut file = disk.create(path)?;
    file.append(&file_header(sequence))?;
    file.sync()?;
    disk.sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(file)
}

#[expect(clippy::cast_precision_loss, reason = "a duration in seconds needs no more than 53 bits")]
fn observe(parts: &WalParts, start_ns: u64) {
    let elapsed_ns = parts.clock.monotonic_ns().saturating_sub(start_ns);
    parts.metrics.wal_sync_seconds.observe(elapsed_ns as f64 / 1e9);
}
