//! Times, versions, the trash, and what keeps the world usable.

use mfs_proto::msg;

use super::{Effect, Generator, Made, made};
use crate::script::Body;
use crate::slots::{ADMIN, SLOTS};

pub(super) fn amtime(g: &mut Generator, slot: usize) -> Option<Made> {
    let mut body = Body::new();
    for _ in 0..g.rng.u8(..6) {
        let node = g.world.any(&mut g.rng, slot);
        let (atime, mut mtime) = (g.time(), g.time());
        if SLOTS[slot].is_read_only() {
            // Only the original takes it (README, "Not sent").
            mtime = 0;
        }
        body = g.inode(body, slot, node).u32(atime).u32(mtime);
    }
    Some(made(msg::CLTOMA_FUSE_AMTIME_INODES, body).without_mid())
}

pub(super) fn time_sync(g: &mut Generator, _: usize) -> Option<Made> {
    let request = made(msg::CLTOMA_FUSE_TIME_SYNC, Body::new());
    Some(if g.rng.bool() {
        request.without_mid()
    } else {
        request
    })
}

pub(super) fn version(g: &mut Generator, _: usize) -> Option<Made> {
    let request = made(msg::ANTOAN_GET_VERSION, Body::new());
    Some(if g.rng.bool() {
        request.without_mid()
    } else {
        request
    })
}

pub(super) fn config(g: &mut Generator, _: usize) -> Option<Made> {
    // Those that are the same in both configurations, and those that are in neither.
    let names = [
        "MATOCL_LISTEN_HOST",
        "INODE_REUSE_DELAY",
        "NOTHING",
        "",
        "SYSLOG_IDENT",
    ];
    let name = names[g.rng.usize(..names.len())];
    Some(made(
        msg::ANTOAN_GET_CONFIG,
        Body::new().name(name.as_bytes()),
    ))
}

/// Trash and sustained files; from other than meta mounts too.
pub(super) fn trash(g: &mut Generator, _: usize) -> Option<Made> {
    let gone = match g.world.gone.len() {
        0 => None,
        n => Some(g.world.gone[g.rng.usize(..n)]),
    };
    let body = match gone {
        Some(gone) if g.rng.u8(..16) != 0 => g.exact(Body::new(), ADMIN, gone),
        _ => {
            let number = g.rng.u32(..400);
            Body::new().u32(number)
        }
    };
    Some(match g.rng.u8(..16) {
        0 | 1 => {
            let body = match g.rng.u8(..3) {
                0 => Body::new(),
                1 => Body::new().u32(g.rng.u32(..5000)),
                _ => Body::new().u32(4096),
            };
            made(msg::CLTOMA_FUSE_GETTRASH, body).effect(Effect::Detached)
        }
        2 => made(msg::CLTOMA_FUSE_GETSUSTAINED, Body::new()).effect(Effect::Detached),
        3..6 => {
            let body = if g.rng.bool() {
                body
            } else {
                body.u8(g.rng.u8(..4))
            };
            made(msg::CLTOMA_FUSE_GETDETACHEDATTR, body)
        }
        6..8 => made(msg::CLTOMA_FUSE_GETTRASHPATH, body),
        8..11 => {
            let path = path(g);
            made(msg::CLTOMA_FUSE_SETTRASHPATH, body.blob(&path))
        }
        11..14 => made(msg::CLTOMA_FUSE_UNDEL, body),
        _ => made(msg::CLTOMA_FUSE_PURGE, body),
    })
}

fn path(g: &mut Generator) -> Vec<u8> {
    let mut path = match g.rng.u8(..16) {
        0 => Vec::new(),
        1 => b"/".to_vec(),
        2 => b"a//b".to_vec(),
        3 => b"a/../b".to_vec(),
        4 => b"a/./b".to_vec(),
        5 => b"a\0b".to_vec(),
        6 => vec![b'p'; 256],
        7 => vec![b'p'; g.rng.usize(1020..1030)],
        8 => b"a/b/".to_vec(),
        9 => format!("/u{}", g.rng.u8(..50)).into_bytes(),
        _ => {
            let parts: Vec<String> = (0..g.rng.u8(1..5))
                .map(|_| format!("d{}", g.rng.u8(..12)))
                .collect();
            format!("{}/u{}", parts.join("/"), g.rng.u16(..300)).into_bytes()
        }
    };
    let zeros = usize::from(g.rng.u8(..3));
    path.resize(path.len() + zeros, 0);
    path
}

/// Takes away what would stop everything else after a while.
pub(super) fn heal(g: &mut Generator, slot: usize) -> Option<Made> {
    if slot != ADMIN {
        return None;
    }
    Some(match g.rng.u8(..4) {
        // Flags that forbid changes, everywhere.
        0 | 1 => made(
            msg::CLTOMA_FUSE_SETEATTR,
            Body::new().u32(1).u32(0).u8(0xE0).u8(6),
        ),
        2 => {
            let body = Body::new().u32(1).u8(0).u32(0).u32(1).u32(0);
            let body = body.u8(2).u16(0o777).bytes(&[0; 16]).u8(0).u8(0);
            made(msg::CLTOMA_FUSE_SETATTR, body)
        }
        _ => {
            let node = g.world.dir(&mut g.rng, slot);
            let body = g.exact(Body::new(), slot, node).u8(0xFF);
            made(msg::CLTOMA_FUSE_QUOTACONTROL, body)
        }
    })
}
