//! `mfsbench`: how fast a metadata master answers.
//!
//! N connections, each with a session of its own and D requests in flight, run one kind of request after the
//! other (phases), beside I idle registered mounts. For each phase: operations a second, latency, and, when
//! the server's process id is given, its CPU time per operation. Works with every master that speaks the
//! client port of MooseFS 3.0; it needs an export line that lets its address mount `/` read-write.

mod client;
mod idle;
mod phase;
mod register;
mod report;

use anyhow::{Context, Result};
use clap::Parser;
use std::net::SocketAddr;

/// Command line.
#[derive(Parser, Debug, Clone)]
#[command(version, about)]
struct Options {
    /// Address of the master's client port.
    #[arg(long, default_value = "127.0.0.1:9421")]
    master: SocketAddr,
    /// Busy connections.
    #[arg(long, default_value_t = 8)]
    conns: usize,
    /// Requests in flight on each.
    #[arg(long, default_value_t = 32)]
    depth: usize,
    /// Idle mounts beside them.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// Operations of each phase, over all connections.
    #[arg(long, default_value_t = 400_000)]
    ops: usize,
    /// Directory listings (1000 entries with attributes each), over all connections.
    #[arg(long, default_value_t = 4_000)]
    readdirs: usize,
    /// Process id of the master, for its CPU time.
    #[arg(long)]
    pid: Option<u32>,
    /// Phases to run; those that make what others need run in any case.
    #[arg(long, value_delimiter = ',')]
    phases: Vec<phase::Kind>,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Instead of the phases: register a simulated chunkserver with so many chunks while the connections ask
    /// for attributes.
    #[arg(long, value_name = "CHUNKS")]
    register: Option<u64>,
    /// Print one JSON object a phase instead of a table.
    #[arg(long)]
    json: bool,
}

/// As many open files as the system lets us have.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        eprintln!("cannot raise the limit of open files: {e}");
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads.max(1))
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(run(options))
}

async fn run(options: Options) -> Result<()> {
    let idle = idle::Mounts::start(options.master, options.idle).await?;
    if let Some(chunks) = options.register {
        return register::run(&options, chunks).await;
    }
    let results = phase::run_all(&options).await?;
    report::print(&options, &results)?;
    idle.stop();
    Ok(())
}
