//! Which session may keep cached data of which file: the data-cache map (spec 04 §10, spec 07 §7.13.3).
//!
//! LOOKUP asks it under the shared lock of the state, so it has locks of its own, one for each part. A file is
//! in one part with all its sessions. Within a part the record that was used longest ago gives way.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use parking_lot::Mutex;

/// Most records.
pub const CAPACITY: usize = 500_000;

const PARTS: usize = 16;
const NONE: u32 = u32::MAX;

/// See the module.
pub struct DataCache {
    parts: [Mutex<Part>; PARTS],
}

impl Default for DataCache {
    fn default() -> Self {
        DataCache::with_capacity(CAPACITY)
    }
}

/// Inodes and sessions are small numbers given by the master itself, so a multiplication spreads them well.
#[derive(Default, Clone, Copy)]
struct NumberHasher(u64);

impl std::hash::Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio; the map looks at high and low bits.
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }
}

type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

#[derive(Clone, Copy)]
struct Record {
    inode: u32,
    session: u32,
    valid: bool,
    /// Neighbours in order of use.
    newer: u32,
    older: u32,
    /// Next record of the same inode.
    sibling: u32,
}

struct Part {
    capacity: usize,
    records: Vec<Record>,
    free: Vec<u32>,
    /// First record of each inode.
    files: NumberMap<u32, u32>,
    index: NumberMap<u64, u32>,
    newest: u32,
    oldest: u32,
}

fn key(inode: u32, session: u32) -> u64 {
    u64::from(inode) << 32 | u64::from(session)
}

impl Part {
    fn new(capacity: usize) -> Part {
        Part {
            capacity,
            records: Vec::new(),
            free: Vec::new(),
            files: NumberMap::default(),
            index: NumberMap::default(),
            newest: NONE,
            oldest: NONE,
        }
    }

    fn at(&mut self, i: u32) -> &mut Record {
        &mut self.records[i as usize]
    }

    fn find(&self, inode: u32, session: u32) -> Option<u32> {
        self.index.get(&key(inode, session)).copied()
    }

    fn unlink_from_order(&mut self, i: u32) {
        let Record { newer, older, .. } = *self.at(i);
        match newer {
            NONE => self.newest = older,
            newer => self.at(newer).older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.at(older).newer = newer,
        }
    }

    fn make_newest(&mut self, i: u32) {
        let second = self.newest;
        let record = self.at(i);
        (record.newer, record.older) = (NONE, second);
        match second {
            NONE => self.oldest = i,
            second => self.at(second).newer = i,
        }
        self.newest = i;
    }

    fn use_now(&mut self, i: u32) {
        if self.newest != i {
            self.unlink_from_order(i);
            self.make_newest(i);
        }
    }

    fn add(&mut self, inode: u32, session: u32) {
        if self.index.len() >= self.capacity && self.oldest != NONE {
            self.remove(self.oldest);
        }
        let sibling = self.files.get(&inode).copied().unwrap_or(NONE);
        let record = Record {
            inode,
            session,
            valid: false,
            newer: NONE,
            older: NONE,
            sibling,
        };
        let i = match self.free.pop() {
            Some(i) => {
                *self.at(i) = record;
                i
            }
            None => {
                self.records.push(record);
                self.records.len() as u32 - 1
            }
        };
        self.files.insert(inode, i);
        self.index.insert(key(inode, session), i);
        self.make_newest(i);
    }

    fn remove(&mut self, i: u32) {
        let Record {
            inode,
            session,
            sibling,
            ..
        } = *self.at(i);
        self.unlink_from_order(i);
        self.index.remove(&key(inode, session));
        let first = self.files.get(&inode).copied().unwrap_or(NONE);
        if first == i {
            if sibling == NONE {
                self.files.remove(&inode);
            } else {
                self.files.insert(inode, sibling);
            }
        } else {
            let mut at = first;
            while at != NONE {
                let next = self.at(at).sibling;
                if next == i {
                    self.at(at).sibling = sibling;
                    break;
                }
                at = next;
            }
        }
        self.free.push(i);
    }

    /// Removes the records of an inode, but not that of session `except`.
    fn remove_file(&mut self, inode: u32, except: Option<u32>) {
        let mut at = self.files.get(&inode).copied().unwrap_or(NONE);
        while at != NONE {
            let Record {
                session, sibling, ..
            } = *self.at(at);
            if Some(session) != except {
                self.remove(at);
            }
            at = sibling;
        }
    }
}

