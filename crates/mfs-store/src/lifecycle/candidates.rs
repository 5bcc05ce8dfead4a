//! What the files named `metadata*` are (spec 01 §7.1, §7.3).

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::DataDir;
use crate::image::{CheckError, Checked, check};

/// Version and identity that the head of a damaged image tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Metadata version.
    pub version: u64,
    /// Identity of the installation, 0 = none.
    pub meta_id: u64,
}

/// What the quick check says about a file.
#[derive(Debug)]
pub enum Verdict {
    /// Head and tail are sound.
    Valid(Checked),
    /// It is no image or a damaged one.
    Bad {
        /// Why.
        error: CheckError,
        /// What its head says, if it has one.
        head: Option<Head>,
        /// Size in bytes; 0 for what is no file.
        size: u64,
    },
}

impl Verdict {
    /// Looks at a file; `None` if it does not exist.
    pub fn of(path: &Path) -> Option<Verdict> {
        match check(path) {
            Ok(checked) => Some(Verdict::Valid(checked)),
            Err(CheckError::Missing(_)) => None,
            Err(error) => {
                let meta = std::fs::metadata(path)
                    .ok()
                    .filter(std::fs::Metadata::is_file);
                Some(Verdict::Bad {
                    head: peek(path).ok().flatten(),
                    size: meta.map_or(0, |meta| meta.len()),
                    error,
                })
            }
        }
    }

    /// The image, if the check passed.
    pub fn valid(&self) -> Option<Checked> {
        match self {
            Verdict::Valid(checked) => Some(*checked),
            Verdict::Bad { .. } => None,
        }
    }

    /// Version and identity, also of a damaged image. A new file system has none.
    pub fn head(&self) -> Option<Head> {
        match self {
            Verdict::Valid(Checked::New) => None,
            Verdict::Valid(checked) => Some(Head {
                version: checked.version(),
                meta_id: checked.meta_id(),
            }),
            Verdict::Bad { head, .. } => *head,
        }
    }
}

/// Head of an image of the present format, whatever comes behind it.
fn peek(path: &Path) -> io::Result<Option<Head>> {
    let mut head = [0; 24];
    File::open(path)?.read_exact_at(&mut head, 0)?;
    let field = |at: usize| {
        let bytes = head.get(at..at + 8).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    };
    Ok((head.starts_with(b"MFSM 2.")).then(|| Head {
        version: field(8),
        meta_id: field(16),
    }))
}

/// A file of the directory that may be an image.
#[derive(Debug)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub verdict: Verdict,
}

impl DataDir {
    /// All entries whose name begins with `metadata` and is longer, sorted by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn candidates(&self) -> io::Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if name.len() > 8 && name.as_bytes().starts_with(b"metadata") {
                let path = self.dir.join(&name);
                if let Some(verdict) = Verdict::of(&path) {
                    found.push(Candidate { path, verdict });
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}
