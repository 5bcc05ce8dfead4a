//! What the tests work with: data directories, commands, and looks at processes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::probe::SERVICE;

/// A condition that does not come true within this time fails its test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A data directory with a configuration. Whatever still runs on it is killed at the end.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

/// What a finished command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        Done {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Done {
    /// Asserts the exit code and that a line of stderr is, or in the foreground ends with, `line`.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, line: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(
            self.err.lines().any(|l| l.ends_with(line)),
            "{line}: {self:?}"
        );
    }
}

impl Place {
    pub(crate) fn new() -> Place {
        Place::with("")
    }

    /// With other lines in the configuration.
    pub(crate) fn with(config: &str) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let mut text = format!("{config}\n");
        // Without the changes that only root may make, but for those a test asks for.
        let data_path = dir.path().display().to_string();
        for (option, value) in [
            ("DATA_PATH", data_path.as_str()),
            ("WORKING_USER", "#0"),
            ("WORKING_GROUP", "#0"),
            ("NICE_LEVEL", "0"),
            ("DISABLE_OOM_KILLER", "0"),
            ("FILE_UMASK", "027"),
        ] {
            if !config.contains(option) {
                text.push_str(&format!("{option} = {value}\n"));
            }
        }
        fs::write(dir.path().join("cfg"), text).unwrap();
        Place { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, behaviour: &str, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .arg("-c")
            .arg(self.path("cfg"))
            .args(args)
            .env(SERVICE, behaviour)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs to the end. That the end of its output is met also shows that no daemon holds it.
    pub(crate) fn run(&self, behaviour: &str, args: &[&str]) -> Done {
        self.command(behaviour, args).output().unwrap().into()
    }

    /// Starts a daemon that serves.
    #[track_caller]
    pub(crate) fn start(&self) -> u32 {
        self.run("serve", &["start"])
            .expect(0, "mfsmaster daemon initialized properly");
        self.pid().unwrap()
    }

    /// The process id of the running master, as the action `test` tells it.
    pub(crate) fn pid(&self) -> Option<u32> {
        let done = self.run("serve", &["test"]);
        match done.code {
            Some(0) => {
                let line = done.err.lines().last().unwrap();
                let pid = line.strip_prefix("mfsmaster pid: ").unwrap();
                Some(pid.parse().unwrap())
            }
            _ => {
                done.expect(1, "mfsmaster is not running");
                None
            }
        }
    }

    pub(crate) fn lock_text(&self) -> String {
        fs::read_to_string(self.path(".mfsmaster.lock")).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("events")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    pub(crate) fn await_event(&self, event: &str) {
        wait_until(event, || self.events().iter().any(|seen| seen == event));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The directory is about to go, and a daemon in it would stay for ever.
        let _ = self.command("serve", &["-t", "5", "kill"]).output();
    }
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A field of `/proc/PID/status`.
pub(crate) fn status_field(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

/// Soft and hard limit of `/proc/PID/limits`.
pub(crate) fn limit(pid: u32, name: &str) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut words = line.unwrap().split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Reads lines of a child's stderr until one contains `text`.
pub(crate) fn read_until(child: &mut Child, text: &str) {
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut byte = [0];
        let n = std::io::Read::read(&mut reader, &mut byte).unwrap();
        assert_eq!(n, 1, "stderr ended after {seen:?}");
        seen.push(byte[0].into());
    }
    // Goes on reading, so that the child never blocks.
    std::thread::spawn(move || reader.lines().map_while(Result::ok).count());
}
