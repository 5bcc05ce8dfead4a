//! One changelog file, line by line in ascending order of numbers.

use std::io;
use std::path::Path;
use std::sync::Arc;

use memchr::memchr;
use thiserror::Error;

use super::block::{Block, BlockReader, Chunk, Input, MAX_LINE, line_number};
use super::event::{Event, EventKind};

/// A step of numbers that the original takes for garbage (spec 01 §8.3).
const JUMP: u64 = 10_000;
/// How often numbers may go back in one file. Each time costs one more pass over the file to compare the
/// repeated lines with the first ones.
const MAX_RUNS: u32 = 100;

/// Why a file cannot be read on.
#[derive(Debug, Error)]
#[error("{}:{line}: {fault}", file.display())]
pub struct ReadError {
    /// The file.
    pub file: Arc<Path>,
    /// The line, counted from 1.
    pub line: u64,
    /// Where the line starts, in bytes.
    pub offset: u64,
    /// What is wrong.
    #[source]
    pub fault: ReadFault,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum ReadFault {
    /// The file cannot be opened or read.
    #[error("can't read: {0}")]
    Io(#[from] io::Error),
    /// The file has two different lines of one number: two histories, of which no program can know the
    /// right one.
    #[error("change {number} is another one than that in line {first_line} of the same file")]
    Contradiction {
        /// Number of both lines.
        number: u64,
        /// The line that was read first.
        first_line: u64,
    },
    /// A number lower than those before, that the file did not have yet.
    #[error("change {number} comes too late, behind {previous}")]
    OutOfOrder {
        /// Number of the line.
        number: u64,
        /// The highest number before.
        previous: u64,
    },
    /// Numbers go back again and again.
    #[error("numbers go back more than {MAX_RUNS} times")]
    TooManyRuns,
}

/// Reads a changelog file. Lines come with ascending numbers (a number may stand twice); what is not a
/// line is an [`Event`].
pub struct FileReader {
    input: Input,
    file: Arc<Path>,
    from: u64,
    blocks: BlockReader,
    block: Option<Arc<Block>>,
    /// Where in the block the next line starts, and its number in the file.
    at: usize,
    line: u64,
    /// Highest number so far.
    highest: Option<u64>,
    /// Where repeated lines are compared with the first ones.
    compare: Option<Box<FileReader>>,
    runs: u32,
    /// Whether the line before was a repeated one.
    repeating: bool,
    events: Vec<Event>,
}

/// A line in the present block of a [`FileReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Number of the change.
    pub(crate) number: u64,
    /// Number of the line in the file.
    pub(crate) line: u64,
    /// Start of the text in the block.
    pub(crate) start: u32,
    /// Length of the text without LF.
    pub(crate) len: u32,
}

impl Raw {
    pub(crate) fn text<'a>(&self, block: &'a Block) -> &'a [u8] {
        let start = self.start as usize;
        block
            .data
            .get(start..start + self.len as usize)
            .unwrap_or_default()
    }
}

impl FileReader {
    /// Opens a file. Lines numbered below `from` are of no interest: repeated ones are not compared.
    ///
    /// # Errors
    /// [`ReadFault::Io`].
    pub fn open(input: &Input, from: u64) -> Result<FileReader, ReadError> {
        let file: Arc<Path> = input.path().into();
        match BlockReader::open(input) {
            Ok(blocks) => Ok(FileReader {
                input: input.clone(),
                file,
                from,
                blocks,
                block: None,
                at: 0,
                line: 1,
                highest: None,
                compare: None,
                runs: 0,
                repeating: false,
                events: Vec::new(),
            }),
            Err(e) => Err(ReadError {
                file,
                line: 0,
                offset: 0,
                fault: e.into(),
            }),
        }
    }

    /// The next line: its number and its text without LF.
    ///
    /// # Errors
    /// See [`ReadFault`].
    pub fn next_line(&mut self) -> Result<Option<(u64, &[u8])>, ReadError> {
        Ok(match self.advance()? {
            Some(raw) => Some((
                raw.number,
                self.block.as_ref().map_or(&[][..], |b| raw.text(b)),
            )),
            None => None,
        })
    }

    /// What was found since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The block of the line that [`advance`](Self::advance) gave.
    pub(crate) fn block(&self) -> Option<&Arc<Block>> {
        self.block.as_ref()
    }

    pub(crate) fn advance(&mut self) -> Result<Option<Raw>, ReadError> {
        loop {
            let raw = match self.next_in_block() {
                Some(raw) => raw,
                None if self.next_block()? => continue,
                None => return Ok(None),
            };
            match self.highest {
                Some(highest) if raw.number < highest => {
                    self.repeated(raw, highest)?;
                    continue;
                }
                Some(highest) if raw.number - highest >= JUMP => {
                    let kind = EventKind::Jump {
                        previous: highest,
                        number: raw.number,
                    };
                    self.event(raw.line, raw.start as usize, kind);
                }
                _ => {}
            }
            self.repeating = false;
            self.highest = Some(raw.number);
            return Ok(Some(raw));
        }
    }

