//! The decision tables of spec 01 §7, row by row, and what is left when a step fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mfs_meta::op::{Line, Op, Outcome};
use mfs_meta::{Companion, Metadata, Status, View};

use super::*;
use crate::changelog::{OnError, ReplayFault, Until};
use crate::fs::faulty::{Call, Fault, FaultyFs};
use crate::image::Checked;

const ID: u64 = 0x1234_5678_9ABC_DEF0;
const FOREIGN: u64 = 0xFFFF;
const NEW: &[u8] = b"MFSM NEW";

/// The file system of these tests: change 1 gives it an id, change N makes a directory dN.
fn change(number: u64, id: u64) -> Op<'static> {
    if number == 1 {
        return Op::SetMetaId { id };
    }
    Op::Create {
        parent: 1,
        name: format!("d{number}").into_bytes().into(),
        kind: 2,
        mode: 0o755,
        umask: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
    }
}

fn state_of(version: u64, id: u64) -> Metadata {
    let mut meta = Metadata::new(1, 1000);
    for number in 1..version {
        meta.apply(1000 + number as u32, &change(number, id))
            .unwrap();
    }
    meta
}

fn view(version: u64) -> View {
    state_of(version, ID).view()
}

struct Dir {
    temp: tempfile::TempDir,
}

impl Dir {
    fn new() -> Dir {
        Dir {
            temp: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.temp.path()
    }

    fn data(&self) -> DataDir {
        DataDir::new(self.path()).with_emergency(Vec::new())
    }

    fn put(self, name: &str, bytes: &[u8]) -> Dir {
        std::fs::write(self.path().join(name), bytes).unwrap();
        self
    }

    fn image(self, name: &str, version: u64) -> Dir {
        self.image_of(name, version, ID)
    }

    fn image_of(self, name: &str, version: u64, id: u64) -> Dir {
        let bytes = image_bytes(version, id);
        self.put(name, &bytes)
    }

    /// Head and tail are sound, the middle is not.
    fn broken(self, name: &str, version: u64) -> Dir {
        let mut bytes = image_bytes(version, ID);
        let middle = bytes.len() - 200..bytes.len() - 100;
        bytes[middle].fill(0xA5);
        bytes[24..28].copy_from_slice(b"XXXX");
        self.put(name, &bytes)
    }

    fn cut(self, name: &str, version: u64) -> Dir {
        let bytes = image_bytes(version, ID);
        self.put(name, &bytes[..bytes.len() - 1])
    }

    fn log(self, name: &str, numbers: std::ops::RangeInclusive<u64>) -> Dir {
        let text = log_text(numbers);
        self.put(name, &text)
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        entries
            .map(|e| {
                let e = e.unwrap();
                let name = e.file_name().to_string_lossy().into_owned();
                (name, std::fs::read(e.path()).unwrap())
            })
            .collect()
    }

    /// Names; the random part of those moved aside is `*`.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.files().into_keys().map(|n| masked(&n)).collect();
        names.sort();
        names
    }

    fn version(&self, name: &str) -> u64 {
        crate::image::check(&self.path().join(name))
            .unwrap()
            .version()
    }

    fn load(&self, mode: Mode) -> Result<Loaded, LoadError> {
        self.data().load(mode, &LoadOptions::default(), &mut |_| ())
    }

    fn load_ignoring(&self, mode: Mode) -> Result<Loaded, LoadError> {
        let options = LoadOptions {
            ignore: true,
            on_error: OnError::KeepBest,
            ..LoadOptions::default()
        };
        self.data().load(mode, &options, &mut |_| ())
    }

    /// A start: version reached, and names afterwards.
    fn start(&self, mode: Mode) -> (u64, Vec<String>) {
        let loaded = self.load(mode).unwrap();
        self.data().after_load(&loaded, &keep(1)).unwrap();
        (checked_version(&loaded.meta), self.names())
    }

    /// Refused, and nothing touched.
    fn refused(&self, mode: Mode) -> LoadError {
        let before = self.files();
        let error = self.load(mode).err().expect("refused");
        assert_eq!(self.files(), before);
        error
    }

    fn restore(&self, options: &RestoreOptions) -> Result<Restored, RestoreError> {
        self.data().restore(&mut (), options, &mut |_| ())
    }

    fn restored(&self) -> (u64, Vec<String>) {
        let restored = self.restore(&RestoreOptions::default()).unwrap();
        let version = checked_version(&restored.loaded.meta);
        assert_eq!(self.version(METADATA), version);
        (version, self.names())
    }
}

fn masked(name: &str) -> String {
    let (stem, last) = name.rsplit_once('.').unwrap_or((name, ""));
    let random = last.len() == 6 && last.bytes().all(|b| b.is_ascii_alphanumeric());
    if random {
        format!("{stem}.*")
    } else {
        name.to_owned()
    }
}

fn image_bytes(version: u64, id: u64) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    DataDir::write_image(&state_of(version, id).view(), None, &path, 0).unwrap();
    std::fs::read(path).unwrap()
}

fn log_text(numbers: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    let mut meta = Metadata::new(1, 1000);
    let mut text = Vec::new();
    for number in 1..=*numbers.end() {
        let (ts, op) = (1000 + number as u32, change(number, ID));
        let outcome = meta.apply(ts, &op).unwrap();
        if numbers.contains(&number) {
            let line = Line {
                version: number,
                ts,
                op,
                recorded: Some(outcome),
            };
            line.write(&mut text);
        }
    }
    text
}

/// Version of a state that has exactly the directories that it must have.
fn checked_version(meta: &Metadata) -> u64 {
    let version = meta.version();
    for number in 2..version + 3 {
        let name = format!("d{number}");
        let there = meta.lookup(1, name.as_bytes()).is_some();
        assert_eq!(there, number < version, "d{number} at version {version}");
    }
    version
}

// ---- 7.2: start without -a ---------------------------------------------------------------------

#[test]
fn plain_without_a_clean_image_is_refused() {
    let dirs = [
        Dir::new(),
        Dir::new().image(METADATA_BACK, 11),
        Dir::new().image("metadata.mfs.back.1", 8),
        Dir::new().image(METADATA_EMERGENCY, 8),
        Dir::new().image("metadata_ml.mfs.back", 8),
    ];
    for dir in dirs {
        let error = dir.refused(Mode::Plain);
        assert!(matches!(error, LoadError::Choose(ChooseError::Missing)));
        let text = error.to_string();
        assert!(text.starts_with("can't find metadata.mfs - try using option '-a'"));
        assert!(text.contains("'mfsmetarestore -a' recovers"));
    }
}

