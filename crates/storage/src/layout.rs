//! Where everything lies: each object path of the store and each file of the data folder is made here and nowhere
//! else. `docs/format/layout.md` shows the tree.

use std::path::{Path as FilePath, PathBuf};

use model::{Signal, TenantId};
use object_store::path::{Path, PathPart};

use crate::manifest::SegmentMeta;

const TENANTS: &str = "tenants";
const MANIFEST: &str = "manifest";
const SEGMENTS: &str = "segments";
const QUARANTINE: &str = "quarantine";

/// The object that shows at each start that objects are created once.
pub(crate) fn probe() -> Path {
    Path::from("probe/put-if-absent")
}

/// The prefix of all tenants.
pub(crate) fn tenants() -> Path {
    Path::from(TENANTS)
}

/// The prefix of one tenant's signal.
pub(crate) fn partition(tenant: &TenantId, signal: Signal) -> Path {
    Path::from_iter([
        PathPart::from(TENANTS),
        PathPart::from(tenant.as_str()),
        PathPart::from(signal.as_str()),
    ])
}

/// The tenant of a prefix below [`tenants`]; none where the folder is not one of ours.
pub(crate) fn tenant_of(prefix: &Path) -> Option<TenantId> {
    // Of the alphabet of tenant ids the path encoding changes the star alone.
    let name = prefix.parts().nth(1)?.as_ref().replace("%2A", "*");
    TenantId::parse(&name).ok()
}

/// The prefix of the manifest versions.
pub(crate) fn manifests(tenant: &TenantId, signal: Signal) -> Path {
    partition(tenant, signal).join(MANIFEST)
}

/// One manifest version.
pub(crate) fn manifest(tenant: &TenantId, signal: Signal, version: u64) -> Path {
    manifests(tenant, signal).join(format!("{version:020}.json"))
}

/// The version of a path that [`manifest`] made; none for other objects.
pub(crate) fn manifest_version(path: &Path) -> Option<u64> {
    let digits = path.filename()?.strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The prefix of the segments.
pub(crate) fn segments(tenant: &TenantId, signal: Signal) -> Path {
    partition(tenant, signal).join(SEGMENTS)
}

/// One file of a segment; `part` is empty where a segment is one file.
pub(crate) fn segment(tenant: &TenantId, signal: Signal, meta: &SegmentMeta, part: &str) -> Path {
    let name =
        if part.is_empty() { format!("{}.parquet", meta.id) } else { format!("{}.{part}.parquet", meta.id) };
    segments(tenant, signal).join(meta.day.as_str()).join(name)
}

/// The segment's id in a path that [`segment`] made; none for other objects.
pub(crate) fn segment_id(path: &Path) -> Option<&str> {
    let (id, rest) = path.filename()?.split_once('.')?;
    (id.len() == 26 && rest.ends_with("parquet")).then_some(id)
}

/// Whether the path is one that [`segment`] made.
pub(crate) fn is_segment(path: &Path) -> bool {
    segment_id(path).is_some()
        && path.as_ref().starts_with(TENANTS)
        && path.as_ref().rsplit('/').nth(2) == Some(SEGMENTS)
}

/// The part in a path that [`segment`] made, empty for a segment's only file; none for other objects.
pub(crate) fn segment_part(path: &Path) -> Option<&str> {
    segment_id(path)?;
    let (_, rest) = path.filename()?.split_once('.')?;
    if rest == "parquet" { Some("") } else { rest.strip_suffix(".parquet") }
}

/// The day in a path that [`segment`] made, as it is written.
pub(crate) fn segment_day(path: &Path) -> Option<&str> {
    path.as_ref().rsplit('/').nth(1)
}

/// The prefix of the segments that were set aside.
pub(crate) fn quarantined_segments(tenant: &TenantId, signal: Signal) -> Path {
    quarantined(&segments(tenant, signal))
}

/// What says why a segment was set aside, beside its files in the quarantine.
pub(crate) fn quarantine_reason(tenant: &TenantId, signal: Signal, meta: &SegmentMeta) -> Path {
    quarantined_segments(tenant, signal).join(meta.day.as_str()).join(format!("{}.json", meta.id))
}

/// The segment's id in the path of a file below [`quarantined_segments`].
pub(crate) fn quarantined_id(path: &Path) -> Option<&str> {
    let (id, _) = path.filename()?.split_once('.')?;
    (id.len() == 26).then_some(id)
}

/// Where a damaged object is copied to.
pub(crate) fn quarantined(object: &Path) -> Path {
    Path::from_iter(Path::from(QUARANTINE).parts().chain(object.parts()))
}

/// The folder of the log.
pub(crate) fn wal_dir(data_dir: &FilePath) -> PathBuf {
    data_dir.join("wal")
}

/// One file of the log.
pub(crate) fn wal_file(data_dir: &FilePath, sequence: u64) -> PathBuf {
    wal_dir(data_dir).join(format!("{sequence:020}.wal"))
}

/// The sequence of a file that [`wal_file`] named; none for other files.
pub(crate) fn wal_sequence(path: &FilePath) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".wal")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The folder of what was set aside from the log.
pub(crate) fn quarantine_dir(data_dir: &FilePath) -> PathBuf {
    data_dir.join(QUARANTINE)
}

