//! Images of today's format: what is read, and that it is written as it was.

use std::collections::BTreeMap;

use mfs_store::image::{
    CheckError, Checked, Progress, ReadFault, ReadOptions, Section, check, read, read_path,
};

use crate::data::{RECORDED, bytes, images, path, sections, streamed};
use crate::model::{Loaded, Model};

const STRICT: ReadOptions = ReadOptions {
    ignore: false,
    now: 0,
    sessions_mfs: None,
};
const IGNORE: ReadOptions = ReadOptions {
    ignore: true,
    now: 0,
    sessions_mfs: None,
};

/// Reads `data` and writes it again: the model keeps the order of the file, so the bytes must be the same.
fn assert_round_trip(name: &str, data: &[u8]) -> Loaded {
    let loaded = Model::read(data, &STRICT).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(loaded.notices.is_empty(), "{name}: {:?}", loaded.notices);
    assert_eq!(loaded.report.bytes, data.len() as u64, "{name}");
    let (again, written) = loaded.model.write();
    assert_eq!(sections(&again), sections(data), "{name}");
    assert!(again == data, "{name}: other bytes");
    assert_eq!(written.header, loaded.model.header, "{name}");
    loaded
}

#[test]
fn recorded_images_round_trip_with_their_checksums() {
    for name in RECORDED {
        let image = bytes(&format!("{name}.mfs"));
        let Loaded { model, report, .. } = assert_round_trip(name, &image);
        let (_, written) = model.write();
        assert_eq!(
            written.crc_file()[..],
            bytes(&format!("{name}.crc")),
            "{name}.crc"
        );
        let checked = check(&path(&format!("{name}.mfs"))).unwrap();
        assert_eq!(checked, report.head);
        let (version, meta_id) = (model.header.version, model.header.meta_id);
        assert_eq!(
            checked,
            Checked::Image {
                format: 0x20,
                version,
                meta_id
            }
        );
        assert_eq!((checked.version(), checked.meta_id()), (version, meta_id));
    }
}

#[test]
fn the_report_tells_what_was_read() {
    let image = bytes("trash.mfs");
    let mut lines = Vec::new();
    let report = read(
        &image[..],
        &STRICT,
        &mut Model::default(),
        &mut |progress| match progress {
            Progress::Begin(section) => lines.push(format!("loading {} ...", section.title())),
            Progress::End(report) => lines.push(format!("ok {}", report.section.name())),
            Progress::Notice(text) => panic!("{text}"),
        },
    )
    .unwrap();
    assert_eq!(lines.len(), 2 * Section::ALL.len());
    assert_eq!(lines[6..8], ["loading names ...", "ok EDGE"]);
    let found: Vec<_> = report.sections.iter().map(|s| s.section).collect();
    assert_eq!(found, Section::ALL);
    for (report, (name, payload)) in report.sections.iter().zip(sections(&image)) {
        assert_eq!(report.section.name().to_string(), name);
        assert_eq!(report.version, report.section.version());
        assert_eq!(report.bytes, payload.len() as u64);
    }
    let records = |section| {
        report
            .sections
            .iter()
            .find(|s| s.section == section)
            .unwrap()
            .records
    };
    let model = Model::load(&image);
    assert_eq!(records(Section::Free), 1100);
    assert_eq!(records(Section::Node), model.nodes.len() as u64);
    assert_eq!(records(Section::Edge), model.edges.len() as u64);
    assert_eq!(records(Section::Plck), 0);
}

#[test]
fn handmade_image_round_trips() {
    // One file has a trailing hole in its chunk list, which is not written (spec 02 §6.2 rule 2).
    let image = bytes("synthetic/handmade-2.0.mfs");
    let Loaded { model, .. } = Model::read(&image, &STRICT).unwrap();
    let (again, _) = model.write();
    assert_eq!(Model::load(&again), model);
    assert_eq!(model.header.version, 1000);
    assert_eq!(model.nodes.len(), 15);
    assert_eq!(model.edges.len(), 15);
}

#[test]
fn streamed_images_have_no_lengths() {
    for name in RECORDED {
        let image = bytes(&format!("{name}.mfs"));
        assert_eq!(
            Model::load(&streamed(&image)),
            Model::load(&image),
            "{name}"
        );
    }
}

#[test]
fn a_new_file_system_gives_no_records() {
    for content in ["MFSM NEW", "MFSM NEW and more"] {
        let Loaded { model, report, .. } = Model::read(content.as_bytes(), &STRICT).unwrap();
        assert_eq!(report.head, Checked::New);
        assert_eq!(model, Model::default());
        assert!(report.sections.is_empty());
    }
}

/// Other signatures, section names and orders that mean the same.
#[test]
fn equal_images_in_other_forms() {
    let base = Model::load(&bytes("synthetic/handmade-2.0.mfs"));
    for name in [
        "MFSM-2.1",
        "MFSM-3.0",
        "MFSM-9.9",
        "LABS-name",
        "len-FF",
        "CHNK-first",
        "SCLA-after-NODE",
    ] {
        let model = Model::load(&bytes(&format!("synthetic/bad/{name}.mfs")));
        assert_eq!(model, base, "{name}");
    }
    let mut anonymous = Model::load(&bytes("synthetic/bad/metaid-0.mfs"));
    assert_eq!(anonymous.header.meta_id, 0);
    anonymous.header.meta_id = base.header.meta_id;
    assert_eq!(anonymous, base);
}

