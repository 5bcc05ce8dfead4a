//! Directories to restore, and the program that does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mfs_metarestore::dump::Dump;
use mfs_store::image;

/// Where recorded data lies: a path below `crates`.
pub(crate) fn recorded(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A directory of its own for a test.
pub(crate) struct Dir {
    temp: tempfile::TempDir,
}

impl Dir {
    pub(crate) fn new() -> Dir {
        Dir {
            temp: tempfile::tempdir().unwrap(),
        }
    }

    /// With copies of the changelogs and images of a recorded directory.
    pub(crate) fn copy_of(from: &Path) -> Dir {
        let dir = Dir::new();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("changelog") || name.starts_with("metadata") {
                dir.put(&name, &std::fs::read(entry.path()).unwrap());
            }
        }
        dir
    }

    pub(crate) fn path(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    /// All files but the lock.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.path()).unwrap().map(|e| e.unwrap());
        entries
            .map(|e| {
                (
                    e.file_name().to_string_lossy().into_owned(),
                    std::fs::read(e.path()).unwrap(),
                )
            })
            .filter(|(name, _)| name != ".mfsmaster.lock")
            .collect()
    }

    pub(crate) fn version(&self, name: &str) -> u64 {
        image::check(&self.path().join(name)).unwrap().version()
    }

    /// Runs the program in this directory.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_mfsmetarestore"))
            .args(args)
            .current_dir(self.path())
            .output()
            .unwrap();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The image as text, names unescaped.
    pub(crate) fn dump(&self, name: &str) -> Vec<u8> {
        let mut dump = Dump::new(Vec::new()).raw();
        let path = self.path().join(name);
        image::read_path(
            &path,
            &image::ReadOptions::default(),
            &mut dump,
            &mut |_| (),
        )
        .unwrap();
        dump.finish().0
    }
}

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Records and counters of a dump, in an order that does not depend on hash tables. What `mfsmetadump` prints beyond
/// the records (headers and lengths of sections) is left out, and its confusion of the fields of flocks is undone.
pub(crate) fn comparable(dump: &[u8]) -> Vec<String> {
    const COUNTERS: [&str; 6] = [
        "# version",
        "# nextsessionid",
        "# maxinode",
        "# nextedgeid",
        "# free nodes",
        "# nextchunkid",
    ];
    let mut lines: Vec<String> = dump
        .split(|&b| b == b'\n')
        .map(|line| line.escape_ascii().to_string())
        // The original stores locks of files that are not open and then refuses its image; ours leaves them
        // out (spec 02 §25). They are compared one by one in the tests of mfs-store.
        .filter(|line| !line.starts_with("FLOCK|") && !line.starts_with("POSIXLOCK|"))
        .filter(|line| !line.is_empty())
        .filter_map(|line| {
            if line.starts_with('#') {
                let counter = COUNTERS.iter().any(|c| line.starts_with(c));
                // The number of sessions' counters is no property of the state.
                return counter.then(|| {
                    line.split(" ; statscount")
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                });
            }
            Some(line)
        })
        .collect();
    lines.sort();
    lines
}
