//! A bound for the lines of the log that single clients and chunkservers cause: one that connects and fails again and
//! again must not fill the disk, nor hide what others do. What is left out is counted, and the count is logged.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines about one address in a [`WINDOW`].
const LINES: u32 = 20;

/// Time after which an address begins anew.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses with an account of their own; all others share one.
const ADDRESSES: usize = 1024;

/// The account that others share.
const OTHERS: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

struct Account {
    since: Instant,
    lines: u32,
    left_out: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Complaints {
    accounts: Mutex<HashMap<Ipv4Addr, Account>>,
}

/// Lines that were not written.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    peer: Ipv4Addr,
    lines: u64,
}

impl Complaints {
    /// Whether a line about this address is to be written. If not, it is counted.
    pub(crate) fn admit(&self, peer: Ipv4Addr) -> bool {
        self.admit_at(peer, Instant::now())
    }

    fn admit_at(&self, peer: Ipv4Addr, now: Instant) -> bool {
        let mut accounts = self.accounts.lock();
        let known = accounts.len() < ADDRESSES || accounts.contains_key(&peer);
        let peer = if known { peer } else { OTHERS };
        let account = accounts.entry(peer).or_insert(Account {
            since: now,
            lines: 0,
            left_out: 0,
        });
        let admitted = account.lines < LINES;
        if admitted {
            account.lines += 1;
        } else {
            account.left_out += 1;
        }
        admitted
    }

    /// Logs what was left out lately. To be called about once a second.
    pub(super) fn sweep(&self) {
        for LeftOut { peer, lines } in self.sweep_at(Instant::now()) {
            if peer == OTHERS {
                tracing::warn!(lines, "lines about many more addresses were left out");
            } else {
                tracing::warn!(%peer, lines, "more lines about this address were left out");
            }
        }
    }

    fn sweep_at(&self, now: Instant) -> Vec<LeftOut> {
        let mut found = Vec::new();
        self.accounts.lock().retain(|&peer, account| {
            let over = now.duration_since(account.since) >= WINDOW;
            if over && account.left_out > 0 {
                let lines = account.left_out;
                found.push(LeftOut { peer, lines });
            }
            !over
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Ipv4Addr {
        Ipv4Addr::from(0x0A00_0000 + n)
    }

    #[test]
    fn a_noisy_client_is_counted_and_begins_anew() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let admitted = |now| {
            (0..100)
                .filter(|_| complaints.admit_at(address(1), now))
                .count()
        };
        assert_eq!(admitted(start), LINES as usize);
        assert!(complaints.admit_at(address(2), start), "others are heard");
        assert_eq!(complaints.sweep_at(start + WINDOW / 2), []);
        assert_eq!(
            complaints.sweep_at(start + WINDOW),
            [LeftOut {
                peer: address(1),
                lines: 100 - u64::from(LINES)
            }]
        );
        assert_eq!(complaints.sweep_at(start + 2 * WINDOW), []);
        assert_eq!(admitted(start + 2 * WINDOW), LINES as usize);
    }

    #[test]
    fn many_clients_share_an_account() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let clients = 0..ADDRESSES as u32 + 500;
        let admitted = clients
            .filter(|&n| complaints.admit_at(address(n), start))
            .count();
        assert_eq!(admitted, ADDRESSES + LINES as usize);
        assert_eq!(complaints.accounts.lock().len(), ADDRESSES + 1);
        assert_eq!(
            complaints.sweep_at(start + WINDOW),
            [LeftOut {
                peer: OTHERS,
                lines: 500 - u64::from(LINES)
            }]
        );
    }
}
