//! Chunk slots of files: none, one inside the node row, or a sparse list in blocks, so that a file of one
//! chunk (64 MiB) costs nothing extra and a hole of a petabyte costs nothing at all.

use crate::paged::{Arena, Slot};
use crate::rows::Node;
use imbl::OrdMap;
use triomphe::Arc;

const BLOCK: u32 = 32;

type Block = Arc<[u64; BLOCK as usize]>;

/// The slots of one file with more than one slot. Blocks without a chunk are absent.
#[derive(Clone, Default)]
pub(crate) struct ChunkList {
    blocks: OrdMap<u32, Block>,
    /// Slots that are not holes.
    used: u32,
}

impl ChunkList {
    fn get(&self, index: u32) -> u64 {
        self.blocks
            .get(&(index / BLOCK))
            .map_or(0, |b| b[(index % BLOCK) as usize])
    }

    fn set(&mut self, index: u32, id: u64) {
        let old = self.get(index);
        if old == id {
            return;
        }
        self.used = self.used + u32::from(id != 0) - u32::from(old != 0);
        let (b, i) = (index / BLOCK, (index % BLOCK) as usize);
        match self.blocks.get_mut(&b) {
            Some(block) => {
                let block = Arc::make_mut(block);
                block[i] = id;
                if id == 0 && block.iter().all(|&id| id == 0) {
                    self.blocks.remove(&b);
                }
            }
            None => {
                let mut block = [0; BLOCK as usize];
                block[i] = id;
                self.blocks.insert(b, Arc::new(block));
            }
        }
    }

    fn from(&self, from: u32) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.blocks
            .range(from / BLOCK..)
            .flat_map(|(b, block)| {
                block
                    .iter()
                    .enumerate()
                    .map(move |(i, &id)| (b * BLOCK + i as u32, id))
            })
            .filter(move |&(i, id)| id != 0 && i >= from)
    }
}

/// Row of the table of lists.
#[derive(Clone, Default)]
pub(crate) struct ListRow {
    list: ChunkList,
    free: u32,
}

impl Slot for ListRow {
    fn free_link(&self) -> u32 {
        self.free
    }

    fn release(&mut self, next: u32) {
        *self = ListRow {
            free: next,
            ..ListRow::default()
        };
    }
}

/// The lists of all files.
pub(crate) type Lists = Arena<ListRow>;

fn list<'a>(node: &Node, lists: &'a Lists) -> &'a ChunkList {
    &lists.at(node.data() as u32).list
}

/// The chunk in slot `index`, 0 for a hole and beyond the slots.
pub(crate) fn get(node: &Node, lists: &Lists, index: u32) -> u64 {
    match node.slots {
        n if index >= n => 0,
        1 => node.data(),
        _ => list(node, lists).get(index),
    }
}

/// Sets slot `index`, which must exist.
pub(crate) fn set(node: &mut Node, lists: &mut Lists, index: u32, id: u64) {
    debug_assert!(index < node.slots);
    match node.slots {
        0 => {}
        1 => node.set_data(id),
        _ => lists.at_mut(node.data() as u32).list.set(index, id),
    }
}

/// Makes the number of slots `n`: new ones are holes, surplus ones are forgotten (without a word to the
/// chunks: release references first).
pub(crate) fn resize(node: &mut Node, lists: &mut Lists, n: u32) {
    match (node.slots, n) {
        (old, new) if old == new => {}
        (0, 1) => node.set_data(0),
        (0, _) => node.set_data(u64::from(lists.insert(ListRow::default()))),
        (1, 0) => node.set_data(0),
        (1, _) => {
            let first = node.data();
            let row = lists.insert(ListRow::default());
            lists.at_mut(row).list.set(0, first);
            node.set_data(u64::from(row));
        }
        (_, 0) => {
            lists.remove(node.data() as u32);
            node.set_data(0);
        }
        (_, 1) => {
            let row = node.data() as u32;
            let first = lists.at(row).list.get(0);
            lists.remove(row);
            node.set_data(first);
        }
        (old, new) if new < old => {
            let surplus: Vec<u32> = list(node, lists).from(new).map(|(i, _)| i).collect();
            let list = &mut lists.at_mut(node.data() as u32).list;
            for i in surplus {
                list.set(i, 0);
            }
        }
        _ => {}
    }
    node.slots = n;
}

/// Calls `f` for each slot from `from` on that holds a chunk, ascending.
pub(crate) fn for_each_from(node: &Node, lists: &Lists, from: u32, mut f: impl FnMut(u32, u64)) {
    match node.slots {
        0 => {}
        1 => {
            if from == 0 && node.data() != 0 {
                f(0, node.data());
            }
        }
        _ => list(node, lists).from(from).for_each(|(i, id)| f(i, id)),
    }
}

/// The first slot from `from` on that holds a chunk.
pub(crate) fn next(node: &Node, lists: &Lists, from: u32) -> Option<(u32, u64)> {
    match node.slots {
        0 => None,
        1 => (from == 0 && node.data() != 0).then(|| (0, node.data())),
        _ => list(node, lists).from(from).next(),
    }
}

/// Number of slots that hold a chunk.
pub(crate) fn used(node: &Node, lists: &Lists) -> u32 {
    match node.slots {
        0 => 0,
        1 => u32::from(node.data() != 0),
        _ => list(node, lists).used,
    }
}

/// True when both files have the same chunks in their slots. Holes at the end do not count: images do not hold them,
/// so a replay from one would decide otherwise than the execution did.
pub(crate) fn equal(a: &Node, b: &Node, lists: &Lists) -> bool {
    let mut at = 0;
    loop {
        let (left, right) = (next(a, lists, at), next(b, lists, at));
        match left {
            _ if left != right => return false,
            Some((index, _)) => at = index + 1,
            None => return true,
        }
    }
}

/// Fills `out` with index and id of the slots that hold a chunk.
pub(crate) fn fill(node: &Node, lists: &Lists, out: &mut Vec<(u32, u64)>) {
    out.clear();
    for_each_from(node, lists, 0, |i, id| out.push((i, id)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Kind;

    proptest::proptest! {
        #[test]
        fn behaves_like_a_vector(ops in proptest::collection::vec((0u32..4, 0u32..200, 0u64..5), 1..200)) {
            let mut lists = Lists::default();
            let mut node = Node::new(Kind::File);
            let mut model: Vec<u64> = Vec::new();
            for (op, i, id) in ops {
                match op {
                    0 => {
                        resize(&mut node, &mut lists, i % 70);
                        model.resize(i as usize % 70, 0);
                    }
                    _ if !model.is_empty() => {
                        let i = i as usize % model.len();
                        model[i] = id;
                        set(&mut node, &mut lists, i as u32, id);
                    }
                    _ => {}
                }
                for (i, id) in model.iter().enumerate() {
                    proptest::prop_assert_eq!(get(&node, &lists, i as u32), *id);
                }
                proptest::prop_assert_eq!(used(&node, &lists) as usize, model.iter().filter(|&&id| id != 0).count());
                let mut out = Vec::new();
                fill(&node, &lists, &mut out);
                let held = (0u32..).zip(model.iter().copied()).filter(|(_, id)| *id != 0);
                proptest::prop_assert_eq!(&out, &held.collect::<Vec<_>>());
            }
            resize(&mut node, &mut lists, 0);
            proptest::prop_assert!(lists.is_empty());
        }
    }
}
