//! Lines to the end of `changelog.0.mfs`: whole or not at all (spec 01 §9, §19/7).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::names::{self, Family};
use super::probe::probe_with;
use super::rotation::{RotateError, Rotated, rotate};
use crate::fs::{FileStat, Fs, LogFile, OsFs};

/// Bytes copied at once when an unlinked changelog is put back.
const COPY: usize = 1 << 20;

/// Beginnings of the names of images and of the files beside them.
const IMAGES: [&[u8]; 2] = [b"metadata.mfs", b"unfinished."];

/// Lines were not written. The file ends behind the last line that was; the caller keeps the lines and tries
/// again when the cause is gone.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file cannot be opened or made.
    #[error("can't open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The lines could not be written, or not be brought to the disk.
    #[error("can't write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
        /// A part of the lines is still in the file, because it could not be cut off: it is cut before the
        /// next line is written.
        torn: bool,
    },
    /// The file is damaged and could not be moved out of the way.
    #[error(transparent)]
    Rotate(#[from] RotateError),
}

impl WriteError {
    /// What the system said.
    pub fn cause(&self) -> &io::Error {
        match self {
            WriteError::Open { source, .. } | WriteError::Write { source, .. } => source,
            WriteError::Rotate(error) => &error.source,
        }
    }
}

/// Something odd that the writer coped with; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The file had been unlinked. It was made again with all that was in it.
    PutBack {
        /// Bytes that were in it.
        bytes: u64,
    },
    /// Another file has come in the place of the one being written, or its name is gone: lines go to the file
    /// that has the name now.
    Replaced,
    /// The file did not end with a line end; it was moved away by a rotation, not written to.
    TornTail {
        /// Its size.
        bytes: u64,
    },
    /// The file has another size than what was written to it.
    SizeChanged {
        /// Size when last seen.
        from: u64,
        /// Size now.
        to: u64,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Family::Master.file_name(0);
        match self {
            Notice::PutBack { bytes } => write!(
                f,
                "{name} was unlinked while in use - made again with its {bytes} bytes"
            ),
            Notice::Replaced => write!(f, "{name} was replaced or renamed while in use"),
            Notice::TornTail { bytes } => write!(
                f,
                "{name} ({bytes} bytes) does not end with a line end - rotated"
            ),
            Notice::SizeChanged { from, to } => write!(
                f,
                "size of {name} changed from {from} to {to} bytes while in use"
            ),
        }
    }
}

struct Open {
    file: Box<dyn LogFile>,
    stat: FileStat,
    /// End of the last whole line.
    good: u64,
    /// There may be bytes of a failed write behind `good`.
    torn: bool,
}

/// Writes the current changelog. One process has one of them: the lock of the directory sees to it.
pub struct Writer {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    path: PathBuf,
    open: Option<Open>,
    /// The file was made, and the directory is not synced yet.
    new_name: bool,
    back_logs: u32,
    notices: Vec<Notice>,
    /// See [`Writer::take_doubt`].
    doubt: bool,
}

/// What has to be brought to the disk: see [`Writer::to_sync`].
pub(super) struct ToSync {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    log: Option<Box<dyn LogFile>>,
    found: Vec<(PathBuf, File)>,
}

impl ToSync {
    /// Brings it to the disk, and the names in the directory.
    ///
    /// # Errors
    /// [`WriteError::Write`]: nobody knows then what is on the disk, and a later success tells nothing of what was
    /// to be synced here.
    pub(super) fn sync(mut self) -> Result<(), WriteError> {
        let failed = |path: &Path, source| WriteError::Write {
            path: path.to_owned(),
            source,
            torn: false,
        };
        for (path, file) in &self.found {
            self.fs.sync_file(file).map_err(|e| failed(path, e))?;
        }
        if let Some(log) = &mut self.log {
            let path = self.dir.join(Family::Master.file_name(0));
            log.sync_data().map_err(|e| failed(&path, e))?;
        }
        self.fs
            .sync_dir(&self.dir)
            .map_err(|e| failed(&self.dir, e))
    }
}

