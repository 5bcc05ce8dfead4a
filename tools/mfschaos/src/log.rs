//! The record of a run: every action with its time, on standard output and in a file.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();
static FILE: OnceLock<File> = OnceLock::new();

/// Starts the clock and the file.
///
/// # Errors
/// When the file cannot be made.
pub(crate) fn open(path: &Path) -> std::io::Result<()> {
    let file = File::create(path)?;
    START.get_or_init(Instant::now);
    FILE.get_or_init(|| file);
    Ok(())
}

/// Seconds since the start of the run.
pub(crate) fn seconds() -> f64 {
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Writes a line.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let line = format!("[{:9.3}] {text}\n", seconds());
    // Whoever read our output may be gone; the file still has it.
    let _ = std::io::stdout().write_all(line.as_bytes());
    if let Some(mut file) = FILE.get() {
        let _ = file.write_all(line.as_bytes());
    }
}

/// Writes a line like `format!`.
macro_rules! say {
    ($($argument:tt)*) => { $crate::log::line(format_args!($($argument)*)) };
}
pub(crate) use say;
