//! Data directories and recorded files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::programs::Kind;
use crate::{command::Tool, programs::real};

/// A file that is kept with these tests (`tests/data/...`).
///
/// # Panics
/// When there is no such file.
pub fn fixture(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data")
        .join(name);
    assert!(path.exists(), "no such fixture: {}", path.display());
    path
}

/// A master's data directory.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Takes an existing directory.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether a file is there.
    pub fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// Writes a file.
    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).expect("write a file of the data directory");
    }

    /// Copies a fixture into it under a name.
    pub fn put_fixture(&self, from: &str, name: &str) {
        self.put(name, fs::read(fixture(from)).expect("read a fixture"));
    }

    /// Reads a file.
    ///
    /// # Panics
    /// When it is not there.
    pub fn get(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap_or_else(|error| {
            panic!("cannot read {name}: {error}; there is {:?}", self.names())
        })
    }

    /// The names of all files, sorted.
    pub fn names(&self) -> Vec<String> {
        self.snapshot().into_keys().collect()
    }

    /// The names and contents of all files that carry metadata: images and changelogs. Lock
    /// files, statistics and checksums are left out.
    pub fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(&self.path)
            .expect("list the data directory")
            .map(|entry| entry.expect("list the data directory"))
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| {
                (name.starts_with("metadata") || name.starts_with("changelog"))
                    && name != "metadata.crc"
            })
            .map(|name| {
                let bytes = self.get(&name);
                (name, bytes)
            })
            .collect()
    }

    /// Copies all files of another data directory into this one.
    pub fn copy_from(&self, other: &Path) {
        for entry in fs::read_dir(other).expect("list a directory") {
            let entry = entry.expect("list a directory");
            if entry.path().is_file() {
                fs::copy(
                    entry.path(),
                    self.file(&entry.file_name().to_string_lossy()),
                )
                .expect("copy a file");
            }
        }
    }

    /// The version of an image: the number of the next change (spec 01 §1).
    ///
    /// # Panics
    /// When the file is not there or too short for an image.
    pub fn version(&self, name: &str) -> u64 {
        let bytes = self.get(name);
        if bytes.starts_with(b"MFSM NEW") {
            return 1;
        }
        let field = bytes.get(8..16).expect("an image has a version");
        u64::from_be_bytes(field.try_into().expect("eight bytes"))
    }

    /// All changelog lines in the directory, ordered by number, without repetitions.
    pub fn changes(&self) -> BTreeMap<u64, String> {
        self.snapshot()
            .into_iter()
            .filter(|(name, _)| name.starts_with("changelog"))
            .flat_map(|(_, bytes)| {
                String::from_utf8_lossy(&bytes)
                    .lines()
                    .filter_map(|line| {
                        let (number, text) = line.split_once(": ")?;
                        Some((number.parse().ok()?, text.to_owned()))
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Restores a copy of this directory with a program (`mfsmaster -a restore` of either
    /// kind) and gives the copy, with its clean `metadata.mfs`.
    ///
    /// # Panics
    /// When the restore fails.
    pub fn restored_copy(&self, kind: Kind) -> (tempfile::TempDir, DataDir) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("make a directory");
        let copy = DataDir::new(&data);
        copy.copy_from(&self.path);
        let cfg = dir.path().join("mfsmaster.cfg");
        fs::write(
            &cfg,
            format!(
                "WORKING_USER = root\nWORKING_GROUP = root\nDATA_PATH = {}\n",
                data.display()
            ),
        )
        .expect("write a configuration");
        let program = match kind {
            Kind::Original => real("mfsmaster"),
            Kind::Ours => crate::programs::ours("mfsmaster"),
        };
        Tool::new(program)
            .args(["-c".as_ref(), cfg.as_os_str()])
            .args(["-a", "restore"])
            .run()
            .expect(0);
        (dir, copy)
    }
}
