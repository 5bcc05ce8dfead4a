//! The requests of the client port, one module for each family (spec 04 §7).
//!
//! A handler decodes nothing and sends nothing: it asks under shared access to the state or changes under
//! exclusive access, and appends its answer. An error is answered here, in one place; so is a success that is
//! nothing but a status.

mod ahead;
mod archive;
mod asker;
mod attr;
mod chunks;
mod info;
mod length;
mod lock;
mod lookup;
mod notify;
mod open;
mod property;
mod quota;
mod readdir;
mod remove;
mod rename;
mod repair;
mod rights;
mod sclass;
mod setattr;
mod share;
mod statfs;
mod trash;
mod tree;
mod upkeep;
mod waiting;
mod xattr;

use mfs_meta::Status;
use mfs_proto::client::{Request, status_reply};

pub(crate) use upkeep::VERSION_TEXT;

use crate::context::{Ctx, Handled};
use crate::live::locks::Verdict;

pub(crate) use ahead::{Needs, prefetch};
pub(crate) use waiting::Waiting;

/// Indexes of the operation counters of a session (spec 04 §14).
mod operation {
    pub(super) const STATFS: usize = 0;
    pub(super) const GETATTR: usize = 1;
    pub(super) const SETATTR: usize = 2;
    pub(super) const LOOKUP: usize = 3;
    pub(super) const MKDIR: usize = 4;
    pub(super) const RMDIR: usize = 5;
    pub(super) const SYMLINK: usize = 6;
    pub(super) const READLINK: usize = 7;
    pub(super) const MKNOD: usize = 8;
    pub(super) const UNLINK: usize = 9;
    pub(super) const RENAME: usize = 10;
    pub(super) const LINK: usize = 11;
    pub(super) const READDIR: usize = 12;
    pub(super) const OPEN: usize = 13;
    pub(super) const READ: usize = 14;
    pub(super) const WRITE: usize = 15;
}

