//! From files to applied lines: the rules of spec 03 §4 and the damage of spec 01 §8.5.

use mfs_meta::op::{Line, Op, Outcome, Tolerance};
use mfs_meta::{Metadata, Status};
use proptest::prelude::*;

use super::*;

/// Applies `IDLE` and `ACCESS` (refused for inode 0; the result is the inode).
struct Model {
    version: u64,
    seen: Vec<u64>,
}

impl Replay for Model {
    fn version(&self) -> u64 {
        self.version
    }
    fn apply(&mut self, line: &Line<'_>) -> Result<Outcome, Status> {
        match line.op {
            Op::Idle => {}
            Op::Access { inode: 0 } => return Err(Status::Enoent),
            Op::SetMetaId { .. } => self.version += 1,
            _ => return Ok(Outcome::Inode(7)),
        }
        self.seen.push(self.version);
        self.version += 1;
        Ok(Outcome::None)
    }
    fn end(&self) -> Result<(), Status> {
        Ok(())
    }
    fn set_tolerance(&mut self, tolerance: Tolerance) -> Tolerance {
        tolerance
    }
}

fn merge(files: &[&[u8]], from: u64) -> Merge {
    let name = |i: usize| format!("changelog.{i}.mfs").into();
    let inputs = files
        .iter()
        .enumerate()
        .map(|(i, &f)| Input::Bytes(name(i), f.into()));
    Merge::new(inputs.collect(), from, false)
}

fn run(
    files: &[&[u8]],
    from: u64,
    options: &ReplayOptions,
) -> Result<(u64, ReplayReport), Box<ReplayError>> {
    let mut model = Model {
        version: from,
        seen: Vec::new(),
    };
    let report = super::replay(merge(files, from), &mut model, options, &mut |_| ())?;
    assert_eq!(model.seen, (from..model.version).collect::<Vec<_>>());
    assert_eq!(report.end, model.version);
    assert_eq!(report.applied, model.version - from);
    Ok((model.version, report))
}

fn strict(files: &[&[u8]], from: u64) -> Result<(u64, ReplayReport), Box<ReplayError>> {
    run(files, from, &ReplayOptions::default())
}

fn idle(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers
        .into_iter()
        .flat_map(|n| format!("{n}: {}|IDLE()\n", 1000 + n).into_bytes())
        .collect()
}

fn kinds(report: &ReplayReport) -> Vec<EventKind> {
    report.events.iter().map(|e| e.kind.clone()).collect()
}

#[test]
fn files_overlap_in_any_order() {
    let (a, b, c) = (idle(11..=13), idle(5..=11), idle(13..=20));
    let (end, report) = strict(&[&c, &a, &b, b""], 8).unwrap();
    assert_eq!((end, report.duplicates, report.events.len()), (21, 2, 0));
    assert_eq!(report.last_time, Some(1020));
    let used: Vec<_> = report.files.iter().map(|s| s.used).collect();
    assert_eq!(used, [true, true, true, false]);
    // Files older than the image are not needed; an image alone is fine.
    let (end, report) = strict(&[&a, &b], 14).unwrap();
    assert_eq!((end, report.applied), (14, 0));
    assert!(report.files.iter().all(|s| !s.used));
}

#[test]
fn a_torn_tail_costs_only_itself() {
    let whole = idle(11..=13);
    let start = idle(11..=12).len();
    for cut in start..whole.len() {
        let (end, report) = strict(&[&whole[..cut]], 11).unwrap();
        assert_eq!(end, 13, "cut at {cut}");
        let torn = EventKind::TornTail {
            bytes: (cut - start) as u64,
        };
        let expected = if cut == start { vec![] } else { vec![torn] };
        assert_eq!(kinds(&report), expected);
        if let Some(event) = report.events.first() {
            assert_eq!((event.line, event.offset), (3, start as u64));
        }
        // Another file has it whole.
        assert_eq!(strict(&[&whole[..cut], &idle(13..=14)], 11).unwrap().0, 15);
    }
    // Zero bytes behind the last line are no line either.
    let zeros = [&whole[..], &[0; 512]].concat();
    assert_eq!(strict(&[&zeros], 11).unwrap().0, 14);
}

