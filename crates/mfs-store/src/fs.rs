//! The few file system calls that the data directory's safety rests on, behind a trait, so that a test
//! can make each of them fail at a chosen moment.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Which file a name or a descriptor stands for, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Device number.
    pub dev: u64,
    /// Inode number of the local file system.
    pub ino: u64,
    /// Size in bytes.
    pub len: u64,
    /// Number of names; 0 for an open file that was unlinked.
    pub nlink: u64,
}

impl FileStat {
    fn of(meta: &std::fs::Metadata) -> FileStat {
        FileStat {
            dev: meta.dev(),
            ino: meta.ino(),
            len: meta.len(),
            nlink: meta.nlink(),
        }
    }

    /// Whether both stand for the same file.
    pub fn same_file(&self, other: &FileStat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

/// An open changelog file: bytes are added at its end, whatever the end is.
pub trait LogFile: Send {
    /// Adds bytes with one `write(2)`; returns how many were taken.
    ///
    /// # Errors
    /// What the system says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// `fdatasync(2)`.
    ///
    /// # Errors
    /// What the system says.
    fn sync_data(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Identity and size.
    ///
    /// # Errors
    /// What the system says.
    fn stat(&self) -> io::Result<FileStat>;
    /// Reads at an offset; returns how many bytes there were.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// A second handle of the same open file, to bring it to the disk while others go on writing.
    ///
    /// # Errors
    /// What the system says.
    fn duplicate(&self) -> io::Result<Box<dyn LogFile>>;
}

/// Operations on names.
pub trait Fs: Send + Sync {
    /// Opens a file for appending and reading, made with mode 0666 less umask when it is missing.
    ///
    /// # Errors
    /// What the system says.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;
    /// What a name stands for; `None` when there is no such name. Links are followed.
    ///
    /// # Errors
    /// What the system says, except "no such file".
    fn stat(&self, path: &Path) -> io::Result<Option<FileStat>>;
    /// `rename(2)`: replaces an existing `to`.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// `link(2)`: a second name; fails when `to` exists.
    ///
    /// # Errors
    /// What the system says.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// `unlink(2)`.
    ///
    /// # Errors
    /// What the system says.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes a new file for writing; fails when the name exists, also as a link.
    ///
    /// # Errors
    /// What the system says.
    fn create_new(&self, path: &Path) -> io::Result<File>;
    /// `fsync(2)` of an open file.
    ///
    /// # Errors
    /// What the system says.
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// `fsync(2)` of a directory: its renames and unlinks outlive a power cut.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFs;

struct OsLogFile(File);

impl LogFile for OsLogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn stat(&self) -> io::Result<FileStat> {
        Ok(FileStat::of(&self.0.metadata()?))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }

    fn duplicate(&self) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(OsLogFile(self.0.try_clone()?)))
    }
}

impl Fs for OsFs {
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new()
            .append(true)
            .read(true)
            .create(true)
            .open(path)?;
        Ok(Box::new(OsLogFile(file)))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<FileStat>> {
        match std::fs::metadata(path) {
            Ok(meta) => Ok(Some(FileStat::of(&meta))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// Whether a call failed only because the name does not exist.
pub(crate) fn ignore_missing(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
pub(crate) mod faulty {
    //! A file system whose calls fail on demand.

    use super::*;
    use parking_lot::Mutex;
    use std::collections::VecDeque;
    use std::sync::Arc;

    /// What happens to a call.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// It works.
        Pass,
        /// It fails with this `errno`.
        Errno(i32),
        /// A write takes only so many bytes (and succeeds). A new file takes so many in all; writes behind them
        /// fail.
        Short(usize),
    }

    /// Which calls the plan counts.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Call {
        Write,
        Sync,
        SetLen,
        Open,
        Rename,
        Link,
        Unlink,
        Create,
        SyncDir,
    }

    #[derive(Default)]
    struct Plan {
        /// Faults of the next calls of one kind.
        queued: Vec<(Call, VecDeque<Fault>)>,
        /// The call with this number (counted over all kinds) and all after it fail, as when the
        /// process died there.
        dies_at: Option<usize>,
        calls: Vec<Call>,
    }

    /// Passes calls on to [`OsFs`] unless the plan says otherwise.
    #[derive(Clone, Default)]
    pub(crate) struct FaultyFs(Arc<Mutex<Plan>>);

    impl FaultyFs {
        /// The next calls of this kind get these faults, later ones pass.
        pub(crate) fn plan(&self, call: Call, faults: &[Fault]) {
            let mut plan = self.0.lock();
            plan.queued.retain(|(c, _)| *c != call);
            plan.queued.push((call, faults.iter().copied().collect()));
        }

        /// From call number `n` (0 = the next one) on everything fails.
        pub(crate) fn die_at(&self, n: usize) {
            let mut plan = self.0.lock();
            plan.calls.clear();
            plan.dies_at = Some(n);
        }

        /// Kinds of the calls so far.
        pub(crate) fn calls(&self) -> Vec<Call> {
            self.0.lock().calls.clone()
        }

        fn fault(&self, call: Call) -> Fault {
            let mut plan = self.0.lock();
            plan.calls.push(call);
            if plan.dies_at.is_some_and(|n| plan.calls.len() > n) {
                return Fault::Errno(5);
            }
            plan.queued
                .iter_mut()
                .find(|(c, _)| *c == call)
                .and_then(|(_, faults)| faults.pop_front())
                .unwrap_or(Fault::Pass)
        }

        fn check(&self, call: Call) -> io::Result<()> {
            match self.fault(call) {
                Fault::Errno(errno) => Err(io::Error::from_raw_os_error(errno)),
                _ => Ok(()),
            }
        }
    }

    /// A file, without a name, of `len` bytes that cannot grow.
    fn small_file(len: usize) -> io::Result<File> {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
        let file = memfd_create("small", MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, len as u64)?;
        fcntl_add_seals(&file, SealFlags::GROW)?;
        Ok(file.into())
    }

    struct FaultyFile(FaultyFs, Box<dyn LogFile>);

    impl LogFile for FaultyFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.fault(Call::Write) {
                Fault::Pass => self.1.write(bytes),
                Fault::Errno(errno) => Err(io::Error::from_raw_os_error(errno)),
                Fault::Short(n) => self.1.write(&bytes[..n.min(bytes.len())]),
            }
        }
        fn sync_data(&mut self) -> io::Result<()> {
            self.0.check(Call::Sync)?;
            self.1.sync_data()
        }
        fn set_len(&mut self, len: u64) -> io::Result<()> {
            self.0.check(Call::SetLen)?;
            self.1.set_len(len)
        }
        fn stat(&self) -> io::Result<FileStat> {
            self.1.stat()
        }
        fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
            self.1.read_at(into, offset)
        }
        fn duplicate(&self) -> io::Result<Box<dyn LogFile>> {
            Ok(Box::new(FaultyFile(self.0.clone(), self.1.duplicate()?)))
        }
    }

    impl Fs for FaultyFs {
        fn open_append(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
            self.check(Call::Open)?;
            Ok(Box::new(FaultyFile(self.clone(), OsFs.open_append(path)?)))
        }
        fn stat(&self, path: &Path) -> io::Result<Option<FileStat>> {
            OsFs.stat(path)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.check(Call::Rename)?;
            OsFs.rename(from, to)
        }
        fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.check(Call::Link)?;
            OsFs.link(from, to)
        }
        fn unlink(&self, path: &Path) -> io::Result<()> {
            self.check(Call::Unlink)?;
            OsFs.unlink(path)
        }
        fn create_new(&self, path: &Path) -> io::Result<File> {
            match self.fault(Call::Create) {
                Fault::Errno(errno) => Err(io::Error::from_raw_os_error(errno)),
                Fault::Pass => OsFs.create_new(path),
                Fault::Short(n) => {
                    OsFs.create_new(path)?;
                    small_file(n)
                }
            }
        }
        fn sync_file(&self, file: &File) -> io::Result<()> {
            self.check(Call::Sync)?;
            OsFs.sync_file(file)
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.check(Call::SyncDir)?;
            OsFs.sync_dir(dir)
        }
    }
}
