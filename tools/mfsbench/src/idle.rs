//! Mounts that are there and do nothing: they read what comes and send a NOP every few seconds.

use crate::client::Client;
use anyhow::Result;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

/// A real mount sends a NOP when it wrote nothing for two seconds, seen every three (spec 04 §2.5).
const NOP_PERIOD: Duration = Duration::from_secs(3);
/// Registrations at the same time.
const AT_ONCE: usize = 64;

/// The idle mounts; dropping their tasks closes the connections.
pub(crate) struct Mounts(Vec<JoinHandle<()>>);

impl Mounts {
    /// Registers `count` mounts.
    pub(crate) async fn start(master: SocketAddr, count: usize) -> Result<Mounts> {
        let mut tasks = Vec::with_capacity(count);
        let mut pending: JoinSet<Result<Client>> = JoinSet::new();
        let mut started = 0;
        while tasks.len() < count {
            while started < count && pending.len() < AT_ONCE {
                let name = format!("/mnt/idle{started}");
                pending.spawn(async move { Client::register(master, &name).await });
                started += 1;
            }
            if let Some(client) = pending.join_next().await {
                tasks.push(tokio::spawn(stay(client??)));
            }
        }
        Ok(Mounts(tasks))
    }

    /// Closes them all.
    pub(crate) fn stop(self) {
        for task in self.0 {
            task.abort();
        }
    }
}

async fn stay(client: Client) {
    let mut stream = client.into_stream();
    let mut nop = interval(NOP_PERIOD);
    nop.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sink = [0u8; 4096];
    loop {
        tokio::select! {
            read = stream.read(&mut sink) => {
                if !matches!(read, Ok(n) if n > 0) {
                    eprintln!("an idle mount lost its connection");
                    return;
                }
            }
            _ = nop.tick() => {
                if stream.write_all(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await.is_err() {
                    return;
                }
            }
        }
    }
}
