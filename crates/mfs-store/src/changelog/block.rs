//! A changelog file as a stream of blocks of whole lines.
//!
//! The file is read, never mapped: a metalogger or an administrator may cut it while it is read, which a
//! mapping answers with a signal. Memory is bounded by the block size, whatever the file holds: a line that
//! is longer than any legal one is passed over without being kept.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::{memchr, memrchr};

/// Longest line that is read, in bytes, including its number and the LF (spec 03 §3.1).
pub const MAX_LINE: usize = 199_999;
/// Bytes read at once. A block and what is parsed from it stay in a second-level cache; more than
/// [`MAX_LINE`], so that one more block always tells whether a line is too long.
const BLOCK: u64 = 256 << 10;

/// What is read: a file, or its bytes in memory (tests, fuzzing).
#[derive(Clone, Debug)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// The bytes of a file, and the name to show.
    Bytes(PathBuf, Arc<[u8]>),
}

impl Input {
    /// The name to show in messages.
    pub fn path(&self) -> &Path {
        match self {
            Input::File(path) | Input::Bytes(path, _) => path,
        }
    }

    /// Size in bytes at this moment.
    ///
    /// # Errors
    /// When the file cannot be asked.
    pub fn len(&self) -> io::Result<u64> {
        match self {
            Input::File(path) => Ok(std::fs::metadata(path)?.len()),
            Input::Bytes(_, bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Whether there is not a byte.
    ///
    /// # Errors
    /// When the file cannot be asked.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Input::File(path) => Box::new(File::open(path)?),
            Input::Bytes(_, bytes) => Box::new(io::Cursor::new(Arc::clone(bytes))),
        })
    }
}

/// Whole lines of a file.
#[derive(Debug)]
pub(crate) struct Block {
    /// Ends with LF; never empty.
    pub(crate) data: Vec<u8>,
    /// Where in the file `data` starts.
    pub(crate) offset: u64,
    /// Number of the first line, counted from 1.
    pub(crate) first_line: u64,
}

/// What comes next in a file.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Whole lines.
    Lines(Block),
    /// A line longer than [`MAX_LINE`], passed over.
    TooLong {
        /// Its place.
        line: u64,
        /// Its place.
        offset: u64,
        /// Its length with its LF.
        bytes: u64,
    },
    /// Bytes without LF at the end of the file: a write that was cut.
    Torn {
        /// Their place.
        line: u64,
        /// Their place.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// There is no more.
    End,
}

/// Reads blocks in order.
pub(crate) struct BlockReader {
    from: Box<dyn Read + Send>,
    /// Start of a line whose end is not read yet.
    carry: Vec<u8>,
    /// Place of `carry` in the file.
    offset: u64,
    /// Number of the line that `carry` starts.
    line: u64,
    ended: bool,
}

impl BlockReader {
    pub(crate) fn open(input: &Input) -> io::Result<BlockReader> {
        Ok(BlockReader {
            from: input.open()?,
            carry: Vec::new(),
            offset: 0,
            line: 1,
            ended: false,
        })
    }

    pub(crate) fn next(&mut self) -> io::Result<Chunk> {
        let mut data = std::mem::take(&mut self.carry);
        data.reserve(BLOCK as usize);
        loop {
            let old = data.len();
            if !self.ended {
                self.ended = (&mut self.from).take(BLOCK).read_to_end(&mut data)? == 0;
            }
            let fresh = data.get(old..).unwrap_or_default();
            if let Some(lf) = memrchr(b'\n', fresh) {
                self.carry = data.split_off(old + lf + 1);
                return Ok(Chunk::Lines(self.block(data)));
            }
            if data.len() >= MAX_LINE {
                return self.pass_over(data.len() as u64);
            }
            if self.ended {
                let (line, offset, bytes) = (self.line, self.offset, data.len() as u64);
                self.offset += bytes;
                return Ok(if bytes == 0 {
                    Chunk::End
                } else {
                    Chunk::Torn {
                        line,
                        offset,
                        bytes,
                    }
                });
            }
        }
    }

    fn block(&mut self, data: Vec<u8>) -> Block {
        let block = Block {
            offset: self.offset,
            first_line: self.line,
            data,
        };
        self.offset += block.data.len() as u64;
        self.line += memchr::memchr_iter(b'\n', &block.data).count() as u64;
        block
    }

    /// Goes behind the end of a line of which `bytes` are read and not kept.
    fn pass_over(&mut self, mut bytes: u64) -> io::Result<Chunk> {
        let (line, offset) = (self.line, self.offset);
        let mut data = Vec::new();
        loop {
            data.clear();
            if (&mut self.from).take(BLOCK).read_to_end(&mut data)? == 0 {
                self.ended = true;
                self.offset += bytes;
                return Ok(Chunk::Torn {
                    line,
                    offset,
                    bytes,
                });
            }
            let Some(lf) = memchr(b'\n', &data) else {
                bytes += data.len() as u64;
                continue;
            };
            bytes += lf as u64 + 1;
            self.offset += bytes;
            self.line += 1;
            // What was read ahead goes first through the ordinary way, which looks for its LFs.
            data.drain(..=lf);
            let rest = std::mem::take(&mut data);
            let tail = std::mem::replace(&mut self.from, Box::new(io::empty()));
            self.from = Box::new(io::Cursor::new(rest).chain(tail));
            return Ok(Chunk::TooLong {
                line,
                offset,
                bytes,
            });
        }
    }
}

