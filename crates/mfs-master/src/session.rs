//! Registration of clients and the life of sessions (spec 04 §4, spec 07 §7.3).

use mfs_config::{ExportRefusal, MountRequest, MountTarget, SessionParameters};
use mfs_meta::op::{Op, Outcome, SessionArgs};
use mfs_meta::records::{Kind, SessionParams};
use mfs_meta::{Metadata, ROOT, is_bad_name};
use mfs_proto::client::register::{
    CloseSession, MetaSessionReply, Reconnect, Register, RegisterReply, Resume, SessionLimits,
    SessionReply,
};
use mfs_proto::client::{Reply, State};
use mfs_proto::register::session_flags;
use mfs_proto::{Status, Version};

use crate::chunks::connection_closed;
use crate::context::Ctx;
use crate::live::locks;
use crate::master::{Master, Txn};
use crate::net::Conn;

/// Longest description of a mount that is kept, bytes: that of the longest path. The rest is cut, so that the
/// line of a session stays within what a changelog line may have.
pub const INFO_MAX: usize = 4096;

/// Sessions of one address: many more than mounts of a machine, containers included. Each is a line, and lives for
/// `SESSION_SUSTAIN_TIME` after its client has gone.
pub const ADDRESS_MAX: usize = 10_000;

/// Sessions are not removed in the first seconds of a master, so that clients can come back to it.
pub const REMOVAL_DELAY: u32 = 120;

/// How a registration ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Registered {
    /// Answered, be it with an error: the client may try again on this connection.
    Done,
    /// Not allowed in this state of the connection, which is to be closed.
    Refused(&'static str),
    /// CLOSESESSION is answered; the connection ends after the answer.
    SessionClosed,
}

/// Executes a registration message.
pub fn register(ctx: &mut Ctx<'_>, register: &Register<'_>, out: &mut Vec<u8>) -> Registered {
    if !register.allowed(ctx.conn.state != State::Unregistered) {
        return Registered::Refused("registration in the wrong state");
    }
    let (reply, version) = match register {
        Register::GetRandom => match random(ctx.conn) {
            Ok(reply) => (reply, Version::MASTER),
            Err(reason) => return Registered::Refused(reason),
        },
        Register::NewSession(new) => {
            let wanted = Wanted {
                version: new.version,
                info: new.info,
                target: MountTarget::Directory(new.path),
                resume: new.resume,
                digest: new.digest,
            };
            (new_session(ctx, &wanted), new.version)
        }
        Register::NewMetaSession(new) => {
            let wanted = Wanted {
                version: new.version,
                info: new.info,
                target: MountTarget::Meta,
                resume: new.resume,
                digest: new.digest,
            };
            (new_session(ctx, &wanted), new.version)
        }
        Register::Reconnect(back) => {
            let status = reconnect(ctx, back, State::Mount);
            let version = Version::MASTER;
            (RegisterReply::Reconnect { version, status }, back.version)
        }
        Register::Tools(back) => {
            let status = reconnect(ctx, back, State::Tools);
            (RegisterReply::Status(status), back.version)
        }
        Register::CloseSession(close) => {
            let status = close_session(ctx, close);
            Reply::Register(RegisterReply::Status(status)).encode(None, Version::MASTER, out);
            return Registered::SessionClosed;
        }
    };
    Reply::Register(reply).encode(None, version, out);
    Registered::Done
}

fn random(conn: &mut Conn) -> Result<RegisterReply, &'static str> {
    getrandom::fill(&mut conn.challenge).map_err(|_| "no random numbers")?;
    Ok(RegisterReply::Random(conn.challenge))
}

/// NEWSESSION and NEWMETASESSION.
struct Wanted<'a> {
    version: Version,
    info: &'a [u8],
    target: MountTarget<'a>,
    resume: Option<Resume>,
    digest: Option<[u8; 16]>,
}

fn new_session(ctx: &mut Ctx<'_>, wanted: &Wanted<'_>) -> RegisterReply {
    match try_new_session(ctx, wanted) {
        Ok(reply) => reply,
        Err(status) => {
            if ctx.master.connections.complaints().admit(ctx.conn.peer) {
                tracing::info!(
                    peer = %ctx.conn.peer,
                    version = %wanted.version,
                    mount = %String::from_utf8_lossy(cut(wanted.info)),
                    "registration refused: {}",
                    status.text()
                );
            }
            RegisterReply::Status(status)
        }
    }
}

