//! A hash index from 32-bit hashes to arena rows that grows one bucket at a time (linear hashing), so that no
//! insertion ever pays for a rehash of the whole table.
//!
//! A bucket is one cache line of up to seven (hash, row) pairs, with an overflow bucket behind it when need be.
//! Looking a key up touches that line and the row that matches, and splitting a bucket touches no row at all.
//! The index is derived state: snapshots leave it out.

use crate::paged::prefetch;

/// Pairs in a bucket.
const SLOTS: usize = 7;
/// Average pairs in a bucket above which the table grows. Buckets that are not split yet hold a third more,
/// so a higher figure would only make overflow buckets.
const LOAD: u32 = 4;
/// Buckets in a segment.
const SEGMENT: usize = 512;

#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Bucket {
    hashes: [u32; SLOTS],
    rows: [u32; SLOTS],
    len: u32,
    /// Number of the overflow bucket behind this one plus one; 0 = none.
    more: u32,
}

/// The pairs.
pub(crate) struct RowIndex {
    segments: Vec<Box<[Bucket]>>,
    overflow: Vec<Bucket>,
    /// First unused overflow bucket plus one.
    free: u32,
    buckets: u32,
    mask: u32,
    count: u32,
    moving: Vec<(u32, u32)>,
}

impl Default for RowIndex {
    fn default() -> Self {
        RowIndex {
            segments: vec![segment()],
            overflow: Vec::new(),
            free: 0,
            buckets: 1,
            mask: 0,
            count: 0,
            moving: Vec::new(),
        }
    }
}

fn segment() -> Box<[Bucket]> {
    vec![Bucket::default(); SEGMENT].into_boxed_slice()
}

/// Where a bucket is.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Main(u32),
    Overflow(u32),
}

impl RowIndex {
    #[inline]
    fn main_of(&self, hash: u32) -> At {
        let b = hash & self.mask;
        At::Main(if b < self.buckets {
            b
        } else {
            hash & (self.mask >> 1)
        })
    }

    #[inline]
    fn bucket(&self, at: At) -> &Bucket {
        match at {
            At::Main(b) => &self.segments[b as usize / SEGMENT][b as usize % SEGMENT],
            At::Overflow(b) => &self.overflow[b as usize],
        }
    }

    #[inline]
    fn bucket_mut(&mut self, at: At) -> &mut Bucket {
        match at {
            At::Main(b) => &mut self.segments[b as usize / SEGMENT][b as usize % SEGMENT],
            At::Overflow(b) => &mut self.overflow[b as usize],
        }
    }

    #[inline]
    fn behind(&self, at: At) -> Option<At> {
        self.bucket(at).more.checked_sub(1).map(At::Overflow)
    }

