//! Older section versions and file formats: converted to today's records with the stated defaults
//! (spec 02 §20, §21).

use mfs_meta::records::{Acl, Kind, LabelMasks, SclassDef};
use mfs_store::image::{Checked, ReadOptions, Section};

use crate::data::{bytes, path};
use crate::model::{Data, Loaded, Model};

const NOW: u32 = 1_900_000_000;

fn options() -> ReadOptions {
    ReadOptions {
        now: NOW,
        ..ReadOptions::default()
    }
}

fn load(name: &str) -> Model {
    let loaded = Model::read(&bytes(&format!("synthetic/{name}.mfs")), &options());
    let Loaded { model, notices, .. } = loaded.unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(notices.is_empty(), "{name}: {notices:?}");
    model
}

fn base() -> Model {
    load("handmade-2.0")
}

#[test]
fn sessions() {
    for (version, csum, umask, disconnected) in [
        ("10", false, false, false),
        ("11", false, false, true),
        ("12", false, false, true),
        ("13", true, false, true),
        ("14", true, true, true),
    ] {
        let mut expected = base();
        for session in &mut expected.sessions {
            session.params.disables = 0;
            if !csum {
                session.params.exports_csum = 0;
            }
            if !umask {
                session.params.umask = 0;
            }
            if !disconnected {
                session.disconnected = NOW;
            }
        }
        assert_eq!(load(&format!("old-SESS-{version}")), expected, "{version}");
    }
}

#[test]
fn session_counters_are_cut_or_filled() {
    let base = base();
    let many = load("old-SESS-stats21");
    for session in &many.sessions {
        assert_eq!(session.stats, std::array::from_fn(|i| i as u32));
        assert_eq!(session.last_stats, std::array::from_fn(|i| 200 + i as u32));
    }
    let few = load("old-SESS-stats4");
    for session in &few.sessions {
        assert_eq!(
            session.stats,
            std::array::from_fn(|i| if i < 4 { 7 } else { 0 })
        );
        assert_eq!(session.last_stats[4..], [0; 12]);
    }
    for model in [many, few] {
        for (session, expected) in model.sessions.iter().zip(&base.sessions) {
            assert_eq!(
                (session.id, &session.params),
                (expected.id, &expected.params)
            );
        }
        assert_eq!(
            Model {
                sessions: base.sessions.clone(),
                ..model
            },
            base
        );
    }
}

#[test]
fn storage_classes() {
    let base = base();
    let def = |create: &[LabelMasks], keep: &[LabelMasks], archive: &[LabelMasks]| SclassDef {
        admin_only: 0,
        mode: 1,
        arch_delay: 0,
        create: create.to_vec(),
        keep: keep.to_vec(),
        archive: archive.to_vec(),
    };
    for version in ["10", "11", "12", "13", "14", "15"] {
        let model = load(&format!("old-SCLA-{version}"));
        let found = |id| &model.sclasses.iter().find(|c| c.id == id).unwrap().def;
        let full = |id| &base.sclasses.iter().find(|c| c.id == id).unwrap().def;
        assert!(
            model
                .sclasses
                .iter()
                .all(|c| c.name.is_empty() && c.id >= 10),
            "{version}"
        );
        for id in [10, 200] {
            let full = full(id);
            // Sets that the version lacks are those before them, the rest has its default.
            let expected = match version {
                "10" => {
                    let first = |set: &[LabelMasks]| -> Vec<LabelMasks> {
                        set.iter().map(|masks| [masks[0], 0, 0, 0]).collect()
                    };
                    let create = first(&full.create);
                    def(&create, &create, &create)
                }
                "11" | "12" | "13" => def(&full.create, &full.create, &full.create),
                "14" => SclassDef {
                    mode: full.mode,
                    ..def(&full.create, &full.keep, &full.keep)
                },
                _ => SclassDef {
                    admin_only: 0,
                    ..full.clone()
                },
            };
            assert_eq!(*found(id), expected, "{version} {id}");
        }
        assert_eq!(
            Model {
                sclasses: base.sclasses.clone(),
                ..model
            },
            base,
            "{version}"
        );
    }
}

#[test]
fn nodes() {
    for version in ["10", "11", "12", "13"] {
        let mut expected = base();
        if version == "10" {
            expected.node_count = 0;
        }
        for node in &mut expected.nodes {
            node.head.winattr = 0;
            if matches!(version, "10" | "11") {
                node.head.eattr &= 15;
            }
        }
        let mut model = load(&format!("old-NODE-{version}"));
        // Sessions that have the file open stand in the node.
        let counted: Vec<_> = model.opens.extract_if(.., |open| open.2).collect();
        assert_eq!(counted, [(8, 13, true)], "{version}");
        assert_eq!(model, expected, "{version}");
    }
}

