//! Start with `-a` and `restore`: the decision table of spec 01 §7.4, one test a row.
//!
//! A row prepares a directory and is played with `start -a`, with `-a restore` and, where its
//! narrower choice of images knows the row (spec 01 §16.4), with our `mfsmetarestore -a`; each
//! time on a fresh copy.

use antler_e2e::{
    DataDir, Kind, Master, Net, Run, Tool, differences, dump, durable, fixture, metarestore,
    records,
};

use crate::start::bad_section_bytes;

both!(
    nothing,
    only_new,
    crashed,
    older_clean_image_beside,
    new_image_beside,
    bad_image_beside,
    empty_image_beside,
    emergency,
    metalogger,
    complete_temporary,
    truncated_temporary,
    different_ids,
    corrupt_best,
    no_changelogs,
    two_changelogs_on_an_older_image,
    replay_error,
    torn_last_line,
);

const V9: &str = "lifecycle/v9.mfs";
const V13: &str = "lifecycle/v13.mfs";
const OLD: &str = "lifecycle/changes-1-12.mfs";
const NEW: &str = "lifecycle/changes-13-17.mfs";
/// The version after all changes.
const W: u64 = 18;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).expect("read a fixture")
}

fn logs(data: &DataDir) {
    data.put_fixture(OLD, "changelog.1.mfs");
    data.put_fixture(NEW, "changelog.0.mfs");
}

fn crash(data: &DataDir) {
    data.put_fixture(V13, "metadata.mfs.back");
    data.put_fixture(V9, "metadata.mfs.back.1");
    logs(data);
}

/// The image has everything up to version 18: the records that the original's restore gave.
fn complete(data: &DataDir, image: &str) {
    assert_eq!(data.version(image), W);
    let expected = std::fs::read_to_string(fixture("lifecycle/v18.dump.txt")).expect("read");
    let expected = durable(records(&expected));
    let found = durable(dump(&data.file(image)));
    assert_eq!(differences(&expected, &found), "");
}

/// A row of the table: how the directory looks before.
struct Row<P> {
    kind: Kind,
    prepare: P,
}

impl<P: Fn(&DataDir)> Row<P> {
    fn new(kind: Kind, prepare: P) -> Self {
        Self { kind, prepare }
    }

    fn on_a_copy(&self, play: impl FnOnce(&Master)) {
        let net = Net::new();
        let master = Master::empty(self.kind, &net);
        (self.prepare)(&master.data);
        play(&master);
    }

    fn refused_by(&self, run: impl FnOnce(&Master) -> Run) {
        self.on_a_copy(|master| {
            let before = master.data.snapshot();
            let run = run(master).expect(1);
            master.assert_ended();
            assert_eq!(before, master.data.snapshot(), "files changed: {run}");
        });
    }

    /// `start -a` succeeds: what must be there while it runs, and after a clean stop.
    fn starts(&self, loaded: impl Fn(&DataDir), stopped: impl Fn(&DataDir)) -> &Self {
        self.on_a_copy(|master| {
            master.run(&["-a", "start"]).expect(0);
            loaded(&master.data);
            master.stop();
            stopped(&master.data);
        });
        self
    }

    /// `start -a` gives 1 and changes nothing.
    fn start_refused(&self) -> &Self {
        self.refused_by(|master| master.run(&["-a", "start"]));
        self
    }

    /// `-a restore` succeeds and leaves this.
    fn restores(&self, check: impl Fn(&DataDir)) -> &Self {
        self.on_a_copy(|master| {
            master.run(&["-a", "restore"]).expect(0);
            assert!(!master.data.has("metadata.mfs.back.tmp"));
            check(&master.data);
            // A second time nothing changes any more.
            let version = master.data.version("metadata.mfs");
            master.run(&["-a", "restore"]).expect(0);
            assert_eq!(master.data.version("metadata.mfs"), version);
        });
        self
    }

    /// `-a restore` gives 1 and changes nothing.
    fn restore_refused(&self) -> &Self {
        self.refused_by(|master| master.run(&["-a", "restore"]));
        self
    }

    /// Our `mfsmetarestore -a` succeeds, touches none of its inputs and leaves this.
    fn tool_restores(&self, check: impl Fn(&DataDir)) -> &Self {
        if self.kind == Kind::Ours {
            self.on_a_copy(|master| {
                let before = master.data.snapshot();
                tool(master).expect(0);
                let after = master.data.snapshot();
                for (name, bytes) in before.iter().filter(|(name, _)| *name != "metadata.mfs") {
                    assert_eq!(after.get(name), Some(bytes), "{name} changed");
                }
                check(&master.data);
                // The wrapper of 2010 starts the master over both files (spec 01 §18.4).
                master.start();
            });
        }
        self
    }

