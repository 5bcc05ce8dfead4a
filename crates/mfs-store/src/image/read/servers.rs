//! SCLA, CSDB, CHNK: where data shall be and is (spec 02 §5, §15, §16, §20.2, §20.4).

use mfs_meta::records::{
    ChunkRecord, ChunkserverRecord, ImageSink, LabelMasks, MAX_COPIES, OR_GROUPS, SclassDef,
    SclassRecord,
};

use super::clients::end_of_records;
use super::input::{Blocks, Input};
use super::{Context, ReadFault};
use crate::image::bytes::{u8_at, u16_at, u32_at, u64_at};

/// Label descriptions in old storage class sections, one per label A–Z.
const DESCRIPTIONS: usize = 26;
/// Longest label description.
const DESCRIPTION_MAX: u8 = 128;

/// Head of a storage class record in any version (spec 02 §5.1, §20.2).
struct SclassHead {
    id: u16,
    name_length: u8,
    admin_only: u8,
    mode: u8,
    arch_delay: u16,
    /// Entries of the create, keep and archive set; `None`: the set before stands for it.
    counts: [Option<u8>; 3],
    /// Bytes behind the masks that nobody needs.
    surplus: u64,
}

impl SclassHead {
    fn read<B: Blocks>(input: &mut Input<B>, version: u8) -> Result<SclassHead, ReadFault> {
        let mut head = SclassHead {
            id: 0,
            name_length: 0,
            admin_only: 0,
            mode: 1,
            arch_delay: 0,
            counts: [None; 3],
            surplus: 0,
        };
        match version {
            0x16.. => {
                let raw = input.array::<10>()?;
                head.id = u16_at(&raw, 0);
                head.name_length = u8_at(&raw, 2);
                head.admin_only = u8_at(&raw, 3);
                head.mode = u8_at(&raw, 4);
                head.arch_delay = u16_at(&raw, 5);
                head.counts = [7, 8, 9].map(|at| Some(u8_at(&raw, at)));
            }
            0x15 => {
                let raw = input.array::<8>()?;
                head.id = u16_at(&raw, 0);
                head.mode = u8_at(&raw, 2);
                head.arch_delay = u16_at(&raw, 3);
                head.counts = [5, 6, 7].map(|at| Some(u8_at(&raw, at)));
            }
            0x14 => {
                let raw = input.array::<5>()?;
                head.id = u16_at(&raw, 0);
                head.mode = u8_at(&raw, 2);
                head.counts = [Some(u8_at(&raw, 3)), Some(u8_at(&raw, 4)), None];
            }
            0x12 => {
                let raw = input.array::<11>()?;
                head.id = u16_at(&raw, 0);
                head.counts = [Some(u8_at(&raw, 2)), None, None];
                head.surplus = 8 * u64::from(u32_at(&raw, 3));
            }
            _ => {
                let raw = input.array::<3>()?;
                head.id = u16_at(&raw, 0);
                head.counts = [Some(u8_at(&raw, 2)), None, None];
            }
        }
        Ok(head)
    }

    fn is_end(&self) -> bool {
        self.id == 0 && self.arch_delay == 0 && self.counts.iter().all(|c| c.is_none_or(|n| n == 0))
    }

    fn check_counts(&self) -> Result<(), ReadFault> {
        if self
            .counts
            .iter()
            .flatten()
            .all(|&n| (1..=MAX_COPIES as u8).contains(&n))
        {
            return Ok(());
        }
        Err(ReadFault::LabelCounts {
            id: self.id,
            counts: self.counts.map(|n| n.unwrap_or(0)),
        })
    }
}

