//! Start without `-a`: the decision table of spec 01 §7.2, one test a row.

use antler_e2e::{DataDir, Kind, Master, Net, fixture};

both!(
    nothing,
    only_back,
    only_older_image_and_emergency,
    only_metalogger_files,
    empty_file,
    short_file,
    short_header,
    bad_header,
    bad_ending,
    bad_section,
    new_file_system,
    new_over_real_back,
    newer_back_of_other_id,
    newer_back_of_same_id,
    older_back,
    older_back_of_other_id,
    invalid_back,
    newer_back_without_its_end,
    no_back,
    stale_temporary_image,
    changelogs_beyond_the_image,
    directory_not_writable,
);

const V9: &str = "lifecycle/v9.mfs";
const V13: &str = "lifecycle/v13.mfs";
const OTHER: &str = "lifecycle/other-id-v188.mfs";

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).expect("read a fixture")
}

/// An image whose head and tail are sound and whose NODE section is not.
pub(crate) fn bad_section_bytes(name: &str) -> Vec<u8> {
    let mut image = bytes(name);
    let node = image
        .windows(8)
        .position(|window| window == b"NODE 1.4")
        .expect("a NODE section");
    // The type of the first node: behind the section's name, length and two counters.
    for byte in &mut image[node + 16..node + 40] {
        *byte = 0xff;
    }
    image
}

/// A start that must be refused with one of these texts and must leave every file as it was.
fn refused(kind: Kind, text: &str, prepare: impl Fn(&DataDir)) {
    let net = Net::new();
    let master = Master::empty(kind, &net);
    prepare(&master.data);
    let before = master.data.snapshot();
    let run = master.run(&["start"]).expect(1);
    assert!(run.stderr.contains(text), "no {text:?} in: {run}");
    master.assert_ended();
    assert_eq!(before, master.data.snapshot(), "files changed: {run}");
}

/// A start that must succeed; the test goes on with the running master.
fn starts(kind: Kind, prepare: impl Fn(&DataDir), check: impl Fn(&Master)) {
    let net = Net::new();
    let master = Master::empty(kind, &net);
    prepare(&master.data);
    master.start();
    check(&master);
}

fn nothing(kind: Kind) {
    refused(kind, "can't find metadata.mfs", |_| ());
}

fn only_back(kind: Kind) {
    refused(kind, "can't find metadata.mfs", |data| {
        data.put_fixture(V13, "metadata.mfs.back");
        data.put_fixture("lifecycle/changes-13-17.mfs", "changelog.0.mfs");
    });
}

/// A crashed master of ours names the command that recovers.
#[test]
fn crashed_names_the_way_out() {
    refused(Kind::Ours, "mfsmetarestore -a", |data| {
        data.put_fixture(V13, "metadata.mfs.back");
    });
}

fn only_older_image_and_emergency(kind: Kind) {
    refused(kind, "can't find metadata.mfs", |data| {
        data.put_fixture(V9, "metadata.mfs.back.1");
        data.put_fixture(V13, "metadata.mfs.emergency");
    });
}

fn only_metalogger_files(kind: Kind) {
    refused(kind, "can't find metadata.mfs", |data| {
        data.copy_from(&fixture("lifecycle/metalogger"));
    });
}

fn empty_file(kind: Kind) {
    refused(kind, "error reading metadata.mfs", |data| {
        data.put("metadata.mfs", "");
        data.put_fixture(V13, "metadata.mfs.back");
    });
}

fn short_file(kind: Kind) {
    refused(kind, "error reading metadata.mfs", |data| {
        data.put("metadata.mfs", "MFSM 2.");
    });
}

fn short_header(kind: Kind) {
    refused(kind, "error reading metadata.mfs", |data| {
        data.put("metadata.mfs", &bytes(V9)[..20]);
    });
}

fn bad_header(kind: Kind) {
    refused(kind, "metadata.mfs has wrong header", |data| {
        let mut image = bytes(V9);
        image[..8].copy_from_slice(b"SFSM 2.0");
        data.put("metadata.mfs", image);
        data.put_fixture(V9, "metadata.mfs.back");
    });
}

fn bad_ending(kind: Kind) {
    refused(kind, "metadata.mfs has wrong ending", |data| {
        let image = bytes(V9);
        data.put("metadata.mfs", &image[..image.len() - 1]);
        data.put_fixture(V9, "metadata.mfs.back");
    });
}

fn bad_section(kind: Kind) {
    refused(kind, "error loading metadata", |data| {
        data.put("metadata.mfs", bad_section_bytes(V9));
        data.put_fixture(V9, "metadata.mfs.back");
    });
}

fn new_file_system(kind: Kind) {
    starts(
        kind,
        |data| data.put("metadata.mfs", "MFSM NEW"),
        |master| {
            assert!(!master.data.has("metadata.mfs"));
            assert_eq!(master.data.get("metadata.mfs.back"), b"MFSM NEW");
            antler_e2e::wait_for("the first change", antler_e2e::PATIENCE, || {
                master
                    .data
                    .changes()
                    .get(&1)
                    .is_some_and(|line| line.contains("|SETMETAID("))
            });
            master.stop();
            assert_eq!(master.data.version("metadata.mfs"), 2);
            assert_eq!(master.data.get("metadata.mfs.back.1"), b"MFSM NEW");
            assert!(!master.data.has("metadata.mfs.back"));
        },
    );
}

fn new_over_real_back(kind: Kind) {
    let prepare = |data: &DataDir| {
        data.put("metadata.mfs", "MFSM NEW");
        data.put_fixture(V13, "metadata.mfs.back");
        data.put_fixture("lifecycle/changes-13-17.mfs", "changelog.0.mfs");
    };
    match kind {
        // The file system of the .back is lost (defect 3).
        Kind::Original => starts(kind, prepare, |master| {
            assert_eq!(master.data.get("metadata.mfs.back"), b"MFSM NEW");
        }),
        Kind::Ours => refused(kind, "metadata.mfs.back", prepare),
    }
}

