//! A registered connection with pipelined requests.

use anyhow::{Context, Result, bail, ensure};
use mfs_proto::client::Request;
use mfs_proto::client::register::{NewSession, Register};
use mfs_proto::frame::{Frame, Frames};
use mfs_proto::{Version, msg};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that is believed, bytes.
const ANSWER_LIMIT: u32 = 64 << 20;

/// A connection to the master.
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes that were received; up to `taken` they have been looked at.
    received: Vec<u8>,
    taken: usize,
    to_send: Vec<u8>,
    /// When each request of a run was sent.
    sent_at: Vec<u64>,
}

/// What a run of requests cost.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Nanoseconds from sending to receiving, one for each request.
    pub(crate) latencies: Vec<u32>,
    /// Answers that were a status other than OK.
    pub(crate) refused: usize,
}

impl Client {
    /// Connects and registers a new session.
    pub(crate) async fn register(master: SocketAddr, name: &str) -> Result<Client> {
        let stream = TcpStream::connect(master)
            .await
            .with_context(|| format!("cannot connect to {master}"))?;
        stream.set_nodelay(true)?;
        let mut client = Client {
            stream,
            received: Vec::with_capacity(1 << 16),
            taken: 0,
            to_send: Vec::new(),
            sent_at: Vec::new(),
        };
        let session = NewSession {
            version: Version::MASTER,
            info: name.as_bytes(),
            path: b"/",
            resume: None,
            digest: None,
        };
        Request::Register(Register::NewSession(session)).encode(&mut client.to_send);
        client.send().await?;
        loop {
            client.receive().await?;
            let mut frames = Frames::new(&client.received[client.taken..], ANSWER_LIMIT);
            while let Some(Frame { msg: kind, payload }) = frames.next_frame()? {
                if kind == msg::MATOCL_FUSE_REGISTER {
                    ensure!(
                        payload.len() > 1,
                        "the master refused the registration: status {payload:?}"
                    );
                    client.taken += frames.consumed();
                    return Ok(client);
                }
            }
            client.taken += frames.consumed();
        }
    }

    /// Splits the connection for a mount that does nothing.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    async fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.to_send).await?;
        self.to_send.clear();
        Ok(())
    }

    async fn receive(&mut self) -> Result<()> {
        self.received.drain(..self.taken);
        self.taken = 0;
        self.received.reserve(1 << 16);
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the master closed the connection");
        }
        Ok(())
    }

    /// Sends requests `0..count` with at most `depth` of them unanswered. `make` appends request `i` with
    /// message id `i + 1`; `answer` gets the payload behind the message id of each success.
    pub(crate) async fn pipeline(
        &mut self,
        count: usize,
        depth: usize,
        mut make: impl FnMut(usize, &mut Vec<u8>),
        mut answer: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<Outcome> {
        let mut outcome = Outcome {
            latencies: Vec::with_capacity(count),
            refused: 0,
        };
        let epoch = Instant::now();
        let now = || epoch.elapsed().as_nanos() as u64;
        self.sent_at.clear();
        self.sent_at.resize(count, 0);
        let (mut sent, mut done) = (0, 0);
        while done < count {
            if sent < count && sent - done < depth {
                let at = now();
                while sent < count && sent - done < depth {
                    make(sent, &mut self.to_send);
                    self.sent_at[sent] = at;
                    sent += 1;
                }
                self.send().await?;
            }
            self.receive().await?;
            let at = now();
            let mut frames = Frames::new(&self.received, ANSWER_LIMIT);
            while let Some(Frame { payload, .. }) = frames.next_frame()? {
                let Some((mid, rest)) = payload.split_first_chunk::<4>() else {
                    continue;
                };
                let mid = u32::from_be_bytes(*mid) as usize;
                if mid == 0 {
                    continue;
                }
                let i = mid - 1;
                ensure!(i < count, "answer to a request that was never sent ({mid})");
                outcome
                    .latencies
                    .push((at - self.sent_at[i]).min(u64::from(u32::MAX)) as u32);
                match rest {
                    [status] if *status != 0 => outcome.refused += 1,
                    _ => answer(i, rest)?,
                }
                done += 1;
            }
            self.taken = frames.consumed();
        }
        Ok(outcome)
    }
}