#[test]
fn lines_that_are_none_are_reported_and_cost_nothing_else() {
    let text = [&idle([11]), &b"\nsomething\n \n"[..], &idle([12, 13])].concat();
    let (end, report) = strict(&[&text], 11).unwrap();
    assert_eq!(end, 14);
    assert!(
        kinds(&report)
            .iter()
            .all(|k| matches!(k, EventKind::Garbage { .. }))
    );
    assert_eq!(
        report.events.iter().map(|e| e.line).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    // In the place of a line they make a hole.
    let text = [&idle([11]), &b"1x: 5|IDLE()\n"[..], &idle([13])].concat();
    let error = strict(&[&text], 11).unwrap_err();
    assert!(matches!(
        error.fault,
        ReplayFault::Hole {
            first: 12,
            last: 12,
            ..
        }
    ));
    assert_eq!(error.events.len(), 1);
    assert_eq!(strict(&[&text, &idle([12])], 11).unwrap().0, 14);
    // At the start of the file, where the original skips all of it.
    let text = [&b"garbage\n"[..], &idle(11..=13)].concat();
    assert_eq!(strict(&[&text], 11).unwrap().0, 14);
}

#[test]
fn too_long_lines_are_holes() {
    for long in [MAX_LINE - 20, MAX_LINE, 3 * MAX_LINE] {
        let filler = "x".repeat(long);
        let text = [
            &idle([11])[..],
            format!("12: 1|IDLE() {filler}\n").as_bytes(),
            &idle([13]),
        ]
        .concat();
        match strict(&[&text], 11) {
            Ok((end, _)) => assert_eq!((end, long), (14, MAX_LINE - 20)),
            Err(error) => {
                assert!(long >= MAX_LINE);
                assert!(matches!(
                    error.fault,
                    ReplayFault::Hole {
                        first: 12,
                        last: 12,
                        ..
                    }
                ));
                assert!(matches!(error.events[0].kind, EventKind::TooLong { .. }));
                assert_eq!(error.events[0].line, 2);
            }
        }
    }
}

#[test]
fn unreadable_lines() {
    let bad = b"12: 1|ACCESS(x)\n";
    // The last one of all.
    let last = [&idle([11]), &bad[..]].concat();
    let (end, report) = strict(&[&last], 11).unwrap();
    assert_eq!(end, 12);
    assert!(matches!(
        kinds(&report)[..],
        [EventKind::LastLineIgnored { number: 12, .. }]
    ));
    // In the middle, alone and with help.
    let middle = [&last[..], &idle([13])].concat();
    let error = strict(&[&middle], 11).unwrap_err();
    assert!(matches!(error.fault, ReplayFault::Parse(_)));
    let place = error.place.as_ref().unwrap();
    assert_eq!(
        (place.line, place.offset, error.version),
        (2, idle([11]).len() as u64, 12)
    );
    assert!(
        error.to_string().starts_with("changelog.0.mfs:12: "),
        "{error}"
    );
    let (end, report) = strict(&[&middle, &idle([12])], 11).unwrap();
    assert_eq!(end, 14);
    assert!(
        matches!(&kinds(&report)[..], [EventKind::Healed { number: 12, by, .. }]
        if by.ends_with("changelog.1.mfs"))
    );
    // A write that was repeated after it had failed.
    let again = [&idle([11]), &bad[..], &idle([12, 13])].concat();
    assert_eq!(strict(&[&again], 11).unwrap().0, 14);
    // An operation that nobody knows.
    let unknown = [&idle([11]), &b"12: 1|FROB(1)\n"[..]].concat();
    let error = strict(&[&unknown], 11).unwrap_err();
    assert!(matches!(error.fault, ReplayFault::Parse(ref e) if e.is_fatal()));
}

#[test]
fn different_histories_are_not_mixed() {
    let other = b"12: 99|IDLE()\n";
    let error = strict(&[&idle(11..=13), other], 11).unwrap_err();
    assert!(
        matches!(error.fault, ReplayFault::Contradiction(..)),
        "{error}"
    );
    assert_eq!(error.version, 12);
    // The same change in other words is the same; what the image has already does not matter.
    assert_eq!(
        strict(&[&idle(11..=13), b"12: 1012|IDLE() # trailing\r\n"], 11)
            .unwrap()
            .0,
        14
    );
    assert_eq!(strict(&[&idle(11..=13), other], 13).unwrap().0, 14);
    // Within one file.
    let text = [&idle(11..=14), &other[..], &idle([15])].concat();
    let error = strict(&[&text], 11).unwrap_err();
    assert!(
        matches!(
            &error.fault,
            ReplayFault::Read(ReadError {
                line: 5,
                fault: ReadFault::Contradiction { first_line: 2, .. },
                ..
            })
        ),
        "{error}"
    );
}

#[test]
fn repeated_lines_that_are_the_same_do_no_harm() {
    let text = [
        idle(11..=14),
        idle(12..=13),
        idle(12..=17),
        idle([17, 17, 18]),
    ]
    .concat();
    let (end, report) = strict(&[&text], 11).unwrap();
    assert_eq!(end, 19);
    assert_eq!(
        kinds(&report),
        [EventKind::Repeated {
            number: 12,
            previous: 14
        },]
    );
    // A number that comes late and was not there before is no repetition.
    let text = [idle(11..=12), idle([14, 13, 15])].concat();
    let error = strict(&[&text], 11).unwrap_err();
    let late = |e: &ReplayError| {
        matches!(
            &e.fault,
            ReplayFault::Read(ReadError {
                fault: ReadFault::OutOfOrder { .. },
                ..
            })
        )
    };
    assert!(
        late(&error) || matches!(error.fault, ReplayFault::Hole { .. }),
        "{error}"
    );
    let text: Vec<u8> = (0..200).flat_map(|_| idle([11, 12])).collect();
    let error = strict(&[&text], 11).unwrap_err();
    assert!(error.to_string().contains("100 times"), "{error}");
}

#[test]
fn holes_and_jumps() {
    let error = strict(&[&idle([11, 13])], 11).unwrap_err();
    assert_eq!(
        error.to_string(),
        "hole in change files (entries from changelog.0.mfs:12 to changelog.0.mfs:12 are missing) - add more files"
    );
    let error = strict(&[&idle(15..=20)], 11).unwrap_err();
    assert!(
        matches!(&error.fault, ReplayFault::Hole { first: 11, last: 14, after, .. } if after == "image")
    );
    let jump = [idle([11]), idle([20_011])].concat();
    assert!(matches!(
        strict(&[&jump], 11).unwrap_err().events[0].kind,
        EventKind::Jump { .. }
    ));
    let (end, _) = strict(&[&jump, &idle(12..=20_010)], 11).unwrap();
    assert_eq!(end, 20_012);
}

#[test]
fn a_state_that_disagrees() {
    let line = |text: &str| [&idle([11])[..], text.as_bytes(), &idle([13])].concat();
    let error = strict(&[&line("12: 1|ACCESS(0)\n")], 11).unwrap_err();
    assert_eq!(
        error.to_string(),
        "changelog.0.mfs:12: operation (12: 1|ACCESS(0)) error: 3 (No such file or directory) (line 2, offset 16)"
    );
    let error = strict(&[&line("12: 1|UNLINK(1,a):8\n")], 11).unwrap_err();
    assert!(matches!(error.fault, ReplayFault::Result { .. }));
    let error = strict(&[&line("12: 1|SETMETAID(5)\n")], 11).unwrap_err();
    assert!(matches!(error.fault, ReplayFault::Version(14)));
}

#[test]
fn the_best_state_is_kept_on_demand() {
    let options = ReplayOptions {
        on_error: OnError::KeepBest,
        ..ReplayOptions::default()
    };
    let text = [idle(11..=15), idle(17..=30)].concat();
    let (end, report) = run(&[&text], 11, &options).unwrap();
    assert_eq!(end, 16);
    assert!(matches!(
        report.stopped.unwrap().fault,
        ReplayFault::Hole {
            first: 16,
            last: 16,
            ..
        }
    ));
    assert_eq!(
        report.left_out,
        Some(LeftOut {
            first: 17,
            last: 30,
            lines: 14
        })
    );
    let text = [&idle(11..=15), &b"16: 1|FROB()\n"[..], &idle(17..=10_000)].concat();
    let (end, report) = run(&[&text], 11, &options).unwrap();
    assert_eq!(end, 16);
    assert_eq!(
        report.left_out,
        Some(LeftOut {
            first: 16,
            last: 10_000,
            lines: 9_985
        })
    );
}

#[test]
fn until() {
    let text = idle(11..=10_000);
    let at = |until| {
        run(
            &[&text],
            11,
            &ReplayOptions {
                until: Some(until),
                ..ReplayOptions::default()
            },
        )
    };
    let (end, report) = at(Until::Version(9_000)).unwrap();
    assert_eq!(end, 9_000);
    assert_eq!(
        report.left_out,
        Some(LeftOut {
            first: 9_000,
            last: 10_000,
            lines: 1_001
        })
    );
    assert_eq!(at(Until::Version(11)).unwrap().0, 11);
    let (end, report) = at(Until::Version(10_001)).unwrap();
    assert_eq!((end, report.left_out), (10_001, None));
    assert!(matches!(
        at(Until::Version(10)).unwrap_err().fault,
        ReplayFault::TooNew(11)
    ));
    assert!(matches!(
        at(Until::Version(10_002)).unwrap_err().fault,
        ReplayFault::TooShort {
            end: 10_001,
            wanted: 10_002
        }
    ));
    assert_eq!(at(Until::Time(1500)).unwrap().0, 501);
    assert_eq!(at(Until::Time(5)).unwrap().0, 11);
    assert_eq!(at(Until::Time(u32::MAX)).unwrap().0, 10_001);
}

#[test]
fn a_file_that_cannot_be_read_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Input::File(dir.path().join("changelog.1.mfs"));
    let there = Input::Bytes("changelog.0.mfs".into(), idle(12..=13).into());
    let mut model = Model {
        version: 12,
        seen: Vec::new(),
    };
    let merge = Merge::new(vec![missing.clone(), there.clone()], 12, false);
    let report = super::replay(merge, &mut model, &ReplayOptions::default(), &mut |_| ()).unwrap();
    assert!(matches!(kinds(&report)[..], [EventKind::Unreadable { .. }]));
    let mut model = Model {
        version: 11,
        seen: Vec::new(),
    };
    let merge = Merge::new(vec![missing, there], 11, false);
    let error =
        super::replay(merge, &mut model, &ReplayOptions::default(), &mut |_| ()).unwrap_err();
    assert!(matches!(error.fault, ReplayFault::Hole { .. }));
    assert_eq!(error.events.len(), 1);
}

