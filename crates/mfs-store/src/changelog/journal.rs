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
//! deletion of the copies of a chunk, waits for that in every mode. Lines become durable by [`Journal::sync`], by
//! their writing in [`SaveMode::Synced`], and by an image that has their changes ([`Journal::image_stored`]). After a
//! failed sync nobody knows what is on the disk, and a later sync that succeeds says nothing of what the failed one
//! was to write: then only an image helps.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use thiserror::Error;

use super::recent::{Lines, Recent};
use super::writer::{WriteError, Writer};

/// Time between two tries to write after a failure.
pub const RETRY: Duration = Duration::from_millis(200);
/// A spare buffer larger than this is given back after a burst, bytes.
const SPARE_MAX: usize = 16 << 20;

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

/// Lines cannot be brought to the disk.
#[derive(Debug, Error)]
pub enum SyncError {
    /// They cannot even be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The sync failed.
    #[error("changelog can't be brought to the disk: {0}")]
    Sync(#[source] WriteError),
    /// An earlier sync failed, or a file of the log was replaced.
    #[error("changes below {below} may not be on the disk until an image is stored")]
    Doubt {
        /// An image of this version or a later one ends it.
        below: u64,
    },
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

/// A rotation that is due between two lines.
struct Mark {
    /// Bytes of the pending lines before it.
    at: usize,
    /// Number of the first line behind it.
    version: u64,
    back_logs: u32,
    stored: u64,
}

/// Lines on their way to the file.
#[derive(Default)]
struct Queue {
    lines: Vec<u8>,
    marks: Vec<Mark>,
}

struct State {
    queue: Queue,
    /// Number of the next line.
    next: u64,
    /// All lines below it are safe.
    safe: u64,
    /// All changes below it are on the disk.
    durable: u64,
    /// The files that were there at the start are on the disk.
    found_synced: bool,
    /// Changes below it may not be on the disk whatever a sync says, as long as `durable` is not as high.
    doubt: u64,
    /// `None` while someone writes.
    writer: Option<Writer>,
    /// An empty buffer to swap with.
    spare: Vec<u8>,
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
    /// Copy of [`State::durable`].
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
                durable: 0,
                found_synced: false,
                doubt: 0,
                writer: Some(writer),
                spare: Vec::new(),
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
        let lines = &mut state.queue.lines;
        lines.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(text);
        lines.push(b'\n');
        state.recent.push(number, ts, text);
    }

    /// Orders a rotation behind the lines pushed so far; it is done with the next write. `stored` as in
    /// [`rotate`](super::rotate). Called under the exclusive section that takes the snapshot of an image: the new
    /// file begins with the image's version.
    pub fn push_rotation(&self, back_logs: u32, stored: u64) {
        let mut state = self.state.lock();
        let mark = Mark {
            at: state.queue.lines.len(),
            version: state.next,
            back_logs,
            stored,
        };
        state.queue.marks.push(mark);
    }

    /// All lines below this number are safe. Costs a read of memory.
    pub fn safe(&self) -> u64 {
        self.safe.load(Ordering::Acquire)
    }

    /// All changes below this version are on the disk. Costs a read of memory.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Brings all lines to the disk; the first time everything that was found in the directory, too. Gives the version
    /// below which all changes are on the disk then. It takes as long as the disk takes; others go on writing
    /// meanwhile.
    ///
    /// # Errors
    /// See [`SyncError`]; [`Journal::durable`] stays.
    pub fn sync(&self) -> Result<u64, SyncError> {
        let mut state = self.state.lock();
        state.without_doubt()?;
        self.wait_for_writer(&mut state);
        self.write(&mut state)?;
        self.wait_for_writer(&mut state);
        // With the writer at hand all lines below it are in a file.
        let (end, found) = (state.safe, !state.found_synced);
        let Some(writer) = state.writer.take() else {
            return Ok(state.durable);
        };
        let to_sync = MutexGuard::unlocked(&mut state, || writer.to_sync(found));
        state.writer = Some(writer);
        self.tell(&mut state);
        let to_sync = to_sync.map_err(SyncError::Sync)?;
        let result = MutexGuard::unlocked(&mut state, || to_sync.sync());
        match result {
            Ok(()) => {
                state.found_synced = true;
                state.without_doubt()?;
                state.durable = state.durable.max(end);
            }
            Err(error) => {
                // Lines that were being written at that time count as well.
                state.doubt = state.doubt.max(state.next);
                return Err(SyncError::Sync(error));
            }
        }
        self.durable.store(state.durable, Ordering::Release);
        Ok(state.durable)
    }

    /// An image of this version has been stored, and brought to the disk.
    pub fn image_stored(&self, version: u64) {
        let mut state = self.state.lock();
        state.durable = state.durable.max(version);
        self.durable.store(state.durable, Ordering::Release);
    }

    /// What was loaded is not in the directory of the log, but came from an image that may lie anywhere: it is on the
    /// disk when an image has been stored.
    pub fn loaded_from_elsewhere(&self) {
        let mut state = self.state.lock();
        state.doubt = state.doubt.max(state.safe);
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
        self.durable.store(state.durable, Ordering::Release);
        self.ended.notify_all();
        if let Some(listener) = &self.listener {
            MutexGuard::unlocked(state, || listener(safe));
        }
    }

    /// Bytes of lines that wait to be written: a master that cannot write stops to accept changes before they
    /// fill its memory.
    pub fn pending_bytes(&self) -> usize {
        self.state.lock().queue.lines.len()
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
            let pending = state.queue.lines.len();
            return Err(CommitError {
                pending,
                ..error.clone()
            });
        }
        let Some(mut writer) = state.writer.take() else {
            return Ok(());
        };
        let spare = std::mem::take(&mut state.spare);
        let queue = &mut state.queue;
        let mut job = Queue {
            lines: std::mem::replace(&mut queue.lines, spare),
            marks: std::mem::take(&mut queue.marks),
        };
        let (end, mode) = (state.next, state.mode);
        let mut done = Done::default();
        let result = MutexGuard::unlocked(state, || work(&mut writer, &job, mode, &mut done));
        let doubt = writer.take_doubt();
        state.writer = Some(writer);
        let result = match result {
            Ok(()) => {
                state.safe = end;
                state.failure = None;
                job.lines.clear();
                if job.lines.capacity() <= SPARE_MAX {
                    state.spare = job.lines;
                }
                Ok(())
            }
            Err(error) => {
                state.put_back(job, &done);
                let now = Instant::now();
                let since = state.failure.as_ref().map_or(now, |(old, _)| old.since);
                let error = CommitError {
                    message: error.to_string().into(),
                    kind: error.cause().kind(),
                    since,
                    pending: state.queue.lines.len(),
                };
                state.failure = Some((error.clone(), now + RETRY));
                Err(error)
            }
        };
        if doubt {
            state.doubt = state.doubt.max(state.safe);
        }
        let synced = result.is_ok() && mode == SaveMode::Synced && state.found_synced;
        if synced && state.without_doubt().is_ok() {
            state.durable = state.durable.max(end);
        }
        self.tell(state);
        result
    }
}

