//! Advisory locks of two mounts: whole-file locks and record locks through real system calls
//! (spec 07 §7.12).

use std::fs;
use std::time::Duration;

use antler_e2e::{Actor, Kind, Master, Mount, Net, until};

both!(
    whole_files,
    conversions,
    records,
    waiting_for_records,
    interrupted,
    ends_of_processes,
    client_gone,
    master_restarts,
    master_crashes,
);

/// Longer than a session without a connection is kept, and than the first two minutes of a master, in which
/// none is removed.
const A_LONG_TIME: u64 = 90_000;

struct Scene {
    // Dropped in this order: mounts end before their master.
    mounts: [Option<Mount>; 2],
    master: Master,
    net: Net,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let net = Net::new();
        let mut master = Master::new(kind, &net);
        // The original's default mode loses answered changes when it is killed.
        master.option("CHANGELOG_SAVE_MODE", "1").movable_clock();
        master.start_with_image();
        let mounts = [Mount::new(&net), Mount::new(&net)];
        fs::write(mounts[0].join("file"), "").expect("create");
        Self {
            mounts: mounts.map(Some),
            master,
            net,
        }
    }

    /// A process that has the file open through the first or the second mount.
    #[track_caller]
    fn actor(&self, mount: usize) -> Actor {
        Actor::new(&self.mounts[mount].as_ref().expect("mounted").join("file"))
    }

    fn actors<const N: usize>(&self, mounts: [usize; N]) -> [Actor; N] {
        mounts.map(|mount| self.actor(mount))
    }
}

/// Exclusion between mounts and within one; who waits is served in order of arrival.
fn whole_files(kind: Kind) {
    let scene = Scene::new(kind);
    let [mut a, mut b, mut c, mut d] = scene.actors([0, 1, 0, 1]);
    assert_eq!(a.ask("flock ex"), "ok");
    for other in [&mut b, &mut c] {
        assert_eq!(other.ask("flock ex nb"), "EAGAIN");
        assert_eq!(other.ask("flock sh nb"), "EAGAIN");
    }
    b.waits("flock ex");
    c.waits("flock sh");
    d.waits("flock sh");
    assert_eq!(a.ask("flock un"), "ok");
    assert_eq!(b.answer(), "ok");
    c.still_waits();
    d.still_waits();
    assert_eq!(b.ask("flock un"), "ok");
    // Both readers come in together.
    assert_eq!(c.answer(), "ok");
    assert_eq!(d.answer(), "ok");
    assert_eq!(a.ask("flock ex nb"), "EAGAIN");
    assert_eq!(a.ask("flock sh nb"), "ok");
    assert_eq!(a.ask("flock un"), "ok");
    // A writer that waits comes before readers that arrive later.
    a.waits("flock ex");
    assert_eq!(b.ask("flock sh nb"), "EAGAIN");
    b.waits("flock sh");
    assert_eq!(c.ask("flock un"), "ok");
    a.still_waits();
    assert_eq!(d.ask("flock un"), "ok");
    assert_eq!(a.answer(), "ok");
    b.still_waits();
    assert_eq!(a.ask("flock un"), "ok");
    assert_eq!(b.answer(), "ok");
    // Unlocking what is not locked.
    assert_eq!(a.ask("flock un"), "ok");
    assert_eq!(b.ask("flock sh"), "ok");
}

/// From shared to exclusive and back; two descriptors of one process are two owners.
fn conversions(kind: Kind) {
    let scene = Scene::new(kind);
    let [mut a, mut b] = scene.actors([0, 1]);
    assert_eq!(a.ask("flock sh"), "ok");
    assert_eq!(b.ask("flock sh"), "ok");
    assert_eq!(a.ask("flock ex nb"), "EAGAIN");
    // Linux drops the old lock when a conversion is refused, file systems that do it in one step keep it.
    assert_eq!(a.ask("flock sh nb"), "ok");
    a.waits("flock ex");
    assert_eq!(b.ask("flock un"), "ok");
    assert_eq!(a.answer(), "ok");
    assert_eq!(b.ask("flock sh nb"), "EAGAIN");
    b.waits("flock sh");
    assert_eq!(a.ask("flock sh"), "ok");
    assert_eq!(b.answer(), "ok");
    assert_eq!(b.ask("flock un"), "ok");
    assert_eq!(a.ask("flock ex nb"), "ok");
    assert_eq!(b.ask("flock sh nb"), "EAGAIN");
    assert_eq!(a.ask("flock sh nb"), "ok");
    assert_eq!(b.ask("flock sh nb"), "ok");
    assert_eq!(b.ask("flock un"), "ok");
    // A second descriptor.
    assert_eq!(a.ask("open"), "ok");
    assert_eq!(a.ask("flock ex nb"), "EAGAIN");
    assert_eq!(a.ask("close"), "ok");
    assert_eq!(a.ask("flock ex nb"), "ok");
}

