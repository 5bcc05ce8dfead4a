//! Options whose texts are more than one number.

use super::value::{FromText, Parsed, Rule, SettingProblem, leading_float};

/// How many replications one chunkserver may take part in at a time, by urgency.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReplicationLimits {
    /// Chunks with one copy left.
    pub endangered: f64,
    /// Chunks with fewer copies than wanted.
    pub undergoal: f64,
    /// Balancing between servers of about average use.
    pub rebalance: f64,
    /// Balancing servers of very low or very high use.
    pub extreme_rebalance: f64,
}

impl FromText for ReplicationLimits {
    /// Four numbers with commas, or one that stands for all four.
    fn parse(text: &str, _: &Rule) -> Parsed<Self> {
        if text.is_empty() {
            return Parsed::Unusable(SettingProblem::Empty);
        }
        let mut numbers = Vec::with_capacity(4);
        for part in text.split(',') {
            match leading_float(part.trim()) {
                Some((number, "")) if numbers.len() < 4 => numbers.push(number),
                _ => return Parsed::Unusable(SettingProblem::Syntax),
            }
        }
        let (limits, old) = match numbers[..] {
            [all] => ([all; 4], true),
            [a, b, c, d] => ([a, b, c, d], false),
            _ => return Parsed::Unusable(SettingProblem::Syntax),
        };
        let [endangered, undergoal, rebalance, extreme_rebalance] =
            limits.map(|limit| limit.max(0.0));
        let value = Self {
            endangered,
            undergoal,
            rebalance,
            extreme_rebalance,
        };
        if limits.iter().any(|&limit| limit < 0.0) {
            Parsed::Adjusted(
                value,
                SettingProblem::Range {
                    range: "0..".into(),
                },
            )
        } else if old {
            Parsed::Adjusted(value, SettingProblem::OneLimit)
        } else {
            Parsed::Good(value)
        }
    }
}

/// Space that is kept free for the superuser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReserveSpace {
    /// This many bytes.
    Bytes(u64),
    /// This part of all space, in percent.
    Percent(f64),
    /// This multiple of the most used bytes on one chunkserver.
    MostUsed(f64),
    /// This multiple of the largest capacity of one chunkserver.
    LargestServer(f64),
}

impl Default for ReserveSpace {
    fn default() -> Self {
        Self::Bytes(0)
    }
}

impl ReserveSpace {
    /// The bytes that are kept free, given the space of all servers, the most used bytes on one server
    /// and the capacity of the largest server.
    #[must_use]
    pub fn bytes(&self, total: u64, most_used: u64, largest_server: u64) -> u64 {
        // `as` saturates: a product beyond u64 reserves everything.
        match *self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (total as f64 * percent / 100.0) as u64,
            Self::MostUsed(factor) => (most_used as f64 * factor) as u64,
            Self::LargestServer(factor) => (largest_server as f64 * factor) as u64,
        }
    }
}

impl FromText for ReserveSpace {
    /// A number; optionally one of k M G T P E (powers of 1000) or Ki Mi Gi Ti Pi Ei (of 1024);
    /// optionally `B`, `%`, `U` or `C`. An empty text is 0.
    fn parse(text: &str, _: &Rule) -> Parsed<Self> {
        if text.is_empty() {
            return Parsed::Good(Self::default());
        }
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, tail) = text.split_at(digits);
        let Ok(number) = number.parse::<f64>() else {
            return Parsed::Unusable(SettingProblem::Syntax);
        };
        let (factor, unit) = prefix(tail);
        let amount = number * factor;
        Parsed::Good(match unit {
            "" | "B" => Self::Bytes(amount as u64),
            "%" => Self::Percent(amount),
            "U" => Self::MostUsed(amount),
            "C" => Self::LargestServer(amount),
            _ => return Parsed::Unusable(SettingProblem::Syntax),
        })
    }
}

