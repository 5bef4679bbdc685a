//! A disk that forgets: what was not synced is gone, torn or there when the power comes back, names that were not synced
//! may be the old ones, writes fail when it is full or ill, and any call can be a node's last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use storage::Disk;
use storage::disk::{FileReader, FileWriter, Lock, Space};

use super::machine::{Life, Machine};

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The process is killed: the operating system still writes what it was given.
    Killed,
    /// The power goes: what was not synced is left to chance.
    PowerLoss,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// The file as a loss of power surely leaves it.
    synced: Vec<u8>,
    /// Bytes that the device refused: no later sync writes them.
    lost_from: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, File>,
    next_file: u64,
    names: BTreeMap<PathBuf, u64>,
    synced_names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
    /// Who holds which lock.
    locks: BTreeMap<PathBuf, Life>,
    /// The life that may use the disk.
    life: Life,
    /// Calls that change something until the life ends at one.
    calls_left: Option<u64>,
    /// Calls that fail, of a thousand.
    ill_permille: u64,
    room_bytes: Option<usize>,
    /// Whether others take the room as soon as somebody has asked how much there is.
    is_room_lost: bool,
    /// Whether a call failed in this life.
    was_ill: bool,
}

/// A node's disk, which outlives its lives; clones share it.
#[derive(Clone)]
pub(crate) struct NodeDisk {
    machine: Machine,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for NodeDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeDisk")
    }
}

/// What a call that changes something comes to.
enum Fate {
    Done,
    Refused,
    /// The life ends during the call.
    Last,
}

impl NodeDisk {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self { machine: machine.clone(), state: Arc::default() }
    }

    /// The disk as a life sees it; earlier lives lose it.
    pub(crate) fn of(&self, life: Life) -> Arc<dyn Disk> {
        let mut state = self.state.lock();
        state.life = life;
        state.calls_left = None;
        state.locks.clear();
        state.was_ill = false;
        Arc::new(LifeDisk { disk: self.clone(), life })
    }

    /// Lets the life end at its n-th call from now that changes something.
    pub(crate) fn end_after(&self, calls: u64) {
        self.state.lock().calls_left = Some(calls);
    }

    /// Lets the life go on.
    pub(crate) fn end_none(&self) {
        self.state.lock().calls_left = None;
    }

    /// How many calls of a thousand fail, and how many more bytes there is room for, which may be less than is said.
    pub(crate) fn trouble(&self, ill_permille: u64, more_bytes: Option<usize>, is_room_lost: bool) {
        let mut state = self.state.lock();
        state.ill_permille = ill_permille;
        state.is_room_lost = is_room_lost;
        state.room_bytes = more_bytes.map(|more| state.used() + more);
    }

    /// Whether a call failed in this life, so that not everything can be durable, or deleted, that should be.
    pub(crate) fn was_ill(&self) -> bool {
        self.state.lock().was_ill
    }

    /// The names of the files in the folder.
    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        self.state.lock().names.keys().filter(|path| path.starts_with(folder)).cloned().collect()
    }

    /// What is left when a life has ended.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.life = u64::MAX;
        if end == End::Killed {
            return;
        }
        let state = &mut *state;
        // Each name that was not synced is the old one or the new one.
        let all: BTreeSet<PathBuf> = state.names.keys().chain(state.synced_names.keys()).cloned().collect();
        for path in all {
            let (now, synced) = (state.names.get(&path).copied(), state.synced_names.get(&path).copied());
            let kept = if now != synced && self.machine.permille(500) { synced } else { now };
            match kept {
                Some(file) => state.names.insert(path, file),
                None => state.names.remove(&path),
            };
        }
        let named: BTreeSet<u64> = state.names.values().copied().collect();
        state.files.retain(|file, _| named.contains(file));
        for file in state.files.values_mut() {
            let left = torn(&self.machine, file);
            *file = File { bytes: left.clone(), synced: left, lost_from: None };
        }
        state.synced_names = state.names.clone();
    }
}

