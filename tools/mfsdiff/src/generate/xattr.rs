//! Extended attributes and ACLs.

use mfs_proto::msg;

use super::{Generator, Made, made};
use crate::script::Body;

/// The name of an attribute; not empty, which only ours refuses (README, "Not sent").
fn name(g: &mut Generator) -> Vec<u8> {
    match g.rng.u8(..40) {
        0 => b"a\0b".to_vec(),
        1 => vec![b'x'; 255],
        2 => vec![b'y'; g.rng.usize(1..255)],
        n => {
            let space = [
                "user.",
                "user.",
                "user.",
                "trusted.",
                "security.",
                "system.",
                "",
            ][usize::from(n) % 7];
            format!("{space}k{}", g.rng.u8(..5)).into_bytes()
        }
    }
}

pub(super) fn set(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let name = name(g);
    let value = match g.rng.u16(..1000) {
        0 => vec![7; 65_536],
        1..30 => vec![8; g.rng.usize(..4000)],
        _ => vec![g.rng.u8(..); g.rng.usize(..40)],
    };
    let mode = match g.rng.u8(..20) {
        0 => g.rng.u8(..),
        1..10 => 0,
        10..13 => 1,
        13..16 => 2,
        _ => 3,
    };
    let opened = u8::from(g.rng.u8(..5) == 0);
    let body = g
        .inode(Body::new(), slot, node)
        .name(&name)
        .blob(&value)
        .u8(mode)
        .u8(opened);
    let body = g.caller(body);
    Some(made(msg::CLTOMA_FUSE_SETXATTR, body))
}

pub(super) fn get(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let name = if g.rng.u8(..3) == 0 {
        Vec::new()
    } else {
        name(g)
    };
    let mode = if g.rng.u8(..20) == 0 {
        g.rng.u8(..)
    } else {
        g.rng.u8(..2)
    };
    let opened = u8::from(g.rng.u8(..5) == 0);
    let body = g
        .inode(Body::new(), slot, node)
        .name(&name)
        .u8(mode)
        .u8(opened);
    let body = g.caller(body);
    Some(made(msg::CLTOMA_FUSE_GETXATTR, body))
}

fn acl_type(g: &mut Generator) -> u8 {
    if g.rng.u8(..20) == 0 {
        g.rng.u8(..)
    } else {
        g.rng.u8(1..3)
    }
}

pub(super) fn set_acl(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let (uid, acl_type) = (g.uid(), acl_type(g));
    let body = g.inode(Body::new(), slot, node).u32(uid).u8(acl_type);
    let mut perm = |absent: u8| match g.rng.u8(..absent) {
        0 => 0xFFFF,
        1 => g.rng.u16(..),
        _ => g.rng.u16(..8),
    };
    let (user, group, other, mask) = (perm(20), perm(20), perm(20), perm(4));
    let kind = g.rng.u8(..10);
    let body = match kind {
        // Removes it.
        0..2 => body.u64(u64::MAX).u16(0).u16(0),
        2..5 => body.u16(user).u16(group).u16(other).u16(mask).u16(0).u16(0),
        _ => {
            let (users, groups) = (g.rng.u16(..4), g.rng.u16(..4));
            let mut body = body
                .u16(user)
                .u16(group)
                .u16(other)
                .u16(mask)
                .u16(users)
                .u16(groups);
            for n in 0..users + groups {
                let id = if n < users { g.uid() } else { g.gid() };
                body = body.u32(id).u16(g.rng.u16(..8));
            }
            body
        }
    };
    Some(made(msg::CLTOMA_FUSE_SETFACL, body))
}

pub(super) fn get_acl(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = g.world.any(&mut g.rng, slot);
    let acl_type = acl_type(g);
    let body = g.inode(Body::new(), slot, node).u8(acl_type);
    let body = match g.rng.u8(..20) {
        0 => g.old_cred(body.u8(0)),
        1 => g.cred(body.u8(1)),
        _ => body,
    };
    Some(made(msg::CLTOMA_FUSE_GETFACL, body))
}
