//! Which image a start takes (spec 01 §7.2, §7.3).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::candidates::{Candidate, Verdict};
use super::{DataDir, METADATA, METADATA_BACK, METADATA_CRC, METADATA_TMP, Note};
use crate::image::{CheckError, Checked};

/// How a start looks for its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A start without `-a`: `metadata.mfs` and nothing else.
    Plain,
    /// A start with `-a`, or a restore: the newest image, and changelogs.
    Restore,
}

/// An image that passed the quick check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// What its head says.
    pub checked: Checked,
}

/// What to load.
#[derive(Debug)]
pub struct Choice {
    /// The images that may be loaded, the best first. Never empty; one in [`Mode::Plain`].
    pub images: Vec<Image>,
    /// The newest damaged image of this file system: if the changelogs do not lead to its version, changes are
    /// lost.
    pub damaged: Option<(PathBuf, u64)>,
    /// The best is `MFSM NEW`, and this file beside it may have been an image of a real file system.
    pub doubtful: Option<PathBuf>,
    /// What an administrator should know.
    pub notes: Vec<Note>,
}

impl Choice {
    /// The image to load first.
    pub fn best(&self) -> Option<&Image> {
        self.images.first()
    }
}

/// Images and their ids, for a message.
#[derive(Clone, Debug)]
pub struct Images(pub Vec<Image>);

impl fmt::Display for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for image in &self.0 {
            let (version, id) = (image.checked.version(), image.checked.meta_id());
            write!(
                f,
                "\n{} - version: {version} ; id: {id:016X}",
                image.path.display()
            )?;
        }
        Ok(())
    }
}

/// Why no image is loaded. Nothing was touched.
#[derive(Debug, Error)]
pub enum ChooseError {
    /// The directory cannot be read.
    #[error("can't read directory {}: {source}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No `metadata.mfs`: not a clean state.
    #[error(
        "can't find {METADATA} - try using option '-a' (the last master did not stop cleanly: 'mfsmetarestore -a' recovers)"
    )]
    Missing,
    /// `metadata.mfs` is not an image.
    #[error("{} - try using option '-a'", bad(.0))]
    Bad(CheckError),
    /// Another image is newer than `metadata.mfs`: starting would go back in time.
    #[error(
        "backup file is newer than current file - please check it manually - probably you should run metarestore: {METADATA} has version {version}, {} has version {newer}", path.display()
    )]
    NewerBackup {
        /// The newer one.
        path: PathBuf,
        /// Its version.
        newer: u64,
        /// Version of `metadata.mfs`.
        version: u64,
    },
    /// `metadata.mfs` says that the file system is new, and a real one lies beside it.
    #[error(
        "{METADATA} is the mark of a new file system, but {} {} - use option '-a' to start from existing metadata", path.display(), what
    )]
    NewBesideReal {
        /// The other file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Images of several file systems.
    #[error(
        "found metadata file with different id number - cleanup your working directory or use '-i' flag to ignore it:{0}"
    )]
    DifferentIds(Images),
    /// There is none.
    #[error("can't find valid metadata file")]
    NoneValid,
}

fn bad(error: &CheckError) -> String {
    match error {
        CheckError::Missing(_) => format!("can't find {METADATA}"),
        CheckError::Io { source, .. } => format!("error reading {METADATA}: {source}"),
        CheckError::BadHeader(_) => format!("{METADATA} has wrong header"),
        CheckError::BadEnding(_) => format!("{METADATA} has wrong ending"),
    }
}

impl DataDir {
    /// Chooses the image to load. `ignore` is the flag `-i`: go on where only an administrator can know better.
    ///
    /// # Errors
    /// See [`ChooseError`].
    pub fn choose(&self, mode: Mode, ignore: bool) -> Result<Choice, ChooseError> {
        match mode {
            Mode::Plain => self.choose_plain(ignore),
            Mode::Restore => self.choose_restore(ignore),
        }
    }

    fn choose_plain(&self, ignore: bool) -> Result<Choice, ChooseError> {
        let path = self.at(METADATA);
        let checked = match Verdict::of(&path) {
            None => return Err(ChooseError::Missing),
            Some(Verdict::Bad { error, .. }) => return Err(ChooseError::Bad(error)),
            Some(Verdict::Valid(checked)) => checked,
        };
        let mut notes = Vec::new();
        for name in [METADATA_BACK, METADATA_TMP] {
            let path = self.at(name);
            let Some(verdict) = Verdict::of(&path) else {
                continue;
            };
            // An image that was cut while it was written is none that anybody relied on.
            if name == METADATA_TMP && verdict.valid().is_none() {
                continue;
            }
            match hindrance(checked, &path, &verdict) {
                Some(_) if ignore => notes.push(Note::Newer {
                    version: verdict.head().map_or(0, |head| head.version),
                    path,
                }),
                Some(error) => return Err(error),
                None => {}
            }
        }
        Ok(Choice {
            images: vec![Image { path, checked }],
            damaged: None,
            doubtful: None,
            notes,
        })
    }

