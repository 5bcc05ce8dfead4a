//! The ports: listeners, connections, keep-alive (spec 04 §2).

mod budget;
mod buffers;
mod complaints;
mod connection;
mod drive;
mod keepalive;
mod link;
mod listen;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;

pub use connection::Conn;
pub(crate) use drive::{End, Executed, Protocol, drive};
pub use keepalive::KeepAlive;
pub(crate) use link::Party;
pub use link::{Link, MAILBOX_MAX};
pub use listen::{ListenError, Listener, Port, Ports};

use self::budget::Budget;
use self::complaints::Complaints;
use crate::chunks;
use crate::live::LiveSession;
use crate::master::Master;

/// File descriptors that connections leave to the rest of the process: changelog, images, other ports.
const RESERVED_FILES: u64 = 256;

/// Connections that are accepted in any case.
const MIN_CONNECTIONS: usize = 64;

/// Connections of chunkservers beyond the limit that ends those of clients: clients must not keep them out.
const CHUNKSERVERS: usize = RESERVED_FILES as usize / 2;

/// Everyone who is connected.
pub struct Connections {
    links: Mutex<HashMap<u64, Arc<Link>>>,
    next: AtomicU64,
    /// Ticks of the keep-alive: the coarse clock of all time-outs. It stands still while the process does.
    tick: AtomicU32,
    closing: AtomicBool,
    /// Told when the last connection has ended.
    empty: Notify,
    none: Arc<LiveSession>,
    budget: Budget,
    complaints: Complaints,
    turn: tokio::sync::Mutex<()>,
    /// Most connections at a time: a flood of them must not keep the changelog from being opened.
    limit: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Connections {
            links: Mutex::default(),
            next: AtomicU64::new(1),
            tick: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            empty: Notify::new(),
            none: Arc::new(LiveSession::none()),
            budget: Budget::default(),
            complaints: Complaints::default(),
            turn: tokio::sync::Mutex::default(),
            limit: connection_limit(),
        }
    }
}

impl Connections {
    /// Starts to serve an accepted connection; false if there are too many, and it is closed.
    pub(crate) fn accept(
        &self,
        master: &Arc<Master>,
        party: Party,
        stream: TcpStream,
        peer: Ipv4Addr,
    ) -> bool {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let timeout = master.config().matocs_timeout;
        let link = Arc::new(Link::new(id, party, peer, stream, timeout, self.tick()));
        let limit = match party {
            Party::Client => self.limit,
            Party::Chunkserver => self.limit.saturating_add(CHUNKSERVERS),
        };
        {
            let mut links = self.links.lock();
            if self.are_closing() {
                return true;
            }
            if links.len() >= limit {
                return false;
            }
            links.insert(id, Arc::clone(&link));
        }
        let master = Arc::clone(master);
        match party {
            Party::Client => drop(tokio::spawn(connection::serve(master, link))),
            Party::Chunkserver => drop(tokio::spawn(chunks::serve(master, link))),
        }
        true
    }

    /// Where batches that change the state queue up.
    pub(crate) fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.turn
    }

    /// The present tick of the keep-alive.
    #[inline]
    #[must_use]
    pub fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    fn ticks(&self) -> &AtomicU32 {
        &self.tick
    }

    /// Memory for requests that are not complete.
    fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Lines of the log about single clients.
    pub(crate) fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    fn no_session(&self) -> &Arc<LiveSession> {
        &self.none
    }

    /// Takes a connection that has ended from the list.
    pub(crate) fn remove(&self, id: u64) {
        let mut links = self.links.lock();
        links.remove(&id);
        if links.is_empty() {
            self.empty.notify_waiters();
        }
    }

    /// Number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.lock().len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.lock().is_empty()
    }

    /// Asks every connection that `which` chooses to end. Returns their number.
    pub fn close(&self, reason: &'static str, which: impl Fn(&Link) -> bool) -> usize {
        let links = self.links.lock();
        let chosen = links.values().filter(|link| which(link));
        chosen.map(|link| link.close(reason)).count()
    }

    /// Lets nobody in any more, asks all to end and waits for that. Sessions stay as they are: their clients
    /// come back to the next master.
    pub async fn close_all(&self, reason: &'static str) {
        self.closing.store(true, Ordering::Release);
        loop {
            let mut empty = std::pin::pin!(self.empty.notified());
            empty.as_mut().enable();
            if self.close(reason, |_| true) == 0 {
                return;
            }
            empty.await;
        }
    }

    /// Whether nobody is let in any more: the master stops.
    pub(crate) fn are_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// All connections, into `into`.
    fn collect(&self, into: &mut Vec<Arc<Link>>, which: impl Fn(&Link) -> bool) {
        into.clear();
        let links = self.links.lock();
        into.extend(links.values().filter(|link| which(link)).cloned());
    }
}

/// What the limit of open files leaves for connections.
fn connection_limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limit.current.unwrap_or(u64::MAX);
    let connections = files.saturating_sub(RESERVED_FILES);
    usize::try_from(connections)
        .unwrap_or(usize::MAX)
        .max(MIN_CONNECTIONS)
}
