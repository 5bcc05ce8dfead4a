//! Chunks (there are no chunkservers), and what tools ask of objects.

use mfs_proto::msg;

use super::{Effect, Generator, Made, made};
use crate::script::Body;

fn file(g: &mut Generator, slot: usize) -> Option<usize> {
    match g.rng.u8(..20) {
        0 => Some(g.world.any(&mut g.rng, slot)),
        1 if !g.world.gone.is_empty() => Some(g.world.gone[g.rng.usize(..g.world.gone.len())]),
        _ => g.world.file(&mut g.rng, slot),
    }
}

fn index(g: &mut Generator) -> u32 {
    match g.rng.u8(..12) {
        0 => 0x7FFF_FFFF,
        1 => 0x8000_0000,
        2 => u32::MAX,
        3..8 => 0,
        _ => g.rng.u32(..40),
    }
}

pub(super) fn read_chunk(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = file(g, slot)?;
    let index = index(g);
    let body = g.inode(Body::new(), slot, node).u32(index);
    let body = if g.is_old() {
        body
    } else {
        body.u8(g.rng.u8(..8))
    };
    Some(made(msg::CLTOMA_FUSE_READ_CHUNK, body))
}

pub(super) fn write_chunk(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = file(g, slot)?;
    let flags = g.rng.u8(..8);
    // With the flag for the reserved space (4) the original makes room for all chunks up to the index before
    // it finds that there are no chunkservers, and keeps it (README, "Not sent").
    let index = if flags & 4 != 0 {
        0x8000_0000 | g.rng.u32(..)
    } else {
        index(g)
    };
    let body = g.inode(Body::new(), slot, node).u32(index);
    let body = if g.is_old() { body } else { body.u8(flags) };
    Some(made(msg::CLTOMA_FUSE_WRITE_CHUNK, body))
}

pub(super) fn write_chunk_end(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = file(g, slot)?;
    let chunkid = g.rng.u64(..5);
    let length = if g.rng.bool() {
        0
    } else {
        g.rng.u64(..1 << 30)
    };
    let index = index(g);
    let body = g.inode(Body::new().u64(chunkid), slot, node);
    let body = match g.rng.u8(..10) {
        0 => body.u64(length),
        1 => body.u64(length).u8(g.rng.u8(..8)),
        _ => body.u32(index).u64(length).u8(g.rng.u8(..8)),
    };
    Some(made(msg::CLTOMA_FUSE_WRITE_CHUNK_END, body))
}

pub(super) fn append(g: &mut Generator, slot: usize) -> Option<Made> {
    let (to, from) = (file(g, slot)?, file(g, slot)?);
    let mut bound = || match g.rng.u8(..6) {
        0 => 0x8000_0000,
        1 => g.rng.u32(..),
        _ => g.rng.u32(..6),
    };
    let (first, last) = (if bound() % 2 == 0 { 0 } else { bound() }, bound());
    let flags = if g.rng.u8(..4) == 0 {
        g.rng.u8(..)
    } else {
        g.rng.u8(..4)
    };
    let body = g.inode(Body::new().u8(flags), slot, to);
    let body = g.inode(body, slot, from).u32(first).u32(last);
    // The old form is not sent: it appends nothing there (README).
    Some(made(msg::CLTOMA_FUSE_APPEND_SLICE, g.cred(body)))
}

pub(super) fn repair(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = file(g, slot)?;
    let body = g.inode(Body::new(), slot, node);
    let body = g.caller(body);
    Some(made(msg::CLTOMA_FUSE_REPAIR, body))
}

pub(super) fn check(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = file(g, slot)?;
    let body = g.inode(Body::new(), slot, node);
    let body = if g.rng.bool() {
        body
    } else {
        body.u32(index(g))
    };
    Some(made(msg::CLTOMA_FUSE_CHECK, body))
}

fn of_any(g: &mut Generator, slot: usize, message: u32) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    Some(made(message, g.inode(Body::new(), slot, node)))
}

pub(super) fn dirstats(g: &mut Generator, slot: usize) -> Option<Made> {
    of_any(g, slot, msg::CLTOMA_FUSE_GETDIRSTATS)
}

pub(super) fn parents(g: &mut Generator, slot: usize) -> Option<Made> {
    of_any(g, slot, msg::CLTOMA_FUSE_PARENTS)
}

pub(super) fn paths(g: &mut Generator, slot: usize) -> Option<Made> {
    of_any(g, slot, msg::CLTOMA_FUSE_PATHS)
}

pub(super) fn node_info(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let entries = if g.rng.bool() { 500 } else { g.rng.u32(..6) };
    // Not from the middle of a file, and not nothing from the middle of a directory (README, "Not sent").
    let page = g.page(slot).filter(|_| entries > 0 && g.rng.u8(..3) == 0);
    let (node, body) = match page {
        Some((dir, edge)) => {
            let body = g.exact(Body::new(), slot, dir);
            (dir, body.u32(entries).hole(edge))
        }
        None => (node, g.exact(Body::new(), slot, node).u32(entries).u64(0)),
    };
    let request = made(msg::CLTOMA_NODE_INFO, body);
    Some(if g.is_old() {
        request.without_mid()
    } else {
        request.effect(Effect::Paged {
            dir: g.seen(slot, node),
        })
    })
}

pub(super) fn statfs(_: &mut Generator, _: usize) -> Option<Made> {
    Some(made(msg::CLTOMA_FUSE_STATFS, Body::new()))
}
