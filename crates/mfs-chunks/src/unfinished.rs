//! Operations whose line is in the log and whose end is not (spec 08, I20).
//!
//! `WRITE(…,1,…)` and `TRUNC` put a new chunk id or version into the metadata before any chunkserver knows it. When
//! the master dies between the line and the command, a file would be left with a chunk that nobody has, and its
//! old contents, under the previous id or version, would be deleted as unused or outdated. So every such line is
//! remembered until the operation has ended. The live state machine drops an entry when the chunkservers have
//! done the operation; a replay, which knows lines only, drops it at `UNLOCK`, a later `WRITE` of the chunk, `REPAIR`,
//! `CHUNKDEL`, or a `ROLLBACK` to another chunk. A `ROLLBACK` to the same chunk does not take back a version that was
//! raised in vain. A file that shares the new chunk by a snapshot made meanwhile needs the previous
//! one, too: its slot gets a `ROLLBACK` of its own, found by a walk over all files. A `SETVERSION` alone does not end it: it is the line of an emergency version
//! increase, whose command can be lost just so.
//!
//! What an image leaves open stands in a small file beside it ([`Unfinished::encode`]): entries of the state at the
//! image's version. A restart reads it, lets the replay of later lines change it ([`Unfinished::before`],
//! [`Unfinished::after`]), and gives it to [`Chunks::new`]. When every known chunkserver has been connected and
//! quiet for a while, entries whose chunk has appeared are dropped, and the others are undone by lines.

use std::collections::BTreeMap;

use mfs_meta::op::{Line, Op, Outcome};
use mfs_meta::{Companion, Metadata, Status};
use thiserror::Error;

use crate::copy::Tally;
use crate::effect::Log;
use crate::operation::roll_back_line;
use crate::state::{Chunks, Map, TICKS_PER_SECOND};

/// Ticks for which all servers must have been there and quiet before something is undone.
const QUIET: u64 = 10 * TICKS_PER_SECOND as u64;

const MAGIC: &[u8; 8] = b"MFSUNF1\n";
const ENTRY: usize = 28;
const BURNED: usize = 12;
const HEAD: usize = MAGIC.len() + 8 + 4 + 4;

/// An operation that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File.
    pub inode: u32,
    /// Chunk index in the file.
    pub index: u32,
    /// Chunk that the slot had before, 0 = none. The chunk itself if only its version was raised.
    pub previous: u64,
    /// Version of the chunk before, 0 for a new one: copies with this or a later one, up to the chunk's, differ
    /// from it by nothing that a client was told.
    pub version: u32,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    entries: BTreeMap<u64, Entry>,
    /// How many entries have a chunk as their previous one.
    previous: Map<u64, u32>,
    /// Highest version that was ever given to a chunk, where the chunk went back to a lower one: a server that is
    /// away may have it with other contents, so it must not be used again.
    burned: BTreeMap<u64, u32>,
}

/// Inodes that a tick looks at for slots to be rolled back.
const WALK: u32 = 20_000;

/// Search for slots that name chunks which were never made.
#[derive(Default)]
pub(crate) struct UndoWalk {
    /// Chunk to look for, and the one that belongs in its place.
    running: Map<u64, u64>,
    next: Map<u64, u64>,
    at: u32,
}

/// What [`Unfinished::before`] saw, for [`Unfinished::after`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Before(Step);

#[derive(Clone, Copy, Debug)]
enum Step {
    Nothing,
    Modify {
        inode: u32,
        index: u32,
        previous: u64,
        version: u32,
        raises: bool,
    },
    End(u64),
    Version {
        chunk: u64,
        from: u32,
        to: u32,
    },
    Gone(u64),
}

/// Why the file beside an image cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// It is something else, or of another version of the program.
    #[error("not a table of unfinished operations")]
    Magic,
    /// Its length does not fit.
    #[error("truncated table of unfinished operations")]
    Length,
    /// It is damaged.
    #[error("checksum of the table of unfinished operations is wrong")]
    Checksum,
}

