//! A disk under the changelog that is full, hangs or fails when it is told to.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use mfs_store::fs::{FileStat, Fs, LogFile, OsFs};
use parking_lot::{Condvar, Mutex};

/// How a disk syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Syncs {
    #[default]
    Works,
    /// It takes until this is changed.
    Hangs,
    Fails,
}

/// The files of the operating system, with room and syncs under control.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Control>);

#[derive(Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    full: bool,
    syncs: Syncs,
    syncs_begun: u32,
    line_syncs_begun: u32,
}

impl Disk {
    /// A full disk takes no lines.
    pub(crate) fn set_full(&self, full: bool) {
        self.0.state.lock().full = full;
    }

    pub(crate) fn set_syncs(&self, syncs: Syncs) {
        self.0.state.lock().syncs = syncs;
        self.0.changed.notify_all();
    }

    /// Syncs of all kinds that have begun.
    pub(crate) fn syncs_begun(&self) -> u32 {
        self.0.state.lock().syncs_begun
    }

    /// Syncs of the changelog that is written that have begun.
    pub(crate) fn line_syncs_begun(&self) -> u32 {
        self.0.state.lock().line_syncs_begun
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.syncs_begun += 1;
        while state.syncs == Syncs::Hangs {
            self.0.changed.wait(&mut state);
        }
        match state.syncs {
            Syncs::Fails => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(()),
        }
    }
}

struct DiskFile(Box<dyn LogFile>, Disk);

impl LogFile for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.1.0.state.lock().full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.1.0.state.lock().line_syncs_begun += 1;
        self.1.sync()?;
        self.0.sync_data()
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn stat(&self) -> io::Result<FileStat> {
        self.0.stat()
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }
    fn duplicate(&self) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(DiskFile(self.0.duplicate()?, self.1.clone())))
    }
}

impl Fs for Disk {
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(DiskFile(OsFs.open_append(path)?, self.clone())))
    }
    fn stat(&self, path: &Path) -> io::Result<Option<FileStat>> {
        OsFs.stat(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFs.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFs.link(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        OsFs.unlink(path)
    }
    fn create_new(&self, path: &Path) -> io::Result<File> {
        OsFs.create_new(path)
    }
    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.sync()?;
        OsFs.sync_file(file)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync()?;
        OsFs.sync_dir(dir)
    }
}
