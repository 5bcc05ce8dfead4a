//! The phases: what is asked, in which order, and how it is timed.

use crate::Options;
use crate::client::{Client, Outcome};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use mfs_proto::client::attr::{Getattr, Lookup, Setattr};
use mfs_proto::client::tree::{Create, Mkdir, Readdir, ReaddirPage, Remove, Rename};
use mfs_proto::client::{Cred, Request};
use serde::Serialize;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Files in one directory.
const PER_DIR: usize = 1000;
/// `setmask` bit: change the mode.
const SET_MODE: u8 = 0x02;
/// `flags` bit of READDIR: entries with attributes.
const WITH_ATTR: u8 = 1;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Make directories.
    Mkdir,
    /// Create and open files.
    Create,
    /// Find files by name.
    Lookup,
    /// Attributes by inode.
    Getattr,
    /// Change the mode.
    Setattr,
    /// List a directory of 1000 entries with attributes.
    Readdir,
    /// Rename within the directory.
    Rename,
    /// Remove files.
    Unlink,
}

const ORDER: [Kind; 8] = [
    Kind::Mkdir,
    Kind::Create,
    Kind::Lookup,
    Kind::Getattr,
    Kind::Setattr,
    Kind::Readdir,
    Kind::Rename,
    Kind::Unlink,
];

/// What a phase gave.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// The kind of request.
    pub(crate) phase: Kind,
    /// Requests answered.
    pub(crate) ops: usize,
    /// Of these, refused with a status.
    pub(crate) refused: usize,
    /// Wall-clock seconds.
    pub(crate) seconds: f64,
    /// Operations a second.
    pub(crate) rate: f64,
    /// CPU time of the server in microseconds per operation, when its process id is known.
    pub(crate) server_cpu_us: Option<f64>,
    /// Median latency, microseconds.
    pub(crate) p50_us: f64,
    /// 99th percentile, microseconds.
    pub(crate) p99_us: f64,
    /// Longest, microseconds.
    pub(crate) max_us: f64,
}

/// One busy connection with what it has made.
struct Worker {
    client: Client,
    number: usize,
    base: u32,
    dirs: Vec<u32>,
    files: Vec<u32>,
}

fn cred() -> Cred<'static> {
    Cred::new(0, &[0])
}

fn inode_of(rest: &[u8]) -> Result<u32> {
    Ok(u32::from_be_bytes(
        *rest
            .first_chunk::<4>()
            .context("an answer without an inode")?,
    ))
}

