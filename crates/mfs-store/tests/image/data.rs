//! The recorded images, `tests/data/images`.

use std::path::{Path, PathBuf};

/// Recorded with the files of a real cluster.
pub(crate) const RECORDED: [&str; 5] = ["fresh", "types", "meta", "live", "trash"];

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/images")
        .join(name)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Names of the images of a directory, sorted.
pub(crate) fn images(dir: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path(dir))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".mfs") && name != "sessions.mfs")
        .collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

/// Offset and length of the payload of each section of an image of format 2.0.
pub(crate) fn sections(image: &[u8]) -> Vec<(String, std::ops::Range<usize>)> {
    let mut sections = Vec::new();
    let mut at = 24;
    while &image[at..at + 4] != b"[MFS" {
        let name = String::from_utf8(image[at..at + 4].to_vec()).unwrap();
        let length = u64::from_be_bytes(image[at + 8..at + 16].try_into().unwrap()) as usize;
        sections.push((name, at + 16..at + 16 + length));
        at += 16 + length;
    }
    sections
}

/// The image as if it were streamed: lengths unknown.
pub(crate) fn streamed(image: &[u8]) -> Vec<u8> {
    let mut streamed = image.to_vec();
    for (_, payload) in sections(image) {
        streamed[payload.start - 8..payload.start].fill(0xff);
    }
    streamed
}
