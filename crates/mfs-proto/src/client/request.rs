//! The requests of the client port as one type.

use super::common::{InodeRequest, MidRequest, Passthrough};
use super::property::{Archctl, GetProperty, Seteattr, Setsclass, Settrashtime};
use super::{
    Body, Expect, Mid, attr, data, dispatch, info, lock, quota, register, sclass, session, trash,
    tree, xattr,
};
use crate::frame::{self, FrameBuf};
use crate::msg;
use crate::version::Version;
use crate::wire::{DecodeError, Fault, Reader, Writer};

macro_rules! requests {
    ($($variant:ident($body:ty) = $msg:ident;)*) => {
        /// A request of a client (spec 04 §7). Names and lists are borrowed from the frame.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Request<'a> {
            $(#[doc = concat!("[`msg::", stringify!($msg), "`]")] $variant($body),)*
            /// A monitoring message (spec 04 §13); its layout is not this module's business.
            Monitoring(Passthrough<'a>),
            /// NOP and its like (types 0, 1, 2): accepted in any state with any length, and ignored.
            Ignored(Passthrough<'a>),
        }

        impl<'a> Request<'a> {
            /// Decodes the payload of one frame from a client that registered with `version`
            /// (before registration: any version). An error means: close the connection.
            #[inline]
            pub fn decode(
                message: u32,
                payload: &'a [u8],
                version: Version,
            ) -> Result<Self, DecodeError> {
                let mut r = Reader::new(payload, version, Expect::Plain);
                // Every arm returns the finished request itself: passing it on costs more than decoding it.
                let fault = match message {
                    $(msg::$msg => match <$body>::take(&mut r) {
                        Ok(body) if r.is_empty() => return Ok(Self::$variant(body)),
                        Ok(_) => Fault::Length,
                        Err(fault) => fault,
                    },)*
                    _ => match Self::decode_other(message, &mut r) {
                        Ok(request) if r.is_empty() => return Ok(request),
                        Ok(_) => Fault::Length,
                        Err(fault) => fault,
                    },
                };
                Err(DecodeError {
                    msg: message,
                    length: payload.len(),
                    fault,
                })
            }

            /// The message number.
            pub fn msg(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => msg::$msg,)*
                    Self::Monitoring(p) | Self::Ignored(p) => p.msg,
                }
            }

            /// The message id, for messages that have one.
            #[inline]
            pub fn mid(&self) -> Option<u32> {
                match self {
                    $(Self::$variant(body) => body.message_id(),)*
                    Self::Monitoring(_) | Self::Ignored(_) => None,
                }
            }

            /// Appends the request as a frame in the layout that a client of `version` uses.
            pub fn encode_as<B: FrameBuf>(&self, version: Version, out: &mut B) {
                frame::write(out, self.msg(), |out| {
                    let mut w = Writer::new(out, version);
                    match self {
                        $(Self::$variant(body) => body.put(&mut w),)*
                        Self::Monitoring(p) | Self::Ignored(p) => w.bytes(p.payload),
                    }
                });
            }
        }
    };
}

