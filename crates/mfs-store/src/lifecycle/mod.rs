//! The life cycle of a data directory: which image a start takes, and which names files get at start, at the
//! hourly image, at stop and at a restore (spec 01 §7, §10–§12, §16; the advice column of §19 is the rule).
//!
//! ```text
//! candidates  what the files named metadata* are
//! companion   the small file beside an image
//! choose      the decision tables: which image, or why none
//! load        image, fallback to an older one, changelogs
//! start       names after a load
//! newest      how far the clock of the last run had come
//! store       tmp, fsync, previous images shifted, rename; clean stop
//! emergency   the last resort when the directory cannot be written
//! restore     image and changelogs -> metadata.mfs, for mfsmetarestore and mfsmaster restore
//! ```
//!
//! Rules kept by every step:
//! * a file is replaced only by one that holds all of it and more (a newer image of the same file system);
//!   what is damaged, newer or foreign is moved aside under a name that no program looks for;
//! * whatever call fails, and wherever the process dies, a later start with `-a` finds the newest state.

mod candidates;
mod choose;
mod companion;
mod emergency;
mod load;
mod newest;
mod restore;
mod start;
mod store;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::fs::{Fs, OsFs};

pub use candidates::{Candidate, Head, Verdict};
pub use choose::{Choice, ChooseError, Image, Mode};
pub use companion::begin_companion;
pub use emergency::{EMERGENCY_PATHS, EmergencyError};
pub use load::{
    ImageFault, LoadError, LoadOptions, Loaded, Step, TimePoint, find_time, read_image,
    replay_files,
};
pub use restore::{RestoreError, RestoreOptions, Restored};
pub use start::Begun;
pub use store::{StoreError, StoreOptions, Stored};

/// Image of a clean stop.
pub const METADATA: &str = "metadata.mfs";
/// Image of a running or crashed master.
pub const METADATA_BACK: &str = "metadata.mfs.back";
/// Image that is being written.
pub const METADATA_TMP: &str = "metadata.mfs.back.tmp";
/// Image of last resort.
pub const METADATA_EMERGENCY: &str = "metadata.mfs.emergency";
/// Checksums of the last image.
pub const METADATA_CRC: &str = "metadata.crc";
/// Image of a restore that is being written.
const METADATA_RESTORED_TMP: &str = "metadata.mfs.restored.tmp";
/// Checksums that are being written.
const METADATA_CRC_TMP: &str = "metadata.crc.tmp";
/// Front of names that no start and no restore looks for.
const ASIDE: &str = "aside.";

/// A data directory.
#[derive(Clone)]
pub struct DataDir {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    emergency: Vec<PathBuf>,
}

/// A call on a file failed.
#[derive(Debug, Error)]
#[error("can't {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried, e.g. `rename`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Something that an administrator should know, and that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A file named like an image is none that can be used.
    NotUsable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The best image cannot be read; an older one and its changelogs are used.
    FallBack {
        /// The image that cannot be read.
        path: PathBuf,
        /// Why.
        reason: String,
        /// The one tried next.
        next: PathBuf,
    },
    /// Images of different file systems lie in the directory, and that is to be ignored.
    DifferentIds {
        /// One that differs from the one that is used.
        path: PathBuf,
    },
    /// An image is newer than the one that is used, and that is to be ignored.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// Changes are missing and that is to be ignored.
    FallsShort {
        /// A damaged image that had them.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// Version reached.
        end: u64,
    },
    /// A file was moved out of the way.
    MovedAside {
        /// Its name before.
        from: PathBuf,
        /// Its name now.
        to: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The previous images could not be shifted; the new one was stored nevertheless.
    NotShifted {
        /// Why.
        reason: String,
    },
    /// The file beside an image is not used: which operations on chunks the image leaves open is not known.
    NoCompanion {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Files beside images that are gone could not be removed.
    OldCompanions {
        /// Why.
        reason: String,
    },
    /// `metadata.crc` could not be written. No program reads it.
    NoCrc {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NotUsable { path, reason } => {
                write!(f, "{}: not usable: {reason}", path.display())
            }
            Note::FallBack { path, reason, next } => write!(
                f,
                "{} IS DAMAGED ({reason}) - falling back to {} and its changelogs",
                path.display(),
                next.display()
            ),
            Note::DifferentIds { path } => {
                write!(f, "{}: different id number - ignored", path.display())
            }
            Note::Newer { path, version } => {
                write!(
                    f,
                    "{} has a newer version ({version}) - ignored",
                    path.display()
                )
            }
            Note::FallsShort { path, version, end } => write!(
                f,
                "CHANGES ARE LOST: {} had version {version}, only {end} can be reached - ignored",
                path.display()
            ),
            Note::MovedAside { from, to, reason } => {
                write!(f, "{} moved to {}: {reason}", from.display(), to.display())
            }
            Note::NotShifted { reason } => write!(f, "previous images not kept: {reason}"),
            Note::NoCompanion { path, reason } => write!(
                f,
                "operations on chunks that the image leaves open are not known: {}: {reason}",
                path.display()
            ),
            Note::OldCompanions { reason } => {
                write!(f, "files beside former images not removed: {reason}")
            }
            Note::NoCrc { reason } => write!(f, "{METADATA_CRC} not written: {reason}"),
        }
    }
}