    fn choose_restore(&self, ignore: bool) -> Result<Choice, ChooseError> {
        let directory = |source| ChooseError::Directory {
            dir: self.dir.clone(),
            source,
        };
        let candidates = self.candidates().map_err(directory)?;
        let mut images = valid(&candidates);
        let Some(best) = images.first() else {
            return Err(ChooseError::NoneValid);
        };
        let mut notes = Vec::new();
        let id = images
            .iter()
            .map(|i| i.checked.meta_id())
            .find(|&id| id != 0);
        let foreign = |image: &Image| {
            let other = image.checked.meta_id();
            other != 0 && Some(other) != id
        };
        if images.iter().any(foreign) {
            if !ignore {
                return Err(ChooseError::DifferentIds(Images(images)));
            }
            // The newest decides; what is of another file system is no fallback for it.
            let kept = best.checked.meta_id();
            images.retain(|image| {
                let same = image.checked.meta_id() == kept;
                if !same {
                    notes.push(Note::DifferentIds {
                        path: image.path.clone(),
                    });
                }
                same
            });
        }
        self.add_emergency(&mut images);
        let Some(best) = images.first() else {
            return Err(ChooseError::NoneValid);
        };
        let (best, id) = (best.checked, best.checked.meta_id());
        let mut damaged: Option<(PathBuf, u64)> = None;
        let mut doubtful = None;
        for candidate in &candidates {
            let Verdict::Bad { error, head, size } = &candidate.verdict else {
                continue;
            };
            // Checksums are no image by nature.
            if candidate.path != self.at(METADATA_CRC) {
                notes.push(Note::NotUsable {
                    path: candidate.path.clone(),
                    reason: error.to_string(),
                });
            }
            match head {
                Some(head) => {
                    let ours = id == 0 || head.meta_id == 0 || head.meta_id == id;
                    let newest = damaged.as_ref().is_none_or(|(_, v)| *v < head.version);
                    if ours && newest {
                        damaged = Some((candidate.path.clone(), head.version));
                    }
                }
                None if best == Checked::New && looks_like_backup(&candidate.path, *size) => {
                    doubtful = Some(candidate.path.clone());
                }
                None => {}
            }
        }
        Ok(Choice {
            images,
            damaged,
            doubtful,
            notes,
        })
    }

    /// Images in emergency places outside of the directory count if they are of the same file system and
    /// newer (spec 01 §7.3/4).
    fn add_emergency(&self, images: &mut Vec<Image>) {
        let Some(best) = images.first() else {
            return;
        };
        let (id, mut version) = (best.checked.meta_id(), best.checked.version());
        if id == 0 {
            return;
        }
        for path in &self.emergency {
            if path.parent() == Some(&self.dir) {
                continue;
            }
            if let Some(Verdict::Valid(checked)) = Verdict::of(path)
                && checked.meta_id() == id
                && checked.version() > version
            {
                version = checked.version();
                images.insert(
                    0,
                    Image {
                        path: path.clone(),
                        checked,
                    },
                );
            }
        }
    }
}

/// Valid images, the newest first; of equal ones the one with the most usual name first.
fn valid(candidates: &[Candidate]) -> Vec<Image> {
    let mut images: Vec<Image> = candidates
        .iter()
        .filter_map(|candidate| {
            Some(Image {
                path: candidate.path.clone(),
                checked: candidate.verdict.valid()?,
            })
        })
        .collect();
    images.sort_by_key(|image| {
        (
            std::cmp::Reverse(image.checked.version()),
            image.checked == Checked::New,
            image.path.as_os_str().len(),
        )
    });
    images
}

/// Why `metadata.mfs` must not be started from with this file beside it.
fn hindrance(checked: Checked, path: &Path, other: &Verdict) -> Option<ChooseError> {
    let path = path.to_owned();
    match (checked, other) {
        (Checked::New, Verdict::Valid(Checked::New)) => None,
        (Checked::New, Verdict::Valid(Checked::Image { .. })) => Some(ChooseError::NewBesideReal {
            path,
            what: "is an image of a real one",
        }),
        (Checked::New, Verdict::Bad { .. }) => Some(ChooseError::NewBesideReal {
            path,
            what: "is a damaged image of a real one",
        }),
        (Checked::Image { version, .. }, other) => {
            let newer = other.head()?.version;
            (newer > version).then_some(ChooseError::NewerBackup {
                path,
                newer,
                version,
            })
        }
    }
}

/// Whether a file that is no image once was one: `metadata.mfs.back` and its kin.
fn looks_like_backup(path: &Path, size: u64) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy());
    name.is_some_and(|name| {
        name == METADATA_BACK
            || (size > 0 && name.starts_with(METADATA_BACK) && name != METADATA_TMP)
    })
}
