//! The restore procedure of `mfsmetarestore -a` and `mfsmaster restore` (spec 01 §8.6, §16.4).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mfs_meta::Companion;
use mfs_meta::records::ImageSource;
use thiserror::Error;

use super::candidates::Verdict;
use super::choose::Mode;
use super::load::{LoadError, LoadOptions, Loaded, Step};
use super::store::{StoreError, StoreOptions};
use super::{DataDir, FileError, METADATA, METADATA_RESTORED_TMP, Note, failed};
use crate::image::Checked;

/// How to restore.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// How to load.
    pub load: LoadOptions,
    /// Replace a `metadata.mfs` that is newer than the result, or of another file system: it is kept under
    /// another name.
    pub force: bool,
    /// Refuse when the directory has no changelog at all, as `mfsmetarestore -a` does.
    pub need_changelogs: bool,
}

/// A completed restore.
pub struct Restored {
    /// The state and where it came from.
    pub loaded: Loaded,
    /// Whether `metadata.mfs` was written; false if it was the newest state already.
    pub written: bool,
    /// What an administrator should know.
    pub notes: Vec<Note>,
}

/// Nothing was restored. No file has changed.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// There is no state to store.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The result cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `metadata.mfs` is newer than the result.
    #[error("{METADATA} has version {existing}, the result only {result} - not replaced")]
    Newer {
        /// Version of the existing file.
        existing: u64,
        /// Version of the result.
        result: u64,
    },
    /// `metadata.mfs` belongs to another file system.
    #[error("{METADATA} belongs to another file system - not replaced")]
    Foreign,
}

impl From<FileError> for RestoreError {
    fn from(error: FileError) -> Self {
        RestoreError::Store(error.into())
    }
}

impl DataDir {
    /// Restores the newest state, or the wanted one, to `metadata.mfs`. Images and changelogs stay as they
    /// are; a `metadata.mfs` that was not the newest state is kept as `metadata.mfs.XXXXXX`. What `companion`
    /// has to tell stands beside the result. The caller holds the lock of the directory.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn restore(
        &self,
        companion: &mut dyn Companion,
        options: &RestoreOptions,
        observe: &mut dyn FnMut(Step<'_>),
    ) -> Result<Restored, RestoreError> {
        if options.need_changelogs && self.changelogs().map_err(LoadError::from)?.is_empty() {
            return Err(LoadError::NoChangelogs.into());
        }
        let loaded = self.load_with(companion, Mode::Restore, &options.load, observe)?;
        let metadata = self.at(METADATA);
        let result = loaded.meta.version();
        let existing = Verdict::of(&metadata);
        let mut restored = Restored {
            written: false,
            notes: Vec::new(),
            loaded,
        };
        let mut aside = false;
        match &existing {
            Some(Verdict::Valid(Checked::Image {
                version, meta_id, ..
            })) => {
                let is_result = *version == result && restored.loaded.image.path == metadata;
                if is_result && !restored.loaded.renumber {
                    return Ok(restored);
                }
                let id = restored.loaded.meta.meta_id();
                if !options.force && *meta_id != 0 && id != 0 && *meta_id != id {
                    return Err(RestoreError::Foreign);
                }
                if !options.force && *version > result {
                    return Err(RestoreError::Newer {
                        existing: *version,
                        result,
                    });
                }
                aside = true;
            }
            // The mark of a new file system is worth keeping only when it was not what was restored.
            Some(Verdict::Valid(Checked::New)) => aside = restored.loaded.image.path != metadata,
            Some(Verdict::Bad { size, .. }) => aside = *size > 0 || !metadata.is_file(),
            None => {}
        }
        let tmp = self.at(METADATA_RESTORED_TMP);
        self.remove(METADATA_RESTORED_TMP)?;
        let file = companion.file(result);
        let store = StoreOptions {
            now: options.load.now,
            companion: file.as_deref(),
            ..StoreOptions::default()
        };
        self.write(&restored.loaded.meta.view(), &tmp, &store)?;
        self.adopt(&tmp);
        if aside {
            match self.move_aside(METADATA, "", "replaced by the restored one") {
                Ok(note) => restored.notes.push(note),
                Err(error) => {
                    let _ = self.fs.unlink(&tmp);
                    return Err(error.into());
                }
            }
        }
        self.rename(&tmp, &metadata)?;
        self.sync()?;
        restored.written = true;
        Ok(restored)
    }

    /// Writes an image to any file, whole or not at all, and what stands in the file beside it; an existing file is
    /// replaced.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn write_image<S: ImageSource>(
        source: &S,
        companion: Option<&[u8]>,
        path: &Path,
        now: u32,
    ) -> Result<(), StoreError> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let dir = DataDir::new(parent.unwrap_or(Path::new(".")));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let tmp: PathBuf = dir.free_name(&format!("{name}.tmp"))?;
        let options = StoreOptions {
            now,
            companion,
            ..StoreOptions::default()
        };
        dir.write(source, &tmp, &options)?;
        dir.adopt(&tmp);
        if let Err(source) = dir.fs.rename(&tmp, path) {
            let _ = dir.fs.unlink(&tmp);
            return Err(failed("rename", &tmp)(source).into());
        }
        Ok(dir.sync()?)
    }

    /// Gives a file to the owner of the directory: a restore by root must not lock the daemon out. Whoever is not
    /// root cannot, and need not.
    pub(super) fn adopt(&self, path: &Path) {
        if let Ok(meta) = std::fs::metadata(&self.dir)
            && rustix::process::geteuid().is_root()
        {
            let owner = (Some(meta.uid()), Some(meta.gid()));
            if let Err(error) = std::os::unix::fs::chown(path, owner.0, owner.1) {
                tracing::warn!(%error, path = %path.display(), "can't change owner");
            }
        }
    }
}
