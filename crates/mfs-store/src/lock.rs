//! The lock file of a data directory (spec 01 §5).
//!
//! A program that owns a data directory holds a POSIX record lock (`fcntl` `F_SETLK`, whole file,
//! exclusive) on a file in it for its whole life. The kernel gives the lock back when the process
//! ends, however it ends; the file stays. Its text is the decimal process id and a newline, for
//! people and for init systems; the owner that counts is the one the kernel names (`F_GETLK`).
//!
//! POSIX record locks belong to the *process* and vanish as soon as it closes **any** descriptor of
//! the file. So a process that holds a [`DirLock`] must not call [`owner`] or [`DirLock::acquire`]
//! for the same file again, and takes the lock only after its last `fork`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use thiserror::Error;

/// Lock file of `mfsmaster`, also taken by programs that rewrite its directory.
pub const MASTER_LOCK: &str = ".mfsmaster.lock";
/// Lock file of `mfsmetalogger`.
pub const METALOGGER_LOCK: &str = ".mfsmetalogger.lock";

/// How often [`DirLock::acquire`] tries again when the owner vanishes between the refused lock and
/// the question who it is. Each round needs another process to come and go in that instant.
const MAX_RACES: u32 = 16;

/// How long a killed owner is waited for: the kernel frees some tens of gigabytes a second.
const DYING_LIMIT: Duration = Duration::from_secs(60);
/// How often its lock is tried meanwhile.
const DYING_POLL: Duration = Duration::from_millis(5);

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A process with this id.
    Process(u32),
    /// A process whose id the kernel does not tell: it lives in another pid namespace (a
    /// container), on another host (NFS), or holds an open-file-description lock.
    Unknown,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::Process(pid) => write!(f, "pid:{pid}"),
            Owner::Unknown => f.write_str("a process of another container or host"),
        }
    }
}

/// Why a lock was not taken or its owner not found.
#[derive(Debug, Error)]
pub enum LockError {
    /// The lock file can be neither opened nor created.
    #[error("can't create lockfile in working directory ({path})")]
    Create {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system refuses to lock or to tell about locks.
    #[error("can't lock {path}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The lock is ours, but the process id could not be written into the file.
    #[error("can't write pid to lockfile {path}")]
    Write {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error("{path} is already locked by {owner}")]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who holds it.
        owner: Owner,
    },
}

/// The lock of a data directory, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct DirLock {
    /// Closing this descriptor gives the lock back.
    _file: File,
    path: PathBuf,
}

impl DirLock {
    /// Takes the lock `name` in directory `dir` for this process and writes the process id into
    /// the file, which is created (mode 0666 less umask) when missing.
    ///
    /// Does not wait for an owner that lives. One that was killed but still holds the lock, since
    /// the kernel has not yet taken down all of it (that takes a while for a large process), is
    /// waited for: nobody else can need the lock in the meantime.
    ///
    /// # Errors
    /// [`LockError::Held`] with the owner when another process has the lock; the other variants
    /// when the directory or its file system does not allow it.
    pub fn acquire(dir: &Path, name: &str) -> Result<DirLock, LockError> {
        let path = dir.join(name);
        let file = open(&path)?;
        let mut races = 0;
        let started = Instant::now();
        loop {
            match fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
                Ok(_) => break,
                Err(Errno::EAGAIN | Errno::EACCES) => match query(&file, &path)? {
                    Some(Owner::Process(pid))
                        if started.elapsed() < DYING_LIMIT && is_dying(pid) =>
                    {
                        std::thread::sleep(DYING_POLL);
                    }
                    Some(owner) => return Err(LockError::Held { path, owner }),
                    None if races < MAX_RACES => races += 1,
                    None => {
                        let owner = Owner::Unknown;
                        return Err(LockError::Held { path, owner });
                    }
                },
                Err(errno) => {
                    let source = errno.into();
                    return Err(LockError::Lock { path, source });
                }
            }
        }
        let text = format!("{}\n", std::process::id());
        // Write, then cut: a reader never meets an empty file.
        let written = file
            .write_all_at(text.as_bytes(), 0)
            .and_then(|()| file.set_len(text.len() as u64));
        match written {
            Ok(()) => Ok(DirLock { _file: file, path }),
            Err(source) => Err(LockError::Write { path, source }),
        }
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Who holds the lock `name` in directory `dir`; `None` when nobody does. Creates the file when it
/// is missing, like every action of the original's command line.
///
/// # Errors
/// [`LockError::Create`] and [`LockError::Lock`] as in [`DirLock::acquire`].
pub fn owner(dir: &Path, name: &str) -> Result<Option<Owner>, LockError> {
    let path = dir.join(name);
    let file = open(&path)?;
    query(&file, &path)
}

fn open(path: &Path) -> Result<File, LockError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o666)
        .open(path)
        .map_err(|source| LockError::Create {
            path: path.to_owned(),
            source,
        })
}

