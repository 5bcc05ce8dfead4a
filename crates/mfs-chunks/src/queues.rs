//! Priority queues of chunks that need something (spec 05 §13).

use std::collections::VecDeque;

use mfs_config::UniqueMode;
use mfs_meta::ChunkInfo;

use crate::class::{self, Wanted};
use crate::copy::{CopyList, CopyState, Tally};
use crate::effect::Log;
use crate::labels::{self, Candidate};
use crate::state::Chunks;

/// Number of queues that are worked off.
pub(crate) const QUEUES: usize = 8;
/// All of them: the last one waits for servers.
const RINGS: usize = QUEUES + 1;
/// Seconds after the end of its lock before a chunk that nobody unlocked is queued (spec 05 §13.2).
const ABANDONED: u32 = 3600;

/// Priorities (spec 05 §13.1), and one more for chunks that only have copies to lose.
pub(crate) mod prio {
    pub(crate) const ENDANGERED_HIGH: u8 = 0;
    pub(crate) const ENDANGERED: u8 = 1;
    pub(crate) const UNDERGOAL_MARKED: u8 = 2;
    pub(crate) const MARKED: u8 = 3;
    pub(crate) const UNDERGOAL: u8 = 4;
    pub(crate) const WRONG_LABELS: u8 = 5;
    pub(crate) const OVERGOAL: u8 = 6;
    /// Copies that are outdated, damaged, or of a chunk that no file names. The original leaves them to the scan,
    /// which takes minutes to come round.
    pub(crate) const USELESS: u8 = 7;
    /// Chunks with too few copies for which there was no server ([`stranded`](crate::stranded)).
    pub(crate) const STRANDED: u8 = 8;
}

/// The queues; entries are rows. A row stands in the queue only if its record says so: others are left over.
pub(crate) struct Queues {
    rings: [VecDeque<u32>; RINGS],
    length: usize,
}

impl Queues {
    pub(crate) fn new(length: u32) -> Queues {
        Queues {
            rings: Default::default(),
            length: length as usize,
        }
    }

    /// Empties the queues; gives what was in them.
    pub(crate) fn reset(&mut self, length: u32) -> Vec<u32> {
        self.length = length as usize;
        self.rings.iter_mut().flat_map(std::mem::take).collect()
    }

    /// Appends a row; gives the oldest one if it had to go.
    pub(crate) fn push(&mut self, prio: u8, row: u32) -> Option<u32> {
        let ring = &mut self.rings[usize::from(prio)];
        let dropped = if ring.len() >= self.length {
            ring.pop_front()
        } else {
            None
        };
        ring.push_back(row);
        dropped
    }

    pub(crate) fn pop(&mut self, prio: u8) -> Option<u32> {
        self.rings[usize::from(prio)].pop_front()
    }

    pub(crate) fn len(&self, prio: u8) -> usize {
        self.rings[usize::from(prio)].len()
    }

    /// Whether some queue of a priority below (more urgent than) this one has entries.
    pub(crate) fn any_before(&self, prio: u8) -> bool {
        self.rings[..usize::from(prio)]
            .iter()
            .any(|r| !r.is_empty())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rings.iter().map(|r| r.capacity() * 4).sum()
    }
}

/// What a chunk needs, seen from its copies: the priority class, if anything.
pub(crate) fn priority(tally: &Tally, goal: usize, wrong_labels: bool) -> Option<u8> {
    let (vc, tdc) = (tally.valid, tally.td_valid);
    if vc + tdc == 0 || (vc == goal && !wrong_labels) {
        return None;
    }
    Some(if vc + tdc == 1 && goal > 2 {
        prio::ENDANGERED_HIGH
    } else if vc + tdc == 1 && goal == 2 {
        prio::ENDANGERED
    } else if vc == 1 && tdc > 0 {
        prio::UNDERGOAL_MARKED
    } else if tdc > 0 {
        prio::MARKED
    } else if vc < goal {
        prio::UNDERGOAL
    } else if wrong_labels {
        prio::WRONG_LABELS
    } else {
        prio::OVERGOAL
    })
}

impl Chunks {
    /// Whether the matching of labels decides: because the entries have some, or because of the unique mode (spec
    /// 05 §12.5).
    pub(crate) fn needs_matching(&self, wanted: &Wanted<'_>) -> bool {
        self.config.unique_mode != UniqueMode::Server || wanted.has_labels()
    }

    /// A server as the matching sees it.
    pub(crate) fn candidate(&self, slot: u16) -> Candidate {
        let Some(server) = self.servers.get(slot) else {
            return Candidate {
                labels: 0,
                group: u64::from(slot),
            };
        };
        /// Above all addresses and racks.
        const OWN: u64 = 1 << 32;
        let group = match self.config.unique_mode {
            UniqueMode::Address => u64::from(server.ip),
            UniqueMode::Rack if server.rack != 0 => u64::from(server.rack),
            _ => OWN + u64::from(slot),
        };
        Candidate {
            labels: server.labels,
            group,
        }
    }

    /// Whether some entry is not matched by the VALID copies.
    pub(crate) fn has_wrong_labels(&self, wanted: &Wanted<'_>, copies: &CopyList) -> bool {
        if !self.needs_matching(wanted) {
            return false;
        }
        let servers: Vec<Candidate> = copies
            .iter()
            .filter(|c| c.state == CopyState::Valid)
            .map(|c| self.candidate(c.server))
            .collect();
        let m = labels::matching(wanted.entries, &servers);
        m.server.iter().any(Option::is_none)
    }

