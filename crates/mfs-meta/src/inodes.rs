//! Inode numbers: which are used, and the queue of those that wait for reuse (spec 03 §5 B1, B2; spec 07
//! §7.15).

use imbl::Vector;

const BLOCK_WORDS: usize = 64;
const BLOCK_BITS: u32 = BLOCK_WORDS as u32 * 64;

/// Set of used inode numbers with "smallest free" as its main question. Blocks of 4096 numbers are
/// allocated where a number is used, so a hostile image with far numbers costs 512 bytes for each.
/// Derived from nodes and the freed queue: not part of snapshots.
#[derive(Default)]
pub(crate) struct UsedInodes {
    blocks: Vec<Option<Box<[u64; BLOCK_WORDS]>>>,
    /// No free number lies in a block before this one.
    hint: usize,
}

impl UsedInodes {
    pub(crate) fn set(&mut self, inode: u32) {
        let b = (inode / BLOCK_BITS) as usize;
        if b >= self.blocks.len() {
            self.blocks.resize_with(b + 1, || None);
        }
        let block = self.blocks[b].get_or_insert_with(|| Box::new([0; BLOCK_WORDS]));
        block[(inode % BLOCK_BITS / 64) as usize] |= 1 << (inode % 64);
    }

    /// Makes a number free; 0 stays used.
    pub(crate) fn clear(&mut self, inode: u32) {
        if inode == 0 {
            return;
        }
        let b = (inode / BLOCK_BITS) as usize;
        if let Some(Some(block)) = self.blocks.get_mut(b) {
            block[(inode % BLOCK_BITS / 64) as usize] &= !(1 << (inode % 64));
            self.hint = self.hint.min(b);
        }
    }

    /// True when the number is used.
    pub(crate) fn contains(&self, inode: u32) -> bool {
        match self.blocks.get((inode / BLOCK_BITS) as usize) {
            Some(Some(block)) => block[(inode % BLOCK_BITS / 64) as usize] >> (inode % 64) & 1 != 0,
            _ => false,
        }
    }

    /// How many numbers are used.
    pub(crate) fn count(&self) -> usize {
        let words = self.blocks.iter().flatten().flat_map(|block| block.iter());
        words.map(|w| w.count_ones() as usize).sum()
    }

    /// Takes the smallest free number (never 0); `None` when all 2^32 are used.
    pub(crate) fn take_smallest(&mut self) -> Option<u32> {
        let inode = self.smallest()?;
        self.set(inode);
        Some(inode)
    }

    fn smallest(&mut self) -> Option<u32> {
        while self.hint < (u32::MAX / BLOCK_BITS) as usize + 1 {
            match self.blocks.get(self.hint) {
                Some(Some(block)) => {
                    if let Some(w) = block.iter().position(|&w| w != u64::MAX) {
                        return Some(
                            self.hint as u32 * BLOCK_BITS
                                + w as u32 * 64
                                + block[w].trailing_ones(),
                        );
                    }
                    self.hint += 1;
                }
                _ => return Some(self.hint as u32 * BLOCK_BITS),
            }
        }
        None
    }
}

/// Freed inode numbers with the time of their removal, oldest first; times never descend.
#[derive(Clone, Default)]
pub(crate) struct FreeQueue {
    queue: Vector<(u32, u32)>,
}

impl FreeQueue {
    /// Lowers later times to `ts` when the clock went back (spec 03 §5 B2).
    fn lower(&mut self, ts: u32) {
        let mut i = self.queue.len();
        while i > 0 && self.queue.get(i - 1).is_some_and(|e| e.1 > ts) {
            i -= 1;
            if let Some(e) = self.queue.get_mut(i) {
                e.1 = ts;
            }
        }
    }

    pub(crate) fn push(&mut self, inode: u32, ts: u32) {
        self.lower(ts);
        self.queue.push_back((inode, ts));
    }

    /// Appends an entry of an image as it stands.
    pub(crate) fn restore(&mut self, inode: u32, ftime: u32) {
        self.queue.push_back((inode, ftime));
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.queue.iter().copied()
    }

    /// True when the oldest entry is due (`FREEINODES` would do something).
    pub(crate) fn due(&self, ts: u32, delay: u32) -> bool {
        self.queue
            .front()
            .is_some_and(|e| e.1.min(ts).wrapping_add(delay) < ts)
    }

    /// The entries that [`FreeQueue::expire`] takes off the front at `ts`.
    pub(crate) fn due_numbers(&self, ts: u32, delay: u32) -> impl Iterator<Item = u32> + '_ {
        self.queue
            .iter()
            .take_while(move |e| e.1.min(ts).wrapping_add(delay) < ts)
            .map(|e| e.0)
    }

    /// The `FREEINODES` walk: due entries leave; those that `keep` wants go to the end with time `ts`.
    /// Returns the freed and the kept ones.
    pub(crate) fn expire(
        &mut self,
        ts: u32,
        delay: u32,
        mut keep: impl FnMut(u32) -> bool,
    ) -> (Vec<u32>, Vec<u32>) {
        self.lower(ts);
        let (mut freed, mut kept) = (Vec::new(), Vec::new());
        while let Some(&(inode, ftime)) = self.queue.front() {
            if ftime.wrapping_add(delay) >= ts {
                break;
            }
            self.queue.pop_front();
            if keep(inode) {
                self.queue.push_back((inode, ts));
                kept.push(inode);
            } else {
                freed.push(inode);
            }
            // An entry put back with time ts is due again only when the 32-bit sum wraps; never meet it
            // twice in one walk.
            if kept.len() == self.queue.len() {
                break;
            }
        }
        (freed, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_free_first() {
        let mut u = UsedInodes::default();
        u.set(0);
        for i in 1..10_000 {
            assert_eq!(u.take_smallest(), Some(i));
        }
        u.clear(4100);
        u.clear(77);
        u.set(4_294_967_295);
        assert!(u.contains(4_294_967_295) && !u.contains(77));
        assert_eq!(u.take_smallest(), Some(77));
        assert_eq!(u.take_smallest(), Some(4100));
        assert_eq!(u.take_smallest(), Some(10_000));
    }

    #[test]
    fn queue_lowers_and_requeues() {
        let mut q = FreeQueue::default();
        q.push(5, 100);
        q.push(6, 200);
        q.push(7, 150);
        assert_eq!(q.iter().collect::<Vec<_>>(), [(5, 100), (6, 150), (7, 150)]);
        let (freed, kept) = q.expire(400, 200, |i| i == 6);
        assert_eq!((freed, kept), (vec![5, 7], vec![6]));
        assert_eq!(q.iter().collect::<Vec<_>>(), [(6, 400)]);
    }
}
