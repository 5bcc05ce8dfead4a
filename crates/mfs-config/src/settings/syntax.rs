//! Lines `NAME = VALUE`.

use std::collections::HashMap;

use super::reader::SettingWarning;
use crate::lines::{self, is_blank, shown, trim_blanks, trim_end};
use crate::warning::Warnings;

/// The definitions of a file, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Definitions {
    by_name: HashMap<String, Definition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) text: String,
    pub(crate) line: u32,
}

impl Definitions {
    /// Reads all definitions; the last one of a name wins. A line that is none is left out with a
    /// warning. Names are printable ASCII without `=`, values printable ASCII and may be empty.
    pub(crate) fn parse(text: &[u8], warnings: &mut Warnings) -> Self {
        let mut by_name: HashMap<String, Definition> = HashMap::new();
        for (number, line) in lines::numbered(text) {
            let line = trim_end(line, |byte| is_blank(byte) || byte == b'\r');
            if line.is_empty() || lines::trim_start(line).starts_with(b"#") {
                continue;
            }
            let Some((name, text)) = definition(line) else {
                // Not the value: it may be a password.
                let name = line.split(|&byte| byte == b'=').next().unwrap_or_default();
                warnings.push(
                    Some(number),
                    SettingWarning::BadDefinition(shown(trim_blanks(name))),
                );
                continue;
            };
            if let Some(earlier) = by_name.get(&name) {
                let warning = SettingWarning::Repeated {
                    option: name.clone(),
                    earlier: earlier.line,
                };
                warnings.push(Some(number), warning);
            }
            by_name.insert(name, Definition { text, line: number });
        }
        Self { by_name }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name)
    }

    /// Names and definitions in the order of the file.
    pub(crate) fn in_order(&self) -> Vec<(&str, &Definition)> {
        let mut all: Vec<_> = self
            .by_name
            .iter()
            .map(|(name, definition)| (name.as_str(), definition))
            .collect();
        all.sort_unstable_by_key(|(_, definition)| definition.line);
        all
    }
}

fn definition(line: &[u8]) -> Option<(String, String)> {
    let at = line.iter().position(|&byte| byte == b'=')?;
    let (name, value) = line.split_at(at);
    let name = trim_blanks(name);
    let value = trim_blanks(value.get(1..)?);
    let good_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let good_value = value.iter().all(|&byte| (0x20..0x80).contains(&byte));
    if !good_name || !good_value {
        return None;
    }
    Some((
        String::from_utf8(name.to_vec()).ok()?,
        String::from_utf8(value.to_vec()).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn parse(text: &[u8]) -> (Definitions, Vec<String>) {
        let mut warnings = Warnings::new(Path::new("f"));
        let definitions = Definitions::parse(text, &mut warnings);
        let shown = warnings
            .finish(())
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect();
        (definitions, shown)
    }

    /// Lines and what the real master answered to GET_CONFIG (`None`: empty answer and a "bad
    /// definition" message).
    #[test]
    fn lines_as_the_real_master_reads_them() {
        for (line, name, value) in [
            (&b"A = plain"[..], "A", Some("plain")),
            (b"A=x", "A", Some("x")),
            (b"A   =    x   ", "A", Some("x")),
            (b"\tA\t=\tx\t", "A", Some("x")),
            (b"A = a\tb", "A", None),
            (b"A = a # c", "A", Some("a # c")),
            (b"A =", "A", Some("")),
            (b"A = a=b", "A", Some("a=b")),
            (b"A x = 5", "A", None),
            (b"A = \"q\"", "A", Some("\"q\"")),
            (b"A = \xc4\x85", "A", None),
            (b"A = a\x01b", "A", None),
            (b"A = a\x7fb", "A", Some("a\x7fb")),
            (b"A == b", "A", Some("= b")),
            (b"=b", "", None),
            (b"a = low", "A", None),
            (b"A = x\r", "A", Some("x")),
            (b"A : 5", "A", None),
            (b"A-32.x/y# = ok", "A-32.x/y#", Some("ok")),
            (b"A= a  b  ", "A", Some("a  b")),
            (b"A= v\x0bw", "A", None),
            (b"A\\= 5", "A\\", Some("5")),
        ] {
            let (definitions, warnings) = parse(line);
            assert_eq!(
                definitions.get(name).map(|found| found.text.as_str()),
                value,
                "{line:?}"
            );
            let defines = value.is_some() || line == b"a = low";
            assert_eq!(warnings.is_empty(), defines, "{line:?} {warnings:?}");
        }
    }

    #[test]
    fn the_last_definition_wins_and_the_repetition_is_named() {
        let (definitions, warnings) = parse(b"# c\nA = 1\n\n  # c\nB = 2\nA = 3");
        assert_eq!(
            definitions.get("A").unwrap(),
            &Definition {
                text: "3".into(),
                line: 6
            }
        );
        assert_eq!(
            warnings,
            ["f:6: option 'A' was defined in line 2 already - using this definition"]
        );
        let names: Vec<_> = definitions
            .in_order()
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names, ["B", "A"]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[!-<>-~]{1,20}", value in "([!-~]([ -~]{0,20}[!-~])?)?") {
            prop_assume!(!name.starts_with('#'));
            let (definitions, warnings) = parse(format!(" {name} = {value} \n").as_bytes());
            prop_assert_eq!(warnings, Vec::<String>::new());
            prop_assert_eq!(&definitions.get(&name).unwrap().text, &value);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_take_no_more_than_the_file(text: Vec<u8>) {
            let (definitions, _) = parse(&text);
            let kept: usize = definitions.in_order().iter().map(|(name, found)| name.len() + found.text.len()).sum();
            prop_assert!(kept <= text.len());
        }
    }
}
