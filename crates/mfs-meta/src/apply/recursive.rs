//! Settings for a node or a whole tree: storage class, trash time, extra attributes, archive flag (spec 03
//! §6.8, §6.5 ARCHCHG). No recursion on the stack: a tree may be as deep as an attacker likes.

use super::Applied;
use crate::op::{Outcome, Tolerance};
use crate::records::Kind;
use crate::rows::Node;
use crate::slots;
use crate::state::{Metadata, eattr};
use crate::status::Status;

/// Low bits of `smode`.
const SET: u8 = 0;
const INCREASE: u8 = 1;
const DECREASE: u8 = 2;
/// Bit of `smode`: the whole tree.
const RECURSIVE: u8 = 4;
/// Highest class that can be ordered (`increase`, `decrease`).
const LAST_ORDERED_CLASS: u8 = 9;

/// What a visit of one node found.
#[derive(Clone, Copy)]
enum Visit {
    Set,
    Same,
    Denied,
    Skip,
}

fn is_foreign(node: &Node, uid: u32) -> bool {
    node.eattr & eattr::NOOWNER == 0 && uid != 0 && uid != node.uid
}

fn denied(node: &Node, uid: u32) -> bool {
    is_foreign(node, uid) || node.eattr & eattr::IMMUTABLE != 0
}

impl Metadata {
    /// The node, and with `recursive` everything below it, each name once, newest entries first.
    fn visit_tree(
        &mut self,
        inode: u32,
        recursive: bool,
        mut f: impl FnMut(&mut Metadata, u32, Node),
    ) {
        let mut stack = vec![inode];
        while let Some(inode) = stack.pop() {
            let Some(&node) = self.t.node(inode) else {
                continue;
            };
            f(self, inode, node);
            if recursive && node.kind() == Kind::Directory {
                let base = stack.len();
                stack.extend(self.t.children(node.dir()).map(|(_, e)| e.child));
                stack[base..].reverse();
            }
        }
    }

    fn set_recursive(
        &mut self,
        inode: u32,
        smode: u8,
        mut f: impl FnMut(&mut Metadata, u32, &Node) -> Visit,
    ) -> Applied {
        let (mut set, mut same, mut refused) = (0, 0, 0);
        self.visit_tree(inode, smode & RECURSIVE != 0, |m, inode, node| {
            match f(m, inode, &node) {
                Visit::Set => set += 1,
                Visit::Same => same += 1,
                Visit::Denied => refused += 1,
                Visit::Skip => {}
            }
        });
        Ok(Outcome::Counts {
            set,
            same,
            denied: refused,
        })
    }

    /// Moves a file or directory to another storage class, with everything that hangs on it.
    pub(crate) fn change_sclass(&mut self, inode: u32, dst: u8) {
        let copies = self.copies_of(dst);
        self.with_figures(inode, |m| {
            let Some(&node) = m.t.node(inode) else { return };
            let kind = node.kind();
            m.count_sclass(node.sclass, kind, false);
            m.count_sclass(dst, kind, true);
            let row = m.node_mut(inode);
            row.sclass = dst;
            if !kind.is_file_like() {
                return;
            }
            row.set_ratio(copies);
            let mut at = 0;
            while let Some((i, id)) = slots::next(&node, &m.t.lists, at) {
                m.chunk_drop_ref(id, node.sclass);
                m.chunk_add_ref(id, dst);
                at = i + 1;
            }
        });
    }

    pub(super) fn op_set_sclass(
        &mut self,
        ts: u32,
        inode: u32,
        uid: u32,
        src: u8,
        dst: u8,
        smode: u8,
    ) -> Applied {
        if src == 0 || dst == 0 || smode > 7 {
            return Err(Status::Einval);
        }
        if matches!(smode & 3, INCREASE | DECREASE) && dst > LAST_ORDERED_CLASS {
            return Err(Status::Einval);
        }
        self.check_recursive(inode, uid, smode)?;
        self.set_recursive(inode, smode, |m, inode, node| {
            if !node.kind().has_sclass() {
                return Visit::Skip;
            }
            if denied(node, uid) {
                return Visit::Denied;
            }
            let change = match smode & 3 {
                SET => node.sclass != dst,
                INCREASE => node.sclass < dst,
                DECREASE => node.sclass > dst,
                _ => node.sclass == src,
            };
            if !change {
                return Visit::Same;
            }
            m.change_sclass(inode, dst);
            m.node_mut(inode).ctime = ts;
            Visit::Set
        })
    }

