//! RENAME (spec 04 §7.4, spec 07 §7.4.6, §7.9.4).

use mfs_meta::op::Op;
use mfs_meta::records::{Kind, SessionParams};
use mfs_meta::{Metadata, NodeInfo, Status, TreeStats, W, eattr};
use mfs_proto::client::tree::Rename;
use mfs_proto::client::{NewNode, Reply};
use mfs_proto::register::disables;

use super::attr::{self, Viewer};
use super::rights::{self, KEPT, User, WX};
use super::{operation, remove};
use crate::context::Ctx;

/// A rename that may be done.
struct Plan {
    from: u32,
    to: u32,
    inode: u32,
    /// What the new name stood for.
    replaced: Option<u32>,
    /// Both names are the same one: nothing is to be done.
    same: bool,
    dir_eattr: u8,
}

/// RENAME 424.
pub(super) fn rename(ctx: &Ctx<'_>, r: &Rename<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::RENAME);
    let params = &ctx.conn.params;
    check_enabled(params, r)?;
    rights::writable(params)?;
    let user = User::new(params, &r.cred);
    let mut txn = ctx.begin();
    let plan = plan(txn.meta(), params, &user, r)?;
    if !plan.same {
        let op = Op::Move {
            parent1: plan.from,
            name1: r.name_src.into(),
            parent2: plan.to,
            name2: r.name_dst.into(),
        };
        txn.apply(&op)?;
        if let Some(replaced) = plan.replaced {
            remove::forget_if_gone(&mut txn, replaced);
        }
    }
    let viewer = Viewer::from(&user);
    let attr = attr::record_of(txn.meta(), &viewer, plan.inode, plan.dir_eattr)?;
    let inode = plan.inode;
    Reply::Rename(NewNode { inode, attr }).encode(r.mid, ctx.version(), out);
    Ok(())
}

/// Renaming and moving can be disabled each for itself.
fn check_enabled(params: &SessionParams, r: &Rename<'_>) -> Result<(), Status> {
    const BOTH: u32 = disables::RENAME | disables::MOVE;
    if params.disables & BOTH == BOTH {
        return Err(Status::Eperm);
    }
    if r.name_src != r.name_dst {
        rights::enabled(params, disables::RENAME)?;
    }
    if r.parent_src != r.parent_dst {
        rights::enabled(params, disables::MOVE)?;
    }
    Ok(())
}

fn plan(
    meta: &Metadata,
    params: &SessionParams,
    user: &User,
    r: &Rename<'_>,
) -> Result<Plan, Status> {
    let root = params.root_inode;
    let from = rights::find(meta, root, r.parent_src)?;
    let to = rights::find(meta, root, r.parent_dst)?;

    need_dir(&from)?;
    rights::lacks(&from, eattr::IMMUTABLE | eattr::APPENDONLY)?;
    user.need(meta, from.inode, WX)?;
    rights::good_name(r.name_src)?;
    let inode = meta.lookup(from.inode, r.name_src).ok_or(Status::Enoent)?;
    let object = meta.node(inode).ok_or(Status::Enoent)?;
    unstick(user, &from, &object)?;

    need_dir(&to)?;
    rights::lacks(&to, eattr::IMMUTABLE)?;
    user.need(meta, to.inode, WX)?;
    rights::lacks(&object, eattr::IMMUTABLE)?;
    if object.kind() == Kind::Directory {
        if meta.is_at_or_below(to.inode, inode) {
            return Err(Status::Einval);
        }
        if from.inode != to.inode {
            // Its `..` changes.
            user.need(meta, inode, W)?;
        }
    }
    rights::good_name(r.name_dst)?;

    let same = from.inode == to.inode && r.name_src == r.name_dst;
    let replaced = meta
        .lookup(to.inode, r.name_dst)
        .filter(|_| !same)
        .and_then(|target| meta.node(target));
    if let Some(target) = &replaced {
        rights::enabled(
            params,
            if target.kind() == Kind::Directory {
                disables::RMDIR
            } else {
                disables::UNLINK
            },
        )?;
    }
    let less = replaced
        .as_ref()
        .map_or(TreeStats::default(), NodeInfo::figures);
    let more = object.figures().growth_since(&less);
    if !meta.quota_allows_move(from.inode, to.inode, &more) {
        return Err(Status::Quota);
    }
    if let Some(target) = &replaced {
        if target.entries() > 0 {
            return Err(Status::Enotempty);
        }
        unstick(user, &to, target)?;
        rights::lacks(target, KEPT)?;
    }
    Ok(Plan {
        from: from.inode,
        to: to.inode,
        inode,
        replaced: replaced.map(|target| target.inode),
        same,
        dir_eattr: to.eattr(),
    })
}

fn need_dir(node: &NodeInfo<'_>) -> Result<(), Status> {
    if node.kind() == Kind::Directory {
        Ok(())
    } else {
        Err(Status::Enotdir)
    }
}

fn unstick(user: &User, dir: &NodeInfo<'_>, object: &NodeInfo<'_>) -> Result<(), Status> {
    if user.may_unstick(dir, object) {
        Ok(())
    } else {
        Err(Status::Eperm)
    }
}
