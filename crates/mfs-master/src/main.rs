//! `mfsmaster`: the metadata master.

use std::process::ExitCode;

use mfs_master::daemon;
use mfs_master::service::Server;

fn main() -> ExitCode {
    daemon::main::<Server>()
}
