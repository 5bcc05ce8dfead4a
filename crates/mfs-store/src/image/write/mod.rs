//! Writing an image and its checksums (spec 02 §2–§18), exactly as 3.0.117 writes it.

mod crc;
mod encode;
mod output;

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use mfs_meta::records::{Header, ImageSource};

use self::output::Output;
use super::section::{Section, SectionHeader, SectionName};
use super::{SIGNATURE, TAIL, UNKNOWN_LENGTH};

pub use self::crc::CrcEntry;

/// Entries of `metadata.crc`: head, sections, tail.
const CRC_ENTRIES: usize = Section::ALL.len() + 2;
/// Size of `metadata.crc` in bytes.
pub const CRC_FILE_SIZE: usize = 8 * CRC_ENTRIES;

/// How to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions<'a> {
    /// Current time: chunk locks that ended before it are not stored (spec 02 §16).
    pub now: u32,
    /// Bring the file to the disk before returning (only [`write_file`]).
    pub sync: bool,
    /// Stops the write soon after it becomes true.
    pub cancel: Option<&'a AtomicBool>,
}

/// A written image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Counters and ids of the state that was written.
    pub header: Header,
    /// Size of the image.
    pub bytes: u64,
    /// Checksums in the order of `metadata.crc`.
    pub crc: [CrcEntry; CRC_ENTRIES],
}

impl Written {
    /// Content of `metadata.crc` (spec 02 §18).
    pub fn crc_file(&self) -> [u8; CRC_FILE_SIZE] {
        let mut content = [0; CRC_FILE_SIZE];
        for (to, entry) in content.chunks_exact_mut(8).zip(&self.crc) {
            to.copy_from_slice(&entry.encode());
        }
        content
    }
}

/// An image could not be written. What is in the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refused.
    #[error("error writing {}", .path.display())]
    Io {
        /// The file; empty when [`write()`] was given something else.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("writing the image was cancelled")]
    Cancelled,
    /// The writing thread is gone; the caller of [`write()`] gets its error instead.
    #[error("writing the image was stopped")]
    Stopped,
    /// A record does not fit into the format: the state is broken.
    #[error("section {section}: {what} of {size} does not fit into an image")]
    TooLarge {
        /// Where.
        section: SectionName,
        /// Which part of a record.
        what: &'static str,
        /// Its size.
        size: usize,
    },
    /// The source gave another number of records than it had promised: the state is broken.
    #[error("section {section}: {promised} records announced, {given} given")]
    Count {
        /// Where.
        section: SectionName,
        /// Announced number.
        promised: u64,
        /// Number of records.
        given: u64,
    },
}

impl WriteError {
    fn at(self, at: &Path) -> WriteError {
        match self {
            WriteError::Io { path, source } if path.as_os_str().is_empty() => WriteError::Io {
                path: at.to_owned(),
                source,
            },
            other => other,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(source: io::Error) -> WriteError {
        WriteError::Io {
            path: PathBuf::new(),
            source,
        }
    }
}

/// Writes the state to an empty file at its start; `path` is for the errors. Name, lock, mode and renaming
/// are the caller's matter.
///
/// # Errors
/// See [`WriteError`].
pub fn write_file<S: ImageSource>(
    source: &S,
    mut file: &File,
    path: &Path,
    options: &WriteOptions<'_>,
) -> Result<Written, WriteError> {
    let written = write(source, &mut file, options).map_err(|e| e.at(path))?;
    if options.sync {
        file.sync_all().map_err(|e| WriteError::from(e).at(path))?;
    }
    Ok(written)
}

/// Writes the state from the current position of `to`, which must be the start of the image. The caller's
/// thread encodes, a second one writes; the lengths of the sections are put in at the end.
///
/// # Errors
/// See [`WriteError`].
pub fn write<S: ImageSource, W: Write + Seek + Send>(
    source: &S,
    to: &mut W,
    options: &WriteOptions<'_>,
) -> Result<Written, WriteError> {
    let encoded = std::thread::scope(|scope| {
        let (output, writing) = Output::start(scope, &mut *to, options.cancel);
        let encoded = image(source, output, options);
        // The output is gone now, so the thread ends. Its error is the cause when both have one.
        match writing.join() {
            Ok(Ok(())) => encoded,
            Ok(Err(e)) => Err(WriteError::from(e)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    encoded.complete(to)
}

/// As [`write()`], without a thread: for small images and for tests.
pub(super) fn write_direct<S: ImageSource, W: Write + Seek>(
    source: &S,
    to: &mut W,
    options: &WriteOptions<'_>,
) -> Result<Written, WriteError> {
    let encoded = image(source, Output::direct(&mut *to, options.cancel), options)?;
    encoded.complete(to)
}

/// An image in the output, whose section lengths still stand out.
struct Encoded {
    written: Written,
    /// Places and values of the section lengths.
    lengths: [(u64, u64); Section::ALL.len()],
}

impl Encoded {
    /// Puts the section lengths in.
    fn complete<W: Write + Seek>(self, to: &mut W) -> Result<Written, WriteError> {
        for (at, length) in self.lengths {
            to.seek(SeekFrom::Start(at))?;
            to.write_all(&length.to_be_bytes())?;
        }
        to.seek(SeekFrom::Start(self.written.bytes))?;
        to.flush()?;
        Ok(self.written)
    }
}

fn image<S: ImageSource>(
    source: &S,
    mut out: Output<'_>,
    options: &WriteOptions<'_>,
) -> Result<Encoded, WriteError> {
    let header = source.header();
    let mut crc = [CrcEntry {
        name: SectionName(*b"HEAD"),
        crc: 0,
    }; CRC_ENTRIES];
    let mut entries = crc.iter_mut();
    let mut entry = |name, crc| {
        if let Some(entry) = entries.next() {
            *entry = CrcEntry { name, crc };
        }
    };
    out.unit(SIGNATURE)?;
    out.unit_of(|block| {
        block.extend_from_slice(&header.version.to_be_bytes());
        block.extend_from_slice(&header.meta_id.to_be_bytes());
    })?;
    entry(SectionName(*b"HEAD"), out.crc.finish());
    let mut lengths = [(0, 0); Section::ALL.len()];
    for (section, length) in Section::ALL.into_iter().zip(&mut lengths) {
        let head = SectionHeader {
            name: section.name(),
            version: section.version(),
            length: UNKNOWN_LENGTH,
        };
        out.unit(&head.encode())?;
        let start = out.offset();
        encode::section(source, &header, section, options.now, &mut out)?;
        *length = (start - 8, out.offset() - start);
        // The length counts as a unit of its own, written when it is known (spec 02 §18).
        out.crc.unit(&length.1.to_be_bytes());
        entry(section.name(), out.crc.finish());
    }
    out.unit(TAIL)?;
    entry(SectionName(*b"TAIL"), out.crc.finish());
    let bytes = out.offset();
    out.finish()?;
    Ok(Encoded {
        written: Written { header, bytes, crc },
        lengths,
    })
}
