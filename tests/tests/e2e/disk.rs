//! Disks that are full, small or read-only.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use antler_e2e::{DataDir, Ext4, Kind, Master, Mount, Net, PATIENCE, Tmpfs, Tool, real, wait_for};
use nix::sys::signal::Signal;

/// Fills a disk to the last page; what remains is less than any image.
fn fill(disk: &Tmpfs) {
    let mut file = File::create(disk.path().join("filler")).expect("create a file");
    let block = [0_u8; 4096];
    while file.write_all(&block).is_ok() {}
}

/// Gives back all that [`fill`] took.
fn free(disk: &Tmpfs) {
    std::fs::remove_file(disk.path().join("filler")).expect("remove a file");
}

/// Gives back about so many bytes of it.
fn free_some(disk: &Tmpfs, bytes: u64) {
    let path = disk.path().join("filler");
    let file = File::options().write(true).open(path).expect("the filler");
    let length = file.metadata().expect("its size").len();
    file.set_len(length - bytes).expect("make it smaller");
}

/// Images that masters saved outside of their data directories; removed on drop.
struct Rescued(Vec<PathBuf>);

impl Rescued {
    /// Waits until a master in the foreground tells that it has saved one.
    fn by(master: &Master) -> Self {
        const TOLD: &str = "metadata file stored in emergency mode, file name: ";
        wait_for_log(master, TOLD);
        let log = master.log();
        let told = log.lines().filter_map(|line| line.split_once(TOLD));
        let paths = told.filter_map(|(_, rest)| rest.split(' ').next());
        Self(paths.map(PathBuf::from).collect())
    }

    /// The version of the only one.
    fn version(&self, master: &Master) -> u64 {
        assert_eq!(self.0.len(), 1, "{:?}", self.0);
        let outside = !self.0[0].starts_with(master.data.path());
        assert!(outside, "{:?}", self.0);
        let dir = self.0[0].parent().expect("a directory");
        let name = self.0[0].file_name().expect("a name").to_string_lossy();
        DataDir::new(dir).version(&name)
    }
}

