//! Advisory locks of the running master: requests that wait, and who is served when a lock goes (spec 07
//! §7.12). Held locks are metadata; every grant and every release is a line.
//!
//! Where the original is not to be followed (spec 07 §7.17, spec 03 §9.2): conversions in place are logged, as a
//! release and a new lock; whenever something leaves a queue those behind it are looked at again; the locks of
//! a session that goes are released by lines before those who waited for them are served; a waiting POSIX
//! request that is sent again is the same one; an interrupt wakes every one with its id, not the first only, which
//! its client may have given up long ago.

use std::collections::{HashMap, VecDeque};

use mfs_meta::op::{LockCmd, Op};
use mfs_meta::{Metadata, Status};
use mfs_proto::client::lock::{flock_cmd, posix_cmd, posix_type};
use mfs_proto::client::{lock, status_reply};
use mfs_proto::{Status as Answer, msg};

use crate::master::Txn;

/// A request that waits, or one of several of an owner that wait for the same lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    /// Id that an interrupt names.
    reqid: u32,
    /// Message id of the answer.
    mid: u32,
    /// Connection that the answer goes to.
    connection: u64,
}

/// Somebody in the queue of an inode for a flock.
#[derive(Debug)]
struct FlockWait {
    session: u32,
    owner: u64,
    exclusive: bool,
    requests: Vec<Waiting>,
}

/// A request in the queue of an inode for a POSIX lock.
#[derive(Debug)]
struct PosixWait {
    session: u32,
    request: Waiting,
    range: PosixRequest,
}

/// A POSIX lock that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PosixRequest {
    owner: u64,
    pid: u32,
    write: bool,
    start: u64,
    end: u64,
}

/// Queues by inode; none is empty.
#[derive(Default)]
pub struct Locks {
    flock: HashMap<u32, VecDeque<FlockWait>>,
    posix: HashMap<u32, VecDeque<PosixWait>>,
}

/// Who asks for a lock.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The session.
    pub session: u32,
    /// Connection that the answer goes to.
    pub connection: u64,
}

/// What becomes of a lock request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done; to be answered with status 0.
    Done,
    /// It waits; the answer comes later.
    Waits,
}

fn cmd(exclusive: bool) -> LockCmd {
    if exclusive {
        LockCmd::Exclusive
    } else {
        LockCmd::Shared
    }
}

/// Answers requests that waited.
fn answer(txn: &mut Txn<'_>, message: u32, session: u32, requests: &[Waiting], status: Answer) {
    let version = txn.version();
    let mut frame = Vec::new();
    for request in requests {
        frame.clear();
        status_reply(message, request.mid, status, &mut frame);
        txn.live()
            .answer(session, request.connection, &frame, version);
    }
}

/// Takes what `which` chooses out of the queue of an inode.
fn take_waiting<W>(
    queues: &mut HashMap<u32, VecDeque<W>>,
    inode: u32,
    mut which: impl FnMut(&mut W) -> bool,
) -> Vec<W> {
    let Some(queue) = queues.get_mut(&inode) else {
        return Vec::new();
    };
    let mut taken = Vec::new();
    let mut kept = VecDeque::with_capacity(queue.len());
    for mut waiter in queue.drain(..) {
        if which(&mut waiter) {
            taken.push(waiter);
        } else {
            kept.push_back(waiter);
        }
    }
    if kept.is_empty() {
        queues.remove(&inode);
    } else {
        *queue = kept;
    }
    taken
}

// ---- flock ------------------------------------------------------------------------------------------

/// The kind of lock that (session, owner) holds: exclusive or not.
fn held(meta: &Metadata, inode: u32, session: u32, owner: u64) -> Option<bool> {
    meta.flocks(inode)
        .iter()
        .find(|l| (l.session, l.owner) == (session, owner))
        .map(|l| l.exclusive)
}

