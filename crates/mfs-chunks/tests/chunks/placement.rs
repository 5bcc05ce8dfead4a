//! Where copies go: the unique modes, the network, disks marked for removal (spec 05 §12.4, §15 step 9, §16, §18–§20,
//! §23.4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mfs_chunks::{ChunkConfig, Command, ReadRequest, Reply, RequestId, Topology};
use mfs_config::{ReplicationTopology, UniqueMode};

use crate::setup::quick;
use crate::world::{GIB, MARKED, World};

const CHUNK: u64 = 64 << 20;
/// The client of all requests.
const CLIENT: u32 = 1;

/// Racks by address; unlisted addresses are in rack 0.
struct Racks(BTreeMap<u32, u32>);

impl Topology for Racks {
    fn rack(&self, ip: u32) -> u32 {
        self.0.get(&ip).copied().unwrap_or(0)
    }

    fn distance(&self, a: u32, b: u32) -> u32 {
        if a == b {
            0
        } else if self.rack(a) == self.rack(b) {
            1
        } else {
            2
        }
    }
}

/// Servers on these addresses and in these racks, so large that nothing is balanced.
fn cluster(config: ChunkConfig, servers: &[(u32, u32)]) -> World {
    let mut w = World::new(config, &vec![0; servers.len()], 11);
    let mut racks: BTreeMap<u32, u32> = servers.iter().copied().collect();
    racks.insert(CLIENT, 7);
    w.chunks.set_topology(Arc::new(Racks(racks)));
    for (s, &(ip, _)) in servers.iter().enumerate() {
        w.servers[s].ip = ip;
        w.servers[s].port = 9500 + s as u16;
        w.servers[s].total = 100_000 * GIB;
        w.connect(s);
    }
    w.run(20 * 50);
    w
}

/// Lets only these servers have room.
fn only_room_on(w: &mut World, servers: &[usize]) {
    for s in 0..w.servers.len() {
        let room = servers.contains(&s);
        w.servers[s].total = if room { 100_000 * GIB } else { 0 };
        w.report_space(s);
    }
}

/// A file of one chunk on these servers.
fn file_on(w: &mut World, class: u8, servers: &[usize]) -> (u32, u64) {
    let all: Vec<usize> = (0..w.servers.len()).collect();
    only_room_on(w, servers);
    let (inode, chunk) = w.file(class);
    assert_eq!(w.holders(chunk), servers);
    only_room_on(w, &all);
    (inode, chunk)
}

fn unique(mode: UniqueMode) -> ChunkConfig {
    ChunkConfig {
        unique_mode: mode,
        ..quick()
    }
}

// ---- CHUNKS_UNIQUE_MODE -------------------------------------------------------------------------

/// Two servers on one address, two addresses in the rack of that, one address elsewhere.
const PLACES: [(u32, u32); 4] = [(20, 1), (20, 1), (21, 1), (22, 2)];

#[test]
fn by_default_any_two_servers_will_do() {
    let mut w = cluster(unique(UniqueMode::Server), &PLACES);
    let (_, chunk) = file_on(&mut w, 2, &[0, 1]);
    let from = w.sent.len();
    w.run(130 * 50);
    assert_eq!((w.sent.len(), w.holders(chunk)), (from, [0, 1].into()));
}

#[test]
fn copies_leave_an_address_that_they_share() {
    let mut w = cluster(unique(UniqueMode::Address), &PLACES);
    let (inode, chunk) = file_on(&mut w, 2, &[0, 1]);
    w.run(130 * 50);
    let left = w.holders(chunk);
    assert_eq!(left.len(), 2);
    assert_ne!(left, [0, 1]);
    assert_eq!(w.check_read(inode, 0), Some(2));
    // Other addresses in the same rack are fine.
    let (_, chunk) = file_on(&mut w, 2, &[0, 2]);
    w.run(130 * 50);
    assert_eq!(w.holders(chunk), [0, 2]);
}

#[test]
fn copies_leave_a_rack_that_they_share() {
    let mut w = cluster(unique(UniqueMode::Rack), &PLACES);
    let (inode, chunk) = file_on(&mut w, 2, &[0, 2]);
    w.run(130 * 50);
    let left = w.holders(chunk);
    assert!(left.len() == 2 && left.contains(&3), "{left:?}");
    assert_eq!(w.check_read(inode, 0), Some(2));
    // There are two racks: a third copy comes all the same, where it must.
    let (_, chunk) = file_on(&mut w, 3, &[0, 2, 3]);
    w.run(130 * 50);
    assert_eq!(w.holders(chunk), [0, 2, 3]);
}

#[test]
fn servers_in_no_rack_are_apart() {
    let mut w = cluster(unique(UniqueMode::Rack), &[(20, 0), (21, 0), (22, 1)]);
    let (_, chunk) = file_on(&mut w, 2, &[0, 1]);
    let from = w.sent.len();
    w.run(130 * 50);
    assert_eq!((w.sent.len(), w.holders(chunk)), (from, [0, 1].into()));
}

