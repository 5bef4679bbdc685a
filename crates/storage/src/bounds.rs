//! Every hard limit of the engine that is not a setting, each with its reason.

/// A log record, header and all. A request is at most some tens of megabytes at the doors; what is larger is a fault
/// or damage, and replay must be able to hold one record.
pub(crate) const MAX_RECORD_BYTES: usize = 128 << 20;

/// How long records are written to one log file, in nanoseconds: what has expired is in a log file for an hour more at most,
/// and for as long as its rows are in no segment.
pub(crate) const MAX_LOG_FILE_AGE_NS: u64 = 3_600 * 1_000_000_000;

/// Bytes that the log writes with one call and one fsync; beyond it the next group begins.
pub(crate) const MAX_GROUP_BYTES: usize = 32 << 20;

/// Records that wait for the log, however small they are.
pub(crate) const MAX_QUEUED_RECORDS: usize = 4_096;

/// Records that replay has decoded and not yet put into a head, however small they are.
pub(crate) const MAX_REPLAY_QUEUE: usize = 4;

/// Bytes that are read at once while replay looks for the next record that is whole.
pub(crate) const RESYNC_WINDOW_BYTES: usize = 1 << 20;

/// The pause between two tries to lock the data folder.
pub(crate) const LOCK_PAUSE_MS: u64 = 10;

/// The node's file: a ULID and perhaps a line's end.
pub(crate) const MAX_NODE_FILE_BYTES: u64 = 64;

/// One part in so many of a volume stays free where no setting says how much.
pub(crate) const DEFAULT_MARK_SHARE: u64 = 20;

/// What stays free of a large volume at most, where no setting says how much: more than all heads become, and a log file.
pub(crate) const MAX_DEFAULT_MARK_BYTES: u64 = 2 << 30;

/// The pause between two looks at the room on the volumes.
pub(crate) const DISK_TICK_MS: u64 = 1_000;

/// Seconds after which a writer that found no room on the disk may come back: people or retention make room.
pub(crate) const FULL_RETRY_AFTER_S: u32 = 30;

/// Tenants that one process keeps state for; each costs some kilobytes.
pub(crate) const MAX_TENANTS: usize = 100_000;

/// Manifests that are loaded at the same time when the engine opens.
pub(crate) const OPEN_CONCURRENCY: usize = 16;

/// A manifest's JSON; at some 300 bytes a segment this is far beyond what compaction leaves.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// Damaged versions that a manifest remembers.
pub(crate) const MAX_DAMAGED_VERSIONS: usize = 64;

/// How often a commit takes up the next version after it lost the race, before the caller has to.
pub(crate) const MAX_COMMIT_ATTEMPTS: usize = 32;

/// Deletions of one tenant's signal that a manifest names. Those that were worked off go first; while none was, more are
/// refused.
pub(crate) const MAX_DELETIONS: usize = 1_000;

/// How long a manifest names a deletion that was worked off, in nanoseconds: 30 days.
pub(crate) const DELETION_SHOWN_NS: i64 = 30 * 86_400 * 1_000_000_000;

/// Holds of one tenant's signal that have not ended, of each kind: what somebody keeps does not stand in the way of an incident.
pub(crate) const MAX_HOLDS: usize = 200;

/// Incidents that have ended and are still named, the last ones.
pub(crate) const MAX_ENDED_INCIDENTS: usize = 100;

/// How long a manifest names an incident that has ended, in nanoseconds: 30 days.
pub(crate) const INCIDENT_SHOWN_NS: i64 = 30 * 86_400 * 1_000_000_000;

/// What a request for a deletion or hold may have of text: selectors, filters, reason, in bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 << 10;

/// The memory of one regular expression for lines, in bytes.
pub(crate) const MAX_LINE_REGEX_BYTES: usize = 4 << 20;

/// How often a deletion is tried again because another node made one at the same time.
pub(crate) const MAX_DELETION_ATTEMPTS: usize = 5;

/// Segments that one manifest transaction of retention removes.
pub(crate) const MAX_EXPIRED_PER_COMMIT: usize = 1_000;

/// Objects that one sweep of a tenant's signal deletes; the next pass takes the rest.
pub(crate) const MAX_SWEPT_PER_PASS: usize = 10_000;

/// Unreferenced objects of one tenant's signal that a sweep remembers between passes.
pub(crate) const MAX_UNREFERENCED: usize = 100_000;

/// A read asks whether another node has made a newer manifest when nobody asked for so long; earlier where the grace of
/// the sweep is short.
pub(crate) const REFRESH_MS: u64 = 30_000;

/// The same where other nodes have written: they may have deleted what this one still shows.
pub(crate) const SHARED_REFRESH_MS: u64 = 5_000;

/// The part of the sweep's grace after which a read asks: the rest is for the read.
pub(crate) const REFRESH_PART_OF_GRACE: u64 = 4;

/// How long a read waits for that answer before it goes on with what is known.
pub(crate) const REFRESH_WAIT_MS: u64 = 2_000;

