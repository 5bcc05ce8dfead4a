//! The metadata image, `metadata.mfs` (spec 02): quick check, reader, writer, `metadata.crc`.
//!
//! ```text
//! check      the first 24 and the last 16 bytes of a file say whether it can be an image at all
//! read       file -> records, handed one by one to an `ImageSink` (the state's loader)
//! write      records of an `ImageSource` (a snapshot of the state) -> file and `metadata.crc`
//! section    names, versions and titles of the sections
//! ```
//!
//! The codec knows bytes, the state knows meaning: what is wrong with the *framing* or cannot be decoded
//! is an error here (spec 02 §19.1, §19.2), what is wrong with the *structure* is an error of the sink
//! (spec 02 §19.3–§19.9). Old forms are converted here, so that a sink sees only today's records.

mod bytes;
mod check;
mod fuzz;
mod null;
mod read;
mod section;
mod write;

pub use check::{CheckError, Checked, check, check_file};
pub use fuzz::{fuzz_changes, fuzz_read, fuzz_state};
pub use null::NullSink;
pub use read::{
    Place, Progress, ReadError, ReadFault, ReadOptions, ReadReport, SectionReport, read, read_file,
    read_path,
};
pub use section::{Section, SectionName};
pub use write::{CRC_FILE_SIZE, CrcEntry, WriteError, WriteOptions, Written, write, write_file};

/// Signature of the images that this program writes.
const SIGNATURE: &[u8; 8] = b"MFSM 2.0";
/// Signature of an empty file system (spec 02 §2.1).
const SIGNATURE_NEW: &[u8; 8] = b"MFSM NEW";
/// Mark behind the last section (spec 02 §2.2).
const TAIL: &[u8; 16] = b"[MFS EOF MARKER]";
/// Section length of a streamed image (spec 02 §2.3).
const UNKNOWN_LENGTH: u64 = u64::MAX;
/// First file format with sections (spec 02 §21).
const FORMAT_SECTIONS: u8 = 0x16;
/// First file format with a metadata id and with sessions inside (spec 02 §2.2).
const FORMAT_CURRENT: u8 = 0x20;
/// Longest symbolic link target (spec 02 §1).
const SYMLINK_MAX: u32 = 4096;
/// Longest value of an extended attribute (spec 02 §1).
const XATTR_VALUE_MAX: u32 = 65536;

/// File format of a signature: `MFSM 2.1` is 0x21. `None`: not an image (spec 02 §2.2).
fn format_of(signature: &[u8; 8]) -> Option<u8> {
    match signature {
        [
            b'M',
            b'F',
            b'S',
            b'M',
            b' ',
            major @ b'1'..=b'9',
            b'.',
            minor @ b'0'..=b'9',
        ] => Some(((major - b'0') << 4) + (minor - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        assert_eq!(format_of(b"MFSM 2.0"), Some(0x20));
        assert_eq!(format_of(b"MFSM 9.9"), Some(0x99));
        assert_eq!(format_of(b"MFSM 1.5"), Some(0x15));
        assert_eq!(format_of(b"MFSM 0.9"), None);
        assert_eq!(format_of(b"MFSM 2.A"), None);
        assert_eq!(format_of(b"MFSM 2,0"), None);
        assert_eq!(format_of(b"MFSM NEW"), None);
    }
}
