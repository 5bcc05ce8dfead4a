//! Moves copies from full servers to empty ones (spec 05 §18): one more copy here, and the surplus goes there.

use mfs_config::UniqueMode;
use mfs_meta::ChunkInfo;

use crate::class::{LabelMode, Wanted};
use crate::config::ReplicationClass;
use crate::copy::{CopyList, CopyState};
use crate::effect::Log;
use crate::labels;
use crate::state::{Chunks, TICKS_PER_SECOND};

/// A difference above so many times the acceptable one is large.
const LARGE: f64 = 1.5;
/// Seconds between two moves for small differences, times the difference.
const CALM: f64 = 0.01;

impl Chunks {
    /// Starts to move a copy of a chunk that has all it wants, if that evens out the servers.
    pub(crate) fn rebalance(
        &mut self,
        log: &mut dyn Log,
        row: u32,
        info: &ChunkInfo,
        wanted: &Wanted<'_>,
        copies: &CopyList,
    ) {
        let now = log.now();
        // One surplus copy at a time; what is being deleted may come back as a record.
        if copies.iter().any(|c| c.state != CopyState::Valid) || self.is_replicated(row) {
            return;
        }
        self.order_by_usage();
        let acceptable = self.config.acceptable_difference / 100.0;
        let class_of = |difference: f64| {
            if difference > LARGE * acceptable {
                ReplicationClass::ExtremeRebalance
            } else {
                ReplicationClass::Rebalance
            }
        };
        let matched: Vec<Option<usize>> = if self.needs_matching(wanted) {
            let servers: Vec<_> = copies.iter().map(|c| self.candidate(c.server)).collect();
            labels::matching(wanted.entries, &servers).entry
        } else {
            vec![None; copies.len()]
        };
        let mut best: Option<(f64, u16, u16)> = None;
        for (at, copy) in copies.iter().enumerate() {
            let Some(from) = self.servers.get(copy.server) else {
                continue;
            };
            // Differences fall along the order: the first that will do is the best for this source.
            for &(usage, slot) in &self.rebalance_order {
                let difference = from.usage() - usage;
                if difference <= 0.0 || best.is_some_and(|b| b.0 >= difference) {
                    break;
                }
                if copies.iter().any(|c| c.server == slot) || self.servers.is_gone(slot) {
                    continue;
                }
                let class = class_of(difference);
                if self.may_read_from(copy.server, class, now)
                    && self.may_write_to(slot, class, now)
                    && self.is_unique(copies, copy.server, slot)
                    && self.label_allows(wanted, &matched, at, slot)
                {
                    best = Some((difference, copy.server, slot));
                    break;
                }
            }
        }
        let Some((difference, source, destination)) = best else {
            return;
        };
        let at = self.tick as f64 / f64::from(TICKS_PER_SECOND);
        if difference <= acceptable && at < self.last_rebalance + CALM / difference {
            return;
        }
        self.last_rebalance = at;
        self.jobs.copy_rebalance += 1;
        self.copies.set_needs_increase(row, true);
        self.send_replicate(log, row, info, source, destination);
    }

    /// Lists the destinations, the emptiest first; once a tick.
    fn order_by_usage(&mut self) {
        if self.rebalance_ordered == self.tick {
            return;
        }
        self.rebalance_ordered = self.tick;
        self.rebalance_order.clear();
        let fit = self
            .servers
            .connected()
            .filter(|(_, s)| s.is_countable() && s.is_fit())
            .map(|(slot, s)| (s.usage(), slot));
        self.rebalance_order.extend(fit);
        self.rebalance_order.sort_by(|a, b| a.0.total_cmp(&b.0));
    }

    /// Whether a REPLICATE of the chunk is without answer.
    pub(crate) fn is_replicated(&self, row: u32) -> bool {
        !self.replications.is_empty()
            && self
                .servers
                .connected()
                .any(|(slot, _)| self.replications.contains_key(&(row, slot)))
    }

    /// With a unique mode: no copy but the one that goes is on the address or rack of the destination.
    fn is_unique(&self, copies: &CopyList, source: u16, destination: u16) -> bool {
        if self.config.unique_mode == UniqueMode::Server {
            return true;
        }
        let group = self.candidate(destination).group;
        copies
            .iter()
            .all(|c| c.server == source || self.candidate(c.server).group != group)
    }

    /// The destination must do for the entry that the source does for.
    fn label_allows(
        &self,
        wanted: &Wanted<'_>,
        matched: &[Option<usize>],
        source: usize,
        destination: u16,
    ) -> bool {
        if !wanted.has_labels() {
            return true;
        }
        let labels = self.candidate(destination).labels;
        match matched[source] {
            Some(entry) => labels::fits(&wanted.entries[entry], labels),
            None if wanted.mode == LabelMode::Loose => true,
            None => wanted
                .entries
                .iter()
                .enumerate()
                .any(|(e, masks)| !matched.contains(&Some(e)) && labels::fits(masks, labels)),
        }
    }
}
