//! `mfsexports.cfg`: parsed, condensed, and asked about clients at the ends of every rule.

#![no_main]

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use mfs_config::{
    Account, Accounts, ExportTarget, Exports, MountRequest, MountTarget, password_answer,
};

struct Known;

impl Accounts for Known {
    fn user(&self, name: &str) -> io::Result<Option<Account>> {
        match name {
            "root" => Ok(Some(Account { uid: 0, gid: 0 })),
            "games" => Ok(Some(Account { uid: 5, gid: 60 })),
            "broken" => Err(io::Error::other("broken")),
            _ => Ok(None),
        }
    }

    fn user_of_id(&self, uid: u32) -> io::Result<Option<Account>> {
        Ok((uid < 10).then(|| Account { uid, gid: uid + 1 }))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        Ok((name == "games").then_some(60))
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let loaded = Exports::parse(data, Path::new("/etc/mfs/mfsexports.cfg"), &Known);
    for warning in &loaded.warnings {
        let _ = warning.to_string();
    }
    let exports = loaded.value;
    let lines = data.split(|&b| b == b'\n').count();
    assert!(exports.rules().len() <= lines);
    let _ = exports.checksum();
    let challenge = [7; 32];
    for rule in exports.rules().iter().take(64) {
        let _ = (rule.shown_path(), rule.listing_flags());
        let parameters = rule.session_parameters();
        assert!(parameters.min_goal <= parameters.max_goal);
        assert!(parameters.min_trash_time <= parameters.max_trash_time);
        let (first, last) = (rule.addresses.first, rule.addresses.last);
        let answer = rule
            .password
            .map(|digest| password_answer(&challenge, &digest));
        let target = match &rule.target {
            ExportTarget::Meta => MountTarget::Meta,
            ExportTarget::Directory(path) => MountTarget::Directory(path),
        };
        for peer in [first, last, Ipv4Addr::UNSPECIFIED] {
            let request = MountRequest {
                peer,
                version: u32::MAX,
                target,
                challenge: Some(&challenge),
                answer: answer.as_ref(),
            };
            let found = exports.check(&request);
            // The rule lets in whom it is made for, or a better one does.
            if rule.addresses.contains(peer) && peer != Ipv4Addr::UNSPECIFIED {
                assert!(found.is_ok(), "{rule:?} {found:?}");
            }
        }
    }
});
