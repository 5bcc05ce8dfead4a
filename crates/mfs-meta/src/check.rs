//! Questions that the live master asks before a change and replay does not: quotas (spec 07 §7.9.3), walks over
//! trees, and the test before a snapshot is removed. Read-only.

use std::collections::HashMap;

use crate::access::{Caller, W, X};
use crate::apply::is_bad_name;
use crate::query::NodeInfo;
use crate::records::{Kind, QuotaRecord};
use crate::rows::TreeStats;
use crate::slots;
use crate::state::{Metadata, eattr};
use crate::status::Status;
use crate::tables::{CHUNK_BITS, CHUNK_HEADER, CHUNK_SIZE, ROOT, last_chunk_bytes};

/// Bits that keep an object from being removed.
const PROTECTED: u8 = eattr::UNDELETABLE | eattr::APPENDONLY | eattr::IMMUTABLE;

/// Whether a directory with figures `held` and this quota refuses `add`. A dimension without an addition never
/// refuses.
fn refuses(quota: &QuotaRecord, held: &TreeStats, add: &TreeStats) -> bool {
    let over = |bit: u8, limit: u64, held: u64, add: u64| {
        quota.flags & bit != 0 && add > 0 && held.saturating_add(add) > limit
    };
    let inodes = (u64::from(held.inodes), u64::from(add.inodes));
    let hard = over(0x10, quota.hard_inodes.into(), inodes.0, inodes.1)
        || over(0x20, quota.hard_length, held.length, add.length)
        || over(0x40, quota.hard_size, held.size, add.size)
        || over(0x80, quota.hard_realsize, held.realsize, add.realsize);
    let soft = quota.exceeded != 0
        && (over(0x01, quota.soft_inodes.into(), inodes.0, inodes.1)
            || over(0x02, quota.soft_length, held.length, add.length)
            || over(0x04, quota.soft_size, held.size, add.size)
            || over(0x08, quota.soft_realsize, held.realsize, add.realsize));
    hard || soft
}

/// Figures to add, with what is taken away at the same time; what is below 0 counts as nothing.
#[derive(Clone, Copy, Default)]
struct Balance {
    inodes: i64,
    length: i128,
    size: i128,
    realsize: i128,
}

impl Balance {
    fn add(&mut self, s: &TreeStats, sign: i8) {
        let sign = i128::from(sign);
        self.inodes += i64::from(s.inodes) * sign as i64;
        self.length += i128::from(s.length) * sign;
        self.size += i128::from(s.size) * sign;
        self.realsize += i128::from(s.realsize) * sign;
    }

    fn join(&mut self, o: &Balance) {
        self.inodes += o.inodes;
        self.length += o.length;
        self.size += o.size;
        self.realsize += o.realsize;
    }

    fn growth(&self) -> TreeStats {
        let wide = |v: i128| u64::try_from(v.max(0)).unwrap_or(u64::MAX);
        TreeStats {
            inodes: u32::try_from(self.inodes.max(0)).unwrap_or(u32::MAX),
            length: wide(self.length),
            size: wide(self.size),
            realsize: wide(self.realsize),
            ..TreeStats::default()
        }
    }
}

impl TreeStats {
    /// What this is more than `before`, dimension by dimension, at least 0.
    #[must_use]
    pub fn growth_since(&self, before: &TreeStats) -> TreeStats {
        let mut balance = Balance::default();
        balance.add(self, 1);
        balance.add(before, -1);
        balance.growth()
    }
}

impl Metadata {
    /// The directory and those above it, the root last. Nothing for what is no directory.
    fn directories_up(&self, dir: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = dir;
        std::iter::from_fn(move || {
            let node = self
                .node(at)
                .filter(|n| at != 0 && n.kind() == Kind::Directory)?;
            let here = at;
            at = if here == ROOT { 0 } else { node.parent() };
            Some(here)
        })
    }