#[test]
fn other_sections() {
    let base = base();
    let mut expected = base.clone();
    expected.header.next_edge = 0;
    expected.has_edge_ids = false;
    for edge in &mut expected.edges {
        edge.id = 0;
    }
    assert_eq!(load("old-EDGE-10"), expected);

    let mut expected = base.clone();
    for chunk in &mut expected.chunks {
        chunk.archived = false;
    }
    assert_eq!(load("old-CHNK-10"), expected);

    let mut model = load("old-QUOT-10");
    let [(1, quota, None)] = model.quotas[..] else {
        panic!("{:?}", model.quotas)
    };
    assert_eq!(
        (quota.grace, quota.flags, quota.since),
        (0, 0x11, 1_795_228_174)
    );
    model.quotas = base.quotas.clone();
    assert_eq!(model, base);

    let mut model = load("old-PACL-10");
    let [entry] = &model.acls[..] else {
        panic!("{:?}", model.acls)
    };
    assert!(entry.old);
    assert_eq!((entry.acl.user, entry.acl.other, entry.acl.mask), (0, 0, 0));
    assert_eq!(entry.acl.named_users.len(), 1);
    assert_eq!(
        entry.acl,
        Acl {
            named_groups: vec![],
            ..entry.acl.clone()
        }
    );
    model.acls = base.acls.clone();
    assert_eq!(model, base);

    for (version, id, maintenance) in [
        ("10", false, false),
        ("11", true, false),
        ("12", true, true),
    ] {
        let mut model = load(&format!("old-CSDB-{version}"));
        assert_eq!(model.chunkservers.len(), 2);
        for (i, server) in model.chunkservers.iter().enumerate() {
            let n = i as u16 + 1;
            assert_eq!(
                (server.ip, server.id),
                (u32::from(n), if id { n } else { 0 })
            );
            assert_eq!(
                server.maintenance,
                u8::from(maintenance && i == 0),
                "{version}"
            );
            assert_eq!(server.maintenance_timeout, 0);
        }
        model.chunkservers = base.chunkservers.clone();
        assert_eq!(model, base, "{version}");
    }
}

#[test]
fn old_file_formats() {
    let with_sessions = ReadOptions {
        sessions_mfs: Some(path("synthetic/sessions.mfs")),
        ..options()
    };
    let mut models = Vec::new();
    for (name, format) in [("handmade-1.5", 0x15), ("handmade-1.7", 0x17)] {
        let image = bytes(&format!("synthetic/{name}.mfs"));
        let Loaded {
            model,
            report,
            notices,
        } = Model::read(&image, &with_sessions).unwrap();
        assert!(notices.is_empty(), "{notices:?}");
        assert_eq!(
            report.head,
            Checked::Image {
                format,
                version: 500,
                meta_id: 0
            }
        );
        assert_eq!(report.bytes, image.len() as u64);
        assert_eq!(report.sections[0].section, Section::Sess);
        models.push(model);
    }
    assert_eq!(models[0], models[1]);
    let model = &models[0];
    let header = &model.header;
    assert_eq!(
        (header.version, header.meta_id, header.next_session),
        (500, 0, 7)
    );
    assert_eq!((header.max_inode, header.next_chunk), (100, 9));
    assert_eq!(model.nodes.len(), 11);
    assert_eq!(model.edges.len(), 10);
    assert_eq!(model.free, [(50, 1_795_227_174), (51, 1_795_227_175)]);
    assert_eq!(model.chunks.len(), 3);
    assert_eq!(model.opens, [(5, 3, true), (6, 3, true), (5, 5, true)]);

    let node = |inode| model.nodes.iter().find(|n| n.head.inode == inode).unwrap();
    // 3601 seconds are two hours; the extra attributes are the upper bits of the mode.
    let dir = &node(2).head;
    assert_eq!(
        (dir.kind, dir.trashtime, dir.eattr, dir.mode),
        (Kind::Directory, 2, 15, 0o750)
    );
    assert_eq!(
        node(3).data,
        Data::File {
            length: 70_000_000,
            chunks: vec![1, 2]
        }
    );
    assert_eq!(node(6).head.sclass, 0);
    assert_eq!(node(77).head.sclass, 15);
    assert_eq!(node(6).data, Data::Symlink(b"targ".to_vec()));
    assert_eq!(node(8).data, Data::Device(0x801));

    let [five, six] = &model.sessions[..] else {
        panic!("{:?}", model.sessions)
    };
    assert_eq!(
        (five.id, &five.params.info[..], six.id),
        (5, &b"/mnt/five"[..], 6)
    );
    for session in [five, six] {
        let p = &session.params;
        assert_eq!(session.disconnected, NOW);
        assert_eq!((p.peer_ip, p.root_inode), (0x0A4D_0203, 1));
        assert_eq!(
            (p.min_goal, p.max_goal, p.min_trashtime, p.max_trashtime),
            (1, 9, 0, u32::MAX)
        );
        assert_eq!(
            (p.root_uid, p.root_gid, p.mapall_uid, p.mapall_gid),
            (0, 0, 1, 2)
        );
        assert_eq!(session.stats, std::array::from_fn(|i| i as u32));
        assert_eq!(session.last_stats, std::array::from_fn(|i| 16 + i as u32));
    }
}

