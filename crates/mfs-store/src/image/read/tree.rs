//! NODE, EDGE, FREE: the tree (spec 02 §6–§8, §20.3, §20.4). These sections are most of an image: their
//! loops borrow names from the input and allocate nothing per record.

use mfs_meta::records::{EdgeRecord, ImageSink, Kind, NodeData, NodeRecord};

use super::clients::end_of_records;
use super::input::{Blocks, Input};
use super::{Context, ReadFault};
use crate::image::SYMLINK_MAX;
use crate::image::bytes::{u8_at, u16_at, u32_at, u64_at};

/// What stands for a symbolic link target that is too long (spec 02 §6.2 rule 9).
const TOO_LONG: &[u8; 22] = b"... path too long ...\0";
/// Chunk ids taken from the input at once.
const IDS: u32 = 4096;
/// Chunk ids for which memory is kept from record to record.
const IDS_KEPT: usize = 1 << 16;

/// NODE (spec 02 §6.1, §20.3). `old_max_inode`: the image has a format before 2.0, its head holds the highest
/// inode, and its nodes are those of version 1.0 without a head whatever the section version says (§21).
pub(super) fn nodes<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
    version: u8,
    old_max_inode: Option<u32>,
) -> Result<(), ReadFault> {
    let (version, max_inode, count) = match old_max_inode {
        Some(max_inode) => (0x10, max_inode, 0),
        None => {
            let max_inode = u32::from_be_bytes(input.array()?);
            let count = if version >= 0x11 {
                u32::from_be_bytes(input.array()?)
            } else {
                0
            };
            (version, max_inode, count)
        }
    };
    cx.sink.node_head(max_inode, count)?;
    let mut chunks = Vec::new();
    loop {
        input.begin_record();
        let kind = match u8::from_be_bytes(input.array()?) {
            0 => return end_of_records(input),
            letter if version <= 0x12 => {
                Kind::from_letter(letter).ok_or(ReadFault::NodeType(letter))?
            }
            number => Kind::from_u8(number).ok_or(ReadFault::NodeType(number))?,
        };
        let common = match version {
            0x14.. => common_14(kind, &input.array()?),
            0x12.. => common_old::<32, 6>(kind, &input.array()?, None),
            _ => {
                let record = input.array::<31>()?;
                common_old::<31, 5>(kind, &record, Some(u8_at(&record, 5) >> 4))
            }
        };
        match kind {
            Kind::Directory | Kind::Fifo | Kind::Socket => cx.sink.node(&common)?,
            Kind::BlockDevice | Kind::CharDevice => {
                let device = u32::from_be_bytes(input.array()?);
                cx.sink.node(&NodeRecord {
                    data: NodeData::Device(device),
                    ..common
                })?;
            }
            Kind::Symlink => {
                let length = u32::from_be_bytes(input.array()?);
                let target = if length > SYMLINK_MAX {
                    input.skip(u64::from(length))?;
                    TOO_LONG
                } else {
                    input.take(length as usize)?
                };
                cx.sink.node(&NodeRecord {
                    data: NodeData::Symlink(target),
                    ..common
                })?;
            }
            Kind::File | Kind::Trash | Kind::Sustained => {
                let fixed = input.array::<12>()?;
                let sessions = if version <= 0x13 {
                    u16::from_be_bytes(input.array()?)
                } else {
                    0
                };
                chunk_ids(input, u32_at(&fixed, 8), &mut chunks)?;
                let data = NodeData::File {
                    length: u64_at(&fixed, 0),
                    chunks: &chunks,
                };
                cx.sink.node(&NodeRecord { data, ..common })?;
                for _ in 0..sessions {
                    cx.sink
                        .open(u32::from_be_bytes(input.array()?), common.inode, true)?;
                }
            }
        }
    }
}

