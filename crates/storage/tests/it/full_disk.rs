//! A volume of a few megabytes, filled to its end: writers are refused before it is, everything else goes on, and it
//! recovers by itself. Needs the right to mount a tmpfs; where there is none, the tests say so and end.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use model::ingest::IngestError;
use model::time::NS_PER_S;
use model::{Ingest, Signal};
use storage::{Disk, Storage, StorageError, SystemDisk};

use crate::fixture::{World, batch, lines, open_store};

const MIB: u64 = 1 << 20;
const HOUR_NS: i64 = 3_600 * NS_PER_S;
const MARK_BYTES: u64 = 4 * MIB;
/// Lines of one write: some 150 kB of log.
const LINES: i64 = 1_000;

/// A tmpfs that is gone with its test.
struct Volume(tempfile::TempDir);

impl Volume {
    #[expect(clippy::print_stderr, reason = "a test that is left out says why")]
    fn mount(mib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                eprintln!("not tested: a tmpfs cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn free_bytes(&self) -> u64 {
        SystemDisk.space(self.path()).unwrap().free_bytes
    }

    /// What another process writes until nothing more fits.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[7; 4_096]).is_ok() {}
        path
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Files may still be open; the volume goes with the last of them.
        let _status = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// An engine whose log and store are on the volume, and whose heads are flushed when the test says so.
fn world(volume: &Volume, min_free_bytes: u64) -> World {
    let store = volume.path().join("store");
    let mut world = World::on(open_store(store.to_str().unwrap()));
    world.settings.data_dir = volume.path().join("data");
    world.settings.wal.segment_bytes = MIB;
    world.settings.retention.sweep_grace_ms = 1;
    world.settings.disk.min_free_bytes = Some(min_free_bytes);
    world.settings.disk.reserve_bytes = MIB / 2;
    world.settings.disk.store_folder = Some(store);
    world.limits.retention.logs_ns = Some(2 * HOUR_NS);
    world
}

/// Writes until there is no room; gives how many lines were taken.
async fn write_until_full(world: &World, storage: &Storage, from: i64) -> i64 {
    for next in (from..from + 1_000 * LINES).step_by(1_000) {
        match storage.ingest(&world.context("a"), batch(Signal::Logs, "a", next..next + LINES)).await {
            Ok(receipt) => assert_eq!(receipt.accepted, 1_000),
            Err(IngestError::Full { message, retry_after_s }) => {
                assert!(retry_after_s > 0 && !message.is_empty());
                return next;
            }
            Err(other) => panic!("a full disk is told as one: {other:?}"),
        }
    }
    panic!("the volume does not become full");
}

/// Writes the same lines until they are taken: there is room again.
async fn write_when_there_is_room(world: &World, storage: &Storage, from: i64) -> i64 {
    for _ in 0..600 {
        match storage.ingest(&world.context("a"), batch(Signal::Logs, "a", from..from + LINES)).await {
            Ok(receipt) => {
                assert_eq!((receipt.accepted, receipt.rejected()), (1_000, 0));
                return from + LINES;
            }
            Err(IngestError::Full { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("room that was made is not used");
}

/// What was acknowledged is there, and nothing else.
async fn assert_kept(world: &World, storage: &Storage, numbers: std::ops::Range<i64>) {
    let read = world.read(storage, "a", Signal::Logs).await;
    assert!(read == lines("a", numbers.clone()), "{} lines instead of {numbers:?}", read.len());
}

#[tokio::test]
async fn writers_are_refused_before_the_volume_is_full_and_everything_else_goes_on() {
    let Some(volume) = Volume::mount(14) else { return };
    let world = world(&volume, MARK_BYTES);
    let reserve = world.settings.data_dir.join("reserve");
    let storage = world.open().await;
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), MIB / 2);

    let taken = write_until_full(&world, &storage, 0).await;
    assert!(taken > 10 * LINES);
    // Beginning a file takes a block or two beside the records.
    assert!(volume.free_bytes() >= MARK_BYTES - MIB / 8, "{}", volume.free_bytes());
    assert_eq!(world.metric(&storage, "stella_disk_full"), 1.0);
    assert_kept(&world, &storage, 0..taken).await;

    // A flush writes below the mark, and the log that it frees is room for writers.
    storage.flush().await.unwrap();
    let taken = write_when_there_is_room(&world, &storage, taken).await;
    storage.flush().await.unwrap();
    assert_kept(&world, &storage, 0..taken).await;

    // Another process takes the rest, to the last block.
    let ballast = volume.fill();
    world.until(|| !reserve.exists()).await;
    let refused = write_until_full(&world, &storage, taken).await;
    assert_eq!(refused, taken, "nothing more is taken");
    assert_kept(&world, &storage, 0..taken).await;
    let segments = world.objects("/segments/").await.len();
    world.clock.advance_ns(3 * HOUR_NS);
    let report = storage.retain().await.unwrap();
    assert_eq!(report.segments_expired, segments);
    world.clock.advance_ns(HOUR_NS);
    assert_eq!(storage.retain().await.unwrap().objects_deleted, segments);
    assert!(world.read(&storage, "a", Signal::Logs).await.is_empty());
    drop(storage);

    // It starts on a full volume too, and uses the room that is made without another start.
    while File::options().append(true).open(&ballast).unwrap().write_all(&[7; 4_096]).is_ok() {}
    let storage = world.open().await;
    assert_eq!(write_until_full(&world, &storage, 14_000_000).await, 14_000_000);
    std::fs::remove_file(ballast).unwrap();
    write_when_there_is_room(&world, &storage, 14_000_000).await;
    assert_kept(&world, &storage, 14_000_000..14_000_000 + LINES).await;
    world.until(|| reserve.exists()).await;
}

#[tokio::test]
async fn whether_writes_are_taken_is_told_as_a_writer_is_told() {
    let mut world = World::new();
    let storage = world.open().await;
    storage.takes_writes().unwrap();
    storage.shutdown().await.unwrap();
    assert!(matches!(storage.takes_writes(), Err(StorageError::Closed)));
    drop(storage);
    world.settings.disk.min_free_bytes = Some(u64::MAX);
    let storage = world.open().await;
    let told = storage.takes_writes().unwrap_err();
    let refused = storage.ingest(&world.context("a"), batch(Signal::Logs, "a", 0..1)).await.unwrap_err();
    assert!(
        matches!((&told, &refused), (StorageError::Full(_), IngestError::Full { .. })),
        "{told} {refused}"
    );
}

#[tokio::test]
async fn a_write_that_finds_no_room_is_refused_and_not_lost_and_the_log_goes_on() {
    let Some(volume) = Volume::mount(8) else { return };
    let world = world(&volume, 0);
    let ballast = volume.path().join("ballast");
    std::fs::write(&ballast, vec![7; 4 << 20]).unwrap();
    let storage = world.open().await;
    let taken = write_until_full(&world, &storage, 0).await;
    assert!(taken > LINES && volume.free_bytes() < MIB);
    for _ in 0..3 {
        assert_eq!(write_until_full(&world, &storage, taken).await, taken);
    }
    assert_kept(&world, &storage, 0..taken).await;
    drop(storage);
    // What a write left behind that was cut off is no record: a start finds what was acknowledged and nothing else.
    let storage = world.open().await;
    assert_kept(&world, &storage, 0..taken).await;
    // It has cut the end off that was no record, and perhaps given up the reserve.
    let taken = write_until_full(&world, &storage, taken).await;
    std::fs::remove_file(ballast).unwrap();
    let taken = write_when_there_is_room(&world, &storage, taken).await;
    storage.flush().await.unwrap();
    assert_kept(&world, &storage, 0..taken).await;
    let taken = write_when_there_is_room(&world, &storage, taken).await;
    drop(storage);
    let storage = world.open().await;
    assert_kept(&world, &storage, 0..taken).await;
}
