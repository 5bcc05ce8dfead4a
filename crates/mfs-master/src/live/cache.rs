//! Which session may keep cached data of which file: the data-cache map (spec 04 §10, spec 07 §7.13.3).
//!
//! LOOKUP asks it under the shared lock of the state, so it has locks of its own, one for each part; a file is in
//! one part with all its sessions. Each question costs two cache lines however many sessions and files there are: a
//! set of records, found by inode and session, and the generation of the file. What makes the records of many
//! sessions void at once (a change of the file) only counts the generation up.
//!
//! Files whose numbers are [`GENERATIONS`] apart share a generation: a change of one makes records of the other
//! void, too. And within a set the record that was used longest ago gives way. Both only cost a client a fetch of
//! data that it has.

use bytemuck::Zeroable;
use mfs_meta::prefetch;
use parking_lot::Mutex;

const PARTS: usize = 16;

/// Sets of records in a part.
const SETS: usize = 8192;

/// Records of a set: what fits into a cache line.
const WAYS: usize = LINE / size_of::<Record>();

/// Bytes of a cache line.
const LINE: usize = 64;

/// Most records; about as many as the original has (500,000).
pub const CAPACITY: usize = PARTS * SETS * WAYS;

/// Number of generations, over all parts.
pub const GENERATIONS: usize = 1 << 20;

/// See the module.
pub struct DataCache {
    parts: Vec<Mutex<Part>>,
}

impl Default for DataCache {
    fn default() -> Self {
        DataCache {
            parts: (0..PARTS).map(|_| Mutex::new(Part::new())).collect(),
        }
    }
}

/// That a session has opened a file. Session 0 marks an empty place.
#[derive(Clone, Copy, Default, Zeroable)]
struct Record {
    inode: u32,
    session: u32,
    /// The file's `changes` when the record was made; the record is void when that has moved on.
    changes: u32,
    /// The file's `revocations` plus 1 when its data became valid, 0 = they are not valid.
    valid_since: u32,
}

/// What happened to a file.
#[derive(Clone, Copy, Default, Zeroable)]
struct Generation {
    /// Changes, each of which makes all records void.
    changes: u32,
    /// Events that make the data of all records invalid.
    revocations: u32,
}

/// The records of a set, the one that was used last in front.
struct Set<'p>(&'p mut [Record]);

/// A part is alone in its cache lines, or the locks of others would take them away.
#[repr(align(128))]
struct Part {
    /// The sets one after the other.
    records: Vec<Record>,
    /// Where the first set is, so that each fills one cache line.
    first: usize,
    generations: Vec<Generation>,
}

impl Record {
    fn is_current(&self, inode: u32, session: u32, generation: Generation) -> bool {
        self.inode == inode && self.session == session && self.changes == generation.changes
    }

    fn is_valid(&self, generation: Generation) -> bool {
        self.valid_since == generation.revocations + 1
    }

    fn validate(&mut self, generation: Generation) {
        self.valid_since = generation.revocations + 1;
    }
}

impl<'p> Set<'p> {
    /// The record of a session, moved to the front.
    fn find(self, inode: u32, session: u32, generation: Generation) -> Option<&'p mut Record> {
        let at = self
            .0
            .iter()
            .position(|r| r.is_current(inode, session, generation))?;
        self.0.get_mut(..=at)?.rotate_right(1);
        self.0.first_mut()
    }

    /// Puts a record in front; a void one of the same session, or the last, gives way.
    fn put(self, record: Record) {
        let same = |r: &Record| r.inode == record.inode && r.session == record.session;
        let at = self.0.iter().position(same).unwrap_or(WAYS - 1);
        if let Some(front) = self.0.get_mut(..=at) {
            front.rotate_right(1);
        }
        if let Some(first) = self.0.first_mut() {
            *first = record;
        }
    }
}

impl Part {
    fn new() -> Part {
        // Zeroed memory is used when it is touched, but not if it is asked for with the alignment of a cache line:
        // then it is written.
        let records: Vec<Record> = bytemuck::zeroed_vec((SETS + 1) * WAYS);
        let behind = records.as_ptr().addr() % LINE;
        Part {
            first: (LINE - behind) % LINE / size_of::<Record>(),
            records,
            generations: bytemuck::zeroed_vec(GENERATIONS / PARTS),
        }
    }

    fn generation(&mut self, inode: u32) -> &mut Generation {
        let at = inode as usize / PARTS % self.generations.len();
        &mut self.generations[at]
    }

    fn set(&mut self, inode: u32, session: u32) -> Set<'_> {
        // The golden ratio spreads numbers that follow each other.
        let key = u64::from(inode / PARTS as u32) << 32 | u64::from(session);
        let mixed = (key ^ key >> 29).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let at = self.first + (mixed >> 32) as usize % SETS * WAYS;
        Set(&mut self.records[at..at + WAYS])
    }

    fn find(&mut self, inode: u32, session: u32) -> Option<(&mut Record, Generation)> {
        let generation = *self.generation(inode);
        let record = self.set(inode, session).find(inode, session, generation)?;
        Some((record, generation))
    }

    /// Counts a generation up. When a number is used up, everything is forgotten, so that none comes twice.
    fn advance(&mut self, inode: u32, number: impl Fn(&mut Generation) -> &mut u32) -> Generation {
        if *number(self.generation(inode)) >= u32::MAX - 1 {
            *self = Part::new();
        }
        let generation = self.generation(inode);
        *number(generation) += 1;
        *generation
    }
}

impl DataCache {
    fn part(&self, inode: u32) -> &Mutex<Part> {
        &self.parts[inode as usize % PARTS]
    }

