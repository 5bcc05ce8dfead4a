//! The command line of `mfsmaster` (spec 01 §3.1): `getopt` style single-letter options, in any
//! order and combination, and at most one action word.
//!
//! Written by hand, since the exact rules count for scripts: `-v` and a wrong option act where they
//! stand (`-ve` is a version, `-ev` a usage), the usage goes to stdout with exit code 1, getopt's
//! complaint to stderr, and words and options mix.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// The version of the protocols and files that this program speaks, as peers and scripts expect it.
pub const COMPATIBLE_VERSION: &str = "3.0.117-1";

/// How long `stop`, `kill`, `restart` and `try-restart` wait for the lock owner to end, unless `-t`
/// says otherwise: 1800 seconds.
pub const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(1800);

/// What the word after the options asks for (spec 01 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the master.
    Start,
    /// End the running master in order.
    Stop,
    /// End the running master, if any, and start.
    Restart,
    /// As [`Action::Restart`], but only when a master runs.
    TryRestart,
    /// Make the running master read its configuration again.
    Reload,
    /// Make the running master log what it is doing.
    Info,
    /// Tell whether a master runs, and its process id.
    Test,
    /// End the running master with SIGKILL.
    Kill,
    /// Rebuild a clean image from the best image and the changelogs, without serving.
    Restore,
}

impl Action {
    /// The action of a word, upper and lower case alike.
    fn from_word(word: &OsStr) -> Option<Action> {
        let word = word.to_str()?.to_ascii_lowercase();
        Some(match word.as_str() {
            "start" => Action::Start,
            "stop" => Action::Stop,
            "restart" => Action::Restart,
            "try-restart" => Action::TryRestart,
            "reload" => Action::Reload,
            "info" => Action::Info,
            "test" | "status" => Action::Test,
            "kill" => Action::Kill,
            "restore" => Action::Restore,
            _ => return None,
        })
    }

    /// Whether the action ends with this process (or its daemon) being the master.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Action::Start | Action::Restart | Action::TryRestart)
    }
}

/// A command line that asks for an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cli {
    /// What to do.
    pub action: Action,
    /// `-f`, `-d`: stay in the foreground and log to stderr.
    pub foreground: bool,
    /// `-d` was given, the old name of `-f`.
    pub deprecated_d: bool,
    /// `-u`: tell about each option whose default is used.
    pub log_defaults: bool,
    /// `-n`: leave the limit of the core size alone.
    pub keep_core_limit: bool,
    /// `-t`: how long to wait for the lock owner to end.
    pub lock_timeout: Duration,
    /// `-c`: the configuration file, which must then exist.
    pub config: Option<PathBuf>,
    /// `-i`: tolerate damage in the image and failing changelog lines.
    pub ignore_errors: bool,
    /// `-a`: restore from image and changelogs at the start, when the last stop was not clean.
    pub auto_restore: bool,
    /// `-x`: 0, 1 (`-x`) or 2 (`-xx`): how much a restore tells.
    pub verbosity: u8,
}

impl Default for Cli {
    fn default() -> Self {
        Cli {
            action: Action::Start,
            foreground: false,
            deprecated_d: false,
            log_defaults: false,
            keep_core_limit: false,
            lock_timeout: DEFAULT_LOCK_TIMEOUT,
            config: None,
            ignore_errors: false,
            auto_restore: false,
            verbosity: 0,
        }
    }
}

/// What a command line turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Carry out an action.
    Run(Cli),
    /// `-v`: print [`version`] and exit 0.
    Version,
    /// Print [`usage`] on stdout and exit 1.
    Usage {
        /// What was wrong, for stderr; nothing for `-h` and for wrong action words.
        complaint: Option<String>,
    },
}

/// The line that `-v` prints: what scripts read of the original, with our own build behind it.
#[must_use]
pub fn version() -> String {
    let build = env!("CARGO_PKG_VERSION");
    format!("version: {COMPATIBLE_VERSION} ; build: antler {build}")
}

/// The text that explains the options; `program` is the name as typed.
#[must_use]
pub fn usage(program: &str) -> String {
    format!(
        "usage: {program} [-vfun] [-t locktimeout] [-c cfgfile] [-i] [-a] [-x [-x]] \
         [start|stop|restart|try-restart|reload|info|test|kill|restore]\n\
         \n\
         -v : print version number and exit\n\
         -f : run in foreground\n\
         -u : log undefined config variables\n\
         -n : do not attempt to increase limit of core dump size\n\
         -t locktimeout : how long to wait for the end of the running process (seconds, default 1800)\n\
         -c cfgfile : use given config file\n\
         -i : ignore some metadata structure errors (attach orphans to root, ignore names without \
         inode, etc.). Do not use it unless there is no other way to restore your metadata.\n\
         -a : automatically restore metadata from change logs\n\
         -x : produce more verbose output\n\
         -xx : even more verbose output\n"
    )
}

