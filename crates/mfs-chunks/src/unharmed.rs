//! Older copies that are as good as the present ones.
//!
//! A version is raised before a client may write. When that fails on the way, because servers vanish, some copies end
//! with the version before, others with a higher one, and nobody has written anything: all of them have what was ever
//! confirmed to anybody. The original keeps those with the highest version, although just these are often broken: of
//! a chunkserver that was killed while it wrote, with a block that does not match its checksum. Then the chunk is lost
//! beside a good copy (seen with `mfschaos`: one server cut off, the other killed within the same second).
//!
//! So the version since which nothing was granted is remembered for chunks of which it is not the present one; and
//! when no present copy is left, an older one takes its place. Only then: for what was sent and not confirmed, copies
//! of different versions may differ.
//!
//! Why an older copy has all that was confirmed: whatever takes a copy out of the master's control (a server that
//! goes, a deletion, a loss, damage) makes the next write raise the version (`needs_increase`). So within one version
//! all copies that have it are written together, and a write is confirmed when all have it.

use mfs_meta::ChunkInfo;

use crate::state::Chunks;

/// Versions of a chunk that have the same contents, but for what was not confirmed.
#[derive(Clone, Copy)]
pub(crate) struct Unharmed {
    since: u32,
    /// The last one that a failed operation gave; the present version is meant, too.
    until: u32,
}

impl Unharmed {
    fn contains(self, version: u32, present: u32) -> bool {
        (self.since..=self.until.max(present)).contains(&version)
    }
}

impl Chunks {
    /// The version of a chunk goes up, and nothing else is done to it.
    pub(crate) fn version_goes_up(&mut self, chunk: u64, from: u32) {
        let unharmed = Unharmed {
            since: from,
            until: from,
        };
        self.unharmed.entry(chunk).or_insert(unharmed);
    }

    /// Another version becomes the present one, because copies have it. If nothing was granted between the two, all
    /// that were as good as the one are as good as the other.
    pub(crate) fn version_changes(&mut self, info: &ChunkInfo, to: u32) {
        match self.unharmed.get_mut(&info.id) {
            Some(unharmed) if unharmed.contains(to, info.version) => {
                unharmed.until = unharmed.until.max(info.version);
            }
            _ => self.contents_change(info.id),
        }
    }

    /// From now on copies of the present version, and no others, may have something that was confirmed.
    pub(crate) fn contents_change(&mut self, chunk: u64) {
        self.unharmed.remove(&chunk);
    }

    /// The greatest other version that a copy has which can take the place of the present ones.
    pub(crate) fn unharmed_version(&self, row: u32, info: &ChunkInfo) -> Option<u32> {
        let unharmed = *self.unharmed.get(&info.id)?;
        self.wrong_versions(row)
            .filter(|&version| version != info.version && unharmed.contains(version, info.version))
            .max()
    }
}
