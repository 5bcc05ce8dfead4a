//! Any number of changelog files as one sequence of parsed lines in the order of their numbers.
//!
//! Reading, merging and parsing work on batches, so that they run on another thread than what is done
//! with the lines ([`Merge::spawn`]). Files are opened when their first line is due and closed at their end:
//! a hundred rotated files need one descriptor.
//!
//! Rules (spec 03 §4.2, §4.3, with the defects of spec 01 §19 mended):
//! * lines of equal number and equal bytes are one line;
//! * of lines of equal number, one that cannot be parsed gives way to one that can;
//! * two that can be parsed and mean different things are a contradiction: the files belong to different
//!   histories, and whoever reads the batch must stop there;
//! * a number that no file has is for the reader of the batch to notice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use mfs_meta::op::{Line, LineError, parse_line};
use self_cell::self_cell;

use super::block::{Block, Input};
use super::event::{Event, EventKind};
use super::probe::{Probe, probe};
use super::reader::{FileReader, Raw, ReadError};

/// Lines in a batch: enough to make hand-overs between threads cheap, few enough to stay in cache.
const BATCH_LINES: usize = 4096;
/// Batches between the threads.
const BATCHES: usize = 4;

/// A file of a merge, and whether it is needed.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub file: Arc<Path>,
    /// What its ends say.
    pub probe: Probe,
    /// Whether it is read: false if it is empty or all of it is older than the image.
    pub used: bool,
}

/// Where a line comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// Number of the line in the file, counted from 1.
    pub line: u64,
    /// Where the line starts, in bytes.
    pub offset: u64,
}

/// Why a line of a batch cannot be applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Bad {
    /// It cannot be parsed.
    Parse(LineError),
    /// Another file has a different line of this number.
    Contradiction(Place),
}

/// A line of a batch.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Number of the change.
    pub number: u64,
    /// The change, unless it cannot be applied.
    pub line: Result<Line<'a>, Bad>,
    /// Index of its raw line.
    raw: u32,
}

struct RawLine {
    raw: Raw,
    /// Index of the block in the batch.
    block: u32,
    /// Index of the source.
    source: u32,
}

/// What the lines of a batch borrow from.
struct Text {
    blocks: Vec<Arc<Block>>,
    lines: Vec<RawLine>,
    files: Arc<[Source]>,
}

impl Text {
    /// Whether the batch is complete when `next` is the number that would follow: lines of equal number
    /// stay together.
    fn is_full(&self, next: u64) -> bool {
        self.lines.len() >= BATCH_LINES
            && self
                .lines
                .last()
                .is_some_and(|last| last.raw.number != next)
    }

    /// Adds the line that is due of a source. False if it is the same as the last one.
    fn push(&mut self, open: &mut Open, source: usize) -> bool {
        let Some(block) = open.reader.block() else {
            return true;
        };
        if let Some(last) = self.lines.last()
            && last.raw.number == open.head.number
            && self.text(last) == open.head.text(block)
        {
            return false;
        }
        if !matches!(self.blocks.get(open.block as usize), Some(b) if Arc::ptr_eq(b, block)) {
            open.block = self.blocks.len() as u32;
            self.blocks.push(Arc::clone(block));
        }
        self.lines.push(RawLine {
            raw: open.head,
            block: open.block,
            source: source as u32,
        });
        true
    }

    fn text(&self, line: &RawLine) -> &[u8] {
        match self.blocks.get(line.block as usize) {
            Some(block) => line.raw.text(block),
            None => &[],
        }
    }

    fn place(&self, raw: u32) -> Option<Place> {
        let line = self.lines.get(raw as usize)?;
        let block = self.blocks.get(line.block as usize)?;
        let source = self.files.get(line.source as usize)?;
        Some(Place {
            file: Arc::clone(&source.file),
            line: line.raw.line,
            offset: block.offset + u64::from(line.raw.start),
        })
    }
}

struct Parsed<'a> {
    entries: Vec<Entry<'a>>,
    events: Vec<Event>,
    duplicates: u64,
}

self_cell!(
    struct Cell {
        owner: Text,
        #[covariant]
        dependent: Parsed,
    }
);

/// A number of lines in ascending order, each number once.
pub struct Batch {
    cell: Cell,
    /// What was found while reading these lines.
    pub events: Vec<Event>,
    /// Bytes of all files read so far.
    pub bytes: u64,
    /// Lines so far that were there more than once.
    pub duplicates: u64,
}

impl Batch {
    /// The lines.
    pub fn entries(&self) -> &[Entry<'_>] {
        &self.cell.borrow_dependent().entries
    }

