//! Names, versions and titles of the sections (spec 02 §3).

use std::fmt;

/// A section of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// Client sessions (§4).
    Sess,
    /// Storage classes (§5).
    Scla,
    /// Inodes (§6).
    Node,
    /// Names (§7).
    Edge,
    /// Inode numbers waiting for reuse (§8).
    Free,
    /// Quotas (§9).
    Quot,
    /// Extended attributes (§10).
    Xatr,
    /// POSIX ACLs (§11).
    Pacl,
    /// Open files (§12).
    Open,
    /// BSD locks (§13).
    Flck,
    /// POSIX locks (§14).
    Plck,
    /// Known chunkservers (§15).
    Csdb,
    /// Chunks (§16).
    Chnk,
}

impl Section {
    /// All sections in the order in which they are written.
    pub const ALL: [Section; 13] = [
        Section::Sess,
        Section::Scla,
        Section::Node,
        Section::Edge,
        Section::Free,
        Section::Quot,
        Section::Xatr,
        Section::Pacl,
        Section::Open,
        Section::Flck,
        Section::Plck,
        Section::Csdb,
        Section::Chnk,
    ];

    /// Name in the file, version that is written (and the newest that is read), title in messages.
    const fn facts(self) -> (&'static [u8; 4], u8, &'static str) {
        match self {
            Section::Sess => (b"SESS", 0x15, "sessions data"),
            Section::Scla => (b"SCLA", 0x16, "storage classes data"),
            Section::Node => (b"NODE", 0x14, "objects (files,directories,etc.)"),
            Section::Edge => (b"EDGE", 0x11, "names"),
            Section::Free => (b"FREE", 0x10, "deletion timestamps"),
            Section::Quot => (b"QUOT", 0x11, "quota definitions"),
            Section::Xatr => (b"XATR", 0x10, "xattr data"),
            Section::Pacl => (b"PACL", 0x11, "posix_acl data"),
            Section::Open => (b"OPEN", 0x10, "open files data"),
            Section::Flck => (b"FLCK", 0x10, "flock_locks data"),
            Section::Plck => (b"PLCK", 0x10, "posix_locks data"),
            Section::Csdb => (b"CSDB", 0x13, "chunkservers data"),
            Section::Chnk => (b"CHNK", 0x11, "chunks data"),
        }
    }

    /// The section with this name. `LABS` is the old name of `SCLA`.
    pub fn from_name(name: SectionName) -> Option<Section> {
        if name.0 == *b"LABS" {
            return Some(Section::Scla);
        }
        Section::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Name in the file.
    pub const fn name(self) -> SectionName {
        SectionName(*self.facts().0)
    }

    /// Version `0xMm` that is written; newer ones are not read.
    pub const fn version(self) -> u8 {
        self.facts().1
    }

    /// What the section holds, for lines such as `loading names ... ok`.
    pub const fn title(self) -> &'static str {
        self.facts().2
    }
}

/// The four bytes of a section's name, printable whatever they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SectionName(pub [u8; 4]);

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A section version as `1.4`.
pub(super) struct Version(pub u8);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 4, self.0 & 15)
    }
}

/// Header of a section (spec 02 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SectionHeader {
    pub(super) name: SectionName,
    pub(super) version: u8,
    pub(super) length: u64,
}

impl SectionHeader {
    pub(super) const SIZE: usize = 16;

    pub(super) fn decode(raw: &[u8; Self::SIZE]) -> SectionHeader {
        let digit = |at: usize| super::bytes::u8_at(raw, at).wrapping_sub(b'0') & 15;
        SectionHeader {
            name: SectionName([raw[0], raw[1], raw[2], raw[3]]),
            version: digit(5) << 4 | digit(7),
            length: super::bytes::u64_at(raw, 8),
        }
    }

    pub(super) fn encode(&self) -> [u8; Self::SIZE] {
        let mut raw = [0; Self::SIZE];
        super::bytes::put(&mut raw, 0, self.name.0);
        super::bytes::put(
            &mut raw,
            4,
            [
                b' ',
                b'0' + (self.version >> 4),
                b'.',
                b'0' + (self.version & 15),
            ],
        );
        super::bytes::put(&mut raw, 8, self.length.to_be_bytes());
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        for section in Section::ALL {
            let header = SectionHeader {
                name: section.name(),
                version: section.version(),
                length: 0x1122334455667788,
            };
            assert_eq!(SectionHeader::decode(&header.encode()), header);
            assert_eq!(Section::from_name(section.name()), Some(section));
        }
        let node = SectionHeader {
            name: Section::Node.name(),
            version: 0x14,
            length: 0x29,
        };
        assert_eq!(&node.encode(), b"NODE 1.4\0\0\0\0\0\0\0\x29");
        assert_eq!(
            Section::from_name(SectionName(*b"LABS")),
            Some(Section::Scla)
        );
        assert_eq!(Section::from_name(SectionName(*b"XXXX")), None);
    }

    #[test]
    fn names_print_whatever_they_are() {
        assert_eq!(SectionName(*b"NODE").to_string(), "NODE");
        assert_eq!(
            SectionName([0, b'A', 0xff, b'\n']).to_string(),
            "\\x00A\\xff\\n"
        );
        assert_eq!(Version(0x14).to_string(), "1.4");
    }
}
