//! What an operation resulted in, and how that compares with what a line recorded.

/// Result of applying an operation; lines record it behind `)` (spec 03 §6). Parts that an old form of
/// a line does not have are read as the value that is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The operation has no result.
    None,
    /// Node made, moved or unlinked (`CREATE`, `SYMLINK`, `UNLINK`, `MOVE`).
    Inode(u32),
    /// Chunk in the slot afterwards (`WRITE`, `TRUNC`).
    Chunk(u64),
    /// The next edge id (`RENUMERATEEDGES`).
    EdgeId(u64),
    /// Counts of `EMPTYTRASH`.
    EmptyTrash {
        /// Nodes removed.
        freed: u32,
        /// Nodes that are open and became sustained.
        sustained: u32,
        /// XOR of the inodes of both; a recorded 0 is not compared.
        xor: u32,
    },
    /// Counts of `EMPTYSUSTAINED`.
    EmptySustained {
        /// Nodes removed.
        freed: u32,
        /// XOR of their inodes; a recorded 0 is not compared.
        xor: u32,
    },
    /// Counts of `FREEINODES`.
    FreeInodes {
        /// Inode numbers that can be used again.
        freed: u32,
        /// Numbers that are open and were queued again.
        sustained: u32,
        /// XOR of both; a recorded 0 is not compared.
        xor: u32,
    },
    /// Counts of `ARCHCHG`.
    ArchChg {
        /// Chunks whose flag changed.
        changed: u64,
        /// Chunks whose flag was so already.
        same: u64,
        /// Nodes that were refused.
        denied: u32,
    },
    /// Counts of `SETSCLASS`, `SETTRASHTIME`, `SETEATTR`.
    Counts {
        /// Nodes that changed.
        set: u32,
        /// Nodes that were so already.
        same: u32,
        /// Nodes that were refused.
        denied: u32,
    },
    /// Counts of `SNAPSHOT`; six recorded zeros are not compared.
    Snapshot {
        /// XOR of the inodes made and removed.
        xor: u32,
        /// Nodes removed.
        removed: u32,
        /// Files that were equal already.
        same: u32,
        /// Targets that existed.
        existing: u32,
        /// Hard links made.
        hardlinks: u32,
        /// Nodes made.
        new: u32,
    },
    /// Storage class (`SCSET`, `SCREN`, `SCDEL`).
    ClassId(u32),
    /// Storage classes of `SCDUP`.
    ClassIds {
        /// Class copied.
        old: u32,
        /// The copy.
        new: u32,
    },
    /// Session (`SESADD`, `SESSION`).
    SessionId(u32),
}

/// How strictly results are compared on replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// For lines that we wrote: every result must be equal.
    Strict,
    /// For lines that may come from a healthy original, whose archive walk counts differently from its
    /// replay (spec 03 §9.2).
    Original,
}

impl Outcome {
    /// Whether this outcome agrees with what a line recorded. Always compared leniently, because the
    /// writer leaves them out: sums of 0 in the three timer lines, and a `SNAPSHOT` with six zeros.
    pub fn matches(&self, recorded: Option<&Outcome>, tolerance: Tolerance) -> bool {
        let Some(recorded) = recorded else {
            return true;
        };
        match (*self, *recorded) {
            (
                Outcome::EmptyTrash {
                    freed,
                    sustained,
                    xor,
                },
                Outcome::EmptyTrash {
                    freed: f,
                    sustained: s,
                    xor: x,
                },
            )
            | (
                Outcome::FreeInodes {
                    freed,
                    sustained,
                    xor,
                },
                Outcome::FreeInodes {
                    freed: f,
                    sustained: s,
                    xor: x,
                },
            ) => freed == f && sustained == s && (x == 0 || xor == x),
            (
                Outcome::EmptySustained { freed, xor },
                Outcome::EmptySustained { freed: f, xor: x },
            ) => freed == f && (x == 0 || xor == x),
            (
                Outcome::Snapshot { .. },
                Outcome::Snapshot {
                    xor: 0,
                    removed: 0,
                    same: 0,
                    existing: 0,
                    hardlinks: 0,
                    new: 0,
                },
            ) => true,
            // The walk leaves out chunks without valid copies and writes lines for immutable files,
            // which replay counts and refuses; it never records a refusal.
            (Outcome::ArchChg { .. }, Outcome::ArchChg { denied: 0, .. })
                if tolerance == Tolerance::Original =>
            {
                true
            }
            (computed, recorded) => computed == recorded,
        }
    }
}
