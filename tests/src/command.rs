//! Running a program to its end, inside a network namespace or outside.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::net::Namespace;
use crate::programs::real;
use crate::wait::until;

/// How long a program may take before the test fails.
const LIMIT: Duration = Duration::from_secs(600);

/// What a finished program left behind.
#[derive(Debug, Clone)]
pub struct Run {
    /// The command line, for messages.
    pub command: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output, not valid UTF-8 replaced.
    pub stdout: String,
    /// What it wrote to standard error, not valid UTF-8 replaced.
    pub stderr: String,
}

impl Run {
    /// Asserts the exit code and gives the run back.
    ///
    /// # Panics
    /// With everything the program printed when the code is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "unexpected exit code: {self}");
        self
    }

    /// Standard output and standard error, one after the other.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} -> {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}

/// A command line to run.
#[derive(Debug)]
pub struct Tool {
    command: Command,
}

impl Tool {
    /// A program by its path, in the network of the caller.
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            command: Command::new(program.as_ref()),
        }
    }

    /// A program by its path, inside a private network or one of its machines.
    pub fn inside(place: &impl Namespace, program: impl AsRef<Path>) -> Self {
        let mut command = Command::new(real("nsenter"));
        command
            .arg(format!("--net={}", place.file().display()))
            .arg(program.as_ref());
        Self { command }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working directory.
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    fn line(&self) -> String {
        let parts: Vec<OsString> = std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(OsStr::to_os_string)
            .collect();
        parts.join(OsStr::new(" ")).to_string_lossy().into_owned()
    }

    /// Starts it and leaves it running; its output goes to `output`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(mut self, output: &File) -> Child {
        let line = self.line();
        self.command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("duplicate an output file"))
            .stderr(output.try_clone().expect("duplicate an output file"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"))
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started or does not end within two minutes.
    pub fn run(mut self) -> Run {
        // Files and not pipes: a daemon that the program leaves behind may hold them open.
        let mut out = tempfile::tempfile().expect("a temporary file");
        let mut err = tempfile::tempfile().expect("a temporary file");
        let command = self.line();
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("duplicate an output file"))
            .stderr(err.try_clone().expect("duplicate an output file"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command}: {error}"));
        let mut status = None;
        let ended = until(LIMIT, || {
            status = child.try_wait().expect("wait for a child");
            status.is_some()
        });
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
        }
        let run = Run {
            command,
            code: status.and_then(|status| status.code()),
            stdout: contents(&mut out),
            stderr: contents(&mut err),
        };
        assert!(ended, "still running after {LIMIT:?}: {run}");
        run
    }
}

fn contents(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .expect("read a program's output");
    String::from_utf8_lossy(&bytes).into_owned()
}
