//! The heads of old image formats and their separate `sessions.mfs` (spec 02 §21).

use mfs_meta::records::{ImageSink, SESSION_COUNTERS, SessionParams, SessionRecord};

use super::clients::{counters, info};
use super::input::{Blocks, Input};
use super::{Context, ReadFault};
use crate::image::bytes::{u8_at, u32_at};

/// What the head of a format before 2.0 holds beside the version.
#[derive(Clone, Copy, Debug)]
pub(super) struct OldHead {
    pub(super) max_inode: u32,
    pub(super) next_session: u32,
}

impl OldHead {
    /// Decodes the 16 bytes behind the signature.
    pub(super) fn decode(head: &[u8; 16]) -> OldHead {
        OldHead {
            max_inode: u32_at(head, 0),
            next_session: u32_at(head, 12),
        }
    }
}

/// Reads a `sessions.mfs` up to its end. Gives its version.
pub(super) fn sessions_file<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
) -> Result<u8, ReadFault> {
    // Layouts: without and with map-all, then with goals and trash times.
    let (version, layout, stats) = match &input.array::<8>()? {
        b"MFSS 1.5" => (0x15, Layout::Plain, SESSION_COUNTERS),
        b"MFSS \x01\x06\x01" => (0x16, Layout::MapAll, SESSION_COUNTERS),
        b"MFSS \x01\x06\x02" => (0x16, Layout::MapAll, 21),
        b"MFSS \x01\x06\x03" => (
            0x16,
            Layout::MapAll,
            usize::from(u16::from_be_bytes(input.array()?)),
        ),
        b"MFSS \x01\x06\x04" => (
            0x16,
            Layout::Limits,
            usize::from(u16::from_be_bytes(input.array()?)),
        ),
        _ => return Err(ReadFault::BadHeader),
    };
    while !input.at_end()? {
        input.begin_record();
        let common = input.array::<17>()?;
        let mut params = SessionParams {
            peer_ip: u32_at(&common, 8),
            root_inode: u32_at(&common, 12),
            flags: u8_at(&common, 16),
            min_goal: 1,
            max_goal: 9,
            min_trashtime: 0,
            max_trashtime: u32::MAX,
            ..SessionParams::default()
        };
        if layout == Layout::Limits {
            let limits = input.array::<10>()?;
            params.min_goal = u8_at(&limits, 0);
            params.max_goal = u8_at(&limits, 1);
            params.min_trashtime = u32_at(&limits, 2);
            params.max_trashtime = u32_at(&limits, 6);
        }
        let root = input.array::<8>()?;
        (params.root_uid, params.root_gid) = (u32_at(&root, 0), u32_at(&root, 4));
        if layout != Layout::Plain {
            let map = input.array::<8>()?;
            (params.mapall_uid, params.mapall_gid) = (u32_at(&map, 0), u32_at(&map, 4));
        }
        let current = counters(input, stats)?;
        let last = counters(input, stats)?;
        params.info = info(input, u32_at(&common, 4))?;
        cx.sink.session(SessionRecord {
            id: u32_at(&common, 0),
            params,
            disconnected: cx.options.now,
            stats: current,
            last_stats: last,
        })?;
    }
    Ok(version)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Plain,
    MapAll,
    Limits,
}
