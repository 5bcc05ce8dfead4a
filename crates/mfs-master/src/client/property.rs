//! Trash time and extra attributes of objects and trees (spec 04 §7.11; spec 07 §7.6, §7.7.4).

use std::collections::BTreeMap;

use mfs_meta::op::{Op, Outcome};
use mfs_meta::records::Kind;
use mfs_meta::{Metadata, NodeInfo, Status, Walk, eattr as bits};
use mfs_proto::client::Reply;
use mfs_proto::client::property::{
    ChangedReply, EattrCount, EattrReply, GetProperty, Seteattr, Settrashtime, TrashtimeCount,
    TrashtimeReply, gmode, smode,
};
use mfs_proto::register::disables;
use mfs_proto::wire::List;

use super::rights;
use crate::context::Ctx;

/// How many objects have each value: files, directories.
pub(super) struct Histogram<K> {
    pub(super) files: BTreeMap<K, u32>,
    pub(super) dirs: BTreeMap<K, u32>,
}

/// Objects of a tree that are visited under one access, about a millisecond.
const SLICE: u32 = 4096;

/// Visits a tree in slices, so that those who want to change something meanwhile need not wait for its end.
pub(super) fn visit_slowly(ctx: &Ctx<'_>, inode: u32, mut f: impl FnMut(&Metadata, &NodeInfo<'_>)) {
    let mut walk = Walk::new(inode);
    loop {
        let state = ctx.read();
        let meta = &state.meta;
        if !meta.walk(&mut walk, SLICE, |_, node| f(meta, &node)) {
            return;
        }
    }
}

/// Counts the values of an object or in a tree. `value` is `None` for what does not count.
pub(super) fn histogram<K: Ord>(
    ctx: &Ctx<'_>,
    inode: u32,
    recursive: bool,
    value: impl Fn(&Metadata, &NodeInfo<'_>) -> Option<K>,
) -> Histogram<K> {
    let mut found = Histogram {
        files: BTreeMap::new(),
        dirs: BTreeMap::new(),
    };
    let mut count = |meta: &Metadata, node: &NodeInfo<'_>| {
        if let Some(value) = value(meta, node) {
            let group = if node.kind() == Kind::Directory {
                &mut found.dirs
            } else {
                &mut found.files
            };
            *group.entry(value).or_default() += 1;
        }
    };
    if recursive {
        visit_slowly(ctx, inode, count);
    } else {
        let state = ctx.read();
        if let Some(node) = state.meta.node(inode) {
            count(&state.meta, &node);
        }
    }
    found
}

/// Whether a request for a property is about a whole tree.
pub(super) fn is_recursive(r: &GetProperty) -> Result<bool, Status> {
    match r.gmode {
        gmode::NORMAL => Ok(false),
        gmode::RECURSIVE => Ok(true),
        _ => Err(Status::Einval),
    }
}

/// As [`find_classed`] for those who look at it later.
pub(super) fn classed_inode(ctx: &Ctx<'_>, inode: u32) -> Result<u32, Status> {
    let state = ctx.read();
    find_classed(&state.meta, ctx.conn.params.root_inode, inode).map(|node| node.inode)
}

/// The object, if it has a storage class and a trash time.
pub(super) fn find_classed<'m>(
    meta: &'m Metadata,
    root: u32,
    inode: u32,
) -> Result<NodeInfo<'m>, Status> {
    let node = rights::find(meta, root, inode)?;
    if node.kind().has_sclass() {
        Ok(node)
    } else {
        Err(Status::Eperm)
    }
}

/// The answer to a request that sets a property.
pub(super) fn changed(outcome: Outcome) -> Result<ChangedReply, Status> {
    match outcome {
        Outcome::Counts { set, same, denied } => Ok(ChangedReply {
            changed: set,
            not_changed: same,
            not_permitted: denied,
        }),
        _ => Err(Status::Io),
    }
}

