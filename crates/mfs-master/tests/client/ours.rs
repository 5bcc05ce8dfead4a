//! Where we do not follow the original: it crashes, corrupts its memory or its files, or writes lines that it cannot
//! replay (spec README, spec 03 §9.2, spec 07 §7.17).

use mfs_proto::client::lock::{Flock, PosixLock, PosixLockReply, flock_cmd, posix_cmd, posix_type};
use mfs_proto::client::property::{ClassRef, Setsclass, smode};
use mfs_proto::client::quota::{QuotaControl, QuotaLimits, QuotaValues, qflags};
use mfs_proto::client::{
    Answer, Cred, InodeRequest, Reply, Request, attr, data, info, property, sclass, session, tree,
    xattr,
};
use mfs_proto::wire::List;
use mfs_proto::{Status, Version};

use crate::server::{Client, Got, TestServer};

const ROOT: Cred<'static> = Cred {
    uid: 0,
    gids: NO_GIDS,
};

/// The groups of the superuser.
const NO_GIDS: mfs_proto::client::Gids<'static> = mfs_proto::client::Gids::of(&[0]);