impl DataCache {
    /// A map of at most `capacity` records.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> DataCache {
        DataCache {
            parts: std::array::from_fn(|_| Mutex::new(Part::new(capacity.div_ceil(PARTS)))),
        }
    }

    fn part(&self, inode: u32) -> &Mutex<Part> {
        &self.parts[inode as usize % PARTS]
    }

    /// A session opens a file: tells whether the data that it has cached is still valid. From now on the answer
    /// to that is known.
    pub fn open(&self, inode: u32, session: u32) -> bool {
        let mut part = self.part(inode).lock();
        match part.find(inode, session) {
            Some(i) => {
                part.use_now(i);
                part.at(i).valid
            }
            None => {
                part.add(inode, session);
                false
            }
        }
    }

    /// A session reads data, or has dropped what it had cached: what it holds from now on is valid.
    pub fn access(&self, inode: u32, session: u32) {
        let mut part = self.part(inode).lock();
        if let Some(i) = part.find(inode, session) {
            part.use_now(i);
            part.at(i).valid = true;
        }
    }

    /// A session changes data: what all others have cached is void, its own is valid.
    pub fn modify(&self, inode: u32, session: u32) {
        let mut part = self.part(inode).lock();
        part.remove_file(inode, Some(session));
        if let Some(i) = part.find(inode, session) {
            part.use_now(i);
            part.at(i).valid = true;
        }
    }

    /// What all other sessions have cached is void; the session's own pages are its kernel's business.
    pub fn revoke_others(&self, inode: u32, session: u32) {
        let mut part = self.part(inode).lock();
        let mut at = part.files.get(&inode).copied().unwrap_or(NONE);
        while at != NONE {
            let record = part.at(at);
            record.valid &= record.session == session;
            at = record.sibling;
        }
    }

    /// Forgets a file: it was removed, or its number is about to be given to another.
    pub fn forget(&self, inode: u32) {
        self.part(inode).lock().remove_file(inode, None);
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
    fn the_record_unused_for_longest_gives_way() {
        let cache = DataCache::with_capacity(2 * PARTS);
        let inode = |n: u32| n * PARTS as u32;
        for n in [1, 2] {
            cache.open(inode(n), 9);
            cache.access(inode(n), 9);
        }
        assert!(cache.open(inode(1), 9));
        cache.open(inode(3), 9);
        assert!(cache.open(inode(1), 9));
        assert!(!cache.open(inode(2), 9));
    }

    proptest::proptest! {
        /// Against a list of records, newest first.
        #[test]
        fn behaves_like_a_list(ops in proptest::collection::vec((0u8..4, 0u32..6, 1u32..4), 0..300)) {
            const CAPACITY: usize = 8;
            let mut part = Part::new(CAPACITY);
            let mut model: Vec<(u32, u32, bool)> = Vec::new();
            for (op, inode, session) in ops {
                let at = model.iter().position(|r| (r.0, r.1) == (inode, session));
                match op {
                    0 => {
                        let known = match part.find(inode, session) {
                            Some(i) => { part.use_now(i); part.at(i).valid }
                            None => { part.add(inode, session); false }
                        };
                        let record = at.map_or((inode, session, false), |i| model.remove(i));
                        proptest::prop_assert_eq!(known, record.2);
                        model.insert(0, record);
                        model.truncate(CAPACITY);
                    }
                    1 => if let Some(i) = part.find(inode, session) {
                        part.use_now(i);
                        part.at(i).valid = true;
                        let mut record = model.remove(at.unwrap());
                        record.2 = true;
                        model.insert(0, record);
                    },
                    2 => {
                        part.remove_file(inode, Some(session));
                        model.retain(|r| r.0 != inode || r.1 == session);
                    }
                    _ => {
                        part.remove_file(inode, None);
                        model.retain(|r| r.0 != inode);
                    }
                }
                let mut seen = Vec::new();
                let mut at = part.newest;
                while at != NONE {
                    let r = *part.at(at);
                    seen.push((r.inode, r.session, r.valid));
                    at = r.older;
                }
                proptest::prop_assert_eq!(&seen, &model);
                proptest::prop_assert_eq!(part.index.len(), model.len());
            }
        }
    }
}
