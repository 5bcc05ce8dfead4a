//! Trash and sustained files, for meta sessions (spec 04 §7.10, spec 07 §7.8.2).

use std::borrow::Cow;

use mfs_meta::op::Op;
use mfs_meta::records::{Kind, SessionParams};
use mfs_meta::{Child, Status, TRASH_BUCKETS, eattr};
use mfs_proto::client::attr::AttrReply;
use mfs_proto::client::trash::{
    DetachedEntry, DetachedReply, GetDetachedAttr, Gettrash, Settrashpath, TrashPathReply,
    detached_type,
};
use mfs_proto::client::{InodeRequest, ListFrame, MidRequest, Reply};
use mfs_proto::wire::List;

use super::attr::{self, Viewer};
use super::{remove, rights};
use crate::context::Ctx;

/// Longest name in a listing, bytes.
const SHOWN_MAX: usize = 240;
/// What stands for the beginning of a longer path, of which the last 235 bytes are shown.
const ELLIPSIS: &[u8] = b"(...)";

/// All of this is for sessions without a root.
fn only_meta(params: &SessionParams) -> Result<(), Status> {
    if params.root_inode == 0 {
        Ok(())
    } else {
        Err(Status::Eperm)
    }
}

/// The name that a kept path has in a listing.
fn shown_name(path: &[u8]) -> Cow<'_, [u8]> {
    let replace = |path: &[u8]| -> Vec<u8> {
        path.iter()
            .map(|&byte| if byte == b'/' { b'|' } else { byte })
            .collect()
    };
    if path.len() > SHOWN_MAX {
        let tail = path.len() - (SHOWN_MAX - ELLIPSIS.len());
        [ELLIPSIS, &replace(&path[tail..])].concat().into()
    } else if path.contains(&b'/') {
        replace(path).into()
    } else {
        path.into()
    }
}

/// Writes a listing.
fn write_list<'a>(
    ctx: &Ctx<'_>,
    head: &Reply<'_>,
    mid: u32,
    entries: impl Iterator<Item = Child<'a>>,
    out: &mut Vec<u8>,
) {
    let names: Vec<(Cow<'a, [u8]>, u32)> = entries
        .map(|child| (shown_name(child.name), child.inode))
        .collect();
    let mut frame = ListFrame::begin(head, mid, ctx.version(), out);
    for (name, inode) in &names {
        frame.push(&DetachedEntry {
            name,
            inode: *inode,
        });
    }
    frame.finish();
}

/// GETTRASH 450.
pub(super) fn list(ctx: &Ctx<'_>, r: &Gettrash, out: &mut Vec<u8>) -> Result<(), Status> {
    only_meta(&ctx.conn.params)?;
    let state = ctx.read();
    let head = Reply::Gettrash(DetachedReply {
        entries: List::EMPTY,
    });
    let entries = state.meta.trash(r.bucket.unwrap_or(TRASH_BUCKETS));
    write_list(ctx, &head, r.mid, entries, out);
    Ok(())
}

/// GETSUSTAINED 470.
pub(super) fn list_sustained(
    ctx: &Ctx<'_>,
    r: &MidRequest,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    only_meta(&ctx.conn.params)?;
    let state = ctx.read();
    let head = Reply::Getsustained(DetachedReply {
        entries: List::EMPTY,
    });
    write_list(ctx, &head, r.mid, state.meta.sustained(), out);
    Ok(())
}

/// GETDETACHEDATTR 452.
pub(super) fn attr(ctx: &Ctx<'_>, r: &GetDetachedAttr, out: &mut Vec<u8>) -> Result<(), Status> {
    only_meta(&ctx.conn.params)?;
    let wanted: &[Kind] = match r.dtype {
        detached_type::ANY => &[Kind::Trash, Kind::Sustained],
        detached_type::TRASH => &[Kind::Trash],
        detached_type::SUSTAINED => &[Kind::Sustained],
        _ => return Err(Status::Einval),
    };
    let state = ctx.read();
    let node = state
        .meta
        .node(r.inode)
        .filter(|node| wanted.contains(&node.kind()))
        .ok_or(Status::Enoent)?;
    let mut attr = attr::record(&state.meta, &Viewer::SUPERUSER, &node, 0);
    if node.eattr() & eattr::NOOWNER != 0 && node.uid() != 0 {
        // Shown to its owner, as it were: everybody has his rights.
        attr.mode = (attr.mode & 0o7700) | ((attr.mode >> 6 & 7) * 0o11);
    }
    Reply::GetDetachedAttr(AttrReply { attr }).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// GETTRASHPATH 454.
pub(super) fn path(ctx: &Ctx<'_>, r: &InodeRequest, out: &mut Vec<u8>) -> Result<(), Status> {
    only_meta(&ctx.conn.params)?;
    let state = ctx.read();
    let meta = &state.meta;
    let path = meta
        .node(r.inode)
        .filter(|node| node.kind() == Kind::Trash)
        .and_then(|node| meta.detached_path(node.inode))
        .ok_or(Status::Enoent)?;
    Reply::Gettrashpath(TrashPathReply { path }).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// SETTRASHPATH 456.
pub(super) fn set_path(ctx: &Ctx<'_>, r: &Settrashpath<'_>) -> Result<(), Status> {
    let params = &ctx.conn.params;
    only_meta(params)?;
    rights::writable(params)?;
    if r.path.contains(&0) {
        return Err(Status::Einval);
    }
    let op = Op::SetPath {
        inode: r.inode,
        path: r.path.into(),
    };
    ctx.begin().apply(&op).map(drop)
}

/// UNDEL 458.
pub(super) fn undelete(ctx: &Ctx<'_>, r: &InodeRequest) -> Result<(), Status> {
    let params = &ctx.conn.params;
    only_meta(params)?;
    rights::writable(params)?;
    ctx.begin().apply(&Op::Undel { inode: r.inode }).map(drop)
}

/// PURGE 460.
pub(super) fn purge(ctx: &Ctx<'_>, r: &InodeRequest) -> Result<(), Status> {
    let params = &ctx.conn.params;
    only_meta(params)?;
    rights::writable(params)?;
    let mut txn = ctx.begin();
    txn.apply(&Op::Purge { inode: r.inode })?;
    remove::forget_if_gone(&mut txn, r.inode);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::shown_name;

    #[test]
    fn names_in_listings() {
        assert_eq!(&*shown_name(b"a/b|c"), b"a|b|c");
        let path = [b"x/".repeat(120), b"".to_vec()].concat();
        assert_eq!(shown_name(&path).len(), 240);
        let long = [b"dir/", &*b"y/".repeat(120)].concat();
        let shown = shown_name(&long);
        assert!(shown.starts_with(b"(...)|y|y"), "{shown:?}");
        assert_eq!(shown.len(), 240);
    }
}