fn try_new_session(ctx: &mut Ctx<'_>, wanted: &Wanted<'_>) -> Result<RegisterReply, Status> {
    let exports = ctx.master.exports();
    let checksum = exports.checksum();
    let rule = exports
        .check(&MountRequest {
            peer: ctx.conn.peer,
            version: wanted.version.0,
            target: wanted.target,
            challenge: Some(&ctx.conn.challenge),
            answer: wanted.digest.as_ref(),
        })
        .map_err(refusal)?;
    let granted = rule.session_parameters();

    let mut txn = ctx.begin();
    let root = match wanted.target {
        MountTarget::Meta => 0,
        MountTarget::Directory(path) => find_root(txn.meta(), path)?,
    };
    let args = Box::new(SessionArgs {
        csum: checksum,
        root,
        flags: granted.flags,
        umask: granted.umask,
        rootuid: granted.root_uid,
        rootgid: granted.root_gid,
        mapalluid: granted.mapall_uid,
        mapallgid: granted.mapall_gid,
        mingoal: granted.min_goal,
        maxgoal: granted.max_goal,
        mintrash: granted.min_trash_time,
        maxtrash: granted.max_trash_time,
        disables: granted.disables,
        ip: u32::from(ctx.conn.peer),
        info: cut(wanted.info).into(),
    });
    let id = match session_to_take_over(txn.meta(), wanted.resume) {
        Some(id) => {
            txn.apply(&Op::SesChanged { id, session: args })
                .map_err(status)?;
            id
        }
        None => {
            make_room(&mut txn, args.ip)?;
            match txn.apply(&Op::SesAdd(args)).map_err(status)? {
                Outcome::SessionId(id) => id,
                _ => return Err(Status::IO),
            }
        }
    };
    attach(&mut txn, ctx.conn, id, State::Mount, wanted.version)?;
    let metaid = txn.meta().meta_id();
    drop(txn);
    if ctx.master.exports_checksum() != checksum {
        ctx.conn.link.close("exports changed");
    }
    Ok(granted_reply(wanted.target, id, metaid, &granted))
}

fn granted_reply(
    target: MountTarget<'_>,
    session_id: u32,
    metaid: u64,
    granted: &SessionParameters,
) -> RegisterReply {
    let version = Version::MASTER;
    let flags = granted.flags & session_flags::SENT;
    let limits = SessionLimits {
        min_goal: granted.min_goal,
        max_goal: granted.max_goal,
        min_trashtime: granted.min_trash_time,
        max_trashtime: granted.max_trash_time,
    };
    match target {
        MountTarget::Meta => RegisterReply::MetaSession(MetaSessionReply {
            version,
            session_id,
            metaid,
            flags,
            limits,
        }),
        MountTarget::Directory(_) => RegisterReply::Session(SessionReply {
            version,
            session_id,
            metaid,
            flags,
            umask: granted.umask,
            root_uid: granted.root_uid,
            root_gid: granted.root_gid,
            mapall_uid: granted.mapall_uid,
            mapall_gid: granted.mapall_gid,
            limits,
            disables: granted.disables,
        }),
    }
}

fn cut(info: &[u8]) -> &[u8] {
    info.get(..INFO_MAX).unwrap_or(info)
}

fn refusal(refusal: ExportRefusal) -> Status {
    match refusal {
        ExportRefusal::Access => Status::EACCES,
        ExportRefusal::NoPassword => Status::NOPASSWORD,
        ExportRefusal::BadPassword => Status::BADPASSWORD,
    }
}

fn status(status: mfs_meta::Status) -> Status {
    Status(status.code())
}

/// The directory that a path from the real root leads to; repeated `/` do not count (spec 04 §4.3).
fn find_root(meta: &Metadata, path: &[u8]) -> Result<u32, Status> {
    let mut at = ROOT;
    for name in path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
    {
        if is_bad_name(name) {
            return Err(Status::EINVAL);
        }
        at = meta.lookup(at, name).ok_or(Status::ENOENT)?;
        if meta
            .node(at)
            .is_none_or(|node| node.kind() != Kind::Directory)
        {
            return Err(Status::ENOTDIR);
        }
    }
    Ok(at)
}

/// The session that a client goes on with: one that exists, of this metadata.
fn session_to_take_over(meta: &Metadata, resume: Option<Resume>) -> Option<u32> {
    let resume = resume?;
    if resume.metaid.is_some_and(|id| id != meta.meta_id()) {
        return None;
    }
    meta.session(resume.session_id).map(|_| resume.session_id)
}

/// Sees to it that an address may have one more session: at its bound, the one that has been without a connection
/// for longest gives way.
fn make_room(txn: &mut Txn<'_>, ip: u32) -> Result<(), Status> {
    let (meta, live) = txn.parts();
    let mut count = 0;
    let mut left: Option<(u32, u32)> = None;
    for (id, session) in meta.sessions().filter(|(_, s)| s.params.peer_ip == ip) {
        count += 1;
        if live.sessions.links(id).is_empty() {
            let this = (session.disconnected, id);
            left = Some(left.map_or(this, |oldest| oldest.min(this)));
        }
    }
    if count < ADDRESS_MAX {
        return Ok(());
    }
    let (_, id) = left.ok_or(Status::EAGAIN)?;
    remove(txn, id).map_err(status)
}

