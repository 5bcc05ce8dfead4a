//! FLOCK and POSIX_LOCK (spec 04 §7.8). The rules are in [`crate::live::locks`].

use mfs_meta::Status;
use mfs_proto::client::Reply;
use mfs_proto::client::lock::{Flock, PosixLock, posix_cmd};

use super::Done;
use crate::context::Ctx;
use crate::live::locks::{self, Asker, Verdict};

fn asker(ctx: &Ctx<'_>) -> Asker {
    Asker {
        session: ctx.session().id,
        connection: ctx.conn.id(),
    }
}

/// FLOCK 492.
pub(super) fn flock(ctx: &Ctx<'_>, r: &Flock) -> Result<Verdict, Status> {
    locks::flock(&mut ctx.begin(), asker(ctx), r)
}

/// POSIX_LOCK 494.
pub(super) fn posix(ctx: &Ctx<'_>, r: &PosixLock, out: &mut Vec<u8>) -> Result<Done, Status> {
    if r.cmd == posix_cmd::GET {
        let found = locks::posix_get(&ctx.read().meta, ctx.session().id, r)?;
        Reply::PosixLock(found).encode(r.mid, ctx.version(), out);
        return Ok(Done::Answered);
    }
    locks::posix(&mut ctx.begin(), asker(ctx), r).map(Done::from)
}
