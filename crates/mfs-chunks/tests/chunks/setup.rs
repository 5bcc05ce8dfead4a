//! What tests begin with: clusters that are up and quiet, and files of one chunk.

use mfs_chunks::{ChunkConfig, RequestId, WriteRequest};
use mfs_meta::op::{Op, ScSetArgs};

use crate::world::World;

/// Jobs five seconds after the start, and a chunk loop of a minute.
pub(crate) fn quick() -> ChunkConfig {
    ChunkConfig {
        replications_delay_init: 5,
        loop_min_time: 60,
        ..ChunkConfig::default()
    }
}

/// A write to the first chunk of a file.
pub(crate) fn write_request(request: RequestId, inode: u32) -> WriteRequest {
    WriteRequest {
        request,
        inode,
        index: 0,
        client_ip: 1,
        session: 1,
        continues: false,
        canmod: false,
        use_reserve: false,
    }
}

impl World {
    /// Servers with these labels, so many seconds after all have registered.
    pub(crate) fn up(config: ChunkConfig, labels: &[u32], seed: u64, seconds: u64) -> World {
        let mut w = World::new(config, labels, seed);
        for s in 0..labels.len() {
            w.connect(s);
        }
        w.run(seconds * 50);
        w
    }

    /// Three servers with labels A,B / A,C / B,C that are up and quiet, jobs allowed.
    pub(crate) fn started() -> World {
        World::up(quick(), &[3, 5, 6], 42, 20)
    }

    /// Makes class 10: one copy on a server with label A, one on a server with label B.
    pub(crate) fn make_class_ab(&mut self) {
        self.log.apply_all(&[Op::ScSet(Box::new(ScSetArgs {
            name: b"ab"[..].into(),
            new: true,
            admin: 0,
            mode: 1,
            delay: 0,
            create: vec![[1, 0, 0, 0], [2, 0, 0, 0]],
            keep: vec![[1, 0, 0, 0], [2, 0, 0, 0]],
            archive: vec![[0; 4]],
        }))]);
    }

    /// A file of one chunk with the contents 8, and that chunk.
    pub(crate) fn file(&mut self, class: u8) -> (u32, u64) {
        let name = format!("f{}", self.log.lines.len());
        let inode = self.log.create_file(&name, class);
        let chunk = self.write_well(inode, 0, 8);
        (inode, chunk)
    }

    /// Removes a file from the metadata; chunk management does not hear of it.
    pub(crate) fn unlink(&mut self, inode: u32) {
        let name = self.log.meta.node(inode).unwrap().names().next().unwrap().1;
        let name = name.to_vec();
        self.log.apply_all(&[Op::Unlink {
            parent: 1,
            name: name.into(),
        }]);
        self.allowed.retain(|slot, _| slot.0 != inode);
    }

    /// Removes a file of one chunk; as the driver does, the chunk is looked at then.
    pub(crate) fn remove(&mut self, inode: u32) {
        let chunk = self.log.chunk(inode, 0);
        self.unlink(inode);
        self.chunks.chunk_changed(&mut self.log, chunk);
    }

    /// The servers that have a copy of a chunk, whatever its version, in ascending order.
    pub(crate) fn holders(&self, chunk: u64) -> Vec<usize> {
        (0..self.servers.len())
            .filter(|&s| self.servers[s].disk.contains_key(&chunk))
            .collect()
    }
}
