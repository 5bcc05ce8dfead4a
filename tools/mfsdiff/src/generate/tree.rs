//! Names: creating, removing, moving, listing, copying.

use mfs_proto::client::FileType;
use mfs_proto::msg;

use super::{Effect, Generator, MANY_INODES, Made, Place, made};
use crate::script::Body;
use crate::slots::SLOTS;

/// A directory that is full enough: makers make way for removals.
fn too_many(g: &mut Generator) -> bool {
    g.world.inodes > MANY_INODES && g.rng.u8(..4) != 0
}

pub(super) fn mkdir(g: &mut Generator, slot: usize) -> Option<Made> {
    if too_many(g) || g.rng.u8(..3) == 0 {
        return None;
    }
    let place = g.place(slot, None);
    let mode = if g.rng.u8(..4) == 0 { g.mode() } else { 0o777 };
    let sgid = g.rng.u8(..3);
    let body = g.named(Body::new(), slot, &place).u16(mode);
    let body = if g.is_old() {
        let body = g.old_cred(body);
        if g.rng.bool() { body.u8(sgid) } else { body }
    } else {
        let umask = g.umask();
        g.cred(body.u16(umask)).u8(sgid)
    };
    let effect = Effect::Made {
        place: g.seen_place(slot, place),
        kind: FileType::Directory,
    };
    Some(made(msg::CLTOMA_FUSE_MKDIR, body).effect(effect))
}

pub(super) fn mknod(g: &mut Generator, slot: usize) -> Option<Made> {
    if too_many(g) {
        return None;
    }
    let place = g.place(slot, None);
    let (mode, rdev) = (g.mode(), g.rng.u32(..));
    let kind = match g.rng.u8(..16) {
        // Letters, and directories, are a way around disabled operations (README, "Not sent").
        _ if SLOTS[slot].disables() => [1, 1, 3, 4, 5, 6, 7, 9][g.rng.usize(..8)],
        0..8 => 1,
        8 => 2,
        9 => [b'f', b'd', b'q', b'b', b'c', b's', b'l'][g.rng.usize(..7)],
        10 => g.rng.u8(..),
        _ => g.rng.u8(4..8),
    };
    let file_type = match kind {
        1 | b'f' => FileType::File,
        2 | b'd' => FileType::Directory,
        _ => FileType::Fifo,
    };
    let body = g.named(Body::new(), slot, &place).u8(kind).u16(mode);
    let body = g.maker(body);
    let effect = Effect::Made {
        place: g.seen_place(slot, place),
        kind: file_type,
    };
    Some(made(msg::CLTOMA_FUSE_MKNOD, body.u32(rdev)).effect(effect))
}

pub(super) fn create(g: &mut Generator, slot: usize) -> Option<Made> {
    if too_many(g) {
        return None;
    }
    let place = g.place(slot, None);
    let mode = g.mode();
    let body = g.named(Body::new(), slot, &place).u16(mode);
    let body = g.maker(body);
    let effect = Effect::Created {
        place: g.seen_place(slot, place),
        slot,
    };
    Some(made(msg::CLTOMA_FUSE_CREATE, body).effect(effect))
}

pub(super) fn symlink(g: &mut Generator, slot: usize) -> Option<Made> {
    let place = g.place(slot, None);
    let mut target = match g.rng.u8(..12) {
        0 => Vec::new(),
        1 => vec![b't'; 4095 + g.rng.usize(..3)],
        2 => b"with\0zero".to_vec(),
        _ => vec![b't'; g.rng.usize(1..60)],
    };
    let zeros = usize::from(g.rng.u8(..3));
    target.resize(target.len() + zeros, 0);
    let body = g.named(Body::new(), slot, &place).blob(&target);
    let body = g.caller(body);
    let effect = Effect::Made {
        place: g.seen_place(slot, place),
        kind: FileType::Symlink,
    };
    Some(made(msg::CLTOMA_FUSE_SYMLINK, body).effect(effect))
}

pub(super) fn lookup(g: &mut Generator, slot: usize) -> Option<Made> {
    let known = g.world.entry(&mut g.rng, slot, |_| true);
    let known = known.filter(|_| g.rng.u8(..8) != 0);
    let place = g.place(slot, known);
    let body = g.named(Body::new(), slot, &place);
    // The kind of what it finds is not told: listings do.
    Some(made(msg::CLTOMA_FUSE_LOOKUP, g.caller(body)))
}

pub(super) fn readlink(g: &mut Generator, slot: usize) -> Option<Made> {
    let link = g.world.symlink(&mut g.rng, slot);
    let node = match link {
        Some(link) if g.rng.u8(..10) != 0 => link,
        _ => g.world.any(&mut g.rng, slot),
    };
    Some(made(
        msg::CLTOMA_FUSE_READLINK,
        g.inode(Body::new(), slot, node),
    ))
}

pub(super) fn link(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = match g.rng.u8(..8) {
        0 => g.world.any(&mut g.rng, slot),
        1 => g.world.other(&mut g.rng, slot)?,
        _ => g.world.file(&mut g.rng, slot)?,
    };
    let place = g.place(slot, None);
    let body = g.inode(Body::new(), slot, node);
    let body = g.named(body, slot, &place);
    let body = g.caller(body);
    let effect = Effect::Linked {
        node,
        place: g.seen_place(slot, place),
    };
    Some(made(msg::CLTOMA_FUSE_LINK, body).effect(effect))
}

