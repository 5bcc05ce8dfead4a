//! Clients that work all the time and remember what was acknowledged.
//!
//! An operation is acknowledged when its last system call (`fsync`, `truncate`, `unlink`, ...)
//! returned. One that got an error may have happened as a whole, in part, or not at all: its file
//! is left alone until the next verification, which allows all of that, and then removed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use antler_e2e::workload::Random;
use antler_e2e::{Namespace, Tool, real};
use parking_lot::Mutex;

use crate::content::{Content, Expected, Tag};
use crate::log::{say, seconds};

/// Files that a writer keeps at most.
const MOST_FILES: usize = 12;
/// Files do not grow beyond this, except those around the border of two chunks.
const MOST_BYTES: u64 = 4 << 20;
/// A chunk.
const CHUNK: u64 = 64 << 20;
/// The longest single system call.
const CALL: u64 = 1 << 20;
/// Operations that take longer are worth a line in the log.
const SLOW: Duration = Duration::from_secs(20);

/// What a writer does most of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Writes whole files, often over old ones.
    Whole,
    /// Overwrites parts.
    Overwrite,
    /// Appends.
    Append,
    /// Truncates, also around the border of two chunks.
    Truncate,
    /// Takes snapshots and overwrites both sides.
    Snapshot,
    /// Anything.
    Mixed,
    /// Writes the stripes of its parity into a file that another writer works on, too.
    Shared(u64),
}

/// The sorts of the first writers; more begin again from the front.
pub(crate) const SORTS: [Sort; 8] = [
    Sort::Whole,
    Sort::Overwrite,
    Sort::Append,
    Sort::Truncate,
    Sort::Snapshot,
    Sort::Mixed,
    Sort::Shared(0),
    Sort::Shared(1),
];

/// A file that two writers work on through different mounts.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    expected: Mutex<Expected>,
}

impl Shared {
    /// Its name below the root of the file system.
    pub(crate) const NAME: &str = "shared";
    /// Not a multiple of a block: both writers meet in the same block of a chunk.
    const STRIPE: u64 = 96 << 10;
    const STRIPES: u64 = 64;

    /// What it must hold now.
    pub(crate) fn expected(&self) -> Expected {
        self.expected.lock().clone()
    }

    /// Forgets everything: the file was made anew.
    pub(crate) fn forget(&self) {
        *self.expected.lock() = Expected::default();
    }
}

/// Where programs run that a writer needs.
#[derive(Debug, Clone)]
struct Place(PathBuf);

impl Namespace for Place {
    fn file(&self) -> PathBuf {
        self.0.clone()
    }
}

/// A file of a writer.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// What it must hold.
    pub(crate) expected: Expected,
    /// Copies that it must have.
    pub(crate) goal: usize,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The name of its directory.
    pub(crate) name: String,
    /// Its files by name.
    pub(crate) files: BTreeMap<String, Entry>,
    /// Operations so far.
    pub(crate) operations: u64,
    /// Operations that got an error.
    pub(crate) errors: u64,
    sort: Sort,
    id: u8,
    mount: PathBuf,
    place: Place,
    shared: Arc<Shared>,
    random: Random,
    number: u64,
    trace: File,
}

