//! The commit gate: nothing that depends on a change leaves the server before its line is safe (architecture,
//! rule 3; spec 08 §8.13).
//!
//! When lines are safe once the operating system has them (`CHANGELOG_SAVE_MODE` 0 and 1), the first
//! connection that needs its lines writes everything that is pending itself. When they have to be on the disk
//! (mode 2), and whenever writing fails, a thread of its own writes, and connections wait for it.
//!
//! While lines cannot be written (a full disk), nothing that may depend on them is answered: neither the changes
//! themselves nor reads made after them, which would show what a crash takes away. Clients wait, and NOPs keep
//! them connected. The thread tries again each second; when it succeeds all answers leave.
//!
//! What a power cut must not make a mistake waits longer, in every mode: until its lines are on the disk
//! ([`Gate::sync`]). Another thread sees to that.

mod syncer;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mfs_store::changelog::{CommitError, Journal, JournalOptions, SaveMode, TryCommit};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use self::syncer::Syncer;

/// Time between two tries to write lines that could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// How often the log is reminded that lines cannot be written.
const REMIND: Duration = Duration::from_secs(60);

/// See the module.
pub struct Gate {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    syncer: Syncer,
}

struct Shared {
    journal: Arc<Journal>,
    /// Told when a write has ended, well or not.
    written: Arc<Notify>,
    /// Lines have to be on the disk.
    sync: AtomicBool,
    /// The last write failed.
    failing: AtomicBool,
    orders: Mutex<Orders>,
    ordered: Condvar,
}

#[derive(Default)]
struct Orders {
    flush: bool,
    stop: bool,
}

impl Gate {
    /// A gate in front of `journal`, and its threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new(journal: Journal, mode: SaveMode) -> std::io::Result<Gate> {
        let written = Arc::new(Notify::new());
        let listener = Arc::clone(&written);
        let shared = Arc::new(Shared {
            journal: Arc::new(journal.with_listener(Box::new(move |_| listener.notify_waiters()))),
            written,
            sync: AtomicBool::new(mode == SaveMode::Synced),
            failing: AtomicBool::new(false),
            orders: Mutex::default(),
            ordered: Condvar::new(),
        });
        let syncer = Syncer::start(Arc::clone(&shared.journal))?;
        let thread = std::thread::Builder::new()
            .name("changelog".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.write_orders()
            })?;
        Ok(Gate {
            shared,
            thread: Mutex::new(Some(thread)),
            syncer,
        })
    }

    /// The journal behind the gate.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Whether all lines below `version` are safe. Costs a read of memory.
    #[inline]
    #[must_use]
    pub fn is_safe(&self, version: u64) -> bool {
        self.shared.journal.safe() >= version
    }

    /// Whether lines cannot be written at present. Periodic jobs pause then.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Waits until all lines below `version` are safe.
    pub async fn commit(&self, version: u64) {
        while !self.is_safe(version) {
            let mut written = pin!(self.shared.written.notified());
            written.as_mut().enable();
            if self.is_safe(version) || self.shared.write_now(version) {
                return;
            }
            written.await;
        }
    }

    /// Sees to it that all lines below `version` become safe soon, without waiting.
    pub fn hasten(&self, version: u64) {
        if !self.is_safe(version) && !self.shared.write_now(version) {
            self.shared.order();
        }
    }

    /// Sees to it that everything that is pending is written soon, rotations included.
    pub fn flush(&self) {
        self.shared.order();
    }

    /// Sees to it that all changes below `version` come to the disk, without waiting
    /// ([`Journal::durable`] tells how far that is). It is tried until it succeeds.
    pub fn sync(&self, version: u64) {
        self.syncer.order(version);
    }

    /// Waits on this thread until everything pushed so far is safe, at most until `deadline`.
    ///
    /// # Errors
    /// The lines cannot be written.
    pub fn flush_until(&self, version: u64, deadline: Instant) -> Result<(), CommitError> {
        self.shared
            .journal
            .commit_until(version, deadline)
            .map(|_| ())
    }

    /// Changes how lines are written.
    pub fn set_options(&self, options: JournalOptions) {
        self.shared.journal.set_options(options);
        let sync = options.mode == SaveMode::Synced;
        self.shared.sync.store(sync, Ordering::Relaxed);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.orders.lock().stop = true;
        self.shared.ordered.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // It only ends by returning or by a panic that has been reported.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Writes on this thread if that cannot take long; else leaves it to the other thread. True when lines
    /// below `version` are safe.
    fn write_now(&self, version: u64) -> bool {
        if self.sync.load(Ordering::Relaxed) || self.failing.load(Ordering::Relaxed) {
            self.order();
            return false;
        }
        match self.journal.try_commit(version) {
            TryCommit::Done(_) => true,
            TryCommit::Busy => false,
            TryCommit::Failed(_) => {
                self.failing.store(true, Ordering::Relaxed);
                self.order();
                false
            }
        }
    }

    fn order(&self) {
        let mut orders = self.orders.lock();
        if !orders.flush {
            orders.flush = true;
            self.ordered.notify_one();
        }
    }

    /// The thread.
    fn write_orders(&self) {
        let mut failed: Option<Failure> = None;
        loop {
            let mut orders = self.orders.lock();
            while !orders.flush && !orders.stop {
                self.ordered.wait(&mut orders);
            }
            if orders.stop {
                return;
            }
            orders.flush = false;
            drop(orders);
            match self.journal.flush() {
                Ok(_) => {
                    self.failing.store(false, Ordering::Relaxed);
                    if let Some(failure) = failed.take() {
                        tracing::warn!(
                            seconds = failure.since.elapsed().as_secs(),
                            "changelog is written again, held answers leave"
                        );
                    }
                    // Those who ordered while the flag was set wait for a write that may be over.
                    self.written.notify_waiters();
                }
                Err(error) => {
                    self.failing.store(true, Ordering::Relaxed);
                    failed.get_or_insert_with(Failure::new).report(&error);
                    let mut orders = self.orders.lock();
                    orders.flush = true;
                    if !orders.stop {
                        self.ordered.wait_for(&mut orders, RETRY);
                    }
                }
            }
        }
    }
}

/// A time in which lines cannot be written.
struct Failure {
    since: Instant,
    reported: Option<Instant>,
}

impl Failure {
    fn new() -> Failure {
        Failure {
            since: Instant::now(),
            reported: None,
        }
    }

    fn report(&mut self, error: &CommitError) {
        if self.reported.is_some_and(|last| last.elapsed() < REMIND) {
            return;
        }
        self.reported = Some(Instant::now());
        tracing::error!(
            %error,
            pending_bytes = error.pending,
            "changes can't be logged: clients wait, nothing is answered until this is over"
        );
    }
}
