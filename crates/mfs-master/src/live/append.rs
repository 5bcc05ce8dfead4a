//! Ends of files that appending clients have reserved (spec 07 §7.13.2). In memory only.

use std::collections::HashMap;

/// For each inode the end of what is promised to appending clients and not written yet. A promise that the file
/// has grown to is worth nothing and forgotten, so this holds what is being appended at the moment.
#[derive(Default)]
pub struct Reservations {
    ends: HashMap<u32, u64>,
}

impl Reservations {
    /// The place where the next append begins: the end of the file, or of what is promised beyond it.
    #[must_use]
    pub fn end(&self, inode: u32, length: u64) -> u64 {
        self.ends.get(&inode).map_or(length, |&end| end.max(length))
    }

    /// Promises everything up to `end`.
    pub fn reserve(&mut self, inode: u32, end: u64) {
        self.ends.insert(inode, end);
    }

    /// The file has this length now; a promise that ends beyond it stays.
    pub fn reached(&mut self, inode: u32, length: u64) {
        if self.ends.get(&inode).is_some_and(|&end| end <= length) {
            self.ends.remove(&inode);
        }
    }

    /// Forgets the promises of a file: it was truncated, or nobody has it open any more.
    pub fn forget(&mut self, inode: u32) {
        self.ends.remove(&inode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_follow_each_other_until_the_file_has_grown() {
        let mut r = Reservations::default();
        assert_eq!(r.end(7, 5), 5);
        r.reserve(7, 14);
        assert_eq!(r.end(7, 5), 14);
        r.reserve(7, 24);
        r.reached(7, 14);
        assert_eq!(
            r.end(7, 14),
            24,
            "an update keeps what is promised beyond it"
        );
        r.reached(7, 24);
        assert!(r.ends.is_empty());
        r.reserve(7, 30);
        r.forget(7);
        assert_eq!(r.end(7, 24), 24);
    }
}
