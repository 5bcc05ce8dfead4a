//! Trash time, storage classes, extra attributes, archive flag, quotas.

use mfs_proto::msg;

use super::world::Entry;
use super::{Generator, Made, ROOT, made};
use crate::script::Body;
use crate::slots::SLOTS;

fn get(g: &mut Generator, slot: usize, message: u32) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let gmode = if g.rng.u8(..16) == 0 {
        g.rng.u8(..)
    } else {
        g.rng.u8(..2)
    };
    Some(made(message, g.inode(Body::new(), slot, node).u8(gmode)))
}

pub(super) fn get_trashtime(g: &mut Generator, slot: usize) -> Option<Made> {
    get(g, slot, msg::CLTOMA_FUSE_GETTRASHTIME)
}

pub(super) fn get_sclass(g: &mut Generator, slot: usize) -> Option<Made> {
    // Not from clients that know no names of classes (README, "Not sent").
    if !SLOTS[slot].version.has_named_classes() {
        return None;
    }
    get(g, slot, msg::CLTOMA_FUSE_GETSCLASS)
}

pub(super) fn get_eattr(g: &mut Generator, slot: usize) -> Option<Made> {
    get(g, slot, msg::CLTOMA_FUSE_GETEATTR)
}

/// SET more often than others, recursive now and then.
fn smode(g: &mut Generator) -> u8 {
    match g.rng.u8(..20) {
        0 => g.rng.u8(..),
        1..4 => 4 + g.rng.u8(..4),
        4..11 => g.rng.u8(..4),
        _ => 0,
    }
}

pub(super) fn set_trashtime(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let (uid, smode) = (g.uid(), smode(g));
    let time = match g.rng.u8(..8) {
        0..3 => 0,
        3 => g.rng.u32(..),
        4 => u32::MAX,
        _ => g.rng.u32(..60) * 3600,
    };
    let body = g
        .inode(Body::new(), slot, node)
        .u32(uid)
        .u32(time)
        .u8(smode);
    Some(made(msg::CLTOMA_FUSE_SETTRASHTIME, body))
}

fn class_name(g: &mut Generator) -> Vec<u8> {
    match g.rng.u8(..20) {
        0 => Vec::new(),
        1 => b"a\0b".to_vec(),
        2 => vec![b'k'; 255],
        3 => b"with/slash".to_vec(),
        4..7 => vec![b'0' + g.rng.u8(..10)],
        _ => format!("class{}", g.rng.u8(..9)).into_bytes(),
    }
}

/// As [`class_name`], not empty: that names a deleted class to the original (README, "Not sent").
fn given_class(g: &mut Generator) -> Vec<u8> {
    loop {
        let name = class_name(g);
        if !name.is_empty() {
            return name;
        }
    }
}

pub(super) fn set_sclass(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let (uid, smode) = (g.uid(), smode(g));
    let body = g.inode(Body::new(), slot, node).u32(uid);
    let body = if g.rng.bool() {
        let goal = if g.rng.u8(..8) == 0 {
            g.rng.u8(..255)
        } else {
            g.rng.u8(1..10)
        };
        body.u8(goal).u8(smode)
    } else {
        let body = body.u8(0xFF).u8(smode);
        let body = if smode & 3 == 3 {
            body.name(&given_class(g))
        } else {
            body
        };
        body.name(&given_class(g))
    };
    Some(made(msg::CLTOMA_FUSE_SETSCLASS, body))
}

pub(super) fn set_eattr(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let (uid, mut smode) = (g.uid(), smode(g));
    let mut eattr = match g.rng.u8(..8) {
        0 => g.rng.u8(..),
        1 => 1 << g.rng.u8(5..8),
        2 => 0,
        _ => g.rng.u8(..16),
    };
    if eattr & 0xE0 != 0 {
        // Not on everything: little could happen any more.
        smode &= !4;
        if node == ROOT {
            eattr &= 0x1F;
        }
    }
    let body = g
        .exact(Body::new(), slot, node)
        .u32(uid)
        .u8(eattr)
        .u8(smode);
    Some(made(msg::CLTOMA_FUSE_SETEATTR, body))
}

pub(super) fn archive(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let uid = g.uid();
    let body = g.inode(Body::new(), slot, node);
    let body = match g.rng.u8(..4) {
        0 => body.u8(0).u32(uid),
        1 => body.u8(1).u32(uid),
        _ => body.u8(2),
    };
    Some(made(msg::CLTOMA_FUSE_ARCHCTL, body))
}

