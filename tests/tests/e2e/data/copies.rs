//! Where copies are: as many as wanted, on servers that fit, also when servers and disks go.

use std::fs::{self, File};
use std::io::Write;

use antler_e2e::{CACHES_OFF, ChunkServer, Kind, Mount, wait_for};

use super::{CHUNK, Cluster, DISK, SETTLE, assert_holds, open, put};

both!(goals, labels, a_server_dies, a_disk_is_retired,);

/// Copies come and go with the goal, the bytes stay.
fn goals(kind: Kind) {
    let cluster = Cluster::new(kind);
    let [one, other] = &cluster.mounts;
    cluster.set_goal(1, "");
    put(&one.join("f"), 1, 0, 300_000);
    put(&one.join("f"), 1, CHUNK, 300_000);
    cluster.wait_for_copies("f", 1, |_| true);
    for goal in [2, 3, 1, 3, 2] {
        cluster.set_goal(goal, "f");
        cluster.wait_for_copies("f", goal, |_| true);
        assert_holds(&other.join("f"), Some(1), 0, 300_000);
        assert_holds(&other.join("f"), Some(1), CHUNK, 300_000);
    }
}

/// Storage classes put copies on servers with their labels, and move them when they change.
fn labels(kind: Kind) {
    let cluster = Cluster::labelled(kind, ["A", "A,B", "B"]);
    let [one, other] = &cluster.mounts;
    let sclass = |args: &[&str]| {
        cluster
            .tool("mfsscadmin")
            .arg(one.path())
            .args(args)
            .run()
            .expect(0);
    };
    sclass(&["create", "2A", "twice"]);
    sclass(&["create", "B", "once"]);
    fs::create_dir(one.join("d")).expect("mkdir");
    let set = |class: &str, name: &str| {
        cluster
            .tool("mfssetsclass")
            .args(["-r", class])
            .arg(one.join(name))
            .run()
            .expect(0);
    };
    set("twice", "d");
    put(&one.join("d/f"), 1, 0, 200_000);
    let on = |servers: &[usize]| {
        let addresses: Vec<String> = servers
            .iter()
            .map(|server| cluster.servers[*server].address().to_owned())
            .collect();
        move |address: &str| addresses.iter().any(|fits| fits == address)
    };
    // At once, not only after a while.
    let created = cluster.chunks("d/f");
    assert!(
        created[0].valid().into_iter().all(on(&[0, 1])),
        "{created:?}"
    );
    cluster.wait_for_copies("d/f", 2, on(&[0, 1]));
    set("once", "d");
    cluster.wait_for_copies("d/f", 1, on(&[1, 2]));
    sclass(&["create", "A,B", "mixed"]);
    set("mixed", "d");
    cluster.wait_for_copies("d/f", 2, |_| true);
    assert_holds(&other.join("d/f"), Some(1), 0, 200_000);
    sclass(&["create", "-m", "s", "A+B", "strict"]);
    set("strict", "d");
    cluster.wait_for_copies("d/f", 1, |_| true);
    assert_holds(&other.join("d/f"), Some(1), 0, 200_000);
    // Nobody has this label, and the class accepts nothing else.
    sclass(&["create", "-m", "s", "Z", "nowhere"]);
    let picky = Mount::with(
        &cluster.net,
        "/",
        &format!("{CACHES_OFF},mfserroronnospace"),
    );
    set("nowhere", "d");
    let mut refused = None;
    wait_for("a refusal", SETTLE, || {
        let written = File::create(picky.join("d/g")).and_then(|mut file| {
            file.write_all(b"x")?;
            file.sync_all()
        });
        refused = written.err().and_then(|error| error.raw_os_error());
        refused.is_some()
    });
    assert_eq!(refused, Some(28), "ENOSPC");
    // The old file keeps its copy.
    assert_holds(&other.join("d/f"), Some(1), 0, 200_000);
}

