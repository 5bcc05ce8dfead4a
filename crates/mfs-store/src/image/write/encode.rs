//! The payloads of the sections (spec 02 §4–§16), divided into the write units of `metadata.crc` (§18).

use mfs_meta::records::{
    Acl, AclType, Header, ImageSource, LabelMasks, NodeData, NodeRecord, QuotaRecord,
    SESSION_COUNTERS, SclassRecord, SessionRecord,
};

use super::WriteError;
use super::output::Output;
use crate::image::bytes::put;
use crate::image::section::Section;
use mfs_meta::records::OR_GROUPS;

/// Fixed part of a session with its counters.
const SESSION: usize = 61 + 8 * SESSION_COUNTERS;
/// Free inodes in a write unit.
const FREE_UNIT: usize = 1024;
/// Named ACL entries in a write unit.
const ACL_UNIT: usize = 100;
/// Chunk ids in a write unit.
const IDS_UNIT: usize = 1 << 16;

/// Writes the payload of a section.
pub(super) fn section<S: ImageSource>(
    source: &S,
    header: &Header,
    section: Section,
    now: u32,
    out: &mut Output<'_>,
) -> Result<(), WriteError> {
    match section {
        Section::Sess => {
            out.unit_of(|block| {
                block.extend_from_slice(&header.next_session.to_be_bytes());
                block.extend_from_slice(&(SESSION_COUNTERS as u16).to_be_bytes());
            })?;
            source.sessions(&mut |session| put_session(out, session))?;
            out.unit(&[0; SESSION])
        }
        Section::Scla => {
            out.unit(&[OR_GROUPS as u8])?;
            source.sclasses(&mut |sclass| put_sclass(out, sclass))?;
            out.unit(&[0; 10])
        }
        Section::Node => {
            out.unit_of(|block| {
                block.extend_from_slice(&header.max_inode.to_be_bytes());
                block.extend_from_slice(&source.node_count().to_be_bytes());
            })?;
            source.nodes(|node| put_node(out, node))?;
            out.unit(&[0])
        }
        Section::Edge => {
            out.unit(&header.next_edge.to_be_bytes())?;
            source.edges(|edge| {
                let length = fit::<u16>(Section::Edge, "name", edge.name.len())?;
                let mut raw = [0; 18];
                put(&mut raw, 0, edge.parent.to_be_bytes());
                put(&mut raw, 4, edge.child.to_be_bytes());
                put(&mut raw, 8, edge.id.to_be_bytes());
                put(&mut raw, 16, length.to_be_bytes());
                out.unit_of(|block| {
                    block.extend_from_slice(&raw);
                    block.extend_from_slice(edge.name);
                })
            })?;
            out.unit(&[0; 18])
        }
        Section::Free => free_inodes(source, out),
        Section::Quot => {
            let mut count = Count::announce(Section::Quot, source.quota_count(), out)?;
            source.quotas(&mut |inode, quota| {
                count.given += 1;
                out.unit(&quota_record(inode, quota))
            })?;
            count.check()
        }
        Section::Xatr => {
            source.xattrs(&mut |inode, name, value| {
                let mut raw = [0; 9];
                put(&mut raw, 0, inode.to_be_bytes());
                put(
                    &mut raw,
                    4,
                    fit::<u8>(Section::Xatr, "name", name.len())?.to_be_bytes(),
                );
                put(
                    &mut raw,
                    5,
                    fit::<u32>(Section::Xatr, "value", value.len())?.to_be_bytes(),
                );
                out.unit(&raw)?;
                out.unit(name)?;
                out.unit(value)
            })?;
            out.unit(&[0; 9])
        }
        Section::Pacl => {
            source.acls(&mut |inode, kind, acl| put_acl(out, inode, kind, acl))?;
            out.unit(&[0; 17])
        }
        Section::Open => {
            source.opens(&mut |session, inode| {
                let mut raw = [0; 8];
                put(&mut raw, 0, session.to_be_bytes());
                put(&mut raw, 4, inode.to_be_bytes());
                out.unit(&raw)
            })?;
            out.unit(&[0; 8])
        }
        Section::Flck => {
            source.flocks(&mut |lock| {
                let mut raw = [0; 17];
                put(&mut raw, 0, lock.inode.to_be_bytes());
                put(&mut raw, 4, lock.owner.to_be_bytes());
                put(&mut raw, 12, lock.session.to_be_bytes());
                put(&mut raw, 16, [u8::from(lock.exclusive)]);
                out.unit(&raw)
            })?;
            out.unit(&[0; 17])
        }
        Section::Plck => {
            source.posix_locks(&mut |lock| {
                let mut raw = [0; 37];
                put(&mut raw, 0, lock.inode.to_be_bytes());
                put(&mut raw, 4, lock.owner.to_be_bytes());
                put(&mut raw, 12, lock.session.to_be_bytes());
                put(&mut raw, 16, lock.pid.to_be_bytes());
                put(&mut raw, 20, lock.start.to_be_bytes());
                put(&mut raw, 28, lock.end.to_be_bytes());
                put(&mut raw, 36, [lock.kind]);
                out.unit(&raw)
            })?;
            out.unit(&[0; 37])
        }
        Section::Csdb => {
            let mut count = Count::announce(Section::Csdb, source.chunkserver_count(), out)?;
            source.chunkservers(&mut |server| {
                count.given += 1;
                let mut raw = [0; 13];
                put(&mut raw, 0, server.ip.to_be_bytes());
                put(&mut raw, 4, server.port.to_be_bytes());
                put(&mut raw, 6, server.id.to_be_bytes());
                put(&mut raw, 8, [server.maintenance]);
                put(&mut raw, 9, server.maintenance_timeout.to_be_bytes());
                out.unit(&raw)
            })?;
            count.check()
        }
        Section::Chnk => {
            out.unit(&header.next_chunk.to_be_bytes())?;
            source.chunks(now, |chunk| {
                let mut raw = [0; 17];
                put(&mut raw, 0, chunk.id.to_be_bytes());
                put(&mut raw, 8, chunk.version.to_be_bytes());
                put(&mut raw, 12, chunk.locked_to.to_be_bytes());
                put(&mut raw, 16, [u8::from(chunk.archived)]);
                out.unit(&raw)
            })?;
            out.unit(&[0; 17])
        }
    }
}

