//! Lists of copies: for clients to read and write, and for people to look at (spec 05 §20).

use mfs_meta::{ChunkInfo, Metadata, Status};
use smallvec::SmallVec;

use crate::copy::CopyState;
use crate::effect::{Grant, Location, Locations};
use crate::operation::OpKind;
use crate::rng::Rng;
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
        let random = self.rng.next();
        Grant {
            chunk: info.id,
            version: info.version,
            locations: self.locations(row, client_ip, random),
        }
    }

    fn locations(&self, row: u32, client_ip: u32, random: u64) -> Locations {
        let replicated = self.copies.has_operation(row)
            && self
                .operations
                .get(&row)
                .is_some_and(|op| op.kind == OpKind::Replicate);
        let mut list: SmallVec<[(u32, Location); 4]> = self
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
        Rng::new(random).shuffle(&mut list);
        list.sort_by_key(|l| l.0);
        list.truncate(MOST_LOCATIONS);
        list.into_iter().map(|l| l.1).collect()
    }

    /// Where a chunk can be read, for the many readers: under shared access, 0 for a hole. `random` decides between
    /// copies that are equally near. `None` if it is locked or busy: then [`Chunks::read`] lets the request wait.
    ///
    /// # Errors
    /// As for [`Chunks::read`].
    #[inline]
    pub fn read_shared(
        &self,
        meta: &Metadata,
        now: u32,
        chunk: u64,
        client_ip: u32,
        random: u64,
    ) -> Option<Result<Grant, Status>> {
        if chunk == 0 {
            return Some(Ok(Grant::hole()));
        }
        let Some((row, info)) = meta
            .chunk_row(chunk)
            .and_then(|row| Some((row, meta.chunk_in_row(row)?)))
        else {
            return Some(Err(Status::NoChunk));
        };
        if Self::is_locked(&info, now) || self.is_busy_for_reading(row) {
            return None;
        }
        let locations = self.locations(row, client_ip, random);
        Some(if locations.is_empty() && self.has_all_data_of(chunk) {
            Err(Status::ChunkLost)
        } else {
            Ok(Grant {
                chunk,
                version: info.version,
                locations,
            })
        })
    }

    /// Whether an operation changes the copies of a chunk. A replication does not change those that are there.
    fn is_busy_for_reading(&self, row: u32) -> bool {
        self.copies.has_operation(row)
            && self
                .operations
                .get(&row)
                .is_some_and(|op| op.kind != OpKind::Replicate)
    }

    /// Version and copies of a chunk, at most 100, those being deleted left out.
    ///
    /// # Errors
    /// `NoChunk`.
    pub fn chunk_copies(
        &self,
        meta: &Metadata,
        chunk: u64,
    ) -> Result<(u32, Vec<CopyInfo>), Status> {
        let row = meta.chunk_row(chunk).ok_or(Status::NoChunk)?;
        let info = meta.chunk_in_row(row).ok_or(Status::NoChunk)?;
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
                let s = self.servers.get(c.server).filter(|s| s.is_connected())?;
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
    pub fn usable_copies(&self, meta: &Metadata, chunk: u64) -> Option<usize> {
        let row = meta.chunk_row(chunk)?;
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
    pub fn check_file(&self, meta: &Metadata, inode: u32) -> Result<[u32; 12], Status> {
        let node = meta.node(inode).ok_or(Status::Enoent)?;
        if !node.kind().is_file_like() {
            return Err(Status::Eperm);
        }
        let mut counts = [0; 12];
        let (mut at, mut chunks) = (0, 0);
        while let Some((index, chunk)) = node.next_chunk(at) {
            let n = self.usable_copies(meta, chunk).unwrap_or(0);
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
