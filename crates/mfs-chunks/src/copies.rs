//! Which server has which copy of a chunk, in a table parallel to the chunk rows of the metadata.
//!
//! A row takes 16 bytes and holds up to three copies itself; more copies lie in blocks of 4 bytes a copy, rounded
//! up to a size class. The version of a copy is that of its chunk, except for copies with a wrong one, whose
//! versions are in a table of their own. Tables grow by pages, never by copying.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::blocks::{Blocks, CAPACITIES};
use crate::copy::{Copy, CopyList, CopyState, Tally};

const INLINE: usize = 3;
/// Copies that are recorded of one chunk; reports of more are not taken.
pub(crate) const MAX_COPIES_RECORDED: usize = 255;

/// The last operation ended well everywhere: no copy is left that the master does not know.
const CLEAN: u8 = 1;
/// A client writes: servers with usable copies are counted as written to.
const WRITING: u8 = 2;
/// It stands in the figures under `class`, `goal` and `ARCHIVED`.
const COUNTED: u8 = 4;
const ARCHIVED: u8 = 8;
/// The copies lie in the block `words[0]` of class `words[1]`.
const SPILLED: u8 = 16;
/// An operation is under way.
const BUSY: u8 = 32;
/// Where it stands on its way to be rid of useless copies (`durable`): 0 nowhere, one of [`BATCHES`], or [`FREE`].
const HOLD: u8 = 192;
/// In the open or in the closed batch: they take turns.
const BATCHES: [u8; 2] = [64, 128];
/// What is useless may be deleted.
const FREE: u8 = 192;

#[derive(Clone, Copy, Default)]
struct Row {
    words: [u32; INLINE],
    len: u8,
    flags: u8,
    /// Low half: priority queue that the chunk is in, plus one; high half: goal that it is counted under.
    queue_goal: u8,
    /// Class that it is counted under.
    class: u8,
}

const PAGE_ROWS: usize = 1024;
type Page = [Row; PAGE_ROWS];

/// Copies of chunks by class: fewer than wanted, as many, more (regular copies).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassFigures {
    /// Chunks that are not archived: under, exact, over.
    pub keep: [u64; 3],
    /// Archived chunks: under, exact, over.
    pub archive: [u64; 3],
}

/// Number of chunks by goal (0–10, 10 = more) and number of copies (0–10, 10 = more).
pub type Matrix = [[u32; 11]; 11];

/// See the module.
pub(crate) struct Copies {
    pages: Vec<Option<Box<Page>>>,
    blocks: [Blocks; CAPACITIES.len()],
    /// Versions of copies with a wrong one, by row and server.
    versions: HashMap<(u32, u16), u32, FixedState>,
    /// By server slot: chunks being written that have a usable copy there.
    written: Vec<u32>,
    all: Matrix,
    regular: Matrix,
    classes: Box<[ClassFigures; 256]>,
    /// Which of [`BATCHES`] is the open one.
    open_batch: usize,
}

impl Default for Copies {
    fn default() -> Self {
        Copies {
            pages: Vec::new(),
            blocks: Default::default(),
            versions: HashMap::default(),
            written: Vec::new(),
            all: Matrix::default(),
            regular: Matrix::default(),
            classes: Box::new([ClassFigures::default(); 256]),
            open_batch: 0,
        }
    }
}

impl Copies {
    fn row(&self, row: u32) -> Row {
        match self.pages.get(row as usize / PAGE_ROWS) {
            Some(Some(page)) => page[row as usize % PAGE_ROWS],
            _ => Row::default(),
        }
    }

    fn row_mut(&mut self, row: u32) -> &mut Row {
        let at = row as usize / PAGE_ROWS;
        if at >= self.pages.len() {
            self.pages.resize_with(at + 1, || None);
        }
        let page = self.pages[at].get_or_insert_with(|| Box::new([Row::default(); PAGE_ROWS]));
        &mut page[row as usize % PAGE_ROWS]
    }

    fn words<'a>(&'a self, r: &'a Row) -> &'a [u32] {
        let len = usize::from(r.len);
        if r.flags & SPILLED == 0 {
            &r.words[..len]
        } else {
            let class = r.words[1] as usize;
            &self.blocks[class].get(r.words[0], CAPACITIES[class])[..len]
        }
    }

    /// The copies of a chunk.
    pub(crate) fn list(&self, row: u32) -> CopyList {
        let r = self.row(row);
        self.words(&r).iter().map(|&w| Copy::unpack(w)).collect()
    }

    pub(crate) fn tally(&self, row: u32) -> Tally {
        let r = self.row(row);
        self.words(&r).iter().map(|&w| Copy::unpack(w)).collect()
    }