/// What `-i` tolerates in the frame leaves the rest as it was.
#[test]
fn tolerated_faults_lose_only_what_is_bad() {
    let base = Model::load(&bytes("synthetic/handmade-2.0.mfs"));
    for name in [
        "unknown-section",
        "unknown-section-first",
        "len-wrong",
        "xattr-big",
    ] {
        let image = bytes(&format!("synthetic/bad/{name}.mfs"));
        let error = Model::read(&image, &STRICT).unwrap_err();
        let Loaded { model, notices, .. } = Model::read(&image, &IGNORE).unwrap();
        assert_eq!(model, base, "{name}");
        assert_eq!(notices, [format!("{} - ignored", error.fault)], "{name}");
    }
}

/// Every damaged image: refused by the codec where the frame or a record cannot be decoded, else handed on
/// (the rest of the faults is the state's matter).
#[test]
fn damaged_images_are_refused_where_the_codec_can_tell() {
    let refused = BTreeMap::from([
        (
            "sclass-cnt-0.mfs",
            "data format error (sclassid: 20; label counts: [0, 0, 0])",
        ),
        (
            "sclass-cnt-10.mfs",
            "data format error (sclassid: 20; label counts: [10, 1, 1])",
        ),
        (
            "newer-mver.mfs",
            "metadata have been stored by another version of MFS: 1.2, supported is 1.0 to 1.1",
        ),
        (
            "newer-mver-OPEN.mfs",
            "metadata have been stored by another version of MFS: 1.1, supported is 1.0 to 1.0",
        ),
        ("node-type-10.mfs", "unrecognized node type: 10"),
        ("no-NODE.mfs", "section needs a NODE section before it"),
        (
            "reversed-order.mfs",
            "section needs a NODE section before it",
        ),
        ("trailing-garbage.mfs", "wrong ending"),
        ("trunc-tail.mfs", "wrong ending"),
    ]);
    let tolerated = BTreeMap::from([
        (
            "unknown-section.mfs",
            "unknown section found (leng:5,name:XXXX 1.0)",
        ),
        (
            "unknown-section-first.mfs",
            "unknown section found (leng:5,name:XXXX 1.0)",
        ),
        (
            "len-wrong.mfs",
            "not all section has been read - file corrupted",
        ),
        (
            "xattr-big.mfs",
            "xattr value of 65537 bytes: value oversized",
        ),
    ]);
    let mut seen = 0;
    for name in images("synthetic/bad") {
        let path = path("synthetic/bad").join(&name);
        let run = |options| read_path(&path, options, &mut Model::default(), &mut |_| ());
        let (strict, ignore) = (run(&STRICT), run(&IGNORE));
        if let Some(text) = refused.get(&name[..]) {
            seen += 1;
            for result in [strict, ignore] {
                let text_found = result.unwrap_err().to_string();
                assert!(text_found.contains(text), "{name}: {text_found}");
            }
        } else if let Some(text) = tolerated.get(&name[..]) {
            seen += 1;
            let text_found = strict.unwrap_err().to_string();
            assert!(text_found.contains(text), "{name}: {text_found}");
            assert!(ignore.is_ok(), "{name}");
        } else {
            strict.unwrap_or_else(|e| panic!("{name}: {e}"));
            ignore.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    assert_eq!(seen, refused.len() + tolerated.len());
}

#[test]
fn errors_tell_the_place() {
    let image = bytes("synthetic/bad/node-type-10.mfs");
    let error = Model::read(&image, &STRICT).unwrap_err();
    let (_, node) = sections(&image)
        .into_iter()
        .find(|(name, _)| name == "NODE")
        .unwrap();
    let at = error.place.offset as usize;
    assert!(node.contains(&at));
    assert_eq!(image[at], 10);
    assert_eq!(error.place.section, Some(Section::Node.name()));
    assert_eq!(
        error.to_string(),
        format!(
            "section NODE, record {}, byte {at}: unrecognized node type: 10",
            error.place.record
        )
    );
    assert!(error.place.record > 0);

    // The sink's own errors get a place, too.
    let image = bytes("live.mfs");
    let (_, edge) = sections(&image)
        .into_iter()
        .find(|(name, _)| name == "EDGE")
        .unwrap();
    let before = Model::load(&image);
    let refuse = before.sessions.len() + before.sclasses.len() + before.nodes.len();
    let mut model = Model {
        refuse: Some(refuse),
        ..Model::default()
    };
    let error = read(&image[..], &STRICT, &mut model, &mut |_| ()).unwrap_err();
    assert!(matches!(error.fault, ReadFault::Structure(_)));
    assert_eq!(
        error.to_string(),
        format!("section EDGE, record 1, byte {}: refused", edge.start + 8)
    );
}

#[test]
fn files_are_checked_before_they_are_read() {
    let run = |name: &str| {
        read_path(&path(name), &STRICT, &mut Model::default(), &mut |_| ())
            .unwrap_err()
            .fault
    };
    let missing = path("no-such-file");
    let error = read_path(&missing, &STRICT, &mut Model::default(), &mut |_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("can't find {}", missing.display())
    );
    assert!(matches!(
        run("no-such-file"),
        ReadFault::Check(CheckError::Missing(_))
    ));
    assert!(matches!(
        run("synthetic"),
        ReadFault::Check(CheckError::Io { .. })
    ));
    assert!(matches!(
        run("fresh.crc"),
        ReadFault::Check(CheckError::BadHeader(_))
    ));
    assert!(matches!(
        run("synthetic/bad/trunc-tail.mfs"),
        ReadFault::Check(CheckError::BadEnding(_))
    ));
}