/// EPERM if a value that is about to be set, as `mode` says, is outside what the session may set.
pub(super) fn within<T: PartialOrd>(mode: u8, value: T, min: T, max: T) -> Result<(), Status> {
    let operation = mode & smode::OPERATION_MASK;
    let low = operation != smode::INCREASE && value < min;
    let high = operation != smode::DECREASE && value > max;
    if low || high {
        Err(Status::Eperm)
    } else {
        Ok(())
    }
}

/// EINVAL for a mode that does not exist.
pub(super) fn good_mode(mode: u8) -> Result<(), Status> {
    if mode > smode::MAX {
        Err(Status::Einval)
    } else {
        Ok(())
    }
}

/// GETTRASHTIME 442.
pub(super) fn get_trashtime(
    ctx: &Ctx<'_>,
    r: &GetProperty,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let recursive = is_recursive(r)?;
    let inode = classed_inode(ctx, r.inode)?;
    let found = histogram(ctx, inode, recursive, |_, node| {
        node.kind().has_sclass().then(|| node.trashtime())
    });
    let list = |group: BTreeMap<u16, u32>| -> Vec<TrashtimeCount> {
        let item = |(hours, count)| TrashtimeCount {
            trashtime: u32::from(hours) * 3600,
            count,
        };
        group.into_iter().map(item).collect()
    };
    let (files, dirs) = (list(found.files), list(found.dirs));
    Reply::Gettrashtime(TrashtimeReply {
        files: List::from(&files),
        dirs: List::from(&dirs),
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}

/// SETTRASHTIME 444.
pub(super) fn set_trashtime(
    ctx: &Ctx<'_>,
    r: &Settrashtime,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::enabled(params, disables::SETTRASH)?;
    within(
        r.smode,
        r.trashtime,
        params.min_trashtime,
        params.max_trashtime,
    )?;
    good_mode(r.smode)?;
    rights::writable(params)?;
    let mut txn = ctx.begin();
    let op = Op::SetTrashtime {
        inode: find_classed(txn.meta(), params.root_inode, r.inode)?.inode,
        uid: rights::map_uid(params, r.uid),
        seconds: r.trashtime,
        smode: r.smode,
    };
    let reply = changed(txn.apply(&op)?)?;
    Reply::Settrashtime(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// GETEATTR 472.
pub(super) fn get_eattr(ctx: &Ctx<'_>, r: &GetProperty, out: &mut Vec<u8>) -> Result<(), Status> {
    let recursive = is_recursive(r)?;
    let version = ctx.version();
    let known = if version.has_open_flags() {
        0xFF
    } else if version.knows_eattr_snapshot() {
        0x1F
    } else {
        0x0F
    };
    let inode = rights::find(&ctx.read().meta, ctx.conn.params.root_inode, r.inode)?.inode;
    let found = histogram(ctx, inode, recursive, |_, node| {
        let own = match node.kind() {
            Kind::Directory => 0xFF,
            _ => !bits::NOENTRYCACHE,
        };
        Some(node.eattr() & known & own)
    });
    let list = |group: BTreeMap<u8, u32>| -> Vec<EattrCount> {
        let item = |(eattr, count)| EattrCount { eattr, count };
        group.into_iter().map(item).collect()
    };
    let (files, dirs) = (list(found.files), list(found.dirs));
    Reply::Geteattr(EattrReply {
        files: List::from(&files),
        dirs: List::from(&dirs),
    })
    .encode(r.mid, version, out);
    Ok(())
}

/// SETEATTR 474.
pub(super) fn set_eattr(ctx: &Ctx<'_>, r: &Seteattr, out: &mut Vec<u8>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    rights::enabled(params, disables::SETEATTR)?;
    good_mode(r.smode)?;
    rights::writable(params)?;
    if r.eattr & rights::KEPT != 0 && !rights::is_admin(params) {
        return Err(Status::Eperm);
    }
    let mut txn = ctx.begin();
    let op = Op::SetEattr {
        inode: rights::find(txn.meta(), params.root_inode, r.inode)?.inode,
        uid: rights::map_uid(params, r.uid),
        eattr: r.eattr,
        smode: r.smode,
    };
    let reply = changed(txn.apply(&op)?)?;
    Reply::Seteattr(reply).encode(r.mid, ctx.version(), out);
    Ok(())
}
