//! Processes that hold and await locks (`tests/data/locks/actor.py`).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::files::fixture;
use crate::programs::real;

/// How long an answer may take that must come.
const ANSWER: Duration = Duration::from_secs(60);

/// For how long there must be no answer to call it waiting.
const QUIET: Duration = Duration::from_millis(400);

/// A process that has one file open and locks it as it is told; killed on drop.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    answers: Receiver<String>,
}

impl Actor {
    /// Starts one and lets it open the file.
    ///
    /// # Panics
    /// When the file cannot be opened.
    #[track_caller]
    pub fn new(file: &Path) -> Self {
        let mut child = Command::new(real("python3"))
            .arg(fixture("locks/actor.py"))
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start an actor");
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut actor = Self { child, answers };
        assert_eq!(actor.ask("open"), "ok");
        actor
    }

    /// Tells it to do something and does not wait for the answer.
    pub fn tell(&mut self, command: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{command}").expect("tell an actor");
    }

    /// The next answer.
    ///
    /// # Panics
    /// When none comes for long.
    #[track_caller]
    pub fn answer(&mut self) -> String {
        self.answers
            .recv_timeout(ANSWER)
            .expect("an actor has no answer")
    }

    /// Tells it to do something and gives its answer.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// Tells it to do what must wait, and sees that it does.
    ///
    /// # Panics
    /// When it does not wait.
    #[track_caller]
    pub fn waits(&mut self, command: &str) {
        self.tell(command);
        self.still_waits();
    }

    /// Sees that it waits.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn still_waits(&mut self) {
        match self.answers.recv_timeout(QUIET) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("an actor does not wait: {other:?}"),
        }
    }

    /// Interrupts what it waits for.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGUSR1);
    }

    /// Ends it with SIGKILL and waits for its end: the system closes what it had open.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("signal an actor");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Not waited for: one that hangs in a lock ends when its mount does.
        let _ = self.child.try_wait();
    }
}
