//! The answers of the client port as one type, and the messages that the master sends by itself.

use std::marker::PhantomData;

use super::common::{NewNode, Passthrough};
use super::property::{ArchReply, ChangedReply, ClassReply, EattrReply, TrashtimeReply};
use super::{Body, Expect, attr, data, dispatch, info, lock, quota, register, sclass, session};
use super::{trash, tree, xattr};
use crate::frame::{self, FrameBuf, OpenFrame};
use crate::msg;
use crate::status::Status;
use crate::version::Version;
use crate::wire::{DecodeError, Fault, Item, Reader, Writer};

/// The message id of what the master sends without being asked.
pub const UNSOLICITED: u32 = 0;

macro_rules! replies {
    ($($variant:ident($body:ty) = $msg:ident;)*) => {
        /// The contents of an answer, without its message id (spec 04 §7, §8).
        ///
        /// Errors, and successes that are nothing but a status, are written by [`status_reply`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reply<'a> {
            $(#[doc = concat!("[`msg::", stringify!($msg), "`]")] $variant($body),)*
            /// Status 0 as the answer of the given number.
            Done(u32),
            /// [`msg::ANTOAN_NOP`]; sent with [`UNSOLICITED`] as its id.
            Nop,
            /// [`msg::MATOCL_FUSE_INVALIDATE_CHUNK_CACHE`]; sent with [`UNSOLICITED`] as its id.
            InvalidateChunkCache,
            /// An answer to a monitoring message; the payload includes the message id, if there is one.
            Monitoring(Passthrough<'a>),
        }

        impl<'a> Reply<'a> {
            /// The message number.
            pub fn msg(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => msg::$msg,)*
                    Self::Done(message) => *message,
                    Self::Nop => msg::ANTOAN_NOP,
                    Self::InvalidateChunkCache => msg::MATOCL_FUSE_INVALIDATE_CHUNK_CACHE,
                    Self::Monitoring(p) => p.msg,
                }
            }

            fn take(message: u32, r: &mut Reader<'a>) -> Result<Self, Fault> {
                match message {
                    $(msg::$msg => <$body>::take(r).map(Self::$variant),)*
                    msg::ANTOAN_NOP => Ok(Self::Nop),
                    msg::MATOCL_FUSE_INVALIDATE_CHUNK_CACHE => Ok(Self::InvalidateChunkCache),
                    _ => Err(if is_status_only(message) {
                        Fault::Length
                    } else {
                        Fault::UnknownType
                    }),
                }
            }

            /// Appends the answer as a frame for a client of the given version.
            ///
            /// `mid` is the id of the request; `None` where there is none (registration, monitoring, requests
            /// that left it out); [`UNSOLICITED`] for what the master sends by itself.
            #[inline]
            pub fn encode<B: FrameBuf>(
                &self,
                mid: impl Into<Option<u32>>,
                version: Version,
                out: &mut B,
            ) {
                let open = OpenFrame::begin(out, self.msg());
                let mut w = Writer::new(out, version);
                if let Some(mid) = mid.into() {
                    w.u32(mid);
                }
                match self {
                    $(Self::$variant(body) => body.put(&mut w),)*
                    Self::Done(_) => w.u8(Status::OK.0),
                    Self::Nop | Self::InvalidateChunkCache => {}
                    Self::Monitoring(p) => w.bytes(p.payload),
                }
                open.finish(out);
            }
        }
    };
}