/// The other kinds of `sessions.mfs`, made by hand from the table of spec 02 §21.
#[test]
fn kinds_of_sessions_file() {
    let image = bytes("synthetic/handmade-1.7.mfs");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.mfs");
    let load = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        Model::read(
            &image,
            &ReadOptions {
                sessions_mfs: Some(path.clone()),
                ..options()
            },
        )
        .unwrap()
    };
    let numbers = |n: usize, from: u32| {
        (from..)
            .take(n)
            .flat_map(u32::to_be_bytes)
            .collect::<Vec<u8>>()
    };
    for (signature, stats_field, map, limits, stats) in [
        (&b"MFSS 1.5"[..], false, false, false, 16),
        (b"MFSS \x01\x06\x01", false, true, false, 16),
        (b"MFSS \x01\x06\x02", false, true, false, 21),
        (b"MFSS \x01\x06\x03", true, true, false, 3),
        (b"MFSS \x01\x06\x04", true, true, true, 17),
    ] {
        let mut file = signature.to_vec();
        if stats_field {
            file.extend((stats as u16).to_be_bytes());
        }
        for id in [4u32, 5] {
            file.extend([id, 2, 0x0A00_0001, 1].iter().flat_map(|n| n.to_be_bytes()));
            file.push(9); // flags
            if limits {
                file.extend([2, 8]);
                file.extend(numbers(2, 100));
            }
            file.extend(numbers(if map { 4 } else { 2 }, 30));
            file.extend(numbers(stats, 1000));
            file.extend(numbers(stats, 2000));
            file.extend(b"/m");
        }
        let Loaded { model, notices, .. } = load(&file);
        assert!(notices.is_empty(), "{notices:?}");
        assert_eq!(model.sessions.len(), 2);
        let session = &model.sessions[1];
        let p = &session.params;
        assert_eq!((session.id, p.flags, &p.info[..]), (5, 9, &b"/m"[..]));
        assert_eq!((p.root_uid, p.root_gid), (30, 31));
        assert_eq!(
            (p.mapall_uid, p.mapall_gid),
            if map { (32, 33) } else { (0, 0) }
        );
        let found = (p.min_goal, p.max_goal, p.min_trashtime, p.max_trashtime);
        assert_eq!(
            found,
            if limits {
                (2, 8, 100, 101)
            } else {
                (1, 9, 0, u32::MAX)
            }
        );
        assert_eq!(session.stats[..3], [1000, 1001, 1002]);
        assert_eq!(session.stats[3], if stats > 3 { 1003 } else { 0 });
        assert_eq!(session.last_stats[2], 2002);

        // A broken file costs the sessions behind the damage, not the metadata.
        let Loaded { model, notices, .. } = load(&file[..file.len() - 1]);
        assert_eq!((model.sessions.len(), notices.len()), (1, 1), "{notices:?}");
        assert!(notices[0].contains("unexpected end of file"), "{notices:?}");
        assert_eq!(model.nodes.len(), 11);
    }
    let Loaded { model, notices, .. } = load(b"MFSS 2.0");
    assert_eq!(
        (model.sessions.len(), notices.len(), model.nodes.len()),
        (0, 1, 11)
    );
    std::fs::remove_file(&path).unwrap();
    let missing = ReadOptions {
        sessions_mfs: Some(path.clone()),
        ..options()
    };
    let Loaded { model, notices, .. } = Model::read(&image, &missing).unwrap();
    assert_eq!(
        (model.sessions.len(), notices.len(), model.nodes.len()),
        (0, 1, 11)
    );
    assert_eq!(model.header.next_session, 7);
}
