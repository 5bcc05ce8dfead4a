//! The process framework with real processes: every row of the actions, readiness, signals, limits
//! and the words with systemd (spec 01 §3 to §6).
//!
//! A daemon forks, changes its limits and dies, so it must be a process of its own; and to see all
//! the ways of dying it needs a service that dies on demand. This program is both: with
//! `MFS_TEST_SERVICE` in its environment it is `mfsmaster` around [`Probe`], without it the tests.

#![allow(
    clippy::unwrap_used,
    reason = "tests; without the harness clippy does not see that"
)]

mod place;
mod probe;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial};
use mfs_master::daemon;
use rustix::process::Signal;

use place::{PATIENCE, Place, is_root, limit, read_until, send, status_field, wait_until};
use probe::{Probe, SERVICE};

fn version_and_usage() {
    let place = Place::new();
    let done = place.run("serve", &["-v"]);
    assert_eq!(done.code, Some(0));
    assert!(done.out.starts_with("version: 3.0.117-1 ; build: "));
    assert_eq!(done.err, "");
    for args in [["-h"].as_slice(), &["nonsense"], &["start", "stop"]] {
        let done = place.run("serve", args);
        assert_eq!(done.code, Some(1));
        assert!(done.out.starts_with("usage: "), "{done:?}");
        assert_eq!(done.err, "");
    }
    let done = place.run("serve", &["-e"]);
    done.expect(1, "invalid option -- 'e'");
    assert!(done.out.starts_with("usage: "));
    let done = place.run("serve", &["-d", "test"]);
    done.expect(1, "mfsmaster is not running");
    assert_eq!(done.out, "option '-d' is deprecated - use '-f' instead\n");
}