#[test]
fn plain_with_a_damaged_image_is_refused() {
    let good = image_bytes(8, ID);
    let cases: [(&[u8], &str); 6] = [
        (b"", "error reading metadata.mfs"),
        (b"MFSM NE", "error reading metadata.mfs"),
        (&good[..23], "error reading metadata.mfs"),
        (
            b"XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
            "metadata.mfs has wrong header",
        ),
        (&good[..good.len() - 1], "metadata.mfs has wrong ending"),
        (&good[..100], "metadata.mfs has wrong ending"),
    ];
    for (bytes, message) in cases {
        for dir in [Dir::new(), Dir::new().image(METADATA_BACK, 11)] {
            let error = dir.put(METADATA, bytes).refused(Mode::Plain);
            assert!(error.to_string().starts_with(message), "{error}");
        }
    }
    let error = Dir::new().broken(METADATA, 8).refused(Mode::Plain);
    assert!(matches!(error, LoadError::Image(..)), "{error}");
}

#[test]
fn plain_new() {
    let dir = Dir::new().put(METADATA, NEW);
    assert_eq!(dir.start(Mode::Plain), (1, vec![METADATA_BACK.to_owned()]));
    assert_eq!(dir.files()[METADATA_BACK], NEW);
    // Once more, when the first start has come to nothing.
    let dir = Dir::new().put(METADATA, NEW).put(METADATA_BACK, NEW);
    assert_eq!(dir.start(Mode::Plain), (1, vec![METADATA_BACK.to_owned()]));
}

#[test]
fn plain_new_beside_a_real_one_is_refused() {
    for dir in [
        Dir::new().image(METADATA_BACK, 11),
        Dir::new().cut(METADATA_BACK, 11),
        Dir::new().put(METADATA_BACK, b""),
        Dir::new().image(METADATA_TMP, 11),
    ] {
        let dir = dir.put(METADATA, NEW);
        let error = dir.refused(Mode::Plain);
        assert!(
            matches!(error, LoadError::Choose(ChooseError::NewBesideReal { .. })),
            "{error}"
        );
    }
    // By force it starts empty, and the real one is kept.
    let dir = Dir::new().put(METADATA, NEW).image(METADATA_BACK, 11);
    let loaded = dir.load_ignoring(Mode::Plain).unwrap();
    let begun = dir.data().after_load(&loaded, &keep(1)).unwrap();
    assert!(matches!(&begun.notes[..], [Note::MovedAside { .. }]));
    assert_eq!(dir.names(), ["aside.metadata.mfs.back.*", METADATA_BACK]);
    assert!(
        dir.files()
            .values()
            .any(|bytes| *bytes == image_bytes(11, ID))
    );
}

#[test]
fn plain_with_a_newer_backup_is_refused() {
    for dir in [
        Dir::new().image(METADATA_BACK, 11),
        Dir::new().image_of(METADATA_BACK, 11, FOREIGN),
        Dir::new().cut(METADATA_BACK, 11),
        Dir::new().image(METADATA_TMP, 11),
    ] {
        let dir = dir.image(METADATA, 8);
        let error = dir.refused(Mode::Plain);
        assert!(
            matches!(
                error,
                LoadError::Choose(ChooseError::NewerBackup {
                    newer: 11,
                    version: 8,
                    ..
                })
            ),
            "{error}"
        );
    }
    let dir = Dir::new().image(METADATA, 8).image(METADATA_BACK, 11);
    let loaded = dir.load_ignoring(Mode::Plain).unwrap();
    assert_eq!(loaded.meta.version(), 8);
    dir.data().after_load(&loaded, &keep(1)).unwrap();
    assert_eq!(dir.names(), ["aside.metadata.mfs.back.*", METADATA_BACK]);
    assert_eq!(dir.version(METADATA_BACK), 8);
}

#[test]
fn plain_with_an_older_backup() {
    let dir = Dir::new().image(METADATA, 8).image(METADATA_BACK, 6);
    assert_eq!(dir.start(Mode::Plain), (8, vec![METADATA_BACK.to_owned()]));
    assert_eq!(dir.version(METADATA_BACK), 8);
    let dir = Dir::new().image(METADATA, 8);
    assert_eq!(dir.start(Mode::Plain), (8, vec![METADATA_BACK.to_owned()]));
    // An empty file is nothing; a damaged or foreign one is kept.
    let dir = Dir::new().image(METADATA, 8).put(METADATA_BACK, b"");
    assert_eq!(dir.start(Mode::Plain), (8, vec![METADATA_BACK.to_owned()]));
    for dir in [
        Dir::new().put(METADATA_BACK, b"garbage"),
        Dir::new().cut(METADATA_BACK, 6),
        Dir::new().image_of(METADATA_BACK, 6, FOREIGN),
    ] {
        let kept = dir.files()[METADATA_BACK].clone();
        let dir = dir.image(METADATA, 8);
        let names = ["aside.metadata.mfs.back.*", METADATA_BACK].map(str::to_owned);
        assert_eq!(dir.start(Mode::Plain), (8, names.to_vec()));
        assert!(dir.files().values().any(|bytes| *bytes == kept));
        // What is aside is in nobody's way.
        assert_eq!(dir.load(Mode::Restore).unwrap().meta.version(), 8);
    }
}

#[test]
fn plain_with_a_stale_tmp() {
    for dir in [
        Dir::new().cut(METADATA_TMP, 11),
        Dir::new().image(METADATA_TMP, 5),
    ] {
        let dir = dir.image(METADATA, 8);
        assert_eq!(dir.start(Mode::Plain), (8, vec![METADATA_BACK.to_owned()]));
    }
}

#[test]
fn plain_does_not_mix_histories() {
    let dir = Dir::new()
        .image(METADATA, 8)
        .log("changelog.1.mfs", 1..=7)
        .log("changelog.0.mfs", 8..=12);
    let (version, names) = dir.start(Mode::Plain);
    assert_eq!(version, 8);
    assert_eq!(
        names,
        ["aside.changelog.0.mfs.*", "changelog.1.mfs", METADATA_BACK]
    );
    assert_eq!(dir.load(Mode::Restore).unwrap().meta.version(), 8);
}

#[test]
fn plain_rename_that_fails() {
    let dir = Dir::new().image(METADATA, 8).image(METADATA_BACK, 6);
    let loaded = dir.load(Mode::Plain).unwrap();
    let before = dir.files();
    let fs = FaultyFs::default();
    fs.plan(Call::Rename, &[Fault::Errno(13)]);
    let error = dir
        .data()
        .with_fs(Arc::new(fs))
        .after_load(&loaded, &keep(1))
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::File(error) if error.action == "rename"),
        "{error}"
    );
    assert_eq!(dir.files(), before);
}

// ---- 7.3, 7.4: start with -a and restore -------------------------------------------------------

#[test]
fn nothing_there() {
    for dir in [
        Dir::new(),
        Dir::new()
            .put(METADATA_CRC, b"x")
            .log("changelog.0.mfs", 1..=7),
    ] {
        let error = dir.refused(Mode::Restore);
        assert!(matches!(error, LoadError::Choose(ChooseError::NoneValid)));
    }
}