impl Writer {
    /// A writer for a data directory. The file is made with the first line. `back_logs` is for the one case
    /// of a damaged file found there, which is rotated.
    pub fn new(dir: &Path, back_logs: u32) -> Writer {
        Writer::with_fs(dir, back_logs, Arc::new(OsFs))
    }

    /// As [`Writer::new`], on a given file system layer.
    pub fn with_fs(dir: &Path, back_logs: u32, fs: Arc<dyn Fs>) -> Writer {
        Writer {
            fs,
            dir: dir.to_owned(),
            path: dir.join(Family::Master.file_name(0)),
            open: None,
            new_name: false,
            back_logs,
            notices: Vec::new(),
            doubt: false,
        }
    }

    /// Whether something has happened since the last call after which lines that were written before may not be on
    /// the disk, whatever a later sync says: a failed sync (the system forgets what it could not write), or another
    /// file in the place of the one being written.
    pub(super) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.doubt)
    }

    /// Handles of all that is to be synced, so that the sync itself needs no writer: the current file and, with
    /// `found`, every changelog and image in the directory, which an earlier process may have left to the operating
    /// system only. Files that were rotated away by this writer are on the disk already.
    ///
    /// # Errors
    /// [`WriteError::Open`].
    pub(super) fn to_sync(&self, found: bool) -> Result<ToSync, WriteError> {
        let failed = |path: &Path, source| WriteError::Open {
            path: path.to_owned(),
            source,
        };
        let log = self.open.as_ref().map(|open| open.file.duplicate());
        let mut to_sync = ToSync {
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            log: log.transpose().map_err(|e| failed(&self.path, e))?,
            found: Vec::new(),
        };
        if found {
            let logs = names::find(&self.dir).map_err(|e| failed(&self.dir, e))?;
            let images = images(&self.dir).map_err(|e| failed(&self.dir, e))?;
            for path in logs.into_iter().chain(images) {
                let file = File::open(&path).map_err(|e| failed(&path, e))?;
                to_sync.found.push((path, file));
            }
        }
        Ok(to_sync)
    }

    /// What was odd since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Writes whole lines, each with its LF, to the operating system, and to the disk if `sync`.
    ///
    /// # Errors
    /// See [`WriteError`]; none of the lines is in the file then.
    pub fn append(&mut self, lines: &[u8], sync: bool) -> Result<(), WriteError> {
        if lines.is_empty() {
            return if sync { self.sync() } else { Ok(()) };
        }
        self.ready()?;
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let doubt = &mut self.doubt;
        let result = write_all(open.file.as_mut(), lines).and_then(|()| {
            if sync {
                let doubted = std::mem::replace(doubt, true);
                open.file.sync_data()?;
                if self.new_name {
                    self.fs.sync_dir(&self.dir)?;
                    self.new_name = false;
                }
                *doubt = doubted;
            }
            Ok(())
        });
        match result {
            Ok(()) => {
                open.good += lines.len() as u64;
                Ok(())
            }
            // After a failed fdatasync nobody knows what is on the disk: the lines are written again, too.
            Err(source) => {
                open.torn = true;
                let torn = open.cut().is_err();
                Err(WriteError::Write {
                    path: self.path.clone(),
                    source,
                    torn,
                })
            }
        }
    }

    /// Brings all lines to the disk.
    ///
    /// # Errors
    /// [`WriteError::Write`].
    pub fn sync(&mut self) -> Result<(), WriteError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let mut result = open.file.sync_data();
        if result.is_ok() && self.new_name {
            result = self.fs.sync_dir(&self.dir);
            self.new_name = result.is_err();
        }
        self.doubt |= result.is_err();
        result.map_err(|source| WriteError::Write {
            path: self.path.clone(),
            source,
            torn: false,
        })
    }

    /// Brings all lines to the disk and rotates; see [`rotate`].
    ///
    /// # Errors
    /// See [`WriteError`]. Lines go to the file that has the name afterwards, in any case.
    pub fn rotate(&mut self, back_logs: u32, stored: u64) -> Result<Rotated, WriteError> {
        self.back_logs = back_logs;
        if let Some(open) = &mut self.open
            && open.torn
        {
            open.cut().map_err(|source| WriteError::Write {
                path: self.path.clone(),
                source,
                torn: true,
            })?;
        }
        self.sync()?;
        self.open = None;
        self.new_name = false;
        let rotated = rotate(self.fs.as_ref(), &self.dir, back_logs, stored);
        self.doubt |= rotated.is_err();
        Ok(rotated?)
    }

    /// Sees to it that the file that has the name is open and ends with a line end.
    fn ready(&mut self) -> Result<(), WriteError> {
        let open_error = |path: &Path, source| WriteError::Open {
            path: path.to_owned(),
            source,
        };
        let named = self
            .fs
            .stat(&self.path)
            .map_err(|e| open_error(&self.path, e))?;
        if let Some(open) = &mut self.open {
            match named {
                Some(now) if now.same_file(&open.stat) => {
                    if open.torn {
                        open.cut().map_err(|source| WriteError::Write {
                            path: self.path.clone(),
                            source,
                            torn: true,
                        })?;
                        return Ok(());
                    }
                    if now.len == open.good {
                        return Ok(());
                    }
                    self.doubt = true;
                    self.notices.push(Notice::SizeChanged {
                        from: open.good,
                        to: now.len,
                    });
                }
                Some(_) => {
                    self.doubt = true;
                    self.notices.push(Notice::Replaced);
                }
                None => {
                    let gone = open.file.stat().map_err(|e| open_error(&self.path, e))?;
                    if gone.nlink == 0 {
                        self.put_back()?;
                    } else {
                        self.doubt = true;
                        self.notices.push(Notice::Replaced);
                    }
                }
            }
            self.open = None;
        }
        self.open_file(named.is_none())
    }

    fn open_file(&mut self, missing: bool) -> Result<(), WriteError> {
        let open_error = |source| WriteError::Open {
            path: self.path.clone(),
            source,
        };
        let mut open =
            Open::new(self.fs.open_append(&self.path).map_err(open_error)?).map_err(open_error)?;
        self.new_name |= missing;
        let probe = probe_with(open.good, |buf, at| open.file.read_at(buf, at));
        if !probe.map_err(open_error)?.ends_well {
            // What is there stays as it is, to be read by a recovery; new lines begin a new file. No image
            // is known here, so that the rotation drops nothing that might be needed.
            let bytes = open.good;
            drop(open);
            let rotated = rotate(self.fs.as_ref(), &self.dir, self.back_logs.max(1), 0);
            self.doubt |= rotated.is_err();
            rotated?;
            self.notices.push(Notice::TornTail { bytes });
            self.new_name = true;
            open = Open::new(self.fs.open_append(&self.path).map_err(open_error)?)
                .map_err(open_error)?;
        }
        self.open = Some(open);
        Ok(())
    }

    /// Makes the unlinked file again, from what the open descriptor still has. What was on the disk there has to be
    /// there again.
    fn put_back(&mut self) -> Result<(), WriteError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let copy = || -> io::Result<u64> {
            let mut to = self.fs.open_append(&self.path)?;
            let mut buf = vec![0; COPY];
            let mut at = 0;
            while at < open.good {
                let room = COPY.min((open.good - at) as usize);
                let part = buf.get_mut(..room).unwrap_or_default();
                let n = open.file.read_at(part, at)?;
                if n == 0 {
                    break;
                }
                write_all(to.as_mut(), part.get(..n).unwrap_or_default())?;
                at += n as u64;
            }
            to.sync_data()?;
            self.fs.sync_dir(&self.dir)?;
            Ok(at)
        };
        match copy() {
            Ok(bytes) => {
                self.notices.push(Notice::PutBack { bytes });
                Ok(())
            }
            Err(source) => {
                // Half a copy must not stand for the file; the next try begins anew.
                let _ = self.fs.unlink(&self.path);
                Err(WriteError::Open {
                    path: self.path.clone(),
                    source,
                })
            }
        }
    }
}

