//! The commit gate between execution and the outside (architecture, "One way to change the metadata", rule 3).
//!
//! A change is executed and its line pushed under the state's exclusive section, which costs a copy into memory.
//! Nothing that depends on the change leaves before [`Journal::commit`] has said that its line is safe. The first
//! who asks writes everything that is pending with one call; those who ask meanwhile wait and find theirs done.
//!
//! When writing fails, the lines stay pending and everyone who asks gets the error until a later try succeeds: no
//! change is ever answered whose line is not written, and none is lost. Tries are [`RETRY`] apart.
//!
//! Beside "safe" there is "durable": the lines are on the disk and outlive a power cut. What cannot be undone, as the
//! deletion of the copies of a chunk, waits for that in every mode.
//!
//! ```text
//! queue    pending lines and rotations, written as one job
//! durable  what is on the disk, and what is in doubt
//! ```

mod durable;
mod queue;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use thiserror::Error;

use super::recent::{Lines, Recent};
use super::writer::Writer;
use durable::Durable;
use queue::{Progress, Queue};

pub use durable::SyncError;

/// Time between two tries to write after a failure.
pub const RETRY: Duration = Duration::from_millis(200);

/// When a line is safe (`CHANGELOG_SAVE_MODE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveMode {
    /// 0 and 1: the operating system has it; a crash of the master loses nothing that was answered.
    #[default]
    Written,
    /// 2: it is on the disk; a power cut loses nothing that was answered.
    Synced,
}

/// How a journal works; all of it can be changed later.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// When a line is safe.
    pub mode: SaveMode,
    /// How long lines stay in memory for followers, seconds (`CHANGELOG_PRESERVE_SECONDS`).
    pub preserve_seconds: u32,
}

/// Lines cannot be written. They are kept and tried again.
#[derive(Clone, Debug, Error)]
#[error("changelog can't be written: {message}")]
pub struct CommitError {
    /// What the writer said.
    pub message: Arc<str>,
    /// Kind of the failure, [`io::ErrorKind::StorageFull`] for a full disk.
    pub kind: io::ErrorKind,
    /// Since when it fails.
    pub since: Instant,
    /// Bytes that wait.
    pub pending: usize,
}

/// Answer of [`Journal::try_commit`].
#[derive(Clone, Debug)]
pub enum TryCommit {
    /// All lines below this number are safe, the wanted one among them.
    Done(u64),
    /// Someone else is writing; the listener will tell.
    Busy,
    /// See [`CommitError`].
    Failed(CommitError),
}

/// Told about every finished write with the number below which all lines are safe; also after a failure,
/// with the old number. Called without locks held.
pub type Listener = Box<dyn Fn(u64) + Send + Sync>;

struct State {
    queue: Queue,
    /// Number of the next line.
    next: u64,
    /// All lines below it are safe.
    safe: u64,
    durable: Durable,
    /// `None` while someone writes.
    writer: Option<Writer>,
    failure: Option<(CommitError, Instant)>,
    mode: SaveMode,
    recent: Recent,
}

/// The journal of a live master.
pub struct Journal {
    state: Mutex<State>,
    /// A write has ended.
    ended: Condvar,
    /// Copy of [`State::safe`] that is read without the lock.
    safe: AtomicU64,
    /// Copy of [`Durable::below`].
    durable: AtomicU64,
    listener: Option<Listener>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("safe", &self.safe())
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// A journal whose first line will be number `version`. What was loaded counts as safe; whether it is on the disk
    /// is not known before the first [`Journal::sync`].
    pub fn new(writer: Writer, version: u64, options: JournalOptions) -> Journal {
        Journal {
            state: Mutex::new(State {
                queue: Queue::default(),
                next: version,
                safe: version,
                durable: Durable::default(),
                writer: Some(writer),
                failure: None,
                mode: options.mode,
                recent: Recent::new(options.preserve_seconds),
            }),
            ended: Condvar::new(),
            safe: AtomicU64::new(version),
            durable: AtomicU64::new(0),
            listener: None,
        }
    }

    /// Sets who is told about finished writes.
    pub fn with_listener(mut self, listener: Listener) -> Journal {
        self.listener = Some(listener);
        self
    }

    /// Changes the options; lines that are pending already are written by the new ones.
    pub fn set_options(&self, options: JournalOptions) {
        let mut state = self.state.lock();
        state.mode = options.mode;
        state.recent.set_preserve_seconds(options.preserve_seconds);
    }

    /// Takes a line: its number, the time stamp in it, and its text with neither number nor line end
    /// (`TIMESTAMP|OP(args):result`). Called under the exclusive section that made the change.
    ///
    /// # Panics
    /// When `number` does not follow the last one: a log with a gap must not come to be.
    pub fn push(&self, number: u64, ts: u32, text: &[u8]) {
        let mut state = self.state.lock();
        assert_eq!(number, state.next, "changelog line out of order");
        state.next += 1;
        state.queue.push(number, text);
        state.recent.push(number, ts, text);
    }

    /// Orders a rotation behind the lines pushed so far; it is done with the next write. `stored` as in
    /// [`rotate`](super::rotate). Called under the exclusive section that takes the snapshot of an image: the new
    /// file begins with the image's version.
    pub fn push_rotation(&self, back_logs: u32, stored: u64) {
        let mut state = self.state.lock();
        let version = state.next;
        state.queue.push_rotation(version, back_logs, stored);
    }

