//! A chunkserver with very many chunks registers while clients ask: how long it takes, and what the clients
//! notice of it (spec 05 §2, §7.1).
//!
//! The chunkserver is simulated; it speaks the real protocol and names the chunks `1..=N` in version 1, as a
//! file system has them that was made from the log of `mfs-meta`'s example `replay_speed`. It connects to port
//! 9420 of the master's address, which must not be a loopback address.

use crate::Options;
use crate::client::{Client, Outcome};
use crate::phase::{cpu_of, percentile};
use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use mfs_proto::chunkserver::register::CHUNKS_PER_PART;
use mfs_proto::chunkserver::{
    Begin, MasterAck, MasterMessage, Register, ReportedChunk, ServerMessage, Space, report,
};
use mfs_proto::client::attr::Getattr;
use mfs_proto::client::{Expect, Request};
use mfs_proto::wire::List;
use mfs_proto::{Version, frame};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long clients ask an otherwise idle master, for comparison.
const CALM: Duration = Duration::from_secs(2);

/// Requests between two looks at the flag that ends the asking.
const ROUND: usize = 64;

/// Port of the simulated server for clients; nobody connects to it.
const SERVER_PORT: u16 = 9422;

/// What the clients saw.
#[derive(Debug, Serialize)]
struct Latency {
    ops: usize,
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// The result.
#[derive(Debug, Serialize)]
struct Measured {
    chunks: u64,
    /// From BEGIN to the answer to the last part of the list.
    seconds: f64,
    server_cpu_s: Option<f64>,
    calm: Latency,
    registering: Latency,
}

/// Runs the measurement and prints it.
pub(crate) async fn run(options: &Options, chunks: u64) -> Result<()> {
    let calm_end = Arc::new(AtomicBool::new(false));
    let asking = ask(options, &calm_end).await?;
    tokio::time::sleep(CALM).await;
    calm_end.store(true, Ordering::Relaxed);
    let calm = asking.finish().await?;

    let end = Arc::new(AtomicBool::new(false));
    let asking = ask(options, &end).await?;
    let cpu = cpu_of(options.pid);
    let start = Instant::now();
    let server = register(options.master, chunks).await?;
    let seconds = start.elapsed().as_secs_f64();
    end.store(true, Ordering::Relaxed);
    let registering = asking.finish().await?;
    let used = cpu
        .zip(cpu_of(options.pid))
        .map(|(a, b)| b.saturating_sub(a));
    drop(server);

    let measured = Measured {
        chunks,
        seconds,
        server_cpu_s: used.map(|used| used.as_secs_f64()),
        calm,
        registering,
    };
    if options.json {
        println!("{}", serde_json::to_string(&measured)?);
        return Ok(());
    }
    println!("{chunks} chunks registered in {seconds:.3} s");
    for (name, l) in [
        ("calm", &measured.calm),
        ("registering", &measured.registering),
    ] {
        println!(
            "getattr, {name}: {:.0}/s, p50 {:.0} us, p99 {:.0} us, max {:.0} us",
            l.rate, l.p50_us, l.p99_us, l.max_us
        );
    }
    Ok(())
}

/// Clients that ask until they are told to stop.
struct Asking {
    tasks: JoinSet<Result<Outcome>>,
    since: Instant,
}

impl Asking {
    async fn finish(mut self) -> Result<Latency> {
        let mut latencies = Vec::new();
        while let Some(done) = self.tasks.join_next().await {
            let outcome = done??;
            ensure!(outcome.refused == 0, "a getattr was refused");
            latencies.extend(outcome.latencies);
        }
        let seconds = self.since.elapsed().as_secs_f64();
        latencies.sort_unstable();
        Ok(Latency {
            ops: latencies.len(),
            rate: latencies.len() as f64 / seconds,
            p50_us: percentile(&latencies, 0.5),
            p99_us: percentile(&latencies, 0.99),
            max_us: percentile(&latencies, 1.0),
        })
    }
}

async fn ask(options: &Options, end: &Arc<AtomicBool>) -> Result<Asking> {
    let mut clients = Vec::new();
    for number in 0..options.conns {
        clients.push(Client::register(options.master, &format!("/mnt/ask{number}")).await?);
    }
    let depth = options.depth;
    let since = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let end = Arc::clone(end);
        tasks.spawn(async move {
            let mut all = Outcome::default();
            while !end.load(Ordering::Relaxed) {
                let make = |i: usize, out: &mut Vec<u8>| {
                    Request::Getattr(Getattr {
                        mid: i as u32 + 1,
                        inode: 1,
                        opened: false,
                        uid: 0,
                        gid: 0,
                    })
                    .encode(out);
                };
                let mut round = client.pipeline(ROUND, depth, make, |_, _| Ok(())).await?;
                all.latencies.append(&mut round.latencies);
                all.refused += round.refused;
            }
            Ok(all)
        });
    }
    Ok(Asking { tasks, since })
}

/// The server's side of a connection.
struct Server {
    stream: TcpStream,
    received: BytesMut,
}

impl Server {
    async fn send(&mut self, message: &ServerMessage<'_>) -> Result<()> {
        let mut out = Vec::new();
        message.encode(&mut out);
        self.stream.write_all(&out).await?;
        Ok(())
    }

    /// The next acknowledgement; NOPs before it are skipped.
    async fn ack(&mut self) -> Result<MasterAck> {
        loop {
            if let Some((kind, payload)) = frame::take(&mut self.received, 1 << 20)? {
                match MasterMessage::decode(kind, &payload, Expect::Plain)? {
                    MasterMessage::Ack(ack) => return Ok(ack),
                    MasterMessage::Ignored(_) => {}
                    other => bail!("the master sent {other:?} to a server that registers"),
                }
                continue;
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the master closed the connection");
            }
        }
    }
}

/// Registers a server with the chunks `1..=count`; it stays connected until it is dropped.
async fn register(master: SocketAddr, count: u64) -> Result<Server> {
    let address = SocketAddr::new(master.ip(), 9420);
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let mut server = Server {
        stream,
        received: BytesMut::new(),
    };
    let space = Space {
        used: count << 17,
        total: (count << 18).max(1 << 40),
        chunks: u32::try_from(count).context("too many chunks")?,
        ..Space::default()
    };
    let begin = Begin {
        digest: None,
        version: Version::MASTER,
        ip: 0,
        port: SERVER_PORT,
        timeout: 60,
        csid: 0,
        space,
    };
    server
        .send(&ServerMessage::Register(Register::Begin(begin)))
        .await?;
    let ack = server.ack().await?;
    ensure!(
        matches!(ack, MasterAck::Begin(_)),
        "the registration was answered with {ack:?}"
    );
    server
        .send(&ServerMessage::Labels(report::Labels { mask: 1 }))
        .await?;
    let mut next = 1;
    while next <= count {
        let last = count.min(next + CHUNKS_PER_PART as u64 - 1);
        let part: Vec<ReportedChunk> = (next..=last)
            .map(|chunkid| ReportedChunk {
                chunkid,
                version: 1,
                marked: false,
            })
            .collect();
        server
            .send(&ServerMessage::Register(Register::Chunks(List::from(
                &part,
            ))))
            .await?;
        let ack = server.ack().await?;
        ensure!(ack == MasterAck::Chunks, "a part was answered with {ack:?}");
        next = last + 1;
    }
    server.send(&ServerMessage::Register(Register::End)).await?;
    Ok(server)
}
