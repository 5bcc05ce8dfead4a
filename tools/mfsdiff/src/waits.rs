//! Requests for POSIX locks that wait, as far as they can be told from outside.

use mfs_proto::client::lock::{PosixLock, posix_cmd};

/// A request that waits.
#[derive(Debug, Clone, Copy)]
struct Wait {
    mid: u32,
    session: u32,
    inode: u32,
    reqid: u32,
}

/// The requests that wait.
#[derive(Debug, Default)]
pub(crate) struct PosixWaits(Vec<Wait>);

impl PosixWaits {
    /// Whether a request may have to wait.
    pub(crate) fn may_wait(cmd: u8) -> bool {
        !matches!(cmd, posix_cmd::GET | posix_cmd::TRY | posix_cmd::INTERRUPT)
    }

    /// A request was not answered at once.
    pub(crate) fn add(&mut self, session: u32, r: &PosixLock) {
        self.0.push(Wait {
            mid: r.mid,
            session,
            inode: r.inode,
            reqid: r.reqid,
        });
    }

    /// The answer to a message came late.
    pub(crate) fn answered(&mut self, mid: u32) {
        self.0.retain(|wait| wait.mid != mid);
    }

    /// A session has told what it has open: what waits for anything else vanishes without an answer (spec 07
    /// §7.12.3).
    pub(crate) fn opened(&mut self, session: u32, inodes: &[u32]) {
        self.0
            .retain(|wait| wait.session != session || inodes.contains(&wait.inode));
    }

    /// Whether a request waits that an interrupt of this one would mean too.
    pub(crate) fn has(&self, session: u32, r: &PosixLock) -> bool {
        self.0
            .iter()
            .any(|wait| (wait.session, wait.inode, wait.reqid) == (session, r.inode, r.reqid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(mid: u32, inode: u32, reqid: u32) -> PosixLock {
        PosixLock {
            mid,
            inode,
            reqid,
            owner: 1,
            pid: 1,
            cmd: posix_cmd::SET,
            kind: 2,
            start: 0,
            end: 1,
        }
    }

    #[test]
    fn a_request_waits_until_its_answer_or_until_the_file_is_closed() {
        let mut waits = PosixWaits::default();
        let (first, second) = (request(10, 3, 5), request(11, 4, 5));
        waits.add(1, &first);
        waits.add(1, &second);
        // Another session, and another request id, are other requests.
        assert!(!waits.has(2, &first) && !waits.has(1, &request(12, 3, 6)));
        waits.answered(10);
        assert!(!waits.has(1, &first) && waits.has(1, &second));
        waits.opened(2, &[]);
        waits.opened(1, &[4]);
        assert!(waits.has(1, &second));
        waits.opened(1, &[3]);
        assert!(!waits.has(1, &second));
    }
}
