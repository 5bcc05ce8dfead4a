//! A session of commands, played on both masters side by side.
//!
//! A script is a text of lines. A line is a command for `bash`, run in the root of the mount `M`
//! when there is one; `#` begins a comment, and a line that begins with `@` is one of these:
//!
//! ```text
//! @exports LINE               a line of mfsexports.cfg (before @start)
//! @option NAME VALUE          an option of mfsmaster.cfg (before @start)
//! @start                      starts the master; its clock can be moved
//! @chunkserver PORT LABELS    starts a chunkserver with 8 GiB of space (see `servers` in the driver)
//! @stop PORT                  stops a chunkserver
//! @begin PORT                 starts it again
//! @mount NAME FOLDER OPTIONS  mounts; $NAME is the path of the mount from here on
//! @umount NAME
//! @restart [SECONDS]          stops the master, puts its clock forward, starts it
//! @clock SECONDS              puts the clock of the running master forward
//! ? REASON                    the next command may end differently: why
//! ?= LINE                     a line of what it prints with our master; repeated
//! ```
//!
//! Commands may use what `tests/data/tools/driver.bash` defines: `as`, `await`, ... Outputs and
//! exit codes must agree line by line, and so must the images that the masters leave behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::chunkserver::ChunkServer;
use crate::command::Tool;
use crate::dump::{differences, dump};
use crate::files::fixture;
use crate::master::Master;
use crate::mount::{CACHES_OFF, Mount};
use crate::net::Net;
use crate::programs::{Kind, real};

/// How long all commands between two directives may take, in seconds.
const LIMIT: &str = "100";

/// Marks the beginning of a command's output and its exit code; commands do not print it.
const MARK: char = '\u{1}';

/// A line of a script that is not a comment.
#[derive(Debug)]
struct Step {
    line: usize,
    text: String,
    /// Why it may end differently, and how with our master.
    differs: Option<(String, Vec<String>)>,
}

fn parse(script: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut differs: Option<(String, Vec<String>)> = None;
    for (index, text) in script.lines().enumerate() {
        let line = index + 1;
        if let Some(expected) = text.strip_prefix("?=") {
            let (_, lines) = differs.as_mut().expect("`?=` follows `?`");
            lines.push(expected.strip_prefix(' ').unwrap_or(expected).to_owned());
        } else if let Some(reason) = text.strip_prefix("? ") {
            differs = Some((reason.to_owned(), Vec::new()));
        } else if !text.is_empty() && !text.starts_with('#') {
            steps.push(Step {
                line,
                text: text.to_owned(),
                differs: differs.take(),
            });
        }
    }
    assert!(differs.is_none(), "`?` at the end of the script");
    steps
}

/// What a master made of a script.
#[derive(Debug, Default)]
struct Played {
    /// What each command printed, by its line.
    outputs: BTreeMap<usize, String>,
    /// The records of the image, without what differs from run to run.
    image: Vec<String>,
}