    /// The next line with a number in the present block.
    #[inline]
    fn next_in_block(&mut self) -> Option<Raw> {
        loop {
            let block = self.block.as_ref()?;
            let rest = block.data.get(self.at..)?;
            let len = memchr(b'\n', rest)?;
            let (start, line) = (self.at, self.line);
            self.at += len + 1;
            self.line += 1;
            let text = rest.get(..len).unwrap_or_default();
            if len >= MAX_LINE {
                let bytes = len as u64 + 1;
                self.event(line, start, EventKind::TooLong { bytes });
            } else if let Some(number) = line_number(text) {
                return Some(Raw {
                    number,
                    line,
                    start: start as u32,
                    len: len as u32,
                });
            } else {
                let kind = EventKind::garbage(text);
                self.event(line, start, kind);
            }
        }
    }

    /// Reads the next block; false at the end of the file.
    fn next_block(&mut self) -> Result<bool, ReadError> {
        loop {
            let (line, offset, kind) = match self.blocks.next() {
                Ok(Chunk::Lines(block)) => {
                    self.at = 0;
                    self.line = block.first_line;
                    self.block = Some(Arc::new(block));
                    return Ok(true);
                }
                Ok(Chunk::End) => return Ok(false),
                Ok(Chunk::TooLong {
                    line,
                    offset,
                    bytes,
                }) => (line, offset, EventKind::TooLong { bytes }),
                Ok(Chunk::Torn {
                    line,
                    offset,
                    bytes,
                }) => (line, offset, EventKind::TornTail { bytes }),
                Err(e) => return Err(self.error(self.line, self.at, e.into())),
            };
            self.events.push(Event {
                file: Arc::clone(&self.file),
                line,
                offset,
                kind,
            });
        }
    }

    /// A line whose number is lower than one before: harmless only if it is the same as the first of that
    /// number.
    fn repeated(&mut self, raw: Raw, highest: u64) -> Result<(), ReadError> {
        let start = raw.start as usize;
        if !self.repeating {
            self.repeating = true;
            self.runs += 1;
            if self.runs > MAX_RUNS {
                return Err(self.error(raw.line, start, ReadFault::TooManyRuns));
            }
            let kind = EventKind::Repeated {
                number: raw.number,
                previous: highest,
            };
            self.event(raw.line, start, kind);
            self.compare = None;
        }
        if raw.number < self.from {
            return Ok(());
        }
        // The run ascends as a rule, so one pass serves all of it; a number that the pass has gone by is
        // looked for from the start.
        if let Some(compare) = self.compare.take()
            && let Some(compare) = self.compared(compare, raw)?
        {
            self.compare = Some(compare);
            return Ok(());
        }
        let fresh = Box::new(FileReader::open(&self.input, u64::MAX)?);
        match self.compared(fresh, raw)? {
            Some(compare) => {
                self.compare = Some(compare);
                Ok(())
            }
            None => {
                let fault = ReadFault::OutOfOrder {
                    number: raw.number,
                    previous: highest,
                };
                Err(self.error(raw.line, start, fault))
            }
        }
    }

    /// Goes on with `compare` to the first line with the number of `raw` and compares both. `None`: there
    /// is no such line before `raw`.
    fn compared(
        &self,
        mut compare: Box<FileReader>,
        raw: Raw,
    ) -> Result<Option<Box<FileReader>>, ReadError> {
        while let Some(first) = compare.advance()? {
            compare.events.clear();
            if first.line >= raw.line || first.number > raw.number {
                break;
            }
            if first.number < raw.number {
                continue;
            }
            let same = match (&self.block, &compare.block) {
                (Some(a), Some(b)) => raw.text(a) == first.text(b),
                _ => false,
            };
            if same {
                return Ok(Some(compare));
            }
            let fault = ReadFault::Contradiction {
                number: raw.number,
                first_line: first.line,
            };
            return Err(self.error(raw.line, raw.start as usize, fault));
        }
        Ok(None)
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.offset(self.at)
    }

    /// Place in the file of a place in the present block.
    fn offset(&self, at: usize) -> u64 {
        self.block.as_ref().map_or(0, |b| b.offset) + at as u64
    }

    #[cold]
    fn event(&mut self, line: u64, at: usize, kind: EventKind) {
        let offset = self.offset(at);
        self.events.push(Event {
            file: Arc::clone(&self.file),
            line,
            offset,
            kind,
        });
    }

    #[cold]
    fn error(&self, line: u64, at: usize, fault: ReadFault) -> ReadError {
        ReadError {
            file: Arc::clone(&self.file),
            line,
            offset: self.offset(at),
            fault,
        }
    }
}
