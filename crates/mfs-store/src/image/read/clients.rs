//! SESS, OPEN, FLCK, PLCK: what clients hold (spec 02 §4, §12–§14, §20.1).

use mfs_meta::records::{
    FlockRecord, ImageSink, PosixLockRecord, SESSION_COUNTERS, SessionParams, SessionRecord,
};

use super::input::{Blocks, Input};
use super::{Context, ReadFault};
use crate::image::bytes::{u8_at, u16_at, u32_at, u64_at};

/// SESS (spec 02 §4.1, §20.1).
pub(super) fn sessions<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
    version: u8,
) -> Result<(), ReadFault> {
    // In the two oldest versions a field, not the section version, tells the layout of the records.
    let version = match version {
        0x10 | 0x11 => match u16::from_be_bytes(input.array()?) {
            1 => 0x10,
            2 => 0x11,
            other => return Err(ReadFault::SessionLayout(other)),
        },
        version => version,
    };
    let head = input.array::<6>()?;
    let stats = usize::from(u16_at(&head, 4));
    cx.sink.next_session(u32_at(&head, 0))?;
    loop {
        input.begin_record();
        let id = u32::from_be_bytes(input.array()?);
        let exports_csum = if version >= 0x13 {
            u64::from_be_bytes(input.array()?)
        } else {
            0
        };
        let fixed = input.array::<13>()?;
        let umask = if version >= 0x14 {
            u16::from_be_bytes(input.array()?)
        } else {
            0
        };
        let rules = input.array::<26>()?;
        let disables = if version >= 0x15 {
            u32::from_be_bytes(input.array()?)
        } else {
            0
        };
        let disconnected = if version >= 0x11 {
            u32::from_be_bytes(input.array()?)
        } else {
            cx.options.now
        };
        let current = counters(input, stats)?;
        let last = counters(input, stats)?;
        if id == 0 {
            return end_of_records(input);
        }
        let params = SessionParams {
            exports_csum,
            root_inode: u32_at(&fixed, 8),
            flags: u8_at(&fixed, 12),
            umask,
            root_uid: u32_at(&rules, 10),
            root_gid: u32_at(&rules, 14),
            mapall_uid: u32_at(&rules, 18),
            mapall_gid: u32_at(&rules, 22),
            min_goal: u8_at(&rules, 0),
            max_goal: u8_at(&rules, 1),
            min_trashtime: u32_at(&rules, 2),
            max_trashtime: u32_at(&rules, 6),
            disables,
            peer_ip: u32_at(&fixed, 4),
            info: info(input, u32_at(&fixed, 0))?,
        };
        cx.sink.session(SessionRecord {
            id,
            params,
            disconnected,
            stats: current,
            last_stats: last,
        })?;
    }
}

/// One array of counters: surplus ones are dropped, missing ones are 0 (spec 02 §4.2 rule 2).
pub(super) fn counters<B: Blocks>(
    input: &mut Input<B>,
    count: usize,
) -> Result<[u32; SESSION_COUNTERS], ReadFault> {
    let mut values = [0; SESSION_COUNTERS];
    for value in values.iter_mut().take(count) {
        *value = u32::from_be_bytes(input.array()?);
    }
    input.skip(4 * count.saturating_sub(SESSION_COUNTERS) as u64)?;
    Ok(values)
}

/// The mount point of a client. Its length is not trusted: memory grows with what was really read.
pub(super) fn info<B: Blocks>(input: &mut Input<B>, length: u32) -> Result<Vec<u8>, ReadFault> {
    let mut left = length as usize;
    let mut info = Vec::new();
    while left > 0 {
        let piece = left.min(4096);
        info.extend_from_slice(input.take(piece)?);
        left -= piece;
    }
    Ok(info)
}

/// The record that was begun is the end mark and does not count.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the last expression of every section with an end mark"
)]
pub(super) fn end_of_records<B: Blocks>(input: &mut Input<B>) -> Result<(), ReadFault> {
    input.record -= 1;
    Ok(())
}

/// OPEN (spec 02 §12). A half-zero record is the sink's matter.
pub(super) fn opens<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
) -> Result<(), ReadFault> {
    loop {
        input.begin_record();
        let record = input.array::<8>()?;
        match (u32_at(&record, 0), u32_at(&record, 4)) {
            (0, 0) => return end_of_records(input),
            (session, inode) => cx.sink.open(session, inode, false)?,
        }
    }
}

/// FLCK (spec 02 §13).
pub(super) fn flocks<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
) -> Result<(), ReadFault> {
    loop {
        input.begin_record();
        let record = input.array::<17>()?;
        let (inode, owner, session) = (u32_at(&record, 0), u64_at(&record, 4), u32_at(&record, 12));
        if (inode, owner, session) == (0, 0, 0) {
            return end_of_records(input);
        }
        let exclusive = match u8_at(&record, 16) {
            0 => false,
            1 => true,
            other => {
                cx.tolerate(ReadFault::LockType(other))?;
                continue;
            }
        };
        cx.sink.flock(FlockRecord {
            inode,
            owner,
            session,
            exclusive,
        })?;
    }
}

/// PLCK (spec 02 §14).
pub(super) fn posix_locks<B: Blocks, S: ImageSink>(
    input: &mut Input<B>,
    cx: &mut Context<'_, S>,
) -> Result<(), ReadFault> {
    loop {
        input.begin_record();
        let record = input.array::<37>()?;
        let lock = PosixLockRecord {
            inode: u32_at(&record, 0),
            owner: u64_at(&record, 4),
            session: u32_at(&record, 12),
            pid: u32_at(&record, 16),
            start: u64_at(&record, 20),
            end: u64_at(&record, 28),
            kind: u8_at(&record, 36),
        };
        if (lock.inode, lock.owner, lock.session) == (0, 0, 0) {
            return end_of_records(input);
        }
        cx.sink.posix_lock(lock)?;
    }
}