    /// Whether there is a copy to be deleted, as far as that can be told without the class: cheap enough for every
    /// copy that a server reports.
    pub(crate) fn has_surplus(&self, row: u32) -> bool {
        let r = self.row(row);
        let tally = self.tally(row);
        tally.valid > usize::from(r.queue_goal >> 4)
            || (tally.any_valid() && tally.wrong + tally.invalid > 0)
    }

    /// The copy on a server.
    pub(crate) fn find(&self, row: u32, server: u16) -> Option<CopyState> {
        let r = self.row(row);
        self.words(&r)
            .iter()
            .map(|&w| Copy::unpack(w))
            .find(|c| c.server == server)
            .map(|c| c.state)
    }

    /// Writes the words of a row back, in the row itself or in a block of fitting size.
    fn store(&mut self, row: u32, words: &[u32]) {
        let mut r = self.row(row);
        let need = (words.len() > INLINE)
            .then(|| CAPACITIES.partition_point(|&capacity| capacity < words.len()));
        let have = (r.flags & SPILLED != 0).then_some(r.words[1] as usize);
        if need != have {
            if let Some(class) = have {
                self.blocks[class].release(r.words[0], CAPACITIES[class]);
                r.flags &= !SPILLED;
            }
            if let Some(class) = need {
                r.words = [self.blocks[class].take(CAPACITIES[class]), class as u32, 0];
                r.flags |= SPILLED;
            }
        }
        match need {
            Some(class) => self.blocks[class].get_mut(r.words[0], CAPACITIES[class])[..words.len()]
                .copy_from_slice(words),
            None => r.words[..words.len()].copy_from_slice(words),
        }
        r.len = words.len() as u8;
        *self.row_mut(row) = r;
    }

    fn count_written(&mut self, server: u16, up: bool) {
        let at = usize::from(server);
        if at >= self.written.len() {
            self.written.resize(at + 1, 0);
        }
        let n = &mut self.written[at];
        *n = if up { *n + 1 } else { n.saturating_sub(1) };
    }

    /// Chunks being written with a usable copy on a server.
    pub(crate) fn written(&self, server: u16) -> u32 {
        self.written.get(usize::from(server)).copied().unwrap_or(0)
    }

    /// Changes the copies of a chunk; figures follow.
    fn edit(&mut self, row: u32, change: impl FnOnce(&mut SmallVec<[u32; 8]>)) {
        let r = self.row(row);
        self.figure(&r, false);
        let before: SmallVec<[u32; 8]> = SmallVec::from_slice(self.words(&r));
        let mut words = before.clone();
        change(&mut words);
        self.store(row, &words);
        let r = self.row(row);
        self.figure(&r, true);
        if r.flags & WRITING != 0 {
            let usable = |list: &[u32]| -> SmallVec<[u16; 8]> {
                list.iter()
                    .map(|&w| Copy::unpack(w))
                    .filter(|c| c.state.is_usable())
                    .map(|c| c.server)
                    .collect()
            };
            for server in usable(&before) {
                self.count_written(server, false);
            }
            for server in usable(&words) {
                self.count_written(server, true);
            }
        }
    }

    /// Sets the state of the copy on a server, which is added if it is not there. False if there are too many.
    pub(crate) fn set(&mut self, row: u32, server: u16, state: CopyState) -> bool {
        if self.row(row).len as usize >= MAX_COPIES_RECORDED && self.find(row, server).is_none() {
            return false;
        }
        self.edit(row, |words| {
            let word = Copy { server, state }.pack();
            match words.iter_mut().find(|w| **w >> 16 == word >> 16) {
                Some(w) => *w = word,
                None => words.push(word),
            }
        });
        if !state.is_wrong() {
            self.forget_version(row, server);
        }
        true
    }

    /// As [`Copies::set`], for a copy with a version that is not the chunk's.
    pub(crate) fn set_wrong(&mut self, row: u32, server: u16, version: u32, marked: bool) -> bool {
        let added = self.set(row, server, CopyState::Wrong.marked(marked));
        if added {
            self.versions.insert((row, server), version);
        }
        added
    }

    /// Version of a copy that has a wrong one.
    pub(crate) fn wrong_version(&self, row: u32, server: u16) -> u32 {
        self.versions.get(&(row, server)).copied().unwrap_or(0)
    }

    fn forget_version(&mut self, row: u32, server: u16) {
        if !self.versions.is_empty() {
            self.versions.remove(&(row, server));
            if self.versions.is_empty() {
                // A whole server with outdated copies came and went: do not keep room for it.
                self.versions = HashMap::default();
            }
        }
    }

