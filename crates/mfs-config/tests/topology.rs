//! Topology files against what a 3.0.117 master makes of them (see `data/README.md`).

use std::net::Ipv4Addr;
use std::path::Path;

use mfs_config::Topology;
use serde::Deserialize;

#[test]
fn the_real_master_refuses_the_same_lines() {
    let lines: Vec<(String, bool)> =
        serde_json::from_str(include_str!("data/topology-lines.json")).unwrap();
    assert!(lines.len() > 35);
    for (line, refused) in lines {
        // Recorded as Latin-1; characters above 127 stand for bytes.
        let text: Vec<u8> = line
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        let loaded = Topology::parse(&text, Path::new("t"));
        let dropped = loaded
            .warnings
            .iter()
            .any(|warning| warning.to_string().ends_with("(line ignored)"));
        assert_eq!(dropped, refused, "{line:?} {:?}", loaded.warnings);
    }
}

#[derive(Deserialize)]
struct Recorded {
    text: String,
    clients: Vec<Client>,
}

#[derive(Deserialize)]
struct Client {
    client: Ipv4Addr,
    orders: Vec<Vec<Ipv4Addr>>,
}

#[test]
fn the_real_master_sorts_by_the_same_distances() {
    let files: Vec<Recorded> =
        serde_json::from_str(include_str!("data/topology-distance.json")).unwrap();
    let (mut equal, mut equal_but_ordered) = (0, 0);
    for file in files {
        let loaded = Topology::parse(file.text.as_bytes(), Path::new("t"));
        assert_eq!(loaded.warnings, []);
        for client in file.clients {
            let distance = |address: &Ipv4Addr| loaded.value.distance(client.client, *address);
            for order in &client.orders {
                let distances: Vec<_> = order.iter().map(distance).collect();
                assert!(
                    distances.is_sorted(),
                    "{} {} {order:?} {distances:?}",
                    file.text,
                    client.client
                );
            }
            // Equal distances are shuffled: ten answers nearly always show both orders of a pair.
            let first = &client.orders[0];
            for (index, a) in first.iter().enumerate() {
                for b in first[index + 1..]
                    .iter()
                    .filter(|b| distance(a) == distance(b))
                {
                    let place = |order: &Vec<Ipv4Addr>, address| {
                        order.iter().position(|other| other == address)
                    };
                    let always = client
                        .orders
                        .iter()
                        .all(|order| place(order, a) < place(order, b));
                    equal += 1;
                    equal_but_ordered += usize::from(always);
                }
            }
        }
    }
    assert!(
        equal > 600 && equal_but_ordered <= equal / 100,
        "{equal_but_ordered} of {equal}"
    );
}
