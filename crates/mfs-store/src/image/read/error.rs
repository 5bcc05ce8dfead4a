//! What can be wrong with an image, and where.

use std::fmt;
use std::io;

use mfs_meta::records::StructureError;

use crate::image::check::CheckError;
use crate::image::section::{SectionName, Version};

/// An image could not be read.
#[derive(Debug)]
pub struct ReadError {
    /// Where reading stopped.
    pub place: Place,
    /// What is wrong there.
    pub fault: ReadFault,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            // A file that was not read as an image has no place worth telling.
            ReadFault::Check(e) => e.fmt(f),
            fault => write!(f, "{}: {fault}", self.place),
        }
    }
}

impl std::error::Error for ReadError {
    /// What is behind the fault, whose own text is part of this error's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

/// A place in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Section; `None` in the head and between sections.
    pub section: Option<SectionName>,
    /// Number of the record in the section, from 1; 0 = not in a record.
    pub record: u64,
    /// Byte offset of the record, or of what stands in its place.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(section) = self.section {
            write!(f, "section {section}, ")?;
            if self.record > 0 {
                write!(f, "record {}, ", self.record)?;
            }
        }
        write!(f, "byte {}", self.offset)
    }
}

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// The quick check refused the file.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The file could not be read.
    #[error("read error")]
    Io(#[source] io::Error),
    /// The file ends inside something.
    #[error("unexpected end of file")]
    Eof,
    /// The first eight bytes are not those of an image.
    #[error("wrong header")]
    BadHeader,
    /// A section that this program does not know; tolerated on request, its data are lost.
    #[error("unknown section found (leng:{length},name:{name} {})", Version(*.version))]
    UnknownSection {
        /// Its name.
        name: SectionName,
        /// Its version `0xMm`.
        version: u8,
        /// Its length in bytes.
        length: u64,
    },
    /// A section version that this program cannot read; never tolerated.
    #[error("metadata have been stored by another version of MFS: {}, supported is 1.0 to {}", Version(*.version), Version(*.supported))]
    SectionVersion {
        /// Version `0xMm` in the file.
        version: u8,
        /// Newest version that is read.
        supported: u8,
    },
    /// The records of a section end elsewhere than its length says; tolerated on request.
    #[error(
        "not all section has been read - file corrupted ({stated} bytes stated, {consumed} read)"
    )]
    SectionLength {
        /// Length of the section header.
        stated: u64,
        /// Bytes up to the end of the last record.
        consumed: u64,
    },
    /// A section stands before one that it needs (spec 02 §3).
    #[error("section needs a {0} section before it")]
    SectionOrder(SectionName),
    /// A node of no known type.
    #[error("unrecognized node type: {0}")]
    NodeType(u8),
    /// A SESS 1.0 or 1.1 section with an unknown layout of its records.
    #[error("unknown layout of session records: {0}")]
    SessionLayout(u16),
    /// Impossible number of or-groups in storage classes; more than four are tolerated on request.
    #[error("wrong number of label groups: {0}")]
    OrGroups(u8),
    /// Impossible number of copies in a label set of a storage class.
    #[error("data format error (sclassid: {id}; label counts: {counts:?})")]
    LabelCounts {
        /// The class.
        id: u16,
        /// Entries of the create, keep and archive set.
        counts: [u8; 3],
    },
    /// A label description of an old storage class section is too long.
    #[error("label description of {0} bytes")]
    DescriptionLength(u8),
    /// An attribute value above 65536 bytes; dropped on request.
    #[error("xattr value of {0} bytes: value oversized")]
    XattrValue(u32),
    /// A flock that is neither shared nor exclusive; dropped on request.
    #[error("wrong lock type: {0}")]
    LockType(u8),
    /// A record with chunk id 0 that is not the end mark.
    #[error("wrong ending mark (chunk id 0)")]
    ChunkZero,
    /// The state refused a record.
    #[error(transparent)]
    Structure(#[from] StructureError),
}
