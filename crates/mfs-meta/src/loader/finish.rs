//! What only the whole image shows (spec 02 §17): names that are not unique, orphans, loops, references of chunks, and
//! the figures of directories.

use super::{Loaded, Loader, broken};
use crate::name_index::NameIndex;
use crate::op::Tolerance;
use crate::paged::NIL;
use crate::records::{Kind, SinkResult, StructureError};
use crate::rows::{Node, TreeStats};
use crate::slots;
use crate::tables::{EDGE_ID_MAX, ROOT};

impl Loader {
    /// Checks what only the whole image shows (spec 02 §17) and hands the state out.
    ///
    /// # Errors
    /// No root, orphans (without `-i`), directories in a loop.
    pub fn finish(mut self) -> Result<Loaded, StructureError> {
        if !self.is_directory(ROOT) {
            return Err(broken("root node not found".into()));
        }
        if self.m.t.next_edge == EDGE_ID_MAX {
            self.renumber = true;
        }
        self.index_names()?;
        self.adopt_orphans()?;
        self.connect_chunks();
        if self.late_classes {
            self.recount_files();
        }
        self.sum_directories()?;
        let freed: Vec<u32> = self.m.t.free.iter().map(|(inode, _)| inode).collect();
        for inode in freed {
            self.m.used.set(inode);
        }
        self.m.tolerance = Tolerance::Strict;
        Ok(Loaded {
            meta: self.m,
            notices: self.notices,
            renumber: self.renumber,
        })
    }

    /// Enters the names in the index. No directory may have two entries with one name: which of them a lookup
    /// finds would be left to chance.
    fn index_names(&mut self) -> SinkResult {
        let names = match self.names.take() {
            Some(names) => names
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => NameIndex::of(&self.m.t, &self.m.seed),
        };
        self.m.edge_index = names.index;
        for row in names.repeated {
            let e = *self.m.t.edges.at(row);
            self.fault(format!(
                "edge {}->{}: the directory has another entry with this name",
                e.parent, e.child
            ))?;
            self.drop_name(row);
        }
        Ok(())
    }

    /// Takes back what [`Loader::append_edge`] did for an edge that is not in the index.
    fn drop_name(&mut self, edge: u32) {
        let m = &mut self.m;
        let e = *m.t.edges.at(edge);
        let node = *m.t.nodes.get_mut(e.child);
        let row = m.t.nodes.get_mut(e.parent).dir();
        if node.kind() == Kind::Directory {
            m.t.nodes.get_mut(e.parent).nlink -= 1;
        } else {
            m.t.nodes.get_mut(e.child).nlink -= 1;
            let figures = m.t.figures(&node);
            m.t.dirs.at_mut(row).stats.sub(&figures);
        }
        m.take_out(row, edge);
    }

    fn adopt_orphans(&mut self) -> SinkResult {
        let mut orphans = Vec::new();
        self.m.t.nodes.for_each(|inode, node| {
            if !node.is_vacant() && node.parents == NIL && inode != ROOT {
                orphans.push(inode);
            }
            Ok::<(), StructureError>(())
        })?;
        for inode in orphans {
            self.fault(format!("found orphaned inode: {inode}"))?;
            let mut name = format!("lost_node_{inode}");
            let mut k = 0;
            while self.m.find_edge(ROOT, name.as_bytes()).is_some() {
                k += 1;
                name = format!("lost_node_{inode}.{k}");
            }
            let m = &mut self.m;
            let id = m.take_edge_id();
            let edge = m.make_edge(ROOT, inode, id, name.as_bytes());
            let row = m.t.nodes.get_mut(ROOT).dir();
            m.push_front(row, edge);
            self.count_entry(ROOT, row, inode);
        }
        Ok(())
    }

    /// Every chunk slot is one reference to its chunk (spec 02 §17).
    fn connect_chunks(&mut self) {
        let nodes = self.m.t.nodes.clone();
        let lists = self.m.t.lists.clone();
        let mut add = |node: &Node| {
            slots::for_each_from(node, &lists, 0, |_, id| {
                self.m.chunk_add_ref(id, node.sclass)
            })
        };
        let _ = nodes.for_each(|_, node| {
            if !node.is_vacant() && node.kind().is_file_like() && node.slots > 0 {
                add(node);
            }
            Ok::<(), ()>(())
        });
    }

    fn recount_files(&mut self) {
        let mut inodes = Vec::new();
        let _ = self.m.t.nodes.for_each(|inode, node| {
            if !node.is_vacant() && node.kind().is_file_like() {
                inodes.push(inode);
            }
            Ok::<(), ()>(())
        });
        for inode in inodes {
            let m = &mut self.m;
            let before = *m.t.nodes.get_mut(inode);
            let copies = m.copies_of(before.sclass);
            m.node_mut(inode).set_ratio(copies);
            let node = *m.t.nodes.get_mut(inode);
            let after = m.t.file_figures(&node);
            let before_figures = m.t.file_figures(&before);
            let parents: Vec<u32> = m.t.names_of(&before).map(|(_, e)| e.parent).collect();
            for parent in parents.into_iter().filter(|&p| p != 0) {
                let row = m.t.nodes.get_mut(parent).dir();
                let stats = &mut m.t.dirs.at_mut(row).stats;
                stats.add(&after);
                stats.sub(&before_figures);
            }
        }
    }

    /// Sums the figures of directories up to the root, deepest first, and proves that every directory hangs
    /// below it.
    fn sum_directories(&mut self) -> SinkResult {
        // By row of the directory table, which is dense after a load: row of the directory above, and how many
        // directories below are not summed up yet.
        let mut above = vec![(NIL, 0u32); self.m.t.dirs.len() as usize + 1];
        let mut root = NIL;
        self.m.t.dirs.for_each(|row, dir| {
            if dir.inode == 0 {
                return Ok(());
            }
            if dir.inode == ROOT {
                root = row;
                return Ok(());
            }
            let parent = self
                .m
                .t
                .node(dir.inode)
                .map_or(0, |n| self.m.t.edges.at(n.parents).parent);
            let up = self.m.t.node(parent).map_or(NIL, |n| n.dir());
            above[row as usize].0 = up;
            above[up as usize].1 += 1;
            Ok::<(), StructureError>(())
        })?;
        let mut leaves: Vec<u32> = (1..above.len() as u32)
            .filter(|&row| above[row as usize].1 == 0 && row != root)
            .collect();
        let total = self.m.t.dirs.len() - 1;
        let mut summed = 0;
        while let Some(row) = leaves.pop() {
            summed += 1;
            let up = above[row as usize].0;
            let mut figures: TreeStats = self.m.t.dirs.at(row).stats;
            figures.inodes = figures.inodes.wrapping_add(1);
            figures.dirs = figures.dirs.wrapping_add(1);
            self.m.t.dirs.at_mut(up).stats.add(&figures);
            let waiting = &mut above[up as usize].1;
            *waiting -= 1;
            if *waiting == 0 && up != root {
                leaves.push(up);
            }
        }
        if summed != total {
            return Err(broken(format!(
                "{} directories are their own ancestors",
                total - summed
            )));
        }
        Ok(())
    }
}