#[test]
fn only_new() {
    let dir = Dir::new().put(METADATA, NEW);
    assert_eq!(
        dir.start(Mode::Restore),
        (1, vec![METADATA_BACK.to_owned()])
    );
    let dir = Dir::new().put(METADATA, NEW);
    assert_eq!(dir.restored(), (1, vec![METADATA.to_owned()]));
    let checked = crate::image::check(&dir.path().join(METADATA)).unwrap();
    assert!(matches!(
        checked,
        Checked::Image {
            version: 1,
            meta_id: 0,
            ..
        }
    ));
}

fn crashed() -> Dir {
    Dir::new()
        .image(METADATA_BACK, 11)
        .image("metadata.mfs.back.1", 8)
        .log("changelog.1.mfs", 8..=10)
        .log("changelog.0.mfs", 11..=13)
}

const CRASHED: [&str; 4] = [
    "changelog.0.mfs",
    "changelog.1.mfs",
    METADATA_BACK,
    "metadata.mfs.back.1",
];

#[test]
fn crashed_master() {
    let dir = crashed();
    let before = dir.files();
    let loaded = dir.load(Mode::Restore).unwrap();
    dir.data().after_load(&loaded, &keep(1)).unwrap();
    assert_eq!(dir.files(), before);
    // The clean stop of that run.
    dir.data()
        .clean_stop(
            &loaded.meta.view(),
            &StoreOptions {
                keep_previous: 1,
                ..StoreOptions::default()
            },
        )
        .unwrap();
    assert_eq!(
        (dir.version(METADATA), dir.version("metadata.mfs.back.1")),
        (14, 11)
    );
    assert!(!dir.path().join(METADATA_BACK).exists());
    assert_eq!(dir.start(Mode::Plain).0, 14);
    // A restore leaves everything and can be repeated.
    let dir = crashed();
    let (version, names) = dir.restored();
    assert_eq!(version, 14);
    assert_eq!(names, [&CRASHED[..2], &[METADATA], &CRASHED[2..]].concat());
    let after = dir.files();
    let again = dir.restore(&RestoreOptions::default()).unwrap();
    assert!(!again.written);
    assert_eq!(dir.files(), after);
    assert_eq!(dir.start(Mode::Plain).0, 14);
}

#[test]
fn other_metadata_beside_the_backup() {
    let bad = image_bytes(8, ID);
    for bytes in [&image_bytes(8, ID)[..], NEW, &bad[..bad.len() - 5]] {
        let dir = crashed().put(METADATA, bytes);
        let (version, names) = dir.start(Mode::Restore);
        assert_eq!(version, 14);
        let expected = [&CRASHED[..3], &["metadata.mfs.*", "metadata.mfs.back.1"]].concat();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(dir.files().values().any(|kept| kept == bytes));
        let dir = crashed().put(METADATA, bytes);
        let (version, names) = dir.restored();
        assert_eq!(version, 14);
        assert!(names.contains(&"metadata.mfs.*".to_owned()) && names.len() == 6);
        assert!(dir.files().values().any(|kept| kept == bytes));
    }
    let dir = crashed().put(METADATA, b"");
    assert_eq!(
        dir.start(Mode::Restore),
        (14, CRASHED.map(str::to_owned).to_vec())
    );
}

#[test]
fn emergency_image_in_the_directory() {
    let dir = Dir::new()
        .image(METADATA_EMERGENCY, 11)
        .image("metadata.mfs.back.1", 8)
        .log("changelog.0.mfs", 9..=13);
    let (version, names) = dir.start(Mode::Restore);
    assert_eq!(version, 14);
    assert_eq!(
        names,
        ["changelog.0.mfs", "metadata.mfs.back.1", METADATA_EMERGENCY]
    );
    assert_eq!(dir.restored().0, 14);
}

#[test]
fn emergency_image_elsewhere() {
    let elsewhere = Dir::new()
        .image("same", 12)
        .image("newest", 13)
        .image_of("foreign", 20, FOREIGN);
    let paths: Vec<PathBuf> = ["same", "newest", "foreign", "none"]
        .iter()
        .map(|n| elsewhere.path().join(n))
        .collect();
    let load = |dir: &Dir| {
        let data = dir.data().with_emergency(paths.clone());
        let loaded = data
            .load(Mode::Restore, &LoadOptions::default(), &mut |_| ())
            .unwrap();
        (checked_version(&loaded.meta), loaded.image.path)
    };
    assert_eq!(
        load(&Dir::new().image(METADATA_BACK, 11)),
        (13, paths[1].clone())
    );
    let newer = Dir::new().image(METADATA_BACK, 15);
    assert_eq!(load(&newer), (15, newer.path().join(METADATA_BACK)));
    // Without an id nothing tells that they belong together.
    assert_eq!(load(&Dir::new().put(METADATA, NEW)).0, 1);
}

#[test]
fn metalogger_files() {
    let dir = Dir::new()
        .image("metadata_ml.mfs.back", 8)
        .log("changelog_ml.0.mfs", 11..=13)
        .log("changelog_ml_back.0.mfs", 7..=11);
    let before = dir.files();
    let (version, _) = dir.start(Mode::Restore);
    assert_eq!(version, 14);
    assert_eq!(dir.files(), before);
    let (_, names) = dir.restored();
    assert_eq!(names.len(), 4);
}

#[test]
fn image_that_was_being_written() {
    // Complete: it is the newest one and gets its name.
    let dir = Dir::new()
        .image(METADATA_TMP, 11)
        .image("metadata.mfs.back.1", 8)
        .log("changelog.0.mfs", 11..=13);
    let (version, names) = dir.start(Mode::Restore);
    assert_eq!(version, 14);
    assert_eq!(
        names,
        ["changelog.0.mfs", METADATA_BACK, "metadata.mfs.back.1"]
    );
    assert_eq!(
        (
            dir.version(METADATA_BACK),
            dir.version("metadata.mfs.back.1")
        ),
        (11, 8)
    );
    let dir = crashed().image(METADATA_TMP, 12);
    assert_eq!(dir.start(Mode::Restore).0, 14);
    assert_eq!(
        (
            dir.version(METADATA_BACK),
            dir.version("metadata.mfs.back.1")
        ),
        (12, 11)
    );
    // Cut: it does not count.
    let dir = crashed().cut(METADATA_TMP, 12);
    assert_eq!(
        dir.start(Mode::Restore),
        (14, CRASHED.map(str::to_owned).to_vec())
    );
}

#[test]
fn different_ids() {
    let dir = crashed().image_of("metadata.mfs.other", 9, FOREIGN);
    let error = dir.refused(Mode::Restore);
    assert!(matches!(
        error,
        LoadError::Choose(ChooseError::DifferentIds(_))
    ));
    assert!(
        error
            .to_string()
            .contains("metadata.mfs.other - version: 9 ; id: 000000000000FFFF")
    );
    assert_eq!(dir.load_ignoring(Mode::Restore).unwrap().meta.version(), 14);
}