/// Reads a command line. `program` is the name as typed (for complaints), `args` what follows it.
pub fn parse(program: &str, args: impl IntoIterator<Item = OsString>) -> Parsed {
    let mut cli = Cli::default();
    let mut words = Vec::new();
    let mut args = args.into_iter();
    let mut options_over = false;
    while let Some(arg) = args.next() {
        let bytes = arg.as_bytes();
        if options_over || bytes.len() < 2 || bytes.first() != Some(&b'-') {
            words.push(arg);
            continue;
        }
        if bytes == b"--" {
            options_over = true;
            continue;
        }
        let mut letters = bytes.get(1..).unwrap_or_default();
        while let Some((&letter, rest)) = letters.split_first() {
            letters = rest;
            match letter {
                b'f' => cli.foreground = true,
                b'd' => {
                    cli.foreground = true;
                    cli.deprecated_d = true;
                }
                b'u' => cli.log_defaults = true,
                b'n' => cli.keep_core_limit = true,
                b'i' => cli.ignore_errors = true,
                b'a' => cli.auto_restore = true,
                b'x' => cli.verbosity = (cli.verbosity + 1).min(2),
                b'v' => return Parsed::Version,
                b'h' => return Parsed::Usage { complaint: None },
                b'c' | b't' => {
                    let name = char::from(letter);
                    let value = if letters.is_empty() {
                        args.next()
                    } else {
                        Some(OsString::from_vec(std::mem::take(&mut letters).to_vec()))
                    };
                    let Some(value) = value else {
                        return wrong(format!(
                            "{program}: option requires an argument -- '{name}'"
                        ));
                    };
                    if letter == b'c' {
                        cli.config = Some(value.into());
                    } else {
                        match value.to_str().and_then(|text| text.parse::<u32>().ok()) {
                            Some(seconds) => {
                                cli.lock_timeout = Duration::from_secs(seconds.into());
                            }
                            None => {
                                return wrong(format!(
                                    "{program}: not a number of seconds -- '{}'",
                                    value.to_string_lossy().escape_debug()
                                ));
                            }
                        }
                    }
                }
                other => {
                    let name = char::from(other).escape_default();
                    return wrong(format!("{program}: invalid option -- '{name}'"));
                }
            }
        }
    }
    match words.as_slice() {
        [] => Parsed::Run(cli),
        [word] => match Action::from_word(word) {
            Some(action) => Parsed::Run(Cli { action, ..cli }),
            None => Parsed::Usage { complaint: None },
        },
        _ => Parsed::Usage { complaint: None },
    }
}

fn wrong(complaint: String) -> Parsed {
    Parsed::Usage {
        complaint: Some(complaint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Parsed {
        super::parse("prog", line.split_whitespace().map(OsString::from))
    }

    fn run(line: &str) -> Cli {
        match parse(line) {
            Parsed::Run(cli) => cli,
            other => panic!("{line:?} gave {other:?}"),
        }
    }

    fn complaint(line: &str) -> Option<String> {
        match parse(line) {
            Parsed::Usage { complaint } => complaint,
            other => panic!("{line:?} gave {other:?}"),
        }
    }

    #[test]
    fn nothing_means_start() {
        assert_eq!(run(""), Cli::default());
        assert_eq!(run("").action, Action::Start);
        assert_eq!(run("").lock_timeout.as_secs(), 1800);
    }

    #[test]
    fn actions_in_any_case() {
        for (word, action) in [
            ("start", Action::Start),
            ("STOP", Action::Stop),
            ("Restart", Action::Restart),
            ("try-restart", Action::TryRestart),
            ("reload", Action::Reload),
            ("info", Action::Info),
            ("test", Action::Test),
            ("Status", Action::Test),
            ("kill", Action::Kill),
            ("RESTORE", Action::Restore),
        ] {
            assert_eq!(run(word).action, action, "{word}");
        }
    }

    #[test]
    fn options_combine_and_mix_with_the_action() {
        let expected = Cli {
            action: Action::Restore,
            foreground: true,
            log_defaults: true,
            keep_core_limit: true,
            ignore_errors: true,
            auto_restore: true,
            verbosity: 2,
            lock_timeout: Duration::from_secs(5),
            config: Some("a.cfg".into()),
            ..Cli::default()
        };
        assert_eq!(run("-funiaxx -t5 -ca.cfg restore"), expected);
        assert_eq!(run("restore -f -u -n -i -a -x -x -t 5 -c a.cfg"), expected);
        assert_eq!(run("-fuc a.cfg -niaxt 5 -x -- restore"), expected);
        assert_eq!(run("-xxx").verbosity, 2);
    }

    #[test]
    fn d_is_the_old_name_of_f() {
        let cli = run("-d start");
        assert!(cli.foreground && cli.deprecated_d);
        assert!(!run("-f").deprecated_d);
    }

    #[test]
    fn version_and_usage_act_where_they_stand() {
        assert_eq!(parse("-v nonsense"), Parsed::Version);
        assert_eq!(parse("-ve"), Parsed::Version);
        assert_eq!(parse("-hv"), Parsed::Usage { complaint: None });
        assert_eq!(
            complaint("-ev").as_deref(),
            Some("prog: invalid option -- 'e'")
        );
    }

    #[test]
    fn wrong_lines_give_the_usage() {
        for (line, said) in [
            ("-h", None),
            ("nonsense", None),
            ("start stop", None),
            ("-", None),
            ("-- -f", None),
            ("-?", Some("prog: invalid option -- '?'")),
            ("--help", Some("prog: invalid option -- '-'")),
            ("-t", Some("prog: option requires an argument -- 't'")),
            ("-fc", Some("prog: option requires an argument -- 'c'")),
            ("-t soon", Some("prog: not a number of seconds -- 'soon'")),
        ] {
            assert_eq!(complaint(line).as_deref(), said, "{line:?}");
        }
        let not_utf8 = OsString::from_vec(vec![b'-', 0xff]);
        assert!(matches!(
            super::parse("prog", [not_utf8]),
            Parsed::Usage { complaint: Some(_) }
        ));
    }

    #[test]
    fn the_version_line_parses_like_the_original() {
        assert_eq!(
            version(),
            format!(
                "version: 3.0.117-1 ; build: antler {}",
                env!("CARGO_PKG_VERSION")
            )
        );
    }

    proptest! {
        #[test]
        fn any_bytes_parse(args in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..6), 0..6))
        {
            let args = args.into_iter().map(OsString::from_vec);
            let _ = super::parse("prog", args);
        }
    }
}
