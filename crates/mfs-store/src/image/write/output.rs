//! Bytes of an image on their way to the file: collected in large blocks here, written by another thread (or, if
//! the image is small, at once).

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::WriteError;
use super::crc::UnitCrc;

/// Size at which a block goes to the file.
const BLOCK: usize = 1 << 20;
/// Largest write unit: 65536 chunk ids (spec 02 §18).
const UNIT_MAX: usize = 8 << 16;
/// Blocks on their way.
const BLOCKS: usize = 4;

/// Where the encoder puts its bytes.
pub(super) struct Output<'a> {
    block: Vec<u8>,
    /// Bytes of the blocks before this one.
    before: u64,
    to: To<'a>,
    cancel: Option<&'a AtomicBool>,
    pub(super) crc: UnitCrc,
}

/// Where full blocks go.
enum To<'a> {
    /// To the thread that writes, which gives them back.
    Thread {
        made: usize,
        full: SyncSender<Vec<u8>>,
        empty: Receiver<Vec<u8>>,
    },
    /// Written by the encoder itself.
    Here(&'a mut dyn Write),
}

/// The thread that writes. Its value is the error that stopped it, if any.
pub(super) type Writing<'scope> = std::thread::ScopedJoinHandle<'scope, io::Result<()>>;

impl<'a> Output<'a> {
    /// Starts the writing thread. It ends when the output is dropped, or at the first error.
    pub(super) fn start<'scope, W: Write + Send>(
        scope: &'scope Scope<'scope, '_>,
        to: &'scope mut W,
        cancel: Option<&'a AtomicBool>,
    ) -> (Output<'a>, Writing<'scope>) {
        let (full, full_rx) = sync_channel::<Vec<u8>>(BLOCKS);
        let (empty_tx, empty) = sync_channel::<Vec<u8>>(BLOCKS);
        let writing = scope.spawn(move || {
            for mut block in full_rx {
                to.write_all(&block)?;
                block.clear();
                // The encoder needs no more blocks when it is gone.
                let _ = empty_tx.try_send(block);
            }
            Ok(())
        });
        let to = To::Thread {
            made: 1,
            full,
            empty,
        };
        (Output::new(to, cancel), writing)
    }

    /// Without a thread: for small images.
    pub(super) fn direct(to: &'a mut dyn Write, cancel: Option<&'a AtomicBool>) -> Output<'a> {
        Output::new(To::Here(to), cancel)
    }

    fn new(to: To<'a>, cancel: Option<&'a AtomicBool>) -> Output<'a> {
        Output {
            block: Vec::with_capacity(BLOCK + UNIT_MAX),
            before: 0,
            to,
            cancel,
            crc: UnitCrc::new(),
        }
    }

    /// Bytes so far.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.block.len() as u64
    }

    /// Appends one write unit that is at hand.
    #[inline]
    pub(super) fn unit(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.crc.unit(bytes);
        self.block.extend_from_slice(bytes);
        self.spill()
    }

    /// Appends one write unit that is made of parts. A unit never straddles blocks.
    #[inline]
    pub(super) fn unit_of(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), WriteError> {
        let start = self.block.len();
        fill(&mut self.block);
        self.crc.unit(self.block.get(start..).unwrap_or(&[]));
        self.spill()
    }

    /// Hands over the block when it is large enough.
    #[inline]
    fn spill(&mut self) -> Result<(), WriteError> {
        if self.block.len() < BLOCK {
            Ok(())
        } else {
            self.flush()
        }
    }

    #[cold]
    fn flush(&mut self) -> Result<(), WriteError> {
        if self
            .cancel
            .is_some_and(|cancel| cancel.load(Ordering::Relaxed))
        {
            return Err(WriteError::Cancelled);
        }
        match &mut self.to {
            To::Here(to) => {
                to.write_all(&self.block)?;
                self.before += self.block.len() as u64;
                self.block.clear();
                Ok(())
            }
            To::Thread { made, full, empty } => {
                let next = if *made < BLOCKS {
                    *made += 1;
                    Vec::with_capacity(BLOCK + UNIT_MAX)
                } else {
                    empty.recv().map_err(|_| WriteError::Stopped)?
                };
                let block = std::mem::replace(&mut self.block, next);
                self.before += block.len() as u64;
                full.send(block).map_err(|_| WriteError::Stopped)
            }
        }
    }

    /// Hands over the rest. The writing thread ends when it has written it.
    pub(super) fn finish(mut self) -> Result<(), WriteError> {
        self.flush()
    }
}