#[test]
fn a_surplus_copy_goes_where_two_are_together() {
    for (mode, keeps) in [(UniqueMode::Address, 2), (UniqueMode::Rack, 3)] {
        for _ in 0..4 {
            let mut w = cluster(unique(mode), &PLACES);
            let (inode, chunk) = file_on(&mut w, 3, &[0, 1, keeps]);
            w.log.set_class(inode, 2);
            w.chunks.file_changed(&mut w.log, inode);
            w.run(50);
            let left = w.holders(chunk);
            assert!(left.len() == 2 && left.contains(&keeps), "{left:?}");
        }
    }
}

#[test]
fn balancing_puts_no_two_copies_on_an_address() {
    for (mode, expected) in [
        // From the fullest to the emptiest.
        (UniqueMode::Server, [0, 1]),
        // That would be the address of server 0: its own copy can go there.
        (UniqueMode::Address, [1, 2]),
    ] {
        let mut w = cluster(unique(mode), &[(20, 0), (20, 0), (21, 0)]);
        let (_, chunk) = file_on(&mut w, 2, &[0, 2]);
        for (s, chunks) in [(0, 4), (1, 1000), (2, 2)] {
            w.servers[s].total = chunks * CHUNK;
            w.report_space(s);
        }
        w.run(130 * 50);
        assert_eq!(w.holders(chunk), expected, "{mode:?}");
    }
}

// ---- topology -----------------------------------------------------------------------------------

#[test]
fn new_chunks_go_near_the_client_if_that_is_wished() {
    // The client's own machine, its rack, and two others.
    let servers = [(CLIENT, 7), (30, 7), (31, 8), (32, 9)];
    for (near, class, always) in [
        (0, 1, &[][..]),
        (1, 1, &[0]),
        (2, 1, &[0, 1]),
        (2, 2, &[0, 1]),
    ] {
        let config = ChunkConfig {
            creation_topology: near,
            ..quick()
        };
        let mut w = cluster(config, &servers);
        let mut used = BTreeSet::new();
        for _ in 0..12 {
            let (_, chunk) = w.file(class);
            let holders = w.holders(chunk);
            assert_eq!(holders.len(), usize::from(class));
            used.extend(holders);
        }
        let expected: BTreeSet<usize> = if always.is_empty() {
            [0, 1, 2, 3].into()
        } else {
            always.iter().copied().collect()
        };
        assert_eq!(used, expected, "{near} {class}");
    }
}

#[test]
fn copies_are_listed_by_distance() {
    let servers = [(32, 9), (30, 7), (CLIENT, 7), (31, 8)];
    let mut w = cluster(quick(), &servers);
    let (inode, _) = file_on(&mut w, 4, &[0, 1, 2, 3]);
    let mut lasts = BTreeSet::new();
    for n in 0..40 {
        let read = ReadRequest {
            request: RequestId(1000 + n),
            inode,
            index: 0,
            client_ip: CLIENT,
            session: 1,
        };
        let Ok(Reply::Now(grant)) = w.chunks.read(&mut w.log, &read) else {
            panic!("not at once");
        };
        let ips: Vec<u32> = grant.locations.iter().map(|l| l.ip).collect();
        assert_eq!(ips[..2], [CLIENT, 30]);
        lasts.insert(ips[3]);
    }
    assert_eq!(lasts, [31, 32].into(), "equal distances in any order");
}

/// Sources and destinations of the replications that a lost copy causes.
fn replications(
    mode: ReplicationTopology,
    servers: &[(u32, u32)],
    class: u8,
    on: &[usize],
) -> BTreeSet<(usize, usize)> {
    let config = ChunkConfig {
        replication_topology: mode,
        ..quick()
    };
    let mut w = cluster(config, servers);
    let files: Vec<u32> = (0..30).map(|_| file_on(&mut w, class, on).0).collect();
    let from = w.sent.len();
    for inode in files {
        w.log.set_class(inode, class + 1);
        w.chunks.file_changed(&mut w.log, inode);
    }
    w.run(20 * 50);
    let pairs: Vec<_> = w.sent[from..]
        .iter()
        .filter_map(|&(s, c)| match c {
            Command::Replicate { ip, .. } => {
                let source = w.servers.iter().position(|x| x.ip == ip).unwrap();
                Some((source, s))
            }
            _ => None,
        })
        .collect();
    assert_eq!(pairs.len(), 30);
    pairs.into_iter().collect()
}

#[test]
fn a_replication_reads_from_the_nearest_copy() {
    // Copies in racks 1 and 2, the only place for another one in rack 2.
    let servers = [(40, 1), (41, 2), (42, 2)];
    let any = replications(ReplicationTopology::Ignore, &servers, 2, &[0, 1]);
    assert_eq!(any, [(0, 2), (1, 2)].into());
    let near = replications(ReplicationTopology::NearestSource, &servers, 2, &[0, 1]);
    assert_eq!(near, [(1, 2)].into());
}

