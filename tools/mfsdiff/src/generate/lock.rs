//! flock, POSIX locks, and the list of open files, whose closing releases them.

use mfs_proto::client::lock::{flock_cmd, posix_cmd};
use mfs_proto::msg;

use super::{Effect, Generator, Made, NodeId, made};
use crate::script::Body;

/// A file that the session has open, nearly always; from few, so that locks meet.
fn opened(g: &mut Generator, slot: usize) -> Option<NodeId> {
    let opened = &g.world.opened[slot];
    if g.rng.u8(..20) == 0 || opened.is_empty() {
        return g.world.file(&mut g.rng, slot);
    }
    // What other sessions have open too.
    let shared: Vec<NodeId> = opened
        .iter()
        .copied()
        .filter(|node| {
            let slots = g.world.opened.iter().filter(|list| list.contains(node));
            slots.count() > 1
        })
        .collect();
    let pool = if shared.is_empty() || g.rng.u8(..4) == 0 {
        opened
    } else {
        &shared
    };
    Some(pool[pool.len() - 1 - g.rng.usize(..pool.len().min(4))])
}

pub(super) fn flock(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = opened(g, slot)?;
    let cmd = if node.is_multiple_of(2) {
        // Readers stay behind a writer that has given up waiting in the original: no writers wait where there are
        // readers (README, "Not sent").
        [
            flock_cmd::UNLOCK,
            flock_cmd::TRY_SHARED,
            flock_cmd::LOCK_SHARED,
            flock_cmd::LOCK_SHARED,
            flock_cmd::TRY_EXCLUSIVE,
            flock_cmd::RELEASE,
            flock_cmd::INTERRUPT,
        ][g.rng.usize(..7)]
    } else {
        [
            flock_cmd::UNLOCK,
            flock_cmd::UNLOCK,
            flock_cmd::TRY_EXCLUSIVE,
            flock_cmd::LOCK_EXCLUSIVE,
            flock_cmd::INTERRUPT,
            flock_cmd::RELEASE,
        ][g.rng.usize(..6)]
    };
    let (request, owner) = (g.rng.u32(1..6), g.rng.u64(1..4));
    let body = g.exact(Body::new(), slot, node);
    Some(made(
        msg::CLTOMA_FUSE_FLOCK,
        body.u32(request).u64(owner).u8(cmd),
    ))
}

pub(super) fn posix(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = opened(g, slot)?;
    let cmd = match g.rng.u8(..20) {
        0..5 => posix_cmd::GET,
        5..9 => posix_cmd::SET,
        9..18 => posix_cmd::TRY,
        _ => posix_cmd::INTERRUPT,
    };
    let kind = g.rng.u8(..3);
    let (request, owner, pid) = (g.rng.u32(1..6), g.rng.u64(1..4), g.rng.u32(1..9));
    // Empty and reversed ranges are refused by ours only (README, "Not sent").
    let start = g.rng.u64(..20);
    let end = if g.rng.u8(..4) == 0 {
        u64::MAX
    } else {
        start + g.rng.u64(1..20)
    };
    let body = g
        .exact(Body::new(), slot, node)
        .u32(request)
        .u64(owner)
        .u32(pid);
    let body = body.u8(cmd).u8(kind).u64(start).u64(end);
    Some(made(msg::CLTOMA_FUSE_POSIX_LOCK, body))
}

pub(super) fn sustained(g: &mut Generator, slot: usize) -> Option<Made> {
    let mut kept = Vec::new();
    let mut body = Body::new();
    for node in g.world.opened[slot].clone() {
        if g.rng.u8(..10) < 7 {
            kept.push(node);
            body = g.exact(body, slot, node);
        }
    }
    // None twice: the original notes it twice, and its image has it twice (README, "Not sent").
    match g.rng.u8(..12) {
        0 => body = body.u32(0),
        1 if kept.is_empty() => body = body.u32(g.rng.u32(3..500)),
        2 => {
            if let Some(node) = g
                .world
                .file(&mut g.rng, slot)
                .filter(|node| !kept.contains(node))
            {
                kept.push(node);
                body = g.exact(body, slot, node);
            }
        }
        _ => {}
    }
    let message = if g.rng.u8(..6) == 0 {
        msg::CLTOMA_FUSE_SUSTAINED_INODES_DEPRECATED
    } else {
        msg::CLTOMA_FUSE_SUSTAINED_INODES
    };
    Some(
        made(message, body)
            .without_mid()
            .effect(Effect::Closed { slot, kept }),
    )
}
