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
    let inode = {
        let state = ctx.read();
        let meta = &state.meta;
        let dir = rights::find_dir(meta, params.root_inode, r.inode)?;
        if page.nedgeid == 0 {
            user.need(meta, dir.inode, if r.with_attr() { RX } else { R })?;
        }
        let listing = Listing {
            meta,
            params,
            dir,
            viewer: r.with_attr().then(|| Viewer::from(&user)),
        };
        listing.write(r, page, ctx.version(), out)?;
        dir.inode
    };
    upkeep::touch_atime(ctx, inode);
    Ok(())
}

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
        let mut frame = ListFrame::begin(&head, r.mid, version, out);
        let mut most = page.maxentries;
        for entry in self.entries(page.nedgeid) {
            if most == 0 {
                break;
            }
            most -= 1;
            if frame.len() + ENTRY_BYTES + entry.name.len() >= LISTING_MAX {
                frame.abandon();
                return Err(Status::Erange);
            }
            frame.push(&entry);
        }
        frame.finish();
        Ok(())
    }

    /// The entries from a position on: `.`, `..`, then the children, newest first.
    fn entries(&self, position: u64) -> impl Iterator<Item = DirEntry<'m>> + '_ {
        let root = self.params.root_inode;
        let here = self.dir.inode;
        let above = if here == root || here == ROOT {
            here
        } else {
            self.dir.parent()
        };
        let own = (position == 0).then_some((&b"."[..], here));
        let parent = (position <= PARENT_POSITION).then_some((&b".."[..], above));
        let dots = own.into_iter().chain(parent).filter_map(move |(name, inode)| {
            Some(DirEntry {
                name,
                inode: rights::shown(root, inode),
                info: self.info(&self.meta.node(inode)?),
            })
        });
        let children = self
            .meta
            .children(here)
            .skip_while(move |child| child.id < position)
            .filter_map(|child| {
                Some(DirEntry {
                    name: child.name,
                    inode: child.inode,
                    info: self.info(&self.meta.node(child.inode)?),
                })
            });
        dots.chain(children)
    }

    fn info(&self, node: &NodeInfo<'_>) -> EntryInfo {
        match &self.viewer {
            Some(viewer) => {
                EntryInfo::Attr(attr::record(self.meta, viewer, node, self.dir.eattr()))
            }
            None => EntryInfo::Type(attr::file_type(node.kind())),
        }
    }
}
