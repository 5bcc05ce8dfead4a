//! The clients: one slot for each, with an address of its own, so that each has its own line of exports.

use mfs_proto::Version;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// What a slot is to the masters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A mount of a path, registered at its first request.
    Mount(&'static str),
    /// A mount of the trash.
    Meta,
    /// A tool with the session of another slot.
    Tools(usize),
    /// Another connection of a mount, with the session of another slot.
    Second(usize),
    /// Not registered.
    Stranger,
}

/// A client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) role: Role,
    /// Options of its line of exports.
    exports: &'static str,
    pub(crate) version: Version,
    /// Share of the requests.
    pub(crate) weight: u32,
}

impl Slot {
    pub(crate) fn is_meta(&self) -> bool {
        self.role == Role::Meta
    }

    /// Its session is read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.exports.starts_with("ro")
    }

    /// Its session maps all users.
    pub(crate) fn maps_all(&self) -> bool {
        self.exports.contains("mapall=")
    }

    /// Its session is read-only, or WRITE is disabled for it.
    pub(crate) fn writes_nothing(&self) -> bool {
        self.is_read_only() || self.exports.contains(":write:")
    }

    /// Some operations are disabled for it.
    pub(crate) fn disables(&self) -> bool {
        self.exports.contains("disable=")
    }
}

const fn slot(role: Role, exports: &'static str, version: Version, weight: u32) -> Slot {
    Slot {
        role,
        exports,
        version,
        weight,
    }
}

/// The directory of the root that the subfolder mount has as its root.
pub(crate) const SUBFOLDER: &str = "sub";

/// The slot that asks on behalf of the runner; nothing is done to its session.
pub(crate) const ADMIN: usize = 0;

/// The mount of the subfolder.
pub(crate) const SUB: usize = 2;

/// The slot without a registration.
pub(crate) const STRANGER: usize = 14;

/// A session that may be taken up from any address.
pub(crate) const ROAMING: usize = 6;

/// All clients. Versions are those at which answers have another layout (spec 04 §3).
pub(crate) const SLOTS: [Slot; 16] = [
    slot(
        Role::Mount("/"),
        "rw,admin,maproot=0:0",
        Version::MASTER,
        30,
    ),
    slot(
        Role::Mount("/"),
        "rw,admin,maproot=0:0",
        Version::MASTER,
        14,
    ),
    slot(
        Role::Mount("/sub"),
        "rw,alldirs,admin,maproot=0:0",
        Version::MASTER,
        8,
    ),
    slot(Role::Mount("/"), "rw,maproot=1000:100", Version::MASTER, 4),
    slot(Role::Mount("/"), "ro,maproot=0:0", Version::MASTER, 3),
    slot(
        Role::Mount("/"),
        "rw,mapall=1001:101,maproot=0:0",
        Version::MASTER,
        4,
    ),
    slot(
        Role::Mount("/"),
        "rw,dynamicip,ignoregid,maproot=0:0,mingoal=2,maxgoal=4,mintrashtime=1h,maxtrashtime=2d,umask=0027",
        Version::MASTER,
        5,
    ),
    slot(
        Role::Mount("/"),
        "rw,admin,maproot=0:0,disable=chown:symlink:mkdev:mkdir:rmdir:move:create:read:truncate:appendchunks:settrash:seteattr:setfacl",
        Version::MASTER,
        3,
    ),
    slot(
        Role::Mount("/"),
        "rw,admin,maproot=0:0,disable=chmod:mkfifo:mksock:unlink:rename:link:readdir:write:setlength:snapshot:setsclass:setxattr",
        Version::MASTER,
        3,
    ),
    slot(Role::Meta, "rw", Version::MASTER, 6),
    slot(Role::Meta, "ro", Version::MASTER, 1),
    slot(Role::Tools(0), "", Version::MASTER, 5),
    slot(
        Role::Mount("/"),
        "rw,admin,maproot=0:0",
        Version::new(3, 0, 92),
        3,
    ),
    slot(
        Role::Mount("/"),
        "rw,admin,maproot=0:0",
        Version::new(3, 0, 45),
        3,
    ),
    slot(
        Role::Stranger,
        "rw,alldirs,maproot=0:0,password=open",
        Version::MASTER,
        2,
    ),
    slot(Role::Second(1), "", Version::MASTER, 4),
];

/// The address that a slot connects from: that of the slot whose session it uses.
pub(crate) fn address(slot: usize) -> Ipv4Addr {
    let owner = match SLOTS[slot].role {
        Role::Tools(of) | Role::Second(of) => of,
        _ => slot,
    };
    Ipv4Addr::new(127, 0, 1, 1 + owner as u8)
}

/// The text of `mfsexports.cfg`.
pub(crate) fn exports() -> String {
    let mut text = String::new();
    for (number, slot) in SLOTS.iter().enumerate() {
        let address = address(number);
        let path = match slot.role {
            Role::Mount(path) => path,
            Role::Stranger => "/",
            Role::Meta => ".",
            Role::Tools(_) | Role::Second(_) => continue,
        };
        let _ = writeln!(text, "{address} {path} {}", slot.exports);
    }
    text
}