impl DataDir {
    /// The data directory at `dir`.
    pub fn new(dir: &Path) -> DataDir {
        let emergency = EMERGENCY_PATHS
            .iter()
            .map(|d| Path::new(d).join(METADATA_EMERGENCY));
        DataDir {
            dir: dir.to_owned(),
            fs: Arc::new(OsFs),
            emergency: emergency.collect(),
        }
    }

    /// With another file system layer (tests).
    pub fn with_fs(mut self, fs: Arc<dyn Fs>) -> DataDir {
        self.fs = fs;
        self
    }

    /// With other places for emergency images than [`EMERGENCY_PATHS`].
    pub fn with_emergency(mut self, paths: Vec<PathBuf>) -> DataDir {
        self.emergency = paths;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.fs.rename(from, to).map_err(failed("rename", from))
    }

    /// Brings renames to the disk.
    fn sync(&self) -> Result<(), FileError> {
        self.fs
            .sync_dir(&self.dir)
            .map_err(failed("sync", &self.dir))
    }

    /// Moves a file to `PREFIX` + name + `.XXXXXX` with six random letters, a name that is not taken.
    fn move_aside(
        &self,
        name: &str,
        prefix: &str,
        reason: &'static str,
    ) -> Result<Note, FileError> {
        let to = self.free_name(&format!("{prefix}{name}"))?;
        self.move_to(self.at(name), to, reason)
    }

    /// Moves a file, wherever it is, to a name of its directory that no start and no restore looks for.
    fn set_aside(&self, from: PathBuf, reason: &'static str) -> Result<Note, FileError> {
        let there = DataDir {
            dir: from.parent().unwrap_or(&self.dir).to_owned(),
            ..self.clone()
        };
        let name = from.file_name().unwrap_or_default().to_string_lossy();
        let to = there.free_name(&format!("{ASIDE}{name}"))?;
        there.move_to(from, to, reason)
    }

    /// Moves a file to a name that was free a moment ago.
    fn move_to(&self, from: PathBuf, to: PathBuf, reason: &'static str) -> Result<Note, FileError> {
        // link and unlink instead of rename: a name that is taken in the same moment is not replaced.
        match self.fs.link(&from, &to) {
            Ok(()) => self.fs.unlink(&from).map_err(failed("unlink", &from))?,
            // File systems without hard links.
            Err(_) => self.rename(&from, &to)?,
        }
        Ok(Note::MovedAside { from, to, reason })
    }

    /// A name beginning with `stem` and ending with six random letters that nothing has.
    fn free_name(&self, stem: &str) -> Result<PathBuf, FileError> {
        use std::hash::{BuildHasher, RandomState};
        const LETTERS: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        loop {
            let mut n = RandomState::new().hash_one(stem);
            let mut name = format!("{stem}.");
            for _ in 0..6 {
                let letter = LETTERS.get((n % 62) as usize).copied().unwrap_or(b'x');
                name.push(char::from(letter));
                n /= 62;
            }
            let path = self.at(&name);
            if self
                .fs
                .stat(&path)
                .map_err(failed("stat", &path))?
                .is_none()
            {
                return Ok(path);
            }
        }
    }
}

impl fmt::Debug for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataDir")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_owned();
    move |source| FileError {
        action,
        path,
        source,
    }
}
