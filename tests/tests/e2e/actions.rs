//! The actions of the command line: the table of spec 01 §4, and exit codes of §3.4.

use antler_e2e::{Kind, Master, Net, PATIENCE, Tool, real, until, wait_for};
use nix::sys::signal::{Signal, kill};

both!(
    version_and_usage,
    configuration_missing,
    without_an_owner,
    with_an_owner,
    restart,
    kill_action,
    reload,
    restore_over_a_running_master,
    foreground,
    start_of_a_second_master,
    no_data_directory,
    bad_user,
    busy_port,
    no_exports,
);

fn version_and_usage(kind: Kind) {
    let mfsmaster = |args: &[&str]| Tool::new(kind.mfsmaster()).args(args).run();
    let run = mfsmaster(&["-v"]).expect(0);
    assert!(run.stdout.contains("3.0.117"), "{run}");
    for args in [&["-h"][..], &["-?"], &["-Q"], &["jump"], &["start", "stop"]] {
        let run = mfsmaster(args).expect(1);
        assert!(run.stdout.contains("usage"), "no usage on stdout: {run}");
    }
}

fn configuration_missing(kind: Kind) {
    let run = Tool::new(kind.mfsmaster())
        .args(["-c", "/nonexistent/mfsmaster.cfg", "test"])
        .run()
        .expect(1);
    assert!(run.stderr.contains("/nonexistent/mfsmaster.cfg"), "{run}");
}

fn without_an_owner(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    for (action, code, text) in [
        ("stop", 0, "can't find process to terminate"),
        ("kill", 0, "can't find process to terminate"),
        ("try-restart", 1, "can't find process to restart"),
        ("reload", 1, ""),
        ("info", 1, ""),
        ("test", 1, "mfsmaster is not running"),
        ("status", 1, "mfsmaster is not running"),
        ("TEST", 1, "mfsmaster is not running"),
    ] {
        let run = master.run(&[action]).expect(code);
        assert!(run.stderr.contains(text), "{run}");
    }
    assert_eq!(master.data.get("metadata.mfs"), b"MFSM NEW");
    // Restart starts.
    master.run(&["restart"]).expect(0);
    assert!(master.pid().is_some());
}

fn with_an_owner(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    let run = master.run(&["start"]).expect(0);
    let pid = master.pid().expect("a running master");
    for port in [9419, 9420, 9421] {
        assert!(run.stderr.contains(&format!("listen on *:{port}")), "{run}");
        connect(&net, port);
    }
    assert!(run.stderr.contains("daemon initialized properly"), "{run}");
    for action in ["test", "status"] {
        let run = master.run(&[action]).expect(0);
        assert!(
            run.stderr.contains(&format!("mfsmaster pid: {pid}")),
            "{run}"
        );
    }
    let text = String::from_utf8(master.data.get(".mfsmaster.lock")).expect("text");
    assert_eq!(text, format!("{pid}\n"));
    master.run(&["info"]).expect(0);
    assert_eq!(master.pid(), Some(pid), "info ended the master");
    master.stop();
    assert!(master.data.has("metadata.mfs"));
}

/// A port of the private network accepts connections.
fn connect(net: &Net, port: u16) {
    Tool::inside(net, real("python3"))
        .arg("-c")
        .arg(format!(
            "import socket; socket.create_connection(('{}', {port}), 5)",
            Net::IP
        ))
        .run()
        .expect(0);
}

fn restart(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    for action in ["restart", "try-restart"] {
        let before = master.pid().expect("a running master");
        master.run(&[action]).expect(0);
        let after = master.pid().expect("a running master");
        assert_ne!(before, after);
        if kind == Kind::Ours {
            // The original leaves the old pid in the file (defect 9).
            let text = String::from_utf8(master.data.get(".mfsmaster.lock")).expect("text");
            assert_eq!(text, format!("{after}\n"));
        }
    }
}

fn kill_action(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    master.run(&["kill"]).expect(0);
    master.assert_ended();
    assert!(
        !master.data.has("metadata.mfs"),
        "a killed master is not clean"
    );
    assert!(master.data.has("metadata.mfs.back"));
}