/// A size as the integer type of its field.
fn fit<T: TryFrom<usize>>(
    section: Section,
    what: &'static str,
    size: usize,
) -> Result<T, WriteError> {
    T::try_from(size).map_err(|_| WriteError::TooLarge {
        section: section.name(),
        what,
        size,
    })
}

/// The head of a section that announces the number of its records.
struct Count {
    section: Section,
    promised: u32,
    given: u64,
}

impl Count {
    fn announce(
        section: Section,
        promised: u32,
        out: &mut Output<'_>,
    ) -> Result<Count, WriteError> {
        out.unit(&promised.to_be_bytes())?;
        Ok(Count {
            section,
            promised,
            given: 0,
        })
    }

    fn check(&self) -> Result<(), WriteError> {
        let (promised, given) = (u64::from(self.promised), self.given);
        if promised == given {
            return Ok(());
        }
        Err(WriteError::Count {
            section: self.section.name(),
            promised,
            given,
        })
    }
}

fn put_session(out: &mut Output<'_>, session: &SessionRecord) -> Result<(), WriteError> {
    let params = &session.params;
    let mut raw = [0; SESSION];
    put(&mut raw, 0, session.id.to_be_bytes());
    put(&mut raw, 4, params.exports_csum.to_be_bytes());
    put(
        &mut raw,
        12,
        fit::<u32>(Section::Sess, "info", params.info.len())?.to_be_bytes(),
    );
    put(&mut raw, 16, params.peer_ip.to_be_bytes());
    put(&mut raw, 20, params.root_inode.to_be_bytes());
    put(&mut raw, 24, [params.flags]);
    put(&mut raw, 25, params.umask.to_be_bytes());
    put(&mut raw, 27, [params.min_goal, params.max_goal]);
    put(&mut raw, 29, params.min_trashtime.to_be_bytes());
    put(&mut raw, 33, params.max_trashtime.to_be_bytes());
    put(&mut raw, 37, params.root_uid.to_be_bytes());
    put(&mut raw, 41, params.root_gid.to_be_bytes());
    put(&mut raw, 45, params.mapall_uid.to_be_bytes());
    put(&mut raw, 49, params.mapall_gid.to_be_bytes());
    put(&mut raw, 53, params.disables.to_be_bytes());
    put(&mut raw, 57, session.disconnected.to_be_bytes());
    for (i, counter) in session.stats.iter().chain(&session.last_stats).enumerate() {
        put(&mut raw, 61 + 4 * i, counter.to_be_bytes());
    }
    out.unit(&raw)?;
    out.unit(&params.info)
}