fn remove(g: &mut Generator, slot: usize, message: u32, dirs: bool) -> Option<Made> {
    let wrong = g.rng.u8(..16) == 0;
    let known = g.world.entry(&mut g.rng, slot, |kind| {
        wrong || dirs == (kind == FileType::Directory)
    });
    let known = known.filter(|_| g.rng.u8(..12) != 0);
    let place = g.place(slot, known);
    let body = g.named(Body::new(), slot, &place);
    let body = g.caller(body);
    Some(made(message, body).effect(Effect::Removed(g.seen_place(slot, place))))
}

pub(super) fn unlink(g: &mut Generator, slot: usize) -> Option<Made> {
    remove(g, slot, msg::CLTOMA_FUSE_UNLINK, false)
}

pub(super) fn rmdir(g: &mut Generator, slot: usize) -> Option<Made> {
    remove(g, slot, msg::CLTOMA_FUSE_RMDIR, true)
}

pub(super) fn rename(g: &mut Generator, slot: usize) -> Option<Made> {
    let entry = g.world.entry(&mut g.rng, slot, |_| true)?;
    if g.world.quotas.contains(&entry.child) {
        return None;
    }
    let from = entry.place;
    let to = match g.rng.u8(..4) {
        // Over something that exists.
        0 => {
            let over = g.world.entry(&mut g.rng, slot, |_| true);
            g.place(slot, over)
        }
        1 => Place {
            dir: from.dir,
            name: g.name(),
        },
        _ => g.place(slot, None),
    };
    let body = g.named(Body::new(), slot, &from);
    let body = g.named(body, slot, &to);
    let body = g.caller(body);
    let effect = Effect::Moved {
        from: g.seen_place(slot, from),
        to: g.seen_place(slot, to),
    };
    Some(made(msg::CLTOMA_FUSE_RENAME, body).effect(effect))
}

pub(super) fn readdir(g: &mut Generator, slot: usize) -> Option<Made> {
    let node = match g.rng.u8(..30) {
        0 => g.world.any(&mut g.rng, slot),
        _ => g.world.dir(&mut g.rng, slot),
    };
    let flags = match g.rng.u8(..8) {
        0..3 => 0,
        3..6 => 1,
        6 => 3,
        _ => g.rng.u8(..),
    };
    if let Some((dir, edge)) = g.page(slot).filter(|_| g.rng.u8(..8) == 0) {
        let body = g.exact(Body::new(), slot, dir);
        let maxentries = g.rng.u32(..40);
        let body = g.cred(body).u8(flags).u32(maxentries).hole(edge);
        return Some(made(msg::CLTOMA_FUSE_READDIR, body));
    }
    let body = g.inode(Body::new(), slot, node);
    let body = match g.rng.u8(..10) {
        0 => g.old_cred(body),
        1 => g.old_cred(body).u8(flags),
        n => {
            let (maxentries, edge) = match n {
                2 => (g.rng.u32(..8), 0),
                3 => (g.rng.u32(..30), 1),
                // Edges that nobody has; those of other directories show the original's entries of these (README,
                // "Not sent").
                4 => (u32::MAX, g.rng.u64(..)),
                _ => (u32::MAX, 0),
            };
            let body = if n == 9 { g.caller(body) } else { g.cred(body) };
            body.u8(flags).u32(maxentries).u64(edge)
        }
    };
    let dir = g.seen(slot, node);
    Some(made(msg::CLTOMA_FUSE_READDIR, body).effect(Effect::Listed { dir }))
}

pub(super) fn snapshot(g: &mut Generator, slot: usize) -> Option<Made> {
    let source = match g.rng.u8(..3) {
        0 if g.world.inodes < MANY_INODES => g.world.dir(&mut g.rng, slot),
        _ => g.world.file(&mut g.rng, slot)?,
    };
    if source <= super::SUB_DIR && g.rng.u8(..8) != 0 {
        return None;
    }
    let over = g.world.entry(&mut g.rng, slot, |_| true);
    let over = over.filter(|_| g.rng.u8(..3) == 0);
    let place = g.place(slot, over);
    let mode = match g.rng.u8(..12) {
        0 => g.rng.u8(..0x80),
        _ => [0, 1, 2, 3, 8, 9, 0x0B][g.rng.usize(..7)],
    };
    let umask = g.umask();
    let body = g.inode(Body::new(), slot, source);
    let body = g.named(body, slot, &place);
    let body = match g.rng.u8(..20) {
        0 => g.old_cred(body).u8(mode),
        1 => g.old_cred(body).u8(mode).u16(umask),
        _ => g.cred(body).u8(mode).u16(umask),
    };
    // One at a time, so that what it makes is known before the next.
    g.world.inodes += 50;
    Some(made(msg::CLTOMA_FUSE_SNAPSHOT, body))
}

pub(super) fn remove_snapshot(g: &mut Generator, slot: usize) -> Option<Made> {
    let entry = g.world.entry(&mut g.rng, slot, |_| true)?;
    let special = entry.child == super::SUB_DIR || SLOTS[slot].is_meta();
    if special {
        return None;
    }
    let mode = 0x80 | if g.rng.u8(..4) == 0 { 4 } else { 0 };
    let inode = if g.rng.u8(..30) == 0 { 1 } else { 0 };
    let body = Body::new().u32(inode);
    let body = g.named(body, slot, &entry.place);
    let body = g.cred(body).u8(mode).u16(0);
    Some(made(msg::CLTOMA_FUSE_SNAPSHOT, body))
}