fn file_name(out: &mut Vec<u8>, prefix: &str, i: usize) {
    out.clear();
    out.extend_from_slice(prefix.as_bytes());
    // A name of 18 bytes, as in the figures of the README. Formatting would cost more than sending.
    let mut digits = [b'0'; 14];
    let mut rest = i;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

impl Worker {
    async fn run(&mut self, kind: Kind, ops: usize, depth: usize) -> Result<Outcome> {
        let Worker {
            client,
            number,
            base,
            dirs,
            files,
        } = self;
        let (number, base) = (*number, *base);
        let mut name = Vec::new();
        let mut other = Vec::new();
        let mid = |i: usize| i as u32 + 1;
        match kind {
            Kind::Mkdir => {
                let made = client
                    .pipeline(
                        ops,
                        depth,
                        |i, out| {
                            file_name(&mut name, &format!("d{number:03}"), i);
                            let (cred, name) = (cred(), &name[..]);
                            let (mode, umask, copysgid) = (0o755, 0, false);
                            Request::Mkdir(Mkdir {
                                mid: mid(i),
                                parent: base,
                                name,
                                mode,
                                umask,
                                cred,
                                copysgid,
                            })
                            .encode(out);
                        },
                        |_, rest| {
                            dirs.push(inode_of(rest)?);
                            Ok(())
                        },
                    )
                    .await?;
                ensure!(made.refused == 0, "a directory could not be made");
                Ok(made)
            }
            Kind::Create => {
                files.resize(ops, 0);
                let made = client
                    .pipeline(
                        ops,
                        depth,
                        |i, out| {
                            file_name(&mut name, "file", i);
                            let (cred, parent) = (cred(), dirs[i / PER_DIR]);
                            let (mode, umask) = (0o644, 0);
                            Request::Create(Create {
                                mid: mid(i),
                                parent,
                                name: &name,
                                mode,
                                umask,
                                cred,
                            })
                            .encode(out);
                        },
                        |i, rest| {
                            // A flags byte precedes the inode (clients from 3.0.113 on).
                            files[i] = inode_of(rest.get(1..).unwrap_or_default())?;
                            Ok(())
                        },
                    )
                    .await?;
                ensure!(made.refused == 0, "a file could not be created");
                Ok(made)
            }
            Kind::Lookup => {
                let make = |i: usize, out: &mut Vec<u8>| {
                    let i = i % files.len();
                    file_name(&mut name, "file", i);
                    let parent = dirs[i / PER_DIR];
                    Request::Lookup(Lookup {
                        mid: mid(i),
                        parent,
                        name: &name,
                        cred: cred(),
                    })
                    .encode(out);
                };
                client.pipeline(ops, depth, make, |_, _| Ok(())).await
            }
            Kind::Getattr => {
                let make = |i: usize, out: &mut Vec<u8>| {
                    let inode = files[i % files.len()];
                    Request::Getattr(Getattr {
                        mid: mid(i),
                        inode,
                        opened: false,
                        uid: 0,
                        gid: 0,
                    })
                    .encode(out);
                };
                client.pipeline(ops, depth, make, |_, _| Ok(())).await
            }
            Kind::Setattr => {
                let make = |i: usize, out: &mut Vec<u8>| {
                    let set = Setattr {
                        mid: mid(i),
                        inode: files[i % files.len()],
                        opened: false,
                        cred: cred(),
                        setmask: SET_MODE,
                        mode: 0o600,
                        uid: 0,
                        gid: 0,
                        atime: 0,
                        mtime: 0,
                        winattr: 0,
                        sugidclearmode: 4,
                    };
                    Request::Setattr(set).encode(out);
                };
                client.pipeline(ops, depth, make, |_, _| Ok(())).await
            }
            Kind::Readdir => {
                let full = dirs.len().min(files.len() / PER_DIR).max(1);
                let make = |i: usize, out: &mut Vec<u8>| {
                    let page = Some(ReaddirPage {
                        maxentries: u32::MAX,
                        nedgeid: 0,
                    });
                    let inode = dirs[i % full];
                    Request::Readdir(Readdir {
                        mid: mid(i),
                        inode,
                        cred: cred(),
                        flags: WITH_ATTR,
                        page,
                    })
                    .encode(out);
                };
                client
                    .pipeline(ops, depth.min(4), make, |_, _| Ok(()))
                    .await
            }
            Kind::Rename => {
                let make = |i: usize, out: &mut Vec<u8>| {
                    file_name(&mut name, "file", i);
                    file_name(&mut other, "moved", i);
                    let parent = dirs[i / PER_DIR];
                    let rename = Rename {
                        mid: mid(i),
                        parent_src: parent,
                        name_src: &name,
                        parent_dst: parent,
                        name_dst: &other,
                        cred: cred(),
                    };
                    Request::Rename(rename).encode(out);
                };
                client.pipeline(ops, depth, make, |_, _| Ok(())).await
            }
            Kind::Unlink => {
                let make = |i: usize, out: &mut Vec<u8>| {
                    file_name(&mut name, "moved", i);
                    let parent = dirs[i / PER_DIR];
                    Request::Unlink(Remove {
                        mid: mid(i),
                        parent,
                        name: &name,
                        cred: cred(),
                    })
                    .encode(out);
                };
                client.pipeline(ops, depth, make, |_, _| Ok(())).await
            }
        }
    }
}

/// CPU time that a process has used: its user and system time.
pub(crate) fn cpu_of(pid: Option<u32>) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid?)).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

