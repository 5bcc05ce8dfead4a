//! The walk over all files: missing chunks, archive flags, slots beyond the end (spec 05 §21), and repair.

use mfs_meta::op::Op;
use mfs_meta::records::Kind;
use mfs_meta::{CHUNK_BITS, Status, eattr};

use crate::class;
use crate::effect::Log;
use crate::state::{Chunks, UNKNOWN_CHUNK_LIFE};

/// Ticks between two steps of the walk.
const STEP_TICKS: u64 = 5;
/// Steps of a whole walk.
const STEPS: u32 = 32_768;
/// Seconds after the start, and after the loss of a server, without a walk.
const START_DELAY: u32 = 900;
const LOSS_DELAY: u32 = 600;
/// Greatest archive delay that means something, days.
const MAX_ARCHIVE_DELAY: u16 = 49_710;
/// Most bytes of messages that are kept of a walk.
const MAX_TEXT: usize = 100_000;

/// Why a chunk is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum MissingKind {
    /// No copies.
    NoCopy = 0,
    /// Damaged copies only.
    Invalid = 1,
    /// Copies with another version.
    WrongVersion = 2,
}

/// A chunk of a file that cannot be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingChunk {
    /// Chunk id.
    pub chunk: u64,
    /// File.
    pub inode: u32,
    /// Chunk index in the file.
    pub index: u32,
    /// Why.
    pub kind: MissingKind,
}

/// Figures of a walk over all files (spec 06 §8.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFigures {
    /// When it began and ended, seconds; `start` 0 = there was no whole walk yet.
    pub start: u32,
    /// See `start`.
    pub end: u32,
    /// Files, those in trash and sustained ones included.
    pub files: u32,
    /// Files with all chunks and too few copies of some.
    pub undergoal_files: u32,
    /// Names of files with missing chunks.
    pub missing_files: u32,
    /// Files in trash with missing chunks.
    pub missing_trash: u32,
    /// Sustained files with missing chunks.
    pub missing_sustained: u32,
    /// References to chunks.
    pub chunks: u32,
    /// References to chunks with too few copies.
    pub undergoal_chunks: u32,
    /// References to missing chunks.
    pub missing_chunks: u32,
    /// Messages, lines ended by a newline.
    pub text: String,
}

/// State of the walk.
pub(crate) struct FileLoop {
    /// It does nothing before this time.
    not_before: u32,
    position: u32,
    /// Figures and missing chunks of this walk, and of the last whole one.
    current: FileFigures,
    missing: Vec<MissingChunk>,
    last: FileFigures,
    last_missing: Vec<MissingChunk>,
    unknown: u32,
}

impl FileLoop {
    pub(crate) fn new(now: u32) -> FileLoop {
        FileLoop {
            not_before: now.saturating_add(START_DELAY),
            position: 0,
            current: FileFigures::default(),
            missing: Vec::new(),
            last: FileFigures::default(),
            last_missing: Vec::new(),
            unknown: 0,
        }
    }

    pub(crate) fn postpone(&mut self, now: u32) {
        self.not_before = self.not_before.max(now.saturating_add(LOSS_DELAY));
    }

    fn publish(&mut self, now: u32) {
        let mut figures = std::mem::take(&mut self.current);
        if self.unknown > 0 {
            let line = format!("unknown chunks: {}\n", self.unknown);
            append(&mut figures.text, &line);
        }
        (figures.start, figures.end) = (self.last.end, now);
        self.last = figures;
        self.missing.sort_unstable();
        self.missing.dedup();
        self.last_missing = std::mem::take(&mut self.missing);
        self.unknown = 0;
    }
}

fn append(text: &mut String, line: &str) {
    if text.len() + line.len() <= MAX_TEXT {
        text.push_str(line);
    }
}

/// Counts of a repair (spec 04 §7.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Slots left as they are, holes among them.
    pub not_changed: u32,
    /// Chunks that became holes.
    pub erased: u32,
    /// Chunks that got the version of their copies.
    pub repaired: u32,
}

/// What the walk finds out about a file.
#[derive(Default)]
struct FileState {
    chunks: u32,
    missing: u32,
    undergoal: u32,
    not_archived: u32,
}