impl Open {
    fn new(file: Box<dyn LogFile>) -> io::Result<Open> {
        let stat = file.stat()?;
        Ok(Open {
            file,
            good: stat.len,
            stat,
            torn: false,
        })
    }

    /// Cuts off what a failed write left.
    fn cut(&mut self) -> io::Result<()> {
        if self.file.stat()?.len > self.good {
            self.file.set_len(self.good)?;
        }
        self.torn = false;
        Ok(())
    }
}

/// The images in a directory, under whatever name, with what stands beside them.
fn images(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let begins_with = |prefix: &&[u8]| name.as_encoded_bytes().starts_with(prefix);
        if IMAGES.iter().any(begins_with)
            && std::fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file())
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn write_all(file: &mut dyn LogFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faulty::{Call, Fault, FaultyFs};
    use proptest::prelude::*;

    const ENOSPC: i32 = 28;
    const EIO: i32 = 5;

    fn setup() -> (tempfile::TempDir, FaultyFs, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let fs = FaultyFs::default();
        let writer = Writer::with_fs(dir.path(), 5, Arc::new(fs.clone()));
        (dir, fs, writer)
    }

    fn log(dir: &tempfile::TempDir, i: u32) -> String {
        std::fs::read_to_string(dir.path().join(Family::Master.file_name(i))).unwrap_or_default()
    }

    #[test]
    fn made_with_the_first_line_and_appended_to() {
        let (dir, _, mut writer) = setup();
        writer.append(b"", true).unwrap();
        assert!(!dir.path().join("changelog.0.mfs").exists());
        writer.append(b"1: a\n2: b\n", false).unwrap();
        writer.append(b"3: c\n", true).unwrap();
        drop(writer);
        let mut again = Writer::new(dir.path(), 5);
        again.append(b"4: d\n", false).unwrap();
        assert_eq!(log(&dir, 0), "1: a\n2: b\n3: c\n4: d\n");
        assert_eq!(again.take_notices(), []);
        again.rotate(5, 0).unwrap();
        again.append(b"5: e\n", false).unwrap();
        assert_eq!(log(&dir, 0), "5: e\n");
        assert_eq!(log(&dir, 1), "1: a\n2: b\n3: c\n4: d\n");
    }

    #[test]
    fn a_write_that_fails_in_the_middle_leaves_no_part() {
        for fault in [
            &[Fault::Short(7), Fault::Errno(ENOSPC)][..],
            &[Fault::Errno(EIO)],
        ] {
            let (dir, fs, mut writer) = setup();
            writer.append(b"1: a\n", false).unwrap();
            fs.plan(Call::Write, fault);
            let error = writer.append(b"2: b\n3: c\n", false).unwrap_err();
            assert!(
                matches!(error, WriteError::Write { torn: false, .. }),
                "{error}"
            );
            assert_eq!(log(&dir, 0), "1: a\n");
            writer.append(b"2: b\n3: c\n", false).unwrap();
            assert_eq!(log(&dir, 0), "1: a\n2: b\n3: c\n");
        }
    }

    #[test]
    fn a_part_that_cannot_be_cut_at_once_is_cut_before_the_next_line() {
        let (dir, fs, mut writer) = setup();
        writer.append(b"1: a\n", false).unwrap();
        fs.plan(Call::Write, &[Fault::Short(3), Fault::Errno(ENOSPC)]);
        fs.plan(Call::SetLen, &[Fault::Errno(EIO), Fault::Errno(EIO)]);
        let error = writer.append(b"2: b\n", false).unwrap_err();
        assert!(matches!(error, WriteError::Write { torn: true, .. }));
        assert_eq!(log(&dir, 0), "1: a\n2: ");
        writer.append(b"2: b\n", false).unwrap_err();
        assert_eq!(log(&dir, 0), "1: a\n2: ");
        writer.append(b"2: b\n", false).unwrap();
        assert_eq!(log(&dir, 0), "1: a\n2: b\n");
    }

    #[test]
    fn a_failed_sync_takes_the_lines_back() {
        let (dir, fs, mut writer) = setup();
        fs.plan(Call::Sync, &[Fault::Errno(EIO)]);
        writer.append(b"1: a\n", true).unwrap_err();
        assert_eq!(log(&dir, 0), "");
        writer.append(b"1: a\n", true).unwrap();
        assert_eq!(log(&dir, 0), "1: a\n");
        assert!(fs.calls().contains(&Call::SyncDir), "a new name is synced");
    }

    #[test]
    fn an_unlinked_file_comes_back_whole() {
        let (dir, fs, mut writer) = setup();
        writer.append(b"1: a\n", false).unwrap();
        std::fs::remove_file(dir.path().join("changelog.0.mfs")).unwrap();
        fs.plan(Call::Write, &[Fault::Short(2), Fault::Errno(ENOSPC)]);
        writer.append(b"2: b\n", false).unwrap_err();
        writer.append(b"2: b\n", false).unwrap();
        assert_eq!(log(&dir, 0), "1: a\n2: b\n");
        assert_eq!(writer.take_notices(), [Notice::PutBack { bytes: 5 }]);
    }

    #[test]
    fn a_replaced_or_changed_file_is_noticed() {
        let (dir, _, mut writer) = setup();
        let path = dir.path().join("changelog.0.mfs");
        writer.append(b"1: a\n", false).unwrap();
        std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        writer.append(b"2: b\n", false).unwrap();
        assert_eq!(log(&dir, 0), "2: b\n");
        std::fs::write(dir.path().join("other"), "x: y\n").unwrap();
        std::fs::rename(dir.path().join("other"), &path).unwrap();
        writer.append(b"3: c\n", false).unwrap();
        assert_eq!(log(&dir, 0), "x: y\n3: c\n");
        assert_eq!(writer.take_notices(), [Notice::Replaced, Notice::Replaced]);
        std::fs::write(&path, "").unwrap();
        writer.append(b"4: d\n", false).unwrap();
        assert_eq!(log(&dir, 0), "4: d\n");
        assert_eq!(
            writer.take_notices(),
            [Notice::SizeChanged { from: 10, to: 0 }]
        );
    }

    #[test]
    fn a_torn_file_is_left_as_it_is() {
        let (dir, _, mut writer) = setup();
        std::fs::write(dir.path().join("changelog.0.mfs"), "1: a\n2: ").unwrap();
        writer.append(b"2: b\n", false).unwrap();
        assert_eq!(log(&dir, 0), "2: b\n");
        assert_eq!(log(&dir, 1), "1: a\n2: ");
        assert_eq!(writer.take_notices(), [Notice::TornTail { bytes: 8 }]);
    }

    #[test]
    fn a_directory_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(&dir.path().join("missing"), 5);
        let error = writer.append(b"1: a\n", false).unwrap_err();
        assert!(matches!(error, WriteError::Open { .. }));
        assert_eq!(error.cause().kind(), io::ErrorKind::NotFound);
    }

    fn fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            3 => Just(Fault::Pass),
            1 => Just(Fault::Errno(ENOSPC)),
            2 => (0usize..12).prop_map(Fault::Short),
        ]
    }

    proptest! {
        /// Whatever fails, the file is a sequence of whole lines, and no line that was accepted is missing.
        #[test]
        fn only_whole_lines(writes in prop::collection::vec(fault(), 0..60),
                            cuts in prop::collection::vec(fault(), 0..20),
                            syncs in prop::collection::vec(fault(), 0..20)) {
            let (dir, fs, mut writer) = setup();
            fs.plan(Call::Write, &writes);
            fs.plan(Call::SetLen, &cuts);
            fs.plan(Call::Sync, &syncs);
            let mut expected = String::new();
            for n in 0..30 {
                let line = format!("{n}: some text\n");
                while writer.append(line.as_bytes(), n % 3 == 0).is_err() {}
                expected.push_str(&line);
                if n % 7 == 6 {
                    prop_assert_eq!(&log(&dir, 0), &expected);
                    while writer.rotate(5, 0).is_err() {}
                    prop_assert_eq!(&log(&dir, 1), &expected);
                    expected.clear();
                }
            }
            prop_assert_eq!(log(&dir, 0), expected);
        }
    }
}
