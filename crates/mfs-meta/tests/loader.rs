//! Images that no healthy master writes: what is refused, what `-i` makes of it, and that the state stays sound.

#![allow(clippy::unwrap_used, reason = "a test may")]

use mfs_meta::op::{Op, Outcome};
use mfs_meta::records::{
    ChunkRecord, ChunkserverRecord, EdgeRecord, ImageSink, Kind, NodeData, NodeRecord,
    SessionRecord, SinkResult,
};
use mfs_meta::{LoadOptions, Loader, Metadata};

const FILE: NodeData<'static> = NodeData::File {
    length: 1,
    chunks: &[],
};

fn node(inode: u32, kind: Kind, data: NodeData<'_>) -> NodeRecord<'_> {
    NodeRecord {
        kind,
        inode,
        sclass: 1,
        eattr: 0,
        winattr: 0,
        mode: 0o755,
        uid: 0,
        gid: 0,
        atime: 1,
        mtime: 1,
        ctime: 1,
        trashtime: 24,
        data,
    }
}

/// Loads the root, what `nodes` adds, `edges` as (parent, child, name) with ascending ids, and what `rest` adds.
fn load(
    ignore: bool,
    nodes: &[(u32, Kind, NodeData<'static>)],
    edges: &[(u32, u32, &str)],
    rest: impl FnOnce(&mut Loader) -> SinkResult,
) -> Result<(Metadata, usize), String> {
    let mut loader = Loader::new(LoadOptions {
        ignore,
        ..LoadOptions::default()
    });
    let run = |loader: &mut Loader| -> SinkResult {
        loader.head(1, 1)?;
        loader.node(&node(1, Kind::Directory, NodeData::None))?;
        for (inode, kind, data) in nodes {
            loader.node(&node(*inode, *kind, data.clone()))?;
        }
        loader.edge_head(Some(1 << 60))?;
        for (id, (parent, child, name)) in (1..).zip(edges) {
            loader.edge(&EdgeRecord {
                parent: *parent,
                child: *child,
                id,
                name: name.as_bytes(),
            })?;
        }
        rest(loader)
    };
    run(&mut loader).map_err(|e| e.to_string())?;
    let loaded = loader.finish().map_err(|e| e.to_string())?;
    loaded.meta.audit().unwrap();
    Ok((loaded.meta, loaded.notices.len()))
}

fn names(meta: &Metadata, dir: u32) -> Vec<(String, u32)> {
    let children = meta.children(dir);
    children
        .map(|c| (String::from_utf8_lossy(c.name).into_owned(), c.inode))
        .collect()
}

#[test]
fn a_directory_has_one_place() {
    let dirs = [
        (2, Kind::Directory, NodeData::None),
        (3, Kind::Directory, NodeData::None),
    ];
    // The second place of 2 is below itself: a walk would not end.
    let edges = [(3, 2, "up"), (1, 2, "a"), (2, 3, "b")];
    let refused = load(false, &dirs, &edges, |_| Ok(())).err().unwrap();
    assert!(refused.contains("1->2"), "{refused}");
    // With -i the first one stays, and what is in a loop is refused all the same.
    let refused = load(true, &dirs, &edges, |_| Ok(())).err().unwrap();
    assert!(refused.contains("their own ancestors"), "{refused}");
    let edges = [(1, 2, "a"), (2, 3, "b"), (3, 2, "up")];
    let (meta, notices) = load(true, &dirs, &edges, |_| Ok(())).unwrap();
    assert_eq!(notices, 1);
    assert_eq!(names(&meta, 3), []);
    assert_eq!(names(&meta, 1), [("a".to_owned(), 2)]);
}

#[test]
fn the_root_has_no_name() {
    let dirs = [(2, Kind::Directory, NodeData::None)];
    let edges = [(1, 2, "a"), (2, 1, "root")];
    assert!(load(false, &dirs, &edges, |_| Ok(())).is_err());
    let (meta, _) = load(true, &dirs, &edges, |_| Ok(())).unwrap();
    assert_eq!(names(&meta, 2), []);
}

#[test]
fn a_name_stands_in_a_directory_once() {
    let nodes = [
        (2, Kind::File, FILE),
        (3, Kind::File, FILE),
        (4, Kind::Directory, NodeData::None),
    ];
    let edges = [(1, 2, "a"), (1, 3, "a"), (1, 4, "a"), (1, 3, "b")];
    let refused = load(false, &nodes, &edges, |_| Ok(())).err().unwrap();
    assert!(refused.contains("1->3"), "{refused}");
    let (meta, _) = load(true, &nodes, &edges, |_| Ok(())).unwrap();
    // The first one of a name stays; who has no other name is found again.
    let mut found = names(&meta, 1);
    found.sort();
    let expected = [("a", 2), ("b", 3), ("lost_node_4", 4)];
    assert_eq!(
        found,
        expected.map(|(name, inode)| (name.to_owned(), inode))
    );
}

#[test]
fn a_living_inode_is_not_reused() {
    let nodes = [(2, Kind::File, FILE)];
    let (mut meta, notices) = load(false, &nodes, &[(1, 2, "a")], |loader| {
        for inode in [0, 2, 3, 3] {
            loader.free_inode(inode, 5)?;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(notices, 1);
    let free = Op::FreeInodes {
        delay: 1,
        keep_open: false,
    };
    meta.apply(100, &free).unwrap();
    meta.audit().unwrap();
    for (name, inode) in [("x", 3), ("y", 4)] {
        let create = Op::Create {
            parent: 1,
            name: name.as_bytes().into(),
            kind: 1,
            mode: 0o644,
            umask: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
        };
        meta.apply(101, &create).unwrap();
        assert_eq!(meta.lookup(1, name.as_bytes()), Some(inode));
    }
    assert_eq!(meta.lookup(1, b"a"), Some(2));
    meta.audit().unwrap();
}

#[test]
fn a_trash_file_with_a_name_counts_where_it_is_named() {
    let nodes = [(2, Kind::Trash, FILE)];
    let edges = [(1, 2, "a"), (0, 2, "gone")];
    let (mut meta, _) = load(false, &nodes, &edges, |_| Ok(())).unwrap();
    let write = Op::Write {
        inode: 2,
        index: 0,
        opflag: true,
        canmod: false,
    };
    meta.apply(10, &write).unwrap();
    meta.audit().unwrap();
    meta.apply(11, &Op::Purge { inode: 2 }).unwrap();
    meta.audit().unwrap();
    assert!(meta.node(2).is_none());
}

#[test]
fn a_link_may_lead_nowhere() {
    let nodes = [(2, Kind::Symlink, NodeData::Symlink(b""))];
    let (meta, _) = load(false, &nodes, &[(1, 2, "a longer name")], |_| Ok(())).unwrap();
    assert_eq!(meta.node(2).unwrap().target(), Some(&b""[..]));
}

#[test]
fn the_first_chunk_is_1() {
    let nodes = [(2, Kind::File, FILE)];
    let (meta, notices) = load(false, &nodes, &[(1, 2, "a")], |l| l.next_chunk(0)).unwrap();
    assert_eq!((meta.next_chunk_id(), notices), (1, 1));
}

#[test]
fn chunk_numbers_end() {
    let nodes = [(2, Kind::File, FILE)];
    let last = |loader: &mut Loader| loader.next_chunk(u64::MAX);
    let (mut meta, _) = load(false, &nodes, &[(1, 2, "a")], last).unwrap();
    let write = |index| Op::Write {
        inode: 2,
        index,
        opflag: true,
        canmod: false,
    };
    meta.apply(10, &write(0)).unwrap();
    assert!(meta.chunk(u64::MAX).is_some());
    assert!(meta.apply(10, &write(1)).is_err());
    meta.audit().unwrap();
}

/// A file may name a chunk that does not exist. When a chunk of this number appears, the file has it.
#[test]
fn references_wait_for_their_chunk() {
    let data = NodeData::File {
        length: 1,
        chunks: &[(0, 7)],
    };
    let nodes = [(2, Kind::File, data.clone()), (3, Kind::File, data)];
    let edges = [(1, 2, "a"), (1, 3, "b")];
    let (mut meta, _) = load(false, &nodes, &edges, |l| l.next_chunk(9)).unwrap();
    assert_eq!(meta.chunk_refs(7), []);
    let class = Op::SetSclass {
        inode: 3,
        uid: 0,
        src: 2,
        dst: 2,
        smode: 0,
    };
    meta.apply(10, &class).unwrap();
    let add = Op::ChunkAdd {
        id: 7,
        version: 1,
        lock: 0,
    };
    meta.apply(11, &add).unwrap();
    meta.audit().unwrap();
    let mut refs = meta.chunk_refs(7);
    refs.sort_unstable();
    assert_eq!(refs, [(1, 1), (2, 1)]);
    let unlink = Op::Unlink {
        parent: 1,
        name: b"a"[..].into(),
    };
    meta.apply(12, &unlink).unwrap();
    meta.apply(13, &Op::Purge { inode: 2 }).unwrap();
    meta.audit().unwrap();
    assert_eq!(meta.chunk_refs(7), [(2, 1)]);
}

/// Two chunks of one number: the later one replaces the earlier one for all files that name it.
#[test]
fn a_chunk_beyond_the_next_number_is_replaced() {
    let data = NodeData::File {
        length: 1,
        chunks: &[(0, 7)],
    };
    let nodes = [(2, Kind::File, data), (3, Kind::File, FILE)];
    let (mut meta, _) = load(false, &nodes, &[(1, 2, "a"), (1, 3, "b")], |loader| {
        loader.next_chunk(7)?;
        loader.chunk(ChunkRecord {
            id: 7,
            version: 5,
            locked_to: 0,
            archived: false,
        })
    })
    .unwrap();
    let write = Op::Write {
        inode: 3,
        index: 0,
        opflag: true,
        canmod: false,
    };
    meta.apply(10, &write).unwrap();
    meta.audit().unwrap();
    assert_eq!(meta.chunk_refs(7), [(1, 2)]);
    assert_eq!(meta.chunk(7).unwrap().version, 1);
}

#[test]
fn session_ids_go_round() {
    let session = |id| SessionRecord {
        id,
        ..SessionRecord::default()
    };
    let (mut meta, _) = load(false, &[], &[], |loader| {
        loader.next_session(u32::MAX)?;
        loader.session(session(1))
    })
    .unwrap();
    // 0 would end the sessions of an image, 1 is taken.
    for id in [u32::MAX, 2, 3] {
        assert_eq!(meta.apply(5, &Op::Session), Ok(Outcome::SessionId(id)));
    }
}

#[test]
fn a_chunkserver_id_is_given_once() {
    let server = |ip| ChunkserverRecord {
        ip,
        port: 9422,
        id: 5,
        maintenance: 0,
        maintenance_timeout: 0,
    };
    let twice = |loader: &mut Loader| {
        loader.chunkserver(server(1))?;
        loader.chunkserver(server(2))
    };
    assert!(load(false, &[], &[], twice).is_err());
    let (meta, _) = load(true, &[], &[], twice).unwrap();
    let ids: Vec<u16> = meta.chunkservers().map(|s| s.id).collect();
    assert_eq!(ids, [5, 0]);
}

#[test]
fn versions_leave_room_for_changes() {
    let mut loader = Loader::new(LoadOptions::default());
    loader.head(1 << 63, 1).unwrap();
    let refused = loader.head(u64::MAX, 1).unwrap_err();
    assert!(refused.to_string().contains("18446744073709551615"));
}

/// With many names the index is built beside the chunks.
#[test]
fn names_behind_the_chunks_are_in_the_index_too() {
    let files: Vec<_> = (2..19_999).map(|inode| (inode, Kind::File, FILE)).collect();
    let texts: Vec<String> = files
        .iter()
        .map(|(inode, ..)| format!("f{inode}"))
        .collect();
    let mut edges: Vec<_> = files
        .iter()
        .zip(&texts)
        .map(|((inode, ..), name)| (1, *inode, name.as_str()))
        .collect();
    // A second entry with a name of the first block, and one that comes behind the chunks.
    edges.push((1, 19_999, "f5"));
    let all = [
        &files[..],
        &[(19_999, Kind::File, FILE), (20_000, Kind::File, FILE)],
    ]
    .concat();
    for late in [false, true] {
        let (meta, notices) = load(true, &all, &edges, |loader| {
            let late_edge = EdgeRecord {
                parent: 1,
                child: 20_000,
                id: 1 << 40,
                name: b"late",
            };
            if !late {
                loader.edge(&late_edge)?;
            }
            loader.next_chunk(2)?;
            loader.chunk(ChunkRecord {
                id: 1,
                version: 1,
                locked_to: 0,
                archived: false,
            })?;
            if late {
                loader.edge(&late_edge)?;
            }
            Ok(())
        })
        .unwrap();
        // The entry, and the file that it leaves without a name.
        assert_eq!(notices, 2);
        for (parent, child, name) in edges.iter().take(files.len()) {
            assert_eq!(meta.lookup(*parent, name.as_bytes()), Some(*child));
        }
        assert_eq!(meta.lookup(1, b"late"), Some(20_000));
        assert_eq!(meta.lookup(1, b"lost_node_19999"), Some(19_999));
    }
}
