//! From a directory to a state: the image, an older one if it is damaged, and changelogs.

use std::path::{Path, PathBuf};

use mfs_meta::op::{Line, Outcome, Tolerance};
use mfs_meta::records::Notice;
use mfs_meta::{Companion, Loader, Metadata, Status};
use thiserror::Error;

use super::choose::{Choice, ChooseError, Image, Mode};
use super::companion::begin_companion;
use super::{DataDir, Note};
use crate::changelog::{
    self, Input, Merge, OnError, Replay, ReplayError, ReplayOptions, ReplayReport, Until, names,
    replay,
};
use crate::image::{self, Checked};

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Flag `-i`: tolerate errors of structure, different ids, changes that are missing.
    pub ignore: bool,
    /// Use changelogs that are older than the image, too (flag `-f` of `mfsmetarestore`).
    pub use_all: bool,
    /// What to do when changelogs cannot be applied to their end.
    pub on_error: OnError,
    /// Where to stop.
    pub until: Option<Until>,
    /// Whether changelogs may come from a healthy original.
    pub tolerance: Tolerance,
    /// Current time, seconds since the epoch.
    pub now: u32,
    /// Key of the name hash, better a random number.
    pub seed: u64,
    /// Grace period of quotas in old images, seconds.
    pub default_grace: u32,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            ignore: false,
            use_all: false,
            on_error: OnError::Stop,
            until: None,
            tolerance: Tolerance::Original,
            now: 0,
            seed: 0,
            default_grace: 604_800,
        }
    }
}

/// What happens during a load, for messages and progress bars.
#[derive(Debug)]
pub enum Step<'a> {
    /// Something that an administrator should know.
    Note(&'a Note),
    /// This image is loaded now.
    Image(&'a Image),
    /// Progress of the image.
    ImageProgress(image::Progress<'a>),
    /// What the image's records are like.
    ImageNotice(&'a Notice),
    /// These changelogs are considered.
    Changelogs(&'a [changelog::Source]),
    /// Progress of the changelogs.
    ReplayProgress(&'a changelog::Progress),
    /// What is wrong with the changelogs and was no hindrance.
    ChangelogEvent(&'a changelog::Event),
}

/// A state and where it comes from.
pub struct Loaded {
    /// The state.
    pub meta: Metadata,
    /// The image.
    pub image: Image,
    /// A change `RENUMERATEEDGES` is due.
    pub renumber: bool,
    /// How the changelogs were applied; `None` in [`Mode::Plain`].
    pub replay: Option<ReplayReport>,
    /// How it was looked for.
    pub mode: Mode,
}

/// Why there is no state. Nothing was touched.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is no image to load.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// No image can be read; this is the fault of the best one.
    #[error("error loading metadata file ({}): {}", .0.display(), .1)]
    Image(PathBuf, ImageFault),
    /// Changelogs cannot be applied.
    #[error(transparent)]
    Replay(#[from] Box<ReplayError>),
    /// Changes that a damaged image had are in no changelog.
    #[error(
        "{} is damaged and had version {version}, but the other files lead only to version {end} - use '-i' flag to do without the changes between", path.display()
    )]
    FallsShort {
        /// The damaged image.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// Version that can be reached.
        end: u64,
    },
    /// The only sound image is the mark of a new file system, and there is a damaged backup.
    #[error(
        "the only valid metadata file is the mark of a new file system, but {} may have been an image of a real one - use '-i' flag to start with an empty file system", .0.display()
    )]
    Doubtful(PathBuf),
    /// There is no changelog, and one was asked for.
    #[error("changelog files not found")]
    NoChangelogs,
    /// The wanted time is before everything that the changelogs tell.
    #[error(
        "changelogs do not reach back to the wanted time: their first change {version} was made at {time}"
    )]
    TimeTooEarly {
        /// First change behind the wanted time.
        version: u64,
        /// When it was made, seconds since the epoch.
        time: u32,
    },
}