/// Whether the held locks let in one more of this kind.
fn has_room(meta: &Metadata, inode: u32, exclusive: bool) -> bool {
    meta.flocks(inode)
        .iter()
        .all(|l| !exclusive && !l.exclusive)
}

fn flock_apply(
    txn: &mut Txn<'_>,
    inode: u32,
    session: u32,
    owner: u64,
    cmd: LockCmd,
) -> Result<(), Status> {
    let op = Op::Flock {
        inode,
        session,
        owner,
        cmd,
    };
    txn.apply(&op).map(drop)
}

/// Executes a FLOCK request.
///
/// # Errors
/// NOTOPENED, EAGAIN (spec 04 §7.8).
pub fn flock(txn: &mut Txn<'_>, asker: Asker, r: &lock::Flock) -> Result<Verdict, Status> {
    let Asker {
        session,
        connection,
    } = asker;
    let (inode, owner) = (r.inode, r.owner);
    match r.cmd {
        flock_cmd::INTERRUPT => {
            flock_interrupt(txn, inode, session, owner, r.reqid);
            return Ok(Verdict::Done);
        }
        flock_cmd::RELEASE => return flock_unlock(txn, inode, session, owner),
        _ if !txn.meta().is_open_by(session, inode) => return Err(Status::NotOpened),
        flock_cmd::UNLOCK => return flock_unlock(txn, inode, session, owner),
        _ => {}
    }
    let wait = !matches!(r.cmd, flock_cmd::TRY_SHARED | flock_cmd::TRY_EXCLUSIVE);
    let exclusive = !matches!(r.cmd, flock_cmd::TRY_SHARED | flock_cmd::LOCK_SHARED);
    let request = Waiting {
        reqid: r.reqid,
        mid: r.mid,
        connection,
    };
    match held(txn.meta(), inode, session, owner) {
        Some(kind) if kind == exclusive => return Ok(Verdict::Done),
        Some(_) if !wait => {
            if exclusive && txn.meta().flocks(inode).len() > 1 {
                return Err(Status::Eagain);
            }
            flock_apply(txn, inode, session, owner, LockCmd::Unlock)?;
            flock_apply(txn, inode, session, owner, cmd(exclusive))?;
            flock_serve(txn, inode);
            return Ok(Verdict::Done);
        }
        Some(_) => {
            flock_unlock(txn, inode, session, owner)?;
        }
        None => {}
    }
    let queue = txn.live().locks.flock.get_mut(&inode);
    if let Some(queue) = queue {
        let own = queue
            .iter_mut()
            .find(|w| (w.session, w.owner) == (session, owner));
        match own {
            Some(_) if !wait => return Err(Status::Eagain),
            Some(waiter) => {
                let canceled = wait_again(waiter, exclusive, request);
                answer(
                    txn,
                    msg::MATOCL_FUSE_FLOCK,
                    session,
                    &canceled,
                    Answer::ECANCELED,
                );
                flock_serve(txn, inode);
                return Ok(Verdict::Waits);
            }
            // Nobody overtakes those who wait, or writers would starve.
            None if !wait => return Err(Status::Eagain),
            None => {}
        }
    } else if has_room(txn.meta(), inode, exclusive) {
        flock_apply(txn, inode, session, owner, cmd(exclusive))?;
        return Ok(Verdict::Done);
    } else if !wait {
        return Err(Status::Eagain);
    }
    let waiter = FlockWait {
        session,
        owner,
        exclusive,
        requests: vec![request],
    };
    let queue = txn.live().locks.flock.entry(inode).or_default();
    queue.push_back(waiter);
    Ok(Verdict::Waits)
}

/// Somebody who waits asks again. Returns the requests that this cancels.
fn wait_again(waiter: &mut FlockWait, exclusive: bool, request: Waiting) -> Vec<Waiting> {
    if waiter.exclusive != exclusive {
        waiter.exclusive = exclusive;
        return std::mem::replace(&mut waiter.requests, vec![request]);
    }
    match waiter
        .requests
        .iter_mut()
        .find(|w| w.reqid == request.reqid)
    {
        Some(same) => *same = request,
        None => waiter.requests.push(request),
    }
    Vec::new()
}

