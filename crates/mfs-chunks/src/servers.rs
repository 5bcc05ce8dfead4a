//! Chunkservers: connections, registration, and the end of both (spec 05 §2, §4.2, §7.4).

use mfs_meta::{Metadata, Status};
use thiserror::Error;

use crate::csdb::op;
use crate::effect::{Action, Log, ServerId};
use crate::state::{Chunks, Map};
use crate::topology::Topology;

/// Servers that can be connected at a time.
const MAX_SERVERS: usize = 65_535;

/// What a chunkserver says when it registers (spec 05 §2.2). The address is the one after remapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Address for clients.
    pub ip: u32,
    /// Port for clients.
    pub port: u16,
    /// Number that it had, 0 = none.
    pub csid: u16,
    /// Program version.
    pub version: u32,
    /// Whether it takes a number (registration 60).
    pub takes_csid: bool,
}

/// An accepted registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The connection.
    pub server: ServerId,
    /// Number of the server, 0 = it has none and takes none.
    pub csid: u16,
}

/// Why a registration is refused: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// The same server is still connected.
    #[error("chunkserver is already connected")]
    Connected,
    /// There are too many.
    #[error("too many chunkservers")]
    TooMany,
    /// The database of servers cannot be changed so.
    #[error("chunkserver database: {0}")]
    Database(#[from] Status),
}

/// Space of a server, bytes and chunks (spec 05 §3.2). TD = on disks marked for removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Used, without TD.
    pub used: u64,
    /// Total, without TD.
    pub total: u64,
    /// Chunks, without TD.
    pub chunks: u32,
    /// Used, TD.
    pub td_used: u64,
    /// Total, TD.
    pub td_total: u64,
    /// Chunks, TD.
    pub td_chunks: u32,
}

/// How busy a server says it is (spec 05 §5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeavyLoad {
    /// It says nothing.
    #[default]
    Unknown,
    /// Not.
    Ok,
    /// Too busy.
    Overloaded,
    /// Balancing its disks.
    Rebalance,
    /// Left alone because of its load (set by the master).
    Graceful,
}

impl HeavyLoad {
    /// The state with this number on the wire.
    #[must_use]
    pub fn from_u8(n: u8) -> HeavyLoad {
        match n {
            1 => HeavyLoad::Ok,
            2 => HeavyLoad::Overloaded,
            3 => HeavyLoad::Rebalance,
            4 => HeavyLoad::Graceful,
            _ => HeavyLoad::Unknown,
        }
    }
}

/// Whether disks marked for removal can be taken away (spec 05 §23.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Removal {
    #[default]
    Unknown,
    /// One loop without need will tell.
    Soon,
    InProgress,
    WasInProgress,
    Ready,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slot {
    #[default]
    Free,
    Registering,
    Ready,
    /// Disconnected; copies are still recorded.
    Gone,
}

/// A connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    generation: u32,
    slot: Slot,
    pub(crate) ip: u32,
    pub(crate) port: u16,
    pub(crate) csid: u16,
    pub(crate) version: u32,
    pub(crate) labels: u32,
    pub(crate) rack: u32,
    pub(crate) space: Space,
    pub(crate) errors: u32,
    pub(crate) load: HeavyLoad,
    pub(crate) maintenance: bool,
    /// Running replications from here, and to here.
    pub(crate) reads: u32,
    pub(crate) writes: u32,
    /// DELETEs without answer.
    pub(crate) deletes: u32,
    pub(crate) removal: Removal,
    /// How many new chunks it should still get to have its share (spec 05 §19.2).
    pub(crate) credit: f64,
    /// Position of the sweep when the server went, and whether it has come round.
    sweep_from: u32,
    sweep_wrapped: bool,
}