/// Bytes of a log file that were set aside.
pub(crate) fn quarantined_record(data_dir: &FilePath, sequence: u64, offset: u64) -> PathBuf {
    quarantine_dir(data_dir).join(format!("{sequence:020}-{offset}.wal"))
}

/// The folder of the cache of bytes.
pub(crate) fn cache_dir(data_dir: &FilePath) -> PathBuf {
    data_dir.join("cache")
}

/// A part of the cache's folder, by the first byte of what an object is known by.
pub(crate) fn cache_shard(cache_dir: &FilePath, shard: u8) -> PathBuf {
    cache_dir.join(format!("{shard:02x}"))
}

/// The file of a chunk of an object.
pub(crate) fn cache_file(cache_dir: &FilePath, object: u128, number: u32) -> PathBuf {
    let [shard, ..] = object.to_be_bytes();
    cache_shard(cache_dir, shard).join(format!("{object:032x}-{number:06}"))
}

/// The object and the number in a name that [`cache_file`] made; none for other files.
pub(crate) fn cache_name(path: &FilePath) -> Option<(u128, u32)> {
    let (object, number) = path.file_name()?.to_str()?.split_once('-')?;
    let is_ours = object.len() == 32 && number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
    is_ours.then(|| Some((u128::from_str_radix(object, 16).ok()?, number.parse().ok()?)))?
}

/// The file that one process holds locked.
pub(crate) fn lock_file(data_dir: &FilePath) -> PathBuf {
    data_dir.join("lock")
}

/// The file that is given up when a volume is full to its end.
pub(crate) fn reserve_file(data_dir: &FilePath) -> PathBuf {
    data_dir.join("reserve")
}

/// The file with the node's identity.
pub(crate) fn node_file(data_dir: &FilePath) -> PathBuf {
    data_dir.join("node")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> SegmentMeta {
        SegmentMeta {
            id: "01J9Z3W6E8R4T2Y0V7X5A1B3C9".to_owned(),
            day: "2026-01-31".to_owned(),
            start_ns: 0,
            end_ns: 1,
            rows: 1,
            level: 0,
            parts: Vec::new(),
            after: None,
            cleared: 0,
            looked: None,
            cleared_also: Vec::new(),
        }
    }

    #[test]
    fn paths_begin_with_the_tenant_and_read_back() {
        let tenant = TenantId::parse("a-B_9.!*'()").unwrap();
        let version = manifest(&tenant, Signal::Logs, 7);
        assert_eq!(version.as_ref(), "tenants/a-B_9.!%2A'()/logs/manifest/00000000000000000007.json");
        assert_eq!(manifest_version(&version), Some(7));
        assert_eq!(tenant_of(&version), Some(tenant.clone()));
        let part = segment(&tenant, Signal::Metrics, &meta(), "series");
        assert!(part.as_ref().ends_with("/segments/2026-01-31/01J9Z3W6E8R4T2Y0V7X5A1B3C9.series.parquet"));
        assert_eq!(segment_id(&part), Some("01J9Z3W6E8R4T2Y0V7X5A1B3C9"));
        assert_eq!(segment_id(&segment(&tenant, Signal::Logs, &meta(), "")), segment_id(&part));
        assert_eq!((segment_part(&part), segment_day(&part)), (Some("series"), Some("2026-01-31")));
        assert_eq!(segment_part(&segment(&tenant, Signal::Logs, &meta(), "")), Some(""));
        assert!(quarantined(&part).as_ref().starts_with("quarantine/tenants/"));
        assert_eq!(quarantined_id(&quarantined(&part)), segment_id(&part));
        assert_eq!(quarantined_id(&quarantine_reason(&tenant, Signal::Metrics, &meta())), segment_id(&part));
    }

    #[test]
    fn only_segments_of_tenants_are_segments() {
        let tenant = TenantId::parse("a").unwrap();
        let part = segment(&tenant, Signal::Metrics, &meta(), "series");
        assert!(is_segment(&part));
        assert!(!is_segment(&quarantined(&part)));
        assert!(!is_segment(&manifest(&tenant, Signal::Metrics, 1)));
        let file = cache_file(FilePath::new("cache"), 0xab << 120, 7);
        assert_eq!(file, FilePath::new("cache/ab").join(format!("ab{}-000007", "0".repeat(30))));
        assert_eq!(cache_name(&file), Some((0xab << 120, 7)));
        assert_eq!(cache_name(&file.with_extension("new")), None);
    }

    #[test]
    fn foreign_names_are_none_of_ours() {
        for name in ["x/1.json", "x/0000000000000000000a.json", "x/00000000000000000001.json.tmp"] {
            assert_eq!(manifest_version(&Path::from(name)), None, "{name}");
        }
        for name in ["x/readme.txt", "x/short.parquet"] {
            assert_eq!(segment_id(&Path::from(name)), None, "{name}");
        }
        assert_eq!(wal_sequence(FilePath::new("wal/1.wal")), None);
        assert_eq!(wal_sequence(&wal_file(FilePath::new("d"), 12)), Some(12));
    }
}
