//! What of the log outlives a power cut.
//!
//! Lines become durable by [`Journal::sync`], by their writing in
//! [`SaveMode::Synced`](super::SaveMode::Synced), and by an image that has their changes
//! ([`Journal::image_stored`]). After a failed sync nobody knows what is on the disk, and a later sync that succeeds
//! says nothing of what the failed one was to write: then only an image helps.

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use thiserror::Error;

use super::super::writer::WriteError;
use super::{CommitError, Journal};

/// Lines cannot be brought to the disk.
#[derive(Debug, Error)]
pub enum SyncError {
    /// They cannot even be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The sync failed.
    #[error("changelog can't be brought to the disk: {0}")]
    Sync(#[source] WriteError),
    /// An earlier sync failed, or a file of the log was replaced.
    #[error("changes below {below} may not be on the disk until an image is stored")]
    Doubt {
        /// An image of this version or a later one ends it.
        below: u64,
    },
}

/// What is known of the disk.
#[derive(Default)]
pub(super) struct Durable {
    /// All changes below it are on the disk.
    pub(super) below: u64,
    /// The files that were there at the start are on the disk.
    found_synced: bool,
    /// Changes below it may not be on the disk whatever a sync says, as long as `below` is not as high.
    doubt: u64,
}

impl Durable {
    fn without_doubt(&self) -> Result<(), SyncError> {
        if self.below < self.doubt {
            return Err(SyncError::Doubt { below: self.doubt });
        }
        Ok(())
    }

    /// No sync can tell any more that changes below this version are on the disk.
    pub(super) fn doubt(&mut self, below: u64) {
        self.doubt = self.doubt.max(below);
    }

    /// Lines below this number were written and synced, which says nothing of what is older.
    pub(super) fn lines_synced(&mut self, below: u64) {
        if self.found_synced && self.without_doubt().is_ok() {
            self.stored(below);
        }
    }

    fn all_synced(&mut self, below: u64) -> Result<(), SyncError> {
        self.found_synced = true;
        self.without_doubt()?;
        self.stored(below);
        Ok(())
    }

    fn stored(&mut self, below: u64) {
        self.below = self.below.max(below);
    }
}

impl Journal {
    /// All changes below this version are on the disk. Costs a read of memory.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Brings all lines to the disk; the first time everything that was found in the directory, too. Gives the version
    /// below which all changes are on the disk then. It takes as long as the disk takes; others go on writing
    /// meanwhile.
    ///
    /// # Errors
    /// See [`SyncError`]; [`Journal::durable`] stays.
    pub fn sync(&self) -> Result<u64, SyncError> {
        let mut state = self.state.lock();
        state.durable.without_doubt()?;
        self.wait_for_writer(&mut state);
        self.write(&mut state)?;
        self.wait_for_writer(&mut state);
        // With the writer at hand all lines below it are in a file.
        let (end, found) = (state.safe, !state.durable.found_synced);
        let Some(writer) = state.writer.take() else {
            return Ok(state.durable.below);
        };
        let to_sync = MutexGuard::unlocked(&mut state, || writer.to_sync(found));
        state.writer = Some(writer);
        self.tell(&mut state);
        let to_sync = to_sync.map_err(SyncError::Sync)?;
        let result = MutexGuard::unlocked(&mut state, || to_sync.sync());
        match result {
            Ok(()) => state.durable.all_synced(end)?,
            Err(error) => {
                // Lines that were being written at that time count as well.
                let next = state.next;
                state.durable.doubt(next);
                return Err(SyncError::Sync(error));
            }
        }
        self.durable.store(state.durable.below, Ordering::Release);
        Ok(state.durable.below)
    }

    /// An image of this version has been stored, and brought to the disk.
    pub fn image_stored(&self, version: u64) {
        let mut state = self.state.lock();
        state.durable.stored(version);
        self.durable.store(state.durable.below, Ordering::Release);
    }

    /// What was loaded is not in the directory of the log, but came from an image that may lie anywhere: it is on the
    /// disk when an image has been stored.
    pub fn loaded_from_elsewhere(&self) {
        let mut state = self.state.lock();
        let safe = state.safe;
        state.durable.doubt(safe);
    }
}
