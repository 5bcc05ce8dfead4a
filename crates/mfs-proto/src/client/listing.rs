//! The entries of directory listings (spec 04 §7.5), which are the bulk of all bytes that a master sends.

use super::Expect;
use super::common::{Attr, FileType};
use crate::frame::FrameBuf;
use crate::wire::{Fault, Item, Reader, Writer};

/// What a directory entry tells about its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryInfo {
    /// Only its type.
    Type(FileType),
    /// All attributes.
    Attr(Attr),
}

/// One entry of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The object.
    pub inode: u32,
    /// Its type or attributes; the same kind in all entries of an answer.
    pub info: EntryInfo,
}

impl<'a> Item<'a> for DirEntry<'a> {
    fn take(r: &mut Reader<'a>) -> Result<Self, Fault> {
        let with_attr = matches!(r.expect(), Expect::Readdir { attr: true, .. });
        Ok(Self {
            name: r.name()?,
            inode: r.u32()?,
            info: if with_attr {
                EntryInfo::Attr(Attr::take(r)?)
            } else {
                EntryInfo::Type(FileType::take(r)?)
            },
        })
    }

    // Listings are the largest answers: their usual entries are written in one piece.
    #[inline(always)]
    fn put<B: FrameBuf>(&self, w: &mut Writer<'_, B>) {
        let version = w.version();
        match &self.info {
            EntryInfo::Type(file_type) => {
                w.name(self.name);
                w.u32(self.inode);
                w.u8(file_type.byte_for(version));
            }
            EntryInfo::Attr(attr) if version.has_attr36() && self.name.len() <= SHORT => {
                let length = self.name.len();
                let Some(entry) = w.room::<{ 1 + SHORT + BEHIND_NAME }>() else {
                    return;
                };
                entry[0] = length as u8;
                if let Some(room) = entry[1..].first_chunk_mut() {
                    copy_short(self.name, room);
                }
                let behind = entry[1 + length..].first_chunk_mut::<BEHIND_NAME>();
                if let Some((inode, record)) = behind.and_then(|b| b.split_first_chunk_mut()) {
                    *inode = self.inode.to_be_bytes();
                    if let Some(record) = record.first_chunk_mut() {
                        attr.fill(version, record);
                    }
                }
                w.shorten(SHORT - length);
            }
            EntryInfo::Attr(attr) => {
                w.name(self.name);
                w.u32(self.inode);
                attr.put(w);
            }
        }
    }
}

/// Length of a name that is copied without a call, bytes.
const SHORT: usize = 32;

/// Bytes of an entry behind its name: inode and attributes.
const BEHIND_NAME: usize = 4 + Attr::SIZE;

/// Copies a name of at most [`SHORT`] bytes with loads and stores of fixed sizes that may overlap.
#[inline(always)]
fn copy_short(name: &[u8], to: &mut [u8; SHORT]) {
    #[inline(always)]
    fn ends<const N: usize>(name: &[u8], to: &mut [u8; SHORT]) {
        if let (Some(first), Some(last)) = (name.first_chunk::<N>(), name.last_chunk::<N>())
            && let Some(to) = to.get_mut(..name.len())
        {
            to[..N].copy_from_slice(first);
            to[name.len() - N..].copy_from_slice(last);
        }
    }
    match name.len() {
        16..=SHORT => ends::<16>(name, to),
        8..16 => ends::<8>(name, to),
        4..8 => ends::<4>(name, to),
        _ => {
            for (to, from) in to.iter_mut().zip(name) {
                *to = *from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    const ATTR: Attr = Attr {
        mattr: 0x0C,
        file_type: FileType::Symlink,
        mode: 0o4751,
        uid: 0x0102_0304,
        gid: 0x1112_1314,
        atime: 0x2122_2324,
        mtime: 0x3132_3334,
        ctime: 0x4142_4344,
        nlink: 0x5152_5354,
        size: 0x6162_6364_6566_6768,
        winattr: 0x77,
    };
    /// [`ATTR`] as current clients get it: spec 04 §5.3.
    const RECORD: [u8; 36] = [
        0x0C, 0x39, 0xE9, 1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24, 0x31, 0x32,
        0x33, 0x34, 0x41, 0x42, 0x43, 0x44, 0x51, 0x52, 0x53, 0x54, 0x61, 0x62, 0x63, 0x64, 0x65,
        0x66, 0x67, 0x68, 0x77,
    ];

    #[test]
    fn entries_with_names_of_any_length_are_written_without_gaps() {
        let newest = &RECORD[..];
        let (mut oldest, no_winattr) = (RECORD, &RECORD[..35]);
        // A letter first, the low flags above the mode.
        (oldest[0], oldest[1]) = (b'l', 0xC9);
        for (version, record) in [
            (Version::MASTER, newest),
            (Version::new(3, 0, 92), no_winattr),
            (Version::new(1, 6, 0), &oldest[..35]),
        ] {
            for length in 0..=255_u8 {
                let name: Vec<u8> = (1..=length).collect();
                let entry = DirEntry {
                    name: &name,
                    inode: 0xA1A2_A3A4,
                    info: EntryInfo::Attr(ATTR),
                };
                let mut out = b"before".to_vec();
                entry.put(&mut Writer::new(&mut out, version));
                let behind = &[0xA1, 0xA2, 0xA3, 0xA4][..];
                let expected = [b"before", &[length][..], &name, behind, record].concat();
                assert_eq!(out, expected, "version {version:?}, {length} bytes");
            }
        }
    }
}