impl Unfinished {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a chunk.
    #[must_use]
    pub fn get(&self, chunk: u64) -> Option<Entry> {
        self.entries.get(&chunk).copied()
    }

    /// The chunks with entries, ascending.
    pub fn chunks(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.keys().copied()
    }

    /// Whether an entry may have to bring this chunk back.
    #[must_use]
    pub fn is_previous(&self, chunk: u64) -> bool {
        self.previous.contains_key(&chunk)
    }

    /// `version` is that of `previous`.
    pub(crate) fn begin(
        &mut self,
        chunk: u64,
        inode: u32,
        index: u32,
        previous: u64,
        version: u32,
    ) {
        self.remove(chunk);
        let entry = Entry {
            inode,
            index,
            previous,
            version: if previous == chunk { version } else { 0 },
        };
        self.entries.insert(chunk, entry);
        if entry.version >= self.burned(chunk) {
            self.burned.remove(&chunk);
        }
        if previous != 0 && previous != chunk {
            *self.previous.entry(previous).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, chunk: u64) {
        if let Some(entry) = self.entries.remove(&chunk)
            && entry.previous != chunk
            && let Some(n) = self.previous.get_mut(&entry.previous)
        {
            *n -= 1;
            if *n == 0 {
                self.previous.remove(&entry.previous);
            }
        }
    }

    /// Looks at a line before it is applied in a replay.
    pub fn before(&self, meta: &Metadata, op: &Op<'_>) -> Before {
        let slot = |inode, index| meta.node(inode).map_or(0, |n| n.chunk(index));
        let version = |chunk| meta.chunk(chunk).map_or(0, |c| c.version);
        Before(match *op {
            Op::Write {
                inode,
                index,
                opflag,
                ..
            } => Step::Modify {
                inode,
                index,
                previous: slot(inode, index),
                version: version(slot(inode, index)),
                raises: opflag,
            },
            Op::Trunc { inode, index } => Step::Modify {
                inode,
                index,
                previous: slot(inode, index),
                version: version(slot(inode, index)),
                raises: true,
            },
            Op::Unlock { chunk } => Step::End(chunk),
            Op::Rollback { prev, chunk, .. } => {
                let refs = meta
                    .chunk_row(chunk)
                    .and_then(|row| meta.chunk_in_row(row))
                    .map_or(0, |info| info.refs);
                // Another file that shares the new chunk still has to get the old one; and a version that was raised
                // in vain is in the metadata, but with no server.
                if prev == chunk || refs > 1 {
                    Step::Nothing
                } else {
                    Step::End(chunk)
                }
            }
            Op::ChunkDel { id, .. } => Step::Gone(id),
            Op::SetVersion { id, version: to } => Step::Version {
                chunk: id,
                from: version(id),
                to,
            },
            Op::Repair { inode, index, .. } => Step::End(slot(inode, index)),
            _ => Step::Nothing,
        })
    }

    /// Takes in a line that was applied.
    pub fn after(&mut self, before: Before, outcome: &Outcome) {
        match (before.0, outcome) {
            (
                Step::Modify {
                    inode,
                    index,
                    previous,
                    version,
                    raises,
                },
                &Outcome::Chunk(chunk),
            ) => {
                if raises || chunk != previous {
                    self.begin(chunk, inode, index, previous, version);
                } else {
                    self.remove(chunk);
                }
            }
            (Step::End(chunk), _) => self.remove(chunk),
            (Step::Gone(chunk), _) => self.forget(chunk),
            (Step::Version { chunk, from, to }, _) => {
                if to < from {
                    self.burn(chunk, from);
                } else if to > self.burned(chunk) {
                    self.burned.remove(&chunk);
                }
            }
            _ => {}
        }
    }

    /// No server may get this version of the chunk again.
    pub(crate) fn burn(&mut self, chunk: u64, version: u32) {
        let burned = self.burned.entry(chunk).or_insert(version);
        *burned = version.max(*burned);
    }

    /// The highest version that the chunk must not get again, 0 = any is free.
    pub(crate) fn burned(&self, chunk: u64) -> u32 {
        self.burned.get(&chunk).copied().unwrap_or(0)
    }

    /// The next version of a chunk that nobody has.
    pub(crate) fn fresh_version(&mut self, chunk: u64, version: u32) -> u32 {
        let burned = self.burned.remove(&chunk).unwrap_or(0);
        version.max(burned).wrapping_add(1)
    }

    /// The chunk is gone.
    pub(crate) fn forget(&mut self, chunk: u64) {
        self.remove(chunk);
        self.burned.remove(&chunk);
    }

    /// The file beside an image with this metadata version: `"MFSUNF1\n" version:u64`, then
    /// `count:u32 count*[chunk:u64 inode:u32 index:u32 previous:u64 version:u32]` for the operations,
    /// `count:u32 count*[chunk:u64 version:u32]` for versions that are not to be used again, and `crc32:u32` of all
    /// before; big-endian.
    #[must_use]
    pub fn encode(&self, version: u64) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(HEAD + ENTRY * self.entries.len() + BURNED * self.burned.len() + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        for (chunk, e) in &self.entries {
            out.extend_from_slice(&chunk.to_be_bytes());
            out.extend_from_slice(&e.inode.to_be_bytes());
            out.extend_from_slice(&e.index.to_be_bytes());
            out.extend_from_slice(&e.previous.to_be_bytes());
            out.extend_from_slice(&e.version.to_be_bytes());
        }
        out.extend_from_slice(&(self.burned.len() as u32).to_be_bytes());
        for (chunk, version) in &self.burned {
            out.extend_from_slice(&chunk.to_be_bytes());
            out.extend_from_slice(&version.to_be_bytes());
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads the file beside an image; gives the metadata version that it belongs to. With another image it is of no
    /// use: that one was written by a program that does not know it.
    ///
    /// # Errors
    /// It is no such file, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<(u64, Unfinished), DecodeError> {
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or(DecodeError::Length)?;
        let rest = body.strip_prefix(MAGIC).ok_or(DecodeError::Magic)?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return Err(DecodeError::Checksum);
        }
        let (version, rest) = take_u64(rest)?;
        let (count, mut rest) = take_u32(rest)?;
        let mut table = Unfinished::default();
        for _ in 0..count {
            let (chunk, r) = take_u64(rest)?;
            let (inode, r) = take_u32(r)?;
            let (index, r) = take_u32(r)?;
            let (previous, r) = take_u64(r)?;
            let (version, r) = take_u32(r)?;
            table.begin(chunk, inode, index, previous, version);
            rest = r;
        }
        let (count, mut rest) = take_u32(rest)?;
        for _ in 0..count {
            let (chunk, r) = take_u64(rest)?;
            let (version, r) = take_u32(r)?;
            table.burn(chunk, version);
            rest = r;
        }
        if !rest.is_empty() {
            return Err(DecodeError::Length);
        }
        Ok((version, table))
    }
}

/// How a load, a replay and an image deal with the table.
impl Companion for Unfinished {
    fn begin(&mut self, file: Option<&[u8]>, version: u64) -> Result<(), String> {
        *self = Unfinished::default();
        let Some(file) = file else {
            return Err("it is missing: the image may be from another program".into());
        };
        match Unfinished::decode(file) {
            Ok((of, table)) if of == version => {
                *self = table;
                Ok(())
            }
            Ok((of, _)) => Err(format!("it belongs to an image of version {of}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn apply(&mut self, meta: &mut Metadata, line: &Line<'_>) -> Result<Outcome, Status> {
        let before = self.before(meta, &line.op);
        let outcome = meta.apply(line.ts, &line.op)?;
        self.after(before, &outcome);
        Ok(outcome)
    }

    fn file(&self, version: u64) -> Option<Vec<u8>> {
        Some(self.encode(version))
    }
}

fn take_u64(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let (n, rest) = bytes.split_first_chunk().ok_or(DecodeError::Length)?;
    Ok((u64::from_be_bytes(*n), rest))
}

fn take_u32(bytes: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    let (n, rest) = bytes.split_first_chunk().ok_or(DecodeError::Length)?;
    Ok((u32::from_be_bytes(*n), rest))
}

impl Chunks {
    /// Decides about what an earlier run left open, as soon as everything that exists is known.
    pub(crate) fn resolve_unfinished(&mut self, log: &mut dyn Log) {
        if self.unresolved.is_empty() {
            return;
        }
        let mut open: Vec<u64> = self.unresolved.iter().copied().collect();
        open.sort_unstable();
        let quiet = self
            .complete_since
            .is_some_and(|since| self.tick >= since + QUIET);
        for chunk in open {
            if let Some(row) = log.meta().chunk_row(chunk)
                && self.unfinished.get(chunk).is_some()
            {
                self.settle(log, row);
                // A copy with the right version shows that the operation was done.
                let done = self.copies.tally(row).any_valid();
                if !done && !quiet || self.undo_walk.is_target(chunk) {
                    continue;
                }
                if !done {
                    match self.undo(log, row, chunk) {
                        Undone::Yes => {}
                        Undone::Later => continue,
                        Undone::No => {
                            // Some day a server may bring the old version back.
                            self.unresolved.remove(&chunk);
                            continue;
                        }
                    }
                }
            }
            self.close_entry(log, chunk);
            if let Some(row) = log.meta().chunk_row(chunk) {
                self.queue_check(log, row, true);
                self.waiting.wake(row);
            }
        }
    }

    /// An operation has ended: its previous chunk is free, also to go if its last file is gone.
    pub(crate) fn close_entry(&mut self, log: &dyn Log, chunk: u64) {
        self.unresolved.remove(&chunk);
        if let Some(entry) = self.unfinished.get(chunk) {
            self.unfinished.remove(chunk);
            if let Some(row) = log.meta().chunk_row(entry.previous) {
                if entry.previous != chunk {
                    self.queue_check(log, row, true);
                }
                self.waiting.wake(row);
            }
        }
    }

    /// No server has what the line promised.
    fn undo(&mut self, log: &mut dyn Log, row: u32, chunk: u64) -> Undone {
        let (Some(entry), Some(info)) = (self.unfinished.get(chunk), log.meta().chunk_in_row(row))
        else {
            return Undone::Yes;
        };
        let tally: Tally = self.copies.tally(row);
        let greatest = self.wrong_versions(row).max();
        match greatest {
            Some(version) if (entry.version..info.version).contains(&version) => {
                tracing::warn!(
                    chunk,
                    from = info.version,
                    to = version,
                    "operation that no chunkserver has got is undone: version goes back"
                );
                self.unfinished.burn(chunk, info.version);
                self.adopt(log, row, &info, version);
                if info.locked_to != 0 {
                    roll_back_line(log, entry.inode, entry.index, chunk, chunk);
                }
            }
            None if entry.previous != chunk && tally.usable() == 0 => {
                tracing::warn!(
                    chunk,
                    previous = entry.previous,
                    inode = entry.inode,
                    index = entry.index,
                    "operation that no chunkserver has got is undone: the file has its old chunk again"
                );
                roll_back_line(log, entry.inode, entry.index, entry.previous, chunk);
                self.chunk_changed(log, chunk);
                if entry.previous != 0 {
                    self.chunk_changed(log, entry.previous);
                }
                if self.undo_shared(log, row, chunk) {
                    return Undone::Later;
                }
            }
            _ if entry.previous == chunk => return Undone::No,
            _ => {}
        }
        Undone::Yes
    }

    /// A chunk that was never made is undone in one file. If others name it, because they were copied from that one
    /// in between, they get the previous chunk, too: true, and the entry stays until that is done.
    pub(crate) fn undo_shared(&mut self, log: &dyn Log, row: u32, chunk: u64) -> bool {
        let shared = log
            .meta()
            .chunk_in_row(row)
            .is_some_and(|i| i.id == chunk && i.refs > 0);
        match self.unfinished.get(chunk) {
            Some(entry) if shared && entry.previous != chunk => {
                self.undo_walk.next.insert(chunk, entry.previous);
                self.unresolved.insert(chunk);
                true
            }
            _ => false,
        }
    }

    /// Goes on with the search for slots of such files.
    pub(crate) fn undo_walk_tick(&mut self, log: &mut dyn Log) {
        if self.undo_walk.running.is_empty() {
            if self.undo_walk.next.is_empty() {
                return;
            }
            self.undo_walk.running = std::mem::take(&mut self.undo_walk.next);
            self.undo_walk.at = 1;
        }
        let first = self.undo_walk.at;
        let last = first.saturating_add(WALK).min(log.meta().max_inode());
        let mut slots = Vec::new();
        for inode in first..=last {
            let Some(node) = log.meta().node(inode) else {
                continue;
            };
            let mut at = 0;
            while let Some((index, chunk)) = node.next_chunk(at) {
                if let Some(&previous) = self.undo_walk.running.get(&chunk) {
                    slots.push((inode, index, previous, chunk));
                }
                at = index.saturating_add(1);
            }
        }
        for (inode, index, previous, chunk) in slots {
            roll_back_line(log, inode, index, previous, chunk);
        }
        if last < log.meta().max_inode() {
            self.undo_walk.at = last + 1;
            return;
        }
        let mut done: Vec<(u64, u64)> = self.undo_walk.running.drain().collect();
        done.sort_unstable();
        for (chunk, previous) in done {
            let row = log.meta().chunk_row(chunk);
            // A file was copied behind our back.
            if row.is_some_and(|row| self.undo_shared(log, row, chunk)) {
                continue;
            }
            self.close_entry(log, chunk);
            for changed in [chunk, previous] {
                self.chunk_changed(log, changed);
            }
            if let Some(row) = row {
                self.waiting.wake(row);
            }
        }
    }
}

/// Outcome of [`Chunks::undo`].
enum Undone {
    Yes,
    /// Other files are looked for.
    Later,
    No,
}

impl UndoWalk {
    fn is_target(&self, chunk: u64) -> bool {
        self.running.contains_key(&chunk) || self.next.contains_key(&chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn damage_is_found() {
        let mut table = Unfinished::default();
        table.begin(7, 3, 0, 5, 1);
        table.burn(9, 4);
        let bytes = table.encode(42);
        assert_eq!(Unfinished::decode(&bytes), Ok((42, table)));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Unfinished::decode(&bad).is_err(), "byte {at}");
            assert!(Unfinished::decode(&bytes[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn previous_chunks_are_held_as_long_as_an_entry_needs_them() {
        let mut table = Unfinished::default();
        table.begin(7, 3, 0, 5, 1);
        table.begin(8, 4, 0, 5, 1);
        table.begin(9, 4, 1, 9, 2);
        table.remove(7);
        // A raised version of the previous chunk itself holds nothing, and lets nothing go.
        table.begin(5, 2, 0, 5, 1);
        table.remove(5);
        assert!(table.is_previous(5) && !table.is_previous(9));
        table.begin(8, 4, 0, 8, 3);
        assert!(!table.is_previous(5));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Unfinished::decode(&bytes);
        }

        #[test]
        fn tables_survive_the_file(entries in proptest::collection::vec(any::<(u64, u32, u32, u64, u32)>(), 0..20)) {
            let mut table = Unfinished::default();
            for (chunk, inode, index, previous, version) in entries {
                table.begin(chunk, inode, index, previous, version);
            }
            prop_assert_eq!(Unfinished::decode(&table.encode(9)), Ok((9, table)));
        }
    }
}
