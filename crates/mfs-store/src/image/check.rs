//! The quick check of a file: head and tail (spec 02 §19.1, spec 01 §7.1).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::bytes::u64_at;
use super::{FORMAT_CURRENT, FORMAT_SECTIONS, SIGNATURE_NEW, TAIL, format_of};

/// What a file that passed the check says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// `MFSM NEW`: an empty file system is to be created.
    New,
    /// An image, of which only head and tail were looked at.
    Image {
        /// File format `0xMm`: 0x20 for `MFSM 2.0`.
        format: u8,
        /// Metadata version: number of the next changelog line.
        version: u64,
        /// Identity of the installation, 0 = not assigned or older than format 2.0.
        meta_id: u64,
    },
}

impl Checked {
    /// Metadata version; 1 for a new file system.
    pub fn version(&self) -> u64 {
        match self {
            Checked::New => 1,
            Checked::Image { version, .. } => *version,
        }
    }

    /// Identity of the installation, 0 = none yet.
    pub fn meta_id(&self) -> u64 {
        match self {
            Checked::New => 0,
            Checked::Image { meta_id, .. } => *meta_id,
        }
    }
}

/// Why a file is not an image. The order of the variants is the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no such file.
    #[error("can't find {}", .0.display())]
    Missing(PathBuf),
    /// It cannot be read, is a directory, or is shorter than a head.
    #[error("error reading {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said; `UnexpectedEof` for a short file.
        #[source]
        source: io::Error,
    },
    /// The signature is not one of an image.
    #[error("{} has wrong header", .0.display())]
    BadHeader(PathBuf),
    /// The last 16 bytes are not the end mark: it was cut or is still being written.
    #[error("{} has wrong ending", .0.display())]
    BadEnding(PathBuf),
}

/// Checks head and tail of the file at `path` (spec 02 §19.1).
///
/// # Errors
/// See [`CheckError`].
pub fn check(path: &Path) -> Result<Checked, CheckError> {
    match File::open(path) {
        Ok(file) => check_file(&file, path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(CheckError::Missing(path.to_owned())),
        Err(source) => Err(CheckError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// As [`check`] for an open file; `path` is for the errors. The file's position stays.
///
/// # Errors
/// See [`CheckError`].
pub fn check_file(file: &File, path: &Path) -> Result<Checked, CheckError> {
    let io_error = |source| CheckError::Io {
        path: path.to_owned(),
        source,
    };
    let mut signature = [0; 8];
    file.read_exact_at(&mut signature, 0).map_err(io_error)?;
    if signature == *SIGNATURE_NEW {
        return Ok(Checked::New);
    }
    let format = format_of(&signature).ok_or_else(|| CheckError::BadHeader(path.to_owned()))?;
    let mut head = [0; 16];
    file.read_exact_at(&mut head, 8).map_err(io_error)?;
    let size = file.metadata().map_err(io_error)?.len();
    let mut tail = [0; 16];
    file.read_exact_at(&mut tail, size.saturating_sub(16))
        .map_err(io_error)?;
    let expected = if format >= FORMAT_SECTIONS {
        TAIL
    } else {
        &[0; 16]
    };
    if tail != *expected {
        return Err(CheckError::BadEnding(path.to_owned()));
    }
    let (version, meta_id) = decode_head(format, &head);
    Ok(Checked::Image {
        format,
        version,
        meta_id,
    })
}

/// Version and metadata id of the 16 bytes behind the signature.
pub(super) fn decode_head(format: u8, head: &[u8; 16]) -> (u64, u64) {
    if format >= FORMAT_CURRENT {
        (u64_at(head, 0), u64_at(head, 8))
    } else {
        (u64_at(head, 4), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_bytes(content: &[u8]) -> Result<Checked, CheckError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metadata.mfs");
        std::fs::write(&path, content).unwrap();
        check(&path)
    }

    fn image(signature: &[u8; 8], tail: &[u8]) -> Vec<u8> {
        [
            &signature[..],
            &7u64.to_be_bytes(),
            &9u64.to_be_bytes(),
            tail,
        ]
        .concat()
    }

    #[test]
    fn classes_in_order() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            check(&dir.path().join("none")),
            Err(CheckError::Missing(_))
        ));
        assert!(matches!(check(dir.path()), Err(CheckError::Io { .. })));
        assert!(matches!(check_bytes(b""), Err(CheckError::Io { .. })));
        assert!(matches!(
            check_bytes(b"MFSM NE"),
            Err(CheckError::Io { .. })
        ));
        assert!(matches!(
            check_bytes(b"MFSX 2.0"),
            Err(CheckError::BadHeader(_))
        ));
        assert!(matches!(
            check_bytes(b"MFSM 0.9 and more of that which is no image"),
            Err(CheckError::BadHeader(_))
        ));
        assert!(matches!(
            check_bytes(b"MFSM 2.0 short"),
            Err(CheckError::Io { .. })
        ));
        assert!(matches!(
            check_bytes(&image(SIGNATURE_2, b"")),
            Err(CheckError::BadEnding(_))
        ));
        assert!(matches!(
            check_bytes(&image(SIGNATURE_2, &TAIL[..15])),
            Err(CheckError::BadEnding(_))
        ));
    }

    const SIGNATURE_2: &[u8; 8] = b"MFSM 2.0";

    #[test]
    fn valid_files() {
        assert_eq!(check_bytes(b"MFSM NEW").unwrap(), Checked::New);
        let new = check_bytes(b"MFSM NEW and more").unwrap();
        assert_eq!((new.version(), new.meta_id()), (1, 0));
        let image_2 = check_bytes(&image(SIGNATURE_2, TAIL)).unwrap();
        assert_eq!(
            image_2,
            Checked::Image {
                format: 0x20,
                version: 7,
                meta_id: 9
            }
        );
        assert_eq!((image_2.version(), image_2.meta_id()), (7, 9));
        // The version of old formats starts four bytes later: behind the highest inode.
        let old = check_bytes(&image(b"MFSM 1.7", TAIL)).unwrap();
        assert_eq!(
            old,
            Checked::Image {
                format: 0x17,
                version: 7 << 32,
                meta_id: 0
            }
        );
        assert!(matches!(
            check_bytes(&image(b"MFSM 1.5", TAIL)),
            Err(CheckError::BadEnding(_))
        ));
        assert_eq!(
            check_bytes(&image(b"MFSM 1.5", &[0; 16])).unwrap(),
            Checked::Image {
                format: 0x15,
                version: 7 << 32,
                meta_id: 0
            }
        );
    }
}
