//! A hash index over arena rows that grows one bucket at a time (linear hashing), so that no insertion
//! ever pays for a rehash of the whole table.
//!
//! Rows carry their hash and the link of their chain; the index holds only the heads. It is derived
//! state: snapshots leave it out.

use crate::paged::NIL;

const SEGMENT_BITS: u32 = 14;
const SEGMENT: usize = 1 << SEGMENT_BITS;

/// Access to the hash and chain link of rows.
pub(crate) trait Chained {
    /// Hash of row `i`.
    fn hash_of(&self, i: u32) -> u32;
    /// Next row of the chain that `i` is in.
    fn chain(&self, i: u32) -> u32;
    /// Sets the next row of the chain.
    fn set_chain(&mut self, i: u32, next: u32);
}

/// The heads of the chains.
pub(crate) struct LinearHash {
    segments: Vec<Box<[u32]>>,
    buckets: u32,
    mask: u32,
    count: u32,
}

impl Default for LinearHash {
    fn default() -> Self {
        LinearHash {
            segments: vec![vec![NIL; SEGMENT].into_boxed_slice()],
            buckets: 1,
            mask: 0,
            count: 0,
        }
    }
}

impl LinearHash {
    fn bucket_of(&self, hash: u32) -> u32 {
        let b = hash & self.mask;
        if b < self.buckets {
            b
        } else {
            hash & (self.mask >> 1)
        }
    }

    fn slot(&self, bucket: u32) -> u32 {
        self.segments[(bucket >> SEGMENT_BITS) as usize][bucket as usize & (SEGMENT - 1)]
    }

    fn set_slot(&mut self, bucket: u32, head: u32) {
        self.segments[(bucket >> SEGMENT_BITS) as usize][bucket as usize & (SEGMENT - 1)] = head;
    }

    /// First row of the chain where rows with this hash are.
    #[inline]
    pub(crate) fn head(&self, hash: u32) -> u32 {
        self.slot(self.bucket_of(hash))
    }

    /// Adds row `i`, whose hash is readable through `rows`.
    pub(crate) fn insert(&mut self, rows: &mut impl Chained, i: u32) {
        let bucket = self.bucket_of(rows.hash_of(i));
        rows.set_chain(i, self.slot(bucket));
        self.set_slot(bucket, i);
        self.count += 1;
        if self.count > self.buckets && self.buckets < u32::MAX {
            self.split(rows);
        }
    }

    fn split(&mut self, rows: &mut impl Chained) {
        let new = self.buckets;
        if new > self.mask {
            self.mask = self.mask << 1 | 1;
        }
        if (new >> SEGMENT_BITS) as usize == self.segments.len() {
            self.segments.push(vec![NIL; SEGMENT].into_boxed_slice());
        }
        let old = new & (self.mask >> 1);
        self.buckets += 1;
        let (mut stay, mut go) = (NIL, NIL);
        let mut i = self.slot(old);
        while i != NIL {
            let next = rows.chain(i);
            let list = if rows.hash_of(i) & self.mask == new {
                &mut go
            } else {
                &mut stay
            };
            rows.set_chain(i, *list);
            *list = i;
            i = next;
        }
        self.set_slot(old, stay);
        self.set_slot(new, go);
    }

    /// Grows to `count` buckets at once; for an index that is still empty.
    pub(crate) fn reserve(&mut self, count: u32) {
        debug_assert_eq!(self.count, 0);
        self.buckets = count.max(1);
        self.mask = self
            .buckets
            .checked_next_power_of_two()
            .map_or(u32::MAX, |p| p - 1);
        let segments = (self.buckets as usize).div_ceil(SEGMENT);
        self.segments
            .resize_with(segments, || vec![NIL; SEGMENT].into_boxed_slice());
    }

    /// Takes row `i` out; it must be in the index.
    pub(crate) fn remove(&mut self, rows: &mut impl Chained, i: u32) {
        let bucket = self.bucket_of(rows.hash_of(i));
        let next = rows.chain(i);
        let mut at = self.slot(bucket);
        if at == i {
            self.set_slot(bucket, next);
        } else {
            while at != NIL && rows.chain(at) != i {
                at = rows.chain(at);
            }
            if at == NIL {
                debug_assert!(false, "row {i} is not in the index");
                return;
            }
            rows.set_chain(at, next);
        }
        self.count -= 1;
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.len() * SEGMENT * 4
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

    #[derive(Default)]
    struct Rows(Vec<(u32, u32)>);
    impl Chained for Rows {
        fn hash_of(&self, i: u32) -> u32 {
            self.0[i as usize].0
        }
        fn chain(&self, i: u32) -> u32 {
            self.0[i as usize].1
        }
        fn set_chain(&mut self, i: u32, next: u32) {
            self.0[i as usize].1 = next;
        }
    }

    fn find(h: &LinearHash, rows: &Rows, i: u32) -> bool {
        let mut at = h.head(rows.hash_of(i));
        while at != NIL {
            if at == i {
                return true;
            }
            at = rows.chain(at);
        }
        false
    }

    #[test]
    fn finds_rows_through_growth_and_removal() {
        for reserved in [0, 1, 1000, 20_000, 100_000] {
            let mut h = LinearHash::default();
            h.reserve(reserved);
            grows_and_shrinks(h);
        }
    }

    fn grows_and_shrinks(mut h: LinearHash) {
        let mut rows = Rows(vec![(0, 0)]);
        for i in 1..50_000u32 {
            rows.0.push((sequential_hash(u64::from(i) * 7), NIL));
            h.insert(&mut rows, i);
        }
        assert!((1..50_000).all(|i| find(&h, &rows, i)));
        for i in (1..50_000).step_by(3) {
            h.remove(&mut rows, i);
        }
        for i in 1..50_000 {
            assert_eq!(find(&h, &rows, i), (i - 1) % 3 != 0, "row {i}");
        }
        let longest = (0..h.buckets)
            .map(|b| {
                let (mut n, mut at) = (0, h.slot(b));
                while at != NIL {
                    n += 1;
                    at = rows.chain(at);
                }
                n
            })
            .max();
        assert!(longest.unwrap() < 20);
    }
}
