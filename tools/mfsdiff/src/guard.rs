//! What the original does not survive, or leaves undefined (spec 04 §7.4, §7.14; 07 §7.4.6): found out right
//! before a step, and then the step is sent to neither. What can be told from the request alone is not
//! generated in the first place (README, "Not sent").

use anyhow::Result;
use mfs_proto::Status;
use mfs_proto::client::attr::{Getattr, Lookup};
use mfs_proto::client::data::truncate_flags;
use mfs_proto::client::info::NodeInfo;
use mfs_proto::client::quota::{QuotaControl, qflags};
use mfs_proto::client::tree::{Readdir, snapshot_mode};
use mfs_proto::client::{Answer, Cred, Expect, InodeRequest, Reply, Request};
use mfs_proto::msg;

use crate::duel::Duel;
use crate::generate::LONGEST;
use crate::script::{Message, Ref};
use crate::slots::{SLOTS, SUB};
use crate::waits::PosixWaits;

/// The step that makes the root of the subfolder mount; the first of every script.
pub(crate) const SUB_ROOT: Ref = Ref::Node(0, 0);

const MID: u32 = 0xFFFF_FFF0;

/// Where the command is in the body of a POSIX_LOCK: behind inode, request id, owner and process.
const POSIX_CMD: usize = 20;

/// Whether the state has to be asked before this message.
pub(crate) fn needed(message: &Message) -> bool {
    let kind = match message.msg {
        msg::CLTOMA_FUSE_PARENTS | msg::CLTOMA_FUSE_RENAME | msg::CLTOMA_FUSE_TRUNCATE => {
            !message.solo
        }
        msg::CLTOMA_FUSE_SNAPSHOT => true,
        // Only bent ones have such lengths.
        msg::CLTOMA_FUSE_WRITE_CHUNK_END => message.solo,
        msg::CLTOMA_FUSE_POSIX_LOCK => {
            let body = message.body.resolve(|_| 0);
            body.get(POSIX_CMD)
                .is_some_and(|&cmd| PosixWaits::may_wait(cmd))
        }
        _ => false,
    };
    kind || message.body.refs().any(|r| matches!(r, Ref::Edge(_)))
}

/// Why a message must not be sent now.
pub(crate) fn reason(duel: &mut Duel, message: &Message) -> Result<Option<&'static str>> {
    if !needed(message) {
        return Ok(None);
    }
    let body = message.body.resolve(|r| duel.number(r));
    let payload = [&MID.to_be_bytes()[..], &body].concat();
    let Ok(request) = Request::decode(message.msg, &payload, SLOTS[message.slot].version) else {
        return Ok(None);
    };
    let real = |inode: u32| match (message.slot, inode) {
        (SUB, 1) => duel.number(SUB_ROOT) as u32,
        _ => inode,
    };
    match request {
        Request::Parents(r) => {
            let inode = real(r.inode);
            let detached = links(duel, inode)? == Some(0);
            Ok(detached.then_some("PARENTS of a trash or sustained file (crash)"))
        }
        Request::Rename(r) => {
            let (from, to) = (real(r.parent_src), real(r.parent_dst));
            if from == to && r.name_src == r.name_dst {
                return Ok(Some("RENAME of a name to itself (undefined)"));
            }
            let into_itself = from != to && child(duel, from, r.name_src)? == Some(to);
            Ok(into_itself.then_some("RENAME of a directory into itself (crash)"))
        }
        Request::Snapshot(r) if r.smode & snapshot_mode::DELETE == 0 => {
            let (source, parent) = (real(r.inode), real(r.parent_dst));
            let Some(target) = child(duel, parent, r.name)? else {
                return Ok(None);
            };
            let counts_more = quota_may_count_more(duel, source, target)?;
            Ok(counts_more.then_some("SNAPSHOT into a directory whose inodes are nearly used up"))
        }
        Request::WriteChunkEnd(r) => {
            Ok((r.length > LONGEST).then_some("lengths beyond 2^57 by WRITE_CHUNK_END"))
        }
        Request::PosixLock(r) => {
            let session = duel.sessions[message.slot];
            let waits = session.is_some_and(|session| duel.rules.waits.has(session, &r));
            Ok(waits.then_some("POSIX lock with the request id of one that waits"))
        }
        Request::Readdir(Readdir { inode, .. }) | Request::NodeInfo(NodeInfo { inode, .. }) => {
            let gone = links(duel, inode)?.is_none();
            Ok(gone.then_some("a position in a directory that is gone (shows others)"))
        }
        Request::Truncate(r) => {
            let rules = &duel.rules;
            let forgets = match r.flags & (truncate_flags::UPDATE | truncate_flags::RESERVE) {
                0 => false,
                truncate_flags::UPDATE => rules.is_reserved(r.inode),
                _ => rules.is_lapsed(r.inode),
            };
            Ok(forgets
                .then_some("UPDATE or RESERVE of a file whose reservations only one remembers"))
        }
        _ => Ok(None),
    }
}

