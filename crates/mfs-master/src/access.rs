//! Access to the state, which consecutive requests of a batch may share.
//!
//! Taking and leaving a lock that two threads want costs more than most requests: a thread that finds it taken
//! sleeps and has to be woken. So the requests of a batch that need the same kind of access are executed as one run
//! under one lock. A run has a bound, for others wait meanwhile.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::{Deref, DerefMut};

use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

use crate::master::{Shared, State};

/// One user of the state, who has one access at a time.
pub struct Access<'m> {
    shared: &'m Shared,
    held: RefCell<Held<'m>>,
    kept: Cell<bool>,
}

enum Held<'m> {
    Nothing,
    Shared(RwLockReadGuard<'m, State>),
    Exclusive(RwLockWriteGuard<'m, State>),
}

impl Held<'_> {
    #[expect(clippy::unreachable, reason = "only what is held is asked")]
    fn state(&self) -> &State {
        match self {
            Held::Nothing => unreachable!("the state is not held"),
            Held::Shared(state) => state,
            Held::Exclusive(state) => state,
        }
    }

    #[expect(clippy::unreachable, reason = "only what is held exclusively is asked")]
    fn state_mut(&mut self) -> &mut State {
        match self {
            Held::Nothing | Held::Shared(_) => unreachable!("the state is not held exclusively"),
            Held::Exclusive(state) => state,
        }
    }
}

impl<'m> Access<'m> {
    /// Access to `shared`, which is not taken yet.
    #[must_use]
    pub fn new(shared: &'m Shared) -> Access<'m> {
        Access {
            shared,
            held: RefCell::new(Held::Nothing),
            kept: Cell::new(false),
        }
    }

    /// Whether an access stays after its user for the next one. What is held is left when this ends.
    pub fn keep(&self, kept: bool) {
        self.kept.set(kept);
        if !kept && let Ok(mut held) = self.held.try_borrow_mut() {
            *held = Held::Nothing;
        }
    }
}

/// [`Access`] without the lifetime of what it locks.
pub trait Accessible {
    /// Shared access. An exclusive one that was kept does as well.
    fn read(&self) -> ReadState<'_>;

    /// Exclusive access. A shared one that was kept is left first.
    fn write(&self) -> WriteState<'_>;

    /// Leaves what is held unless it is kept.
    fn done(&self);
}

impl Accessible for Access<'_> {
    #[inline]
    fn read(&self) -> ReadState<'_> {
        if matches!(*self.held.borrow(), Held::Nothing) {
            *self.held.borrow_mut() = Held::Shared(self.shared.read());
        }
        ReadState {
            state: Ref::map(self.held.borrow(), Held::state),
            _leave: Leave(self),
        }
    }

    #[inline]
    fn write(&self) -> WriteState<'_> {
        let mut held = self.held.borrow_mut();
        if !matches!(*held, Held::Exclusive(_)) {
            // First left, then taken.
            *held = Held::Nothing;
            *held = Held::Exclusive(self.shared.write());
        }
        WriteState {
            state: RefMut::map(held, Held::state_mut),
            _leave: Leave(self),
        }
    }

    #[inline]
    fn done(&self) {
        if !self.kept.get()
            && let Ok(mut held) = self.held.try_borrow_mut()
        {
            *held = Held::Nothing;
        }
    }
}

/// Tells the access that its user is gone.
struct Leave<'a>(&'a dyn Accessible);

impl Drop for Leave<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.done();
    }
}

/// Shared access to the state. Whoever holds one must not ask for another access in the same thread.
pub struct ReadState<'a> {
    state: Ref<'a, State>,
    // Dropped behind the state.
    _leave: Leave<'a>,
}

impl Deref for ReadState<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.state
    }
}

/// Exclusive access to the state.
pub struct WriteState<'a> {
    state: RefMut<'a, State>,
    // Dropped behind the state.
    _leave: Leave<'a>,
}

impl Deref for WriteState<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for WriteState<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}
