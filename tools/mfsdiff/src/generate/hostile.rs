//! What no client sends: frames that end the connection, registrations out of place.

use mfs_proto::client::Request;
use mfs_proto::client::property::ClassRef;
use mfs_proto::register::BLOB;
use mfs_proto::{Version, msg};

use super::{Effect, Generator, Made, made};
use crate::script::{Body, Ref};
use crate::slots::{ADMIN, ROAMING, Role, SLOTS};

/// A request with another length or another byte.
pub(super) fn mutated(g: &mut Generator, slot: usize) -> Option<Made> {
    let at = super::pick(&mut g.rng, super::MOUNT.iter().map(|m| m.0));
    let mut request = (super::MOUNT[at].1)(g, slot)?;
    let allowed = request.msg >= 400 && !unsafe_to_mutate(request.msg);
    // Every one may end the connection; that of the administrator is needed.
    let deadly = match SLOTS[slot].role {
        // NODE_INFO before a registration ends the original.
        Role::Stranger => request.msg == msg::CLTOMA_NODE_INFO,
        // Chunks of any file are open to its meta mounts.
        Role::Meta => matches!(
            request.msg,
            msg::CLTOMA_FUSE_READ_CHUNK
                | msg::CLTOMA_FUSE_WRITE_CHUNK
                | msg::CLTOMA_FUSE_WRITE_CHUNK_END
        ),
        _ => false,
    };
    if !allowed || slot == ADMIN || request.solo || deadly {
        return None;
    }
    let len = request.body.len();
    request.body = match g.rng.u8(..4) {
        0 => request.body.resize(len + g.rng.usize(1..9)),
        1 => request.body.resize(g.rng.usize(..=len)),
        2 => request.body.resize(len.saturating_sub(g.rng.usize(1..5))),
        // A count or a length inside.
        _ => {
            let (at, value) = (g.rng.usize(..len.max(1)), g.rng.u8(..));
            request.body.poke(at.max(4), value)
        }
    };
    if names_no_class(&request) {
        return None;
    }
    request.effect = Effect::None;
    Some(request.solo())
}

/// A SETSCLASS with an empty name, which names a deleted class to the original (README, "Not sent").
fn names_no_class(made: &Made) -> bool {
    // Which object it is about makes no difference.
    let payload = [vec![0; 4], made.body.resolve(|_| 0)].concat();
    match Request::decode(made.msg, &payload, Version::MASTER) {
        Ok(Request::Setsclass(r)) => {
            r.class == ClassRef::Name(b"") || r.old_class.is_some_and(<[u8]>::is_empty)
        }
        _ => false,
    }
}

/// Messages that a changed length or byte could turn into something that is not sent at all (README, "Not sent").
fn unsafe_to_mutate(message: u32) -> bool {
    matches!(
        message,
        msg::CLTOMA_FUSE_ACCESS
            | msg::CLTOMA_FUSE_SETATTR
            | msg::CLTOMA_FUSE_RENAME
            | msg::CLTOMA_FUSE_PARENTS
            | msg::CLTOMA_FUSE_POSIX_LOCK
            | msg::CLTOMA_FUSE_FLOCK
            | msg::CLTOMA_FUSE_QUOTACONTROL
            | msg::CLTOMA_FUSE_APPEND_SLICE
            | msg::CLTOMA_FUSE_ARCHCTL
            | msg::CLTOMA_FUSE_TRUNCATE
            | msg::CLTOMA_FUSE_SETXATTR
            | msg::CLTOMA_FUSE_SETEATTR
    )
}

/// A message that nobody knows, or that does not belong here.
pub(super) fn unknown(g: &mut Generator, slot: usize) -> Option<Made> {
    if slot == ADMIN {
        return None;
    }
    let number = match g.rng.u8(..6) {
        0 => g.rng.u32(..),
        1 => msg::CLTOMA_FUSE_FSYNC,
        2 => msg::MATOCL_FUSE_LOOKUP,
        3 => g.rng.u32(..400),
        4 => 0,
        _ => g.rng.u32(1..3),
    };
    // Types 100 and up to 199 have no meaning here; the monitoring messages are another matter.
    if (500..560).contains(&number)
        || (350..=360).contains(&number)
        || number == msg::ANTOAN_GET_VERSION
    {
        return None;
    }
    let body = Body::new().resize(g.rng.usize(..40));
    Some(made(number, body).without_mid().solo())
}

/// CLOSESESSION: of a session that nobody has, or of its own.
pub(super) fn close_session(g: &mut Generator, slot: usize) -> Option<Made> {
    if slot == ADMIN {
        return None;
    }
    let body = Body::new().bytes(BLOB).u8(6);
    let body = match g.rng.u8(..4) {
        0 => body.u32(g.rng.u32(0x1000..)).hole(Ref::Metaid),
        1 => body.hole(Ref::Session(slot)).u64(g.rng.u64(..)),
        2 => body.hole(Ref::Session(slot)),
        _ => body.hole(Ref::Session(slot)).hole(Ref::Metaid),
    };
    Some(made(msg::CLTOMA_FUSE_REGISTER, body).without_mid().solo())
}

/// What may be sent instead of a registration, and registrations that are refused.
pub(super) fn register(g: &mut Generator, _: usize) -> Option<Made> {
    let body = Body::new().bytes(BLOB);
    let version = 0x0003_00EA;
    let body = match g.rng.u8(..14) {
        0 => body.u8(1),
        1 => body.u8(1).u8(0),
        2 => body,
        3 => body.u8(g.rng.u8(7..)),
        4 => Body::new().bytes(&[b'x'; 64]).u8(1),
        // Without a password, with a wrong one.
        5 => body.u8(2).u32(version).blob(b"/x\0").blob(b"/\0"),
        6 => body
            .u8(2)
            .u32(version)
            .blob(b"/x\0")
            .blob(b"/\0")
            .bytes(&[7; 16]),
        7 => body.u8(2).u32(version).blob(b"/x\0").blob(b"/"),
        8 => body
            .u8(2)
            .u32(version)
            .blob(b"/x\0")
            .blob(b"/nothing/../here\0"),
        9 => body.u8(5).u32(version).blob(b"/x\0"),
        // Sessions that nobody has, a wrong id of the metadata.
        10 => body
            .u8(3)
            .u32(g.rng.u32(0x1000..))
            .u32(version)
            .hole(Ref::Metaid),
        11 => body.u8(4).u32(g.rng.u32(0x1000..)).u32(version),
        12 => body
            .u8(3)
            .hole(Ref::Session(1))
            .u32(version)
            .u64(g.rng.u64(..)),
        // A session that may roam.
        _ => body
            .u8(3)
            .hole(Ref::Session(ROAMING))
            .u32(version)
            .hole(Ref::Metaid),
    };
    Some(made(msg::CLTOMA_FUSE_REGISTER, body).without_mid().solo())
}