    /// Whether the quota of one directory, if it has one, lets `add` in.
    fn quota_of_allows(&self, dir: u32, add: &TreeStats) -> bool {
        let (Some(quota), Some(node)) = (self.quota(dir), self.node(dir)) else {
            return true;
        };
        !refuses(quota, &node.below(), add)
    }

    /// Whether the quotas of a directory and of all above it let `add` in.
    #[must_use]
    pub fn quota_allows(&self, dir: u32, add: &TreeStats) -> bool {
        self.t.quotas.is_empty()
            || self
                .directories_up(dir)
                .all(|d| self.quota_of_allows(d, add))
    }

    /// As [`Metadata::quota_allows`], for an object that grows: above every one of its names.
    #[must_use]
    pub fn quota_allows_growth(&self, inode: u32, add: &TreeStats) -> bool {
        self.t.quotas.is_empty()
            || self.node(inode).is_none_or(|node| {
                node.names()
                    .all(|(parent, _)| self.quota_allows(parent, add))
            })
    }

    /// Whether the quotas let an object move from one directory to another: those that the new place has and the
    /// old one has not.
    #[must_use]
    pub fn quota_allows_move(&self, from: u32, to: u32, add: &TreeStats) -> bool {
        self.t.quotas.is_empty()
            || self
                .directories_up(to)
                .take_while(|&d| !self.is_at_or_below(from, d))
                .all(|d| self.quota_of_allows(d, add))
    }

    /// Figures that a file-like node would have with another length and the same chunks.
    #[must_use]
    pub fn figures_at_length(&self, inode: u32, length: u64) -> TreeStats {
        match self.t.node(inode) {
            Some(&node) if node.kind().is_file_like() => {
                let mut node = node;
                node.set_length(length);
                self.t.file_figures(&node)
            }
            _ => TreeStats::default(),
        }
    }

    /// What a file grows by when the slots `from..=to` of `source` are appended (`APPEND`, spec 03 §6.7), and
    /// its new length. The range must lie within the source.
    #[must_use]
    pub fn append_growth(&self, inode: u32, source: u32, from: u32, to: u32) -> (TreeStats, u64) {
        let (Some(target), Some(src)) = (self.t.node(inode), self.t.node(source)) else {
            return (TreeStats::default(), 0);
        };
        let padded = target.length().div_ceil(CHUNK_SIZE) << CHUNK_BITS;
        let last = src.length().saturating_sub(1) >> CHUNK_BITS;
        let length = if u64::from(to) == last {
            padded + src.length() - (u64::from(from) << CHUNK_BITS)
        } else {
            padded + (u64::from(to - from) + 1) * CHUNK_SIZE
        };
        let mut size = 0u64;
        let mut at = from;
        while let Some((slot, _)) = slots::next(src, &self.t.lists, at).filter(|&(i, _)| i <= to) {
            size += CHUNK_HEADER
                + if u64::from(slot) == last {
                    last_chunk_bytes(src.length())
                } else {
                    CHUNK_SIZE
                };
            at = slot + 1;
        }
        let mut grown = self
            .figures_at_length(inode, padded)
            .growth_since(&self.figures_at_length(inode, target.length()));
        grown.length = length - target.length();
        grown.size += size;
        grown.realsize += size * u64::from(target.ratio());
        (grown, length)
    }