/// What is wrong with an image.
#[derive(Debug, Error)]
pub enum ImageFault {
    /// It cannot be decoded.
    #[error(transparent)]
    Read(#[from] image::ReadError),
    /// Its records do not fit together.
    #[error(transparent)]
    Structure(#[from] mfs_meta::records::StructureError),
}

/// Reads one image into a state; also tells whether a change `RENUMERATEEDGES` is due.
///
/// # Errors
/// See [`ImageFault`].
pub fn read_image(
    path: &Path,
    options: &LoadOptions,
    observe: &mut dyn FnMut(Step<'_>),
) -> Result<(Metadata, bool), ImageFault> {
    let mut loader = Loader::new(mfs_meta::LoadOptions {
        ignore: options.ignore,
        default_grace: options.default_grace,
        seed: options.seed,
    });
    let read = image::ReadOptions {
        ignore: options.ignore,
        now: options.now,
        sessions_mfs: path.parent().map(|dir| dir.join("sessions.mfs")),
    };
    let report = image::read_path(path, &read, &mut loader, &mut |progress| {
        observe(Step::ImageProgress(progress));
    })?;
    if report.head == Checked::New {
        return Ok((Metadata::new(options.seed, options.now), false));
    }
    let loaded = loader.finish()?;
    for notice in &loaded.notices {
        observe(Step::ImageNotice(notice));
    }
    Ok((loaded.meta, loaded.renumber))
}

/// The point of a time in changelogs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimePoint {
    /// Changes below this number were made up to the time, this one later.
    Before(u64),
    /// No change was made later.
    End,
}

/// Finds the first change that was made after `time` (seconds since the epoch).
///
/// # Errors
/// [`LoadError::TimeTooEarly`] when the changelogs begin later.
pub fn find_time(inputs: Vec<Input>, time: u32) -> Result<TimePoint, LoadError> {
    let mut lines = Merge::new(inputs, 0, true).spawn();
    let mut before = 0;
    loop {
        let batch = match lines.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(TimePoint::End),
            // The replay that follows meets it, too, if it matters.
            Err(_) => continue,
        };
        for entry in batch.entries() {
            let Ok(line) = &entry.line else {
                continue;
            };
            if line.ts > time {
                // The change before it must be known to be early enough; the first of all has none.
                return if before + 1 == entry.number || entry.number <= 1 {
                    Ok(TimePoint::Before(entry.number))
                } else {
                    Err(LoadError::TimeTooEarly {
                        version: entry.number,
                        time: line.ts,
                    })
                };
            }
            before = entry.number;
        }
    }
}

impl DataDir {
    /// All changelogs of the directory.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn changelogs(&self) -> Result<Vec<Input>, ChooseError> {
        let found = names::find(&self.dir).map_err(|source| ChooseError::Directory {
            dir: self.dir.clone(),
            source,
        })?;
        Ok(found.into_iter().map(Input::File).collect())
    }

    /// Chooses and loads an image; in [`Mode::Restore`] takes the next best if it is damaged, and applies the
    /// changelogs. Touches nothing.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(
        &self,
        mode: Mode,
        options: &LoadOptions,
        observe: &mut dyn FnMut(Step<'_>),
    ) -> Result<Loaded, LoadError> {
        self.load_with(&mut (), mode, options, observe)
    }

    /// As [`DataDir::load`]; `companion` begins with the file beside the image and takes in the changelogs.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_with(
        &self,
        companion: &mut dyn Companion,
        mode: Mode,
        options: &LoadOptions,
        observe: &mut dyn FnMut(Step<'_>),
    ) -> Result<Loaded, LoadError> {
        let mut options = options.clone();
        if mode == Mode::Plain {
            options.until = None;
        }
        if let Some(Until::Time(time)) = options.until {
            options.until = match find_time(self.changelogs()?, time)? {
                TimePoint::Before(version) => Some(Until::Version(version)),
                TimePoint::End => None,
            };
        }
        let mut choice = self.choose(mode, options.ignore)?;
        for note in &choice.notes {
            observe(Step::Note(note));
        }
        if let Some(Until::Version(wanted)) = options.until
            && choice.images.iter().any(|i| i.checked.version() <= wanted)
        {
            choice
                .images
                .retain(|image| image.checked.version() <= wanted);
            choice.damaged = None;
        }
        let (meta, renumber, image) = load_first(&mut choice, &options, observe)?;
        // A new file system leaves nothing open.
        let note = match image.checked {
            Checked::New => companion.begin(None, meta.version()).err().and(None),
            Checked::Image { .. } => begin_companion(companion, &image.path, meta.version()),
        };
        if let Some(note) = note {
            observe(Step::Note(&note));
        }
        let mut loaded = Loaded {
            meta,
            image,
            renumber,
            replay: None,
            mode,
        };
        if mode == Mode::Restore {
            let logs = self.changelogs()?;
            let report = replay_files(&mut loaded.meta, companion, logs, &options, observe)?;
            let end = report.end;
            loaded.replay = Some(report);
            judge(&choice, end, &options, observe)?;
        }
        Ok(loaded)
    }
}