impl Writer {
    /// A writer that works through a mount; its directory must exist. Every operation is a line
    /// in `trace`.
    pub(crate) fn new(
        id: u8,
        mount: &Path,
        place: &impl Namespace,
        shared: Arc<Shared>,
        seed: u64,
        trace: File,
    ) -> Self {
        Self {
            name: format!("w{id}"),
            files: BTreeMap::new(),
            operations: 0,
            errors: 0,
            sort: SORTS[usize::from(id) % SORTS.len()],
            id,
            mount: mount.to_owned(),
            place: Place(place.file()),
            shared,
            random: Random::new(seed),
            number: 0,
            trace,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount.join(&self.name).join(name)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    fn tag(&mut self) -> Tag {
        self.number += 1;
        Tag::new(self.id, self.number)
    }

    /// A name that was never used.
    fn fresh(&mut self) -> String {
        self.number += 1;
        format!("f{}", self.number)
    }

    /// One of its files that no error has touched.
    fn any(&mut self) -> Option<String> {
        let names: Vec<&String> = self
            .files
            .iter()
            .filter(|(_, entry)| entry.expected.is_certain())
            .map(|(name, _)| name)
            .collect();
        let chosen = self.random.below(names.len());
        names.get(chosen).map(|name| (*name).clone())
    }

    fn content(&self, name: &str) -> Content {
        self.files
            .get(name)
            .map(|entry| entry.expected.content.clone())
            .unwrap_or_default()
    }

    fn length(&mut self) -> u64 {
        match self.below(8) {
            0 => 1,
            1 => 65_535 + self.below(3),
            2 => self.below(4096),
            3 => self.below(2 << 20),
            _ => self.below(300_000),
        }
    }

    fn note(&mut self, text: std::fmt::Arguments<'_>) {
        // The trace helps whoever looks into a failure; the run does not depend on it.
        let _ = writeln!(self.trace, "[{:9.3}] {text}", seconds());
    }

    /// Does one operation.
    ///
    /// # Errors
    /// The description of a file that was read and is wrong.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let start = Instant::now();
        self.operations += 1;
        let result = self.operate();
        let taken = start.elapsed();
        if taken > SLOW {
            say!("{}: an operation took {taken:.0?}", self.name);
        }
        result
    }

    fn operate(&mut self) -> Result<(), String> {
        if let Sort::Shared(parity) = self.sort {
            self.write_stripe(parity);
            return Ok(());
        }
        let Some(name) = self.any() else {
            self.create();
            return Ok(());
        };
        if self.files.len() >= MOST_FILES && self.below(3) == 0 {
            self.delete(&name);
            return Ok(());
        }
        let usual = self.below(10) < 6;
        let sort = match self.sort {
            sort if usual && sort != Sort::Mixed => sort,
            _ => SORTS[self.random.below(5)],
        };
        match sort {
            Sort::Whole if self.files.len() < MOST_FILES / 2 || self.below(2) == 0 => {
                self.create();
            }
            Sort::Whole => self.replace(&name),
            Sort::Overwrite => self.overwrite(&name),
            Sort::Append => self.append(&name),
            Sort::Truncate => self.truncate(&name),
            _ => self.snapshot(&name),
        }
        match self.below(12) {
            0..4 => self.read(&name),
            4 => {
                self.rename(&name);
                Ok(())
            }
            5 => {
                self.set_goal(&name);
                Ok(())
            }
            6 if self.below(3) == 0 => {
                self.delete(&name);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes the end of an operation; tells whether it was acknowledged.
    fn ended(&mut self, what: std::fmt::Arguments<'_>, result: &io::Result<()>) -> bool {
        match result {
            Ok(()) => self.note(format_args!("{what}")),
            Err(error) => {
                self.errors += 1;
                self.note(format_args!("{what}: {error}"));
                say!("{}: {what}: {error}", self.name);
            }
        }
        result.is_ok()
    }

    /// Replaces what is known of a file by a new content, or lets both be possible.
    fn settle(&mut self, name: &str, acknowledged: bool, steps: Vec<Content>) {
        let Some(entry) = self.files.get_mut(name) else {
            return;
        };
        match steps.last() {
            Some(last) if acknowledged => entry.expected.content = last.clone(),
            _ => entry.expected.alternatives.extend(steps),
        }
    }

    /// Lists a new file.
    fn add(&mut self, name: &str, content: Content, acknowledged: bool, goal: usize) {
        let expected = if acknowledged {
            Expected::exactly(content)
        } else {
            Expected {
                content: Content::default(),
                alternatives: vec![content],
                may_be_absent: true,
            }
        };
        self.files.insert(name.to_owned(), Entry { expected, goal });
    }

    fn write_new(&mut self, name: &str) -> (Content, bool) {
        let (length, tag) = (self.length(), self.tag());
        let mut content = Content::default();
        content.write(0, length, tag);
        let result = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path(name))
            .and_then(|file| {
                put(&file, 0, length, tag)?;
                file.sync_all()
            });
        let acknowledged = self.ended(
            format_args!("create {name}, {length} bytes, {tag}"),
            &result,
        );
        (content, acknowledged)
    }

    fn create(&mut self) {
        let name = self.fresh();
        let (content, acknowledged) = self.write_new(&name);
        self.add(&name, content, acknowledged, crate::cluster::GOAL);
    }

    fn replace(&mut self, old: &str) {
        let new = self.fresh();
        let (content, acknowledged) = self.write_new(&new);
        self.add(&new, content, acknowledged, crate::cluster::GOAL);
        if acknowledged {
            self.move_over(&new, old);
        }
    }

    fn rename(&mut self, old: &str) {
        let new = self.fresh();
        self.move_over(old, &new);
    }

    fn move_over(&mut self, old: &str, new: &str) {
        let Some(moved) = self.files.get(old).cloned() else {
            return;
        };
        let (from, to) = (self.path(old), self.path(new));
        let inode = inode(&from);
        let mut result = fs::rename(&from, &to);
        // A mount that lost its master asks the next one again, which may have done it already.
        if is_absent(&result) && inode.is_some() && self::inode(&to) == inode {
            result = Ok(());
        }
        if self.ended(format_args!("rename {old} to {new}"), &result) {
            self.files.remove(old);
            self.files.insert(new.to_owned(), moved);
            return;
        }
        let mut at_new = match self.files.get(new) {
            Some(entry) => entry.clone(),
            None => Entry {
                expected: Expected {
                    may_be_absent: true,
                    ..moved.expected.clone()
                },
                goal: moved.goal,
            },
        };
        at_new
            .expected
            .alternatives
            .push(moved.expected.content.clone());
        self.files.insert(new.to_owned(), at_new);
        if let Some(entry) = self.files.get_mut(old) {
            entry.expected.may_be_absent = true;
        }
    }

    fn delete(&mut self, name: &str) {
        let mut result = fs::remove_file(self.path(name));
        if is_absent(&result) {
            result = Ok(());
        }
        if self.ended(format_args!("remove {name}"), &result) {
            self.files.remove(name);
        } else if let Some(entry) = self.files.get_mut(name) {
            entry.expected.may_be_absent = true;
        }
    }

    fn overwrite(&mut self, name: &str) {
        let mut content = self.content(name);
        let size = content.size();
        let mut steps = Vec::new();
        let mut writes = Vec::new();
        for _ in 0..=self.below(6) {
            let tag = self.tag();
            // Mostly inside; sometimes a hole opens behind the end.
            let room = if size >= MOST_BYTES {
                size
            } else {
                size + 100_000
            };
            let offset = match self.below(4) {
                // Around the end of a block.
                0 => (self.below(room) & !0xFFFF).saturating_sub(1),
                _ => self.below(room),
            };
            let length = 1 + self.below(200_000);
            content.write(offset, length, tag);
            steps.push(content.clone());
            writes.push((offset, length, tag));
        }
        let result = OpenOptions::new()
            .write(true)
            .open(self.path(name))
            .and_then(|file| {
                for (offset, length, tag) in &writes {
                    put(&file, *offset, *length, *tag)?;
                }
                file.sync_all()
            });
        let list: Vec<String> = writes
            .iter()
            .map(|(offset, length, tag)| format!("{offset}+{length} {tag}"))
            .collect();
        let acknowledged = self.ended(
            format_args!("overwrite {name}: {}", list.join(", ")),
            &result,
        );
        self.settle(name, acknowledged, steps);
    }

    fn append(&mut self, name: &str) {
        let mut content = self.content(name);
        let (offset, length, tag) = (content.size(), self.length(), self.tag());
        content.write(offset, length, tag);
        let result = OpenOptions::new()
            .append(true)
            .open(self.path(name))
            .and_then(|mut file| {
                let mut bytes = vec![0; length as usize];
                tag.fill(offset, &mut bytes);
                file.write_all(&bytes)?;
                file.sync_all()
            });
        let acknowledged = self.ended(
            format_args!("append to {name}: {offset}+{length} {tag}"),
            &result,
        );
        self.settle(name, acknowledged, vec![content]);
    }

    fn truncate(&mut self, name: &str) {
        let mut content = self.content(name);
        let old = content.size();
        let large = self
            .files
            .iter()
            .any(|(other, entry)| other != name && entry.expected.content.size() > CHUNK / 2);
        let size = match self.below(6) {
            0 => 0,
            // Around the border of two chunks, one file of a writer at a time: it costs time to
            // read.
            1 if !large && self.sort == Sort::Truncate => CHUNK - 70_000 + self.below(140_000),
            1 => self.below(old + 1) & !0xFFFF,
            2 | 3 if old < MOST_BYTES => old + self.below(300_000),
            _ => self.below(old + 1),
        };
        content.truncate(size);
        let result = nix::unistd::truncate(&self.path(name), size as i64).map_err(io::Error::from);
        let acknowledged = self.ended(
            format_args!("truncate {name} from {old} to {size}"),
            &result,
        );
        self.settle(name, acknowledged, vec![content]);
    }

    fn run_tool(&mut self, name: &str, args: &[&Path]) -> io::Result<()> {
        let run = Tool::inside(&self.place, real(name)).args(args).run();
        match run.code {
            Some(0) => Ok(()),
            _ => Err(io::Error::other(run.text().trim().to_owned())),
        }
    }

    fn snapshot(&mut self, name: &str) {
        let Some(entry) = self.files.get(name).cloned() else {
            return;
        };
        if self.files.len() >= MOST_FILES {
            self.overwrite(name);
            return;
        }
        let copy = self.fresh();
        let (from, to) = (self.path(name), self.path(&copy));
        let result = self.run_tool("mfsmakesnapshot", &[&from, &to]);
        let acknowledged = self.ended(format_args!("snapshot {name} as {copy}"), &result);
        self.add(&copy, entry.expected.content, acknowledged, entry.goal);
        if acknowledged {
            let side = if self.below(2) == 0 { name } else { &copy };
            self.overwrite(side);
        }
    }

    fn set_goal(&mut self, name: &str) {
        let Some(entry) = self.files.get(name) else {
            return;
        };
        if !entry.expected.is_certain() {
            return;
        }
        let goal = 2 + self.below(2) as usize;
        let path = self.path(name);
        let result = self.run_tool("mfssetgoal", &[Path::new(&goal.to_string()), &path]);
        let acknowledged = self.ended(format_args!("goal {goal} for {name}"), &result);
        if let Some(entry) = self.files.get_mut(name) {
            if acknowledged {
                entry.goal = goal;
            } else {
                // Either goal is possible; the smaller one must be reached.
                entry.goal = entry.goal.min(goal);
            }
        }
    }

    /// Reads a file through the mount that it was written through.
    fn read(&mut self, name: &str) -> Result<(), String> {
        let Some(entry) = self.files.get(name) else {
            return Ok(());
        };
        if !entry.expected.is_certain() {
            return Ok(());
        }
        let checked = File::open(self.path(name)).and_then(|file| entry.expected.check(&file));
        match checked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(difference)) => Err(format!(
                "{}/{name}, read by its writer: {difference}",
                self.name
            )),
            Err(error) => {
                self.ended(format_args!("read {name}"), &Err(error));
                Ok(())
            }
        }
    }

    fn write_stripe(&mut self, parity: u64) {
        let stripe = 2 * self.below(Shared::STRIPES / 2) + parity;
        let from = self.below(Shared::STRIPE);
        let length = 1 + self.below(Shared::STRIPE - from);
        let offset = stripe * Shared::STRIPE + from;
        let tag = self.tag();
        let result = OpenOptions::new()
            .write(true)
            .open(self.mount.join(Shared::NAME))
            .and_then(|file| {
                put(&file, offset, length, tag)?;
                file.sync_all()
            });
        let acknowledged = self.ended(format_args!("shared: {offset}+{length} {tag}"), &result);
        let mut expected = self.shared.expected.lock();
        let expected = &mut *expected;
        if acknowledged {
            for content in std::iter::once(&mut expected.content).chain(&mut expected.alternatives)
            {
                content.write(offset, length, tag);
            }
        } else {
            let mut content = expected.content.clone();
            content.write(offset, length, tag);
            expected.alternatives.push(content);
        }
    }
}

/// Writes the bytes of a tag.
fn put(file: &File, offset: u64, length: u64, tag: Tag) -> io::Result<()> {
    let mut bytes = vec![0; length.min(CALL) as usize];
    let end = offset + length;
    let mut place = offset;
    while place < end {
        let now = &mut bytes[..(end - place).min(CALL) as usize];
        tag.fill(place, now);
        file.write_all_at(now, place)?;
        place += now.len() as u64;
    }
    Ok(())
}

fn is_absent(result: &io::Result<()>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}