fn a_missing_configuration_is_fatal_when_named() {
    let place = Place::new();
    fs::remove_file(place.path("cfg")).unwrap();
    let done = place.run("serve", &["test"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let path = place.path("cfg");
    assert!(done.err.contains(path.to_str().unwrap()), "{done:?}");
    assert!(done.err.contains("not found"), "{done:?}");
}

fn u_tells_the_defaults() {
    let place = Place::new();
    let done = place.run("serve", &["-u", "test"]);
    done.expect(
        1,
        "config: using default value for option 'SYSLOG_IDENT' - 'mfsmaster'",
    );
    assert!(!done.err.contains("'FILE_UMASK'"), "{done:?}");
    let done = place.run("serve", &["test"]);
    assert_eq!(done.err, "mfsmaster is not running\n");
}

fn a_missing_data_directory_is_fatal() {
    let place = Place::with("DATA_PATH = /no/such/directory");
    for args in [
        ["start"].as_slice(),
        &["-f", "start"],
        &["stop"],
        &["restore"],
    ] {
        let done = place.run("serve", args);
        assert_eq!(done.code, Some(1));
        let text = "can't set working directory to /no/such/directory";
        assert!(done.err.contains(text), "{done:?}");
    }
}

fn a_directory_without_room_for_the_lock_is_fatal() {
    let place = Place::new();
    fs::create_dir(place.path(".mfsmaster.lock")).unwrap();
    for args in [
        ["start"].as_slice(),
        &["-f", "start"],
        &["stop"],
        &["test"],
        &["restore"],
    ] {
        let path = place.path(".mfsmaster.lock");
        let text = format!(
            "can't create lockfile in working directory ({}): Is a directory (os error 21)",
            path.display()
        );
        place.run("serve", args).expect(1, &text);
    }
}

fn actions_without_a_master() {
    let place = Place::new();
    for (action, code, line) in [
        ("stop", 0, "can't find process to terminate"),
        ("kill", 0, "can't find process to terminate"),
        ("try-restart", 1, "can't find process to restart"),
        ("reload", 1, "can't find process to send reload signal"),
        ("info", 1, "can't find process to send info signal"),
        ("test", 1, "mfsmaster is not running"),
        ("STATUS", 1, "mfsmaster is not running"),
    ] {
        place.run("serve", &[action]).expect(code, line);
        place.run("serve", &["-f", action]).expect(code, line);
    }
    assert_eq!(place.lock_text(), "");
    assert_eq!(place.run("serve", &["restore"]).code, Some(0));
    assert_eq!(place.events(), ["restore"]);
}

fn actions_on_a_running_master() {
    let place = Place::new();
    let pid = place.start();
    assert_eq!(place.lock_text(), format!("{pid}\n"));
    let locked = "can't start: lockfile is already locked by another process";
    place.run("serve", &["start"]).expect(1, locked);
    place.run("serve", &["-f", "start"]).expect(1, locked);
    let line = format!("mfsmaster pid: {pid}");
    place.run("serve", &["test"]).expect(0, &line);
    place.run("serve", &["status"]).expect(0, &line);
    place
        .run("serve", &["reload"])
        .expect(0, "reload signal has been sent");
    place.await_event("reload");
    place
        .run("serve", &["info"])
        .expect(0, "info signal has been sent");
    place.await_event("info");
    let done = place.run("serve", &["restore"]);
    let in_use = format!(
        "can't restore: the data directory is in use (pid:{pid}) - stop that process first"
    );
    done.expect(1, &in_use);
    assert_eq!(place.pid(), Some(pid));
    assert_eq!(place.lock_text(), format!("{pid}\n"));
    let done = place.run("serve", &["stop"]);
    done.expect(0, &format!("sending SIGTERM to lock owner (pid:{pid})"));
    done.expect(0, "waiting for termination terminated");
    assert_eq!(place.pid(), None);
    assert_eq!(place.events(), ["start", "reload", "info", "stop"]);
}

fn restarts_end_the_old_master_and_write_the_new_pid() {
    let place = Place::new();
    place
        .run("serve", &["restart"])
        .expect(0, "mfsmaster daemon initialized properly");
    let mut pid = place.pid().unwrap();
    for action in ["restart", "try-restart"] {
        let done = place.run("serve", &[action]);
        done.expect(0, "waiting for termination terminated");
        done.expect(0, "mfsmaster daemon initialized properly");
        let new = place.pid().unwrap();
        assert_ne!(new, pid);
        assert_eq!(place.lock_text(), format!("{new}\n"));
        pid = new;
    }
    place.run("serve", &["stop"]).expect(0, "terminated");
    assert_eq!(place.events().concat(), "startstop".repeat(3));
}

fn a_killed_master_is_followed_at_once() {
    let place = Place::new();
    for _ in 0..5 {
        let pid = place.start();
        place
            .run("serve", &["kill"])
            .expect(0, &format!("sending SIGKILL to lock owner (pid:{pid})"));
        // And by hand, without waiting for the end of the process.
        let pid = place.start();
        send(pid, Signal::KILL);
    }
    let pid = place.start();
    place.run("serve", &["stop"]).expect(0, "terminated");
    assert_eq!(place.lock_text(), format!("{pid}\n"));
    assert_eq!(place.events().len(), 12);
}

fn waiting_ends_at_the_timeout() {
    let place = Place::new();
    let pid = {
        let done = place.run("stubborn", &["start"]);
        done.expect(0, "mfsmaster daemon initialized properly");
        place.pid().unwrap()
    };
    for action in ["stop", "restart", "try-restart"] {
        let done = place.run("serve", &["-t", "1", action]);
        done.expect(1, "waiting for termination :giving up");
        assert_eq!(place.pid(), Some(pid));
    }
    place.run("serve", &["kill"]).expect(0, "terminated");
    assert_eq!(place.pid(), None);
}

/// Session of a process. Not by `getsid`: in a container the session of the tests may have begun outside, and has
/// the number 0 then, for which the crates around that call have no value.
fn session_of(pid: &str) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.split(' ').nth(3).unwrap().parse().unwrap()
}

fn start_returns_when_the_service_is_ready() {
    let place = Place::new();
    let mut starter = place.command("wait", &["start"]).spawn().unwrap();
    read_until(&mut starter, "loading nothing ... ");
    assert!(
        starter.try_wait().unwrap().is_none(),
        "ready before its time"
    );
    let pid = place.pid().unwrap();
    assert_ne!(pid, starter.id());
    fs::write(place.path("go"), "").unwrap();
    assert!(starter.wait().unwrap().success());
    assert_eq!(place.events(), ["start"]);

    // A daemon: nothing of the starter's terminal or directory, in a session without a leader.
    for fd in 0..=2 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(target, Path::new("/dev/null"));
    }
    let dir = fs::canonicalize(place.dir.path()).unwrap();
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), dir);
    let session = session_of(&pid.to_string());
    assert_ne!(session, pid);
    assert_ne!(session, session_of("self"));
    place.run("serve", &["stop"]).expect(0, "terminated");
}

fn a_start_survives_its_starter() {
    let place = Place::new();
    let mut starter = place.command("wait", &["start"]).spawn().unwrap();
    read_until(&mut starter, "loading nothing ... ");
    starter.kill().unwrap();
    starter.wait().unwrap();
    fs::write(place.path("go"), "").unwrap();
    place.await_event("start");
    place
        .run("serve", &["info"])
        .expect(0, "info signal has been sent");
    place.await_event("info");
    place.run("serve", &["stop"]).expect(0, "terminated");
    place.await_event("stop");
}

