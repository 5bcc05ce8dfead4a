//! Images as text: what the real `mfsmetadump` prints.

use std::collections::BTreeMap;
use std::path::Path;

use crate::command::Tool;
use crate::programs::real;

/// All records of an image, sorted: masters may write the objects of a section in any order.
/// Headers, lengths and counters of hash tables (lines beginning with `#`) are left out, except
/// for those that are part of the state: version, id, greatest inode, next session and chunk.
///
/// # Panics
/// When the real `mfsmetadump` does not accept the image.
pub fn dump(image: &Path) -> Vec<String> {
    records(
        &Tool::new(real("mfsmetadump"))
            .arg(image)
            .run()
            .expect(0)
            .stdout,
    )
}

/// [`dump`] of a text that `mfsmetadump` printed earlier.
pub fn records(printed: &str) -> Vec<String> {
    let mut lines: Vec<String> = printed
        .lines()
        .filter(|line| {
            !line.starts_with('#')
                || ["version", "maxinode", "nextsessionid", "nextchunkid"]
                    .iter()
                    .any(|name| line.starts_with(&format!("# {name}:")))
        })
        // The number of hash table elements says nothing about the namespace.
        .map(|line| match line.split_once(" ; hashelements") {
            Some((head, _)) => head.to_owned(),
            None => line.to_owned(),
        })
        .collect();
    lines.sort();
    lines
}

/// Records without the few fields that no changelog line carries: the counters of operations and
/// the time of disconnection of a session. Two masters that went through the same changes agree
/// on everything else.
pub fn durable(records: Vec<String>) -> Vec<String> {
    let mut lines: Vec<String> = records
        .into_iter()
        .map(|line| {
            if line.starts_with("SESSION|") {
                line.split('|')
                    .filter(|field| !["d:", "c:", "l:"].iter().any(|tag| field.starts_with(tag)))
                    .collect::<Vec<_>>()
                    .join("|")
            } else {
                line
            }
        })
        .collect();
    lines.sort();
    lines
}

/// What only one of two dumps has, as a readable text; empty when they are equal.
pub fn differences(left: &[String], right: &[String]) -> String {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in left {
        *counts.entry(line).or_default() += 1;
    }
    for line in right {
        *counts.entry(line).or_default() -= 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .map(|(line, count)| format!("{} {line}\n", if count > 0 { '<' } else { '>' }))
        .collect()
}