/// Gives up the lock of an owner, or its place in the queue.
fn flock_unlock(
    txn: &mut Txn<'_>,
    inode: u32,
    session: u32,
    owner: u64,
) -> Result<Verdict, Status> {
    let gone = take_waiting(&mut txn.live().locks.flock, inode, |w| {
        (w.session, w.owner) == (session, owner)
    });
    for waiter in &gone {
        answer(
            txn,
            msg::MATOCL_FUSE_FLOCK,
            session,
            &waiter.requests,
            Answer::ECANCELED,
        );
    }
    if held(txn.meta(), inode, session, owner).is_some() {
        flock_apply(txn, inode, session, owner, LockCmd::Unlock)?;
    }
    flock_serve(txn, inode);
    Ok(Verdict::Done)
}

fn flock_interrupt(txn: &mut Txn<'_>, inode: u32, session: u32, owner: u64, reqid: u32) {
    let mut interrupted = Vec::new();
    take_waiting(&mut txn.live().locks.flock, inode, |w| {
        if (w.session, w.owner) != (session, owner) {
            return false;
        }
        w.requests.retain(|request| {
            let this = request.reqid == reqid;
            if this {
                interrupted.push(*request);
            }
            !this
        });
        w.requests.is_empty()
    });
    answer(
        txn,
        msg::MATOCL_FUSE_FLOCK,
        session,
        &interrupted,
        Answer::EINTR,
    );
    flock_serve(txn, inode);
}

/// Serves the queue of an inode from its head, as far as the held locks allow.
fn flock_serve(txn: &mut Txn<'_>, inode: u32) {
    loop {
        let (meta, live) = txn.parts();
        let Some(queue) = live.locks.flock.get_mut(&inode) else {
            return;
        };
        let served = queue
            .front()
            .is_some_and(|w| has_room(meta, inode, w.exclusive));
        let next = if served { queue.pop_front() } else { None };
        if queue.is_empty() {
            live.locks.flock.remove(&inode);
        }
        let Some(w) = next else { return };
        let granted = flock_apply(txn, inode, w.session, w.owner, cmd(w.exclusive));
        answer(
            txn,
            msg::MATOCL_FUSE_FLOCK,
            w.session,
            &w.requests,
            outcome(granted),
        );
    }
}

fn outcome(result: Result<(), Status>) -> Answer {
    result
        .err()
        .map_or(Answer::OK, |status| Answer(status.code()))
}

// ---- POSIX locks ------------------------------------------------------------------------------------

fn posix_apply(
    txn: &mut Txn<'_>,
    inode: u32,
    session: u32,
    range: &PosixRequest,
    cmd: LockCmd,
) -> Result<(), Status> {
    let op = Op::PosixLock {
        inode,
        session,
        owner: range.owner,
        cmd,
        start: range.start,
        end: range.end,
        pid: range.pid,
    };
    txn.apply(&op).map(drop)
}

/// The lock of somebody else that a request conflicts with: what POSIX_LOCK GET answers; zeros if there is none.
///
/// # Errors
/// EINVAL for an empty or reversed range or an unknown type.
pub fn posix_get(
    meta: &Metadata,
    session: u32,
    r: &lock::PosixLock,
) -> Result<lock::PosixLockReply, Status> {
    check_range(r)?;
    if r.kind == posix_type::UNLOCK {
        // Nothing is in the way of an unlock.
        return Ok(lock::PosixLockReply::default());
    }
    let write = r.kind == posix_type::WRITE;
    let found = meta.posix_conflict(r.inode, session, r.owner, r.start, r.end, write);
    Ok(
        found.map_or(lock::PosixLockReply::default(), |(owner, range)| {
            lock::PosixLockReply {
                pid: if owner.session == session {
                    owner.pid
                } else {
                    0
                },
                kind: posix_type::READ + u8::from(range.write),
                start: range.start,
                end: range.end,
            }
        }),
    )
}

