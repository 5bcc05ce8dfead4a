//! The log: one line per event, for people.
//!
//! | where the program runs | where lines go |
//! |---|---|
//! | action without a server (`test`, `stop`, ...) | plain text on stderr |
//! | foreground (`-f`) | stderr with time and level; under systemd with the level as its prefix |
//! | daemon | syslog (facility daemon); until it is ready also as plain text to who started it |
//!
//! `RUST_LOG` selects what is logged (default `info`).

use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::terminal::Terminal;

/// Where the syslog daemon listens.
const SYSLOG_SOCKET: &str = "/dev/log";

/// Facility `daemon` of syslog, in its place in the priority number.
const FACILITY_DAEMON: u8 = 3 << 3;

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Plain text on the terminal.
    Terminal,
    /// The terminal of a foreground run, with time stamps or, under systemd, level prefixes.
    Foreground,
    /// Syslog with this identifier, and plain text on the terminal until that is let go.
    Syslog {
        /// `SYSLOG_IDENT` of the configuration.
        ident: String,
    },
}

/// Makes `target` the log of this process, panics included. Call it once, after the last fork.
pub fn init(target: &Target, terminal: &Terminal) {
    let filter = || EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter());
    let style = match target {
        Target::Foreground if stderr_is_journal() => Style::Journal,
        Target::Foreground => Style::Stamped,
        Target::Terminal | Target::Syslog { .. } => Style::Plain,
    };
    let on_terminal = layer(style, terminal.clone());
    // Fails only when a log is set already, which then stays.
    let _ = match target {
        Target::Terminal | Target::Foreground => {
            tracing::subscriber::set_global_default(registry.with(on_terminal))
        }
        Target::Syslog { ident } => {
            let style = Style::Syslog {
                ident: ident.clone(),
            };
            let to_syslog = layer(style, Syslog::new(Path::new(SYSLOG_SOCKET)));
            let both = registry.with(on_terminal).with(to_syslog);
            tracing::subscriber::set_global_default(both)
        }
    };
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%backtrace, "{panic}");
    }));
}

fn layer<S, W>(style: Style, writer: W) -> impl tracing_subscriber::Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(LineFormat(style))
        .with_writer(writer)
}

/// Whether systemd says that its journal reads our stderr (`JOURNAL_STREAM`, `systemd.exec(5)`).
fn stderr_is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// How a line begins.
#[derive(Debug, Clone)]
enum Style {
    /// With the message.
    Plain,
    /// With local time and level.
    Stamped,
    /// With the level as `<N>` (`sd-daemon(3)`).
    Journal,
    /// As a syslog datagram (RFC 3164).
    Syslog { ident: String },
}

struct LineFormat(Style);

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        match &self.0 {
            Style::Plain => {}
            Style::Stamped => {
                let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S%.3f");
                write!(writer, "{now} {level:<5} ")?;
            }
            Style::Journal => write!(writer, "<{}>", severity(level))?,
            Style::Syslog { ident } => {
                let priority = FACILITY_DAEMON | severity(level);
                let now = chrono::Local::now().format("%b %e %H:%M:%S");
                let pid = std::process::id();
                write!(writer, "<{priority}>{now} {ident}[{pid}]: ")?;
            }
        }
        let mut text = String::new();
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|s| s.from_root())
        {
            text.push_str(span.name());
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                text.push_str(&format!("{{{fields}}}"));
            }
            text.push_str(": ");
        }
        context
            .field_format()
            .format_fields(Writer::new(&mut text), event)?;
        // Names come from clients: a line feed in one must not forge a line of the log.
        for c in text.chars() {
            if c.is_control() {
                write!(writer, "{}", c.escape_default())?;
            } else {
                writer.write_char(c)?;
            }
        }
        match self.0 {
            Style::Syslog { .. } => Ok(()),
            Style::Plain | Style::Stamped | Style::Journal => writeln!(writer),
        }
    }
}

/// The syslog severity of a level.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// The socket of the syslog daemon. A daemon that is absent or slow costs log lines, never time.
struct Syslog {
    path: PathBuf,
    state: Mutex<SyslogState>,
}

struct SyslogState {
    socket: Option<UnixDatagram>,
    lost: u64,
}

