//! REGISTER 400/401 (spec 04 §4): the only messages of the port without a message id.

use super::Body;
use crate::frame::FrameBuf;
use crate::register::{BLOB, Challenge};
use crate::status::Status;
use crate::version::Version;
use crate::wire::{Fault, Reader, Writer, trim_zeros};

const GET_RANDOM: u8 = 1;
const NEW_SESSION: u8 = 2;
const RECONNECT: u8 = 3;
const TOOLS: u8 = 4;
const NEW_META_SESSION: u8 = 5;
const CLOSE_SESSION: u8 = 6;

/// A registration request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register<'a> {
    /// Asks for random bytes for a password digest.
    GetRandom,
    /// A data mount.
    NewSession(NewSession<'a>),
    /// A mount that comes back with the session it had.
    Reconnect(Reconnect),
    /// A tool that uses the session of a mount.
    Tools(Reconnect),
    /// A meta mount (trash and sustained files).
    NewMetaSession(NewMetaSession<'a>),
    /// The mount ends; only on a registered connection.
    CloseSession(CloseSession),
}

impl Register<'_> {
    /// Whether the request is legal in a connection's state: only CLOSESESSION belongs on a
    /// registered connection, everything else on an unregistered one. If not, close.
    pub fn allowed(&self, registered: bool) -> bool {
        matches!(self, Self::CloseSession(_)) == registered
    }
}

/// A session id that a client wants to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The session id; 0 = none.
    pub session_id: u32,
    /// Id of the metadata the session belongs to, if the client knows it.
    pub metaid: Option<u64>,
}

/// A data mount registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSession<'a> {
    /// Version of the client.
    pub version: Version,
    /// Mount point, for people; without trailing zeros.
    pub info: &'a [u8],
    /// Subfolder to mount, up to its zero byte; empty = `/`.
    pub path: &'a [u8],
    /// The session to go on with.
    pub resume: Option<Resume>,
    /// Password digest ([`crate::register::password_digest`]).
    pub digest: Option<[u8; 16]>,
}

/// A meta mount registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMetaSession<'a> {
    /// Version of the client.
    pub version: Version,
    /// Mount point, for people; without trailing zeros.
    pub info: &'a [u8],
    /// The session to go on with.
    pub resume: Option<Resume>,
    /// Password digest ([`crate::register::password_digest`]).
    pub digest: Option<[u8; 16]>,
}

/// A connection is attached to an existing session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// The session.
    pub session_id: u32,
    /// Version of the client.
    pub version: Version,
    /// Id of the metadata the session belongs to, if the client knows it.
    pub metaid: Option<u64>,
}

/// A session is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseSession {
    /// The session.
    pub session_id: u32,
    /// Id of the metadata the session belongs to, if the client knows it.
    pub metaid: Option<u64>,
}

type Tail = (Option<Resume>, Option<[u8; 16]>);

/// The optional end of NEWSESSION and NEWMETASESSION; its parts are told apart by length alone.
fn take_tail(r: &mut Reader<'_>) -> Result<Tail, Fault> {
    let (id, metaid, digest) = match r.remaining() {
        0 => (false, false, false),
        4 => (true, false, false),
        12 => (true, true, false),
        16 => (false, false, true),
        20 => (true, false, true),
        28 => (true, true, true),
        _ => return Err(Fault::Length),
    };
    let resume = if id {
        Some(Resume {
            session_id: r.u32()?,
            metaid: if metaid { Some(r.u64()?) } else { None },
        })
    } else {
        None
    };
    let digest = if digest { Some(r.raw()?) } else { None };
    Ok((resume, digest))
}

fn put_tail<B: FrameBuf>(resume: Option<Resume>, digest: Option<[u8; 16]>, w: &mut Writer<'_, B>) {
    if let Some(resume) = resume {
        w.u32(resume.session_id);
        if let Some(metaid) = resume.metaid {
            w.u64(metaid);
        }
    }
    if let Some(digest) = digest {
        w.bytes(&digest);
    }
}

/// The metadata id at the end of RECONNECT, TOOLS and CLOSESESSION; what follows it is ignored.
fn take_metaid(r: &mut Reader<'_>) -> Result<Option<u64>, Fault> {
    let metaid = if r.remaining() >= 8 {
        Some(r.u64()?)
    } else {
        None
    };
    r.tail();
    Ok(metaid)
}