/// The number that a line begins with, if it is followed by `:`. Leading blanks and zeros are allowed
/// (spec 01 §8.3); a sign is not: no line has a negative number.
pub(crate) fn line_number(line: &[u8]) -> Option<u64> {
    let mut n: u64 = 0;
    let mut digits = false;
    for &byte in line {
        match byte {
            b'0'..=b'9' => {
                n = n.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                digits = true;
            }
            b':' => return digits.then_some(n),
            b' ' | b'\t' | 0x0b | 0x0c | b'\r' if !digits => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunks(bytes: &[u8]) -> Vec<Chunk> {
        let mut reader = BlockReader::open(&Input::Bytes("x".into(), bytes.into())).unwrap();
        let mut all = Vec::new();
        loop {
            let chunk = reader.next().unwrap();
            let end = matches!(chunk, Chunk::End);
            all.push(chunk);
            if end {
                return all;
            }
        }
    }

    /// Puts chunks together again, with `?` for bytes that were passed over.
    fn rebuilt(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks(bytes) {
            let lines = memchr::memchr_iter(b'\n', &out).count() as u64;
            match chunk {
                Chunk::Lines(block) => {
                    assert_eq!(block.offset, out.len() as u64);
                    assert_eq!(block.first_line, lines + 1);
                    assert_eq!(block.data.last(), Some(&b'\n'));
                    out.extend(block.data);
                }
                Chunk::TooLong {
                    line,
                    offset,
                    bytes,
                } => {
                    assert_eq!((line, offset), (lines + 1, out.len() as u64));
                    assert!(bytes > MAX_LINE as u64);
                    out.resize(out.len() + bytes as usize - 1, b'?');
                    out.push(b'\n');
                }
                Chunk::Torn {
                    line,
                    offset,
                    bytes,
                } => {
                    assert_eq!((line, offset), (lines + 1, out.len() as u64));
                    out.resize(out.len() + bytes as usize, b'?');
                }
                Chunk::End => {}
            }
        }
        out
    }

    #[test]
    fn torn_and_empty() {
        assert!(matches!(chunks(b"")[..], [Chunk::End]));
        assert!(matches!(
            chunks(b"abc")[..],
            [
                Chunk::Torn {
                    line: 1,
                    offset: 0,
                    bytes: 3
                },
                Chunk::End
            ]
        ));
        assert!(matches!(
            chunks(b"a\nbc")[..],
            [
                Chunk::Lines(Block { first_line: 1, .. }),
                Chunk::Torn {
                    line: 2,
                    offset: 2,
                    bytes: 2
                },
                Chunk::End
            ]
        ));
    }

    #[test]
    fn long_lines_are_passed_over_and_their_length_told() {
        for long in [MAX_LINE, BLOCK as usize, 3 * BLOCK as usize + 7] {
            let mut bytes = b"1: a\n".to_vec();
            bytes.resize(5 + long, b'x');
            bytes.extend(b"\n3: c\n4");
            let got = chunks(&bytes);
            assert_eq!(rebuilt(&bytes).len(), bytes.len(), "{long}");
            let too_long = got.iter().find_map(|c| match c {
                Chunk::TooLong { line, bytes, .. } => Some((*line, *bytes)),
                _ => None,
            });
            // A line of a few bytes over the limit may arrive whole; the line scanner refuses it then.
            if let Some(found) = too_long {
                assert_eq!(found, (2, long as u64 + 1));
            } else {
                assert!(long < 2 * BLOCK as usize);
            }
            assert!(matches!(
                got[got.len() - 2],
                Chunk::Torn {
                    line: 4,
                    bytes: 1,
                    ..
                }
            ));
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(line_number(b"17: 1|IDLE()"), Some(17));
        assert_eq!(line_number(b" \t007:"), Some(7));
        assert_eq!(line_number(b"18446744073709551615:"), Some(u64::MAX));
        for bad in [
            &b"18446744073709551616:"[..],
            b"-1:",
            b":",
            b"",
            b"12",
            b"1 :",
            b"\x001:",
            b"x1:",
        ] {
            assert_eq!(line_number(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(parts in prop::collection::vec((0usize..300_000, any::<bool>()), 0..6)) {
            let mut bytes = Vec::new();
            for (len, lf) in parts {
                bytes.resize(bytes.len() + len, b'?');
                if lf { bytes.push(b'\n') }
            }
            prop_assert_eq!(rebuilt(&bytes) == bytes, true);
        }
    }
}