    pub(crate) fn remove(&mut self, row: u32, server: u16) {
        self.edit(row, |words| {
            words.retain(|w| *w >> 16 != u32::from(server));
        });
        self.forget_version(row, server);
    }

    /// Forgets a chunk: its row may get another.
    pub(crate) fn clear(&mut self, row: u32) {
        for copy in self.list(row) {
            self.remove(row, copy.server);
        }
        let r = self.row(row);
        self.figure(&r, false);
        if matches!(self.pages.get(row as usize / PAGE_ROWS), Some(Some(_))) {
            // A row stands in the open batch at most once.
            let flags = r.flags & HOLD;
            let flags = if flags == self.open() { flags } else { 0 };
            *self.row_mut(row) = Row {
                flags,
                ..Row::default()
            };
        }
    }

    fn flag(&self, row: u32, flag: u8) -> bool {
        self.row(row).flags & flag != 0
    }

    fn set_flag(&mut self, row: u32, flag: u8, on: bool) {
        let r = self.row_mut(row);
        r.flags = if on { r.flags | flag } else { r.flags & !flag };
    }

    /// Whether the next write raises the version (spec 05 §6.4): set for every chunk until an operation ended well.
    pub(crate) fn needs_increase(&self, row: u32) -> bool {
        !self.flag(row, CLEAN)
    }

    pub(crate) fn set_needs_increase(&mut self, row: u32, needs: bool) {
        if self.needs_increase(row) != needs {
            self.set_flag(row, CLEAN, !needs);
        }
    }

    pub(crate) fn is_writing(&self, row: u32) -> bool {
        self.flag(row, WRITING)
    }

    pub(crate) fn set_writing(&mut self, row: u32, writing: bool) {
        if self.is_writing(row) == writing {
            return;
        }
        self.set_flag(row, WRITING, writing);
        for copy in self.list(row) {
            if copy.state.is_usable() {
                self.count_written(copy.server, writing);
            }
        }
    }

    /// Whether an operation is under way.
    pub(crate) fn has_operation(&self, row: u32) -> bool {
        self.flag(row, BUSY)
    }

    pub(crate) fn set_has_operation(&mut self, row: u32, has: bool) {
        self.set_flag(row, BUSY, has);
    }

    // ---- batches (`durable`) ----------------------------------------------------------------------

    fn open(&self) -> u8 {
        BATCHES[self.open_batch]
    }

    fn set_hold(&mut self, row: u32, hold: u8) {
        let r = self.row_mut(row);
        r.flags = r.flags & !HOLD | hold;
    }

    /// Whether useless copies may be deleted.
    pub(crate) fn is_free(&self, row: u32) -> bool {
        self.row(row).flags & HOLD == FREE
    }

    /// The version of the chunk has changed, or its last file is gone: that is not on the disk yet.
    pub(crate) fn doubt(&mut self, row: u32) {
        let hold = self.row(row).flags & HOLD;
        if hold != 0 && hold != self.open() {
            self.set_hold(row, 0);
        }
    }

    /// Marks a chunk as one of the open batch, unless it is in a batch or free. True if it is to be added.
    pub(crate) fn hold(&mut self, row: u32) -> bool {
        let nowhere = self.row(row).flags & HOLD == 0;
        if nowhere {
            self.set_hold(row, self.open());
        }
        nowhere
    }

    /// The open batch is the closed one from now on. The one that was is through.
    pub(crate) fn close_batch(&mut self) {
        self.open_batch = 1 - self.open_batch;
    }

    /// Sets a chunk of the closed batch free. False if it is none any more.
    pub(crate) fn release(&mut self, row: u32) -> bool {
        let closed = self.row(row).flags & HOLD == BATCHES[1 - self.open_batch];
        if closed {
            self.set_hold(row, FREE);
        }
        closed
    }

    /// Whether the figures have it among the chunks of files.
    pub(crate) fn is_counted_used(&self, row: u32) -> bool {
        let r = self.row(row);
        r.flags & COUNTED != 0 && r.class != 0
    }

    /// Priority queue that the chunk is in.
    pub(crate) fn queue(&self, row: u32) -> Option<u8> {
        (self.row(row).queue_goal & 15).checked_sub(1)
    }

    pub(crate) fn set_queue(&mut self, row: u32, queue: Option<u8>) {
        let r = self.row_mut(row);
        r.queue_goal = r.queue_goal & 0xF0 | queue.map_or(0, |q| q + 1);
    }

    // ---- figures --------------------------------------------------------------------------------