#[test]
fn a_damaged_best_image_costs_nothing_if_the_changelogs_reach() {
    let dir = Dir::new()
        .broken(METADATA_BACK, 11)
        .image("metadata.mfs.back.1", 8)
        .log("changelog.1.mfs", 8..=10)
        .log("changelog.0.mfs", 11..=13);
    let mut said = Vec::new();
    let loaded = dir
        .data()
        .load(Mode::Restore, &LoadOptions::default(), &mut |step| {
            if let Step::Note(note) = step {
                said.push(note.clone());
            }
        });
    assert_eq!(checked_version(&loaded.unwrap().meta), 14);
    assert!(matches!(&said[..], [Note::FallBack { .. }]));
    assert!(said[0].to_string().contains("IS DAMAGED"));
    let bytes = dir.files()[METADATA_BACK].clone();
    dir.restored();
    assert_eq!(dir.files()[METADATA_BACK], bytes);
}

#[test]
fn a_damaged_best_image_is_not_passed_over_if_changes_would_be_lost() {
    let broken = Dir::new()
        .broken(METADATA_BACK, 11)
        .image("metadata.mfs.back.1", 8);
    let cut = Dir::new()
        .cut(METADATA_BACK, 11)
        .image("metadata.mfs.back.1", 8);
    for dir in [broken, cut] {
        let dir = dir.log("changelog.1.mfs", 8..=9);
        let error = dir.refused(Mode::Restore);
        assert!(
            matches!(
                error,
                LoadError::FallsShort {
                    version: 11,
                    end: 10,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(
            checked_version(&dir.load_ignoring(Mode::Restore).unwrap().meta),
            10
        );
    }
    let error = Dir::new().broken(METADATA_BACK, 11).refused(Mode::Restore);
    assert!(matches!(error, LoadError::Image(..)));
    // A hole between the older image and the changelogs.
    let dir = Dir::new()
        .broken(METADATA_BACK, 11)
        .image("metadata.mfs.back.1", 8)
        .log("changelog.0.mfs", 11..=13);
    let error = dir.refused(Mode::Restore);
    assert!(
        matches!(&error, LoadError::Replay(e) if matches!(e.fault, ReplayFault::Hole { first: 8, last: 10, .. }))
    );
}

#[test]
fn an_empty_file_system_does_not_take_the_place_of_a_damaged_one() {
    for dir in [
        Dir::new().put(METADATA_BACK, b"garbage"),
        Dir::new().put(METADATA_BACK, b""),
        Dir::new().put("metadata.mfs.back.1", b"garbage"),
    ] {
        let dir = dir.put(METADATA, NEW);
        assert!(matches!(dir.refused(Mode::Restore), LoadError::Doubtful(_)));
        assert_eq!(dir.load_ignoring(Mode::Restore).unwrap().meta.version(), 1);
        // With all changes from the first on nothing is in doubt.
        let dir = dir.log("changelog.0.mfs", 1..=7);
        assert_eq!(dir.load(Mode::Restore).unwrap().meta.version(), 8);
    }
    let dir = Dir::new().put(METADATA, NEW).cut(METADATA_BACK, 11);
    assert!(matches!(
        dir.refused(Mode::Restore),
        LoadError::FallsShort { .. }
    ));
}

#[test]
fn changelogs_that_end_early_or_are_missing() {
    let dir = Dir::new().image(METADATA_BACK, 11);
    assert_eq!(dir.start(Mode::Restore).0, 11);
    let dir = dir.log("changelog.0.mfs", 3..=9);
    assert_eq!(dir.start(Mode::Restore).0, 11);
    let dir = Dir::new()
        .image("metadata.mfs.back.1", 8)
        .log("changelog.3.mfs", 1..=10)
        .log("changelog.0.mfs", 11..=13);
    assert_eq!(dir.start(Mode::Restore).0, 14);
}

#[test]
fn a_replay_error() {
    let dir = crashed().log("changelog.0.mfs", 12..=13);
    assert!(matches!(dir.refused(Mode::Restore), LoadError::Replay(_)));
    assert_eq!(
        checked_version(&dir.load_ignoring(Mode::Restore).unwrap().meta),
        11
    );
    let before = dir.files();
    assert!(dir.restore(&RestoreOptions::default()).is_err());
    assert_eq!(dir.files(), before);
}

#[test]
fn a_torn_changelog_loses_the_torn_line_only() {
    let text = log_text(11..=13);
    let dir = crashed().put("changelog.0.mfs", &text[..text.len() - 1]);
    let mut events = Vec::new();
    let loaded = dir
        .data()
        .load(Mode::Restore, &LoadOptions::default(), &mut |step| {
            if let Step::ChangelogEvent(event) = step {
                events.push(event.to_string());
            }
        });
    assert_eq!(checked_version(&loaded.unwrap().meta), 13);
    assert_eq!(events.len(), 1);
    assert!(events[0].contains("not complete"), "{events:?}");
}

// ---- the clock of the last run -------------------------------------------------------------------

#[test]
fn the_newest_time_known() {
    let newest = |dir: &Dir, mode| {
        let loaded = dir.load(mode).unwrap();
        dir.data().newest_time(&loaded)
    };
    // Change N is made at 1000 + N; nothing in the image tells of a line that changes nothing but a counter.
    let logged = b"8: 1008|X()\n9: 1009|X()\n10: 1234|SESDISCONNECTED(1)\n";
    let dir = Dir::new()
        .image(METADATA, 11)
        .put("changelog.1.mfs", logged);
    assert_eq!(newest(&dir, Mode::Plain), 1234);
    // That of another history, or none: what the image tells.
    let dir = Dir::new()
        .image(METADATA, 10)
        .put("changelog.1.mfs", logged);
    assert_eq!(newest(&dir, Mode::Plain), 1009);
    assert_eq!(newest(&Dir::new().image(METADATA, 10), Mode::Plain), 1009);
    assert_eq!(newest(&crashed(), Mode::Restore), 1013);
    assert_eq!(
        newest(&Dir::new().image(METADATA_BACK, 11), Mode::Restore),
        1010
    );
}

// ---- a replay that stopped early ------------------------------------------------------------------

/// Directories whose changelogs cannot be applied to their end, the version that is reached, the changelogs (and
/// nothing else) that lead beyond it.
fn cut_short() -> Vec<(Dir, u64, Vec<&'static str>)> {
    let garbage_in_the_middle = [
        log_text(8..=9),
        b"10: 1010|NONSENSE(1)\n".to_vec(),
        log_text(11..=13),
    ]
    .concat();
    let hole = || crashed().log("changelog.0.mfs", 12..=13);
    vec![
        (hole(), 11, vec!["changelog.0.mfs"]),
        // The first lines lead to the version that is reached, the last ones beyond it.
        (
            Dir::new()
                .image("metadata.mfs.back.1", 8)
                .log("changelog.2.mfs", 5..=7)
                .put("changelog.1.mfs", &garbage_in_the_middle),
            10,
            vec!["changelog.1.mfs"],
        ),
        // What a metalogger wrote is merged, too.
        (
            hole().log("changelog_ml.0.mfs", 13..=14),
            11,
            vec!["changelog.0.mfs", "changelog_ml.0.mfs"],
        ),
        // Neither end of the file tells of it.
        (
            hole().put(
                "changelog.5.mfs",
                &[log_text(8..=9), log_text(12..=12), log_text(8..=9)].concat(),
            ),
            11,
            vec!["changelog.0.mfs", "changelog.5.mfs"],
        ),
    ]
}

/// All changelogs, and the image that was loaded.
fn needed<'a>(
    before: &'a BTreeMap<String, Vec<u8>>,
    loaded: &Loaded,
) -> impl Iterator<Item = (&'a String, &'a Vec<u8>)> {
    let image = loaded.image.path.file_name().unwrap().to_owned();
    before
        .iter()
        .filter(move |(name, _)| name.starts_with("changelog") || image == name.as_str())
}

/// Lines of the history that begins at `version`: directories with other names.
fn other_history(version: u64, end: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for number in version..end {
        let line = format!(
            "{number}: {}|CREATE(1,other{number},2,755,0,0,0,0):{}\n",
            2000 + number,
            number
        );
        text.extend(line.bytes());
    }
    text
}

#[test]
fn a_replay_that_stopped_early_begins_a_history_of_its_own() {
    for (case, (dir, version, beyond)) in cut_short().into_iter().enumerate() {
        let before = dir.files();
        assert!(dir.load(Mode::Restore).is_err(), "case {case}");
        assert_eq!(dir.files(), before, "case {case}");
        let loaded = dir.load_ignoring(Mode::Restore).unwrap();
        assert_eq!(checked_version(&loaded.meta), version, "case {case}");
        let begun = dir.data().after_load(&loaded, &keep(0)).unwrap();
        assert_eq!(begun.stored, version, "case {case}");
        assert_eq!(dir.version(METADATA_BACK), version, "case {case}");
        let after = dir.files();
        // Who mends the changelogs needs them and the image that they continue.
        for (name, bytes) in needed(&before, &loaded) {
            let kept: Vec<_> = after.iter().filter(|(_, b)| *b == bytes).collect();
            assert!(!kept.is_empty(), "case {case}: {name} is lost");
            if name.starts_with("changelog") {
                let aside = kept[0].0.starts_with(&format!("aside.{name}."));
                assert_eq!(aside, beyond.contains(&&name[..]), "case {case}: {name}");
            }
        }
        for name in &beyond {
            let told = begun
                .notes
                .iter()
                .any(|note| matches!(note, Note::MovedAside { from, .. } if from.ends_with(name)));
            assert!(told, "case {case}: {name}: {:?}", begun.notes);
        }
        // The master runs and crashes; a recovery knows nothing of what was left out.
        let inode = u64::from(loaded.meta.max_inode());
        assert_eq!(inode, version - 1, "inode numbers follow the version");
        let dir = dir.put("changelog.0.mfs", &other_history(version, version + 3));
        let loaded = dir.load(Mode::Restore).unwrap();
        assert_eq!(loaded.meta.version(), version + 3, "case {case}");
        for number in version..version + 3 {
            let old = format!("d{number}");
            assert_eq!(loaded.meta.lookup(1, old.as_bytes()), None, "case {case}");
            let new = format!("other{number}");
            assert!(loaded.meta.lookup(1, new.as_bytes()).is_some());
        }
    }
}

#[test]
fn emergency_images_of_others_stay() {
    for (own, foreign) in [(ID, ID + 1), (ID, 0), (0, ID)] {
        let elsewhere = Dir::new().image_of(METADATA_EMERGENCY, 12, foreign);
        let dir = Dir::new().image_of(METADATA, 5, own);
        let data = dir
            .data()
            .with_emergency(vec![elsewhere.path().join(METADATA_EMERGENCY)]);
        // Read as by a start that knew nothing of that place: it was written after the choice.
        let loaded = dir.load(Mode::Restore).unwrap();
        let begun = data.after_load(&loaded, &keep(1)).unwrap();
        assert_eq!(begun.stored, 5, "{own} {foreign}");
        assert_eq!(elsewhere.names(), [METADATA_EMERGENCY], "{own} {foreign}");
    }
}

#[test]
fn images_that_were_not_reached_are_put_aside() {
    let elsewhere = Dir::new().broken(METADATA_EMERGENCY, 12);
    let dir = Dir::new()
        .cut(METADATA_BACK, 11)
        .image("metadata.mfs.back.1", 8)
        .broken("metadata.mfs.back.2", 11)
        .cut(METADATA_EMERGENCY, 12)
        .log("changelog.1.mfs", 8..=9);
    let data = dir
        .data()
        .with_emergency(vec![elsewhere.path().join(METADATA_EMERGENCY)]);
    let options = LoadOptions {
        ignore: true,
        on_error: OnError::KeepBest,
        ..LoadOptions::default()
    };
    let loaded = data.load(Mode::Restore, &options, &mut |_| ()).unwrap();
    assert_eq!(checked_version(&loaded.meta), 10);
    let begun = data.after_load(&loaded, &keep(3)).unwrap();
    assert_eq!(begun.stored, 10);
    assert_eq!(
        dir.names(),
        [
            "aside.metadata.mfs.back.*",
            "aside.metadata.mfs.back.2.*",
            "aside.metadata.mfs.emergency.*",
            "changelog.1.mfs",
            METADATA_CRC,
            METADATA_BACK,
            "metadata.mfs.back.1",
        ]
    );
    assert_eq!(elsewhere.names(), ["aside.metadata.mfs.emergency.*"]);
    assert_eq!(dir.version("metadata.mfs.back.1"), 8);
    // Nothing is in doubt any more.
    let loaded = data
        .load(Mode::Restore, &LoadOptions::default(), &mut |_| ())
        .unwrap();
    assert_eq!(checked_version(&loaded.meta), 10);
}

#[test]
fn dying_while_histories_are_parted() {
    let cases = cut_short().len();
    for case in 0..cases {
        let mut finished = false;
        for n in 0..40 {
            let (dir, version, _) = cut_short().swap_remove(case);
            let before = dir.files();
            let loaded = dir.load_ignoring(Mode::Restore).unwrap();
            let fs = FaultyFs::default();
            fs.die_at(n);
            let done = dir
                .data()
                .with_fs(Arc::new(fs.clone()))
                .after_load(&loaded, &keep(1));
            finished |= done.is_ok() && fs.calls().len() <= n;
            for (name, bytes) in needed(&before, &loaded) {
                let kept = dir.files().values().any(|b| b == bytes);
                assert!(kept, "case {case}, call {n}: {name} is lost");
            }
            // Nothing was served, so the same command comes to the same end.
            let loaded = dir.load_ignoring(Mode::Restore).unwrap();
            assert_eq!(
                checked_version(&loaded.meta),
                version,
                "case {case}, call {n}"
            );
            dir.data().after_load(&loaded, &keep(1)).unwrap();
            let loaded = dir.load(Mode::Restore).unwrap();
            assert_eq!(checked_version(&loaded.meta), version);
        }
        assert!(finished, "case {case} has more than 40 calls");
    }
}

// ---- points in time -----------------------------------------------------------------------------

fn until(point: Until) -> LoadOptions {
    LoadOptions {
        until: Some(point),
        ..LoadOptions::default()
    }
}

#[test]
fn until_a_version_or_time() {
    let dir = crashed();
    let at = |point| {
        let loaded = dir.data().load(Mode::Restore, &until(point), &mut |_| ())?;
        Ok::<_, LoadError>((
            checked_version(&loaded.meta),
            loaded.image.checked.version(),
        ))
    };
    assert_eq!(at(Until::Version(13)).unwrap(), (13, 11));
    assert_eq!(at(Until::Version(11)).unwrap(), (11, 11));
    // An older image is taken if the best one is too new.
    assert_eq!(at(Until::Version(9)).unwrap(), (9, 8));
    assert!(at(Until::Version(7)).is_err());
    assert!(at(Until::Version(15)).is_err());
    // Change N was made at 1000 + N.
    assert_eq!(at(Until::Time(1012)).unwrap(), (13, 11));
    assert_eq!(at(Until::Time(1009)).unwrap(), (10, 8));
    assert_eq!(at(Until::Time(5000)).unwrap(), (14, 11));
    assert!(matches!(
        at(Until::Time(1006)),
        Err(LoadError::TimeTooEarly {
            version: 8,
            time: 1008
        })
    ));
}

#[test]
fn an_older_state_replaces_a_newer_one_by_force_only() {
    let dir = crashed().image(METADATA, 14);
    let mut options = RestoreOptions {
        load: until(Until::Version(12)),
        ..RestoreOptions::default()
    };
    let before = dir.files();
    let error = dir.restore(&options).err().unwrap();
    assert!(matches!(
        error,
        RestoreError::Newer {
            existing: 14,
            result: 12
        }
    ));
    assert_eq!(dir.files(), before);
    options.force = true;
    assert!(dir.restore(&options).unwrap().written);
    assert_eq!(dir.version(METADATA), 12);
    assert!(dir.files().values().any(|bytes| *bytes == before[METADATA]));
}

#[test]
fn a_restore_that_needs_changelogs() {
    let options = RestoreOptions {
        need_changelogs: true,
        ..RestoreOptions::default()
    };
    let error = Dir::new()
        .image(METADATA, 8)
        .restore(&options)
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "changelog files not found");
    assert!(crashed().restore(&options).unwrap().written);
}

// ---- storing ------------------------------------------------------------------------------------

fn keep(n: u32) -> StoreOptions<'static> {
    StoreOptions {
        keep_previous: n,
        ..StoreOptions::default()
    }
}

