//! The database of known chunkservers: maintenance, removal, load, and the space of the system (spec 05 §4, §5).

use mfs_meta::Status;
use mfs_meta::op::Op;

use crate::effect::{Log, ServerId};
use crate::servers::HeavyLoad;
use crate::state::Chunks;

/// Seconds between two looks for servers that are to be forgotten, and before the first.
const REMOVAL_PERIOD: u64 = 600;
const REMOVAL_FIRST: u64 = 300;
const DAY: u32 = 86_400;
/// `CSDBOP` operations (spec 05 §4.4).
pub(crate) mod op {
    pub(crate) const ADD: u8 = 0;
    pub(crate) const REMOVE: u8 = 1;
    pub(crate) const MOVE: u8 = 2;
    pub(crate) const SET_ID: u8 = 3;
    pub(crate) const MAINTENANCE_ON: u8 = 4;
    pub(crate) const MAINTENANCE_OFF: u8 = 5;
    pub(crate) const MAINTENANCE_TEMPORARY: u8 = 6;
}

/// State of maintenance that ends when the server is back.
const TEMPORARY: u8 = 2;

/// Space of the whole system, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemSpace {
    /// All of it.
    pub total: u64,
    /// What is not used.
    pub free: u64,
    /// What clients may fill: free less the reserve.
    pub available: u64,
}

impl Chunks {
    /// Changes the database, with a line.
    pub(crate) fn csdb(
        &self,
        log: &mut dyn Log,
        op: u8,
        key: (u32, u16),
        arg: u32,
    ) -> Result<(), Status> {
        let op = Op::CsdbOp {
            op,
            ip: key.0,
            port: key.1,
            arg,
        };
        log.apply(&op).map(|_| ())
    }

    /// A server says that it is about to go (spec 05 §2.5); the caller then closes the connection.
    pub fn graceful(&mut self, log: &mut dyn Log, server: ServerId) {
        let Some(slot) = self.servers.slot(server) else {
            return;
        };
        let s = &self.servers.list[usize::from(slot)];
        let (key, maintenance) = ((s.ip, s.port), s.maintenance);
        if !maintenance {
            let until = end_of(log.now(), self.config.temp_maintenance_timeout);
            // The entry exists as long as the server is connected.
            let _ = self.csdb(log, op::MAINTENANCE_TEMPORARY, key, until);
            self.servers.refresh(log.meta());
        }
    }

    /// Load of a server and, from newer ones, what it thinks of it (spec 05 §4.7, §5.3).
    pub fn load(&mut self, now: u32, server: ServerId, load: u32, state: Option<HeavyLoad>) {
        let Some(slot) = self.servers.slot(server) else {
            return;
        };
        let s = &mut self.servers.list[usize::from(slot)];
        if let Some(state) = state {
            s.load = state;
        }
        let key = (s.ip, s.port);
        let (mut sum, mut n) = (0u64, 0u64);
        for (other, known) in &self.servers.known {
            if *other != key {
                sum += u64::from(known.load);
                n += 1;
            }
        }
        let average = sum.checked_div(n).unwrap_or(u64::from(load));
        let heavy = load > self.config.heavy_load_threshold
            && f64::from(load) > average as f64 * self.config.heavy_load_ratio;
        if let Some(known) = self.servers.known.get_mut(&key) {
            known.load = load;
            if heavy {
                known.heavy = now;
            }
        }
    }

    /// Seconds for which the server is still left alone because of its load.
    pub(crate) fn grace_left(&self, key: (u32, u16), now: u32) -> u32 {
        self.servers.known.get(&key).map_or(0, |k| {
            if k.heavy == 0 {
                0
            } else {
                k.heavy
                    .saturating_add(self.config.heavy_load_grace)
                    .saturating_sub(now)
            }
        })
    }