impl Chunks {
    pub(crate) fn file_loop_tick(&mut self, log: &mut dyn Log) {
        if !self.tick.is_multiple_of(STEP_TICKS) || log.now() < self.file_loop.not_before {
            return;
        }
        if self.file_loop.position == 0 && self.file_loop.last.end == 0 {
            self.file_loop.last.end = log.now();
        }
        let last = u64::from(log.meta().max_inode());
        let per_step = last / u64::from(STEPS) + 1;
        let first = 1 + u64::from(self.file_loop.position) * per_step;
        for inode in first..(first + per_step).min(last + 1) {
            self.walk_file(log, inode as u32);
        }
        self.file_loop.position += 1;
        if self.file_loop.position == STEPS {
            self.file_loop.position = 0;
            let now = log.now();
            self.file_loop.publish(now);
        }
    }

    fn walk_file(&mut self, log: &mut dyn Log, inode: u32) {
        let Some(node) = log.meta().node(inode).filter(|n| n.kind().is_file_like()) else {
            return;
        };
        let (kind, names) = (node.kind(), node.names().count() as u32);
        let mut state = FileState::default();
        let mut at = 0;
        loop {
            let next = log.meta().node(inode).and_then(|n| n.next_chunk(at));
            let Some((index, chunk)) = next else {
                break;
            };
            self.walk_chunk(log, inode, index, chunk, &mut state);
            let Some(after) = index.checked_add(1) else {
                break;
            };
            at = after;
        }
        let figures = &mut self.file_loop.current;
        figures.files += 1;
        figures.chunks += state.chunks;
        figures.undergoal_chunks += state.undergoal;
        figures.missing_chunks += state.missing;
        if state.missing > 0 {
            match kind {
                Kind::Trash => figures.missing_trash += 1,
                Kind::Sustained => figures.missing_sustained += 1,
                _ => figures.missing_files += names,
            }
        } else if state.undergoal > 0 {
            figures.undergoal_files += 1;
        }
        if state.missing == 0 && state.not_archived > 0 {
            self.archive_if_due(log, inode);
        }
    }

    fn walk_chunk(
        &mut self,
        log: &mut dyn Log,
        inode: u32,
        index: u32,
        chunk: u64,
        state: &mut FileState,
    ) {
        state.chunks += 1;
        let Some(row) = log.meta().chunk_row(chunk) else {
            state.missing += 1;
            self.file_loop.unknown += 1;
            let line = format!(
                "structure error - chunk {chunk:016X} not found (inode: {inode} ; index: {index})\n"
            );
            append(&mut self.file_loop.current.text, &line);
            return;
        };
        self.settle(log, row);
        let Some(info) = log.meta().chunk_in_row(row) else {
            return;
        };
        let tally = self.copies.tally(row);
        if tally.usable() == 0 {
            let length = log.meta().node(inode).map_or(0, |n| n.length());
            let now = log.now();
            let useless = u64::from(index) << CHUNK_BITS >= length
                && !Self::is_locked(&info, now)
                && !self.copies.has_operation(row)
                && self.has_all_data_of(chunk);
            if useless {
                let line = Op::SetFileChunk {
                    inode,
                    index,
                    chunk: 0,
                };
                if log.apply(&line).is_ok() {
                    // Its copies may yet come back.
                    let until = now.saturating_add(UNKNOWN_CHUNK_LIFE);
                    self.holds.insert(chunk, until);
                    self.chunk_changed(log, chunk);
                }
                return;
            }
            state.missing += 1;
            let kind = if tally.wrong > 0 {
                MissingKind::WrongVersion
            } else if tally.invalid > 0 {
                MissingKind::Invalid
            } else {
                MissingKind::NoCopy
            };
            if self.file_loop.missing.len() < self.config.missing_log_capacity as usize {
                self.file_loop.missing.push(MissingChunk {
                    chunk,
                    inode,
                    index,
                    kind,
                });
            }
            return;
        }
        state.not_archived += u32::from(!info.archived);
        let class = class::in_charge(log.meta(), row);
        let goal = class::wanted(log.meta(), class, info.archived).map_or(0, |w| w.goal());
        state.undergoal += u32::from(tally.usable() < goal);
    }