/// A text with its zero byte, or nothing at all.
fn put_text<B: FrameBuf>(text: &[u8], w: &mut Writer<'_, B>) {
    if text.is_empty() {
        w.u32(0);
    } else {
        w.str32z(text);
    }
}

fn take_path<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Fault> {
    match r.blob32()? {
        [] => Ok(&[]),
        path @ [.., 0] => Ok(path.split(|&b| b == 0).next().unwrap_or_default()),
        _ => Err(Fault::Unterminated),
    }
}

impl Reconnect {
    fn take(r: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(Self {
            session_id: r.u32()?,
            version: Version(r.u32()?),
            metaid: take_metaid(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.session_id);
        w.u32(self.version.0);
        if let Some(metaid) = self.metaid {
            w.u64(metaid);
        }
    }
}

impl<'a> Body<'a> for Register<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        if &r.raw::<64>()? != BLOB {
            return Err(Fault::Blob);
        }
        match r.u8()? {
            GET_RANDOM => Ok(Self::GetRandom),
            NEW_SESSION => {
                let version = Version(r.u32()?);
                let info = trim_zeros(r.blob32()?);
                let path = take_path(r)?;
                let (resume, digest) = take_tail(r)?;
                Ok(Self::NewSession(NewSession {
                    version,
                    info,
                    path,
                    resume,
                    digest,
                }))
            }
            RECONNECT => Ok(Self::Reconnect(Reconnect::take(r)?)),
            TOOLS => Ok(Self::Tools(Reconnect::take(r)?)),
            NEW_META_SESSION => {
                let version = Version(r.u32()?);
                let info = trim_zeros(r.blob32()?);
                let (resume, digest) = take_tail(r)?;
                Ok(Self::NewMetaSession(NewMetaSession {
                    version,
                    info,
                    resume,
                    digest,
                }))
            }
            CLOSE_SESSION => Ok(Self::CloseSession(CloseSession {
                session_id: r.u32()?,
                metaid: take_metaid(r)?,
            })),
            code => Err(Fault::Value {
                field: "rcode",
                value: code.into(),
            }),
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.bytes(BLOB);
        match self {
            Self::GetRandom => w.u8(GET_RANDOM),
            Self::NewSession(s) => {
                w.u8(NEW_SESSION);
                w.u32(s.version.0);
                put_text(s.info, w);
                put_text(s.path, w);
                put_tail(s.resume, s.digest, w);
            }
            Self::Reconnect(s) => {
                w.u8(RECONNECT);
                s.put(w);
            }
            Self::Tools(s) => {
                w.u8(TOOLS);
                s.put(w);
            }
            Self::NewMetaSession(s) => {
                w.u8(NEW_META_SESSION);
                w.u32(s.version.0);
                put_text(s.info, w);
                put_tail(s.resume, s.digest, w);
            }
            Self::CloseSession(s) => {
                w.u8(CLOSE_SESSION);
                w.u32(s.session_id);
                if let Some(metaid) = s.metaid {
                    w.u64(metaid);
                }
            }
        }
    }
}

impl super::Mid for Register<'_> {}

/// Limits of a session that both kinds of mounts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Lowest simple storage class (goal) that may be set.
    pub min_goal: u8,
    /// Highest simple storage class (goal) that may be set.
    pub max_goal: u8,
    /// Shortest trash time that may be set, in seconds.
    pub min_trashtime: u32,
    /// Longest trash time that may be set, in seconds.
    pub max_trashtime: u32,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            min_goal: 1,
            max_goal: 9,
            min_trashtime: 0,
            max_trashtime: u32::MAX,
        }
    }
}

