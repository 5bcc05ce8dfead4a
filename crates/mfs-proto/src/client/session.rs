//! Session upkeep and questions about the master itself (spec 04 §2.7, §7.1, §7.2).

use super::{Body, Mid, fixed_item, mids, plain_body};
use crate::frame::FrameBuf;
use crate::version::Version;
use crate::wire::{Fault, List, Reader, Writer};

/// GET_VERSION 10: allowed in any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetVersion {
    /// Message id; the answer has one exactly if the request has.
    pub mid: Option<u32>,
}

/// TIME_SYNC 704.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSync {
    /// Message id; the answer has one exactly if the request has.
    pub mid: Option<u32>,
}

macro_rules! optional_mid {
    ($($t:ident),*) => {
        $(impl<'a> Body<'a> for $t {
            fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
                Ok(Self {
                    mid: if r.is_empty() { None } else { Some(r.u32()?) },
                })
            }

            fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
                if let Some(mid) = self.mid {
                    w.u32(mid);
                }
            }
        })*
    };
}
optional_mid!(GetVersion, TimeSync);

/// GET_CONFIG 80: the value of an option of the configuration file. Allowed in any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetConfig<'a> {
    /// Message id.
    pub mid: u32,
    /// Name of the option.
    pub option: &'a [u8],
}

plain_body!(GetConfig<'a> { mid: u32, option: name });
mids!(GetVersion, TimeSync, GetConfig<'_>);

/// SUSTAINED_INODES 700 (and its old number 499): every inode that the session holds. No answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SustainedInodes<'a> {
    /// Inodes in any order; zeros mean nothing.
    pub inodes: List<'a, u32>,
}

impl<'a> Body<'a> for SustainedInodes<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self { inodes: r.list()? })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.list(&self.inodes);
    }
}

/// Times of one inode in [`AmtimeInodes`], in seconds since the epoch; 0 = not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amtime {
    /// The inode.
    pub inode: u32,
    /// Time of last access.
    pub atime: u32,
    /// Time of last modification.
    pub mtime: u32,
}

fixed_item!(Amtime {
    inode: u32,
    atime: u32,
    mtime: u32
});

/// AMTIME_INODES 701: times of inodes that the client changed by itself. No answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmtimeInodes<'a> {
    /// The changed inodes.
    pub inodes: List<'a, Amtime>,
}

impl<'a> Body<'a> for AmtimeInodes<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self { inodes: r.list()? })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.list(&self.inodes);
    }
}

impl Mid for SustainedInodes<'_> {}
impl Mid for AmtimeInodes<'_> {}

/// Answer of GET_VERSION.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionReply<'a> {
    /// Version of the program.
    pub version: Version,
    /// The same as text, for example `3.0.117-1`.
    pub text: &'a [u8],
}

impl<'a> Body<'a> for VersionReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            version: Version(r.u32()?),
            text: r.tail(),
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.version.0);
        w.bytes(self.text);
    }
}

/// Answer of GET_CONFIG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigReply<'a> {
    /// Value in the configuration file, at most 255 bytes (longer ones are cut); empty if it is not set.
    pub value: &'a [u8],
}

plain_body!(ConfigReply<'a> { value: name });

/// Answer of TIME_SYNC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSyncReply {
    /// Wall clock of the master in microseconds since the epoch.
    pub micros: u64,
}

plain_body!(TimeSyncReply { micros: u64 });

/// Answer of STATFS; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatfsReply {
    /// Space of all chunkservers, reduced by quotas.
    pub total: u64,
    /// Space for users.
    pub avail: u64,
    /// Free space; clients before 3.0.102 do not get it.
    pub free: u64,
    /// Length of files in trash.
    pub trash: u64,
    /// Length of deleted files that are still open.
    pub sustained: u64,
    /// Number of inodes below the session root.
    pub inodes: u32,
}

impl<'a> Body<'a> for StatfsReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            total: r.u64()?,
            avail: r.u64()?,
            free: if r.version().has_statfs_free() {
                r.u64()?
            } else {
                0
            },
            trash: r.u64()?,
            sustained: r.u64()?,
            inodes: r.u32()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u64(self.total);
        w.u64(self.avail);
        if w.version().has_statfs_free() {
            w.u64(self.free);
        }
        w.u64(self.trash);
        w.u64(self.sustained);
        w.u32(self.inodes);
    }
}
