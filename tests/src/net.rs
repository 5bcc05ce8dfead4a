//! A private network: one namespace with one non-loopback address, and machines beside it.

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

    /// Makes the namespace together with machines of their own that are wired to it.
    ///
    /// # Panics
    /// As [`Net::new`]; with more than 200 machines.
    pub fn with_hosts(count: usize) -> (Self, Vec<Host>) {
        let net = Self::new();
        for link in [Link::Control, Link::Data] {
            let bridge = link.name();
            let run = |args: &[&str]| ip(&[&["-n", net.name.as_str()], args].concat());
            run(&["link", "add", bridge, "type", "bridge"]);
            run(&[
                "addr",
                "add",
                &format!("{}/24", link.address(1)),
                "dev",
                bridge,
            ]);
            run(&["link", "set", bridge, "up"]);
        }
        assert!(count <= 200, "{count} machines do not fit into one subnet");
        let hosts = (0..count)
            .map(|number| Host::new(&net, number as u8))
            .collect();
        (net, hosts)
    }

    /// The namespace's file, for `nsenter`.
    pub fn path(&self) -> PathBuf {
        file_of(&self.name)
    }
}

/// Something that programs can run inside of.
pub trait Namespace {
    /// The namespace's file, for `nsenter`.
    fn file(&self) -> PathBuf;
}

impl Namespace for Net {
    fn file(&self) -> PathBuf {
        self.path()
    }
}

fn file_of(namespace: &str) -> PathBuf {
    Path::new("/var/run/netns").join(namespace)
}

/// One of the two wires between a [`Host`] and its [`Net`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// To the master only.
    Control,
    /// To clients and to the other hosts.
    Data,
}

impl Link {
    /// The name of its bridge in the net and of its end in each host.
    fn name(self) -> &'static str {
        match self {
            Link::Control => "control",
            Link::Data => "data",
        }
    }

    fn address(self, last: u8) -> String {
        match self {
            Link::Control => format!("10.78.0.{last}"),
            Link::Data => format!("10.79.0.{last}"),
        }
    }

    /// The address of the [`Net`] on this wire: of the master on [`Link::Control`], of the
    /// mounts on [`Link::Data`].
    pub fn net_ip(self) -> String {
        self.address(1)
    }
}

/// A machine with a namespace of its own and two wires, each of which can be cut: what a
/// chunkserver needs to be out of reach for the master, for the clients, or for all.
#[derive(Debug)]
pub struct Host {
    name: String,
    net: String,
    number: u8,
}

impl Host {
    fn new(net: &Net, number: u8) -> Self {
        let host = Self {
            name: format!("{}-{number}", net.name),
            net: net.name.clone(),
            number,
        };
        ip(&["netns", "add", &host.name]);
        let inside = |args: &[&str]| ip(&[&["-n", host.name.as_str()], args].concat());
        inside(&["link", "set", "lo", "up"]);
        for link in [Link::Control, Link::Data] {
            let (port, end) = (host.port(link), link.name());
            ip(&[
                "-n", &host.net, "link", "add", &port, "type", "veth", "peer", "name", end,
                "netns", &host.name,
            ]);
            ip(&["-n", &host.net, "link", "set", &port, "master", end]);
            inside(&["addr", "add", &format!("{}/24", host.ip(link)), "dev", end]);
            inside(&["link", "set", end, "up"]);
            host.join(link);
        }
        host
    }

    /// Its address on a wire.
    pub fn ip(&self, link: Link) -> String {
        link.address(10 + self.number)
    }

    /// The net's end of a wire.
    fn port(&self, link: Link) -> String {
        format!("{}{}", link.name(), self.number)
    }

    /// Cuts a wire: packets vanish, no connection is closed.
    pub fn cut(&self, link: Link) {
        ip(&["-n", &self.net, "link", "set", &self.port(link), "down"]);
    }

    /// Mends a wire.
    pub fn join(&self, link: Link) {
        ip(&["-n", &self.net, "link", "set", &self.port(link), "up"]);
    }

    /// Nothing arrives any more that it and another one send to each other on [`Link::Data`], while all others
    /// reach both.
    pub fn lose(&self, other: &Host) {
        for (from, to) in [(self, other), (other, self)] {
            // Nobody has this address: what is sent there vanishes.
            let nobody = "02:00:00:00:00:01";
            from.neighbour(to, &["replace"], &["lladdr", nobody, "nud", "permanent"]);
        }
    }

    /// Ends [`Host::lose`].
    pub fn find(&self, other: &Host) {
        for (from, to) in [(self, other), (other, self)] {
            from.neighbour(to, &["del"], &[]);
        }
    }

    fn neighbour(&self, other: &Host, what: &[&str], how: &[&str]) {
        let (address, wire) = (other.ip(Link::Data), Link::Data.name());
        let entry = [address.as_str(), "dev", wire];
        ip(&[&["-n", &self.name, "neigh"], what, &entry, how].concat());
    }
}

impl Namespace for Host {
    fn file(&self) -> PathBuf {
        file_of(&self.name)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

fn delete(namespace: &str) {
    let run = Tool::new(real("ip"))
        .args(["netns", "del", namespace])
        .run();
    if run.code != Some(0) {
        eprintln!("cannot remove the network namespace: {run}");
    }
}

/// Takes away what test processes left that were ended by SIGKILL: the namespaces that carry
/// their process id, with everything that still runs inside, and their mounts.
fn sweep() {
    sweep_if(|pid| !Path::new(&format!("/proc/{pid}")).exists());
}

/// Takes away everything that a process of this harness left behind: its namespaces, what still
/// runs inside them, and its mounts. The process must have ended.
pub fn sweep_after(process: u32) {
    sweep_if(|pid| pid == process);
}

fn sweep_if(chosen: impl Fn(u32) -> bool) {
    let Ok(entries) = std::fs::read_dir("/var/run/netns") else {
        return;
    };
    let names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            name.strip_prefix("antler-")
                .and_then(|rest| rest.split('-').next()?.parse().ok())
                .is_some_and(&chosen)
        })
        .collect();
    // First: what waits for a mount can neither die nor be looked at before the mount is gone.
    crate::mount::sweep_if(&chosen);
    for name in &names {
        let inside = Tool::new(real("ip")).args(["netns", "pids", name]).run();
        for pid in inside
            .stdout
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    for name in &names {
        // Another test process may be quicker: not being there any more is fine.
        let _ = Tool::new(real("ip")).args(["netns", "del", name]).run();
    }
}

#[track_caller]
fn ip(args: &[&str]) {
    Tool::new(real("ip")).args(args).run().expect(0);
}
