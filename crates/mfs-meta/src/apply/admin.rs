//! Quotas, storage classes, sessions with their open files, chunkservers (spec 03 §6.9–§6.11, §6.13).

use super::Applied;
use crate::op::{MAX_LABEL_TERMS, Outcome, QuotaArgs, ScSetArgs, SessionArgs};
use crate::records::{ChunkserverRecord, QuotaRecord, SclassDef, SessionParams};
use crate::state::Metadata;
use crate::status::Status;
use crate::tables::{Counters, Sclass, Session};
use triomphe::Arc;

/// Classes below this one exist always and cannot be renamed or deleted.
const FIRST_USER_CLASS: u8 = 10;

impl Metadata {
    pub(super) fn op_quota(&mut self, a: &QuotaArgs) -> Applied {
        self.need_dir(a.inode, Status::Eperm)?;
        if a.flags == 0 {
            self.t.quotas.remove(&a.inode);
            return Ok(Outcome::None);
        }
        let old_grace = self.t.quotas.get(&a.inode).map_or(0, |q| q.grace);
        let record = QuotaRecord {
            grace: if a.grace == 0 { old_grace } else { a.grace },
            exceeded: a.exceeded,
            flags: a.flags,
            since: a.since,
            soft_inodes: a.sinodes,
            hard_inodes: a.hinodes,
            soft_length: a.slength,
            hard_length: a.hlength,
            soft_size: a.ssize,
            hard_size: a.hsize,
            soft_realsize: a.srealsize,
            hard_realsize: a.hrealsize,
        };
        self.t.quotas.insert(a.inode, record);
        Ok(Outcome::None)
    }

    /// Id of the class with this name.
    pub fn sclass_by_name(&self, name: &[u8]) -> Option<u8> {
        self.t
            .sclasses
            .iter()
            .find(|(_, c)| c.name == name)
            .map(|(&id, _)| id)
    }

    fn free_class_id(&self) -> Result<u8, Status> {
        (1..=u8::MAX)
            .find(|id| !self.t.sclasses.contains_key(id))
            .ok_or(Status::ClassLimitReach)
    }

    pub(super) fn op_sc_set(&mut self, a: &ScSetArgs<'_>) -> Applied {
        let counts = [a.create.len(), a.keep.len(), a.archive.len()];
        if counts.iter().any(|&n| n == 0 || n > MAX_LABEL_TERMS) || a.name.is_empty() {
            return Err(Status::Einval);
        }
        let known = self.sclass_by_name(&a.name);
        let id = match (a.new, known) {
            (true, Some(_)) => return Err(Status::ClassExists),
            (false, None) => return Err(Status::NoSuchClass),
            (true, None) => self.free_class_id()?,
            (false, Some(id)) => id,
        };
        let def = SclassDef {
            admin_only: a.admin,
            mode: a.mode,
            arch_delay: a.delay,
            create: a.create.clone(),
            keep: a.keep.clone(),
            archive: a.archive.clone(),
        };
        self.put_sclass(
            id,
            Sclass {
                name: a.name.to_vec(),
                def,
            },
        );
        Ok(Outcome::ClassId(u32::from(id)))
    }

    pub(super) fn op_sc_dup(&mut self, old: &[u8], new: &[u8]) -> Applied {
        if old.is_empty() || new.is_empty() {
            return Err(Status::Einval);
        }
        let id = self.sclass_by_name(old).ok_or(Status::NoSuchClass)?;
        if self.sclass_by_name(new).is_some() {
            return Err(Status::ClassExists);
        }
        let copy = self.free_class_id()?;
        let def = self
            .t
            .sclasses
            .get(&id)
            .map(|c| c.def.clone())
            .ok_or(Status::NoSuchClass)?;
        self.put_sclass(
            copy,
            Sclass {
                name: new.to_vec(),
                def,
            },
        );
        Ok(Outcome::ClassIds {
            old: u32::from(id),
            new: u32::from(copy),
        })
    }

    pub(super) fn op_sc_ren(&mut self, old: &[u8], new: &[u8]) -> Applied {
        if old.is_empty() || new.is_empty() {
            return Err(Status::Einval);
        }
        let id = self.sclass_by_name(old).ok_or(Status::NoSuchClass)?;
        if id < FIRST_USER_CLASS {
            return Err(Status::Eperm);
        }
        if self.sclass_by_name(new).is_some() {
            return Err(Status::ClassExists);
        }
        if let Some(class) = self.t.sclasses.get_mut(&id) {
            Arc::make_mut(class).name = new.to_vec();
        }
        Ok(Outcome::ClassId(u32::from(id)))
    }

    pub(super) fn op_sc_del(&mut self, name: &[u8]) -> Applied {
        if name.is_empty() {
            return Err(Status::Einval);
        }
        let id = self.sclass_by_name(name).ok_or(Status::NoSuchClass)?;
        if id < FIRST_USER_CLASS {
            return Err(Status::Eperm);
        }
        let used = self.sclass_use[usize::from(id)];
        if used.files > 0 || used.dirs > 0 {
            return Err(Status::ClassInUse);
        }
        self.t.sclasses.remove(&id);
        Ok(Outcome::ClassId(u32::from(id)))
    }

    // ---- sessions -------------------------------------------------------------------------------

