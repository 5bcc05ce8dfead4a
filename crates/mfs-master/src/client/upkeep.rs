//! Session upkeep and questions about the master itself (spec 04 §2.7, §7.1).

use std::time::{SystemTime, UNIX_EPOCH};

use mfs_config::{AccessTimeMode, MasterConfig};
use mfs_meta::op::Op;
use mfs_meta::{Metadata, NodeInfo, Status};
use mfs_proto::Version;
use mfs_proto::client::Reply;
use mfs_proto::client::session::{
    Amtime, AmtimeInodes, ConfigReply, GetConfig, GetVersion, SustainedInodes, TimeSync,
    TimeSyncReply, VersionReply,
};
use mfs_proto::register::session_flags;

use super::rights;
use crate::context::Ctx;
use crate::live::locks;
use crate::master::Txn;

/// The version as text, in the form that clients know from the master that this one replaces.
pub(crate) const VERSION_TEXT: &[u8] = b"3.0.117-1";

/// Seconds after which a relative access time is renewed in any case.
const RELATIVE_MAX: u32 = 86_400;

/// Whether an access at `time` changes the access time of this object (spec 07 §7.5.4).
fn is_access_noted(mode: AccessTimeMode, node: &NodeInfo<'_>, time: u32) -> bool {
    let (old, mtime, ctime) = (node.atime(), node.mtime(), node.ctime());
    let relative = || {
        (old <= ctime && time >= ctime)
            || (old <= mtime && time >= mtime)
            // Times wrap: one of the last day that 32 bits can hold is taken as old (spec 07 §7.5.4).
            || old.wrapping_add(RELATIVE_MAX) < time
    };
    let is_file = node.kind().is_file_like();
    old != time
        && match mode {
            AccessTimeMode::Always => true,
            AccessTimeMode::AlwaysFiles => is_file,
            AccessTimeMode::Relative => relative(),
            AccessTimeMode::RelativeFiles => is_file && relative(),
            AccessTimeMode::Never => false,
        }
}

/// Whether reading an object now changes its access time.
pub(super) fn is_atime_due(ctx: &Ctx<'_>, node: &NodeInfo<'_>) -> bool {
    is_access_noted(ctx.master.config().atime_mode, node, ctx.now)
}

/// Notes that an object was read just now. Takes the state exclusively only if that changes something.
pub(super) fn touch_atime(ctx: &Ctx<'_>, inode: u32) {
    let mode = ctx.master.config().atime_mode;
    let due = ctx
        .read()
        .meta
        .node(inode)
        .is_some_and(|node| is_access_noted(mode, &node, ctx.now));
    if !due {
        return;
    }
    touch_atime_in(&mut ctx.begin(), mode, inode);
}

/// As [`touch_atime`], in an exclusive section.
pub(super) fn touch_atime_in(txn: &mut Txn<'_>, mode: AccessTimeMode, inode: u32) {
    let now = txn.now();
    let node = txn.meta().node(inode);
    if node.is_some_and(|node| is_access_noted(mode, &node, now))
        && let Err(status) = txn.apply(&Op::Access { inode })
    {
        tracing::error!(inode, %status, "access time can't be set");
    }
}

/// AMTIME_INODES 701: times that a client reports of files which it has read or written. They only go forward. A meta
/// session reports in vain of what has a name.
pub(super) fn amtime(ctx: &Ctx<'_>, r: &AmtimeInodes<'_>) -> Result<(), Status> {
    let config = ctx.master.config();
    let times = Times {
        config: &config,
        root: ctx.conn.params.root_inode,
        read_only: ctx.conn.params.flags & session_flags::READ_ONLY != 0,
    };
    let is_news = {
        // Clients report everything twice.
        let state = ctx.read();
        r.inodes
            .iter()
            .any(|item| times.changed(&state.meta, &item).is_some())
    };
    if !is_news {
        return Ok(());
    }
    let mut txn = ctx.begin();
    for item in &r.inodes {
        if let Some(op) = times.changed(txn.meta(), &item) {
            txn.apply(&op)?;
        }
    }
    Ok(())
}

struct Times<'a> {
    config: &'a MasterConfig,
    root: u32,
    read_only: bool,
}

impl Times<'_> {
    /// The line for what a client reports, if it changes anything.
    fn changed(&self, meta: &Metadata, item: &Amtime) -> Option<Op<'static>> {
        let node = rights::find_opened(meta, self.root, item.inode).ok()?;
        let mode = match self.config.atime_mode {
            // What is reported is the reading of a file.
            AccessTimeMode::AlwaysFiles => AccessTimeMode::Always,
            AccessTimeMode::RelativeFiles => AccessTimeMode::Relative,
            mode => mode,
        };
        let atime = if item.atime > node.atime() && is_access_noted(mode, &node, item.atime) {
            item.atime
        } else {
            node.atime()
        };
        // Whoever may not write has nothing to report about it.
        let (mtime, ctime) = if item.mtime > node.mtime() && !self.read_only {
            (item.mtime, item.mtime)
        } else {
            (node.mtime(), node.ctime())
        };
        ((atime, mtime, ctime) != (node.atime(), node.mtime(), node.ctime())).then_some(
            Op::AmTime {
                inode: node.inode,
                atime,
                mtime,
                ctime,
            },
        )
    }
}

/// SUSTAINED_INODES 700: everything that the session holds open. What is missing was closed, what is new is
/// recorded.
pub(super) fn sustained(ctx: &Ctx<'_>, r: &SustainedInodes<'_>) -> Result<(), Status> {
    let session = ctx.session().id;
    let root = ctx.conn.params.root_inode;
    let mut held: Vec<u32> = r
        .inodes
        .iter()
        .filter(|&inode| inode != 0)
        .map(|inode| rights::meant(root, inode))
        .collect();
    held.sort_unstable();
    held.dedup();
    let closed = |meta: &Metadata| -> Vec<u32> {
        meta.opens_of(session)
            .filter(|inode| held.binary_search(inode).is_err())
            .collect()
    };
    let opened = |meta: &Metadata| -> Vec<u32> {
        held.iter()
            .copied()
            .filter(|&inode| !meta.is_open_by(session, inode))
            .collect()
    };
    {
        let state = ctx.read();
        if closed(&state.meta).is_empty() && opened(&state.meta).is_empty() {
            return Ok(());
        }
    }
    let mut txn = ctx.begin();
    for inode in closed(txn.meta()) {
        locks::file_closed(&mut txn, session, inode)?;
    }
    for inode in opened(txn.meta()) {
        txn.apply(&Op::Acquire { session, inode })?;
    }
    Ok(())
}

/// TIME_SYNC 704.
pub(super) fn time_sync(_ctx: &Ctx<'_>, r: &TimeSync, out: &mut Vec<u8>) -> Result<(), Status> {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        });
    Reply::TimeSync(TimeSyncReply { micros }).encode(r.mid, Version::MASTER, out);
    Ok(())
}

/// GET_VERSION 10.
pub(super) fn version(ctx: &Ctx<'_>, r: &GetVersion, out: &mut Vec<u8>) -> Result<(), Status> {
    Reply::Version(VersionReply {
        version: Version::MASTER,
        text: VERSION_TEXT,
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}

/// GET_CONFIG 80. Anybody may ask, so secrets are not told.
pub(super) fn config(ctx: &Ctx<'_>, r: &GetConfig<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    let config = ctx.master.config();
    Reply::Config(ConfigReply {
        value: config.told(r.option).as_bytes(),
    })
    .encode(r.mid, ctx.version(), out);
    Ok(())
}