fn a_failed_start_is_told() {
    let place = Place::new();
    for args in [["start"].as_slice(), &["-f", "start"]] {
        let done = place.run("fail", args);
        done.expect(1, "can't find nothing");
        done.expect(1, "error occurred during initialization - exiting");
        assert_eq!(place.pid(), None);
    }
}

fn a_start_that_dies_is_told() {
    let place = Place::new();
    let died = "the mfsmaster daemon was killed by SIGKILL before it was ready";
    place.run("die", &["start"]).expect(1, died);
    place
        .run("vanish", &["start"])
        .expect(1, "the mfsmaster daemon ended before it was ready");
    let done = place.run("panic", &["start"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("not foreseen"), "{done:?}");
    assert_eq!(place.pid(), None);
    assert_eq!(place.events(), [""; 0]);
}

fn a_failed_run_is_stopped_in_order() {
    let place = Place::new();
    let done = place.run("broken", &["-f", "start"]);
    done.expect(1, "broken in mid-run");
    assert_eq!(place.events(), ["start", "stop"]);
}

fn signals_of_a_daemon() {
    let place = Place::new();
    let pid = place.start();
    for signal in [
        Signal::INT,
        Signal::QUIT,
        Signal::PIPE,
        Signal::TSTP,
        Signal::TTIN,
        Signal::TTOU,
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
    ] {
        send(pid, signal);
    }
    send(pid, Signal::USR1);
    place.await_event("info");
    send(pid, Signal::HUP);
    place.await_event("reload");
    send(pid, Signal::TERM);
    send(pid, Signal::TERM);
    wait_until("the end of the daemon", || place.pid().is_none());
    assert_eq!(place.events(), ["start", "info", "reload", "stop"]);
}

fn signals_of_a_foreground_run() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let mut child = place.command("serve", &["-f", "start"]).spawn().unwrap();
        read_until(&mut child, "mfsmaster daemon initialized properly");
        assert_eq!(place.pid(), Some(child.id()));
        send(child.id(), Signal::HUP);
        place.await_event("reload");
        send(child.id(), signal);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(place.events(), ["start", "reload", "stop"]);
    }
}