/// Chunks of a file. The number of slots is not trusted: memory grows with the ids that were really read, and holes
/// take none.
fn chunk_ids<B: Blocks>(
    input: &mut Input<B>,
    count: u32,
    ids: &mut Vec<(u32, u64)>,
) -> Result<(), ReadFault> {
    ids.clear();
    ids.shrink_to(IDS_KEPT);
    let mut index = 0;
    while index < count {
        let piece = (count - index).min(IDS);
        let raw = input.take(8 * piece as usize)?;
        let read = raw
            .chunks_exact(8)
            .map(|id| id.iter().fold(0, |n, &byte| n << 8 | u64::from(byte)));
        ids.extend((index..).zip(read).filter(|&(_, id)| id != 0));
        index += piece;
    }
    Ok(())
}

/// Common part of NODE 1.4, behind the type.
#[inline]
fn common_14(kind: Kind, record: &[u8; 31]) -> NodeRecord<'static> {
    NodeRecord {
        kind,
        inode: u32_at(record, 0),
        sclass: if kind.has_sclass() {
            u8_at(record, 4)
        } else {
            0
        },
        eattr: u8_at(record, 5),
        winattr: u8_at(record, 6),
        mode: u16_at(record, 7) & 0o7777,
        uid: u32_at(record, 9),
        gid: u32_at(record, 13),
        atime: u32_at(record, 17),
        mtime: u32_at(record, 21),
        ctime: u32_at(record, 25),
        trashtime: u16_at(record, 29),
        data: NodeData::None,
    }
}

/// Common part of NODE 1.0 to 1.3, behind the type; the mode is at `MODE`. In the two oldest versions the
/// extra attributes are the upper bits of the mode and given here.
fn common_old<const N: usize, const MODE: usize>(
    kind: Kind,
    record: &[u8; N],
    eattr: Option<u8>,
) -> NodeRecord<'static> {
    NodeRecord {
        kind,
        inode: u32_at(record, 0),
        sclass: if kind.has_sclass() {
            u8_at(record, 4)
        } else {
            0
        },
        eattr: eattr.unwrap_or_else(|| u8_at(record, 5)),
        winattr: 0,
        mode: u16_at(record, MODE) & 0o7777,
        uid: u32_at(record, MODE + 2),
        gid: u32_at(record, MODE + 6),
        atime: u32_at(record, MODE + 10),
        mtime: u32_at(record, MODE + 14),
        ctime: u32_at(record, MODE + 18),
        // Seconds, up to the next hour; more hours than fit wrap as in the original (spec 02 §20.3).
        trashtime: u32_at(record, MODE + 22).div_ceil(3600) as u16,
        data: NodeData::None,
    }
}

/// EDGE (spec 02 §7.1, §20.4). Lengths of names are the sink's matter.
pub(super) fn edges<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
    version: u8,
) -> Result<(), ReadFault> {
    let ids = version >= 0x11;
    let next_edge = if ids {
        Some(u64::from_be_bytes(input.array()?))
    } else {
        None
    };
    cx.sink.edge_head(next_edge)?;
    loop {
        input.begin_record();
        let (parent, child, id, length) = if ids {
            let record = input.array::<18>()?;
            (
                u32_at(&record, 0),
                u32_at(&record, 4),
                u64_at(&record, 8),
                u16_at(&record, 16),
            )
        } else {
            let record = input.array::<10>()?;
            (
                u32_at(&record, 0),
                u32_at(&record, 4),
                0,
                u16_at(&record, 8),
            )
        };
        if (parent, child) == (0, 0) {
            return end_of_records(input);
        }
        let name = input.take(usize::from(length))?;
        cx.sink.edge(&EdgeRecord {
            parent,
            child,
            id,
            name,
        })?;
    }
}

/// FREE (spec 02 §8).
pub(super) fn free_inodes<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
) -> Result<(), ReadFault> {
    let count = u32::from_be_bytes(input.array()?);
    cx.sink.free_head(count)?;
    for _ in 0..count {
        input.begin_record();
        let record = input.array::<8>()?;
        cx.sink.free_inode(u32_at(&record, 0), u32_at(&record, 4))?;
    }
    Ok(())
}
