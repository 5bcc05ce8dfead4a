//! Where the programs under test and the real programs around them are.

use std::path::{Path, PathBuf};

/// Which master a scenario runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's `mfsmaster` 3.0.117: shows that an expectation is a fact.
    Original,
    /// The `mfsmaster` of this workspace.
    Ours,
}

impl Kind {
    /// The master's program file.
    pub fn mfsmaster(self) -> PathBuf {
        match self {
            Kind::Original => real("mfsmaster"),
            Kind::Ours => ours("mfsmaster"),
        }
    }
}

/// The Debian package that brings a real program.
fn package_of(name: &str) -> &'static str {
    match name {
        "mfsmaster" | "mfsmetadump" | "mfsmetadirinfo" => "moosefs-master",
        "mfschunkserver" => "moosefs-chunkserver",
        "mfsmetalogger" => "moosefs-metalogger",
        "mfscli" => "moosefs-cli",
        "fusermount3" => "fuse3",
        "ip" | "ss" => "iproute2",
        "systemd-analyze" => "systemd",
        "nsenter" | "mount" | "umount" | "prlimit" => "util-linux",
        "env" | "stat" | "cp" | "timeout" => "coreutils",
        "mkfs.ext4" | "fsck.ext4" | "chattr" => "e2fsprogs",
        "python3" => "python3",
        "getfattr" | "setfattr" => "attr",
        "getfacl" | "setfacl" => "acl",
        "setpriv" => "util-linux",
        "fio" => "fio",
        _ => "moosefs-client",
    }
}

/// A program of the system: one of the original's, or one the harness itself needs.
///
/// # Panics
/// When it is not installed; the text names the package.
pub fn real(name: &str) -> PathBuf {
    // Not $PATH: a PATH with our own build directory in front must not change what is real.
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "the real program `{name}` is missing: apt-get install {} (scripts/test does)",
                package_of(name)
            )
        })
}

/// A program of this workspace: in `$ANTLER_BIN_DIR`, else in the build directory that this
/// test or tool was built into.
///
/// # Panics
/// When it is not built.
pub fn ours(name: &str) -> PathBuf {
    let path = match std::env::var_os("ANTLER_BIN_DIR") {
        Some(dir) => PathBuf::from(dir).join(name),
        None => {
            let running = std::env::current_exe().expect("the path of the running program");
            // target/<profile>/deps/<test>: the programs lie two levels up, tools beside them.
            running
                .ancestors()
                .skip(1)
                .find(|dir| !dir.ends_with("deps"))
                .expect("a test lies in target/<profile>/deps")
                .join(name)
        }
    };
    assert!(
        path.is_file(),
        "{} is not built: cargo build --workspace --bins",
        path.display()
    );
    path
}

/// Our `mfsmetarestore`.
pub fn metarestore() -> PathBuf {
    ours("mfsmetarestore")
}

/// A test program from crates.io that `scripts/test` installs into `$ANTLER_CACHE` (default
/// `~/.cache/antler`).
///
/// # Panics
/// When it is not there; the text tells how to install it.
pub fn installed(name: &str, version: &str) -> PathBuf {
    let cache = std::env::var_os("ANTLER_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/antler"),
        PathBuf::from,
    );
    let program = cache.join("bin").join(name);
    assert!(
        program.is_file(),
        "{} is missing: cargo install --root {} {name} --version {version} (scripts/test does)",
        program.display(),
        cache.display()
    );
    program
}
