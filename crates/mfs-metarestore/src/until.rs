//! A point in the changelogs as people write it.

use chrono::{DateTime, Local, NaiveDateTime, TimeZone};
use mfs_store::changelog::Until;

/// Reads the argument of `--until`: digits are a metadata version, `@` and digits seconds since the epoch, anything
/// else a time with offset (RFC 3339) or without (local time; to the minute, or to the second).
///
/// # Errors
/// What is wrong, for the user.
pub(crate) fn parse_until(text: &str) -> Result<Until, String> {
    if let Some(seconds) = text.strip_prefix('@') {
        let seconds = seconds
            .parse()
            .map_err(|e| format!("seconds since 1970: {e}"))?;
        return Ok(Until::Time(seconds));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let version = text.parse().map_err(|e| format!("metadata version: {e}"))?;
        return Ok(Until::Version(version));
    }
    let seconds = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.timestamp(),
        Err(_) => local(text)?,
    };
    u32::try_from(seconds)
        .map(Until::Time)
        .map_err(|_| "changelogs know times from 1970 to 2106 only".into())
}

fn local(text: &str) -> Result<i64, String> {
    const FORMS: [&str; 4] = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ];
    let time = FORMS
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let time = time.ok_or("neither a version, nor @SECONDS, nor a time YYYY-MM-DD HH:MM:SS")?;
    // Where clocks are set back a time comes twice: the earlier one loses nothing that came before it.
    let found = Local.from_local_datetime(&time).earliest();
    Ok(found
        .ok_or("there is no such local time: clocks were set forward")?
        .timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(parse_until("17"), Ok(Until::Version(17)));
        assert_eq!(parse_until("@1600000000"), Ok(Until::Time(1_600_000_000)));
        assert_eq!(
            parse_until("2020-09-13T12:26:40Z"),
            Ok(Until::Time(1_600_000_000))
        );
        assert_eq!(
            parse_until("2020-09-13 14:26:40+02:00"),
            Ok(Until::Time(1_600_000_000))
        );
        let there = Local.timestamp_opt(1_600_000_000, 0).unwrap();
        for form in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"] {
            assert_eq!(
                parse_until(&there.format(form).to_string()),
                Ok(Until::Time(1_600_000_000))
            );
        }
        let minute = there.format("%Y-%m-%d %H:%M").to_string();
        assert_eq!(parse_until(&minute), Ok(Until::Time(1_600_000_000 - 40)));
        for bad in [
            "",
            "@",
            "@-1",
            "@99999999999",
            "tomorrow",
            "2020-13-01 00:00:00",
            "1960-01-01T00:00:00Z",
            "99999999999999999999",
        ] {
            assert!(parse_until(bad).is_err(), "{bad}");
        }
    }
}
