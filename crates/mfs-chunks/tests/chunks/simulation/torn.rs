//! Torn copies: a chunkserver that is killed while a client writes leaves a block that does not match its checksum.
//! It comes back and reports the copy as if it were good; only who reads it finds out.
//!
//! A copy is torn only beside another one that has everything. What the state machine does then must never cost that
//! other one, with exceptions in which nobody can know that the torn one is no good: then it was good after all, for
//! the torn block was overwritten as a whole, or cut off.

use mfs_chunks::{Action, Command, Done, Grant, ServerId};

use super::goal_of;
use crate::world::World;

/// What happened to torn copies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TornFigures {
    pub(crate) made: usize,
    /// Read, copied or tested: the server has said that they are damaged.
    pub(crate) found: usize,
    /// No good copy of the version was left, and another one took its place.
    pub(crate) takeovers: usize,
    /// A torn copy was to be copied, and all that was left was older.
    pub(crate) fallbacks: usize,
    /// Nobody could know: they were not torn.
    pub(crate) excused: Excused,
}

/// Why torn copies are good after all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Excused {
    pub(crate) granted: usize,
    pub(crate) cut: usize,
    pub(crate) deletions: usize,
    pub(crate) crashes: usize,
}

impl TornFigures {
    pub(crate) fn add(&mut self, other: &TornFigures) {
        self.made += other.made;
        self.found += other.found;
        self.takeovers += other.takeovers;
        self.fallbacks += other.fallbacks;
        self.excused.granted += other.excused.granted;
        self.excused.cut += other.excused.cut;
        self.excused.deletions += other.excused.deletions;
        self.excused.crashes += other.excused.crashes;
    }
}

impl World {
    /// Whether any copy is torn, known or not.
    pub(crate) fn is_torn(&self, chunk: u64) -> bool {
        self.servers.iter().any(|s| s.torn.contains_key(&chunk))
    }

    /// The copies of a server that tear when it is killed: it is about to get data, and another disk has all that was
    /// confirmed.
    pub(crate) fn tearable(&self, s: usize) -> Vec<u64> {
        let of_server = |grant: &&Grant| {
            let mut at = grant.locations.iter();
            at.any(|l| self.server_at(l.ip, l.port) == s)
        };
        let sessions = self.sessions.values().filter(of_server);
        sessions
            .filter(|grant| self.may_tear(s, grant))
            .map(|grant| grant.chunk)
            .collect()
    }

    fn may_tear(&self, s: usize, grant: &Grant) -> bool {
        let chunk = grant.chunk;
        let is_open = self.log.meta.chunk(chunk).is_some_and(|c| {
            c.version == grant.version && c.locked_to != 0 && c.locked_to >= self.log.now
        });
        let has_version = |s: usize| {
            let copy = self.servers[s].sound(chunk);
            copy.filter(|c| c.version == grant.version)
        };
        let slots = self.slots_with(chunk);
        let has_everything = |other: usize| {
            has_version(other).is_some_and(|copy| {
                slots
                    .iter()
                    .all(|slot| self.allowed[slot].contains(&copy.data))
            })
        };
        is_open
            && has_version(s).is_some()
            && !self.has_pending_command(chunk)
            && (0..self.servers.len())
                .any(|o| o != s && !self.is_deleting(o, chunk) && has_everything(o))
    }

    /// Tears a copy.
    pub(crate) fn tear(&mut self, s: usize, chunk: u64) {
        self.trace(chunk, || format!("server {s} tears {chunk}"));
        self.servers[s].torn.insert(chunk, false);
        self.torn.made += 1;
    }

    /// The servers report what they have found.
    pub(crate) fn report_torn(&mut self) {
        for (s, chunk) in std::mem::take(&mut self.found) {
            let server = &mut self.servers[s];
            if let Some(id) = server.connection
                && let Some(is_known) = server.torn.get_mut(&chunk)
            {
                *is_known = true;
                self.torn.found += 1;
                self.trace(chunk, || format!("server {s} finds {chunk} torn"));
                self.chunks.damaged(&mut self.log, id, [chunk]);
                self.settle();
            }
        }
    }

