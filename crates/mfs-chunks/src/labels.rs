//! Matching of label expressions with servers: a maximum bipartite matching (spec 05 §12.4).

use mfs_meta::records::LabelMasks;

/// Whether a server with these labels fits an entry.
pub(crate) fn fits(entry: &LabelMasks, labels: u32) -> bool {
    entry[0] == 0
        || entry
            .iter()
            .take_while(|&&mask| mask != 0)
            .any(|&mask| labels & mask == mask)
}

/// A server as the matching sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) labels: u32,
    /// At most one server of a group is matched; the caller gives servers without a group numbers of their own.
    pub(crate) group: u64,
}

/// Who is matched with whom.
#[derive(Debug)]
pub(crate) struct Matching {
    /// Server of each entry.
    pub(crate) server: Vec<Option<usize>>,
    /// Entry of each server.
    pub(crate) entry: Vec<Option<usize>>,
}

struct Search<'a> {
    entries: &'a [LabelMasks],
    servers: &'a [Candidate],
    /// Index of the group of each server.
    group_of: Vec<usize>,
    /// The entry and server that hold a group.
    holder: Vec<Option<(usize, usize)>>,
    seen: Vec<bool>,
}

impl Search<'_> {
    /// Takes the last server that fits and is free.
    fn take_free(&mut self, entry: usize) -> bool {
        let free = (0..self.servers.len()).rev().find(|&s| {
            self.holder[self.group_of[s]].is_none()
                && fits(&self.entries[entry], self.servers[s].labels)
        });
        if let Some(s) = free {
            self.holder[self.group_of[s]] = Some((entry, s));
        }
        free.is_some()
    }

    /// Finds a server for an entry, moving others to make room. Depth is at most the number of entries.
    fn place(&mut self, entry: usize) -> bool {
        for s in (0..self.servers.len()).rev() {
            let g = self.group_of[s];
            if self.seen[g] || !fits(&self.entries[entry], self.servers[s].labels) {
                continue;
            }
            self.seen[g] = true;
            let free = match self.holder[g] {
                None => true,
                Some((other, _)) => self.place(other),
            };
            if free {
                self.holder[g] = Some((entry, s));
                return true;
            }
        }
        false
    }
}

/// Matches entries, served in order, with servers; those nearest the end of the list are preferred.
pub(crate) fn matching(entries: &[LabelMasks], servers: &[Candidate]) -> Matching {
    let mut order: Vec<u64> = servers.iter().map(|s| s.group).collect();
    order.sort_unstable();
    order.dedup();
    let group_of = servers
        .iter()
        .map(|s| order.partition_point(|&g| g < s.group))
        .collect();
    let mut search = Search {
        entries,
        servers,
        group_of,
        holder: vec![None; order.len()],
        seen: vec![false; order.len()],
    };
    for entry in 0..entries.len() {
        if !search.take_free(entry) {
            search.seen.fill(false);
            search.place(entry);
        }
    }
    let mut result = Matching {
        server: vec![None; entries.len()],
        entry: vec![None; servers.len()],
    };
    for &(entry, server) in search.holder.iter().flatten() {
        result.server[entry] = Some(server);
        result.entry[server] = Some(entry);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn e(masks: &[u32]) -> LabelMasks {
        let mut out = [0; 4];
        out[..masks.len()].copy_from_slice(masks);
        out
    }

    fn own(labels: &[u32]) -> Vec<Candidate> {
        labels
            .iter()
            .enumerate()
            .map(|(i, &labels)| Candidate {
                labels,
                group: i as u64,
            })
            .collect()
    }

    #[test]
    fn masks_are_alternatives_of_conjunctions() {
        assert!(fits(&e(&[0, 7]), 0));
        assert!(fits(&e(&[0b11, 0b100]), 0b100));
        assert!(!fits(&e(&[0b11, 0b100]), 0b10));
        // Reading stops at the first zero.
        assert!(!fits(&e(&[1, 0, 2]), 2));
    }

    #[test]
    fn example_of_the_specification() {
        // [A, A+B, C] on s1{A}, s2{B}, s3{A}, s4{A,C}.
        let entries = [e(&[1]), e(&[1, 2]), e(&[4])];
        let m = matching(&entries, &own(&[1, 2, 1, 5]));
        assert_eq!(m.server, [Some(2), Some(1), Some(3)]);
        assert_eq!(m.entry, [None, Some(1), Some(0), Some(2)]);
    }

    #[test]
    fn a_group_is_matched_once() {
        let servers: Vec<_> = [1, 1, 1]
            .iter()
            .zip([7, 7, 8])
            .map(|(&labels, group)| Candidate { labels, group })
            .collect();
        let m = matching(&[e(&[1]), e(&[1]), e(&[1])], &servers);
        assert_eq!(m.server.iter().flatten().count(), 2);
    }

    fn best(entries: &[LabelMasks], servers: &[Candidate], used: u64) -> usize {
        let Some((first, rest)) = entries.split_first() else {
            return 0;
        };
        let skip = best(rest, servers, used);
        servers
            .iter()
            .filter(|s| used >> s.group & 1 == 0 && fits(first, s.labels))
            .map(|s| 1 + best(rest, servers, used | 1 << s.group))
            .fold(skip, usize::max)
    }

    proptest! {
        #[test]
        fn it_is_a_matching_and_a_greatest_one(
            entries in proptest::collection::vec((0u32..8, 0u32..8), 1..5),
            servers in proptest::collection::vec((0u32..8, 0u64..6), 0..6),
        ) {
            let entries: Vec<_> = entries.iter().map(|&(a, b)| e(&[a, b])).collect();
            let servers: Vec<_> =
                servers.iter().map(|&(labels, group)| Candidate { labels, group }).collect();
            let m = matching(&entries, &servers);
            let mut groups = Vec::new();
            for (i, s) in m.server.iter().enumerate().filter_map(|(i, s)| s.map(|s| (i, s))) {
                prop_assert!(fits(&entries[i], servers[s].labels));
                prop_assert_eq!(m.entry[s], Some(i));
                groups.push(servers[s].group);
            }
            let n = groups.len();
            groups.sort_unstable();
            groups.dedup();
            prop_assert_eq!(groups.len(), n);
            prop_assert_eq!(n, best(&entries, &servers, 0));
        }
    }
}