/// Manifest versions that stay behind the newest one, for readers that still hold them and for a fall-back.
pub(crate) const KEPT_MANIFESTS: usize = 8;

/// Heads of one tenant's signal that wait for the store at the same time; while it is reached the active head grows
/// until the bound on all heads refuses writers.
pub(crate) const MAX_FROZEN_HEADS: usize = 4;

/// Heads that are encoded and uploaded at the same time.
pub(crate) const FLUSH_CONCURRENCY: usize = 2;

/// How often an upload or commit is tried before a flush or compaction gives up until the next tick.
pub(crate) const STORE_ATTEMPTS: usize = 4;

/// How often the flusher looks at the heads.
pub(crate) const FLUSH_TICK_MS: u64 = 1_000;

/// Folders of a store that are remembered as durable; forgetting them costs some syncs.
pub(crate) const MAX_KNOWN_FOLDERS: usize = 10_000;

/// Names that are tried for the file that becomes an object of a folder.
pub(crate) const MAX_STAGED_FILES: usize = 1_000;

/// Seconds after which a writer that was refused may come back: about the time of a flush.
pub(crate) const RETRY_AFTER_S: u32 = 5;

/// What a rejected item's name may take of a reply, in bytes.
pub(crate) const MAX_EXAMPLE_BYTES: usize = 300;

/// Rows of a batch that reads give out; small, so that decoding never holds a thread for long.
pub(crate) const READ_BATCH_ROWS: usize = 8_192;

/// Bytes of such a batch of a segment, decoded.
pub(crate) const READ_BATCH_BYTES: usize = 1 << 20;

/// Bytes of such batches of all segments of a read together: a merge holds one of each.
pub(crate) const READ_BATCHES_BYTES: usize = 4 << 20;

/// Rows that a batch of a segment has at least, however large they are.
pub(crate) const MIN_READ_BATCH_ROWS: usize = 256;

/// Arrived batches that a head keeps unsorted; each costs every read a scan.
pub(crate) const MAX_UNSORTED_BATCHES: usize = 32;

/// Rows of arrived batches that a head keeps unsorted.
pub(crate) const MAX_UNSORTED_ROWS: usize = 1 << 16;

/// Bytes of arrived batches that a head keeps unsorted: a read that wants them copies them.
pub(crate) const MAX_UNSORTED_BYTES: usize = 8 << 20;

/// Sorted runs of one level that a head merges into one of the next.
pub(crate) const RUNS_PER_LEVEL: usize = 8;

/// A run with this many rows is not merged any more: merging it again would cost more than reading it apart.
pub(crate) const FULL_RUN_ROWS: usize = 1 << 18;

/// A run with this many bytes is not merged any more. It also keeps text offsets far below 2^31.
pub(crate) const FULL_RUN_BYTES: usize = 32 << 20;

/// Rows of a row group of samples, histograms and exemplars.
pub(crate) const SAMPLE_ROW_GROUP_ROWS: usize = 1 << 19;

/// Series of a row group of samples: whoever reads one of them reads the dictionaries of all, whose length is theirs.
pub(crate) const SAMPLE_ROW_GROUP_SERIES: u32 = 1 << 14;

/// Rows of a row group of log lines.
pub(crate) const ENTRY_ROW_GROUP_ROWS: usize = 1 << 14;

/// Rows of a token filter: a page of lines, the least that is read for a needle.
pub(crate) const TOKEN_FILTER_ROWS: usize = PAGE_ROWS;

/// Bytes of decoded lines of a row group that are kept from the search for needles to the reading of what has them; of
/// larger ones those that have them are decoded twice.
pub(crate) const MAX_SEARCHED_BYTES: usize = 8 << 20;

/// Rows of a row group of spans.
pub(crate) const SPAN_ROW_GROUP_ROWS: usize = 1 << 15;

/// Bytes of a row group, before encoding: a reader holds some of them at once.
pub(crate) const MAX_ROW_GROUP_BYTES: usize = 64 << 20;

/// Rows of a data page: the least that a read of one series or trace decodes.
pub(crate) const PAGE_ROWS: usize = 4_096;

/// Rows of a data page of samples: short pages of columns that hardly change are mostly headers.
pub(crate) const SAMPLE_PAGE_ROWS: usize = 8_192;

/// Label names that get a column of their own in a file; the rest share one.
pub(crate) const MAX_LABEL_COLUMNS: usize = 512;

/// Distinct services that a row group of spans names; with more it names none.
pub(crate) const MAX_SERVICES_PER_ROW_GROUP: usize = 256;

/// A footer with its indexes and tables, in bytes; what claims more is damaged.
pub(crate) const MAX_FOOTER_BYTES: usize = 256 << 20;

/// Segments whose tables of series or streams are read at the same time by one query; each may take some megabytes.
pub(crate) const TABLE_CONCURRENCY: usize = 2;

