//! Messages on standard error, and a progress bar when that is a terminal.

use std::fmt::Display;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mfs_store::changelog::ReplayReport;
use mfs_store::image;
use mfs_store::lifecycle::Step;

/// Tells about steps at a level of verbosity.
pub(crate) struct Report {
    verbose: u8,
    bar: ProgressBar,
}

impl Report {
    pub(crate) fn new(verbose: u8) -> Report {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Report { verbose, bar }
    }

    /// A line, above the progress bar if there is one.
    pub(crate) fn line(&self, text: impl Display) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// The verbosity asked for with `-x`.
    pub(crate) fn verbose(&self) -> u8 {
        self.verbose
    }

    pub(crate) fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Note(note) => {
                use mfs_store::lifecycle::Note;
                // An image of another program has no companion.
                let usual = matches!(note, Note::NotUsable { .. } | Note::NoCompanion { .. });
                if self.verbose > 0 || !usual {
                    self.line(note);
                }
            }
            Step::Image(image) => {
                let version = image.checked.version();
                self.line(format_args!(
                    "loading metadata from {} (version {version}) ...",
                    image.path.display()
                ));
            }
            Step::ImageProgress(progress) => self.image(progress),
            Step::ImageNotice(notice) => self.line(notice),
            Step::Changelogs(files) => {
                for source in files.iter().filter(|_| self.verbose > 0) {
                    let what = if source.used { "using" } else { "skipping" };
                    let number = |n: Option<u64>| n.map_or("???".to_owned(), |n| n.to_string());
                    self.line(format_args!(
                        "{what} changelog file: {} (changes: {} - {})",
                        source.file.display(),
                        number(source.probe.first),
                        number(source.probe.last)
                    ));
                }
                let bytes = files.iter().filter(|s| s.used).map(|s| s.probe.size).sum();
                self.start_bar(bytes);
            }
            Step::ReplayProgress(progress) => {
                self.bar.set_position(progress.bytes);
                if !self.bar.is_hidden() {
                    self.bar.set_message(format!("change {}", progress.version));
                }
            }
            Step::ChangelogEvent(event) => self.line(event),
        }
    }

    fn image(&self, progress: &image::Progress<'_>) {
        match progress {
            image::Progress::End(section) if self.verbose > 0 => self.line(format_args!(
                "loading {} ... ok ({} records, {:.4} s)",
                section.section.title(),
                section.records,
                section.time.as_secs_f64()
            )),
            image::Progress::Notice(text) => self.line(text),
            _ => {}
        }
    }

    /// Shown on a terminal only, and not for what takes no time.
    fn start_bar(&mut self, bytes: u64) {
        const SMALL: u64 = 4 << 20;
        if bytes < SMALL {
            return;
        }
        let form = "{bar:40} {percent}% {msg} {binary_bytes_per_sec} ETA {eta}";
        let style =
            ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = ProgressBar::new(bytes).with_style(style);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// How the changelogs were applied.
    pub(crate) fn replayed(&self, report: &ReplayReport) {
        self.bar.finish_and_clear();
        if report.more_events > 0 {
            self.line(format_args!(
                "... and {} messages of the kind",
                report.more_events
            ));
        }
        if let Some(error) = &report.stopped {
            self.line(error);
            self.line("using best possible metadata version");
        }
        if let Some(left) = report.left_out {
            self.line(format_args!(
                "left out: {} changes ({} - {})",
                left.lines, left.first, left.last
            ));
        }
        if self.verbose > 1 {
            self.line(format_args!(
                "changes found more than once: {}",
                report.duplicates
            ));
        }
        self.line(format_args!(
            "{} changes applied, metadata version {}",
            report.applied, report.end
        ));
    }
}

/// An error and its causes in one line, as far as they add something.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}
