//! Changelog lines applied to the state (spec 03 §4.3): the same [`Metadata::apply`] as in the live master,
//! with the result of every line compared with the recorded one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mfs_meta::op::{Line, LineError, Outcome, Tolerance};
use mfs_meta::{Metadata, Status};
use thiserror::Error;

use super::event::{Event, EventKind, MAX_EVENTS, shown};
use super::merge::{Ahead, Bad, Batch, Entry, Merge, Place, Source};
use super::reader::ReadError;

/// What lines are applied to: the state, or something simpler in tests of the rules.
pub trait Replay {
    /// Number of the line that is due.
    fn version(&self) -> u64;
    /// Applies a change.
    ///
    /// # Errors
    /// The status of the refusal; nothing has changed then.
    fn apply(&mut self, line: &Line<'_>) -> Result<Outcome, Status>;
    /// Whether the state may be left as it is: no line has left something that a later one had to mend.
    ///
    /// # Errors
    /// The status that the next line would get.
    fn end(&self) -> Result<(), Status>;
    /// Sets how lines are compared with what they do; gives the setting before.
    fn set_tolerance(&mut self, tolerance: Tolerance) -> Tolerance;
}

impl Replay for Metadata {
    fn version(&self) -> u64 {
        Metadata::version(self)
    }

    #[inline]
    fn apply(&mut self, line: &Line<'_>) -> Result<Outcome, Status> {
        Metadata::apply(self, line.ts, &line.op)
    }

    fn end(&self) -> Result<(), Status> {
        self.end_replay()
    }

    fn set_tolerance(&mut self, tolerance: Tolerance) -> Tolerance {
        let before = self.tolerance();
        Metadata::set_tolerance(self, tolerance);
        before
    }
}

/// Where to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At this metadata version: changes numbered below it are in, it and later ones are not.
    Version(u64),
    /// Before the first change made after this second (seconds since the epoch).
    Time(u32),
}

/// What to do when a line cannot be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Give up: the state is not to be used.
    #[default]
    Stop,
    /// Keep the state as it was before that line, and tell what is left out (`-b`, `-i`).
    KeepBest,
}

/// How to replay.
#[derive(Clone, Copy, Debug)]
pub struct ReplayOptions {
    /// What to do when a line cannot be applied.
    pub on_error: OnError,
    /// Where to stop; `None` = at the end.
    pub until: Option<Until>,
    /// Whether lines may come from a healthy original (spec 03 §9.2) or are our own.
    pub tolerance: Tolerance,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        ReplayOptions {
            on_error: OnError::Stop,
            until: None,
            tolerance: Tolerance::Original,
        }
    }
}

/// How far a replay is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Version of the state.
    pub version: u64,
    /// Lines applied.
    pub applied: u64,
    /// Bytes of the files read.
    pub bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
}

/// Lines that were not applied because a replay stopped before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Lowest number.
    pub first: u64,
    /// Highest number.
    pub last: u64,
    /// How many there are.
    pub lines: u64,
}

/// A completed replay.
#[derive(Debug)]
pub struct ReplayReport {
    /// Version before.
    pub start: u64,
    /// Version after.
    pub end: u64,
    /// Lines applied.
    pub applied: u64,
    /// Lines that were there more than once.
    pub duplicates: u64,
    /// Time stamp of the last line applied.
    pub last_time: Option<u32>,
    /// What is wrong with the files and was no hindrance; at most [`MAX_EVENTS`].
    pub events: Vec<Event>,
    /// Events beyond those.
    pub more_events: u64,
    /// With [`OnError::KeepBest`]: why it ended before the end.
    pub stopped: Option<Box<ReplayError>>,
    /// Lines behind the one that stopped it, or behind [`ReplayOptions::until`].
    pub left_out: Option<LeftOut>,
    /// The files.
    pub files: Arc<[Source]>,
}