impl SessionLimits {
    fn take(r: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(Self {
            min_goal: r.u8()?,
            max_goal: r.u8()?,
            min_trashtime: r.u32()?,
            max_trashtime: r.u32()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u8(self.min_goal);
        w.u8(self.max_goal);
        w.u32(self.min_trashtime);
        w.u32(self.max_trashtime);
    }
}

/// A data session is granted: 49 bytes; 45, 43 or 35 for older clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionReply {
    /// Version of the master.
    pub version: Version,
    /// The session.
    pub session_id: u32,
    /// Id of the metadata; from 3.0.11 on.
    pub metaid: u64,
    /// Bits of [`crate::register::session_flags`].
    pub flags: u8,
    /// Mask for modes of new objects; from 3.0.72 on.
    pub umask: u16,
    /// User that uid 0 is mapped to.
    pub root_uid: u32,
    /// Group that the primary group of uid 0 is mapped to.
    pub root_gid: u32,
    /// User that all others are mapped to.
    pub mapall_uid: u32,
    /// Group that all others are mapped to.
    pub mapall_gid: u32,
    /// Limits of goals and trash times.
    pub limits: SessionLimits,
    /// Bits of [`crate::register::disables`]; from 3.0.112 on.
    pub disables: u32,
}

/// A meta session is granted: 27 bytes; 19 for clients before 3.0.11.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetaSessionReply {
    /// Version of the master.
    pub version: Version,
    /// The session.
    pub session_id: u32,
    /// Id of the metadata; from 3.0.11 on.
    pub metaid: u64,
    /// Bits of [`crate::register::session_flags`].
    pub flags: u8,
    /// Limits of goals and trash times.
    pub limits: SessionLimits,
}

/// An answer to a registration; which one it is follows from its length.
///
/// The layouts of `Session`, `MetaSession` and `Reconnect` depend on the version of the client that
/// registers, so give that version to [`super::Reply::encode`] and [`super::Answer::decode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterReply {
    /// Answer of TOOLS and CLOSESESSION, and every error of NEWSESSION and NEWMETASESSION.
    Status(Status),
    /// Answer of GETRANDOM.
    Random(Challenge),
    /// Success of NEWSESSION.
    Session(SessionReply),
    /// Success of NEWMETASESSION.
    MetaSession(MetaSessionReply),
    /// Answer of RECONNECT, success or error; clients before 3.0.95 only get the status.
    Reconnect {
        /// Version of the master.
        version: Version,
        /// The outcome.
        status: Status,
    },
}

fn take_reply_metaid(r: &mut Reader<'_>) -> Result<u64, Fault> {
    if r.version().has_register_metaid() {
        r.u64()
    } else {
        Ok(0)
    }
}

impl<'a> Body<'a> for RegisterReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let client = r.version();
        match r.remaining() {
            1 => Ok(Self::Status(Status(r.u8()?))),
            5 if client.has_long_reconnect() => Ok(Self::Reconnect {
                version: Version(r.u32()?),
                status: Status(r.u8()?),
            }),
            32 => Ok(Self::Random(r.raw()?)),
            19 | 27 => Ok(Self::MetaSession(MetaSessionReply {
                version: Version(r.u32()?),
                session_id: r.u32()?,
                metaid: take_reply_metaid(r)?,
                flags: r.u8()?,
                limits: SessionLimits::take(r)?,
            })),
            35 | 43 | 45 | 49 => Ok(Self::Session(SessionReply {
                version: Version(r.u32()?),
                session_id: r.u32()?,
                metaid: take_reply_metaid(r)?,
                flags: r.u8()?,
                umask: if client.has_register_umask() {
                    r.u16()?
                } else {
                    0
                },
                root_uid: r.u32()?,
                root_gid: r.u32()?,
                mapall_uid: r.u32()?,
                mapall_gid: r.u32()?,
                limits: SessionLimits::take(r)?,
                disables: if client.has_register_disables() {
                    r.u32()?
                } else {
                    0
                },
            })),
            _ => Err(Fault::Length),
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        let client = w.version();
        match self {
            Self::Status(status) => w.u8(status.0),
            Self::Random(random) => w.bytes(random),
            Self::Session(s) => {
                w.u32(s.version.0);
                w.u32(s.session_id);
                if client.has_register_metaid() {
                    w.u64(s.metaid);
                }
                w.u8(s.flags);
                if client.has_register_umask() {
                    w.u16(s.umask);
                }
                w.u32(s.root_uid);
                w.u32(s.root_gid);
                w.u32(s.mapall_uid);
                w.u32(s.mapall_gid);
                s.limits.put(w);
                if client.has_register_disables() {
                    w.u32(s.disables);
                }
            }
            Self::MetaSession(s) => {
                w.u32(s.version.0);
                w.u32(s.session_id);
                if client.has_register_metaid() {
                    w.u64(s.metaid);
                }
                w.u8(s.flags);
                s.limits.put(w);
            }
            Self::Reconnect { version, status } => {
                if client.has_long_reconnect() {
                    w.u32(version.0);
                }
                w.u8(status.0);
            }
        }
    }
}
