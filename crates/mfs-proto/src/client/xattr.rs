//! Extended attributes and POSIX ACLs (spec 04 §7.9).

use super::common::Cred;
use super::{Body, Expect, fixed_item, mids};
use crate::frame::FrameBuf;
use crate::wire::{Fault, List, Reader, Writer};

/// Values of [`Getxattr::mode`].
pub mod getxattr_mode {
    /// The value.
    pub const DATA: u8 = 0;
    /// Only its length.
    pub const LENGTH: u8 = 1;
}

/// GETXATTR 478, answered with [`GetxattrReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Getxattr<'a> {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// Name of the attribute; empty = list all names.
    pub name: &'a [u8],
    /// One of [`getxattr_mode`]; other values are `EINVAL`.
    pub mode: u8,
    /// By descriptor: no permission check.
    pub opened: bool,
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Getxattr<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            name: r.name()?,
            mode: r.u8()?,
            opened: r.u8()? != 0,
            cred: Cred::take(r, 0)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.name(self.name);
        w.u8(self.mode);
        w.u8(self.opened.into());
        self.cred.put(w);
    }
}

/// Answer of GETXATTR. A list of names has a zero byte after each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GetxattrReply<'a> {
    /// Answer to [`getxattr_mode::DATA`].
    Value(&'a [u8]),
    /// Answer to [`getxattr_mode::LENGTH`], in bytes.
    Length(u32),
}

impl<'a> Body<'a> for GetxattrReply<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        if r.expect() == Expect::XattrLength {
            Ok(Self::Length(r.u32()?))
        } else {
            Ok(Self::Value(r.blob32()?))
        }
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        match self {
            Self::Value(value) => w.blob32(value),
            Self::Length(length) => w.u32(*length),
        }
    }
}

/// Values of [`Setxattr::mode`].
pub mod setxattr_mode {
    /// Set, whether it exists or not.
    pub const CREATE_OR_REPLACE: u8 = 0;
    /// Set only if it does not exist.
    pub const CREATE: u8 = 1;
    /// Set only if it exists.
    pub const REPLACE: u8 = 2;
    /// Remove.
    pub const REMOVE: u8 = 3;
}

/// SETXATTR 480; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setxattr<'a> {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// Name of the attribute.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// One of [`setxattr_mode`].
    pub mode: u8,
    /// By descriptor: no permission check.
    pub opened: bool,
    /// Who asks.
    pub cred: Cred<'a>,
}

impl<'a> Body<'a> for Setxattr<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            name: r.name()?,
            value: r.blob32()?,
            mode: r.u8()?,
            opened: r.u8()? != 0,
            cred: Cred::take(r, 0)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.name(self.name);
        w.blob32(self.value);
        w.u8(self.mode);
        w.u8(self.opened.into());
        self.cred.put(w);
    }
}

/// Values of the ACL type.
pub mod acl_type {
    /// The ACL that governs access.
    pub const ACCESS: u8 = 1;
    /// The ACL that new objects in a directory inherit.
    pub const DEFAULT: u8 = 2;
}

/// GETFACL 488, answered with [`Acl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Getfacl {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// One of [`acl_type`]. The caller that old requests name here means nothing.
    pub acl_type: u8,
}

impl<'a> Body<'a> for Getfacl {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let mid = r.u32()?;
        let inode = r.u32()?;
        let acl_type = r.u8()?;
        if !r.is_empty() {
            r.u8()?;
            Cred::take(r, 0)?;
        }
        Ok(Self {
            mid,
            inode,
            acl_type,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u8(self.acl_type);
    }
}

/// A named user or group of an ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclEntry {
    /// User or group id.
    pub id: u32,
    /// Permission bits (0…7).
    pub perm: u16,
}

fixed_item!(AclEntry { id: u32, perm: u16 });

/// A POSIX ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acl<'a> {
    /// Rights of the owner.
    pub user: u16,
    /// Rights of the group.
    pub group: u16,
    /// Rights of others.
    pub other: u16,
    /// The mask; [`Acl::ABSENT`] = there is none.
    pub mask: u16,
    /// Named users.
    pub users: List<'a, AclEntry>,
    /// Named groups.
    pub groups: List<'a, AclEntry>,
}

impl Acl<'_> {
    /// A field that is not given: no mask, or "take it from the mode".
    pub const ABSENT: u16 = 0xFFFF;

    /// Whether setting this removes the ACL.
    pub fn is_removal(&self) -> bool {
        [self.user, self.group, self.other, self.mask] == [Self::ABSENT; 4]
            && self.users.is_empty()
            && self.groups.is_empty()
    }
}

impl<'a> Body<'a> for Acl<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let user = r.u16()?;
        let group = r.u16()?;
        let other = r.u16()?;
        let mask = r.u16()?;
        let users = r.u16()?;
        let groups = r.u16()?;
        Ok(Self {
            user,
            group,
            other,
            mask,
            users: r.list_of(users.into())?,
            groups: r.list_of(groups.into())?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u16(self.user);
        w.u16(self.group);
        w.u16(self.other);
        w.u16(self.mask);
        w.u16(self.users.len() as u16);
        w.u16(self.groups.len() as u16);
        w.list(&self.users);
        w.list(&self.groups);
    }
}

/// SETFACL 490; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setfacl<'a> {
    /// Message id.
    pub mid: u32,
    /// The object.
    pub inode: u32,
    /// User that asks.
    pub uid: u32,
    /// One of [`acl_type`]; other values are `EINVAL`.
    pub acl_type: u8,
    /// The ACL to set, see [`Acl::is_removal`].
    pub acl: Acl<'a>,
}

impl<'a> Body<'a> for Setfacl<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            uid: r.u32()?,
            acl_type: r.u8()?,
            acl: Acl::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u32(self.uid);
        w.u8(self.acl_type);
        self.acl.put(w);
    }
}

mids!(Getxattr<'_>, Setxattr<'_>, Getfacl, Setfacl<'_>);
