//! Options and their combinations (spec 01 §16.1).

use std::path::PathBuf;

use clap::Parser;

use crate::until::parse_until;
use mfs_store::changelog::Until;

/// Text of `-?` and of complaints.
pub(crate) const USAGE: &str = "\
mfsmetarestore [-bifx[x]] [--until POINT] [--force] -a [-d DIR]
mfsmetarestore [-bifx[x]] [--until POINT] [--force] -m IMAGE -o OUT [CHANGELOG...]
mfsmetarestore [-i] -m IMAGE
mfsmetarestore -v | -?

  -a  restore a data directory: newest image and all changelogs -> metadata.mfs
  -d  data directory (default: DATA_PATH of mfsmaster.cfg, else /var/lib/mfs)
  -m  image to begin with; alone: print its objects, one a line
  -o  image to write; without changelogs the image is checked and rewritten
  -b  on errors in changelogs save the best state that can be reached
  -i  ignore errors in the structure of the image, differing ids, missing changes
  -f  use all changelogs, also those that are older than the image
  -x  tell more; -xx still more
  -v  print the version
  --until VERSION               stop when the metadata have this version
  --until @SECONDS              stop before the first change made after this second
  --until 'YYYY-MM-DD HH:MM:SS' the same in local time, or with an offset (RFC 3339)
  --force  replace an output that is newer than the result or no older state of it

Changelogs may be given in any order. Files that are read are never changed.
Exit status: 0 done, 1 error (nothing was written).
";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "mfsmetarestore",
    disable_version_flag = true,
    disable_help_flag = true
)]
pub(crate) struct Cli {
    /// Restore a directory.
    #[arg(short = 'a')]
    pub(crate) auto: bool,
    /// Which one.
    #[arg(short = 'd', value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Image to begin with.
    #[arg(short = 'm', value_name = "IMAGE")]
    pub(crate) image: Option<PathBuf>,
    /// Image to write.
    #[arg(short = 'o', value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// Keep the best state.
    #[arg(short = 'b')]
    pub(crate) best: bool,
    /// Ignore structure errors.
    #[arg(short = 'i')]
    pub(crate) ignore: bool,
    /// Use all changelogs.
    #[arg(short = 'f')]
    pub(crate) all: bool,
    /// Tell more.
    #[arg(short = 'x', action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print the version.
    #[arg(short = 'v')]
    pub(crate) version: bool,
    /// Print the usage.
    #[arg(short = '?')]
    pub(crate) usage: bool,
    /// The same as a long option, which succeeds.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Where to stop.
    #[arg(long, value_name = "POINT", value_parser = parse_until)]
    pub(crate) until: Option<Until>,
    /// Replace what is newer.
    #[arg(long)]
    pub(crate) force: bool,
    /// Changelogs of `-m`.
    #[arg(value_name = "CHANGELOG")]
    pub(crate) logs: Vec<PathBuf>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// `-a`: a directory, `None` for the configured one.
    Auto(Option<PathBuf>),
    /// `-m IMAGE -o OUT`.
    Files(PathBuf, PathBuf),
    /// `-m IMAGE`.
    Dump(PathBuf),
}

impl Cli {
    /// The action, or a complaint about the combination of options (empty when only the usage was asked for).
    pub(crate) fn action(&self) -> Result<Action, String> {
        if self.usage {
            return Err(String::new());
        }
        match (self.auto, &self.image, &self.out) {
            (true, None, None) if self.logs.is_empty() => Ok(Action::Auto(self.dir.clone())),
            (true, None, None) => Err("-a finds the changelogs itself".into()),
            (true, ..) => Err("-a can't be used together with -m or -o".into()),
            _ if self.dir.is_some() => Err("-d needs -a".into()),
            (false, Some(image), Some(out)) => Ok(Action::Files(image.clone(), out.clone())),
            (false, Some(image), None) if self.logs.is_empty() && self.until.is_none() => {
                Ok(Action::Dump(image.clone()))
            }
            (false, Some(_), None) => Err("changelogs and --until need -o".into()),
            (false, None, _) => Err("one of -a and -m is needed".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(args: &str) -> Result<Action, String> {
        let words = std::iter::once("mfsmetarestore").chain(args.split_whitespace());
        Cli::try_parse_from(words)
            .map_err(|e| e.to_string())?
            .action()
    }

    #[test]
    fn combinations() {
        assert_eq!(action("-a"), Ok(Action::Auto(None)));
        assert_eq!(action("-a -d /x"), Ok(Action::Auto(Some("/x".into()))));
        assert_eq!(
            action("-m i -o o a b"),
            Ok(Action::Files("i".into(), "o".into()))
        );
        assert_eq!(
            action("-m i -o o --until @5"),
            Ok(Action::Files("i".into(), "o".into()))
        );
        assert_eq!(action("-m i"), Ok(Action::Dump("i".into())));
        assert_eq!(action("-?"), Err(String::new()));
        for wrong in [
            "",
            "-o o",
            "-a -m i",
            "-a -o o",
            "-a log",
            "-d /x",
            "-m i -d /x",
            "-m i log",
            "-m i -m j",
            "-q",
            "-a --until yesterday",
            "-m i --until 5",
        ] {
            assert!(action(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_and_groups() {
        let cli = Cli::try_parse_from(["mfsmetarestore", "-xxbif", "-a"]).unwrap();
        assert_eq!(
            (cli.verbose, cli.best, cli.ignore, cli.all, cli.auto),
            (2, true, true, true, true)
        );
    }

    #[test]
    fn every_option_is_in_the_usage() {
        use clap::CommandFactory;
        for arg in Cli::command().get_arguments() {
            let long = arg
                .get_long()
                .filter(|&l| l != "help")
                .map(|l| format!("--{l}"));
            let short = arg.get_short().map(|c| {
                if "bif".contains(c) {
                    c.into()
                } else {
                    format!("-{c}")
                }
            });
            if let Some(name) = long.or(short) {
                assert!(USAGE.contains(&name), "{name}");
            }
        }
    }
}