    /// All lines below this number are safe. Costs a read of memory.
    pub fn safe(&self) -> u64 {
        self.safe.load(Ordering::Acquire)
    }

    fn wait_for_writer(&self, state: &mut MutexGuard<'_, State>) {
        while state.writer.is_none() {
            self.ended.wait(state);
        }
    }

    /// The writer is back: those who wait for it, or for what it has done, hear of it.
    fn tell(&self, state: &mut MutexGuard<'_, State>) {
        let safe = state.safe;
        self.safe.store(safe, Ordering::Release);
        self.durable.store(state.durable.below, Ordering::Release);
        self.ended.notify_all();
        if let Some(listener) = &self.listener {
            MutexGuard::unlocked(state, || listener(safe));
        }
    }

    /// Bytes of lines that wait to be written: a master that cannot write stops to accept changes before they
    /// fill its memory.
    pub fn pending_bytes(&self) -> usize {
        self.state.lock().queue.bytes()
    }

    /// The failure that holds lines up, if there is one.
    pub fn failure(&self) -> Option<CommitError> {
        self.state
            .lock()
            .failure
            .as_ref()
            .map(|(error, _)| error.clone())
    }

    /// Waits until all lines below `version` are safe. Returns the number below which all are.
    ///
    /// # Errors
    /// When the lines cannot be written now. They stay pending; whoever waits for them asks again, e.g. with
    /// [`Journal::commit_until`].
    pub fn commit(&self, version: u64) -> Result<u64, CommitError> {
        let safe = self.safe();
        if safe >= version {
            return Ok(safe);
        }
        let mut state = self.state.lock();
        debug_assert!(
            version <= state.next,
            "commit of a line that was not pushed"
        );
        // Lines that were never pushed cannot become safe by waiting.
        let version = version.min(state.next);
        while state.safe < version {
            if state.writer.is_some() {
                self.write(&mut state)?;
            } else {
                self.ended.wait(&mut state);
            }
        }
        Ok(state.safe)
    }

    /// As [`Journal::commit`], tries again until `deadline`.
    ///
    /// # Errors
    /// The failure of the last try.
    pub fn commit_until(&self, version: u64, deadline: Instant) -> Result<u64, CommitError> {
        loop {
            match self.commit(version) {
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {
                    let mut state = self.state.lock();
                    let retry = state.failure.as_ref().map(|(_, retry)| *retry);
                    if let Some(retry) = retry {
                        self.ended.wait_until(&mut state, retry.min(deadline));
                    }
                }
                done => return done,
            }
        }
    }

    /// As [`Journal::commit`], but does not wait for another writer. It may itself write: in
    /// [`SaveMode::Written`] that is a copy into the page cache, in [`SaveMode::Synced`] it waits for the disk, so
    /// that asynchronous code calls it on a thread that may block.
    pub fn try_commit(&self, version: u64) -> TryCommit {
        let safe = self.safe();
        if safe >= version {
            return TryCommit::Done(safe);
        }
        let mut state = self.state.lock();
        if state.safe < version {
            if state.writer.is_none() {
                return TryCommit::Busy;
            }
            if let Err(error) = self.write(&mut state) {
                return TryCommit::Failed(error);
            }
        }
        TryCommit::Done(state.safe)
    }

    /// Writes everything that is pending and does the rotations that are due, also when there is no line.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn flush(&self) -> Result<u64, CommitError> {
        let mut state = self.state.lock();
        self.wait_for_writer(&mut state);
        self.write(&mut state)?;
        Ok(state.safe)
    }

    /// Lines for a follower that wants number `from` next: at most `most`, only safe ones; none if there is
    /// nothing new. `None`: it is too far behind and has to begin with an image.
    pub fn read(&self, from: u64, most: usize) -> Option<Lines> {
        let state = self.state.lock();
        state.recent.read(from, state.safe, most)
    }

    /// Writes what is pending. The writer must be there. The lock is not held during the calls to the
    /// system.
    fn write(&self, state: &mut MutexGuard<'_, State>) -> Result<(), CommitError> {
        if let Some((error, retry)) = &state.failure
            && Instant::now() < *retry
        {
            let pending = state.queue.bytes();
            return Err(CommitError {
                pending,
                ..error.clone()
            });
        }
        let Some(mut writer) = state.writer.take() else {
            return Ok(());
        };
        let job = state.queue.take();
        let (end, sync) = (state.next, state.mode == SaveMode::Synced);
        let mut progress = Progress::default();
        let result = MutexGuard::unlocked(state, || job.write(&mut writer, sync, &mut progress));
        let doubt = writer.take_doubt();
        state.writer = Some(writer);
        let result = match result {
            Ok(()) => {
                state.safe = end;
                state.failure = None;
                state.queue.finished(job);
                Ok(())
            }
            Err(error) => {
                if let Some(version) = progress.version {
                    state.safe = version;
                }
                state.queue.put_back(job, &progress);
                let now = Instant::now();
                let since = state.failure.as_ref().map_or(now, |(old, _)| old.since);
                let error = CommitError {
                    message: error.to_string().into(),
                    kind: error.cause().kind(),
                    since,
                    pending: state.queue.bytes(),
                };
                state.failure = Some((error.clone(), now + RETRY));
                Err(error)
            }
        };
        if doubt {
            let safe = state.safe;
            state.durable.doubt(safe);
        }
        if result.is_ok() && sync {
            state.durable.lines_synced(end);
        }
        self.tell(state);
        result
    }
}

#[cfg(test)]
mod tests;
