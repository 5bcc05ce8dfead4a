//! The last resort when the data directory cannot be written (spec 01 §12).

use std::fmt;
use std::path::{Path, PathBuf};

use mfs_meta::records::ImageSource;
use thiserror::Error;

use super::candidates::Verdict;
use super::store::{StoreError, StoreOptions, Stored};
use super::{DataDir, FileError, METADATA_EMERGENCY, failed};

/// Directories outside of the data directory that are tried, in this order.
pub const EMERGENCY_PATHS: [&str; 8] = [
    "/",
    "/tmp",
    "/var",
    "/usr",
    "/usr/share",
    "/usr/local",
    "/usr/local/var",
    "/usr/local/share",
];

/// No place took the image; what each of them said.
#[derive(Debug, Error)]
pub struct EmergencyError(pub Vec<(PathBuf, StoreError)>);

impl fmt::Display for EmergencyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata can't be stored even in emergency mode")?;
        for (path, error) in &self.0 {
            write!(f, "; {}: {error}", path.display())?;
        }
        Ok(())
    }
}

impl DataDir {
    /// Writes the image to the first place that takes it: the data directory, then those of
    /// [`EMERGENCY_PATHS`]. A start with `-a` finds it there. An image in that place that is not an older one of
    /// the same file system is left alone; the new one then keeps its temporary name, which is the one returned.
    ///
    /// # Errors
    /// When no place takes it.
    pub fn emergency_save<S: ImageSource>(
        &self,
        source: &S,
        options: &StoreOptions<'_>,
    ) -> Result<Stored, EmergencyError> {
        let mut errors = Vec::new();
        let own = self.at(METADATA_EMERGENCY);
        for path in std::iter::once(&own).chain(&self.emergency) {
            match self.emergency_to(source, path, options) {
                Ok(stored) => return Ok(stored),
                Err(error) => errors.push((path.clone(), error)),
            }
        }
        Err(EmergencyError(errors))
    }

    fn emergency_to<S: ImageSource>(
        &self,
        source: &S,
        path: &Path,
        options: &StoreOptions<'_>,
    ) -> Result<Stored, StoreError> {
        let dir = path.parent().unwrap_or(&self.dir);
        let there = DataDir {
            dir: dir.to_owned(),
            ..self.clone()
        };
        // A random name that must not exist: some of the places can be written by everybody.
        let tmp = there.free_name(METADATA_EMERGENCY)?;
        let written = there.write(source, &tmp, options)?;
        let header = &written.header;
        let replaceable = match Verdict::of(path) {
            None => true,
            Some(Verdict::Valid(old)) => {
                old.meta_id() == header.meta_id && old.version() <= header.version
            }
            Some(Verdict::Bad { size, .. }) => size == 0 && path.is_file(),
        };
        let renamed: Result<(), FileError> = if replaceable {
            there.fs.rename(&tmp, path).map_err(failed("rename", &tmp))
        } else {
            Ok(())
        };
        let path = if replaceable && renamed.is_ok() {
            path.to_owned()
        } else {
            tmp
        };
        // The image is complete; a directory that cannot be synced is no reason to do without it.
        let _ = there.sync();
        Ok(Stored {
            path,
            written,
            notes: Vec::new(),
        })
    }
}
