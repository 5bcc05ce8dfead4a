//! The file beside an image (spec 08, I20): what the image's version leaves open and the image has no place for.
//!
//! It is named `unfinished.VERSION.mfs`, after the metadata version of the image that it belongs to, and lies in the
//! directory of that image. So it belongs to the image whatever name that has, renames of images need none of
//! their own, and no program takes it for an image or a changelog. It is there before the image is; when no
//! image of its version is left, it goes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use mfs_meta::Companion;

use super::candidates::Verdict;
use super::{DataDir, FileError, Note, failed};
use crate::fs::ignore_missing;

const PREFIX: &str = "unfinished.";
const SUFFIX: &str = ".mfs";

/// Longest file that is read, bytes: over a million operations.
const MAX_LEN: u64 = 64 << 20;

fn name_of(version: u64) -> String {
    format!("{PREFIX}{version}{SUFFIX}")
}

/// The version in a name; `None` if it is another file.
fn version_in(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// Lets a companion begin with what stands beside an image of this version. Gives what is to be told.
pub fn begin_companion(companion: &mut dyn Companion, image: &Path, version: u64) -> Option<Note> {
    let path = image.with_file_name(name_of(version));
    let (file, unreadable) = match read(&path) {
        Ok(file) => (file, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let refused = companion.begin(file.as_deref(), version).err();
    let reason = unreadable.or(refused)?;
    Some(Note::NoCompanion { path, reason })
}

fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() <= MAX_LEN => std::fs::read(path).map(Some),
        Ok(_) => Err(std::io::Error::other("it is too long, or no file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl DataDir {
    /// Writes the file beside an image of this version; one that is there is replaced.
    pub(super) fn write_companion(&self, version: u64, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.at(&name_of(version));
        // A name that nobody can have prepared: some places of emergency images can be written by everybody.
        let tmp = self.free_name(&format!("{PREFIX}tmp"))?;
        let file = self.fs.create_new(&tmp).map_err(failed("create", &tmp))?;
        let result = std::io::Write::write_all(&mut &file, bytes)
            .and_then(|()| self.fs.sync_file(&file))
            .and_then(|()| self.fs.rename(&tmp, &path));
        if result.is_err() {
            let _ = self.fs.unlink(&tmp);
        }
        result.map_err(failed("write", &path))?;
        self.adopt(&path);
        Ok(())
    }

    /// Removes the files of images that are no longer there.
    pub(super) fn drop_companions(&self) -> Result<(), FileError> {
        let read = failed("read", &self.dir);
        let found = self.companions().map_err(read)?;
        if found.is_empty() {
            return Ok(());
        }
        let images = self.candidates().map_err(failed("read", &self.dir))?;
        let versions: Vec<u64> = images
            .iter()
            .filter_map(|image| image.verdict.head())
            .map(|head| head.version)
            .collect();
        // Images that were put aside can be put back.
        let aside = self.images_aside().map_err(failed("read", &self.dir))?;
        for (version, path) in found {
            if !versions.contains(&version) && !aside.contains(&version) {
                ignore_missing(self.fs.unlink(&path)).map_err(failed("unlink", &path))?;
            }
        }
        Ok(())
    }

    fn companions(&self) -> std::io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if let Some(version) = version_in(&name) {
                found.push((version, self.dir.join(name)));
            }
        }
        Ok(found)
    }

    fn images_aside(&self) -> std::io::Result<Vec<u64>> {
        let mut versions = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let is_aside = name.to_string_lossy().starts_with("aside.metadata");
            if is_aside && let Some(head) = Verdict::of(&self.dir.join(name)).and_then(|v| v.head())
            {
                versions.push(head.version);
            }
        }
        Ok(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(version_in(OsStr::new(&name_of(17))), Some(17));
        for other in [
            "unfinished.mfs",
            "unfinished..mfs",
            "unfinished.+1.mfs",
            "unfinished.1.mfs.old",
            "unfinished.99999999999999999999.mfs",
            "metadata.mfs",
        ] {
            assert_eq!(version_in(OsStr::new(other)), None, "{other}");
        }
    }
}
