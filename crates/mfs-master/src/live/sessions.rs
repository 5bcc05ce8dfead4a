//! Sessions as the running master sees them: which connections each has (spec 07 §7.3).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mfs_meta::Metadata;
use mfs_meta::records::SessionParams;
use mfs_meta::{Counters, Session};
use mfs_proto::Version;
use parking_lot::RwLock;

use crate::net::Link;

/// Parameters as the metadata shares them.
pub type Params = triomphe::Arc<SessionParams>;

/// A session, shared by its connections, so that requests need no look-up.
pub struct LiveSession {
    /// Number; 0 for connections without a session.
    pub id: u32,
    /// Operation counters; the metadata has the same ones.
    pub counters: triomphe::Arc<Counters>,
    params: RwLock<Params>,
    /// Counts changes of `params`.
    epoch: AtomicU32,
    /// Version of the client that registered last.
    last_version: AtomicU32,
}

impl LiveSession {
    fn new(id: u32, session: &Session) -> LiveSession {
        LiveSession {
            id,
            counters: session.counters.clone(),
            params: RwLock::new(session.params.clone()),
            epoch: AtomicU32::new(0),
            last_version: AtomicU32::new(0),
        }
    }

    /// What connections have that are not registered: number 0 and no rights.
    #[must_use]
    pub fn none() -> LiveSession {
        LiveSession {
            id: 0,
            counters: triomphe::Arc::new(Counters::default()),
            params: RwLock::new(triomphe::Arc::new(SessionParams::default())),
            epoch: AtomicU32::new(0),
            last_version: AtomicU32::new(0),
        }
    }

    /// The parameters, and the epoch that [`LiveSession::refresh`] wants.
    #[must_use]
    pub fn params(&self) -> (Params, u32) {
        let params = self.params.read();
        (params.clone(), self.epoch.load(Ordering::Acquire))
    }

    /// Brings a copy of the parameters up to date: another connection may have registered the session
    /// again. Costs a read of memory when nothing has changed.
    #[inline]
    pub fn refresh(&self, params: &mut Params, epoch: &mut u32) {
        if self.epoch.load(Ordering::Acquire) != *epoch {
            (*params, *epoch) = self.params();
        }
    }

    /// Version of the client that registered last, 0 if none has since the master started.
    #[must_use]
    pub fn last_version(&self) -> Version {
        Version(self.last_version.load(Ordering::Relaxed))
    }

    /// Notes the version of a client that registers.
    pub fn set_last_version(&self, version: Version) {
        self.last_version.store(version.0, Ordering::Relaxed);
    }

    fn replace(&self, params: Params) {
        let mut current = self.params.write();
        *current = params;
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

struct Entry {
    session: Arc<LiveSession>,
    /// Connections in the order of their registration, mounts and tools.
    links: Vec<Arc<Link>>,
}

/// All sessions of the metadata with their connections.
#[derive(Default)]
pub struct Sessions {
    entries: HashMap<u32, Entry>,
}

impl Sessions {
    /// The sessions of `meta`, all without connections.
    #[must_use]
    pub fn new(meta: &Metadata) -> Sessions {
        let mut sessions = Sessions::default();
        for (id, session) in meta.sessions() {
            sessions.put(id, session);
        }
        sessions
    }

    /// Enters a session that was added to the metadata, or takes over its changed parameters. Returns it.
    pub fn put(&mut self, id: u32, session: &Session) -> Arc<LiveSession> {
        let entry = self.entries.entry(id).or_insert_with(|| Entry {
            session: Arc::new(LiveSession::new(id, session)),
            links: Vec::new(),
        });
        entry.session.replace(session.params.clone());
        Arc::clone(&entry.session)
    }

    /// A session.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&Arc<LiveSession>> {
        self.entries.get(&id).map(|entry| &entry.session)
    }

    /// Forgets a session that was removed from the metadata.
    pub fn remove(&mut self, id: u32) {
        self.entries.remove(&id);
    }

    /// Attaches a connection.
    pub fn attach(&mut self, id: u32, link: Arc<Link>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.links.push(link);
        }
    }

    /// Detaches a connection; true if it was the session's last one.
    pub fn detach(&mut self, id: u32, link: &Link) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let before = entry.links.len();
        entry.links.retain(|other| other.id() != link.id());
        before > 0 && entry.links.is_empty()
    }

    /// All connections of a session, in the order of their registration.
    #[must_use]
    pub fn links(&self, id: u32) -> &[Arc<Link>] {
        self.entries.get(&id).map_or(&[], |entry| &entry.links)
    }

    /// The connections of a session that are mounts, not tools.
    pub fn mounts(&self, id: u32) -> impl Iterator<Item = &Arc<Link>> {
        self.links(id).iter().filter(|link| link.is_mount())
    }

    /// Numbers of the sessions that have a connection.
    pub fn connected(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries
            .iter()
            .filter(|(_, entry)| !entry.links.is_empty())
            .map(|(&id, _)| id)
    }
}
