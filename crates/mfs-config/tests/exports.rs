//! Exports files against what a 3.0.117 master makes of them (see `data/README.md`).

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic like the tests"
)]

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use mfs_config::{
    Account, Accounts, Challenge, Digest, ExportRefusal, ExportRule, Exports, FileError,
    HostAccounts, MountRequest, MountTarget, SESSION_READ_ONLY, SessionParameters, password_answer,
};
use proptest::prelude::*;
use serde::Deserialize;

/// The accounts of the host of the recordings.
struct Recorded;

const USERS: [(&str, u32, u32); 3] = [("root", 0, 0), ("games", 5, 60), ("nobody", 65_534, 65_534)];

impl Accounts for Recorded {
    fn user(&self, name: &str) -> io::Result<Option<Account>> {
        Ok(USERS
            .iter()
            .find(|user| user.0 == name)
            .map(|user| Account {
                uid: user.1,
                gid: user.2,
            }))
    }
    fn user_of_id(&self, uid: u32) -> io::Result<Option<Account>> {
        Ok(USERS.iter().find(|user| user.1 == uid).map(|user| Account {
            uid: user.1,
            gid: user.2,
        }))
    }
    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        Ok([("root", 0), ("games", 60)]
            .iter()
            .find(|group| group.0 == name)
            .map(|group| group.1))
    }
}

/// A database that cannot be asked.
struct Broken;

