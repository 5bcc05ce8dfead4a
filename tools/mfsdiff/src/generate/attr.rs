//! Attributes, permissions, opening, lengths.

use mfs_proto::msg;

use super::{Effect, Generator, Made, made};
use crate::script::Body;
use crate::slots::SLOTS;

/// Files are at most so long: beyond it UPDATE is refused by ours.
pub(crate) const LONGEST: u64 = 1 << 57;

pub(super) fn getattr(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let body = g.inode(Body::new(), slot, node);
    let body = match g.rng.u8(..12) {
        // Its user is nobody, whom only ours maps (README, "Not sent").
        0 if !SLOTS[slot].maps_all() => body,
        1 => g.old_cred(body),
        _ => {
            let opened = g.rng.u8(..2);
            g.old_cred(body.u8(opened))
        }
    };
    Some(made(msg::CLTOMA_FUSE_GETATTR, body))
}

pub(super) fn access(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let mask = if g.rng.u8(..12) == 0 {
        g.rng.u16(..)
    } else {
        g.rng.u16(..8)
    };
    let body = g.inode(Body::new(), slot, node);
    let body = if g.is_old() {
        g.old_cred(body).u8(mask as u8)
    } else {
        g.cred(body).u16(mask)
    };
    Some(made(msg::CLTOMA_FUSE_ACCESS, body))
}

pub(super) fn setattr(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let has_winattr = SLOTS[slot].version.has_attr36();
    let setmask = match g.rng.u8(..10) {
        0..3 => 0x02,
        3 => 0x04,
        4 => 0x08,
        5 => 0x0C,
        6 => 0x70,
        7 => 0x90,
        _ => g.rng.u8(..),
    };
    let (mode, uid, gid) = (g.mode(), g.uid(), g.gid());
    let (atime, mtime) = (g.time(), g.time());
    let (winattr, clear) = (g.rng.u8(..), g.rng.u8(..7));
    let values = |body: Body, setmask: u8| {
        let body = body.u8(setmask).u16(mode).u32(uid).u32(gid);
        body.u32(atime).u32(mtime)
    };
    let body = g.inode(Body::new(), slot, node);
    let body = match g.rng.u8(..30) {
        // Without the flag for opened files; the shortest also without the clear mode.
        n @ (0 | 1) => {
            // Nor is there a byte for this bit in them.
            let setmask = setmask & if has_winattr { 0xFE } else { 0xFF };
            let body = values(g.old_cred(body), setmask);
            // From newer clients the byte is read as something else (README, "Not sent").
            if n == 0 || has_winattr {
                body
            } else {
                body.u8(clear)
            }
        }
        n => {
            let opened = u8::from(n < 6);
            let body = values(g.cred(body.u8(opened)), setmask);
            let body = if has_winattr { body.u8(winattr) } else { body };
            body.u8(clear)
        }
    };
    Some(made(msg::CLTOMA_FUSE_SETATTR, body))
}

pub(super) fn open(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = match g.rng.u8(..20) {
        0 => g.world.any(&mut g.rng, slot),
        1 if !g.world.gone.is_empty() => g.world.gone[g.rng.usize(..g.world.gone.len())],
        _ => g.world.file(&mut g.rng, slot)?,
    };
    let flags = match g.rng.u8(..10) {
        0..3 => 0x05,
        3 => 0x17,
        4 => 0x15,
        5 => 0x01,
        6 => 0x03,
        7 => 0x02,
        8 => 0x0B,
        _ => g.rng.u8(..0x20),
    };
    // What is append-only cannot be written by clients that do not know of it; only the original tells them.
    let flags = if SLOTS[slot].version.has_open_flags() {
        flags
    } else {
        flags & !2
    };
    let body = g.inode(Body::new(), slot, node);
    let body = g.caller(body);
    let effect = Effect::Opened { node, slot };
    Some(made(msg::CLTOMA_FUSE_OPEN, body.u8(flags)).effect(effect))
}

fn length(g: &mut Generator) -> u64 {
    match g.rng.u8(..16) {
        0..3 => 0,
        3..7 => g.rng.u64(..200_000),
        7 => 1 << 26,
        8 => (1 << 26) * g.rng.u64(1..40),
        9 => (1 << 26) * g.rng.u64(1..40) + g.rng.u64(1..70_000),
        // Far from the longest, so that reservations do not meet it: UPDATE goes beyond it in the original.
        10 | 11 => 1 << g.rng.u32(20..48),
        _ => g.rng.u64(1..5_000_000),
    }
}

pub(super) fn truncate(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = match g.rng.u8(..30) {
        0 => g.world.any(&mut g.rng, slot),
        1 if !g.world.gone.is_empty() => g.world.gone[g.rng.usize(..g.world.gone.len())],
        _ => g.world.file(&mut g.rng, slot)?,
    };
    let mut size = length(g);
    let flags = match g.rng.u8(..16) {
        0..4 => 0,
        4..8 => 1,
        8 => 4,
        9 => 5,
        10..12 => 3,
        12..14 => 0x0B,
        14 => 8,
        _ => g.rng.u8(..16),
    };
    let reserve = flags & 8 != 0;
    if flags & 2 == 0 && g.rng.u8(..10) == 0 {
        size = LONGEST + 1 + g.rng.u64(..1 << 40);
    }
    if reserve {
        size = g.rng.u64(..1 << 20);
    }
    let body = g.inode(Body::new(), slot, node);
    let body = match g.rng.u8(..30) {
        0 if flags & 2 == 0 => g.old_cred(body.u8(flags)),
        1 if flags == 0 => g.old_cred(body),
        _ => g.cred(body.u8(flags)),
    };
    Some(made(msg::CLTOMA_FUSE_TRUNCATE, body.u64(size)))
}
