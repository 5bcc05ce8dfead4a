//! Version numbers, and the features of a client that follow from its version (spec 04 §3).

use std::fmt;

/// A program version as it is on the wire: `major<<16 | mid<<8 | minor*2`; before 2.0 the minor
/// number is not doubled. An odd last byte marks the paid edition. Comparisons are plain numeric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

impl Version {
    /// The version that this master announces: 3.0.117.
    pub const MASTER: Self = Self::new(3, 0, 117);

    /// 1.7.32, which brought numbers for types, chunkserver versions in locations and much else.
    const V1_7_32: Self = Self(0x0001_0720);

    /// A version 2.0 or later.
    pub const fn new(major: u8, mid: u8, minor: u8) -> Self {
        Self((major as u32) << 16 | (mid as u32) << 8 | ((minor as u32) << 1))
    }

    /// `self` is at least the given version and, when it is a later major version, at least `later`:
    /// features that 3.0 got after the 4 series had branched off.
    const fn since(self, first: Self, later: Self) -> bool {
        self.0 >= first.0 && (self.0 < Self::new(4, 0, 0).0 || self.0 >= later.0)
    }

    /// Generation of the chunk location list (spec 04 §5.4).
    pub const fn chunk_protocol(self) -> ChunkProtocol {
        if self.0 >= Self::new(3, 0, 10).0 {
            ChunkProtocol::Labels
        } else if self.0 >= Self::V1_7_32.0 {
            ChunkProtocol::Versions
        } else {
            ChunkProtocol::Addresses
        }
    }

    /// Object types are numbers; before 1.7.32 they were letters, and attribute records had the type
    /// where the flags are now.
    pub const fn has_typed_attr(self) -> bool {
        self.0 >= Self::V1_7_32.0
    }

    /// Quota answers carry the grace period.
    pub const fn has_quota_grace(self) -> bool {
        self.0 >= Self::new(3, 0, 9).0
    }

    /// Registration answers carry the metadata id.
    pub const fn has_register_metaid(self) -> bool {
        self.0 >= Self::new(3, 0, 11).0
    }

    /// LOOKUP may answer `ENOENT_NOCACHE`.
    pub const fn knows_enoent_nocache(self) -> bool {
        self.0 >= Self::new(3, 0, 25).0
    }

    /// CHECK answers have 12 counters instead of 11.
    pub const fn has_check12(self) -> bool {
        self.0 >= Self::new(3, 0, 30).0
    }

    /// The snapshot bit (0x10) and above of extra attributes are understood.
    pub const fn knows_eattr_snapshot(self) -> bool {
        self.0 >= Self::new(3, 0, 30).0
    }

    /// LOOKUP answers have `lflags` and may have chunk-zero data.
    pub const fn has_lookup_flags(self) -> bool {
        self.0 >= Self::new(3, 0, 40).0
    }

    /// Registration answers carry the umask.
    pub const fn has_register_umask(self) -> bool {
        self.0 >= Self::new(3, 0, 72).0
    }

    /// Gets CHUNK_HAS_CHANGED and FLENG_HAS_CHANGED; its CANMODTIME flag is ignored.
    pub const fn gets_chunk_has_changed(self) -> bool {
        self.0 >= Self::new(3, 0, 74).0
    }

    /// GETSCLASS shows named storage classes.
    pub const fn has_named_classes(self) -> bool {
        self.0 >= Self::new(3, 0, 75).0
    }

    /// Attribute records have 36 bytes (with `winattr`) instead of 35; SETATTR requests carry `winattr`.
    pub const fn has_attr36(self) -> bool {
        self.0 >= Self::new(3, 0, 93).0
    }

    /// RECONNECT is answered with 5 bytes instead of 1.
    pub const fn has_long_reconnect(self) -> bool {
        self.0 >= Self::new(3, 0, 95).0
    }

    /// Gets INVALIDATE_CHUNK_CACHE.
    pub const fn gets_invalidate_chunk_cache(self) -> bool {
        self.since(Self::new(3, 0, 100), Self::new(4, 3, 0))
    }

    /// A write on a read-only session is refused with `EROFS` instead of `IO`.
    pub const fn knows_write_erofs(self) -> bool {
        self.0 >= Self::new(3, 0, 101).0
    }

    /// STATFS answers have the `free` field (48 bytes instead of 40).
    pub const fn has_statfs_free(self) -> bool {
        self.since(Self::new(3, 0, 102), Self::new(4, 9, 0))
    }

    /// UNLINK and RMDIR return the inode.
    pub const fn has_removed_inode(self) -> bool {
        self.since(Self::new(3, 0, 107), Self::new(4, 18, 0))
    }

    /// Registration answers carry the disabled operations.
    pub const fn has_register_disables(self) -> bool {
        self.0 >= Self::new(3, 0, 112).0
    }

    /// OPEN and CREATE answers have a flags byte, TRUNCATE answers the previous length, and the "append
    /// only" attribute is understood.
    pub const fn has_open_flags(self) -> bool {
        self.0 >= Self::new(3, 0, 113).0
    }
}

/// How chunk locations are written for a client (spec 04 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkProtocol {
    /// Before 1.7.32: address and port only, no protocol id.
    Addresses,
    /// 1.7.32 to 3.0.9, protocol id 1: also the version of the chunkserver.
    Versions,
    /// From 3.0.10 on, protocol id 2: also the label mask.
    Labels,
}

impl ChunkProtocol {
    /// The protocol id byte in front of a location list, if there is one.
    pub const fn id(self) -> Option<u8> {
        match self {
            Self::Addresses => None,
            Self::Versions => Some(1),
            Self::Labels => Some(2),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, major, mid, last] = self.0.to_be_bytes();
        if *self >= Self::new(2, 0, 0) {
            write!(f, "{major}.{mid}.{}", last / 2)?;
            if last % 2 == 1 {
                f.write_str(" PRO")?;
            }
            Ok(())
        } else {
            write!(f, "{major}.{mid}.{last}")
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text() {
        assert_eq!(Version::MASTER.0, 0x0003_00EA);
        assert_eq!(Version::MASTER.to_string(), "3.0.117");
        assert_eq!(Version(0x0001_061A).to_string(), "1.6.26");
        assert_eq!(Version(0x0001_0720).to_string(), "1.7.32");
        assert_eq!(Version(0x0004_0103).to_string(), "4.1.1 PRO");
    }

    #[test]
    fn oldest_layouts_end_with_1_7_32() {
        let before = Version(0x0001_071F);
        assert!(!before.has_typed_attr());
        assert_eq!(before.chunk_protocol(), ChunkProtocol::Addresses);
        assert!(Version::V1_7_32.has_typed_attr());
        assert_eq!(Version::V1_7_32.chunk_protocol(), ChunkProtocol::Versions);
        assert_eq!(
            Version::new(3, 0, 10).chunk_protocol(),
            ChunkProtocol::Labels
        );
    }

    #[test]
    fn features_missing_from_early_4_releases() {
        for (v, invalidate, free, removed) in [
            (Version::new(3, 0, 99), false, false, false),
            (Version::new(3, 0, 107), true, true, true),
            (Version::new(4, 0, 0), false, false, false),
            (Version::new(4, 3, 0), true, false, false),
            (Version::new(4, 9, 0), true, true, false),
            (Version::new(4, 18, 0), true, true, true),
        ] {
            assert_eq!(v.gets_invalidate_chunk_cache(), invalidate, "{v}");
            assert_eq!(v.has_statfs_free(), free, "{v}");
            assert_eq!(v.has_removed_inode(), removed, "{v}");
        }
    }
}