/// Sources of lines that are merged when all of their columns are asked for anyway; of more it is looked which lines two of
/// them have, and they are read one after the other.
pub(crate) const MERGED_SOURCES: usize = 4;

/// Moments of streams at which two sources have a line that a reading of lines remembers; with more of them sources are merged.
pub(crate) const MAX_REPEATED_MOMENTS: usize = 1 << 16;

/// Sources of a merge that are asked for their next batch at the same time.
pub(crate) const MERGE_CONCURRENCY: usize = 8;

/// Files found damaged that wait to be looked at; beyond it they are found damaged again.
pub(crate) const MAX_SUSPECTS: usize = 10_000;

/// Bytes of a file that are read at once to compare checksums.
pub(crate) const VERIFY_WINDOW_BYTES: u64 = 4 << 20;

/// Damaged places that a verification names; the others it counts.
pub(crate) const MAX_REPORTED_DAMAGE: usize = 1_000;

/// How often files that were found damaged are looked at, besides at once.
pub(crate) const EXAMINE_INTERVAL_MS: u64 = 60_000;

/// Tenants whose requests to a store of others are counted by themselves; the rest share one label.
pub(crate) const MAX_METERED_TENANTS: usize = 1_000;

/// Objects that one request deletes; what Azure takes at most.
pub(crate) const DELETE_BATCH: usize = 256;

/// Requests that delete at the same time.
pub(crate) const DELETE_CONCURRENCY: usize = 4;

/// What is read of a reply that may hide an error; a list of parts that were put together is far smaller.
pub(crate) const MAX_STORE_REPLY_BYTES: usize = 64 << 10;

/// A file with credentials.
pub(crate) const MAX_CREDENTIALS_BYTES: usize = 1 << 20;

/// Connections to a store of others that are kept while nobody uses them.
pub(crate) const MAX_IDLE_CONNECTIONS: usize = 64;

/// The piece of a segment that the cache of bytes holds: some requests' worth of bytes, and few enough to read for a
/// footer.
pub(crate) const CHUNK_BYTES: u64 = 1 << 20;

/// The longest read that the cache answers; a longer one would push out what others need.
pub(crate) const MAX_CACHED_RANGE_BYTES: u64 = 16 << 20;

/// The longest object that is put into the cache when it is written.
pub(crate) const MAX_CACHED_PUT_BYTES: u64 = 16 << 20;

/// Chunks that are fetched ahead of one who reads on.
pub(crate) const MAX_AHEAD_CHUNKS: u32 = 8;

/// Fetches that are remembered before those that nobody waits for any more are forgotten.
pub(crate) const MAX_FLIGHTS: usize = 1_000;

/// Objects whose readers are remembered.
pub(crate) const MAX_CACHED_OBJECTS: usize = 100_000;

/// Deleted objects that are remembered, so that a read under way does not bring them back.
pub(crate) const MAX_FORGOTTEN: usize = 10_000;

/// Chunks that wait to be written to the disk.
pub(crate) const MAX_CACHE_WRITES: usize = 64;

/// What a file takes of a volume at least.
pub(crate) const DISK_BLOCK_BYTES: u64 = 4 << 10;

/// Spans of one trace that a segment's writer holds to number them; those of a larger trace are not numbered.
pub(crate) const MAX_TRACE_SPANS: usize = 1 << 17;

/// Bytes of the spans of one trace that a segment's writer holds to number them.
pub(crate) const MAX_TRACE_BYTES: usize = 64 << 20;

/// Bytes of a batch that a merge makes; with short rows it has [`READ_BATCH_ROWS`] before.
pub(crate) const MERGE_BATCH_BYTES: usize = 8 << 20;

/// Bytes of a part of an upload, and the size up to which a file goes up in one piece. Stores ask for 5 MiB at the least.
pub(crate) const UPLOAD_PART_BYTES: usize = 8 << 20;

/// Rows that a segment's writer takes before it gives its thread away.
pub(crate) const BUILD_ROWS_PER_STEP: usize = 1 << 18;

/// Bytes of the decoded batches of all segments of a merge together, each of at most [`READ_BATCH_BYTES`].
pub(crate) const MERGE_SOURCES_BYTES: usize = 8 << 20;

/// What a series of an input takes while a merge runs, about: its labels, its place, and what is known of it.
pub(crate) const MERGED_SERIES_BYTES: usize = 384;

/// How long a compaction waits at a time while heads are near their bound.
pub(crate) const GIVE_WAY_MS: u64 = 100;

/// How often it waits before it goes on by a step all the same.
pub(crate) const GIVE_WAY_TIMES: usize = 20;

/// Segments that one merge may read: each costs a row group of memory.
pub(crate) const MAX_FAN_IN: usize = 64;

/// Seconds after which a writer over its rate is told to come back, at most.
pub(crate) const MAX_RATE_RETRY_S: u32 = 3_600;

/// A trace that had no span for one to two times as long is no longer being written.
pub(crate) const LIVE_TRACE_MS: u64 = 60_000;
