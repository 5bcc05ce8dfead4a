//! Storing an image (spec 01 §10) and the clean stop (§11).
//!
//! At every moment at least one complete image of the file system has a name that a start with `-a` looks at:
//! the new one is complete and on the disk before any name changes, and the previous one keeps its name until the
//! new one takes it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use mfs_meta::records::ImageSource;
use thiserror::Error;

use super::candidates::Verdict;
use super::{
    ASIDE, DataDir, FileError, METADATA, METADATA_BACK, METADATA_CRC, METADATA_CRC_TMP,
    METADATA_TMP, Note, failed,
};
use crate::fs::ignore_missing;
use crate::image::{self, Checked, WriteOptions, Written};
use crate::lock;

/// How to store an image.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreOptions<'a> {
    /// Previous images to keep (`BACK_META_KEEP_PREVIOUS`).
    pub keep_previous: u32,
    /// Current time: chunk locks that ended before it are not stored.
    pub now: u32,
    /// Stops the write soon after it becomes true.
    pub cancel: Option<&'a AtomicBool>,
    /// What stands in the file beside the image ([`mfs_meta::Companion`]).
    pub companion: Option<&'a [u8]>,
}

/// A stored image.
#[derive(Debug)]
pub struct Stored {
    /// Where it is.
    pub path: PathBuf,
    /// What was written.
    pub written: Written,
    /// What an administrator should know.
    pub notes: Vec<Note>,
}

