//! Quotas of directories (spec 04 §7.13).

use super::{Body, mids};
use crate::frame::FrameBuf;
use crate::wire::{Fault, Reader, Writer};

/// Bits that name limits.
pub mod qflags {
    /// Soft limit of inodes.
    pub const SOFT_INODES: u8 = 0x01;
    /// Soft limit of lengths.
    pub const SOFT_LENGTH: u8 = 0x02;
    /// Soft limit of sizes.
    pub const SOFT_SIZE: u8 = 0x04;
    /// Soft limit of sizes with all copies.
    pub const SOFT_REALSIZE: u8 = 0x08;
    /// Hard limit of inodes.
    pub const HARD_INODES: u8 = 0x10;
    /// Hard limit of lengths.
    pub const HARD_LENGTH: u8 = 0x20;
    /// Hard limit of sizes.
    pub const HARD_SIZE: u8 = 0x40;
    /// Hard limit of sizes with all copies.
    pub const HARD_REALSIZE: u8 = 0x80;
}

/// Four figures of a tree; all but the first in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaValues {
    /// Number of inodes.
    pub inodes: u32,
    /// Sum of file lengths.
    pub length: u64,
    /// Sum of space used by chunks.
    pub size: u64,
    /// The same with all copies.
    pub realsize: u64,
}

impl QuotaValues {
    fn take(r: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(Self {
            inodes: r.u32()?,
            length: r.u64()?,
            size: r.u64()?,
            realsize: r.u64()?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.inodes);
        w.u64(self.length);
        w.u64(self.size);
        w.u64(self.realsize);
    }
}

/// Limits to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaLimits {
    /// Seconds until an exceeded soft limit refuses; old requests have none (0).
    pub grace_period: u32,
    /// Soft limits.
    pub soft: QuotaValues,
    /// Hard limits.
    pub hard: QuotaValues,
}

/// QUOTACONTROL 476, answered with [`QuotaReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaControl {
    /// Message id.
    pub mid: u32,
    /// The directory.
    pub inode: u32,
    /// The limits meant: bits of [`qflags`].
    pub qflags: u8,
    /// Values to set; `None` = remove the limits meant (with no bits: only read).
    pub limits: Option<QuotaLimits>,
}

impl<'a> Body<'a> for QuotaControl {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let length = r.remaining();
        Ok(Self {
            mid: r.u32()?,
            inode: r.u32()?,
            qflags: r.u8()?,
            limits: if length == 9 {
                None
            } else {
                Some(QuotaLimits {
                    grace_period: if length == 65 { 0 } else { r.u32()? },
                    soft: QuotaValues::take(r)?,
                    hard: QuotaValues::take(r)?,
                })
            },
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u32(self.mid);
        w.u32(self.inode);
        w.u8(self.qflags);
        if let Some(limits) = &self.limits {
            w.u32(limits.grace_period);
            limits.soft.put(w);
            limits.hard.put(w);
        }
    }
}

mids!(QuotaControl);

/// Answer of QUOTACONTROL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaReply {
    /// The limits that are set: bits of [`qflags`].
    pub qflags: u8,
    /// Seconds until an exceeded soft limit refuses; clients before 3.0.9 do not get it.
    pub grace_period: u32,
    /// Soft limits; 0 where none is set.
    pub soft: QuotaValues,
    /// Hard limits; 0 where none is set.
    pub hard: QuotaValues,
    /// What is there now.
    pub current: QuotaValues,
}

impl<'a> Body<'a> for QuotaReply {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        Ok(Self {
            qflags: r.u8()?,
            grace_period: if r.version().has_quota_grace() {
                r.u32()?
            } else {
                0
            },
            soft: QuotaValues::take(r)?,
            hard: QuotaValues::take(r)?,
            current: QuotaValues::take(r)?,
        })
    }

    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        w.u8(self.qflags);
        if w.version().has_quota_grace() {
            w.u32(self.grace_period);
        }
        self.soft.put(w);
        self.hard.put(w);
        self.current.put(w);
    }
}
