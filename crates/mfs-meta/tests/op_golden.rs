//! Parser and printer on the recorded changelogs of `tests/data/replay` (see the README there).
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; the lint only exempts test functions, not their helpers"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mfs_meta::op::{LineErrorKind, Op, parse_line};

/// A line of a case: where it stands, and its bytes with the line feed.
struct Recorded {
    case: String,
    place: String,
    text: Vec<u8>,
}

fn recorded_lines() -> Vec<Recorded> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/replay");
    let mut lines = Vec::new();
    for case in fs::read_dir(root).unwrap().map(Result::unwrap) {
        if !case.file_type().unwrap().is_dir() {
            continue;
        }
        for file in fs::read_dir(case.path()).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            // `f01` has a file that only looks like a changelog.
            if !name.starts_with("changelog") || name == "changelog.abc.mfs" {
                continue;
            }
            let case = case.file_name().into_string().unwrap();
            let content = fs::read(file.path()).unwrap();
            for (i, text) in content.split_inclusive(|b| *b == b'\n').enumerate() {
                lines.push(Recorded {
                    place: format!("{case}/{name}:{}", i + 1),
                    case: case.clone(),
                    text: text.to_vec(),
                });
            }
        }
    }
    assert!(lines.len() > 25_000, "only {} lines", lines.len());
    lines
}

/// What we write for a recorded line in current form: the same, but for the leading 0 that makes group
/// lists of `SNAPSHOT` readable for the original (spec 03 §9.2).
fn as_we_write_it(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let Some((head, rest)) = text
        .split_once(",[")
        .filter(|_| text.contains("|SNAPSHOT("))
    else {
        return text.into_bytes();
    };
    let (list, tail) = rest.split_once(']').unwrap();
    let list: Vec<String> = list
        .split(',')
        .map(|gid| match gid.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => format!("0{digits}"),
        })
        .collect();
    format!("{head},[{}]{tail}", list.join(",")).into_bytes()
}

#[test]
fn only_the_bad_lines_are_refused() {
    let refused: BTreeMap<String, String> = recorded_lines()
        .iter()
        .filter_map(|line| {
            let error = parse_line(&line.text).err()?;
            assert_eq!(
                error.is_fatal(),
                matches!(error.kind, LineErrorKind::UnknownEntry(_))
            );
            Some((line.place.clone(), error.kind.to_string()))
        })
        .collect();
    let expected = [
        (
            "e-bad-escape-in-the-middle/changelog.0.mfs:3",
            "hex expected",
        ),
        (
            "e-unknown-op/changelog.0.mfs:5",
            "unknown entry 'FROBNICATE(1)\\n'",
        ),
        (
            "e-value-too-big/changelog.0.mfs:5",
            "value too big (65536 - 0-65535 expected)",
        ),
        (
            "f02-parse-error-on-last-line-ignored/changelog.0.mfs:8",
            "hex expected",
        ),
        (
            "f03-lowercase-hex-is-parse-error/changelog.0.mfs:8",
            "hex expected",
        ),
        (
            "f08-parse-error-healed-by-second-file/changelog.0.mfs:5",
            "hex expected",
        ),
    ];
    let expected: BTreeMap<String, String> = expected
        .iter()
        .map(|(place, message)| ((*place).to_owned(), (*message).to_owned()))
        .collect();
    assert_eq!(refused, expected);
}

#[test]
fn lines_of_the_original_are_printed_as_it_wrote_them() {
    let mut names = BTreeMap::new();
    for line in recorded_lines() {
        if !line.case.contains("live-") {
            continue;
        }
        let parsed = parse_line(&line.text).unwrap();
        let mut out = Vec::new();
        parsed.write(&mut out);
        assert_eq!(
            out.escape_ascii().to_string(),
            as_we_write_it(&line.text).escape_ascii().to_string(),
            "{}",
            line.place
        );
        *names.entry(parsed.op.name()).or_insert(0) += 1;
    }
    assert!(names.len() >= 40, "only {names:?}");
}

#[test]
fn every_readable_line_reads_the_same_after_printing() {
    let mut names = BTreeMap::new();
    for line in recorded_lines() {
        let Ok(parsed) = parse_line(&line.text) else {
            continue;
        };
        let mut out = Vec::new();
        parsed.write(&mut out);
        assert_eq!(parse_line(&out).as_ref(), Ok(&parsed), "{}", line.place);
        let owned = parsed.clone().into_owned();
        assert_eq!(owned, parsed, "{}", line.place);
        *names.entry(owned.op.name()).or_insert(0) += 1;
    }
    // The recorded cases use every operation that 3.0.117 reads.
    assert_eq!(names.len(), 52, "{names:?}");
}

#[test]
fn the_flow_of_versions_is_read() {
    let mut last = BTreeMap::new();
    for line in recorded_lines() {
        let file = line.place.rsplit_once(':').unwrap().0.to_owned();
        let Some(parsed) = parse_line(&line.text)
            .ok()
            .filter(|_| line.case.contains("live-"))
        else {
            continue;
        };
        if let Some(previous) = last.insert(file, parsed.version) {
            assert_eq!(parsed.version, previous + 1, "{}", line.place);
        }
        assert!(parsed.ts > 1_600_000_000, "{}", line.place);
        assert!(!matches!(parsed.op, Op::Idle), "{}", line.place);
    }
    assert!(last.len() > 8);
}