impl Server {
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.slot, Slot::Registering | Slot::Ready)
    }

    /// Counts as a server with space (spec 05 §5.2).
    pub(crate) fn is_countable(&self) -> bool {
        self.is_connected() && self.space.total > 0 && self.space.used <= self.space.total
    }

    pub(crate) fn free(&self) -> u64 {
        self.space.total.saturating_sub(self.space.used)
    }

    pub(crate) fn is_almost_full(&self) -> bool {
        self.free() <= self.space.total / 100
    }

    /// Neither overloaded nor in maintenance (spec 05 §5.3).
    pub(crate) fn is_fit(&self) -> bool {
        !self.maintenance && !matches!(self.load, HeavyLoad::Overloaded | HeavyLoad::Graceful)
    }

    /// Whether there is place for a new copy.
    pub(crate) fn has_room(&self) -> bool {
        self.space.total > 0 && !self.is_almost_full()
    }

    /// Whether new copies may come here.
    pub(crate) fn takes_copies(&self) -> bool {
        self.has_room() && self.is_fit()
    }

    /// Part of its space that is used.
    pub(crate) fn usage(&self) -> f64 {
        if self.space.total == 0 {
            1.0
        } else {
            self.space.used as f64 / self.space.total as f64
        }
    }
}

/// What is known of an entry of the database beyond the metadata.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) slot: Option<u16>,
    pub(crate) load: u32,
    /// When its load was found heavy, 0 = never.
    pub(crate) heavy: u32,
    /// When it went.
    pub(crate) gone_since: u32,
}

/// All servers.
pub(crate) struct Servers {
    pub(crate) list: Vec<Server>,
    pub(crate) known: Map<(u32, u16), Known>,
    free: Vec<u16>,
    generation: u32,
    registering: usize,
    gone: usize,
    absent: usize,
    absent_in_maintenance: usize,
    /// Row that the sweep looks at next.
    sweep_at: u32,
}

impl Servers {
    pub(crate) fn new(meta: &Metadata, now: u32) -> Servers {
        let known = meta.chunkservers().map(|s| {
            let known = Known {
                gone_since: now,
                ..Known::default()
            };
            ((s.ip, s.port), known)
        });
        let mut servers = Servers {
            list: Vec::new(),
            known: known.collect(),
            free: Vec::new(),
            generation: 0,
            registering: 0,
            gone: 0,
            absent: 0,
            absent_in_maintenance: 0,
            sweep_at: 0,
        };
        servers.refresh(meta);
        servers
    }

    pub(crate) fn get(&self, slot: u16) -> Option<&Server> {
        self.list.get(usize::from(slot))
    }

    pub(crate) fn get_mut(&mut self, slot: u16) -> Option<&mut Server> {
        self.list.get_mut(usize::from(slot))
    }

    /// The slot of a connection that still is.
    pub(crate) fn slot(&self, id: ServerId) -> Option<u16> {
        self.get(id.slot)
            .filter(|s| s.is_connected() && s.generation == id.generation)
            .map(|_| id.slot)
    }

    pub(crate) fn id(&self, slot: u16) -> Option<ServerId> {
        self.get(slot)
            .filter(|s| s.is_connected())
            .map(|s| ServerId {
                slot,
                generation: s.generation,
            })
    }

    /// Number of a server in the database, for the log; 0 if it has none.
    pub(crate) fn csid(&self, slot: u16) -> u16 {
        self.get(slot).map_or(0, |s| s.csid)
    }

    pub(crate) fn is_gone(&self, slot: u16) -> bool {
        self.get(slot).is_none_or(|s| !s.is_connected())
    }

    /// Connected servers with their slots.
    pub(crate) fn connected(&self) -> impl Iterator<Item = (u16, &Server)> {
        self.list
            .iter()
            .enumerate()
            .filter(|(_, s)| s.is_connected())
            .map(|(slot, s)| (slot as u16, s))
    }

    pub(crate) fn registering(&self) -> usize {
        self.registering
    }

    /// Disconnected servers whose copies are not swept yet.
    pub(crate) fn gone(&self) -> usize {
        self.gone
    }

    /// Known servers that are not connected.
    pub(crate) fn absent(&self) -> usize {
        self.absent
    }

    /// Whether some servers are absent and all of them are in maintenance (spec 05 §4.5a).
    pub(crate) fn only_maintained_absent(&self) -> bool {
        self.absent > 0 && self.absent == self.absent_in_maintenance
    }

    pub(crate) fn countable(&self) -> usize {
        self.list.iter().filter(|s| s.is_countable()).count()
    }

    pub(crate) fn any_almost_full(&self) -> bool {
        self.list
            .iter()
            .any(|s| s.is_countable() && s.is_almost_full())
    }