/// How far a job got.
#[derive(Default)]
struct Done {
    bytes: usize,
    marks: usize,
    /// Lines below it are written.
    version: Option<u64>,
}

fn work(
    writer: &mut Writer,
    job: &Queue,
    mode: SaveMode,
    done: &mut Done,
) -> Result<(), WriteError> {
    let sync = mode == SaveMode::Synced;
    for mark in &job.marks {
        writer.append(job.lines.get(done.bytes..mark.at).unwrap_or_default(), sync)?;
        done.bytes = mark.at;
        done.version = Some(mark.version);
        done.marks += 1;
        // Without it everything still works: lines go to the old file.
        match writer.rotate(mark.back_logs, mark.stored) {
            Ok(rotated) if rotated.extra > 0 => tracing::warn!(
                extra = rotated.extra,
                "changelogs kept beyond BACK_LOGS: no stored image has their changes"
            ),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "changelog not rotated"),
        }
    }
    let result = writer.append(job.lines.get(done.bytes..).unwrap_or_default(), sync);
    for notice in writer.take_notices() {
        tracing::warn!("{notice}");
    }
    result
}

impl State {
    fn without_doubt(&self) -> Result<(), SyncError> {
        if self.durable < self.doubt {
            return Err(SyncError::Doubt { below: self.doubt });
        }
        Ok(())
    }