impl Accounts for Broken {
    fn user(&self, _: &str) -> io::Result<Option<Account>> {
        Err(io::Error::other("no answer"))
    }
    fn user_of_id(&self, _: u32) -> io::Result<Option<Account>> {
        Err(io::Error::other("no answer"))
    }
    fn group(&self, _: &str) -> io::Result<Option<u32>> {
        Err(io::Error::other("no answer"))
    }
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

fn parse(text: &str) -> (Exports, Vec<String>) {
    let loaded = Exports::parse(&latin1(text), Path::new("mfsexports.cfg"), &Recorded);
    (
        loaded.value,
        loaded.warnings.iter().map(ToString::to_string).collect(),
    )
}

/// One rule in the order of the fields of EXPORTS_INFO.
type ListedRule = (
    u32,
    u32,
    String,
    u32,
    u8,
    u8,
    u16,
    u32,
    u32,
    u32,
    u32,
    u8,
    u8,
    u32,
    u32,
    u32,
);

#[derive(Deserialize)]
struct Listing {
    text: String,
    warned: Vec<u32>,
    rules: Vec<ListedRule>,
    checksum: u64,
}

/// Where this implementation is stricter than the original, or follows the manual instead of it.
enum Deviation {
    /// The line is refused.
    Refused,
    /// The rule is for every address.
    EveryAddress,
}

fn deviation(text: &str) -> Option<Deviation> {
    let refused = [
        "maproot=4294967296:1",
        "maproot=4294967297:1",
        "maproot=99999999999999999999:1",
        "maproot=1:4294967296",
        "minversion=4294967297",
        "trashtime=4294967296\n",
        "trashtime=4294967296s",
        "trashtime=49710d6h28m16s",
    ];
    if refused.iter().any(|option| text.contains(option))
        || text.lines().any(|line| line.len() > 9999)
    {
        Some(Deviation::Refused)
    } else if text.contains("/0 /") || text.contains("/00 /") {
        Some(Deviation::EveryAddress)
    } else {
        None
    }
}

fn listed(rule: &ExportRule) -> (u32, u32, Vec<u8>, u32, u8, SessionParameters) {
    (
        rule.addresses.first.into(),
        rule.addresses.last.into(),
        rule.shown_path(),
        rule.min_version,
        rule.listing_flags(),
        rule.session,
    )
}

#[test]
fn rules_warnings_and_checksums_are_those_of_the_real_master() {
    let listings: Vec<Listing> = serde_json::from_str(include_str!("data/exports.json")).unwrap();
    assert!(listings.len() > 600);
    let mut deviations = 0;
    for recorded in listings {
        let text = &recorded.text;
        let (exports, warnings) = parse(text);
        match deviation(text) {
            Some(deviation) => {
                deviations += 1;
                assert!(!warnings.is_empty(), "{text}");
                match deviation {
                    Deviation::Refused => assert_eq!(exports.rules(), [], "{text}"),
                    Deviation::EveryAddress => {
                        assert_eq!(
                            exports.rules()[0].addresses,
                            mfs_config::AddressRange::ALL,
                            "{text}"
                        );
                    }
                }
                continue;
            }
            None => {
                let expected: Vec<_> = recorded
                    .rules
                    .iter()
                    .map(|r| {
                        let session = SessionParameters {
                            flags: r.5,
                            umask: r.6,
                            root_uid: r.7,
                            root_gid: r.8,
                            mapall_uid: r.9,
                            mapall_gid: r.10,
                            min_goal: r.11,
                            max_goal: r.12,
                            min_trash_time: r.13,
                            max_trash_time: r.14,
                            disables: r.15,
                        };
                        (r.0, r.1, latin1(&r.2), r.3, r.4, session)
                    })
                    .collect();
                let rules: Vec<_> = exports.rules().iter().map(listed).collect();
                assert_eq!(rules, expected, "{text}\n{warnings:?}");
                assert_eq!(exports.checksum(), recorded.checksum, "{text}");
            }
        }
        for line in recorded.warned {
            let prefix = format!("mfsexports.cfg:{line}: ");
            assert!(
                warnings.iter().any(|warning| warning.starts_with(&prefix)),
                "{text} {warnings:?}"
            );
        }
    }
    assert_eq!(deviations, 20);
}

/// The checksum that sessions of many recorded changelogs carry.
#[test]
fn checksum_of_the_installed_sample_file() {
    let (exports, warnings) =
        parse("# all\n*\t\t\t/\trw,alldirs,admin,maproot=0:0\n\n*\t\t\t.\trw\n");
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(exports.checksum(), 18_432_386_147_808_961_246);
}

#[test]
fn order_of_the_rules_does_not_change_the_checksum() {
    let (one, _) = parse("* / rw\n10.0.0.0/8 /a ro,password=x\n* .\n");
    let (other, _) = parse("* .\n* / rw\n10.0.0.0/8 /a ro,password=x\n");
    assert_eq!(one.checksum(), other.checksum());
    assert_ne!(
        one.checksum(),
        parse("* / rw\n10.0.0.0/8 /a ro,password=y\n* .\n")
            .0
            .checksum()
    );
}

#[derive(Deserialize)]
struct Registrations {
    text: String,
    requests: Vec<Registration>,
}

#[derive(Deserialize)]
struct Registration {
    source: Ipv4Addr,
    version: u32,
    path: Option<String>,
    password: Option<String>,
    asked_challenge: bool,
    status: Option<u8>,
    granted: Option<HashMap<String, u32>>,
}

/// MD5 of the passwords that the recordings use, so that the test does not share code with the crate.
fn digest_of(password: &str) -> Digest {
    let hex = match password {
        "abc" => "900150983cd24fb0d6963f7d28e17f72",
        "xyz" => "d16fb36f0911f878998c136191af705e",
        "bad" => "bae60998ffe4923b131e3d6e4c19993e",
        other => panic!("{other}"),
    };
    std::array::from_fn(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
}

#[test]
fn the_chosen_rule_and_the_refusals_are_those_of_the_real_master() {
    let files: Vec<Registrations> =
        serde_json::from_str(include_str!("data/exports-matching.json")).unwrap();
    let mut granted = 0;
    let mut refused = 0;
    for file in files {
        let (exports, _) = parse(&file.text);
        for request in file.requests {
            let challenge: Challenge = std::array::from_fn(|index| 7 + index as u8);
            // The client of the recordings answered the zero challenge when it had not asked for one.
            let given = if request.asked_challenge {
                challenge
            } else {
                Challenge::default()
            };
            let answer = request
                .password
                .as_deref()
                .map(|password| password_answer(&given, &digest_of(password)));
            let result = exports.check(&MountRequest {
                peer: request.source,
                version: request.version,
                target: request.path.as_deref().map_or(MountTarget::Meta, |path| {
                    MountTarget::Directory(path.as_bytes())
                }),
                challenge: request.asked_challenge.then_some(&challenge),
                answer: answer.as_ref(),
            });
            let context = format!(
                "{}{:?} {:?} {:?}",
                file.text, request.source, request.path, request.password
            );
            match (result, request.status, request.granted) {
                (Err(ExportRefusal::Access), Some(4), _)
                | (Err(ExportRefusal::NoPassword), Some(36), _)
                | (Err(ExportRefusal::BadPassword), Some(37), _) => refused += 1,
                (Ok(_), Some(2 | 3 | 6), _) => {}
                (Ok(rule), None, Some(expected)) => {
                    granted += 1;
                    let session = rule.session_parameters();
                    for (field, value) in expected {
                        let ours = match field.as_str() {
                            "flags" => session.flags.into(),
                            "umask" => session.umask.into(),
                            "root_uid" => session.root_uid,
                            "root_gid" => session.root_gid,
                            "mapall_uid" => session.mapall_uid,
                            "mapall_gid" => session.mapall_gid,
                            "min_goal" => session.min_goal.into(),
                            "max_goal" => session.max_goal.into(),
                            "min_trash" => session.min_trash_time,
                            "max_trash" => session.max_trash_time,
                            "disables" => session.disables,
                            other => panic!("{other}"),
                        };
                        assert_eq!(ours, value, "{field}: {context}");
                    }
                }
                (result, status, _) => panic!("{result:?} {status:?} {context}"),
            }
        }
    }
    assert!(granted > 150 && refused > 700, "{granted} {refused}");
}

fn ask<'a>(exports: &'a Exports, peer: &str, path: &str) -> Result<&'a ExportRule, ExportRefusal> {
    exports.check(&MountRequest {
        peer: peer.parse().unwrap(),
        version: 0x03_00EA,
        target: MountTarget::Directory(path.as_bytes()),
        challenge: None,
        answer: None,
    })
}