/// Loads the best image that can be read.
fn load_first(
    choice: &mut Choice,
    options: &LoadOptions,
    observe: &mut dyn FnMut(Step<'_>),
) -> Result<(Metadata, bool, Image), LoadError> {
    let mut first_error = None;
    let mut images = std::mem::take(&mut choice.images).into_iter().peekable();
    while let Some(image) = images.next() {
        observe(Step::Image(&image));
        let fault = match read_image(&image.path, options, observe) {
            Ok((meta, renumber)) => return Ok((meta, renumber, image)),
            Err(fault) => fault,
        };
        if let Some(next) = images.peek() {
            observe(Step::Note(&Note::FallBack {
                path: image.path.clone(),
                reason: fault.to_string(),
                next: next.path.clone(),
            }));
        }
        let version = image.checked.version();
        if choice.damaged.as_ref().is_none_or(|(_, v)| *v < version) {
            choice.damaged = Some((image.path.clone(), version));
        }
        first_error.get_or_insert(LoadError::Image(image.path, fault));
    }
    Err(first_error.unwrap_or(LoadError::Choose(ChooseError::NoneValid)))
}

/// A state and what goes with it.
struct Accompanied<'a> {
    meta: &'a mut Metadata,
    companion: &'a mut dyn Companion,
}

impl Replay for Accompanied<'_> {
    fn version(&self) -> u64 {
        self.meta.version()
    }

    fn apply(&mut self, line: &Line<'_>) -> Result<Outcome, Status> {
        self.companion.apply(self.meta, line)
    }

    fn end(&self) -> Result<(), Status> {
        self.meta.end_replay()
    }

    fn set_tolerance(&mut self, tolerance: Tolerance) -> Tolerance {
        Replay::set_tolerance(self.meta, tolerance)
    }
}

/// Applies changelogs to a state and its companion, and tells what was found.
///
/// # Errors
/// [`LoadError::Replay`].
pub fn replay_files(
    meta: &mut Metadata,
    companion: &mut dyn Companion,
    inputs: Vec<Input>,
    options: &LoadOptions,
    observe: &mut dyn FnMut(Step<'_>),
) -> Result<ReplayReport, LoadError> {
    let merge = Merge::new(inputs, meta.version(), options.use_all);
    observe(Step::Changelogs(merge.files()));
    let replay_options = ReplayOptions {
        on_error: options.on_error,
        until: options.until,
        tolerance: options.tolerance,
    };
    let mut state = Accompanied { meta, companion };
    let result = replay(merge, &mut state, &replay_options, &mut |progress| {
        observe(Step::ReplayProgress(progress));
    });
    let events = match &result {
        Ok(report) => &report.events,
        Err(error) => &error.events,
    };
    for event in events {
        observe(Step::ChangelogEvent(event));
    }
    Ok(result?)
}

/// Whether a state of version `end` may be taken although there are damaged files.
fn judge(
    choice: &Choice,
    end: u64,
    options: &LoadOptions,
    observe: &mut dyn FnMut(Step<'_>),
) -> Result<(), LoadError> {
    if let Some((path, version)) = &choice.damaged
        && end < *version
        && options.until.is_none()
    {
        let (path, version) = (path.clone(), *version);
        if !options.ignore && options.on_error == OnError::Stop {
            return Err(LoadError::FallsShort { path, version, end });
        }
        observe(Step::Note(&Note::FallsShort { path, version, end }));
    }
    if let Some(path) = &choice.doubtful
        && end <= 1
        && !options.ignore
    {
        return Err(LoadError::Doubtful(path.clone()));
    }
    Ok(())
}