    /// Puts what was not written in front of what came meanwhile.
    fn put_back(&mut self, mut job: Queue, done: &Done) {
        if let Some(version) = done.version {
            self.safe = version;
        }
        job.lines.drain(..done.bytes);
        job.marks.drain(..done.marks);
        for mark in &mut job.marks {
            mark.at -= done.bytes;
        }
        let shift = job.lines.len();
        job.lines.append(&mut self.queue.lines);
        job.marks
            .extend(self.queue.marks.drain(..).map(|mark| Mark {
                at: mark.at + shift,
                ..mark
            }));
        std::mem::swap(&mut self.queue.lines, &mut job.lines);
        self.queue.marks = job.marks;
        self.spare = job.lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faulty::{Call, Fault, FaultyFs};
    use std::sync::atomic::AtomicUsize;

    const ENOSPC: i32 = 28;
    const OPTIONS: JournalOptions = JournalOptions {
        mode: SaveMode::Written,
        preserve_seconds: 100,
    };

    fn setup(options: JournalOptions) -> (tempfile::TempDir, FaultyFs, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let fs = FaultyFs::default();
        let writer = Writer::with_fs(dir.path(), 5, Arc::new(fs.clone()));
        (dir, fs, Journal::new(writer, 1, options))
    }

    fn log(dir: &tempfile::TempDir, i: u32) -> String {
        std::fs::read_to_string(dir.path().join(format!("changelog.{i}.mfs"))).unwrap_or_default()
    }

    fn lines(numbers: std::ops::RangeInclusive<u64>) -> String {
        numbers.map(|n| format!("{n}: 5|IDLE()\n")).collect()
    }

    fn push(journal: &Journal, numbers: std::ops::RangeInclusive<u64>) {
        for n in numbers {
            journal.push(n, 5, b"5|IDLE()");
        }
    }

    #[test]
    fn one_write_for_many_lines() {
        let (dir, fs, journal) = setup(OPTIONS);
        push(&journal, 1..=10);
        assert_eq!((journal.safe(), log(&dir, 0)), (1, String::new()));
        assert_eq!(journal.commit(5).unwrap(), 11);
        assert_eq!(log(&dir, 0), lines(1..=10));
        assert!(matches!(journal.try_commit(11), TryCommit::Done(11)));
        assert_eq!(fs.calls().iter().filter(|c| **c == Call::Write).count(), 1);
        assert!(!fs.calls().contains(&Call::Sync));
        journal.set_options(JournalOptions {
            mode: SaveMode::Synced,
            ..OPTIONS
        });
        push(&journal, 11..=11);
        journal.commit(12).unwrap();
        assert!(fs.calls().contains(&Call::Sync));
    }

    #[test]
    fn nothing_is_safe_before_it_is_written() {
        let (dir, fs, journal) = setup(OPTIONS);
        push(&journal, 1..=2);
        fs.plan(
            Call::Write,
            &[Fault::Short(9), Fault::Errno(ENOSPC), Fault::Errno(ENOSPC)],
        );
        let error = journal.commit(2).unwrap_err();
        assert_eq!(error.kind, io::ErrorKind::StorageFull);
        assert_eq!((journal.safe(), log(&dir, 0)), (1, String::new()));
        assert_eq!(journal.pending_bytes(), lines(1..=2).len());
        assert!(journal.failure().is_some());
        // The next try is not made at once, so that a full disk costs no time.
        let calls = fs.calls().len();
        assert!(matches!(journal.try_commit(2), TryCommit::Failed(_)));
        assert_eq!(fs.calls().len(), calls);
        assert_eq!(
            journal.read(1, 10).unwrap().len(),
            0,
            "followers get safe lines only"
        );
        // Lines that come meanwhile keep their order.
        push(&journal, 3..=4);
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(journal.commit_until(5, deadline).unwrap(), 5);
        assert_eq!(log(&dir, 0), lines(1..=4));
        assert!(journal.failure().is_none());
        assert_eq!(journal.read(1, 10).unwrap().len(), 4);
        assert_eq!(journal.pending_bytes(), 0);
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let (_dir, fs, journal) = setup(OPTIONS);
        push(&journal, 1..=1);
        fs.die_at(0);
        let error = journal.commit_until(2, Instant::now()).unwrap_err();
        assert!(error.since <= Instant::now());
        assert_eq!(error.pending, lines(1..=1).len());
    }

    #[test]
    fn a_rotation_keeps_its_place_among_the_lines() {
        let (dir, fs, journal) = setup(OPTIONS);
        push(&journal, 1..=3);
        journal.push_rotation(5, 1);
        push(&journal, 4..=5);
        // The lines before it are written, those behind it not.
        fs.plan(Call::Write, &[Fault::Pass, Fault::Errno(ENOSPC)]);
        journal.commit(6).unwrap_err();
        assert_eq!(journal.safe(), 4);
        push(&journal, 6..=6);
        journal.push_rotation(5, 4);
        push(&journal, 7..=7);
        journal
            .commit_until(8, Instant::now() + Duration::from_secs(60))
            .unwrap();
        assert_eq!(
            (log(&dir, 2), log(&dir, 1), log(&dir, 0)),
            (lines(1..=3), lines(4..=6), lines(7..=7))
        );
        // Without lines it is done by a flush.
        journal.push_rotation(5, 8);
        assert_eq!(journal.flush().unwrap(), 8);
        assert_eq!((log(&dir, 1), log(&dir, 0)), (lines(7..=7), String::new()));
        // One that fails leaves everything working.
        push(&journal, 8..=8);
        journal.commit(9).unwrap();
        fs.plan(Call::Rename, &[Fault::Errno(5)]);
        journal.push_rotation(5, 8);
        push(&journal, 9..=9);
        journal.commit(10).unwrap();
        assert_eq!(log(&dir, 0), lines(8..=9));
    }

    fn count(fs: &FaultyFs, call: Call) -> usize {
        fs.calls().iter().filter(|c| **c == call).count()
    }

    #[test]
    fn a_sync_makes_durable_what_a_write_does_not() {
        let (dir, fs, journal) = setup(OPTIONS);
        for (name, text) in [
            ("changelog.1.mfs", ""),
            ("metadata.mfs.back", "x"),
            ("mfsmaster.lock", ""),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        push(&journal, 1..=3);
        journal.commit(4).unwrap();
        assert_eq!((journal.safe(), journal.durable()), (4, 0));
        // A line that is not even written yet is written first.
        push(&journal, 4..=4);
        assert_eq!(journal.sync().unwrap(), 5);
        assert_eq!((journal.safe(), journal.durable()), (5, 5));
        assert_eq!(log(&dir, 0), lines(1..=4));
        // Both changelogs and the image that were found, the file that is written, and the names.
        assert_eq!(
            (count(&fs, Call::Sync), count(&fs, Call::SyncDir)),
            (4, 1),
            "{:?}",
            fs.calls()
        );
        push(&journal, 5..=5);
        assert_eq!((journal.sync().unwrap(), count(&fs, Call::Sync)), (6, 5));
        // What was rotated away has been synced by that.
        push(&journal, 6..=6);
        journal.push_rotation(5, 1);
        push(&journal, 7..=7);
        assert_eq!((journal.sync().unwrap(), count(&fs, Call::Sync)), (8, 7));
        assert_eq!((log(&dir, 1), log(&dir, 0)), (lines(1..=6), lines(7..=7)));
    }

    #[test]
    fn synced_lines_are_durable_once_the_files_of_the_start_are() {
        let (_dir, fs, journal) = setup(JournalOptions {
            mode: SaveMode::Synced,
            ..OPTIONS
        });
        push(&journal, 1..=1);
        journal.commit(2).unwrap();
        assert_eq!(journal.durable(), 0, "an older file may be missing");
        journal.sync().unwrap();
        let syncs = count(&fs, Call::Sync);
        push(&journal, 2..=2);
        journal.commit(3).unwrap();
        assert_eq!((journal.durable(), count(&fs, Call::Sync)), (3, syncs + 1));
        // The lines are written again after a failure, so nothing is in doubt.
        fs.plan(Call::Sync, &[Fault::Errno(5)]);
        push(&journal, 3..=3);
        journal.commit(4).unwrap_err();
        assert_eq!((journal.safe(), journal.durable()), (3, 3));
        journal
            .commit_until(4, Instant::now() + Duration::from_secs(60))
            .unwrap();
        assert_eq!(journal.durable(), 4);
    }

    #[test]
    fn after_a_failed_sync_only_an_image_helps() {
        for call in [Call::Sync, Call::SyncDir] {
            let (_dir, fs, journal) = setup(OPTIONS);
            journal.sync().unwrap();
            push(&journal, 1..=2);
            journal.commit(3).unwrap();
            fs.plan(call, &[Fault::Errno(5)]);
            assert!(matches!(journal.sync(), Err(SyncError::Sync(_))));
            // The system says yes to the next one, but has forgotten what it could not write.
            push(&journal, 3..=3);
            let calls = fs.calls().len();
            let error = journal.sync().unwrap_err();
            assert!(matches!(error, SyncError::Doubt { below: 3 }), "{error}");
            assert_eq!((fs.calls().len(), journal.durable()), (calls, 1));
            journal.image_stored(2);
            assert_eq!(journal.durable(), 2);
            journal.sync().unwrap_err();
            // Clients are served all the time.
            journal.commit(4).unwrap();
            journal.image_stored(3);
            assert_eq!(journal.durable(), 3);
            assert_eq!(journal.sync().unwrap(), 4);
        }
    }

    #[test]
    fn whatever_breaks_the_log_off_is_in_doubt() {
        // A rotation whose sync fails, or whose names cannot be changed.
        for call in [Call::Sync, Call::Rename, Call::SyncDir] {
            let (_dir, fs, journal) = setup(OPTIONS);
            push(&journal, 1..=1);
            journal.sync().unwrap();
            push(&journal, 2..=2);
            journal.push_rotation(5, 1);
            fs.plan(call, &[Fault::Errno(5)]);
            assert_eq!(journal.flush().unwrap(), 3);
            journal.sync().unwrap_err();
            assert_eq!(journal.durable(), 2, "{call:?}");
            journal.image_stored(3);
            assert_eq!(journal.sync().unwrap(), 3);
        }
        // Another file in the place of the log.
        let (dir, _, journal) = setup(OPTIONS);
        push(&journal, 1..=1);
        journal.commit(2).unwrap();
        let path = dir.path().join("changelog.0.mfs");
        std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        push(&journal, 2..=2);
        let error = journal.sync().unwrap_err();
        assert!(matches!(error, SyncError::Doubt { below: 3 }), "{error}");
        // A log that was unlinked and made again is synced as a whole.
        let (dir, fs, journal) = setup(OPTIONS);
        push(&journal, 1..=1);
        journal.sync().unwrap();
        let syncs = count(&fs, Call::Sync);
        std::fs::remove_file(dir.path().join("changelog.0.mfs")).unwrap();
        push(&journal, 2..=2);
        journal.commit(3).unwrap();
        assert_eq!(count(&fs, Call::Sync), syncs + 1);
        assert_eq!((journal.durable(), journal.sync().unwrap()), (2, 3));
        // A state from an image that is not in the directory.
        let (_dir, _, journal) = setup(OPTIONS);
        journal.loaded_from_elsewhere();
        journal.sync().unwrap_err();
        journal.image_stored(1);
        assert_eq!(journal.sync().unwrap(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_not_durable() {
        let (_dir, fs, journal) = setup(OPTIONS);
        journal.sync().unwrap();
        push(&journal, 1..=1);
        fs.plan(Call::Write, &[Fault::Errno(ENOSPC)]);
        assert!(matches!(journal.sync(), Err(SyncError::Commit(_))));
        assert_eq!((journal.safe(), journal.durable()), (1, 1));
        let deadline = Instant::now() + Duration::from_secs(60);
        journal.commit_until(2, deadline).unwrap();
        assert_eq!(journal.sync().unwrap(), 2);
    }

    #[test]
    fn many_threads() {
        let (dir, fs, journal) = setup(OPTIONS);
        fs.plan(
            Call::Write,
            &[Fault::Pass, Fault::Short(100), Fault::Errno(ENOSPC)],
        );
        let next = Mutex::new(1u64);
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let journal = journal.with_listener(Box::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let mine = {
                            let mut next = next.lock();
                            journal.push(*next, 5, b"5|IDLE()");
                            *next += 1;
                            *next
                        };
                        let deadline = Instant::now() + Duration::from_secs(60);
                        assert!(journal.commit_until(mine, deadline).unwrap() >= mine);
                        assert!(journal.safe() >= mine);
                    }
                });
            }
            // Syncs go on beside the writes, and promise no more than was written when they began.
            scope.spawn(|| {
                while journal.durable() < 2001 {
                    let safe = journal.safe();
                    if let Ok(durable) = journal.sync() {
                        assert!(durable >= safe && durable <= journal.safe());
                    }
                }
            });
        });
        assert_eq!(journal.safe(), 2001);
        assert_eq!(journal.durable(), 2001);
        assert_eq!(log(&dir, 0), lines(1..=2000));
        assert!(told.load(Ordering::Relaxed) > 0);
        let kept = journal.read(1, usize::MAX).unwrap();
        assert_eq!(kept.len(), 2000);
        assert!(kept.iter().all(|(_, text)| text == b"5|IDLE()"));
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn numbers_have_no_gaps() {
        let (_dir, _, journal) = setup(OPTIONS);
        journal.push(2, 5, b"5|IDLE()");
    }
}