#[test]
fn previous_images() {
    for n in [0, 1, 3] {
        let dir = Dir::new();
        for version in 5..=10 {
            let stored = dir.data().store(&view(version), &keep(n)).unwrap();
            assert_eq!(stored.notes, []);
            assert_eq!(stored.path, dir.path().join(METADATA_BACK));
        }
        let mut names = vec![METADATA_CRC.to_owned(), METADATA_BACK.to_owned()];
        names.extend((1..=n).map(|i| format!("{METADATA_BACK}.{i}")));
        assert_eq!(dir.names(), names);
        assert_eq!(dir.version(METADATA_BACK), 10);
        for i in 1..=n {
            assert_eq!(
                dir.version(&format!("{METADATA_BACK}.{i}")),
                u64::from(10 - i)
            );
        }
        assert_eq!(dir.files()[METADATA_CRC].len(), crate::image::CRC_FILE_SIZE);
    }
}

#[test]
fn a_store_replaces_only_what_is_older() {
    let dir = Dir::new()
        .image(METADATA, 5)
        .image(METADATA_BACK, 5)
        .put(METADATA_TMP, b"rest");
    assert_eq!(dir.data().store(&view(9), &keep(1)).unwrap().notes, []);
    assert_eq!(
        dir.names(),
        [METADATA_CRC, METADATA_BACK, "metadata.mfs.back.1"]
    );
    let dir = Dir::new()
        .image_of(METADATA, 5, FOREIGN)
        .image(METADATA_BACK, 12);
    let notes = dir.data().store(&view(9), &keep(1)).unwrap().notes;
    assert_eq!(notes.len(), 2);
    assert_eq!(
        dir.names(),
        [
            "aside.metadata.mfs.*",
            "aside.metadata.mfs.back.*",
            METADATA_CRC,
            METADATA_BACK
        ]
    );
    // A previous image that cannot be shifted does not hinder the new one.
    let dir = Dir::new().image(METADATA_BACK, 5);
    std::fs::create_dir(dir.path().join("metadata.mfs.back.1")).unwrap();
    let notes = dir.data().store(&view(9), &keep(1)).unwrap().notes;
    assert!(matches!(&notes[..], [Note::NotShifted { .. }]));
    assert_eq!(dir.version(METADATA_BACK), 9);
}