fn signals_that_the_starter_blocks_arrive() {
    let place = Place::new();
    let plain = place.command("serve", &["-f", "start"]);
    let mut child = Command::new("env")
        .args(["--block-signal=TERM", "--block-signal=HUP"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    read_until(&mut child, "mfsmaster daemon initialized properly");
    send(child.id(), Signal::HUP);
    place.await_event("reload");
    send(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn a_long_start_can_be_stopped() {
    let place = Place::new();
    let mut child = place.command("wait", &["-f", "start"]).spawn().unwrap();
    read_until(&mut child, "loading nothing ... ");
    send(child.id(), Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(place.events(), [""; 0]);

    let mut starter = place.command("wait", &["start"]).spawn().unwrap();
    read_until(&mut starter, "loading nothing ... ");
    place.run("serve", &["stop"]).expect(0, "terminated");
    assert_eq!(starter.wait().unwrap().code(), Some(1));
    assert_eq!(place.pid(), None);
}

fn limits_and_umask() {
    let place = Place::with("NICE_LEVEL = 5\nFILE_UMASK = 0766");
    let pid = place.start();
    let (soft, hard) = limit(pid, "Max open files");
    assert_eq!(soft, hard);
    let (_, ours) = limit(std::process::id(), "Max open files");
    let least = if is_root() { 16384 } else { 1024 };
    assert!(soft.parse::<u64>().unwrap() >= ours.parse::<u64>().unwrap().max(least));
    let (core, _) = limit(pid, "Max core file size");
    let (_, core_allowed) = limit(std::process::id(), "Max core file size");
    if is_root() || core_allowed == "unlimited" {
        assert_eq!(core, "unlimited");
    } else {
        assert_ne!(core, "unlimited");
    }
    assert_eq!(status_field(pid, "Umask"), "0066");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let nice = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16);
    assert_eq!(nice, Some("5"));
    place.run("serve", &["stop"]).expect(0, "terminated");

    let core_before = limit(std::process::id(), "Max core file size");
    place
        .run("serve", &["-n", "start"])
        .expect(0, "mfsmaster daemon initialized properly");
    assert_eq!(
        limit(place.pid().unwrap(), "Max core file size"),
        core_before
    );
    place.run("serve", &["stop"]).expect(0, "terminated");
}

fn the_working_user() {
    let place = Place::with("WORKING_USER = nobody\nWORKING_GROUP =");
    if is_root() {
        let dir = place.dir.path();
        std::os::unix::fs::chown(dir, Some(65534), Some(65534)).unwrap();
        let pid = place.start();
        assert_eq!(status_field(pid, "Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(status_field(pid, "Gid"), "65534\t65534\t65534\t65534");
        assert_eq!(status_field(pid, "Groups"), "65534");
        place.run("serve", &["stop"]).expect(0, "terminated");
    } else {
        // Whoever is not root cannot become another and goes on as himself.
        let pid = place.start();
        assert_eq!(
            status_field(pid, "Uid"),
            status_field(std::process::id(), "Uid")
        );
        place.run("serve", &["stop"]).expect(0, "terminated");
    }

    let place = Place::with("WORKING_USER = no:such:user");
    for args in [["start"].as_slice(), &["-f", "start"], &["test"]] {
        let done = place.run("serve", args);
        if is_root() {
            done.expect(1, "no:such:user: no such user !!!");
        } else {
            assert!(!done.err.contains("no such user"), "{done:?}");
        }
    }
}

fn systemd_is_told() {
    let place = Place::new();
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut buffer = [0; 1000];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    };
    let next_but_watchdog = || loop {
        let message = next();
        if message.trim_end() != "WATCHDOG=1" {
            return message;
        }
    };
    // The watchdog is meant for a process id, which only a shell knows beforehand.
    let mut child = Command::new("sh")
        .args(["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .arg("-c")
        .arg(place.path("cfg"))
        .args(["-f", "start"])
        .env(SERVICE, "serve")
        .env("NOTIFY_SOCKET", place.path("notify"))
        .env("WATCHDOG_USEC", "20000")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    read_until(&mut child, "mfsmaster daemon initialized properly");
    assert!(next_but_watchdog().lines().any(|l| l == "READY=1"));
    for _ in 0..3 {
        assert_eq!(next().trim_end(), "WATCHDOG=1");
    }
    send(child.id(), Signal::HUP);
    let reloading = next_but_watchdog();
    assert!(reloading.lines().any(|l| l == "RELOADING=1"));
    assert!(reloading.lines().any(|l| l.starts_with("MONOTONIC_USEC=")));
    assert!(next_but_watchdog().lines().any(|l| l == "READY=1"));
    assert_eq!(place.events(), ["start", "reload"]);
    send(child.id(), Signal::TERM);
    assert_eq!(next_but_watchdog().trim_end(), "STOPPING=1");
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}

fn main() -> ExitCode {
    if std::env::var_os(SERVICE).is_some() {
        return daemon::main::<Probe>();
    }
    let trials = [
        ("version_and_usage", version_and_usage as fn()),
        (
            "a_missing_configuration_is_fatal_when_named",
            a_missing_configuration_is_fatal_when_named,
        ),
        ("u_tells_the_defaults", u_tells_the_defaults),
        (
            "a_missing_data_directory_is_fatal",
            a_missing_data_directory_is_fatal,
        ),
        (
            "a_directory_without_room_for_the_lock_is_fatal",
            a_directory_without_room_for_the_lock_is_fatal,
        ),
        ("actions_without_a_master", actions_without_a_master),
        ("actions_on_a_running_master", actions_on_a_running_master),
        (
            "restarts_end_the_old_master_and_write_the_new_pid",
            restarts_end_the_old_master_and_write_the_new_pid,
        ),
        (
            "a_killed_master_is_followed_at_once",
            a_killed_master_is_followed_at_once,
        ),
        ("waiting_ends_at_the_timeout", waiting_ends_at_the_timeout),
        (
            "start_returns_when_the_service_is_ready",
            start_returns_when_the_service_is_ready,
        ),
        ("a_start_survives_its_starter", a_start_survives_its_starter),
        ("a_failed_start_is_told", a_failed_start_is_told),
        ("a_start_that_dies_is_told", a_start_that_dies_is_told),
        (
            "a_failed_run_is_stopped_in_order",
            a_failed_run_is_stopped_in_order,
        ),
        ("signals_of_a_daemon", signals_of_a_daemon),
        ("signals_of_a_foreground_run", signals_of_a_foreground_run),
        (
            "signals_that_the_starter_blocks_arrive",
            signals_that_the_starter_blocks_arrive,
        ),
        ("a_long_start_can_be_stopped", a_long_start_can_be_stopped),
        ("limits_and_umask", limits_and_umask),
        ("the_working_user", the_working_user),
        ("systemd_is_told", systemd_is_told),
    ];
    let trials = trials.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}