    pub(crate) fn set_racks(&mut self, topology: &dyn Topology) {
        for server in &mut self.list {
            server.rack = topology.rack(server.ip);
        }
    }

    /// Takes over what the database says: who is known, who is in maintenance.
    pub(crate) fn refresh(&mut self, meta: &Metadata) {
        let (mut absent, mut maintained) = (0, 0);
        for entry in meta.chunkservers() {
            let slot = self.known.entry((entry.ip, entry.port)).or_default().slot;
            match slot.and_then(|s| self.list.get_mut(usize::from(s))) {
                Some(server) => {
                    server.maintenance = entry.maintenance != 0;
                    server.csid = entry.id;
                }
                None => {
                    absent += 1;
                    maintained += usize::from(entry.maintenance != 0);
                }
            }
        }
        (self.absent, self.absent_in_maintenance) = (absent, maintained);
    }

    /// Sums over connected servers: used, total, most used, largest.
    pub(crate) fn sums(&self) -> (u64, u64, u64, u64) {
        let mut sums = (0u64, 0u64, 0, 0);
        for (_, s) in self.connected().filter(|(_, s)| s.space.total > 0) {
            sums.0 = sums.0.saturating_add(s.space.used);
            sums.1 = sums.1.saturating_add(s.space.total);
            sums.2 = sums.2.max(s.space.used);
            sums.3 = sums.3.max(s.space.total);
        }
        sums
    }
}

impl Chunks {
    /// Begins the registration of a chunkserver (spec 05 §2.2 rules 6 and 7, §4.2, §4.3).
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn register(
        &mut self,
        log: &mut dyn Log,
        r: &Registration,
    ) -> Result<Registered, RegisterError> {
        let slot = if let Some(slot) = self.servers.free.pop() {
            slot
        } else if self.servers.list.len() < MAX_SERVERS {
            self.servers.list.push(Server::default());
            (self.servers.list.len() - 1) as u16
        } else {
            return Err(RegisterError::TooMany);
        };
        let csid = match self.register_in_database(log, r) {
            Ok(csid) => csid,
            Err(e) => {
                self.servers.free.push(slot);
                return Err(e);
            }
        };
        let servers = &mut self.servers;
        servers.generation += 1;
        servers.list[usize::from(slot)] = Server {
            generation: servers.generation,
            slot: Slot::Registering,
            ip: r.ip,
            port: r.port,
            csid,
            version: r.version,
            rack: self.topology.rack(r.ip),
            ..Server::default()
        };
        servers.registering += 1;
        servers.known.entry((r.ip, r.port)).or_default().slot = Some(slot);
        servers.refresh(log.meta());
        let server = ServerId {
            slot,
            generation: servers.generation,
        };
        Ok(Registered { server, csid })
    }

    pub(crate) fn is_server_connected(&self, key: (u32, u16)) -> bool {
        self.servers
            .known
            .get(&key)
            .is_some_and(|k| k.slot.is_some())
    }

    fn register_in_database(
        &mut self,
        log: &mut dyn Log,
        r: &Registration,
    ) -> Result<u16, RegisterError> {
        let key = (r.ip, r.port);
        let (mut here, mut same_id) = (None, None);
        for s in log.meta().chunkservers() {
            if (s.ip, s.port) == key {
                here = Some(s.id);
            }
            if r.csid > 0 && s.id == r.csid {
                same_id = Some((s.ip, s.port));
            }
        }
        let mut csid = match (here, same_id) {
            (Some(id), _) => {
                if self.is_server_connected(key) {
                    return Err(RegisterError::Connected);
                }
                id
            }
            (None, Some(old)) if !self.is_server_connected(old) => {
                self.csdb(log, op::MOVE, key, u32::from(r.csid))?;
                let known = self.servers.known.remove(&old).unwrap_or_default();
                self.servers.known.insert(key, known);
                r.csid
            }
            (None, taken) => {
                let id = if taken.is_some() { 0 } else { r.csid };
                self.csdb(log, op::ADD, key, u32::from(id))?;
                id
            }
        };
        if csid == 0 && r.takes_csid {
            csid = lowest_free_csid(log.meta()).ok_or(RegisterError::TooMany)?;
            self.csdb(log, op::SET_ID, key, u32::from(csid))?;
        }
        Ok(csid)
    }