#[test]
fn another_writer_is_waited_for() {
    use nix::fcntl::{FcntlArg, fcntl};
    let dir = Dir::new()
        .image(METADATA_BACK, 5)
        .put(METADATA_TMP, b"half");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join(METADATA_TMP))
        .unwrap();
    let lock = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as nix::libc::c_short,
        l_whence: nix::libc::SEEK_SET as nix::libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    let before = dir.files();
    let error = dir.data().store(&view(9), &keep(1)).unwrap_err();
    assert!(matches!(error, StoreError::Busy(_)));
    assert_eq!(dir.files(), before);
    drop(file);
    dir.data().store(&view(9), &keep(1)).unwrap();
}

#[test]
fn a_cancelled_write_leaves_nothing() {
    let dir = crashed();
    let before = dir.files();
    let cancel = std::sync::atomic::AtomicBool::new(true);
    let options = StoreOptions {
        cancel: Some(&cancel),
        ..keep(1)
    };
    assert!(matches!(
        dir.data().store(&view(14), &options),
        Err(StoreError::Write(_))
    ));
    assert_eq!(dir.files(), before);
}

/// A disk that is full in the middle of the image, wherever that is: nothing of it stays, what was there is whole,
/// and the image is saved elsewhere (spec 01 §10/5, §12; §19/5: also when it is the very last byte).
#[test]
fn a_write_that_fails_in_the_middle_of_an_image() {
    let elsewhere = Dir::new();
    let whole = image_bytes(14, ID).len();
    for room in (0..whole).step_by(97).chain([whole - 1]) {
        let dir = crashed();
        let before = dir.files();
        let fs = FaultyFs::default();
        let data = dir
            .data()
            .with_emergency(vec![elsewhere.path().join(METADATA_EMERGENCY)])
            .with_fs(Arc::new(fs.clone()));
        fs.plan(Call::Create, &[Fault::Short(room)]);
        let error = data.store(&view(14), &keep(1)).unwrap_err();
        assert!(matches!(error, StoreError::Write(_)), "{room}: {error}");
        assert_eq!(dir.files(), before, "{room}");
        fs.plan(Call::Create, &[Fault::Short(room)]);
        let saved = data.emergency_save(&view(14), &keep(0)).unwrap();
        assert_eq!(saved.path, elsewhere.path().join(METADATA_EMERGENCY));
        assert_eq!(elsewhere.version(METADATA_EMERGENCY), 14);
        assert_eq!(dir.files(), before, "{room}");
        // The last image of a run, too; and when there is space again all goes well.
        fs.plan(Call::Create, &[Fault::Short(room)]);
        assert!(data.clean_stop(&view(14), &keep(1)).is_err());
        assert_eq!(dir.files(), before, "{room}");
        data.store(&view(14), &keep(1)).unwrap();
        assert_eq!(dir.version(METADATA_BACK), 14);
    }
}