requests! {
    GetVersion(session::GetVersion) = ANTOAN_GET_VERSION;
    GetConfig(session::GetConfig<'a>) = ANTOAN_GET_CONFIG;
    Register(register::Register<'a>) = CLTOMA_FUSE_REGISTER;
    SustainedInodes(session::SustainedInodes<'a>) = CLTOMA_FUSE_SUSTAINED_INODES;
    AmtimeInodes(session::AmtimeInodes<'a>) = CLTOMA_FUSE_AMTIME_INODES;
    TimeSync(session::TimeSync) = CLTOMA_FUSE_TIME_SYNC;
    Statfs(MidRequest) = CLTOMA_FUSE_STATFS;
    Access(attr::Access<'a>) = CLTOMA_FUSE_ACCESS;
    Lookup(attr::Lookup<'a>) = CLTOMA_FUSE_LOOKUP;
    Getattr(attr::Getattr) = CLTOMA_FUSE_GETATTR;
    Setattr(attr::Setattr<'a>) = CLTOMA_FUSE_SETATTR;
    Readlink(InodeRequest) = CLTOMA_FUSE_READLINK;
    Symlink(tree::Symlink<'a>) = CLTOMA_FUSE_SYMLINK;
    Mknod(tree::Mknod<'a>) = CLTOMA_FUSE_MKNOD;
    Mkdir(tree::Mkdir<'a>) = CLTOMA_FUSE_MKDIR;
    Unlink(tree::Remove<'a>) = CLTOMA_FUSE_UNLINK;
    Rmdir(tree::Remove<'a>) = CLTOMA_FUSE_RMDIR;
    Rename(tree::Rename<'a>) = CLTOMA_FUSE_RENAME;
    Link(tree::Link<'a>) = CLTOMA_FUSE_LINK;
    Readdir(tree::Readdir<'a>) = CLTOMA_FUSE_READDIR;
    Open(attr::Open<'a>) = CLTOMA_FUSE_OPEN;
    Create(tree::Create<'a>) = CLTOMA_FUSE_CREATE;
    ReadChunk(data::ChunkRequest) = CLTOMA_FUSE_READ_CHUNK;
    WriteChunk(data::ChunkRequest) = CLTOMA_FUSE_WRITE_CHUNK;
    WriteChunkEnd(data::WriteChunkEnd) = CLTOMA_FUSE_WRITE_CHUNK_END;
    AppendSlice(data::AppendSlice<'a>) = CLTOMA_FUSE_APPEND_SLICE;
    Truncate(data::Truncate<'a>) = CLTOMA_FUSE_TRUNCATE;
    Repair(data::Repair<'a>) = CLTOMA_FUSE_REPAIR;
    Snapshot(tree::Snapshot<'a>) = CLTOMA_FUSE_SNAPSHOT;
    Check(info::Check) = CLTOMA_FUSE_CHECK;
    Getdirstats(InodeRequest) = CLTOMA_FUSE_GETDIRSTATS;
    Parents(InodeRequest) = CLTOMA_FUSE_PARENTS;
    Paths(InodeRequest) = CLTOMA_FUSE_PATHS;
    NodeInfo(info::NodeInfo) = CLTOMA_NODE_INFO;
    Gettrashtime(GetProperty) = CLTOMA_FUSE_GETTRASHTIME;
    Settrashtime(Settrashtime) = CLTOMA_FUSE_SETTRASHTIME;
    Getsclass(GetProperty) = CLTOMA_FUSE_GETSCLASS;
    Setsclass(Setsclass<'a>) = CLTOMA_FUSE_SETSCLASS;
    Geteattr(GetProperty) = CLTOMA_FUSE_GETEATTR;
    Seteattr(Seteattr) = CLTOMA_FUSE_SETEATTR;
    Archctl(Archctl) = CLTOMA_FUSE_ARCHCTL;
    QuotaControl(quota::QuotaControl) = CLTOMA_FUSE_QUOTACONTROL;
    Getxattr(xattr::Getxattr<'a>) = CLTOMA_FUSE_GETXATTR;
    Setxattr(xattr::Setxattr<'a>) = CLTOMA_FUSE_SETXATTR;
    Getfacl(xattr::Getfacl) = CLTOMA_FUSE_GETFACL;
    Setfacl(xattr::Setfacl<'a>) = CLTOMA_FUSE_SETFACL;
    Flock(lock::Flock) = CLTOMA_FUSE_FLOCK;
    PosixLock(lock::PosixLock) = CLTOMA_FUSE_POSIX_LOCK;
    Gettrash(trash::Gettrash) = CLTOMA_FUSE_GETTRASH;
    Getsustained(MidRequest) = CLTOMA_FUSE_GETSUSTAINED;
    GetDetachedAttr(trash::GetDetachedAttr) = CLTOMA_FUSE_GETDETACHEDATTR;
    Gettrashpath(InodeRequest) = CLTOMA_FUSE_GETTRASHPATH;
    Settrashpath(trash::Settrashpath<'a>) = CLTOMA_FUSE_SETTRASHPATH;
    Undel(InodeRequest) = CLTOMA_FUSE_UNDEL;
    Purge(InodeRequest) = CLTOMA_FUSE_PURGE;
    SclassCreate(sclass::SclassCreate<'a>) = CLTOMA_SCLASS_CREATE;
    SclassChange(sclass::SclassChange<'a>) = CLTOMA_SCLASS_CHANGE;
    SclassDelete(sclass::SclassDelete<'a>) = CLTOMA_SCLASS_DELETE;
    SclassDuplicate(sclass::SclassPair<'a>) = CLTOMA_SCLASS_DUPLICATE;
    SclassRename(sclass::SclassPair<'a>) = CLTOMA_SCLASS_RENAME;
    SclassList(sclass::SclassList) = CLTOMA_SCLASS_LIST;
}

impl<'a> Request<'a> {
    /// Messages that are not one body of their own.
    #[cold]
    fn decode_other(message: u32, r: &mut Reader<'a>) -> Result<Self, Fault> {
        match message {
            msg::CLTOMA_FUSE_SUSTAINED_INODES_DEPRECATED => {
                session::SustainedInodes::take(r).map(Self::SustainedInodes)
            }
            msg::ANTOAN_NOP | msg::ANTOAN_UNKNOWN_COMMAND | msg::ANTOAN_BAD_COMMAND_SIZE => {
                Ok(Self::Ignored(Passthrough {
                    msg: message,
                    payload: r.tail(),
                }))
            }
            _ if dispatch::is_monitoring(message) => Ok(Self::Monitoring(Passthrough {
                msg: message,
                payload: r.tail(),
            })),
            _ => Err(Fault::UnknownType),
        }
    }

    /// Appends the request as a frame in the layout of 3.0.117.
    pub fn encode<B: FrameBuf>(&self, out: &mut B) {
        self.encode_as(Version::MASTER, out);
    }

    /// What one needs to know of the request to decode its answer.
    pub fn expect(&self) -> Expect {
        match self {
            Self::GetVersion(r) if r.mid.is_none() => Expect::NoMid,
            Self::TimeSync(r) if r.mid.is_none() => Expect::NoMid,
            Self::NodeInfo(r) if r.mid.is_none() => Expect::NoMid,
            Self::Readdir(r) => Expect::Readdir {
                attr: r.with_attr(),
                nedgeid: r.page.is_some(),
            },
            Self::Check(r) if r.index.is_some() => Expect::Copies,
            Self::Getxattr(r) if r.mode == xattr::getxattr_mode::LENGTH => Expect::XattrLength,
            Self::SclassList(r) if r.with_definitions() => Expect::ClassDefinitions,
            _ => Expect::Plain,
        }
    }
}