/// The latency in microseconds that this part of the requests did not exceed.
pub(crate) fn percentile(sorted: &[u32], p: f64) -> f64 {
    let i = ((sorted.len() as f64 * p) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(i).map_or(0.0, |&ns| f64::from(ns) / 1000.0)
}

/// Runs the phases that were asked for, and those that they need.
pub(crate) async fn run_all(options: &Options) -> Result<Vec<Measured>> {
    ensure!(
        options.conns > 0 && options.depth > 0,
        "at least one connection and one request in flight"
    );
    let per_conn = options.ops.div_ceil(options.conns).max(PER_DIR);
    let mut workers = Vec::new();
    for number in 0..options.conns {
        let mut client = Client::register(options.master, &format!("/mnt/bench{number}")).await?;
        let base = make_base(&mut client, number).await?;
        workers.push(Worker {
            client,
            number,
            base,
            dirs: Vec::new(),
            files: Vec::new(),
        });
    }
    let mut results = Vec::new();
    for kind in ORDER {
        let wanted = options.phases.is_empty() || options.phases.contains(&kind);
        let needed = matches!(kind, Kind::Mkdir | Kind::Create)
            || (kind == Kind::Rename && options.phases.contains(&Kind::Unlink));
        if !wanted && !needed {
            continue;
        }
        let ops = match kind {
            Kind::Mkdir => per_conn
                .div_ceil(PER_DIR)
                .max(if wanted { per_conn } else { 0 }),
            Kind::Readdir => options.readdirs.div_ceil(options.conns),
            _ => per_conn,
        };
        let depth = options.depth;
        let cpu = cpu_of(options.pid);
        let start = Instant::now();
        let mut running = JoinSet::new();
        for mut worker in workers.drain(..) {
            running.spawn(async move {
                let outcome = worker.run(kind, ops, depth).await;
                (worker, outcome)
            });
        }
        let (mut latencies, mut refused) = (Vec::new(), 0);
        while let Some(done) = running.join_next().await {
            let (worker, outcome) = done?;
            let mut outcome = outcome.with_context(|| format!("phase {kind:?}"))?;
            latencies.append(&mut outcome.latencies);
            refused += outcome.refused;
            workers.push(worker);
        }
        let seconds = start.elapsed().as_secs_f64();
        let used = cpu
            .zip(cpu_of(options.pid))
            .map(|(a, b)| b.saturating_sub(a));
        if !wanted {
            continue;
        }
        latencies.sort_unstable();
        let ops = latencies.len();
        results.push(Measured {
            phase: kind,
            ops,
            refused,
            seconds,
            rate: ops as f64 / seconds,
            server_cpu_us: used.map(|u| u.as_secs_f64() * 1e6 / ops as f64),
            p50_us: percentile(&latencies, 0.5),
            p99_us: percentile(&latencies, 0.99),
            max_us: percentile(&latencies, 1.0),
        });
    }
    Ok(results)
}

/// A directory of its own for each connection and run.
async fn make_base(client: &mut Client, number: usize) -> Result<u32> {
    let name = format!("bench-{}-{number}", std::process::id());
    let mut base = 0;
    let outcome = client
        .pipeline(
            1,
            1,
            |_, out| {
                let (cred, name) = (cred(), name.as_bytes());
                let (mid, parent, mode, umask, copysgid) = (1, 1, 0o755, 0, false);
                Request::Mkdir(Mkdir {
                    mid,
                    parent,
                    name,
                    mode,
                    umask,
                    cred,
                    copysgid,
                })
                .encode(out);
            },
            |_, rest| {
                base = inode_of(rest)?;
                Ok(())
            },
        )
        .await?;
    ensure!(
        outcome.refused == 0,
        "the directory {name} could not be made"
    );
    Ok(base)
}
