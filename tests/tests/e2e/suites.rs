//! Test suites that others wrote, through a real mount.

use std::collections::BTreeSet;

use antler_e2e::{
    CACHES_OFF, ChunkServer, Kind, Master, Mount, Net, Tool, fixture, installed, real,
};

both!(pjdfstest, posix_probe);

/// What `pjdfstest` 0.2.2 finds wrong with the original master, too: time stamps are whole seconds
/// in 32 bits, by the format.
const PJDFSTEST_TIMES: [&str; 2] = ["utimensat::subsecond", "utimensat::y2038"];

/// How many of its tests pass at least; with the original master one less.
const PJDFSTEST_PASSED: usize = 372;

/// Room that two chunkservers tell of, at least.
const ROOM: u64 = 1 << 30;

fn pjdfstest(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    let _servers = [9422, 9423].map(|port| ChunkServer::labelled(&net, port, "", "4GiB"));
    let mount = Mount::with(&net, "/", CACHES_OFF);
    mount.wait_for_space(ROOM);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("pjdfstest.toml");
    // Time stamps of the file system are whole seconds.
    std::fs::write(
        &config,
        "[features]\nutimensat = {}\nutime_now = {}\nrename_ctime = {}\n[settings]\nnaptime = 1.1\nallow_remount = false\n\
         [dummy_auth]\nentries = [[\"nobody\", \"nogroup\"], [\"games\", \"games\"]]\n",
    )
    .expect("write the configuration of pjdfstest");
    let run = Tool::new(installed("pjdfstest", "0.2.2"))
        .arg("-c")
        .arg(&config)
        .arg("-p")
        .arg(mount.path())
        .arg("-s")
        .arg("/dev/shm")
        .run();
    let with = |word: &str| -> Vec<&str> {
        run.stdout
            .lines()
            .filter_map(|line| line.strip_suffix(word)?.split_whitespace().next())
            .collect()
    };
    let failed: Vec<&str> = with("FAILED")
        .into_iter()
        .filter(|name| !PJDFSTEST_TIMES.contains(name))
        .collect();
    assert!(failed.is_empty(), "{failed:?} failed: {run}");
    let passed = with(" ok").len();
    assert!(passed >= PJDFSTEST_PASSED, "only {passed} passed: {run}");
}

/// Every question that the original answers as POSIX asks (recorded in
/// `posix_probe.original.txt`, with caches off and without a chunkserver), ours does, too.
fn posix_probe(kind: Kind) {
    let net = Net::new();
    let master = Master::new(kind, &net);
    master.start();
    // No chunkserver runs: writes of data shall fail at once instead of being tried for minutes.
    let options = format!("{CACHES_OFF},mfsioretries=1,mfserroronnospace");
    let mount = Mount::with(&net, "/", &options);
    let run = Tool::new(real("python3"))
        .arg(fixture("posix_probe.py"))
        .arg(mount.path())
        .run()
        .expect(0);
    let passed: BTreeSet<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("PASS "))
        .collect();
    let expected = std::fs::read_to_string(fixture("posix_probe.original.txt")).expect("read");
    let missing: Vec<&str> = expected
        .lines()
        .filter(|name| !passed.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?} do not pass: {run}");
}
