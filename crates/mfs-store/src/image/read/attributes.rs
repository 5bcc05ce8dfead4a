//! QUOT, XATR, PACL: what hangs on nodes (spec 02 §9–§11, §20.4).

use mfs_meta::records::{Acl, ImageSink, QuotaRecord};

use super::clients::end_of_records;
use super::input::{Blocks, Input};
use super::{Context, ReadFault};
use crate::image::XATTR_VALUE_MAX;
use crate::image::bytes::{u8_at, u16_at, u32_at, u64_at};

/// QUOT (spec 02 §9, §20.4).
pub(super) fn quotas<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
    version: u8,
) -> Result<(), ReadFault> {
    let count = u32::from_be_bytes(input.array()?);
    for _ in 0..count {
        input.begin_record();
        let inode = u32::from_be_bytes(input.array()?);
        let grace = if version >= 0x11 {
            Some(u32::from_be_bytes(input.array()?))
        } else {
            None
        };
        let rest = input.array::<62>()?;
        let quota = QuotaRecord {
            grace: grace.unwrap_or(0),
            exceeded: u8_at(&rest, 0),
            flags: u8_at(&rest, 1),
            since: u32_at(&rest, 2),
            soft_inodes: u32_at(&rest, 6),
            hard_inodes: u32_at(&rest, 10),
            soft_length: u64_at(&rest, 14),
            hard_length: u64_at(&rest, 22),
            soft_size: u64_at(&rest, 30),
            hard_size: u64_at(&rest, 38),
            soft_realsize: u64_at(&rest, 46),
            hard_realsize: u64_at(&rest, 54),
        };
        cx.sink.quota(inode, quota, grace)?;
    }
    Ok(())
}

/// XATR (spec 02 §10). Values that no state can hold do not reach the sink (§19.7).
pub(super) fn xattrs<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
) -> Result<(), ReadFault> {
    loop {
        input.begin_record();
        let record = input.array::<9>()?;
        let (inode, name, value) = (
            u32_at(&record, 0),
            usize::from(u8_at(&record, 4)),
            u32_at(&record, 5),
        );
        if inode == 0 {
            return end_of_records(input);
        }
        if value > XATTR_VALUE_MAX {
            cx.tolerate(ReadFault::XattrValue(value))?;
            input.skip(name as u64 + u64::from(value))?;
            continue;
        }
        let (name, value) = input
            .take(name + value as usize)?
            .split_at_checked(name)
            .ok_or(ReadFault::Eof)?;
        cx.sink.xattr(inode, name, value)?;
    }
}

/// PACL (spec 02 §11, §20.4).
pub(super) fn acls<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
    version: u8,
) -> Result<(), ReadFault> {
    loop {
        input.begin_record();
        let record = input.array::<17>()?;
        let inode = u32_at(&record, 0);
        if inode == 0 {
            return end_of_records(input);
        }
        let acl = Acl {
            user: u16_at(&record, 5),
            group: u16_at(&record, 7),
            other: u16_at(&record, 9),
            mask: u16_at(&record, 11),
            named_users: acl_entries(input, u16_at(&record, 13))?,
            named_groups: acl_entries(input, u16_at(&record, 15))?,
        };
        cx.sink.acl(inode, u8_at(&record, 4), acl, version < 0x11)?;
    }
}

/// Named entries of an ACL. Their number is not trusted: memory grows with what was really read.
fn acl_entries<B: Blocks>(input: &mut Input<B>, count: u16) -> Result<Vec<(u32, u16)>, ReadFault> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let entry = input.array::<6>()?;
        entries.push((u32_at(&entry, 0), u16_at(&entry, 4)));
    }
    Ok(entries)
}