fn put_sclass(out: &mut Output<'_>, sclass: &SclassRecord) -> Result<(), WriteError> {
    let def = &sclass.def;
    let count = |set: &[LabelMasks]| fit::<u8>(Section::Scla, "label set", set.len());
    let mut raw = [0; 10];
    put(&mut raw, 0, sclass.id.to_be_bytes());
    put(
        &mut raw,
        2,
        [
            fit::<u8>(Section::Scla, "name", sclass.name.len())?,
            def.admin_only,
            def.mode,
        ],
    );
    put(&mut raw, 5, def.arch_delay.to_be_bytes());
    put(
        &mut raw,
        7,
        [count(&def.create)?, count(&def.keep)?, count(&def.archive)?],
    );
    out.unit_of(|block| {
        block.extend_from_slice(&raw);
        block.extend_from_slice(&sclass.name);
        for mask in def
            .create
            .iter()
            .chain(&def.keep)
            .chain(&def.archive)
            .flatten()
        {
            block.extend_from_slice(&mask.to_be_bytes());
        }
    })
}

#[inline]
fn put_node(out: &mut Output<'_>, node: &NodeRecord<'_>) -> Result<(), WriteError> {
    // Room for the longest tail, that of a file.
    let mut raw = [0; 44];
    put(&mut raw, 0, [node.kind as u8]);
    put(&mut raw, 1, node.inode.to_be_bytes());
    put(&mut raw, 5, [node.sclass, node.eattr, node.winattr]);
    put(&mut raw, 8, node.mode.to_be_bytes());
    put(&mut raw, 10, node.uid.to_be_bytes());
    put(&mut raw, 14, node.gid.to_be_bytes());
    put(&mut raw, 18, node.atime.to_be_bytes());
    put(&mut raw, 22, node.mtime.to_be_bytes());
    put(&mut raw, 26, node.ctime.to_be_bytes());
    put(&mut raw, 30, node.trashtime.to_be_bytes());
    match node.data {
        NodeData::None => out.unit(&raw[..32]),
        NodeData::Device(device) => {
            put(&mut raw, 32, device.to_be_bytes());
            out.unit(&raw[..36])
        }
        NodeData::Symlink(target) => {
            put(
                &mut raw,
                32,
                fit::<u32>(Section::Node, "link target", target.len())?.to_be_bytes(),
            );
            out.unit(&raw[..36])?;
            out.unit(target)
        }
        NodeData::File { length, chunks } => {
            let count = chunks.last().map_or(0, |&(last, _)| last as usize + 1);
            put(&mut raw, 32, length.to_be_bytes());
            put(
                &mut raw,
                40,
                fit::<u32>(Section::Node, "chunk list", count)?.to_be_bytes(),
            );
            out.unit(&raw)?;
            put_chunk_ids(out, chunks, count)
        }
    }
}

