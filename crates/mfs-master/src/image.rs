//! Rotation of the changelog and images while the master serves (spec 01 §9.2, §10).
//!
//! At the full hour one exclusive section orders the rotation and takes a snapshot of the state, so the new
//! `changelog.0.mfs` begins with the image's version. The section lasts microseconds; the image is then written
//! from the snapshot on a thread of its own while the master goes on.
//!
//! A failure never ends the master. It is logged, the first one in a row also saves an emergency image
//! (spec 01 §12), and a new try follows each minute. Until one succeeds, changelogs that no stored image has the
//! changes of are kept beyond `BACK_LOGS`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mfs_meta::{Companion, View};
use mfs_store::lifecycle::{DataDir, StoreError, StoreOptions, Stored};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::master::{Master, State};

/// How long an image waits for the lines that lead to it: it must not be newer than the changelog on disk.
const LINES_WAIT: Duration = Duration::from_secs(10);

/// What an image is written from: the state at one moment.
pub struct Snapshot {
    view: View,
    /// The file beside the image: operations on chunks that are under way (spec 08, I20).
    companion: Option<Vec<u8>>,
}

impl Snapshot {
    /// The present state.
    #[must_use]
    pub fn of(state: &State) -> Snapshot {
        let unfinished = state.chunks.machine.unfinished();
        Snapshot {
            view: state.meta.view(),
            companion: unfinished.file(state.meta.version()),
        }
    }
}

/// The last image, for monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastImage {
    /// When the work ended, seconds since the epoch.
    pub finished: u32,
    /// How long it took.
    pub took: Duration,
    /// Whether the image was stored.
    pub stored: bool,
}

/// The job that stores images.
pub struct Images {
    dir: DataDir,
    /// Version of the newest stored image.
    stored: AtomicU64,
    cancel: AtomicBool,
    /// The last try failed.
    failed: AtomicBool,
    state: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    running: Option<JoinHandle<()>>,
    last: Option<LastImage>,
}

impl Images {
    /// Images of a data directory whose newest one has version `stored`.
    #[must_use]
    pub fn new(dir: DataDir, stored: u64) -> Images {
        Images {
            dir,
            stored: AtomicU64::new(stored),
            cancel: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// Version of the newest stored image.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// The last image written since the master started.
    #[must_use]
    pub fn last(&self) -> Option<LastImage> {
        self.state.lock().last
    }

    /// Whether an image is being written.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let work = self.state.lock();
        work.running
            .as_ref()
            .is_some_and(|task| !task.is_finished())
    }

    /// The full hour: rotates the changelog and, if `due`, starts an image. Must be called inside the runtime.
    pub fn hour(&self, master: &Arc<Master>, due: bool) {
        let back_logs = master.config().back_logs;
        let due = due && !self.is_running_told();
        let snapshot = {
            let state = master.state.write();
            let journal = master.gate.journal();
            journal.push_rotation(back_logs, self.stored());
            due.then(|| Snapshot::of(&state))
        };
        master.gate.flush();
        if let Some(snapshot) = snapshot {
            start(master, snapshot);
        }
    }

    fn is_running_told(&self) -> bool {
        let running = self.is_running();
        if running {
            tracing::warn!("the previous image is still being written: no new one is begun");
        }
        running
    }

    /// Tries again after a failure. Must be called inside the runtime.
    pub fn retry(&self, master: &Arc<Master>) {
        if self.failed.load(Ordering::Acquire) && !self.is_running() {
            let snapshot = Snapshot::of(&master.read());
            start(master, snapshot);
        }
    }

    /// Stores the last image as the clean one. The master has stopped to change.
    ///
    /// # Errors
    /// [`StoreError`]; trying again is safe.
    pub async fn clean_stop(&self, master: &Master) -> Result<Stored, StoreError> {
        self.cancel.store(true, Ordering::Relaxed);
        let running = self.state.lock().running.take();
        if let Some(running) = running {
            // It ends soon, with an image or without.
            let _ = running.await;
        }
        let snapshot = Snapshot::of(&master.read());
        let options = StoreOptions {
            keep_previous: master.config().back_meta_keep_previous,
            now: master.clock.now(),
            cancel: None,
            companion: snapshot.companion.as_deref(),
        };
        tokio::task::block_in_place(|| self.dir.clean_stop(&snapshot.view, &options))
    }

    /// Saves the state wherever it can be saved, and tells where. It ends early when `cancel` becomes true.
    pub fn emergency(&self, snapshot: &Snapshot, now: u32, cancel: Option<&AtomicBool>) {
        let options = StoreOptions {
            keep_previous: 0,
            now,
            cancel,
            companion: snapshot.companion.as_deref(),
        };
        match self.dir.emergency_save(&snapshot.view, &options) {
            Ok(stored) => tracing::error!(
                version = stored.written.header.version,
                "metadata file stored in emergency mode, file name: {}",
                stored.path.display()
            ),
            Err(error) => tracing::error!("{error}"),
        }
    }
}

/// Writes an image on a thread of its own.
fn start(master: &Arc<Master>, snapshot: Snapshot) {
    let task = tokio::task::spawn_blocking({
        let master = Arc::clone(master);
        move || run(&master, &snapshot)
    });
    master.images.state.lock().running = Some(task);
}

fn run(master: &Master, snapshot: &Snapshot) {
    let images = &master.images;
    let started = Instant::now();
    let now = master.clock.now();
    let done = store(master, snapshot, now);
    let took = started.elapsed();
    let last = LastImage {
        finished: master.clock.now(),
        took,
        stored: done.is_ok(),
    };
    images.state.lock().last = Some(last);
    match done {
        Ok(stored) => {
            for note in &stored.notes {
                tracing::warn!("{note}");
            }
            let version = stored.written.header.version;
            images.stored.fetch_max(version, Ordering::AcqRel);
            master.gate.journal().image_stored(version);
            images.failed.store(false, Ordering::Release);
            tracing::info!(
                version,
                bytes = stored.written.bytes,
                seconds = %format_args!("{:.3}", took.as_secs_f64()),
                "metadata stored"
            );
        }
        // Not a failure: the clean image follows.
        Err(_) if images.cancel.load(Ordering::Relaxed) => {}
        Err(error) => {
            tracing::error!(%error, "can't store metadata - trying again each minute, make space or check the disk");
            if !images.failed.swap(true, Ordering::AcqRel) {
                images.emergency(snapshot, now, Some(&images.cancel));
            }
        }
    }
}

fn store(master: &Master, snapshot: &Snapshot, now: u32) -> anyhow::Result<Stored> {
    // Nothing is published that a crash could take back (spec 08 I13).
    master
        .gate
        .flush_until(snapshot.view.version(), Instant::now() + LINES_WAIT)?;
    let options = StoreOptions {
        keep_previous: master.config().back_meta_keep_previous,
        now,
        cancel: Some(&master.images.cancel),
        companion: snapshot.companion.as_deref(),
    };
    Ok(master.images.dir.store(&snapshot.view, &options)?)
}
