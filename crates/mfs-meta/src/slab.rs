//! Byte strings of many lengths in pages of equal cells: names, trash paths, symlink targets.
//!
//! A string is known by its length, which its owner keeps, and a cell number. The length decides the size
//! class, so a name costs its bytes rounded up to four and nothing else. Pages are shared with snapshots.

use triomphe::Arc;

/// Longest string that fits, bytes: the longest symlink target (spec 02 §1).
pub(crate) const MAX_BYTES: usize = 4096;
const PAGE: usize = 32 * 1024;

#[derive(Clone)]
struct Class {
    /// Bytes of a cell.
    cell: usize,
    /// Cells in a page.
    per_page: u32,
    /// 2^64 / `per_page`, rounded up: a multiplication by it divides any cell number exactly.
    inverse: u64,
    pages: Vec<Arc<[u8; PAGE]>>,
    free: u32,
    top: u32,
}

/// The pages of all size classes.
#[derive(Clone)]
pub(crate) struct ByteSlab {
    classes: Vec<Class>,
}

/// No free cell.
const NONE: u32 = u32::MAX;

/// Class number and cell size of a length. Steps: 4 bytes to 64, 16 to 256, 128 to 1024, 1024 to 4096.
fn class_of(len: usize) -> (usize, usize) {
    match len {
        0..=64 => {
            let n = len.div_ceil(4).max(1);
            (n - 1, n * 4)
        }
        65..=256 => {
            let n = (len - 64).div_ceil(16);
            (15 + n, 64 + n * 16)
        }
        257..=1024 => {
            let n = (len - 256).div_ceil(128);
            (27 + n, 256 + n * 128)
        }
        _ => {
            let n = (len - 1024).div_ceil(1024);
            (33 + n, 1024 + n * 1024)
        }
    }
}

const CLASSES: usize = 37;

impl Default for ByteSlab {
    fn default() -> Self {
        let mut cells = [0; CLASSES];
        for len in 0..=MAX_BYTES {
            let (class, cell) = class_of(len);
            cells[class] = cell;
        }
        let classes = cells.into_iter().map(Class::new).collect();
        ByteSlab { classes }
    }
}

impl Class {
    fn new(cell: usize) -> Class {
        let per_page = (PAGE / cell) as u32;
        Class {
            cell,
            per_page,
            inverse: u64::MAX / u64::from(per_page) + 1,
            pages: Vec::new(),
            free: NONE,
            top: 0,
        }
    }

    /// Number of the page that holds a cell, and where in it.
    #[inline]
    fn place(&self, cell: u32) -> (usize, usize) {
        let page = ((u128::from(self.inverse) * u128::from(cell)) >> 64) as u32;
        let at = cell - page * self.per_page;
        (page as usize, at as usize * self.cell)
    }
}

impl ByteSlab {
    /// Stores `bytes` (at most [`MAX_BYTES`], what is longer is cut) and returns the cell.
    pub(crate) fn insert(&mut self, bytes: &[u8]) -> u32 {
        debug_assert!(bytes.len() <= MAX_BYTES);
        let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
        let class = &mut self.classes[class_of(bytes.len()).0];
        let reused = class.free != NONE;
        let cell = if reused { class.free } else { class.top };
        let (page, at) = class.place(cell);
        if page == class.pages.len() {
            class.pages.push(Arc::new([0; PAGE]));
        }
        let page = Arc::make_mut(&mut class.pages[page]);
        if reused {
            let link = &page[at..at + 4];
            class.free = u32::from_le_bytes([link[0], link[1], link[2], link[3]]);
        } else {
            class.top += 1;
        }
        page[at..at + bytes.len()].copy_from_slice(bytes);
        cell
    }

    /// Gives a cell back; `len` is the length it was stored with.
    pub(crate) fn remove(&mut self, len: usize, cell: u32) {
        let class = &mut self.classes[class_of(len.min(MAX_BYTES)).0];
        let (page, at) = class.place(cell);
        Arc::make_mut(&mut class.pages[page])[at..at + 4]
            .copy_from_slice(&class.free.to_le_bytes());
        class.free = cell;
    }

    /// The string of `len` bytes in a cell.
    #[inline]
    pub(crate) fn get(&self, len: usize, cell: u32) -> &[u8] {
        let class = &self.classes[class_of(len.min(MAX_BYTES)).0];
        let (page, at) = class.place(cell);
        &class.pages[page][at..at + len]
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.classes.iter().map(|c| c.pages.len() * PAGE).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_dense_and_large_enough() {
        let mut last = 0;
        for len in 0..=MAX_BYTES {
            let (class, cell) = class_of(len);
            assert!(cell >= len && cell >= 4);
            assert!(class == last || class == last + 1);
            last = class;
        }
        assert_eq!(last + 1, CLASSES);
    }

    proptest::proptest! {
        #[test]
        fn finds_the_page_of_a_cell(len in 0..=MAX_BYTES, cell in 0..=u32::MAX) {
            let class = Class::new(class_of(len).1);
            let per_page = PAGE / class.cell;
            for cell in [cell, u32::MAX - cell % 8, cell - cell % class.per_page] {
                let at = cell as usize;
                let expected = (at / per_page, at % per_page * class.cell);
                proptest::prop_assert_eq!(class.place(cell), expected);
            }
        }

        #[test]
        fn keeps_strings(ops in proptest::collection::vec((0usize..1500, proptest::bool::ANY), 1..300)) {
            let mut slab = ByteSlab::default();
            let mut held: Vec<(Vec<u8>, u32)> = Vec::new();
            for (n, (len, remove)) in ops.into_iter().enumerate() {
                if remove && !held.is_empty() {
                    let (s, cell) = held.swap_remove(n % held.len());
                    slab.remove(s.len(), cell);
                } else {
                    let s: Vec<u8> = (0..len).map(|i| (i * 31 + n) as u8).collect();
                    let cell = slab.insert(&s);
                    held.push((s, cell));
                }
            }
            let snap = slab.clone();
            for (s, cell) in &held {
                slab.remove(s.len(), *cell);
            }
            for (s, cell) in &held {
                proptest::prop_assert_eq!(snap.get(s.len(), *cell), &s[..]);
            }
        }
    }
}