pub(super) fn quota(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.dir(&mut g.rng, slot);
    // Limits at the top would stop everything, and quotas within quotas refuse moves in the original only: they
    // are on what is directly below the roots, and stays there (README, "Not sent").
    let is_top = |e: &Entry| e.child == node && e.place.dir <= super::SUB_DIR;
    let limits = node > super::SUB_DIR && g.world.entries.iter().any(is_top) && g.rng.bool();
    if limits {
        g.world.quotas.insert(node);
    }
    let body = g.exact(Body::new(), slot, node);
    if !limits {
        let flags = if g.rng.bool() { 0 } else { g.rng.u8(..) };
        return Some(made(msg::CLTOMA_FUSE_QUOTACONTROL, body.u8(flags)));
    }
    let old = g.is_old();
    // Soft limits with a grace period always, and never a grace period that only asks (README, "Not sent").
    let flags = if old {
        g.rng.u8(..) & 0xF0
    } else {
        g.rng.u8(..) & g.rng.u8(..)
    };
    let grace = if flags == 0 { 0 } else { g.rng.u32(1..4) };
    let body = body.u8(flags);
    let mut body = if old { body } else { body.u32(grace) };
    for _ in 0..2 {
        body = body.u32(g.rng.u32(..40));
        for _ in 0..3 {
            body = body.u64(match g.rng.u8(..3) {
                0 => g.rng.u64(..1000),
                1 => g.rng.u64(..10_000_000),
                _ => 1 << g.rng.u32(20..60),
            });
        }
    }
    Some(made(msg::CLTOMA_FUSE_QUOTACONTROL, body))
}

/// A definition.
fn definition(g: &mut Generator, body: Body) -> Body {
    let admin = u8::from(g.rng.u8(..4) == 0);
    let mut body = body.u8(admin).u8(g.rng.u8(..3)).u16(g.rng.u16(..400));
    let mut total = 0;
    for _ in 0..3 {
        // More than 9 overrun the stack of the original (README, "Not sent").
        let count = if g.rng.u8(..24) == 0 {
            0
        } else {
            g.rng.u8(1..10)
        };
        total += usize::from(count);
        body = body.u8(count);
    }
    for _ in 0..total * 4 {
        body = body.u32(if g.rng.bool() {
            0
        } else {
            g.rng.u32(..1 << 26)
        });
    }
    body
}

pub(super) fn create_class(g: &mut Generator, _: usize) -> Option<Made> {
    let format = u8::from(g.rng.u8(..20) == 0);
    let body = Body::new().name(&class_name(g)).u8(format);
    Some(made(msg::CLTOMA_SCLASS_CREATE, definition(g, body)))
}

pub(super) fn change_class(g: &mut Generator, _: usize) -> Option<Made> {
    let format = u8::from(g.rng.u8(..20) == 0);
    let mask = match g.rng.u8(..4) {
        0 => 0,
        1 => g.rng.u16(..) & 0x803F,
        2 => g.rng.u16(..),
        _ => g.rng.u16(..64),
    };
    let body = Body::new().name(&class_name(g)).u8(format).u16(mask);
    let body = if mask == 0 && g.rng.bool() {
        body.bytes(&[0; 7])
    } else {
        definition(g, body)
    };
    Some(made(msg::CLTOMA_SCLASS_CHANGE, body))
}

pub(super) fn delete_class(g: &mut Generator, _: usize) -> Option<Made> {
    let body = Body::new().name(&class_name(g));
    Some(made(msg::CLTOMA_SCLASS_DELETE, body))
}

fn pair(g: &mut Generator, message: u32) -> Option<Made> {
    let body = Body::new().name(&class_name(g)).name(&class_name(g));
    Some(made(message, body))
}

pub(super) fn duplicate_class(g: &mut Generator, _: usize) -> Option<Made> {
    pair(g, msg::CLTOMA_SCLASS_DUPLICATE)
}

pub(super) fn rename_class(g: &mut Generator, _: usize) -> Option<Made> {
    pair(g, msg::CLTOMA_SCLASS_RENAME)
}

pub(super) fn list_classes(g: &mut Generator, _: usize) -> Option<Made> {
    let format = g.rng.u8(..3);
    Some(made(msg::CLTOMA_SCLASS_LIST, Body::new().u8(format)))
}
