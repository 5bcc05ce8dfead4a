//! Random namespace work by a client that remembers what was answered.
//!
//! A [`Worker`] has a directory of its own and does one change after the other in it. Every
//! change that was answered goes into its [`Model`]; the one whose answer was cut off by a crash
//! stays [`Worker::pending`]. After recovery the directory must look like the model, or like the
//! model with the pending change: nothing answered may be missing, nothing may be half there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// The largest number of names a worker keeps.
const MOST_NAMES: usize = 60;

/// A small random generator (splitmix64): the same seed gives the same work.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator; its seed is all that a failed run needs to be repeated.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed from `$ANTLER_SEED`, else from the clock; printed, so that it can be given again.
    pub fn seed() -> u64 {
        let seed = match std::env::var("ANTLER_SEED") {
            Ok(text) => text.parse().expect("ANTLER_SEED is a number"),
            Err(_) => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |now| now.as_nanos() as u64),
        };
        println!("ANTLER_SEED={seed}");
        seed
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// One change; names are relative to the worker's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the fields are the arguments of the system calls"
)]
pub enum Change {
    Mkdir {
        name: String,
        mode: u32,
    },
    Create {
        name: String,
        mode: u32,
    },
    Symlink {
        name: String,
        target: String,
    },
    Link {
        old: String,
        new: String,
    },
    Rename {
        old: String,
        new: String,
    },
    Unlink {
        name: String,
    },
    Rmdir {
        name: String,
    },
    Chmod {
        name: String,
        mode: u32,
    },
    Chown {
        name: String,
        uid: u32,
        gid: u32,
    },
    Utimes {
        name: String,
        mtime: i64,
    },
    Truncate {
        name: String,
        size: u64,
    },
    SetXattr {
        name: String,
        key: String,
        value: Vec<u8>,
    },
    RemoveXattr {
        name: String,
        key: String,
    },
}

