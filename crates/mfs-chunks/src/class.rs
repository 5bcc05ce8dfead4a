//! Which storage class decides about a chunk, and what it wants (spec 05 §6.2, §12).

use mfs_meta::records::LabelMasks;
use mfs_meta::{Metadata, Sclass};

/// Highest id of a predefined class.
const LAST_PREDEFINED: u8 = 9;

/// How strictly labels are taken (spec 05 §12.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelMode {
    /// Other servers as soon as the right ones cannot take it.
    Loose,
    /// Other servers only if the right ones do not exist; busy ones are waited for.
    Std,
    /// Only the right servers.
    Strict,
}

impl LabelMode {
    pub(crate) fn of(class: &Sclass) -> LabelMode {
        match class.def.mode {
            0 => LabelMode::Loose,
            2 => LabelMode::Strict,
            _ => LabelMode::Std,
        }
    }
}

/// What a chunk should have.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) entries: &'a [LabelMasks],
    pub(crate) mode: LabelMode,
}

impl Wanted<'_> {
    /// Number of copies.
    pub(crate) fn goal(&self) -> usize {
        self.entries.len()
    }

    /// Whether some entry asks for labels.
    pub(crate) fn has_labels(&self) -> bool {
        self.entries.iter().any(|e| e[0] != 0)
    }
}

/// The larger of the keep and archive sets.
fn copies(meta: &Metadata, class: u8) -> usize {
    meta.sclass(class)
        .map_or(0, |c| c.def.keep.len().max(c.def.archive.len()))
}

/// The class in charge of the chunk in a row, 0 = no file names it.
pub(crate) fn in_charge(meta: &Metadata, row: u32) -> u8 {
    let (mut first, mut several) = (0, [0u64; 4]);
    let mut count = 0;
    meta.visit_chunk_classes(row, |class| {
        first = class;
        count += 1;
        several[usize::from(class >> 6)] |= 1 << (class & 63);
    });
    if count <= 1 {
        return first;
    }
    let ascending = (1..=255u8).filter(|&c| several[usize::from(c >> 6)] >> (c & 63) & 1 == 1);
    let (mut best, mut most, mut fixed) = (0, 0, false);
    for class in ascending {
        let n = copies(meta, class);
        if best == 0 || n > most {
            (best, most, fixed) = (class, n, false);
        } else if n == most && !fixed {
            if best <= LAST_PREDEFINED {
                best = class;
            } else {
                // Two user classes: the predefined class of that many copies stands for both.
                (best, fixed) = (n.clamp(1, 9) as u8, true);
            }
        }
    }
    best
}

/// What a class wants for chunks that exist.
pub(crate) fn wanted(meta: &Metadata, class: u8, archived: bool) -> Option<Wanted<'_>> {
    let class = meta.sclass(class)?;
    let entries = if archived {
        &class.def.archive
    } else {
        &class.def.keep
    };
    Some(Wanted {
        entries,
        mode: LabelMode::of(class),
    })
}
