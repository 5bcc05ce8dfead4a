//! State beside the metadata that follows from the same lines.

use crate::op::{Line, Outcome};
use crate::{Metadata, Status};

/// Something that is derived from the lines of the log but is not in the image: what an image leaves open stands in
/// a small file beside it, and a replay carries it on line by line.
pub trait Companion {
    /// Begins with what the file beside an image of this version says; `None` = there is no file. Also where it
    /// fails, what follows begins with something that is safe to go on from.
    ///
    /// # Errors
    /// Why the file is not used.
    fn begin(&mut self, file: Option<&[u8]>, version: u64) -> Result<(), String>;

    /// Applies a line to the metadata and takes it in.
    ///
    /// # Errors
    /// The status of the refusal; nothing has changed then.
    fn apply(&mut self, meta: &mut Metadata, line: &Line<'_>) -> Result<Outcome, Status>;

    /// The file beside an image of the present state, whose metadata version is `version`; `None` = there is none.
    fn file(&self, version: u64) -> Option<Vec<u8>>;
}

/// No such state: files beside images are neither read nor written.
impl Companion for () {
    fn begin(&mut self, _: Option<&[u8]>, _: u64) -> Result<(), String> {
        Ok(())
    }

    fn apply(&mut self, meta: &mut Metadata, line: &Line<'_>) -> Result<Outcome, Status> {
        meta.apply(line.ts, &line.op)
    }

    fn file(&self, _: u64) -> Option<Vec<u8>> {
        None
    }
}