#[test]
fn lines_reach_the_real_state() {
    let text =
        b"1: 5|SETMETAID(77)\n2: 6|CREATE(1,a,2,493,0,0,0,0):2\n3: 7|CREATE(2,b,1,420,0,0,0,0):3\n";
    let mut meta = Metadata::new(1, 5);
    let report = super::replay(
        merge(&[text], 1),
        &mut meta,
        &ReplayOptions::default(),
        &mut |_| (),
    )
    .unwrap();
    assert_eq!((report.end, meta.version(), meta.meta_id()), (4, 4, 77));
    let dir = meta.lookup(1, b"a").unwrap();
    assert_eq!(meta.lookup(dir, b"b"), Some(3));
    assert_eq!(meta.tolerance(), Tolerance::Strict);
}

fn damage() -> impl Strategy<Value = (usize, u8)> {
    (any::<usize>(), any::<u8>())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..2000)) {
        fuzz_changelog(&data);
    }

    /// Bytes of a sound log that are changed at random: what is applied is always a part of what was there
    /// up to the first damage, unless the damage made another valid line.
    #[test]
    fn damaged_logs_never_panic(flips in prop::collection::vec(damage(), 0..6), cut in any::<usize>()) {
        let mut text: Vec<u8> = idle(1..=60);
        for (at, byte) in flips {
            let at = at % text.len();
            text[at] = byte;
        }
        text.truncate(cut % (text.len() + 1));
        fuzz_changelog(&text);
    }

    /// However lines are spread over files, with overlaps and cut tails: if every line is whole somewhere, all
    /// are applied; if not, the replay ends before the first one that is not.
    #[test]
    fn any_distribution_over_files(spread in prop::collection::vec(1u8..16, 1..300), cuts in prop::collection::vec(0usize..40, 4)) {
        let mut files: Vec<Vec<u8>> = vec![Vec::new(); 4];
        let mut whole: Vec<Vec<u64>> = vec![Vec::new(); 4];
        for (n, mask) in (1u64..).zip(&spread) {
            for (i, file) in files.iter_mut().enumerate() {
                if mask & (1 << i) != 0 {
                    file.extend(idle([n]));
                    whole[i].push(n);
                }
            }
        }
        for ((file, numbers), cut) in files.iter_mut().zip(&mut whole).zip(cuts) {
            let keep = file.len().saturating_sub(cut);
            file.truncate(keep);
            let lines = file.iter().filter(|&&b| b == b'\n').count();
            numbers.truncate(lines);
        }
        let all: std::collections::BTreeSet<u64> = whole.into_iter().flatten().collect();
        let first_missing = (1..).find(|n| !all.contains(n)).unwrap();
        let files: Vec<&[u8]> = files.iter().map(|f| &f[..]).collect();
        let options = ReplayOptions { on_error: OnError::KeepBest, ..ReplayOptions::default() };
        let (end, report) = run(&files, 1, &options).unwrap();
        prop_assert_eq!(end, first_missing);
        prop_assert_eq!(report.stopped.is_none(), all.len() as u64 == first_missing - 1);
    }
}