/// What became of a request whose handler found nothing wrong.
enum Done {
    /// Its answer is in the output, or it has none.
    Answered,
    /// Its answer is status 0.
    Ok,
    /// Its answer comes later.
    Later,
    /// It ends the connection.
    Close(&'static str),
}

impl From<()> for Done {
    /// Handlers that return nothing have appended their answer.
    fn from((): ()) -> Done {
        Done::Answered
    }
}

impl From<Verdict> for Done {
    fn from(verdict: Verdict) -> Done {
        match verdict {
            Verdict::Done => Done::Ok,
            Verdict::Waits => Done::Later,
        }
    }
}

/// Executes a request and appends its answer to `out`.
pub fn handle(ctx: &mut Ctx<'_>, request: Request<'_>, out: &mut Vec<u8>) -> Handled {
    let ctx = &*ctx;
    let (message, mid) = (request.msg(), request.mid());
    match execute(ctx, &request, out) {
        Ok(Done::Answered) => Handled::Done,
        Ok(Done::Ok) => {
            status_reply(message + 1, mid, mfs_proto::Status::OK, out);
            Handled::Done
        }
        Ok(Done::Later) => Handled::Later,
        Ok(Done::Close(reason)) => Handled::Close(reason),
        Err(status) => {
            status_reply(message + 1, mid, mfs_proto::Status(status.code()), out);
            Handled::Done
        }
    }
}

fn execute(ctx: &Ctx<'_>, request: &Request<'_>, out: &mut Vec<u8>) -> Result<Done, Status> {
    use Request as Q;
    fn answered<T: Into<Done>>(result: Result<T, Status>) -> Result<Done, Status> {
        result.map(Into::into)
    }
    fn status(result: Result<(), Status>) -> Result<Done, Status> {
        result.map(|()| Done::Ok)
    }
    match request {
        Q::Lookup(r) => answered(lookup::lookup(ctx, r, out)),
        Q::Getattr(r) => answered(attr::getattr(ctx, r, out)),
        Q::Access(r) => status(attr::access(ctx, r)),
        Q::Readdir(r) => answered(readdir::readdir(ctx, r, out)),
        Q::Open(r) => answered(open::open(ctx, r, out)),
        Q::ReadChunk(r) => chunks::read(ctx, r, out),
        Q::WriteChunk(r) => chunks::write(ctx, r, out),
        Q::WriteChunkEnd(r) => status(chunks::write_end(ctx, r)),
        Q::Create(r) => answered(open::create(ctx, r, out)),
        Q::Truncate(r) => length::truncate(ctx, r, out),
        Q::Setattr(r) => answered(setattr::setattr(ctx, r, out)),
        Q::Unlink(r) => answered(remove::unlink(ctx, r, out)),
        Q::Rmdir(r) => answered(remove::rmdir(ctx, r, out)),
        Q::Rename(r) => answered(rename::rename(ctx, r, out)),
        Q::Link(r) => answered(tree::link(ctx, r, out)),
        Q::Mkdir(r) => answered(tree::mkdir(ctx, r, out)),
        Q::Mknod(r) => answered(tree::mknod(ctx, r, out)),
        Q::Symlink(r) => answered(tree::symlink(ctx, r, out)),
        Q::Readlink(r) => answered(tree::readlink(ctx, r, out)),
        Q::Statfs(r) => answered(statfs::statfs(ctx, r, out)),
        Q::AmtimeInodes(r) => answered(upkeep::amtime(ctx, r)),
        Q::SustainedInodes(r) => answered(upkeep::sustained(ctx, r)),
        Q::TimeSync(r) => answered(upkeep::time_sync(ctx, r, out)),
        Q::GetVersion(r) => answered(upkeep::version(ctx, r, out)),
        Q::GetConfig(r) => answered(upkeep::config(ctx, r, out)),
        Q::Flock(r) => answered(lock::flock(ctx, r)),
        Q::PosixLock(r) => lock::posix(ctx, r, out),
        Q::Getxattr(r) => answered(xattr::get(ctx, r, out)),
        Q::Setxattr(r) => status(xattr::set(ctx, r)),
        Q::Getfacl(r) => answered(xattr::get_acl(ctx, r, out)),
        Q::Setfacl(r) => status(xattr::set_acl(ctx, r)),
        Q::AppendSlice(r) => status(share::append(ctx, r)),
        Q::Snapshot(r) => status(share::snapshot(ctx, r)),
        Q::Repair(r) => answered(repair::repair(ctx, r, out)),
        Q::Check(r) => answered(repair::check(ctx, r, out)),
        Q::Getdirstats(r) => answered(info::dirstats(ctx, r, out)),
        Q::Parents(r) => answered(info::parents(ctx, r, out)),
        Q::Paths(r) => answered(info::paths(ctx, r, out)),
        Q::NodeInfo(r) => answered(info::node(ctx, r, out)),
        Q::Gettrashtime(r) => answered(property::get_trashtime(ctx, r, out)),
        Q::Settrashtime(r) => answered(property::set_trashtime(ctx, r, out)),
        Q::Geteattr(r) => answered(property::get_eattr(ctx, r, out)),
        Q::Seteattr(r) => answered(property::set_eattr(ctx, r, out)),
        Q::Getsclass(r) => answered(sclass::get(ctx, r, out)),
        Q::Setsclass(r) => sclass::set(ctx, r, out),
        Q::SclassCreate(r) => status(sclass::admin::create(ctx, r)),
        Q::SclassChange(r) => answered(sclass::admin::change(ctx, r, out)),
        Q::SclassDelete(r) => status(sclass::admin::delete(ctx, r)),
        Q::SclassDuplicate(r) => status(sclass::admin::duplicate(ctx, r)),
        Q::SclassRename(r) => status(sclass::admin::rename(ctx, r)),
        Q::SclassList(r) => answered(sclass::admin::list(ctx, r, out)),
        Q::Archctl(r) => answered(archive::archive(ctx, r, out)),
        Q::QuotaControl(r) => answered(quota::control(ctx, r, out)),
        Q::Gettrash(r) => answered(trash::list(ctx, r, out)),
        Q::Getsustained(r) => answered(trash::list_sustained(ctx, r, out)),
        Q::GetDetachedAttr(r) => answered(trash::attr(ctx, r, out)),
        Q::Gettrashpath(r) => answered(trash::path(ctx, r, out)),
        Q::Settrashpath(r) => status(trash::set_path(ctx, r)),
        Q::Undel(r) => status(trash::undelete(ctx, r)),
        Q::Purge(r) => status(trash::purge(ctx, r)),
        Q::Ignored(_) => Ok(Done::Answered),
        Q::Register(_) => Ok(Done::Close("registration among requests")),
        Q::Monitoring(_) => Ok(Done::Close("monitoring is not served on this port")),
    }
}