    /// The row with this hash that `is_it` recognises.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = Some(self.main_of(hash));
        while let Some(here) = at {
            let b = self.bucket(here);
            for i in 0..(b.len as usize).min(SLOTS) {
                if b.hashes[i] == hash && is_it(b.rows[i]) {
                    return Some(b.rows[i]);
                }
            }
            at = self.behind(here);
        }
        None
    }

    /// Asks for the memory that a question for this hash, or an insertion, needs soon.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        prefetch(self.bucket(self.main_of(hash)));
    }

    /// Adds a row.
    pub(crate) fn insert(&mut self, hash: u32, row: u32) {
        self.put(hash, row);
        self.count += 1;
        if self.count / LOAD > self.buckets {
            self.split();
        }
    }

    fn put(&mut self, hash: u32, row: u32) {
        let mut at = self.main_of(hash);
        while self.bucket(at).len as usize == SLOTS {
            at = match self.behind(at) {
                Some(next) => next,
                None => {
                    let new = self.take_overflow();
                    self.bucket_mut(at).more = new + 1;
                    At::Overflow(new)
                }
            };
        }
        let b = self.bucket_mut(at);
        let i = b.len as usize;
        (b.hashes[i], b.rows[i]) = (hash, row);
        b.len += 1;
    }

    fn take_overflow(&mut self) -> u32 {
        match self.free.checked_sub(1) {
            Some(b) => {
                self.free = self.overflow[b as usize].more;
                self.overflow[b as usize] = Bucket::default();
                b
            }
            None => {
                self.overflow.push(Bucket::default());
                self.overflow.len() as u32 - 1
            }
        }
    }

    fn give_overflow(&mut self, b: u32) {
        self.overflow[b as usize] = Bucket {
            more: self.free,
            ..Bucket::default()
        };
        self.free = b + 1;
    }

    /// Makes one bucket more: the pairs of the one that it splits off from are dealt out again.
    fn split(&mut self) {
        let new = self.buckets;
        if new > self.mask {
            self.mask = self.mask << 1 | 1;
        }
        if new as usize / SEGMENT == self.segments.len() {
            self.segments.push(segment());
        }
        self.buckets += 1;
        let mut moving = std::mem::take(&mut self.moving);
        let mut at = Some(At::Main(new & (self.mask >> 1)));
        while let Some(here) = at {
            at = self.behind(here);
            let b = *self.bucket(here);
            moving.extend(b.hashes.into_iter().zip(b.rows).take(b.len as usize));
            match here {
                At::Main(_) => *self.bucket_mut(here) = Bucket::default(),
                At::Overflow(b) => self.give_overflow(b),
            }
        }
        for (hash, row) in moving.drain(..) {
            self.put(hash, row);
        }
        self.moving = moving;
    }

    /// Grows to room for `count` rows at once; for an index that is still empty.
    pub(crate) fn reserve(&mut self, count: u32) {
        debug_assert_eq!(self.count, 0);
        self.buckets = (count / LOAD).max(1);
        self.mask = self
            .buckets
            .checked_next_power_of_two()
            .map_or(u32::MAX, |p| p - 1);
        self.segments
            .resize_with((self.buckets as usize).div_ceil(SEGMENT), segment);
    }

    /// Takes a row out; false when it is not in.
    pub(crate) fn remove(&mut self, hash: u32, row: u32) -> bool {
        let mut before = None;
        let mut at = Some(self.main_of(hash));
        while let Some(here) = at {
            let b = self.bucket_mut(here);
            let found = (0..b.len as usize).find(|&i| b.hashes[i] == hash && b.rows[i] == row);
            if let Some(i) = found {
                b.len -= 1;
                let last = b.len as usize;
                (b.hashes[i], b.rows[i]) = (b.hashes[last], b.rows[last]);
                let (empty, more) = (b.len == 0, b.more);
                if let (true, At::Overflow(b), Some(before)) = (empty, here, before) {
                    self.bucket_mut(before).more = more;
                    self.give_overflow(b);
                }
                self.count -= 1;
                return true;
            }
            before = Some(here);
            at = self.behind(here);
        }
        debug_assert!(false, "row {row} is not in the index");
        false
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        (self.segments.len() * SEGMENT + self.overflow.capacity()) * size_of::<Bucket>()
    }
}

/// Mixes a 64-bit key into a hash that keeps blocks of 1024 consecutive keys together, so that keys that
/// were given in sequence (chunk ids, inodes) meet neighbouring buckets, while chosen keys cannot be piled
/// up in one chain beyond those of equal low bits in equal blocks.
pub(crate) fn sequential_hash(key: u64) -> u32 {
    let block = (key >> 10).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((block >> 32) as u32) << 10 | (key as u32 & 0x3FF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn longest(index: &RowIndex) -> usize {
        (0..index.buckets)
            .map(|b| {
                let mut at = Some(At::Main(b));
                let mut n = 0;
                while let Some(here) = at {
                    n += 1;
                    at = index.behind(here);
                }
                n
            })
            .max()
            .unwrap()
    }

    #[test]
    fn finds_rows_through_growth_and_removal() {
        for reserved in [0, 1, 1000, 20_000, 100_000] {
            let mut h = RowIndex::default();
            h.reserve(reserved);
            let hash = |i: u32| sequential_hash(u64::from(i) * 7);
            for i in 1..50_000u32 {
                h.insert(hash(i), i);
            }
            assert!((1..50_000).all(|i| h.find(hash(i), |r| r == i) == Some(i)));
            assert!(longest(&h) < 6, "{} buckets in a row", longest(&h));
            for i in (1..50_000).step_by(3) {
                assert!(h.remove(hash(i), i));
            }
            for i in 1..50_000 {
                assert_eq!(
                    h.find(hash(i), |r| r == i).is_some(),
                    (i - 1) % 3 != 0,
                    "row {i}"
                );
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn behaves_like_a_set(ops in proptest::collection::vec((0u32..40, 0u32..200, proptest::bool::ANY), 1..800)) {
            let mut h = RowIndex::default();
            let mut model = HashSet::new();
            for (hash, row, insert) in ops {
                if insert {
                    if model.insert((hash, row)) {
                        h.insert(hash, row);
                    }
                } else if model.remove(&(hash, row)) {
                    proptest::prop_assert!(h.remove(hash, row));
                }
                proptest::prop_assert_eq!(h.find(hash, |r| r == row).is_some(), model.contains(&(hash, row)));
            }
            for (hash, row) in model {
                proptest::prop_assert_eq!(h.find(hash, |r| r == row), Some(row));
            }
        }
    }
}
