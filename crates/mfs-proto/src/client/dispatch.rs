//! Which message is allowed in which state of a connection (spec 04 §13). What is not allowed closes.

use crate::msg;

/// Registration state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing registered yet.
    Unregistered,
    /// A mount, data or meta.
    Mount,
    /// A tool.
    Tools,
}

const UNREGISTERED: u8 = 1;
const MOUNT: u8 = 2;
const TOOLS: u8 = 4;

/// The states that accept a message, as bits.
const fn states(message: u32) -> u8 {
    match message {
        msg::ANTOAN_NOP
        | msg::ANTOAN_UNKNOWN_COMMAND
        | msg::ANTOAN_BAD_COMMAND_SIZE
        | msg::ANTOAN_GET_VERSION
        | msg::ANTOAN_GET_CONFIG
        | msg::CLTOMA_FUSE_REGISTER => UNREGISTERED | MOUNT | TOOLS,

        msg::CLTOMA_FUSE_SUSTAINED_INODES_DEPRECATED
        | msg::CLTOMA_FUSE_SUSTAINED_INODES
        | msg::CLTOMA_FUSE_AMTIME_INODES
        | msg::CLTOMA_FUSE_TIME_SYNC
        | msg::CLTOMA_FUSE_STATFS
        | msg::CLTOMA_FUSE_ACCESS
        | msg::CLTOMA_FUSE_LOOKUP
        | msg::CLTOMA_FUSE_GETATTR
        | msg::CLTOMA_FUSE_SETATTR
        | msg::CLTOMA_FUSE_READLINK
        | msg::CLTOMA_FUSE_SYMLINK
        | msg::CLTOMA_FUSE_MKNOD
        | msg::CLTOMA_FUSE_MKDIR
        | msg::CLTOMA_FUSE_UNLINK
        | msg::CLTOMA_FUSE_RMDIR
        | msg::CLTOMA_FUSE_RENAME
        | msg::CLTOMA_FUSE_LINK
        | msg::CLTOMA_FUSE_READDIR
        | msg::CLTOMA_FUSE_OPEN
        | msg::CLTOMA_FUSE_WRITE_CHUNK
        | msg::CLTOMA_FUSE_WRITE_CHUNK_END
        | msg::CLTOMA_FUSE_GETTRASH
        | msg::CLTOMA_FUSE_GETDETACHEDATTR
        | msg::CLTOMA_FUSE_GETTRASHPATH
        | msg::CLTOMA_FUSE_SETTRASHPATH
        | msg::CLTOMA_FUSE_UNDEL
        | msg::CLTOMA_FUSE_PURGE
        | msg::CLTOMA_FUSE_GETSUSTAINED
        | msg::CLTOMA_FUSE_GETXATTR
        | msg::CLTOMA_FUSE_SETXATTR
        | msg::CLTOMA_FUSE_CREATE
        | msg::CLTOMA_FUSE_PARENTS
        | msg::CLTOMA_FUSE_PATHS
        | msg::CLTOMA_FUSE_GETFACL
        | msg::CLTOMA_FUSE_SETFACL
        | msg::CLTOMA_FUSE_FLOCK
        | msg::CLTOMA_FUSE_POSIX_LOCK => MOUNT,

        msg::CLTOMA_FUSE_READ_CHUNK
        | msg::CLTOMA_FUSE_APPEND_SLICE
        | msg::CLTOMA_FUSE_CHECK
        | msg::CLTOMA_FUSE_GETTRASHTIME
        | msg::CLTOMA_FUSE_SETTRASHTIME
        | msg::CLTOMA_FUSE_GETSCLASS
        | msg::CLTOMA_FUSE_SETSCLASS
        | msg::CLTOMA_FUSE_GETDIRSTATS
        | msg::CLTOMA_FUSE_TRUNCATE
        | msg::CLTOMA_FUSE_REPAIR
        | msg::CLTOMA_FUSE_SNAPSHOT
        | msg::CLTOMA_FUSE_GETEATTR
        | msg::CLTOMA_FUSE_SETEATTR
        | msg::CLTOMA_FUSE_QUOTACONTROL
        | msg::CLTOMA_FUSE_ARCHCTL
        | msg::CLTOMA_SCLASS_CREATE
        | msg::CLTOMA_SCLASS_CHANGE
        | msg::CLTOMA_SCLASS_DELETE
        | msg::CLTOMA_SCLASS_DUPLICATE
        | msg::CLTOMA_SCLASS_RENAME
        | msg::CLTOMA_SCLASS_LIST => MOUNT | TOOLS,

        msg::CLTOMA_NODE_INFO => UNREGISTERED | MOUNT,

        _ if is_monitoring(message) => UNREGISTERED | MOUNT,
        _ => 0,
    }
}

/// Whether a connection in `state` may send `message`.
pub const fn allowed(message: u32, state: State) -> bool {
    let bit = match state {
        State::Unregistered => UNREGISTERED,
        State::Mount => MOUNT,
        State::Tools => TOOLS,
    };
    states(message) & bit != 0
}

/// Whether `message` is one of the monitoring requests that [`super::Request::Monitoring`] passes through. (NODE_INFO
/// is one by its number, but is decoded.)
pub const fn is_monitoring(message: u32) -> bool {
    matches!(
        message,
        msg::CLTOMA_CSERV_LIST
            | msg::CLTOAN_MONOTONIC_DATA
            | msg::CLTOAN_CHART
            | msg::CLTOAN_CHART_DATA
            | msg::CLTOMA_SESSION_LIST
            | msg::CLTOMA_INFO
            | msg::CLTOMA_FSTEST_INFO
            | msg::CLTOMA_CHUNKSTEST_INFO
            | msg::CLTOMA_CHUNKS_MATRIX
            | msg::CLTOMA_QUOTA_INFO
            | msg::CLTOMA_EXPORTS_INFO
            | msg::CLTOMA_MLOG_LIST
            | msg::CLTOMA_CSSERV_COMMAND
            | msg::CLTOMA_SESSION_COMMAND
            | msg::CLTOMA_MEMORY_INFO
            | msg::CLTOAN_MODULE_INFO
            | msg::CLTOMA_LIST_OPEN_FILES
            | msg::CLTOMA_LIST_ACQUIRED_LOCKS
            | msg::CLTOMA_MASS_RESOLVE_PATHS
            | msg::CLTOMA_SCLASS_INFO
            | msg::CLTOMA_MISSING_CHUNKS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of spec 04 §13, as it is printed there.
    fn table(message: u32) -> (bool, bool, bool) {
        match message {
            0 | 1 | 2 | 10 | 80 | 400 => (true, true, true),
            499 | 700 | 701 | 704 => (false, true, false),
            432 | 438 | 440 | 442 | 444 | 446 | 448 | 462 | 464 | 466 | 468 | 472 | 474 | 476
            | 496 => (false, true, true),
            350..=360 if message.is_multiple_of(2) => (false, true, true),
            402..=430 | 434 | 436 | 450..=460 | 470 | 478..=494 if message.is_multiple_of(2) => {
                (false, true, false)
            }
            500..=536 | 542..=546 if message.is_multiple_of(2) => (true, true, false),
            _ => (false, false, false),
        }
    }

    #[test]
    fn matrix() {
        for message in 0..1000 {
            let got = (
                allowed(message, State::Unregistered),
                allowed(message, State::Mount),
                allowed(message, State::Tools),
            );
            assert_eq!(got, table(message), "message {message}");
        }
    }
}