replies! {
    Version(session::VersionReply<'a>) = ANTOAN_VERSION;
    Config(session::ConfigReply<'a>) = ANTOAN_CONFIG_VALUE;
    Register(register::RegisterReply) = MATOCL_FUSE_REGISTER;
    TimeSync(session::TimeSyncReply) = MATOCL_FUSE_TIME_SYNC;
    Statfs(session::StatfsReply) = MATOCL_FUSE_STATFS;
    Lookup(attr::LookupReply<'a>) = MATOCL_FUSE_LOOKUP;
    Getattr(attr::AttrReply) = MATOCL_FUSE_GETATTR;
    Setattr(attr::AttrReply) = MATOCL_FUSE_SETATTR;
    Readlink(tree::ReadlinkReply<'a>) = MATOCL_FUSE_READLINK;
    Symlink(NewNode) = MATOCL_FUSE_SYMLINK;
    Mknod(NewNode) = MATOCL_FUSE_MKNOD;
    Mkdir(NewNode) = MATOCL_FUSE_MKDIR;
    Unlink(tree::RemoveReply) = MATOCL_FUSE_UNLINK;
    Rmdir(tree::RemoveReply) = MATOCL_FUSE_RMDIR;
    Rename(NewNode) = MATOCL_FUSE_RENAME;
    Link(NewNode) = MATOCL_FUSE_LINK;
    Readdir(tree::ReaddirReply<'a>) = MATOCL_FUSE_READDIR;
    Open(attr::OpenReply) = MATOCL_FUSE_OPEN;
    Create(tree::CreateReply) = MATOCL_FUSE_CREATE;
    ReadChunk(data::ChunkReply<'a>) = MATOCL_FUSE_READ_CHUNK;
    WriteChunk(data::ChunkReply<'a>) = MATOCL_FUSE_WRITE_CHUNK;
    Truncate(data::TruncateReply) = MATOCL_FUSE_TRUNCATE;
    Repair(data::RepairReply) = MATOCL_FUSE_REPAIR;
    Check(info::CheckReply<'a>) = MATOCL_FUSE_CHECK;
    Getdirstats(info::DirstatsReply) = MATOCL_FUSE_GETDIRSTATS;
    Parents(info::ParentsReply<'a>) = MATOCL_FUSE_PARENTS;
    Paths(info::PathsReply<'a>) = MATOCL_FUSE_PATHS;
    NodeInfo(info::NodeInfoReply<'a>) = MATOCL_NODE_INFO;
    Gettrashtime(TrashtimeReply<'a>) = MATOCL_FUSE_GETTRASHTIME;
    Settrashtime(ChangedReply) = MATOCL_FUSE_SETTRASHTIME;
    Getsclass(ClassReply<'a>) = MATOCL_FUSE_GETSCLASS;
    Setsclass(ChangedReply) = MATOCL_FUSE_SETSCLASS;
    Geteattr(EattrReply<'a>) = MATOCL_FUSE_GETEATTR;
    Seteattr(ChangedReply) = MATOCL_FUSE_SETEATTR;
    Archctl(ArchReply) = MATOCL_FUSE_ARCHCTL;
    QuotaControl(quota::QuotaReply) = MATOCL_FUSE_QUOTACONTROL;
    Getxattr(xattr::GetxattrReply<'a>) = MATOCL_FUSE_GETXATTR;
    Getfacl(xattr::Acl<'a>) = MATOCL_FUSE_GETFACL;
    PosixLock(lock::PosixLockReply) = MATOCL_FUSE_POSIX_LOCK;
    Gettrash(trash::DetachedReply<'a>) = MATOCL_FUSE_GETTRASH;
    Getsustained(trash::DetachedReply<'a>) = MATOCL_FUSE_GETSUSTAINED;
    GetDetachedAttr(attr::AttrReply) = MATOCL_FUSE_GETDETACHEDATTR;
    Gettrashpath(trash::TrashPathReply<'a>) = MATOCL_FUSE_GETTRASHPATH;
    SclassChange(sclass::SclassChangeReply<'a>) = MATOCL_SCLASS_CHANGE;
    SclassList(sclass::SclassListReply<'a>) = MATOCL_SCLASS_LIST;
    ChunkHasChanged(data::ChunkHasChanged) = MATOCL_FUSE_CHUNK_HAS_CHANGED;
    FlengHasChanged(data::FlengHasChanged) = MATOCL_FUSE_FLENG_HAS_CHANGED;
}

/// Answers whose success is a status too.
fn is_status_only(message: u32) -> bool {
    matches!(
        message,
        msg::MATOCL_FUSE_ACCESS
            | msg::MATOCL_FUSE_WRITE_CHUNK_END
            | msg::MATOCL_FUSE_APPEND_SLICE
            | msg::MATOCL_FUSE_SNAPSHOT
            | msg::MATOCL_FUSE_SETXATTR
            | msg::MATOCL_FUSE_SETFACL
            | msg::MATOCL_FUSE_FLOCK
            | msg::MATOCL_FUSE_SETTRASHPATH
            | msg::MATOCL_FUSE_UNDEL
            | msg::MATOCL_FUSE_PURGE
            | msg::MATOCL_SCLASS_CREATE
            | msg::MATOCL_SCLASS_DELETE
            | msg::MATOCL_SCLASS_DUPLICATE
            | msg::MATOCL_SCLASS_RENAME
    )
}

/// Answers that have no error form, so that one byte after the id is not a status.
fn has_no_status(message: u32) -> bool {
    matches!(
        message,
        msg::ANTOAN_NOP
            | msg::ANTOAN_VERSION
            | msg::ANTOAN_CONFIG_VALUE
            | msg::MATOCL_FUSE_TIME_SYNC
            | msg::MATOCL_FUSE_STATFS
            | msg::MATOCL_SCLASS_LIST
            | msg::MATOCL_FUSE_CHUNK_HAS_CHANGED
            | msg::MATOCL_FUSE_FLENG_HAS_CHANGED
            | msg::MATOCL_FUSE_INVALIDATE_CHUNK_CACHE
    )
}

/// Appends an answer that is only a status: any error, and the success of messages marked **S** in spec 04 §7.
/// `message` is the number of the answer (that of the request plus 1).
#[inline]
pub fn status_reply<B: FrameBuf>(
    message: u32,
    mid: impl Into<Option<u32>>,
    status: Status,
    out: &mut B,
) {
    frame::write(out, message, |out| {
        if let Some(mid) = mid.into() {
            out.put_u32(mid);
        }
        out.put_u8(status.0);
    });
}

/// The message id at the start of an answer, without decoding the rest.
#[inline]
pub fn peek_mid(payload: &[u8]) -> Option<u32> {
    let (head, _) = payload.split_first_chunk::<4>()?;
    Some(u32::from_be_bytes(*head))
}

/// A frame from the master, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Message number.
    pub msg: u32,
    /// Message id; [`UNSOLICITED`] if nobody asked. `None` where the frame has none, and for monitoring
    /// messages, whose payload is not looked into.
    pub mid: Option<u32>,
    /// The contents, or the error.
    pub result: Result<Reply<'a>, Status>,
}

impl<'a> Answer<'a> {
    /// Decodes the payload of one frame from the master. `version` is the version that the client
    /// registered with, `expect` comes from the request that is answered.
    pub fn decode(
        message: u32,
        payload: &'a [u8],
        version: Version,
        expect: Expect,
    ) -> Result<Self, DecodeError> {
        let mut r = Reader::new(payload, version, expect);
        Self::take(message, &mut r)
            .and_then(|answer| r.end().map(|()| answer))
            .map_err(|fault| DecodeError {
                msg: message,
                length: payload.len(),
                fault,
            })
    }

    fn take(message: u32, r: &mut Reader<'a>) -> Result<Self, Fault> {
        let answer = |mid, result| Answer {
            msg: message,
            mid,
            result,
        };
        if message == msg::MATOCL_FUSE_REGISTER {
            return Ok(answer(None, Ok(Reply::take(message, r)?)));
        }
        if message > 0 && dispatch::is_monitoring(message - 1) {
            let payload = r.tail();
            let body = Passthrough {
                msg: message,
                payload,
            };
            return Ok(answer(None, Ok(Reply::Monitoring(body))));
        }
        // The two forms of TIME_SYNC are told apart by length, whatever the request was.
        let no_mid = match message {
            msg::MATOCL_FUSE_TIME_SYNC => r.remaining() == 8,
            _ => r.expect() == Expect::NoMid,
        };
        let mid = if no_mid { None } else { Some(r.u32()?) };
        if r.remaining() == 1 && !has_no_status(message) {
            let status = Status(r.u8()?);
            let result = if status.is_ok() {
                Ok(Reply::Done(message))
            } else {
                Err(status)
            };
            return Ok(answer(mid, result));
        }
        Ok(answer(mid, Ok(Reply::take(message, r)?)))
    }

    /// Appends the answer as a frame for a client of the given version.
    pub fn encode<B: FrameBuf>(&self, version: Version, out: &mut B) {
        match &self.result {
            Ok(reply) => reply.encode(self.mid, version, out),
            Err(status) => status_reply(self.msg, self.mid, *status, out),
        }
    }
}

/// An answer that ends in a list and is written item by item, so that a large listing is not collected
/// first. Begin it with the reply whose list is still empty.
///
/// ```
/// use mfs_proto::client::tree::{DirEntry, EntryInfo, ReaddirReply};
/// use mfs_proto::client::{FileType, ListFrame, Reply};
/// use mfs_proto::{Version, wire::List};
///
/// let mut out = Vec::new();
/// let head = Reply::Readdir(ReaddirReply { nedgeid: Some(0), entries: List::EMPTY });
/// let mut listing = ListFrame::begin(&head, 7, Version::MASTER, &mut out);
/// listing.push(&DirEntry { name: b".", inode: 1, info: EntryInfo::Type(FileType::Directory) });
/// listing.finish();
/// assert_eq!(out.len(), 8 + 4 + 8 + 7);
/// ```
#[derive(Debug)]
#[must_use = "a frame has to be finished or abandoned"]
pub struct ListFrame<'b, 'i, B, T> {
    out: &'b mut B,
    open: OpenFrame,
    version: Version,
    items: PhantomData<&'i T>,
}

impl<'b, 'i, B: FrameBuf, T: Item<'i>> ListFrame<'b, 'i, B, T> {
    /// Appends everything up to the list.
    pub fn begin(
        head: &Reply<'_>,
        mid: impl Into<Option<u32>>,
        version: Version,
        out: &'b mut B,
    ) -> Self {
        let open = OpenFrame::at(out);
        head.encode(mid, version, out);
        Self {
            out,
            open,
            version,
            items: PhantomData,
        }
    }

    /// Appends one item.
    #[inline(always)]
    pub fn push(&mut self, item: &T) {
        item.put(&mut Writer::new(self.out, self.version));
    }

    /// Bytes of payload so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.open.len(self.out)
    }

    /// Whether the payload is still empty; it never is, a list has a head.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Completes the frame.
    pub fn finish(self) {
        self.open.finish(self.out);
    }

    /// Takes everything back, to send an error instead.
    pub fn abandon(self) {
        self.open.abandon(self.out);
    }
}
