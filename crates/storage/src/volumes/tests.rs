//! The mark of a volume, on a disk that says what it is told to say.

use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::*;
use crate::disk::{FileReader, FileWriter, Lock, SystemDisk};

const MIB: u64 = 1 << 20;

/// The system's disk, on a volume that is as large and as full as the test says.
#[derive(Debug, Default)]
struct Scripted {
    total: AtomicU64,
    free: AtomicU64,
    removed: Mutex<Vec<PathBuf>>,
}

impl Disk for Scripted {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        SystemDisk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        SystemDisk.list(folder)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn FileWriter>> {
        SystemDisk.create(file)
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn FileReader>> {
        SystemDisk.open(file)
    }

    fn truncate(&self, file: &Path, len: u64) -> io::Result<()> {
        SystemDisk.truncate(file, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        self.removed.lock().push(file.to_owned());
        SystemDisk.remove(file)
    }

    fn sync_file(&self, file: &Path) -> io::Result<()> {
        SystemDisk.sync_file(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        SystemDisk.sync_folder(folder)
    }

    fn lock(&self, file: &Path) -> io::Result<Lock> {
        SystemDisk.lock(file)
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let (total_bytes, free_bytes) =
            (self.total.load(Ordering::Relaxed), self.free.load(Ordering::Relaxed));
        Ok(Space { total_bytes, free_bytes })
    }
}

fn volumes(folder: &Path, disk: &Arc<Scripted>, settings: DiskSettings) -> Volumes {
    let settings = Settings { data_dir: folder.to_owned(), disk: settings, ..Settings::default() };
    Volumes::new(&settings, Arc::clone(disk) as _, Arc::default())
}

#[test]
fn writers_are_refused_below_the_mark_and_taken_again_well_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Scripted::default());
    let volumes = volumes(folder.path(), &disk, DiskSettings::default());
    let look = |total: u64, free: u64| {
        disk.total.store(total, Ordering::Relaxed);
        disk.free.store(free, Ordering::Relaxed);
        volumes.look();
        volumes.admit().is_ok()
    };
    assert!(look(0, 0), "a disk that does not say has no mark");
    // A twentieth is the mark, and an eighth of it more on the way back.
    assert!(look(2_000 * MIB, 100 * MIB));
    assert!(volumes.takes(0));
    assert!(!volumes.takes(1));
    assert!(volumes.admit().is_err(), "known at once, not at the next look");
    assert!(!look(2_000 * MIB, 100 * MIB));
    assert!(!look(2_000 * MIB, 112 * MIB));
    assert!(look(2_000 * MIB, 113 * MIB));
    assert!(!look(2_000 * MIB, 99 * MIB));
    let error = volumes.admit().unwrap_err();
    assert!(
        matches!(error, StorageError::Full(_)) && error.to_string().contains("disk.min_free=104857600"),
        "{error}"
    );
    // A large volume keeps no more than is of use.
    assert!(look(1 << 50, 3 << 30));
}

#[test]
fn the_setting_is_the_mark() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Scripted::default());
    let settings = DiskSettings { min_free_bytes: Some(10), ..DiskSettings::default() };
    let volumes = volumes(folder.path(), &disk, settings);
    disk.total.store(1_000, Ordering::Relaxed);
    disk.free.store(10, Ordering::Relaxed);
    volumes.look();
    volumes.admit().unwrap();
    disk.free.store(9, Ordering::Relaxed);
    volumes.look();
    volumes.admit().unwrap_err();
}

#[test]
fn the_reserve_is_given_up_at_the_brim_and_kept_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Scripted::default());
    let settings = DiskSettings { reserve_bytes: 3 * MIB, ..DiskSettings::default() };
    let volumes = volumes(folder.path(), &disk, settings);
    let reserve = layout::reserve_file(folder.path());
    let len = || std::fs::metadata(&reserve).map(|file| file.len()).ok();
    disk.total.store(1_000 * MIB, Ordering::Relaxed);
    disk.free.store(500 * MIB, Ordering::Relaxed);
    volumes.look();
    assert_eq!(len(), Some(3 * MIB));
    disk.removed.lock().clear();
    volumes.look();
    assert!(disk.removed.lock().is_empty(), "what is there is not written again");
    disk.free.store(20 * MIB, Ordering::Relaxed);
    volumes.look();
    assert_eq!(len(), Some(3 * MIB), "below the mark it stays");
    disk.free.store(2 * MIB, Ordering::Relaxed);
    volumes.look();
    assert_eq!(len(), None);
    disk.free.store(52 * MIB, Ordering::Relaxed);
    volumes.look();
    assert_eq!(len(), None, "not before writers are taken again");
    disk.free.store(100 * MIB, Ordering::Relaxed);
    volumes.look();
    assert_eq!(len(), Some(3 * MIB));
}

#[test]
fn a_full_disk_is_known_at_any_depth_of_an_error() {
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    assert!(is_full(&full()));
    let store = object_store::Error::Generic { store: "folder", source: Box::new(full()) };
    assert!(is_full(&StorageError::Store(store)));
    assert!(is_full(&StorageError::io("write", "x", full())));
    assert!(!is_full(&StorageError::Closed));
    assert!(!is_full(&io::Error::other("x")));
}
