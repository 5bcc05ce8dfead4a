//! Trash, sustained files and the reuse of inode numbers (spec 03 §6.3).

use super::tree::NewNode;
use super::{Applied, is_bad_name};
use crate::op::Outcome;
use crate::records::Kind;
use crate::state::{Metadata, PATH_MAX, eattr};
use crate::status::Status;
use crate::tables::{ROOT, SUSTAINED_BUCKETS, TRASH_BUCKETS};

impl Metadata {
    fn need_trash(&self, inode: u32) -> Result<u32, Status> {
        let node = self.need(inode)?;
        if node.kind() != Kind::Trash {
            return Err(Status::Enoent);
        }
        self.t.detached_edge(node).ok_or(Status::Enoent)
    }

    pub(super) fn op_set_path(&mut self, inode: u32, path: &[u8]) -> Applied {
        if path.is_empty() || path.len() > PATH_MAX {
            return Err(Status::Einval);
        }
        let edge = self.need_trash(inode)?;
        self.drop_detached(0, edge);
        let id = self.take_edge_id();
        self.add_detached(inode, id, path);
        Ok(Outcome::None)
    }

    /// Where an undelete puts the file: the deepest directory that exists and the names still to make, the
    /// last of which is the file's (spec 03 §6.3 UNDEL, all checks in its order).
    pub fn undelete_place(&self, inode: u32) -> Result<(u32, Vec<Vec<u8>>), Status> {
        let edge = self.need_trash(inode)?;
        let path = self.t.name(self.t.edges.at(edge)).to_vec();
        let start = path
            .iter()
            .position(|&c| c != b'/')
            .ok_or(Status::CantCreatePath)?;
        let names: Vec<&[u8]> = path[start..].split(|&c| c == b'/').collect();
        if names.iter().any(|n| is_bad_name(n)) {
            return Err(Status::CantCreatePath);
        }
        let mut dir = ROOT;
        for (i, name) in names.iter().enumerate() {
            let node = self.need_dir(dir, Status::CantCreatePath)?;
            if self.t.quotas.get(&dir).is_some_and(|q| q.exceeded != 0) {
                return Err(Status::Quota);
            }
            if node.eattr & eattr::IMMUTABLE != 0 {
                return Err(Status::Eperm);
            }
            let last = i + 1 == names.len();
            match self.find_edge(dir, name) {
                None => return Ok((dir, names[i..].iter().map(|n| n.to_vec()).collect())),
                Some(_) if last => return Err(Status::Eexist),
                Some(edge) => {
                    dir = self.t.edges.at(edge).child;
                    self.need_dir(dir, Status::CantCreatePath)?;
                }
            }
        }
        Err(Status::CantCreatePath)
    }

    pub(super) fn op_undel(&mut self, ts: u32, inode: u32) -> Applied {
        let (mut dir, names) = self.undelete_place(inode)?;
        let edge = self.need_trash(inode)?;
        self.drop_detached(ts, edge);
        self.change_kind(inode, Kind::File);
        let (last, made) = names.split_last().ok_or(Status::CantCreatePath)?;
        for name in made {
            let new = NewNode {
                parent: dir,
                name,
                kind: Kind::Directory,
                mode: 0o755,
                umask: 0,
                uid: 0,
                gid: 0,
            };
            dir = self.create_node(ts, &new)?;
        }
        self.link(ts, dir, inode, last);
        Ok(Outcome::None)
    }

    pub(super) fn op_purge(&mut self, ts: u32, inode: u32) -> Applied {
        self.need_trash(inode)?;
        self.purge(ts, inode);
        Ok(Outcome::None)
    }

    /// B8: a trash file that is open becomes sustained, every other detached file goes. True when it went.
    fn purge(&mut self, ts: u32, inode: u32) -> bool {
        let Some(&node) = self.t.node(inode) else {
            return false;
        };
        if node.kind() == Kind::Trash
            && self.is_open(inode)
            && let Some(edge) = self.t.detached_edge(&node)
        {
            self.detach_from_bucket(edge);
            self.change_kind(inode, Kind::Sustained);
            self.attach_detached(edge);
            return false;
        }
        while let Some((edge, detached)) = self
            .t
            .node(inode)
            .and_then(|n| self.t.names_of(n).next())
            .map(|(i, e)| (i, e.parent == 0))
        {
            if detached {
                self.drop_detached(ts, edge)
            } else {
                self.unlink_edge(ts, edge)
            }
        }
        self.remove_node(ts, inode);
        true
    }

