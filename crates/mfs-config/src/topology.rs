//! Where in the network addresses are: `mfstopology.cfg` (spec 07 §7.2).

use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::address::{AddressError, AddressRange};
use crate::file::{self, FileError};
use crate::lines::{self, shown, split_word};
use crate::warning::{Loaded, Warnings};

/// Longest line, bytes. The original cuts longer ones and reads the rest as another line.
const MAX_LINE: usize = 9999;

/// A remark about a line of a topology file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyWarning {
    /// Line dropped.
    #[error("line longer than {MAX_LINE} bytes (line ignored)")]
    TooLong,
    /// Line used as far as it goes.
    #[error("NUL byte (rest of line ignored)")]
    NulByte,
    /// Line dropped.
    #[error("incomplete definition (line ignored)")]
    Incomplete,
    /// Line dropped.
    #[error("{source}: '{text}' (line ignored)")]
    Address {
        /// The first word of the line.
        text: String,
        /// What is wrong.
        source: AddressError,
    },
    /// Line dropped.
    #[error("incorrect rack path '{0}' (line ignored)")]
    Rack(String),
    /// Line dropped.
    #[error("garbage at the end of the line: '{0}' (line ignored)")]
    Garbage(String),
}

/// Rack paths of addresses and the distances that follow from them. The default knows no racks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// Disjoint, ascending.
    segments: Vec<Segment>,
    racks: Vec<Box<[u8]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    first: u32,
    last: u32,
    /// Index in `racks`.
    rack: usize,
}

impl Topology {
    /// Parses a topology file. Wrong lines are left out with a warning. Where lines overlap, the
    /// later one counts. `file` appears in the warnings only.
    #[must_use]
    pub fn parse(text: &[u8], file: &Path) -> Loaded<Self> {
        let mut warnings = Warnings::new(file);
        let mut ranges = Vec::new();
        let mut racks = Vec::new();
        for (number, line) in lines::numbered(text) {
            let (parsed, cut) = parse_line(line);
            if cut {
                warnings.push(Some(number), TopologyWarning::NulByte);
            }
            match parsed {
                Ok(Some((range, rack))) => {
                    let (first, last) = (u32::from(range.first), u32::from(range.last));
                    ranges.push(Segment {
                        first: first.min(last),
                        last: first.max(last),
                        rack: racks.len(),
                    });
                    racks.push(rack.into());
                }
                Ok(None) => {}
                Err(warning) => warnings.push(Some(number), warning),
            }
        }
        warnings.finish(Self {
            segments: disjoint(ranges),
            racks,
        })
    }

    /// Reads and parses `file`. At a reload the caller keeps the old topology on an error; at start it
    /// goes on with [`Topology::default`].
    ///
    /// # Errors
    /// The file is missing or unreadable.
    pub fn load(file: &Path) -> Result<Loaded<Self>, FileError> {
        Ok(Self::parse(&file::read(file)?, file))
    }

    /// The rack path of an address, levels separated by `|`; empty when no line covers it.
    #[must_use]
    pub fn rack(&self, address: Ipv4Addr) -> &[u8] {
        let address = u32::from(address);
        let after = self
            .segments
            .partition_point(|segment| segment.first <= address);
        let segment = after
            .checked_sub(1)
            .and_then(|index| self.segments.get(index));
        match segment {
            Some(segment) if address <= segment.last => {
                self.racks.get(segment.rack).map_or(&[], |rack| rack)
            }
            _ => &[],
        }
    }

    /// Number of the rack of an address, the same for the same rack path; 0 when no line covers it.
    #[must_use]
    pub fn rack_number(&self, address: Ipv4Addr) -> u32 {
        let path = self.rack(address);
        if path.is_empty() {
            return 0;
        }
        let first = self.racks.iter().position(|rack| **rack == *path);
        first.map_or(0, |at| u32::try_from(at + 1).unwrap_or(u32::MAX))
    }

    /// 0 for the same address, 1 for the same rack path, else 2 plus the number of `|` in the longer of the
    /// two paths after their common levels.
    #[must_use]
    pub fn distance(&self, a: Ipv4Addr, b: Ipv4Addr) -> u32 {
        if a == b {
            0
        } else {
            rack_distance(self.rack(a), self.rack(b))
        }
    }
}

/// Distance of two different addresses with these rack paths: 1 if the paths are equal; otherwise the
/// longest common prefix that ends where a level ends in both is cut, and a `|` at the cut with it; 2 plus
/// the larger number of `|` in what is left. A leading `|` does not count even without a common prefix.
fn rack_distance(a: &[u8], b: &[u8]) -> u32 {
    if a == b {
        return 1;
    }
    let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let ends = |path: &[u8], at: usize| path.get(at).is_none_or(|&byte| byte == b'|');
    let cut = (0..=common)
        .rev()
        .find(|&at| ends(a, at) && ends(b, at))
        .unwrap_or(0);
    let levels = |path: &[u8]| {
        let rest = path.get(cut..).unwrap_or_default();
        let rest = rest.strip_prefix(b"|").unwrap_or(rest);
        rest.iter().filter(|&&byte| byte == b'|').count()
    };
    let levels = levels(a).max(levels(b));
    u32::try_from(levels).map_or(u32::MAX, |levels| levels.saturating_add(2))
}

