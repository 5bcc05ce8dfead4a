//! The images of both masters, as the real `mfsmetadump` prints them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::master::Programs;

/// Comments that are part of the state; the others are lengths and hash table sizes.
const STATE: [&str; 6] = [
    "nextsessionid",
    "maxinode",
    "nextedgeid",
    "free nodes",
    "quota nodes",
    "nextchunkid",
];

/// What only one of two images has; empty when they are equal.
pub(crate) fn differences(programs: &Programs, images: &[impl AsRef<Path>; 2]) -> Result<String> {
    let [original, ours] = images;
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for line in records(&dump(programs, original.as_ref())?) {
        *counts.entry(line).or_default() += 1;
    }
    for line in records(&dump(programs, ours.as_ref())?) {
        *counts.entry(line).or_default() -= 1;
    }
    counts.retain(|_, count| *count != 0);
    let shown = counts.iter().take(60);
    Ok(shown
        .map(|(line, count)| {
            format!(
                "{} {line}\n",
                if *count > 0 { "original" } else { "ours    " }
            )
        })
        .collect())
}

fn dump(programs: &Programs, image: &Path) -> Result<String> {
    let output = Command::new(&programs.metadump)
        .arg(image)
        .output()
        .with_context(|| format!("cannot run {}", programs.metadump.display()))?;
    ensure!(
        output.status.success(),
        "{} refuses {}: {}",
        programs.metadump.display(),
        image.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Records and counters, without the order in which a master writes them.
fn records(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|line| match line.strip_prefix("# ") {
            Some(comment) => STATE.iter().any(|name| comment.starts_with(name)),
            None => true,
        })
        // The number of hash table elements says nothing about the namespace.
        .map(|line| {
            line.split(" ; hashelements")
                .next()
                .unwrap_or(line)
                .to_owned()
        })
        .collect()
}
