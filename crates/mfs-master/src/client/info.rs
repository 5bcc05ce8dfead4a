//! What is in a tree and where an object is: GETDIRSTATS, PARENTS, PATHS, NODE_INFO (spec 04 §7.14).

use mfs_meta::records::Kind;
use mfs_meta::{
    BLOCK_SIZE, CHUNK_BITS, CHUNK_HEADER, CHUNK_SIZE, MAX_INDEX, Metadata, NodeInfo, ROOT, Status,
};
use mfs_proto::client::info::{
    self, ChunkInfo, DirstatsForm, DirstatsReply, NodeInfoReply, ParentsReply, PathItem, PathsReply,
};
use mfs_proto::client::{InodeRequest, Reply, State};
use mfs_proto::wire::List;

use super::rights;
use crate::context::Ctx;
use crate::master;

/// GETDIRSTATS 462.
pub(super) fn dirstats(ctx: &Ctx<'_>, r: &InodeRequest, out: &mut Vec<u8>) -> Result<(), Status> {
    let state = ctx.read();
    let node = rights::find(&state.meta, ctx.conn.params.root_inode, r.inode)?;
    if !node.kind().has_sclass() {
        return Err(Status::Eperm);
    }
    let figures = node.figures();
    Reply::Getdirstats(DirstatsReply {
        form: if ctx.conn.state == State::Tools {
            DirstatsForm::Tools
        } else {
            DirstatsForm::Mount
        },
        inodes: figures.inodes,
        dirs: figures.dirs,
        files: figures.files,
        chunks: figures.chunks,
        length: figures.length,
        size: figures.size,
        realsize: figures.realsize,
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}

/// Directory and name of each name of an object that a session sees, newest first.
fn seen_names<'m>(
    meta: &'m Metadata,
    root: u32,
    node: &NodeInfo<'m>,
) -> impl Iterator<Item = (u32, &'m [u8])> {
    node.names().filter(move |&(parent, _)| {
        parent != 0 && (root == ROOT || meta.is_at_or_below(parent, root))
    })
}

/// PARENTS 484. What has no name has no parents (the original crashes there).
pub(super) fn parents(ctx: &Ctx<'_>, r: &InodeRequest, out: &mut Vec<u8>) -> Result<(), Status> {
    let root = ctx.conn.params.root_inode;
    let state = ctx.read();
    let meta = &state.meta;
    let node = rights::find(meta, root, r.inode)?;
    let inodes: Vec<u32> = if node.inode == root {
        Vec::new()
    } else {
        seen_names(meta, root, &node)
            .map(|(parent, _)| rights::shown(root, parent))
            .collect()
    };
    Reply::Parents(ParentsReply {
        inodes: List::from(&inodes),
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}

/// PATHS 486.
pub(super) fn paths(ctx: &Ctx<'_>, r: &InodeRequest, out: &mut Vec<u8>) -> Result<(), Status> {
    let root = ctx.conn.params.root_inode;
    let state = ctx.read();
    let meta = &state.meta;
    let node = rights::find(meta, root, r.inode)?;
    let texts = paths_of(meta, root, &node);
    let items: Vec<PathItem<'_>> = texts.iter().map(|text| PathItem(text)).collect();
    Reply::Paths(PathsReply {
        paths: List::from(&items),
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}

fn paths_of(meta: &Metadata, root: u32, node: &NodeInfo<'_>) -> Vec<Vec<u8>> {
    let place: &[u8] = match node.kind() {
        Kind::Trash => b"./TRASH (",
        Kind::Sustained => b"./SUSTAINED (",
        _ if node.inode == root => return vec![b"/".to_vec()],
        _ => {
            return seen_names(meta, root, node)
                .map(|(parent, name)| path_below(meta, root, parent, name))
                .collect();
        }
    };
    let path = meta.detached_path(node.inode).unwrap_or_default();
    vec![[place, path, b")"].concat()]
}

/// The path of a name from the session root on, without a leading slash.
fn path_below(meta: &Metadata, root: u32, parent: u32, name: &[u8]) -> Vec<u8> {
    let mut parts = vec![name];
    let mut at = parent;
    while at != root
        && let Some((above, name)) = meta.node(at).and_then(|dir| dir.names().next())
    {
        parts.push(name);
        at = above;
    }
    parts.reverse();
    parts.join(&b'/')
}

/// NODE_INFO 546. Before a registration the root is the real one.
pub(super) fn node(ctx: &Ctx<'_>, r: &info::NodeInfo, out: &mut Vec<u8>) -> Result<(), Status> {
    let root = if ctx.conn.state == State::Unregistered {
        ROOT
    } else {
        ctx.conn.params.root_inode
    };
    let state = ctx.read();
    let meta = &state.meta;
    let node = rights::find(meta, root, r.inode)?;
    let mut encode = |reply: NodeInfoReply<'_>| {
        Reply::NodeInfo(reply).encode(r.mid, ctx.version(), out);
    };
    match node.kind() {
        Kind::Directory => {
            let (children, continueid) = page_of_directory(meta, &node, r);
            encode(NodeInfoReply::Directory {
                continueid,
                children: List::from(&children),
            });
        }
        kind if kind.is_file_like() => {
            let (chunks, continueid) = page_of_file(&state, &node, r);
            encode(NodeInfoReply::File {
                continueid,
                length: node.length(),
                chunks: List::from(&chunks),
            });
        }
        _ => encode(NodeInfoReply::Other),
    }
    Ok(())
}

/// Children from a position on, and where the next page begins (0: nowhere).
fn page_of_directory(meta: &Metadata, node: &NodeInfo<'_>, r: &info::NodeInfo) -> (Vec<u32>, u64) {
    if r.maxentries == 0 {
        return (Vec::new(), 0);
    }
    let mut left = meta
        .children(node.inode)
        .skip_while(|child| child.id < r.continueid);
    let children = left
        .by_ref()
        .take(r.maxentries as usize)
        .map(|child| child.inode)
        .collect();
    (children, left.next().map_or(0, |child| child.id))
}

/// Chunks from a slot on, and the slot where the next page begins (0: nowhere).
fn page_of_file(
    state: &master::State,
    node: &NodeInfo<'_>,
    r: &info::NodeInfo,
) -> (Vec<ChunkInfo>, u64) {
    let mut chunks = Vec::new();
    if r.maxentries == 0 {
        return (chunks, 0);
    }
    let mut at = u32::try_from(r.continueid).unwrap_or(u32::MAX);
    while at <= MAX_INDEX
        && let Some((slot, chunkid)) = node.next_chunk(at)
    {
        if chunks.len() >= r.maxentries as usize {
            return (chunks, slot.into());
        }
        chunks.push(ChunkInfo {
            chunkid,
            size: chunk_size(node.length(), slot),
            copies: state
                .chunks
                .machine
                .usable_copies(&state.meta, chunkid)
                .map_or(0, |n| n.min(255) as u8),
        });
        at = slot + 1;
    }
    (chunks, 0)
}

/// Bytes that a chunk takes on a chunkserver, by its place in a file of this length.
fn chunk_size(length: u64, slot: u32) -> u32 {
    let last = length.saturating_sub(1) >> CHUNK_BITS;
    let used = match u64::from(slot) {
        slot if slot < last => CHUNK_SIZE,
        slot if slot == last && length > 0 => {
            ((length - 1) % CHUNK_SIZE / BLOCK_SIZE + 1) * BLOCK_SIZE
        }
        _ => return 0,
    };
    (used + CHUNK_HEADER) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_chunks() {
        assert_eq!(chunk_size(CHUNK_SIZE, 0), 0x0400_2000);
        assert_eq!(chunk_size(1, 0), 73_728);
        assert_eq!(chunk_size(CHUNK_SIZE + 1, 0), 0x0400_2000);
        assert_eq!(chunk_size(CHUNK_SIZE + 65_537, 1), 2 * 65_536 + 8192);
        assert_eq!(chunk_size(CHUNK_SIZE, 1), 0);
    }
}
