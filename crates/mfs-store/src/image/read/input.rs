//! A stream of bytes in large blocks, from which records are borrowed without a copy.
//!
//! A block has free space before its data. When a record straddles two blocks, its first part is copied
//! into that space of the next block, so that every record is contiguous and no record is copied twice.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::ReadFault;

/// Free bytes before the data of a block; most that [`Input::take`] gives at once. More than any name,
/// link target or attribute value.
pub(super) const TAKE_MAX: usize = 128 << 10;
/// Bytes read at once. Small enough that a block is still in a shared cache when it is parsed.
pub(super) const BLOCK: usize = 1 << 20;
/// Blocks between the reading thread and the parser.
const BLOCKS: usize = 4;

/// A block: its data is `buf[TAKE_MAX..end]`.
pub(super) struct Block {
    buf: Vec<u8>,
    end: usize,
}

impl Block {
    fn new(size: usize) -> Block {
        Block {
            buf: vec![0; TAKE_MAX + size],
            end: TAKE_MAX,
        }
    }

    /// Fills the block from `from` as far as it goes. Nothing read = end of the file.
    fn fill(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.end = TAKE_MAX;
        while let Some(room) = self.buf.get_mut(self.end..).filter(|room| !room.is_empty()) {
            match from.read(room) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Where blocks come from.
pub(super) trait Blocks {
    /// Takes a used block and gives the next one; one without data at the end.
    fn next(&mut self, used: Block) -> io::Result<Block>;
}

/// Reads when a block is asked for.
pub(super) struct Direct<R>(pub R);

impl<R: Read> Blocks for Direct<R> {
    fn next(&mut self, mut used: Block) -> io::Result<Block> {
        used.fill(&mut self.0)?;
        Ok(used)
    }
}

/// Takes blocks that another thread reads ahead.
pub(super) struct Ahead {
    full: Receiver<io::Result<Block>>,
    used: SyncSender<Block>,
}

impl Ahead {
    /// Starts the reading thread. It ends when the input ends, fails, or when the receiver is dropped.
    pub(super) fn start<'scope, R>(scope: &'scope Scope<'scope, '_>, mut from: R) -> Ahead
    where
        R: Read + Send + 'scope,
    {
        let (full_tx, full_rx) = sync_channel(BLOCKS);
        let (used_tx, used_rx) = sync_channel::<Block>(BLOCKS + 1);
        scope.spawn(move || {
            let mut made = 0;
            loop {
                let mut block = if made < BLOCKS {
                    made += 1;
                    Block::new(BLOCK)
                } else {
                    match used_rx.recv() {
                        Ok(block) => block,
                        Err(_) => return,
                    }
                };
                let result = block.fill(&mut from);
                let last = result.is_err() || block.end == TAKE_MAX;
                if full_tx.send(result.map(|()| block)).is_err() || last {
                    return;
                }
            }
        });
        Ahead {
            full: full_rx,
            used: used_tx,
        }
    }
}

impl Blocks for Ahead {
    fn next(&mut self, used: Block) -> io::Result<Block> {
        // The parser's first block has no room for data and must not come into circulation. A full or
        // closed channel means that nobody needs the block any more.
        if used.buf.len() > TAKE_MAX {
            let _ = self.used.try_send(used);
        }
        match self.full.recv() {
            Ok(result) => result,
            // The reader has sent its last, empty block and is gone: still the end of the file.
            Err(_) => Ok(Block::new(0)),
        }
    }
}

/// The bytes of a file in order.
pub(super) struct Input<B> {
    blocks: B,
    block: Block,
    /// First byte of the block not given out yet.
    pos: usize,
    /// Offset in the file of `block.buf[0]`; wraps for the first block, whose data starts behind the free space.
    base: u64,
    /// Number of the current record in its section, from 1; 0 = head of the section.
    pub(super) record: u64,
    /// Offset of the current record.
    pub(super) record_at: u64,
}

impl<B: Blocks> Input<B> {
    /// An input that reads ahead.
    pub(super) fn new(blocks: B) -> Input<B> {
        Input::with_block(blocks, Block::new(0))
    }

    fn with_block(blocks: B, block: Block) -> Input<B> {
        let pos = TAKE_MAX;
        Input {
            blocks,
            block,
            pos,
            base: (pos as u64).wrapping_neg(),
            record: 0,
            record_at: 0,
        }
    }

    /// Bytes given out so far.
    #[inline]
    pub(super) fn offset(&self) -> u64 {
        self.base.wrapping_add(self.pos as u64)
    }

    /// Starts the count of records of a section.
    pub(super) fn begin_section(&mut self) {
        self.record = 0;
        self.record_at = self.offset();
    }

    /// Notes that a record starts here.
    #[inline]
    pub(super) fn begin_record(&mut self) {
        self.record += 1;
        self.record_at = self.offset();
    }

    /// The next `n` bytes, at most [`TAKE_MAX`].
    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Result<&[u8], ReadFault> {
        if self.block.end - self.pos < n {
            self.refill(n)?;
        }
        let from = self.pos;
        self.pos += n;
        self.block.buf.get(from..from + n).ok_or(ReadFault::Eof)
    }

    /// The next `N` bytes, by value.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadFault> {
        self.take(N)?.first_chunk().copied().ok_or(ReadFault::Eof)
    }

    /// Passes over `n` bytes.
    pub(super) fn skip(&mut self, mut n: u64) -> Result<(), ReadFault> {
        while n > 0 {
            if self.block.end == self.pos {
                self.refill(1)?;
            }
            let step = n.min((self.block.end - self.pos) as u64);
            self.pos += step as usize;
            n -= step;
        }
        Ok(())
    }

    /// True when all bytes were given out.
    pub(super) fn at_end(&mut self) -> Result<bool, ReadFault> {
        match self.block.end == self.pos {
            true => match self.refill(1) {
                Err(ReadFault::Eof) => Ok(true),
                Err(e) => Err(e),
                Ok(()) => Ok(false),
            },
            false => Ok(false),
        }
    }

    /// Gets blocks until `n` bytes are contiguous.
    #[cold]
    fn refill(&mut self, n: usize) -> Result<(), ReadFault> {
        debug_assert!(n <= TAKE_MAX);
        let mut carry = Vec::new();
        while self.block.end - self.pos < n {
            // A carry is shorter than TAKE_MAX, so it always fits before the data of the next block.
            carry.clear();
            carry.extend_from_slice(self.block.buf.get(self.pos..self.block.end).unwrap_or(&[]));
            let offset = self.offset();
            let used = std::mem::replace(
                &mut self.block,
                Block {
                    buf: Vec::new(),
                    end: 0,
                },
            );
            (self.pos, self.base) = (0, offset);
            let next = self.blocks.next(used).map_err(ReadFault::Io)?;
            let empty = next.end == TAKE_MAX;
            self.block = next;
            self.pos = TAKE_MAX - carry.len();
            if let Some(space) = self.block.buf.get_mut(self.pos..TAKE_MAX) {
                space.copy_from_slice(&carry);
            }
            self.base = offset.wrapping_sub(self.pos as u64);
            if empty {
                return Err(ReadFault::Eof);
            }
        }
        Ok(())
    }
}

impl<R: Read> Input<Direct<R>> {
    /// An input without a thread, with blocks of this size.
    pub(super) fn direct(from: R, block: usize) -> Input<Direct<R>> {
        Input::with_block(Direct(from), Block::new(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the block size and the sizes of the pieces: the bytes come out as they went in.
        #[test]
        fn pieces(data in proptest::collection::vec(any::<u8>(), 0..4000), block in 1usize..300,
                  sizes in proptest::collection::vec((0usize..700, any::<bool>()), 0..60)) {
            let mut input = Input::direct(&data[..], block);
            let mut at = 0;
            for (n, skip) in sizes {
                prop_assert_eq!(input.offset(), at as u64);
                if skip {
                    let result = input.skip(n as u64);
                    prop_assert_eq!(result.is_ok(), at + n <= data.len());
                    if result.is_err() { return Ok(()); }
                } else {
                    match input.take(n) {
                        Ok(bytes) => prop_assert_eq!(bytes, &data[at..at + n]),
                        Err(ReadFault::Eof) => {
                            prop_assert!(at + n > data.len());
                            prop_assert_eq!(input.offset(), at as u64);
                            return Ok(());
                        }
                        Err(e) => panic!("{e}"),
                    }
                }
                at += n;
            }
            prop_assert_eq!(input.at_end().unwrap(), at == data.len());
        }
    }

    #[test]
    fn reads_ahead_and_stops_early() {
        let data: Vec<u8> = (0..5 * BLOCK + 77).map(|i| ((i * 7) >> 3) as u8).collect();
        std::thread::scope(|scope| {
            let mut input = Input::new(Ahead::start(scope, &data[..]));
            for piece in data.chunks(1013) {
                assert_eq!(input.take(piece.len()).unwrap(), piece);
            }
            assert!(input.at_end().unwrap());
            assert!(input.at_end().unwrap());
            assert!(matches!(input.take(1), Err(ReadFault::Eof)));
        });
        // The reader must not hang when the parser gives up: the scope would never end.
        std::thread::scope(|scope| {
            let mut input = Input::new(Ahead::start(scope, io::repeat(1)));
            assert_eq!(input.take(3).unwrap(), [1; 3]);
        });
    }

    #[test]
    fn errors_of_the_file_arrive() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                match self.0 {
                    0 => Err(io::Error::other("broken disk")),
                    n => {
                        let n = n.min(buf.len());
                        self.0 -= n;
                        Ok(n)
                    }
                }
            }
        }
        std::thread::scope(|scope| {
            let mut input = Input::new(Ahead::start(scope, Broken(BLOCK + 5)));
            input.skip(BLOCK as u64).unwrap();
            assert!(matches!(input.take(5), Err(ReadFault::Io(_))));
        });
    }
}
