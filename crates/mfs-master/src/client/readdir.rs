//! READDIR (spec 04 §7.5): written entry by entry while the directory is walked.

use mfs_meta::records::SessionParams;
use mfs_meta::{Metadata, NodeInfo, R, ROOT, Status};
use mfs_proto::Version;
use mfs_proto::client::tree::{DirEntry, EntryInfo, Readdir, ReaddirPage, ReaddirReply};
use mfs_proto::client::{ListFrame, Reply};
use mfs_proto::register::disables;
use mfs_proto::wire::List;

use super::attr::{self, Viewer};
use super::rights::{self, RX, User};
use super::{operation, upkeep};
use crate::context::Ctx;

/// Longest listing, bytes (spec 04 §7.5).
const LISTING_MAX: usize = 0xFFFF_0000;

/// Bytes reserved for an entry without its name: length, inode and attributes.
const ENTRY_BYTES: usize = 1 + 4 + 36;

/// What an old request without a page means: everything.
const WHOLE: ReaddirPage = ReaddirPage {
    maxentries: u32::MAX,
    nedgeid: 0,
};

/// Position of `..` in a listing.
const PARENT_POSITION: u64 = 1;

/// READDIR 428.
pub(super) fn readdir(ctx: &Ctx<'_>, r: &Readdir<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    ctx.count(operation::READDIR);
    let params = &ctx.conn.params;
    rights::enabled(params, disables::READDIR)?;
    let user = User::new(params, &r.cred);
    let page = r.page.unwrap_or(WHOLE);
    let mut state = ctx.read();
    let mut dir = may_list(&state.meta, params, &user, r, page)?;
    if upkeep::is_atime_due(ctx, &dir) {
        // The listing shows the new time.
        let inode = dir.inode;
        drop(state);
        upkeep::touch_atime(ctx, inode);
        state = ctx.read();
        dir = may_list(&state.meta, params, &user, r, page)?;
    }
    let listing = Listing {
        meta: &state.meta,
        params,
        dir,
        viewer: r.with_attr().then(|| Viewer::from(&user)),
    };
    listing.write(r, page, ctx.version(), out)
}

/// The directory, if the caller may list it.
fn may_list<'m>(
    meta: &'m Metadata,
    params: &SessionParams,
    user: &User,
    r: &Readdir<'_>,
    page: ReaddirPage,
) -> Result<NodeInfo<'m>, Status> {
    let dir = rights::find_dir(meta, params.root_inode, r.inode)?;
    if page.nedgeid == 0 {
        user.need(meta, dir.inode, if r.with_attr() { RX } else { R })?;
    }
    Ok(dir)
}

/// Why a listing ends before the last entry.
enum End {
    /// As many entries as were asked for.
    Full,
    /// The answer would be too long.
    TooLong,
}

/// The answer.
type Frame<'b, 'm> = ListFrame<'b, 'm, Vec<u8>, DirEntry<'m>>;

struct Listing<'m> {
    meta: &'m Metadata,
    params: &'m SessionParams,
    dir: NodeInfo<'m>,
    /// Who sees the attributes, if they are asked for.
    viewer: Option<Viewer>,
}

impl<'m> Listing<'m> {
    fn write(
        &self,
        r: &Readdir<'_>,
        page: ReaddirPage,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        let head = Reply::Readdir(ReaddirReply {
            nedgeid: r.page.map(|page| page.nedgeid),
            entries: List::EMPTY,
        });
        out.reserve(self.likely_bytes(&page));
        let mut frame = ListFrame::begin(&head, r.mid, version, out);
        let mut most = page.maxentries;
        let listed = self
            .dots(page.nedgeid, &mut frame, &mut most)
            .and_then(|()| {
                self.meta
                    .visit_children(self.dir.inode, page.nedgeid, |child, node| {
                        self.add(child.name, &node, &mut frame, &mut most)
                    })
            });
        if let Err(End::TooLong) = listed {
            frame.abandon();
            return Err(Status::Erange);
        }
        frame.finish();
        Ok(())
    }

    /// Room for the listing, so that it is not moved while it grows; a guess.
    fn likely_bytes(&self, page: &ReaddirPage) -> usize {
        const NAME: usize = 20;
        const MOST: usize = 1 << 20;
        let entries = self.dir.entries().saturating_add(2).min(page.maxentries);
        (entries as usize * (ENTRY_BYTES + NAME)).min(MOST)
    }

    /// `.` and `..`, as far as the position wants them.
    fn dots(&self, position: u64, frame: &mut Frame<'_, 'm>, most: &mut u32) -> Result<(), End> {
        let here = self.dir.inode;
        if position == 0 {
            self.add(b".", &self.dir, frame, most)?;
        }
        if position <= PARENT_POSITION {
            let top = here == self.params.root_inode || here == ROOT;
            let above = if top { here } else { self.dir.parent() };
            if let Some(node) = self.meta.node(above) {
                self.add(b"..", &node, frame, most)?;
            }
        }
        Ok(())
    }

    /// Appends an entry if there may be one more. Inlined, together with what it calls, the entry goes from the rows
    /// into the answer without a stop in memory, which halves the time of a listing.
    #[inline(always)]
    fn add(
        &self,
        name: &'m [u8],
        node: &NodeInfo<'m>,
        frame: &mut Frame<'_, 'm>,
        most: &mut u32,
    ) -> Result<(), End> {
        if *most == 0 {
            return Err(End::Full);
        }
        *most -= 1;
        if frame.len() + ENTRY_BYTES + name.len() >= LISTING_MAX {
            return Err(End::TooLong);
        }
        frame.push(&DirEntry {
            name,
            inode: rights::shown(self.params.root_inode, node.inode),
            info: self.info(node),
        });
        Ok(())
    }

    #[inline(always)]
    fn info(&self, node: &NodeInfo<'_>) -> EntryInfo {
        match &self.viewer {
            Some(viewer) => {
                EntryInfo::Attr(attr::record(self.meta, viewer, node, self.dir.eattr()))
            }
            None => EntryInfo::Type(attr::file_type(node.kind())),
        }
    }
}
