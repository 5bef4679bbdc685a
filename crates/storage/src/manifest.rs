//! Manifests: the only truth about which segments a tenant's signal has. Each version is a JSON object of its own;
//! `docs/format/manifest.md` describes it. Here are the types; [`commit`] makes new versions, [`invariants`] says what
//! must be true of them, [`recover`] makes up for versions that do not read back.

use std::collections::BTreeMap;

use model::{Signal, TenantId, TimeRange};
use serde::{Deserialize, Serialize};

use crate::segment::blocks::Checksum;
use keeping::{Deletion, Hold, Retained};

pub mod keeping;

pub(crate) mod json;

pub(crate) mod commit;

pub(crate) mod recover;

pub(crate) mod invariants;

/// The format number that this code writes; it reads this one alone.
pub(crate) const FORMAT: u32 = 1;

/// A place in the log: where a record begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WalPosition {
    /// The log file.
    pub sequence: u64,
    /// Bytes from the file's start.
    pub offset: u64,
}

/// One file of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartMeta {
    /// What the file holds, as in its name; empty where a segment is one file.
    pub name: String,
    /// The file's size.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// The length of the file's end, from behind its last row group and filter: page indexes and footer.
    pub tail_bytes: u64,
    /// The checksum of that end. The footer has the checksums of what stands before it.
    pub tail_xxh3: Checksum,
}

/// Files of a node's log that had been written when the node began a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierLog {
    /// The node.
    pub node: String,
    /// The first file of the run: those before it are meant.
    pub before: u64,
}

/// A segment: immutable files that together hold rows of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentMeta {
    /// A ULID, unique in the store.
    pub id: String,
    /// The UTC day of its data, `yyyy-mm-dd`.
    pub day: String,
    /// The earliest timestamp in it.
    pub start_ns: i64,
    /// The latest timestamp in it.
    pub end_ns: i64,
    /// Rows of data, all parts but `series` together.
    pub rows: u64,
    /// How often the data was rewritten: 0 straight from a head.
    pub level: u8,
    /// Its files.
    pub parts: Vec<PartMeta>,
    /// A log whose rows that are not in segments yet are older than this segment's, because it was written while that log
    /// was replayed: what comes of them is put before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EarlierLog>,
    /// Deletions up to this number do not concern it: its rows came later, or it was rewritten without theirs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cleared: u64,
    /// When it was last rewritten without the rows that had outlived their period, where periods differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<Looked>,
    /// Deletions after that one which do not concern it either, as the first and last number of each stretch, ascending: it
    /// was rewritten without their rows while one before them waited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleared_also: Vec<(u64, u64)>,
}

/// A look at a segment: it has no rows that had outlived their period then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// When it was, in nanoseconds since the epoch.
    pub at_ns: i64,
    /// The checksum of the periods and holds that it went by; with others it says nothing.
    pub by: Checksum,
}

/// Which deletions do not concern rows, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cleared<'a> {
    /// All up to this one.
    pub(crate) to: u64,
    /// And those of these stretches.
    pub(crate) also: &'a [(u64, u64)],
}

impl Cleared<'static> {
    /// All up to a number.
    pub(crate) const fn up_to(to: u64) -> Self {
        Self { to, also: &[] }
    }
}

impl Cleared<'_> {
    /// Whether a deletion does not concern the rows.
    pub(crate) fn has(self, number: u64) -> bool {
        let mut also = self.also.iter();
        number <= self.to || also.any(|(first, last)| (*first..=*last).contains(&number))
    }
}

impl SegmentMeta {
    /// The time that the data covers.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        TimeRange::new(self.start_ns, self.end_ns)
    }

    /// The deletions that do not concern it.
    pub(crate) fn clearance(&self) -> Cleared<'_> {
        Cleared { to: self.cleared, also: &self.cleared_also }
    }

    /// The size of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The part with the name, where the segment has it.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&PartMeta> {
        self.parts.iter().find(|part| part.name == name)
    }
}

/// A segment, or files of one, that did not read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// What the manifest said of it. Of a segment that lost some files and is read without them, these files alone, and
    /// the series that they need.
    pub segment: SegmentMeta,
    /// What is wrong with it.
    pub reason: String,
}

/// One version of the truth about one tenant's signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's number.
    pub format: u32,
    /// Which version it is; 0 stands for "none yet" and is never stored.
    pub version: u64,
    /// Whose data it is.
    pub tenant: String,
    /// Which signal: `metrics`, `logs` or `traces`.
    pub signal: String,
    /// A ULID that names the transaction which made this version, so that its maker knows it again.
    pub transaction: String,
    /// The segments, in the order in which they were committed: of equal keys the later one holds.
    pub segments: Vec<SegmentMeta>,
    /// For each node: every record of its log that begins before this position is in segments.
    pub flushed: BTreeMap<String, WalPosition>,
    /// Segments that did not read back: set aside, neither read nor rewritten, until they are restored or expire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
    /// The last versions that did not read back, ascending. What they named is among the segments as far as it was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<u64>,
    /// What is to be deleted or was lately, by ascending numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deletions: Vec<Deletion>,
    /// The number of the last deletion that there ever was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deletions_made: u64,
    /// For each node: deletions up to this number do not concern rows of its log from the flushed position on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<String, u64>,
    /// What may not go, however old it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// How long rows are kept, as it is in force; none before somebody has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retained>,
}

/// Whether a number is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is that of the serialiser")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Manifest {
    /// The state before the first commit.
    #[must_use]
    pub fn empty(tenant: &TenantId, signal: Signal) -> Self {
        Self {
            format: FORMAT,
            version: 0,
            tenant: tenant.as_str().to_owned(),
            signal: signal.as_str().to_owned(),
            transaction: String::new(),
            segments: Vec::new(),
            flushed: BTreeMap::new(),
            quarantined: Vec::new(),
            damaged: Vec::new(),
            deletions: Vec::new(),
            deletions_made: 0,
            cut: BTreeMap::new(),
            holds: Vec::new(),
            retention: None,
        }
    }

    /// The last deletion that does not concern rows of the node's log which are not in segments.
    #[must_use]
    pub fn cut_at(&self, node: &str) -> u64 {
        self.cut.get(node).copied().unwrap_or(0)
    }

    /// Whether it was made up for a version that did not read back, and is no version of its own yet.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.damaged.contains(&self.version)
    }

    /// Whether rows that are older than the segment's may still be put before it.
    #[must_use]
    pub fn awaits_older(&self, segment: &SegmentMeta) -> bool {
        segment.after.as_ref().is_some_and(|log| self.flushed_to(&log.node).sequence < log.before)
    }

    /// Whether this node has written, and no other.
    #[must_use]
    pub fn is_of_one(&self, node: &str) -> bool {
        !self.flushed.is_empty() && self.flushed.keys().all(|other| other == node)
    }

    /// Where the node's log has been flushed to.
    #[must_use]
    pub fn flushed_to(&self, node: &str) -> WalPosition {
        self.flushed.get(node).copied().unwrap_or_default()
    }
}