#[test]
fn a_replication_stays_in_the_rack() {
    let servers = [(40, 1), (41, 2), (42, 1), (43, 3)];
    for mode in [
        ReplicationTopology::Ignore,
        ReplicationTopology::NearestSource,
    ] {
        let any = replications(mode, &servers, 1, &[0]);
        assert_eq!(any, [(0, 1), (0, 2), (0, 3)].into(), "{mode:?}");
    }
    let near = replications(ReplicationTopology::SameRack, &servers, 1, &[0]);
    // While the server in the rack has as many as it may have, others are asked.
    assert!(near.contains(&(0, 2)), "{near:?}");
    let config = ChunkConfig {
        replication_topology: ReplicationTopology::SameRack,
        ..quick()
    };
    let mut w = cluster(config, &servers);
    for _ in 0..10 {
        let (inode, chunk) = file_on(&mut w, 1, &[0]);
        w.log.set_class(inode, 2);
        w.chunks.file_changed(&mut w.log, inode);
        w.run(50);
        assert_eq!(w.holders(chunk), [0, 2]);
    }
}

// ---- disks marked for removal -------------------------------------------------------------------

/// Says that a server's copy of a chunk is on a marked disk; the server has another one.
fn mark(w: &mut World, s: usize, chunk: u64) {
    let id = w.servers[s].connection.unwrap();
    w.chunks.report(&mut w.log, id, [(chunk, 1 | MARKED)]);
}

#[test]
fn a_marked_copy_makes_room_for_a_good_one() {
    let mut w = cluster(quick(), &[(50, 0), (51, 0)]);
    let (inode, chunk) = file_on(&mut w, 2, &[0, 1]);
    mark(&mut w, 1, chunk);
    let from = w.sent.len();
    w.run(130 * 50);
    let delete = Command::Delete { chunk, version: 0 };
    let replicate = Command::Replicate {
        chunk,
        version: 1,
        ip: 50,
        port: 9500,
    };
    assert_eq!(w.sent[from..], [(1, delete), (1, replicate)]);
    assert_eq!(w.check_read(inode, 0), Some(2));
    assert_eq!(w.chunks.matrix(true)[2][2], 1);
}

#[test]
fn a_marked_copy_stays_where_there_is_room_elsewhere() {
    let mut w = cluster(quick(), &[(50, 0), (51, 0), (52, 0)]);
    let (inode, chunk) = file_on(&mut w, 2, &[0, 1]);
    mark(&mut w, 1, chunk);
    let from = w.sent.len();
    w.run(130 * 50);
    assert!(matches!(
        w.sent[from..],
        [(2, Command::Replicate { chunk: c, .. })] if c == chunk
    ));
    assert_eq!(w.check_read(inode, 0), Some(3));
}

#[test]
fn the_last_copy_makes_no_room() {
    let mut w = cluster(quick(), &[(50, 0)]);
    let (_, chunk) = file_on(&mut w, 2, &[0]);
    mark(&mut w, 0, chunk);
    let from = w.sent.len();
    w.run(130 * 50);
    assert_eq!(w.sent.len(), from);
    // Neither does the only one of a file that wants one, nor both of two.
    let mut w = cluster(quick(), &[(50, 0), (51, 0)]);
    let (inode, chunk) = file_on(&mut w, 2, &[0, 1]);
    mark(&mut w, 0, chunk);
    mark(&mut w, 1, chunk);
    let mut fewest = 2;
    for _ in 0..300 * 50 {
        w.run(1);
        fewest = fewest.min(w.good_copies(inode, 0));
    }
    assert_eq!((fewest, w.chunks.matrix(true)[2][2]), (1, 1));
}

#[test]
fn a_full_server_makes_no_room() {
    let mut w = cluster(quick(), &[(50, 0), (51, 0)]);
    let (_, chunk) = file_on(&mut w, 2, &[0, 1]);
    w.servers[1].total = CHUNK;
    w.report_space(1);
    mark(&mut w, 1, chunk);
    let from = w.sent.len();
    w.run(130 * 50);
    assert_eq!(w.sent.len(), from);
}

fn removal(w: &World, s: usize) -> u8 {
    let servers = w.chunks.servers(&w.log.meta, w.log.now);
    let info = servers.iter().find(|i| i.ip == w.servers[s].ip).unwrap();
    info.removal
}

#[test]
fn the_state_of_marked_disks_needs_a_loop_without_need() {
    let mut w = cluster(quick(), &[(50, 0), (51, 0), (52, 0)]);
    let (_, chunk) = file_on(&mut w, 2, &[0, 1]);
    // Nowhere to go at first.
    w.servers[2].total = 0;
    w.report_space(2);
    w.servers[0].marked = true;
    w.report_space(0);
    mark(&mut w, 0, chunk);
    w.run(200 * 50);
    assert_eq!(removal(&w, 0), 1, "needed");
    w.servers[2].total = 100_000 * GIB;
    w.report_space(2);
    let visited = (0..130 * 50).any(|_| {
        w.run(1);
        w.holders(chunk).len() == 3
    });
    assert!(
        visited && removal(&w, 0) == 1,
        "not in the loop that did it"
    );
    w.run(130 * 50);
    assert_eq!(removal(&w, 0), 2, "can be taken away");
    // With a server gone nothing is certain.
    w.kill(2);
    assert_eq!(removal(&w, 0), 0);
}