/// Ranges are split, merged and replaced; what others see of them.
fn records(kind: Kind) {
    let scene = Scene::new(kind);
    let [mut a, mut b, mut c] = scene.actors([0, 1, 0]);
    assert_eq!(a.ask("posix w 0 100"), "ok");
    assert_eq!(b.ask("test w 0 0"), "w 0 100");
    assert_eq!(c.ask("test r 50 1"), "w 0 100");
    assert_eq!(a.ask("test w 0 0"), "free");
    // A hole in the middle.
    assert_eq!(a.ask("posix u 40 20"), "ok");
    assert_eq!(b.ask("test w 0 0"), "w 0 40");
    assert_eq!(b.ask("test w 40 20"), "free");
    assert_eq!(b.ask("test w 41 0"), "w 60 40");
    assert_eq!(b.ask("posix w 40 20 nb"), "ok");
    assert_eq!(b.ask("posix w 39 2 nb"), "EAGAIN");
    assert_eq!(b.ask("posix r 60 1 nb"), "EAGAIN");
    assert_eq!(c.ask("posix r 40 1 nb"), "EAGAIN");
    assert_eq!(b.ask("posix u 0 0"), "ok");
    // The hole is filled: one range again.
    assert_eq!(a.ask("posix w 40 20"), "ok");
    assert_eq!(b.ask("test r 99 1"), "w 0 100");
    // A part is made a read lock.
    assert_eq!(a.ask("posix r 20 20"), "ok");
    assert_eq!(b.ask("test r 0 0"), "w 0 20");
    assert_eq!(b.ask("test r 20 20"), "free");
    assert_eq!(b.ask("test w 20 1"), "r 20 20");
    assert_eq!(b.ask("posix r 20 20 nb"), "ok");
    assert_eq!(c.ask("posix r 25 5 nb"), "ok");
    // An upgrade needs the others to be gone.
    assert_eq!(a.ask("posix w 20 20 nb"), "EAGAIN");
    assert_eq!(b.ask("posix u 0 0"), "ok");
    assert_eq!(a.ask("posix w 20 20 nb"), "EAGAIN");
    assert_eq!(c.ask("posix u 25 5"), "ok");
    assert_eq!(a.ask("posix w 20 20 nb"), "ok");
    assert_eq!(b.ask("test w 20 1"), "w 0 100");
    // To the end of the file, beyond all sizes.
    assert_eq!(a.ask("posix u 0 0"), "ok");
    assert_eq!(b.ask("posix w 1000 0"), "ok");
    assert_eq!(a.ask("test w 0 0"), "w 1000 0");
    assert_eq!(a.ask("posix w 9223372036854775807 0 nb"), "EAGAIN");
    assert_eq!(a.ask("posix w 0 1000 nb"), "ok");
    assert_eq!(b.ask("posix u 2000 0"), "ok");
    assert_eq!(a.ask("test w 1000 0"), "w 1000 1000");
    // Adjacent ranges of the same kind are one, of other kinds not.
    assert_eq!(b.ask("posix r 2000 10"), "ok");
    assert_eq!(c.ask("test w 1000 0"), "w 1000 1000");
    assert_eq!(c.ask("test w 2000 0"), "r 2000 10");
    // Whole-file locks and record locks do not see each other.
    assert_eq!(c.ask("flock ex nb"), "ok");
    assert_eq!(b.ask("posix w 1500 1"), "ok");
}

/// Waiting for ranges: everyone who can goes on, in order.
fn waiting_for_records(kind: Kind) {
    let scene = Scene::new(kind);
    let [mut a, mut b, mut c, mut d] = scene.actors([0, 1, 0, 1]);
    assert_eq!(a.ask("posix w 0 100"), "ok");
    b.waits("posix w 10 10");
    c.waits("posix r 50 10");
    d.waits("posix r 55 10");
    assert_eq!(a.ask("posix u 50 50"), "ok");
    assert_eq!(c.answer(), "ok");
    assert_eq!(d.answer(), "ok");
    b.still_waits();
    // A downgrade lets nobody in who wants to write.
    assert_eq!(a.ask("posix r 0 50"), "ok");
    b.still_waits();
    assert_eq!(a.ask("posix u 15 5"), "ok");
    b.still_waits();
    assert_eq!(a.ask("posix u 10 5"), "ok");
    assert_eq!(b.answer(), "ok");
    assert_eq!(a.ask("test w 0 50"), "w 10 10");
    assert_eq!(a.ask("test w 50 5"), "r 50 10");
    // Crossing upgrades of two readers: one must give up.
    assert_eq!(c.ask("posix r 200 10"), "ok");
    assert_eq!(d.ask("posix r 200 10"), "ok");
    c.waits("posix w 200 10");
    assert_eq!(d.ask("posix w 200 10 nb"), "EAGAIN");
    assert_eq!(d.ask("posix u 200 10"), "ok");
    assert_eq!(c.answer(), "ok");
}

