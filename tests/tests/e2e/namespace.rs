//! A real mount: the namespace as a user sees it, and that it survives.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use antler_e2e::workload::{Random, Worker};
use antler_e2e::{Kind, Master, Mount, Net, Tool, differences, dump, durable, real};

both!(
    first_steps,
    many_names,
    subfolders_and_read_only_exports,
    a_session_survives_a_restart,
    random_work_survives_stop_and_start,
);

fn first_steps(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    let mount = Mount::new(&net);
    let root = mount.path();
    assert_eq!(fs::metadata(&root).expect("stat").ino(), 1);
    fs::create_dir(root.join("d")).expect("mkdir");
    fs::File::create(root.join("d/f")).expect("create");
    symlink("f", root.join("d/s")).expect("symlink");
    fs::hard_link(root.join("d/f"), root.join("d/h")).expect("link");
    fs::rename(root.join("d/h"), root.join("g")).expect("rename");
    fs::set_permissions(root.join("g"), fs::Permissions::from_mode(0o4751)).expect("chmod");
    let meta = fs::metadata(root.join("d/f")).expect("stat");
    assert_eq!((meta.nlink(), meta.mode() & 0o7777), (2, 0o4751));
    assert_eq!(
        fs::read_link(root.join("d/s")).expect("readlink").to_str(),
        Some("f")
    );
    rustix::fs::setxattr(
        root.join("g"),
        "user.k",
        b"v",
        rustix::fs::XattrFlags::empty(),
    )
    .expect("setxattr");
    assert_eq!(
        fs::remove_dir(root.join("d"))
            .expect_err("not empty")
            .raw_os_error(),
        Some(39)
    );
    let mut names: Vec<_> = fs::read_dir(root.join("d"))
        .expect("readdir")
        .map(|entry| entry.expect("readdir").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["f", "s"]);
    // A file that is open lives on without a name.
    let open = fs::File::open(root.join("d/f")).expect("open");
    fs::remove_file(root.join("d/f")).expect("unlink");
    fs::remove_file(root.join("g")).expect("unlink");
    assert_eq!(open.metadata().expect("fstat").nlink(), 0);
    let run = Tool::new(real("stat"))
        .args(["-f", "-c", "%l"])
        .arg(&root)
        .run()
        .expect(0);
    assert_eq!(run.stdout.trim(), "255");
    Tool::inside(&net, real("mfsgettrashtime")).arg(&root).run();
}

/// A directory of many names in several pages, as `readdir` gives them.
fn many_names(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    let mount = Mount::new(&net);
    let count = 3000;
    for i in 0..count {
        fs::File::create(mount.join(format!("a rather long name, so that pages fill {i}")))
            .expect("create");
    }
    let names: std::collections::BTreeSet<_> = fs::read_dir(mount.path())
        .expect("readdir")
        .map(|entry| entry.expect("readdir").file_name())
        .collect();
    assert_eq!(names.len(), count);
    for name in names {
        fs::remove_file(mount.join(name)).expect("unlink");
    }
    assert_eq!(fs::read_dir(mount.path()).expect("readdir").count(), 0);
}

fn subfolders_and_read_only_exports(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.set_exports(
        "* / rw,alldirs,maproot=0:0\n\
         * /shown ro\n\
         * /mapped rw,mapall=1234:1235\n\
         * /secret rw,password=open\n",
    );
    master.start();
    let all = Mount::new(&net);
    for name in ["shown", "mapped", "secret"] {
        fs::create_dir(all.join(name)).expect("mkdir");
        fs::set_permissions(all.join(name), fs::Permissions::from_mode(0o777)).expect("chmod");
    }
    fs::create_dir(all.join("shown/inside")).expect("mkdir");
    let with = |folder: &str| Mount::try_with(&net, folder, antler_e2e::CACHES_OFF);
    let shown = with("/shown").expect("mount /shown");
    assert!(shown.join("inside").is_dir());
    // Either the more exact line wins, or "alldirs" of the first does: then it is writable.
    let written = fs::create_dir(shown.join("new")).map_err(|error| error.raw_os_error());
    assert_eq!(written, Err(Some(30)), "a read-only export was written");
    let mapped = with("/mapped").expect("mount /mapped");
    fs::create_dir(mapped.join("new")).expect("mkdir");
    let seen = fs::metadata(all.join("mapped/new")).expect("stat");
    assert_eq!((seen.uid(), seen.gid()), (1234, 1235));
    assert!(with("/nonexistent").is_err());
}

/// The master stops and starts below a mount that stays: names, open files and the session are
/// still good.
fn a_session_survives_a_restart(kind: Kind) {
    let net = Net::new();
    let mut master = Master::new(kind, &net);
    if kind == Kind::Original {
        // Its default mode loses answered changes when it is killed (defect 6).
        master.option("CHANGELOG_SAVE_MODE", "1");
    }
    master.start();
    let mount = Mount::new(&net);
    let path = mount.join("f");
    let open = fs::File::create(&path).expect("create");
    let inode = open.metadata().expect("fstat").ino();
    fs::remove_file(&path).expect("unlink");
    master.stop();
    master.start();
    assert_eq!(open.metadata().expect("fstat").ino(), inode);
    fs::create_dir(mount.join("after")).expect("mkdir");
    // The same over a crash.
    master.kill9();
    master.restore().expect(0);
    master.start();
    assert_eq!(open.metadata().expect("fstat").ino(), inode);
    assert!(mount.join("after").is_dir());
    let sessions = master
        .data
        .changes()
        .values()
        .filter(|line| line.contains("|SESADD("))
        .count();
    assert_eq!(sessions, 1, "the mount had to make a new session");
}

/// Random work, a clean stop, a start: the tree is the same, and the other master reads the image
/// and the changelogs to the same records.
fn random_work_survives_stop_and_start(kind: Kind) {
    let net = Net::new();
    let mut master = Master::new(kind, &net);
    // The original loses lines in its default mode only when killed; the logs are compared here.
    master.option("CHANGELOG_SAVE_MODE", "1");
    master.start_with_image();
    let mut worker = Worker::new("w", Random::seed());
    // It stays to the end: a session that was closed in order is in the changelogs and no longer
    // in the image of a clean stop.
    let mount = Mount::new(&net);
    fs::create_dir(mount.join("w")).expect("mkdir");
    worker.work(&mount.path(), 1500).expect("work");
    worker.verify(&mount.path()).expect("right after the work");
    // The crash state: everything is in the changelogs.
    let crashed = tempfile::tempdir().expect("a temporary directory");
    let crashed_data = antler_e2e::DataDir::new(crashed.path());
    crashed_data.copy_from(master.data.path());
    master.stop();
    let stopped = durable(dump(&master.data.file("metadata.mfs")));
    for other in [Kind::Original, Kind::Ours] {
        let (_dir, restored) = crashed_data.restored_copy(other);
        let replayed = durable(dump(&restored.file("metadata.mfs")));
        assert_eq!(
            differences(&stopped, &replayed),
            "",
            "stopped (<) and replayed by {other:?} (>)"
        );
    }
    drop(mount);
    master.start();
    let mount = Mount::new(&net);
    worker.verify(&mount.path()).expect("after stop and start");
}