/// A chunkserver that dies is replaced: its copies are made anew from the others, reading and
/// writing go on meanwhile, and its old copies do no harm when it returns.
fn a_server_dies(kind: Kind) {
    let mut cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    let names: Vec<String> = (0..12).map(|number| format!("f{number}")).collect();
    for (seed, name) in (0..).zip(&names) {
        put(&cluster.mounts[0].join(name), seed, 0, 150_000);
    }
    for name in &names {
        cluster.wait_for_copies(name, 2, |_| true);
    }
    let lost = cluster.servers[0].address().to_owned();
    assert!(!cluster.servers[0].chunks().is_empty());
    cluster.servers[0].kill9();
    for (seed, name) in (0..).zip(&names) {
        assert_holds(&cluster.mounts[1].join(name), Some(seed), 0, 150_000);
        put(&cluster.mounts[0].join(name), 100 + seed, 50_000, 20_000);
    }
    for name in &names {
        cluster.wait_for_copies(name, 2, |address| address != lost);
    }
    let intact = |cluster: &Cluster| {
        for (seed, name) in (0..).zip(&names) {
            let path = cluster.mounts[1].join(name);
            assert_holds(&path, Some(seed), 0, 50_000);
            assert_holds(&path, Some(100 + seed), 50_000, 20_000);
            assert_holds(&path, Some(seed), 70_000, 80_000);
        }
    };
    intact(&cluster);
    cluster.servers[0].start();
    cluster.mounts[0].wait_for_space(3 * (DISK - DISK / 20));
    intact(&cluster);
    // The others have everything, and of its own copies only those that are not old count.
    cluster.servers[1].kill9();
    intact(&cluster);
}

/// A mount does not go on showing data that a repair has given up, even if it asks for attributes only now and then.
/// With the original it does.
#[test]
fn what_a_repair_gives_up_is_seen_at_once() {
    let mut cluster = Cluster::new(Kind::Ours);
    cluster.set_goal(1, "");
    put(&cluster.mounts[0].join("f"), 1, 0, 300_000);
    let caching = Mount::with(&cluster.net, "/", "mfsattrcacheto=120,mfscachemode=AUTO");
    for _ in 0..2 {
        assert_holds(&caching.join("f"), Some(1), 0, 300_000);
    }
    let held = cluster.chunks("f")[0].valid()[0].to_owned();
    for server in &mut cluster.servers {
        if server.address() == held {
            server.kill9();
        }
    }
    wait_for("a repair", SETTLE, || {
        let repaired = cluster
            .tool("mfsfilerepair")
            .arg(cluster.mounts[0].join("f"))
            .run();
        let text = repaired.expect(0).text();
        text.lines()
            .any(|line| line.contains("erased") && line.ends_with(" 1"))
    });
    assert_holds(&caching.join("f"), None, 0, 300_000);
}

/// In one turn of the master's loop: a disk marked for removal is emptied onto the others and can
/// be taken away, and chunks that no file holds any more leave the disks.
fn a_disk_is_retired(kind: Kind) {
    let mut cluster = Cluster::new(kind);
    cluster.set_goal(2, "");
    let names: Vec<String> = (0..6).map(|number| format!("f{number}")).collect();
    for (seed, name) in (0..).zip(&names) {
        put(&cluster.mounts[0].join(name), seed, 0, 100_000);
        cluster.wait_for_copies(name, 2, |_| true);
    }
    let marked = cluster.servers[1].address().to_owned();
    let on_marked: Vec<&String> = names
        .iter()
        .filter(|name| cluster.chunks(name)[0].valid().contains(&marked.as_str()))
        .collect();
    assert!(!on_marked.is_empty());
    // Cut, not removed: a removed file would stay for minutes, while mounts that had it open could
    // still ask for it.
    put(&cluster.mounts[0].join("cut"), 99, 0, 1000);
    let useless = cluster.chunks("cut")[0].id;
    open(&cluster.mounts[0].join("cut"))
        .set_len(0)
        .expect("truncate");
    cluster.servers[1].mark(true);
    wait_for("the removal of useless copies", SETTLE, || {
        let mut stored = cluster.servers.iter().flat_map(ChunkServer::chunks);
        !stored.any(|file| file.id == useless)
    });
    wait_for("two copies elsewhere", SETTLE, || {
        on_marked.iter().all(|name| {
            let chunk = &cluster.chunks(name)[0];
            chunk.valid().len() == 2
                && !chunk.valid().contains(&marked.as_str())
                && chunk.with_status("MARKED FOR REMOVAL") == [marked.as_str()]
        })
    });
    cluster.servers[1].kill9();
    cluster.servers[1].wipe();
    for (seed, name) in (0..).zip(&names) {
        assert_holds(&cluster.mounts[1].join(name), Some(seed), 0, 100_000);
    }
    cluster.servers[1].mark(false);
    cluster.servers[1].start();
    for name in &names {
        cluster.wait_for_copies(name, 2, |_| true);
    }
}
