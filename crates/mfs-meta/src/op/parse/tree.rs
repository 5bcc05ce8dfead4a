//! Nodes, names, trash and attributes (spec 03 §6.1–§6.4).

use super::{Entry, done, optional_result, results};
use crate::op::scan::{Fail, Scan};
use crate::op::{ALL_BUCKETS, DEFAULT_INODE_REUSE_DELAY, Op, Outcome, SetAclArgs};

/// Recorded inode of an operation whose last argument took the `)` with it.
#[inline(always)]
fn inode_result<'a>(s: &mut Scan<'a>, op: Op<'a>) -> Result<Entry<'a>, Fail> {
    s.expect(b':')?;
    Ok((op, Some(Outcome::Inode(s.u32()))))
}

/// The only argument of a timer's line, which old lines do not have.
fn optional_argument(s: &mut Scan<'_>, missing: u32) -> u32 {
    if s.peek() == Some(b')') {
        missing
    } else {
        s.u32()
    }
}

pub(super) fn idle<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    done(s, Op::Idle)
}

pub(super) fn setmetaid<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let id = s.number();
    done(s, Op::SetMetaId { id })
}

pub(super) fn access<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    done(s, Op::Access { inode })
}

pub(super) fn amtime<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::AmTime {
        inode: s.u32(),
        atime: s.then_u32()?,
        mtime: s.then_u32()?,
        ctime: s.then_u32()?,
    };
    done(s, op)
}

pub(super) fn renumerateedges<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    results(s)?;
    Ok((Op::RenumerateEdges, Some(Outcome::EdgeId(s.number()))))
}

pub(super) fn create<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let parent = s.u32();
    let name = s.then_name(b',')?;
    let (kind, old) = create_kind(s)?;
    let op = Op::Create {
        parent,
        name,
        kind,
        mode: s.then_u16()?,
        umask: if old { 0 } else { s.then_u16()? },
        uid: s.then_u32()?,
        gid: s.then_u32()?,
        rdev: s.then_u32()?,
    };
    s.expect(b')')?;
    inode_result(s, op)
}

/// Type of a `CREATE`, and whether it is given in the old way: as a letter or as its code, which also
/// means that there is no umask (spec 03 §3.3). Only a digit starts a number here, not a sign or blank.
#[inline(always)]
fn create_kind(s: &mut Scan<'_>) -> Result<(u8, bool), Fail> {
    let code = match s.peek() {
        Some(b'0'..=b'9') => {
            let value = s.u8()?;
            if value < 16 {
                return Ok((value, false));
            }
            value
        }
        _ => s.any(b',')?,
    };
    let kind = match code {
        b'f' => 1,
        b'd' => 2,
        b'l' => 3,
        b'q' => 4,
        b'b' => 5,
        b'c' => 6,
        b's' => 7,
        _ => 0,
    };
    Ok((kind, true))
}

pub(super) fn symlink<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let parent = s.u32();
    let name = s.then_name(b',')?;
    let path = s.path(b',')?;
    let uid = s.u32();
    let gid = s.then_u32()?;
    let op = Op::Symlink {
        parent,
        name,
        path,
        uid,
        gid,
    };
    s.expect(b')')?;
    inode_result(s, op)
}

pub(super) fn link<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let parent = s.then_u32()?;
    let name = s.then_name(b')')?;
    let op = Op::Link {
        inode,
        parent,
        name,
    };
    Ok((op, None))
}

pub(super) fn unlink<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let parent = s.u32();
    let name = s.then_name(b')')?;
    inode_result(s, Op::Unlink { parent, name })
}

pub(super) fn move_<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let parent1 = s.u32();
    let name1 = s.then_name(b',')?;
    let parent2 = s.u32();
    let name2 = s.then_name(b')')?;
    let op = Op::Move {
        parent1,
        name1,
        parent2,
        name2,
    };
    inode_result(s, op)
}

pub(super) fn setpath<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    s.expect(b',')?;
    let path = s.path(b')')?;
    Ok((Op::SetPath { inode, path }, None))
}

pub(super) fn undel<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    done(s, Op::Undel { inode })
}

pub(super) fn purge<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    done(s, Op::Purge { inode })
}

pub(super) fn emptytrash<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let bucket = optional_argument(s, ALL_BUCKETS);
    results(s)?;
    let recorded = Outcome::EmptyTrash {
        freed: s.u32(),
        sustained: s.then_u32()?,
        xor: optional_result(s),
    };
    Ok((Op::EmptyTrash { bucket }, Some(recorded)))
}

pub(super) fn emptysustained<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let bucket = optional_argument(s, ALL_BUCKETS);
    results(s)?;
    let recorded = Outcome::EmptySustained {
        freed: s.u32(),
        xor: optional_result(s),
    };
    Ok((Op::EmptySustained { bucket }, Some(recorded)))
}

pub(super) fn freeinodes<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let delay = optional_argument(s, DEFAULT_INODE_REUSE_DELAY);
    results(s)?;
    let freed = s.u32();
    let sustained = optional_result(s);
    let xor = optional_result(s);
    let op = Op::FreeInodes {
        delay,
        keep_open: sustained > 0,
    };
    let recorded = Outcome::FreeInodes {
        freed,
        sustained,
        xor,
    };
    Ok((op, Some(recorded)))
}

pub(super) fn attr<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    s.expect(b',')?;
    let mode = s.low16();
    let uid = s.then_u32()?;
    let gid = s.then_u32()?;
    let atime = s.then_u32()?;
    let mtime = s.then_u32()?;
    let (winattr, aclmode) = if s.take(b',') {
        let seventh = s.number();
        if s.take(b',') {
            ((seventh & 0xFF) as u8, s.low16())
        } else {
            (0, (seventh & 0xFFFF) as u16)
        }
    } else {
        (0, mode)
    };
    let op = Op::Attr {
        inode,
        mode,
        uid,
        gid,
        atime,
        mtime,
        winattr,
        aclmode,
    };
    done(s, op)
}

pub(super) fn setxattr<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let name = s.then_name(b',')?;
    let value = s.data(b',')?;
    let mode = s.u32();
    let op = Op::SetXattr {
        inode,
        name,
        value,
        mode,
    };
    done(s, op)
}

pub(super) fn setacl<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let mode = s.then_u16()?;
    let chg = s.then_u8()? != 0;
    let acl_type = s.then_u8()?;
    let user = s.then_u16()?;
    let group = s.then_u16()?;
    let other = s.then_u16()?;
    let mask = s.then_u16()?;
    let nusers = s.then_u16()?;
    let ngroups = s.then_u16()?;
    s.expect(b',')?;
    let blob = s.data(b')')?;
    let args = SetAclArgs {
        inode,
        mode,
        chg,
        acl_type,
        user,
        group,
        other,
        mask,
        nusers,
        ngroups,
        blob,
    };
    Ok((Op::SetAcl(Box::new(args)), None))
}
