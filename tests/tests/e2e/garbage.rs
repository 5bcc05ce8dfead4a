//! Hostile clients: whatever comes in on the ports, nobody else notices.

use std::time::Duration;

use antler_e2e::{Kind, Master, Mount, Net, PATIENCE, Tool, fixture, real, wait_for};

/// The greatest memory, in KiB, that hostile connections may cost for longer than they live.
const MEMORY: u64 = 64 * 1024;

/// The longest that an operation of a well-behaved mount may take, on a machine that does other work, too.
const SLOWEST: Duration = Duration::from_secs(5);

/// Lines of the log for each hostile connection, at most: why it was closed.
const LOG_LINES: u64 = 2;

/// A figure that the script printed as `NAME VALUE`.
fn figure(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_else(|| panic!("no figure {name}: {text}"))
}

/// Malformed, cut, oversized and random packets on all ports for `$ANTLER_GARBAGE_SECONDS` (default 5), while a
/// mount works: it is not disturbed, the master keeps its memory, its log does not overflow, and what was in the
/// file system is untouched.
#[test]
fn a_mount_works_among_hostile_clients() {
    let seconds = std::env::var("ANTLER_GARBAGE_SECONDS").unwrap_or_else(|_| "5".to_owned());
    let net = Net::new();
    let mut master = Master::new(Kind::Ours, &net);
    master.start_foreground(&[]);
    wait_for("the master", PATIENCE, || {
        master.log().contains("daemon initialized properly")
    });
    let mount = Mount::new(&net);
    let run = Tool::inside(&net, real("python3"))
        .arg(fixture("garbage/hostile.py"))
        .arg(Net::IP)
        .arg(mount.path())
        .arg(master.pid().expect("a running master").to_string())
        .args([
            seconds.as_str(),
            &antler_e2e::workload::Random::seed().to_string(),
        ])
        .run()
        .expect(0);
    println!("{}", run.stdout);
    let connections = figure(&run.stdout, "connections");
    assert!(connections > 100, "hardly any garbage was sent: {run}");
    assert!(figure(&run.stdout, "operations") > 100, "{run}");
    let slowest = Duration::from_millis(figure(&run.stdout, "slowest_ms"));
    assert!(slowest < SLOWEST, "the mount had to wait: {run}");
    assert_eq!(figure(&run.stdout, "left_open"), 0, "{run}");
    let (before, after) = (
        figure(&run.stdout, "rss_before"),
        figure(&run.stdout, "rss_after"),
    );
    assert!(after < before + MEMORY, "memory: {run}");
    let log = master.log();
    assert!(!log.contains("panic"), "{log}");
    let lines = log.lines().count() as u64;
    assert!(
        lines <= connections * LOG_LINES + 100,
        "{lines} lines in the log for {connections} connections"
    );
    assert!(
        log.lines().filter(|line| line.contains("clos")).count() > 10,
        "no reasons in the log: {log}"
    );
    mount.unmount();
    master.stop();
    // What is in the image is what the mount made.
    master.start();
    assert!(master.pid().is_some());
}