#[test]
fn choice_depends_on_the_order_of_the_file() {
    let (exports, _) = parse("* / rw,maproot=1000:1000\n* / ro,maproot=0:0\n");
    let rule = ask(&exports, "10.0.0.1", "/").unwrap();
    assert_eq!(
        (
            rule.session.root_uid,
            rule.session.flags & SESSION_READ_ONLY
        ),
        (0, SESSION_READ_ONLY)
    );
    let (exports, _) = parse("* / ro,maproot=0:0\n* / rw,maproot=1000:1000\n");
    let rule = ask(&exports, "10.0.0.1", "/").unwrap();
    assert_eq!(
        (
            rule.session.root_uid,
            rule.session.flags & SESSION_READ_ONLY
        ),
        (1000, 0)
    );
}

#[test]
fn alldirs_ends_at_a_slash() {
    let (exports, _) = parse("* /exp alldirs\n");
    for path in ["/exp", "exp/", "/exp/a", "//exp/a/b//"] {
        assert!(ask(&exports, "10.0.0.1", path).is_ok(), "{path}");
    }
    for path in ["/", "", "/expx", "/ex", "/a/exp"] {
        assert_eq!(
            ask(&exports, "10.0.0.1", path),
            Err(ExportRefusal::Access),
            "{path}"
        );
    }
}

#[test]
fn a_minimum_version_is_compared_with_the_doubled_number_of_the_wire() {
    let version = |text: &str, version| {
        let (exports, _) = parse(&format!("* / minversion={text}\n"));
        let target = MountTarget::Directory(b"/");
        let request = MountRequest {
            peer: Ipv4Addr::LOCALHOST,
            version,
            target,
            challenge: None,
            answer: None,
        };
        exports.check(&request).is_ok()
    };
    assert!(version("3.0.118", 0x03_00EA));
    assert!(version("3.0.234", 0x03_00EA));
    assert!(!version("3.0.235", 0x03_00EA));
}

#[test]
fn warnings_name_file_and_line_and_keep_secrets() {
    let (exports, warnings) = parse(
        "* / rw,bogus\n10.0.0.300 / rw\n\n*\n* . alldirs,maproot=0\n* / md5pass=secret\n* / mapall=\n* / umask=00022\n\
         * / disable=chown:fly\n10.0.0.0/0 / ro\n* /\0a\n",
    );
    assert_eq!(
        warnings,
        [
            "mfsexports.cfg:1: unknown option 'bogus' (ignored)",
            "mfsexports.cfg:2: incorrect ip/network definition: '10.0.0.300' (line ignored)",
            "mfsexports.cfg:4: incomplete definition (line ignored)",
            "mfsexports.cfg:5: option 'alldirs' means nothing for the meta file system (ignored)",
            "mfsexports.cfg:5: option 'maproot=0' means nothing for the meta file system (ignored)",
            "mfsexports.cfg:6: md5pass: not 32 hexadecimal digits (line ignored)",
            "mfsexports.cfg:7: mapall: empty user or group taken as 0",
            "mfsexports.cfg:8: umask: text after '0002' ignored",
            "mfsexports.cfg:9: unknown disable command 'fly' (ignored)",
            "mfsexports.cfg:10: '10.0.0.0/0' means every address",
            "mfsexports.cfg:11: NUL byte (rest of line ignored)",
        ]
    );
    assert_eq!(exports.rules().len(), 7);
}