/// A range that no replay and no image could hold (spec 03 §9.2), or a type that is none.
fn check_range(r: &lock::PosixLock) -> Result<(), Status> {
    if r.start >= r.end || r.kind > posix_type::WRITE {
        Err(Status::Einval)
    } else {
        Ok(())
    }
}

/// Executes a POSIX_LOCK request other than GET.
///
/// # Errors
/// NOTOPENED, EAGAIN, EINVAL (spec 04 §7.8).
pub fn posix(txn: &mut Txn<'_>, asker: Asker, r: &lock::PosixLock) -> Result<Verdict, Status> {
    let session = asker.session;
    if r.cmd == posix_cmd::INTERRUPT {
        let gone = take_waiting(&mut txn.live().locks.posix, r.inode, |w| {
            w.session == session && w.request.reqid == r.reqid
        });
        let requests: Vec<Waiting> = gone.iter().map(|w| w.request).collect();
        answer(
            txn,
            msg::MATOCL_FUSE_POSIX_LOCK,
            session,
            &requests,
            Answer::EINTR,
        );
        return Ok(Verdict::Done);
    }
    check_range(r)?;
    let range = PosixRequest {
        owner: r.owner,
        pid: r.pid,
        write: r.kind == posix_type::WRITE,
        start: r.start,
        end: r.end,
    };
    if r.kind == posix_type::UNLOCK {
        // Mounts unlock at each close. As the original does, a line is written if anybody holds anything.
        if !txn.meta().posix_locks(r.inode).is_empty() {
            posix_apply(txn, r.inode, session, &range, LockCmd::Unlock)?;
            posix_serve(txn, r.inode);
        }
        return Ok(Verdict::Done);
    }
    if !txn.meta().is_open_by(session, r.inode) {
        return Err(Status::NotOpened);
    }
    if conflicts(txn.meta(), r.inode, session, &range) {
        if r.cmd == posix_cmd::TRY {
            return Err(Status::Eagain);
        }
        let request = Waiting {
            reqid: r.reqid,
            mid: r.mid,
            connection: asker.connection,
        };
        posix_wait(txn, r.inode, session, request, range);
        return Ok(Verdict::Waits);
    }
    posix_apply(txn, r.inode, session, &range, cmd(range.write))?;
    posix_serve(txn, r.inode);
    Ok(Verdict::Done)
}

fn conflicts(meta: &Metadata, inode: u32, session: u32, range: &PosixRequest) -> bool {
    meta.posix_conflict(
        inode,
        session,
        range.owner,
        range.start,
        range.end,
        range.write,
    )
    .is_some()
}

/// Puts a request into the queue. One that a client sends again after it has connected anew keeps its place.
fn posix_wait(txn: &mut Txn<'_>, inode: u32, session: u32, request: Waiting, range: PosixRequest) {
    let queue = txn.live().locks.posix.entry(inode).or_default();
    let again = queue
        .iter_mut()
        .find(|w| w.session == session && w.request.reqid == request.reqid && w.range == range);
    match again {
        Some(waiter) => waiter.request = request,
        None => queue.push_back(PosixWait {
            session,
            request,
            range,
        }),
    }
}

/// Grants every waiting request that conflicts with nothing any more, in order. A grant can make room for
/// another one when it turns a write lock of its owner into a read lock, so the walk starts over after each.
fn posix_serve(txn: &mut Txn<'_>, inode: u32) {
    loop {
        let (meta, live) = txn.parts();
        let Some(queue) = live.locks.posix.get_mut(&inode) else {
            return;
        };
        let free = queue
            .iter()
            .position(|w| !conflicts(meta, inode, w.session, &w.range));
        let next = free.and_then(|at| queue.remove(at));
        if queue.is_empty() {
            live.locks.posix.remove(&inode);
        }
        let Some(w) = next else { return };
        let granted = posix_apply(txn, inode, w.session, &w.range, cmd(w.range.write));
        answer(
            txn,
            msg::MATOCL_FUSE_POSIX_LOCK,
            w.session,
            &[w.request],
            outcome(granted),
        );
    }
}