    /// A torn copy is to be replicated.
    pub(crate) fn torn_source(&mut self, s: usize, chunk: u64) {
        self.found.insert((s, chunk));
        let version = self.log.version_of(chunk);
        let left = || self.servers.iter().filter_map(|s| s.sound(chunk));
        if left().all(|c| c.version < version) && left().next().is_some() {
            self.torn.fallbacks += 1;
        }
    }

    /// Looks for versions that another took the place of because the copies that have them are torn. One step has
    /// another reason where there are as many others as wanted, and so has a version that an operation gave which had
    /// not ended.
    pub(crate) fn count_takeovers(&mut self) {
        for (chunk, from, to) in std::mem::take(&mut self.log.changed) {
            let broken = self.servers.iter().any(|s| {
                s.torn.get(&chunk) == Some(&true)
                    && s.disk.get(&chunk).is_some_and(|c| c.version == from)
            });
            let others = self.servers.iter().filter(|s| {
                s.connection.is_some() && s.disk.get(&chunk).is_some_and(|c| c.version != from)
            });
            let is_near = from.abs_diff(to) == 1 && others.count() >= self.goal(chunk);
            let other_reason = is_near || self.unfinished.contains(&chunk);
            self.torn.takeovers += usize::from(broken && !other_reason);
        }
        self.unfinished = self.chunks.unfinished().chunks().collect();
    }

    // ---- where nobody can know ------------------------------------------------------------------

    /// A client hears that it can write, or that the chunk is cut. When it hears of torn copies alone, nothing else
    /// will ever have what it does.
    pub(crate) fn promised(&mut self, done: &Done) {
        let grant = match done {
            Done::Write(grant) => {
                self.sessions.insert(grant.chunk, grant.clone());
                grant
            }
            Done::Truncate { grant } => grant,
        };
        let holders: Vec<usize> = grant
            .locations
            .iter()
            .map(|l| self.server_at(l.ip, l.port))
            .collect();
        let has_good = holders.iter().any(|&s| {
            let copy = self.servers[s].sound(grant.chunk);
            copy.is_some_and(|c| c.version == grant.version)
        });
        self.cut.remove(&grant.chunk);
        if !has_good {
            for s in holders {
                self.torn.excused.granted += usize::from(self.is_sound_after_all(s, grant.chunk));
            }
        }
    }

    /// A truncation begins, which ends the time in which older versions are as good: a server may be stopped when it
    /// has cut its copy and not raised its version. So torn copies that are the only ones of their version were not.
    pub(crate) fn excuse_truncation(&mut self, chunk: u64, version: u32) {
        self.cut.insert(chunk);
        self.excuse_version(chunk, version);
    }

    /// As long as nobody knows how that ended, each version may be the only one with its contents; a torn copy that
    /// is the first of its version was not, or the torn block was cut off.
    pub(crate) fn excuse_cut(&mut self, s: usize, command: &Command) {
        let chunk = command.chunk();
        let cuts = matches!(command, Command::Truncate { .. } | Command::DupTrunc { .. });
        if cuts || self.cut.contains(&chunk) {
            let version = self.servers[s].disk[&chunk].version;
            self.excuse_version(chunk, version);
        }
    }

    fn excuse_version(&mut self, chunk: u64, version: u32) {
        let mut sound = self.servers.iter().filter_map(|s| s.sound(chunk));
        if sound.any(|c| c.version == version) {
            return;
        }
        for s in 0..self.servers.len() {
            let copy = self.servers[s].disk.get(&chunk);
            if copy.is_some_and(|c| c.version == version) {
                self.torn.excused.cut += usize::from(self.is_sound_after_all(s, chunk));
            }
        }
    }