/// SCLA, also under its old name LABS (spec 02 §5.1, §20.2).
pub(super) fn sclasses<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
    version: u8,
) -> Result<(), ReadFault> {
    if version < 0x16 {
        for _ in 0..DESCRIPTIONS {
            let length = u8::from_be_bytes(input.array()?);
            if length > DESCRIPTION_MAX {
                return Err(ReadFault::DescriptionLength(length));
            }
            input.skip(u64::from(length))?;
        }
    }
    let groups = if version >= 0x11 {
        u8::from_be_bytes(input.array()?)
    } else {
        1
    };
    match usize::from(groups) {
        0 => return Err(ReadFault::OrGroups(groups)),
        1..=OR_GROUPS => {}
        _ => cx.tolerate(ReadFault::OrGroups(groups))?,
    }
    loop {
        input.begin_record();
        let head = SclassHead::read(input, version)?;
        let name = input.take(usize::from(head.name_length))?.to_vec();
        if head.is_end() {
            return end_of_records(input);
        }
        head.check_counts()?;
        let [create, keep, archive] = head.counts;
        let create = label_set(input, create, groups, &[])?;
        let keep = label_set(input, keep, groups, &create)?;
        let archive = label_set(input, archive, groups, &keep)?;
        input.skip(head.surplus)?;
        let SclassHead {
            id,
            admin_only,
            mode,
            arch_delay,
            ..
        } = head;
        cx.sink.sclass(SclassRecord {
            id,
            name,
            def: SclassDef {
                admin_only,
                mode,
                arch_delay,
                create,
                keep,
                archive,
            },
        })?;
    }
}

/// One label set: `count` entries of `groups` masks each, or a copy of the set before it.
fn label_set<B: Blocks>(
    input: &mut Input<B>,
    count: Option<u8>,
    groups: u8,
    before: &[LabelMasks],
) -> Result<Vec<LabelMasks>, ReadFault> {
    let Some(count) = count else {
        return Ok(before.to_vec());
    };
    let mut set = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let mut masks = LabelMasks::default();
        for mask in masks.iter_mut().take(usize::from(groups)) {
            *mask = u32::from_be_bytes(input.array()?);
        }
        // More groups than a class can have come here only with `-i`: the first ones are kept.
        input.skip(4 * usize::from(groups).saturating_sub(OR_GROUPS) as u64)?;
        set.push(masks);
    }
    Ok(set)
}

/// CSDB (spec 02 §15, §20.4).
pub(super) fn chunkservers<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
    version: u8,
) -> Result<(), ReadFault> {
    let count = u32::from_be_bytes(input.array()?);
    for _ in 0..count {
        input.begin_record();
        let address = input.array::<6>()?;
        cx.sink.chunkserver(ChunkserverRecord {
            ip: u32_at(&address, 0),
            port: u16_at(&address, 4),
            id: if version >= 0x11 {
                u16::from_be_bytes(input.array()?)
            } else {
                0
            },
            maintenance: if version >= 0x12 {
                u8::from_be_bytes(input.array()?)
            } else {
                0
            },
            maintenance_timeout: if version >= 0x13 {
                u32::from_be_bytes(input.array()?)
            } else {
                0
            },
        })?;
    }
    Ok(())
}

/// CHNK (spec 02 §16, §20.4).
pub(super) fn chunks<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
    version: u8,
) -> Result<(), ReadFault> {
    cx.sink.next_chunk(u64::from_be_bytes(input.array()?))?;
    loop {
        input.begin_record();
        let (record, archived) = if version >= 0x11 {
            let record = input.array::<17>()?;
            (
                *record.first_chunk::<16>().ok_or(ReadFault::Eof)?,
                u8_at(&record, 16),
            )
        } else {
            (input.array::<16>()?, 0)
        };
        let (id, version, locked_to) =
            (u64_at(&record, 0), u32_at(&record, 8), u32_at(&record, 12));
        match (id, version, locked_to, archived) {
            (0, 0, 0, 0) => return end_of_records(input),
            (0, ..) => return Err(ReadFault::ChunkZero),
            _ => cx.sink.chunk(ChunkRecord {
                id,
                version,
                locked_to,
                archived: archived != 0,
            })?,
        }
    }
}
