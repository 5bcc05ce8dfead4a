//! Requests that may have to wait: READ_CHUNK, WRITE_CHUNK and TRUNCATE (spec 04 §9).
//!
//! A request is executed once when it arrives. If its chunk is locked or busy it waits and is executed again from
//! the start, with all tests of rights and quotas, by whoever makes the chunk free; if chunkservers have to do
//! something first, it is completed when they have. The same functions run in all three cases, and know nothing of
//! the connection but the [`Asker`].

use mfs_chunks::{Done as ChunkDone, RequestId};
use mfs_config::AccessTimeMode;
use mfs_meta::Status;
use mfs_proto::client::data::{ChunkRequest, Truncate};
use mfs_proto::client::{Cred, status_reply};
use mfs_proto::msg;

use super::asker::{Asker, Origin};
use super::{Done, chunks, length};
use crate::chunks::settle;
use crate::context::Ctx;
use crate::master::Txn;

/// How an execution ended that found nothing wrong.
pub(super) enum Progress {
    /// The answer has been appended.
    Answered,
    /// The request waits.
    Waits {
        /// Length of the file at this time.
        length: u64,
    },
}

/// A request, as it is while it is executed.
#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    /// READ_CHUNK. The mode says when the access time of the file changes, if it is the master who changes it.
    Read(ChunkRequest, Option<AccessTimeMode>),
    /// WRITE_CHUNK.
    Write(ChunkRequest),
    /// TRUNCATE.
    Truncate(Truncate<'a>),
}

impl Call<'_> {
    fn execute(
        &self,
        txn: &mut Txn<'_>,
        asker: &Asker<'_>,
        id: RequestId,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Status> {
        match self {
            Call::Read(r, atime) => chunks::execute_read(txn, asker, id, r, *atime, out),
            Call::Write(r) => chunks::execute_write(txn, asker, id, r, out),
            Call::Truncate(r) => length::execute(txn, asker, id, r, out),
        }
    }

    /// Number of the answer, and message id.
    fn reply(&self) -> (u32, u32) {
        match self {
            Call::Read(r, _) => (msg::MATOCL_FUSE_READ_CHUNK, r.mid),
            Call::Write(r) => (msg::MATOCL_FUSE_WRITE_CHUNK, r.mid),
            Call::Truncate(r) => (msg::MATOCL_FUSE_TRUNCATE, r.mid),
        }
    }

    fn refuse(&self, status: Status, out: &mut Vec<u8>) {
        let (message, mid) = self.reply();
        status_reply(message, mid, mfs_proto::Status(status.code()), out);
    }
}

/// A request that waits, with everything that it needs.
pub(crate) struct Waiting {
    origin: Origin,
    request: Kept,
    /// Length of the file when it was executed last.
    length: u64,
}

enum Kept {
    Read(ChunkRequest, Option<AccessTimeMode>),
    Write(ChunkRequest),
    Truncate {
        mid: u32,
        inode: u32,
        flags: u8,
        length: u64,
        uid: u32,
        gids: Box<[u32]>,
    },
}

impl Kept {
    fn of(call: &Call<'_>) -> Kept {
        match call {
            Call::Read(r, atime) => Kept::Read(*r, *atime),
            Call::Write(r) => Kept::Write(*r),
            Call::Truncate(r) => Kept::Truncate {
                mid: r.mid,
                inode: r.inode,
                flags: r.flags,
                length: r.length,
                uid: r.cred.uid,
                gids: r.cred.gids.iter().collect(),
            },
        }
    }

    fn call(&self) -> Call<'_> {
        match self {
            Kept::Read(r, atime) => Call::Read(*r, *atime),
            Kept::Write(r) => Call::Write(*r),
            Kept::Truncate {
                mid,
                inode,
                flags,
                length,
                uid,
                gids,
            } => Call::Truncate(Truncate {
                mid: *mid,
                inode: *inode,
                flags: *flags,
                cred: Cred::new(*uid, gids),
                length: *length,
            }),
        }
    }
}

impl Waiting {
    /// Who asked.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Executes the request again, from the start. True if it is answered, which is in `out` then.
    pub(crate) fn execute(&mut self, txn: &mut Txn<'_>, id: RequestId, out: &mut Vec<u8>) -> bool {
        let call = self.request.call();
        match self.origin.ask(|asker| call.execute(txn, asker, id, out)) {
            Ok(Progress::Answered) => true,
            Ok(Progress::Waits { length }) => {
                self.length = length;
                false
            }
            Err(status) => {
                call.refuse(status, out);
                true
            }
        }
    }

    /// Answers the request: it has ended.
    pub(crate) fn complete(
        &self,
        txn: &mut Txn<'_>,
        result: Result<ChunkDone, Status>,
        out: &mut Vec<u8>,
    ) {
        let call = self.request.call();
        let answered = result.and_then(|done| {
            self.origin.ask(|asker| match (&call, &done) {
                (Call::Write(r), ChunkDone::Write(grant)) => {
                    chunks::granted(txn, asker, r, grant, out)
                }
                (Call::Truncate(r), ChunkDone::Truncate { grant }) => {
                    length::chunk_truncated(txn, asker, r, self.length, grant, out)
                }
                // No such request begins such an operation.
                _ => Err(Status::Io),
            })
        });
        if let Err(status) = answered {
            call.refuse(status, out);
        }
    }
}

/// Executes a request that has just arrived, in an exclusive section of its own.
pub(super) fn run(ctx: &Ctx<'_>, call: Call<'_>, out: &mut Vec<u8>) -> Result<Done, Status> {
    let mut txn = ctx.begin();
    let id = txn.chunk_state_mut().requests.number();
    let result = call.execute(&mut txn, &Asker::of(ctx), id, out);
    if let Ok(Progress::Waits { length }) = result {
        let waiting = Waiting {
            origin: Origin::of(ctx),
            request: Kept::of(&call),
            length,
        };
        txn.chunk_state_mut().requests.keep(id, waiting);
    }
    // Also after an error: the chunk was looked at, which may have ended an operation.
    settle(&mut txn);
    result.map(|progress| match progress {
        Progress::Answered => Done::Answered,
        Progress::Waits { .. } => Done::Later,
    })
}
