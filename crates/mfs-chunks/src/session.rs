//! Write sessions, and the fence behind those that may have been given up.
//!
//! A client that gets no answer from a chunkserver ends its session after 2 s and begins another one, in which it
//! sends again what was not confirmed. What it sent first may still be under way: to a server that stood still, in
//! the buffers between two servers. When that arrives behind newer data for the same place, the copies differ, and
//! some reads give what was overwritten. The original has this hole, because a session after an orderly end keeps the
//! version (spec 05 §8.2). A chunkserver refuses data for another version than the one that a session began with, so
//! raising the version keeps the old data out: the session after one that took long does that.

use mfs_meta::{ChunkInfo, Metadata};

use crate::effect::Log;
use crate::state::{Chunks, TICKS_PER_SECOND};

/// Ticks after which a client may have given up: a quarter of what it takes. Sessions of applications that wait for
/// each of their writes are far shorter.
const GIVEN_UP: u64 = TICKS_PER_SECOND as u64 / 2;

/// Who asks for a chunk, and by which file.
#[derive(Clone, Copy)]
pub(crate) struct User {
    inode: u32,
    session: u32,
}

impl User {
    pub(crate) fn new(inode: u32, session: u32) -> User {
        User { inode, session }
    }
}

impl Chunks {
    /// Whether a lock does not hold this user up, because it can only be the user's own: it was granted by an earlier
    /// run of the master, and nobody else who is there has the file open (to cut it, nobody has to). A client whose
    /// grant was lost with the master asks again, and locks have no owner (spec 05 §10.1): the original lets it wait
    /// for two minutes. Since the start nothing was done with the chunk, so its version will be raised, which keeps
    /// out whatever is still under way, also of a client that is away and keeps its files open until its session is
    /// removed.
    pub(crate) fn may_pass_lock(
        &self,
        meta: &Metadata,
        row: u32,
        info: &ChunkInfo,
        by: User,
    ) -> bool {
        let is_left = self.copies.needs_increase(row)
            && !self.sessions.contains_key(&info.id)
            && !self.copies.has_operation(row)
            && !self.unresolved.contains(&info.id)
            && info.refs <= 1;
        let is_away = |id: u32| meta.session(id).is_some_and(|s| s.disconnected != 0);
        is_left
            && meta
                .sessions_of_open(by.inode)
                .all(|id| id == by.session || is_away(id))
    }

    /// A client may write, or may go on.
    pub(crate) fn session_begins(&mut self, row: u32, chunk: u64) {
        self.copies.set_writing(row, true);
        self.sessions.entry(chunk).or_insert(self.tick);
    }

    /// Nobody writes to the chunk any more.
    pub(crate) fn session_ends(&mut self, log: &dyn Log, row: u32) {
        self.copies.set_writing(row, false);
        let chunk = log.meta().chunk_in_row(row).map_or(0, |info| info.id);
        if let Some(since) = self.sessions.remove(&chunk)
            && self.tick - since >= GIVEN_UP
        {
            self.copies.set_needs_increase(row, true);
        }
    }

    /// The lock has run out: the client is gone, or does not come back to it.
    pub(crate) fn session_runs_out(&mut self, log: &dyn Log, row: u32) {
        if self.copies.is_writing(row) {
            self.session_ends(log, row);
            self.copies.set_needs_increase(row, true);
        }
    }
}
