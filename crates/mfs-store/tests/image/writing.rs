//! What the writer makes of records at the edges, and of trouble.

use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::sync::atomic::AtomicBool;

use mfs_meta::records::*;
use mfs_store::image::{
    CRC_FILE_SIZE, Progress, ReadOptions, Section, WriteError, WriteOptions, Written, check,
    read_path, write, write_file,
};
use proptest::prelude::*;

use crate::data::{bytes, sections};
use crate::model::{AclEntry, Data, Edge, Model, Node};

fn node(kind: Kind, inode: u32, data: Data) -> Node {
    let head = NodeRecord {
        kind,
        inode,
        sclass: if kind.has_sclass() { 2 } else { 0 },
        eattr: 0xff,
        winattr: 0xfe,
        mode: 0o7777,
        uid: u32::MAX,
        gid: u32::MAX - 1,
        atime: u32::MAX,
        mtime: 0,
        ctime: 1,
        trashtime: u16::MAX,
        data: NodeData::None,
    };
    Node { head, data }
}

/// XOR of the checksums of these units: the definition of spec 02 §18.
fn crc_of<'a>(section: Section, length: usize, units: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let version = section.version();
    let mut header = section.name().0.to_vec();
    header.extend([b' ', b'0' + (version >> 4), b'.', b'0' + (version & 15)]);
    header.extend([0xff; 8]);
    let ends = [&header[..], &(length as u64).to_be_bytes()].map(crc32fast::hash);
    let units = units
        .into_iter()
        .filter(|unit| !unit.is_empty())
        .map(crc32fast::hash);
    ends.into_iter().chain(units).fold(0, |xor, crc| xor ^ crc)
}

fn entry(written: &Written, section: Section) -> u32 {
    written
        .crc
        .iter()
        .find(|entry| entry.name == section.name())
        .unwrap()
        .crc
}

fn payload(image: &[u8], section: Section) -> &[u8] {
    let name = section.name().to_string();
    let (_, range) = sections(image)
        .into_iter()
        .find(|(found, _)| *found == name)
        .unwrap();
    &image[range]
}

/// Lists longer than a write unit: chunk ids, free inodes, ACL entries.
#[test]
fn long_lists_are_divided_into_units() {
    for ids in [1usize, 65535, 65536, 65537, 131_072, 200_000] {
        let chunks: Vec<u64> = (1..=ids as u64).collect();
        let mut slots = chunks.clone();
        slots.extend([0, 0, 0]);
        let file = node(
            Kind::File,
            5,
            Data::File {
                length: u64::MAX,
                chunks: slots,
            },
        );
        let free: Vec<_> = (0..ids as u32 % 3000).map(|i| (i + 10, i)).collect();
        let entries = ids % 500;
        let acl = Acl {
            mask: 7,
            named_users: (0..entries as u32).map(|i| (i, 7)).collect(),
            named_groups: (0..entries as u32 / 2).map(|i| (i, 5)).collect(),
            ..Acl::default()
        };
        let acls = vec![AclEntry {
            inode: 5,
            kind: 1,
            acl,
            old: false,
        }];
        let model = Model {
            nodes: vec![file],
            free,
            acls,
            has_edge_ids: true,
            ..Model::default()
        };
        let (image, written) = model.write();

        let mut expected = model.clone();
        expected.nodes[0].data = Data::File {
            length: u64::MAX,
            chunks,
        };
        assert_eq!(Model::load(&image), expected);

        let nodes = payload(&image, Section::Node);
        assert_eq!(nodes.len(), 8 + 44 + 8 * ids + 1);
        let (head, rest) = nodes.split_at(8);
        let (file, rest) = rest.split_at(44);
        let (list, end) = rest.split_at(8 * ids);
        let units = [head, file, end].into_iter().chain(list.chunks(8 * 65536));
        assert_eq!(
            entry(&written, Section::Node),
            crc_of(Section::Node, nodes.len(), units),
            "{ids}"
        );

        let free = payload(&image, Section::Free);
        let units = [&free[..4]].into_iter().chain(free[4..].chunks(8192));
        assert_eq!(
            entry(&written, Section::Free),
            crc_of(Section::Free, free.len(), units),
            "{ids}"
        );

        let acls = payload(&image, Section::Pacl);
        let (entries, end) = acls[17..].split_at(acls.len() - 34);
        let units = [&acls[..17], end].into_iter().chain(entries.chunks(600));
        assert_eq!(
            entry(&written, Section::Pacl),
            crc_of(Section::Pacl, acls.len(), units),
            "{ids}"
        );
    }
}

