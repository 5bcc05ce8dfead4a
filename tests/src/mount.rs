//! A real `mfsmount`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;

use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use crate::command::Tool;
use crate::net::Net;
use crate::programs::real;
use crate::wait::{PATIENCE, until, wait_for};

/// Options that switch off every cache of the mount: each question reaches the master.
pub const CACHES_OFF: &str = "mfsattrcacheto=0,mfsentrycacheto=0,mfsdirentrycacheto=0,\
mfsnegentrycacheto=0,mfsxattrcacheto=0,mfssymlinkcacheto=0";

/// A mounted file system; detached and its process ended on drop.
#[derive(Debug)]
pub struct Mount {
    dir: TempDir,
    child: Child,
}

impl Mount {
    /// Mounts `/` with all caches off.
    ///
    /// # Panics
    /// When the mount does not appear; with what `mfsmount` said.
    #[track_caller]
    pub fn new(net: &Net) -> Self {
        Self::with(net, "/", CACHES_OFF)
    }

    /// Mounts a folder with options of one's own.
    ///
    /// # Panics
    /// When the mount does not appear; with what `mfsmount` said.
    #[track_caller]
    pub fn with(net: &Net, folder: &str, options: &str) -> Self {
        // It gives the master a second to answer its registration. Beside much other work a master
        // may not get the processor in that time; nothing is wrong with it then.
        const ATTEMPTS: u32 = 5;
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            match Self::try_with(net, folder, options) {
                Ok(mount) => return mount,
                Err(complaint) => said = complaint,
            }
            if !said.contains("ETIMEDOUT") {
                break;
            }
            eprintln!("once more: {said}");
        }
        panic!("mfsmount did not mount {folder}: {said}")
    }

    /// Mounts a folder; when `mfsmount` gives up instead, what it said.
    pub fn try_with(net: &Net, folder: &str, options: &str) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix(&scratch_prefix())
            .tempdir()
            .expect("a temporary directory");
        let point = dir.path().join("mnt");
        fs::create_dir(&point).expect("make a mount point");
        let log_path = dir.path().join("mfsmount.log");
        let log = File::create(&log_path).expect("make a log file");
        let child = Tool::inside(net, real("mfsmount"))
            .arg(&point)
            .args(["-f", "-H", Net::IP, "-S", folder, "-o", options])
            .spawn(&log);
        let mut mount = Self { dir, child };
        let mut ended = false;
        let appeared = until(PATIENCE, || {
            ended = mount.child.try_wait().expect("wait for mfsmount").is_some();
            ended || is_mounted(&point)
        });
        if ended || !appeared {
            return Err(fs::read_to_string(log_path).unwrap_or_default());
        }
        Ok(mount)
    }

    /// The mount point.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// The size of the file system and what is free in it, bytes: the sums over all
    /// chunkservers.
    ///
    /// # Errors
    /// When the master does not answer.
    pub fn space(&self) -> std::io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(self.path())?;
        Ok((stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
    }

    /// Waits until the chunkservers together offer at least `total` bytes.
    ///
    /// # Panics
    /// When they do not within a minute.
    #[track_caller]
    pub fn wait_for_space(&self, total: u64) {
        wait_for("the space of all chunkservers", PATIENCE, || {
            self.space().is_ok_and(|(found, _)| found >= total)
        });
    }

    /// Unmounts it as a user would and waits for the end of the process, so that the master has
    /// seen the session close.
    ///
    /// # Panics
    /// When it is busy or its process does not end.
    pub fn unmount(mut self) {
        Tool::new(real("umount")).arg(self.path()).run().expect(0);
        wait_for("the end of mfsmount", PATIENCE, || {
            self.child.try_wait().expect("wait for mfsmount").is_some()
        });
    }

    /// Ends the process with SIGKILL; whatever waits on the mount gets an error at once.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        // `mfsmount` asks its own mount for attributes, and such a thread cannot die before it is
        // answered: the connection must be aborted. That it is busy then does not matter.
        let _ = unmount(self.path(), UnmountFlags::FORCE);
        let _ = self.child.wait();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.kill9();
        if is_mounted(&self.path()) {
            detach(&self.path());
        }
    }
}

fn detach(point: &Path) {
    // The system call and not the program, which looks at the path first and may hang there.
    if let Err(error) = unmount(point, UnmountFlags::FORCE | UnmountFlags::DETACH) {
        eprintln!("cannot detach {}: {error}", point.display());
    }
}

/// What the names of this process's mount directories begin with.
pub(crate) fn scratch_prefix() -> String {
    format!("antler-mount-{}-", std::process::id())
}

/// Detaches the mounts of chosen test processes that are no more: SIGKILL leaves no time to
/// clean up.
pub(crate) fn sweep_if(chosen: impl Fn(u32) -> bool) {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for point in table.lines().filter_map(|line| line.split(' ').nth(1)) {
        let owner = point
            .split_once("/antler-mount-")
            .and_then(|(_, rest)| rest.split('-').next()?.parse().ok());
        if owner.is_some_and(&chosen) {
            detach(Path::new(point));
        }
    }
}

/// Whether a FUSE file system is mounted there; asks the kernel's table, never the
/// file system, which may hang.
fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == point.to_str()
            && fields.next().is_some_and(|sort| sort.starts_with("fuse"))
    })
}