/// The synced bytes and what chance leaves of the rest: a part of it, perhaps with zeros for the blocks that never came.
fn torn(machine: &Machine, file: &File) -> Vec<u8> {
    let mut left = file.synced.clone();
    let is_appended = file.bytes.len() > left.len() && file.bytes.starts_with(&left);
    if !is_appended {
        return if machine.permille(500) { left } else { file.bytes.clone() };
    }
    let rest = &file.bytes[left.len()..];
    let kept = usize::try_from(machine.below(rest.len() as u64 + 1)).unwrap_or(0);
    match machine.below(4) {
        0 => {}
        1 => left.extend_from_slice(&rest[..kept]),
        2 => left.extend_from_slice(rest),
        _ => {
            left.extend_from_slice(&rest[..kept]);
            left.resize(file.bytes.len(), 0);
        }
    }
    left
}

impl State {
    fn used(&self) -> usize {
        self.names.values().filter_map(|file| self.files.get(file)).map(|file| file.bytes.len()).sum()
    }

    fn file(&mut self, path: &Path) -> io::Result<(u64, &mut File)> {
        let number = *self.names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok((number, self.files.get_mut(&number).ok_or(ErrorKind::NotFound)?))
    }
}

/// The disk in the hands of one life.
#[derive(Clone, Debug)]
struct LifeDisk {
    disk: NodeDisk,
    life: Life,
}

impl LifeDisk {
    /// Runs a call of a life that still is.
    fn read<T>(&self, call: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state.lock();
        if state.life != self.life {
            return Err(io::Error::other("the power is off"));
        }
        call(&mut state)
    }

    /// Runs a call that changes something; it sees whether it may do all of it, nothing, or is the last.
    fn write<T>(
        &self,
        what: &fmt::Arguments<'_>,
        call: impl FnOnce(&mut State, &Fate) -> io::Result<T>,
    ) -> io::Result<T> {
        let machine = &self.disk.machine;
        self.read(|state| {
            let is_last = state.calls_left == Some(0);
            state.calls_left = state.calls_left.map(|left| left.saturating_sub(1));
            let fate = if is_last {
                Fate::Last
            } else if machine.permille(state.ill_permille) {
                Fate::Refused
            } else {
                Fate::Done
            };
            state.was_ill |= matches!(fate, Fate::Refused);
            let result = call(state, &fate);
            let result = match fate {
                Fate::Done => result,
                Fate::Refused => Err(io::Error::other("input/output error")),
                Fate::Last => {
                    state.life = u64::MAX;
                    machine.fall(self.life);
                    Err(io::Error::other("the power is off"))
                }
            };
            machine.note(&format_args!("disk {} {what}: {}", self.life, outcome(&result, &fate)));
            result
        })
    }