    /// It was decided that a server deletes a copy. If that is the last good one, and torn ones are left, it is right
    /// if they are as many as are wanted, or if there is no other place for a copy.
    pub(crate) fn excuse_deletion(&mut self, server: ServerId, chunk: u64) {
        if !self.is_torn(chunk) {
            return;
        }
        let is_deletion = |action: &Action, s: usize| {
            matches!(*action, Action::Command { server, command: Command::Delete { chunk: c, .. } }
                if c == chunk && self.by_connection.get(&server) == Some(&s))
        };
        let goes = |s: usize| {
            self.by_connection.get(&server) == Some(&s)
                || self.is_deleting(s, chunk)
                || self.pending.iter().any(|e| is_deletion(&e.action, s))
        };
        let stays: Vec<usize> = (0..self.servers.len()).filter(|&s| !goes(s)).collect();
        let is_left = |slot: &(u32, u32)| {
            let mut copies = stays.iter().filter_map(|&s| self.servers[s].sound(chunk));
            copies.any(|c| self.allowed[slot].contains(&c.data))
        };
        if self.slots_with(chunk).iter().all(is_left) {
            return;
        }
        let version = self.log.version_of(chunk);
        let others = stays
            .into_iter()
            .filter(|&o| self.servers[o].connection.is_some());
        let present: Vec<usize> = others
            .clone()
            .filter(|&o| self.servers[o].torn.get(&chunk) != Some(&true))
            .filter(|&o| {
                let copy = self.servers[o].disk.get(&chunk);
                copy.is_some_and(|c| c.version == version)
            })
            .collect();
        let mut regular = present.clone();
        regular.retain(|&o| !self.servers[o].marked);
        let mut free: Vec<usize> = others
            .filter(|&o| !self.servers[o].marked && !self.servers[o].disk.contains_key(&chunk))
            .collect();
        let goal = self.goal(chunk);
        let refs = self.log.meta.chunk_refs(chunk);
        // A fallback goes when not all labels can be had without its server.
        let has_place = if refs.iter().any(|&(class, _)| class == 10) {
            free.extend(&regular);
            let has = |label: u32, but: Option<usize>| {
                let mut fit = free.iter().copied();
                fit.find(|&o| Some(o) != but && self.servers[o].labels & label != 0)
            };
            free.iter()
                .any(|&o| self.servers[o].labels & 1 != 0 && has(2, Some(o)).is_some())
        } else {
            !free.is_empty()
        };
        if regular.len() >= goal || !has_place {
            for o in present {
                self.torn.excused.deletions += usize::from(self.is_sound_after_all(o, chunk));
            }
        }
    }

    /// The master dies, and with it the memory of versions that are as good as later ones.
    pub(crate) fn forget_fallbacks(&mut self) {
        for s in 0..self.servers.len() {
            for chunk in self.servers[s].torn.keys().copied().collect::<Vec<_>>() {
                let version = self.log.version_of(chunk);
                let mut sound = self.servers.iter().filter_map(|s| s.sound(chunk));
                if sound.all(|c| c.version != version) {
                    self.torn.excused.crashes += usize::from(self.is_sound_after_all(s, chunk));
                }
            }
        }
    }

    fn is_sound_after_all(&mut self, s: usize, chunk: u64) -> bool {
        let was_torn = self.servers[s].torn.remove(&chunk).is_some();
        if was_torn {
            self.trace(chunk, || format!("server {s}: {chunk} is not torn"));
        }
        was_torn
    }

    fn goal(&self, chunk: u64) -> usize {
        let refs = self.log.meta.chunk_refs(chunk);
        refs.iter().map(|&(c, _)| goal_of(c)).max().unwrap_or(0)
    }

    fn slots_with(&self, chunk: u64) -> Vec<(u32, u32)> {
        let slots = self.allowed.keys().copied();
        slots
            .filter(|&(inode, index)| self.log.chunk(inode, index) == chunk)
            .collect()
    }
}
