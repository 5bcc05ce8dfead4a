//! Properties of objects that tools read and set: storage class, trash time, extra attributes, archive flag
//! (spec 04 §7.11). In all answers files come before directories.

use super::{Body, fixed_item, mids, plain_body};
use crate::frame::FrameBuf;
use crate::wire::{Fault, Item, List, Reader, Writer};

/// Values of [`GetProperty::gmode`].
pub mod gmode {
    /// This object.
    pub const NORMAL: u8 = 0;
    /// Everything below too.
    pub const RECURSIVE: u8 = 1;
}

/// Values of the `smode` of requests that set a property.
pub mod smode {
    /// Set the value.
    pub const SET: u8 = 0;
    /// Raise to the value, or add its bits.
    pub const INCREASE: u8 = 1;
    /// Lower to the value, or clear its bits.
    pub const DECREASE: u8 = 2;
    /// Replace one value by another.
    pub const EXCHANGE: u8 = 3;
    /// The bits that hold one of the above.
    pub const OPERATION_MASK: u8 = 3;
    /// Everything below too.
    pub const RECURSIVE: u8 = 4;
    /// The highest legal value; above it `EINVAL`.
    pub const MAX: u8 = 7;
}

/// GETTRASHTIME 442, GETSCLASS 446 or GETEATTR 472.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetProperty {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// One of [`gmode`]; other values are `EINVAL`.
    pub gmode: u8,
}

plain_body!(GetProperty {
    mid: u32,
    inode: u32,
    gmode: u8
});

/// Numbers of objects by what a request did to them: answer of SETTRASHTIME, SETSCLASS and SETEATTR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangedReply {
    /// Objects that were changed.
    pub changed: u32,
    /// Objects that had the value already.
    pub not_changed: u32,
    /// Objects that the caller may not change.
    pub not_permitted: u32,
}

plain_body!(ChangedReply {
    changed: u32,
    not_changed: u32,
    not_permitted: u32
});

/// How many objects have a trash time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrashtimeCount {
    /// Trash time in seconds.
    pub trashtime: u32,
    /// Number of objects.
    pub count: u32,
}

fixed_item!(TrashtimeCount {
    trashtime: u32,
    count: u32
});

/// Answer of GETTRASHTIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrashtimeReply<'a> {
    /// Trash times of files.
    pub files: List<'a, TrashtimeCount>,
    /// Trash times of directories.
    pub dirs: List<'a, TrashtimeCount>,
}

impl<'a> Body<'a> for TrashtimeReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let files = r.u32()?;
        let dirs = r.u32()?;
        Ok(Self {
            files: r.list_of(files as usize)?,
            dirs: r.list_of(dirs as usize)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.files.len() as u32);
        w.u32(self.dirs.len() as u32);
        w.list(&self.files);
        w.list(&self.dirs);
    }
}

/// SETTRASHTIME 444, answered with [`ChangedReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settrashtime {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// User that asks.
    pub uid: u32,
    /// The trash time in seconds.
    pub trashtime: u32,
    /// Bits of [`smode`].
    pub smode: u8,
}

plain_body!(Settrashtime {
    mid: u32,
    inode: u32,
    uid: u32,
    trashtime: u32,
    smode: u8
});

/// How many objects have a combination of extra attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EattrCount {
    /// Bits of [`eattr`].
    pub eattr: u8,
    /// Number of objects.
    pub count: u32,
}

fixed_item!(EattrCount {
    eattr: u8,
    count: u32
});

/// Answer of GETEATTR: at most 255 entries each, ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EattrReply<'a> {
    /// Extra attributes of files.
    pub files: List<'a, EattrCount>,
    /// Extra attributes of directories.
    pub dirs: List<'a, EattrCount>,
}

impl<'a> Body<'a> for EattrReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let files = r.u8()?;
        let dirs = r.u8()?;
        Ok(Self {
            files: r.list_of(files.into())?,
            dirs: r.list_of(dirs.into())?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        put_short_lists(&self.files, &self.dirs, w);
    }
}

