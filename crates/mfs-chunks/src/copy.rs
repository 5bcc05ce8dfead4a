//! A copy of a chunk and its state (spec 05 §6.3).

use smallvec::SmallVec;

/// State of a copy (spec 05 §6.3). TD = on a disk marked for removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CopyState {
    /// Right version.
    Valid = 0,
    /// Right version, TD.
    TdValid = 1,
    /// An operation was sent, its answer is awaited.
    Busy = 2,
    /// As `Busy`, TD.
    TdBusy = 3,
    /// Another version.
    Wrong = 4,
    /// Another version, TD.
    TdWrong = 5,
    /// Damaged, or of unknown contents.
    Invalid = 6,
    /// A deletion was sent.
    Deleting = 7,
}

impl CopyState {
    pub(crate) const ALL: [CopyState; 8] = [
        CopyState::Valid,
        CopyState::TdValid,
        CopyState::Busy,
        CopyState::TdBusy,
        CopyState::Wrong,
        CopyState::TdWrong,
        CopyState::Invalid,
        CopyState::Deleting,
    ];

    /// Right version on any disk, or awaited to have it.
    #[must_use]
    pub fn is_usable(self) -> bool {
        (self as u8) < CopyState::Wrong as u8
    }

    /// Right version on any disk.
    #[must_use]
    pub fn is_valid(self) -> bool {
        matches!(self, CopyState::Valid | CopyState::TdValid)
    }

    /// Awaited.
    #[must_use]
    pub fn is_busy(self) -> bool {
        matches!(self, CopyState::Busy | CopyState::TdBusy)
    }

    /// Another version.
    #[must_use]
    pub fn is_wrong(self) -> bool {
        matches!(self, CopyState::Wrong | CopyState::TdWrong)
    }

    /// On a disk marked for removal.
    #[must_use]
    pub fn is_marked(self) -> bool {
        matches!(
            self,
            CopyState::TdValid | CopyState::TdBusy | CopyState::TdWrong
        )
    }

    /// The state with the mark or without it.
    #[must_use]
    pub fn marked(self, marked: bool) -> CopyState {
        match (self, marked) {
            (CopyState::Valid, true) => CopyState::TdValid,
            (CopyState::TdValid, false) => CopyState::Valid,
            (CopyState::Busy, true) => CopyState::TdBusy,
            (CopyState::TdBusy, false) => CopyState::Busy,
            (CopyState::Wrong, true) => CopyState::TdWrong,
            (CopyState::TdWrong, false) => CopyState::Wrong,
            (state, _) => state,
        }
    }

    /// `Valid` for `Busy`, and so on.
    pub(crate) fn settled(self) -> CopyState {
        match self {
            CopyState::Busy => CopyState::Valid,
            CopyState::TdBusy => CopyState::TdValid,
            state => state,
        }
    }
}

/// A copy of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// Slot of the server.
    pub(crate) server: u16,
    pub(crate) state: CopyState,
}

impl Copy {
    pub(crate) fn pack(self) -> u32 {
        u32::from(self.server) << 16 | self.state as u32
    }

    pub(crate) fn unpack(word: u32) -> Copy {
        Copy {
            server: (word >> 16) as u16,
            state: CopyState::ALL[(word & 7) as usize],
        }
    }
}

/// Copies of one chunk, taken out of the table.
pub(crate) type CopyList = SmallVec<[Copy; 8]>;

/// Numbers of copies by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) valid: usize,
    pub(crate) td_valid: usize,
    pub(crate) busy: usize,
    pub(crate) td_busy: usize,
    pub(crate) wrong: usize,
    pub(crate) invalid: usize,
    pub(crate) deleting: usize,
}

impl Tally {
    pub(crate) fn usable(&self) -> usize {
        self.valid + self.td_valid + self.busy + self.td_busy
    }

    pub(crate) fn any_valid(&self) -> bool {
        self.valid + self.td_valid > 0
    }

    pub(crate) fn total(&self) -> usize {
        self.usable() + self.wrong + self.invalid + self.deleting
    }

    /// VALID and BUSY.
    pub(crate) fn regular(&self) -> usize {
        self.valid + self.busy
    }
}

impl FromIterator<Copy> for Tally {
    fn from_iter<I: IntoIterator<Item = Copy>>(copies: I) -> Tally {
        let mut t = Tally::default();
        for copy in copies {
            *match copy.state {
                CopyState::Valid => &mut t.valid,
                CopyState::TdValid => &mut t.td_valid,
                CopyState::Busy => &mut t.busy,
                CopyState::TdBusy => &mut t.td_busy,
                CopyState::Wrong | CopyState::TdWrong => &mut t.wrong,
                CopyState::Invalid => &mut t.invalid,
                CopyState::Deleting => &mut t.deleting,
            } += 1;
        }
        t
    }
}
