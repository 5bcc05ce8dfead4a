//! Finding and reading configuration files (spec 01 §3.2 step 1, 07 §7.1.1 and §7.2).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::warning::{Warning, WarningKind};

/// A configuration file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It does not exist.
    #[error("{}: file not found", .0.display())]
    NotFound(PathBuf),
    /// It exists, or could exist, and cannot be read.
    #[error("{}: cannot read: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads a whole configuration file.
///
/// # Errors
/// [`FileError`], with the missing file told apart from the unreadable one.
pub fn read(file: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileError::NotFound(file.to_owned()),
        _ => FileError::Read {
            file: file.to_owned(),
            source,
        },
    })
}

/// The directory of the configuration files, and the one where older versions had them.
#[derive(Debug, Clone)]
pub struct ConfigDirectory {
    /// Normally `/etc/mfs`.
    pub current: PathBuf,
    /// Normally `/etc`.
    pub former: PathBuf,
}

impl Default for ConfigDirectory {
    fn default() -> Self {
        Self {
            current: "/etc/mfs".into(),
            former: "/etc".into(),
        }
    }
}

/// Where a configuration file is to be read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The file; it need not exist.
    pub file: PathBuf,
    /// True when the administrator named it, false when it is the default.
    pub explicit: bool,
    /// [`WarningKind::FormerLocation`] when the file is in the former directory only.
    pub warning: Option<Warning>,
}

impl ConfigDirectory {
    /// `explicit` if given; else `name` in the current directory; else, if only that one exists,
    /// `name` in the former directory, with a warning. The result is absolute, so that a reload finds
    /// the same file after the daemon changed its working directory.
    #[must_use]
    pub fn locate(&self, explicit: Option<&Path>, name: &str) -> Located {
        if let Some(file) = explicit {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            return Located {
                file,
                explicit: true,
                warning: None,
            };
        }
        let wanted = self.current.join(name);
        let former = self.former.join(name);
        if !wanted.exists() && former.exists() {
            let warning = Warning {
                file: Arc::from(former.as_path()),
                line: None,
                kind: WarningKind::FormerLocation { wanted },
            };
            return Located {
                file: former,
                explicit: false,
                warning: Some(warning),
            };
        }
        Located {
            file: wanted,
            explicit: false,
            warning: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_then_current_then_former() {
        let root = tempfile::tempdir().unwrap();
        let directory = ConfigDirectory {
            current: root.path().join("mfs"),
            former: root.path().to_owned(),
        };
        std::fs::create_dir(&directory.current).unwrap();

        let nowhere = directory.locate(None, "a.cfg");
        assert_eq!(
            nowhere,
            Located {
                file: directory.current.join("a.cfg"),
                explicit: false,
                warning: None
            }
        );
        assert!(
            matches!(read(&nowhere.file), Err(FileError::NotFound(file)) if file == nowhere.file)
        );

        std::fs::write(directory.former.join("a.cfg"), "x").unwrap();
        let former = directory.locate(None, "a.cfg");
        assert_eq!(former.file, directory.former.join("a.cfg"));
        let warning = former.warning.unwrap().to_string();
        assert!(
            warning.ends_with(&format!(
                "please move this file to {}",
                nowhere.file.display()
            )),
            "{warning}"
        );

        std::fs::write(directory.current.join("a.cfg"), "y").unwrap();
        assert_eq!(directory.locate(None, "a.cfg"), nowhere);
        assert_eq!(read(&nowhere.file).unwrap(), b"y");

        let explicit = directory.locate(Some(Path::new("dir/b.cfg")), "a.cfg");
        assert!(
            explicit.explicit
                && explicit.file.is_absolute()
                && explicit.file.ends_with("dir/b.cfg")
        );
    }

    #[test]
    fn a_directory_is_unreadable_not_missing() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(read(root.path()), Err(FileError::Read { .. })));
    }
}
