//! File data, chunks, append and snapshot (spec 03 §6.5–§6.7).

use super::{Entry, done, results};
use crate::op::scan::{Fail, Scan};
use crate::op::{Op, Outcome, SnapshotArgs};

pub(super) fn write<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let index = s.then_u32()?;
    let (mut opflag, mut canmod) = (true, true);
    if s.take(b',') {
        opflag = s.low8() != 0;
        if s.take(b',') {
            canmod = s.u8()? != 0;
        }
    }
    results(s)?;
    let op = Op::Write {
        inode,
        index,
        opflag,
        canmod,
    };
    Ok((op, Some(Outcome::Chunk(s.number()))))
}

pub(super) fn trunc<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let index = s.then_u32()?;
    results(s)?;
    Ok((Op::Trunc { inode, index }, Some(Outcome::Chunk(s.number()))))
}

pub(super) fn length<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let length = s.then_u64()?;
    let canmod = if s.take(b',') { s.u8()? != 0 } else { true };
    let op = Op::Length {
        inode,
        length,
        canmod,
    };
    done(s, op)
}

pub(super) fn unlock<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let chunk = s.number();
    done(s, Op::Unlock { chunk })
}

pub(super) fn rollback<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::Rollback {
        inode: s.u32(),
        index: s.then_u32()?,
        prev: s.then_u64()?,
        chunk: s.then_u64()?,
    };
    done(s, op)
}

pub(super) fn repair<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let index = s.then_u32()?;
    results(s)?;
    let version = s.u32();
    let op = Op::Repair {
        inode,
        index,
        version,
    };
    Ok((op, None))
}

pub(super) fn setfilechunk<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::SetFileChunk {
        inode: s.u32(),
        index: s.then_u32()?,
        chunk: s.then_u64()?,
    };
    done(s, op)
}

pub(super) fn archchg<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::ArchChg {
        inode: s.u32(),
        uid: s.then_u32()?,
        cmd: s.then_u8()?,
    };
    results(s)?;
    let recorded = Outcome::ArchChg {
        changed: s.number(),
        same: s.then_u64()?,
        denied: s.then_u32()?,
    };
    Ok((op, Some(recorded)))
}

pub(super) fn chunkadd<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::ChunkAdd {
        id: s.number(),
        version: s.then_u32()?,
        lock: s.then_u32()?,
    };
    done(s, op)
}

pub(super) fn chunkdel<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::ChunkDel {
        id: s.number(),
        version: s.then_u32()?,
    };
    done(s, op)
}

pub(super) fn setversion<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let op = Op::SetVersion {
        id: s.number(),
        version: s.then_u32()?,
    };
    done(s, op)
}

pub(super) fn incversion<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let id = s.number();
    done(s, Op::IncVersion { id })
}

pub(super) fn nextchunkid<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let id = s.number();
    done(s, Op::NextChunkId { id })
}

pub(super) fn append<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let inode = s.u32();
    let source = s.then_u32()?;
    let (mut from, mut to) = (u32::MAX, 0);
    if s.take(b',') {
        from = s.u32();
        to = s.then_u32()?;
    }
    let op = Op::Append {
        inode,
        source,
        from,
        to,
    };
    done(s, op)
}

pub(super) fn snapshot<'a>(s: &mut Scan<'a>) -> Result<Entry<'a>, Fail> {
    let src = s.u32();
    let parent = s.then_u32()?;
    let name = s.then_name(b',')?;
    let smode = s.low8();
    let sesflags = s.then_low8()?;
    let uid = s.then_u32()?;
    s.expect(b',')?;
    let gids = snapshot_gids(s)?;
    let umask = s.low16();
    s.expect(b')')?;
    let recorded = if s.take(b':') {
        Some(Outcome::Snapshot {
            xor: s.u32(),
            removed: s.then_u32()?,
            same: s.then_u32()?,
            existing: s.then_u32()?,
            hardlinks: s.then_u32()?,
            new: s.then_u32()?,
        })
    } else {
        None
    };
    let args = SnapshotArgs {
        src,
        parent,
        name,
        smode,
        sesflags,
        uid,
        gids,
        umask,
    };
    Ok((Op::Snapshot(Box::new(args)), recorded))
}

/// Groups of a `SNAPSHOT` and the `,` behind them: `[1,2]`, or the old forms of one number, or of a
/// count and that many binary little-endian numbers, which a second `,` before the `)` tells apart.
///
/// The original loses the first digit of every number in `[…]`; this reads all of them.
fn snapshot_gids(s: &mut Scan<'_>) -> Result<Vec<u32>, Fail> {
    let mut gids = Vec::new();
    if s.take(b'[') {
        loop {
            match s.peek() {
                Some(b'0'..=b'9') => gids.push(s.u32()),
                Some(b',') => {
                    s.take(b',');
                }
                Some(b']') => break,
                _ => return Err(Fail::NumberOrComma),
            }
        }
        s.expect(b']')?;
        s.expect(b',')?;
        return Ok(gids);
    }
    let number = s.u32();
    s.expect(b',')?;
    let has_data = s
        .rest()
        .iter()
        .take_while(|b| **b != b')')
        .any(|b| *b == b',');
    if !has_data {
        gids.push(number);
        return Ok(gids);
    }
    let data = s.data(b',')?;
    if data.len() as u64 == u64::from(number) * 4 {
        let groups = data.chunks_exact(4).filter_map(|bytes| bytes.first_chunk());
        gids.extend(groups.map(|bytes| u32::from_le_bytes(*bytes)));
    }
    Ok(gids)
}