/// Asks with `nix`, not `rustix`: an owner without an id is reported as -1, which the latter's `Pid`
/// asserts never to happen.
fn query(file: &File, path: &Path) -> Result<Option<Owner>, LockError> {
    let mut lock = whole_file();
    fcntl(file, FcntlArg::F_GETLK(&mut lock)).map_err(|errno| LockError::Lock {
        path: path.to_owned(),
        source: errno.into(),
    })?;
    if i32::from(lock.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    Ok(Some(match u32::try_from(lock.l_pid) {
        Ok(pid) if pid > 0 => Owner::Process(pid),
        _ => Owner::Unknown,
    }))
}

/// Whether a process is past running its program: killed, exiting or a zombie (`proc(5)`).
fn is_dying(pid: u32) -> bool {
    let read = |name| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    match (read("stat"), read("status")) {
        (Ok(stat), Ok(status)) => stat_shows_exit(&stat) || status_shows_kill(&status),
        // Gone meanwhile, or hidden from us.
        _ => false,
    }
}

/// `/proc/PID/stat`: state zombie or dead, or the kernel's flag `PF_EXITING`.
fn stat_shows_exit(stat: &str) -> bool {
    const PF_EXITING: u64 = 4;
    // The name in parentheses may hold anything, parentheses too.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next();
    // After the state: parent, group, session, terminal, terminal's group, flags.
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok());
    matches!(state, Some("Z" | "X")) || flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

/// `/proc/PID/status`: SIGKILL is pending for the thread or the process.
fn status_shows_kill(status: &str) -> bool {
    const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);
    status
        .lines()
        .filter_map(|line| {
            line.strip_prefix("SigPnd:")
                .or_else(|| line.strip_prefix("ShdPnd:"))
        })
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .any(|mask| mask & SIGKILL_BIT != 0)
}

/// An exclusive lock on the whole file, of whatever length it is or becomes.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    // A process cannot conflict with its own POSIX locks. Locks of an open file description do
    // conflict with them, so they play the other process here; the owner's pid is tested with real
    // processes in mfs-master/tests.
    fn lock_as_stranger(path: &Path) -> File {
        let file = open(path).unwrap();
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())).unwrap();
        file
    }

    #[test]
    fn acquire_writes_the_pid_and_drop_keeps_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(MASTER_LOCK);
        std::fs::write(&path, "4294967295 and more than the new text\n").unwrap();
        let lock = DirLock::acquire(dir.path(), MASTER_LOCK).unwrap();
        assert_eq!(lock.path(), path);
        let expected = format!("{}\n", std::process::id());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        drop(lock);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        drop(lock_as_stranger(&path));
    }

    #[test]
    fn a_held_lock_is_refused_and_its_text_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(MASTER_LOCK);
        std::fs::write(&path, "17\n").unwrap();
        let stranger = lock_as_stranger(&path);
        assert!(matches!(
            DirLock::acquire(dir.path(), MASTER_LOCK),
            Err(LockError::Held {
                owner: Owner::Unknown,
                ..
            })
        ));
        assert_eq!(
            owner(dir.path(), MASTER_LOCK).unwrap(),
            Some(Owner::Unknown)
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "17\n");
        drop(stranger);
        assert_eq!(owner(dir.path(), MASTER_LOCK).unwrap(), None);
        DirLock::acquire(dir.path(), MASTER_LOCK).unwrap();
    }

    #[test]
    fn a_living_process_is_not_dying() {
        assert!(!is_dying(std::process::id()));
        assert!(!is_dying(u32::MAX));
    }

    #[test]
    fn a_zombie_is_dying() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let mut polls = 0;
        while !is_dying(child.id()) {
            polls += 1;
            assert!(polls < 10_000, "the child never ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.wait().unwrap();
    }

    #[test]
    fn signs_of_death() {
        let stat = |state, flags| format!("17 (a) b (c) {state} 1 17 17 0 -1 {flags} 90 0");
        assert!(stat_shows_exit(&stat("Z", 0)));
        assert!(stat_shows_exit(&stat("R", 0x0040_0004)));
        assert!(!stat_shows_exit(&stat("S", 0x0040_0000)));
        assert!(!stat_shows_exit("17 (a"));
        assert!(status_shows_kill("Name:\tx\nShdPnd:\t0000000000000100\n"));
        assert!(status_shows_kill("SigPnd:\t0000000000004100\n"));
        assert!(!status_shows_kill(
            "SigPnd:\t0000000000004000\nSigBlk:\t0000000000000100\n"
        ));
    }

    #[test]
    fn names_are_independent() {
        let dir = tempfile::tempdir().unwrap();
        let _master = lock_as_stranger(&dir.path().join(MASTER_LOCK));
        DirLock::acquire(dir.path(), METALOGGER_LOCK).unwrap();
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = DirLock::acquire(&missing, MASTER_LOCK).unwrap_err();
        assert!(matches!(&error, LockError::Create { source, .. }
            if source.kind() == io::ErrorKind::NotFound));
        assert!(error.to_string().contains("missing/.mfsmaster.lock"));
        assert!(!missing.exists());
    }

    #[test]
    fn asking_creates_the_file_like_the_original() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(owner(dir.path(), MASTER_LOCK).unwrap(), None);
        let meta = std::fs::metadata(dir.path().join(MASTER_LOCK)).unwrap();
        assert_eq!(meta.len(), 0);
        assert_eq!(meta.permissions().mode() & 0o111, 0);
    }
}
