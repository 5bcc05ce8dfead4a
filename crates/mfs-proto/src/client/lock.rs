//! flock and POSIX locks (spec 04 §7.8). A lock that has to wait is answered later, with the message id of
//! the waiting request.

use super::{mids, plain_body};

/// Values of [`Flock::cmd`].
pub mod flock_cmd {
    /// Give up the lock.
    pub const UNLOCK: u8 = 0;
    /// Shared lock, or `EAGAIN`.
    pub const TRY_SHARED: u8 = 1;
    /// Shared lock, wait for it.
    pub const LOCK_SHARED: u8 = 2;
    /// Exclusive lock, or `EAGAIN`.
    pub const TRY_EXCLUSIVE: u8 = 3;
    /// Exclusive lock, wait for it.
    pub const LOCK_EXCLUSIVE: u8 = 4;
    /// Wake the waiting request with the same owner and request id.
    pub const INTERRUPT: u8 = 5;
    /// The file was closed.
    pub const RELEASE: u8 = 6;
}

/// FLOCK 492; answered with a status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flock {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// Id that an interrupt refers to.
    pub reqid: u32,
    /// Owner of the lock within the session.
    pub owner: u64,
    /// One of [`flock_cmd`]; other values are `EINVAL`.
    pub cmd: u8,
}

plain_body!(Flock {
    mid: u32,
    inode: u32,
    reqid: u32,
    owner: u64,
    cmd: u8
});

/// Values of [`PosixLock::cmd`].
pub mod posix_cmd {
    /// Ask for a conflicting lock.
    pub const GET: u8 = 0;
    /// Set, wait for it.
    pub const SET: u8 = 1;
    /// Set, or `EAGAIN`.
    pub const TRY: u8 = 2;
    /// Wake the waiting request with the same request id.
    pub const INTERRUPT: u8 = 3;
}

/// Values of [`PosixLock::kind`].
pub mod posix_type {
    /// No lock.
    pub const UNLOCK: u8 = 0;
    /// Shared lock.
    pub const READ: u8 = 1;
    /// Exclusive lock.
    pub const WRITE: u8 = 2;
}

/// POSIX_LOCK 494; answered with a [`PosixLockReply`] to GET, with a status otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PosixLock {
    /// Message id.
    pub mid: u32,
    /// The file.
    pub inode: u32,
    /// Id that an interrupt refers to.
    pub reqid: u32,
    /// Owner of the lock within the session.
    pub owner: u64,
    /// Process that asks.
    pub pid: u32,
    /// One of [`posix_cmd`].
    pub cmd: u8,
    /// One of [`posix_type`].
    pub kind: u8,
    /// First byte of the range.
    pub start: u64,
    /// First byte behind the range; `u64::MAX` = to the end of the file.
    pub end: u64,
}

plain_body!(PosixLock {
    mid: u32,
    inode: u32,
    reqid: u32,
    owner: u64,
    pid: u32,
    cmd: u8,
    kind: u8,
    start: u64,
    end: u64,
});
mids!(Flock, PosixLock);

/// A conflicting lock; all zeros if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PosixLockReply {
    /// Process that holds the lock, if it belongs to the same session, else 0.
    pub pid: u32,
    /// One of [`posix_type`].
    pub kind: u8,
    /// First byte of the range.
    pub start: u64,
    /// First byte behind the range.
    pub end: u64,
}

plain_body!(PosixLockReply {
    pid: u32,
    kind: u8,
    start: u64,
    end: u64
});
