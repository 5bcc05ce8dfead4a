//! Lines on their way to the file, and the rotations that are due between them.

use super::super::writer::{WriteError, Writer};

/// A spare buffer larger than this is given back after a burst, bytes.
const SPARE_MAX: usize = 16 << 20;

/// A rotation that is due between two lines.
struct Mark {
    /// Bytes of the pending lines before it.
    at: usize,
    /// Number of the first line behind it.
    version: u64,
    back_logs: u32,
    stored: u64,
}

/// What is written with one call.
#[derive(Default)]
pub(super) struct Job {
    lines: Vec<u8>,
    marks: Vec<Mark>,
}

/// How far a job got.
#[derive(Default)]
pub(super) struct Progress {
    bytes: usize,
    marks: usize,
    /// Lines below it are written.
    pub(super) version: Option<u64>,
}

impl Job {
    /// Writes it, or as much as can be written. A rotation that fails is no failure.
    pub(super) fn write(
        &self,
        writer: &mut Writer,
        sync: bool,
        progress: &mut Progress,
    ) -> Result<(), WriteError> {
        for mark in &self.marks {
            let lines = self.lines.get(progress.bytes..mark.at);
            writer.append(lines.unwrap_or_default(), sync)?;
            progress.bytes = mark.at;
            progress.version = Some(mark.version);
            progress.marks += 1;
            // Without it everything still works: lines go to the old file.
            match writer.rotate(mark.back_logs, mark.stored) {
                Ok(rotated) if rotated.extra > 0 => tracing::warn!(
                    extra = rotated.extra,
                    "changelogs kept beyond BACK_LOGS: no stored image has their changes"
                ),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "changelog not rotated"),
            }
        }
        let lines = self.lines.get(progress.bytes..);
        let result = writer.append(lines.unwrap_or_default(), sync);
        for notice in writer.take_notices() {
            tracing::warn!("{notice}");
        }
        result
    }
}

/// Lines that nobody has begun to write.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Job,
    /// An empty buffer to swap with.
    spare: Vec<u8>,
}

impl Queue {
    pub(super) fn push(&mut self, number: u64, text: &[u8]) {
        let lines = &mut self.waiting.lines;
        lines.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(text);
        lines.push(b'\n');
    }

    /// A rotation before line number `version`, the next one to come.
    pub(super) fn push_rotation(&mut self, version: u64, back_logs: u32, stored: u64) {
        self.waiting.marks.push(Mark {
            at: self.waiting.lines.len(),
            version,
            back_logs,
            stored,
        });
    }

    /// Bytes of the lines.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.lines.len()
    }

    /// Takes everything out. The job comes back by [`Queue::finished`] or [`Queue::put_back`].
    pub(super) fn take(&mut self) -> Job {
        let spare = std::mem::take(&mut self.spare);
        Job {
            lines: std::mem::replace(&mut self.waiting.lines, spare),
            marks: std::mem::take(&mut self.waiting.marks),
        }
    }

    /// The job is done as a whole.
    pub(super) fn finished(&mut self, mut job: Job) {
        job.lines.clear();
        if job.lines.capacity() <= SPARE_MAX {
            self.spare = job.lines;
        }
    }

    /// Puts what was not written in front of what came meanwhile.
    pub(super) fn put_back(&mut self, mut job: Job, progress: &Progress) {
        job.lines.drain(..progress.bytes);
        job.marks.drain(..progress.marks);
        for mark in &mut job.marks {
            mark.at -= progress.bytes;
        }
        let shift = job.lines.len();
        job.lines.append(&mut self.waiting.lines);
        job.marks
            .extend(self.waiting.marks.drain(..).map(|mark| Mark {
                at: mark.at + shift,
                ..mark
            }));
        // The buffer that the lines were moved out of is empty now.
        self.spare = std::mem::replace(&mut self.waiting.lines, job.lines);
        self.waiting.marks = job.marks;
    }
}
