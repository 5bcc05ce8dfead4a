//! The elements of a line: numbers, characters and escaped strings, with the leniency of the original
//! reader (spec 03 §3.2, §3.3).

use std::borrow::Cow;

use super::{Bytes, MAX_NAME};

/// What stopped the reading. Small and `Copy`, because every element of every line may return it; it
/// becomes a [`LineErrorKind`](super::LineErrorKind) only when it leaves the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fail {
    Expected(u8),
    Hex,
    NumberOrComma,
    Umask,
    TooBig { value: u32, max: u32 },
    Unknown,
}

/// How a string is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// At most [`MAX_NAME`] bytes, ends at a decoded NUL.
    Name,
    /// Ends at a decoded NUL.
    Path,
    /// Keeps NULs.
    Data,
}

/// A reader over the rest of a line.
pub(super) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Scan { rest: text }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte without taking it.
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes `byte` if it comes next.
    #[inline(always)]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes `prefix` if it comes next.
    #[inline(always)]
    pub(super) fn take_all(&mut self, prefix: &[u8]) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes `byte`, which must come next.
    #[inline(always)]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Fail> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Fail::Expected(byte))
        }
    }

    /// Takes any one character. The end of the text does not count as one, nor does NUL, which ends
    /// the text for the original.
    #[inline]
    pub(super) fn any(&mut self, or_else: u8) -> Result<u8, Fail> {
        match self.rest {
            [0, ..] | [] => Err(Fail::Expected(or_else)),
            [first, rest @ ..] => {
                self.rest = rest;
                Ok(*first)
            }
        }
    }

    /// A decimal number; a missing one is 0.
    #[inline(always)]
    pub(super) fn number(&mut self) -> u64 {
        let mut value = 0u64;
        let mut digits = 0usize;
        let mut rest = self.rest;
        while let [first, tail @ ..] = rest {
            let digit = first.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits += 1;
            rest = tail;
        }
        // 19 digits always fit; more, or none, is for the slow path.
        if digits.wrapping_sub(1) < 19 {
            self.rest = rest;
            return value;
        }
        self.number_slow(10)
    }

    /// A number in any of the forms that C's `strtoull` takes: white space, sign, digits; saturating.
    /// Nothing is taken when there is no digit.
    #[cold]
    #[inline(never)]
    fn number_slow(&mut self, radix: u32) -> u64 {
        let mut rest = self.rest;
        while let [b' ' | b'\t' | b'\n' | 0x0B | 0x0C | b'\r', tail @ ..] = rest {
            rest = tail;
        }
        let negative = matches!(rest, [b'-', ..]);
        if let [b'-' | b'+', tail @ ..] = rest {
            rest = tail;
        }
        if let (16, [b'0', b'x' | b'X', digit, ..]) = (radix, rest)
            && digit.is_ascii_hexdigit()
        {
            rest = &rest[2..];
        }
        let mut value = Some(0u64);
        let mut any = false;
        while let [first, tail @ ..] = rest {
            let Some(digit) = char::from(*first).to_digit(radix) else {
                break;
            };
            value = value
                .and_then(|v| v.checked_mul(u64::from(radix)))
                .and_then(|v| v.checked_add(u64::from(digit)));
            any = true;
            rest = tail;
        }
        if !any {
            return 0;
        }
        self.rest = rest;
        match value {
            None => u64::MAX,
            Some(v) if negative => v.wrapping_neg(),
            Some(v) => v,
        }
    }

    /// A hexadecimal number (behind its `0x`); a missing one is 0. Keeps the low 32 bits.
    pub(super) fn hex32(&mut self) -> u32 {
        low32(self.number_slow(16))
    }

    /// A number of which the low 32 bits count.
    #[inline(always)]
    pub(super) fn u32(&mut self) -> u32 {
        low32(self.number())
    }

    /// A number of which the low 16 bits count.
    #[inline(always)]
    pub(super) fn low16(&mut self) -> u16 {
        (self.number() & 0xFFFF) as u16
    }

    /// A number of which the low 8 bits count.
    #[inline(always)]
    pub(super) fn low8(&mut self) -> u8 {
        (self.number() & 0xFF) as u8
    }

    /// A number whose low 32 bits must fit 16 (`u16!` of the specification).
    #[inline(always)]
    pub(super) fn u16(&mut self) -> Result<u16, Fail> {
        let value = self.u32();
        u16::try_from(value).map_err(|_| Fail::TooBig {
            value,
            max: u32::from(u16::MAX),
        })
    }

    /// A number whose low 32 bits must fit 8 (`u8!` of the specification).
    #[inline(always)]
    pub(super) fn u8(&mut self) -> Result<u8, Fail> {
        let value = self.u32();
        u8::try_from(value).map_err(|_| Fail::TooBig {
            value,
            max: u32::from(u8::MAX),
        })
    }

    /// A name and its terminator.
    #[inline(always)]
    pub(super) fn name(&mut self, end: u8) -> Result<Bytes<'a>, Fail> {
        self.string(end, Kind::Name)
    }

    /// `,` and a u32.
    #[inline(always)]
    pub(super) fn then_u32(&mut self) -> Result<u32, Fail> {
        self.expect(b',')?;
        Ok(self.u32())
    }

    /// `,` and a u64.
    #[inline(always)]
    pub(super) fn then_u64(&mut self) -> Result<u64, Fail> {
        self.expect(b',')?;
        Ok(self.number())
    }

    /// `,` and a u16 that must not be bigger.
    #[inline(always)]
    pub(super) fn then_u16(&mut self) -> Result<u16, Fail> {
        self.expect(b',')?;
        self.u16()
    }

    /// `,` and a u8 that must not be bigger.
    #[inline(always)]
    pub(super) fn then_u8(&mut self) -> Result<u8, Fail> {
        self.expect(b',')?;
        self.u8()
    }

    /// `,` and the low 8 bits of a number.
    #[inline(always)]
    pub(super) fn then_low8(&mut self) -> Result<u8, Fail> {
        self.expect(b',')?;
        Ok(self.low8())
    }

    /// `,` and a name that ends with `end`.
    #[inline(always)]
    pub(super) fn then_name(&mut self, end: u8) -> Result<Bytes<'a>, Fail> {
        self.expect(b',')?;
        self.name(end)
    }

    /// A path and its terminator.
    #[inline(always)]
    pub(super) fn path(&mut self, end: u8) -> Result<Bytes<'a>, Fail> {
        self.string(end, Kind::Path)
    }

    /// A byte string and its terminator.
    #[inline(always)]
    pub(super) fn data(&mut self, end: u8) -> Result<Bytes<'a>, Fail> {
        self.string(end, Kind::Data)
    }

    #[inline(always)]
    fn string(&mut self, end: u8, kind: Kind) -> Result<Bytes<'a>, Fail> {
        // Names are short, so a plain loop beats a call to a vectorised search.
        for (len, &byte) in self.rest.iter().enumerate() {
            if byte == end {
                if kind == Kind::Name && len > MAX_NAME {
                    break;
                }
                let (text, rest) = self.rest.split_at(len);
                self.rest = &rest[1..];
                return Ok(Cow::Borrowed(text));
            }
            if byte == b'%' || byte < b' ' && matches!(byte, 0 | b'\r' | b'\n') {
                break;
            }
        }
        self.string_slow(end, kind)
    }

    /// A string with escapes, or one that is refused: decodes from the start.
    #[cold]
    #[inline(never)]
    fn string_slow(&mut self, end: u8, kind: Kind) -> Result<Bytes<'a>, Fail> {
        let mut out = Vec::new();
        loop {
            if self.take(end) {
                break;
            }
            let [first, rest @ ..] = self.rest else {
                return Err(Fail::Expected(end));
            };
            if kind == Kind::Name && out.len() >= MAX_NAME {
                return Err(Fail::Expected(end));
            }
            match *first {
                0 | b'\r' | b'\n' => return Err(Fail::Expected(end)),
                b'%' => {
                    let pair = match *rest {
                        [high, low, ..] => hex_digit(high).zip(hex_digit(low)),
                        _ => None,
                    };
                    let Some((high, low)) = pair else {
                        return Err(Fail::Hex);
                    };
                    out.push(high << 4 | low);
                    self.rest = &rest[2..];
                }
                byte => {
                    out.push(byte);
                    self.rest = rest;
                }
            }
        }
        if kind != Kind::Data
            && let Some(nul) = memchr::memchr(0, &out)
        {
            out.truncate(nul);
        }
        Ok(Cow::Owned(out))
    }
}

fn low32(value: u64) -> u32 {
    (value & 0xFFFF_FFFF) as u32
}

/// Value of an upper-case hex digit; lower case is refused like anything else.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
