//! One thread for the time-outs and NOPs of all connections (spec 04 §2.5).
//!
//! It takes neither the state's lock nor part in the runtime, so that clients hear from the master also while
//! everything else waits for a long operation or for the changelog.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::link::Limits;
use crate::master::Master;

/// Length of a tick.
const TICK: Duration = Duration::from_millis(250);

/// Each connection is looked at once in so many ticks: a second.
const ROUND: u32 = 4;

/// Spec 04 §2.5: a NOP after a second without sending, the end after more than 10 s without receiving. A client
/// that takes nothing for 30 s while answers wait for it ends as well.
const LIMITS: Limits = Limits {
    idle: ROUND as i32,
    silent: 10 * ROUND as i32,
    stuck: 30 * ROUND as i32,
};

/// The running thread; it ends when this is dropped.
pub struct KeepAlive {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KeepAlive {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(master: Arc<Master>) -> io::Result<KeepAlive> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("keepalive".into())
            .spawn({
                let stop = Arc::clone(&stop);
                move || run(&master, &stop)
            })?;
        Ok(KeepAlive {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn run(master: &Master, stop: &AtomicBool) {
    let connections = &master.connections;
    let mut links = Vec::new();
    let mut next = Instant::now() + TICK;
    loop {
        while let Some(rest) = next.checked_duration_since(Instant::now())
            && !rest.is_zero()
        {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::park_timeout(rest);
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // After a stall of the process nobody is charged for it: the clock goes on from where it stood.
        next = (next + TICK).max(Instant::now());
        let tick = connections
            .tick
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        let slot = u64::from(tick % ROUND);
        connections.collect(&mut links, |link| link.id() % u64::from(ROUND) == slot);
        for link in links.drain(..) {
            link.keep_alive(tick, &LIMITS);
        }
    }
}