    /// Whether the quotas allow that the files of a tree which `changes` selects get `copies` copies: real size
    /// grows where there were fewer (spec 07 §7.7.3).
    pub fn quota_allows_copies(
        &self,
        inode: u32,
        recursive: bool,
        copies: u8,
        changes: impl Fn(&NodeInfo<'_>) -> bool,
    ) -> bool {
        if self.t.quotas.is_empty() {
            return true;
        }
        let mut growths: HashMap<u32, u64> = HashMap::new();
        let mut own = 0u64;
        self.visit(inode, recursive, |from, node| {
            if !node.kind().is_file_like() || !changes(&node) {
                return;
            }
            let figures = node.figures();
            let grown = (figures.size * u64::from(copies)).saturating_sub(figures.realsize);
            if from == 0 {
                own = grown;
            } else if grown > 0 {
                *growths.entry(from).or_default() += grown;
            }
        });
        let add = |realsize| TreeStats {
            realsize,
            ..TreeStats::default()
        };
        if own > 0 {
            return self.quota_allows_growth(inode, &add(own));
        }
        self.quotas().all(|(dir, _)| {
            let here = growths
                .iter()
                .filter(|&(&parent, _)| self.is_at_or_below(parent, dir))
                .fold(0u64, |sum, (_, grown)| sum.saturating_add(*grown));
            here == 0 || self.quota_of_allows(dir, &add(here))
        })
    }

    /// Whether the quotas let a snapshot of `src` appear as `name` in `parent`: what is new there less what it
    /// replaces, for each directory that exists there already and for those above (spec 07 §7.10.2). A directory
    /// that is merged into is not new; the original counts it as one more inode in itself, and refuses what fits.
    #[must_use]
    pub fn quota_allows_snapshot(&self, src: u32, parent: u32, name: &[u8]) -> bool {
        if self.t.quotas.is_empty() {
            return true;
        }
        let mut balances: HashMap<u32, Balance> = HashMap::new();
        let mut pairs = vec![(src, self.lookup(parent, name), parent)];
        while let Some((source, target, dir)) = pairs.pop() {
            let Some(from) = self.node(source) else {
                continue;
            };
            let Some(to) = target.and_then(|t| self.node(t)) else {
                balances.entry(dir).or_default().add(&from.figures(), 1);
                continue;
            };
            if from.kind() == Kind::Directory {
                for child in self.children(source) {
                    pairs.push((child.inode, self.lookup(to.inode, child.name), to.inode));
                }
                continue;
            }
            let balance = balances.entry(dir).or_default();
            balance.add(&from.figures(), 1);
            balance.add(&to.figures(), -1);
        }
        self.quotas().all(|(quota_dir, _)| {
            let mut sum = Balance::default();
            for (&dir, balance) in &balances {
                if self.is_at_or_below(dir, quota_dir) {
                    sum.join(balance);
                }
            }
            self.quota_of_allows(quota_dir, &sum.growth())
        })
    }

    /// Tests that everything under a name is an unprotected part of a snapshot that `caller` may remove, as
    /// removal without force demands (spec 07 §7.10.4).
    ///
    /// # Errors
    /// EPERM for an object that may not go, EACCES for a directory that the caller may not empty, ENOENT and
    /// EINVAL for the name.
    pub fn check_snapshot_removal(
        &self,
        parent: u32,
        name: &[u8],
        caller: &Caller<'_>,
    ) -> Result<(), Status> {
        let dir = self.node(parent).ok_or(Status::Enoent)?;
        if dir.eattr() & (eattr::APPENDONLY | eattr::IMMUTABLE) != 0 {
            return Err(Status::Eperm);
        }
        if is_bad_name(name) {
            return Err(Status::Einval);
        }
        let top = self.lookup(parent, name).ok_or(Status::Enoent)?;
        // A directory is asked for its rights before what is in it, and for its flags behind that: which of two
        // faults is told depends on it.
        let mut stack = vec![(top, false)];
        while let Some((inode, is_walked)) = stack.pop() {
            let node = self.node(inode).ok_or(Status::Enoent)?;
            if is_walked || node.kind() != Kind::Directory {
                if node.eattr() & eattr::SNAPSHOT == 0 || node.eattr() & PROTECTED != 0 {
                    return Err(Status::Eperm);
                }
            } else {
                if !self.may(inode, caller, W | X) {
                    return Err(Status::Eacces);
                }
                stack.push((inode, true));
                let first = stack.len();
                stack.extend(self.children(inode).map(|child| (child.inode, false)));
                // The next is taken from the end.
                stack[first..].reverse();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Op, QuotaArgs};
    use crate::testing::make;

    fn quota(m: &mut Metadata, inode: u32, flags: u8, inodes: u32, length: u64, exceeded: u8) {
        let args = QuotaArgs {
            inode,
            exceeded,
            flags,
            since: 0,
            sinodes: inodes,
            hinodes: inodes,
            slength: length,
            hlength: length,
            ssize: 0,
            hsize: 0,
            srealsize: 0,
            hrealsize: 0,
            grace: 0,
        };
        m.apply(10, &Op::Quota(Box::new(args))).unwrap();
    }

    fn inodes(inodes: u32) -> TreeStats {
        TreeStats {
            inodes,
            ..TreeStats::default()
        }
    }

    #[test]
    fn hard_limits_hold_for_every_directory_above() {
        let mut m = Metadata::new(1, 1);
        let a = make(&mut m, 1, "a", 2);
        let b = make(&mut m, a, "b", 2);
        quota(&mut m, a, 0x10, 2, 0, 0);
        assert!(m.quota_allows(b, &inodes(1)));
        assert!(!m.quota_allows(b, &inodes(2)));
        assert!(m.quota_allows(1, &inodes(100)));
        // No addition in the limited dimension.
        quota(&mut m, a, 0x10, 0, 0, 0);
        let length = TreeStats {
            length: 1,
            ..TreeStats::default()
        };
        assert!(m.quota_allows(b, &length));
        assert!(!m.quota_allows(b, &inodes(1)));
    }

    #[test]
    fn soft_limits_count_once_they_are_exceeded() {
        let mut m = Metadata::new(1, 1);
        let a = make(&mut m, 1, "a", 2);
        quota(&mut m, a, 0x01, 0, 0, 0);
        assert!(m.quota_allows(a, &inodes(1)));
        quota(&mut m, a, 0x01, 0, 0, 1);
        assert!(!m.quota_allows(a, &inodes(1)));
    }

    #[test]
    fn moves_are_tested_where_the_new_place_is_below_and_the_old_is_not() {
        let mut m = Metadata::new(1, 1);
        let a = make(&mut m, 1, "a", 2);
        let b = make(&mut m, a, "b", 2);
        let c = make(&mut m, a, "c", 2);
        quota(&mut m, a, 0x10, 2, 0, 0);
        quota(&mut m, c, 0x10, 5, 0, 0);
        // Full above both: the move inside stays free, also with a quota below.
        assert!(m.quota_allows_move(b, c, &inodes(1)));
        assert!(!m.quota_allows_move(b, c, &inodes(6)));
        assert!(!m.quota_allows_move(1, c, &inodes(1)));
        assert!(m.quota_allows_move(c, 1, &inodes(9)));
    }

    #[test]
    fn a_directory_that_a_snapshot_finds_is_no_new_inode() {
        let mut m = Metadata::new(1, 1);
        let (source, target) = (make(&mut m, 1, "s", 2), make(&mut m, 1, "t", 2));
        // The original counts the directory itself as new in it, and refuses this.
        quota(&mut m, target, 0x10, 0, 0, 0);
        assert!(m.quota_allows_snapshot(source, 1, b"t"));
        for (dir, name) in [(source, "old"), (source, "new"), (target, "old")] {
            make(&mut m, dir, name, 1);
        }
        quota(&mut m, target, 0x10, 1, 0, 0);
        assert!(!m.quota_allows_snapshot(source, 1, b"t"));
        quota(&mut m, target, 0x10, 2, 0, 0);
        assert!(m.quota_allows_snapshot(source, 1, b"t"));
        // In another directory it is one, with all that is in it.
        quota(&mut m, target, 0x10, 3, 0, 0);
        assert!(!m.quota_allows_snapshot(source, target, b"x"));
        quota(&mut m, target, 0x10, 4, 0, 0);
        assert!(m.quota_allows_snapshot(source, target, b"x"));
    }

    #[test]
    fn every_name_of_a_growing_file_counts() {
        let mut m = Metadata::new(1, 1);
        let a = make(&mut m, 1, "a", 2);
        let f = make(&mut m, 1, "f", 1);
        let link = Op::Link {
            inode: f,
            parent: a,
            name: b"g"[..].into(),
        };
        m.apply(11, &link).unwrap();
        quota(&mut m, a, 0x20, 0, 100, 0);
        let grown = |n| {
            m.figures_at_length(f, n)
                .growth_since(&m.figures_at_length(f, 0))
        };
        assert!(m.quota_allows_growth(f, &grown(100)));
        assert!(!m.quota_allows_growth(f, &grown(101)));
    }

    #[test]
    fn figures_of_an_append_are_those_after_it() {
        let mut m = Metadata::new(1, 1);
        let (f, g) = (make(&mut m, 1, "f", 1), make(&mut m, 1, "g", 1));
        for index in [0, 1, 3] {
            let op = Op::Write {
                inode: g,
                index,
                opflag: true,
                canmod: false,
            };
            m.apply(12, &op).unwrap();
        }
        let length = 3 * CHUNK_SIZE + 70_000;
        for (inode, length) in [(g, length), (f, 5)] {
            let op = Op::Length {
                inode,
                length,
                canmod: false,
            };
            m.apply(12, &op).unwrap();
        }
        for (from, to) in [(0, 3), (1, 2), (3, 3), (0, 0)] {
            let before = m.node(f).unwrap().figures();
            let (grown, new_length) = m.append_growth(f, g, from, to);
            let op = Op::Append {
                inode: f,
                source: g,
                from,
                to,
            };
            m.apply(13, &op).unwrap();
            let node = m.node(f).unwrap();
            assert_eq!(node.length(), new_length);
            let after = node.figures().growth_since(&before);
            assert_eq!(
                (grown.length, grown.size, grown.realsize),
                (after.length, after.size, after.realsize)
            );
        }
    }

    #[test]
    fn removal_of_a_snapshot_tells_of_the_fault_that_is_met_first() {
        let caller = Caller {
            uid: 1000,
            gids: &[1000],
            sesflags: 0,
        };
        let mut m = Metadata::new(1, 1);
        let top = make(&mut m, 1, "top", 2);
        let set = |m: &mut Metadata, inode, eattr| {
            let op = Op::SetEattr {
                inode,
                uid: 0,
                eattr,
                smode: 0,
            };
            m.apply(11, &op).unwrap();
        };
        let open_to_all = |m: &mut Metadata, inode, mode| {
            let op = Op::Attr {
                inode,
                mode,
                uid: 0,
                gid: 0,
                atime: 1,
                mtime: 1,
                winattr: 0,
                aclmode: 0,
            };
            m.apply(11, &op).unwrap();
        };
        let check = |m: &Metadata| m.check_snapshot_removal(1, b"top", &caller);
        let plain = make(&mut m, top, "plain", 1);
        // Its rights come before what is in it.
        assert_eq!(check(&m), Err(Status::Eacces));
        open_to_all(&mut m, top, 0o777);
        assert_eq!(check(&m), Err(Status::Eperm));
        // Newer entries come first, and what is in a directory before its own flags.
        let closed = make(&mut m, top, "closed", 2);
        assert_eq!(check(&m), Err(Status::Eacces));
        set(&mut m, closed, eattr::SNAPSHOT);
        open_to_all(&mut m, closed, 0o777);
        assert_eq!(check(&m), Err(Status::Eperm));
        set(&mut m, plain, eattr::SNAPSHOT);
        assert_eq!(check(&m), Err(Status::Eperm), "the top is no snapshot");
        set(&mut m, top, eattr::SNAPSHOT);
        assert_eq!(check(&m), Ok(()));
        set(&mut m, plain, eattr::SNAPSHOT | eattr::IMMUTABLE);
        assert_eq!(check(&m), Err(Status::Eperm));
    }
}