impl Syslog {
    fn new(path: &Path) -> Syslog {
        Syslog {
            path: path.to_owned(),
            state: Mutex::new(SyslogState {
                socket: connect(path).ok(),
                lost: 0,
            }),
        }
    }

    fn send(&self, line: &[u8]) {
        let mut state = self.state.lock();
        let mut sent = state.send(line);
        if sent
            .as_ref()
            .is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock)
        {
            // The daemon was started or restarted since.
            state.socket = connect(&self.path).ok();
            sent = state.send(line);
        }
        match sent {
            Ok(()) if state.lost > 0 => {
                let priority = FACILITY_DAEMON | severity(Level::WARN);
                let note = format!("<{priority}>mfsmaster: {} log lines were lost", state.lost);
                if state.send(note.as_bytes()).is_ok() {
                    state.lost = 0;
                }
            }
            Ok(()) => {}
            Err(_) => state.lost += 1,
        }
    }
}

impl SyslogState {
    fn send(&self, line: &[u8]) -> io::Result<()> {
        match &self.socket {
            Some(socket) => socket.send(line).map(|_| ()),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Datagram<'a>;

    fn make_writer(&'a self) -> Datagram<'a> {
        Datagram(self)
    }
}

/// Sends each buffer it is given as a datagram.
struct Datagram<'a>(&'a Syslog);

impl Write for Datagram<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.send(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Captured;

    fn logged(style: Style, events: impl FnOnce()) -> String {
        let captured = Captured::default();
        let registry = tracing_subscriber::registry();
        let subscriber = registry.with(layer(style, Terminal::new(captured.clone())));
        tracing::subscriber::with_default(subscriber, events);
        captured.text()
    }

    #[test]
    fn plain_lines_have_the_message_and_the_fields() {
        let text = logged(Style::Plain, || {
            tracing::info!("exports file has been loaded");
            tracing::warn!(inode = 7, name = "a b", "orphan");
        });
        assert_eq!(
            text,
            "exports file has been loaded\norphan inode=7 name=\"a b\"\n"
        );
    }

    #[test]
    fn spans_stand_before_the_message() {
        let text = logged(Style::Plain, || {
            let _outer = tracing::info_span!("session", id = 5).entered();
            let _inner = tracing::info_span!("reload").entered();
            tracing::info!("done");
        });
        assert_eq!(text, "session{id=5}: reload: done\n");
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let text = logged(Style::Plain, || {
            tracing::info!(name = %"x\n<1>forged\u{1b}[0m", "created");
        });
        assert_eq!(text, "created name=x\\n<1>forged\\u{1b}[0m\n");
    }

    #[test]
    fn the_journal_gets_the_level() {
        let text = logged(Style::Journal, || {
            tracing::error!("a");
            tracing::warn!("b");
            tracing::info!("c");
            tracing::debug!("d");
        });
        assert_eq!(text, "<3>a\n<4>b\n<6>c\n<7>d\n");
    }

    #[test]
    fn a_foreground_line_has_time_and_level() {
        let text = logged(Style::Stamped, || tracing::info!("ready"));
        let (stamp, rest) = text.split_at(23);
        chrono::NaiveDateTime::parse_from_str(stamp, "%Y-%m-%d %H:%M:%S%.3f").unwrap();
        assert_eq!(rest, " INFO  ready\n");
    }

    #[test]
    fn syslog_gets_datagrams_and_may_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut buffer = [0; 1000];
        let style = Style::Syslog {
            ident: "mfstest".into(),
        };
        let registry = tracing_subscriber::registry();
        let subscriber = registry.with(layer(style, Syslog::new(&path)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("nobody listens");
            let daemon = UnixDatagram::bind(&path).unwrap();
            tracing::warn!("hello");
            let n = daemon.recv(&mut buffer).unwrap();
            let line = std::str::from_utf8(&buffer[..n]).unwrap();
            let tail = format!(" mfstest[{}]: hello", std::process::id());
            assert!(line.starts_with("<28>") && line.ends_with(&tail), "{line}");
            let n = daemon.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..n], b"<28>mfsmaster: 1 log lines were lost");

            drop(daemon);
            std::fs::remove_file(&path).unwrap();
            let daemon = UnixDatagram::bind(&path).unwrap();
            tracing::info!("again");
            let n = daemon.recv(&mut buffer).unwrap();
            assert!(buffer[..n].ends_with(b"again"));
        });
    }
}
