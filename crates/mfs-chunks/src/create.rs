//! Choice of servers for a new chunk (spec 05 §19).

use mfs_config::UniqueMode;
use mfs_meta::{CHUNK_SIZE, Metadata, Status};

use crate::class::LabelMode;
use crate::effect::Log;
use crate::labels;
use crate::servers::HeavyLoad;
use crate::state::Chunks;

/// Chunks of free space that a server should have for each one that is being written there.
const ROOM_PER_WRITE: u64 = 10;
/// Servers under strain are used if they are more than this part of all.
const GRACE_PART: f64 = 0.2;
/// A share of new chunks that was missed is remembered up to so many copies.
const MOST_CREDIT: f64 = 100.0;

/// Servers that can take a new chunk.
struct Usable {
    /// Best first.
    order: Vec<u16>,
    /// Servers that could if they were not overloaded.
    overloaded: Vec<u16>,
}

impl Chunks {
    fn usable_for_create(&mut self, client_ip: u32) -> Usable {
        let (mut standard, mut grace, mut overloaded) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, s) in self.servers.connected() {
            let written = u64::from(self.copies.written(slot));
            let room = CHUNK_SIZE.saturating_mul(1 + ROOM_PER_WRITE * written);
            if !s.is_countable() || s.free() <= room {
                continue;
            }
            match s.load {
                HeavyLoad::Overloaded => overloaded.push(slot),
                HeavyLoad::Unknown | HeavyLoad::Ok if !s.maintenance => standard.push(slot),
                _ => grace.push(slot),
            }
        }
        let mut order = standard;
        if grace.len() as f64 > GRACE_PART * (order.len() + grace.len()) as f64 {
            order.append(&mut grace);
        }
        // Idle servers first; among them the one that has most still to get of its share.
        self.rng.shuffle(&mut order);
        order.sort_by(|&a, &b| {
            let key = |slot: u16| {
                let s = &self.servers.list[usize::from(slot)];
                (self.copies.written(slot) + s.writes, s.credit)
            };
            let (a, b) = (key(a), key(b));
            a.0.cmp(&b.0).then(b.1.total_cmp(&a.1))
        });
        let near = self.config.creation_topology;
        if near > 0 {
            order.sort_by_key(|&slot| {
                let ip = self.servers.list[usize::from(slot)].ip;
                self.topology.distance(ip, client_ip) >= near
            });
        }
        Usable { order, overloaded }
    }

    /// Books the choice: every server gets its share of credit, by total space, and those chosen pay.
    fn book(&mut self, usable: &[u16], chosen: &[u16]) {
        let list = &mut self.servers.list;
        let total: f64 = usable
            .iter()
            .map(|&s| list[usize::from(s)].space.total as f64)
            .sum();
        for &slot in usable {
            let s = &mut list[usize::from(slot)];
            s.credit += s.space.total as f64 / total * chosen.len() as f64;
        }
        for &slot in chosen {
            list[usize::from(slot)].credit -= 1.0;
        }
        for &slot in usable {
            let s = &mut list[usize::from(slot)];
            s.credit = s.credit.clamp(-MOST_CREDIT, MOST_CREDIT);
        }
    }

    /// The servers for a new chunk of a file with this class.
    ///
    /// # Errors
    /// `Eagain`: later there may be more. `NoSpace`, `NoChunkServers`: none will do.
    pub(crate) fn choose_for_create(
        &mut self,
        log: &dyn Log,
        class: u8,
        client_ip: u32,
    ) -> Result<Vec<u16>, Status> {
        let usable = self.usable_for_create(client_ip);
        let chosen = self.choose(log.meta(), class, &usable)?;
        if chosen.is_empty() {
            return Err(if !usable.overloaded.is_empty() || !self.has_all_data() {
                Status::Eagain
            } else if self.is_stable(log.now()) && self.servers.countable() > 0 {
                Status::NoSpace
            } else {
                Status::NoChunkServers
            });
        }
        self.book(&usable.order, &chosen);
        Ok(chosen)
    }

    fn choose(&self, meta: &Metadata, class: u8, usable: &Usable) -> Result<Vec<u16>, Status> {
        let Some(class) = meta.sclass(class) else {
            return Ok(Vec::new());
        };
        let entries = &class.def.create;
        let want = entries.len();
        let order = &usable.order;
        let has_labels = entries.iter().any(|e| e[0] != 0);
        if !has_labels {
            if order.len() < want && order.len() + usable.overloaded.len() >= want {
                return Err(Status::Eagain);
            }
            return Ok(order.iter().take(want).copied().collect());
        }
        // Best last.
        let servers: Vec<_> = order.iter().rev().map(|&s| self.candidate(s)).collect();
        let m = labels::matching(entries, &servers);
        let of = |at: usize| order[order.len() - 1 - at];
        let mut chosen: Vec<u16> = m.server.iter().flatten().map(|&s| of(s)).collect();
        if chosen.len() == want {
            return Ok(chosen);
        }
        let mode = LabelMode::of(class);
        let with_overloaded = chosen.len() + usable.overloaded.len() >= want;
        let wait = match mode {
            LabelMode::Loose => order.len() < want && order.len() + usable.overloaded.len() >= want,
            LabelMode::Std | LabelMode::Strict => with_overloaded,
        };
        if wait && !usable.overloaded.is_empty() {
            return Err(Status::Eagain);
        }
        if mode != LabelMode::Strict {
            for &slot in order {
                if chosen.len() < want && !chosen.contains(&slot) && self.fits_beside(&chosen, slot)
                {
                    chosen.push(slot);
                }
            }
            for &slot in order {
                if chosen.len() < want && !chosen.contains(&slot) {
                    chosen.push(slot);
                }
            }
        }
        Ok(chosen)
    }

    /// With a unique mode: no server chosen has the same address or rack.
    fn fits_beside(&self, chosen: &[u16], slot: u16) -> bool {
        self.config.unique_mode == UniqueMode::Server || {
            let group = self.candidate(slot).group;
            chosen.iter().all(|&c| self.candidate(c).group != group)
        }
    }
}