/// A signal ends a wait, and those behind are not held up by who is gone.
fn interrupted(kind: Kind) {
    let scene = Scene::new(kind);
    let [mut a, mut b, mut c] = scene.actors([0, 1, 1]);
    assert_eq!(a.ask("flock sh"), "ok");
    b.waits("flock ex");
    c.waits("flock sh");
    b.interrupt();
    assert_eq!(b.answer(), "EINTR");
    // The original leaves readers behind a writer that is gone waiting (spec 07 §7.12.1, 6).
    if kind == Kind::Original {
        c.still_waits();
        assert_eq!(a.ask("flock un"), "ok");
    }
    assert_eq!(c.answer(), "ok");
    assert_eq!(c.ask("flock un"), "ok");
    assert_eq!(a.ask("flock un"), "ok");
    assert_eq!(b.ask("flock ex nb"), "ok");
    assert_eq!(b.ask("flock un"), "ok");

    assert_eq!(a.ask("posix w 0 10"), "ok");
    b.waits("posix w 0 20");
    b.interrupt();
    assert_eq!(b.answer(), "EINTR");
    assert_eq!(c.ask("posix w 10 10 nb"), "ok");
    assert_eq!(a.ask("posix u 0 10"), "ok");
    assert_eq!(c.ask("posix w 0 10 nb"), "ok");
    assert_eq!(a.ask("test w 0 0"), "w 0 20");
}

/// Locks end with the last descriptor and with the process, also one that is killed; so do waits.
fn ends_of_processes(kind: Kind) {
    let scene = Scene::new(kind);
    let [mut a, mut b, mut c, mut d] = scene.actors([0, 1, 1, 0]);
    assert_eq!(a.ask("flock ex"), "ok");
    assert_eq!(a.ask("posix w 0 10"), "ok");
    b.waits("flock ex");
    c.waits("posix w 5 1");
    assert_eq!(a.ask("close"), "ok");
    assert_eq!(b.answer(), "ok");
    assert_eq!(c.answer(), "ok");

    d.waits("flock ex");
    b.kill9();
    assert_eq!(d.answer(), "ok");
    assert_eq!(a.ask("open"), "ok");
    a.waits("posix r 0 0");
    c.kill9();
    assert_eq!(a.answer(), "ok");
    assert_eq!(a.ask("posix u 0 0"), "ok");

    // One that waits is killed: it must not get the lock.
    let mut e = scene.actor(1);
    e.waits("flock ex");
    e.kill9();
    assert_eq!(d.ask("flock un"), "ok");
    assert!(
        until(Duration::from_secs(20), || a.ask("flock ex nb") == "ok"),
        "a dead process has the lock"
    );
}

/// The machine of a client is gone: its locks end when its session is removed.
fn client_gone(kind: Kind) {
    let mut scene = Scene::new(kind);
    let [mut a, mut b, mut c, mut waiting] = scene.actors([0, 1, 1, 0]);
    assert_eq!(a.ask("flock ex"), "ok");
    assert_eq!(a.ask("posix w 0 10"), "ok");
    waiting.tell("posix w 5 10");
    b.waits("flock ex");
    c.waits("posix w 0 0");
    scene.mounts[0].as_mut().expect("mounted").kill9();
    // A session without a connection keeps its locks: it may come back.
    b.still_waits();
    c.still_waits();
    scene.master.put_clock_forward(A_LONG_TIME);
    assert_eq!(b.answer(), "ok");
    assert_eq!(c.answer(), "ok");
    // The other session is as alive as before.
    let another = Mount::new(&scene.net);
    let mut d = Actor::new(&another.join("file"));
    assert_eq!(d.ask("flock ex nb"), "EAGAIN");
    assert_eq!(b.ask("flock un"), "ok");
    assert_eq!(d.ask("flock ex nb"), "ok");
}

/// Locks are metadata: they are still there after a restart, and who waited is served.
fn master_restarts(kind: Kind) {
    over_a_restart(kind, |master| {
        master.stop();
        master.start();
    });
}

/// The same over a crash.
fn master_crashes(kind: Kind) {
    over_a_restart(kind, |master| {
        master.kill9();
        master.restore().expect(0);
        master.start();
    });
}

fn over_a_restart(kind: Kind, restart: impl Fn(&Master)) {
    let scene = Scene::new(kind);
    let [mut a, mut b, mut c, mut d] = scene.actors([0, 1, 1, 0]);
    assert_eq!(a.ask("flock ex"), "ok");
    assert_eq!(a.ask("posix w 0 10"), "ok");
    assert_eq!(d.ask("posix r 100 0"), "ok");
    b.waits("flock ex");
    c.waits("posix w 5 10");
    restart(&scene.master);
    assert_eq!(d.ask("flock ex nb"), "EAGAIN");
    assert_eq!(d.ask("posix r 5 1 nb"), "EAGAIN");
    b.still_waits();
    c.still_waits();
    assert_eq!(a.ask("posix u 0 0"), "ok");
    assert_eq!(c.answer(), "ok");
    assert_eq!(a.ask("test w 0 50"), "w 5 10");
    assert_eq!(c.ask("test w 50 0"), "r 100 0");
    assert_eq!(a.ask("flock un"), "ok");
    assert_eq!(b.answer(), "ok");
    assert_eq!(d.ask("flock sh nb"), "EAGAIN");
}
