//! Recursive settings, quotas, storage classes, sessions, locks and chunkservers (spec 03 §6.8–§6.13).

use super::{Entry, done, optional_result, results};
use crate::op::scan::{Fail, Scan};
use crate::op::{LockCmd, MAX_LABEL_TERMS, Op, Outcome, QuotaArgs, ScSetArgs, SessionArgs};

/// `set,same,denied`.
fn counts(s: &mut Scan<'_>) -> Result<Option<Outcome>, Fail> {
    results(s)?;
    Ok(Some(Outcome::Counts {
        set: s.u32(),
        same: s.then_u32()?,
        denied: s.then_u32()?,
    }))
}

/// `,` and the command of a lock.
fn then_lock_cmd(s: &mut Scan<'_>) -> Result<LockCmd, Fail> {
    s.expect(b',')?;
    Ok(match s.any(b',')? {
        b'U' | b'u' => LockCmd::Unlock,
        b'R' | b'r' | b'S' | b's' => LockCmd::Shared,
        b'W' | b'w' | b'E' | b'e' => LockCmd::Exclusive,
        other => LockCmd::Invalid(other),
    })
}

pub(super) fn setsclass<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::SetSclass {
        inode: s.u32(),
        uid: s.then_u32()?,
        src: s.then_low8()?,
        dst: s.then_low8()?,
        smode: s.then_low8()?,
    };
    Ok((op, counts(s)?))
}

pub(super) fn setgoal<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let uid = s.then_u32()?;
    let class = s.then_low8()?;
    let op = Op::SetSclass {
        inode,
        uid,
        src: class,
        dst: class,
        smode: s.then_low8()?,
    };
    Ok((op, counts(s)?))
}

pub(super) fn settrashtime<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::SetTrashtime {
        inode: s.u32(),
        uid: s.then_u32()?,
        seconds: s.then_u32()?,
        smode: s.then_low8()?,
    };
    Ok((op, counts(s)?))
}

pub(super) fn seteattr<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::SetEattr {
        inode: s.u32(),
        uid: s.then_u32()?,
        eattr: s.then_low8()?,
        smode: s.then_low8()?,
    };
    Ok((op, counts(s)?))
}

pub(super) fn quota<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let args = QuotaArgs {
        inode: s.u32(),
        exceeded: s.then_low8()?,
        flags: s.then_low8()?,
        since: s.then_u32()?,
        sinodes: s.then_u32()?,
        hinodes: s.then_u32()?,
        slength: s.then_u64()?,
        hlength: s.then_u64()?,
        ssize: s.then_u64()?,
        hsize: s.then_u64()?,
        srealsize: s.then_u64()?,
        hrealsize: s.then_u64()?,
        grace: optional_result(s),
    };
    done(s, Op::Quota(Box::new(args)))
}

pub(super) fn scset<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let name = s.name(b',')?;
    let new = s.u8()? != 0;
    let create = term_count(s, b'W')?;
    let keep = term_count(s, b'K')?;
    let archive = term_count(s, b'A')?;
    let mode = s.then_u8()?;
    let delay = s.then_u16()?;
    let admin = s.then_u8()?;
    let counts = [create, keep, archive];
    // The original refuses such a line (status 6) before it looks at the rest of it, so the rest need
    // not be there.
    let refused = counts.iter().any(|count| *count > MAX_LABEL_TERMS);
    let [create, keep, archive] = if refused {
        counts.map(|count| vec![[0; 4]; count])
    } else {
        if counts == [0; 3] {
            s.expect(b',')?;
            s.expect(b'-')?;
        }
        [
            label_terms(s, create)?,
            label_terms(s, keep)?,
            label_terms(s, archive)?,
        ]
    };
    let args = ScSetArgs {
        name,
        new,
        create,
        keep,
        archive,
        mode,
        delay,
        admin,
    };
    let op = Op::ScSet(Box::new(args));
    if refused {
        return Ok((op, None));
    }
    results(s)?;
    Ok((op, Some(Outcome::ClassId(s.u32()))))
}

/// `,`, the letter and a number of label terms.
fn term_count(s: &mut Scan<'_>, letter: u8) -> Result<usize, Fail> {
    s.expect(b',')?;
    s.expect(letter)?;
    s.u8().map(usize::from)
}

/// `count` label terms of four masks.
fn label_terms(s: &mut Scan<'_>, count: usize) -> Result<Vec<[u32; 4]>, Fail> {
    (0..count)
        .map(|_| Ok([s.then_u32()?, s.then_u32()?, s.then_u32()?, s.then_u32()?]))
        .collect()
}

pub(super) fn scdup<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let old = s.name(b',')?;
    let new = s.name(b')')?;
    s.expect(b':')?;
    let recorded = Outcome::ClassIds {
        old: s.u32(),
        new: s.then_u32()?,
    };
    Ok((Op::ScDup { old, new }, Some(recorded)))
}

