//! What the original does not survive, or leaves undefined (spec 04 §7.4, §7.14; 07 §7.4.6): found out right
//! before a step, and then the step is sent to neither. What can be told from the request alone is not
//! generated in the first place (README, "Not sent").

use anyhow::Result;
use mfs_proto::Status;
use mfs_proto::client::attr::{Getattr, Lookup};
use mfs_proto::client::data::truncate_flags;
use mfs_proto::client::info::NodeInfo;
use mfs_proto::client::tree::Readdir;
use mfs_proto::client::{Answer, Cred, Expect, Reply, Request};
use mfs_proto::msg;

use crate::duel::Duel;
use crate::script::{Message, Ref};
use crate::slots::{SLOTS, SUB};

/// The step that makes the root of the subfolder mount; the first of every script.
pub(crate) const SUB_ROOT: Ref = Ref::Node(0, 0);

const MID: u32 = 0xFFFF_FFF0;

/// Whether the state has to be asked before this message.
pub(crate) fn needed(message: &Message) -> bool {
    matches!(
        message.msg,
        msg::CLTOMA_FUSE_PARENTS | msg::CLTOMA_FUSE_RENAME | msg::CLTOMA_FUSE_TRUNCATE
    ) && !message.solo
        || message.body.refs().any(|r| matches!(r, Ref::Edge(_)))
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

fn decode<'a>(request: &Request<'_>, answer: &'a [u8]) -> Result<Result<Reply<'a>, Status>> {
    let version = SLOTS[crate::slots::ADMIN].version;
    Ok(Answer::decode(request.msg() + 1, answer, version, Expect::Plain)?.result)
}
