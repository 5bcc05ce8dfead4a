//! What a parser has to say beside its result.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::exports::ExportsWarning;
use crate::settings::SettingWarning;
use crate::topology::TopologyWarning;

/// A value that was read, and everything in its file that an administrator should look at.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// What the file says.
    pub value: T,
    /// In the order of the file; the caller logs them.
    pub warnings: Vec<Warning>,
}

/// One remark about a configuration file. Displays as `FILE:LINE: text`, or `FILE: text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file as it was opened.
    pub file: Arc<Path>,
    /// Line, counted from 1; `None` when the remark is about the file as a whole.
    pub line: Option<u32>,
    /// What is wrong and what was done about it.
    pub kind: WarningKind,
}

/// The remark itself, by kind of file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WarningKind {
    /// `mfsmaster.cfg` or `mfsmetalogger.cfg`.
    #[error(transparent)]
    Setting(#[from] SettingWarning),
    /// `mfsexports.cfg`.
    #[error(transparent)]
    Exports(#[from] ExportsWarning),
    /// `mfstopology.cfg`.
    #[error(transparent)]
    Topology(#[from] TopologyWarning),
    /// The file was found in its former directory only.
    #[error("default directory of configuration files has changed - please move this file to {}", wanted.display())]
    FormerLocation {
        /// Where the file should be.
        wanted: PathBuf,
    },
    /// The file is missing and defaults are used instead.
    #[error("file not found - using defaults")]
    Missing,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.kind),
            None => write!(f, "{}: {}", self.file.display(), self.kind),
        }
    }
}

/// Collects the warnings of one file.
pub(crate) struct Warnings {
    file: Arc<Path>,
    list: Vec<Warning>,
}

impl Warnings {
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            file: file.into(),
            list: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, line: Option<u32>, kind: impl Into<WarningKind>) {
        self.list.push(Warning {
            file: Arc::clone(&self.file),
            line,
            kind: kind.into(),
        });
    }

    pub(crate) fn finish<T>(self, value: T) -> Loaded<T> {
        Loaded {
            value,
            warnings: self.list,
        }
    }
}
