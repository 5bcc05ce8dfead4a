//! Held advisory locks (spec 03 §6.12, spec 07 §7.12). Waiting requests are the live master's matter.

use crate::op::{LockCmd, Op, Outcome, Tolerance};
use crate::state::Metadata;
use crate::status::Status;
use crate::tables::{Flock, PosixOwner, PosixRange};

/// A POSIX lock that was granted although another owner holds a conflicting range: legal only while nothing
/// but lock lines follow, up to the line that drops the old lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingConflict {
    inode: u32,
    session: u32,
    owner: u64,
    range: PosixRange,
}

fn overlap(a: &PosixRange, start: u64, end: u64) -> bool {
    a.start < end && start < a.end
}

/// Lays `new` (or, without a type, a hole) over the ranges of one owner: splits, replaces and joins as POSIX
/// says.
fn lay(ranges: &mut Vec<PosixRange>, start: u64, end: u64, write: Option<bool>) {
    let mut out: Vec<PosixRange> = Vec::with_capacity(ranges.len() + 2);
    for r in ranges.iter() {
        if r.start < start {
            out.push(PosixRange {
                end: r.end.min(start),
                ..*r
            });
        }
        if r.end > end {
            out.push(PosixRange {
                start: r.start.max(end),
                ..*r
            });
        }
    }
    if let Some(write) = write {
        out.push(PosixRange { start, end, write });
    }
    out.sort_by_key(|r| r.start);
    ranges.clear();
    for r in out {
        match ranges.last_mut() {
            Some(last) if last.end == r.start && last.write == r.write => last.end = r.end,
            _ => ranges.push(r),
        }
    }
}

impl Metadata {
    /// Flocks held on an inode, newest first.
    pub fn flocks(&self, inode: u32) -> &[Flock] {
        self.t.flocks.get(&inode).map_or(&[], |l| l)
    }

    /// POSIX locks held on an inode, owners in the order of their first lock.
    pub fn posix_locks(&self, inode: u32) -> &[PosixOwner] {
        self.t.posix.get(&inode).map_or(&[], |l| l)
    }

    /// The first held range of another owner that conflicts with a lock of this kind.
    pub fn posix_conflict(
        &self,
        inode: u32,
        session: u32,
        owner: u64,
        start: u64,
        end: u64,
        write: bool,
    ) -> Option<(&PosixOwner, PosixRange)> {
        self.posix_conflicts(inode, session, owner, start, end, write)
            .next()
    }

    fn posix_conflicts(
        &self,
        inode: u32,
        session: u32,
        owner: u64,
        start: u64,
        end: u64,
        write: bool,
    ) -> impl Iterator<Item = (&PosixOwner, PosixRange)> {
        self.posix_locks(inode)
            .iter()
            .filter(move |o| (o.session, o.owner) != (session, owner))
            .flat_map(|o| o.ranges.iter().map(move |r| (o, *r)))
            .filter(move |(_, r)| overlap(r, start, end) && (write || r.write))
    }

    pub(crate) fn op_flock(
        &mut self,
        inode: u32,
        session: u32,
        owner: u64,
        cmd: LockCmd,
    ) -> Result<Outcome, Status> {
        let exclusive = match cmd {
            LockCmd::Invalid(_) => return Err(Status::Einval),
            LockCmd::Unlock => return self.flock_unlock(inode, session, owner),
            LockCmd::Shared => false,
            LockCmd::Exclusive => true,
        };
        let held = self.flocks(inode);
        if held.iter().any(|l| exclusive || l.exclusive) {
            // A shared lock that meets one exclusive lock of somebody else proves that the holder's lock was
            // made shared by a conversion that originals do not log (spec 03 §9.2).
            let converted = self.tolerance == Tolerance::Original
                && !exclusive
                && held.len() == 1
                && (held[0].session, held[0].owner) != (session, owner);
            if !converted {
                return Err(Status::Mismatch);
            }
        }
        let list = self.t.flocks.entry(inode).or_default();
        for lock in list.iter_mut() {
            lock.exclusive = false;
        }
        list.insert(
            0,
            Flock {
                session,
                owner,
                exclusive,
            },
        );
        Ok(Outcome::None)
    }

    fn flock_unlock(&mut self, inode: u32, session: u32, owner: u64) -> Result<Outcome, Status> {
        let list = self.t.flocks.get_mut(&inode).ok_or(Status::Mismatch)?;
        if !list
            .iter()
            .any(|l| (l.session, l.owner) == (session, owner))
        {
            return Err(Status::Mismatch);
        }
        list.retain(|l| (l.session, l.owner) != (session, owner));
        if list.is_empty() {
            self.t.flocks.remove(&inode);
        }
        Ok(Outcome::None)
    }