    /// The next session id. Never 0, which ends the list in an image, and after 2^32 sessions never one that exists.
    fn take_session_id(&mut self) -> u32 {
        let mut id = self.t.next_session;
        while id == 0 || self.t.sessions.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.t.next_session = id.wrapping_add(1);
        id
    }

    pub(super) fn op_ses_add(&mut self, a: &SessionArgs<'_>) -> Applied {
        let id = self.take_session_id();
        let session = Session {
            params: Arc::new(params_of(a)),
            disconnected: 0,
            closed: false,
            counters: Arc::new(Counters::default()),
        };
        self.t.sessions.insert(id, session);
        Ok(Outcome::SessionId(id))
    }

    pub(super) fn op_ses_changed(&mut self, id: u32, a: &SessionArgs<'_>) -> Applied {
        let session = self.t.sessions.get_mut(&id).ok_or(Status::Mismatch)?;
        session.params = Arc::new(params_of(a));
        Ok(Outcome::None)
    }

    pub(super) fn op_ses_disconnected(&mut self, ts: u32, id: u32) -> Applied {
        let session = self.t.sessions.get_mut(&id).ok_or(Status::NotFound)?;
        session.disconnected = ts;
        Ok(Outcome::None)
    }

    pub(super) fn op_ses_del(&mut self, id: u32) -> Applied {
        if !self.t.sessions.contains_key(&id) {
            return Err(Status::BadSessionId);
        }
        let opened: Vec<u32> = self.opens_of(id).collect();
        for inode in opened {
            self.remove_open(id, inode);
            self.drop_locks(id, inode);
        }
        self.t.sessions.remove(&id);
        self.resolve_pending_conflicts()?;
        Ok(Outcome::None)
    }

    pub(super) fn op_session(&mut self) -> Applied {
        Ok(Outcome::SessionId(self.take_session_id()))
    }

    pub(super) fn op_acquire(&mut self, session: u32, inode: u32) -> Applied {
        if self.add_open(session, inode) {
            Ok(Outcome::None)
        } else {
            Err(Status::Mismatch)
        }
    }

    pub(super) fn op_release(&mut self, session: u32, inode: u32) -> Applied {
        if !self.remove_open(session, inode) {
            return Err(Status::Mismatch);
        }
        self.drop_locks(session, inode);
        self.resolve_pending_conflicts()?;
        Ok(Outcome::None)
    }

    // ---- chunkservers ---------------------------------------------------------------------------

    fn chunkserver_of_id(&self, id: u16) -> Option<(u32, u16)> {
        self.t
            .chunkservers
            .iter()
            .find(|(_, c)| c.id == id && id != 0)
            .map(|(&key, _)| key)
    }

    pub(super) fn op_csdb(&mut self, op: u8, ip: u32, port: u16, arg: u32) -> Applied {
        let key = (ip, port);
        let mut server = self.t.chunkservers.get(&key).copied();
        match (op, &mut server) {
            (0, None) => {
                let id = u16::try_from(arg).map_err(|_| Status::Mismatch)?;
                if self.chunkserver_of_id(id).is_some() {
                    return Err(Status::Mismatch);
                }
                server = Some(ChunkserverRecord {
                    ip,
                    port,
                    id,
                    maintenance: 0,
                    maintenance_timeout: 0,
                });
            }
            (1, Some(_)) => server = None,
            (2, _) => {
                let id = u16::try_from(arg).map_err(|_| Status::Mismatch)?;
                let old = self.chunkserver_of_id(id).ok_or(Status::Mismatch)?;
                let moved = self.t.chunkservers.remove(&old).ok_or(Status::Mismatch)?;
                // Another entry at the new address would make the image unloadable (spec 03 §6.13).
                server = Some(ChunkserverRecord { ip, port, ..moved });
            }
            (3, Some(s)) => {
                let id = u16::try_from(arg).map_err(|_| Status::Mismatch)?;
                if id == 0 || self.chunkserver_of_id(id).is_some() {
                    return Err(Status::Mismatch);
                }
                s.id = id;
            }
            (4, Some(s)) => (s.maintenance, s.maintenance_timeout) = (1, arg),
            (5, Some(s)) => (s.maintenance, s.maintenance_timeout) = (0, arg),
            (6, Some(s)) => (s.maintenance, s.maintenance_timeout) = (2, arg),
            _ => return Err(Status::Mismatch),
        }
        match server {
            Some(s) => self.t.chunkservers.insert(key, s),
            None => self.t.chunkservers.remove(&key),
        };
        Ok(Outcome::None)
    }
}

fn params_of(a: &SessionArgs<'_>) -> SessionParams {
    let end = a.info.iter().rposition(|&c| c != 0).map_or(0, |i| i + 1);
    SessionParams {
        exports_csum: a.csum,
        root_inode: a.root,
        flags: a.flags & !0x80,
        umask: a.umask,
        root_uid: a.rootuid,
        root_gid: a.rootgid,
        mapall_uid: a.mapalluid,
        mapall_gid: a.mapallgid,
        min_goal: a.mingoal,
        max_goal: a.maxgoal,
        min_trashtime: a.mintrash,
        max_trashtime: a.maxtrash,
        disables: a.disables,
        peer_ip: a.ip,
        info: a.info[..end].to_vec(),
    }
}
