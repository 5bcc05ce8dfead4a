//! What a file must hold.
//!
//! The bytes of every write are a function of its number (the tag) and of their place in the
//! file, so a file is remembered as a few ranges, copies of that memory cost nothing, and a wrong
//! byte tells which write it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The first byte of every tag, so that written bytes are never all zero.
const MARK: u64 = 0xC5 << 56;

/// Length of the cell that the pattern repeats: tag and place, eight bytes each.
const CELL: u64 = 16;

/// How much is read at once.
const PIECE: usize = 1 << 20;

/// The number of a write, unique in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u64);

impl Tag {
    /// The `number`th write of a writer.
    pub(crate) fn new(writer: u8, number: u64) -> Self {
        Self(MARK | u64::from(writer) << 48 | (number & 0xFFFF_FFFF_FFFF))
    }

    /// The bytes that the write puts from `offset` on.
    pub(crate) fn fill(self, offset: u64, bytes: &mut [u8]) {
        let mut place = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut cell = [0; CELL as usize];
            cell[..8].copy_from_slice(&self.0.to_be_bytes());
            cell[8..].copy_from_slice(&(place / CELL).to_be_bytes());
            let from = (place % CELL) as usize;
            let length = rest.len().min(cell.len() - from);
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(&cell[from..from + length]);
            place += length as u64;
            rest = later;
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "write {} of writer {}",
            self.0 & 0xFFFF_FFFF_FFFF,
            self.0 >> 48 & 0xFF
        )
    }
}

/// What some bytes found in a file are: for messages.
fn origin(bytes: &[u8], offset: u64) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return "zeros".to_owned();
    }
    let skip = (CELL - offset % CELL) % CELL;
    let cell = bytes.get(skip as usize..(skip + CELL) as usize);
    let parts = cell.and_then(|cell| {
        let (tag, place) = cell.split_at(8);
        Some((
            u64::from_be_bytes(tag.try_into().ok()?),
            u64::from_be_bytes(place.try_into().ok()?) * CELL,
        ))
    });
    match parts {
        Some((tag, place)) if tag >> 56 == MARK >> 56 && place == offset + skip => {
            Tag(tag).to_string()
        }
        Some((tag, place)) if tag >> 56 == MARK >> 56 => {
            format!("{}, meant for offset {place}", Tag(tag))
        }
        _ => format!("{:02x?}", &bytes[..bytes.len().min(CELL as usize)]),
    }
}

/// A file's size and bytes. What no write covers is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Content {
    size: u64,
    /// First offset to end and tag; ranges do not overlap and end within the size.
    ranges: BTreeMap<u64, (u64, Tag)>,
}

impl Content {
    /// The file's length.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes a write.
    pub(crate) fn write(&mut self, offset: u64, length: u64, tag: Tag) {
        if length == 0 {
            return;
        }
        let end = offset + length;
        self.clear(offset, end);
        self.ranges.insert(offset, (end, tag));
        self.size = self.size.max(end);
    }

    /// Takes a truncation to a smaller or larger size.
    pub(crate) fn truncate(&mut self, size: u64) {
        self.clear(size, u64::MAX);
        self.size = size;
    }

    /// Forgets what was written to a range.
    fn clear(&mut self, from: u64, to: u64) {
        let touched: Vec<(u64, u64, Tag)> = self
            .ranges
            .range(..to)
            .rev()
            .take_while(|(_, (end, _))| *end > from)
            .map(|(start, (end, tag))| (*start, *end, *tag))
            .collect();
        for (start, end, tag) in touched {
            self.ranges.remove(&start);
            if start < from {
                self.ranges.insert(start, (from, tag));
            }
            if end > to {
                self.ranges.insert(to, (end, tag));
            }
        }
    }

    /// The bytes from `offset` on; zeros behind the end.
    fn fill(&self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        let to = offset + bytes.len() as u64;
        for (start, (end, tag)) in self.ranges.range(..to).rev() {
            if *end <= offset {
                break;
            }
            let (from, until) = ((*start).max(offset), (*end).min(to));
            tag.fill(
                from,
                &mut bytes[(from - offset) as usize..(until - offset) as usize],
            );
        }
    }
}

/// What may be found in a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// What was acknowledged.
    pub(crate) content: Content,
    /// What operations that got an error may have made of it, byte by byte.
    pub(crate) alternatives: Vec<Content>,
    /// Whether it may also be missing, because its creation or removal got an error.
    pub(crate) may_be_absent: bool,
}

