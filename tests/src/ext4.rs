//! A small disk that can break while programs use it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::command::Tool;
use crate::mount::scratch_prefix;
use crate::programs::real;

/// An ext4 file system of 16 MB in a file, of its own; unmounted on drop.
///
/// A tmpfs cannot be remounted read-only while a program has files open for writing; what happens to a running
/// master needs a disk that fails.
#[derive(Debug)]
pub struct Ext4 {
    dir: TempDir,
}

impl Ext4 {
    /// Makes and mounts one.
    ///
    /// # Panics
    /// When there is no loop device.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix(&scratch_prefix())
            .tempdir()
            .expect("a temporary directory");
        let disk = Self { dir };
        let image = fs::File::create(disk.image()).expect("make a file");
        image.set_len(16 << 20).expect("set its size");
        Tool::new(real("mkfs.ext4"))
            .args(["-q", "-F"])
            .arg(disk.image())
            .run()
            .expect(0);
        fs::create_dir(disk.path()).expect("make a mount point");
        disk.mount();
        disk
    }

    fn image(&self) -> std::path::PathBuf {
        self.dir.path().join("disk")
    }

    /// Where it is mounted.
    pub fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn mount(&self) {
        Tool::new(real("mount"))
            .args(["-t", "ext4", "-o", "loop,errors=remount-ro"])
            .arg(self.image())
            .arg(self.path())
            .run()
            .expect(0);
    }

    /// Lets the kernel find an error in it: it turns read-only for everybody, as after a fault of a disk.
    ///
    /// # Panics
    /// When it is not mounted.
    pub fn break_down(&self) {
        let mounts = fs::read_to_string("/proc/mounts").expect("read the mounts");
        let point = self.path();
        let device = mounts
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, rest)| rest.split(' ').next().map(Path::new) == Some(&point))
            .and_then(|(device, _)| device.strip_prefix("/dev/"))
            .expect("its device");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").expect("break it");
    }

    /// What an administrator does about it: unmount, check, mount again. No program may use it.
    ///
    /// # Panics
    /// When it is in use or cannot be repaired.
    pub fn repair(&self) {
        Tool::new(real("umount")).arg(self.path()).run().expect(0);
        let check = Tool::new(real("fsck.ext4"))
            .args(["-f", "-y"])
            .arg(self.image())
            .run();
        // 1: errors were corrected.
        assert!(matches!(check.code, Some(0 | 1)), "{check}");
        self.mount();
    }

    /// Lets nobody write files with these names (`.`: nor change names), or lets them write again.
    ///
    /// # Panics
    /// When a file is not there.
    pub fn forbid(&self, forbid: bool, names: &[&str]) {
        Tool::new(real("chattr"))
            .arg(if forbid { "+i" } else { "-i" })
            .args(names.iter().map(|name| self.path().join(name)))
            .run()
            .expect(0);
    }
}

impl Default for Ext4 {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        let _ = Tool::new(real("umount")).arg("-l").arg(self.path()).run();
    }
}