/// Why lines cannot be applied.
#[derive(Debug, Error)]
pub struct ReplayError {
    /// The line; `None` when no line is meant.
    pub place: Option<Place>,
    /// Its number, or the number that is missing.
    pub version: u64,
    /// Its text, cut to a length that suits a message.
    pub text: String,
    /// What is wrong.
    #[source]
    pub fault: ReplayFault,
    /// Damage found in the files before that, which may be the cause.
    pub events: Vec<Event>,
}

/// Kinds of [`ReplayError`].
#[derive(Debug, Error)]
pub enum ReplayFault {
    /// No file has the lines from `version` to `last`.
    #[error(
        "hole in change files (entries from {after}:{first} to {before}:{last} are missing) - add more files"
    )]
    Hole {
        /// First number that is missing.
        first: u64,
        /// Last number that is missing.
        last: u64,
        /// File of the line before the hole, `image` if there is none.
        after: String,
        /// File of the line behind it.
        before: String,
    },
    /// The line cannot be parsed, and more lines follow.
    #[error("{0}")]
    Parse(LineError),
    /// Two files have different lines of one number: they belong to different histories.
    #[error("another change has the same number in {}:{} (line {})", .0.file.display(), .1, .0.line)]
    Contradiction(Place, u64),
    /// The state refuses the change.
    #[error("error: {code} ({text})", code = .0.code(), text = .0.text())]
    Status(Status),
    /// A lock was granted against another one, and the line that drops that one never came (spec 03 §9.2).
    #[error("a lock conflict is not resolved by the last lines: {0}")]
    Unresolved(Status),
    /// The change had another result than the recorded one. It is applied.
    #[error("error: 32 (Data mismatch): result is {computed:?}, recorded is {recorded:?}")]
    Result {
        /// Result now.
        computed: Outcome,
        /// Result then.
        recorded: Outcome,
    },
    /// The version did not go up by one.
    #[error("version mismatch (version is {0} afterwards)")]
    Version(u64),
    /// A file cannot be read on.
    #[error("{0}")]
    Read(ReadError),
    /// The image is newer than the wanted version.
    #[error("the image has version {0} already")]
    TooNew(u64),
    /// The lines end before the wanted version.
    #[error("changelogs end at version {end}, before the wanted version {wanted}")]
    TooShort {
        /// Version reached.
        end: u64,
        /// Version wanted.
        wanted: u64,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:{}: ", place.file.display(), self.version)?;
        }
        if matches!(
            self.fault,
            ReplayFault::Status(_) | ReplayFault::Result { .. }
        ) {
            write!(f, "operation ({}) ", self.text)?;
        }
        write!(f, "{}", self.fault)?;
        if let Some(place) = &self.place {
            write!(f, " (line {}, offset {})", place.line, place.offset)?;
        }
        Ok(())
    }
}

/// Applies all lines of `merge` from the state's version on, and tells `progress` about every few thousand.
///
/// # Errors
/// See [`ReplayFault`]; with [`OnError::KeepBest`] only [`ReplayFault::TooNew`]. After an error the state has
/// some of the changes.
pub fn replay<R: Replay>(
    merge: Merge,
    state: &mut R,
    options: &ReplayOptions,
    progress: &mut dyn FnMut(&Progress),
) -> Result<ReplayReport, Box<ReplayError>> {
    let strict = state.set_tolerance(options.tolerance);
    let mut run = Run {
        start: state.version(),
        lines: merge.spawn(),
        state: &mut *state,
        options,
        applied: 0,
        duplicates: 0,
        last_time: None,
        last_file: None,
        events: Vec::new(),
        more_events: 0,
        damaged: None,
        left_out: None,
    };
    let result = run.all(progress);
    let result = run.report(result);
    state.set_tolerance(strict);
    result
}

struct Run<'s, R> {
    start: u64,
    lines: Ahead,
    state: &'s mut R,
    options: &'s ReplayOptions,
    applied: u64,
    duplicates: u64,
    last_time: Option<u32>,
    /// File of the last line applied.
    last_file: Option<Arc<Path>>,
    events: Vec<Event>,
    more_events: u64,
    /// The line that is due cannot be parsed; harmless if none follows.
    damaged: Option<(Place, u64, String, LineError)>,
    left_out: Option<LeftOut>,
}

