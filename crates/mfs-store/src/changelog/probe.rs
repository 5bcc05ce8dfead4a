//! First and last number of a changelog file without reading all of it (spec 01 §8.2).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::block::{Input, MAX_LINE, line_number};

/// Bytes looked at, at each end: at least one whole line, torn tail included.
const WINDOW: u64 = 2 * MAX_LINE as u64;

/// What the ends of a file say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Size in bytes.
    pub size: u64,
    /// Number of the first line that has one; `None` if there is none near the start.
    pub first: Option<u64>,
    /// Number of the last complete line that has one; `None` if there is none near the end.
    pub last: Option<u64>,
    /// Time stamp of that line, seconds since the epoch.
    pub last_time: Option<u32>,
    /// The file ends with LF or is empty.
    pub ends_well: bool,
}

/// Looks at both ends of a file.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn probe(input: &Input) -> io::Result<Probe> {
    match input {
        Input::File(path) => {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            probe_with(size, |buf, at| file.read_at(buf, at))
        }
        Input::Bytes(_, bytes) => probe_with(bytes.len() as u64, |buf, at| {
            let from = bytes.get(at as usize..).unwrap_or_default();
            let n = from.len().min(buf.len());
            buf.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            Ok(n)
        }),
    }
}

pub(crate) fn probe_with(
    size: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<Probe> {
    let window = size.min(WINDOW) as usize;
    let mut buf = vec![0; window];
    let head = fill(&read, &mut buf, 0)?;
    let first = head
        .split_inclusive(|&b| b == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .find_map(line_number);
    let tail = fill(&read, &mut buf, size - window as u64)?;
    let ends_well = tail.last().is_none_or(|&b| b == b'\n');
    // The part behind the last LF is no line; the part before the first LF may be half of one unless
    // the window holds the whole file.
    let mut lines = tail.rsplit(|&b| b == b'\n').skip(1).peekable();
    let (mut last, mut last_time) = (None, None);
    while let Some(line) = lines.next() {
        if lines.peek().is_none() && (window as u64) < size {
            break;
        }
        last = line_number(line);
        if last.is_some() {
            last_time = time_stamp(line);
            break;
        }
    }
    Ok(Probe {
        size,
        first,
        last,
        last_time,
        ends_well,
    })
}

/// The time of a line `N: TIME|...`.
fn time_stamp(line: &[u8]) -> Option<u32> {
    let colon = line.iter().position(|&b| b == b':')?;
    let rest = line.get(colon + 1..)?;
    let bar = rest.iter().position(|&b| b == b'|')?;
    std::str::from_utf8(rest.get(..bar)?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn fill<'a>(
    read: &impl Fn(&mut [u8], u64) -> io::Result<usize>,
    buf: &'a mut [u8],
    at: u64,
) -> io::Result<&'a [u8]> {
    let mut done = 0;
    while let Some(room) = buf.get_mut(done..).filter(|room| !room.is_empty()) {
        match read(room, at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(buf.get(..done).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> (Option<u64>, Option<u64>, bool) {
        let p = probe(&Input::Bytes("x".into(), bytes.into())).unwrap();
        assert_eq!(p.size, bytes.len() as u64);
        (p.first, p.last, p.ends_well)
    }

    #[test]
    fn time_of_the_last_line() {
        let of = |bytes: &[u8]| {
            let input = Input::Bytes("x".into(), bytes.into());
            probe(&input).unwrap().last_time
        };
        assert_eq!(of(b"7: 1000|A()\n8: 1001|B()\n9: 1002|C("), Some(1001));
        assert_eq!(of(b"7: 1000|A()\n\n"), Some(1000));
        assert_eq!(of(b"7: x|A()\n"), None);
        assert_eq!(of(b"7: 99999999999|A()\n"), None);
        assert_eq!(of(b"7: 5\n"), None);
        assert_eq!(of(b""), None);
    }

    #[test]
    fn ends() {
        assert_eq!(of(b""), (None, None, true));
        assert_eq!(of(b"7: a\n"), (Some(7), Some(7), true));
        assert_eq!(of(b"7: a\n8: b\n9: c"), (Some(7), Some(8), false));
        assert_eq!(of(b"9: c"), (None, None, false));
        assert_eq!(of(b"garbage\n7: a\n\n"), (Some(7), Some(7), true));
        assert_eq!(of(b"\0\0\0"), (None, None, false));
        let mut long = b"1: a\n".to_vec();
        for n in 2..100_000u32 {
            long.extend(format!("{n}: some text\n").bytes());
        }
        assert_eq!(of(&long), (Some(1), Some(99_999), true));
        long.extend(vec![b'x'; MAX_LINE]);
        assert_eq!(of(&long), (Some(1), Some(99_999), false));
    }
}
