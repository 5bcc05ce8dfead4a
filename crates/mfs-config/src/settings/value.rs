//! Texts of options and the values they stand for.

use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::address::whole_address;

/// What the text of an option may be, beyond what the type of its value says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// A whole number in C notation (`0x` hexadecimal, leading `0` octal).
    Int {
        min: i64,
        max: i64,
        outside: Outside,
    },
    /// A whole number of which only some bits count.
    Bits { mask: i64 },
    /// A decimal fraction.
    Float { min: f64, max: f64 },
    /// The type of the value says it all.
    Own,
}

/// What becomes of a number outside of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outside {
    /// The nearest number of the range.
    Clamp,
    /// This number.
    Becomes(i64),
    /// The text counts as unusable.
    Unusable,
}

/// What is remarkable about the text of an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingProblem {
    /// Nothing can be made of it.
    #[error("cannot be understood")]
    Syntax,
    /// It is empty where a value is needed.
    #[error("is empty")]
    Empty,
    /// Outside of the range.
    #[error("is outside of {range}")]
    Range {
        /// The range, as text.
        range: String,
    },
    /// A number followed by something else.
    #[error("has trailing text")]
    Trailing,
    /// One replication limit instead of four.
    #[error("is in the old format: write four numbers")]
    OneLimit,
}

/// The outcome of reading a text: a value, a value in spite of a problem, or none because of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parsed<T> {
    Good(T),
    Adjusted(T, SettingProblem),
    Unusable(SettingProblem),
}

impl<T> Parsed<T> {
    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Parsed<U> {
        match self {
            Self::Good(value) => Parsed::Good(convert(value)),
            Self::Adjusted(value, problem) => Parsed::Adjusted(convert(value), problem),
            Self::Unusable(problem) => Parsed::Unusable(problem),
        }
    }
}

/// A type that can be read from the text of an option.
pub(crate) trait FromText: Sized {
    fn parse(text: &str, rule: &Rule) -> Parsed<Self>;
}

/// A type that an option's value can have. The `Default` value is that of an option without default.
pub(crate) trait OptionValue: FromText + Clone + PartialEq + Default + Debug {}

impl<T: FromText + Clone + PartialEq + Default + Debug> OptionValue for T {}

impl FromText for String {
    fn parse(text: &str, _: &Rule) -> Parsed<Self> {
        Parsed::Good(text.to_owned())
    }
}

impl FromText for PathBuf {
    fn parse(text: &str, _: &Rule) -> Parsed<Self> {
        if text.is_empty() {
            Parsed::Unusable(SettingProblem::Empty)
        } else {
            Parsed::Good(text.into())
        }
    }
}

impl<T: FromText> FromText for Option<T> {
    fn parse(text: &str, rule: &Rule) -> Parsed<Self> {
        T::parse(text, rule).map(Some)
    }
}

impl FromText for Ipv4Addr {
    fn parse(text: &str, _: &Rule) -> Parsed<Self> {
        whole_address(text.as_bytes()).map_or(Parsed::Unusable(SettingProblem::Syntax), |address| {
            Parsed::Good(address.into())
        })
    }
}

impl FromText for f64 {
    fn parse(text: &str, rule: &Rule) -> Parsed<Self> {
        let (min, max) = match rule {
            Rule::Float { min, max } => (*min, *max),
            _ => (f64::MIN, f64::MAX),
        };
        match leading_float(text) {
            None => Parsed::Unusable(problem_of(text)),
            Some((number, _)) if !(min..=max).contains(&number) => Parsed::Adjusted(
                number.clamp(min, max),
                SettingProblem::Range {
                    range: format!("{min}..{max}"),
                },
            ),
            Some((number, "")) => Parsed::Good(number),
            Some((number, _)) => Parsed::Adjusted(number, SettingProblem::Trailing),
        }
    }
}

/// Implements [`FromText`] for types that are made from a whole number.
macro_rules! whole_number_values {
    ($($type:ty),*) => {$(
        impl FromText for $type {
            fn parse(text: &str, rule: &Rule) -> Parsed<Self> {
                parse_int(text, rule)
            }
        }
    )*};
}