// ---- the end of open files --------------------------------------------------------------------------

/// A session has closed a file: its requests vanish without an answer, its locks go, others are served, then
/// the line that says so is written.
///
/// # Errors
/// MISMATCH if the session does not have it open.
pub fn file_closed(txn: &mut Txn<'_>, session: u32, inode: u32) -> Result<(), Status> {
    if !txn.meta().is_open_by(session, inode) {
        return Err(Status::Mismatch);
    }
    let (flock, posix) = let_go(txn, session, inode);
    serve_after(txn, inode, flock, posix);
    txn.apply(&Op::Release { session, inode })?;
    forget_if_closed(txn, inode);
    Ok(())
}

/// Writes the lines that release the locks of a session that is about to be removed (`FLOCK …,U`,
/// `POSIXLOCK …,U`, spec 03 §9.2), lets its waiting requests vanish and grants those of others.
pub fn session_gone(txn: &mut Txn<'_>, session: u32) {
    let inodes: Vec<u32> = txn.meta().opens_of(session).collect();
    for inode in inodes {
        let (flock, posix) = let_go(txn, session, inode);
        serve_after(txn, inode, flock, posix);
        if txn.meta().sessions_of_open(inode).all(|s| s == session) {
            txn.live().append.forget(inode);
        }
    }
}

/// Releases what a session holds on an inode and takes its requests out of the queues. Tells whether somebody
/// may be served: in the queue for flocks, in that for POSIX locks.
fn let_go(txn: &mut Txn<'_>, session: u32, inode: u32) -> (bool, bool) {
    let locks = &mut txn.live().locks;
    let left = !take_waiting(&mut locks.flock, inode, |w| w.session == session).is_empty();
    take_waiting(&mut locks.posix, inode, |w| w.session == session);
    let others_wait = locks.posix.contains_key(&inode);
    let owners: Vec<u64> = own(txn.meta().flocks(inode), |l| (l.session, l.owner), session);
    for &owner in &owners {
        report(
            inode,
            session,
            flock_apply(txn, inode, session, owner, LockCmd::Unlock),
        );
    }
    if !others_wait {
        // The line that closes the file takes the POSIX locks with it.
        return (left || !owners.is_empty(), false);
    }
    let posix: Vec<u64> = own(
        txn.meta().posix_locks(inode),
        |o| (o.session, o.owner),
        session,
    );
    for &owner in &posix {
        let everything = PosixRequest {
            owner,
            pid: 0,
            write: false,
            start: 0,
            end: u64::MAX,
        };
        report(
            inode,
            session,
            posix_apply(txn, inode, session, &everything, LockCmd::Unlock),
        );
    }
    (left || !owners.is_empty(), !posix.is_empty())
}

fn own<T>(held: &[T], id: impl Fn(&T) -> (u32, u64), session: u32) -> Vec<u64> {
    held.iter()
        .map(id)
        .filter(|&(s, _)| s == session)
        .map(|(_, owner)| owner)
        .collect()
}

fn report(inode: u32, session: u32, released: Result<(), Status>) {
    if let Err(status) = released {
        tracing::error!(inode, session, %status, "lock can't be released");
    }
}

fn serve_after(txn: &mut Txn<'_>, inode: u32, flock: bool, posix: bool) {
    if flock {
        flock_serve(txn, inode);
    }
    if posix {
        posix_serve(txn, inode);
    }
}

/// What clients were promised of a file goes with the last of them.
fn forget_if_closed(txn: &mut Txn<'_>, inode: u32) {
    if !txn.meta().is_open(inode) {
        txn.live().append.forget(inode);
    }
}