/// Ids of `count` slots, 0 for those that `chunks` does not list.
fn put_chunk_ids(
    out: &mut Output<'_>,
    mut chunks: &[(u32, u64)],
    count: usize,
) -> Result<(), WriteError> {
    for first in (0..count).step_by(IDS_UNIT) {
        let end = count.min(first + IDS_UNIT);
        let (here, later) = chunks.split_at(chunks.partition_point(|&(i, _)| (i as usize) < end));
        chunks = later;
        out.unit_of(|block| {
            let mut at = first;
            for &(index, id) in here {
                let hole = 8 * (index as usize).saturating_sub(at);
                block.resize(block.len() + hole, 0);
                block.extend_from_slice(&id.to_be_bytes());
                at = index as usize + 1;
            }
            block.resize(block.len() + 8 * (end - at), 0);
        })?;
    }
    Ok(())
}

fn free_inodes<S: ImageSource>(source: &S, out: &mut Output<'_>) -> Result<(), WriteError> {
    let mut count = Count::announce(Section::Free, source.free_count(), out)?;
    let mut unit = Vec::with_capacity(8 * FREE_UNIT);
    source.free_inodes(&mut |inode, time| {
        count.given += 1;
        unit.extend_from_slice(&inode.to_be_bytes());
        unit.extend_from_slice(&time.to_be_bytes());
        if unit.len() == 8 * FREE_UNIT {
            out.unit(&unit)?;
            unit.clear();
        }
        Ok::<(), WriteError>(())
    })?;
    out.unit(&unit)?;
    count.check()
}

fn quota_record(inode: u32, quota: &QuotaRecord) -> [u8; 70] {
    let mut raw = [0; 70];
    put(&mut raw, 0, inode.to_be_bytes());
    put(&mut raw, 4, quota.grace.to_be_bytes());
    put(&mut raw, 8, [quota.exceeded, quota.flags]);
    put(&mut raw, 10, quota.since.to_be_bytes());
    put(&mut raw, 14, quota.soft_inodes.to_be_bytes());
    put(&mut raw, 18, quota.hard_inodes.to_be_bytes());
    put(&mut raw, 22, quota.soft_length.to_be_bytes());
    put(&mut raw, 30, quota.hard_length.to_be_bytes());
    put(&mut raw, 38, quota.soft_size.to_be_bytes());
    put(&mut raw, 46, quota.hard_size.to_be_bytes());
    put(&mut raw, 54, quota.soft_realsize.to_be_bytes());
    put(&mut raw, 62, quota.hard_realsize.to_be_bytes());
    raw
}

fn put_acl(out: &mut Output<'_>, inode: u32, kind: AclType, acl: &Acl) -> Result<(), WriteError> {
    let mut raw = [0; 17];
    put(&mut raw, 0, inode.to_be_bytes());
    put(&mut raw, 4, [kind as u8]);
    put(&mut raw, 5, acl.user.to_be_bytes());
    put(&mut raw, 7, acl.group.to_be_bytes());
    put(&mut raw, 9, acl.other.to_be_bytes());
    put(&mut raw, 11, acl.mask.to_be_bytes());
    put(
        &mut raw,
        13,
        fit::<u16>(Section::Pacl, "list of users", acl.named_users.len())?.to_be_bytes(),
    );
    put(
        &mut raw,
        15,
        fit::<u16>(Section::Pacl, "list of groups", acl.named_groups.len())?.to_be_bytes(),
    );
    out.unit(&raw)?;
    let mut unit = Vec::with_capacity(6 * ACL_UNIT);
    for &(id, permissions) in acl.named_users.iter().chain(&acl.named_groups) {
        unit.extend_from_slice(&id.to_be_bytes());
        unit.extend_from_slice(&permissions.to_be_bytes());
        if unit.len() == 6 * ACL_UNIT {
            out.unit(&unit)?;
            unit.clear();
        }
    }
    out.unit(&unit)
}
