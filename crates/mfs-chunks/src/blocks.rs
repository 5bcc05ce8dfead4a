//! Blocks of a few sizes for lists that do not fit into a row.

/// Capacities of blocks.
pub(crate) const CAPACITIES: [usize; 13] = [4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256];
const BLOCKS_PER_PAGE: usize = 256;

/// No block.
const NONE: u16 = u16::MAX;

/// Blocks of one size. A page that holds nothing any more is given back, for when one server after the other
/// registers, all chunks grow out of their blocks.
struct BlockPage {
    words: Box<[u32]>,
    used: u16,
    /// First of the unused blocks; each has the next in its first word.
    free: u16,
}

#[derive(Default)]
pub(crate) struct Blocks {
    pages: Vec<BlockPage>,
    /// Pages with unused blocks; may name others, too.
    open: Vec<u32>,
    /// Pages that were given back.
    empty: Vec<u32>,
}

impl Blocks {
    pub(crate) fn take(&mut self, capacity: usize) -> u32 {
        while let Some(&at) = self.open.last() {
            let page = &mut self.pages[at as usize];
            if !page.words.is_empty() && page.free != NONE {
                let block = page.free;
                page.free = page.words[usize::from(block) * capacity] as u16;
                page.used += 1;
                return at * BLOCKS_PER_PAGE as u32 + u32::from(block);
            }
            self.open.pop();
        }
        let mut words = vec![0; capacity * BLOCKS_PER_PAGE].into_boxed_slice();
        for block in 1..BLOCKS_PER_PAGE {
            let next = (block + 1) % BLOCKS_PER_PAGE;
            words[block * capacity] = if next == 0 {
                u32::from(NONE)
            } else {
                next as u32
            };
        }
        let page = BlockPage {
            words,
            used: 1,
            free: 1,
        };
        let at = match self.empty.pop() {
            Some(at) => {
                self.pages[at as usize] = page;
                at
            }
            None => {
                self.pages.push(page);
                (self.pages.len() - 1) as u32
            }
        };
        self.open.push(at);
        at * BLOCKS_PER_PAGE as u32
    }

    pub(crate) fn release(&mut self, block: u32, capacity: usize) {
        let at = block / BLOCKS_PER_PAGE as u32;
        let block = block as usize % BLOCKS_PER_PAGE;
        let page = &mut self.pages[at as usize];
        page.words[block * capacity] = u32::from(page.free);
        if page.free == NONE {
            self.open.push(at);
        }
        page.free = block as u16;
        page.used -= 1;
        if page.used == 0 {
            page.words = Box::default();
            self.empty.push(at);
        }
    }

    pub(crate) fn get(&self, block: u32, capacity: usize) -> &[u32] {
        let at = block as usize % BLOCKS_PER_PAGE * capacity;
        &self.pages[block as usize / BLOCKS_PER_PAGE].words[at..at + capacity]
    }

    pub(crate) fn get_mut(&mut self, block: u32, capacity: usize) -> &mut [u32] {
        let at = block as usize % BLOCKS_PER_PAGE * capacity;
        &mut self.pages[block as usize / BLOCKS_PER_PAGE].words[at..at + capacity]
    }

    pub(crate) fn bytes(&self) -> usize {
        let words: usize = self.pages.iter().map(|p| p.words.len() * 4).sum();
        words
            + self.pages.capacity() * size_of::<BlockPage>()
            + (self.open.capacity() + self.empty.capacity()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_used_again_and_empty_pages_given_back() {
        let mut b = Blocks::default();
        let taken: Vec<u32> = (0..3 * BLOCKS_PER_PAGE).map(|_| b.take(4)).collect();
        for (i, &block) in taken.iter().enumerate() {
            b.get_mut(block, 4).fill(i as u32);
        }
        for (i, &block) in taken.iter().enumerate() {
            assert_eq!(b.get(block, 4), [i as u32; 4]);
        }
        let full = b.bytes();
        for &block in &taken[..2 * BLOCKS_PER_PAGE] {
            b.release(block, 4);
        }
        assert!(b.bytes() < full / 2);
        let again: Vec<u32> = (0..2 * BLOCKS_PER_PAGE).map(|_| b.take(4)).collect();
        let all: std::collections::HashSet<u32> = again
            .iter()
            .chain(&taken[2 * BLOCKS_PER_PAGE..])
            .copied()
            .collect();
        assert_eq!(all.len(), taken.len());
    }
}