    /// Where a line of this batch comes from.
    pub fn place(&self, entry: &Entry<'_>) -> Option<Place> {
        self.cell.borrow_owner().place(entry.raw)
    }

    /// The text of a line of this batch, without LF.
    pub fn text(&self, entry: &Entry<'_>) -> &[u8] {
        let text = self.cell.borrow_owner();
        text.lines
            .get(entry.raw as usize)
            .map_or(&[], |line| text.text(line))
    }
}

struct Open {
    reader: FileReader,
    /// The line that is due.
    head: Raw,
    /// Where its block probably is in the batch.
    block: u32,
}

enum State {
    Waiting,
    Open(Box<Open>),
    Ended,
}

/// Merges files; see the module.
pub struct Merge {
    inputs: Vec<Input>,
    files: Arc<[Source]>,
    states: Vec<State>,
    /// Number and source of the line that is due of each file.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    from: u64,
    events: Vec<Event>,
    failed: Option<ReadError>,
    duplicates: u64,
    /// Bytes of the files that are read to their end.
    done_bytes: u64,
}

impl Merge {
    /// Looks at files of which the changes from number `from` on are wanted. Files that begin and end
    /// before it are left out unless `use_all`. A file that cannot be read is an
    /// [`EventKind::Unreadable`]: if it is needed, its lines will be missed.
    pub fn new(inputs: Vec<Input>, from: u64, use_all: bool) -> Merge {
        let mut files = Vec::with_capacity(inputs.len());
        let mut heads = BinaryHeap::new();
        let mut events = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            let file: Arc<Path> = input.path().into();
            let (probe, used) = match probe(input) {
                Ok(probe) => {
                    let old = probe.first.is_some_and(|n| n < from)
                        && probe.last.is_some_and(|n| n < from);
                    (probe, probe.size > 0 && (use_all || !old))
                }
                Err(error) => {
                    events.push(Event {
                        file: Arc::clone(&file),
                        line: 0,
                        offset: 0,
                        kind: EventKind::Unreadable {
                            error: error.to_string(),
                        },
                    });
                    (Probe::default(), false)
                }
            };
            if used {
                heads.push(Reverse((probe.first.unwrap_or(0), index)));
            }
            files.push(Source { file, probe, used });
        }
        Merge {
            states: inputs.iter().map(|_| State::Waiting).collect(),
            inputs,
            files: files.into(),
            heads,
            from,
            events,
            failed: None,
            duplicates: 0,
            done_bytes: 0,
        }
    }

    /// All files with what is known about them.
    pub fn files(&self) -> &Arc<[Source]> {
        &self.files
    }

    /// Size of the files that are read, in bytes.
    pub fn total_bytes(&self) -> u64 {
        let used = self.files.iter().filter(|s| s.used);
        used.map(|s| s.probe.size).sum()
    }

    /// The next lines; `None` at the end. A batch may have events and no lines.
    ///
    /// # Errors
    /// When a file cannot be read on. All lines before that were given; calling again goes on without
    /// that file.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, ReadError> {
        let mut text = Text {
            blocks: Vec::new(),
            lines: Vec::with_capacity(BATCH_LINES),
            files: Arc::clone(&self.files),
        };
        while self.failed.is_none()
            && let Some(&Reverse((number, index))) = self.heads.peek()
        {
            if text.is_full(number) {
                break;
            }
            self.heads.pop();
            if let Err(error) = self.step(index, &mut text) {
                self.failed = Some(error);
            }
        }
        if text.lines.is_empty() && self.events.is_empty() {
            return self.failed.take().map_or(Ok(None), Err);
        }
        Ok(Some(self.finish(text)))
    }

    /// Takes lines of one source, whose head has the lowest number, for as long as that is so. The source
    /// goes back to the heads unless it ends.
    fn step(&mut self, index: usize, text: &mut Text) -> Result<(), ReadError> {
        let (Some(state), Some(input)) = (self.states.get_mut(index), self.inputs.get(index))
        else {
            return Ok(());
        };
        let mut open = match std::mem::replace(state, State::Ended) {
            State::Ended => return Ok(()),
            State::Open(open) => open,
            State::Waiting => {
                let mut reader = FileReader::open(input, self.from)?;
                let head = reader.advance();
                self.events.append(&mut reader.take_events());
                if let Some(head) = head? {
                    self.heads.push(Reverse((head.number, index)));
                    *state = State::Open(Box::new(Open {
                        reader,
                        head,
                        block: 0,
                    }));
                }
                return Ok(());
            }
        };
        let rival = self.heads.peek().map_or(u64::MAX, |&Reverse((n, _))| n);
        loop {
            if open.head.number >= self.from {
                self.duplicates += u64::from(!text.push(&mut open, index));
            }
            let head = open.reader.advance();
            if open.reader.has_events() {
                self.events.append(&mut open.reader.take_events());
            }
            let Some(head) = head? else {
                self.done_bytes += open.reader.position();
                return Ok(());
            };
            open.head = head;
            if head.number >= rival || text.is_full(head.number) {
                self.heads.push(Reverse((head.number, index)));
                *state = State::Open(open);
                return Ok(());
            }
        }
    }

    fn finish(&mut self, text: Text) -> Batch {
        let open = self.states.iter().filter_map(|state| match state {
            State::Open(open) => Some(open.reader.position()),
            _ => None,
        });
        let bytes = self.done_bytes + open.sum::<u64>();
        let cell = Cell::new(text, parse);
        let mut events = std::mem::take(&mut self.events);
        events.extend_from_slice(&cell.borrow_dependent().events);
        Batch {
            duplicates: self.duplicates + cell.borrow_dependent().duplicates,
            cell,
            events,
            bytes,
        }
    }

    /// Merges on a thread of its own.
    pub fn spawn(mut self) -> Ahead {
        let (send, batches) = sync_channel(BATCHES);
        let files = Arc::clone(&self.files);
        let total_bytes = self.total_bytes();
        let thread = std::thread::spawn(move || {
            loop {
                let batch = self.next_batch();
                let ended = matches!(batch, Ok(None));
                // The other side hangs up when it needs no more.
                if send.send(batch).is_err() || ended {
                    return;
                }
            }
        });
        Ahead {
            batches: Some(batches),
            thread: Some(thread),
            files,
            total_bytes,
        }
    }
}

