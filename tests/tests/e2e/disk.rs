//! Disks that are full, small or read-only.

use std::path::Path;
use std::time::Duration;

use antler_e2e::{Kind, Master, Mount, Net, Tool, real, until, wait_for};
use tempfile::TempDir;

/// A small file system of its own; unmounted on drop.
pub(crate) struct Tmpfs {
    dir: TempDir,
}

impl Tmpfs {
    /// Mounts one with options like `size=1m`.
    pub(crate) fn new(options: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Tool::new(real("mount"))
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .run()
            .expect(0);
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes its options.
    pub(crate) fn remount(&self, options: &str) {
        Tool::new(real("mount"))
            .args(["-o", &format!("remount,{options}")])
            .arg(self.path())
            .run()
            .expect(0);
    }

    /// Fills it to the last page; what remains is less than any image.
    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.path().join("filler")).expect("create a file");
        let block = [0_u8; 4096];
        while file.write_all(&block).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("remove a file");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Tool::new(real("umount")).arg("-l").arg(self.path()).run();
    }
}

const A_MOMENT: Duration = Duration::from_secs(20);

/// On a full disk no answer leaves whose change is not written; when space returns everything
/// goes on, and after a crash all that was answered is there.
#[test]
fn full_disk_while_running() {
    let net = Net::new();
    let disk = Tmpfs::new("size=8m");
    let master = Master::over(Kind::Ours, &net, disk.path());
    master.data.put("metadata.mfs", "MFSM NEW");
    master.start();
    let mount = Mount::new(&net);
    std::fs::create_dir(mount.join("before")).expect("mkdir");
    disk.fill();
    // In the background: it may have to wait for space.
    let root = mount.path();
    let worker = std::thread::spawn(move || {
        (0..2000)
            .take_while(|i| std::fs::create_dir(root.join(format!("d{i}"))).is_ok())
            .count()
    });
    // The page that the changelog has already may take some lines; then nothing more.
    until(Duration::from_secs(3), || worker.is_finished());
    assert!(master.pid().is_some(), "the master ended on a full disk");
    disk.free();
    let made = worker.join().expect("the worker");
    wait_for("work after space returned", A_MOMENT, || {
        std::fs::create_dir(mount.join("after")).is_ok() || mount.join("after").exists()
    });
    master.kill9();
    drop(mount);
    master.restore().expect(0);
    master.start();
    let mount = Mount::new(&net);
    for name in ["before", "after"]
        .map(String::from)
        .into_iter()
        .chain((0..made).map(|i| format!("d{i}")))
    {
        assert!(
            mount.join(&name).is_dir(),
            "an answered change is lost: {name}"
        );
    }
}

/// A stop on a full disk saves the image in an emergency place, says so, and goes on trying
/// until there is space again (spec 01 §11, §12).
#[test]
fn full_disk_at_stop() {
    let net = Net::new();
    let disk = Tmpfs::new("size=8m");
    let mut master = Master::over(Kind::Ours, &net, disk.path());
    master.data.put("metadata.mfs", "MFSM NEW");
    master.start_foreground(&[]);
    let mount = mounted(&net);
    for i in 0..200 {
        std::fs::create_dir(mount.join(format!("d{i}"))).expect("mkdir");
    }
    mount.unmount();
    let back = master.data.get("metadata.mfs.back");
    disk.fill();
    master.signal(nix::sys::signal::Signal::SIGTERM);
    wait_for("the emergency image", A_MOMENT, || {
        master.log().contains("metadata.mfs.emergency")
    });
    assert_eq!(
        master.data.get("metadata.mfs.back"),
        back,
        "the old image is damaged"
    );
    assert!(!master.data.has("metadata.mfs"));
    disk.free();
    assert_eq!(master.wait_foreground(Duration::from_secs(30)), Some(0));
    assert!(master.data.version("metadata.mfs") > 200);
    master.start();
    let mount = Mount::new(&net);
    assert!(mount.join("d199").is_dir());
}