/// Number of links of an inode.
fn links(duel: &mut Duel, inode: u32) -> Result<Option<u32>> {
    let request = Request::Getattr(Getattr {
        mid: MID,
        inode,
        opened: true,
        uid: 0,
        gid: 0,
    });
    let answer = duel.ask_both(&request)?;
    Ok(match decode(&request, &answer)? {
        Ok(Reply::Getattr(reply)) => Some(reply.attr.nlink),
        _ => None,
    })
}

/// The inode of a name.
fn child(duel: &mut Duel, parent: u32, name: &[u8]) -> Result<Option<u32>> {
    let request = Request::Lookup(Lookup {
        mid: MID,
        parent,
        name,
        cred: Cred::new(0, &[0]),
    });
    let answer = duel.ask_both(&request)?;
    Ok(match decode(&request, &answer)? {
        Ok(Reply::Lookup(reply)) => Some(reply.inode),
        _ => None,
    })
}

/// Whether a snapshot of a directory into one that is there may be refused by the original only: it counts the
/// directory itself as one more inode in it (spec 07 §7.10.2). Quotas are on directories right below the roots
/// only, so that this concerns the target, or what is in the root of the subfolder mount.
fn quota_may_count_more(duel: &mut Duel, source: u32, target: u32) -> Result<bool> {
    let Some(more) = inodes_below(duel, source)? else {
        return Ok(false);
    };
    if u64::from(target) == duel.number(SUB_ROOT) {
        return Ok(true);
    }
    let request = Request::QuotaControl(QuotaControl {
        mid: MID,
        inode: target,
        qflags: 0,
        limits: None,
    });
    let answer = duel.ask_both(&request)?;
    let Ok(Reply::QuotaControl(quota)) = decode(&request, &answer)? else {
        return Ok(false);
    };
    let limits = [
        (qflags::SOFT_INODES, quota.soft.inodes),
        (qflags::HARD_INODES, quota.hard.inodes),
    ];
    Ok(limits.iter().any(|&(flag, limit)| {
        quota.qflags & flag != 0
            && u64::from(quota.current.inodes) + u64::from(more) >= limit.into()
    }))
}

/// Inodes in a directory; `None` for what is none.
fn inodes_below(duel: &mut Duel, inode: u32) -> Result<Option<u32>> {
    let request = Request::Getdirstats(InodeRequest { mid: MID, inode });
    let answer = duel.ask_both(&request)?;
    Ok(match decode(&request, &answer)? {
        // With itself.
        Ok(Reply::Getdirstats(figures)) => Some(figures.inodes.saturating_sub(1)),
        _ => None,
    })
}

fn decode<'a>(request: &Request<'_>, answer: &'a [u8]) -> Result<Result<Reply<'a>, Status>> {
    let version = SLOTS[crate::slots::ADMIN].version;
    Ok(Answer::decode(request.msg() + 1, answer, version, Expect::Plain)?.result)
}