/// The factor that a text begins with, 1 for none, and the rest.
fn prefix(text: &str) -> (f64, &str) {
    const LETTERS: [(char, char); 6] = [
        ('k', 'K'),
        ('M', 'M'),
        ('G', 'G'),
        ('T', 'T'),
        ('P', 'P'),
        ('E', 'E'),
    ];
    for (power, (decimal, binary)) in (1..).zip(LETTERS) {
        if let Some(rest) = text
            .strip_prefix(binary)
            .and_then(|rest| rest.strip_prefix('i'))
        {
            return (1024_f64.powi(power), rest);
        }
        if let Some(rest) = text.strip_prefix(decimal) {
            return (1000_f64.powi(power), rest);
        }
    }
    (1.0, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Accepted and refused texts are those of the real master.
    #[test]
    fn replication_limits() {
        let parse = |text| ReplicationLimits::parse(text, &Rule::Own);
        let limits = |endangered, undergoal, rebalance, extreme_rebalance| ReplicationLimits {
            endangered,
            undergoal,
            rebalance,
            extreme_rebalance,
        };
        assert_eq!(parse("3,2,1,5"), Parsed::Good(limits(3.0, 2.0, 1.0, 5.0)));
        assert_eq!(
            parse("3, 2, 1, 5"),
            Parsed::Good(limits(3.0, 2.0, 1.0, 5.0))
        );
        assert_eq!(
            parse("1e1,1.5,0,1"),
            Parsed::Good(limits(10.0, 1.5, 0.0, 1.0))
        );
        assert_eq!(
            parse("3"),
            Parsed::Adjusted(limits(3.0, 3.0, 3.0, 3.0), SettingProblem::OneLimit)
        );
        assert!(
            matches!(parse("-1,1,1,1"), Parsed::Adjusted(limits, _) if limits.endangered == 0.0)
        );
        for text in [
            "x",
            "3:2:1:5",
            "3,2,1",
            "3,2,1,5,6",
            "1,1,1,1 x",
            "1 x",
            "1;2;3;4",
            ",",
        ] {
            assert_eq!(
                parse(text),
                Parsed::Unusable(SettingProblem::Syntax),
                "{text}"
            );
        }
    }

    /// Accepted and refused texts are those of the real master.
    #[test]
    fn reserved_space() {
        let parse = |text| ReserveSpace::parse(text, &Rule::Own);
        for (text, value) in [
            ("", ReserveSpace::Bytes(0)),
            ("0", ReserveSpace::Bytes(0)),
            ("1k", ReserveSpace::Bytes(1000)),
            ("1Ki", ReserveSpace::Bytes(1024)),
            ("1G", ReserveSpace::Bytes(1_000_000_000)),
            ("1GB", ReserveSpace::Bytes(1_000_000_000)),
            ("1.5GiB", ReserveSpace::Bytes(1_610_612_736)),
            ("1E", ReserveSpace::Bytes(1_000_000_000_000_000_000)),
            ("100E", ReserveSpace::Bytes(u64::MAX)),
            ("10%", ReserveSpace::Percent(10.0)),
            ("200%", ReserveSpace::Percent(200.0)),
            ("0.5U", ReserveSpace::MostUsed(0.5)),
            ("2C", ReserveSpace::LargestServer(2.0)),
            ("1kU", ReserveSpace::MostUsed(1000.0)),
        ] {
            assert_eq!(parse(text), Parsed::Good(value), "{text}");
        }
        for text in [
            "1K", "1ki", "x", "10 %", "10u", "5x", "-5", "1Z", "1 G", "1b", "1.2.3", ".",
        ] {
            assert_eq!(
                parse(text),
                Parsed::Unusable(SettingProblem::Syntax),
                "{text}"
            );
        }
        assert_eq!(ReserveSpace::Bytes(7).bytes(1000, 200, 300), 7);
        assert_eq!(ReserveSpace::Percent(10.0).bytes(1000, 200, 300), 100);
        assert_eq!(ReserveSpace::MostUsed(0.5).bytes(1000, 200, 300), 100);
        assert_eq!(ReserveSpace::LargestServer(2.0).bytes(1000, 200, 300), 600);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*", total: u64, most_used: u64, largest: u64) {
            let _ = ReplicationLimits::parse(&text, &Rule::Own);
            if let Parsed::Good(reserve) = ReserveSpace::parse(&text, &Rule::Own) {
                let _ = reserve.bytes(total, most_used, largest);
            }
        }

        #[test]
        fn a_number_with_a_prefix_is_that_many_bytes(number in 0_u32..9000, power in 0_usize..6) {
            let decimal = ["k", "M", "G", "T", "P", "E"][power];
            let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power];
            let power = power as i32 + 1;
            let bytes = |prefix: &str| ReserveSpace::parse(&format!("{number}{prefix}B"), &Rule::Own);
            let factor = |base: f64| (f64::from(number) * base.powi(power)) as u64;
            prop_assert_eq!(bytes(decimal), Parsed::Good(ReserveSpace::Bytes(factor(1000.0))));
            prop_assert_eq!(bytes(binary), Parsed::Good(ReserveSpace::Bytes(factor(1024.0))));
        }
    }
}