    /// Checks of SETSCLASS and SETTRASHTIME on the named node.
    fn check_recursive(&self, inode: u32, uid: u32, smode: u8) -> Result<(), Status> {
        let node = self.need(inode)?;
        if !node.kind().has_sclass() || (smode & RECURSIVE == 0 && denied(node, uid)) {
            return Err(Status::Eperm);
        }
        Ok(())
    }

    pub(super) fn op_set_trashtime(
        &mut self,
        ts: u32,
        inode: u32,
        uid: u32,
        seconds: u32,
        smode: u8,
    ) -> Applied {
        if smode > 7 {
            return Err(Status::Einval);
        }
        self.check_recursive(inode, uid, smode)?;
        let hours = hours_of(seconds);
        self.set_recursive(inode, smode, |m, inode, node| {
            if !node.kind().has_sclass() {
                return Visit::Skip;
            }
            if denied(node, uid) {
                return Visit::Denied;
            }
            let change = match smode & 3 {
                SET => node.trashtime != hours,
                INCREASE => node.trashtime < hours,
                DECREASE => node.trashtime > hours,
                _ => false,
            };
            if !change {
                return Visit::Same;
            }
            let row = m.node_mut(inode);
            row.trashtime = hours;
            row.ctime = ts;
            Visit::Set
        })
    }

    pub(super) fn op_set_eattr(
        &mut self,
        ts: u32,
        inode: u32,
        uid: u32,
        arg: u8,
        smode: u8,
    ) -> Applied {
        if smode > 7 {
            return Err(Status::Einval);
        }
        let refused = move |node: &Node| {
            is_foreign(node, uid)
                || (node.eattr & eattr::IMMUTABLE != 0 && arg & eattr::NOOWNER != 0)
        };
        if smode & RECURSIVE == 0 && refused(self.need(inode)?) {
            return Err(Status::Eperm);
        }
        self.need(inode)?;
        self.set_recursive(inode, smode, |m, inode, node| {
            if refused(node) {
                return Visit::Denied;
            }
            let (mut old, mut arg) = (node.eattr, arg);
            if node.kind() != Kind::Directory {
                old &= !eattr::NOENTRYCACHE;
                arg &= !eattr::NOENTRYCACHE;
            }
            let new = match smode & 3 {
                SET => arg,
                INCREASE => old | arg,
                DECREASE => old & !arg,
                _ => old,
            };
            if new == old {
                if old != node.eattr {
                    m.node_mut(inode).eattr = old;
                }
                return Visit::Same;
            }
            let row = m.node_mut(inode);
            row.eattr = new;
            row.ctime = ts;
            Visit::Set
        })
    }

    /// Archive flags of a file's chunks; counts (changed, same).
    fn archive_file(&mut self, node: &Node, on: bool) -> (u64, u64) {
        let (mut changed, mut same) = (0, 0);
        let mut at = 0;
        while let Some((i, id)) = slots::next(node, &self.t.lists, at) {
            at = i + 1;
            match self.find_chunk(id) {
                Some(row) if self.t.chunks.at(row).archived != on => {
                    self.t.chunks.at_mut(row).archived = on;
                    self.note_chunk_change(row);
                    changed += 1;
                }
                _ => same += 1,
            }
        }
        (changed, same)
    }

    pub(super) fn op_archchg(&mut self, ts: u32, inode: u32, uid: u32, cmd: u8) -> Applied {
        let kind = self.need(inode)?.kind();
        if !kind.has_sclass() {
            return Err(Status::Eperm);
        }
        // The archive walk of an original writes lines for immutable files (spec 03 §9.2).
        let walk = self.tolerance == Tolerance::Original && uid == 0 && cmd == 1;
        if kind != Kind::Directory && !walk && denied(self.need(inode)?, uid) {
            return Err(Status::Eperm);
        }
        let (mut changed, mut same, mut refused) = (0, 0, 0);
        self.visit_tree(inode, true, |m, inode, node| {
            if !node.kind().is_file_like() {
                return;
            }
            if denied(&node, uid) && !(walk && kind != Kind::Directory) {
                refused += 1;
                return;
            }
            let (c, s) = m.archive_file(&node, cmd == 1);
            changed += c;
            same += s;
            if cmd == 0 {
                m.node_mut(inode).ctime = ts;
            }
        });
        Ok(Outcome::ArchChg {
            changed,
            same,
            denied: refused,
        })
    }
}

/// Trash time in hours of a request in seconds: rounded up, wrapping like the original (spec 07 §7.7.4).
pub(crate) fn hours_of(seconds: u32) -> u16 {
    (seconds.wrapping_add(3599) / 3600) as u16
}
