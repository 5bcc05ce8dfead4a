//! A master with its own data directory and configuration.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::command::{Run, Tool};
use crate::files::DataDir;
use crate::net::Net;
use crate::programs::Kind;
use crate::wait::{PATIENCE, until, wait_for};

/// A master: its configuration, its data directory and the process that owns the lock there.
#[derive(Debug)]
pub struct Master {
    /// Which program it is.
    pub kind: Kind,
    /// Its program file.
    program: PathBuf,
    /// Its data directory.
    pub data: DataDir,
    netns: PathBuf,
    dir: TempDir,
    options: Vec<(String, String)>,
    /// Shown to the master as its clock: the variables that `libfaketime` reads.
    clock: Option<Vec<(&'static str, String)>>,
    /// Whether a limit of the file size gives errors only, without its deadly signal.
    size_limit_errors: bool,
    foreground: Option<Child>,
}

impl Master {
    /// A master of a new file system: the data directory holds `metadata.mfs` with `MFSM NEW`.
    pub fn new(kind: Kind, net: &Net) -> Self {
        let master = Self::empty(kind, net);
        master.data.put("metadata.mfs", "MFSM NEW");
        master
    }

    /// A master with an empty data directory.
    pub fn empty(kind: Kind, net: &Net) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("make the data directory");
        Self::with_data(kind, net, dir, &data)
    }

    /// A master over a data directory that lies elsewhere (a small tmpfs, a read-only mount).
    pub fn over(kind: Kind, net: &Net, data: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::with_data(kind, net, dir, data)
    }

    fn with_data(kind: Kind, net: &Net, dir: TempDir, data: &Path) -> Self {
        let master = Self {
            kind,
            program: kind.mfsmaster(),
            data: DataDir::new(data),
            netns: net.path(),
            dir,
            options: Vec::new(),
            clock: None,
            size_limit_errors: false,
            foreground: None,
        };
        master.set_exports("* / rw,alldirs,admin,maproot=0:0\n* . rw\n");
        fs::write(master.dir.path().join("mfstopology.cfg"), "").expect("write the topology");
        master.write_config();
        master
    }

    /// Takes another program file than the one of its kind.
    pub fn program(&mut self, path: &Path) -> &mut Self {
        path.clone_into(&mut self.program);
        self
    }

    /// Replaces `mfsexports.cfg`.
    pub fn set_exports(&self, text: &str) {
        fs::write(self.dir.path().join("mfsexports.cfg"), text).expect("write the exports");
    }

    /// Sets an option of `mfsmaster.cfg`; the file is rewritten at once.
    pub fn option(&mut self, name: &str, value: &str) -> &mut Self {
        self.options.retain(|(old, _)| old != name);
        self.options.push((name.to_owned(), value.to_owned()));
        self.write_config();
        self
    }

    /// Lets the master believe that it starts at this moment (`YYYY-MM-DD hh:mm:ss`, UTC), with
    /// `libfaketime`: the only way to meet the full hour without waiting for it.
    pub fn clock(&mut self, start: &str) -> &mut Self {
        self.clock = Some(vec![
            ("FAKETIME", format!("@{start}")),
            // Time-outs and tickers go on as they are; only the time of day is moved.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]);
        self
    }

    /// Lets the master see a clock that the test can put forward with [`Master::put_clock_forward`],
    /// also while it runs: the only way to see days pass. The clock for time-outs goes with it.
    pub fn movable_clock(&mut self) -> &mut Self {
        self.put_clock_forward(0);
        self.clock = Some(vec![
            ("FAKETIME_TIMESTAMP_FILE", path_text(&self.clock_path())),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
        ]);
        self
    }

    /// Sets how far a [`Master::movable_clock`] is ahead of the real one, in seconds.
    pub fn put_clock_forward(&self, seconds: u64) {
        // The library reads the file at each question for the time: it must never be half written.
        let fresh = self.dir.path().join("clock.new");
        fs::write(&fresh, format!("+{seconds}s\n")).expect("write the clock");
        fs::rename(&fresh, self.clock_path()).expect("set the clock");
    }

    fn clock_path(&self) -> PathBuf {
        self.dir.path().join("clock")
    }

    /// Starts it so that a limit of the file size (`prlimit --fsize`) makes its writes fail, as a
    /// bad disk does, instead of ending it with SIGXFSZ.
    pub fn size_limit_errors(&mut self) -> &mut Self {
        self.size_limit_errors = true;
        self
    }

    /// The path of its `mfsmaster.cfg`.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("mfsmaster.cfg")
    }

    fn write_config(&self) {
        let etc = self.dir.path();
        let mut text = format!(
            "DATA_PATH = {}\nEXPORTS_FILENAME = {}\nTOPOLOGY_FILENAME = {}\n",
            self.data.path().display(),
            etc.join("mfsexports.cfg").display(),
            etc.join("mfstopology.cfg").display(),
        );
        for (name, value) in [("WORKING_USER", "root"), ("WORKING_GROUP", "root")] {
            if !self.options.iter().any(|(set, _)| set == name) {
                text.push_str(&format!("{name} = {value}\n"));
            }
        }
        for (name, value) in &self.options {
            text.push_str(&format!("{name} = {value}\n"));
        }
        fs::write(self.config(), text).expect("write the configuration");
    }

    /// The command line `mfsmaster -c CFG ARGS...` in the master's network, not yet run.
    pub fn tool(&self, args: &[&str]) -> Tool {
        let tool = Tool::new(crate::programs::real("nsenter"))
            .arg(format!("--net={}", self.netns.display()));
        let tool = match &self.clock {
            Some(clock) => clock
                .iter()
                .fold(tool, |tool, (name, value)| tool.env(name, value))
                // The library and not the `faketime` program, which would wait for the daemon.
                .env("LD_PRELOAD", faketime_library())
                .env("NO_FAKE_STAT", "1")
                .env("TZ", "UTC"),
            None => tool,
        };
        let tool = if self.size_limit_errors {
            // What is ignored stays ignored in the program that is started.
            tool.arg(crate::programs::real("env"))
                .arg("--ignore-signal=XFSZ")
        } else {
            tool
        };
        tool.arg(&self.program)
            .arg("-c")
            .arg(self.config())
            .args(args)
    }

    /// Runs `mfsmaster -c CFG ARGS...` to its end; `start` returns when the daemon is ready.
    pub fn run(&self, args: &[&str]) -> Run {
        self.tool(args).run()
    }

    /// Starts it in the background.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(&self) {
        self.run(&["start"]).expect(0);
        assert!(self.pid().is_some(), "start exited 0 but no master runs");
    }

