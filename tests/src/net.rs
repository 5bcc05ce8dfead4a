//! A private network: one namespace with one non-loopback address.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::Tool;
use crate::programs::real;

/// A network namespace with a veth pair. Ports are free in it whatever runs on the host,
/// and chunkservers, which refuse to meet a master on 127.0.0.1, find it on [`Net::IP`].
#[derive(Debug)]
pub struct Net {
    name: String,
}

impl Net {
    /// The address of everything that runs inside; it exists in no other namespace.
    pub const IP: &'static str = "10.77.0.1";
    /// A second address, for clients that shall come from elsewhere (`mfsbind`).
    pub const OTHER_IP: &'static str = "10.77.0.2";

    /// Makes the namespace.
    ///
    /// # Panics
    /// Without root, or when `ip` fails.
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        static SWEPT: Once = Once::new();
        assert!(
            nix::unistd::geteuid().is_root(),
            "the end-to-end tests need root: network namespaces and FUSE mounts"
        );
        SWEPT.call_once(sweep);
        let name = format!(
            "antler-{}-{}",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        ip(&["netns", "add", &name]);
        let net = Self { name };
        let inside = |args: &[&str]| ip(&[&["-n", net.name.as_str()], args].concat());
        inside(&["link", "set", "lo", "up"]);
        inside(&["link", "add", "v0", "type", "veth", "peer", "name", "v1"]);
        inside(&["addr", "add", &format!("{}/24", Self::IP), "dev", "v0"]);
        inside(&[
            "addr",
            "add",
            &format!("{}/24", Self::OTHER_IP),
            "dev",
            "v0",
        ]);
        inside(&["link", "set", "v0", "up"]);
        inside(&["link", "set", "v1", "up"]);
        net
    }

    /// The namespace's file, for `nsenter`.
    pub fn path(&self) -> PathBuf {
        Path::new("/var/run/netns").join(&self.name)
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let run = Tool::new(real("ip"))
            .args(["netns", "del", &self.name])
            .run();
        if run.code != Some(0) {
            eprintln!("cannot remove the network namespace: {run}");
        }
    }
}

/// Takes away what test processes left that were ended by SIGKILL: the namespaces that carry
/// their process id, with everything that still runs inside, and their mounts.
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/var/run/netns") else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("antler-")
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_none_or(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            continue;
        }
        let inside = Tool::new(real("ip")).args(["netns", "pids", &name]).run();
        for pid in inside
            .stdout
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        // Another test process may be quicker: not being there any more is fine.
        let _ = Tool::new(real("ip")).args(["netns", "del", &name]).run();
    }
    crate::mount::sweep();
}

#[track_caller]
fn ip(args: &[&str]) {
    Tool::new(real("ip")).args(args).run().expect(0);
}