/// Attaches the connection to a session that exists.
fn attach(
    txn: &mut Txn<'_>,
    conn: &mut Conn,
    id: u32,
    state: State,
    version: Version,
) -> Result<(), Status> {
    txn.meta_soft().set_session_connected(id);
    let (meta, live) = txn.parts();
    let session = meta.session(id).ok_or(Status::BADSESSIONID)?;
    let session = live.sessions.put(id, session);
    live.sessions.attach(id, conn.link.clone());
    session.set_last_version(version);
    conn.register(state, version, session);
    Ok(())
}

/// RECONNECT and TOOLS (spec 04 §4.5, §4.6).
fn reconnect(ctx: &mut Ctx<'_>, back: &Reconnect, state: State) -> Status {
    let mut txn = ctx.begin();
    let checksum = ctx.master.exports_checksum();
    let status = may_reconnect(txn.meta(), back, checksum, u32::from(ctx.conn.peer))
        .and_then(|()| attach(&mut txn, ctx.conn, back.session_id, state, back.version));
    drop(txn);
    if ctx.master.exports_checksum() != checksum && state == State::Mount {
        ctx.conn.link.close("exports changed");
    }
    status.err().unwrap_or(Status::OK)
}

fn may_reconnect(
    meta: &Metadata,
    back: &Reconnect,
    checksum: u64,
    peer: u32,
) -> Result<(), Status> {
    if back.metaid.is_some_and(|id| id != meta.meta_id()) {
        return Err(Status::BADSESSIONID);
    }
    let params: &SessionParams = match meta.session(back.session_id) {
        Some(session) if session.params.peer_ip != 0 => &session.params,
        _ => return Err(Status::BADSESSIONID),
    };
    let anywhere = params.flags & session_flags::DYNAMIC_IP != 0;
    if params.exports_csum != checksum || (!anywhere && params.peer_ip != peer) {
        return Err(Status::EPERM);
    }
    Ok(())
}

/// CLOSESESSION (spec 04 §4.7): any session may be named; it is marked when one connection is left to it.
fn close_session(ctx: &mut Ctx<'_>, close: &CloseSession) -> Status {
    let mut txn = ctx.begin();
    if close.metaid.is_some_and(|id| id != txn.meta().meta_id()) {
        return Status::BADSESSIONID;
    }
    if txn.live().sessions.links(close.session_id).len() == 1 {
        txn.meta_soft().set_session_closed(close.session_id, true);
    }
    Status::OK
}

/// A registered connection has ended. The session is disconnected with its last one, but not when the master
/// stops: then its clients come back to the next one (spec 03 §8).
pub(crate) fn detach(master: &Master, conn: &Conn, stopping: bool) {
    let id = conn.session.id;
    master.change(|txn| {
        connection_closed(txn, conn.id());
        let last = txn.live().sessions.detach(id, &conn.link);
        if last
            && !stopping
            && let Err(status) = txn.apply(&Op::SesDisconnected { id })
        {
            tracing::error!(session = id, %status, "session can't be marked as disconnected");
        }
    });
}

/// Ends the connections of mounts whose sessions were granted by other export rules than the present ones; they
/// come back and are checked anew. Returns their number.
pub(crate) fn close_outdated(master: &Master) -> usize {
    let checksum = master.exports_checksum();
    let state = master.read();
    let mut closed = 0;
    for id in state.live.sessions.connected() {
        let current = state
            .meta
            .session(id)
            .is_some_and(|session| session.params.exports_csum == checksum);
        if !current {
            for link in state.live.sessions.mounts(id) {
                link.close("exports changed");
                closed += 1;
            }
        }
    }
    closed
}

/// Removes the sessions that nobody comes back to (spec 07 §7.3.4): closed by their clients, or without a
/// connection for longer than `sustain` seconds.
pub fn remove_expired(master: &Master, sustain: u32) {
    let now = master.clock.now();
    if expired(&master.read(), now, sustain).is_empty() {
        return;
    }
    master.change(|txn| {
        // A client may have come back in between, and granting locks to others may take long: ask again.
        let (meta, live) = txn.parts();
        for id in expired_of(meta, live, now, sustain) {
            if let Err(status) = remove(txn, id) {
                tracing::error!(session = id, %status, "session can't be removed");
            }
        }
    });
}

/// Removes a session with its open files and locks. It must not have a connection.
///
/// # Errors
/// The session does not exist.
pub fn remove(txn: &mut Txn<'_>, id: u32) -> Result<(), mfs_meta::Status> {
    if txn.meta().session(id).is_none() {
        return Err(mfs_meta::Status::NotFound);
    }
    locks::session_gone(txn, id);
    txn.apply(&Op::SesDel { id })?;
    txn.live().sessions.remove(id);
    Ok(())
}

fn expired(state: &crate::master::State, now: u32, sustain: u32) -> Vec<u32> {
    expired_of(&state.meta, &state.live, now, sustain)
}

fn expired_of(meta: &Metadata, live: &crate::live::Live, now: u32, sustain: u32) -> Vec<u32> {
    meta.sessions()
        .filter(|&(id, session)| {
            live.sessions.links(id).is_empty()
                && (session.closed || session.disconnected.saturating_add(sustain) < now)
        })
        .map(|(id, _)| id)
        .collect()
}
