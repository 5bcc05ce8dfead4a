//! Brings lines to the disk when somebody asks, on a thread of its own: a sync takes as long as the disk takes, and
//! answers go on leaving meanwhile.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mfs_store::changelog::Journal;
use parking_lot::{Condvar, Mutex};

use super::REMIND;

/// Time between two tries after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The thread. It stops when this is dropped.
pub(super) struct Syncer {
    orders: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    orders: Mutex<Orders>,
    ordered: Condvar,
}

#[derive(Default)]
struct Orders {
    /// All changes below it have to be on the disk.
    version: u64,
    stop: bool,
}

impl Syncer {
    pub(super) fn start(journal: Arc<Journal>) -> std::io::Result<Syncer> {
        let orders = Arc::<Queue>::default();
        let thread = std::thread::Builder::new().name("sync".into()).spawn({
            let orders = Arc::clone(&orders);
            move || run(&journal, &orders)
        })?;
        Ok(Syncer {
            orders,
            thread: Some(thread),
        })
    }

    /// Sees to it that all changes below `version` come to the disk, without waiting.
    pub(super) fn order(&self, version: u64) {
        let mut orders = self.orders.orders.lock();
        if orders.version < version {
            orders.version = version;
            self.orders.ordered.notify_one();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.orders.orders.lock().stop = true;
        self.orders.ordered.notify_one();
        if let Some(thread) = self.thread.take() {
            // It only ends by returning or by a panic that has been reported.
            let _ = thread.join();
        }
    }
}

fn run(journal: &Journal, queue: &Queue) {
    let mut failing_since: Option<Instant> = None;
    let mut reported: Option<Instant> = None;
    loop {
        let mut orders = queue.orders.lock();
        while !orders.stop && orders.version <= journal.durable() {
            queue.ordered.wait(&mut orders);
        }
        if orders.stop {
            return;
        }
        drop(orders);
        match journal.sync() {
            Ok(_) => {
                if let Some(since) = failing_since.take()
                    && reported.take().is_some()
                {
                    tracing::warn!(
                        seconds = since.elapsed().as_secs(),
                        "changes come to the disk again, deletions of chunks go on"
                    );
                }
            }
            Err(error) => {
                failing_since.get_or_insert_with(Instant::now);
                if reported.is_none_or(|last| last.elapsed() >= REMIND) {
                    reported = Some(Instant::now());
                    tracing::error!(
                        %error,
                        "the changelog can't be brought to the disk: useless copies of chunks are not deleted until this is over"
                    );
                }
                let mut orders = queue.orders.lock();
                if !orders.stop {
                    queue.ordered.wait_for(&mut orders, RETRY);
                }
            }
        }
    }
}