fn reload(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    let pid = master.pid();
    // Nobody may mount any more, except from an address that is not ours.
    master.set_exports("10.1.2.3 / rw\n");
    let run = master.run(&["reload"]).expect(0);
    assert!(run.stderr.contains("reload signal has been sent"), "{run}");
    wait_for("the new exports", PATIENCE, || {
        antler_e2e::Mount::try_with(&net, "/", antler_e2e::CACHES_OFF).is_err()
    });
    // A bad file leaves what was there.
    master.set_exports("nonsense\n");
    master.run(&["reload"]).expect(0);
    master.set_exports("* / rw,alldirs,maproot=0:0\n");
    master.run(&["reload"]).expect(0);
    wait_for("the new exports", PATIENCE, || {
        antler_e2e::Mount::try_with(&net, "/", antler_e2e::CACHES_OFF).is_ok()
    });
    assert_eq!(master.pid(), pid, "reload ended the master");
}

fn restore_over_a_running_master(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    match kind {
        // It stops the running master (defect 10).
        Kind::Original => {
            master.run(&["restore"]).expect(0);
            master.assert_ended();
        }
        Kind::Ours => {
            let pid = master.pid();
            let before = master.data.snapshot();
            master.run(&["restore"]).expect(1);
            master.restore().expect(1);
            assert_eq!(master.pid(), pid, "restore touched the running master");
            assert_eq!(master.data.snapshot(), before);
        }
    }
}

fn foreground(kind: Kind) {
    let net = Net::new();
    let mut master = Master::new(kind, &net);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        master.start_foreground(&[]);
        wait_for("a master in the foreground", PATIENCE, || {
            master.log().contains("daemon initialized properly")
        });
        master.signal(signal);
        assert_eq!(master.wait_foreground(PATIENCE), Some(0));
        assert!(master.data.has("metadata.mfs"));
    }
    master.data.put("metadata.mfs", "");
    master.start_foreground(&[]);
    assert_eq!(master.wait_foreground(PATIENCE), Some(1));
}

fn start_of_a_second_master(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    let pid = master.pid();
    let run = master.run(&["start"]).expect(1);
    assert!(
        run.stderr
            .contains("can't start: lockfile is already locked"),
        "{run}"
    );
    assert_eq!(master.pid(), pid);
}

fn no_data_directory(kind: Kind) {
    let net = Net::new();
    let mut master = Master::new(kind, &net);
    master.option("DATA_PATH", "/nonexistent/mfs");
    master.run(&["start"]).expect(1);
}

fn bad_user(kind: Kind) {
    let net = Net::new();
    let mut master = Master::new(kind, &net);
    master.option("WORKING_USER", "no-such-user");
    // The original says so and still gives 0 (defect 9).
    let code = match kind {
        Kind::Original => 0,
        Kind::Ours => 1,
    };
    let run = master.run(&["start"]).expect(code);
    assert!(run.stderr.contains("no-such-user"), "{run}");
    master.assert_ended();
    master.run(&["test"]).expect(1);
}

fn busy_port(kind: Kind) {
    let net = Net::new();
    let first = Master::new(kind, &net);
    first.start();
    let second = Master::empty(kind, &net);
    second.data.put_fixture("lifecycle/v13.mfs", "metadata.mfs");
    second.run(&["start"]).expect(1);
    second.assert_ended();
    // The directory is as clean as it was.
    assert_eq!(second.data.version("metadata.mfs"), 13);
    first.kill9();
    second.start();
}

fn no_exports(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.set_exports("# nothing\n");
    let run = master.run(&["start"]).expect(1);
    assert!(run.stderr.contains("no exports defined"), "{run}");
    master.assert_ended();
    assert_eq!(master.data.version("metadata.mfs"), 1);
}

/// The daemon runs as WORKING_USER and its files belong to that user.
#[test]
fn working_user() {
    use std::os::unix::fs::{MetadataExt, chown};
    let net = Net::new();
    let mut master = Master::new(Kind::Ours, &net);
    master
        .option("WORKING_USER", "nobody")
        .option("WORKING_GROUP", "nogroup");
    // The directories above must let the user through.
    for path in master.data.path().ancestors().take(2) {
        chown(path, Some(65534), Some(65534)).expect("chown");
    }
    chown(master.data.file("metadata.mfs"), Some(65534), Some(65534)).expect("chown");
    master.start();
    let pid = master.pid().expect("a running master");
    let status = std::fs::metadata(format!("/proc/{pid}")).expect("the process");
    assert_eq!((status.uid(), status.gid()), (65534, 65534));
    wait_for("the first change", PATIENCE, || {
        master.data.has("changelog.0.mfs")
    });
    let log = std::fs::metadata(master.data.file("changelog.0.mfs")).expect("the changelog");
    assert_eq!(
        (log.uid(), log.gid(), log.mode() & 0o777),
        (65534, 65534, 0o640)
    );
    kill(pid, Signal::SIGTERM).expect("signal");
    assert!(until(PATIENCE, || master.data.has("metadata.mfs")));
}