    /// Starts a new file system whose first image is written: in one that begins with `MFSM NEW`
    /// the times of the root are those of whoever loads it, and replays differ in them.
    ///
    /// # Panics
    /// When it does not start or stop.
    #[track_caller]
    pub fn start_with_image(&self) {
        self.start();
        self.stop();
        self.start();
    }

    /// Starts it in the foreground; its output goes to [`Master::log`], and that of earlier
    /// masters to numbered files beside it.
    pub fn start_foreground(&mut self, args: &[&str]) {
        if self.log_path().exists() {
            let kept = (1..)
                .map(|number| self.log_path().with_extension(format!("log.{number}")))
                .find(|path| !path.exists())
                .expect("a free number");
            fs::rename(self.log_path(), kept).expect("keep the old log");
        }
        let log = File::create(self.log_path()).expect("make a log file");
        let tool = self.tool(&[args, &["-f", "start"]].concat());
        self.foreground = Some(tool.spawn(&log));
    }

    /// Waits for the end of a master that was started in the foreground; its exit code.
    ///
    /// # Panics
    /// When none was started or it does not end within `limit`.
    pub fn wait_foreground(&mut self, limit: Duration) -> Option<i32> {
        let mut child = self.foreground.take().expect("a master in the foreground");
        let mut status = None;
        let ended = until(limit, || {
            status = child.try_wait().expect("wait for the master");
            status.is_some()
        });
        if !ended {
            self.foreground = Some(child);
            panic!("the master still runs after {limit:?}: {}", self.log());
        }
        status.and_then(|status| status.code())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("master.log")
    }

    /// What the master in the foreground printed so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Stops it in order.
    ///
    /// # Panics
    /// When it does not stop.
    #[track_caller]
    pub fn stop(&self) {
        self.run(&["stop"]).expect(0);
        assert_eq!(self.pid(), None, "stop exited 0 but a master runs");
    }

    /// The process that holds the lock of the data directory (spec 01 §5).
    pub fn pid(&self) -> Option<Pid> {
        owner(&self.data.file(".mfsmaster.lock"))
    }

    /// Asserts that no master runs; one that is just ending after a failure has a moment.
    ///
    /// # Panics
    /// When one holds the lock for long.
    #[track_caller]
    pub fn assert_ended(&self) {
        assert!(until(PATIENCE, || self.pid().is_none()), "a master runs");
    }

    /// Sends a signal to the master.
    ///
    /// # Panics
    /// When no master runs.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(self.pid().expect("a running master"), signal).expect("send a signal");
    }

    /// Ends it with SIGKILL, as a crash would, and waits until nothing of it is left.
    ///
    /// # Panics
    /// When no master runs.
    #[track_caller]
    pub fn kill9(&self) {
        let pid = self.pid().expect("a running master");
        kill(pid, Signal::SIGKILL).expect("kill the master");
        self.wait_gone();
    }

    fn wait_gone(&self) {
        wait_for("the death of the master", PATIENCE, || self.pid().is_none());
        // The original's writer process outlives its master for a moment.
        wait_for("the end of the writer process", PATIENCE, || {
            owner(&self.data.file(".bgwriter.lock")).is_none()
        });
    }

    /// Brings a crashed data directory back: our `mfsmetarestore -a`, or `mfsmaster -a restore`
    /// of the original, which has no such tool.
    pub fn restore(&self) -> Run {
        match self.kind {
            Kind::Ours => Tool::new(crate::programs::metarestore())
                .args(["-a", "-d"])
                .arg(self.data.path())
                .run(),
            Kind::Original => self.run(&["-a", "restore"]),
        }
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// The process that holds a record lock on a file.
fn owner(path: &Path) -> Option<Pid> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .or_else(|_| File::open(path))
        .ok()?;
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut lock)).ok()?;
    (lock.l_type != libc::F_UNLCK as libc::c_short).then(|| Pid::from_raw(lock.l_pid))
}

fn faketime_library() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").expect("list /usr/lib");
    libraries
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.is_file())
        .expect("libfaketime is missing: apt-get install faketime (scripts/test does)")
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = until(PATIENCE, || self.pid().is_none());
        }
        if let Some(mut child) = self.foreground.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() && self.log_path().exists() {
            eprintln!("--- log of the master\n{}", self.log());
        }
    }
}
