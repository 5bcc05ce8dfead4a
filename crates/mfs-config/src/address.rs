//! Ranges of IPv4 addresses as the exports and topology files write them (spec 07 §7.1.2).

use std::fmt;
use std::net::Ipv4Addr;

/// An inclusive range of addresses; empty when `first` is above `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    /// Lowest address.
    pub first: Ipv4Addr,
    /// Highest address.
    pub last: Ipv4Addr,
}

/// The text is none of the address forms of spec 07 §7.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("incorrect ip/network definition")]
pub struct AddressError;

impl AddressRange {
    /// Every address.
    pub const ALL: Self = Self {
        first: Ipv4Addr::UNSPECIFIED,
        last: Ipv4Addr::BROADCAST,
    };

    /// Parses `*`, `a.b.c.d`, `a.b.c.d/bits`, `a.b.c.d/m.m.m.m` or `a.b.c.d-e.f.g.h`.
    ///
    /// A mask may have holes: the range then reaches from the address with all unmasked bits clear
    /// to the one with all of them set. The ends of a written range are taken as they are. `/0`
    /// means every address, as the original's sample file says; the original itself takes it for `/32`.
    ///
    /// # Errors
    /// [`AddressError`] for everything else.
    pub fn parse(text: &[u8]) -> Result<Self, AddressError> {
        if text == b"*" {
            return Ok(Self::ALL);
        }
        let (address, rest) = take_address(text)?;
        match rest {
            [] => Ok(Self {
                first: address.into(),
                last: address.into(),
            }),
            [b'-', rest @ ..] => Ok(Self {
                first: address.into(),
                last: whole_address(rest)?.into(),
            }),
            [b'/', rest @ ..] => {
                let mask = if rest.contains(&b'.') {
                    whole_address(rest)?
                } else {
                    mask_of_bits(rest)?
                };
                Ok(Self {
                    first: (address & mask).into(),
                    last: (address | !mask).into(),
                })
            }
            _ => Err(AddressError),
        }
    }

    /// True when `address` is in the range.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            f.write_str("*")
        } else if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A dotted address and nothing else.
pub(crate) fn whole_address(text: &[u8]) -> Result<u32, AddressError> {
    match take_address(text)? {
        (address, []) => Ok(address),
        _ => Err(AddressError),
    }
}

fn mask_of_bits(text: &[u8]) -> Result<u32, AddressError> {
    match take_number(text)? {
        (bits @ 0..=32, []) => Ok(u32::MAX.checked_shl(32 - bits).unwrap_or(0)),
        _ => Err(AddressError),
    }
}

fn take_address(mut text: &[u8]) -> Result<(u32, &[u8]), AddressError> {
    let mut address = 0;
    for position in 0..4 {
        if position > 0 {
            text = text.strip_prefix(b".").ok_or(AddressError)?;
        }
        let (octet, rest) = take_number(text)?;
        if octet > 255 {
            return Err(AddressError);
        }
        address = address << 8 | octet;
        text = rest;
    }
    Ok((address, text))
}

/// A decimal number; any number of leading zeros, and no octal meaning in them.
fn take_number(text: &[u8]) -> Result<(u32, &[u8]), AddressError> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(AddressError);
    }
    let number = number.iter().fold(0_u32, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    Ok((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> Option<(String, String)> {
        AddressRange::parse(text.as_bytes())
            .ok()
            .map(|range| (range.first.to_string(), range.last.to_string()))
    }

    fn between(first: &str, last: &str) -> Option<(String, String)> {
        Some((first.into(), last.into()))
    }

    #[test]
    fn every_form() {
        assert_eq!(range("*"), between("0.0.0.0", "255.255.255.255"));
        assert_eq!(range("1.2.3.4"), between("1.2.3.4", "1.2.3.4"));
        assert_eq!(range("010.1.1.1"), between("10.1.1.1", "10.1.1.1"));
        assert_eq!(range("1.2.3.4/24"), between("1.2.3.0", "1.2.3.255"));
        assert_eq!(range("1.2.3.4/32"), between("1.2.3.4", "1.2.3.4"));
        assert_eq!(range("1.2.3.4/1"), between("0.0.0.0", "127.255.255.255"));
        assert_eq!(range("1.2.3.4/0"), between("0.0.0.0", "255.255.255.255"));
        assert_eq!(
            range("1.2.3.4/255.0.255.0"),
            between("1.0.3.0", "1.255.3.255")
        );
        assert_eq!(range("1.2.3.9-1.2.3.4"), between("1.2.3.9", "1.2.3.4"));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "**",
            "*/8",
            "1.2.3",
            "1.2.3.",
            "1.2.3.4.",
            "1.2.3.4.5",
            "1.2.3.256",
            "4294967297.2.3.4",
            "1.2.3.4/",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/4294967320",
            "1.2.3.4/255.0.0",
            "1.2.3.4/24x",
            "1.2.3.4-",
            "1.2.3.4-5",
            "1.2.3.4-1.2.3.9/8",
            "-1.2.3.4",
            "+1.2.3.4",
            "0x1.2.3.4",
            "::1",
            "host",
            " 1.2.3.4",
        ] {
            assert_eq!(range(text), None, "{text}");
        }
    }

    #[test]
    fn a_reversed_range_contains_nothing() {
        let reversed = AddressRange::parse(b"1.2.3.9-1.2.3.4").unwrap();
        for address in ["1.2.3.3", "1.2.3.4", "1.2.3.5", "1.2.3.9", "1.2.3.10"] {
            assert!(!reversed.contains(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_to_the_same_range(first: u32, last: u32) {
            let range = AddressRange { first: first.into(), last: last.into() };
            prop_assert_eq!(AddressRange::parse(range.to_string().as_bytes()), Ok(range));
        }

        #[test]
        fn a_network_has_the_addresses_that_agree_in_its_bits(address: u32, other: u32, bits in 1_u32..=32) {
            let text = format!("{}/{bits}", Ipv4Addr::from(address));
            let range = AddressRange::parse(text.as_bytes()).unwrap();
            let agrees = (address ^ other) >> (32 - bits) == 0;
            prop_assert_eq!(range.contains(other.into()), agrees);
            prop_assert!(range.contains(address.into()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            let _ = AddressRange::parse(&text);
        }
    }
}
