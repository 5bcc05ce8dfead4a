//! A small disk in memory.

use std::path::Path;

use tempfile::TempDir;

use crate::command::Tool;
use crate::mount::scratch_prefix;
use crate::programs::real;

/// A file system in memory of its own; unmounted on drop.
#[derive(Debug)]
pub struct Tmpfs {
    dir: TempDir,
}

impl Tmpfs {
    /// Mounts one with options like `size=1m`.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn new(options: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix(&scratch_prefix())
            .tempdir()
            .expect("a temporary directory");
        Tool::new(real("mount"))
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .run()
            .expect(0);
        Self { dir }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes its options.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn remount(&self, options: &str) {
        Tool::new(real("mount"))
            .args(["-o", &format!("remount,{options}")])
            .arg(self.path())
            .run()
            .expect(0);
    }

    /// Leaves it about `spare` bytes beside what is in use. The kernel refuses a size below that, and programs
    /// write meanwhile: it is tried again with more.
    ///
    /// # Panics
    /// When the kernel refuses again and again.
    pub fn shrink(&self, spare: u64) {
        const TRIES: u64 = 10;
        for tries in 1..=TRIES {
            let size = self.used() + spare * tries;
            let run = Tool::new(real("mount"))
                .args(["-o", &format!("remount,size={size}")])
                .arg(self.path())
                .run();
            if tries == TRIES {
                run.expect(0);
            } else if run.code == Some(0) {
                return;
            }
        }
    }

    /// Bytes in use.
    ///
    /// # Panics
    /// When it is not mounted any more.
    pub fn used(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).expect("statvfs of a tmpfs");
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Tool::new(real("umount")).arg("-l").arg(self.path()).run();
    }
}
