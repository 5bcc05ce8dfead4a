//! An image as plain lists: keeps every record in file order, knows no rules.

use mfs_meta::records::*;
use mfs_store::image::{
    Progress, ReadError, ReadOptions, ReadReport, WriteOptions, Written, read, write,
};
use std::io::Cursor;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) head: NodeRecord<'static>,
    pub(crate) data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    None,
    Device(u32),
    Symlink(Vec<u8>),
    File { length: u64, chunks: Vec<u64> },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edge {
    pub(crate) parent: u32,
    pub(crate) child: u32,
    pub(crate) id: u64,
    pub(crate) name: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AclEntry {
    pub(crate) inode: u32,
    pub(crate) kind: u8,
    pub(crate) acl: Acl,
    pub(crate) old: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) header: Header,
    pub(crate) node_count: u32,
    pub(crate) has_edge_ids: bool,
    pub(crate) sessions: Vec<SessionRecord>,
    pub(crate) sclasses: Vec<SclassRecord>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) free: Vec<(u32, u32)>,
    pub(crate) quotas: Vec<(u32, QuotaRecord, Option<u32>)>,
    pub(crate) xattrs: Vec<(u32, Vec<u8>, Vec<u8>)>,
    pub(crate) acls: Vec<AclEntry>,
    /// (session, inode, counted)
    pub(crate) opens: Vec<(u32, u32, bool)>,
    pub(crate) flocks: Vec<FlockRecord>,
    pub(crate) posix_locks: Vec<PosixLockRecord>,
    pub(crate) chunkservers: Vec<ChunkserverRecord>,
    pub(crate) chunks: Vec<ChunkRecord>,
    /// Refuse this record, counted over all sections.
    pub(crate) refuse: Option<usize>,
}

/// An image that was read into a model.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) model: Model,
    pub(crate) report: ReadReport,
    pub(crate) notices: Vec<String>,
}

impl Model {
    pub(crate) fn read(image: &[u8], options: &ReadOptions) -> Result<Loaded, ReadError> {
        let mut model = Model::default();
        let mut notices = Vec::new();
        let report = read(image, options, &mut model, &mut |progress| {
            if let Progress::Notice(text) = progress {
                notices.push(text.to_owned());
            }
        })?;
        Ok(Loaded {
            model,
            report,
            notices,
        })
    }

    pub(crate) fn load(image: &[u8]) -> Model {
        Model::read(image, &ReadOptions::default()).unwrap().model
    }

    pub(crate) fn write(&self) -> (Vec<u8>, Written) {
        let mut out = Cursor::new(Vec::new());
        let written = write(self, &mut out, &WriteOptions::default()).unwrap();
        assert_eq!(written.bytes, out.get_ref().len() as u64);
        assert_eq!(written.bytes, out.position());
        (out.into_inner(), written)
    }

