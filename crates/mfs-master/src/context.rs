//! What a request is executed with.

use triomphe::Arc;

use mfs_meta::records::SessionParams;
use mfs_proto::Version;

use crate::access::{Accessible, ReadState};
use crate::live::LiveSession;
use crate::master::{Batch, Master, Txn};
use crate::net::Conn;

/// How the handling of a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The answer, if there is one, has been appended to the output.
    Done,
    /// The connection is to be closed for this reason; what has been answered before still leaves.
    Close(&'static str),
    /// The answer comes later, through [`Live::answer`](crate::live::Live::answer).
    Later,
}

/// The context of a request. Access to the state is taken for as short as possible, and only one at a time:
/// drop a [`ReadState`] before asking for a [`Txn`].
pub struct Ctx<'a> {
    /// The master.
    pub master: &'a Master,
    /// The connection that the request came from.
    pub conn: &'a mut Conn,
    /// The time, seconds; the same for a whole batch of requests. It never decreases.
    pub now: u32,
    access: &'a dyn Accessible,
    batch: &'a Batch,
}

impl<'a> Ctx<'a> {
    /// A context at time `now`, with access to the state of `master`; what it reads and makes is noted in
    /// `batch`.
    pub fn new(
        master: &'a Master,
        conn: &'a mut Conn,
        now: u32,
        access: &'a dyn Accessible,
        batch: &'a Batch,
    ) -> Ctx<'a> {
        Ctx {
            master,
            conn,
            now,
            access,
            batch,
        }
    }

    /// Shared access to the state. The answer may tell of changes of others that are not safe yet, so it waits
    /// for them (architecture, rule 3).
    #[inline]
    pub fn read(&self) -> ReadState<'a> {
        let state = self.access.read();
        self.batch.depends_on(state.meta.version());
        state
    }

    /// Exclusive access to the state.
    #[inline]
    pub fn begin(&self) -> Txn<'a> {
        Txn::new(
            self.access,
            self.master.gate.journal(),
            self.now,
            self.batch,
        )
    }

    /// The session of the connection; one with number 0 and without rights before the registration.
    #[inline]
    #[must_use]
    pub fn session(&self) -> &LiveSession {
        &self.conn.session
    }

    /// What the registration decided about the session.
    #[inline]
    #[must_use]
    pub fn params(&self) -> Arc<SessionParams> {
        Arc::clone(&self.conn.params)
    }

    /// Counts an operation of the session (index of spec 04 §14).
    #[inline]
    pub fn count(&self, operation: usize) {
        self.conn.session.counters.count(operation);
    }

    /// Version of the client, which decides layouts.
    #[inline]
    #[must_use]
    pub fn version(&self) -> Version {
        self.conn.version
    }

    /// IPv4 address of the client.
    #[inline]
    #[must_use]
    pub fn peer_ip(&self) -> u32 {
        u32::from(self.conn.peer)
    }
}