impl Change {
    /// Does it with one system call.
    ///
    /// # Errors
    /// What the system call gives.
    pub fn perform(&self, root: &Path) -> io::Result<()> {
        let at = |name: &String| root.join(name);
        match self {
            Self::Mkdir { name, mode } => rustix::fs::mkdir(at(name), Mode::from_raw_mode(*mode))?,
            Self::Create { name, mode } => rustix::fs::mknodat(
                CWD,
                at(name),
                FileType::RegularFile,
                Mode::from_raw_mode(*mode),
                0,
            )?,
            Self::Symlink { name, target } => std::os::unix::fs::symlink(target, at(name))?,
            Self::Link { old, new } => std::fs::hard_link(at(old), at(new))?,
            Self::Rename { old, new } => std::fs::rename(at(old), at(new))?,
            Self::Unlink { name } => std::fs::remove_file(at(name))?,
            Self::Rmdir { name } => std::fs::remove_dir(at(name))?,
            Self::Chmod { name, mode } => {
                std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(*mode))?;
            }
            Self::Chown { name, uid, gid } => {
                std::os::unix::fs::lchown(at(name), Some(*uid), Some(*gid))?;
            }
            Self::Utimes { name, mtime } => {
                let time = Timespec {
                    tv_sec: *mtime,
                    tv_nsec: 0,
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                rustix::fs::utimensat(CWD, at(name), &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Self::Truncate { name, size } => nix::unistd::truncate(&at(name), *size as i64)?,
            Self::SetXattr { name, key, value } => {
                rustix::fs::lsetxattr(at(name), key.as_str(), value, XattrFlags::empty())?;
            }
            Self::RemoveXattr { name, key } => rustix::fs::lremovexattr(at(name), key.as_str())?,
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Directory,
    File,
    Symlink,
}

/// An object as the model expects it or as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    sort: Sort,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    /// Seconds; `None` when a later change moved it to the time of the change.
    mtime: Option<i64>,
    target: String,
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// What a worker's directory must look like.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Name to object; hard links share one.
    names: BTreeMap<String, usize>,
    objects: Vec<Object>,
}

impl Model {
    fn add(&mut self, name: &str, sort: Sort, mode: u32, target: &str) {
        self.names.insert(name.to_owned(), self.objects.len());
        self.objects.push(Object {
            sort,
            mode,
            uid: 0,
            gid: 0,
            size: target.len() as u64,
            mtime: None,
            target: target.to_owned(),
            xattrs: BTreeMap::new(),
        });
    }

    fn object(&mut self, name: &str) -> &mut Object {
        let id = self.names[name];
        &mut self.objects[id]
    }

    /// Makes a change that the master accepted.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Mkdir { name, mode } => self.add(name, Sort::Directory, *mode, ""),
            Change::Create { name, mode } => self.add(name, Sort::File, *mode, ""),
            Change::Symlink { name, target } => self.add(name, Sort::Symlink, 0o777, target),
            Change::Link { old, new } => {
                let id = self.names[old];
                self.names.insert(new.clone(), id);
            }
            Change::Rename { old, new } => {
                // Two names of one object: rename does nothing (POSIX).
                if self.names.get(new) == self.names.get(old) {
                    return;
                }
                let below = format!("{old}/");
                let moved: Vec<String> = self
                    .names
                    .keys()
                    .filter(|name| *name == old || name.starts_with(&below))
                    .cloned()
                    .collect();
                for name in moved {
                    if let Some(id) = self.names.remove(&name) {
                        self.names
                            .insert(format!("{new}{}", &name[old.len()..]), id);
                    }
                }
            }
            Change::Unlink { name } | Change::Rmdir { name } => {
                self.names.remove(name);
            }
            Change::Chmod { name, mode } => self.object(name).mode = *mode,
            Change::Chown { name, uid, gid } => {
                let object = self.object(name);
                (object.uid, object.gid) = (*uid, *gid);
            }
            Change::Utimes { name, mtime } => self.object(name).mtime = Some(*mtime),
            Change::Truncate { name, size } => {
                let object = self.object(name);
                (object.size, object.mtime) = (*size, None);
            }
            Change::SetXattr { name, key, value } => {
                self.object(name).xattrs.insert(key.clone(), value.clone());
            }
            Change::RemoveXattr { name, key } => {
                self.object(name).xattrs.remove(key);
            }
        }
    }

    fn of_sort(&self, sort: Sort) -> Vec<String> {
        self.names
            .iter()
            .filter(|(_, id)| self.objects[**id].sort == sort)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// A change that must succeed on this state.
    pub fn invent(&self, random: &mut Random, number: u64) -> Change {
        let directories = self.of_sort(Sort::Directory);
        let files = self.of_sort(Sort::File);
        let all: Vec<String> = self.names.keys().cloned().collect();
        let parent = match random.below(3) {
            0 => String::new(),
            _ => random
                .pick(&directories)
                .map_or(String::new(), |dir| format!("{dir}/")),
        };
        let fresh = format!("{parent}n{number} %,(é)");
        let mode = [0o755, 0o644, 0o700, 0o2770, 0o1777, 0o4755, 0o000][random.below(7)];
        let crowded = all.len() >= MOST_NAMES;
        let choice = if crowded {
            8 + random.below(4)
        } else {
            random.below(20)
        };
        let change = match choice {
            0 | 1 => Some(Change::Mkdir {
                name: fresh.clone(),
                mode: mode & 0o755,
            }),
            2..=4 => None,
            5 => Some(Change::Symlink {
                name: fresh.clone(),
                target: format!("to/{number}"),
            }),
            6 => random.pick(&files).map(|old| Change::Link {
                old: old.clone(),
                new: fresh.clone(),
            }),
            7 => {
                // To a new name, never into itself.
                random
                    .pick(&all)
                    .filter(|old| !fresh.starts_with(&format!("{old}/")))
                    .map(|old| Change::Rename {
                        old: old.clone(),
                        new: fresh.clone(),
                    })
            }
            8 => match (random.pick(&files), random.pick(&files)) {
                // Over an existing file.
                (Some(old), Some(new)) if self.names[old] != self.names[new] => {
                    Some(Change::Rename {
                        old: old.clone(),
                        new: new.clone(),
                    })
                }
                _ => None,
            },
            9 | 10 => random
                .pick(&all)
                .filter(|name| self.objects[self.names[*name]].sort != Sort::Directory)
                .map(|name| Change::Unlink { name: name.clone() }),
            11 => {
                let occupied: BTreeSet<&str> = all
                    .iter()
                    .filter_map(|name| name.rsplit_once('/').map(|(dir, _)| dir))
                    .collect();
                let empty: Vec<&String> = directories
                    .iter()
                    .filter(|dir| !occupied.contains(dir.as_str()))
                    .collect();
                random.pick(&empty).map(|dir| Change::Rmdir {
                    name: (*dir).clone(),
                })
            }
            12 | 13 => random
                .pick(&[directories.clone(), files.clone()].concat())
                .map(|name| Change::Chmod {
                    name: name.clone(),
                    // No set-gid directories: what is made inside would inherit it.
                    mode: if directories.contains(name) {
                        mode & 0o1777
                    } else {
                        mode
                    },
                }),
            14 => random
                .pick(&all)
                .map(|name| Change::Chown {
                    name: name.clone(),
                    // Ids that change nothing else: set-id bits are cleared by chown.
                    uid: 1000 + number as u32 % 7,
                    gid: 2000 + number as u32 % 5,
                })
                .filter(|change| match change {
                    Change::Chown { name, .. } => self.objects[self.names[name]].mode & 0o6000 == 0,
                    _ => true,
                }),
            // Not directories: every change inside moves their time again.
            15 => random.pick(&files).map(|name| Change::Utimes {
                name: name.clone(),
                mtime: 1_000_000_000 + (number * 7919 % 500_000_000) as i64,
            }),
            16 => random.pick(&files).map(|name| Change::Truncate {
                name: name.clone(),
                size: number * 4097 % 300_000_000,
            }),
            17 | 18 => random
                .pick(&[directories.clone(), files.clone()].concat())
                .map(|name| Change::SetXattr {
                    name: name.clone(),
                    key: format!("user.k{}", number % 3),
                    value: vec![number as u8; number as usize % 200 + 1],
                }),
            _ => all.iter().find_map(|name| {
                let key = self.objects[self.names[name]].xattrs.keys().next()?;
                Some(Change::RemoveXattr {
                    name: name.clone(),
                    key: key.clone(),
                })
            }),
        };
        match change {
            Some(change) => change,
            None if crowded => random.pick(&files).map_or(
                Change::Mkdir {
                    name: fresh,
                    mode: 0o755,
                },
                |name| Change::Unlink { name: name.clone() },
            ),
            None => Change::Create {
                name: fresh,
                mode: mode & 0o755,
            },
        }
    }

    /// How a directory differs from the model; `None` when it is equal.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn difference(&self, root: &Path) -> io::Result<Option<String>> {
        let mut found = BTreeMap::new();
        walk(root, "", &mut found)?;
        let names: BTreeSet<&String> = self.names.keys().chain(found.keys()).collect();
        // The object of the model that an inode number stands for.
        let mut inodes: BTreeMap<u64, usize> = BTreeMap::new();
        for name in names {
            let (Some(id), Some((inode, links, seen))) = (self.names.get(name), found.get(name))
            else {
                let side = if found.contains_key(name) {
                    "unexpected"
                } else {
                    "missing"
                };
                return Ok(Some(format!("{side}: {name:?}")));
            };
            let mut expected = self.objects[*id].clone();
            if expected.mtime.is_none() {
                expected.mtime = seen.mtime;
            }
            if expected != *seen {
                return Ok(Some(format!(
                    "{name:?}: expected {expected:?}, found {seen:?}"
                )));
            }
            if *inodes.entry(*inode).or_insert(*id) != *id {
                return Ok(Some(format!("{name:?}: a hard link to the wrong object")));
            }
            let same = self.names.values().filter(|other| *other == id).count() as u64;
            if seen.sort != Sort::Directory && *links != same {
                return Ok(Some(format!("{name:?}: {links} links, expected {same}")));
            }
        }
        Ok(None)
    }
}

type Found = BTreeMap<String, (u64, u64, Object)>;

fn walk(root: &Path, below: &str, found: &mut Found) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let path = entry?.path();
        let name = path
            .strip_prefix(root)
            .map_err(io::Error::other)?
            .to_string_lossy()
            .into_owned();
        let meta = path.symlink_metadata()?;
        let sort = if meta.is_dir() {
            Sort::Directory
        } else if meta.is_symlink() {
            Sort::Symlink
        } else {
            Sort::File
        };
        let object = Object {
            sort,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            size: if sort == Sort::Directory {
                0
            } else {
                meta.size()
            },
            mtime: Some(meta.mtime()),
            target: match sort {
                Sort::Symlink => std::fs::read_link(&path)?.to_string_lossy().into_owned(),
                _ => String::new(),
            },
            xattrs: match sort {
                Sort::Symlink => BTreeMap::new(),
                _ => xattrs(&path)?,
            },
        };
        found.insert(name.clone(), (meta.ino(), meta.nlink(), object));
        if sort == Sort::Directory {
            walk(root, &name, found)?;
        }
    }
    Ok(())
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut list = vec![0_u8; 4096];
    let length = rustix::fs::llistxattr(path, &mut list[..])?;
    list[..length]
        .split(|byte| *byte == 0)
        .filter(|key| key.starts_with(b"user."))
        .map(|key| {
            let key = String::from_utf8_lossy(key).into_owned();
            let mut value = vec![0_u8; 4096];
            let length = rustix::fs::lgetxattr(path, OsStr::new(&key), &mut value[..])?;
            value.truncate(length);
            Ok((key, value))
        })
        .collect()
}

