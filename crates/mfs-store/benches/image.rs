//! Speed of the image codec alone, then with the state: a synthetic tree is written to a file and read again.
//!
//! `cargo bench -p mfs-store --bench image -- [FILES [DIRECTORY]]`, 2,000,000 files by default.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use mfs_meta::records::{
    Acl, AclType, ChunkRecord, ChunkserverRecord, EdgeRecord, FlockRecord, Header, ImageSource,
    Kind, NodeData, NodeRecord, PosixLockRecord, QuotaRecord, SclassRecord, SessionRecord,
    XattrVisitor,
};
use mfs_meta::{LoadOptions, Loader};
use mfs_store::image::{NullSink, Progress, ReadOptions, WriteOptions, read_path, write_file};

/// Files in a directory.
const FAN: u32 = 1000;

/// A root with directories of [`FAN`] files of one chunk each.
struct Tree {
    files: u32,
}

impl Tree {
    fn directories(&self) -> u32 {
        self.files.div_ceil(FAN)
    }
}

fn node(kind: Kind, inode: u32, data: NodeData<'_>) -> NodeRecord<'_> {
    NodeRecord {
        kind,
        inode,
        sclass: 2,
        eattr: 0,
        winattr: 0,
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        atime: 1_800_000_000 + inode,
        mtime: 1_800_000_000,
        ctime: 1_800_000_000,
        trashtime: 24,
        data,
    }
}

type Visit<'a, T, E> = &'a mut dyn FnMut(&T) -> Result<(), E>;

impl ImageSource for Tree {
    fn header(&self) -> Header {
        Header {
            version: 1,
            meta_id: 1,
            next_session: 1,
            max_inode: 1 + self.directories() + self.files,
            next_edge: 1,
            next_chunk: u64::from(self.files) + 1,
        }
    }
    fn sessions<E>(&self, _: Visit<'_, SessionRecord, E>) -> Result<(), E> {
        Ok(())
    }
    fn sclasses<E>(&self, _: Visit<'_, SclassRecord, E>) -> Result<(), E> {
        Ok(())
    }
    fn node_count(&self) -> u32 {
        1 + self.directories() + self.files
    }
    fn nodes<E>(&self, mut f: impl FnMut(&NodeRecord<'_>) -> Result<(), E>) -> Result<(), E> {
        for i in 1..=1 + self.directories() {
            f(&node(Kind::Directory, i, NodeData::None))?;
        }
        for i in 0..self.files {
            let chunks = [(0, u64::from(i) + 1)];
            let data = NodeData::File {
                length: 12345,
                chunks: &chunks,
            };
            f(&node(Kind::File, 2 + self.directories() + i, data))?;
        }
        Ok(())
    }
    fn edges<E>(&self, mut f: impl FnMut(&EdgeRecord<'_>) -> Result<(), E>) -> Result<(), E> {
        let first = i64::MAX as u64 - u64::from(self.node_count());
        let mut name = *b"some-file-0000000000.dat";
        for i in 0..self.directories() + self.files {
            let mut n = i;
            for digit in name[10..20].iter_mut().rev() {
                *digit = b'0' + (n % 10) as u8;
                n /= 10;
            }
            let file = i.checked_sub(self.directories());
            let parent = file.map_or(1, |file| 2 + file / FAN);
            f(&EdgeRecord {
                parent,
                child: 2 + i,
                id: first + u64::from(i),
                name: &name,
            })?;
        }
        Ok(())
    }
    fn free_count(&self) -> u32 {
        0
    }
    fn free_inodes<E>(&self, _: &mut dyn FnMut(u32, u32) -> Result<(), E>) -> Result<(), E> {
        Ok(())
    }
    fn quota_count(&self) -> u32 {
        0
    }
    fn quotas<E>(&self, _: &mut dyn FnMut(u32, &QuotaRecord) -> Result<(), E>) -> Result<(), E> {
        Ok(())
    }
    fn xattrs<E>(&self, _: &mut XattrVisitor<'_, E>) -> Result<(), E> {
        Ok(())
    }
    fn acls<E>(&self, _: &mut dyn FnMut(u32, AclType, &Acl) -> Result<(), E>) -> Result<(), E> {
        Ok(())
    }
    fn opens<E>(&self, _: &mut dyn FnMut(u32, u32) -> Result<(), E>) -> Result<(), E> {
        Ok(())
    }
    fn flocks<E>(&self, _: Visit<'_, FlockRecord, E>) -> Result<(), E> {
        Ok(())
    }
    fn posix_locks<E>(&self, _: Visit<'_, PosixLockRecord, E>) -> Result<(), E> {
        Ok(())
    }
    fn chunkserver_count(&self) -> u32 {
        0
    }
    fn chunkservers<E>(&self, _: Visit<'_, ChunkserverRecord, E>) -> Result<(), E> {
        Ok(())
    }
    fn chunks<E>(&self, _: u32, mut f: impl FnMut(&ChunkRecord) -> Result<(), E>) -> Result<(), E> {
        for i in 0..self.files {
            let id = u64::from(i) + 1;
            f(&ChunkRecord {
                id,
                version: 1,
                locked_to: 0,
                archived: false,
            })?;
        }
        Ok(())
    }
}

fn section_times(progress: Progress<'_>) {
    if let Progress::End(report) = progress
        && report.records > 0
    {
        let ns = report.time.as_nanos() as f64 / report.records as f64;
        println!(
            "      {:>12} records {ns:.1} ns each: {}",
            report.records,
            report.section.title()
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let files = match args.next() {
        Some(n) => n.parse()?,
        None => 2_000_000,
    };
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let path = dir.join(format!("image-bench-{}.mfs", std::process::id()));
    let tree = Tree { files };
    for _ in 0..3 {
        let file = File::create(&path)?;
        let started = Instant::now();
        let written = write_file(&tree, &file, &path, &WriteOptions::default())?;
        let time = started.elapsed();
        println!(
            "write {:>12} bytes  {:.3} s",
            written.bytes,
            time.as_secs_f64()
        );
    }
    for _ in 0..3 {
        let started = Instant::now();
        let report = read_path(
            &path,
            &ReadOptions::default(),
            &mut NullSink,
            &mut section_times,
        )?;
        let time = started.elapsed();
        println!(
            "read  {:>12} bytes  {:.3} s",
            report.bytes,
            time.as_secs_f64()
        );
    }
    for _ in 0..3 {
        let started = Instant::now();
        let mut loader = Loader::new(LoadOptions::default());
        read_path(
            &path,
            &ReadOptions::default(),
            &mut loader,
            &mut section_times,
        )?;
        let read = started.elapsed();
        let state = loader.finish()?.meta;
        println!(
            "load  into the state  {:.3} s ({:.3} s of it finishing)",
            started.elapsed().as_secs_f64(),
            (started.elapsed() - read).as_secs_f64()
        );
        let started = Instant::now();
        let view = state.view();
        let snapshot = started.elapsed();
        let written = write_file(
            &view,
            &File::create(&path)?,
            &path,
            &WriteOptions::default(),
        )?;
        println!(
            "save  {:>12} bytes  {:.3} s (snapshot {snapshot:?})",
            written.bytes,
            started.elapsed().as_secs_f64()
        );
    }
    std::fs::remove_file(&path)?;
    Ok(())
}