    /// The administrator says that a server is fine again.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn back_to_work(&mut self, ip: u32, port: u16) -> Result<(), Status> {
        let known = self.servers.known.get_mut(&(ip, port));
        known.ok_or(Status::NotFound)?.heavy = 0;
        Ok(())
    }

    /// The administrator switches maintenance on or off (spec 05 §4.5).
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_maintenance(
        &mut self,
        log: &mut dyn Log,
        ip: u32,
        port: u16,
        on: bool,
    ) -> Result<(), Status> {
        let entry = log
            .meta()
            .chunkservers()
            .find(|s| (s.ip, s.port) == (ip, port));
        let is_on = entry.ok_or(Status::NotFound)?.maintenance != 0;
        if on != is_on {
            if on {
                let until = end_of(log.now(), self.config.maintenance_timeout);
                self.csdb(log, op::MAINTENANCE_ON, (ip, port), until)?;
            } else {
                self.csdb(log, op::MAINTENANCE_OFF, (ip, port), 0)?;
            }
            self.servers.refresh(log.meta());
        }
        Ok(())
    }

    /// The administrator removes a server from the database (spec 05 §4.6).
    ///
    /// # Errors
    /// `Active` if it is connected, `NotFound`.
    pub fn remove_server(&mut self, log: &mut dyn Log, ip: u32, port: u16) -> Result<(), Status> {
        let known = self.servers.known.get(&(ip, port));
        if known.ok_or(Status::NotFound)?.slot.is_some() {
            return Err(Status::Active);
        }
        self.csdb(log, op::REMOVE, (ip, port), 0)?;
        self.servers.known.remove(&(ip, port));
        self.servers.refresh(log.meta());
        Ok(())
    }

    /// What is due each second about servers (spec 05 §4.5–§4.7, §5.3).
    pub(crate) fn servers_second(&mut self, log: &mut dyn Log) {
        let now = log.now();
        let over: Vec<(u32, u16)> = log
            .meta()
            .chunkservers()
            .filter(|s| {
                s.maintenance != 0
                    && ((s.maintenance == TEMPORARY && self.is_server_connected((s.ip, s.port)))
                        || (s.maintenance_timeout > 0 && now > s.maintenance_timeout))
            })
            .map(|s| (s.ip, s.port))
            .collect();
        for &key in &over {
            // The entry was just there.
            let _ = self.csdb(log, op::MAINTENANCE_OFF, key, 0);
        }
        if !over.is_empty() {
            self.servers.refresh(log.meta());
        }
        for slot in 0..self.servers.list.len() {
            let s = &self.servers.list[slot];
            if matches!(s.load, HeavyLoad::Unknown | HeavyLoad::Graceful) && s.is_connected() {
                let heavy = self.grace_left((s.ip, s.port), now) > 0;
                self.servers.list[slot].load = if heavy {
                    HeavyLoad::Graceful
                } else {
                    HeavyLoad::Unknown
                };
            }
        }
        let days = self.config.days_to_remove_unused;
        if days > 0
            && self.seconds >= REMOVAL_FIRST
            && (self.seconds - REMOVAL_FIRST).is_multiple_of(REMOVAL_PERIOD)
        {
            let life = days.saturating_mul(DAY);
            let mut unused: Vec<(u32, u16)> = self
                .servers
                .known
                .iter()
                .filter(|(_, k)| k.slot.is_none() && now > k.gone_since.saturating_add(life))
                .map(|(&key, _)| key)
                .collect();
            unused.sort_unstable();
            for (ip, port) in unused {
                // Refused only if it is connected, which it is not.
                let _ = self.remove_server(log, ip, port);
            }
        }
    }

    /// Space of the system (spec 05 §5.2).
    #[must_use]
    pub fn system_space(&self) -> SystemSpace {
        let (used, total, most_used, largest) = self.servers.sums();
        let free = total.saturating_sub(used);
        let reserve = self.config.reserve_space.bytes(total, most_used, largest);
        SystemSpace {
            total,
            free,
            available: free.saturating_sub(reserve),
        }
    }
}

/// The end of a maintenance that begins now and takes so many seconds, 0 = no end.
fn end_of(now: u32, timeout: u32) -> u32 {
    if timeout > 0 {
        now.saturating_add(timeout)
    } else {
        0
    }
}