/// Two lists whose lengths are bytes; what is beyond 255 entries is left out.
fn put_short_lists<'a, T: Item<'a>, B: FrameBuf>(
    files: &List<'a, T>,
    dirs: &List<'a, T>,
    w: &mut Writer<'_, B>,
) {
    const MOST: usize = u8::MAX as usize;
    w.u8(files.len().min(MOST) as u8);
    w.u8(dirs.len().min(MOST) as u8);
    for item in files.iter().take(MOST).chain(dirs.iter().take(MOST)) {
        item.put(w);
    }
}

/// Bits of extra attributes.
pub mod eattr {
    /// Everyone counts as owner.
    pub const NOOWNER: u8 = 0x01;
    /// Attributes are not cached.
    pub const NOATTRCACHE: u8 = 0x02;
    /// Entries are not cached.
    pub const NOENTRYCACHE: u8 = 0x04;
    /// Data is not cached.
    pub const NODATACACHE: u8 = 0x08;
    /// Made by SNAPSHOT.
    pub const SNAPSHOT: u8 = 0x10;
    /// Cannot be removed.
    pub const UNDELETABLE: u8 = 0x20;
    /// Can only grow.
    pub const APPENDONLY: u8 = 0x40;
    /// Cannot be changed.
    pub const IMMUTABLE: u8 = 0x80;
}

/// SETEATTR 474, answered with [`ChangedReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seteattr {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// User that asks.
    pub uid: u32,
    /// Bits of [`eattr`].
    pub eattr: u8,
    /// Bits of [`smode`].
    pub smode: u8,
}

plain_body!(Seteattr {
    mid: u32,
    inode: u32,
    uid: u32,
    eattr: u8,
    smode: u8
});

/// A storage class as tools name it: classes 1 to 9 by number, others by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassRef<'a> {
    /// A number other than 255. In a request 0 and everything above 9 is `EINVAL`.
    Number(u8),
    /// A name.
    Name(&'a [u8]),
}

/// The number that says that a name follows.
const NAMED: u8 = 0xFF;

/// How many objects have a storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassCount<'a> {
    /// The class.
    pub class: ClassRef<'a>,
    /// Number of objects.
    pub count: u32,
}

impl<'a> Item<'a> for ClassCount<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            class: match r.u8()? {
                NAMED => ClassRef::Name(r.name()?),
                number => ClassRef::Number(number),
            },
            count: r.u32()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match self.class {
            ClassRef::Number(number) => w.u8(number),
            ClassRef::Name(name) => {
                w.u8(NAMED);
                w.name(name);
            }
        }
        w.u32(self.count);
    }
}

/// Answer of GETSCLASS: at most 255 entries each, ascending by class id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassReply<'a> {
    /// Storage classes of files.
    pub files: List<'a, ClassCount<'a>>,
    /// Storage classes of directories.
    pub dirs: List<'a, ClassCount<'a>>,
}

impl<'a> Body<'a> for ClassReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let files = r.u8()?;
        let dirs = r.u8()?;
        Ok(Self {
            files: r.list_of(files.into())?,
            dirs: r.list_of(dirs.into())?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        put_short_lists(&self.files, &self.dirs, w);
    }
}

/// SETSCLASS 448, answered with [`ChangedReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setsclass<'a> {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// User that asks.
    pub uid: u32,
    /// Bits of [`smode`].
    pub smode: u8,
    /// The class to set.
    pub class: ClassRef<'a>,
    /// The class to replace: present exactly if `class` is a name and the mode is [`smode::EXCHANGE`].
    pub old_class: Option<&'a [u8]>,
    /// Bytes behind what is needed; whether there may be any says [`Self::has_legal_length`].
    pub surplus: &'a [u8],
}

impl Setsclass<'_> {
    /// Whether the request may be as long as it is; if not, the connection has to be closed (spec 04 §7.11).
    ///
    /// The original demands exactly 14 bytes of a class of 1 to 9 by number and takes everything else at any length
    /// that holds its fields. It looks at the length of the former behind the rights and before all else: a session
    /// for which SETSCLASS is disabled is told `EPERM`; any other one is cut off, whatever mode, object and user are,
    /// also if it is read-only. A field that is missing ends the connection in any case, so that is left to the
    /// decoder.
    pub fn has_legal_length(&self) -> bool {
        self.surplus.is_empty() || !matches!(self.class, ClassRef::Number(1..=9))
    }
}

