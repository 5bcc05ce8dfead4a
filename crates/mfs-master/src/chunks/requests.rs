//! Requests of clients that wait for chunkservers or for a chunk to be unlocked (spec 04 §9).

use std::collections::{BTreeSet, HashMap};

use mfs_chunks::{Done, RequestId};
use mfs_meta::Status;

use crate::client::Waiting;
use crate::master::Txn;

/// Requests of one connection that may wait. A mount sends no more than it has threads, some hundreds; who has more
/// is closed, and what its requests have begun is undone.
const MOST_WAITING: usize = 4096;

/// The requests that wait.
#[derive(Default)]
pub struct Requests {
    last: u64,
    waiting: HashMap<RequestId, Waiting>,
    /// By connection: what goes with it.
    of_connection: HashMap<u64, BTreeSet<RequestId>>,
    /// Sessions and connections of which too many requests wait.
    greedy: Vec<(u32, u64)>,
}

impl Requests {
    /// Number of requests that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A number for a request that may have to wait.
    pub(crate) fn number(&mut self) -> RequestId {
        self.last += 1;
        RequestId(self.last)
    }

    /// Keeps a request until it has ended.
    pub(crate) fn keep(&mut self, id: RequestId, request: Waiting) {
        let connection = request.origin().connection();
        let theirs = self.of_connection.entry(connection).or_default();
        theirs.insert(id);
        if theirs.len() > MOST_WAITING {
            self.greedy.push((request.origin().session(), connection));
        }
        self.waiting.insert(id, request);
    }

    fn take(&mut self, id: RequestId) -> Option<Waiting> {
        let request = self.waiting.remove(&id)?;
        let connection = request.origin().connection();
        if let Some(theirs) = self.of_connection.get_mut(&connection) {
            theirs.remove(&id);
            if theirs.is_empty() {
                self.of_connection.remove(&connection);
            }
        }
        Some(request)
    }

    fn take_connection(&mut self, connection: u64) -> BTreeSet<RequestId> {
        let ids = self.of_connection.remove(&connection).unwrap_or_default();
        for id in &ids {
            self.waiting.remove(id);
        }
        ids
    }
}

/// Closes the connections of which too many requests wait.
pub(super) fn close_greedy(txn: &mut Txn<'_>) {
    let greedy = std::mem::take(&mut txn.chunk_state_mut().requests.greedy);
    for (session, connection) in greedy {
        for link in txn.live().sessions.links(session) {
            if link.id() == connection {
                link.close("too many of its requests wait for chunks");
            }
        }
    }
}

/// Executes a request again, from the start: its chunk has become free.
pub(super) fn resume(txn: &mut Txn<'_>, id: RequestId) {
    let Some(mut request) = txn.chunk_state_mut().requests.take(id) else {
        return;
    };
    let mut frame = Vec::new();
    if request.execute(txn, id, &mut frame) {
        answer(txn, &request, &frame, 0);
    } else {
        txn.chunk_state_mut().requests.keep(id, request);
    }
}

/// A request has ended; the answer leaves when all lines below `version` are safe.
pub(super) fn finished(
    txn: &mut Txn<'_>,
    id: RequestId,
    result: Result<Done, Status>,
    version: u64,
) {
    let Some(request) = txn.chunk_state_mut().requests.take(id) else {
        return;
    };
    let mut frame = Vec::new();
    request.complete(txn, result, &mut frame);
    answer(txn, &request, &frame, version);
}

/// The answer tells of the state as it is now.
fn answer(txn: &mut Txn<'_>, request: &Waiting, frame: &[u8], version: u64) {
    let version = version.max(txn.version());
    let origin = request.origin();
    txn.live()
        .answer(origin.session(), origin.connection(), frame, version);
}

/// A connection has ended: its requests wait no longer, and what they have begun is undone. Its client sends them
/// again when it is back.
pub(crate) fn connection_closed(txn: &mut Txn<'_>, connection: u64) {
    let requests = txn.chunk_state_mut().requests.take_connection(connection);
    if requests.is_empty() {
        return;
    }
    txn.with_chunks(|chunks, log| {
        for id in requests {
            chunks.cancel(log, id);
        }
    });
}
