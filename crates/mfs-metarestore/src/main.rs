//! `mfsmetarestore`: brings a crashed metadata directory back.

use std::process::ExitCode;

fn main() -> ExitCode {
    mfs_metarestore::main(std::env::args_os())
}