/// An image of many blocks, to a file and back.
#[test]
fn large_images_pass_through_files() {
    let model = Model {
        nodes: (1..60_000u32)
            .map(|i| match i % 4 {
                0 => node(
                    Kind::Symlink,
                    i,
                    Data::Symlink(vec![b'x'; i as usize % 4097]),
                ),
                1 => node(
                    Kind::File,
                    i,
                    Data::File {
                        length: 1,
                        chunks: vec![u64::from(i); i as usize % 7],
                    },
                ),
                2 => node(Kind::CharDevice, i, Data::Device(i)),
                _ => node(Kind::Directory, i, Data::None),
            })
            .collect(),
        edges: (1..60_000u32)
            .map(|i| Edge {
                parent: i / 7,
                child: i,
                id: u64::from(i),
                name: vec![b'n'; 1 + i as usize % 255],
            })
            .collect(),
        xattrs: (1..50)
            .map(|i| (i, vec![b'u'; i as usize], vec![i as u8; 65536 / i as usize]))
            .collect(),
        has_edge_ids: true,
        node_count: 59_999,
        ..Model::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.mfs.back.tmp");
    let file = std::fs::File::create(&path).unwrap();
    let written = write_file(
        &model,
        &file,
        &path,
        &WriteOptions {
            sync: true,
            ..WriteOptions::default()
        },
    )
    .unwrap();
    assert_eq!(written.bytes, path.metadata().unwrap().len());
    assert!(written.bytes > 20 << 20);
    let (image, in_memory) = model.write();
    assert_eq!(written, in_memory);
    assert!(std::fs::read(&path).unwrap() == image);
    assert_eq!(check(&path).unwrap().version(), model.header.version);

    let mut again = Model::default();
    let mut sections = 0;
    let report = read_path(
        &path,
        &ReadOptions::default(),
        &mut again,
        &mut |progress| {
            sections += usize::from(matches!(progress, Progress::End(_)));
        },
    );
    assert_eq!(report.unwrap().bytes, written.bytes);
    assert_eq!(sections, Section::ALL.len());
    assert!(again == model);
}

fn large_model() -> Model {
    let symlink = node(Kind::Symlink, 1, Data::Symlink(vec![b'x'; 4096]));
    Model {
        nodes: vec![symlink; 2000],
        ..Model::default()
    }
}

#[test]
fn a_write_can_be_cancelled() {
    let cancel = AtomicBool::new(true);
    let options = WriteOptions {
        cancel: Some(&cancel),
        ..WriteOptions::default()
    };
    let mut out = Cursor::new(Vec::new());
    let error = write(&large_model(), &mut out, &options).unwrap_err();
    assert!(matches!(error, WriteError::Cancelled), "{error}");
    // What is there must not look like an image.
    assert!(out.get_ref().is_empty());
}

/// A disk that is full after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.0);
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0 -= n;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

#[test]
fn errors_of_the_disk_are_told_wherever_they_strike() {
    let model = large_model();
    let size = model.write().0.len();
    // The last one lets the image pass, but not the lengths of the sections.
    for room in [0, 1, 5000, 1 << 20, 3 << 20, size - 1, size] {
        let error = write(&model, &mut Full(room), &WriteOptions::default()).unwrap_err();
        let WriteError::Io { source, .. } = error else {
            panic!("{room}: {error}")
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{room}");
    }
    write(
        &model,
        &mut Full(size + 8 * Section::ALL.len()),
        &WriteOptions::default(),
    )
    .unwrap();

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read-only");
    std::fs::write(&path, "").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let error = write_file(&model, &file, &path, &WriteOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("error writing {}", path.display())
    );
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let refused = |model: Model| {
        let mut out = Cursor::new(Vec::new());
        write(&model, &mut out, &WriteOptions::default())
            .unwrap_err()
            .to_string()
    };
    let edge = Edge {
        parent: 1,
        child: 2,
        id: 1,
        name: vec![b'x'; 65536],
    };
    let model = Model {
        edges: vec![edge],
        ..Model::default()
    };
    assert_eq!(
        refused(model),
        "section EDGE: name of 65536 does not fit into an image"
    );
    let model = Model {
        xattrs: vec![(1, vec![b'x'; 256], vec![])],
        ..Model::default()
    };
    assert_eq!(
        refused(model),
        "section XATR: name of 256 does not fit into an image"
    );
    let sclass = SclassRecord {
        id: 10,
        name: vec![b'x'; 256],
        def: SclassDef::default(),
    };
    let model = Model {
        sclasses: vec![sclass],
        ..Model::default()
    };
    assert_eq!(
        refused(model),
        "section SCLA: name of 256 does not fit into an image"
    );
    let acl = Acl {
        named_groups: vec![(1, 1); 65536],
        ..Acl::default()
    };
    let model = Model {
        acls: vec![AclEntry {
            inode: 1,
            kind: 1,
            acl,
            old: false,
        }],
        ..Model::default()
    };
    assert_eq!(
        refused(model),
        "section PACL: list of groups of 65536 does not fit into an image"
    );
}

#[test]
fn the_checksum_file_is_fifteen_entries() {
    let (_, written) = Model::load(&bytes("fresh.mfs")).write();
    let file = written.crc_file();
    assert_eq!(file.len(), CRC_FILE_SIZE);
    let names: Vec<&[u8]> = file.chunks(8).map(|entry| &entry[..4]).collect();
    let expected = "HEAD SESS SCLA NODE EDGE FREE QUOT XATR PACL OPEN FLCK PLCK CSDB CHNK TAIL";
    assert_eq!(
        names,
        expected.split(' ').map(str::as_bytes).collect::<Vec<_>>()
    );
}

fn bytes_of(max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..max)
}

prop_compose! {
    fn any_node()(kind in 1u8..10, inode in 1u32.., sclass in 1u8.., eattr: u8, winattr: u8, mode in 0u16..0o10000,
                  ids in any::<(u32, u32)>(), times in any::<(u32, u32, u32, u16)>(), target in bytes_of(50),
                  length: u64, device: u32, mut chunks in proptest::collection::vec(any::<u64>(), 0..6)) -> Node {
        let kind = Kind::from_u8(kind).unwrap();
        if let Some(last) = chunks.last_mut() {
            *last |= 1;
        }
        let data = match kind {
            Kind::Symlink => Data::Symlink(target),
            Kind::BlockDevice | Kind::CharDevice => Data::Device(device),
            _ if kind.is_file_like() => Data::File { length, chunks },
            _ => Data::None,
        };
        let head = NodeRecord {
            kind, inode, sclass: if kind.has_sclass() { sclass } else { 0 }, eattr, winattr, mode,
            uid: ids.0, gid: ids.1, atime: times.0, mtime: times.1, ctime: times.2, trashtime: times.3,
            data: NodeData::None,
        };
        Node { head, data }
    }
}

prop_compose! {
    fn any_session()(id in 1u32.., csum: u64, small in any::<(u8, u16, u8, u8)>(), words: [u32; 10],
                     stats: [u32; 16], last_stats: [u32; 16], info in bytes_of(5000)) -> SessionRecord {
        let [root_inode, root_uid, root_gid, mapall_uid, mapall_gid, min_trashtime, max_trashtime, disables, peer_ip,
             disconnected] = words;
        let (flags, umask, min_goal, max_goal) = small;
        let params = SessionParams {
            exports_csum: csum, root_inode, flags, umask, root_uid, root_gid, mapall_uid, mapall_gid, min_goal, max_goal,
            min_trashtime, max_trashtime, disables, peer_ip, info,
        };
        SessionRecord { id, params, disconnected, stats, last_stats }
    }
}

prop_compose! {
    fn any_sclass()(id in 1u16.., name in bytes_of(256), small in any::<(u8, u8, u16)>(),
                    sets in [(); 3].map(|()| proptest::collection::vec(any::<LabelMasks>(), 1..10))) -> SclassRecord {
        let (admin_only, mode, arch_delay) = small;
        let [create, keep, archive] = sets;
        SclassRecord { id, name, def: SclassDef { admin_only, mode, arch_delay, create, keep, archive } }
    }
}

prop_compose! {
    fn any_quota()(inode: u32, words: [u32; 4], limits: [u64; 6], small: [u8; 2]) -> (u32, QuotaRecord, Option<u32>) {
        let [grace, since, soft_inodes, hard_inodes] = words;
        let [soft_length, hard_length, soft_size, hard_size, soft_realsize, hard_realsize] = limits;
        let [exceeded, flags] = small;
        let quota = QuotaRecord {
            grace, exceeded, flags, since, soft_inodes, hard_inodes, soft_length, hard_length, soft_size, hard_size,
            soft_realsize, hard_realsize,
        };
        (inode, quota, Some(grace))
    }
}

prop_compose! {
    fn any_acl()(inode in 1u32.., kind in 1u8..3, perms: [u16; 4],
                 named_users in proptest::collection::vec(any::<(u32, u16)>(), 0..5),
                 named_groups in proptest::collection::vec(any::<(u32, u16)>(), 0..5)) -> AclEntry {
        let [user, group, other, mask] = perms;
        AclEntry { inode, kind, acl: Acl { user, group, other, mask, named_users, named_groups }, old: false }
    }
}

prop_compose! {
    fn any_model()(
        words: [u64; 4], small: [u32; 3],
        sessions in proptest::collection::vec(any_session(), 0..3),
        sclasses in proptest::collection::vec(any_sclass(), 0..4),
        nodes in proptest::collection::vec(any_node(), 0..20),
        edges in proptest::collection::vec(
            (any::<u32>(), 1u32.., any::<u64>(), bytes_of(300)).prop_map(|(parent, child, id, name)| Edge { parent, child, id, name }), 0..20),
        free in proptest::collection::vec(any::<(u32, u32)>(), 0..20),
        quotas in proptest::collection::vec(any_quota(), 0..4),
        acls in proptest::collection::vec(any_acl(), 0..5),
        xattrs in proptest::collection::vec((1u32.., bytes_of(256), bytes_of(2000)), 0..5),
        opens in proptest::collection::vec((1u32.., any::<u32>(), Just(false)), 0..5),
        locks in proptest::collection::vec((1u32.., any::<(u64, u32, u32, u64, u64, u8, bool)>()), 0..5),
        servers in proptest::collection::vec(any::<(u32, u16, u16, u8, u32)>(), 0..5),
        chunks in proptest::collection::vec((1u64.., any::<(u32, u32, bool)>()), 0..5),
    ) -> Model {
        let [version, meta_id, next_edge, next_chunk] = words;
        let [next_session, max_inode, node_count] = small;
        Model {
            header: Header { version, meta_id, next_session, max_inode, next_edge, next_chunk },
            node_count, has_edge_ids: true, sessions, sclasses, nodes, edges, free, quotas, acls, xattrs, opens,
            flocks: locks.iter().map(|&(inode, (owner, session, .., exclusive))| FlockRecord { inode, owner, session, exclusive }).collect(),
            posix_locks: locks.iter().map(|&(inode, (owner, session, pid, start, end, kind, _))|
                PosixLockRecord { inode, owner, session, pid, start, end, kind }).collect(),
            chunkservers: servers.into_iter().map(|(ip, port, id, maintenance, maintenance_timeout)|
                ChunkserverRecord { ip, port, id, maintenance, maintenance_timeout }).collect(),
            chunks: chunks.into_iter().map(|(id, (version, locked_to, archived))| ChunkRecord { id, version, locked_to, archived }).collect(),
            refuse: None,
        }
    }
}

proptest! {
    /// Whatever the records are: they come back, in the same order.
    #[test]
    fn any_records_round_trip(model in any_model()) {
        let (image, _) = model.write();
        prop_assert_eq!(Model::load(&image), model);
    }
}