pub(super) fn scren<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let old = s.name(b',')?;
    let new = s.name(b')')?;
    s.expect(b':')?;
    Ok((Op::ScRen { old, new }, Some(Outcome::ClassId(s.u32()))))
}

pub(super) fn scdel<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let name = s.name(b')')?;
    s.expect(b':')?;
    Ok((Op::ScDel { name }, Some(Outcome::ClassId(s.u32()))))
}

pub(super) fn sesadd<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let args = session_args(s)?;
    s.expect(b':')?;
    let recorded = Outcome::SessionId(s.u32());
    Ok((Op::SesAdd(Box::new(args)), Some(recorded)))
}

pub(super) fn seschanged<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let id = s.u32();
    s.expect(b',')?;
    let session = Box::new(session_args(s)?);
    Ok((Op::SesChanged { id, session }, None))
}

/// The fields of a session and the `)`. Old lines lack checksum, umask and disables; each is told by
/// how it begins.
fn session_args<'a>(s: &mut Scan<'a>) -> Result<SessionArgs<'a>, Fail> {
    let mut csum = 0;
    if s.take(b'#') {
        csum = s.number();
        s.expect(b',')?;
    }
    let root = s.u32();
    let flags = s.then_low8()?;
    s.expect(b',')?;
    let mut umask = 0;
    if s.take(b'0') {
        umask = session_umask(s)?;
        s.expect(b',')?;
    }
    let rootuid = s.u32();
    let rootgid = s.then_u32()?;
    let mapalluid = s.then_u32()?;
    let mapallgid = s.then_u32()?;
    let mingoal = s.then_low8()?;
    let maxgoal = s.then_low8()?;
    let mintrash = s.then_u32()?;
    let maxtrash = s.then_u32()?;
    s.expect(b',')?;
    let mut disables = 0;
    if s.take_all(b"0x") {
        disables = s.hex32();
        s.expect(b',')?;
    }
    let ip = s.u32();
    s.expect(b',')?;
    let info = s.data(b')')?;
    Ok(SessionArgs {
        csum,
        root,
        flags,
        umask,
        rootuid,
        rootgid,
        mapalluid,
        mapallgid,
        mingoal,
        maxgoal,
        mintrash,
        maxtrash,
        disables,
        ip,
        info,
    })
}

/// The three octal digits behind the `0` of a session's umask.
fn session_umask(s: &mut Scan<'_>) -> Result<u16, Fail> {
    let Some([a @ b'0'..=b'7', b @ b'0'..=b'7', c @ b'0'..=b'7']) = s.rest().first_chunk() else {
        return Err(Fail::Umask);
    };
    let umask = [a, b, c]
        .iter()
        .fold(0, |umask, &&digit| umask << 3 | u16::from(digit - b'0'));
    for digit in [a, b, c] {
        s.take(*digit);
    }
    Ok(umask)
}

pub(super) fn sesdisconnected<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let id = s.u32();
    done(s, Op::SesDisconnected { id })
}

pub(super) fn sesdel<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let id = s.u32();
    done(s, Op::SesDel { id })
}

pub(super) fn session<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    results(s)?;
    Ok((Op::Session, Some(Outcome::SessionId(s.u32()))))
}

pub(super) fn acquire<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::Acquire {
        session: s.u32(),
        inode: s.then_u32()?,
    };
    done(s, op)
}

pub(super) fn release<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::Release {
        session: s.u32(),
        inode: s.then_u32()?,
    };
    done(s, op)
}

pub(super) fn flock<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::Flock {
        inode: s.u32(),
        session: s.then_u32()?,
        owner: s.then_u64()?,
        cmd: then_lock_cmd(s)?,
    };
    done(s, op)
}

pub(super) fn posixlock<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::PosixLock {
        inode: s.u32(),
        session: s.then_u32()?,
        owner: s.then_u64()?,
        cmd: then_lock_cmd(s)?,
        start: s.then_u64()?,
        end: s.then_u64()?,
        pid: s.then_u32()?,
    };
    done(s, op)
}

pub(super) fn csdbop<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::CsdbOp {
        op: s.u8()?,
        ip: s.then_u32()?,
        port: s.then_u16()?,
        arg: s.then_u32()?,
    };
    done(s, op)
}

/// `CSADD` and `CSDEL`, which know no server ids.
pub(super) fn csdbop_old<'a>(s: &mut Scan<'a>, code: u8) -> Result<Entry<'a>, Fail> {
    let op = Op::CsdbOp {
        op: code,
        ip: s.u32(),
        port: s.then_u16()?,
        arg: 0,
    };
    done(s, op)
}