/// A [`Merge`] on another thread.
pub struct Ahead {
    batches: Option<Receiver<Result<Option<Batch>, ReadError>>>,
    thread: Option<JoinHandle<()>>,
    files: Arc<[Source]>,
    total_bytes: u64,
}

impl Ahead {
    /// As [`Merge::files`].
    pub fn files(&self) -> &Arc<[Source]> {
        &self.files
    }

    /// As [`Merge::total_bytes`].
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// As [`Merge::next_batch`]; waits for the other thread.
    ///
    /// # Errors
    /// As there.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, ReadError> {
        let Some(batches) = &self.batches else {
            return Ok(None);
        };
        match batches.recv() {
            Ok(Ok(None)) => {
                self.batches = None;
                Ok(None)
            }
            Ok(batch) => batch,
            Err(_) => {
                // The end is always announced, so the thread died; its lines must not look like all.
                self.batches = None;
                if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                    std::panic::resume_unwind(panic);
                }
                Ok(None)
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was met in `next_batch` or concerns lines that nobody wants any more.
            let _ = thread.join();
        }
    }
}

/// Parses the lines of a batch and settles those of equal number.
fn parse(text: &Text) -> Parsed<'_> {
    let mut parsed = Parsed {
        entries: Vec::with_capacity(text.lines.len()),
        events: Vec::new(),
        duplicates: 0,
    };
    for (raw, line) in text.lines.iter().enumerate() {
        let entry = Entry {
            number: line.raw.number,
            line: parse_line(text.text(line)).map_err(Bad::Parse),
            raw: raw as u32,
        };
        match parsed.entries.last_mut() {
            Some(before) if before.number == entry.number => {
                parsed.duplicates += 1;
                parsed.events.extend(settle(before, entry, text));
            }
            _ => parsed.entries.push(entry),
        }
    }
    parsed
}

/// Chooses between two lines of equal number; the choice stays in `before`. Gives the event to report if
/// one of them was damaged.
fn settle<'a>(before: &mut Entry<'a>, mut other: Entry<'a>, text: &Text) -> Option<Event> {
    if other.line.is_ok() && matches!(before.line, Err(Bad::Parse(_))) {
        std::mem::swap(before, &mut other);
    }
    match (&before.line, other.line) {
        (Ok(line), Ok(same)) => {
            if *line != same {
                before.line = Err(Bad::Contradiction(text.place(other.raw)?));
            }
            None
        }
        (Ok(_), Err(Bad::Parse(error))) => {
            let damaged = text.place(other.raw)?;
            Some(Event {
                file: damaged.file,
                line: damaged.line,
                offset: damaged.offset,
                kind: EventKind::Healed {
                    number: other.number,
                    error,
                    by: text.place(before.raw)?.file,
                },
            })
        }
        _ => None,
    }
}
