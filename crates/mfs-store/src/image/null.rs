//! A sink for those who only want to know whether an image can be decoded.

use mfs_meta::records::{
    Acl, ChunkRecord, ChunkserverRecord, EdgeRecord, FlockRecord, ImageSink, NodeRecord,
    PosixLockRecord, QuotaRecord, SclassRecord, SessionRecord, SinkResult,
};

/// Takes every record and keeps nothing: to see whether a file can be decoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

impl ImageSink for NullSink {
    fn head(&mut self, _: u64, _: u64) -> SinkResult {
        Ok(())
    }
    fn next_session(&mut self, _: u32) -> SinkResult {
        Ok(())
    }
    fn session(&mut self, _: SessionRecord) -> SinkResult {
        Ok(())
    }
    fn sclass(&mut self, _: SclassRecord) -> SinkResult {
        Ok(())
    }
    fn node_head(&mut self, _: u32, _: u32) -> SinkResult {
        Ok(())
    }
    fn node(&mut self, _: &NodeRecord<'_>) -> SinkResult {
        Ok(())
    }
    fn edge_head(&mut self, _: Option<u64>) -> SinkResult {
        Ok(())
    }
    fn edge(&mut self, _: &EdgeRecord<'_>) -> SinkResult {
        Ok(())
    }
    fn free_head(&mut self, _: u32) -> SinkResult {
        Ok(())
    }
    fn free_inode(&mut self, _: u32, _: u32) -> SinkResult {
        Ok(())
    }
    fn quota(&mut self, _: u32, _: QuotaRecord, _: Option<u32>) -> SinkResult {
        Ok(())
    }
    fn xattr(&mut self, _: u32, _: &[u8], _: &[u8]) -> SinkResult {
        Ok(())
    }
    fn acl(&mut self, _: u32, _: u8, _: Acl, _: bool) -> SinkResult {
        Ok(())
    }
    fn open(&mut self, _: u32, _: u32, _: bool) -> SinkResult {
        Ok(())
    }
    fn flock(&mut self, _: FlockRecord) -> SinkResult {
        Ok(())
    }
    fn posix_lock(&mut self, _: PosixLockRecord) -> SinkResult {
        Ok(())
    }
    fn chunkserver(&mut self, _: ChunkserverRecord) -> SinkResult {
        Ok(())
    }
    fn next_chunk(&mut self, _: u64) -> SinkResult {
        Ok(())
    }
    fn chunk(&mut self, _: ChunkRecord) -> SinkResult {
        Ok(())
    }
}