    #[expect(clippy::too_many_arguments, reason = "the arguments of the line")]
    pub(crate) fn op_posix_lock(
        &mut self,
        inode: u32,
        session: u32,
        owner: u64,
        cmd: LockCmd,
        start: u64,
        end: u64,
        pid: u32,
    ) -> Result<Outcome, Status> {
        let write = match cmd {
            LockCmd::Invalid(_) => return Err(Status::Einval),
            LockCmd::Unlock => None,
            LockCmd::Shared => Some(false),
            LockCmd::Exclusive => Some(true),
        };
        if start >= end {
            // Would make the image unloadable (spec 02 §25): such a line has no effect.
            return Ok(Outcome::None);
        }
        if let Some(write) = write {
            let conflicts: Vec<PendingConflict> = self
                .posix_conflicts(inode, session, owner, start, end, write)
                .map(|(o, range)| PendingConflict {
                    inode,
                    session: o.session,
                    owner: o.owner,
                    range,
                })
                .collect();
            if !conflicts.is_empty() {
                if self.tolerance != Tolerance::Original {
                    return Err(Status::Mismatch);
                }
                self.pending_conflicts.extend(conflicts);
            }
        }
        if write.is_none() && !self.t.posix.contains_key(&inode) {
            return Ok(Outcome::None);
        }
        let list = self.t.posix.entry(inode).or_default();
        match list
            .iter_mut()
            .position(|o| (o.session, o.owner) == (session, owner))
        {
            Some(i) => {
                lay(&mut list[i].ranges, start, end, write);
                if list[i].ranges.is_empty() {
                    list.remove(i);
                }
            }
            None => {
                if let Some(write) = write {
                    list.push(PosixOwner {
                        session,
                        owner,
                        pid,
                        ranges: vec![PosixRange { start, end, write }],
                    });
                }
            }
        }
        if list.is_empty() {
            self.t.posix.remove(&inode);
        }
        Ok(Outcome::None)
    }

    /// Drops the locks of a session on an inode that it no longer has open.
    pub(crate) fn drop_locks(&mut self, session: u32, inode: u32) {
        if let Some(list) = self.t.flocks.get_mut(&inode) {
            list.retain(|l| l.session != session);
            if list.is_empty() {
                self.t.flocks.remove(&inode);
            }
        }
        if let Some(list) = self.t.posix.get_mut(&inode) {
            list.retain(|o| o.session != session);
            if list.is_empty() {
                self.t.posix.remove(&inode);
            }
        }
    }

    /// While a conflict is pending only lock lines and the line that resolves it may come (spec 03 §9.2).
    pub(crate) fn check_pending_conflicts(&self, op: &Op<'_>) -> Result<(), Status> {
        let fits = || {
            matches!(
                op,
                Op::Flock { .. } | Op::PosixLock { .. } | Op::Release { .. } | Op::SesDel { .. }
            )
        };
        if self.pending_conflicts.is_empty() || fits() {
            Ok(())
        } else {
            Err(Status::Mismatch)
        }
    }

    /// To be called when a replay has come to its end.
    ///
    /// # Errors
    /// MISMATCH when a POSIX lock was granted against another owner's and the line that drops that one never
    /// came (spec 03 §9.2).
    pub fn end_replay(&self) -> Result<(), Status> {
        if self.pending_conflicts.is_empty() {
            Ok(())
        } else {
            Err(Status::Mismatch)
        }
    }

    /// Called when locks were dropped: every pending conflict must be gone.
    pub(crate) fn resolve_pending_conflicts(&mut self) -> Result<(), Status> {
        let pending = std::mem::take(&mut self.pending_conflicts);
        let still_held = |p: &PendingConflict| {
            self.posix_locks(p.inode).iter().any(|o| {
                (o.session, o.owner) == (p.session, p.owner)
                    && o.ranges
                        .iter()
                        .any(|r| overlap(r, p.range.start, p.range.end))
            })
        };
        if pending.iter().any(still_held) {
            Err(Status::Mismatch)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn ranges_behave_like_bytes(ops in proptest::collection::vec((0u64..20, 1u64..10, 0u8..3), 1..40)) {
            let mut ranges = Vec::new();
            let mut model = [0u8; 32];
            for (start, len, kind) in ops {
                let write = match kind { 0 => None, 1 => Some(false), _ => Some(true) };
                lay(&mut ranges, start, start + len, write);
                model[start as usize..(start + len) as usize].fill(kind);
                let mut seen = [0u8; 32];
                let mut last: Option<PosixRange> = None;
                for r in &ranges {
                    proptest::prop_assert!(r.start < r.end);
                    if let Some(l) = last {
                        proptest::prop_assert!(l.end < r.start || (l.end == r.start && l.write != r.write));
                    }
                    seen[r.start as usize..r.end as usize].fill(1 + u8::from(r.write));
                    last = Some(*r);
                }
                proptest::prop_assert_eq!(seen, model);
            }
        }
    }
}
