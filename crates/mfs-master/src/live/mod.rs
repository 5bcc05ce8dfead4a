//! Live state: what the master knows while it runs and no line tells (architecture, "The server").
//!
//! It is under the same lock as the metadata. Sessions and their connections are in [`sessions`]; advisory locks
//! that wait in [`locks`], the data-cache map in [`cache`], append reservations in [`append`].

pub mod append;
pub mod cache;
pub mod locks;
pub mod sessions;

use mfs_meta::Metadata;
use mfs_proto::Version;

pub use sessions::{LiveSession, Sessions};

/// See the module.
#[derive(Default)]
pub struct Live {
    /// Sessions and their connections.
    pub sessions: Sessions,
    /// Requests that wait for an advisory lock.
    pub locks: locks::Locks,
    /// Which session may keep cached data of which file (spec 04 §10).
    pub cache: cache::DataCache,
    /// Ends of files that appending clients have reserved (spec 07 §7.13.2).
    pub append: append::Reservations,
}

impl Live {
    /// The live state of a master that has just loaded: its sessions are known and have no connections.
    #[must_use]
    pub fn new(meta: &Metadata) -> Live {
        Live {
            sessions: Sessions::new(meta),
            ..Live::default()
        }
    }

    /// Sends a whole frame that nobody asked for to every mount connection of a session. It leaves when all
    /// lines below `version` are safe.
    pub fn notify(&self, session: u32, frame: &[u8], version: u64) {
        self.notify_if(session, |_| true, frame, version);
    }

    /// As [`Live::notify`], to connections whose client version `understands` the frame.
    pub fn notify_if(
        &self,
        session: u32,
        understands: impl Fn(Version) -> bool,
        frame: &[u8],
        version: u64,
    ) {
        for link in self.sessions.mounts(session) {
            if understands(link.version()) {
                link.post(frame, version);
            }
        }
    }

    /// Sends a whole frame that nobody asked for to every mount whose client version `understands` it. It leaves
    /// when all lines below `version` are safe.
    pub fn notify_all_if(&self, understands: impl Fn(Version) -> bool, frame: &[u8], version: u64) {
        for session in self.sessions.connected() {
            self.notify_if(session, &understands, frame, version);
        }
    }

    /// Sends the answer of a request that had to wait: to the connection that it came from, or, when the
    /// client has connected again meanwhile, to the session's latest one. False if the session has no
    /// connection; the answer is lost then. It leaves when all lines below `version` are safe.
    pub fn answer(&self, session: u32, connection: u64, frame: &[u8], version: u64) -> bool {
        let links = self.sessions.links(session);
        let link = links
            .iter()
            .find(|link| link.id() == connection)
            .or_else(|| links.last());
        if let Some(link) = link {
            link.post(frame, version);
        }
        link.is_some()
    }
}