type ParsedLine<'a> = Result<Option<(AddressRange, &'a [u8])>, TopologyWarning>;

/// What the line says, and whether a NUL byte cut it.
fn parse_line(line: &[u8]) -> (ParsedLine<'_>, bool) {
    if line.len() > MAX_LINE {
        return (Err(TopologyWarning::TooLong), false);
    }
    let (content, cut) = lines::content(line);
    (content.map(parse_content).transpose(), cut)
}

fn parse_content(content: &[u8]) -> Result<(AddressRange, &[u8]), TopologyWarning> {
    let (address, rest) = split_word(content);
    if rest.is_empty() {
        return Err(TopologyWarning::Incomplete);
    }
    let range = AddressRange::parse(address).map_err(|source| TopologyWarning::Address {
        text: shown(address),
        source,
    })?;
    let (rack, tail) = split_word(rest);
    if rack.starts_with(b"#") {
        return Err(TopologyWarning::Rack(shown(rack)));
    }
    if !tail.is_empty() && !tail.starts_with(b"#") {
        return Err(TopologyWarning::Garbage(shown(tail)));
    }
    Ok((range, rack))
}

/// Ascending segments without overlap; where ranges overlap, the one with the highest rack index (the
/// latest line) wins.
fn disjoint(mut ranges: Vec<Segment>) -> Vec<Segment> {
    ranges.sort_unstable_by_key(|range| range.first);
    let mut segments: Vec<Segment> = Vec::with_capacity(ranges.len());
    // Ranges that have begun and may still go on; the latest line on top.
    let mut open: BinaryHeap<(usize, u32)> = BinaryHeap::new();
    let mut coming = ranges.iter().peekable();
    // Everything below `next` is done; beyond u32 at the end of the address space.
    let mut next = 0_u64;
    loop {
        while let Some(range) = coming.next_if(|range| u64::from(range.first) <= next) {
            open.push((range.rack, range.last));
        }
        while open.peek().is_some_and(|&(_, last)| u64::from(last) < next) {
            open.pop();
        }
        let until = coming
            .peek()
            .map_or(u64::from(u32::MAX), |range| u64::from(range.first) - 1);
        match open.peek() {
            Some(&(rack, last)) => {
                let (Ok(first), Ok(end)) =
                    (u32::try_from(next), u32::try_from(until.min(last.into())))
                else {
                    break;
                };
                match segments.last_mut() {
                    Some(previous)
                        if previous.rack == rack && previous.last.checked_add(1) == Some(first) =>
                    {
                        previous.last = end;
                    }
                    _ => segments.push(Segment {
                        first,
                        last: end,
                        rack,
                    }),
                }
                next = u64::from(end) + 1;
            }
            None => match coming.peek() {
                Some(range) => next = range.first.into(),
                None => break,
            },
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warning::WarningKind;
    use proptest::prelude::*;

    fn parse(text: &str) -> Topology {
        let loaded = Topology::parse(text.as_bytes(), Path::new("mfstopology.cfg"));
        assert_eq!(loaded.warnings, []);
        loaded.value
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn distances_of_the_manual_page() {
        for (a, b, distance) in [
            ("US", "DE", 2),
            ("US", "", 2),
            ("US|PHOENIX|AT&T|RACK1", "US|PHOENIX|AT&T|RACK2", 2),
            ("US|PHOENIX|AT&T|RACK1", "US|PHOENIX|ATM|RACK7", 3),
            ("US|PHOENIX|AT&T|RACK1", "US|CHICAGO|AT&T|RACK2", 4),
            ("US|PHOENIX|AT&T|RACK1", "US|ATM", 4),
            ("US|PHOENIX|AT&T|RACK1", "DE|BERLIN|ATM|RACK175", 5),
            ("A", "A", 1),
            ("", "", 1),
            ("A", "A|B|C", 3),
            ("|", "B", 2),
            ("A|", "A|B|", 3),
        ] {
            assert_eq!(
                rack_distance(a.as_bytes(), b.as_bytes()),
                distance,
                "{a} {b}"
            );
            assert_eq!(
                rack_distance(b.as_bytes(), a.as_bytes()),
                distance,
                "{b} {a}"
            );
        }
    }

    #[test]
    fn later_lines_override_and_reversed_ranges_are_swapped() {
        let topology = parse("10.0.0.9-10.0.0.1 A\n10.0.0.3 B # one host\n10.0.0.8/29 C|D\n");
        for (address, rack) in [
            ("10.0.0.0", ""),
            ("10.0.0.1", "A"),
            ("10.0.0.2", "A"),
            ("10.0.0.3", "B"),
            ("10.0.0.4", "A"),
            ("10.0.0.7", "A"),
            ("10.0.0.8", "C|D"),
            ("10.0.0.15", "C|D"),
            ("10.0.0.16", ""),
        ] {
            assert_eq!(topology.rack(ip(address)), rack.as_bytes(), "{address}");
        }
        assert_eq!(topology.distance(ip("10.0.0.3"), ip("10.0.0.3")), 0);
        assert_eq!(topology.distance(ip("10.0.0.1"), ip("10.0.0.4")), 1);
        assert_eq!(topology.distance(ip("10.0.0.20"), ip("10.0.0.21")), 1);
        assert_eq!(topology.distance(ip("10.0.0.1"), ip("10.0.0.8")), 3);
    }

    #[test]
    fn the_whole_address_space() {
        let topology = parse("* A\n255.255.255.255 B\n0.0.0.0 C\n");
        assert_eq!(topology.rack(ip("0.0.0.0")), b"C");
        assert_eq!(topology.rack(ip("0.0.0.1")), b"A");
        assert_eq!(topology.rack(ip("255.255.255.254")), b"A");
        assert_eq!(topology.rack(ip("255.255.255.255")), b"B");
    }

    #[test]
    fn warnings_have_file_and_line() {
        let loaded = Topology::parse(
            b"# c\n10.0.0.1\n10.0.0.2 A\nx A\n10.0.0.3 A B\n10.0.0.4 #c\n1.1.1.1 A\0B\n",
            Path::new("t.cfg"),
        );
        let shown: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "t.cfg:2: incomplete definition (line ignored)",
                "t.cfg:4: incorrect ip/network definition: 'x' (line ignored)",
                "t.cfg:5: garbage at the end of the line: 'B' (line ignored)",
                "t.cfg:6: incorrect rack path '#c' (line ignored)",
                "t.cfg:7: NUL byte (rest of line ignored)",
            ]
        );
        assert_eq!(loaded.value.rack(ip("10.0.0.2")), b"A");
        assert_eq!(loaded.value.rack(ip("10.0.0.3")), b"");
        assert_eq!(loaded.value.rack(ip("1.1.1.1")), b"A");
    }

    #[test]
    fn a_long_line_is_dropped_as_a_whole() {
        let text = format!("10.0.0.1 {}\n10.0.0.2 A\n", "x ".repeat(MAX_LINE));
        let loaded = Topology::parse(text.as_bytes(), Path::new("t"));
        assert_eq!(loaded.warnings.len(), 1);
        assert_eq!(
            loaded.warnings[0].kind,
            WarningKind::Topology(TopologyWarning::TooLong)
        );
        assert_eq!(loaded.value.rack(ip("10.0.0.2")), b"A");
    }

    #[test]
    fn a_missing_file_is_an_error_and_the_default_is_one_rack() {
        assert!(matches!(
            Topology::load(Path::new("/nowhere/at/all")),
            Err(FileError::NotFound(_))
        ));
        assert_eq!(
            Topology::default().distance(ip("1.1.1.1"), ip("2.2.2.2")),
            1
        );
    }

    /// Few distinct ends make ranges touch and overlap in every way.
    fn range() -> impl Strategy<Value = (u32, u32)> {
        let end = prop_oneof![0_u32..12, (u32::MAX - 6)..=u32::MAX];
        (end.clone(), end)
    }

    proptest! {
        #[test]
        fn the_last_line_that_covers_an_address_counts(ranges in prop::collection::vec(range(), 0..12)) {
            let text: String = ranges.iter().enumerate()
                .map(|(index, (first, last))| format!("{}-{} r{index}\n", Ipv4Addr::from(*first), Ipv4Addr::from(*last)))
                .collect();
            let topology = parse(&text);
            prop_assert!(topology.segments.len() <= 2 * ranges.len());
            for address in (0..14).chain(u32::MAX - 8..=u32::MAX) {
                let expected = ranges.iter().rposition(|(a, b)| (a.min(b)..=a.max(b)).contains(&&address));
                let expected = expected.map_or(String::new(), |index| format!("r{index}"));
                prop_assert_eq!(topology.rack(address.into()), expected.as_bytes());
            }
        }

        #[test]
        fn distance_is_symmetric_and_a_common_beginning_does_not_count(a in "[ab|]{0,6}", b in "[ab|]{0,6}", head in "[ab]{1,2}") {
            let distance = rack_distance(a.as_bytes(), b.as_bytes());
            prop_assert_eq!(distance, rack_distance(b.as_bytes(), a.as_bytes()));
            prop_assert!(distance >= 1 && (distance == 1) == (a == b));
            if !a.starts_with('|') && !b.starts_with('|') {
                let longer = rack_distance(format!("{head}|{a}").as_bytes(), format!("{head}|{b}").as_bytes());
                prop_assert_eq!(distance, longer);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>, address: u32) {
            let loaded = Topology::parse(&text, Path::new("t"));
            let _ = loaded.value.rack(address.into());
            prop_assert!(loaded.value.racks.iter().map(|rack| rack.len()).sum::<usize>() <= text.len());
        }
    }
}