    /// Ends a registration (spec 05 §2.4).
    pub fn registered(&mut self, log: &mut dyn Log, server: ServerId) {
        let Some(slot) = self.servers.slot(server) else {
            return;
        };
        let s = &mut self.servers.list[usize::from(slot)];
        if s.slot != Slot::Registering {
            return;
        }
        s.slot = Slot::Ready;
        self.servers.registering -= 1;
        if self.servers.registering == 0 {
            self.effect(log, Action::InvalidateChunkCaches);
        }
    }

    /// A connection is gone, for whatever reason (spec 05 §7.4).
    pub fn disconnected(&mut self, log: &mut dyn Log, server: ServerId) {
        let Some(slot) = self.servers.slot(server) else {
            return;
        };
        let sweep_from = self.servers.sweep_at;
        let now = log.now();
        let s = &mut self.servers.list[usize::from(slot)];
        let was_registering = s.slot == Slot::Registering;
        let key = (s.ip, s.port);
        *s = Server {
            generation: s.generation,
            slot: Slot::Gone,
            ip: s.ip,
            port: s.port,
            sweep_from,
            ..Server::default()
        };
        self.servers.registering -= usize::from(was_registering);
        self.servers.gone += 1;
        if let Some(known) = self.servers.known.get_mut(&key) {
            known.slot = None;
            known.gone_since = now;
        }
        for s in &mut self.servers.list {
            s.removal = Removal::Unknown;
        }
        self.servers.refresh(log.meta());
        self.effect(log, Action::InvalidateChunkCaches);
        self.file_loop.postpone(now);
        self.forget_server(log, slot);
    }

    /// Moves the sweep over the copies of gone servers on (spec 05 §7.4).
    pub(crate) fn sweep(&mut self, log: &mut dyn Log, rows: u32) {
        if self.servers.gone == 0 {
            return;
        }
        let limit = log.meta().chunk_row_limit();
        let mut at = self.servers.sweep_at;
        for _ in 0..rows.min(limit.saturating_mul(2)) {
            if at >= limit {
                at = 0;
                for s in &mut self.servers.list {
                    s.sweep_wrapped = true;
                }
            }
            self.settle(log, at);
            at += 1;
            // Nothing more to do when every gone server has come round.
            if at.is_multiple_of(1024) && self.end_sweeps(at) {
                break;
            }
        }
        self.servers.sweep_at = at;
        self.end_sweeps(at);
    }

    /// Frees the slots that the sweep has gone over entirely; true when none is left.
    fn end_sweeps(&mut self, at: u32) -> bool {
        let servers = &mut self.servers;
        for (slot, s) in servers.list.iter_mut().enumerate() {
            if s.slot == Slot::Gone && s.sweep_wrapped && at >= s.sweep_from {
                s.slot = Slot::Free;
                servers.free.push(slot as u16);
                servers.gone -= 1;
            }
        }
        servers.gone == 0
    }

    /// Labels of a server (bit 0 = A).
    pub fn labels(&mut self, server: ServerId, labels: u32) {
        if let Some(slot) = self.servers.slot(server) {
            self.servers.list[usize::from(slot)].labels = labels;
        }
    }

    /// Space of a server.
    pub fn space(&mut self, server: ServerId, space: Space) {
        if let Some(slot) = self.servers.slot(server) {
            self.servers.list[usize::from(slot)].space = space;
        }
    }

    /// An I/O error of a server.
    pub fn error_occurred(&mut self, server: ServerId) {
        if let Some(slot) = self.servers.slot(server) {
            let errors = &mut self.servers.list[usize::from(slot)].errors;
            *errors = errors.saturating_add(1);
        }
    }
}

fn lowest_free_csid(meta: &Metadata) -> Option<u16> {
    let mut ids: Vec<u16> = meta
        .chunkservers()
        .map(|s| s.id)
        .filter(|&i| i > 0)
        .collect();
    ids.sort_unstable();
    let mut next = 1u16;
    for id in ids {
        if id == next {
            next = next.checked_add(1)?;
        }
    }
    Some(next)
}