    fn record(&mut self) -> SinkResult {
        match &mut self.refuse {
            Some(0) => Err(StructureError("refused".into())),
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl ImageSink for Model {
    fn head(&mut self, version: u64, meta_id: u64) -> SinkResult {
        self.header.version = version;
        self.header.meta_id = meta_id;
        Ok(())
    }
    fn next_session(&mut self, id: u32) -> SinkResult {
        self.header.next_session = id;
        Ok(())
    }
    fn session(&mut self, rec: SessionRecord) -> SinkResult {
        self.sessions.push(rec);
        self.record()
    }
    fn sclass(&mut self, rec: SclassRecord) -> SinkResult {
        self.sclasses.push(rec);
        self.record()
    }
    fn node_head(&mut self, max_inode: u32, count_hint: u32) -> SinkResult {
        self.header.max_inode = max_inode;
        self.node_count = count_hint;
        Ok(())
    }
    fn node(&mut self, rec: &NodeRecord<'_>) -> SinkResult {
        let data = match rec.data {
            NodeData::None => Data::None,
            NodeData::Device(device) => Data::Device(device),
            NodeData::Symlink(target) => Data::Symlink(target.to_vec()),
            NodeData::File { length, chunks } => {
                let mut ids = Vec::new();
                for &(index, id) in chunks {
                    ids.resize(index as usize, 0);
                    ids.push(id);
                }
                Data::File {
                    length,
                    chunks: ids,
                }
            }
        };
        let NodeRecord {
            kind,
            inode,
            sclass,
            eattr,
            winattr,
            mode,
            uid,
            gid,
            ..
        } = *rec;
        let NodeRecord {
            atime,
            mtime,
            ctime,
            trashtime,
            ..
        } = *rec;
        let head = NodeRecord {
            kind,
            inode,
            sclass,
            eattr,
            winattr,
            mode,
            uid,
            gid,
            atime,
            mtime,
            ctime,
            trashtime,
            data: NodeData::None,
        };
        self.nodes.push(Node { head, data });
        self.record()
    }
    fn edge_head(&mut self, next_edge: Option<u64>) -> SinkResult {
        self.header.next_edge = next_edge.unwrap_or(0);
        self.has_edge_ids = next_edge.is_some();
        Ok(())
    }
    fn edge(&mut self, rec: &EdgeRecord<'_>) -> SinkResult {
        let EdgeRecord {
            parent,
            child,
            id,
            name,
        } = *rec;
        self.edges.push(Edge {
            parent,
            child,
            id,
            name: name.to_vec(),
        });
        self.record()
    }
    fn free_head(&mut self, _count: u32) -> SinkResult {
        self.free.clear();
        Ok(())
    }
    fn free_inode(&mut self, inode: u32, ftime: u32) -> SinkResult {
        self.free.push((inode, ftime));
        self.record()
    }
    fn quota(&mut self, inode: u32, rec: QuotaRecord, grace: Option<u32>) -> SinkResult {
        self.quotas.push((inode, rec, grace));
        self.record()
    }
    fn xattr(&mut self, inode: u32, name: &[u8], value: &[u8]) -> SinkResult {
        self.xattrs.push((inode, name.to_vec(), value.to_vec()));
        self.record()
    }
    fn acl(&mut self, inode: u32, kind: u8, acl: Acl, old: bool) -> SinkResult {
        self.acls.push(AclEntry {
            inode,
            kind,
            acl,
            old,
        });
        self.record()
    }
    fn open(&mut self, session: u32, inode: u32, counted: bool) -> SinkResult {
        self.opens.push((session, inode, counted));
        self.record()
    }
    fn flock(&mut self, rec: FlockRecord) -> SinkResult {
        self.flocks.push(rec);
        self.record()
    }
    fn posix_lock(&mut self, rec: PosixLockRecord) -> SinkResult {
        self.posix_locks.push(rec);
        self.record()
    }
    fn chunkserver(&mut self, rec: ChunkserverRecord) -> SinkResult {
        self.chunkservers.push(rec);
        self.record()
    }
    fn next_chunk(&mut self, id: u64) -> SinkResult {
        self.header.next_chunk = id;
        Ok(())
    }
    fn chunk(&mut self, rec: ChunkRecord) -> SinkResult {
        self.chunks.push(rec);
        self.record()
    }
}

impl ImageSource for Model {
    fn header(&self) -> Header {
        self.header
    }
    fn sessions<E>(&self, f: &mut dyn FnMut(&SessionRecord) -> Result<(), E>) -> Result<(), E> {
        self.sessions.iter().try_for_each(f)
    }
    fn sclasses<E>(&self, f: &mut dyn FnMut(&SclassRecord) -> Result<(), E>) -> Result<(), E> {
        self.sclasses.iter().try_for_each(f)
    }
    fn node_count(&self) -> u32 {
        self.node_count
    }
    fn nodes<E>(&self, mut f: impl FnMut(&NodeRecord<'_>) -> Result<(), E>) -> Result<(), E> {
        self.nodes.iter().try_for_each(|node| {
            let held: Vec<(u32, u64)>;
            let data = match &node.data {
                Data::None => NodeData::None,
                Data::Device(device) => NodeData::Device(*device),
                Data::Symlink(target) => NodeData::Symlink(target),
                Data::File { length, chunks } => {
                    let slots = (0..).zip(chunks.iter().copied());
                    held = slots.filter(|&(_, id)| id != 0).collect();
                    NodeData::File {
                        length: *length,
                        chunks: &held,
                    }
                }
            };
            f(&NodeRecord { data, ..node.head })
        })
    }
    fn edges<E>(&self, mut f: impl FnMut(&EdgeRecord<'_>) -> Result<(), E>) -> Result<(), E> {
        self.edges.iter().try_for_each(|edge| {
            f(&EdgeRecord {
                parent: edge.parent,
                child: edge.child,
                id: edge.id,
                name: &edge.name,
            })
        })
    }
    fn free_count(&self) -> u32 {
        self.free.len() as u32
    }
    fn free_inodes<E>(&self, f: &mut dyn FnMut(u32, u32) -> Result<(), E>) -> Result<(), E> {
        self.free
            .iter()
            .try_for_each(|&(inode, time)| f(inode, time))
    }
    fn quota_count(&self) -> u32 {
        self.quotas.len() as u32
    }
    fn quotas<E>(&self, f: &mut dyn FnMut(u32, &QuotaRecord) -> Result<(), E>) -> Result<(), E> {
        self.quotas
            .iter()
            .try_for_each(|(inode, rec, _)| f(*inode, rec))
    }
    fn xattrs<E>(&self, f: &mut XattrVisitor<'_, E>) -> Result<(), E> {
        self.xattrs
            .iter()
            .try_for_each(|(inode, name, value)| f(*inode, name, value))
    }
    fn acls<E>(&self, f: &mut dyn FnMut(u32, AclType, &Acl) -> Result<(), E>) -> Result<(), E> {
        self.acls
            .iter()
            .try_for_each(|e| f(e.inode, AclType::from_u8(e.kind).unwrap(), &e.acl))
    }
    fn opens<E>(&self, f: &mut dyn FnMut(u32, u32) -> Result<(), E>) -> Result<(), E> {
        self.opens
            .iter()
            .try_for_each(|&(session, inode, _)| f(session, inode))
    }
    fn flocks<E>(&self, f: &mut dyn FnMut(&FlockRecord) -> Result<(), E>) -> Result<(), E> {
        self.flocks.iter().try_for_each(f)
    }
    fn posix_locks<E>(
        &self,
        f: &mut dyn FnMut(&PosixLockRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        self.posix_locks.iter().try_for_each(f)
    }
    fn chunkserver_count(&self) -> u32 {
        self.chunkservers.len() as u32
    }
    fn chunkservers<E>(
        &self,
        f: &mut dyn FnMut(&ChunkserverRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        self.chunkservers.iter().try_for_each(f)
    }
    fn chunks<E>(&self, _now: u32, f: impl FnMut(&ChunkRecord) -> Result<(), E>) -> Result<(), E> {
        self.chunks.iter().try_for_each(f)
    }
}