/// Whatever call fails, with everything after it, as if the process had died: a start with `-a` reaches the newest
/// state, and a second try succeeds.
#[test]
fn dying_anywhere() {
    type Action = fn(&DataDir, &Loaded) -> bool;
    let actions: [Action; 3] = [
        |data, _| data.store(&view(14), &keep(3)).is_ok(),
        |data, _| data.clean_stop(&view(14), &keep(1)).is_ok(),
        |data, _| {
            data.restore(&mut (), &RestoreOptions::default(), &mut |_| ())
                .is_ok()
        },
    ];
    for (i, action) in actions.into_iter().enumerate() {
        let mut finished = false;
        for n in 0..40 {
            let dir = crashed().image(METADATA, 9);
            let loaded = dir.load(Mode::Restore).unwrap();
            let fs = FaultyFs::default();
            fs.die_at(n);
            let survived = action(&dir.data().with_fs(Arc::new(fs.clone())), &loaded);
            finished |= survived && fs.calls().len() <= n;
            let recovered = dir
                .load(Mode::Restore)
                .unwrap_or_else(|e| panic!("action {i}, call {n}: {e}"));
            assert_eq!(checked_version(&recovered.meta), 14, "action {i}, call {n}");
            assert!(action(&dir.data(), &loaded), "action {i}, call {n}");
            let recovered = dir.load(Mode::Restore).unwrap();
            assert_eq!(checked_version(&recovered.meta), 14);
        }
        assert!(finished, "action {i} has more than 40 calls");
    }
}

#[test]
fn dying_after_a_load() {
    type Case = fn() -> (Dir, Mode, u64);
    let cases: [Case; 4] = [
        || (crashed().image(METADATA, 9), Mode::Restore, 14),
        || (crashed().image(METADATA_TMP, 13), Mode::Restore, 14),
        || {
            (
                Dir::new()
                    .image(METADATA, 8)
                    .image(METADATA_BACK, 6)
                    .cut(METADATA_TMP, 7),
                Mode::Plain,
                8,
            )
        },
        || {
            (
                Dir::new().image(METADATA, 8).cut(METADATA_BACK, 7),
                Mode::Plain,
                8,
            )
        },
    ];
    for (i, case) in cases.into_iter().enumerate() {
        for n in 0..20 {
            let (dir, mode, version) = case();
            let loaded = dir.load(mode).unwrap();
            let fs = FaultyFs::default();
            fs.die_at(n);
            let _ = dir
                .data()
                .with_fs(Arc::new(fs))
                .after_load(&loaded, &keep(2));
            let recovered = dir
                .load(Mode::Restore)
                .unwrap_or_else(|e| panic!("case {i}, call {n}: {e}"));
            assert_eq!(
                checked_version(&recovered.meta),
                version,
                "case {i}, call {n}"
            );
        }
    }
}

// ---- emergency ----------------------------------------------------------------------------------

#[test]
fn emergency_order() {
    let dir = Dir::new();
    let (full, free) = (Dir::new(), Dir::new());
    let places = vec![
        full.path().join("missing/x"),
        free.path().join(METADATA_EMERGENCY),
    ];
    let data = dir.data().with_emergency(places);
    let stored = data.emergency_save(&view(9), &keep(0)).unwrap();
    assert_eq!(stored.path, dir.path().join(METADATA_EMERGENCY));
    assert_eq!(dir.names(), [METADATA_EMERGENCY], "no checksums");
    // The directory takes no file.
    let fs = FaultyFs::default();
    fs.plan(Call::Create, &[Fault::Errno(28)]);
    let stored = data
        .clone()
        .with_fs(Arc::new(fs))
        .emergency_save(&view(10), &keep(0))
        .unwrap();
    assert_eq!(stored.path, free.path().join(METADATA_EMERGENCY));
    assert_eq!(
        (
            dir.version(METADATA_EMERGENCY),
            free.version(METADATA_EMERGENCY)
        ),
        (9, 10)
    );
    // A later start finds it.
    let loaded = data
        .load(Mode::Restore, &LoadOptions::default(), &mut |_| ())
        .unwrap();
    assert_eq!(checked_version(&loaded.meta), 10);
    // No place at all.
    let fs = FaultyFs::default();
    fs.die_at(0);
    let error = data
        .with_fs(Arc::new(fs))
        .emergency_save(&view(11), &keep(0))
        .unwrap_err();
    assert_eq!(error.0.len(), 3);
    assert_eq!(dir.version(METADATA_EMERGENCY), 9);
}

#[test]
fn an_emergency_image_of_something_else_is_left_alone() {
    for dir in [
        Dir::new().image_of(METADATA_EMERGENCY, 5, FOREIGN),
        Dir::new().image(METADATA_EMERGENCY, 12),
        Dir::new().cut(METADATA_EMERGENCY, 5),
    ] {
        let before = dir.files()[METADATA_EMERGENCY].clone();
        let stored = dir.data().emergency_save(&view(9), &keep(0)).unwrap();
        assert_eq!(
            masked(&stored.path.file_name().unwrap().to_string_lossy()),
            "metadata.mfs.emergency.*"
        );
        assert_eq!(dir.files()[METADATA_EMERGENCY], before);
    }
}

// ---- directories that the original wrote ---------------------------------------------------------

fn recorded(name: &str) -> Dir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/lifecycle")
        .join(name);
    let mut dir = Dir::new();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        dir = dir.put(&entry.file_name().to_string_lossy(), &bytes);
    }
    dir
}

#[test]
fn recorded_directories() {
    let dir = recorded("clean-stop");
    let loaded = dir.load(Mode::Plain).unwrap();
    assert_eq!(loaded.meta.version(), 9);
    dir.data().after_load(&loaded, &keep(1)).unwrap();
    assert_eq!(
        dir.names(),
        [
            "changelog.0.mfs",
            METADATA_CRC,
            METADATA_BACK,
            "metadata.mfs.back.1"
        ]
    );
    assert!(matches!(
        recorded("crashed-master").refused(Mode::Plain),
        LoadError::Choose(ChooseError::Missing)
    ));
    for name in ["crashed-master", "metalogger"] {
        let dir = recorded(name);
        let loaded = dir.load(Mode::Restore).unwrap();
        assert_eq!(loaded.meta.version(), 18);
        assert!(loaded.replay.unwrap().events.is_empty());
        dir.restore(&RestoreOptions::default()).unwrap();
        assert_eq!(dir.version(METADATA), 18);
    }
}