#[test]
fn a_failing_user_database_drops_only_the_lines_that_need_it() {
    let loaded = Exports::parse(
        b"* / maproot=games\n* /a maproot=5\n* /b maproot=5:x\n* /c maproot=5:6\n",
        Path::new("e"),
        &Broken,
    );
    assert_eq!(loaded.value.rules().len(), 1);
    let shown: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown[0],
        "e:1: maproot: can't look up 'games': no answer (line ignored)"
    );
    assert_eq!(shown.len(), 3);
}

#[test]
fn a_start_needs_rules_and_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mfsexports.cfg");
    assert!(matches!(
        Exports::load(&file, &HostAccounts),
        Err(FileError::NotFound(_))
    ));
    std::fs::write(&file, "# nothing\n* / umask=027\n").unwrap();
    let loaded = Exports::load(&file, &HostAccounts).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(
        loaded.value.require_rules().unwrap_err().to_string(),
        "no exports defined"
    );
    std::fs::write(&file, "* / maproot=root\n").unwrap();
    let loaded = Exports::load(&file, &HostAccounts).unwrap();
    assert_eq!(loaded.value.require_rules(), Ok(()));
    assert_eq!(loaded.value.rules()[0].session.root_uid, 0);
}

fn option() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("rw".to_owned()),
        Just("ro".to_owned()),
        Just("alldirs".to_owned()),
        Just("admin".to_owned()),
        "maproot=[0-9:a-z]{0,4}",
        "mapall=[0-9:]{0,4}",
        "(min|max)goal=[0-9]{1,2}",
        "(min|max)trashtime=[0-9wdhms]{0,5}",
        "umask=[0-9]{3,5}",
        "minversion=[0-9.]{0,6}",
        "password=[a-z]{0,3}",
        "disable=[a-z:]{0,8}",
        "[ -~]{0,8}",
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(text: Vec<u8>) {
        let loaded = Exports::parse(&text, Path::new("e"), &Recorded);
        let lines = text.split(|&byte| byte == b'\n').count();
        prop_assert!(loaded.value.rules().len() <= lines);
        let _ = loaded.value.checksum();
    }

    #[test]
    fn rules_keep_their_invariants(lines in prop::collection::vec(("(DEFAULTS|\\*|[0-9./-]{1,12})", "[ -~]{0,6}", prop::collection::vec(option(), 0..5)), 0..8)) {
        let text: String = lines.iter().map(|(address, path, options)| format!("{address} {path} {}\n", options.join(","))).collect();
        let (exports, _) = parse(&text);
        for rule in exports.rules() {
            prop_assert!(rule.session.min_goal <= rule.session.max_goal);
            prop_assert!((1..=9).contains(&rule.session.min_goal) && rule.session.max_goal <= 9);
            prop_assert!(rule.session.min_trash_time <= rule.session.max_trash_time);
            prop_assert!(rule.session.umask <= 0o777 && rule.session.disables < 1 << 25 && rule.min_version < 1 << 24);
        }
    }

    /// Whatever is chosen fits by itself, and a refusal means that nothing fits by itself.
    #[test]
    fn a_grant_is_one_that_its_rule_alone_would_give(rules in prop::collection::vec("(\\*|10\\.0\\.0\\.[0-3]) /(a|a/b|)( (rw|ro|alldirs|admin|maproot=0)(,(rw|alldirs|admin|password=x))?)?", 1..6), path in "/(a|a/b|ab|)") {
        let (exports, _) = parse(&rules.join("\n"));
        let alone = |line: &String| parse(line).0;
        match ask(&exports, "10.0.0.1", &path) {
            Ok(rule) => prop_assert!(rules.iter().any(|line| ask(&alone(line), "10.0.0.1", &path).as_ref() == Ok(&rule))),
            Err(refusal) => {
                prop_assert!(refusal != ExportRefusal::BadPassword);
                prop_assert!(rules.iter().all(|line| ask(&alone(line), "10.0.0.1", &path).is_err()));
            }
        }
    }
}