    fn figure(&mut self, r: &Row, up: bool) {
        if r.flags & COUNTED == 0 {
            return;
        }
        let tally: Tally = self.words(r).iter().map(|&w| Copy::unpack(w)).collect();
        let goal = usize::from(r.queue_goal >> 4);
        let (all, regular) = (tally.usable(), tally.regular());
        let change = |n: &mut u32| *n = if up { *n + 1 } else { n.saturating_sub(1) };
        change(&mut self.all[goal][all.min(10)]);
        change(&mut self.regular[goal][regular.min(10)]);
        if r.class != 0 {
            let figures = &mut self.classes[usize::from(r.class)];
            let side = if r.flags & ARCHIVED != 0 {
                &mut figures.archive
            } else {
                &mut figures.keep
            };
            let n = &mut side[match regular.cmp(&goal) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => 1,
                std::cmp::Ordering::Greater => 2,
            }];
            *n = if up { *n + 1 } else { n.saturating_sub(1) };
        }
    }

    /// Puts a chunk in the figures, or moves it there. Class 0 and goal 0 for a chunk that no file names.
    pub(crate) fn count(&mut self, row: u32, class: u8, goal: usize, archived: bool) {
        let goal = goal.min(10) as u8;
        let r = self.row(row);
        let same = r.flags & COUNTED != 0
            && r.class == class
            && r.queue_goal >> 4 == goal
            && (r.flags & ARCHIVED != 0) == archived;
        if same {
            return;
        }
        self.figure(&r, false);
        let m = self.row_mut(row);
        m.class = class;
        m.queue_goal = m.queue_goal & 15 | goal << 4;
        m.flags = m.flags & !ARCHIVED | COUNTED | if archived { ARCHIVED } else { 0 };
        let r = *m;
        self.figure(&r, true);
    }

    pub(crate) fn matrix(&self, regular: bool) -> &Matrix {
        if regular { &self.regular } else { &self.all }
    }

    pub(crate) fn class_figures(&self, class: u8) -> ClassFigures {
        self.classes[usize::from(class)]
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let pages = self.pages.iter().flatten().count() * size_of::<Page>()
            + self.pages.capacity() * size_of::<usize>();
        let blocks: usize = self.blocks.iter().map(Blocks::bytes).sum();
        pages + blocks + self.versions.capacity() * (size_of::<((u32, u16), u32)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_takes_sixteen_bytes() {
        assert_eq!(size_of::<Row>(), 16);
    }

    #[test]
    fn figures_follow_copies_and_class() {
        let mut c = Copies::default();
        c.count(5, 2, 2, false);
        c.set(5, 1, CopyState::Valid);
        c.set(5, 2, CopyState::TdValid);
        assert_eq!((c.matrix(false)[2][2], c.matrix(true)[2][1]), (1, 1));
        assert_eq!(c.class_figures(2).keep, [1, 0, 0]);
        c.count(5, 3, 3, true);
        assert_eq!((c.matrix(false)[2][2], c.matrix(false)[3][2]), (0, 1));
        assert_eq!(c.class_figures(3).archive, [1, 0, 0]);
        c.clear(5);
        assert_eq!(c.matrix(false), &Matrix::default());
    }

    #[test]
    fn written_servers_are_those_with_usable_copies() {
        let mut c = Copies::default();
        c.set(5, 1, CopyState::Valid);
        c.set_writing(5, true);
        c.set(5, 2, CopyState::Busy);
        c.set(5, 1, CopyState::Invalid);
        assert_eq!((c.written(1), c.written(2)), (0, 1));
        c.remove(5, 2);
        c.set_writing(5, false);
        assert_eq!((c.written(1), c.written(2)), (0, 0));
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(
            ops in proptest::collection::vec((0u32..3, 0u16..40, 0usize..10), 1..300),
        ) {
            let mut c = Copies::default();
            let mut model: Vec<Vec<(u16, CopyState)>> = vec![Vec::new(); 3];
            for (row, server, what) in ops {
                let m = &mut model[row as usize];
                m.retain(|x| x.0 != server);
                match what {
                    8 => c.remove(row, server),
                    9 => {
                        c.clear(row);
                        m.clear();
                    }
                    _ => {
                        let state = CopyState::ALL[what];
                        m.push((server, state));
                        if state.is_wrong() {
                            c.set_wrong(row, server, 77 + u32::from(server), state.is_marked());
                            prop_assert_eq!(c.wrong_version(row, server), 77 + u32::from(server));
                        } else {
                            c.set(row, server, state);
                        }
                    }
                }
                for (row, m) in model.iter().enumerate() {
                    let mut have: Vec<_> =
                        c.list(row as u32).iter().map(|x| (x.server, x.state)).collect();
                    have.sort_by_key(|x| x.0);
                    let mut m = m.clone();
                    m.sort_by_key(|x| x.0);
                    prop_assert_eq!(have, m);
                }
            }
        }
    }
}
