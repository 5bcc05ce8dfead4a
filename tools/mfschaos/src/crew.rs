//! The writers as threads, and the moments in which all of them stand still.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use antler_e2e::workload::Random;
use anyhow::{Result, bail};
use nix::sched::{CloneFlags, unshare};
use parking_lot::{Mutex, MutexGuard};

use crate::cluster::Cluster;
use crate::writer::{Shared, Writer};

/// Time between two operations of one writer, milliseconds at most: a few hundred operations a
/// second are enough to be in the middle of one at any moment.
const THINK: usize = 12;

/// How long a writer may hang after everything is well again.
const STUCK: Duration = Duration::from_secs(150);

#[derive(Debug, Default)]
struct Control {
    pausing: AtomicBool,
    stopping: AtomicBool,
    /// The first wrong file that a writer found.
    wrong: Mutex<Option<String>>,
}

/// All writers.
#[derive(Debug)]
pub(crate) struct Crew {
    writers: Vec<Arc<Mutex<Writer>>>,
    /// The file that two of them share.
    pub(crate) shared: Arc<Shared>,
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts writers on the cluster's mounts, one after the other; traces go to `dir`.
    ///
    /// # Errors
    /// When a directory or a trace cannot be made.
    pub(crate) fn start(
        cluster: &Cluster,
        count: u8,
        random: &mut Random,
        dir: &std::path::Path,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let control = Arc::new(Control::default());
        std::fs::File::create(cluster.root().join(Shared::NAME))?;
        let mut crew = Self {
            writers: Vec::new(),
            shared,
            control,
            threads: Vec::new(),
        };
        for (id, mount) in (0..count).zip(cluster.mounts.iter().cycle()) {
            let trace = std::fs::File::create(dir.join(format!("writer-{id}.log")))?;
            let writer = Writer::new(
                id,
                &mount.path(),
                &cluster.net,
                Arc::clone(&crew.shared),
                random.next_u64(),
                trace,
            );
            std::fs::create_dir(cluster.root().join(&writer.name))?;
            crew.writers.push(Arc::new(Mutex::new(writer)));
        }
        let ready = Arc::new(Barrier::new(crew.writers.len() + 1));
        for writer in &crew.writers {
            let (writer, control) = (Arc::clone(writer), Arc::clone(&crew.control));
            let ready = Arc::clone(&ready);
            let mut random = Random::new(random.next_u64());
            crew.threads.push(std::thread::spawn(move || {
                // A table of open files of its own: else every program that we start inherits the
                // writers' files for a moment, and closing them waits for the very chunkservers
                // that the program shall bring back.
                let unshared = unshare(CloneFlags::CLONE_FILES);
                ready.wait();
                match unshared {
                    Ok(()) => work(&writer, &control, &mut random),
                    Err(error) => {
                        let text = format!("cannot unshare the table of open files: {error}");
                        control.wrong.lock().get_or_insert(text);
                    }
                }
            }));
        }
        // None has opened a file before all have a table of their own.
        ready.wait();
        Ok(crew)
    }

    /// Lets all writers finish what they do and keeps them from going on until
    /// [`Paused::resume`].
    ///
    /// # Errors
    /// When one does not finish, or when one found a wrong file.
    pub(crate) fn pause(&self) -> Result<Paused<'_>> {
        self.control.pausing.store(true, Ordering::Release);
        let mut paused = Paused {
            writers: Vec::new(),
            control: &self.control,
        };
        let end = Instant::now() + STUCK;
        for (number, writer) in self.writers.iter().enumerate() {
            match writer.try_lock_until(end) {
                Some(guard) => paused.writers.push(guard),
                None => bail!(
                    "writer {number} hangs in one operation for {STUCK:?} though all servers run"
                ),
            }
        }
        self.check()?;
        Ok(paused)
    }

    /// Whether a writer found a wrong file.
    ///
    /// # Errors
    /// What it found.
    pub(crate) fn check(&self) -> Result<()> {
        match self.control.wrong.lock().take() {
            Some(text) => bail!(text),
            None => Ok(()),
        }
    }

    /// Ends all writers.
    ///
    /// # Errors
    /// As [`Crew::pause`].
    pub(crate) fn stop(mut self) -> Result<()> {
        self.control.stopping.store(true, Ordering::Release);
        for thread in std::mem::take(&mut self.threads) {
            if thread.join().is_err() {
                bail!("a writer panicked");
            }
        }
        self.check()
    }
}

/// All writers, standing still.
#[derive(Debug)]
pub(crate) struct Paused<'a> {
    /// Their state.
    pub(crate) writers: Vec<MutexGuard<'a, Writer>>,
    control: &'a Control,
}

impl Paused<'_> {
    /// Lets them go on. After an error nobody calls this, and what is wrong stays as it is.
    pub(crate) fn resume(self) {
        self.control.pausing.store(false, Ordering::Release);
    }
}

fn work(writer: &Mutex<Writer>, control: &Control, random: &mut Random) {
    while !control.stopping.load(Ordering::Acquire) {
        let mut writer = writer.lock();
        // Asked under the lock: who waited for it may have been told to stand still meanwhile.
        if !control.pausing.load(Ordering::Acquire)
            && let Err(text) = writer.step()
        {
            control.wrong.lock().get_or_insert(text);
            return;
        }
        drop(writer);
        std::thread::sleep(Duration::from_millis(random.below(THINK) as u64));
    }
}