    fn bucket_members<'a>(
        &'a self,
        heads: impl Iterator<Item = u32> + 'a,
    ) -> impl Iterator<Item = u32> + 'a {
        heads.flat_map(move |head| self.t.list(head).map(|(_, e)| e.child))
    }

    fn trash_heads(&self, bucket: u32) -> impl Iterator<Item = u32> + '_ {
        let one = (bucket < TRASH_BUCKETS).then(|| self.t.trash.head(bucket));
        one.into_iter().chain(
            self.t
                .trash
                .heads()
                .filter(move |_| bucket >= TRASH_BUCKETS),
        )
    }

    fn sustained_heads(&self, bucket: u32) -> impl Iterator<Item = u32> + '_ {
        let one = (bucket < SUSTAINED_BUCKETS).then(|| self.t.sustained.head(bucket));
        one.into_iter().chain(
            self.t
                .sustained
                .heads()
                .filter(move |_| bucket >= SUSTAINED_BUCKETS),
        )
    }

    fn expired_trash(&self, ts: u32, bucket: u32) -> impl Iterator<Item = u32> + '_ {
        self.bucket_members(self.trash_heads(bucket))
            .filter(move |&inode| {
                self.t.node(inode).is_some_and(|n| {
                    let kept = u64::from(n.trashtime) * 3600;
                    [n.atime, n.mtime, n.ctime]
                        .iter()
                        .all(|&t| u64::from(t) + kept < u64::from(ts))
                })
            })
    }

    fn forgotten_sustained(&self, bucket: u32) -> impl Iterator<Item = u32> + '_ {
        self.bucket_members(self.sustained_heads(bucket))
            .filter(|&inode| !self.is_open(inode))
    }

    /// True when `EMPTYTRASH(bucket)` at `ts` would do something.
    pub fn trash_due(&self, ts: u32, bucket: u32) -> bool {
        self.expired_trash(ts, bucket).next().is_some()
    }

    /// True when `EMPTYSUSTAINED(bucket)` would do something.
    pub fn sustained_due(&self, bucket: u32) -> bool {
        self.forgotten_sustained(bucket).next().is_some()
    }

    /// True when `FREEINODES(delay)` at `ts` would do something.
    pub fn free_inodes_due(&self, ts: u32, delay: u32) -> bool {
        self.t.free.due(ts, delay)
    }

    /// The removed inodes whose numbers `FREEINODES(delay)` at `ts` looks at: all that it frees, and some that it
    /// keeps.
    pub fn inodes_due(&self, ts: u32, delay: u32) -> impl Iterator<Item = u32> + '_ {
        self.t.free.due_numbers(ts, delay)
    }

    pub(super) fn op_empty_trash(&mut self, ts: u32, bucket: u32) -> Applied {
        let due: Vec<u32> = self.expired_trash(ts, bucket).collect();
        let (mut freed, mut sustained, mut xor) = (0, 0, 0);
        for inode in due {
            xor ^= inode;
            if self.purge(ts, inode) {
                freed += 1
            } else {
                sustained += 1
            }
        }
        Ok(Outcome::EmptyTrash {
            freed,
            sustained,
            xor,
        })
    }

    pub(super) fn op_empty_sustained(&mut self, ts: u32, bucket: u32) -> Applied {
        let due: Vec<u32> = self.forgotten_sustained(bucket).collect();
        let mut xor = 0;
        for &inode in &due {
            xor ^= inode;
            self.purge(ts, inode);
        }
        Ok(Outcome::EmptySustained {
            freed: due.len() as u32,
            xor,
        })
    }

    pub(super) fn op_free_inodes(&mut self, ts: u32, delay: u32, keep_open: bool) -> Applied {
        let mut queue = std::mem::take(&mut self.t.free);
        let (freed, kept) = queue.expire(ts, delay, |inode| keep_open && self.is_open(inode));
        self.t.free = queue;
        let mut xor = 0;
        for &inode in &freed {
            // A damaged image may queue the number of a living node (spec 02 §8).
            if self.t.node(inode).is_none() {
                self.used.clear(inode);
            }
            xor ^= inode;
        }
        for inode in &kept {
            xor ^= inode;
        }
        Ok(Outcome::FreeInodes {
            freed: freed.len() as u32,
            sustained: kept.len() as u32,
            xor,
        })
    }
}