    /// Our `mfsmetarestore -a` gives 1 and changes nothing.
    fn tool_refused(&self) -> &Self {
        if self.kind == Kind::Ours {
            self.refused_by(tool);
        }
        self
    }
}

fn tool(master: &Master) -> Run {
    Tool::new(metarestore())
        .args(["-a", "-d"])
        .arg(master.data.path())
        .run()
}

/// The only file whose name is `metadata.mfs.` and six letters or digits: an image that was put
/// aside.
fn put_aside(data: &DataDir) -> Vec<u8> {
    let names = data.names();
    let mut aside = names.iter().filter(|name| {
        name.strip_prefix("metadata.mfs.").is_some_and(|rest| {
            rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    });
    let (Some(name), None) = (aside.next(), aside.next()) else {
        panic!("no image was put aside: {names:?}");
    };
    data.get(name)
}

fn nothing(kind: Kind) {
    Row::new(kind, |_| ())
        .start_refused()
        .restore_refused()
        .tool_refused();
}

fn only_new(kind: Kind) {
    Row::new(kind, |data| data.put("metadata.mfs", "MFSM NEW"))
        .starts(
            |data| assert_eq!(data.get("metadata.mfs.back"), b"MFSM NEW"),
            |data| {
                assert_eq!(data.version("metadata.mfs"), 2);
                assert_eq!(data.get("metadata.mfs.back.1"), b"MFSM NEW");
            },
        )
        .restores(|data| assert_eq!(data.version("metadata.mfs"), 1));
}

fn crashed(kind: Kind) {
    Row::new(kind, crash)
        .starts(
            |data| {
                assert_eq!(data.get("metadata.mfs.back"), bytes(V13));
                assert!(!data.has("metadata.mfs"));
            },
            |data| {
                complete(data, "metadata.mfs");
                assert_eq!(data.version("metadata.mfs.back.1"), 13);
            },
        )
        .restores(|data| {
            complete(data, "metadata.mfs");
            assert_eq!(data.get("changelog.0.mfs"), bytes(NEW));
            assert_eq!(data.get("changelog.1.mfs"), bytes(OLD));
        })
        .tool_restores(|data| complete(data, "metadata.mfs"));
}

fn older_clean_image_beside(kind: Kind) {
    Row::new(kind, |data| {
        crash(data);
        data.put_fixture(V9, "metadata.mfs");
    })
    .starts(
        |data| assert_eq!(put_aside(data), bytes(V9)),
        |data| complete(data, "metadata.mfs"),
    )
    .restores(|data| {
        assert_eq!(put_aside(data), bytes(V9));
        complete(data, "metadata.mfs");
    })
    .tool_restores(|data| complete(data, "metadata.mfs"));
}

fn new_image_beside(kind: Kind) {
    Row::new(kind, |data| {
        crash(data);
        data.put("metadata.mfs", "MFSM NEW");
    })
    .starts(
        |data| assert_eq!(put_aside(data), b"MFSM NEW"),
        |data| complete(data, "metadata.mfs"),
    );
}

fn bad_image_beside(kind: Kind) {
    Row::new(kind, |data| {
        crash(data);
        data.put("metadata.mfs", &bytes(V9)[..1000]);
    })
    .starts(
        |data| assert_eq!(put_aside(data), &bytes(V9)[..1000]),
        |data| complete(data, "metadata.mfs"),
    );
}

fn empty_image_beside(kind: Kind) {
    Row::new(kind, |data| {
        crash(data);
        data.put("metadata.mfs", "");
    })
    .starts(
        |data| {
            assert!(!data.has("metadata.mfs"));
            assert_eq!(data.get("metadata.mfs.back"), bytes(V13));
        },
        |data| complete(data, "metadata.mfs"),
    );
}

fn emergency(kind: Kind) {
    Row::new(kind, |data| {
        data.put_fixture(V13, "metadata.mfs.emergency");
        data.put_fixture(V9, "metadata.mfs.back.1");
        logs(data);
    })
    .starts(
        |data| assert_eq!(data.get("metadata.mfs.emergency"), bytes(V13)),
        |data| {
            complete(data, "metadata.mfs");
            assert_eq!(data.get("metadata.mfs.emergency"), bytes(V13));
        },
    );
}

fn metalogger(kind: Kind) {
    Row::new(kind, |data| {
        data.copy_from(&fixture("lifecycle/metalogger"))
    })
    .starts(
        |data| assert!(!data.has("metadata.mfs.back")),
        |data| complete(data, "metadata.mfs"),
    )
    .restores(|data| {
        complete(data, "metadata.mfs");
        assert_eq!(data.version("metadata_ml.mfs.back"), 13);
    })
    .tool_restores(|data| complete(data, "metadata.mfs"));
}

fn complete_temporary(kind: Kind) {
    Row::new(kind, |data| {
        data.put_fixture(V13, "metadata.mfs.back.tmp");
        data.put_fixture(V9, "metadata.mfs.back.1");
        logs(data);
    })
    .starts(|_| (), |data| complete(data, "metadata.mfs"));
}

fn truncated_temporary(kind: Kind) {
    Row::new(kind, |data| {
        crash(data);
        data.put("metadata.mfs.back.tmp", &bytes(V13)[..1500]);
    })
    .starts(
        |data| {
            assert!(!data.has("metadata.mfs.back.tmp"));
            assert_eq!(data.get("metadata.mfs.back"), bytes(V13));
        },
        |data| complete(data, "metadata.mfs"),
    );
}

fn different_ids(kind: Kind) {
    let prepare = |data: &DataDir| {
        crash(data);
        data.put_fixture("lifecycle/other-id-v188.mfs", "metadata.mfs");
    };
    Row::new(kind, prepare).start_refused().restore_refused();
    // With -i the greatest version wins.
    Row::new(kind, prepare).on_a_copy(|master| {
        master.run(&["-a", "-i", "restore"]).expect(0);
        assert_eq!(master.data.version("metadata.mfs"), 188);
    });
}

fn corrupt_best(kind: Kind) {
    let row = Row::new(kind, |data| {
        data.put("metadata.mfs.back", bad_section_bytes(V13));
        data.put_fixture(V9, "metadata.mfs.back.1");
        logs(data);
    });
    match kind {
        Kind::Original => {
            row.start_refused().restore_refused();
        }
        // The next best image and its changelogs give the same state (defect 11).
        Kind::Ours => {
            row.starts(|_| (), |data| complete(data, "metadata.mfs"))
                .restores(|data| complete(data, "metadata.mfs"));
        }
    }
}

fn no_changelogs(kind: Kind) {
    Row::new(kind, |data| data.put_fixture(V13, "metadata.mfs.back"))
        .starts(|_| (), |data| assert_eq!(data.version("metadata.mfs"), 13))
        .restores(|data| assert_eq!(data.version("metadata.mfs"), 13))
        // An image alone needs no restore: 1 as in 2010 (spec 01 §16.4).
        .tool_refused();
}

fn two_changelogs_on_an_older_image(kind: Kind) {
    Row::new(kind, |data| {
        data.put_fixture(V9, "metadata.mfs.back.1");
        logs(data);
    })
    .starts(|_| (), |data| complete(data, "metadata.mfs"))
    .restores(|data| complete(data, "metadata.mfs"));
}

fn replay_error(kind: Kind) {
    let prepare = |data: &DataDir| {
        crash(data);
        let log = String::from_utf8(bytes(NEW)).expect("text");
        let gap: Vec<&str> = log
            .lines()
            .filter(|line| !line.starts_with("15: "))
            .collect();
        data.put("changelog.0.mfs", gap.join("\n") + "\n");
    };
    Row::new(kind, prepare)
        .start_refused()
        .restore_refused()
        .tool_refused();
    // The best that can be had, when asked for.
    Row::new(kind, prepare).on_a_copy(|master| {
        master.run(&["-a", "-i", "restore"]).expect(0);
        assert_eq!(master.data.version("metadata.mfs"), 15);
    });
    if kind == Kind::Ours {
        Row::new(kind, prepare).on_a_copy(|master| {
            let run = Tool::new(metarestore())
                .args(["-a", "-b", "-d"])
                .arg(master.data.path())
                .run()
                .expect(0);
            assert_eq!(master.data.version("metadata.mfs"), 15);
            assert!(
                run.text().contains("changelog.0.mfs"),
                "names no file: {run}"
            );
        });
    }
}

fn torn_last_line(kind: Kind) {
    let row = Row::new(kind, |data| {
        crash(data);
        let log = bytes(NEW);
        data.put("changelog.0.mfs", &log[..log.len() - 5]);
    });
    // The original skips the whole file in silence (defect 1); ours applies every whole line.
    let version = match kind {
        Kind::Original => 13,
        Kind::Ours => 17,
    };
    let check = |data: &DataDir| assert_eq!(data.version("metadata.mfs"), version);
    row.starts(|_| (), check)
        .restores(check)
        .tool_restores(check);
    if kind == Kind::Ours {
        row.on_a_copy(|master| {
            let run = tool(master).expect(0);
            assert!(
                run.text().contains("changelog.0.mfs"),
                "names no file: {run}"
            );
        });
    }
}