    fn append(&self, file: u64, bytes: &[u8]) -> io::Result<()> {
        let machine = &self.disk.machine;
        self.write(&format_args!("append {file} +{}", bytes.len()), |state, fate| {
            let room = state.room_bytes.map_or(usize::MAX, |room| room.saturating_sub(state.used()));
            let file = state.files.get_mut(&file).ok_or(ErrorKind::NotFound)?;
            let wanted = match fate {
                Fate::Done => bytes.len(),
                _ => usize::try_from(machine.below(bytes.len() as u64 + 1)).unwrap_or(0),
            };
            file.bytes.extend_from_slice(&bytes[..wanted.min(room)]);
            if wanted > room { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn sync(&self, file: u64) -> io::Result<()> {
        let machine = &self.disk.machine;
        self.write(&format_args!("sync {file}"), |state, fate| {
            let file = state.files.get_mut(&file).ok_or(ErrorKind::NotFound)?;
            match fate {
                Fate::Done => {
                    file.synced = file.bytes.clone();
                    if let Some(from) = file.lost_from {
                        let end = file.synced.len();
                        file.synced[from.min(end)..].fill(0);
                    }
                }
                // The kernel forgets the pages that it could not write.
                Fate::Refused => file.lost_from = Some(file.lost_from.unwrap_or(file.synced.len())),
                Fate::Last if machine.permille(500) => file.synced = file.bytes.clone(),
                Fate::Last => {}
            }
            Ok(())
        })
    }

    fn cut(&self, file: u64, len: u64) -> io::Result<()> {
        let machine = &self.disk.machine;
        self.write(&format_args!("truncate {file} to {len}"), |state, fate| {
            let file = state.files.get_mut(&file).ok_or(ErrorKind::NotFound)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let is_cut = match fate {
                Fate::Done => true,
                Fate::Refused => false,
                Fate::Last => machine.permille(500),
            };
            if is_cut {
                file.bytes.truncate(len);
                file.synced = file.bytes.clone();
                if let Some(from) = file.lost_from {
                    let end = file.synced.len();
                    file.synced[from.min(end)..].fill(0);
                }
            }
            Ok(())
        })
    }
}

fn outcome<T>(result: &io::Result<T>, fate: &Fate) -> String {
    match (result, fate) {
        (_, Fate::Last) => "the last call".to_owned(),
        (Ok(_), _) => "done".to_owned(),
        (Err(error), _) => error.to_string(),
    }
}

impl Disk for LifeDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.write(&format_args!("create folder {}", folder.display()), |state, fate| {
            if matches!(fate, Fate::Done) {
                state.folders.insert(folder.to_owned());
            }
            Ok(())
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.read(|state| {
            if !state.folders.contains(folder) {
                return Err(ErrorKind::NotFound.into());
            }
            Ok(state.names.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FileWriter>> {
        let machine = &self.disk.machine;
        let file = self.write(&format_args!("create {}", path.display()), |state, fate| {
            if state.names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if !path.parent().is_some_and(|folder| state.folders.contains(folder)) {
                return Err(ErrorKind::NotFound.into());
            }
            let file = state.next_file;
            if matches!(fate, Fate::Done) || machine.permille(500) {
                state.next_file += 1;
                state.files.insert(file, File::default());
                state.names.insert(path.to_owned(), file);
            }
            Ok(file)
        })?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileReader>> {
        let file = self.read(|state| Ok(state.file(path)?.0))?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = self.read(|state| Ok(state.file(path)?.0))?;
        self.cut(file, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let machine = &self.disk.machine;
        self.write(&format_args!("rename {} to {}", from.display(), to.display()), |state, fate| {
            let file = state.file(from)?.0;
            if matches!(fate, Fate::Done) || machine.permille(500) {
                state.names.remove(from);
                state.names.insert(to.to_owned(), file);
            }
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let machine = &self.disk.machine;
        self.write(&format_args!("remove {}", path.display()), |state, fate| {
            state.file(path)?;
            if matches!(fate, Fate::Done) || machine.permille(500) {
                state.names.remove(path);
            }
            Ok(())
        })
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let file = self.read(|state| Ok(state.file(path)?.0))?;
        self.sync(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.write(&format_args!("sync folder {}", folder.display()), |state, fate| {
            if matches!(fate, Fate::Done) {
                state.synced_names.retain(|path, _| path.parent() != Some(folder));
                let names = state.names.iter().filter(|(path, _)| path.parent() == Some(folder));
                state.synced_names.extend(names.map(|(path, file)| (path.clone(), *file)));
            }
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.read(|state| {
            if state.locks.contains_key(path) {
                return Err(ErrorKind::WouldBlock.into());
            }
            state.locks.insert(path.to_owned(), self.life);
            Ok(Box::new(Held { disk: self.clone(), path: path.to_owned() }) as Lock)
        })
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        const TOTAL_BYTES: u64 = 1 << 40;
        self.read(|state| {
            let room_bytes = state.room_bytes.filter(|_| !state.is_room_lost);
            let free = room_bytes.map(|room| room.saturating_sub(state.used()) as u64);
            Ok(Space { total_bytes: TOTAL_BYTES, free_bytes: free.unwrap_or(TOTAL_BYTES / 2) })
        })
    }
}

struct Held {
    disk: LifeDisk,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.disk.disk.state.lock();
        if state.locks.get(&self.path) == Some(&self.disk.life) {
            state.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct OpenFile {
    disk: LifeDisk,
    file: u64,
}

impl FileWriter for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.append(self.file, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync(self.file)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.disk.cut(self.file, len)
    }
}

impl FileReader for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.read(|state| {
            let file = state.files.get(&self.file).ok_or(ErrorKind::NotFound)?;
            Ok(file.bytes.len() as u64)
        })
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read(|state| {
            let file = state.files.get(&self.file).ok_or(ErrorKind::NotFound)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let end = start.checked_add(buffer.len()).filter(|end| *end <= file.bytes.len());
            buffer.copy_from_slice(&file.bytes[start..end.ok_or(ErrorKind::UnexpectedEof)?]);
            Ok(())
        })
    }
}