    /// Asks for the memory that [`DataCache::open`] needs soon.
    pub fn prefetch(&self, inode: u32, session: u32) {
        if let Some(mut part) = self.part(inode).try_lock() {
            prefetch(part.generation(inode));
            prefetch(part.set(inode, session).0);
        }
    }

    /// A session opens a file: tells whether the data that it has cached is still valid. From now on the answer
    /// to that is known.
    pub fn open(&self, inode: u32, session: u32) -> bool {
        let mut part = self.part(inode).lock();
        let generation = *part.generation(inode);
        match part.set(inode, session).find(inode, session, generation) {
            Some(record) => record.is_valid(generation),
            None => {
                part.set(inode, session).put(Record {
                    inode,
                    session,
                    changes: generation.changes,
                    valid_since: 0,
                });
                false
            }
        }
    }

    /// A session reads data, or has dropped what it had cached: what it holds from now on is valid.
    pub fn access(&self, inode: u32, session: u32) {
        let mut part = self.part(inode).lock();
        if let Some((record, generation)) = part.find(inode, session) {
            record.validate(generation);
        }
    }

    /// A session changes data: what all others have cached is void, its own is valid.
    pub fn modify(&self, inode: u32, session: u32) {
        let mut part = self.part(inode).lock();
        let own = part.find(inode, session).is_some();
        let generation = part.advance(inode, |g| &mut g.changes);
        if own {
            let mut record = Record {
                inode,
                session,
                changes: generation.changes,
                valid_since: 0,
            };
            record.validate(generation);
            part.set(inode, session).put(record);
        }
    }

    /// What all other sessions have cached is void; the session's own pages are its kernel's business.
    pub fn revoke_others(&self, inode: u32, session: u32) {
        let mut part = self.part(inode).lock();
        let own = part
            .find(inode, session)
            .is_some_and(|(record, generation)| record.is_valid(generation));
        part.advance(inode, |g| &mut g.revocations);
        if own && let Some((record, generation)) = part.find(inode, session) {
            record.validate(generation);
        }
    }

    /// Forgets a file: it was removed, or its number is about to be given to another.
    pub fn forget(&self, inode: u32) {
        self.part(inode).lock().advance(inode, |g| &mut g.changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_after_reading_until_somebody_else_writes() {
        let cache = DataCache::default();
        cache.access(5, 1);
        assert!(!cache.open(5, 1), "reading makes no record");
        assert!(!cache.open(5, 1));
        cache.access(5, 1);
        assert!(cache.open(5, 1));
        assert!(!cache.open(5, 2));
        cache.modify(5, 2);
        assert!(
            cache.open(5, 2),
            "its own change leaves the writer's cache valid"
        );
        assert!(!cache.open(5, 1));
        cache.access(5, 1);
        cache.revoke_others(5, 1);
        assert!(cache.open(5, 1));
        assert!(!cache.open(5, 2));
        cache.forget(5);
        assert!(!cache.open(5, 2));
    }

    #[test]
    fn sets_keep_what_was_used_last() {
        let mut records = [Record::default(); WAYS];
        let none = Generation::default();
        let record = |session| Record {
            inode: 7,
            session,
            ..Record::default()
        };
        for session in 1..=WAYS as u32 {
            Set(&mut records).put(record(session));
        }
        assert!(Set(&mut records).find(7, 1, none).is_some());
        Set(&mut records).put(record(100));
        assert!(Set(&mut records).find(7, 1, none).is_some());
        assert!(
            Set(&mut records).find(7, 2, none).is_none(),
            "unused for longest"
        );
        Set(&mut records).put(record(100));
        let places = records.iter().filter(|r| r.session == 100).count();
        assert_eq!(places, 1);
    }

    #[test]
    fn most_records_of_many_files_are_kept() {
        let cache = DataCache::default();
        let files = CAPACITY as u32 / 2;
        for inode in 0..files {
            cache.open(inode, 3);
            cache.access(inode, 3);
        }
        let kept = (0..files).filter(|&inode| cache.open(inode, 3)).count();
        assert!(kept > files as usize * 9 / 10, "{kept} of {files}");
    }

    #[test]
    fn generations_that_are_used_up_bring_nothing_back() {
        let cache = DataCache::default();
        cache.open(5, 1);
        cache.access(5, 1);
        cache.part(5).lock().generation(5).changes = u32::MAX - 1;
        cache.forget(5);
        assert!(!cache.open(5, 1));
        cache.access(5, 1);
        assert!(cache.open(5, 1));
    }

    proptest::proptest! {
        /// Against a plain list of records, as long as nothing has to give way.
        #[test]
        fn behaves_like_a_list(ops in proptest::collection::vec((0u8..5, 0u32..6, 1u32..4), 0..300)) {
            let cache = DataCache::default();
            let mut model: Vec<(u32, u32, bool)> = Vec::new();
            for (op, inode, session) in ops {
                let at = model.iter().position(|r| (r.0, r.1) == (inode, session));
                match op {
                    0 => {
                        let known = at.is_some_and(|at| model[at].2);
                        proptest::prop_assert_eq!(cache.open(inode, session), known);
                        if at.is_none() {
                            model.push((inode, session, false));
                        }
                    }
                    1 => {
                        cache.access(inode, session);
                        if let Some(at) = at {
                            model[at].2 = true;
                        }
                    }
                    2 => {
                        cache.modify(inode, session);
                        model.retain(|r| r.0 != inode || r.1 == session);
                        if let Some(own) = model.iter_mut().find(|r| r.0 == inode) {
                            own.2 = true;
                        }
                    }
                    3 => {
                        cache.revoke_others(inode, session);
                        for record in model.iter_mut().filter(|r| r.0 == inode && r.1 != session) {
                            record.2 = false;
                        }
                    }
                    _ => {
                        cache.forget(inode);
                        model.retain(|r| r.0 != inode);
                    }
                }
            }
        }
    }
}