/// Mounts as soon as a master in the foreground listens.
fn mounted(net: &Net) -> Mount {
    let mut mount = None;
    wait_for("a mount", A_MOMENT, || {
        mount = Mount::try_with(net, "/", antler_e2e::CACHES_OFF).ok();
        mount.is_some()
    });
    mount.expect("a mount")
}

/// A file system that turns read-only under a running master, as kernels do on errors.
#[test]
fn disk_turns_read_only() {
    let net = Net::new();
    let disk = Tmpfs::new("size=8m");
    let master = Master::over(Kind::Ours, &net, disk.path());
    master.data.put("metadata.mfs", "MFSM NEW");
    master.start();
    let mount = Mount::new(&net);
    std::fs::create_dir(mount.join("before")).expect("mkdir");
    // A crash on the spot, then a directory that cannot be written.
    master.kill9();
    drop(mount);
    disk.remount("ro");
    let before = master.data.snapshot();
    let run = master.restore().expect(1);
    assert!(run.text().contains("ead-only"), "does not say why: {run}");
    master.run(&["-a", "start"]).expect(1);
    assert_eq!(before, master.data.snapshot());
    disk.remount("rw");
    master.restore().expect(0);
    master.start();
    let mount = Mount::new(&net);
    assert!(mount.join("before").is_dir());
}

/// `mfsmetarestore` on a full disk: an error, no half image, the inputs as they were.
#[test]
fn full_disk_at_restore() {
    let net = Net::new();
    let disk = Tmpfs::new("size=4m");
    let master = Master::over(Kind::Ours, &net, disk.path());
    master
        .data
        .put_fixture("lifecycle/v13.mfs", "metadata.mfs.back");
    master
        .data
        .put_fixture("lifecycle/changes-13-17.mfs", "changelog.0.mfs");
    disk.fill();
    let before = master.data.snapshot();
    master.restore().expect(1);
    assert_eq!(before, master.data.snapshot());
    disk.free();
    master.restore().expect(0);
    assert_eq!(master.data.version("metadata.mfs"), 18);
}

/// A write of the changelog that fails in the middle of a line: the half line is taken back, no
/// line is glued to it, the change is answered when it can be written as a whole.
#[test]
fn write_fails_in_the_middle_of_a_line() {
    let net = Net::new();
    let mut master = Master::new(Kind::Ours, &net);
    master.size_limit_errors().start();
    let mount = Mount::new(&net);
    for i in 0..10 {
        std::fs::create_dir(mount.join(format!("before{i}"))).expect("mkdir");
    }
    let size = master.data.get("changelog.0.mfs").len();
    // The kernel takes 20 bytes more and refuses the rest, as a full disk may.
    let limit = |fsize: &str| {
        Tool::new(real("prlimit"))
            .arg("--pid")
            .arg(master.pid().expect("a running master").to_string())
            .arg(format!("--fsize={fsize}"))
            .run()
            .expect(0);
    };
    limit(&format!("{}:unlimited", size + 20));
    let root = mount.path();
    let worker = std::thread::spawn(move || {
        (0..50)
            .filter(|i| std::fs::create_dir(root.join(format!("d{i}"))).is_ok())
            .collect::<Vec<_>>()
    });
    until(Duration::from_secs(2), || worker.is_finished());
    assert!(
        master.data.get("changelog.0.mfs").len() <= size + 20,
        "the limit does not work"
    );
    limit("unlimited");
    let made = worker.join().expect("the worker");
    wait_for("work after the disk is well again", A_MOMENT, || {
        std::fs::create_dir(mount.join("after")).is_ok() || mount.join("after").exists()
    });
    master.kill9();
    drop(mount);
    for (name, log) in master.data.snapshot() {
        if name.starts_with("changelog") {
            for line in String::from_utf8_lossy(&log).lines() {
                assert_eq!(
                    line.matches('|').count(),
                    1,
                    "glued lines in {name}: {line}"
                );
            }
        }
    }
    master.restore().expect(0);
    master.start();
    let mount = Mount::new(&net);
    let names = made.iter().map(|i| format!("d{i}"));
    for name in names.chain(["before9", "after"].map(String::from)) {
        assert!(
            mount.join(&name).is_dir(),
            "an answered change is lost: {name}"
        );
    }
}