/// How a file differs from all that is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference(String);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Expected {
    /// Exactly this content.
    pub(crate) fn exactly(content: Content) -> Self {
        Self {
            content,
            ..Self::default()
        }
    }

    /// Whether only one content is allowed.
    pub(crate) fn is_certain(&self) -> bool {
        self.alternatives.is_empty() && !self.may_be_absent
    }

    fn allowed(&self) -> impl Iterator<Item = &Content> {
        std::iter::once(&self.content).chain(&self.alternatives)
    }

    /// Looks at every byte of an open file.
    ///
    /// # Errors
    /// When the file cannot be read; the inner result tells how it differs.
    pub(crate) fn check(&self, file: &File) -> io::Result<Result<(), Difference>> {
        let size = file.metadata()?.len();
        let sizes = || self.allowed().map(Content::size);
        let (least, most) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
        if !(least..=most).contains(&size) {
            return Ok(Err(Difference(format!(
                "size: expected {least}..={most}, found {size}"
            ))));
        }
        let mut found = vec![0; PIECE];
        let mut allowed = vec![0; PIECE];
        let mut offset = 0;
        while offset < size {
            let length = (size - offset).min(PIECE as u64) as usize;
            let found = &mut found[..length];
            file.read_exact_at(found, offset)?;
            if let Err(difference) = self.check_bytes(offset, found, &mut allowed[..length]) {
                return Ok(Err(difference));
            }
            offset += length as u64;
        }
        Ok(Ok(()))
    }

    fn check_bytes(
        &self,
        offset: u64,
        found: &[u8],
        expected: &mut [u8],
    ) -> Result<(), Difference> {
        self.content.fill(offset, expected);
        if expected == found {
            return Ok(());
        }
        let mut wrong: Vec<bool> = expected.iter().zip(found).map(|(a, b)| a != b).collect();
        for content in &self.alternatives {
            content.fill(offset, expected);
            for (wrong, (a, b)) in wrong.iter_mut().zip(expected.iter().zip(found)) {
                *wrong &= a != b;
            }
        }
        let Some(first) = wrong.iter().position(|wrong| *wrong) else {
            return Ok(());
        };
        let run = wrong[first..].iter().take_while(|wrong| **wrong).count();
        let count = wrong.iter().filter(|wrong| **wrong).count();
        self.content.fill(offset, expected);
        let place = offset + first as u64;
        Err(Difference(format!(
            "offset {place} (chunk {}, block {}): expected {}, found {}; {run} wrong bytes in a row, \
             {count} in the MiB at {offset}; {} alternatives",
            place >> 26,
            (place >> 16) % 1024,
            origin(&expected[first..], place),
            origin(&found[first..], place),
            self.alternatives.len(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0; content.size() as usize];
        content.fill(0, &mut bytes);
        bytes
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(usize, usize),
        Truncate(usize),
    }

    proptest! {
        /// The ranges say the same as a plain vector of bytes.
        #[test]
        fn like_bytes(steps in prop::collection::vec(prop_oneof![
            (0..300_usize, 0..100_usize).prop_map(|(at, length)| Step::Write(at, length)),
            (0..400_usize).prop_map(Step::Truncate),
        ], 0..40)) {
            let mut bytes: Vec<u8> = Vec::new();
            let mut content = Content::default();
            for (number, step) in steps.iter().enumerate() {
                match step {
                    Step::Write(at, length) => {
                        let tag = Tag::new(3, number as u64);
                        content.write(*at as u64, *length as u64, tag);
                        if *length > 0 {
                            bytes.resize(bytes.len().max(at + length), 0);
                            tag.fill(*at as u64, &mut bytes[*at..][..*length]);
                        }
                    }
                    Step::Truncate(size) => {
                        content.truncate(*size as u64);
                        bytes.resize(*size, 0);
                    }
                }
                prop_assert_eq!(&whole(&content), &bytes);
            }
            let half = bytes.len() / 2;
            let mut part = vec![1; bytes.len() - half];
            content.fill(half as u64, &mut part);
            prop_assert_eq!(&part[..], &bytes[half..]);
        }
    }

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().expect("a temporary file");
        file.write_all_at(bytes, 0).expect("write");
        file
    }

    fn check(expected: &Expected, bytes: &[u8]) -> Result<(), String> {
        expected
            .check(&file(bytes))
            .expect("read")
            .map_err(|difference| difference.to_string())
    }

    #[test]
    fn a_wrong_byte_is_found_and_named() {
        let mut content = Content::default();
        content.write(0, 100_000, Tag::new(1, 7));
        let mut bytes = whole(&content);
        let expected = Expected::exactly(content);
        assert_eq!(check(&expected, &bytes), Ok(()));
        assert!(check(&expected, &bytes[1..]).is_err());
        Tag::new(2, 9).fill(70_000, &mut bytes[70_000..71_000]);
        let text = check(&expected, &bytes).expect_err("it differs");
        assert!(
            text.contains("expected write 7 of writer 1, found write 9 of writer 2"),
            "{text}"
        );
        assert!(text.contains("block 1)"), "{text}");
    }

    #[test]
    fn an_operation_with_an_error_may_have_happened_in_part() {
        let mut content = Content::default();
        content.write(0, 5000, Tag::new(1, 1));
        let mut expected = Expected::exactly(content.clone());
        let before = whole(&content);
        content.write(1000, 6000, Tag::new(1, 2));
        let after = whole(&content);
        expected.alternatives.push(content);
        assert!(!expected.is_certain());
        let mut mixed = after[..6000].to_vec();
        mixed[..2000].copy_from_slice(&before[..2000]);
        for bytes in [&before, &after, &mixed] {
            assert_eq!(check(&expected, bytes), Ok(()));
        }
        mixed[1500] ^= 1;
        assert!(check(&expected, &mixed).is_err());
        assert!(check(&expected, &before[..4999]).is_err());
    }
}
