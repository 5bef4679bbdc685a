//! The local disk, as a part that is passed in: the operating system's in the binary, a simulated one where every write
//! can be the last.
//!
//! It serves the log, what is set aside from it, and the node's identity. All calls block; nothing is promised to survive
//! a loss of power but what a method says. Not here: the object store, also where that is a folder.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Files and folders by absolute path, or by one relative to the process's folder.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a folder, and those above it, where they are missing. Its name is durable.
    ///
    /// # Errors
    /// The operating system's.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// What is in a folder, in no order.
    ///
    /// # Errors
    /// The operating system's.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes a file that is not there yet. Its name is not durable before [`Disk::sync_folder`].
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where it is there; the operating system's.
    fn create(&self, file: &Path) -> io::Result<Box<dyn FileWriter>>;

    /// Opens a file to read it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where it is not there; the operating system's.
    fn open(&self, file: &Path) -> io::Result<Box<dyn FileReader>>;

    /// Cuts a file to a length that is at most its own, durably.
    ///
    /// # Errors
    /// The operating system's.
    fn truncate(&self, file: &Path, len: u64) -> io::Result<()>;

    /// Gives a file another name in the same folder, in place of the file that may have it. Not durable before
    /// [`Disk::sync_folder`].
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file. Not durable before [`Disk::sync_folder`].
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where it is not there; the operating system's.
    fn remove(&self, file: &Path) -> io::Result<()>;

    /// Makes durable what a file holds, whichever process wrote it.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_file(&self, file: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Locks a file, which is made where it is missing, until what is given back is dropped or the process ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while another holds it; the operating system's.
    fn lock(&self, file: &Path) -> io::Result<Lock>;

    /// The room on the volume of a file or folder.
    ///
    /// # Errors
    /// The operating system's.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// A lock that is held.
pub type Lock = Box<dyn Send + Sync>;

/// The room on a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What this process may still write, in bytes.
    pub free_bytes: u64,
}

/// A new file that grows at its end.
pub trait FileWriter: Send + fmt::Debug {
    /// Appends all of the bytes. They are durable after [`FileWriter::sync`]; after a failure any part of them may be in
    /// the file.
    ///
    /// # Errors
    /// The operating system's.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what was appended.
    ///
    /// # Errors
    /// The operating system's. What was appended since the last success may or may not be there then, whatever later
    /// calls say.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to a length that is at most its own, durably. Nothing is appended afterwards.
    ///
    /// # Errors
    /// The operating system's.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A file that is being read.
pub trait FileReader: Send + fmt::Debug {
    /// The file's length now, in bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills the buffer with the bytes from the offset on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file ends before; the operating system's.
    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
        let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
        std::fs::create_dir_all(folder)?;
        // A folder that was there may have been made just before the power went.
        for made in if missing.is_empty() { vec![folder] } else { missing } {
            match made.parent().filter(|parent| parent.is_dir()) {
                Some(parent) => self.sync_folder(parent)?,
                None => self.sync_folder(made)?,
            }
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn FileWriter>> {
        Ok(Box::new(SystemFile(File::options().write(true).create_new(true).open(file)?)))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn FileReader>> {
        Ok(Box::new(SystemFile(File::open(file)?)))
    }

    fn truncate(&self, file: &Path, len: u64) -> io::Result<()> {
        SystemFile(File::options().write(true).open(file)?).truncate(len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        std::fs::remove_file(file)
    }

    fn sync_file(&self, file: &Path) -> io::Result<()> {
        File::open(file)?.sync_all()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn lock(&self, file: &Path) -> io::Result<Lock> {
        let file = File::options().create(true).truncate(false).write(true).open(file)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let volume = rustix::fs::statvfs(path)?;
        Ok(Space {
            total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
            free_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
        })
    }
}

#[derive(Debug)]
struct SystemFile(File);

/// Makes a file in place of one that an earlier attempt may have left.
///
/// # Errors
/// The operating system's.
pub(crate) fn replace(disk: &dyn Disk, file: &Path) -> io::Result<Box<dyn FileWriter>> {
    match disk.remove(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.create(file),
    }
}

impl FileWriter for SystemFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.0.sync_all()
    }
}

impl FileReader for SystemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read_exact(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_disk_keeps_what_the_trait_says() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a").join("b");
        SystemDisk.create_folder(&folder).unwrap();
        SystemDisk.create_folder(&folder).unwrap();
        let (one, two) = (folder.join("one"), folder.join("two"));
        let mut writer = SystemDisk.create(&one).unwrap();
        writer.append(b"hello, ").unwrap();
        writer.append(b"disk").unwrap();
        writer.sync().unwrap();
        writer.truncate(9).unwrap();
        assert_eq!(SystemDisk.create(&one).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        SystemDisk.rename(&one, &two).unwrap();
        SystemDisk.sync_folder(&folder).unwrap();
        assert_eq!(SystemDisk.list(&folder).unwrap(), std::slice::from_ref(&two));
        SystemDisk.truncate(&two, 8).unwrap();
        SystemDisk.sync_file(&two).unwrap();
        let mut reader = SystemDisk.open(&two).unwrap();
        let mut bytes = [0; 3];
        reader.read_exact_at(5, &mut bytes).unwrap();
        assert_eq!((reader.len().unwrap(), reader.is_empty().unwrap(), &bytes), (8, false, b", d"));
        let beyond = reader.read_exact_at(6, &mut bytes).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        SystemDisk.remove(&two).unwrap();
        assert_eq!(SystemDisk.open(&two).unwrap_err().kind(), io::ErrorKind::NotFound);

        let lock = SystemDisk.lock(&one).unwrap();
        assert_eq!(SystemDisk.lock(&one).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        SystemDisk.lock(&one).unwrap();

        let space = SystemDisk.space(&folder).unwrap();
        assert!(0 < space.free_bytes && space.free_bytes <= space.total_bytes, "{space:?}");
        assert!(SystemDisk.space(&folder.join("gone")).is_err());
    }
}
