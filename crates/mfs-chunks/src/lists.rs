//! Lists of copies: for clients to read and write, and for people to look at (spec 05 §20).

use mfs_meta::{ChunkInfo, Status};

use crate::copy::CopyState;
use crate::effect::{Grant, Location, Log};
use crate::operation::OpKind;
use crate::state::Chunks;

/// Most copies that a client is told.
const MOST_LOCATIONS: usize = 100;

/// What kind of copy it is, with the numbers of the wire (spec 04 §7.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CopyKind {
    /// Right version.
    Valid = 0,
    /// Right version, on a disk marked for removal.
    Marked = 1,
    /// Another version.
    Wrong = 2,
    /// Another version, on a disk marked for removal.
    MarkedWrong = 3,
    /// Damaged.
    Invalid = 4,
}

/// A copy as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyInfo {
    /// Address of the server.
    pub ip: u32,
    /// Port of the server.
    pub port: u16,
    /// Its kind.
    pub kind: CopyKind,
}

impl Chunks {
    /// What a client is told about a chunk: usable copies, the nearest first, ties in random order.
    pub(crate) fn grant(&mut self, row: u32, info: &ChunkInfo, client_ip: u32) -> Grant {
        let replicated = self
            .operations
            .get(&row)
            .is_some_and(|op| op.kind == OpKind::Replicate);
        let mut list: Vec<(u32, Location)> = self
            .copies
            .list(row)
            .iter()
            // What a replication is making is not there yet.
            .filter(|c| c.state.is_usable() && !(replicated && c.state.is_busy()))
            .filter_map(|c| self.servers.get(c.server))
            .filter(|s| s.is_connected())
            .map(|s| {
                let location = Location {
                    ip: s.ip,
                    port: s.port,
                    version: s.version,
                    labels: s.labels,
                };
                (self.topology.distance(s.ip, client_ip), location)
            })
            .collect();
        self.rng.shuffle(&mut list);
        list.sort_by_key(|l| l.0);
        list.truncate(MOST_LOCATIONS);
        Grant {
            chunk: info.id,
            version: info.version,
            locations: list.into_iter().map(|l| l.1).collect(),
        }
    }

    /// Version and copies of a chunk, at most 100, those being deleted left out.
    ///
    /// # Errors
    /// `NoChunk`.
    pub fn chunk_copies(
        &mut self,
        log: &mut dyn Log,
        chunk: u64,
    ) -> Result<(u32, Vec<CopyInfo>), Status> {
        let row = log.meta().chunk_row(chunk).ok_or(Status::NoChunk)?;
        self.settle(log, row);
        let info = log.meta().chunk_in_row(row).ok_or(Status::NoChunk)?;
        let kind = |state| {
            Some(match state {
                CopyState::Valid | CopyState::Busy => CopyKind::Valid,
                CopyState::TdValid | CopyState::TdBusy => CopyKind::Marked,
                CopyState::Wrong => CopyKind::Wrong,
                CopyState::TdWrong => CopyKind::MarkedWrong,
                CopyState::Invalid => CopyKind::Invalid,
                CopyState::Deleting => return None,
            })
        };
        let list = self
            .copies
            .list(row)
            .iter()
            .filter_map(|c| {
                let s = self.servers.get(c.server)?;
                Some(CopyInfo {
                    ip: s.ip,
                    port: s.port,
                    kind: kind(c.state)?,
                })
            })
            .take(MOST_LOCATIONS)
            .collect();
        Ok((info.version, list))
    }

    /// Number of usable copies of a chunk on servers that are there; `None` for a chunk that does not exist.
    #[must_use]
    pub fn usable_copies(&self, log: &dyn Log, chunk: u64) -> Option<usize> {
        let row = log.meta().chunk_row(chunk)?;
        let copies = self.copies.list(row);
        let usable = copies
            .iter()
            .filter(|c| c.state.is_usable() && !self.servers.is_gone(c.server));
        Some(usable.count())
    }

    /// Chunks of a file by number of usable copies 0–9, 10 and more, and slots without a chunk (spec 04 §7.14,
    /// CHECK).
    ///
    /// # Errors
    /// `Enoent`; `Eperm` for what has no chunks.
    pub fn check_file(&self, log: &dyn Log, inode: u32) -> Result<[u32; 12], Status> {
        let node = log.meta().node(inode).ok_or(Status::Enoent)?;
        if !node.kind().is_file_like() {
            return Err(Status::Eperm);
        }
        let mut counts = [0; 12];
        let (mut at, mut chunks) = (0, 0);
        while let Some((index, chunk)) = node.next_chunk(at) {
            let n = self.usable_copies(log, chunk).unwrap_or(0);
            counts[n.min(10)] += 1;
            chunks += 1;
            let Some(next) = index.checked_add(1) else {
                break;
            };
            at = next;
        }
        counts[11] = node.slots().saturating_sub(chunks);
        Ok(counts)
    }
}
