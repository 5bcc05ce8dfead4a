//! `mfstopology.cfg`: parsed, and asked about all pairs of addresses that stand in it.

#![no_main]

use std::net::Ipv4Addr;
use std::path::Path;

use mfs_config::Topology;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let loaded = Topology::parse(data, Path::new("/etc/mfs/mfstopology.cfg"));
    for warning in &loaded.warnings {
        let _ = warning.to_string();
    }
    let topology = loaded.value;
    let words = data.split(|b| b" \t\n-/".contains(b)).take(32);
    let mut addresses: Vec<Ipv4Addr> = words
        .filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
        .collect();
    addresses.extend([
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(10, 0, 0, 1),
    ]);
    for &a in &addresses {
        let _ = topology.rack(a);
        for &b in &addresses {
            let distance = topology.distance(a, b);
            assert_eq!(distance, topology.distance(b, a));
            assert_eq!(distance == 0, a == b);
            assert_eq!(
                distance <= 1,
                a == b || topology.rack(a) == topology.rack(b)
            );
        }
    }
});
