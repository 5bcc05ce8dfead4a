//! Checksums of `metadata.crc` (spec 02 §18).
//!
//! An entry is the XOR of the CRC-32 of every write unit of a section, and nearly every record is a unit of
//! its own: millions of short checksums. CRC-32 is affine: for units of one length n,
//! `crc(a) ^ crc(b) ^ crc(c) = crc(a ^ b ^ c)`, and an even number of units gives that ^ `crc(0^n)`. So short
//! units of the same length are first combined by XOR, and each length costs one checksum in the end.

use crate::image::section::SectionName;

/// Units below this length are combined.
const SHORT: usize = 512;
/// Words for the combination of one length.
const WORDS: usize = SHORT / 8;

/// An entry of `metadata.crc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrcEntry {
    /// `HEAD`, a section, or `TAIL`.
    pub name: SectionName,
    /// Checksum.
    pub crc: u32,
}

impl CrcEntry {
    /// The eight bytes of the file.
    pub fn encode(&self) -> [u8; 8] {
        let [a, b, c, d] = self.name.0;
        let [w, x, y, z] = self.crc.to_be_bytes();
        [a, b, c, d, w, x, y, z]
    }
}

/// XOR of the CRC-32 of units.
pub(super) struct UnitCrc {
    xor: u32,
    /// Number of short units by length.
    counts: Box<[u64; SHORT]>,
    /// Combination of the short units by length.
    combined: Vec<[u64; WORDS]>,
}

impl UnitCrc {
    pub(super) fn new() -> UnitCrc {
        UnitCrc {
            xor: 0,
            counts: Box::new([0; SHORT]),
            combined: vec![[0; WORDS]; SHORT],
        }
    }

    /// Adds one unit. An empty one adds nothing.
    #[inline]
    pub(super) fn unit(&mut self, unit: &[u8]) {
        let n = unit.len();
        match (self.counts.get_mut(n), self.combined.get_mut(n)) {
            (Some(count), Some(words)) => {
                *count += 1;
                let whole = unit.chunks_exact(8);
                let rest = whole.remainder();
                for (word, bytes) in words.iter_mut().zip(whole) {
                    let mut raw = [0; 8];
                    raw.copy_from_slice(bytes);
                    *word ^= u64::from_ne_bytes(raw);
                }
                if let Some(word) = words.get_mut(n / 8) {
                    let mut raw = [0; 8];
                    for (to, from) in raw.iter_mut().zip(rest) {
                        *to = *from;
                    }
                    *word ^= u64::from_ne_bytes(raw);
                }
            }
            _ => self.xor ^= crc32fast::hash(unit),
        }
    }

    /// Checksum of all units since the start or the last call.
    pub(super) fn finish(&mut self) -> u32 {
        let mut xor = std::mem::take(&mut self.xor);
        for (n, (count, words)) in self
            .counts
            .iter_mut()
            .zip(&mut self.combined)
            .enumerate()
            .skip(1)
        {
            if *count == 0 {
                continue;
            }
            let bytes: Vec<u8> = words
                .iter()
                .flat_map(|word| word.to_ne_bytes())
                .take(n)
                .collect();
            xor ^= crc32fast::hash(&bytes);
            if *count % 2 == 0 {
                xor ^= crc32fast::hash(&vec![0; n]);
            }
            (*count, *words) = (0, [0; WORDS]);
        }
        xor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition(
            units in proptest::collection::vec(
                (prop_oneof![0usize..40, 500usize..530, 500usize..2000], any::<u8>(), any::<u8>()), 0..50),
        ) {
            let mut crc = UnitCrc::new();
            // Two rounds: finish must leave nothing behind.
            for _ in 0..2 {
                let mut expected = 0;
                for &(length, start, step) in &units {
                    let unit: Vec<u8> = (0..length).map(|i| start.wrapping_add(step.wrapping_mul(i as u8))).collect();
                    crc.unit(&unit);
                    if !unit.is_empty() {
                        expected ^= crc32fast::hash(&unit);
                    }
                }
                prop_assert_eq!(crc.finish(), expected);
            }
        }
    }

    /// The worked example of spec 02 §24.
    #[test]
    fn worked_bytes() {
        let mut crc = UnitCrc::new();
        crc.unit(b"EDGE 1.1\xff\xff\xff\xff\xff\xff\xff\xff");
        crc.unit(&0x7FFF_FFFF_FFFF_FFFEu64.to_be_bytes());
        crc.unit(&[0; 18]);
        crc.unit(&0x1Au64.to_be_bytes());
        assert_eq!(crc.finish(), 0x5B83_2A83);
        crc.unit(b"[MFS EOF MARKER]");
        let tail = CrcEntry {
            name: SectionName(*b"TAIL"),
            crc: crc.finish(),
        };
        assert_eq!(tail.encode(), *b"TAIL\xC5\x8E\xBF\xF5");
    }
}