/// An image was not stored. What was there before is there still.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The image could not be written.
    #[error(transparent)]
    Write(#[from] image::WriteError),
    /// A name could not be changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A process of an earlier master is still writing its image.
    #[error("{METADATA_TMP} is being written by {0}")]
    Busy(lock::Owner),
    /// It cannot be told whether another process is writing.
    #[error(transparent)]
    Lock(#[from] lock::LockError),
}

impl DataDir {
    /// Writes an image and makes it `metadata.mfs.back`; previous ones become `.back.1` … `.back.N`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn store<S: ImageSource>(
        &self,
        source: &S,
        options: &StoreOptions<'_>,
    ) -> Result<Stored, StoreError> {
        let (back, tmp) = (self.at(METADATA_BACK), self.at(METADATA_TMP));
        if self.fs.stat(&tmp).map_err(failed("stat", &tmp))?.is_some() {
            // The saver of a killed original may live on and rename its work under our feet.
            if let Some(owner) = lock::owner(&self.dir, METADATA_TMP)? {
                return Err(StoreError::Busy(owner));
            }
            self.remove(METADATA_TMP)?;
        }
        let mut notes = Vec::new();
        let written = self.write(source, &tmp, options)?;
        if let Err(error) = self.write_crc(&written) {
            notes.push(Note::NoCrc {
                reason: error.to_string(),
            });
        }
        self.promote(&tmp, &back, options.keep_previous, &mut notes)?;
        self.drop_clean(&written, &mut notes)?;
        if let Err(error) = self.drop_companions() {
            notes.push(Note::OldCompanions {
                reason: error.to_string(),
            });
        }
        Ok(Stored {
            path: back,
            written,
            notes,
        })
    }

    /// Stores the last image of a run as `metadata.mfs`.
    ///
    /// # Errors
    /// See [`StoreError`]. The directory is then that of a crashed master, maybe with the newest image as
    /// `metadata.mfs.back`; trying again is safe.
    pub fn clean_stop<S: ImageSource>(
        &self,
        source: &S,
        options: &StoreOptions<'_>,
    ) -> Result<Stored, StoreError> {
        let mut stored = self.store(source, options)?;
        let metadata = self.at(METADATA);
        self.rename(&stored.path, &metadata)?;
        self.sync()?;
        stored.path = metadata;
        Ok(stored)
    }

    /// Writes a complete image to a new file and brings it to the disk, and its companion beside it; the image goes
    /// away if that fails.
    pub(super) fn write<S: ImageSource>(
        &self,
        source: &S,
        path: &Path,
        options: &StoreOptions<'_>,
    ) -> Result<Written, StoreError> {
        if let Some(bytes) = options.companion {
            // First, so that no complete image is without.
            self.write_companion(source.header().version, bytes)?;
        }
        let file = self.fs.create_new(path).map_err(failed("create", path))?;
        let image = WriteOptions {
            now: options.now,
            sync: false,
            cancel: options.cancel,
        };
        let written = image::write_file(source, &file, path, &image)
            .map_err(StoreError::from)
            .and_then(|written| {
                self.fs.sync_file(&file).map_err(failed("sync", path))?;
                Ok(written)
            });
        if written.is_err() {
            // The error that counts is the first one.
            let _ = self.fs.unlink(path);
            let _ = self.drop_companions();
        }
        written
    }

    fn write_crc(&self, written: &Written) -> Result<(), FileError> {
        let (crc, tmp) = (self.at(METADATA_CRC), self.at(METADATA_CRC_TMP));
        self.remove(METADATA_CRC_TMP)?;
        let file = self.fs.create_new(&tmp).map_err(failed("create", &tmp))?;
        let result = io::Write::write_all(&mut &file, &written.crc_file())
            .and_then(|()| self.fs.sync_file(&file))
            .and_then(|()| self.fs.rename(&tmp, &crc));
        if result.is_err() {
            let _ = self.fs.unlink(&tmp);
        }
        result.map_err(failed("write", &crc))
    }

    /// Makes the complete image `tmp` the current one; the one before becomes a previous one.
    pub(super) fn promote(
        &self,
        tmp: &Path,
        back: &Path,
        keep_previous: u32,
        notes: &mut Vec<Note>,
    ) -> Result<(), FileError> {
        if let Some(Verdict::Valid(new)) = Verdict::of(tmp) {
            self.spare(METADATA_BACK, new, notes)?;
        }
        // A directory full of old images must not hinder the new one.
        if let Err(error) = self.shift(back, keep_previous) {
            notes.push(Note::NotShifted {
                reason: error.to_string(),
            });
        }
        self.rename(tmp, back)?;
        self.sync()
    }

    /// `.back.N-1` → `.back.N`, …, `.back.1` → `.back.2`; `.back` gets `.back.1` as its second name.
    fn shift(&self, back: &Path, keep_previous: u32) -> Result<(), FileError> {
        let name = |n: u32| self.at(&format!("{METADATA_BACK}.{n}"));
        if keep_previous == 0 || self.fs.stat(back).map_err(failed("stat", back))?.is_none() {
            return Ok(());
        }
        for n in (1..keep_previous).rev() {
            ignore_missing(self.fs.rename(&name(n), &name(n + 1)))
                .map_err(failed("rename", &name(n)))?;
        }
        let first = name(1);
        ignore_missing(self.fs.unlink(&first)).map_err(failed("unlink", &first))?;
        match self.fs.link(back, &first) {
            Ok(()) => Ok(()),
            // File systems without hard links.
            Err(_) => self.rename(back, &first),
        }
    }

    /// `metadata.mfs` is the mark of a clean stop; while a master runs there is none. One that was put there
    /// meanwhile and is not older than the stored image is kept aside.
    fn drop_clean(&self, written: &Written, notes: &mut Vec<Note>) -> Result<(), FileError> {
        let path = self.at(METADATA);
        let Some(verdict) = Verdict::of(&path) else {
            return Ok(());
        };
        let stored = Checked::Image {
            format: 0x20,
            version: written.header.version,
            meta_id: written.header.meta_id,
        };
        let older = match &verdict {
            Verdict::Valid(Checked::New) => true,
            Verdict::Valid(image) => {
                image.meta_id() == stored.meta_id() && image.version() <= stored.version()
            }
            Verdict::Bad { size, .. } => *size == 0 && path.is_file(),
        };
        if older {
            self.remove(METADATA)?;
        } else {
            let reason = "a running master has no such file";
            notes.push(self.move_aside(METADATA, ASIDE, reason)?);
        }
        self.sync()
    }
}
