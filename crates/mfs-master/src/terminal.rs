//! What the person who typed the command sees: lines and steps on stderr.
//!
//! A master that starts in the background writes here until it is ready (or has failed); then the
//! terminal is let go and everything further is for the log alone. A closed or full stderr never
//! disturbs the master: write errors are ignored.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

/// A shared handle on stderr that keeps lines whole when several parties write.
#[derive(Clone)]
pub struct Terminal {
    state: Arc<Mutex<State>>,
}

struct State {
    /// `None` once the terminal has been let go.
    out: Option<Box<dyn Write + Send>>,
    /// Something was written after the last line end.
    open: bool,
}

impl Terminal {
    /// The terminal behind stderr.
    #[must_use]
    pub fn stderr() -> Terminal {
        Terminal::new(io::stderr())
    }

    /// A terminal that writes to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Terminal {
        let out: Box<dyn Write + Send> = Box::new(out);
        let state = State {
            out: Some(out),
            open: false,
        };
        Terminal {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Writes a line; an unfinished one before it is ended first.
    pub fn line(&self, text: impl Display) {
        let mut state = self.state.lock();
        let before = if state.open { "\n" } else { "" };
        state.write(&format!("{before}{text}\n"));
        state.open = false;
    }

    /// Writes part of a line: [`Terminal::finish`] or the next [`Terminal::line`] ends it.
    pub fn part(&self, text: impl Display) {
        let mut state = self.state.lock();
        state.write(&text.to_string());
        state.open = true;
    }

    /// Ends the line that [`Terminal::part`] began.
    pub fn finish(&self, text: impl Display) {
        let mut state = self.state.lock();
        state.write(&format!("{text}\n"));
        state.open = false;
    }

    /// Shows that something long begins: `loading names ... `.
    #[must_use]
    pub fn step(&self, what: impl Display) -> Step {
        self.part(format_args!("{what} ... "));
        Step {
            terminal: self.clone(),
            started: Instant::now(),
        }
    }

    /// Lets the terminal go: whatever is written from now on is dropped.
    pub fn let_go(&self) {
        self.state.lock().out = None;
    }
}

impl State {
    fn write(&mut self, text: &str) {
        if let Some(out) = &mut self.out {
            // One write for the line, so that lines of several processes do not mix. Nobody can
            // be told when it fails.
            let _ = out.write_all(text.as_bytes());
            let _ = out.flush();
        }
    }
}

/// Something long that was shown to begin.
pub struct Step {
    terminal: Terminal,
    started: Instant,
}

impl Step {
    /// Shows success and the seconds that it took.
    pub fn ok(self) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.terminal.finish(format_args!("ok ({seconds:.4})"));
    }

    /// Shows another outcome.
    pub fn done(self, outcome: impl Display) {
        self.terminal.finish(outcome);
    }
}

/// Log lines on the terminal: each event is one write of a whole line.
impl<'a> MakeWriter<'a> for Terminal {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

/// Writes each buffer it is given as a line of its terminal.
pub struct LineWriter<'a>(&'a Terminal);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.line(text.trim_end_matches('\n'));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose text tests can read back.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Captured {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_parts() {
        let captured = Captured::default();
        let terminal = Terminal::new(captured.clone());
        terminal.line("first");
        terminal.part("waiting ");
        terminal.part(".");
        terminal.finish("done");
        terminal.part("loading ... ");
        terminal.line("a warning");
        terminal.step("checking").done("failed");
        assert_eq!(
            captured.text(),
            "first\nwaiting .done\nloading ... \na warning\nchecking ... failed\n"
        );
    }

    #[test]
    fn a_step_tells_its_seconds() {
        let captured = Captured::default();
        Terminal::new(captured.clone()).step("loading names").ok();
        let text = captured.text();
        let seconds = text.strip_prefix("loading names ... ok (").unwrap();
        let seconds = seconds.strip_suffix(")\n").unwrap();
        assert!(seconds.parse::<f64>().unwrap() < 60.0);
    }

    #[test]
    fn nothing_is_written_after_letting_go() {
        let captured = Captured::default();
        let terminal = Terminal::new(captured.clone());
        let other = terminal.clone();
        terminal.line("before");
        terminal.let_go();
        other.line("after");
        other.make_writer().write_all(b"a log line\n").unwrap();
        assert_eq!(captured.text(), "before\n");
    }
}
