//! Administration of storage classes (spec 04 §7.12).

use super::{Body, Expect, mids, plain_body};
use crate::frame::FrameBuf;
use crate::status::Status;
use crate::wire::{Fault, Item, List, Reader, Writer};

/// The only version of the layouts that requests may have.
const FORMAT: u8 = 0;

/// Most labels of one set; more are `EINVAL`.
pub const MAX_LABELS: usize = 9;

/// One label of a set: matches a server if any non-zero mask is a subset of the labels of the server (bit 0 =
/// A); all zero = any server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Label(pub [u32; 4]);

impl<'a> Item<'a> for Label {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self([r.u32()?, r.u32()?, r.u32()?, r.u32()?]))
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        for mask in self.0 {
            w.u32(mask);
        }
    }
}

/// Definition of a storage class. Sets on the wire have at most 255 labels; legal ones have 1 to
/// [`MAX_LABELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassDef<'a> {
    /// Only administrators may assign it.
    pub admin_only: u8,
    /// 0 loose, 1 default, 2 strict.
    pub mode: u8,
    /// Days until chunks move to the archive set; 0 = never.
    pub arch_delay: u16,
    /// Labels for new chunks.
    pub create: List<'a, Label>,
    /// Labels for chunks in use.
    pub keep: List<'a, Label>,
    /// Labels for archived chunks.
    pub arch: List<'a, Label>,
}

impl ClassDef<'_> {
    /// Whether every set has a legal number of labels.
    pub fn has_legal_counts(&self) -> bool {
        [self.create, self.keep, self.arch]
            .iter()
            .all(|set| (1..=MAX_LABELS).contains(&set.len()))
    }
}

impl<'a> Item<'a> for ClassDef<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let admin_only = r.u8()?;
        let mode = r.u8()?;
        let arch_delay = r.u16()?;
        let create = r.u8()?;
        let keep = r.u8()?;
        let arch = r.u8()?;
        Ok(Self {
            admin_only,
            mode,
            arch_delay,
            create: r.list_of(create.into())?,
            keep: r.list_of(keep.into())?,
            arch: r.list_of(arch.into())?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u8(self.admin_only);
        w.u8(self.mode);
        w.u16(self.arch_delay);
        w.u8(self.create.len() as u8);
        w.u8(self.keep.len() as u8);
        w.u8(self.arch.len() as u8);
        w.list(&self.create);
        w.list(&self.keep);
        w.list(&self.arch);
    }
}

/// SCLASS_CREATE 350; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclassCreate<'a> {
    /// Message id.
    pub mid: u32,
    /// Name of the new class.
    pub name: &'a [u8],
    /// Its definition; `None` if the request has a layout that is not known: `EINVAL`.
    pub def: Option<ClassDef<'a>>,
}

/// The version of a layout that is not known, for requests to send.
const UNKNOWN_FORMAT: u8 = 1;

impl<'a> Body<'a> for SclassCreate<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            name: r.name()?,
            def: if r.u8()? == FORMAT {
                Some(ClassDef::take(r)?)
            } else {
                r.tail();
                None
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.name(self.name);
        match &self.def {
            Some(def) => {
                w.u8(FORMAT);
                def.put(w);
            }
            None => w.u8(UNKNOWN_FORMAT),
        }
    }
}

/// Bits of [`ClassChange::mask`].
pub mod chgmask {
    /// Change `admin_only`.
    pub const ADMIN_ONLY: u16 = 0x0001;
    /// Change `mode`.
    pub const MODE: u16 = 0x0002;
    /// Change the labels for new chunks.
    pub const CREATE: u16 = 0x0004;
    /// Change the labels for chunks in use.
    pub const KEEP: u16 = 0x0008;
    /// Change the labels for archived chunks.
    pub const ARCH: u16 = 0x0010;
    /// Change `arch_delay`.
    pub const ARCH_DELAY: u16 = 0x0020;
    /// Also classes 1 to 8.
    pub const FORCE: u16 = 0x8000;
}

/// What SCLASS_CHANGE changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassChange<'a> {
    /// Bits of [`chgmask`]; 0 = only show the class.
    pub mask: u16,
    /// The new values; those that the mask does not name mean nothing.
    pub def: ClassDef<'a>,
}

/// SCLASS_CHANGE 352, answered with [`SclassChangeReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclassChange<'a> {
    /// Message id.
    pub mid: u32,
    /// Name of the class.
    pub name: &'a [u8],
    /// The change; `None` if the request has a layout that is not known: `EINVAL`.
    pub change: Option<ClassChange<'a>>,
}

impl<'a> Body<'a> for SclassChange<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            name: r.name()?,
            change: if r.u8()? == FORMAT {
                Some(ClassChange {
                    mask: r.u16()?,
                    def: ClassDef::take(r)?,
                })
            } else {
                r.tail();
                None
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.name(self.name);
        match &self.change {
            Some(change) => {
                w.u8(FORMAT);
                w.u16(change.mask);
                change.def.put(w);
            }
            None => w.u8(UNKNOWN_FORMAT),
        }
    }
}

/// Success of SCLASS_CHANGE: the class after the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclassChangeReply<'a> {
    /// The definition.
    pub def: ClassDef<'a>,
}

impl<'a> Body<'a> for SclassChangeReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        match r.u8()? {
            0 => Ok(Self {
                def: ClassDef::take(r)?,
            }),
            other => Err(Fault::Value {
                field: "status",
                value: other.into(),
            }),
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u8(Status::OK.0);
        self.def.put(w);
    }
}

/// SCLASS_DELETE 354; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclassDelete<'a> {
    /// Message id.
    pub mid: u32,
    /// Name of the class.
    pub name: &'a [u8],
}

plain_body!(SclassDelete<'a> { mid: u32, name: name });

/// SCLASS_DUPLICATE 356 or SCLASS_RENAME 358; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclassPair<'a> {
    /// Message id.
    pub mid: u32,
    /// Name of the class.
    pub old: &'a [u8],
    /// Name of the copy, or the new name.
    pub new: &'a [u8],
}

plain_body!(SclassPair<'a> { mid: u32, old: name, new: name });

/// SCLASS_LIST 360, answered with [`SclassListReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclassList {
    /// Message id.
    pub mid: u32,
    /// Bit 0: with definitions; the other bits mean nothing.
    pub fver: u8,
}

plain_body!(SclassList { mid: u32, fver: u8 });

impl SclassList {
    /// Whether the definitions of the classes are wanted beside their names.
    pub fn with_definitions(&self) -> bool {
        self.fver & 1 != 0
    }
}

/// A storage class in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclassEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its definition, if the request asked for definitions.
    pub def: Option<ClassDef<'a>>,
}

impl<'a> Item<'a> for SclassEntry<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            name: r.name()?,
            def: if r.expect() == Expect::ClassDefinitions {
                Some(ClassDef::take(r)?)
            } else {
                None
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.name(self.name);
        if let Some(def) = &self.def {
            def.put(w);
        }
    }
}

/// Answer of SCLASS_LIST; there is no error form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclassListReply<'a> {
    /// All classes, ascending by id.
    pub classes: List<'a, SclassEntry<'a>>,
}

impl<'a> Body<'a> for SclassListReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self { classes: r.list()? })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.list(&self.classes);
    }
}

mids!(
    SclassCreate<'_>,
    SclassChange<'_>,
    SclassDelete<'_>,
    SclassPair<'_>,
    SclassList,
);