whole_number_values!(u8, u32, i32);

impl FromText for bool {
    fn parse(text: &str, rule: &Rule) -> Parsed<Self> {
        parse_int::<i64>(text, rule).map(|number| number != 0)
    }
}

/// An enum whose variants have numbers in a configuration file.
macro_rules! coded_enum {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident { $( $(#[$variant_attribute:meta])* $variant:ident = $code:literal, )* }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $name { $( $(#[$variant_attribute])* $variant = $code, )* }

        impl TryFrom<i64> for $name {
            type Error = ();
            fn try_from(code: i64) -> Result<Self, ()> {
                match code {
                    $( $code => Ok(Self::$variant), )*
                    _ => Err(()),
                }
            }
        }

        impl $crate::settings::FromText for $name {
            fn parse(text: &str, rule: &$crate::settings::Rule) -> $crate::settings::Parsed<Self> {
                $crate::settings::parse_int(text, rule)
            }
        }
    };
}
pub(crate) use coded_enum;

/// Reads a whole number under a rule. A number that the type cannot hold is unusable whatever the
/// rule says.
pub(crate) fn parse_int<T: TryFrom<i64>>(text: &str, rule: &Rule) -> Parsed<T> {
    let Some((number, tail)) = leading_int(text) else {
        return Parsed::Unusable(problem_of(text));
    };
    let (number, problem) = match *rule {
        Rule::Int { min, max, outside } if !(min..=max).contains(&number) => {
            let problem = SettingProblem::Range {
                range: format!("{min}..{max}"),
            };
            match outside {
                Outside::Clamp => (number.clamp(min, max), Some(problem)),
                Outside::Becomes(number) => (number, Some(problem)),
                Outside::Unusable => return Parsed::Unusable(problem),
            }
        }
        Rule::Bits { mask } if number & !mask != 0 => (
            number & mask,
            Some(SettingProblem::Range {
                range: format!("bits 0{mask:o}"),
            }),
        ),
        _ if !tail.is_empty() => (number, Some(SettingProblem::Trailing)),
        _ => (number, None),
    };
    match (T::try_from(number), problem) {
        (Ok(value), None) => Parsed::Good(value),
        (Ok(value), Some(problem)) => Parsed::Adjusted(value, problem),
        (Err(_), _) => Parsed::Unusable(SettingProblem::Syntax),
    }
}

fn problem_of(text: &str) -> SettingProblem {
    if text.is_empty() {
        SettingProblem::Empty
    } else {
        SettingProblem::Syntax
    }
}

/// The number at the beginning of `text` in C notation with base 0, and what follows it. Numbers that do
/// not fit are the nearest that does.
fn leading_int(text: &str) -> Option<(i64, &str)> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match hexadecimal {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_hexdigit()) => (16, digits),
        _ if digits.starts_with('0') => (8, digits),
        _ => (10, digits),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let (number, tail) = digits.split_at(end);
    if number.is_empty() {
        return None;
    }
    let number = number
        .chars()
        .filter_map(|c| c.to_digit(radix))
        .fold(0_i64, |sum, digit| {
            sum.saturating_mul(radix.into())
                .saturating_add(digit.into())
        });
    Some((if negative { -number } else { number }, tail))
}

/// The finite number at the beginning of `text`, and what follows it.
pub(crate) fn leading_float(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
        .unwrap_or(text.len());
    // No number that means anything is longer; without a bound the search below would be quadratic.
    const MAX_LENGTH: usize = 64;
    (1..=end.min(MAX_LENGTH)).rev().find_map(|end| {
        let (number, tail) = text.split_at_checked(end)?;
        let number: f64 = number.parse().ok()?;
        number.is_finite().then_some((number, tail))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANY: Rule = Rule::Int {
        min: i64::MIN,
        max: i64::MAX,
        outside: Outside::Clamp,
    };

    #[test]
    fn whole_numbers_in_c_notation() {
        for (text, number) in [
            ("0", 0),
            ("10", 10),
            ("0x1F", 31),
            ("027", 23),
            ("-19", -19),
            ("+5", 5),
        ] {
            assert_eq!(i32::parse(text, &ANY), Parsed::Good(number), "{text}");
        }
        for (text, number) in [
            ("10abc", 10),
            ("08", 0),
            ("0x", 0),
            ("5 # five", 5),
            ("1.5", 1),
        ] {
            assert_eq!(
                i32::parse(text, &ANY),
                Parsed::Adjusted(number, SettingProblem::Trailing),
                "{text}"
            );
        }
        for text in ["abc", "-", "x1", "yes"] {
            assert_eq!(
                i32::parse(text, &ANY),
                Parsed::Unusable(SettingProblem::Syntax),
                "{text}"
            );
        }
        assert_eq!(
            i32::parse("", &ANY),
            Parsed::Unusable(SettingProblem::Empty)
        );
    }

    #[test]
    fn a_number_never_wraps() {
        let rule = |outside| Rule::Int {
            min: 0,
            max: 15_000,
            outside,
        };
        let range = || SettingProblem::Range {
            range: "0..15000".into(),
        };
        assert_eq!(
            u32::parse("70000", &rule(Outside::Clamp)),
            Parsed::Adjusted(15_000, range())
        );
        assert_eq!(
            u32::parse("-1", &rule(Outside::Clamp)),
            Parsed::Adjusted(0, range())
        );
        assert_eq!(
            u32::parse("99999999999999999999999", &rule(Outside::Clamp)),
            Parsed::Adjusted(15_000, range())
        );
        assert_eq!(
            u32::parse("70000", &rule(Outside::Becomes(7))),
            Parsed::Adjusted(7, range())
        );
        assert_eq!(
            u32::parse("70000", &rule(Outside::Unusable)),
            Parsed::Unusable(range())
        );
        assert_eq!(
            u8::parse("300", &ANY),
            Parsed::Unusable(SettingProblem::Syntax)
        );
    }

    #[test]
    fn a_mask_keeps_its_bits() {
        let rule = Rule::Bits { mask: 0o77 };
        assert_eq!(u32::parse("027", &rule), Parsed::Good(0o27));
        assert_eq!(
            u32::parse("0127", &rule),
            Parsed::Adjusted(
                0o27,
                SettingProblem::Range {
                    range: "bits 077".into()
                }
            )
        );
    }

    #[test]
    fn fractions() {
        let rule = Rule::Float {
            min: 0.1,
            max: 10.0,
        };
        assert_eq!(f64::parse("1.5", &rule), Parsed::Good(1.5));
        assert_eq!(
            f64::parse("1.5x", &rule),
            Parsed::Adjusted(1.5, SettingProblem::Trailing)
        );
        assert_eq!(
            f64::parse("50", &rule),
            Parsed::Adjusted(
                10.0,
                SettingProblem::Range {
                    range: "0.1..10".into()
                }
            )
        );
        for text in ["nan", "inf", "x", "e", "+", "."] {
            assert_eq!(
                f64::parse(text, &rule),
                Parsed::Unusable(SettingProblem::Syntax),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_clamped_number_is_in_its_range(text in "\\PC{0,24}", min in -1000_i64..1000, span in 0_i64..1000) {
            let rule = Rule::Int { min, max: min + span, outside: Outside::Clamp };
            if let Parsed::Good(number) | Parsed::Adjusted(number, _) = i32::parse(&text, &rule) {
                prop_assert!((min..=min + span).contains(&i64::from(number)));
            }
        }

        #[test]
        fn every_notation_of_a_number_is_the_number(number: u32) {
            for text in [format!("{number}"), format!("{number:#x}"), format!("0{number:o}")] {
                prop_assert_eq!(u32::parse(&text, &ANY), Parsed::Good(number));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*") {
            let _ = f64::parse(&text, &Rule::Own);
            let _ = Ipv4Addr::parse(&text, &Rule::Own);
        }
    }
}