/// Plays a script (`tests/data/tools/NAME`) on the original master and on ours at the same time.
///
/// # Panics
/// With everything that differs and is not expected to.
pub fn side_by_side(name: &str) {
    let script = fs::read_to_string(fixture(&format!("tools/{name}"))).expect("read the script");
    let steps = parse(&script);
    for program in ["getfattr", "getfacl", "setpriv"] {
        // A script would take the shell's complaint for an answer.
        real(program);
    }
    let (original, ours) = std::thread::scope(|scope| {
        let original = scope.spawn(|| play(Kind::Original, &steps));
        let ours = scope.spawn(|| play(Kind::Ours, &steps));
        (
            original
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            ours.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });
    if std::env::var_os("ANTLER_TRANSCRIPT").is_some() {
        print(&steps, &ours);
    }
    let mut report = String::new();
    for step in &steps {
        compare(step, &original, &ours, &mut report);
    }
    let images = differences(&original.image, &ours.image);
    if !images.is_empty() {
        let _ = writeln!(report, "images: original (<) and ours (>)\n{images}");
    }
    assert!(report.is_empty(), "{name}:\n{report}");
}

/// Prints what our master's session looks like: for writing scripts (`ANTLER_TRANSCRIPT=1`).
fn print(steps: &[Step], played: &Played) {
    for step in steps {
        println!("{:4} {}", step.line, step.text);
        if let Some(output) = played.outputs.get(&step.line) {
            print!("{output}");
        }
    }
}

fn compare(step: &Step, original: &Played, ours: &Played, report: &mut String) {
    let of = |played: &Played| played.outputs.get(&step.line).cloned().unwrap_or_default();
    let (original, ours) = (of(original), of(ours));
    if original.starts_with("in vain: ") || original.contains("\nin vain: ") {
        let _ = writeln!(report, "line {}: {}\n{original}", step.line, step.text);
    }
    let expected = match &step.differs {
        None => original.clone(),
        Some((_, lines)) if lines.is_empty() => return,
        Some((reason, _)) if original == ours => {
            let _ = writeln!(
                report,
                "line {}: {}\n the same on both though: {reason}\n{ours}",
                step.line, step.text
            );
            return;
        }
        Some((_, lines)) => lines.iter().map(|line| format!("{line}\n")).collect(),
    };
    if ours != expected {
        let _ = writeln!(
            report,
            "line {}: {}\n--- expected\n{expected}--- ours\n{ours}",
            step.line, step.text
        );
    }
}

/// A master with all that a script started around it. Mounts end before the master does.
struct Stage {
    mounts: BTreeMap<String, Mount>,
    /// Paths of mounts, also of those that were taken away.
    paths: BTreeMap<String, PathBuf>,
    chunkservers: Vec<ChunkServer>,
    master: Master,
    net: Net,
    exports: String,
    ahead: u64,
}

fn play(kind: Kind, steps: &[Step]) -> Played {
    let started = now();
    let net = Net::new();
    let mut stage = Stage {
        mounts: BTreeMap::new(),
        paths: BTreeMap::new(),
        chunkservers: Vec::new(),
        master: Master::new(kind, &net),
        net,
        exports: String::new(),
        ahead: 0,
    };
    stage.master.option("CHANGELOG_SAVE_MODE", "1");
    stage.master.movable_clock();
    let mut played = Played::default();
    let mut commands: Vec<&Step> = Vec::new();
    for step in steps {
        if let Some(directive) = step.text.strip_prefix('@') {
            stage.run(&std::mem::take(&mut commands), &mut played);
            let output = stage.direct(directive);
            played.outputs.insert(step.line, output);
        } else {
            commands.push(step);
        }
    }
    stage.run(&commands, &mut played);
    // All at once: each `mfsmount` takes two seconds to end.
    std::thread::scope(|scope| {
        for (_, mount) in std::mem::take(&mut stage.mounts) {
            scope.spawn(|| mount.unmount());
        }
    });
    stage.master.stop();
    let image = dump(&stage.master.data.file("metadata.mfs"));
    played.image = comparable(image, started..=now() + stage.ahead);
    played
}

impl Stage {
    /// Follows a directive; what it has to say is compared like the output of a command.
    fn direct(&mut self, directive: &str) -> String {
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        let mut fields = rest.split_whitespace();
        match word {
            "exports" => self.exports.push_str(&format!("{rest}\n")),
            "option" => {
                let (name, value) = rest.split_once(' ').expect("@option NAME VALUE");
                self.master.option(name, value);
            }
            "start" => {
                if !self.exports.is_empty() {
                    self.master.set_exports(&self.exports);
                }
                self.master.start_with_image();
            }
            "chunkserver" => {
                let port = fields.next().and_then(|port| port.parse().ok());
                let server = ChunkServer::labelled(
                    &self.net,
                    port.expect("@chunkserver PORT LABELS"),
                    fields.next().unwrap_or(""),
                    "8GiB",
                );
                self.chunkservers.push(server);
            }
            "stop" => {
                self.chunkserver(rest).stop();
            }
            "begin" => {
                self.chunkserver(rest).start();
            }
            "mount" => return self.mount(&fields.collect::<Vec<_>>()),
            "umount" => {
                let mount = self.mounts.remove(rest);
                mount.expect("@umount NAME").unmount();
            }
            "restart" => {
                self.master.stop();
                self.put_clock_forward(rest);
                self.master.start();
            }
            "clock" => self.put_clock_forward(rest),
            _ => panic!("no such directive: @{directive}"),
        }
        String::new()
    }

    fn chunkserver(&mut self, port: &str) -> &mut ChunkServer {
        let address = format!("{}:{port}", Net::IP);
        let mut servers = self.chunkservers.iter_mut();
        servers
            .find(|server| server.address() == address)
            .expect("a chunkserver with that port")
    }

    fn put_clock_forward(&mut self, seconds: &str) {
        if !seconds.is_empty() {
            self.ahead += seconds.parse::<u64>().expect("a number of seconds");
            self.master.put_clock_forward(self.ahead);
        }
    }

    fn mount(&mut self, fields: &[&str]) -> String {
        let (name, folder) = (fields[0], fields[1]);
        let options = [&[CACHES_OFF], fields.get(2..).unwrap_or_default()].concat();
        match Mount::try_with(&self.net, folder, &options.join(",")) {
            Ok(mount) => {
                self.paths.insert(name.to_owned(), mount.path());
                self.mounts.insert(name.to_owned(), mount);
                "mounted\n".to_owned()
            }
            Err(said) => said,
        }
    }

    fn run(&self, steps: &[&Step], played: &mut Played) {
        if steps.is_empty() {
            return;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let commands = dir.path().join("commands");
        let lines: String = steps
            .iter()
            .map(|step| format!("{}\t{}\n", step.line, step.text))
            .collect();
        fs::write(&commands, lines).expect("write the commands");
        let mut tool = Tool::inside(&self.net, real("timeout"))
            .args(["-k", "5", LIMIT])
            .arg(real("bash"))
            .arg(fixture("tools/driver.bash"))
            .arg(&commands)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            // For files of the script that shall not lie in the file system; the same with both.
            .env("TMP", dir.path());
        for (name, path) in &self.paths {
            tool = tool.env(name, path);
        }
        if let Some(mount) = self.mounts.get("M") {
            tool = tool.current_dir(&mount.path());
        }
        let run = tool.run();
        let mut text = run.stdout.clone();
        for (name, path) in &self.paths {
            text = text.replace(path.to_str().expect("a path in UTF-8"), &format!("${name}"));
        }
        text = text.replace(dir.path().to_str().expect("a path in UTF-8"), "$TMP");
        for block in text.split(&format!("{MARK}$ ")).skip(1) {
            let (line, output) = block.split_once('\n').expect("a line number");
            let line = line.parse().expect("a line number");
            played.outputs.insert(line, output.to_owned());
        }
        let kind = self.master.kind;
        let last = steps.last().map_or(0, |step| step.line);
        assert!(
            run.code == Some(0) && played.outputs.contains_key(&last),
            "{kind:?}: a command does not end, or ended the shell: {run}"
        );
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}

/// The records of an image that two masters must agree on when the same was done at about the same
/// time: times of the session are replaced, and what identifies this run is left out.
fn comparable(records: Vec<String>, session: std::ops::RangeInclusive<u64>) -> Vec<String> {
    // Chunks of no file wait for their turn to be deleted.
    let used: BTreeSet<String> = records
        .iter()
        .filter(|line| line.starts_with("NODE|"))
        .flat_map(|line| line.split(['(', ',', ')']))
        .map(str::to_owned)
        .collect();
    let mut lines: Vec<String> = crate::dump::durable(records)
        .into_iter()
        .filter(|line| match line.strip_prefix("CHUNK|i:0x") {
            Some(rest) => rest.split('|').next().is_some_and(|id| used.contains(id)),
            None => true,
        })
        .filter(|line| {
            // The number of changes depends on when times of access were reported; spaces are free
            // as long as the mount's kernel likes to keep an inode; a mount that ends slowly may not have
            // closed its session yet.
            !["# version:", "OPENFILE|", "CHUNKSERVER|", "SESSION|"]
                .iter()
                .any(|prefix| line.starts_with(prefix))
        })
        .map(|line| without_times(&line, &session))
        .collect();
    lines.sort();
    lines
}

/// Replaces numbers that are a time within the session.
fn without_times(line: &str, session: &std::ops::RangeInclusive<u64>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest[start..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(rest.len(), |length| start + length);
        out.push_str(&rest[..start]);
        let number = &rest[start..digits];
        match number.parse::<u64>() {
            Ok(time) if number.len() == 10 && session.contains(&time) => out.push_str("NOW"),
            _ => out.push_str(number),
        }
        rest = &rest[digits..];
    }
    out.push_str(rest);
    out
}

/// The names of all scripts, so that a test can see that none is forgotten.
pub fn all() -> BTreeSet<String> {
    fs::read_dir(fixture("tools"))
        .expect("list the scripts")
        .map(|entry| entry.expect("list the scripts").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".script"))
        .collect()
}