    /// Puts a chunk in its priority queue if it needs something (spec 05 §13.2), or holds it. True if it did.
    pub(crate) fn queue_check(&mut self, log: &dyn Log, row: u32, check_labels: bool) -> bool {
        if self.copies.has_operation(row) {
            return false;
        }
        let Some(info) = log.meta().chunk_in_row(row) else {
            return false;
        };
        let locked_lately =
            info.locked_to != 0 && info.locked_to.saturating_add(ABANDONED) >= log.now();
        if locked_lately {
            return false;
        }
        match self.need(log, row, &info, check_labels) {
            Some(prio::USELESS) if !self.is_free(log, row) && self.has_useless(row, &info) => {
                self.hold(row);
                true
            }
            Some(prio) => self.enqueue(row, prio),
            None => false,
        }
    }

    /// What an unlocked chunk without an operation needs.
    fn need(&self, log: &dyn Log, row: u32, info: &ChunkInfo, check_labels: bool) -> Option<u8> {
        if info.refs == 0 {
            return (!self.is_held(info.id, log.now())).then_some(prio::USELESS);
        }
        let class = class::in_charge(log.meta(), row);
        let wanted = class::wanted(log.meta(), class, info.archived)?;
        let copies = self.copies.list(row);
        let tally: Tally = copies.iter().copied().collect();
        if tally.usable() == 0 && self.unharmed_version(row, info).is_some() {
            return Some(prio::ENDANGERED_HIGH);
        }
        let wrong_labels =
            check_labels && tally.valid >= wanted.goal() && self.has_wrong_labels(&wanted, &copies);
        // A deletion that failed is repeated by the scan: at once would be too soon.
        let useless = tally.any_valid() && tally.wrong + tally.invalid > 0;
        priority(&tally, wanted.goal(), wrong_labels).or(useless.then_some(prio::USELESS))
    }

    /// Whether a chunk, which may have no files, has copies that are of no use and whose deletion was not sent.
    fn has_useless(&self, row: u32, info: &ChunkInfo) -> bool {
        let tally = self.copies.tally(row);
        tally.wrong + tally.invalid > 0 || info.refs == 0 && tally.any_valid()
    }

    /// Puts a chunk in a queue, unless it is in that or a more urgent one. True if it did.
    pub(crate) fn enqueue(&mut self, row: u32, prio: u8) -> bool {
        if self.copies.queue(row).is_some_and(|queue| queue <= prio) {
            return false;
        }
        if let Some(dropped) = self.queues.push(prio, row)
            && self.copies.queue(dropped) == Some(prio)
        {
            self.copies.set_queue(dropped, None);
        }
        self.copies.set_queue(row, Some(prio));
        true
    }

    /// Takes the oldest chunk of a queue.
    pub(crate) fn dequeue(&mut self, prio: u8) -> Option<u32> {
        loop {
            let row = self.queues.pop(prio)?;
            if self.copies.queue(row) == Some(prio) {
                self.copies.set_queue(row, None);
                return Some(row);
            }
        }
    }

    /// The storage class or the archive flag of a file changed (spec 05 §13.2): its chunks may need other copies
    /// now. To be called for each file-like node that a `SETSCLASS`, `ARCHCHG` or similar operation changed.
    pub fn file_changed(&mut self, log: &mut dyn Log, inode: u32) {
        let mut at = 0;
        loop {
            let next = log.meta().node(inode).and_then(|n| n.next_chunk(at));
            let Some((index, chunk)) = next else {
                return;
            };
            self.chunk_changed(log, chunk);
            let Some(after) = index.checked_add(1) else {
                return;
            };
            at = after;
        }
    }

    /// The files that name a chunk, or their classes, changed.
    pub fn chunk_changed(&mut self, log: &mut dyn Log, chunk: u64) {
        if let Some(row) = log.meta().chunk_row(chunk) {
            self.row_changed(log, row);
        }
    }

    /// As [`Chunks::chunk_changed`], for rows from [`mfs_meta::Metadata::take_chunk_changes`].
    pub fn row_changed(&mut self, log: &mut dyn Log, row: u32) {
        self.settle(log, row);
        if let Some(info) = log.meta().chunk_in_row(row) {
            self.recount(log.meta(), row, &info);
            if info.refs == 0 {
                // It may have had a file in between.
                self.copies.doubt(row);
            }
            self.queue_check(log, row, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(valid: usize, td_valid: usize, goal: usize, wrong: bool) -> Option<u8> {
        let tally = Tally {
            valid,
            td_valid,
            ..Tally::default()
        };
        priority(&tally, goal, wrong)
    }

    #[test]
    fn first_condition_that_holds_decides() {
        assert_eq!(of(0, 0, 2, false), None);
        assert_eq!(of(2, 0, 2, false), None);
        assert_eq!(of(1, 0, 3, false), Some(0));
        assert_eq!(of(0, 1, 2, false), Some(1));
        assert_eq!(of(1, 1, 3, false), Some(2));
        assert_eq!(of(0, 1, 1, false), Some(3));
        assert_eq!(of(2, 1, 3, false), Some(3));
        assert_eq!(of(2, 0, 3, false), Some(4));
        assert_eq!(of(2, 0, 2, true), Some(5));
        assert_eq!(of(3, 0, 2, false), Some(6));
    }

    #[test]
    fn a_full_ring_drops_its_oldest() {
        let mut q = Queues::new(2);
        assert_eq!(
            (q.push(3, 1), q.push(3, 2), q.push(3, 3)),
            (None, None, Some(1))
        );
        assert_eq!((q.pop(3), q.pop(3), q.pop(3)), (Some(2), Some(3), None));
        assert!(!q.any_before(3));
    }
}