    /// Sets the archive flag of a file that was not changed for long enough. All its chunks are there: a replay,
    /// which does not know copies, counts them likewise.
    fn archive_if_due(&mut self, log: &mut dyn Log, inode: u32) {
        let Some(node) = log.meta().node(inode) else {
            return;
        };
        let delay = log
            .meta()
            .sclass(node.sclass())
            .map_or(0, |c| c.def.arch_delay);
        let due = (1..=MAX_ARCHIVE_DELAY).contains(&delay)
            && node
                .ctime()
                .checked_add(u32::from(delay) * 86_400)
                .is_some_and(|due| due < log.now());
        if !due || node.eattr() & eattr::IMMUTABLE != 0 {
            return;
        }
        let line = Op::ArchChg {
            inode,
            uid: 0,
            cmd: 1,
        };
        if log.apply(&line).is_ok() {
            self.file_changed(log, inode);
        }
    }

    /// Missing chunks that the last whole walk found, ascending.
    #[must_use]
    pub fn missing_chunks(&self) -> &[MissingChunk] {
        &self.file_loop.last_missing
    }

    /// Figures of the last whole walk.
    #[must_use]
    pub fn file_figures(&self) -> &FileFigures {
        &self.file_loop.last
    }

    /// Gives up chunks of a file that cannot be read, or takes the version that their copies have (spec 05 §21.4).
    /// Rights are tested by the caller. As long as servers are only just coming back nothing is given up.
    ///
    /// # Errors
    /// `Enoent`; `Eperm` for what has no chunks.
    pub fn repair(&mut self, log: &mut dyn Log, inode: u32) -> Result<Repaired, Status> {
        let node = log.meta().node(inode).ok_or(Status::Enoent)?;
        if !node.kind().is_file_like() {
            return Err(Status::Eperm);
        }
        // Holes are left as they are, too; each slot that has a chunk takes itself from them.
        let mut counts = Repaired {
            not_changed: node.slots(),
            ..Repaired::default()
        };
        let mut untimed = false;
        let mut at = 0;
        loop {
            let next = log.meta().node(inode).and_then(|n| n.next_chunk(at));
            let Some((index, chunk)) = next else {
                break;
            };
            counts.not_changed = counts.not_changed.saturating_sub(1);
            untimed |= self.repair_chunk(log, inode, index, chunk, &mut counts)?;
            let Some(after) = index.checked_add(1) else {
                break;
            };
            at = after;
        }
        if untimed {
            let now = log.now();
            let atime = log.meta().node(inode).map_or(now, |n| n.atime());
            log.apply(&Op::AmTime {
                inode,
                atime,
                mtime: now,
                ctime: now,
            })?;
        }
        Ok(counts)
    }

    /// True if the file was changed by lines that do not change its times.
    fn repair_chunk(
        &mut self,
        log: &mut dyn Log,
        inode: u32,
        index: u32,
        chunk: u64,
        counts: &mut Repaired,
    ) -> Result<bool, Status> {
        let Some(row) = log.meta().chunk_row(chunk) else {
            // REPAIR wants a chunk that exists.
            log.apply(&Op::SetFileChunk {
                inode,
                index,
                chunk: 0,
            })?;
            counts.erased += 1;
            return Ok(true);
        };
        self.settle(log, row);
        let Some(info) = log.meta().chunk_in_row(row) else {
            return Ok(false);
        };
        let undecided = Self::is_locked(&info, log.now())
            || self.copies.has_operation(row)
            || self.unresolved.contains(&chunk)
            || self.is_changing(log.now());
        if undecided || self.copies.tally(row).usable() > 0 {
            counts.not_changed += 1;
            return Ok(false);
        }
        let greatest = self.wrong_versions(row).max();
        match greatest {
            Some(version) => {
                // The original cannot replay REPAIR with a version (spec 03 §9.2); these two do the same.
                self.unfinished.burn(chunk, info.version);
                self.adopt(log, row, &info, version);
                counts.repaired += 1;
            }
            None => {
                log.apply(&Op::Repair {
                    inode,
                    index,
                    version: 0,
                })?;
                counts.erased += 1;
            }
        }
        self.chunk_changed(log, chunk);
        Ok(greatest.is_some())
    }
}
