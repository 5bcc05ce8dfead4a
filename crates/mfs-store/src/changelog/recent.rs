//! The latest lines in memory, for followers that have to catch up (spec 01 §9.4).

use std::collections::VecDeque;
use std::ops::Range;

/// Lines of a block.
const BLOCK_LINES: usize = 5000;

/// Lines of consecutive numbers, without their numbers and line ends: `TIMESTAMP|OP(args):result`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Number of the first one.
    pub first: u64,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Lines {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number and text of each.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> + '_ {
        (self.first..)
            .zip((0..self.len()).map(|i| self.text.get(self.range(i)).unwrap_or_default()))
    }

    fn range(&self, index: usize) -> Range<usize> {
        let end = |i: usize| self.ends.get(i).copied().unwrap_or(self.text.len());
        let start = index.checked_sub(1).map_or(0, end);
        start..end(index)
    }

    fn push(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.ends.push(self.text.len());
    }

    /// Copies lines from one number up to (not including) another.
    fn copy(&self, from: u64, to: u64, into: &mut Lines) {
        for (number, text) in self.iter().skip(from.saturating_sub(self.first) as usize) {
            if number >= to {
                break;
            }
            into.push(text);
        }
    }
}

struct Block {
    /// Time stamp of the first line.
    ts: u32,
    lines: Lines,
}

/// Keeps lines for a time, in blocks.
pub(crate) struct Recent {
    blocks: VecDeque<Block>,
    preserve_seconds: u32,
}

impl Recent {
    pub(crate) fn new(preserve_seconds: u32) -> Recent {
        Recent {
            blocks: VecDeque::new(),
            preserve_seconds,
        }
    }

    pub(crate) fn set_preserve_seconds(&mut self, seconds: u32) {
        self.preserve_seconds = seconds;
    }

    /// Takes the line that follows the last one; `ts` is its time stamp. When a block is begun, old ones go:
    /// those that are followed by a block of which the first line is older than the limit.
    pub(crate) fn push(&mut self, number: u64, ts: u32, text: &[u8]) {
        match self.blocks.back_mut() {
            Some(block) if block.lines.len() < BLOCK_LINES => block.lines.push(text),
            _ => {
                while let Some(next) = self.blocks.get(1)
                    && next.ts.saturating_add(self.preserve_seconds) < ts
                {
                    self.blocks.pop_front();
                }
                let mut lines = Lines {
                    first: number,
                    ..Lines::default()
                };
                lines.push(text);
                self.blocks.push_back(Block { ts, lines });
            }
        }
    }

    /// Number of the oldest line.
    pub(crate) fn first(&self) -> Option<u64> {
        self.blocks.front().map(|b| b.lines.first)
    }

    /// At most `most` lines from number `from` on, up to (not including) `end`. `None`: line `from` is not kept
    /// any more.
    pub(crate) fn read(&self, from: u64, end: u64, most: usize) -> Option<Lines> {
        let mut lines = Lines {
            first: from,
            ..Lines::default()
        };
        let end = end.min(from.saturating_add(most as u64));
        if from >= end {
            return Some(lines);
        }
        if self.first().is_none_or(|first| from < first) {
            return None;
        }
        let start = self.blocks.partition_point(|b| b.lines.first <= from);
        for block in self.blocks.iter().skip(start - 1) {
            if block.lines.first >= end {
                break;
            }
            block.lines.copy(from, end, &mut lines);
        }
        Some(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(lines: &Lines) -> Vec<u64> {
        for (number, text) in lines.iter() {
            assert_eq!(text, format!("{number}").as_bytes());
        }
        lines.iter().map(|(n, _)| n).collect()
    }

    #[test]
    fn lines_are_kept_for_a_time() {
        let mut recent = Recent::new(100);
        assert_eq!(recent.read(5, 9, 10), None);
        assert_eq!(
            recent.read(9, 9, 10),
            Some(Lines {
                first: 9,
                ..Lines::default()
            })
        );
        // A line every hundredth of a second: a block lasts 50 s.
        for n in 0..40_000u64 {
            recent.push(
                n + 7,
                (n / 100) as u32,
                n.wrapping_add(7).to_string().as_bytes(),
            );
        }
        // The last block begins at 350 s; the one at 250 s is in time, so the one before it is kept as well.
        assert_eq!(recent.first(), Some(7 + 20_000));
        let all = recent.read(20_007, u64::MAX, usize::MAX).unwrap();
        assert_eq!(numbers(&all), (20_007..40_007).collect::<Vec<_>>());
        assert_eq!(recent.read(20_006, u64::MAX, 10), None);
        assert_eq!(
            numbers(&recent.read(24_999, 50_000, 12).unwrap()),
            (24_999..25_011).collect::<Vec<_>>()
        );
        assert_eq!(
            numbers(&recent.read(39_999, 40_002, 50).unwrap()),
            [39_999, 40_000, 40_001]
        );
        assert!(recent.read(40_007, 40_007, 10).unwrap().is_empty());
    }

    #[test]
    fn zero_seconds_keep_little() {
        let mut recent = Recent::new(0);
        for n in 0..20_000u64 {
            recent.push(n, n as u32, n.to_string().as_bytes());
        }
        assert_eq!(recent.first(), Some(10_000));
    }
}