/// Whether to go on with the next line.
enum Step {
    Next,
    /// The wanted point is reached.
    Reached,
}

impl<R: Replay> Run<'_, R> {
    fn all(&mut self, progress: &mut dyn FnMut(&Progress)) -> Result<(), Box<ReplayError>> {
        if let Some(Until::Version(wanted)) = self.options.until
            && wanted < self.start
        {
            return Err(self.error(None, wanted, ReplayFault::TooNew(self.start)));
        }
        let mut reached = false;
        loop {
            let batch = match self.next_batch() {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                // Behind the wanted point lines are only counted.
                Err(_) if reached => continue,
                Err(error) => return Err(error),
            };
            for event in &batch.events {
                self.event(event.clone());
            }
            self.duplicates = batch.duplicates;
            let mut failed = None;
            for entry in batch.entries() {
                if reached || failed.is_some() {
                    self.leave_out(entry.number);
                    continue;
                }
                match self.line(&batch, entry) {
                    Ok(Step::Next) => {}
                    Ok(Step::Reached) => {
                        reached = true;
                        self.leave_out(entry.number);
                    }
                    Err(error) => {
                        failed = Some(error);
                        if entry.number >= self.state.version() {
                            self.leave_out(entry.number);
                        }
                    }
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if let Some(last) = batch.entries().last() {
                self.last_file = batch.place(last).map(|place| place.file);
            }
            progress(&Progress {
                version: self.state.version(),
                applied: self.applied,
                bytes: batch.bytes,
                total_bytes: self.lines.total_bytes(),
            });
        }
        if let Some((place, number, _, error)) = self.damaged.take() {
            self.event(Event {
                file: place.file,
                line: place.line,
                offset: place.offset,
                kind: EventKind::LastLineIgnored { number, error },
            });
        }
        if let Err(status) = self.state.end() {
            let version = self.state.version();
            return Err(self.error(None, version, ReplayFault::Unresolved(status)));
        }
        match self.options.until {
            Some(Until::Version(wanted)) if self.state.version() < wanted => {
                let end = self.state.version();
                Err(self.error(None, end, ReplayFault::TooShort { end, wanted }))
            }
            _ => Ok(()),
        }
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, Box<ReplayError>> {
        self.lines.next_batch().map_err(|e| {
            let place = Place {
                file: Arc::clone(&e.file),
                line: e.line,
                offset: e.offset,
            };
            let version = self.state.version();
            self.error(None, version, ReplayFault::Read(e)).at(place)
        })
    }

    #[inline]
    fn line(&mut self, batch: &Batch, entry: &Entry<'_>) -> Result<Step, Box<ReplayError>> {
        let due = self.state.version();
        let number = entry.number;
        if let Some(Until::Version(wanted)) = self.options.until
            && due >= wanted
        {
            return Ok(Step::Reached);
        }
        if number < due {
            return Ok(Step::Next);
        }
        if number > due {
            return Err(self.missing(batch, entry, due));
        }
        let line = match &entry.line {
            Ok(line) => line,
            Err(Bad::Parse(error)) if !error.is_fatal() => {
                if let Some(place) = batch.place(entry) {
                    self.damaged = Some((place, number, shown(batch.text(entry)), error.clone()));
                }
                return Ok(Step::Next);
            }
            Err(Bad::Parse(error)) => {
                return Err(self.error(
                    Some((batch, entry)),
                    number,
                    ReplayFault::Parse(error.clone()),
                ));
            }
            Err(Bad::Contradiction(other)) => {
                let fault = ReplayFault::Contradiction(other.clone(), number);
                return Err(self.error(Some((batch, entry)), number, fault));
            }
        };
        if let Some(Until::Time(last)) = self.options.until
            && line.ts > last
        {
            return Ok(Step::Reached);
        }
        let outcome = match self.state.apply(line) {
            Ok(outcome) => outcome,
            Err(status) => {
                let fault = ReplayFault::Status(status);
                return Err(self.error(Some((batch, entry)), number, fault));
            }
        };
        if !outcome.matches(line.recorded.as_ref(), self.options.tolerance) {
            let fault = ReplayFault::Result {
                computed: outcome,
                recorded: line.recorded.unwrap_or(Outcome::None),
            };
            return Err(self.error(Some((batch, entry)), number, fault));
        }
        let after = self.state.version();
        if after != number + 1 {
            let fault = ReplayFault::Version(after);
            return Err(self.error(Some((batch, entry)), number, fault));
        }
        self.applied += 1;
        self.last_time = Some(line.ts);
        Ok(Step::Next)
    }

    /// The line that is due is in no file, or is damaged in all that have it.
    #[cold]
    fn missing(&mut self, batch: &Batch, entry: &Entry<'_>, due: u64) -> Box<ReplayError> {
        if let Some((place, number, text, error)) = self.damaged.take() {
            let mut damaged = self.error(None, number, ReplayFault::Parse(error));
            damaged.text = text;
            return damaged.at(place);
        }
        let before = batch.place(entry);
        let name = |file: Option<&Arc<Path>>| {
            file.and_then(|f| f.file_name())
                .map_or("image".into(), |n| n.to_string_lossy().into_owned())
        };
        let entries = batch.entries();
        let after = match entries.partition_point(|e| e.number < due).checked_sub(1) {
            Some(index) => entries
                .get(index)
                .and_then(|e| batch.place(e))
                .map(|p| p.file),
            None => self.last_file.clone(),
        };
        let fault = ReplayFault::Hole {
            first: due,
            last: entry.number - 1,
            after: name(after.as_ref()),
            before: name(before.as_ref().map(|p| &p.file)),
        };
        self.error(None, due, fault)
    }

    #[cold]
    fn error(
        &self,
        line: Option<(&Batch, &Entry<'_>)>,
        version: u64,
        fault: ReplayFault,
    ) -> Box<ReplayError> {
        Box::new(ReplayError {
            place: line.and_then(|(batch, entry)| batch.place(entry)),
            version,
            text: line.map_or(String::new(), |(batch, entry)| shown(batch.text(entry))),
            fault,
            events: Vec::new(),
        })
    }

    fn event(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        } else {
            self.more_events += 1;
        }
    }

    fn leave_out(&mut self, number: u64) {
        match &mut self.left_out {
            Some(left) => {
                left.last = left.last.max(number);
                left.lines += 1;
            }
            None => {
                self.left_out = Some(LeftOut {
                    first: number,
                    last: number,
                    lines: 1,
                });
            }
        }
    }

    fn report(
        mut self,
        result: Result<(), Box<ReplayError>>,
    ) -> Result<ReplayReport, Box<ReplayError>> {
        let stopped = match result {
            Ok(()) => None,
            Err(mut error)
                if self.options.on_error == OnError::Stop
                    || matches!(error.fault, ReplayFault::TooNew(_)) =>
            {
                error.events = self.events;
                return Err(error);
            }
            Err(error) => {
                self.count_rest();
                Some(error)
            }
        };
        Ok(ReplayReport {
            start: self.start,
            end: self.state.version(),
            applied: self.applied,
            duplicates: self.duplicates,
            last_time: self.last_time,
            events: self.events,
            more_events: self.more_events,
            stopped,
            left_out: self.left_out,
            files: Arc::clone(self.lines.files()),
        })
    }

    /// What is left of the lines when the replay has stopped early.
    fn count_rest(&mut self) {
        let version = self.state.version();
        loop {
            match self.lines.next_batch() {
                Ok(Some(batch)) => {
                    for entry in batch.entries().iter().filter(|e| e.number >= version) {
                        self.leave_out(entry.number);
                    }
                }
                Ok(None) => return,
                // A second fault of the files changes nothing any more: what can be read is counted.
                Err(_) => {}
            }
        }
    }
}

impl ReplayError {
    fn at(mut self: Box<Self>, place: Place) -> Box<ReplayError> {
        self.place = Some(place);
        self
    }
}
