//! Names after a load (spec 01 §7.2, §7.3/8): the master is running now, so there is no `metadata.mfs`.

use std::path::{Path, PathBuf};

use super::candidates::{Head, Verdict};
use super::choose::Mode;
use super::load::Loaded;
use super::store::{StoreError, StoreOptions};
use super::{ASIDE, DataDir, FileError, METADATA, METADATA_BACK, METADATA_TMP, Note, failed};
use crate::changelog::{FileReader, Input, names, probe};
use crate::fs::ignore_missing;
use crate::image::Checked;

/// Why a changelog is put aside by a start from an older image.
const NEWER_THAN_IMAGE: &str = "it has changes newer than the image that was started from";
/// Why a changelog is put aside by a start whose replay stopped early.
const NOT_REACHED: &str = "it has changes beyond the version that could be reached";
/// Why an image is put aside by a start that did not reach its version.
const IMAGE_NOT_REACHED: &str = "it is newer than the version that could be reached";

/// What a start has made of the directory.
#[derive(Debug)]
pub struct Begun {
    /// Version of the newest image that the running master has.
    pub stored: u64,
    /// What an administrator should know.
    pub notes: Vec<Note>,
}

impl DataDir {
    /// Marks the directory as that of a running master. To be called once, after a successful load and before the
    /// first change; until then nothing on disk has changed.
    ///
    /// When the load did not reach everything that the files tell of (flag `-i`), what begins now is another
    /// history than the one that the rest of the files goes on with, and a later recovery must not mix both. So
    /// the state is stored as an image at once, and then every changelog with a line that was not reached, and
    /// every image that is newer, gets a name that nobody looks for. Nothing is deleted.
    ///
    /// # Errors
    /// When a file cannot be renamed or that image cannot be written. The start must be given up then: the state
    /// on disk is as before, or that of a crashed master.
    pub fn after_load(
        &self,
        loaded: &Loaded,
        options: &StoreOptions<'_>,
    ) -> Result<Begun, StoreError> {
        let mut begun = Begun {
            stored: loaded.image.checked.version(),
            notes: Vec::new(),
        };
        let notes = &mut begun.notes;
        match loaded.mode {
            Mode::Plain => self.after_plain(loaded, notes)?,
            Mode::Restore => self.after_restore(loaded, options.keep_previous, notes)?,
        }
        self.sync()?;
        if loaded.mode == Mode::Restore {
            let replay = loaded.replay.as_ref();
            let cut_short = replay.is_some_and(|r| r.stopped.is_some() || r.left_out.is_some());
            if cut_short || !self.newer_images(loaded)?.is_empty() {
                begun.stored = self.part_histories(loaded, options, &mut begun.notes)?;
            }
        }
        Ok(begun)
    }

    /// Stores the state that was reached and puts aside what leads elsewhere. The image comes first: until it is
    /// there, the lines below its version in those changelogs are needed.
    fn part_histories(
        &self,
        loaded: &Loaded,
        options: &StoreOptions<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<u64, StoreError> {
        let options = StoreOptions {
            // Who wants to try again with mended changelogs needs the image that they continue.
            keep_previous: options.keep_previous.max(1),
            ..*options
        };
        let stored = self.store(&loaded.meta.view(), &options)?;
        notes.extend(stored.notes);
        let version = stored.written.header.version;
        for path in self.newer_images(loaded)? {
            notes.push(self.set_aside(path, IMAGE_NOT_REACHED)?);
        }
        self.spare_changelogs(NOT_REACHED, notes, |log| Ok(has_line_from(log, version)))?;
        self.sync()?;
        Ok(version)
    }

    /// Images of this file system, damaged ones too, that are newer than the state that was reached.
    fn newer_images(&self, loaded: &Loaded) -> Result<Vec<PathBuf>, FileError> {
        let (end, id) = (loaded.meta.version(), loaded.meta.meta_id());
        let not_reached = |verdict: &Verdict, unknown: bool| {
            verdict.head().is_some_and(|head| {
                let unknown = unknown && (head.meta_id == 0 || id == 0);
                head.version > end && (head.meta_id == id || unknown)
            })
        };
        let own = self.candidates().map_err(failed("read", &self.dir))?;
        let own = own
            .into_iter()
            .map(|found| (found.path, found.verdict, true));
        // Those places belong to all masters of the machine: without an id an image there is somebody else's.
        let elsewhere = self.emergency.iter().filter_map(|path| {
            let outside = path.parent() != Some(&self.dir);
            Some((path.clone(), Verdict::of(path).filter(|_| outside)?, false))
        });
        let all = own.chain(elsewhere);
        Ok(all
            .filter(|(_, verdict, unknown)| not_reached(verdict, *unknown))
            .map(|(path, ..)| path)
            .collect())
    }

    fn after_plain(&self, loaded: &Loaded, notes: &mut Vec<Note>) -> Result<(), FileError> {
        let started = loaded.image.checked;
        for name in [METADATA_BACK, METADATA_TMP] {
            self.spare(name, started, notes)?;
        }
        self.rename(&self.at(METADATA), &self.at(METADATA_BACK))?;
        self.remove(METADATA_TMP)?;
        self.spare_changelogs(NEWER_THAN_IMAGE, notes, |log| {
            let ends = probe(&Input::File(log.to_owned())).map_err(failed("read", log))?;
            let reaches = |n: Option<u64>| n.is_some_and(|n| n >= started.version());
            Ok(reaches(ends.first) || reaches(ends.last))
        })
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

    /// Changelogs with lines of another history than the one that begins now, whoever wrote them: a recovery must
    /// not mix both (spec 01 §19/14).
    fn spare_changelogs(
        &self,
        reason: &'static str,
        notes: &mut Vec<Note>,
        is_of_another: impl Fn(&Path) -> Result<bool, FileError>,
    ) -> Result<(), FileError> {
        for log in names::find(&self.dir).map_err(failed("read", &self.dir))? {
            if is_of_another(&log)? {
                notes.push(self.set_aside(log, reason)?);
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

/// Whether a recovery that begins at `version` would take a line from this changelog. One that cannot be read to its
/// end counts: what is behind the fault is not known.
fn has_line_from(log: &Path, version: u64) -> bool {
    let Ok(mut lines) = FileReader::open(&Input::File(log.to_owned()), version) else {
        return true;
    };
    loop {
        match lines.next_line() {
            Ok(Some((number, _))) if number >= version => return true,
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
        // Nobody reads them.
        lines.take_events();
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
