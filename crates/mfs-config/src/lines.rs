//! Lines of a text file with their numbers, as the parsers of this crate want them.

/// Yields (line number from 1, line without its `\n`). A file that does not end in a newline has its
/// last line all the same.
pub(crate) fn numbered(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (1..).zip(text.split(|&byte| byte == b'\n'))
}

/// True for the two bytes that separate words.
pub(crate) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Cuts blanks at both ends.
pub(crate) fn trim_blanks(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text), is_blank)
}

/// Cuts blanks at the beginning.
pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Cuts bytes that `unwanted` names at the end.
pub(crate) fn trim_end(mut text: &[u8], unwanted: impl Fn(u8) -> bool) -> &[u8] {
    while let [rest @ .., last] = text {
        if !unwanted(*last) {
            break;
        }
        text = rest;
    }
    text
}

/// Splits at the first blank: (word, rest without leading blanks).
pub(crate) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| is_blank(byte)) {
        Some(at) => {
            let (word, rest) = text.split_at(at);
            (word, trim_start(rest))
        }
        None => (text, &[]),
    }
}

/// One line of an exports or topology file: the part before a NUL byte (the original reads C
/// strings), without blanks around it and without a carriage return at its end. `None` for a line
/// without content. The flag tells that a NUL byte cut something off.
pub(crate) fn content(line: &[u8]) -> (Option<&[u8]>, bool) {
    let (line, cut) = match line.iter().position(|&byte| byte == 0) {
        Some(at) => (line.split_at(at).0, true),
        None => (line, false),
    };
    let line = trim_start(trim_end(line, |byte| is_blank(byte) || byte == b'\r'));
    let content = if line.is_empty() || line.starts_with(b"#") {
        None
    } else {
        Some(line)
    };
    (content, cut)
}

/// Text for a message; bytes that are no UTF-8 are replaced.
pub(crate) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lines_and_keeps_an_unfinished_last_one() {
        let lines: Vec<_> = numbered(b"a\n\nb").collect();
        assert_eq!(lines, [(1, &b"a"[..]), (2, b""), (3, b"b")]);
    }

    #[test]
    fn content_of_a_line() {
        assert_eq!(content(b"  a b \t\r"), (Some(&b"a b"[..]), false));
        assert_eq!(content(b" # a"), (None, false));
        assert_eq!(content(b" \t\r"), (None, false));
        assert_eq!(content(b"a\0b"), (Some(&b"a"[..]), true));
        assert_eq!(content(b"\0b"), (None, true));
    }

    #[test]
    fn words() {
        assert_eq!(split_word(b"a \t b c"), (&b"a"[..], &b"b c"[..]));
        assert_eq!(split_word(b"a"), (&b"a"[..], &b""[..]));
        assert_eq!(trim_blanks(b"\t a b "), b"a b");
    }
}
