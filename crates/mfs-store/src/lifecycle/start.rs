//! Names after a load (spec 01 §7.2, §7.3/8): the master is running now, so there is no `metadata.mfs`.

use std::path::Path;

use super::candidates::{Head, Verdict};
use super::choose::Mode;
use super::load::Loaded;
use super::{ASIDE, DataDir, FileError, METADATA, METADATA_BACK, METADATA_TMP, Note, failed};
use crate::changelog::names::{self, Family};
use crate::changelog::{Input, probe};
use crate::fs::ignore_missing;
use crate::image::Checked;

impl DataDir {
    /// Marks the directory as that of a running master. To be called once, after a successful load and before the
    /// first change; until then nothing on disk has changed. `keep_previous` is `BACK_META_KEEP_PREVIOUS`.
    ///
    /// # Errors
    /// When a file cannot be renamed. The start must be given up then: the state on disk is as before, or
    /// that of a crashed master.
    pub fn after_load(&self, loaded: &Loaded, keep_previous: u32) -> Result<Vec<Note>, FileError> {
        let mut notes = Vec::new();
        match loaded.mode {
            Mode::Plain => self.after_plain(loaded, &mut notes)?,
            Mode::Restore => self.after_restore(loaded, keep_previous, &mut notes)?,
        }
        self.sync()?;
        Ok(notes)
    }

    fn after_plain(&self, loaded: &Loaded, notes: &mut Vec<Note>) -> Result<(), FileError> {
        let started = loaded.image.checked;
        for name in [METADATA_BACK, METADATA_TMP] {
            self.spare(name, started, notes)?;
        }
        self.rename(&self.at(METADATA), &self.at(METADATA_BACK))?;
        self.remove(METADATA_TMP)?;
        self.spare_changelogs(started.version(), notes)
    }

    fn after_restore(
        &self,
        loaded: &Loaded,
        keep_previous: u32,
        notes: &mut Vec<Note>,
    ) -> Result<(), FileError> {
        let (metadata, back, tmp) = (
            self.at(METADATA),
            self.at(METADATA_BACK),
            self.at(METADATA_TMP),
        );
        // The image that was being written when the master died is the newest one: it gets its name now.
        if loaded.image.path == tmp {
            self.promote(&tmp, &back, keep_previous, notes)?;
        } else {
            self.remove(METADATA_TMP)?;
        }
        match Verdict::of(&metadata) {
            None => Ok(()),
            Some(Verdict::Bad { size: 0, .. }) if metadata.is_file() => self.remove(METADATA),
            Some(Verdict::Valid(_)) if Verdict::of(&back).is_none() => {
                self.rename(&metadata, &back)
            }
            Some(_) => {
                let note =
                    self.move_aside(METADATA, "", "the newest state came from other files")?;
                notes.push(note);
                Ok(())
            }
        }
    }

    /// Moves a file aside that must not be replaced by `newer`: a damaged image, one that is not older, one of
    /// another file system. A partly written [`METADATA_TMP`] is none.
    pub(super) fn spare(
        &self,
        name: &str,
        newer: Checked,
        notes: &mut Vec<Note>,
    ) -> Result<(), FileError> {
        let path = self.at(name);
        let Some(verdict) = Verdict::of(&path) else {
            return Ok(());
        };
        if let Some(reason) = worth_keeping(name, newer, &verdict, &path) {
            notes.push(self.move_aside(name, ASIDE, reason)?);
        }
        Ok(())
    }

    /// Changelogs that hold changes from `version` on belong to another history than the one that begins now: a
    /// recovery must not mix both (spec 01 §19/14).
    fn spare_changelogs(&self, version: u64, notes: &mut Vec<Note>) -> Result<(), FileError> {
        let logs = names::find(&self.dir).map_err(failed("read", &self.dir))?;
        for log in logs {
            let Some(name) = log.file_name() else {
                continue;
            };
            if names::family_of(name) != Some(Family::Master) {
                continue;
            }
            let ends = probe(&Input::File(log.clone())).map_err(failed("read", &log))?;
            let reaches = |n: Option<u64>| n.is_some_and(|n| n >= version);
            if reaches(ends.first) || reaches(ends.last) {
                let reason = "it has changes newer than the image that was started from";
                notes.push(self.move_aside(&name.to_string_lossy(), ASIDE, reason)?);
            }
        }
        Ok(())
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), FileError> {
        let path = self.at(name);
        ignore_missing(self.fs.unlink(&path))
            .map(drop)
            .map_err(failed("unlink", &path))
    }
}

/// Why a file is not to be replaced by an image `newer`.
fn worth_keeping(
    name: &str,
    newer: Checked,
    verdict: &Verdict,
    path: &Path,
) -> Option<&'static str> {
    let is_newer = |head: Head| head.version > newer.version();
    match verdict {
        Verdict::Bad { .. } if name == METADATA_TMP => None,
        Verdict::Bad { size: 0, .. } if path.is_file() => None,
        Verdict::Bad { .. } => Some("it is damaged"),
        Verdict::Valid(Checked::New) => None,
        Verdict::Valid(Checked::Image { meta_id, .. }) => {
            let id = newer.meta_id();
            if *meta_id != 0 && id != 0 && *meta_id != id {
                Some("it belongs to another file system")
            } else if verdict.head().is_some_and(is_newer) {
                Some("it is newer than the image that takes its place")
            } else {
                None
            }
        }
    }
}