impl Drop for Rescued {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes directories `d0`, `d1`, ... in the background, which may have to wait for a disk. Gives the number of
/// those that were answered.
struct Worker {
    made: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(root: PathBuf, count: usize) -> Self {
        let made = Arc::new(AtomicUsize::new(0));
        let answered = Arc::clone(&made);
        let thread = std::thread::spawn(move || {
            for i in 0..count {
                if std::fs::create_dir(root.join(format!("d{i}"))).is_err() {
                    return;
                }
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { made, thread }
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// Waits for its end.
    fn finish(self) -> usize {
        wait_for("the changes that had to wait", PATIENCE, || {
            self.thread.is_finished()
        });
        self.thread.join().expect("the worker");
        self.made.load(Ordering::SeqCst)
    }
}

/// What the log says when lines cannot be written, and when they can be again.
const HELD: &str = "changes can't be logged";
const GOES_ON: &str = "changelog is written again";

fn wait_for_log(master: &Master, text: &str) {
    wait_for(text, PATIENCE, || master.log().contains(text));
}

/// A master over a disk that holds nothing yet.
fn new_file_system(net: &Net, disk: &Path) -> Master {
    let master = Master::over(Kind::Ours, net, disk);
    master.data.put("metadata.mfs", "MFSM NEW");
    master
}

/// All changes that were answered are there when the master runs again.
#[track_caller]
fn expect_after_start(master: &Master, net: &Net, names: impl IntoIterator<Item = String>) {
    master.start();
    let mount = Mount::new(net);
    for name in names {
        assert!(
            mount.join(&name).is_dir(),
            "an answered change is lost: {name}"
        );
    }
}

/// On a full disk no answer leaves whose change is not written; when space returns everything
/// goes on, and after a crash all that was answered is there.
#[test]
fn full_disk_while_running() {
    let net = Net::new();
    let disk = Tmpfs::new("size=8m");
    let mut master = new_file_system(&net, disk.path());
    master.start_foreground(&[]);
    let mount = mounted(&net);
    std::fs::create_dir(mount.join("before")).expect("mkdir");
    fill(&disk);
    // The page that the changelog has already may take some lines; then nothing more.
    let worker = Worker::start(mount.path(), 2000);
    wait_for_log(&master, HELD);
    let answered = worker.made();
    assert!(answered < 2000, "answered without a line");
    assert!(master.pid().is_some(), "the master ended on a full disk");
    free(&disk);
    wait_for_log(&master, GOES_ON);
    let made = worker.finish();
    assert_eq!(made, 2000);
    std::fs::create_dir(mount.join("after")).expect("mkdir");
    master.kill9();
    drop(mount);
    master.restore().expect(0);
    let names = (0..made).map(|i| format!("d{i}"));
    expect_after_start(
        &master,
        &net,
        names.chain(["before", "after"].map(String::from)),
    );
}

/// A stop on a full disk saves the image in an emergency place, says so, and goes on trying
/// until there is space again (spec 01 §11, §12).
#[test]
fn full_disk_at_stop() {
    let net = Net::new();
    let disk = Tmpfs::new("size=8m");
    let mut master = new_file_system(&net, disk.path());
    master.start_foreground(&[]);
    let mount = mounted(&net);
    for i in 0..200 {
        std::fs::create_dir(mount.join(format!("d{i}"))).expect("mkdir");
    }
    mount.unmount();
    let back = master.data.get("metadata.mfs.back");
    fill(&disk);
    master.signal(Signal::SIGTERM);
    let rescued = Rescued::by(&master);
    assert!(rescued.version(&master) > 200);
    assert_eq!(
        master.data.get("metadata.mfs.back"),
        back,
        "the old image is damaged"
    );
    assert!(!master.data.has("metadata.mfs"));
    free(&disk);
    assert_eq!(master.wait_foreground(PATIENCE), Some(0));
    assert!(master.data.version("metadata.mfs") > 200);
    expect_after_start(&master, &net, ["d199".to_owned()]);
}

/// Mounts as soon as a master in the foreground listens.
fn mounted(net: &Net) -> Mount {
    let mut mount = None;
    wait_for("a mount", PATIENCE, || {
        mount = Mount::try_with(net, "/", antler_e2e::CACHES_OFF).ok();
        mount.is_some()
    });
    mount.expect("a mount")
}

/// A crash, and a data directory that is read-only afterwards.
#[test]
fn read_only_disk_at_restore() {
    let net = Net::new();
    let disk = Tmpfs::new("size=8m");
    let master = new_file_system(&net, disk.path());
    master.start();
    let mount = Mount::new(&net);
    std::fs::create_dir(mount.join("before")).expect("mkdir");
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
    expect_after_start(&master, &net, ["before".to_owned()]);
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
    fill(&disk);
    let before = master.data.snapshot();
    master.restore().expect(1);
    assert_eq!(before, master.data.snapshot());
    free(&disk);
    master.restore().expect(0);
    assert_eq!(master.data.version("metadata.mfs"), 18);
}

/// A write of the changelog that fails in the middle of a line: the half line is taken back, no
/// line is glued to it, the change is answered when it can be written as a whole.
#[test]
fn write_fails_in_the_middle_of_a_line() {
    let net = Net::new();
    let mut master = Master::new(Kind::Ours, &net);
    master.size_limit_errors().start_foreground(&[]);
    let mount = mounted(&net);
    // More than the log takes, which the limit is for as well.
    for i in 0..300 {
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
    let worker = Worker::start(mount.path(), 50);
    wait_for_log(&master, HELD);
    assert_eq!(worker.made(), 0, "answered without a line");
    assert_eq!(
        master.data.get("changelog.0.mfs").len(),
        size,
        "half a line"
    );
    limit("unlimited");
    let made = worker.finish();
    assert_eq!(made, 50);
    std::fs::create_dir(mount.join("after")).expect("mkdir");
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
    let names = (0..made).map(|i| format!("d{i}"));
    expect_after_start(
        &master,
        &net,
        names.chain(["before9", "after"].map(String::from)),
    );
}

/// The hourly image does not fit on the disk any more, the changelog does: the master goes on, the old image and
/// all changelogs stay, an image is saved elsewhere, and the next one follows when there is space (spec 01 §10, §12,
/// §19/12; the original ends itself).
#[test]
fn disk_fills_up_in_the_middle_of_the_hourly_image() {
    let net = Net::new();
    let disk = Tmpfs::new("size=8m");
    let mut master = new_file_system(&net, disk.path());
    master.start();
    let mount = Mount::new(&net);
    for i in 0..3000 {
        std::fs::create_dir(mount.join(format!("old{i}"))).expect("mkdir");
    }
    mount.unmount();
    master.stop();
    let image = master.data.get("metadata.mfs");
    let room = image.len() as u64 / 2;
    fill(&disk);
    free_some(&disk, room);
    master.clock("2030-01-01 11:59:55").start_foreground(&[]);
    let mount = mounted(&net);
    std::fs::create_dir(mount.join("logged")).expect("mkdir");
    wait_for_log(&master, "can't store metadata");
    let rescued = Rescued::by(&master);
    assert!(rescued.version(&master) > 3000);
    assert!(
        master.data.get("metadata.mfs.back") == image,
        "the old image is damaged"
    );
    assert!(!master.data.has("metadata.mfs"));
    assert!(!master.data.has("metadata.mfs.emergency"), "half an image");
    let old_log = || master.data.has("changelog.1.mfs");
    assert!(old_log(), "{:?}", master.data.names());
    // Not only is it alive: it takes changes.
    std::fs::create_dir(mount.join("meanwhile")).expect("mkdir");
    free(&disk);
    let before = master.data.version("metadata.mfs.back");
    wait_for("the next try", PATIENCE, || {
        master.data.version("metadata.mfs.back") > before
    });
    assert!(!master.data.has("metadata.mfs.back.tmp"));
    std::fs::create_dir(mount.join("after")).expect("mkdir");
    master.kill9();
    drop(mount);
    // The emergency image is there still, and older than the changelogs: nobody takes it for the truth.
    master.restore().expect(0);
    let names = (0..3000).map(|i| format!("old{i}"));
    let others = ["logged", "meanwhile", "after"].map(String::from);
    expect_after_start(&master, &net, names.chain(others));
}

/// A data directory in which nothing can be written for a while: clients wait, an image is saved elsewhere at the
/// full hour, and everything goes on where it stood.
#[test]
fn data_directory_cannot_be_written_for_a_while() {
    let net = Net::new();
    let disk = Ext4::new();
    let mut master = new_file_system(&net, &disk.path());
    master.clock("2030-01-01 11:59:50").start_foreground(&[]);
    let (mount, other) = (mounted(&net), Mount::new(&net));
    std::fs::create_dir(mount.join("before")).expect("mkdir");
    let names: Vec<String> = ["changelog.0.mfs", "metadata.mfs.back", "."]
        .into_iter()
        .filter(|name| *name == "." || master.data.has(name))
        .map(String::from)
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    disk.forbid(true, &names);
    let before = master.data.snapshot();
    let worker = Worker::start(mount.path(), 20);
    wait_for_log(&master, HELD);
    // Nobody is told of a change that a crash would take back, not by a look at it either.
    let seen = other.join("d0");
    let look = std::thread::spawn(move || seen.is_dir());
    wait_for_log(&master, "can't store metadata");
    let rescued = Rescued::by(&master);
    rescued.version(&master);
    assert_eq!(worker.made(), 0, "answered without a line");
    assert!(!look.is_finished(), "answered without a line");
    assert!(master.data.snapshot() == before, "something was written");
    disk.forbid(false, &names);
    wait_for_log(&master, GOES_ON);
    assert_eq!(worker.finish(), 20);
    wait_for("the look", PATIENCE, || look.is_finished());
    assert!(look.join().expect("the look"));
    wait_for("an image", PATIENCE, || {
        master.data.version("metadata.mfs.back") > 20
    });
    master.kill9();
    drop((mount, other));
    master.restore().expect(0);
    let names = (0..20).map(|i| format!("d{i}"));
    expect_after_start(&master, &net, names.chain(["before".to_owned()]));
}

/// A disk that fails for good: the kernel turns the file system read-only under the master, and nothing but a
/// repair, for which the master has to end, brings it back. What was answered was on the disk
/// (`CHANGELOG_SAVE_MODE = 2`), and what the master had in memory is in the image that it saves elsewhere.
#[test]
fn disk_turns_read_only_under_a_running_master() {
    let net = Net::new();
    let disk = Ext4::new();
    let mut master = new_file_system(&net, &disk.path());
    master.option("CHANGELOG_SAVE_MODE", "2");
    master.start_foreground(&[]);
    let mount = mounted(&net);
    std::fs::create_dir(mount.join("before")).expect("mkdir");
    disk.break_down();
    let worker = Worker::start(mount.path(), 1);
    wait_for_log(&master, HELD);
    assert!(master.log().contains("ead-only"), "does not say why");
    assert_eq!(worker.made(), 0, "answered without a line");
    master.signal(Signal::SIGTERM);
    let rescued = Rescued::by(&master);
    let version = rescued.version(&master);
    assert_eq!(master.wait_foreground(PATIENCE), Some(1));
    // Its client waited to the end and was told nothing.
    assert_eq!(worker.made(), 0);
    drop(mount);
    drop(worker);
    disk.repair();
    master.run(&["start"]).expect(1);
    master.assert_ended();
    // In its own place outside it is found by itself, unless an image of another master lies there.
    let image = std::fs::read(&rescued.0[0]).expect("the emergency image");
    master.data.put("metadata.mfs.emergency", image);
    master.restore().expect(0);
    assert_eq!(master.data.version("metadata.mfs"), version);
    expect_after_start(&master, &net, ["before".to_owned()]);
}
