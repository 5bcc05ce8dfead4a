//! Going to the background, and telling the one who started us how it went (spec 01 §3.3).
//!
//! The starter forks a child that opens a session of its own and forks the daemon. The daemon keeps
//! the starter's stderr, so that the progress of the load is seen at once, and the writing end of a
//! pipe. When it is ready it lets stderr go and writes one byte; the starter then exits 0. When the
//! pipe ends without that byte the start has failed: the starter, who is the daemon's reaper until
//! then, finds out how it ended and exits 1.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, setsid};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::terminal::Terminal;

/// What the daemon writes when it is ready.
const READY: u8 = b'R';

/// Which side of the fork this process is on.
pub(super) enum Side {
    /// The process that was started from the command line.
    Starter(Waiting),
    /// The process that is to serve.
    Daemon(Starter),
}

/// The starter's end of the pipe.
pub(super) struct Waiting {
    pipe: File,
}

/// The one who waits for this process to be ready.
pub(super) struct Starter {
    /// `None` in the foreground.
    pipe: Option<File>,
}

/// How a start in the background went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The daemon serves.
    Ready,
    /// The daemon ended with this code after it told why.
    Failed(i32),
    /// The daemon ended without a word.
    Died(String),
}

/// Forks the daemon. Nothing but this thread may run in the process.
pub(super) fn daemonize() -> io::Result<Side> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    // The daemon becomes our child when its parent ends, so that we can learn how it ended. Where
    // the kernel refuses, only that is lost.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    io::stdout().flush()?;

    // SAFETY: the process has one thread (no runtime, no log thread has been started yet), so the
    // child finds no lock taken and may go on as a normal program.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(writer);
            // Ends at once; its failures show as a pipe that ends without the mark.
            let _ = waitpid(child, None);
            let pipe = File::from(reader);
            return Ok(Side::Starter(Waiting { pipe }));
        }
        ForkResult::Child => drop(reader),
    }
    // Detached from the terminal's session; and no leader of the new one, so that opening a
    // terminal device can never make it ours.
    setsid()?;
    // SAFETY: as above; this is the only thread of the child.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        std::process::exit(0);
    }
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(Side::Daemon(Starter {
        pipe: Some(File::from(writer)),
    }))
}

impl Waiting {
    /// Waits until the daemon is ready or has ended.
    pub(super) fn outcome(mut self) -> Outcome {
        let mut mark = [0];
        if self.pipe.read_exact(&mut mark).is_ok() && mark == [READY] {
            return Outcome::Ready;
        }
        // Only the daemon is left as a child of ours.
        match nix::sys::wait::wait() {
            Ok(WaitStatus::Exited(_, code)) if code != 0 => Outcome::Failed(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                Outcome::Died(format!("was killed by {signal} before it was ready"))
            }
            _ => Outcome::Died("ended before it was ready".to_owned()),
        }
    }
}

impl Starter {
    /// Nobody waits: a run in the foreground.
    pub(super) fn none() -> Starter {
        Starter { pipe: None }
    }

    /// Tells the starter that we serve, and lets its terminal go. In the foreground the terminal
    /// stays.
    pub(super) fn ready(self, terminal: &Terminal) -> io::Result<()> {
        let Some(mut pipe) = self.pipe else {
            return Ok(());
        };
        // Before the mark: who reads our output must not wait for more after the starter's end.
        terminal.let_go();
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stderr(&null)?;
        match pipe.write_all(&[READY]) {
            // The starter was interrupted; the daemon goes on.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }
}