/// A client with its memory.
#[derive(Debug)]
pub struct Worker {
    /// The name of its directory.
    pub name: String,
    /// What was answered.
    pub model: Model,
    /// The change that was not answered, when the last run was cut off.
    pub pending: Option<Change>,
    random: Random,
    number: u64,
}

impl Worker {
    /// A worker whose directory is not made yet.
    pub fn new(name: &str, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            model: Model::default(),
            pending: None,
            random: Random::new(seed),
            number: 0,
        }
    }

    /// How many changes it began so far.
    pub fn begun(&self) -> u64 {
        self.number
    }

    /// Works below `mount` until `stop` is set; when the master is gone the change that gets an
    /// error stays pending.
    ///
    /// # Errors
    /// A change that was refused though `stop` was not set: its text.
    pub fn run(&mut self, mount: &Path, stop: &AtomicBool) -> Result<(), String> {
        let root = mount.join(&self.name);
        while !stop.load(Ordering::Acquire) {
            if let Err(error) = self.step(&root) {
                // The flag is set before the master is killed.
                return if stop.load(Ordering::Acquire) {
                    Ok(())
                } else {
                    Err(format!("{:?}: {error}", self.pending))
                };
            }
        }
        Ok(())
    }

    /// Does a number of changes below `mount`, none of which may fail.
    ///
    /// # Errors
    /// The first one that was refused.
    pub fn work(&mut self, mount: &Path, changes: u64) -> Result<(), String> {
        let root = mount.join(&self.name);
        for _ in 0..changes {
            self.step(&root)
                .map_err(|error| format!("{:?}: {error}", self.pending))?;
        }
        Ok(())
    }

    fn step(&mut self, root: &Path) -> io::Result<()> {
        self.number += 1;
        let change = self.model.invent(&mut self.random, self.number);
        self.pending = Some(change.clone());
        change.perform(root)?;
        self.model.apply(&change);
        self.pending = None;
        Ok(())
    }

    /// Looks at the directory after a recovery. The pending change has either happened as a
    /// whole or not at all; the worker goes on from what is there.
    ///
    /// # Errors
    /// How the directory differs from both.
    pub fn verify(&mut self, mount: &Path) -> Result<(), String> {
        let root = mount.join(&self.name);
        let difference = |model: &Model| {
            model
                .difference(&root)
                .map_err(|error| format!("{}: {error}", self.name))
        };
        let Some(without) = difference(&self.model)? else {
            self.pending = None;
            return Ok(());
        };
        let Some(change) = self.pending.take() else {
            return Err(format!("{}: {without}", self.name));
        };
        let mut after = self.model.clone();
        after.apply(&change);
        match difference(&after)? {
            None => {
                self.model = after;
                Ok(())
            }
            Some(with) => Err(format!(
                "{}: without the unanswered {change:?}: {without}; with it: {with}",
                self.name
            )),
        }
    }
}
