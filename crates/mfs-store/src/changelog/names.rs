//! Names of changelog files (spec 01 §8.2).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Who wrote a changelog file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `changelog.N.mfs`: a master.
    Master,
    /// `changelog_ml.N.mfs`: a metalogger, line by line as they came.
    Metalogger,
    /// `changelog_ml_back.N.mfs`: a metalogger's download of its master's files.
    MetaloggerBack,
}

impl Family {
    /// All families.
    pub const ALL: [Family; 3] = [Family::Master, Family::Metalogger, Family::MetaloggerBack];

    /// Text before the number, with its dot.
    const fn prefix(self) -> &'static str {
        match self {
            Family::Master => "changelog.",
            Family::Metalogger => "changelog_ml.",
            Family::MetaloggerBack => "changelog_ml_back.",
        }
    }

    /// Name of the file with this number; 0 is the one being written.
    pub fn file_name(self, number: u32) -> String {
        format!("{}{number}.mfs", self.prefix())
    }
}

/// Family of a file name; `None` if it is not the name of a changelog. The number is one or more decimal
/// digits of any value: it plays no part in the order of lines.
pub fn family_of(name: &OsStr) -> Option<Family> {
    let name = name.as_bytes().strip_suffix(b".mfs")?;
    Family::ALL.into_iter().find(|family| {
        name.strip_prefix(family.prefix().as_bytes())
            .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
    })
}

/// All changelog files of a directory, sorted by name. Entries that are no regular files (after following
/// links) are left out, as the original does.
///
/// # Errors
/// When the directory cannot be read.
pub fn find(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if family_of(&entry.file_name()).is_some() {
            let path = entry.path();
            if std::fs::metadata(&path).is_ok_and(|meta| meta.is_file()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let of = |name: &str| family_of(OsStr::new(name));
        assert_eq!(of("changelog.0.mfs"), Some(Family::Master));
        assert_eq!(of("changelog.007.mfs"), Some(Family::Master));
        assert_eq!(of("changelog_ml.12.mfs"), Some(Family::Metalogger));
        assert_eq!(of("changelog_ml_back.1.mfs"), Some(Family::MetaloggerBack));
        for other in [
            "changelog.0.mfs.bak",
            "changelog..mfs",
            "changelog.a.mfs",
            "changelog.-1.mfs",
            "changelog_ml.tmp",
            "xchangelog.0.mfs",
            "changelog.mfs",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(
            Family::MetaloggerBack.file_name(1),
            "changelog_ml_back.1.mfs"
        );
    }

    #[test]
    fn only_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("changelog.1.mfs"), "").unwrap();
        std::fs::write(dir.path().join("changelog_ml.0.mfs"), "").unwrap();
        std::fs::write(dir.path().join("changelog.x.mfs"), "").unwrap();
        std::fs::create_dir(dir.path().join("changelog.2.mfs")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("changelog.3.mfs")).unwrap();
        let names: Vec<_> = find(dir.path())
            .unwrap()
            .into_iter()
            .map(|p| p.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["changelog.1.mfs", "changelog_ml.0.mfs"]);
    }
}