impl<'a> Body<'a> for Setsclass<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let mid = r.u32()?;
        let inode = r.u32()?;
        let uid = r.u32()?;
        let number = r.u8()?;
        let smode = r.u8()?;
        let mut old_class = None;
        let class = if number == NAMED {
            if smode & smode::OPERATION_MASK == smode::EXCHANGE {
                old_class = Some(r.name()?);
            }
            ClassRef::Name(r.name()?)
        } else {
            ClassRef::Number(number)
        };
        Ok(Self {
            mid,
            inode,
            uid,
            smode,
            class,
            old_class,
            surplus: r.tail(),
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u32(self.uid);
        match self.class {
            ClassRef::Number(number) => {
                w.u8(number);
                w.u8(self.smode);
            }
            ClassRef::Name(name) => {
                w.u8(NAMED);
                w.u8(self.smode);
                if let Some(old) = self.old_class {
                    w.name(old);
                }
                w.name(name);
            }
        }
        w.bytes(self.surplus);
    }
}

/// What ARCHCTL does with the archive flag of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchCommand {
    /// Count.
    Get,
    /// Clear it, for this user.
    Clear {
        /// User that asks.
        uid: u32,
    },
    /// Set it, for this user.
    Set {
        /// User that asks.
        uid: u32,
    },
}

/// ARCHCTL 496, answered with [`ArchReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archctl {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// What to do.
    pub command: ArchCommand,
}

impl<'a> Body<'a> for Archctl {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            command: match r.u8()? {
                0 => ArchCommand::Clear { uid: r.u32()? },
                1 => ArchCommand::Set { uid: r.u32()? },
                2 => ArchCommand::Get,
                other => {
                    return Err(Fault::Value {
                        field: "cmd",
                        value: other.into(),
                    });
                }
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        match self.command {
            ArchCommand::Clear { uid } => {
                w.u8(0);
                w.u32(uid);
            }
            ArchCommand::Set { uid } => {
                w.u8(1);
                w.u32(uid);
            }
            ArchCommand::Get => w.u8(2),
        }
    }
}

/// Answer of ARCHCTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchReply {
    /// Answer to [`ArchCommand::Get`].
    Counts {
        /// Chunks with the flag.
        arch_chunks: u64,
        /// Chunks without it.
        notarch_chunks: u64,
        /// Files with all chunks flagged.
        arch_inodes: u32,
        /// Files with some chunks flagged.
        partial_inodes: u32,
        /// Files with no chunk flagged.
        notarch_inodes: u32,
    },
    /// Answer to the other commands.
    Changed {
        /// Chunks changed.
        changed: u64,
        /// Chunks that were so already.
        not_changed: u64,
        /// Objects that the caller may not change.
        not_permitted: u32,
    },
}

impl<'a> Body<'a> for ArchReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        if r.remaining() == 28 {
            Ok(Self::Counts {
                arch_chunks: r.u64()?,
                notarch_chunks: r.u64()?,
                arch_inodes: r.u32()?,
                partial_inodes: r.u32()?,
                notarch_inodes: r.u32()?,
            })
        } else {
            Ok(Self::Changed {
                changed: r.u64()?,
                not_changed: r.u64()?,
                not_permitted: r.u32()?,
            })
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match *self {
            Self::Counts {
                arch_chunks,
                notarch_chunks,
                arch_inodes,
                partial_inodes,
                notarch_inodes,
            } => {
                w.u64(arch_chunks);
                w.u64(notarch_chunks);
                w.u32(arch_inodes);
                w.u32(partial_inodes);
                w.u32(notarch_inodes);
            }
            Self::Changed {
                changed,
                not_changed,
                not_permitted,
            } => {
                w.u64(changed);
                w.u64(not_changed);
                w.u32(not_permitted);
            }
        }
    }
}

mids!(GetProperty, Settrashtime, Seteattr, Setsclass<'_>, Archctl);