// ---- the file beside an image -------------------------------------------------------------------

/// Counts the lines since the beginning; `None` = not known.
#[derive(Default)]
struct Counter(Option<u64>);

impl Counter {
    /// What stands beside an image of this version.
    fn at(version: u64) -> Vec<u8> {
        Counter(Some(version - 1)).file(version).unwrap()
    }
}

impl Companion for Counter {
    fn begin(&mut self, file: Option<&[u8]>, version: u64) -> Result<(), String> {
        self.0 = None;
        let text = std::str::from_utf8(file.ok_or("missing")?).unwrap();
        let (of, lines) = text.split_once(' ').ok_or("damaged")?;
        if of != version.to_string() {
            return Err("foreign".into());
        }
        self.0 = lines.parse().ok();
        Ok(())
    }

    fn apply(&mut self, meta: &mut Metadata, line: &Line<'_>) -> Result<Outcome, Status> {
        let outcome = meta.apply(line.ts, &line.op)?;
        self.0 = self.0.map(|n| n + 1);
        Ok(outcome)
    }

    fn file(&self, version: u64) -> Option<Vec<u8>> {
        self.0.map(|n| format!("{version} {n}").into_bytes())
    }
}

fn with_counter(companion: &[u8]) -> StoreOptions<'_> {
    StoreOptions {
        companion: Some(companion),
        ..keep(1)
    }
}

/// Version reached, lines counted, what was told about the file.
fn counted(dir: &Dir, mode: Mode) -> (u64, Option<u64>, Vec<String>) {
    let mut counter = Counter::default();
    let mut told = Vec::new();
    let loaded = dir
        .data()
        .load_with(&mut counter, mode, &LoadOptions::default(), &mut |step| {
            if let Step::Note(Note::NoCompanion { path, reason }) = step {
                let name = path.file_name().unwrap().to_string_lossy();
                told.push(format!("{name}: {reason}"));
            }
        })
        .unwrap();
    (loaded.meta.version(), counter.0, told)
}

#[test]
fn companions_follow_their_images() {
    let dir = Dir::new();
    for version in [8, 11, 14] {
        let file = Counter::at(version);
        dir.data()
            .store(&view(version), &with_counter(&file))
            .unwrap();
    }
    let names = |rest: &[&str]| {
        let mut names = vec![METADATA_CRC.to_owned()];
        names.extend(rest.iter().map(|&name| name.to_owned()));
        names
    };
    let previous = "metadata.mfs.back.1";
    assert_eq!(
        dir.names(),
        names(&[
            METADATA_BACK,
            previous,
            "unfinished.11.mfs",
            "unfinished.14.mfs"
        ])
    );
    let dir = dir.log("changelog.0.mfs", 11..=15);
    assert_eq!(counted(&dir, Mode::Restore), (16, Some(15), vec![]));
    // The image that was damaged had one of its own.
    let dir = dir.cut(METADATA_BACK, 14);
    assert_eq!(counted(&dir, Mode::Restore), (16, Some(15), vec![]));

    let file = Counter::at(16);
    dir.data()
        .clean_stop(&view(16), &with_counter(&file))
        .unwrap();
    assert_eq!(counted(&dir, Mode::Plain), (16, Some(15), vec![]));
    dir.start(Mode::Plain);
    assert_eq!(counted(&dir, Mode::Restore), (16, Some(15), vec![]));
}

#[test]
fn a_companion_that_cannot_be_used_is_told() {
    let dir = || {
        Dir::new()
            .image(METADATA_BACK, 8)
            .log("changelog.0.mfs", 8..=9)
    };
    let told = |reason: &str| (10, None, vec![format!("unfinished.8.mfs: {reason}")]);
    assert_eq!(counted(&dir(), Mode::Restore), told("missing"));
    let stale = dir().put("unfinished.8.mfs", &Counter::at(7));
    assert_eq!(counted(&stale, Mode::Restore), told("foreign"));
    let damaged = dir().put("unfinished.8.mfs", b"x");
    assert_eq!(counted(&damaged, Mode::Restore), told("damaged"));
    let odd = dir();
    std::fs::create_dir(odd.path().join("unfinished.8.mfs")).unwrap();
    assert_eq!(
        counted(&odd, Mode::Restore),
        told("it is too long, or no file")
    );
    // A new file system has none.
    let new = Dir::new().put(METADATA, NEW);
    assert_eq!(counted(&new, Mode::Plain).2, Vec::<String>::new());
}

#[test]
fn a_restored_image_has_a_companion() {
    let dir = crashed().put("unfinished.11.mfs", &Counter::at(11));
    let mut counter = Counter::default();
    dir.data()
        .restore(&mut counter, &RestoreOptions::default(), &mut |_| ())
        .unwrap();
    assert_eq!(counted(&dir, Mode::Plain), (14, Some(13), vec![]));
    // An emergency image, too, where it is.
    let place = Dir::new();
    let lost = Dir::new();
    let path = lost.path().to_owned();
    let data = lost
        .data()
        .with_emergency(vec![place.path().join(METADATA_EMERGENCY)]);
    drop(lost);
    let file = Counter::at(20);
    assert!(!path.exists());
    data.emergency_save(&view(20), &with_counter(&file))
        .unwrap();
    assert_eq!(place.names(), [METADATA_EMERGENCY, "unfinished.20.mfs"]);
}

#[test]
fn no_complete_image_is_without_its_companion() {
    type Action = fn(&DataDir, &[u8]) -> bool;
    let actions: [Action; 2] = [
        |data, file| data.store(&view(14), &with_counter(file)).is_ok(),
        |data, file| data.clean_stop(&view(14), &with_counter(file)).is_ok(),
    ];
    for (i, action) in actions.into_iter().enumerate() {
        let mut finished = false;
        for n in 0..40 {
            let dir = crashed().put("unfinished.11.mfs", &Counter::at(11));
            let fs = FaultyFs::default();
            fs.die_at(n);
            let file = Counter::at(14);
            let survived = action(&dir.data().with_fs(Arc::new(fs.clone())), &file);
            finished |= survived && fs.calls().len() <= n;
            let expected = (14, Some(13), vec![]);
            assert_eq!(counted(&dir, Mode::Restore), expected, "{i}, call {n}");
            assert!(action(&dir.data(), &file), "{i}, call {n}");
            assert_eq!(counted(&dir, Mode::Restore), expected, "{i}, call {n}");
        }
        assert!(finished, "action {i} has more than 40 calls");
    }
}