fn newer_back_of_other_id(kind: Kind) {
    refused(kind, "backup file is newer than current file", |data| {
        data.put_fixture(V9, "metadata.mfs");
        data.put_fixture(OTHER, "metadata.mfs.back");
    });
}

fn newer_back_of_same_id(kind: Kind) {
    let prepare = |data: &DataDir| {
        data.put_fixture(V9, "metadata.mfs");
        data.put_fixture(V13, "metadata.mfs.back");
    };
    match kind {
        // Versions 9 to 12 are lost (defect 3).
        Kind::Original => starts(kind, prepare, |master| {
            assert_eq!(master.data.version("metadata.mfs.back"), 9);
        }),
        Kind::Ours => refused(kind, "backup file is newer than current file", prepare),
    }
}

/// The image became the `.back`: the mark of a running master.
fn running_from(master: &Master, image: &str) {
    assert!(!master.data.has("metadata.mfs"));
    assert_eq!(master.data.get("metadata.mfs.back"), bytes(image));
}

fn older_back(kind: Kind) {
    starts(
        kind,
        |data| {
            data.put_fixture(V13, "metadata.mfs");
            data.put_fixture(V9, "metadata.mfs.back");
        },
        |master| running_from(master, V13),
    );
}

fn older_back_of_other_id(kind: Kind) {
    starts(
        kind,
        |data| {
            data.put_fixture(OTHER, "metadata.mfs");
            data.put_fixture(V13, "metadata.mfs.back");
        },
        |master| running_from(master, OTHER),
    );
}

fn invalid_back(kind: Kind) {
    starts(
        kind,
        |data| {
            data.put_fixture(V9, "metadata.mfs");
            data.put("metadata.mfs.back", "no image at all");
        },
        |master| running_from(master, V9),
    );
}

fn newer_back_without_its_end(kind: Kind) {
    let prepare = |data: &DataDir| {
        data.put_fixture(V9, "metadata.mfs");
        let image = bytes(V13);
        data.put("metadata.mfs.back", &image[..image.len() - 1]);
    };
    match kind {
        Kind::Original => starts(kind, prepare, |master| running_from(master, V9)),
        // Damaged, but its head says that it is newer: a person must look before it is
        // overwritten (defect 3).
        Kind::Ours => refused(kind, "backup file is newer than current file", prepare),
    }
}

fn no_back(kind: Kind) {
    starts(
        kind,
        |data| data.put_fixture(V9, "metadata.mfs"),
        |master| {
            running_from(master, V9);
            master.stop();
            assert_eq!(master.data.version("metadata.mfs"), 9);
            assert_eq!(master.data.version("metadata.mfs.back.1"), 9);
        },
    );
}

fn stale_temporary_image(kind: Kind) {
    starts(
        kind,
        |data| {
            data.put_fixture(V9, "metadata.mfs");
            data.put("metadata.mfs.back.tmp", "MFSM 2.0 half of an ima");
        },
        |master| {
            running_from(master, V9);
            assert!(!master.data.has("metadata.mfs.back.tmp"));
        },
    );
}

fn changelogs_beyond_the_image(kind: Kind) {
    let net = Net::new();
    let master = Master::empty(kind, &net);
    master.data.put_fixture(V13, "metadata.mfs");
    master
        .data
        .put_fixture("lifecycle/changes-13-17.mfs", "changelog.0.mfs");
    master.start();
    running_from(&master, V13);
    let mount = antler_e2e::Mount::new(&net);
    std::fs::create_dir(mount.join("after")).expect("mkdir");
    antler_e2e::wait_for("its line", antler_e2e::PATIENCE, || {
        master.data.snapshot().iter().any(|(name, log)| {
            name.starts_with("changelog") && String::from_utf8_lossy(log).contains("(1,after,")
        })
    });
    let old = bytes("lifecycle/changes-13-17.mfs");
    match kind {
        // New lines with numbers from 13 behind old ones up to 17 in one file (defect 14): every
        // reader drops what follows the first backward number.
        Kind::Original => assert!(master.data.get("changelog.0.mfs").starts_with(&old)),
        // The log of the other history is kept under a name that no reader takes for a changelog.
        Kind::Ours => {
            let aside = std::fs::read_dir(master.data.path())
                .expect("list the data directory")
                .map(|entry| entry.expect("list the data directory").path())
                .filter(|path| path.to_string_lossy().contains("aside.changelog.0.mfs"))
                .map(|path| std::fs::read(path).expect("read a changelog"))
                .collect::<Vec<_>>();
            assert_eq!(aside, [old]);
            assert!(master.data.get("changelog.0.mfs").starts_with(b"13: "));
            let last = *master.data.changes().keys().last().expect("changes");
            master.kill9();
            drop(mount);
            master.restore().expect(0);
            assert_eq!(master.data.version("metadata.mfs"), last + 1);
        }
    }
}

fn directory_not_writable(kind: Kind) {
    let net = Net::new();
    let dir = antler_e2e::Tmpfs::new("size=4m");
    let master = Master::over(kind, &net, dir.path());
    master.data.put_fixture(V9, "metadata.mfs");
    dir.remount("ro");
    let before = master.data.snapshot();
    master.run(&["start"]).expect(1);
    // Every action needs to write the lock file (spec 01 §4), the original's `test` too.
    master.run(&["test"]).expect(1);
    assert_eq!(before, master.data.snapshot());
    dir.remount("rw");
    master.start();
    running_from(&master, V9);
}
